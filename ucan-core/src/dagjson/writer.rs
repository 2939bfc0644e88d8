//! The writer.

use std::fmt::Write;

use data_encoding::BASE64_NOPAD;

use crate::Ipld;

/// A value on one line, map keys in bytewise order.
///
/// DAG-JSON cannot say everything: a map that looks like a link or like bytes, and floats that are not finite, have no form of
/// their own. The former is written as it is, the latter as `null`; neither comes back as it was. [`decode`](super::decode)
/// returns everything else unchanged.
pub fn encode(value: &Ipld) -> String {
    let mut text = String::new();
    write(value, None, 0, &mut text);
    text
}

/// A value over several indented lines, for people to read.
///
/// Links, bytes and empty collections stay on one line. See [`encode`] for what cannot be written.
pub fn encode_pretty(value: &Ipld) -> String {
    let mut text = String::new();
    write(value, Some("  "), 0, &mut text);
    text
}

fn write(value: &Ipld, indent: Option<&str>, depth: usize, out: &mut String) {
    match value {
        Ipld::Null => out.push_str("null"),
        Ipld::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Ipld::Integer(integer) => out.push_str(&integer.to_string()),
        // `Debug` is the shortest form that reads back as the same float, and always has a point or an exponent.
        Ipld::Float(float) if float.is_finite() => out.push_str(&format!("{float:?}")),
        Ipld::Float(_) => out.push_str("null"),
        Ipld::String(text) => string(text, out),
        Ipld::Bytes(bytes) => {
            out.push_str(r#"{"/":{"bytes":""#);
            BASE64_NOPAD.encode_append(bytes, out);
            out.push_str(r#""}}"#);
        }
        Ipld::Link(cid) => {
            out.push_str(r#"{"/":""#);
            out.push_str(&cid.to_string());
            out.push_str(r#""}"#);
        }
        Ipld::List(list) => {
            collection(list.iter(), ['[', ']'], indent, depth, out, |item, out| {
                write(item, indent, depth + 1, out);
            });
        }
        Ipld::Map(map) => {
            collection(map.iter(), ['{', '}'], indent, depth, out, |(key, value), out| {
                string(key, out);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write(value, indent, depth + 1, out);
            });
        }
    }
}

fn collection<T>(
    items: impl ExactSizeIterator<Item = T>,
    [open, close]: [char; 2],
    indent: Option<&str>,
    depth: usize,
    out: &mut String,
    mut item: impl FnMut(T, &mut String),
) {
    let new_line = |depth, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        }
    };
    let empty = items.len() == 0;
    out.push(open);
    for (index, next) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        new_line(depth + 1, out);
        item(next, out);
    }
    if !empty {
        new_line(depth, out);
    }
    out.push(close);
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
