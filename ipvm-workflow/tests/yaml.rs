//! Documents in YAML: what is taken, what is refused and where, and that a document has one CID however it is written.
#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../fuzz/laws/yaml.rs"]
mod law;

use std::collections::BTreeMap;
use std::path::Path;

use ipvm_workflow::yaml::{self, YamlErrorKind as Kind};
use ipvm_workflow::{Bindings, Document};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ucan_core::{Did, Ipld, Issuer, Place, block, dagjson};
use varsig::ed25519::SigningKey;

fn read(text: &str) -> Ipld {
    yaml::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

/// What is wrong, and at which line and column.
fn refused(text: &str) -> (Kind, usize, usize) {
    let error = yaml::decode(text.as_bytes()).expect_err(text);
    (error.kind().clone(), error.position().line, error.position().column)
}

#[test]
fn it_says_what_dag_json_says() {
    let cid = block::raw_cid(b"x");
    for (yaml, json) in [
        ("a: 1\nb: [x, 'y', \"z\", 1.0, null, ~, true]\n", r#"{"a": 1, "b": ["x", "y", "z", 1.0, null, null, true]}"#),
        ("# all of it\n---\n- a\n-\n  - b\n- - c\n...\n", r#"["a", ["b"], ["c"]]"#),
        ("text: |\n  two\n  lines\nfolded: >-\n  one\n  line\n", r#"{"text": "two\nlines\n", "folded": "one line"}"#),
        ("\"/\": {bytes: AQI}\n", r#"{"/": {"bytes": "AQI"}}"#),
        ("mod: {/: CID}\n", r#"{"mod": {"/": "CID"}}"#),
        ("yes: no\non: off\n", r#"{"yes": "no", "on": "off"}"#),
        ("n: 18446744073709551616\n'1': -0x1\n", r#"{"n": 18446744073709551616, "1": "-0x1"}"#),
        ("a: !!str 1\nb: !!float 1\nc: !!seq [!!map {}]\n", r#"{"a": "1", "b": 1.0, "c": [{}]}"#),
        ("? a\n: 1\n? 'b'\n", r#"{"a": 1, "b": null}"#),
        ("\u{feff}a: \"\\u00e9\\x41\\e\"\n", "{\"a\": \"éA\\u001b\"}"),
        ("<<: {a: 1}\n", r#"{"<<": {"a": 1}}"#),
        ("a: 1\r\nb: 2\r\n", r#"{"a": 1, "b": 2}"#),
        ("{\"a\": {\"b\": [1, 2.5e3,\n \"\\n\"]}}", r#"{"a": {"b": [1, 2500.0, "\n"]}}"#),
        ("%YAML 1.2\n---\n1\n", "1"),
    ] {
        let cid = cid.to_string();
        assert_eq!(read(&yaml.replace("CID", &cid)), self::json(&json.replace("CID", &cid)), "{yaml}");
    }
}

#[test]
fn what_is_refused_is_refused_where_it_stands() {
    for (text, expected) in [
        ("", (Kind::Empty, 1, 1)),
        ("# nothing\n", (Kind::Empty, 2, 1)),
        ("a: 1\nb: 2\na: 3\n", (Kind::DuplicateKey("a".to_owned()), 3, 1)),
        ("{x: {a: 1, 'a': 2}}", (Kind::DuplicateKey("a".to_owned()), 1, 12)),
        ("a: &x 1\nb: *x\n", (Kind::Anchor, 1, 4)),
        ("a: &x [1]\n", (Kind::Anchor, 1, 4)),
        ("? &x a\n: 1\n", (Kind::Anchor, 1, 3)),
        ("a: 1\n---\nb: 2\n", (Kind::Second, 2, 1)),
        ("1: a\n", (Kind::Key, 1, 1)),
        ("a:\n  true: b\n", (Kind::Key, 2, 3)),
        ("~: a\n", (Kind::Key, 1, 1)),
        ("? [a]\n: b\n", (Kind::Key, 1, 3)),
        ("a: [.inf]\n", (Kind::NotFinite, 1, 5)),
        ("a: -.INF\n", (Kind::NotFinite, 1, 4)),
        ("a: .nan\n", (Kind::NotFinite, 1, 4)),
        ("a: 1e999\n", (Kind::Number, 1, 4)),
        ("a: {b: 170141183460469231731687303715884105728}\n", (Kind::Number, 1, 8)),
        ("a: !!binary AQI=\n", (Kind::Tag("!!binary".to_owned()), 1, 4)),
        ("a: !!set {}\n", (Kind::Tag("!!set".to_owned()), 1, 4)),
        ("a: !!str []\n", (Kind::Tag("!!str".to_owned()), 1, 4)),
        ("a: !!int x\n", (Kind::Mistagged("!!int".to_owned()), 1, 4)),
        ("a: {/: b}\n", (Kind::Reserved, 1, 4)),
        ("a:\n  /: {bytes: 'A=='}\n", (Kind::Reserved, 2, 3)),
    ] {
        assert_eq!(refused(text), expected, "{text:?}");
    }
    for (text, line) in [
        ("a: [1, 2\nb: 3\n", 2),
        ("a:\n\t- b\n", 2),
        ("a: 'x\n", 1),
        ("a: b: c\n", 1),
        ("a: @x\n", 1),
        ("a: *nowhere\n", 1),
        ("  a: 1\n b: 2\n", 2),
    ] {
        let (kind, at, _) = refused(text);
        assert!(matches!(kind, Kind::Syntax(_)) && at == line, "{text:?}: {kind} at line {at}");
    }
    let error = yaml::decode(b"a: 1\nb: \xff\n").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (&Kind::Utf8, "text that is not UTF-8 at line 2, column 4"));
    assert_eq!(refused("a: !local x\n").0, Kind::Tag("!local".to_owned()));
}

#[test]
fn depth_size_and_number_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let in_blocks = |depth: usize| format!("{}1", "- ".repeat(depth));
    assert!(yaml::decode(nested(128).as_bytes()).is_ok() && yaml::decode(in_blocks(128).as_bytes()).is_ok());
    assert_eq!(refused(&nested(129)).0, Kind::TooDeep(128));
    assert_eq!(refused(&in_blocks(129)).0, Kind::TooDeep(128));
    for endless in ["[".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000), "{a: ".repeat(50_000)] {
        assert!(yaml::decode(endless.as_bytes()).is_err());
    }
    let many = |values: usize| format!("[{}]", "1,".repeat(values - 1));
    assert!(yaml::decode(many(1 << 20).as_bytes()).is_ok());
    assert_eq!(refused(&many((1 << 20) + 1)).0, Kind::TooMany(1 << 20));
    assert_eq!(refused(&" ".repeat((16 << 20) + 1)).0, Kind::TooLong(16 << 20));
    // Aliases, by which a short text could become a long value.
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    assert_eq!(refused(bomb), (Kind::Anchor, 1, 4));
}

#[test]
fn parts_are_found_where_they_stand() {
    let text = "# é\ntasks:\n  a.b: {cmd: /x, args: {}}\n  \"c\":\n    - é\n    -   - 1\n        - {d: [x, y]}\n";
    let found = |place: &Place| yaml::locate(text.as_bytes(), place).map(|at| (at.line, at.column));
    let tasks = Place::root().key("tasks");
    let list = tasks.key("c");
    for (place, at) in [
        (Place::root(), (2, 1)),
        (tasks.clone(), (3, 3)),
        (tasks.clone().at_key(), (2, 1)),
        (tasks.key("a.b").at_key(), (3, 3)),
        (tasks.key("a.b").key("args").at_key(), (3, 18)),
        (tasks.key("a.b").key("args"), (3, 24)),
        (list.clone().at_key(), (4, 3)),
        (list.index(0), (5, 7)),
        (list.index(0).at_key(), (5, 7)),
        (list.index(1).index(0), (6, 11)),
        (list.index(1).index(1).key("d").index(1), (7, 19)),
    ] {
        assert_eq!(found(&place), Some(at), "{place}");
    }
    for missing in [tasks.key("a"), tasks.index(0), list.index(2), list.key("0"), list.index(0).key("x")] {
        assert_eq!(found(&missing), None, "{missing}");
    }
    assert_eq!(yaml::locate(b"", &Place::root()), None);
}

#[test]
fn what_is_written_is_for_people() {
    let value = json(
        r#"{"v": "1.0.0", "tasks": {"join": {"cmd": "/wasm/run", "args": {"fun": "join", "params":
            [{"await/ok": "first"}, "a longer text, with a comma in it", 12, 1.5, "yes", "null", "", " x"], "of": {}}}}}"#,
    );
    let text = yaml::encode(&value);
    assert_eq!(
        text,
        "tasks:\n  join:\n    args:\n      fun: join\n      of: {}\n      params:\n        - {await/ok: first}\n        \
         - \"a longer text, with a comma in it\"\n        - 12\n        - 1.5\n        - yes\n        - \"null\"\n        \
         - \"\"\n        - \" x\"\n    cmd: /wasm/run\nv: \"1.0.0\"\n"
    );
    assert_eq!(read(&text), value);
}

#[test]
fn json_files_are_yaml_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows/words.json");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&text), json(&text));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,8}",
        2 => any::<String>(),
        1 => "[-?:,\\[\\]{}#&*!|>'\"%@`~=<. 0-9a-z\\n\\t]{0,12}",
        1 => Just("null".to_owned()),
        1 => Just("---".to_owned()),
        1 => "[a-zé ]{90,140}",
        1 => "\\PC{1020,1030}",
        1 => (0_u32..0x3100).prop_filter_map("a character", |code| char::from_u32(code).map(String::from)),
    ]
}

/// Any value that DAG-CBOR has, and that is none of the maps that are reserved.
fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|n| Ipld::Integer(n.into())),
        any::<u64>().prop_map(|n| Ipld::Integer(n.into())),
        (proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL).prop_map(Ipld::Float),
        text().prop_map(Ipld::String),
        vec(any::<u8>(), 0..20).prop_map(Ipld::Bytes),
        any::<[u8; 2]>().prop_map(|bytes| Ipld::Link(block::raw_cid(&bytes))),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = text().prop_filter("it is reserved", |key| key != "/");
        prop_oneof![vec(inner.clone(), 0..5).prop_map(Ipld::List), btree_map(key, inner, 0..5).prop_map(Ipld::Map),]
    })
}

