//! WAVE: what people write and read.

#![cfg(feature = "wave")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::typed_values;
use ipld_wit::{Cid, Ipld, Type, WaveError, from_wave, to_ipld, to_value, to_wave};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same_value((ty, value) in typed_values()) {
        let ipld = to_ipld(&value, &ty).unwrap();
        let text = to_wave(&ipld, &ty).unwrap();
        let read = from_wave(&text, &ty);
        prop_assert_eq!(read.as_ref(), Ok(&ipld), "{} as {}", text, ty);
        prop_assert_eq!(to_value(&read.unwrap(), &ty).unwrap(), value);
    }

    #[test]
    fn no_text_panics(text in ".{0,40}", (ty, _) in typed_values()) {
        let _ = from_wave(&text, &ty);
    }

    #[test]
    fn no_text_of_its_own_tokens_panics(
        tokens in prop::collection::vec(prop::sample::select(
            &["{", "}", "(", ")", "[", "]", ":", ",", "some", "none", "ok", "err", "a", "%a", "1", "-1.5", "'x'", "\"s\"", "nan"][..]
        ), 0..12),
        (ty, _) in typed_values(),
    ) {
        let _ = from_wave(&tokens.concat(), &ty);
        let _ = from_wave(&tokens.join(" "), &ty);
    }
}

#[test]
fn the_forms_of_wave_are_read() {
    let text = |it: &str| Ipld::String(it.to_owned());
    let map = |entries: &[(&str, Ipld)]| {
        Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    };
    let list = |items: &[Ipld]| Ipld::List(items.to_vec());
    let one = Ipld::Integer(1);
    let point = || Type::record([("x", Type::S32), ("y", Type::option(Type::S32))]);
    let result = || Type::result(Some(Type::U8), None);
    for (wave, ty, ipld) in [
        ("true", Type::Bool, Ipld::Bool(true)),
        ("-128", Type::S8, Ipld::Integer(-128)),
        ("18446744073709551615", Type::U64, Ipld::Integer(u64::MAX.into())),
        ("0.1", Type::F32, Ipld::Float(f64::from(0.1_f32))),
        ("1e3", Type::F64, Ipld::Float(1000.0)),
        (r"'\u{1F980}'", Type::Char, text("\u{1F980}")),
        (r#""a\n\"b\"""#, Type::String, text("a\n\"b\"")),
        ("\"\"\"\n  two\n  lines\n  \"\"\"", Type::String, text("two\nlines")),
        ("[1, 255]", Type::bytes(), Ipld::Bytes(vec![1, 255])),
        ("[]", Type::bytes(), Ipld::Bytes(vec![])),
        ("[1, 255]", Type::list(Type::U16), list(&[one.clone(), Ipld::Integer(255)])),
        ("(1, \"a\")", Type::tuple([Type::U8, Type::String]), list(&[one.clone(), text("a")])),
        ("{x: 1}", point(), map(&[("x", one.clone())])),
        ("{x: 1, y: some(2)}", point(), map(&[("x", one.clone()), ("y", Ipld::Integer(2))])),
        ("{x: 1, y: 2}", point(), map(&[("x", one.clone()), ("y", Ipld::Integer(2))])),
        ("none", Type::option(Type::U8), Ipld::Null),
        ("some(none)", Type::option(Type::option(Type::U8)), list(&[Ipld::Null])),
        ("ok(1)", result(), map(&[("ok", one.clone())])),
        ("1", result(), map(&[("ok", one.clone())])),
        ("err", result(), map(&[("error", Ipld::Null)])),
        ("red", Type::enumeration(["red"]), text("red")),
        ("%none", Type::enumeration(["none"]), text("none")),
        ("dot", Type::variant([("dot", None), ("circle", Some(Type::U8))]), text("dot")),
        ("circle(1)", Type::variant([("dot", None), ("circle", Some(Type::U8))]), map(&[("circle", one.clone())])),
        ("{write, read}", Type::flags(["read", "write"]), list(&[text("read"), text("write")])),
        ("{}", Type::flags(["read"]), list(&[])),
        (
            r#"[1, 1.0, "a", none, {a: true, "b c": {:}}]"#,
            Type::Node,
            list(&[
                one.clone(),
                Ipld::Float(1.0),
                text("a"),
                Ipld::Null,
                map(&[("a", Ipld::Bool(true)), ("b c", map(&[]))]),
            ]),
        ),
        (r#"bytes("AQI")"#, Type::Node, Ipld::Bytes(vec![1, 2])),
    ] {
        assert_eq!(from_wave(wave, &ty).as_ref(), Ok(&ipld), "{wave} as {ty}");
    }
    let cid = "bafkreie7q3iidccmpvszul7kudcvvuavuo7u6gzlbobczuk5nqk3b4akba";
    let link = Ipld::Link(Cid::try_from(cid).unwrap());
    assert_eq!(from_wave(&format!("\"{cid}\""), &Type::Link).unwrap(), link);
    assert_eq!(from_wave(&format!("[link(\"{cid}\")]"), &Type::Node).unwrap(), list(&[link]));
}

#[test]
fn what_does_not_fit_is_said_with_its_place() {
    let point = Type::record([("x", Type::S32), ("label", Type::String)]);
    for (wave, ty, message) in [
        ("", Type::U8, "at byte 0: unexpected end of input"),
        ("[1, 2", Type::bytes(), "at byte 5: unexpected end of input"),
        ("1 2", Type::U8, "at byte 2: trailing characters after value"),
        ("\"1\"", Type::U8, "at byte 0: expected u8, found a string"),
        ("1.5", Type::U8, "at byte 0: expected u8, found 1.5"),
        ("[1, true]", Type::bytes(), "at byte 4: expected u8, found a boolean"),
        ("{x: 1, x: 2}", point.clone(), "at byte 7: duplicate field: \"x\""),
        ("{x: 'a', label: \"b\"}", point, "at byte 4: expected s32, found a character"),
        ("(1)", Type::tuple([Type::U8, Type::U8]), "at byte 0: expected tuple<u8, u8>, found a tuple of 1"),
        ("ok", Type::result(Some(Type::U8), None), "at byte 0: expected result<u8>, found an arm without its payload"),
        ("\"x\"", Type::Link, "at byte 0: expected link, found \"x\", which is no CID"),
        ("{a: 1, \"a\": 2}", Type::Node, "at byte 7: expected node, found a key for the second time"),
    ] {
        let error = from_wave(wave, &ty).unwrap_err();
        assert_eq!(error.to_string(), message, "{wave}");
    }
    // Ranges, fields and cases are checked where values are made.
    let loose = from_wave("300", &Type::U8).unwrap();
    assert!(to_value(&loose, &Type::U8).is_err());
    let nested = "[".repeat(10_000);
    assert!(matches!(from_wave(&nested, &Type::Node), Err(WaveError::Syntax { .. })));
    for not_finite in ["nan", "inf", "-inf"] {
        let ipld = from_wave(not_finite, &Type::F64).unwrap();
        assert!(to_value(&ipld, &Type::F64).is_err(), "{not_finite}");
    }
}
