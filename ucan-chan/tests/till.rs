//! A till over a store: opening, drawing, sub-channels, closing; many spenders at once; invocations that have to be paid for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{BUDGET, WINDOW, at, end, funder, issuer, now, opened, part, provider, root, task, terms, till};
use ucan_chan::{
    ChannelError, Close, DrawError, MemoryChannels, Meter, Metered, MeteredError, Open, Status, Terms, Till, TillError,
    Voucher, authorize_metered,
};
use ucan_core::{Cid, Context, Delegation, DidKeys, Issuer};
use ucan_invocation::{Invocation, InvocationError};

#[tokio::test]
async fn a_channel_from_beginning_to_end() {
    let (till, chain) = (till(), root(BUDGET));
    let mut purse = opened(&till, &funder(), &chain).await;
    let id = *purse.terms().id();
    // Opening again changes nothing; with another window it is refused.
    opened(&till, &funder(), &chain).await;
    let other = Open::sign(&funder(), purse.terms(), WINDOW + 1).unwrap();
    let again = till.open(other.bytes(), &chain, &Context::new(now(), &DidKeys)).await;
    assert!(matches!(again, Err(TillError::Channel(ChannelError::OtherTerms))));

    let mut sum = 0;
    for round in 1..=5 {
        let draft = purse.reserve(task(format!("{round}")), 100).unwrap();
        let voucher = draft.sign(&funder(), purse.terms()).unwrap();
        let drawn = till.draw(voucher.bytes(), &DidKeys, now()).await.unwrap();
        assert_eq!(drawn.credit, 100);
        assert_eq!(till.draw(voucher.bytes(), &DidKeys, now()).await.unwrap().more, 0, "a replay draws nothing");
        let reserved = till.reserve(&id, draft.paid_for, 100, now()).await.unwrap();
        let refused = till.reserve(&id, task("another"), 1, now()).await;
        assert!(matches!(refused, Err(TillError::Channel(ChannelError::NoCredit { credit: 0, asked: 1 }))));
        let charge = till.charge(reserved, 10 * round).await.unwrap();
        sum += 10 * round;
        assert_eq!((charge.number, charge.charged), (round, sum));
        purse.settled(100, &charge).unwrap();
    }
    assert!(matches!(till.settle(&id, &provider(), now()).await, Err(TillError::Channel(ChannelError::Unfinished))));
    let (sequence, total) = purse.close();
    let close = Close::sign(&funder(), purse.terms(), sequence, total).unwrap();
    let (status, proof) = till.close(close.bytes(), &DidKeys, now()).await.unwrap();
    assert_eq!((status, proof), (Status::Closing { until: at(1_100), by: Some(ucan_chan::Side::Holder) }, None));
    assert!(till.settle(&id, &provider(), now()).await.is_err(), "it can be disputed");
    // The provider agrees, so that nobody has to wait.
    let agreed = Close::sign(&provider(), purse.terms(), sequence, total).unwrap();
    till.close(agreed.bytes(), &DidKeys, now()).await.unwrap();
    for _ in 0..2 {
        let settle = till.settle(&id, &provider(), now()).await.unwrap();
        assert_eq!((settle.total(), settle.sequence()), (sum, 5), "what was charged is due, not what was signed for");
    }
    let last = till.channel(&id).await.unwrap().last_charge().unwrap();
    assert_eq!((last.cost, last.charged, last.number, last.last), (0, sum, 6, true));
}

