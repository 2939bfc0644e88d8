//! The commands and the states on the wire: what was signed is read, nothing else is, and no input makes a reader panic.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{BUDGET, at, channel, end, funder, issuer, now, part, provider, root, task, terms, voucher};
use proptest::prelude::*;
use ucan_chan::{
    Channel, Charge, Close, CommandError, Dispute, MAX, Open, Purse, Settle, StateError, Status, Terms, TermsError,
    Voucher,
};
use ucan_core::{Delegation, Ipld, Policy, Token, block, dagjson};
use ucan_invocation::Invocation;

fn policy(json: &str) -> Policy {
    Policy::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap()
}

#[test]
fn what_was_signed_is_read() {
    let chain = part(&root(BUDGET), &funder(), &issuer(3), 300, 7);
    let terms = terms(&chain);
    assert_eq!(terms.parent(), Some(root(BUDGET)[0].cid()));
    let open = Open::decode(Open::sign(&issuer(3), &terms, 60).unwrap().bytes()).unwrap();
    assert_eq!((open.channel(), open.total(), open.window()), (terms.id(), 300, 60));
    let voucher = Voucher::sign(&issuer(3), &terms, 2, 250, task("a")).unwrap();
    let read = Voucher::decode(voucher.bytes()).unwrap();
    assert_eq!((read.sequence(), read.total(), read.paid_for()), (2, 250, &task("a")));
    assert_eq!(read.proofs(), terms.proofs());
    let close = Close::decode(Close::sign(&provider(), &terms, 2, 250).unwrap().bytes()).unwrap();
    assert!(close.by_provider() && close.invocation().proofs().is_empty());
    let settle = Settle::decode(Settle::sign(&provider(), &terms, Some(&voucher), 200).unwrap().bytes()).unwrap();
    assert_eq!((settle.voucher(), settle.total()), (Some(voucher.envelope().cid()), 200));
    assert!(settle.invocation().executor().same_principal(funder().did()));
    let evidence = [*voucher.envelope().cid()];
    let dispute = Dispute::decode(Dispute::sign(&issuer(3), &terms, 2, 250, &evidence).unwrap().bytes()).unwrap();
    assert_eq!((dispute.evidence(), dispute.sequence()), (&evidence[..], 2));
    assert!(Dispute::sign(&issuer(3), &terms, 2, 250, &[]).is_err());
    assert!(Dispute::sign(&issuer(3), &terms, 2, 250, &[evidence[0]; 3]).is_err());
}

/// Arguments that are left out, changed, or too many.
#[test]
fn readers_are_strict() {
    let terms = terms(&root(BUDGET));
    let good = BTreeMap::from([
        ("channel".to_owned(), Ipld::Link(*terms.id())),
        ("unit".to_owned(), Ipld::String("gas".to_owned())),
        ("seq".to_owned(), Ipld::Integer(1)),
        ("total".to_owned(), Ipld::Integer(7)),
        ("for".to_owned(), Ipld::Link(*task("a").cid())),
    ]);
    let sign = |command: &str, args: BTreeMap<String, Ipld>, proofs, nonce: &[u8]| {
        Invocation::builder(provider().did().clone(), command.parse().unwrap(), args)
            .proofs(proofs)
            .nonce(nonce.to_vec())
            .sign(&funder())
            .unwrap()
    };
    let read = |args| Voucher::read(sign("/chan/draw", args, terms.proofs().to_vec(), b""));
    assert!(read(good.clone()).is_ok());
    for key in good.keys() {
        let mut less = good.clone();
        less.remove(key);
        assert!(matches!(read(less), Err(CommandError::Argument(missing)) if missing == key), "{key}");
        for wrong in [Ipld::Null, Ipld::Integer(-1), Ipld::Integer(i128::from(MAX) + 1), Ipld::Bytes(vec![1])] {
            let mut bad = good.clone();
            bad.insert(key.clone(), wrong);
            assert!(read(bad).is_err(), "{key}");
        }
    }
    let mut more = good.clone();
    more.insert("note".to_owned(), Ipld::Null);
    assert_eq!(read(more).unwrap_err(), CommandError::UnknownArgument("note".to_owned()));
    let mut zero = good.clone();
    zero.insert("seq".to_owned(), Ipld::Integer(0));
    assert_eq!(read(zero).unwrap_err(), CommandError::Argument("seq"));
    let proofs = terms.proofs().to_vec();
    let other = Voucher::read(sign("/chan/open", good.clone(), proofs.clone(), b""));
    assert!(matches!(other, Err(CommandError::OtherCommand { .. })));
    assert_eq!(Voucher::read(sign("/chan/draw", good.clone(), proofs, b"1")).unwrap_err(), CommandError::Nonce);
    for proofs in [vec![], vec![*terms.id(), block::raw_cid(b"x")]] {
        assert_eq!(Voucher::read(sign("/chan/draw", good.clone(), proofs, b"")).unwrap_err(), CommandError::Proofs);
    }
    assert!(matches!(Voucher::decode(vec![0; 4097]), Err(CommandError::TooLong { length: 4097 })));
}

