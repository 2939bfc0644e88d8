//! Properties of containers, whatever is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ucan_core::{
    Command, Container, ContainerEncoding, ContainerLimits, Delegation, Envelope, Ipld, Issuer, TokenError, block, tag,
};
use varsig::ed25519::SigningKey;

fn encoding() -> impl Strategy<Value = ContainerEncoding> {
    prop::sample::select(ContainerEncoding::ALL.to_vec())
}

fn tokens() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let plain = proptest::collection::vec(any::<u8>(), 0..300);
    let long = (any::<u8>(), 0_usize..3000).prop_map(|(byte, length)| vec![byte; length]);
    proptest::collection::vec(prop_oneof![3 => plain, 1 => long], 0..12)
}

fn limits(payload: usize) -> ContainerLimits {
    let mut limits = ContainerLimits::default();
    limits.payload = payload;
    limits
}

#[test]
fn contents_are_told_apart_by_their_tags() {
    let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let grant = |nonce| Delegation::builder(alice.did().clone(), None, Command::top()).nonce([nonce; 12]);
    let delegations = [
        grant(1).sign(&alice).unwrap(),
        grant(2).release_candidate().sign(&alice).unwrap(),
        grant(3).sign(&alice).unwrap(),
    ];
    let payload = BTreeMap::from([("x".to_owned(), Ipld::Null)]);
    let invocation = Envelope::sign(tag::INVOCATION, payload.clone(), &alice).unwrap();
    let not_a_delegation = Envelope::sign(tag::DELEGATION, payload, &alice).unwrap();
    let container: Container = delegations
        .iter()
        .map(Delegation::bytes)
        .chain([invocation.bytes(), not_a_delegation.bytes(), &invocation.bytes()[1..], b""])
        .collect();

    let contents = container.contents();
    let found: BTreeSet<_> = contents.delegations.iter().map(Delegation::cid).collect();
    assert_eq!(found, delegations.iter().map(Delegation::cid).collect());
    assert_eq!(contents.others, [invocation]);
    assert_eq!(contents.refused.len(), 3);
    for refused in &contents.refused {
        assert!(container.get(&refused.cid).is_some());
        let has_no_issuer = refused.error == TokenError::MissingField { field: "iss" };
        assert_eq!(has_no_issuer, refused.cid == *not_a_delegation.cid(), "{refused:?}");
    }
    // Tokens are shared with the container.
    assert!(contents.delegations.iter().all(|read| std::ptr::eq(container.get(read.cid()).unwrap(), read.bytes())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn containers_come_back(tokens in tokens(), encoding in encoding()) {
        let container: Container = tokens.iter().cloned().collect();
        let read = Container::decode(&container.encode(encoding)).unwrap();
        prop_assert_eq!(&read, &container);
        prop_assert!(read.tokens().eq(tokens.iter().map(Vec::as_slice).collect::<BTreeSet<_>>()));
        for token in &tokens {
            prop_assert_eq!(read.get(&block::dag_cbor_cid(token)), Some(&token[..]));
        }
    }

    #[test]
    fn the_order_makes_no_difference(tokens in tokens(), encoding in encoding()) {
        let forwards: Container = tokens.iter().cloned().collect();
        let backwards: Container = tokens.iter().rev().chain(&tokens).cloned().collect();
        prop_assert_eq!(forwards.encode(encoding), backwards.encode(encoding));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(
        header in prop::sample::select(b"@BCDEFMOP\xa1\0A".to_vec()),
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = Container::decode(&[&[header], &*bytes].concat());
        // As far as the deflated data, which is then arbitrary.
        let _ = Container::decode(&[b"M\x1f\x8b\x08\0\0\0\0\0\0\xff", &*bytes].concat());
    }

    #[test]
    fn what_is_not_compressed_has_few_spellings(tokens in tokens(), at: prop::sample::Index, byte: u8) {
        // Order and repetition aside, which readers forgive, bytes that are read are those that are written.
        let container: Container = tokens.into_iter().collect();
        for encoding in [ContainerEncoding::Raw, ContainerEncoding::Base64, ContainerEncoding::Base64Url] {
            let mut bytes = container.encode(encoding);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Container::decode(&bytes) {
                prop_assert!(read.encode(encoding).len() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_changed_byte_of_a_compressed_container_changes_nothing_or_is_noticed(
        tokens in tokens(), at: prop::sample::Index, change in 1_u8..
    ) {
        let container: Container = tokens.into_iter().collect();
        let mut bytes = container.encode(ContainerEncoding::RawGzip);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(read) = Container::decode(&bytes) {
            prop_assert_eq!(read, container);
        }
    }

    #[test]
    fn no_more_is_inflated_than_is_allowed(byte: u8, length in 0_usize..200_000, payload in 0_usize..200_000) {
        let container = Container::from_iter([vec![byte; length]]);
        let bytes = container.encode(ContainerEncoding::RawGzip);
        let written = container.encode(ContainerEncoding::Raw).len() - 1;
        match Container::decode_with(&bytes, &limits(payload)) {
            Ok(read) => {
                prop_assert!(written <= payload);
                prop_assert_eq!(read, container);
            }
            Err(error) => {
                prop_assert!(written > payload || bytes.len() > payload);
                prop_assert_eq!(error.name(), "LimitExceeded");
            }
        }
    }
}
