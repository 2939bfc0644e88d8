//! Words for messages about values, for this crate and those that read IPLD beside it.

use ipld_core::ipld::Ipld;

/// Words that mean something in WIT where the name of an item is to stand.
pub const WIT_KEYWORDS: [&str; 44] = [
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "enum",
    "error-context",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "union",
    "use",
    "variant",
    "with",
    "world",
];

/// A value in a few words: `the integer 3`, `a map with keys a, b`.
pub fn describe(ipld: &Ipld) -> String {
    match ipld {
        Ipld::Null => "null".to_owned(),
        Ipld::Bool(it) => format!("the boolean {it}"),
        Ipld::Integer(it) => format!("the integer {it}"),
        Ipld::Float(it) => format!("the float {it:?}"),
        Ipld::String(it) => format!("the string {:?}", shorten(it, 40)),
        Ipld::Bytes(it) => format!("{} bytes", it.len()),
        Ipld::List(it) => format!("a list of {}", it.len()),
        Ipld::Map(it) if it.is_empty() => "an empty map".to_owned(),
        Ipld::Map(it) => {
            let keys: Vec<&str> = it.keys().take(5).map(String::as_str).collect();
            let more = if it.len() > keys.len() { ", .." } else { "" };
            format!("a map with keys {}{more}", shorten(&keys.join(", "), 60))
        }
        Ipld::Link(it) => format!("a link to {it}"),
    }
}

/// The text, or its first `limit` bytes or so and two dots.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}..", &text[..end])
}

/// The declared name that is spelled most like `name`, if it is like it at all.
pub fn nearest<'a>(name: &str, declared: impl IntoIterator<Item = &'a str>) -> Option<String> {
    alike(name, declared).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate.to_owned())
}

/// Up to three declared names that are spelled like `name`, the likest first.
pub(crate) fn nearest_few<'a>(name: &str, declared: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut alike: Vec<_> = alike(name, declared).collect();
    alike.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    alike.into_iter().take(3).map(|(_, candidate)| candidate.to_owned()).collect()
}

/// The declared names that are spelled like `name`, and how much.
fn alike<'a>(name: &str, declared: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = (f64, &'a str)> {
    // Long names cost quadratic time to compare and are no slip of the pen.
    const LONG: usize = 64;
    declared
        .into_iter()
        .filter(move |candidate| candidate.len() <= LONG && name.len() <= LONG)
        .map(move |candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_names_are_compared() {
        let (short, long) = ("a".repeat(63), "a".repeat(65));
        assert_eq!(nearest("lenght", ["width", "length"]), Some("length".to_owned()));
        assert_eq!(nearest(&short, [long.as_str()]), None);
        assert_eq!(nearest(&long, [short.as_str()]), None);
        assert_eq!(nearest_few("reed", ["read", "write", "reeds", "red", "ready"]), ["reeds", "red", "read"]);
    }
}
