//! Of several executors some lie: the right result, or a named refusal, and evidence that others can check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use common::{GUEST, runtime};
use ipvm_task::{Ballot, NotHeard, Runtime, Verdict, Verification, WasmHandler};
use proptest::prelude::*;
use ucan_core::{Cid, Command, Did, DidKeys, Ipld, Issuer, Timestamp, Token, Verified, block, verify};
use ucan_invocation::meta::{ATTEMPT, PROFILE};
use ucan_invocation::{BlockStore, Effects, Handler, MemoryBlocks, Outcome, Receipt, Task, TaskId};
use varsig::ed25519::SigningKey;

static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| wat::parse_str(GUEST).unwrap());
static PROFILE_CID: LazyLock<Cid> = LazyLock::new(|| *runtime().profile().cid());

fn executor(n: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[n; 32]))
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs).unwrap()
}

/// The same instruction for every executor, each of which is the subject of its own task.
fn task(n: u8) -> Task {
    let args = [
        ("mod".to_owned(), Ipld::Link(block::raw_cid(&WASM))),
        ("fun".to_owned(), Ipld::String("divide".to_owned())),
        ("params".to_owned(), Ipld::List(vec![Ipld::Integer(84), Ipld::Integer(2)])),
    ];
    Task::new(executor(n).did().clone(), Command::parse("/wasm/run").unwrap(), args.into(), vec![])
}

/// What an executor states who really runs it.
fn honest(n: u8) -> Receipt {
    static DONE: LazyLock<(Outcome, std::collections::BTreeMap<String, Ipld>)> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let blocks = Arc::new(MemoryBlocks::default());
            blocks.put(&block::raw_cid(&WASM), WASM.clone().into()).await.unwrap();
            let handler = WasmHandler::new(Arc::new(common::runtime()), blocks);
            let done = handler.reexecutor().unwrap().reexecute(&task(0)).await;
            assert_eq!(done.outcome, Outcome::Ok(Ipld::Integer(42)));
            (done.outcome, done.meta)
        })
    });
    let (outcome, mut meta) = DONE.clone();
    meta.insert(PROFILE.to_owned(), Ipld::Link(*PROFILE_CID));
    Receipt::builder(task(n).id().unwrap(), outcome).meta(meta).sign(&executor(n), [n; 16]).unwrap()
}

/// How an executor lies.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Output(i128),
    Effects,
    Fuel,
}

fn lie(n: u8, lie: Lie) -> Receipt {
    let truth = honest(n);
    let (mut outcome, mut meta, mut effects) = (truth.outcome().clone(), truth.meta().clone(), Effects::default());
    match lie {
        Lie::Output(other) => outcome = Outcome::Ok(Ipld::Integer(other)),
        Lie::Effects => effects.fork.push(task(n).id().unwrap()),
        Lie::Fuel => drop(meta.insert("fuel".to_owned(), Ipld::Integer(1))),
    }
    Receipt::builder(*truth.ran(), outcome).meta(meta).effects(effects).sign(&executor(n), [99; 16]).unwrap()
}

fn verified(receipt: Receipt) -> Verified<Receipt> {
    verify(receipt, &DidKeys).unwrap()
}