#[tokio::test]
async fn who_has_no_right_is_refused() {
    let (till, chain) = (till(), root(BUDGET));
    let terms = terms(&chain);
    let ctx = Context::new(now(), &DidKeys);
    let open = |by: &Issuer| Open::sign(by, &terms, WINDOW).unwrap();
    let refused = till.open(open(&issuer(9)).bytes(), &chain, &ctx).await;
    assert!(matches!(refused, Err(TillError::Authority(InvocationError::Chain(_)))), "{refused:?}");
    let late = till.open(open(&funder()).bytes(), &chain, &Context::new(at(20_000), &DidKeys)).await;
    assert!(matches!(late, Err(TillError::Authority(_))));
    let revoked = |cid: &Cid, _: &ucan_core::Did| cid == chain[0].cid();
    let gone = Context { revoked: Some(&revoked), ..ctx };
    assert!(matches!(till.open(open(&funder()).bytes(), &chain, &gone).await, Err(TillError::Authority(_))));
    let elsewhere = Till::new(Arc::new(MemoryChannels::default()), issuer(9).did().clone(), 1);
    assert!(matches!(elsewhere.open(open(&funder()).bytes(), &chain, &ctx).await, Err(TillError::Authority(_))));
    let voucher = Voucher::sign(&funder(), &terms, 1, 10, task("a")).unwrap();
    assert!(matches!(till.draw(voucher.bytes(), &DidKeys, now()).await, Err(TillError::Unknown { .. })));

    opened(&till, &funder(), &chain).await;
    let stolen = Voucher::sign(&issuer(9), &terms, 1, 10, task("a")).unwrap();
    let refused = till.draw(stolen.bytes(), &DidKeys, now()).await;
    assert!(matches!(refused, Err(TillError::Draw(DrawError::OtherParty))));
    let mut forged = voucher.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert!(till.draw(&forged, &DidKeys, now()).await.is_err());
    let late = till.draw(voucher.bytes(), &DidKeys, at(10_061)).await;
    assert!(matches!(late, Err(TillError::Draw(DrawError::Expired { .. }))));
    let id = *terms.id();
    assert_eq!(till.expire(&id, at(10_061)).await.unwrap(), Status::Closing { until: at(10_160), by: None });
    assert_eq!(till.settle(&id, &provider(), at(10_160)).await.unwrap().total(), 0);
}

/// An ordinary validator of chains, which knows nothing of channels, refuses what overdraws one.
#[test]
fn a_chain_refuses_an_overdraft_by_itself() {
    let chain = part(&root(BUDGET), &funder(), &issuer(3), 300, 7);
    let find = |cid: &Cid| chain.iter().find(|link| link.cid() == cid).cloned();
    let ask = |total| {
        let voucher = Voucher::sign(&issuer(3), &terms(&chain), 1, total, task("a")).unwrap();
        let ctx = Context::new(now(), &DidKeys);
        ucan_invocation::authorize(voucher.invocation().clone(), provider().did(), &find, &ctx)
    };
    ask(300).unwrap();
    assert_eq!(ask(301).unwrap_err().name(), "MatchError");
}

#[tokio::test]
async fn sub_channels_never_come_to_more_than_there_is() {
    let (till, above) = (till(), root(100));
    let mut purse = opened(&till, &funder(), &above).await;
    let parts: Vec<_> = (0..3).map(|at| part(&above, &funder(), &issuer(3 + at), 40, at)).collect();
    let ctx = Context::new(now(), &DidKeys);
    let open = async |at: usize| {
        let open = Open::sign(&issuer(3 + u8::try_from(at).unwrap()), &terms(&parts[at]), WINDOW).unwrap();
        till.open(open.bytes(), &parts[at], &ctx).await
    };
    open(0).await.unwrap();
    open(1).await.unwrap();
    let third = open(2).await;
    assert!(matches!(third, Err(TillError::Channel(ChannelError::Exhausted { left: 20, asked: 40 }))));
    // The funder itself has what is left, and no more.
    purse.allot(80).unwrap();
    assert!(purse.reserve(task("a"), 21).is_err());
    let greedy = Voucher::sign(&funder(), purse.terms(), 1, 21, task("a")).unwrap();
    let refused = till.draw(greedy.bytes(), &DidKeys, now()).await;
    assert!(matches!(refused, Err(TillError::Draw(DrawError::Exhausted { left: 20, asked: 21 }))));

    // One draws 15 and closes: 25 go back, which is enough for the third with what is left.
    let first = terms(&parts[0]);
    let voucher = Voucher::sign(&issuer(3), &first, 1, 15, task("b")).unwrap();
    till.draw(voucher.bytes(), &DidKeys, now()).await.unwrap();
    let reserved = till.reserve(first.id(), task("b"), 15, now()).await.unwrap();
    till.charge(reserved, 15).await.unwrap();
    let close = Close::sign(&issuer(3), &first, 1, 15).unwrap();
    till.close(close.bytes(), &DidKeys, now()).await.unwrap();
    assert_eq!(till.settle(first.id(), &provider(), at(1_100)).await.unwrap().total(), 15);
    till.settle(first.id(), &provider(), at(1_100)).await.unwrap();
    assert_eq!(till.channel(purse.terms().id()).await.unwrap().allotted(), 55, "taken back once");
    open(2).await.unwrap();
    // The root cannot be settled before what is below it.
    let close = Close::sign(&funder(), purse.terms(), 0, 0).unwrap();
    till.close(close.bytes(), &DidKeys, now()).await.unwrap();
    let early = till.settle(purse.terms().id(), &provider(), at(2_000)).await;
    assert!(matches!(early, Err(TillError::Channel(ChannelError::Unfinished))));
}

