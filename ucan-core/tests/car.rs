//! Archives of blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use multihash::Multihash;
use proptest::prelude::*;
use sha2::{Digest, Sha512};
use ucan_core::{
    Cid, Container,
    block::{self, BlockError},
    car::{self, Car, CarError, CarLimits},
    dagcbor::DecodeErrorKind,
};

/// The header without roots, with its length in front.
const HEADER: &[u8] = b"\x11\xa2\x65roots\x80\x67version\x01";

fn read(bytes: &[u8]) -> Result<Car<'_>, CarError> {
    car::read(bytes, &CarLimits::default())
}

/// A section: its length, then its parts.
fn section(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = unsigned_varint::encode::usize(content.len(), &mut unsigned_varint::encode::usize_buffer()).to_vec();
    [length, content].concat()
}

fn with(sections: &[Vec<u8>]) -> Vec<u8> {
    [HEADER.to_vec(), sections.concat()].concat()
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    assert_eq!(car::write(&[], []), HEADER);
    let cid = block::raw_cid(b"one");
    let archive = car::write(&[cid], [(&cid, &b"one"[..])]);
    let header = [b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\0", &*cid.to_bytes(), b"\x67version\x01"].concat();
    assert_eq!(archive, [&*header, b"\x27", &*cid.to_bytes(), b"one"].concat());
    let read = read(&archive).unwrap();
    assert_eq!(read.roots(), [cid]);
    assert!(read.blocks().eq([(&cid, &b"one"[..])]));
    // Blocks are where they were.
    assert!(std::ptr::eq(read.get(&cid).unwrap(), &archive[archive.len() - 3..]));
}

#[test]
fn blocks_of_every_kind() {
    let sha2_512 = Cid::new_v1(0x55, Multihash::wrap(0x13, &Sha512::digest(b"one")).unwrap());
    let version_0 = Cid::new_v0(*block::raw_cid(b"one").hash()).unwrap();
    let cids = [block::raw_cid(b"one"), block::dag_cbor_cid(b"one"), sha2_512, version_0];
    let twice: Vec<_> = cids.iter().chain(&cids).map(|cid| (cid, &b"one"[..])).collect();
    let archive = car::write(&cids, twice.clone());
    let read = read(&archive).unwrap();
    assert_eq!(read.roots(), cids);
    assert!(read.blocks().eq(twice));
    assert!(cids.iter().all(|cid| read.get(cid) == Some(b"one")));
    assert_eq!(read.get(&block::raw_cid(b"two")), None);
}

#[test]
fn a_block_must_be_what_its_cid_names() {
    let cid = block::raw_cid(b"one");
    assert_eq!(read(&car::write(&[], [(&cid, &b"two"[..])])), Err(BlockError::Mismatch { cid }.into()));
    let short = Cid::new_v1(0x55, Multihash::wrap(0x12, &cid.hash().digest()[..20]).unwrap());
    assert_eq!(read(&car::write(&[], [(&short, &b"one"[..])])), Err(BlockError::Mismatch { cid: short }.into()));
    let identity = Cid::new_v1(0x55, Multihash::wrap(0, b"one").unwrap());
    let unsupported = BlockError::UnsupportedHash { cid: identity, code: 0 };
    assert_eq!(read(&car::write(&[], [(&identity, &b"one"[..])])), Err(unsupported.into()));
}

#[test]
fn sections_are_strict() {
    let cid = block::raw_cid(b"one").to_bytes();
    let good = with(&[section(&[&cid, b"one"])]);
    assert!(read(&good).is_ok());
    assert_eq!(read(b""), Err(CarError::Empty));
    for end in 1..good.len() {
        let error = read(&good[..end]).err();
        match end {
            18 => assert_eq!(error, None),
            _ => assert!(matches!(error, Some(CarError::Truncated { .. })), "{end}"),
        }
    }
    let offset = HEADER.len();
    // The length of a section, written long; without end; of more than 64 bits; of far more than there is.
    let length = |bytes: &[u8]| read(&[HEADER, bytes].concat()).unwrap_err();
    assert_eq!(length(&[&[0xa7, 0x00], &*cid, b"one"].concat()), CarError::Varint { offset });
    assert_eq!(length(&[0xff; 3]), CarError::Truncated { offset });
    assert_eq!(length(&[0xff; 11]), CarError::Varint { offset });
    assert_eq!(length(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CarError::Truncated { offset });
    // A section that is empty, that ends inside the CID, and whose CID is written long.
    for bad in [&b"\0"[..], &section(&[&cid[..35]]), &section(&[b"\x01\xd5\0", &cid[2..], b"one"]), b"\x01\x01"] {
        assert_eq!(length(bad), CarError::Cid { offset }, "{bad:x?}");
    }
}

#[test]
fn headers_are_strict() {
    let header = |bytes: &[u8]| read(&section(&[bytes])).unwrap_err();
    assert_eq!(header(b"\xa1\x67version\x02"), CarError::Version(2));
    assert_eq!(read(b"\x0a\xa1\x67version\x02\0\0\0"), Err(CarError::Version(2)));
    assert_eq!(header(b"\xa2\x65roots\x80\x67version\x03"), CarError::Version(3));
    for bad in [
        &b"\x80"[..],
        b"\xa0",
        b"\xa1\x65roots\x80",
        b"\xa1\x67version\x01",
        b"\xa2\x65roots\xa0\x67version\x01",
        b"\xa2\x65roots\x81\x01\x67version\x01",
        b"\xa2\x65roots\x80\x67version\x611",
        b"\xa3\x61a\xf6\x65roots\x80\x67version\x01",
    ] {
        assert!(matches!(header(bad), CarError::NotAHeader(_)), "{bad:x?}");
    }
    for bad in [
        &b""[..],
        b"\xa2\x67version\x01\x65roots\x80",
        b"\xa2\x65roots\x80\x67version\x18\x01",
        b"\xa2\x65roots\x80\x67version\x01\0",
        b"\xa2\x65roots\x9a\xff\xff\xff\xff",
    ] {
        assert!(matches!(header(bad), CarError::Header(_)), "{bad:x?}");
    }
}

#[test]
fn limits_hold() {
    let (one, two) = (block::raw_cid(b"one"), block::raw_cid(b"twos"));
    let archive = car::write(&[one, two], [(&one, &b"one"[..]), (&two, b"twos")]);
    let mut limits = CarLimits::default();
    (limits.bytes, limits.roots, limits.blocks, limits.block) = (archive.len(), 2, 2, 4);
    let exact = limits;
    assert!(car::read(&archive, &exact).is_ok());
    limits.bytes -= 1;
    assert_eq!(car::read(&archive, &limits), Err(CarError::TooManyBytes(limits.bytes)));
    limits = exact;
    limits.roots = 1;
    let Err(CarError::Header(error)) = car::read(&archive, &limits) else { panic!("too many roots") };
    assert_eq!(*error.kind(), DecodeErrorKind::TooManyItems(4));
    limits = exact;
    limits.blocks = 1;
    assert_eq!(car::read(&archive, &limits), Err(CarError::TooManyBlocks(1)));
    limits = exact;
    limits.block = 3;
    assert!(matches!(car::read(&archive, &limits), Err(CarError::BlockTooLong { limit: 3, .. })));
}

#[test]
fn containers_become_archives_and_archives_containers() {
    let container = Container::from_iter([&b"one"[..], b"two", b""]);
    let archive = container.to_car(&[]);
    assert_eq!(Container::from_car(&read(&archive).unwrap()), container);
    // What is not named as a token is does not come along.
    let (raw, token) = (block::raw_cid(b"one"), block::dag_cbor_cid(b"one"));
    let sha2_512 = Cid::new_v1(block::DAG_CBOR, Multihash::wrap(0x13, &Sha512::digest(b"two")).unwrap());
    let archive = car::write(&[], [(&raw, &b"one"[..]), (&token, b"one"), (&sha2_512, b"two")]);
    assert!(Container::from_car(&read(&archive).unwrap()).tokens().eq([b"one"]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn archives_come_back(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        roots in proptest::collection::vec(any::<[u8; 2]>(), 0..4),
    ) {
        let roots: Vec<_> = roots.iter().map(|bytes| block::dag_cbor_cid(bytes)).collect();
        let cids: Vec<_> = blocks.iter().map(|bytes| block::raw_cid(bytes)).collect();
        let pairs: Vec<_> = cids.iter().zip(blocks.iter().map(Vec::as_slice)).collect();
        let archive = car::write(&roots, pairs.clone());
        let read = read(&archive).unwrap();
        prop_assert_eq!(read.roots(), &roots[..]);
        prop_assert!(read.blocks().eq(pairs.iter().copied()));
        for (cid, bytes) in &pairs {
            prop_assert_eq!(read.get(cid), Some(*bytes));
        }
        prop_assert_eq!(car::write(read.roots(), read.blocks()), archive);
    }

    #[test]
    fn whatever_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..60), behind: bool) {
        let bytes = if behind { [HEADER, &bytes].concat() } else { bytes };
        if let Ok(archive) = read(&bytes) {
            prop_assert_eq!(car::write(archive.roots(), archive.blocks()), bytes);
        }
    }

    #[test]
    fn a_changed_archive_is_refused_or_says_something_else(at: prop::sample::Index, byte: u8) {
        let (one, two) = (block::raw_cid(b"one"), block::dag_cbor_cid(b"two"));
        let archive = car::write(&[two], [(&one, &b"one"[..]), (&two, b"two")]);
        let mut changed = archive.clone();
        changed[at.index(archive.len())] = byte;
        if let Ok(read) = read(&changed) {
            prop_assert_eq!(car::write(read.roots(), read.blocks()), changed);
        }
    }
}