fn map(entries: impl IntoIterator<Item = (&'static str, Ipld)>) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Documents: labels, arguments and metadata of any kind.
fn document() -> impl Strategy<Value = Ipld> {
    let label = text().prop_filter("it has 1 to 256 bytes", |label| (1..=256).contains(&label.len()));
    let task = btree_map(text(), value(), 0..4).prop_map(|mut args| {
        // One that stands for all arguments is refused.
        args.insert("and".to_owned(), Ipld::Null);
        map([("cmd", Ipld::String("/test/it".to_owned())), ("args", Ipld::Map(args))])
    });
    (btree_map(label, task, 1..4), value()).prop_map(|(tasks, about)| {
        map([("v", Ipld::String("1.0.0".to_owned())), ("meta", map([("about", about)])), ("tasks", Ipld::Map(tasks))])
    })
}

fn cid(document: &Ipld) -> String {
    let someone: Did = Issuer::ed25519(SigningKey::from_seed(&[1; 32])).did().clone();
    let mut bindings = Bindings::new(someone.clone(), someone);
    let document = Document::parse(document).unwrap();
    let inputs: BTreeMap<String, Ipld> =
        document.inputs().into_iter().map(|input| (input.to_owned(), Ipld::Null)).collect();
    bindings.inputs = inputs;
    document.bind(&bindings).unwrap().cid().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_document_has_one_cid_however_it_is_written(document in document()) {
        let id = cid(&document);
        for spelling in [dagjson::encode(&document), dagjson::encode_pretty(&document)] {
            prop_assert_eq!(cid(&json(&spelling)), id.as_str());
        }
        let text = yaml::encode(&document);
        prop_assert_eq!(cid(&read(&text)), id, "{}", text);
    }

    #[test]
    fn the_law_holds_for_any_text(text in any::<String>()) {
        law::yaml(text.as_bytes());
    }

    #[test]
    fn the_law_holds_for_what_looks_like_yaml(text in "([ ]{0,4}(- |\\? |[ab]: |'a': |\\[|\\{|\\]|\\}|, |1|x|\\||>|\"|~|&a|\\*a|!!str |---|#|\\n|\\r\\n|\\t)){0,16}") {
        law::yaml(text.as_bytes());
    }

    #[test]
    fn the_law_holds_for_changed_documents(document in document(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut text = yaml::encode(&document).into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        law::yaml(&text);
    }
}
