//! The writer.

use std::collections::BTreeMap;
use std::fmt::Write;

use data_encoding::BASE64_NOPAD;
use ucan_core::Ipld;

use super::scalar;

/// How many bytes of a list or map are written on one line.
const LINE: usize = 80;
/// How many bytes a key may have without being announced by a question mark. YAML allows 1024 characters, with escapes.
const KEY: usize = 100;

/// A value over several indented lines, for people to read, map keys in bytewise order. What is small stands on one line.
///
/// As DAG-JSON, it cannot say everything: a map that looks like a link or like bytes is written as it is, and floats that are not finite
/// as `null`. [`decode`](super::decode) returns everything else unchanged.
#[must_use]
pub fn encode(value: &Ipld) -> String {
    let mut out = String::new();
    match small(value) {
        Some(line) => out.push_str(&line),
        None => block(value, 0, &mut out),
    }
    out.push('\n');
    out
}

/// A list or map over several lines, of which the first has been indented already.
fn block(value: &Ipld, indent: usize, out: &mut String) {
    match value {
        Ipld::List(list) => {
            for (at, item) in list.iter().enumerate() {
                separate(at, indent, out);
                out.push_str("- ");
                match small(item) {
                    Some(line) => out.push_str(&line),
                    None => block(item, indent + 2, out),
                }
            }
        }
        Ipld::Map(map) => {
            for (at, (key, item)) in map.iter().enumerate() {
                separate(at, indent, out);
                let long = key.len() > KEY;
                if long {
                    out.push_str("? ");
                }
                string(key, out);
                if long {
                    separate(1, indent, out);
                }
                match small(item) {
                    Some(line) => {
                        out.push_str(": ");
                        out.push_str(&line);
                    }
                    None => {
                        out.push(':');
                        separate(1, indent + 2, out);
                        block(item, indent + 2, out);
                    }
                }
            }
        }
        other => scalar(other, out),
    }
}

/// Begins a line, unless it is the first one.
fn separate(at: usize, indent: usize, out: &mut String) {
    if at > 0 {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// What is written on one line: a scalar, and a list or map of few scalars.
fn small(value: &Ipld) -> Option<String> {
    let mut line = String::new();
    match value {
        Ipld::List(list) => {
            let scalars = list.iter().map(flat).collect::<Option<Vec<_>>>()?;
            line = format!("[{}]", scalars.join(", "));
        }
        Ipld::Map(map) if !map.keys().any(|key| key.len() > KEY) => {
            let scalars = map.iter().map(|(key, item)| Some(entry(key, &flat(item)?))).collect::<Option<Vec<_>>>()?;
            line = format!("{{{}}}", scalars.join(", "));
        }
        Ipld::Map(_) => return None,
        other => {
            scalar(other, &mut line);
            return Some(line);
        }
    }
    (line.len() <= LINE).then_some(line)
}

/// A scalar, or a map of one, such as a promise.
fn flat(value: &Ipld) -> Option<String> {
    let mut text = String::new();
    match value {
        Ipld::List(list) if list.is_empty() => text.push_str("[]"),
        Ipld::Map(map) if map.is_empty() => text.push_str("{}"),
        Ipld::Map(map) if map.len() == 1 => return promise(map),
        Ipld::List(_) | Ipld::Map(_) => return None,
        other => scalar(other, &mut text),
    }
    Some(text)
}

fn promise(map: &BTreeMap<String, Ipld>) -> Option<String> {
    let (key, value) = map.iter().next()?;
    let is_flat = key.len() <= KEY && !matches!(value, Ipld::List(_) | Ipld::Map(_));
    is_flat.then(|| {
        let mut text = String::new();
        scalar(value, &mut text);
        format!("{{{}}}", entry(key, &text))
    })
}

fn entry(key: &str, value: &str) -> String {
    let mut text = String::new();
    string(key, &mut text);
    format!("{text}: {value}")
}

/// Anything but a list or a map.
fn scalar(value: &Ipld, out: &mut String) {
    match value {
        Ipld::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Ipld::Integer(integer) => out.push_str(&integer.to_string()),
        // `Debug` is the shortest form that reads back as the same float, and always has a point or an exponent.
        Ipld::Float(float) if float.is_finite() => out.push_str(&format!("{float:?}")),
        Ipld::String(text) => string(text, out),
        Ipld::Bytes(bytes) => {
            out.push_str(r#"{"/": {bytes: ""#);
            BASE64_NOPAD.encode_append(bytes, out);
            out.push_str(r#""}}"#);
        }
        Ipld::Link(cid) => out.push_str(&format!(r#"{{"/": {cid}}}"#)),
        _ => out.push_str("null"),
    }
}

/// A string as it is where nothing in it can mean anything else anywhere, and in quotes otherwise.
fn string(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // What YAML does not let stand in a text, or takes for the end of a line or the mark at the beginning of a file.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn is_plain(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'-');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'/'));
    begins && text != "/" && text.bytes().all(safe) && matches!(scalar::plain(text), Ok(Ipld::String(_)))
}
