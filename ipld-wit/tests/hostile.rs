//! What strangers send: refused with a typed error, before anything is made of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipld_wit::{
    ArgumentBytesError, ArgumentError, DecodeError, DecodeErrorKind, FromBytesError, Ipld, Limits, Mismatch, Signature,
    Type, check, from_dag_cbor, to_value,
};
use ucan_core::dagjson;

fn decode_error(bytes: &[u8], ty: &Type, limits: &Limits) -> DecodeError {
    match from_dag_cbor(bytes, ty, limits) {
        Err(FromBytesError::Decode(error)) => error,
        other => panic!("{other:?}"),
    }
}

const DEEP: usize = 10_000_000;

#[test]
fn a_value_of_ten_million_levels() {
    let mut bytes = vec![0x81; DEEP];
    bytes.push(0);
    for ty in [Type::Node, Type::U8, Type::list(Type::Node), Type::option(Type::option(Type::U8))] {
        let error = decode_error(&bytes, &ty, &Limits::default());
        assert_eq!(error, DecodeError { offset: 128, kind: DecodeErrorKind::TooDeep(128) });
    }
    let tree = (0..DEEP).fold(Ipld::Null, |inner, _| Ipld::List(vec![inner]));
    assert_eq!(to_value(&tree, &Type::Node).unwrap_err().mismatch, Mismatch::TooDeep { limit: 64 });
    for ty in [Type::U8, Type::list(Type::list(Type::U8)), Type::option(Type::option(Type::U8))] {
        assert!(check(&tree, &ty).is_err());
    }
    // Dropping it would go as deep.
    std::mem::forget(tree);
}

#[test]
fn what_is_not_canonical() {
    let limits = Limits::default();
    let record = Type::record([("a", Type::U8)]);
    let kind = |bytes: &[u8], ty: &Type| decode_error(bytes, ty, &limits).kind;
    assert_eq!(kind(b"\xa2\x61a\x01\x61a\x02", &record), DecodeErrorKind::DuplicateKey);
    assert_eq!(kind(b"\xa2\x61b\x01\x61a\x02", &record), DecodeErrorKind::KeyOrder);
    assert_eq!(kind(b"\xa1\x62\xed\xa0\x01", &record), DecodeErrorKind::Utf8);
    assert_eq!(kind(b"\xa1\x41a\x01", &record), DecodeErrorKind::Key);
    assert_eq!(kind(b"\x63\xed\xa0\x80", &Type::String), DecodeErrorKind::Utf8);
    assert_eq!(kind(b"\xfb\x7f\xf8\0\0\0\0\0\0", &Type::F64), DecodeErrorKind::NotFinite);
    assert_eq!(kind(b"\xfa\x3f\x80\0\0", &Type::F32), DecodeErrorKind::SmallFloat);
    assert_eq!(kind(b"\x18\x01", &Type::U8), DecodeErrorKind::LongForm);
    // An error in the encoding comes before one in the value, wherever it stands.
    assert_eq!(kind(b"\x82\x61a\x18\x01", &Type::list(Type::U16)), DecodeErrorKind::LongForm);
    // A lone surrogate cannot be written as a string, and DAG-JSON that escapes one is refused.
    assert!(dagjson::decode(br#"["\ud800"]"#).is_err());
}

#[test]
fn lengths_are_not_taken_on_trust() {
    let limits = Limits::default();
    let strings = Type::list(Type::String);
    for bytes in [&b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x9a\xff\xff\xff\xff\x60", b"\x7b\x01\0\0\0\0\0\0\0a"]
    {
        assert_eq!(decode_error(bytes, &strings, &limits).kind, DecodeErrorKind::Truncated);
    }
    let mut few = Limits::default();
    few.items = 3;
    assert!(from_dag_cbor(b"\x82\x60\x60", &strings, &few).is_ok());
    assert_eq!(decode_error(b"\x83\x60\x60\x60", &strings, &few).kind, DecodeErrorKind::TooManyItems(3));
    let mut short = Limits::default();
    short.bytes = 3;
    assert_eq!(decode_error(b"\x83\x60\x60\x60", &strings, &short).kind, DecodeErrorKind::TooManyBytes(3));
    let mut flat = Limits::default();
    flat.depth = 0;
    assert_eq!(decode_error(b"\x80", &strings, &flat).kind, DecodeErrorKind::TooDeep(0));
}

#[test]
fn arguments_as_bytes() {
    let params = vec![("text".to_owned(), Type::String), ("limit".to_owned(), Type::option(Type::U8))];
    let signature = Signature { params, result: None };
    let check = |bytes: &[u8]| signature.check_dag_cbor(bytes, &Limits::default());
    assert_eq!(check(b"\x82\x61a\xf6"), Ok(()));
    assert_eq!(check(b"\xa1\x64text\x61a"), Ok(()));
    assert_eq!(check(b"\xa2\x64text\x61a\x65limit\x07"), Ok(()));
    let argument = |bytes: &[u8]| match check(bytes) {
        Err(ArgumentBytesError::Arguments(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(argument(b"\x81\x61a"), ArgumentError::Count { expected: 2, found: 1, .. }));
    assert!(matches!(argument(b"\x83\x61a\xf6\xf6"), ArgumentError::Count { expected: 2, found: 3, .. }));
    assert!(matches!(argument(b"\xa1\x65limit\x07"), ArgumentError::Missing { name, .. } if name == "text"));
    assert!(
        matches!(argument(b"\xa2\x64text\x61a\x65limut\x07"), ArgumentError::Unknown { name, .. } if name == "limut")
    );
    assert!(matches!(argument(b"\x61a"), ArgumentError::NotArguments { .. }));
    assert_eq!(
        argument(b"\x82\x61a\x19\x01\x00").to_string(),
        "params[1]: expected u8, found 256, which is out of range"
    );
    assert_eq!(signature.values_from_dag_cbor(b"\xa1\x64text\x61a", &Limits::default()).unwrap().len(), 2);
}
