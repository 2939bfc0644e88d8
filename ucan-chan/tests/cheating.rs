//! Every kind of cheating is noticed, and provable to somebody who has nothing but signed tokens; nobody can be framed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{BUDGET, at, channel, funder, issuer, now, provider, root, task, terms, voucher};
use proptest::prelude::*;
use ucan_chan::{Charge, Cheating, Close, Closing, DrawError, Open, Proof, ProofError, Settle, Terms, Voucher};
use ucan_core::{DidKeys, Ipld, Issuer, Token, verify};
use ucan_invocation::{Outcome, Receipt};

fn receipt(by: &Issuer, number: u64, cost: u64, charged: u64, last: bool, name: &str) -> Vec<u8> {
    let channel = *terms(&root(BUDGET)).id();
    let charge = Charge { channel, unit: "gas".parse().unwrap(), number, cost, charged, last };
    let mut meta = BTreeMap::new();
    charge.put(&mut meta);
    let receipt = Receipt::builder(task(name), Outcome::Ok(Ipld::Null)).meta(meta).sign(by, [3; 16]).unwrap();
    receipt.bytes().to_vec()
}

fn signed(by: &Issuer, sequence: u64, total: u64) -> Voucher {
    Voucher::sign(by, &terms(&root(BUDGET)), sequence, total, task("t")).unwrap()
}

fn close(sequence: u64, total: u64) -> Close {
    Close::sign(&funder(), &terms(&root(BUDGET)), sequence, total).unwrap()
}

/// For each kind a pair of tokens that proves it, made by whoever holds the keys given.
fn tokens(kind: Cheating, holder: &Issuer, owner: &Issuer) -> Vec<Vec<u8>> {
    let terms = terms(&root(BUDGET));
    let draw = |sequence, total| signed(holder, sequence, total);
    let bytes = |voucher: Voucher| voucher.bytes().to_vec();
    match kind {
        Cheating::Equivocation => vec![bytes(draw(3, 40)), bytes(draw(3, 50))],
        Cheating::Rollback => vec![bytes(draw(3, 40)), bytes(draw(4, 30))],
        Cheating::Overdraft => vec![bytes(draw(3, BUDGET + 1))],
        Cheating::StaleClose => {
            vec![Close::sign(holder, &terms, 3, 40).unwrap().bytes().to_vec(), bytes(draw(4, 40))]
        }
        Cheating::FalseClose => {
            vec![Close::sign(holder, &terms, 3, 40).unwrap().bytes().to_vec(), bytes(draw(3, 50))]
        }
        Cheating::Overclaim => {
            let voucher = draw(3, 40);
            vec![Settle::sign(owner, &terms, Some(&voucher), 41).unwrap().bytes().to_vec(), bytes(voucher)]
        }
        Cheating::DoubleCharge => {
            vec![receipt(owner, 2, 10, 30, false, "a"), receipt(owner, 2, 10, 30, false, "b")]
        }
        Cheating::ChargeRollback => {
            vec![receipt(owner, 2, 10, 30, false, "a"), receipt(owner, 3, 10, 20, false, "b")]
        }
        Cheating::Overcharge => {
            let settle = Settle::sign(owner, &terms, Some(&draw(3, 40)), 31).unwrap();
            vec![receipt(owner, 2, 0, 30, true, "a"), settle.bytes().to_vec()]
        }
        other => panic!("no tokens for {other}"),
    }
}

#[test]
fn every_kind_is_provable_from_tokens_alone() {
    let chain = root(BUDGET);
    for kind in Cheating::ALL {
        let proof = Proof::new(kind, tokens(kind, &funder(), &provider())).unwrap();
        let culprit = proof.check(&chain, &DidKeys).unwrap();
        let by_provider = matches!(
            kind,
            Cheating::Overclaim | Cheating::DoubleCharge | Cheating::ChargeRollback | Cheating::Overcharge
        );
        let expected = if by_provider { provider() } else { funder() };
        assert!(culprit.same_principal(expected.did()), "{kind}");
        // Of another channel it proves nothing.
        let other = proof.check(&root(BUDGET - 1), &DidKeys);
        assert!(other.is_err(), "{kind}");
    }
}

