//! What guests say on the side.

use std::collections::BTreeMap;

use ucan_core::Ipld;

/// How many lines of a guest are kept, and how many bytes of text in them.
const MAX_LINES: usize = 1_000;
const MAX_BYTES: usize = 64 << 10;

/// What a guest said on the side: its log messages, and what it printed. It is no part of the result.
///
/// The first 1,000 lines are kept, and the first 64 KiB of their text; what comes later is counted. So the trace of a call is
/// the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<TraceLine>,
    bytes: usize,
    dropped: u64,
}

/// One log message, or one thing that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Where it was said: `stdout`, `stderr`, or the level of a log message.
    pub to: &'static str,
    /// What a log message says of its context; empty for others.
    pub context: String,
    /// The text.
    pub text: String,
}

impl Trace {
    /// The lines, in the order in which they were said.
    #[must_use]
    pub fn lines(&self) -> &[TraceLine] {
        &self.lines
    }

    /// How many lines there were beyond those that are kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    pub(crate) fn push(&mut self, to: &'static str, context: &str, text: &str) {
        let bytes = context.len().saturating_add(text.len());
        // Once something was dropped, so is the rest: a trace has no gaps but the one at its end.
        if self.dropped > 0 || self.lines.len() == MAX_LINES || bytes > MAX_BYTES - self.bytes {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes;
        self.lines.push(TraceLine { to, context: context.to_owned(), text: text.to_owned() });
    }

    /// As it stands in receipts: a list of `{to, context?, text}`, and `{dropped}` at the end where there was more.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let map = |entries: Vec<(&str, Ipld)>| {
            Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
        };
        let line = |line: &TraceLine| {
            let mut entries = vec![("to", Ipld::String(line.to.to_owned())), ("text", Ipld::String(line.text.clone()))];
            if !line.context.is_empty() {
                entries.push(("context", Ipld::String(line.context.clone())));
            }
            map(entries)
        };
        let more = (self.dropped > 0).then(|| map(vec![("dropped", Ipld::Integer(self.dropped.into()))]));
        Ipld::List(self.lines.iter().map(line).chain(more).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let mut trace = Trace::default();
        trace.push("stdout", "", "first");
        trace.push("info", "a", &"x".repeat(MAX_BYTES));
        trace.push("stdout", "", "after the gap");
        assert_eq!((trace.lines().len(), trace.dropped()), (1, 2));
        let Ipld::List(lines) = trace.to_ipld() else { panic!("no list") };
        assert_eq!(lines[1], Ipld::Map([("dropped".to_owned(), Ipld::Integer(2))].into()));

        let mut trace = Trace::default();
        for _ in 0..MAX_LINES + 5 {
            trace.push("info", "", "");
        }
        assert_eq!((trace.lines().len(), trace.dropped()), (MAX_LINES, 5));
    }
}
