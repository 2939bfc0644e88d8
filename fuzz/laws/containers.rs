//! Containers of tokens and archives of blocks.

use std::collections::BTreeSet;

use miniz_oxide::inflate::decompress_to_vec_with_limit;
use ucan_core::{
    Cid, Container, ContainerEncoding, ContainerLimits, Ipld, block,
    car::{self, CarLimits},
    dagcbor,
};

use super::choices::Choices;

/// More than any input here can be inflated to without being refused.
const MOST: usize = 1 << 20;

/// What is read is a set of tokens that survives every encoding and an archive; its map has one spelling; inflating is what
/// inflating is elsewhere; limits refuse one byte or token too many and change nothing else.
pub fn container(data: &[u8]) {
    if let Ok(container) = Container::decode(data) {
        survives(&container);
        canonical(data, &container);
        // More than the tokens themselves is never needed.
        let payload = container.encode(ContainerEncoding::Raw).len() - 1;
        let mut limits = ContainerLimits::default();
        limits.payload = payload.saturating_sub(1);
        assert!(Container::decode_with(data, &limits).is_err(), "one byte more than allowed");
    }
    inflated(data);
    built(&mut Choices::new(data));
}

fn survives(container: &Container) {
    assert!(container.tokens().is_sorted_by(|a, b| a < b), "sorted, and each once");
    assert_eq!(container.tokens().len(), container.len());
    for token in container.tokens() {
        assert_eq!(container.get(&block::dag_cbor_cid(token)), Some(token));
    }
    for encoding in ContainerEncoding::ALL {
        let bytes = container.encode(encoding);
        assert_eq!(bytes.first(), Some(&encoding.header()));
        assert_eq!(Container::decode(&bytes).as_ref(), Ok(container), "{encoding:?}");
        let mut limits = ContainerLimits::default();
        // Small maps take more room compressed, where as many bytes are allowed.
        let length = |encoding| container.encode(encoding).len() - 1;
        limits.payload = length(ContainerEncoding::Raw).max(length(match encoding {
            ContainerEncoding::Base64Gzip | ContainerEncoding::Base64UrlGzip => ContainerEncoding::RawGzip,
            ContainerEncoding::Base64 | ContainerEncoding::Base64Url => ContainerEncoding::Raw,
            plain => plain,
        }));
        limits.tokens = container.len();
        assert_eq!(Container::decode_with(&bytes, &limits).as_ref(), Ok(container), "within its own size");
        limits.payload -= 1;
        assert!(Container::decode_with(&bytes, &limits).is_err(), "one byte more than allowed");
        limits.payload += 1;
        if let Some(tokens) = limits.tokens.checked_sub(1) {
            limits.tokens = tokens;
            assert!(Container::decode_with(&bytes, &limits).is_err(), "one token more than allowed");
        }
    }
    let contents = container.contents();
    assert_eq!(contents.delegations.len() + contents.others.len() + contents.refused.len(), container.len());
    let archive = container.to_car(&[]);
    let car = car::read(&archive, &CarLimits::default()).expect("what is written is read");
    assert_eq!(Container::from_car(&car), *container);
}

/// A map that is neither encoded nor compressed is written back as it was, if its tokens were in order.
fn canonical(data: &[u8], container: &Container) {
    let Some(payload) = data.strip_prefix(b"@").or(data.starts_with(&[0xa1]).then_some(data)) else { return };
    let Ok(Ipld::Map(map)) = dagcbor::decode(payload) else { panic!("a container is canonical DAG-CBOR") };
    let Some(Ipld::List(tokens)) = map.get("ctn-v1") else { panic!("a container has tokens") };
    let tokens: Vec<_> = tokens
        .iter()
        .map(|token| if let Ipld::Bytes(bytes) = token { &bytes[..] } else { panic!("a token is bytes") })
        .collect();
    assert!(container.tokens().eq(tokens.iter().copied().collect::<BTreeSet<_>>()));
    if tokens.is_sorted_by(|a, b| a < b) {
        assert_eq!(&container.encode(ContainerEncoding::Raw)[1..], payload);
    }
}

/// The input as a deflated map, with the checksum that it ought to have.
fn inflated(data: &[u8]) {
    let mut limits = ContainerLimits::default();
    limits.payload = MOST;
    let mut gzip = b"M\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    gzip.extend_from_slice(data);
    let read = |gzip: &[u8]| Container::decode_with(gzip, &limits);
    match decompress_to_vec_with_limit(data, MOST) {
        Ok(payload) => {
            gzip.extend_from_slice(&crc32(&payload).to_le_bytes());
            gzip.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            let plain = Container::decode_with(&[b"@", &payload[..]].concat(), &limits);
            // The other reader overlooks what follows the deflated bytes; here it is taken for the checksum.
            match (read(&gzip), plain) {
                (Ok(compressed), plain) => assert_eq!(Ok(compressed), plain),
                (Err(error), Ok(_)) => assert!(trailing(data, &payload), "{error}"),
                (Err(_), Err(_)) => {}
            }
        }
        Err(_) => assert!(read(&gzip).is_err()),
    }
}