#[test]
fn chains_are_strict() {
    let (owner, holder) = (provider(), funder());
    let build = |command: &str, json: &str| {
        Delegation::builder(holder.did().clone(), Some(owner.did().clone()), command.parse().unwrap())
            .policy(policy(json))
    };
    let good = r#"[["==",".unit","gas"],["<=",".total",9]]"#;
    let signed = build("/chan", good).nonce(vec![0; 12]).expiration(end()).sign(&owner).unwrap();
    assert_eq!(Terms::read(&[signed]).unwrap().budget(), 9);
    for json in [
        "[]",
        r#"[["<=",".total",9],["==",".unit","gas"]]"#,
        r#"[["==",".unit","gas"],["<",".total",9]]"#,
        r#"[["==",".unit","gas"],["<=",".total",9],["==",".a",1]]"#,
        r#"[["!=",".unit","gas"],["<=",".total",9]]"#,
        r#"[["==",".unit","Gas"],["<=",".total",9]]"#,
        r#"[["==",".unit","gas"],["<=",".total",9.5]]"#,
        r#"[["==",".unit","gas"],["<=",".seq",9]]"#,
    ] {
        let signed = build("/chan", json).nonce(vec![0; 12]).expiration(end()).sign(&owner).unwrap();
        assert_eq!(Terms::read(&[signed]), Err(TermsError::NotAChannel { at: 0, what: "pol" }), "{json}");
    }
    let fields = [
        (build("/chan/draw", good).nonce(vec![0; 12]).expiration(end()), "cmd"),
        (build("/chan", good).nonce(vec![0; 11]).expiration(end()), "nonce"),
        (build("/chan", good).nonce(vec![0; 12]), "exp"),
    ];
    for (builder, what) in fields {
        assert_eq!(Terms::read(&[builder.sign(&owner).unwrap()]), Err(TermsError::NotAChannel { at: 0, what }));
    }
    assert_eq!(Terms::read(&[]), Err(TermsError::Length { length: 0 }));
    // Wider than the one above, other unit, by somebody else, longer than may be.
    let root = root(100);
    assert!(matches!(terms(&root).share(issuer(3).did().clone(), 101), Err(TermsError::Wider { .. })));
    let below = |json: &str, by| {
        let link = Delegation::builder(issuer(3).did().clone(), Some(owner.did().clone()), "/chan".parse().unwrap())
            .policy(policy(json))
            .meta([("chan/above".to_owned(), Ipld::Link(*root[0].cid()))].into())
            .nonce(vec![0; 12])
            .expiration(end())
            .sign(by)
            .unwrap();
        Terms::read(&[root[0].clone(), link])
    };
    assert_eq!(below(good, &holder).unwrap().budget(), 9);
    let wide = below(r#"[["==",".unit","gas"],["<=",".total",101]]"#, &holder);
    assert_eq!(wide, Err(TermsError::Wider { at: 1, budget: 101, above: 100 }));
    let other = below(r#"[["==",".unit","bytes"],["<=",".total",9]]"#, &holder);
    assert_eq!(other, Err(TermsError::OtherUnit { at: 1 }));
    assert_eq!(below(good, &issuer(9)), Err(TermsError::NotAChannel { at: 1, what: "iss" }));
    // A part of one channel is no part of another one by the same funder, and no root.
    let other = common::root(101);
    let moved = part(&root, &holder, &issuer(3), 50, 7).remove(1);
    assert_eq!(Terms::read(&[other[0].clone(), moved.clone()]), Err(TermsError::OtherAbove { at: 1 }));
    let bare = Delegation::builder(issuer(3).did().clone(), Some(owner.did().clone()), "/chan".parse().unwrap());
    let bare = bare.policy(policy(good)).nonce(vec![0; 12]).expiration(end()).sign(&holder).unwrap();
    assert_eq!(Terms::read(&[root[0].clone(), bare]), Err(TermsError::OtherAbove { at: 1 }));
    let mut chain = root;
    for depth in 1..8 {
        chain = part(&chain, &issuer(1 + depth), &issuer(2 + depth), 50, depth);
    }
    assert_eq!(chain.len(), 8);
    assert!(matches!(terms(&chain).share(issuer(20).did().clone(), 1), Err(TermsError::Length { length: 9 })));
}

#[test]
fn states_are_read_back_and_do_not_grow() {
    let mut channel = channel(BUDGET);
    let empty = channel.encode().unwrap();
    assert_eq!(Channel::decode(&empty).unwrap(), channel);
    let mut sizes = Vec::new();
    for sequence in 1..=300 {
        channel.draw(&voucher(BUDGET, sequence, sequence * 3, "t"), now()).unwrap();
        let reserved = channel.reserve(task("t"), 3, 0, 1, now()).unwrap();
        let charge = channel.charge(&reserved, 2).unwrap();
        channel.filed(charge.number);
        let state = channel.encode().unwrap();
        assert_eq!(Channel::decode(&state).unwrap(), channel);
        sizes.push(state.len());
    }
    // Integers have from 1 to 9 bytes.
    let [least, most] = [sizes.iter().min(), sizes.iter().max()].map(|size| *size.unwrap());
    println!("a channel has {} bytes, after draws {least} to {most}", empty.len());
    assert!(most - least < 40, "{least} {most}");
    for status in [Status::Open, Status::Settled { due: 7 }] {
        assert_ne!(format!("{status:?}"), "");
    }
    channel.expire(at(20_000));
    assert_eq!(Channel::decode(&channel.encode().unwrap()).unwrap(), channel);
    channel.settle(1, at(30_000)).unwrap();
    assert_eq!(Channel::decode(&channel.encode().unwrap()).unwrap(), channel);
    let purse = Purse::new(terms(&root(BUDGET)));
    assert_eq!(Purse::decode(&purse.encode().unwrap()).unwrap(), purse);
    assert_eq!(Purse::decode(&empty), Err(StateError::Malformed));
    assert_eq!(Channel::decode(&purse.encode().unwrap()), Err(StateError::Malformed));
}

fn value() -> impl Strategy<Value = Ipld> {
    prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|number| Ipld::Integer(number.into())),
        "[a-z]{0,8}".prop_map(Ipld::String),
        any::<[u8; 4]>().prop_map(|bytes| Ipld::Link(block::raw_cid(&bytes))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever numbers are signed come back.
    #[test]
    fn vouchers_come_back(sequence in 1_u64..=MAX, total in 0_u64..=MAX, name in any::<[u8; 8]>()) {
        let terms = terms(&root(BUDGET));
        let voucher = Voucher::sign(&funder(), &terms, sequence, total, task(name)).unwrap();
        let read = Voucher::decode(voucher.bytes()).unwrap();
        prop_assert!(read.same_statement(&voucher));
        prop_assert_eq!((read.sequence(), read.total(), *read.paid_for()), (sequence, total, task(name)));
        prop_assert!(Open::decode(voucher.bytes()).is_err() && Close::decode(voucher.bytes()).is_err());
    }

    /// Whatever is changed in a state, it is refused or read as what it says.
    #[test]
    fn changed_states_do_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut channel = channel(BUDGET);
        channel.draw(&voucher(BUDGET, 1, 10, "t"), now()).unwrap();
        for good in [channel.encode().unwrap(), Purse::new(terms(&root(BUDGET))).encode().unwrap()] {
            let mut bad = good.clone();
            let at = at.index(bad.len());
            bad[at] = byte;
            for bytes in [&bad[..], &good[..cut.index(good.len())]] {
                if let Ok(read) = Channel::decode(bytes) {
                    prop_assert_eq!(read.encode().unwrap(), bytes);
                    prop_assert!(read.total() + read.allotted() <= read.terms().budget());
                }
                if let Ok(read) = Purse::decode(bytes) {
                    prop_assert_eq!(read.encode().unwrap(), bytes);
                }
            }
        }
    }

    /// A charge in metadata is read as it was written, or not at all.
    #[test]
    fn charges_are_strict(map in prop::collection::btree_map("channel|unit|number|cost|charged|final|[a-z]", value(), 0..8)) {
        let meta = BTreeMap::from([("chan".to_owned(), Ipld::Map(map))]);
        if let Ok(Some(charge)) = Charge::of_meta(&meta) {
            let mut again = BTreeMap::new();
            charge.put(&mut again);
            prop_assert_eq!(again, meta);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Voucher::decode(bytes.clone()).is_err() && Open::decode(bytes.clone()).is_err());
        prop_assert!(Close::decode(bytes.clone()).is_err() && Settle::decode(bytes.clone()).is_err());
        prop_assert!(Dispute::decode(bytes.clone()).is_err());
        prop_assert!(Channel::decode(&bytes).is_err() && Purse::decode(&bytes).is_err());
    }
}