#[test]
fn nobody_is_convicted_by_what_others_signed() {
    let chain = root(BUDGET);
    let (mallory, eve) = (issuer(8), issuer(9));
    // A claim by somebody else is none: it cannot be made, nor read.
    assert!(Settle::sign(&eve, &terms(&chain), Some(&signed(&mallory, 3, 40)), 40).is_err());
    let kinds = Cheating::ALL.into_iter().filter(|kind| !matches!(kind, Cheating::Overclaim | Cheating::Overcharge));
    for kind in kinds {
        let result = Proof::new(kind, tokens(kind, &mallory, &eve)).map(|proof| proof.check(&chain, &DidKeys));
        assert!(matches!(result, Ok(Err(_))), "{kind}: {result:?}");
    }
    // The provider says of a voucher what it likes: that is no proof against the holder, nor against itself.
    let terms = terms(&chain);
    let close = Close::sign(&provider(), &terms, 3, 40).unwrap().bytes().to_vec();
    for (kind, other) in
        [(Cheating::StaleClose, signed(&funder(), 4, 40)), (Cheating::FalseClose, signed(&funder(), 3, 50))]
    {
        let proof = Proof::new(kind, vec![close.clone(), other.bytes().to_vec()]).unwrap();
        assert!(proof.check(&chain, &DidKeys).is_err());
    }
}

#[test]
fn tokens_with_a_bit_flipped_prove_nothing() {
    let chain = root(BUDGET);
    for kind in Cheating::ALL {
        let good = tokens(kind, &funder(), &provider());
        for at in 0..good.len() {
            for byte in (0..good[at].len()).step_by(7) {
                let mut bad = good.clone();
                bad[at][byte] ^= 1;
                let result = Proof::new(kind, bad).unwrap().check(&chain, &DidKeys);
                // A claim that names a token by its hash is false if there is another one.
                assert!(result.is_err(), "{kind} {at} {byte}");
            }
        }
    }
}

#[test]
fn a_provider_notices_what_holders_do() {
    let chain = root(BUDGET);
    let mut channel = channel(BUDGET);
    channel.draw(&voucher(BUDGET, 3, 40, "t"), now()).unwrap();
    let before = channel.clone();
    for (sequence, total, name, expected) in [
        (3, 50, "t", Cheating::Equivocation),
        (3, 30, "t", Cheating::Equivocation),
        (3, 40, "other", Cheating::Equivocation),
        (4, 39, "t", Cheating::Rollback),
        (2, 41, "t", Cheating::Rollback),
        (4, BUDGET + 1, "t", Cheating::Overdraft),
    ] {
        let Err(DrawError::Cheating { kind, proof }) = channel.draw(&voucher(BUDGET, sequence, total, name), now())
        else {
            panic!("{sequence} {total} {name} was taken")
        };
        assert_eq!(kind, expected);
        assert!(proof.check(&chain, &DidKeys).unwrap().same_principal(funder().did()));
        assert_eq!(channel, before, "nothing has changed");
    }
    for (sequence, total, expected) in
        [(2, 30, Some(Cheating::StaleClose)), (3, 39, Some(Cheating::FalseClose)), (3, 40, None), (9, 90, None)]
    {
        let mut channel = before.clone();
        let proof = channel.close(&verify(close(sequence, total), &DidKeys).unwrap(), now()).unwrap();
        assert_eq!(proof.as_ref().map(Proof::kind), expected);
        if let Some(proof) = proof {
            assert!(proof.check(&chain, &DidKeys).unwrap().same_principal(funder().did()));
        }
    }
}

fn closing(close: Close) -> Closing {
    let chain = root(BUDGET);
    let open = verify(Open::sign(&funder(), &terms(&chain), 100).unwrap(), &DidKeys).unwrap();
    Closing::begin(terms(&chain), &open, verify(close, &DidKeys).unwrap(), now()).unwrap()
}

