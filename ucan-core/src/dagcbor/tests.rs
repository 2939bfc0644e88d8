use data_encoding::HEXLOWER;

use super::{DecodeErrorKind as Kind, *};
use crate::{Cid, block};

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn refused(text: &str) -> (usize, Kind) {
    let error = decode(&hex(text)).unwrap_err();
    (error.offset, error.kind)
}

/// Appendix A of RFC 8949, as far as DAG-CBOR has it.
#[test]
fn rfc_8949() {
    let text = |text: &str| Ipld::String(text.to_owned());
    let int = Ipld::Integer;
    let list = Ipld::List;
    let map = |entries: &[(&str, Ipld)]| {
        Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    };
    let cases = [
        ("00", int(0)),
        ("17", int(23)),
        ("1818", int(24)),
        ("1903e8", int(1000)),
        ("1a000f4240", int(1_000_000)),
        ("1b000000e8d4a51000", int(1_000_000_000_000)),
        ("1bffffffffffffffff", int(18_446_744_073_709_551_615)),
        ("3bffffffffffffffff", int(-18_446_744_073_709_551_616)),
        ("20", int(-1)),
        ("3863", int(-100)),
        ("3903e7", int(-1000)),
        ("fb3ff199999999999a", Ipld::Float(1.1)),
        ("fb7e37e43c8800759c", Ipld::Float(1.0e300)),
        ("fbc010666666666666", Ipld::Float(-4.1)),
        ("f4", Ipld::Bool(false)),
        ("f5", Ipld::Bool(true)),
        ("f6", Ipld::Null),
        ("40", Ipld::Bytes(vec![])),
        ("4401020304", Ipld::Bytes(vec![1, 2, 3, 4])),
        ("60", text("")),
        ("6449455446", text("IETF")),
        ("62225c", text("\"\\")),
        ("62c3bc", text("\u{fc}")),
        ("64f0908591", text("\u{10151}")),
        ("80", list(vec![])),
        ("8301820203820405", list(vec![int(1), list(vec![int(2), int(3)]), list(vec![int(4), int(5)])])),
        ("a0", map(&[])),
        ("a26161016162820203", map(&[("a", int(1)), ("b", list(vec![int(2), int(3)]))])),
        ("826161a161626163", list(vec![text("a"), map(&[("b", text("c"))])])),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode(&hex(bytes)), Ok(value.clone()), "{bytes}");
        assert_eq!(encode(&value).map(|bytes| HEXLOWER.encode(&bytes)).as_deref(), Ok(bytes));
    }
}

#[test]
fn the_negative_zero_keeps_its_sign() {
    let bytes = hex("fb8000000000000000");
    assert_eq!(encode(&decode(&bytes).unwrap()), Ok(bytes));
}

