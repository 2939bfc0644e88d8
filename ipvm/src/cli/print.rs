//! The ways out of the command. What strangers wrote passes through here before a terminal sees it.

use std::io::{self, Write};

use console::style;

use super::Refused;

/// Standard output cannot be written, for another reason than that its reader has gone away.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written, so that what it has is not all: {0}")]
pub(super) struct Unprinted(#[from] io::Error);

/// Prints lines for people.
pub(super) fn say(text: &str) -> Result<(), Unprinted> {
    say_styled(&plain_lines(text))
}

/// Prints lines for people that have colours, and in which all that comes from elsewhere is [`plain`] already.
pub(super) fn say_styled(text: &str) -> Result<(), Unprinted> {
    match writeln!(io::stdout(), "{text}") {
        // Whoever has read enough is no reason to stop, or to complain.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints JSON, in which what would steer a terminal is escaped.
pub(super) fn say_json(json: &str) -> Result<(), Unprinted> {
    say_styled(&escaped(json))
}

/// Writes bytes to standard output, all of which somebody needs.
pub(super) fn write_out(bytes: &[u8]) -> Result<(), Refused> {
    let mut out = io::stdout().lock();
    // Flushed here: what fails when the process ends is not reported.
    Ok(out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| format!("it was not written: {error}"))?)
}

/// Says something on standard error, as far as anybody listens.
pub(super) fn mention(text: &str) {
    let _nobody_listens = writeln!(io::stderr(), "{}", plain_lines(text));
}

/// Says on standard error what went wrong.
pub(super) fn complain(text: &str) {
    marked(style("error:").red().bold().for_stderr(), text);
}

/// Says on standard error what may be wrong.
pub(super) fn warn(text: &str) {
    marked(style("warning:").yellow().bold().for_stderr(), text);
}

fn marked(mark: console::StyledObject<&str>, text: &str) {
    // Further lines are set in, so that nothing in the text can look like a line of its own.
    let text = plain_lines(text).replace('\n', "\n  ");
    let _nobody_listens = writeln!(io::stderr(), "{mark} {text}");
}

/// Text from a document, a token or a guest, without what would let it write elsewhere on a terminal, or in another
/// direction. Ends of lines are replaced, too.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The same for a text of several lines.
pub(super) fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// The same for JSON, without changing what it says: characters that steer stand in strings only.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => text.push(c),
            c if steers(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Whether a character controls a terminal, or the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2K\u{7}\u{7f}\u{9b}\u{61c}\u{202e}b";

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain(HOSTILE), "a\u{fffd}[2K\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(plain("a\nb"), "a\u{fffd}b");
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\u{fffd}");
    }

    #[test]
    fn json_says_the_same_after_escaping() {
        let json = serde_json::json!({ "text": HOSTILE }).to_string();
        let safe = escaped(&json);
        assert!(!safe.contains(steers), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap()["text"], HOSTILE);
    }
}
