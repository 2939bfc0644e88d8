//! Every other type.

use ipld_wit::{Cid, Ipld};

use crate::{Case, error, list, map, ok, same, text};

const CID: &str = "bafkreicgincymfzzumcqcrpmquyildzqppa3s2gv3scfy2csaqpgqpp7ke";
const POINT: &str = "record { x: s32, y: s32, label: option<string> }";
const SHAPE: &str = "variant { dot, circle(f64), both(tuple<u8, string>) }";

fn int(it: i128) -> Ipld {
    Ipld::Integer(it)
}

fn link() -> Ipld {
    Ipld::Link(CID.parse::<Cid>().unwrap())
}

fn bytes(it: &[u8]) -> Ipld {
    Ipld::Bytes(it.to_vec())
}

/// One value of each kind.
fn kinds() -> [(&'static str, Ipld); 9] {
    [
        ("null", Ipld::Null),
        ("bool", Ipld::Bool(true)),
        ("integer", int(7)),
        ("float", Ipld::Float(0.5)),
        ("string", text("no such name")),
        ("bytes", bytes(&[1])),
        ("list", list([Ipld::Null, Ipld::Null, Ipld::Null])),
        ("map", map([("no", Ipld::Null), ("such", Ipld::Null)])),
        ("link", link()),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = kinds_refused();
    cases.extend(strings());
    cases.extend(lists());
    cases.extend(records());
    cases.extend(choices());
    cases.extend(options());
    cases.extend(nodes());
    cases
}

/// For each type, the kinds that it does not take at all.
fn kinds_refused() -> Vec<Case> {
    let types: [(&str, &[&str]); 14] = [
        ("bool", &["bool"]),
        ("char", &["string"]),
        ("string", &["string"]),
        ("list<u8>", &["bytes"]),
        ("list<string>", &["list"]),
        ("list<s8>", &["list"]),
        ("tuple<u8, u8>", &["list"]),
        (POINT, &["map"]),
        (SHAPE, &["string"]),
        ("enum { red, green }", &["string"]),
        ("result<u8, string>", &[]),
        ("result", &[]),
        ("flags { read, write }", &["list"]),
        ("link", &["link"]),
    ];
    let mut cases = Vec::new();
    for (ty, taken) in types {
        let refused = kinds().into_iter().filter(|(kind, _)| !taken.contains(kind));
        cases.extend(refused.map(|(_, value)| error(ty, value, "Kind", "value")));
    }
    cases
}

fn strings() -> Vec<Case> {
    let mut cases = vec![same("bool", Ipld::Bool(true)), same("bool", Ipld::Bool(false))];
    for it in ["", "a", "null", "true", "1", "bGlnaHQgdw", CID, "e\u{301}", "\u{0}", "\u{10ffff}", "\u{feff}a"] {
        cases.push(same("string", text(it)));
    }
    for it in ["a", "\u{e9}", "\u{0}", "\u{d7ff}", "\u{e000}", "\u{10ffff}", "\u{1f980}"] {
        cases.push(same("char", text(it)));
    }
    for it in ["", "ab", "e\u{301}", "\u{1f468}\u{200d}\u{1f469}"] {
        cases.push(error("char", text(it), "NotOneChar", "value"));
    }
    cases
}

fn lists() -> Vec<Case> {
    vec![
        same("list<u8>", bytes(&[])),
        same("list<u8>", bytes(&[0, 255])),
        error("list<u8>", list([]), "Kind", "value"),
        error("list<u8>", list([int(1)]), "Kind", "value"),
        error("list<s8>", bytes(&[1]), "Kind", "value"),
        same("list<s8>", list([])),
        same("list<s8>", list([int(-1), int(1)])),
        ok("list<s8>", list([Ipld::Float(1.0), int(1)]), list([int(1), int(1)])),
        error("list<s8>", list([int(1), int(128)]), "OutOfRange", "value[1]"),
        same("list<list<u8>>", list([bytes(&[]), bytes(&[1])])),
        error("list<list<u8>>", list([bytes(&[]), list([])]), "Kind", "value[1]"),
        same("list<list<u16>>", list([list([]), list([int(1)])])),
        error("list<list<u16>>", list([list([]), list([int(1), int(-1)])]), "OutOfRange", "value[1][1]"),
        same("tuple<u8, string>", list([int(1), text("a")])),
        error("tuple<u8, string>", list([int(1)]), "Length", "value"),
        error("tuple<u8, string>", list([int(1), text("a"), Ipld::Null]), "Length", "value"),
        error("tuple<u8, string>", list([text("a"), int(1)]), "Kind", "value[0]"),
        error("tuple<u8, string>", list([int(1), int(1)]), "Kind", "value[1]"),
        same("tuple<u8, u8>", list([int(1), int(2)])),
        error("tuple<u8, u8>", bytes(&[1, 2]), "Kind", "value"),
        error("tuple<u8, option<u8>>", list([int(1)]), "Length", "value"),
    ]
}

fn records() -> Vec<Case> {
    let point = |x, y, label| map([("x", x), ("y", y), ("label", label)]);
    let bare = map([("x", int(1)), ("y", int(2))]);
    let nested = format!("record {{ tags: list<enum {{ red, green }}>, at: {POINT} }}");
    let tags = |tags: Ipld, at: Ipld| map([("tags", tags), ("at", at)]);
    vec![
        same(POINT, point(int(1), int(-2), text("a"))),
        same(POINT, point(int(1), int(-2), Ipld::Null)),
        ok(POINT, bare.clone(), point(int(1), int(2), Ipld::Null)),
        ok(POINT, map([("x", Ipld::Float(1.0)), ("y", int(2))]), point(int(1), int(2), Ipld::Null)),
        error(POINT, map([]), "MissingField", "value"),
        error(POINT, map([("x", int(1))]), "MissingField", "value"),
        error(POINT, map([("x", int(1)), ("y", int(2)), ("z", int(3))]), "UnknownField", "value"),
        error(POINT, map([("x", int(1)), ("y", int(2)), ("X", int(3))]), "UnknownField", "value"),
        error(POINT, map([("x", int(1)), ("y", int(2)), ("lable", text("a"))]), "UnknownField", "value"),
        error(POINT, map([("x", int(1)), ("y", text("2"))]), "Kind", "value.y"),
        error(POINT, map([("x", int(1)), ("y", Ipld::Null)]), "Kind", "value.y"),
        error(POINT, map([("x", int(1)), ("y", Ipld::Float(2.5))]), "Inexact", "value.y"),
        error(POINT, map([("x", int(1 << 31)), ("y", int(2))]), "OutOfRange", "value.x"),
        error(POINT, list([int(1), int(2), Ipld::Null]), "Kind", "value"),
        ok(
            &nested,
            tags(list([text("red")]), bare.clone()),
            tags(list([text("red")]), point(int(1), int(2), Ipld::Null)),
        ),
        error(&nested, tags(list([text("red"), text("blue")]), bare.clone()), "UnknownName", "value.tags[1]"),
        error(&nested, tags(list([]), map([("x", int(1)), ("y", Ipld::Bool(true))])), "Kind", "value.at.y"),
        // Keys of one length, and keys of many, in an order that is not that of DAG-CBOR.
        same("record { zz: u8, a: u8, yy: u8 }", map([("zz", int(1)), ("a", int(2)), ("yy", int(3))])),
        same("record { long-name: u8, b: u8 }", map([("long-name", int(1)), ("b", int(2))])),
    ]
}

fn choices() -> Vec<Case> {
    let (colours, flags, result) = ("enum { red, green }", "flags { write, read, exec }", "result<u8, string>");
    let names = |names: &[&str]| list(names.iter().map(|name| text(name)));
    vec![
        same(colours, text("red")),
        same(colours, text("green")),
        error(colours, text("Red"), "UnknownName", "value"),
        error(colours, text(""), "UnknownName", "value"),
        error(colours, map([("red", Ipld::Null)]), "Kind", "value"),
        error(colours, int(0), "Kind", "value"),
        same(SHAPE, text("dot")),
        same(SHAPE, map([("circle", Ipld::Float(1.5))])),
        ok(SHAPE, map([("circle", int(2))]), map([("circle", Ipld::Float(2.0))])),
        same(SHAPE, map([("both", list([int(1), text("a")]))])),
        error(SHAPE, text("circle"), "MissingPayload", "value"),
        error(SHAPE, map([("dot", Ipld::Null)]), "UnexpectedPayload", "value"),
        error(SHAPE, map([("square", int(1))]), "UnknownName", "value"),
        error(SHAPE, text("square"), "UnknownName", "value"),
        error(SHAPE, map([("circle", text("a"))]), "Kind", "value.circle"),
        error(SHAPE, map([("both", list([int(1), int(1)]))]), "Kind", "value.both[1]"),
        error(SHAPE, map([]), "Kind", "value"),
        error(SHAPE, map([("circle", int(1)), ("dot", Ipld::Null)]), "Kind", "value"),
        same(flags, list([])),
        same(flags, names(&["exec", "read", "write"])),
        same(flags, names(&["read"])),
        error(flags, names(&["write", "read"]), "FlagOrder", "value[1]"),
        error(flags, names(&["read", "read"]), "FlagOrder", "value[1]"),
        error(flags, names(&["delete"]), "UnknownName", "value[0]"),
        error(flags, list([text("read"), int(1)]), "Kind", "value[1]"),
        error(flags, map([("read", Ipld::Bool(true))]), "Kind", "value"),
        same(result, map([("ok", int(1))])),
        same(result, map([("error", text("no"))])),
        error(result, map([("err", text("no"))]), "Kind", "value"),
        error(result, map([("ok", text("no"))]), "Kind", "value.ok"),
        error(result, map([("error", int(1))]), "Kind", "value.error"),
        error(result, map([("ok", int(256))]), "OutOfRange", "value.ok"),
        error(result, map([("ok", int(1)), ("error", text("no"))]), "Kind", "value"),
        error(result, text("ok"), "Kind", "value"),
        same("result", map([("ok", Ipld::Null)])),
        same("result", map([("error", Ipld::Null)])),
        error("result", map([("ok", int(0))]), "Kind", "value.ok"),
        error("result", text("ok"), "Kind", "value"),
        same("result<u8>", map([("error", Ipld::Null)])),
        error("result<u8>", map([("ok", Ipld::Null)]), "Kind", "value.ok"),
        same("result<_, u8>", map([("ok", Ipld::Null)])),
        same("result<option<u8>>", map([("ok", Ipld::Null)])),
    ]
}

fn options() -> Vec<Case> {
    let (one, two, three, four) =
        ("option<u8>", "option<option<u8>>", "option<option<option<u8>>>", "option<option<option<option<u8>>>>");
    vec![
        same(one, Ipld::Null),
        same(one, int(1)),
        error(one, list([]), "Kind", "value"),
        error(one, list([int(1)]), "Kind", "value"),
        error(one, int(256), "OutOfRange", "value"),
        error(one, text("null"), "Kind", "value"),
        same(two, list([])),
        same(two, list([Ipld::Null])),
        same(two, list([int(1)])),
        error(two, Ipld::Null, "Kind", "value"),
        error(two, int(1), "Kind", "value"),
        error(two, list([int(1), int(1)]), "Length", "value"),
        error(two, list([text("a")]), "Kind", "value[0]"),
        same(three, Ipld::Null),
        same(three, list([])),
        same(three, list([Ipld::Null])),
        same(three, list([int(1)])),
        error(three, int(1), "Kind", "value"),
        same(four, list([])),
        same(four, list([Ipld::Null])),
        same(four, list([list([])])),
        same(four, list([list([int(1)])])),
        same("option<list<u8>>", bytes(&[])),
        same("option<list<string>>", list([])),
        same("list<option<u8>>", list([Ipld::Null, int(1)])),
        same("option<tuple<option<u8>>>", list([Ipld::Null])),
        same("record { a: option<option<u8>> }", map([("a", list([]))])),
        ok("record { a: option<option<u8>> }", map([]), map([("a", list([]))])),
        error("record { a: option<option<u8>> }", map([("a", Ipld::Null)]), "Kind", "value.a"),
        same("option<result>", map([("ok", Ipld::Null)])),
    ]
}

fn nodes() -> Vec<Case> {
    let deep = |depth: usize| (0..depth).fold(Ipld::Null, |inner, _| list([inner]));
    let steps = "[0]".repeat(64);
    let mut cases: Vec<Case> = kinds().into_iter().map(|(_, value)| same("node", value)).collect();
    cases.extend([
        same("link", link()),
        error("link", text(CID), "Kind", "value"),
        error("link", map([("ipld-link", bytes(&[1, 0x55, 0, 0]))]), "Kind", "value"),
        same("list<link>", list([link(), link()])),
        error("list<link>", list([link(), Ipld::Null]), "Kind", "value[1]"),
        same("option<link>", Ipld::Null),
        same("node", map([("a", list([link(), bytes(&[1]), int((1 << 64) - 1), int(-(1 << 64))]))])),
        same("node", Ipld::Float(1.0)),
        same("node", deep(64)),
        error("node", deep(65), "TooDeep", &format!("value{steps}")),
        same("option<node>", list([])),
        same("option<node>", list([Ipld::Null])),
        error("option<node>", Ipld::Null, "Kind", "value"),
        same("record { meta: node }", map([("meta", Ipld::Null)])),
        error("record { meta: node }", map([]), "MissingField", "value"),
        same("list<node>", list([Ipld::Null, int(1), text("a")])),
    ]);
    cases
}