/// 100 spenders on one channel, by sub-channels whose delegations come to twice of what there is: those that are opened spend all
/// they have, and no more than was funded is spent in all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_spenders_by_sub_channels() {
    let (till, above) = (till(), root(1_000));
    let id = *opened(&till, &funder(), &above).await.terms().id();
    let spenders = (0..100_u8).map(|at| {
        let (till, holder) = (till.clone(), issuer(100 + at));
        let chain = part(&above, &funder(), &holder, 20, at);
        tokio::spawn(async move {
            let open = Open::sign(&holder, &terms(&chain), WINDOW).unwrap();
            match till.open(open.bytes(), &chain, &Context::new(now(), &DidKeys)).await {
                Ok(_) => {}
                Err(TillError::Channel(ChannelError::Exhausted { .. })) => return 0,
                Err(error) => panic!("{error}"),
            }
            let mut purse = ucan_chan::Purse::new(terms(&chain));
            while let Ok(draft) = purse.reserve(task("t"), 7) {
                let voucher = draft.sign(&holder, purse.terms()).unwrap();
                till.draw(voucher.bytes(), &DidKeys, now()).await.unwrap();
                let reserved = till.reserve(purse.terms().id(), task("t"), 7, now()).await.unwrap();
                let charge = till.charge(reserved, 5).await.unwrap();
                till.filed(&charge);
                purse.settled(7, &charge).unwrap();
            }
            purse.charged()
        })
    });
    let spent: Vec<u64> = futures_util::future::join_all(spenders).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(spent.iter().filter(|spent| **spent > 0).count(), 50, "half of them could open");
    assert_eq!(spent.iter().sum::<u64>(), 50 * 15);
    assert_eq!(till.channel(&id).await.unwrap().left(), 0);
}