#[test]
fn a_judge_lets_no_lie_pay() {
    let chain = root(BUDGET);
    let after = at(1_100);
    let show = |closing: &mut Closing, voucher: Voucher| closing.dispute(common::checked(voucher), now());
    let claim = |voucher: Option<&Voucher>, total| {
        verify(Settle::sign(&provider(), &terms(&chain), voucher, total).unwrap(), &DidKeys).unwrap()
    };
    let high = signed(&funder(), 5, 70);

    let mut stale = closing(close(2, 20));
    assert!(show(&mut stale, signed(&funder(), 2, 20)).unwrap());
    assert!(show(&mut stale, high.clone()).unwrap());
    assert!(!show(&mut stale, signed(&funder(), 2, 20)).unwrap(), "a lower one changes nothing");
    let proof = stale.proof().unwrap();
    assert_eq!(proof.kind(), Cheating::StaleClose);
    proof.check(&chain, &DidKeys).unwrap();
    assert!(stale.judge(&claim(Some(&high), 70), now()).is_err(), "too early");
    assert!(stale.judge(&claim(Some(&high), 71), after).is_err(), "more than was signed");
    assert!(stale.judge(&claim(None, 0), after).is_err(), "not the highest voucher");
    assert_eq!(stale.judge(&claim(Some(&high), 70), after).unwrap(), 70);
    assert_eq!(stale.judge(&claim(Some(&high), 60), after).unwrap(), 60, "less was used than was signed for");
    assert!(stale.dispute(common::checked(signed(&funder(), 6, 80)), after).is_err(), "too late");

    // Who signs one number twice owes the higher total, in whatever order they come.
    for [first, second] in [[40, 50], [50, 40]] {
        let mut twice = closing(close(3, 40));
        show(&mut twice, signed(&funder(), 3, first)).unwrap();
        show(&mut twice, signed(&funder(), 3, second)).unwrap();
        assert_eq!(twice.highest().unwrap().total(), 50);
        twice.proof().unwrap().check(&chain, &DidKeys).unwrap();
    }
    let mut over = closing(close(3, 40));
    assert!(show(&mut over, signed(&funder(), 4, BUDGET + 1)).is_err());
    assert_eq!(over.proof().unwrap().kind(), Cheating::Overdraft);
    assert!(over.highest().is_none(), "a funder owes at most the budget");
    assert!(over.dispute(common::checked(signed(&issuer(9), 4, 50)), now()).is_err(), "somebody else's");
}

#[test]
fn claims_without_vouchers_cannot_be_made() {
    let terms = terms(&root(BUDGET));
    assert!(Settle::sign(&provider(), &terms, None, 1).is_err());
    assert!(Close::sign(&funder(), &terms, 0, 1).is_err());
    assert_eq!(Settle::sign(&provider(), &terms, None, 0).unwrap().voucher(), None);
    assert!(Settle::sign(&funder(), &terms, None, 0).is_err(), "only the provider settles");
    assert!(matches!(Proof::new(Cheating::Rollback, vec![]), Err(ProofError::Tokens)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A holder whose purse decides what it signs can never be convicted, of any two of its tokens.
    #[test]
    fn honest_holders_cannot_be_convicted(limits in prop::collection::vec((0_u64..200, 0_u64..200), 1..8)) {
        let chain = root(BUDGET);
        let mut purse = ucan_chan::Purse::new(terms(&chain));
        let mut signed = Vec::new();
        let mut charged = 0;
        for (number, (limit, used)) in (1..).zip(limits) {
            let Ok(draft) = purse.reserve(task(format!("{number}")), limit) else { break };
            signed.push(draft.sign(&funder(), purse.terms()).unwrap().bytes().to_vec());
            let cost = used.min(limit);
            charged += cost;
            let (channel, unit) = (*purse.terms().id(), "gas".parse().unwrap());
            purse.settled(limit, &Charge { channel, unit, number, cost, charged, last: false }).unwrap();
        }
        let (sequence, total) = purse.close();
        let close = close(sequence, total).bytes().to_vec();
        for one in &signed {
            for two in &signed {
                for kind in [Cheating::Equivocation, Cheating::Rollback] {
                    let proof = Proof::new(kind, vec![one.clone(), two.clone()]).unwrap();
                    prop_assert!(proof.check(&chain, &DidKeys).is_err());
                }
            }
            prop_assert!(Proof::new(Cheating::Overdraft, vec![one.clone()]).unwrap().check(&chain, &DidKeys).is_err());
            for kind in [Cheating::StaleClose, Cheating::FalseClose] {
                let proof = Proof::new(kind, vec![close.clone(), one.clone()]).unwrap();
                prop_assert!(proof.check(&chain, &DidKeys).is_err());
            }
        }
    }
}

/// The root delegation has to be the provider's: anybody else's is no channel.
#[test]
fn a_forged_chain_convicts_nobody() {
    let offer = Terms::offer(provider().did(), funder().did().clone(), "gas".parse().unwrap(), 10, common::end());
    let forged = offer.unwrap().nonce(b"root channel".to_vec()).sign(&issuer(9)).unwrap();
    assert!(Terms::read(std::slice::from_ref(&forged)).is_err());
    let voucher = signed(&funder(), 3, 40);
    let proof = Proof::new(Cheating::Overdraft, vec![voucher.bytes().to_vec()]).unwrap();
    assert!(matches!(proof.check(&[forged], &DidKeys), Err(ProofError::Terms(_))));
    assert!(voucher.issuer().same_principal(funder().did()));
}