#[test]
fn what_is_not_canonical_is_refused_where_it_stands() {
    let cases = [
        ("1817", 0, Kind::LongForm),
        ("82001800", 2, Kind::LongForm),
        ("1900ff", 0, Kind::LongForm),
        ("1a0000ffff", 0, Kind::LongForm),
        ("1b00000000ffffffff", 0, Kind::LongForm),
        ("3817", 0, Kind::LongForm),
        ("580100", 0, Kind::LongForm),
        ("780161", 0, Kind::LongForm),
        ("980100", 0, Kind::LongForm),
        ("b801616100", 0, Kind::LongForm),
        ("d9002a4100", 0, Kind::LongForm),
        ("5f4100ff", 0, Kind::Indefinite),
        ("7f6161ff", 0, Kind::Indefinite),
        ("9f00ff", 0, Kind::Indefinite),
        ("bf616100ff", 0, Kind::Indefinite),
        ("ff", 0, Kind::Reserved),
        ("1c", 0, Kind::Reserved),
        ("3f", 0, Kind::Reserved),
        ("df", 0, Kind::Reserved),
        ("f93c00", 0, Kind::SmallFloat),
        ("fa3f800000", 0, Kind::SmallFloat),
        ("fb7ff8000000000000", 0, Kind::NotFinite),
        ("fb7ff0000000000000", 0, Kind::NotFinite),
        ("fbfff0000000000000", 0, Kind::NotFinite),
        ("f7", 0, Kind::Simple),
        ("e0", 0, Kind::Simple),
        ("f820", 0, Kind::Simple),
        ("c000", 0, Kind::Tag(0)),
        ("c24100", 0, Kind::Tag(2)),
        ("d9d9f700", 0, Kind::Tag(55799)),
        ("a2616200616100", 4, Kind::KeyOrder),
        ("a262616100616200", 5, Kind::KeyOrder),
        ("a2616100616100", 4, Kind::DuplicateKey("a".to_owned())),
        ("a10000", 1, Kind::Expected("a text string as a map key")),
        ("a1416100", 1, Kind::Expected("a text string as a map key")),
        ("61ff", 0, Kind::Utf8),
        ("63eda080", 0, Kind::Utf8),
        ("0000", 1, Kind::Trailing),
        ("", 0, Kind::Truncated),
        ("18", 0, Kind::Truncated),
        ("4201", 0, Kind::Truncated),
        ("8200", 0, Kind::Truncated),
        ("83000000000000", 4, Kind::Trailing),
        ("5bffffffffffffffff", 0, Kind::Truncated),
        ("9bffffffffffffffff", 0, Kind::Truncated),
        ("bbffffffffffffffff", 0, Kind::Truncated),
    ];
    for (bytes, offset, kind) in cases {
        assert_eq!(refused(bytes), (offset, kind), "{bytes}");
    }
}

#[test]
fn a_link_is_exactly_one_cid() {
    let cid = block::raw_cid(b"x");
    let encode_link = |content: &[u8]| {
        let mut bytes = vec![0xd8, 0x2a, 0x58, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    };
    let mut content = vec![0];
    content.extend(cid.to_bytes());
    assert_eq!(decode(&encode_link(&content)), Ok(Ipld::Link(cid)));
    assert_eq!(encode(&Ipld::Link(cid)), Ok(encode_link(&content)));

    let link = |content: &[u8]| decode(&encode_link(content)).map_err(|error| error.kind);
    assert_eq!(link(&[content.clone(), vec![0]].concat()), Err(Kind::Link), "a byte after the CID");
    assert_eq!(link(&content[1..]), Err(Kind::Link), "no zero before the CID");
    assert_eq!(link(&content[..content.len() - 1]), Err(Kind::Link), "a short digest");
    assert_eq!(link(&[&[0, 0x81, 0x00], &content[2..]].concat()), Err(Kind::Link), "a long varint");
    assert_eq!(decode(&hex("d82a4100")).unwrap_err().kind, Kind::Link);
    assert_eq!(decode(&hex("d82a40")).unwrap_err().kind, Kind::Link);
    assert_eq!(refused("d82a6100"), (2, Kind::Expected("a byte string under tag 42")));

    // Version 0 has its own form, and it is kept.
    let old = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse::<Cid>().unwrap();
    let bytes = encode(&Ipld::Link(old)).unwrap();
    assert_eq!(decode(&bytes), Ok(Ipld::Link(old)));
}

#[test]
fn limits_hold_before_memory_is_spent() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    assert!(decode(&nested(128)).is_ok());
    assert_eq!(decode(&nested(129)).unwrap_err().kind, Kind::TooDeep(128));
    let many = decode(&vec![0x81; 1 << 20]).unwrap_err();
    assert_eq!(many.name(), "LimitExceeded");

    let limits = |bytes, items| Limits { bytes, items, ..Limits::default() };
    let list = hex("83010203");
    assert!(decode_with(&list, &limits(4, 4)).is_ok());
    assert_eq!(decode_with(&list, &limits(3, 4)).unwrap_err().kind, Kind::TooManyBytes(3));
    assert_eq!(decode_with(&list, &limits(4, 3)).unwrap_err().kind, Kind::TooManyItems(3));
    assert_eq!(decode_with(&list, &limits(4, 0)).unwrap_err().kind, Kind::TooManyItems(0));
    // Each of these lists claims all the bytes that are left, as if the next one took but one of them.
    let mut greedy = Vec::new();
    for _ in 0..100 {
        greedy.extend([0x9a, 0x00, 0x08, 0x00, 0x00]);
    }
    greedy.resize(1 << 20, 0);
    let error = decode(&greedy).unwrap_err();
    assert_eq!((error.offset, error.kind), (5, Kind::TooManyItems(1 << 20)));
    // Nested lists cannot each reserve what only one of them may have.
    let nested = hex("828101820102");
    assert_eq!(decode_with(&nested, &limits(9, 4)).unwrap_err().kind, Kind::TooManyItems(4));
}