/// 100 tasks of one spender at once, on one channel: the vouchers arrive in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_on_one_channel() {
    let (till, chain) = (till(), root(BUDGET));
    let mut purse = opened(&till, &funder(), &chain).await;
    let id = *purse.terms().id();
    let drafts: Vec<_> = (0..100).map(|at| purse.reserve(task(format!("{at}")), 10).unwrap()).collect();
    assert!(purse.reserve(task("one more"), 1).is_err());
    let tasks = drafts.into_iter().map(|draft| {
        let (till, terms) = (till.clone(), purse.terms().clone());
        tokio::spawn(async move {
            let voucher = draft.sign(&funder(), &terms).unwrap();
            till.draw(voucher.bytes(), &DidKeys, now()).await.unwrap();
            // Others' vouchers that are older draw nothing, but all of them have come in the end.
            let reserved = loop {
                match till.reserve(&id, draft.paid_for, 10, now()).await {
                    Ok(reserved) => break reserved,
                    Err(TillError::Channel(ChannelError::NoCredit { .. })) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            };
            let charge = till.charge(reserved, 9).await.unwrap();
            till.filed(&charge);
            charge
        })
    });
    let mut numbers = Vec::new();
    for charge in futures_util::future::join_all(tasks).await {
        let charge = charge.unwrap();
        purse.settled(10, &charge).unwrap();
        numbers.push(charge.number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>(), "each charge has a number of its own");
    let channel = till.channel(&id).await.unwrap();
    assert_eq!((channel.total(), channel.charged(), channel.credit(), purse.charged()), (1_000, 900, 100, 900));
}

#[tokio::test]
async fn what_is_set_aside_does_not_outlive_the_process() {
    let store = Arc::new(MemoryChannels::default());
    let chain = root(BUDGET);
    let first = Till::new(store.clone(), provider().did().clone(), 1);
    let purse = opened(&first, &funder(), &chain).await;
    let id = *purse.terms().id();
    let voucher = Voucher::sign(&funder(), purse.terms(), 1, 100, task("a")).unwrap();
    first.draw(voucher.bytes(), &DidKeys, now()).await.unwrap();
    let reserved = first.reserve(&id, task("a"), 100, now()).await.unwrap();
    let second = Till::new(store, provider().did().clone(), 2);
    let again = second.reserve(&id, task("a"), 100, now()).await.unwrap();
    assert!(matches!(first.charge(reserved, 1).await, Err(TillError::Channel(ChannelError::Epoch { .. }))));
    assert!(first.reserve(&id, task("a"), 0, now()).await.is_err(), "an earlier epoch is over");
    assert_eq!(second.charge(again, 60).await.unwrap().charged, 60, "charged once");
}

#[test]
fn an_invocation_that_is_metered_needs_its_voucher() {
    let (owner, user) = (provider(), funder());
    let chain = root(BUDGET);
    let channel = *chain[0].cid();
    let grant = |metered: bool, subject: &Issuer| {
        let mut meta = BTreeMap::new();
        if metered {
            Metered { channel, unit: "gas".parse().unwrap() }.put(&mut meta);
        }
        Delegation::builder(user.did().clone(), Some(subject.did().clone()), "/wasm/run".parse().unwrap())
            .meta(meta)
            .nonce(vec![1; 12])
            .sign(subject)
            .unwrap()
    };
    let check = |grant: &Delegation, subject: &Issuer, vouchers: &[Voucher], nonce: u8| {
        let asked = Invocation::builder(subject.did().clone(), "/wasm/run".parse().unwrap(), BTreeMap::new())
            .audience(owner.did().clone())
            .nonce(vec![nonce])
            .proofs(vec![*grant.cid()])
            .sign(&user)
            .unwrap();
        let find = |cid: &Cid| chain.iter().chain([grant]).find(|link| link.cid() == cid).cloned();
        let task = asked.task().id().unwrap();
        let ctx = Context::new(now(), &DidKeys);
        (authorize_metered(asked, vouchers, owner.did(), &find, &ctx).map(|paid| paid.vouchers().len()), task)
    };
    let (free, metered) = (grant(false, &owner), grant(true, &owner));
    assert_eq!(check(&free, &owner, &[], 1).0, Ok(0));
    let (refused, task) = check(&metered, &owner, &[], 1);
    assert_eq!(refused, Err(MeteredError::Unpaid { channel, unit: "gas".parse().unwrap() }));

    let terms = terms(&chain);
    let good = Voucher::sign(&user, &terms, 1, 100, task).unwrap();
    assert_eq!(check(&metered, &owner, std::slice::from_ref(&good), 1).0, Ok(1));
    assert!(check(&metered, &owner, std::slice::from_ref(&good), 2).0.is_err(), "for another task");
    for bad in [
        Voucher::sign(&user, &terms, 1, 100, common::task("other")).unwrap(),
        Voucher::sign(&issuer(9), &terms, 1, 100, task).unwrap(),
    ] {
        assert!(matches!(check(&metered, &owner, &[bad], 1).0, Err(MeteredError::Unpaid { .. })));
    }
    let over = Voucher::sign(&user, &terms, 1, BUDGET + 1, task).unwrap();
    assert!(matches!(check(&metered, &owner, &[over], 1).0, Err(MeteredError::Invocation(_))), "over the budget");
    // Metered by somebody whose channels are not kept here.
    let foreign = grant(true, &issuer(9));
    let result = check(&foreign, &issuer(9), &[good], 1).0;
    assert!(matches!(result, Err(MeteredError::Foreign { .. })), "{result:?}");
    assert!(Terms::read(&[metered]).is_err() && end() > now());
}