fn dids(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<Did> {
    numbers.into_iter().map(|n| executor(n).did().clone()).collect()
}

fn consensus(of: u8, agree: usize) -> Verification {
    Verification::Consensus { executors: dids(1..=of), agree: NonZeroUsize::new(agree).unwrap() }
}

fn optimistic(confirmations: u32) -> Verification {
    let referee = executor(9).did().clone();
    Verification::Optimistic { confirmations, referee, window: Duration::from_secs(100) }
}

fn ballot(strategy: Verification) -> Ballot {
    Ballot::new(strategy, &task(0), Some(*PROFILE_CID)).unwrap()
}

fn hear(ballot: &mut Ballot, n: u8, receipt: Receipt, when: u64) -> Result<(), NotHeard> {
    ballot.hear(verified(receipt), &task(n), at(when))
}

fn value(receipt: &Receipt) -> i128 {
    match receipt.outcome() {
        Outcome::Ok(Ipld::Integer(value)) => *value,
        other => panic!("{other:?}"),
    }
}

fn accepted(ballot: &mut Ballot, when: u64) -> i128 {
    match ballot.verdict(at(when)) {
        Verdict::Accepted { receipt, until: None, .. } => value(&receipt),
        other => panic!("{other:?}"),
    }
}

/// That a stranger who has nothing but the receipts and the tasks finds that they cannot all be true.
fn check_evidence(ballot: &Ballot, sides: usize) {
    let evidence = ballot.evidence();
    assert_eq!(evidence.len(), sides);
    for receipt in evidence.iter().flatten() {
        let again = Receipt::decode(receipt.bytes().to_vec()).unwrap();
        let again = verify(again, &DidKeys).unwrap();
        let n = (0..=10).find(|n| executor(*n).did().same_principal(again.issuer())).unwrap();
        assert_eq!(task(n).id().unwrap(), *again.ran());
        assert_eq!(task(n).instruction_id().unwrap(), task(0).instruction_id().unwrap());
    }
}

#[test]
fn two_of_five_lie_and_the_other_three_are_believed() {
    let lies = [Lie::Output(41), Lie::Output(43), Lie::Effects, Lie::Fuel];
    // In agreement or not, in every order in which they come first, last, or between.
    for (one, other) in lies.iter().flat_map(|one| lies.iter().map(move |other| (*one, *other))) {
        for places in [[1, 2], [4, 5], [2, 4], [1, 5]] {
            let mut ballot = ballot(consensus(5, 3));
            for n in 1..=5 {
                let receipt = match places.iter().position(|place| *place == n) {
                    Some(0) => lie(n, one),
                    Some(_) => lie(n, other),
                    None => honest(n),
                };
                hear(&mut ballot, n, receipt, 0).unwrap();
            }
            assert_eq!(accepted(&mut ballot, 0), 42, "{one:?} {other:?} {places:?}");
            let same = matches!((one, other), (Lie::Output(a), Lie::Output(b)) if a == b)
                || matches!((one, other), (Lie::Fuel, Lie::Fuel));
            check_evidence(&ballot, if same { 2 } else { 3 });
        }
    }
}

#[test]
fn three_of_five_who_lie_alike_win_and_three_who_do_not_end_it() {
    let mut fooled = ballot(consensus(5, 3));
    for n in 1..=3 {
        hear(&mut fooled, n, lie(n, Lie::Output(7)), 0).unwrap();
    }
    assert_eq!(accepted(&mut fooled, 0), 7);
    // That they were wrong can still be shown to others.
    hear(&mut fooled, 4, honest(4), 0).unwrap();
    check_evidence(&fooled, 2);

    let mut ended = ballot(consensus(5, 3));
    for (n, wrong) in [(1, 1), (2, 2), (3, 3)] {
        hear(&mut ended, n, lie(n, Lie::Output(wrong)), 0).unwrap();
    }
    // Two are silent, and could still agree with one of them.
    assert!(matches!(ended.verdict(at(0)), Verdict::Waiting { wanted } if wanted.len() == 2));
    hear(&mut ended, 4, honest(4), 0).unwrap();
    assert!(matches!(ended.verdict(at(0)), Verdict::Disagreement));
    check_evidence(&ended, 4);
}

#[test]
fn whoever_states_two_things_has_no_voice() {
    let mut ballot = ballot(consensus(3, 2));
    hear(&mut ballot, 1, honest(1), 0).unwrap();
    hear(&mut ballot, 1, lie(1, Lie::Output(7)), 0).unwrap();
    hear(&mut ballot, 2, lie(2, Lie::Output(7)), 0).unwrap();
    assert!(matches!(ballot.verdict(at(0)), Verdict::Waiting { .. }));
    hear(&mut ballot, 3, honest(3), 0).unwrap();
    // One for each, and nobody left.
    assert!(matches!(ballot.verdict(at(0)), Verdict::Disagreement));
    check_evidence(&ballot, 2);
}

#[test]
fn one_principal_has_one_voice_however_it_is_spelled_and_however_often_it_speaks() {
    let mut ballot = ballot(consensus(5, 3));
    for nonce in 0..10 {
        let truth = honest(1);
        let again = Receipt::builder(*truth.ran(), Outcome::Ok(Ipld::Integer(7))).meta(truth.meta().clone());
        hear(&mut ballot, 1, again.sign(&executor(1), [nonce; 16]).unwrap(), 0).unwrap();
    }
    assert!(matches!(ballot.verdict(at(0)), Verdict::Waiting { wanted } if wanted.len() == 4));
    hear(&mut ballot, 2, honest(2), 0).unwrap();
    assert!(matches!(ballot.verdict(at(0)), Verdict::Waiting { wanted } if wanted.len() == 3));
}

#[test]
fn what_is_about_something_else_is_not_heard() {
    let mut ballot = ballot(consensus(3, 2));
    // Somebody else's receipt, handed in as one's own, is still somebody else's.
    hear(&mut ballot, 1, honest(1), 0).unwrap();
    hear(&mut ballot, 1, honest(1), 0).unwrap();
    assert_eq!(hear(&mut ballot, 2, honest(1), 0), Err(NotHeard::OtherTask));
    let stranger = executor(8).did().clone();
    assert_eq!(hear(&mut ballot, 8, honest(8), 0), Err(NotHeard::NoVoice { issuer: stranger }));

    let mut args = task(2).args().clone();
    args.insert("params".to_owned(), Ipld::List(vec![Ipld::Integer(42), Ipld::Integer(1)]));
    let other = task(2).with_args(args);
    let sign = |ran: TaskId, meta: std::collections::BTreeMap<String, Ipld>| {
        verified(Receipt::builder(ran, Outcome::Ok(Ipld::Integer(42))).meta(meta).sign(&executor(2), [0; 16]).unwrap())
    };
    let meta = honest(2).meta().clone();
    let about_other = sign(other.id().unwrap(), meta.clone());
    assert_eq!(ballot.hear(about_other, &other, at(0)), Err(NotHeard::OtherInstruction));
    let mut elsewhere = meta.clone();
    elsewhere.insert(PROFILE.to_owned(), Ipld::Link(block::raw_cid(b"another machine")));
    let ran = task(2).id().unwrap();
    assert_eq!(ballot.hear(sign(ran, elsewhere), &task(2), at(0)), Err(NotHeard::OtherProfile));
    let mut attempt = meta.clone();
    attempt.insert(ATTEMPT.to_owned(), Ipld::Bool(true));
    assert_eq!(ballot.hear(sign(ran, attempt), &task(2), at(0)), Err(NotHeard::Attempt));
    let old = Receipt::builder(ran, Outcome::Ok(Ipld::Integer(42))).meta(meta).expiration(at(0));
    let old = verified(old.sign(&executor(2), [0; 16]).unwrap());
    assert_eq!(ballot.hear(old, &task(2), at(1)), Err(NotHeard::Expired));
    // None of this has made a difference.
    assert!(matches!(ballot.verdict(at(1)), Verdict::Waiting { wanted } if wanted.len() == 2));
}

#[test]
fn an_oracle_alone_is_believed() {
    let mut ballot = ballot(Verification::Oracle(executor(3).did().clone()));
    assert!(hear(&mut ballot, 1, honest(1), 0).is_err());
    assert!(matches!(ballot.verdict(at(0)), Verdict::Waiting { wanted } if wanted == [executor(3).did().clone()]));
    hear(&mut ballot, 3, honest(3), 0).unwrap();
    assert_eq!(accepted(&mut ballot, 0), 42);
    // It changes its mind, which is of no use any more, and evidence.
    hear(&mut ballot, 3, lie(3, Lie::Output(7)), 0).unwrap();
    assert_eq!(accepted(&mut ballot, 0), 42);
    check_evidence(&ballot, 2);
}

#[test]
fn an_optimistic_result_stands_until_somebody_says_otherwise_in_time() {
    // Nobody says anything.
    let mut quiet = ballot(optimistic(0));
    hear(&mut quiet, 1, honest(1), 10).unwrap();
    assert!(matches!(quiet.verdict(at(20)), Verdict::Accepted { until: Some(until), .. } if until == at(110)));
    assert_eq!(accepted(&mut quiet, 111), 42);
    // Too late.
    hear(&mut quiet, 2, lie(2, Lie::Output(7)), 112).unwrap();
    assert_eq!(accepted(&mut quiet, 113), 42);

    // Two others say the same.
    let mut confirmed = ballot(optimistic(2));
    for n in 1..=3 {
        assert!(matches!(confirmed.verdict(at(0)), Verdict::Waiting { .. } | Verdict::Accepted { until: Some(_), .. }));
        hear(&mut confirmed, n, honest(n), 0).unwrap();
    }
    assert_eq!(accepted(&mut confirmed, 0), 42);

    for (liar, right) in [(1, 2), (2, 1)] {
        let mut challenged = ballot(optimistic(2));
        for n in [1, 2] {
            hear(&mut challenged, n, if n == liar { lie(n, Lie::Fuel) } else { honest(n) }, 50).unwrap();
        }
        // The end of the window settles nothing any more.
        assert!(
            matches!(challenged.verdict(at(500)), Verdict::Waiting { wanted } if wanted == [executor(9).did().clone()])
        );
        hear(&mut challenged, 9, honest(9), 600).unwrap();
        match challenged.verdict(at(600)) {
            Verdict::Accepted { receipt, until: None, supporters } => {
                assert!((liar, right) == (2, 1) && supporters.len() == 2);
                assert_eq!(value(&receipt), 42);
            }
            Verdict::Overturned { receipt } => {
                assert_eq!((liar, right), (1, 2));
                assert!(receipt.issuer().same_principal(executor(9).did()));
            }
            other => panic!("{other:?}"),
        }
        check_evidence(&challenged, 2);
    }
}

#[test]
fn the_first_word_of_a_referee_is_final() {
    let mut ballot = ballot(optimistic(0));
    hear(&mut ballot, 1, honest(1), 0).unwrap();
    hear(&mut ballot, 2, lie(2, Lie::Output(7)), 0).unwrap();
    hear(&mut ballot, 9, lie(9, Lie::Output(8)), 0).unwrap();
    assert!(matches!(ballot.verdict(at(0)), Verdict::Overturned { .. }));
    hear(&mut ballot, 9, honest(9), 0).unwrap();
    assert!(matches!(ballot.verdict(at(0)), Verdict::Overturned { receipt } if value(&receipt) == 8));
}

proptest! {
    /// Whatever is said in whatever order: what is accepted has enough voices, of honest ones where these are enough; and a final
    /// verdict stays.
    #[test]
    fn no_statement_is_accepted_without_enough_voices(
        said in prop::collection::vec((1_u8..=5, 40_i128..=42), 0..12),
        agree in 3_usize..=5,
    ) {
        let mut ballot = ballot(consensus(5, agree));
        let mut last: Option<i128> = None;
        let mut stated: std::collections::BTreeMap<u8, BTreeSet<i128>> = Default::default();
        for (n, output) in said {
            let receipt = if output == 42 { honest(n) } else { lie(n, Lie::Output(output)) };
            hear(&mut ballot, n, receipt, 0).unwrap();
            if last.is_none() {
                stated.entry(n).or_default().insert(output);
            }
            match ballot.verdict(at(0)) {
                Verdict::Accepted { receipt, supporters, .. } => {
                    let accepted = value(&receipt);
                    prop_assert!(last.is_none_or(|last| last == accepted));
                    let voices = stated.values().filter(|said| said.len() == 1 && said.contains(&accepted)).count();
                    prop_assert!(voices >= agree, "{voices} of {agree}");
                    prop_assert!(supporters.len() >= agree);
                    last = Some(accepted);
                }
                Verdict::Waiting { .. } | Verdict::Disagreement => prop_assert!(last.is_none()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn without_contradictions_of_one_and_the_same_the_order_makes_no_difference(
        outputs in prop::array::uniform5(41_i128..=42),
        order in Just([1_u8, 2, 3, 4, 5]).prop_shuffle(),
    ) {
        let run = |order: &[u8]| {
            let mut ballot = ballot(consensus(5, 3));
            for n in order {
                let output = outputs[usize::from(*n) - 1];
                let receipt = if output == 42 { honest(*n) } else { lie(*n, Lie::Output(output)) };
                hear(&mut ballot, *n, receipt, 0).unwrap();
            }
            accepted(&mut ballot, 0)
        };
        prop_assert_eq!(run(&order), run(&[1, 2, 3, 4, 5]));
    }
}