#[test]
fn memory_is_limited_where_little_is_written_and_much_is_set_aside() {
    let list = |items: u32, item: &str| {
        let mut bytes = encode(&Ipld::List(vec![Ipld::Null; usize::try_from(items).unwrap()])).unwrap();
        bytes.truncate(bytes.len() - usize::try_from(items).unwrap());
        bytes.extend(hex(item).repeat(usize::try_from(items).unwrap()));
        bytes
    };
    let token = |bytes: &[u8]| decode_with(bytes, &Limits::TOKEN).map(drop).map_err(|error| error.kind);
    let too_much = Err(Kind::TooMuchMemory(64 << 20));
    // Nulls, as many as there may be.
    assert_eq!(token(&list((1 << 18) - 1, "f6")), Ok(()));
    assert_eq!(token(&list(1 << 18, "f6")), Err(Kind::TooManyItems(1 << 18)));
    // Maps of one entry each.
    assert_eq!(token(&list(38_000, "a16161f6")), Ok(()));
    assert_eq!(token(&list(45_000, "a16161f6")), too_much);
    let chain = "a16161".repeat(100) + "f6";
    assert_eq!(token(&list(500, &chain)), too_much);
    assert_eq!(token(&[vec![0x5a, 0, 0xf0, 0, 0], vec![0; 0xf0_0000]].concat()), Ok(()));

    let limits = |memory| Limits { memory, ..Limits::default() };
    for (bytes, memory) in [("43010203", 3), ("63616263", 3), ("8100", size_of::<Ipld>())] {
        assert!(decode_with(&hex(bytes), &limits(memory)).is_ok(), "{bytes}");
        let error = decode_with(&hex(bytes), &limits(memory - 1)).unwrap_err();
        assert_eq!((error.name(), error.kind), ("LimitExceeded", Kind::TooMuchMemory(memory - 1)), "{bytes}");
    }
    let key = [hex("a1790400"), vec![b'k'; 1024], hex("f6")].concat();
    let node = 11 * size_of::<(String, Ipld)>();
    assert!(decode_with(&key, &limits(node + 1024)).is_ok());
    assert_eq!(decode_with(&key, &limits(node + 1023)).unwrap_err().kind, Kind::TooMuchMemory(node + 1023));
    assert_eq!(decode_with(&key, &limits(node - 1)).unwrap_err().offset, 0);
}

#[test]
fn what_has_no_form_is_not_written() {
    assert_eq!(encode(&Ipld::Float(f64::NAN)), Err(EncodeError::NotFinite));
    assert_eq!(encode(&Ipld::List(vec![Ipld::Float(f64::INFINITY)])), Err(EncodeError::NotFinite));
    for integer in [1 << 64, -(1 << 64) - 1, i128::MAX, i128::MIN] {
        assert_eq!(encode(&Ipld::Integer(integer)), Err(EncodeError::Integer(integer)));
    }
}
