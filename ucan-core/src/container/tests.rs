use super::{ContainerError as Error, *};

/// The bytes of a container with the token `one`.
const ONE: &[u8] = b"\xa1\x66ctn-v1\x81\x43one";

fn gzipped(payload: &[u8]) -> Vec<u8> {
    [b"M", &*gzip::compress(payload)].concat()
}

fn refused(bytes: &[u8]) -> Error {
    Container::decode(bytes).unwrap_err()
}

#[test]
fn every_encoding_comes_back() {
    let container = Container::from_iter([&b"one"[..], b"", &[0xff; 3000]]);
    for encoding in ContainerEncoding::ALL {
        let bytes = container.encode(encoding);
        assert_eq!(bytes[0], encoding.header());
        assert_eq!(Container::decode(&bytes).unwrap(), container, "{encoding:?}");
        assert_eq!(Container::decode(&Container::new().encode(encoding)).unwrap(), Container::new());
    }
    assert_eq!(container.encode(ContainerEncoding::Raw)[1..][..9], *b"\xa1\x66ctn-v1\x83");
    assert_eq!(ContainerEncoding::ALL.map(ContainerEncoding::header), *b"@BCMOP");
}

#[test]
fn what_is_written_does_not_depend_on_the_order() {
    let one = Container::from_iter([&b"b"[..], b"a", b"ab", b""]);
    let other = Container::from_iter([&b""[..], b"ab", b"a", b"a", b"b"]);
    assert!(one.tokens().eq([&b""[..], b"a", b"ab", b"b"]));
    assert_eq!(one, other);
    for encoding in ContainerEncoding::ALL {
        assert_eq!(one.encode(encoding), other.encode(encoding));
    }
    // Neither a time nor a name in the header.
    assert_eq!(gzipped(b"")[..11], *b"M\x1f\x8b\x08\0\0\0\0\0\0\xff");
}

#[test]
fn tokens_are_found_by_their_own_hash() {
    let mut container = Container::new();
    assert!(container.is_empty());
    assert!(container.insert(&b"one"[..]));
    assert!(!container.insert(&b"one"[..]));
    assert_eq!(container.len(), 1);
    assert_eq!(container.get(&block::dag_cbor_cid(b"one")), Some(&b"one"[..]));
    assert_eq!(container.get(&block::raw_cid(b"one")), None);
}

#[test]
fn other_headers() {
    let raw = gzip::compress(ONE);
    let base64 = data_encoding::BASE64.encode(&raw);
    let base64url = data_encoding::BASE64URL_NOPAD.encode(&raw);
    for bytes in
        [ONE.to_vec(), [b"D", &*raw].concat(), format!("E{base64}").into_bytes(), format!("F{base64url}").into_bytes()]
    {
        assert!(Container::decode(&bytes).unwrap().tokens().eq([b"one"]));
    }
    assert_eq!(refused(b""), Error::Empty);
    for header in (0..=0xff).filter(|header| !b"@BCDEFMOP\xa1".contains(header)) {
        assert_eq!(refused(&[&[header], ONE].concat()), Error::Header(header));
    }
    for header in *b"@BCDEFMOP\xa1" {
        assert_eq!(refused(&[header]).name(), "MalformedContainer");
    }
}

#[test]
fn base64_is_strict() {
    let text = |encoding| String::from_utf8(Container::from_iter([&b"four"[..]]).encode(encoding)).unwrap();
    let padded = text(ContainerEncoding::Base64);
    assert_eq!(padded, "BoWZjdG4tdjGBRGZvdXI=");
    let plain = text(ContainerEncoding::Base64Url);
    assert_eq!(plain, "CoWZjdG4tdjGBRGZvdXI");
    for bad in [
        padded.trim_end_matches('=').to_owned(),
        format!("{padded}="),
        format!("{padded}\n"),
        format!("{plain}="),
        format!("{plain} "),
        padded.replace("I=", "J="),
        plain.replace("XI", "XJ"),
        "C+/+/".to_owned(),
        "B-_-_".to_owned(),
        "C*".to_owned(),
    ] {
        assert!(matches!(refused(bad.as_bytes()), Error::Base64 { .. }), "{bad}");
    }
    assert_eq!(refused(b"CoWZj*"), Error::Base64 { offset: 5 });
}

