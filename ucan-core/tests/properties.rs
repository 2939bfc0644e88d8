//! Properties that hold for every value, and for every change of a token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use ucan_core::{
    Cid, Command, Delegation, Did, DidKeys, Envelope, Ipld, Issuer, Policy, Selector, Timestamp, block, dagcbor,
    dagjson, verify,
};
use varsig::ed25519::SigningKey;

fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|integer| Ipld::Integer(integer.into())),
        (-(1_i128 << 64)..(1_i128 << 64)).prop_map(Ipld::Integer),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Ipld::Float),
        any::<String>().prop_map(Ipld::String),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Ipld::Bytes),
        any::<[u8; 4]>().prop_map(|bytes| Ipld::Link(block::dag_cbor_cid(&bytes))),
        any::<[u8; 4]>().prop_map(|bytes| Ipld::Link(block::raw_cid(&bytes))),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Ipld::List),
            proptest::collection::btree_map(".{0,3}", inner, 0..6).prop_map(Ipld::Map),
        ]
    })
}

/// Whether a value holds a map that DAG-JSON keeps for itself.
fn has_reserved(value: &Ipld) -> bool {
    match value {
        Ipld::List(list) => list.iter().any(has_reserved),
        Ipld::Map(map) => map.contains_key("/") || map.values().any(has_reserved),
        _ => false,
    }
}

/// Every link in a value, sorted.
fn links(value: &Ipld) -> Vec<Cid> {
    let mut found = match value {
        Ipld::Link(cid) => vec![*cid],
        Ipld::List(list) => list.iter().flat_map(links).collect(),
        Ipld::Map(map) => map.values().flat_map(links).collect(),
        _ => vec![],
    };
    found.sort_unstable();
    found
}

/// What is found without a tree is what is in the tree, and is refused where the tree is.
fn check_links(bytes: &[u8]) -> Result<(), TestCaseError> {
    let found = dagcbor::links(bytes).map(|mut found| {
        found.sort_unstable();
        found
    });
    prop_assert_eq!(found, dagcbor::decode(bytes).map(|value| links(&value)));
    Ok(())
}

fn delegation() -> Delegation {
    let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let policy = dagjson::decode(br#"[["like", ".to", "*@example.com"], ["<", ".n", 7]]"#).unwrap();
    Delegation::builder(
        "did:web:example.com#key".parse().unwrap(),
        Some(alice.did().clone()),
        "/msg/send".parse().unwrap(),
    )
    .policy(Policy::parse(&policy).unwrap())
    .not_before(Timestamp::EPOCH)
    .expiration(Timestamp::from_secs(2_000_000_000))
    .meta(BTreeMap::from([("note".to_owned(), Ipld::Bytes(vec![0; 30]))]))
    .nonce([7; 12])
    .sign(&alice)
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn dag_cbor_round_trip(value in value()) {
        let bytes = dagcbor::encode(&value).unwrap();
        let read = dagcbor::decode(&bytes).unwrap();
        check_links(&bytes)?;
        prop_assert_eq!(dagcbor::encode(&read).unwrap(), bytes);
        prop_assert_eq!(read, value);
    }

    #[test]
    fn dag_json_round_trip(value in value()) {
        prop_assume!(!has_reserved(&value));
        for text in [dagjson::encode(&value), dagjson::encode_pretty(&value)] {
            let read = dagjson::decode(text.as_bytes()).unwrap();
            prop_assert_eq!(dagcbor::encode(&read).unwrap(), dagcbor::encode(&value).unwrap());
        }
    }

    #[test]
    fn a_changed_block_is_refused_or_canonical(value in value(), at: prop::sample::Index, byte: u8) {
        let mut bytes = dagcbor::encode(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_links(&bytes)?;
        if let Ok(read) = dagcbor::decode(&bytes) {
            prop_assert_eq!(dagcbor::encode(&read).unwrap(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        check_links(&bytes)?;
        if let Ok(read) = dagcbor::decode(&bytes) {
            prop_assert_eq!(dagcbor::encode(&read).unwrap(), &bytes[..]);
        }
        let _ = dagjson::decode(&bytes);
        let _ = Envelope::decode(bytes);
    }

    #[test]
    fn text_of_any_kind_is_read_or_refused(text in r#"[\[\]{}":,./?*\\a-c0-2 \n-]{0,24}"#) {
        let _ = dagjson::decode(text.as_bytes());
        let _ = Did::parse(&text);
        let _ = Command::parse(&text);
        if let Ok(selector) = Selector::parse(&format!(".{text}")) {
            let _ = selector.select(&Ipld::List(vec![Ipld::Null]));
        }
    }

    #[test]
    fn commands_cover_what_is_below_them(path in "(/[a-z]{1,2}){0,4}", more in "(/[a-z]{1,2}){0,3}") {
        let parse = |text: &str| Command::parse(if text.is_empty() { "/" } else { text }).unwrap();
        let (upper, lower) = (parse(&path), parse(&format!("{path}{more}")));
        prop_assert!(upper.covers(&lower));
        prop_assert_eq!(lower.covers(&upper), more.is_empty());
    }

    #[test]
    fn policies_are_evaluated_whatever_the_arguments(args in value()) {
        let json = br#"[["or", [
            ["all", ".[]", ["==", ".a?", 1]],
            ["not", ["any", ".[-2:]", ["like", ".", "a*"]]],
            [">", ".[\"x\"][0]", 0.5]
        ]]]"#;
        let policy = Policy::parse(&dagjson::decode(json).unwrap()).unwrap();
        policy.matches(&args);
    }
}

#[test]
fn every_single_byte_of_a_delegation_is_signed() {
    let delegation = delegation();
    assert!(verify(&delegation, &DidKeys).is_ok());
    for at in 0..delegation.bytes().len() {
        // Every other value of the first bytes, where the shape is; then those that differ in one bit.
        let others: Vec<u8> = if at < 40 { (1..=255).collect() } else { (0..8).map(|bit| 1 << bit).collect() };
        for change in others {
            let mut bytes = delegation.bytes().to_vec();
            bytes[at] ^= change;
            if let Ok(changed) = Delegation::decode(bytes) {
                assert!(verify(changed, &DidKeys).is_err(), "byte {at} ^ {change:#x}");
            }
        }
    }
}

#[test]
fn no_part_of_a_delegation_is_a_delegation() {
    let delegation = delegation();
    let bytes = delegation.bytes();
    for end in 0..bytes.len() {
        assert!(Delegation::decode(&bytes[..end]).is_err(), "{end}");
    }
    assert!(Delegation::decode([bytes, &[0]].concat()).is_err());
}