/// Whether less of the input inflates to the same.
fn trailing(data: &[u8], payload: &[u8]) -> bool {
    decompress_to_vec_with_limit(&data[..data.len() - 1], MOST).is_ok_and(|shorter| shorter == payload)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// Tokens in any order and more than once, in every wrapping.
fn built(choices: &mut Choices<'_>) {
    let tokens: Vec<Vec<u8>> = (0..choices.below(6)).map(|_| choices.bytes(40)).collect();
    let list = Ipld::List(tokens.iter().cloned().map(Ipld::Bytes).collect());
    let payload = dagcbor::encode(&Ipld::Map([("ctn-v1".to_owned(), list)].into())).expect("it can be said");
    let container: Container = tokens.iter().map(|token| &token[..]).collect();
    assert_eq!(Container::decode(&payload).as_ref(), Ok(&container), "the bare map");
    assert_eq!(Container::decode(&[b"@", &payload[..]].concat()).as_ref(), Ok(&container));
    let deflated = miniz_oxide::deflate::compress_to_vec(&payload, choices.byte() % 11);
    let mut gzip = vec![b"MD"[choices.below(2)], 0x1f, 0x8b, 8, 0, choices.byte(), 0, 0, 0, 2, 3];
    // Name and comment, which say nothing.
    for flag in [8, 16] {
        if choices.flag() {
            gzip[4] |= flag;
            gzip.extend(choices.bytes(8).into_iter().filter(|byte| *byte != 0).chain([0]));
        }
    }
    gzip.extend_from_slice(&deflated);
    gzip.extend_from_slice(&crc32(&payload).to_le_bytes());
    gzip.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    assert_eq!(Container::decode(&gzip).as_ref(), Ok(&container));
    // One change: it is noticed, or changes only what says nothing.
    let at = choices.below(gzip.len());
    gzip[at] = choices.byte();
    if let Ok(changed) = Container::decode(&gzip) {
        assert_eq!(changed, container, "a change is noticed");
    }
    survives(&container);
}

/// What is read is written back as the same bytes, every block is what its CID names, and limits hold to the block.
pub fn car(data: &[u8]) {
    read(data);
    let mut choices = Choices::new(data);
    let blocks: Vec<(Cid, Vec<u8>)> = (0..choices.below(5))
        .map(|_| {
            let bytes = choices.bytes(20);
            (if choices.flag() { block::raw_cid(&bytes) } else { block::dag_cbor_cid(&bytes) }, bytes)
        })
        .collect();
    let roots: Vec<_> = (0..choices.below(3)).map(|_| block::raw_cid(&[choices.byte()])).collect();
    let mut written = car::write(&roots, blocks.iter().map(|(cid, bytes)| (cid, &bytes[..])));
    let car = car::read(&written, &CarLimits::default()).expect("what is written is read");
    assert_eq!(car.roots(), roots);
    assert!(car.blocks().eq(blocks.iter().map(|(cid, bytes)| (cid, &bytes[..]))));
    let at = choices.below(written.len());
    written[at] = choices.byte();
    read(&written);
    // One number of a CID, all of which are small here, takes a byte more than it needs.
    let mut cid = block::raw_cid(b"").to_bytes();
    let at = choices.below(4);
    cid[at] |= 0x80;
    cid.insert(at + 1, 0);
    let archive = [&car::write(&[], [])[..], &[cid.len() as u8], &cid].concat();
    assert!(car::read(&archive, &CarLimits::default()).is_err(), "another spelling was accepted");
}

fn read(bytes: &[u8]) {
    let Ok(car) = car::read(bytes, &CarLimits::default()) else { return };
    assert_eq!(car::write(car.roots(), car.blocks()), bytes, "another spelling was accepted");
    for (cid, bytes) in car.blocks() {
        block::verify(cid, bytes).expect("a block is what its CID names");
        assert_eq!(car.get(cid), Some(bytes));
    }
    let mut limits = CarLimits::default();
    limits.bytes = bytes.len();
    limits.blocks = car.blocks().len();
    limits.roots = car.roots().len();
    limits.block = car.blocks().map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
    assert_eq!(car::read(bytes, &limits).as_ref(), Ok(&car), "within its own size");
    let fewer = |change: &dyn Fn(&mut CarLimits) -> Option<()>| {
        let mut less = limits;
        if change(&mut less).is_some() {
            assert!(car::read(bytes, &less).is_err(), "one more than allowed: {less:?}");
        }
    };
    fewer(&|limits| limits.bytes.checked_sub(1).map(|less| limits.bytes = less));
    fewer(&|limits| limits.blocks.checked_sub(1).map(|less| limits.blocks = less));
    fewer(&|limits| limits.roots.checked_sub(1).map(|less| limits.roots = less));
    fewer(&|limits| limits.block.checked_sub(1).map(|less| limits.block = less));
}