#[test]
fn the_map_is_canonical_and_has_nothing_else() {
    let names = [
        (&b"\xa0"[..], "MalformedContainer"),
        (b"\x81\x43one", "MalformedContainer"),
        (b"\xa1\x66ctn-v2\x80", "MalformedContainer"),
        (b"\xa1\x65ctn-v\x80", "MalformedContainer"),
        (b"\xa2\x61a\xf6\x66ctn-v1\x80", "MalformedContainer"),
        (b"\xa2\x66ctn-v1\x80\x66ctn-v1\x80", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\xa0", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x43one", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x81\x63one", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x81\xf6", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x82\x43one", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x81\x44one", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x80\0", "MalformedContainer"),
        (b"\xa1\x66ctn-v1\x9b\0\x01\0\0\0\0\0\0", "MalformedContainer"),
        (b"\xb8\x01\x66ctn-v1\x80", "NonCanonical"),
        (b"\xa1\x78\x06ctn-v1\x80", "NonCanonical"),
        (b"\xa1\x66ctn-v1\x98\0", "NonCanonical"),
        (b"\xa1\x66ctn-v1\x81\x58\x03one", "NonCanonical"),
        (b"\xa1\x66ctn-v1\x9f\xff", "NonCanonical"),
        (b"\xbf\x66ctn-v1\x80\xff", "NonCanonical"),
    ];
    for (payload, name) in names {
        for bytes in [[b"@", payload].concat(), gzipped(payload)] {
            assert_eq!(refused(&bytes).name(), name, "{payload:x?}");
        }
    }
}

#[test]
fn gzip_is_one_member_and_nothing_else() {
    let good = gzipped(ONE);
    assert!(Container::decode(&good).is_ok());
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    assert_eq!(with(1, 0), GzipError::Magic.into());
    assert_eq!(with(3, 7), GzipError::Method(7).into());
    assert_eq!(with(4, 0x81), GzipError::Flags(0x80).into());
    assert_eq!(with(good.len() - 5, good[good.len() - 5] ^ 1), GzipError::Checksum.into());
    assert_eq!(with(good.len() - 1, 1), GzipError::Length.into());
    // A block of a type that does not exist.
    assert_eq!(with(11, 7), GzipError::Deflate.into());
    for end in 3..good.len() {
        assert_eq!(refused(&good[..end]), GzipError::Truncated.into(), "{end}");
    }
    assert_eq!(refused(&[&*good, b"\0"].concat()), GzipError::Trailing.into());
    assert_eq!(refused(&[&*good, &good[1..]].concat()), GzipError::Trailing.into());
}

#[test]
fn optional_fields_of_gzip_are_skipped() {
    let plain = &gzip::compress(ONE)[10..];
    let fields: [(u8, &[u8]); 6] = [
        (1, b""),
        (4, b"\x03\0abc"),
        (8, b"name\0"),
        (16, b"comment\0"),
        (2, b"\xc1\xab"),
        (31, b"\x01\0xname\0\0\xff\xe7"),
    ];
    for (flags, field) in fields {
        let header = [&[0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 3], field].concat();
        let bytes = [b"M", &*header, plain].concat();
        let read = Container::decode(&bytes);
        if flags & 2 == 0 {
            assert!(read.unwrap().tokens().eq([b"one"]), "{flags}");
        } else {
            assert_eq!(read, Err(GzipError::HeaderChecksum.into()), "{flags}");
        }
        for end in 1..=header.len() {
            assert!(Container::decode(&bytes[..end]).is_err());
        }
    }
    // Two bytes of the CRC-32 of the ten before them, as zlib has it.
    let bytes = [b"M\x1f\x8b\x08\x02\0\0\0\0\0\xff\x90\xc9", plain].concat();
    assert!(Container::decode(&bytes).is_ok());
}

#[test]
fn limits_hold_to_the_byte() {
    let container = Container::from_iter([vec![7; 5000], vec![8; 5000]]);
    let length = container.encode(ContainerEncoding::Raw).len() - 1;
    for encoding in ContainerEncoding::ALL {
        let bytes = container.encode(encoding);
        let with = |payload, tokens| Container::decode_with(&bytes, &ContainerLimits { payload, tokens });
        assert_eq!(with(length, 2).as_ref(), Ok(&container), "{encoding:?}");
        assert_eq!(with(length - 1, 2), Err(Error::TooManyBytes(length - 1)), "{encoding:?}");
        assert_eq!(with(length, 1).unwrap_err().name(), "LimitExceeded", "{encoding:?}");
        assert_eq!(with(0, 0).unwrap_err().name(), "LimitExceeded", "{encoding:?}");
    }
    let bare = &container.encode(ContainerEncoding::Raw)[1..];
    assert!(Container::decode_with(bare, &ContainerLimits { payload: length, tokens: 2 }).is_ok());
    assert!(Container::decode_with(bare, &ContainerLimits { payload: length - 1, tokens: 2 }).is_err());
}

#[test]
fn a_bomb_does_not_go_off() {
    let limit = ContainerLimits::default().payload;
    let bomb = gzipped(&vec![0; limit + 1]);
    assert!(bomb.len() < 17_000);
    assert_eq!(refused(&bomb), Error::TooManyBytes(limit));
    // Whatever it says about its own length.
    let mut modest = bomb.clone();
    let end = modest.len();
    modest[end - 4..].copy_from_slice(&10_u32.to_le_bytes());
    assert_eq!(refused(&modest), Error::TooManyBytes(limit));
    assert_eq!(refused(&gzipped(&vec![0; limit])).name(), "MalformedContainer");
}
