use super::{JsonErrorKind as Kind, *};
use crate::{Ipld, Place, block};

fn read(json: &str) -> Ipld {
    decode(json.as_bytes()).unwrap()
}

fn refused(json: &str) -> (Kind, usize, usize) {
    let error = decode(json.as_bytes()).unwrap_err();
    (error.kind, error.position.line, error.position.column)
}

#[test]
fn integers_and_floats_stay_apart() {
    let cases = [
        ("0", Ipld::Integer(0)),
        ("-0", Ipld::Integer(0)),
        ("-1", Ipld::Integer(-1)),
        ("18446744073709551615", Ipld::Integer(18_446_744_073_709_551_615)),
        ("-18446744073709551616", Ipld::Integer(-18_446_744_073_709_551_616)),
        ("170141183460469231731687303715884105727", Ipld::Integer(i128::MAX)),
        ("1.0", Ipld::Float(1.0)),
        ("1e3", Ipld::Float(1000.0)),
        ("1E+3", Ipld::Float(1000.0)),
        ("-2.5e-1", Ipld::Float(-0.25)),
        ("0.1", Ipld::Float(0.1)),
    ];
    for (json, value) in cases {
        assert_eq!(read(json), value, "{json}");
        assert_eq!(read(&encode(&value)), value, "{json}");
    }
    assert_eq!(encode(&Ipld::Float(1.0)), "1.0");
    assert_eq!(encode(&Ipld::Float(1e300)), "1e300");
    for bad in ["01", "+1", ".5", "1.", "1e", "-", "1e+", "0x1", "NaN", "Infinity", "--1"] {
        assert!(decode(bad.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(refused("1e999"), (Kind::Number, 1, 1));
    assert_eq!(refused("[170141183460469231731687303715884105728]"), (Kind::Number, 1, 2));
}

#[test]
fn strings() {
    assert_eq!(
        read(r#""\" \\ \/ \b \f \n \r \t \u00e9 \ud83d\ude00 é""#),
        Ipld::String("\" \\ / \u{8} \u{c} \n \r \t é 😀 é".into())
    );
    for bad in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ud83d\u0041""#,
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\u12"#,
    ] {
        assert_eq!(refused(bad), (Kind::Escape, 1, 2), "{bad}");
    }
    assert_eq!(refused("\"\n\""), (Kind::Control, 1, 2));
    assert_eq!(refused("\"ab"), (Kind::Expected("the end of the string"), 1, 4));
    assert_eq!(decode(b"\"a\xff\"").unwrap_err().kind, Kind::Utf8);
    let all: String = (0..0x80).map(char::from).collect();
    assert_eq!(read(&encode(&Ipld::String(all.clone()))), Ipld::String(all));
}

#[test]
fn the_reserved_key() {
    let cid = block::raw_cid(b"x");
    assert_eq!(read(&format!("{{\"/\": \"{cid}\"}}")), Ipld::Link(cid));
    assert_eq!(read(r#"{"/": {"bytes": ""}}"#), Ipld::Bytes(vec![]));
    assert_eq!(read(r#"{"/": {"bytes": "AQI"}}"#), Ipld::Bytes(vec![1, 2]));
    // What is neither, and cannot be taken for either, is a map.
    for data in [
        r#"{"/":1}"#,
        r#"{"/":{"x":"y"}}"#,
        r#"{"/":{"bytes":1}}"#,
        r#"{"/":null,"a":1}"#,
        r#"{"bytes":"AQI"}"#,
        r#"{"/":[]}"#,
    ] {
        assert!(matches!(read(data), Ipld::Map(_)), "{data}");
        assert_eq!(encode(&read(data)), data);
    }
    for bad in [
        r#"{"/": "no cid"}"#.to_owned(),
        r#"{"/": ""}"#.to_owned(),
        format!("{{\"/\": \"{cid}\", \"a\": 1}}"),
        format!("{{\"a\": 1, \"/\": \"{cid}\"}}"),
        format!("{{\"/\": \"/ipfs/{cid}\"}}"),
        format!("{{\"/\": \"{cid}a\"}}"),
        r#"{"/": {"bytes": "AQI="}}"#.to_owned(),
        r#"{"/": {"bytes": "AQJ"}}"#.to_owned(),
        r#"{"/": {"bytes": "A_-I"}}"#.to_owned(),
        r#"{"/": {"bytes": "AQI", "a": 1}}"#.to_owned(),
        r#"{"/": {"bytes": "AQI"}, "a": 1}"#.to_owned(),
    ] {
        assert_eq!(refused(&bad), (Kind::Reserved, 1, 1), "{bad}");
    }
    for text in ["QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz"]
    {
        assert!(matches!(read(&format!("{{\"/\": \"{text}\"}}")), Ipld::Link(_)), "{text}");
    }
}

#[test]
fn errors_have_a_place() {
    assert_eq!(refused(""), (Kind::Expected("a value"), 1, 1));
    assert_eq!(refused("[1,\n 2,\n x]"), (Kind::Expected("a value"), 3, 2));
    assert_eq!(refused("{\"é\": 1 \"b\": 2}"), (Kind::Expected("`,` or `}`"), 1, 9));
    assert_eq!(refused("{\"a\" 1}"), (Kind::Expected("`:`"), 1, 6));
    assert_eq!(refused("{a: 1}"), (Kind::Expected("`\"`"), 1, 2));
    assert_eq!(refused("[1, 2"), (Kind::Expected("`,` or `]`"), 1, 6));
    assert_eq!(refused("[1,]"), (Kind::Expected("a value"), 1, 4));
    assert_eq!(refused("nul"), (Kind::Expected("a value"), 1, 1));
    assert_eq!(refused("1 2"), (Kind::Trailing, 1, 3));
    assert_eq!(refused("{\"a\": 1,\n  \"\\u0061\": 2}"), (Kind::DuplicateKey("a".into()), 2, 3));
    assert_eq!(refused(&"[".repeat(200_000)), (Kind::TooDeep(128), 1, 129));
}

#[test]
fn pretty() {
    let value = read(r#"{"b": [1, {"/": {"bytes": "AQI"}}], "a": {}, "c": []}"#);
    let text = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\"/\":{\"bytes\":\"AQI\"}}\n  ],\n  \"c\": []\n}";
    assert_eq!(encode_pretty(&value), text);
    assert_eq!(read(text), value);
}

#[test]
fn parts_are_found_where_they_stand() {
    let text = "{ \"a\": {\n  \"é\": [ [1, {\"x.y\": null}],\n\t{\"/\": {\"bytes\": \"AQI\"}} ] }, \"b\" : 2 }";
    let found = |place: &Place| locate(text.as_bytes(), place).map(|at| (at.line, at.column));
    let root = Place::root();
    let list = root.key("a").key("é");
    assert_eq!(found(&root), Some((1, 1)));
    assert_eq!(found(&root.clone().at_key()), Some((1, 1)));
    assert_eq!(found(&list), Some((2, 8)));
    assert_eq!(found(&list.clone().at_key()), Some((2, 3)));
    assert_eq!(found(&list.index(0).index(0)), Some((2, 11)));
    assert_eq!(found(&list.index(0).index(1).key("x.y")), Some((2, 22)));
    assert_eq!(found(&list.index(1)), Some((3, 2)));
    assert_eq!(found(&root.key("b")), Some((3, 37)));
    assert_eq!(found(&root.key("b").at_key()), Some((3, 31)));
    for missing in [root.key("c"), root.index(0), list.index(2), list.key("0"), root.key("b").key("c")] {
        assert_eq!(found(&missing), None, "{missing}");
    }
    // Also where the text is none: up to what is wrong.
    assert_eq!(locate(b"{\"a\": 1, \"b\": [", &root.key("b")).unwrap().column, 15);
    assert_eq!(locate(b"{\"a\": }", &root.key("b")), None);
    assert_eq!(list.index(1).to_string(), "a.é[1]");
}
