//! What is not believed, not forwarded and not waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::script::{deliver, error, ok, silent, told, world_of};
use common::{NOW, at, id, issuer, number, paused, promise};
use tokio::time::{Instant, sleep};
use ucan_core::{Delegation, Did, DidKeys, Ipld, Token, verify};
use ucan_invocation::{
    Await, Branch, Failure, Invocation, Outcome, Patience, Receipt, ReceiptStore, RequestStore, Trust, contradictions,
};

#[test]
fn a_hint_by_somebody_else_is_neither_believed_nor_forwarded() {
    paused(async {
        let world = silent();
        // Mallory has no authority; Bob has, and has asked for nothing that the invoker awaits.
        for by in [66, 2] {
            let mut hint = world.network.ask_by(&issuer(by), 101, "/sum", vec![number(1)]);
            if by == 2 {
                let args = hint.args().clone();
                hint = Invocation::builder(world.network.alice.did().clone(), "/sum".parse().unwrap(), args)
                    .audience(issuer(101).did().clone())
                    .proofs(vec![*world.network.grants[0].cid()])
                    .sign(&issuer(2))
                    .unwrap();
            }
            let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
            let (start, receipt) = (Instant::now(), told(&hint, ok(1), 101, false));
            for brought in [vec![], vec![&receipt as &dyn Token]] {
                let tokens: Vec<&dyn Token> = brought.into_iter().chain([&hint as &dyn Token]).collect();
                let refused = world.after(&waiting, &tokens, &[]).await;
                assert_eq!(refused.outcome().failure_name(), Some("Unresolved"));
                assert_eq!(error(&refused, "until"), None, "nobody waited");
            }
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        assert_eq!(world.forwarded(), []);
    });
}

#[test]
fn hints_that_are_forged_expired_or_without_authority_are_void() {
    paused(async {
        let world = silent();
        let good = || {
            let args = [("of".to_owned(), Ipld::List(vec![number(1)]))].into();
            let proofs = world.network.grants.iter().map(|grant| *grant.cid()).collect();
            Invocation::builder(world.network.alice.did().clone(), "/sum".parse().unwrap(), args)
                .audience(issuer(101).did().clone())
                .proofs(proofs)
        };
        let invoker = &world.network.invoker;
        let signed = good().sign(invoker).unwrap();
        let Ok(Ipld::List(mut parts)) = ucan_core::dagcbor::decode(signed.envelope().bytes()) else { panic!("a list") };
        parts[0] = Ipld::Bytes(vec![7; 64]);
        let forged = Invocation::decode(ucan_core::dagcbor::encode(&Ipld::List(parts)).unwrap()).unwrap();
        for hint in [
            forged,
            good().expiration(at(NOW - 100)).sign(invoker).unwrap(),
            good().proofs(vec![]).sign(invoker).unwrap(),
        ] {
            let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
            let refused = world.after(&waiting, &[&hint], &[]).await;
            assert_eq!(refused.outcome().failure_name(), Some("Unresolved"));
            assert_eq!(error(&refused, "until"), None);
        }
        assert_eq!(world.forwarded(), []);
        // With a good one beside them, that one counts.
        let (void, hint) = (good().expiration(at(NOW - 100)).sign(invoker).unwrap(), signed);
        let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
        let done = world.after(&waiting, &[&void, &hint], &[told(&hint, ok(1), 101, false)]).await;
        assert_eq!(done.outcome(), &ok(1));
    });
}

/// Receipts that say nothing of the task, or say it for nobody who could know.
fn wrong(of: &Invocation, other: &Invocation) -> Vec<Receipt> {
    let expired = Receipt::builder(id(of), ok(7)).expiration(at(NOW - 100)).sign(&issuer(101), [1; 16]).unwrap();
    vec![
        told(of, ok(7), 66, false),
        told(of, ok(7), 3, false),
        told(of, ok(7), 101, true),
        told(of, Failure::new("Failed", "once").into(), 101, true),
        told(other, ok(7), 101, false),
        expired,
    ]
}

#[test]
fn only_whoever_was_asked_is_believed() {
    paused(async {
        let world = silent();
        let ask = |value| world.network.ask(101, "/sum", vec![number(value)]);
        let (hint, other) = (ask(1), ask(2));
        let waiting = |plus| world.network.ask(100, "/sum", vec![promise(&hint), number(plus)]);
        let (good, wrong) = (told(&hint, ok(1), 101, false), wrong(&hint, &other));
        let tokens: Vec<&dyn Token> = wrong.iter().map(|receipt| receipt as &dyn Token).chain([&hint as _]).collect();
        // Delivered or brought along, nothing of that is believed until the deadline.
        for (plus, tokens) in [(10, &[&hint as &dyn Token][..]), (20, &tokens)] {
            let start = Instant::now();
            let late = world.after(&waiting(plus), tokens, &wrong).await;
            assert_eq!(late.outcome().failure_name(), Some("Unresolved"));
            assert!(start.elapsed() >= Duration::from_secs(300));
        }
        let all = [&wrong[..], std::slice::from_ref(&good)].concat();
        let done = world.after(&waiting(30), &tokens, &all).await;
        assert_eq!(done.outcome(), &ok(31));
        assert_eq!(done.meta()["awaited"], Ipld::List(vec![Ipld::Link(good.id().into())]));
        // What was believed once is known: nobody is asked again.
        let sent = world.forwarded().len();
        assert_eq!(world.after(&waiting(40), &[&hint], &[]).await.outcome(), &ok(41));
        assert_eq!(world.forwarded().len(), sent);
        // Brought along, the good one counts too.
        let world = silent();
        let tokens: Vec<&dyn Token> = tokens.into_iter().chain([&good as _]).collect();
        assert_eq!(world.after(&waiting(10), &tokens, &[]).await.outcome(), &ok(11));
    });
}

#[test]
fn who_may_not_ask_is_not_told() {
    paused(async {
        // Bob may do what the invoker may, as long as no number is above 1000 in what he adds up.
        let world = silent();
        let policy = ucan_core::dagjson::decode(br#"[["all", ".of", ["<", ".", 1000]]]"#).unwrap();
        let carol = issuer(33);
        let alice = &world.network.alice;
        let grant = Delegation::builder(carol.did().clone(), Some(alice.did().clone()), "/".parse().unwrap());
        let grant = grant.policy(ucan_core::Policy::parse(&policy).unwrap()).sign(alice).unwrap();
        let ask = |to: u8, of: Vec<Ipld>| {
            let args = [("of".to_owned(), Ipld::List(of))].into();
            let asked = Invocation::builder(alice.did().clone(), "/sum".parse().unwrap(), args);
            asked.audience(issuer(to).did().clone()).proofs(vec![*grant.cid()]).sign(&carol).unwrap()
        };
        // What she awaits awaits something itself, so that nobody but its executor knows whether she may ask for it.
        let base = world.network.ask(101, "/sum", vec![number(5000)]);
        let secret = ask(101, vec![promise(&base)]);
        let curious = ask(100, vec![promise(&secret)]);
        let receipt = told(&secret, ok(1), 101, false);
        let refused = world.after(&curious, &[&secret, &base, &grant], &[receipt]).await;
        assert_eq!(refused.outcome().failure_name(), Some("Unresolved"));
        // Its answer counts, and so does its refusal.
        let refusing = world_of(&Trust::Own, Patience::default(), move |_, container| {
            let asked = container.contents().others.into_iter().map(|token| Invocation::from_envelope(token).unwrap());
            let refused = |of: Invocation| told(&of, Failure::new("NoChain", "no").into(), 101, true);
            Some(asked.map(|of| refused(of).bytes().to_vec()).collect())
        });
        let refused = refusing.after(&curious, &[&secret, &base, &grant], &[]).await;
        assert_eq!(refused.outcome().failure_name(), Some("Unresolved"));
        let because = [("name", "NoChain"), ("message", "no")];
        let because = because.map(|(key, text)| (key.to_owned(), Ipld::String(text.to_owned()))).into();
        assert_eq!(error(&refused, "because"), Some(&Ipld::Map(because)));
    });
}

#[test]
fn what_is_forwarded_is_what_the_awaited_task_needs_and_nothing_else() {
    paused(async {
        let world = silent();
        let ask = |to: u8, of: Vec<Ipld>| world.network.ask(to, "/sum", of);
        let (deep, here) = (ask(102, vec![number(1)]), ask(100, vec![number(2)]));
        let (answered, by_other) =
            (ask(103, vec![number(3)]), world.network.ask_by(&issuer(2), 102, "/sum", vec![number(4)]));
        let known = told(&answered, ok(3), 103, false);
        let awaited = ask(101, [&deep, &here, &answered, &by_other].map(promise).to_vec());
        let waiting = ask(100, vec![promise(&awaited)]);
        let sibling = ask(100, vec![promise(&awaited), number(9)]);
        let after = ask(101, vec![promise(&waiting)]);
        let unrelated = [ask(101, vec![number(77)]), ask(100, vec![number(78)])];
        let stray = Delegation::builder(issuer(5).did().clone(), None, "/".parse().unwrap()).sign(&issuer(4)).unwrap();
        let tokens: Vec<&dyn Token> = vec![
            &deep,
            &here,
            &answered,
            &by_other,
            &known,
            &awaited,
            &waiting,
            &sibling,
            &after,
            &unrelated[0],
            &unrelated[1],
            &stray,
        ];
        let asking = world.executor();
        let container = world.network.container(&tokens);
        let asking = tokio::spawn(async move { asking.execute(&container).await });
        sleep(Duration::from_secs(1)).await;
        let expected: BTreeSet<Vec<u8>> = [&deep, &here, &answered, &awaited]
            .map(|token| token.envelope().bytes().to_vec())
            .into_iter()
            .chain([known.bytes().to_vec()])
            .chain(world.network.grants.iter().map(|grant| grant.bytes().to_vec()))
            .collect();
        // Both who await it share one request.
        assert_eq!(world.forwarded(), [expected]);
        asking.abort();
    });
}

#[test]
fn who_would_be_refused_makes_nobody_be_asked() {
    paused(async {
        let world = silent();
        let hint = world.network.ask(101, "/sum", vec![number(1)]);
        let no_handler = world.network.ask(100, "/nothing", vec![promise(&hint)]);
        assert_eq!(world.after(&no_handler, &[&hint], &[]).await.outcome().failure_name(), Some("NoHandler"));
        let mallory = issuer(66);
        let hint = world.network.ask_by(&mallory, 101, "/sum", vec![number(1)]);
        let waiting = world.network.ask_by(&mallory, 100, "/sum", vec![promise(&hint)]);
        assert_eq!(world.after(&waiting, &[&hint], &[]).await.outcome().failure_name(), Some("InvalidAudience"));
        assert_eq!(world.forwarded(), []);
    });
}

#[test]
fn what_comes_after_the_deadline_starts_nothing() {
    paused(async {
        let world = silent();
        let hint = world.network.ask(101, "/sum", vec![number(1)]);
        let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
        let late = world.after(&waiting, &[&hint], &[]).await;
        assert_eq!(error(&late, "until"), Some(&number(i128::from(NOW) + 300)));
        let Some(Ipld::String(last)) = error(&late, "last") else { panic!("{:?}", late.outcome()) };
        assert!(last.contains("did not answer within 30s"), "{last}");
        assert!(late.is_attempt());
        // It was asked again and again, always in the same words.
        let forwarded = world.forwarded();
        assert!(forwarded.len() >= 8 && forwarded.iter().all(|sent| sent == &forwarded[0]), "{}", forwarded.len());
        assert!(world.executor().execute(&deliver(&told(&hint, ok(1), 101, false))).await.unwrap().is_empty());
        sleep(Duration::from_secs(10)).await;
        assert!(world.network.computed.lock().unwrap().is_empty());
        assert_eq!(world.network.node(100).requests.list().await.unwrap(), []);
    });
}

#[test]
fn proofs_and_hints_that_end_end_the_wait() {
    for by_proof in [true, false] {
        paused(async {
            let world = silent();
            let (invoker, alice) = (&world.network.invoker, world.network.alice.did().clone());
            let lent = Delegation::builder(invoker.did().clone(), Some(alice.clone()), "/".parse().unwrap());
            let lent = lent.expiration(Some(at(NOW + 40))).sign(&world.network.alice).unwrap();
            let grants: Vec<_> = world.network.grants.iter().map(|grant| *grant.cid()).collect();
            let ask = |to: u8, of: Vec<Ipld>, proofs: Vec<ucan_core::Cid>, end: u64| {
                let args = [("of".to_owned(), Ipld::List(of))].into();
                let asked = Invocation::builder(alice.clone(), "/sum".parse().unwrap(), args);
                asked.audience(issuer(to).did().clone()).proofs(proofs).expiration(at(end)).sign(invoker).unwrap()
            };
            let (end, proofs) = if by_proof { (5000, vec![*lent.cid()]) } else { (40, grants.clone()) };
            let hint = ask(101, vec![number(1)], grants, NOW + end);
            let waiting = ask(100, vec![promise(&hint)], proofs, NOW + 5000);
            let late = world.after(&waiting, &[&hint, &lent], &[]).await;
            assert_eq!(error(&late, "until"), Some(&number(i128::from(NOW) + 100)));
        });
    }
}

#[test]
fn what_one_invoker_believes_is_not_handed_to_another() {
    paused(async {
        // Mallory may ask for what the invoker may, and asks himself for what is awaited.
        let world = silent();
        let (alice, mallory) = (&world.network.alice, issuer(66));
        let grant = Delegation::builder(mallory.did().clone(), Some(alice.did().clone()), "/".parse().unwrap());
        let grant = grant.sign(alice).unwrap();
        for command in ["/sum", "/log"] {
            let ask = |by: &ucan_core::Issuer, to: u8, of: Vec<Ipld>, proofs: Vec<ucan_core::Cid>| {
                let args = [("of".to_owned(), Ipld::List(of))].into();
                let asked = Invocation::builder(alice.did().clone(), command.parse().unwrap(), args);
                asked.audience(issuer(to).did().clone()).proofs(proofs).expiration(at(NOW + 5000)).sign(by).unwrap()
            };
            let by_mallory = |to, of| ask(&mallory, to, of, vec![*grant.cid()]);
            let grants: Vec<_> = world.network.grants.iter().map(|grant| *grant.cid()).collect();
            let honest = |to, of| ask(&world.network.invoker, to, of, grants.clone());
            let his = by_mallory(66, vec![number(1)]);
            let lie = told(&his, ok(999), 66, false);
            let first = by_mallory(100, vec![promise(&his), number(10)]);
            let done = world.after(&first, &[&his, &grant, &lie], &[]).await;
            assert_eq!(done.outcome(), &ok(1009), "it is his own affair");
            // The same tasks, by somebody who asks whom she trusts for the first.
            let hint = honest(101, vec![number(1)]);
            let waiting = honest(100, vec![promise(&hint), number(10)]);
            assert_eq!((id(&hint), id(&waiting)), (id(&his), id(&first)));
            let truth = told(&hint, ok(1), 101, false);
            let done = world.after(&waiting, &[&hint], &[truth]).await;
            match command {
                // What alters the world is not done twice, and its receipt is not hers.
                "/log" => assert_eq!(done.outcome().failure_name(), Some("Replayed")),
                _ => assert_eq!(done.outcome(), &ok(11), "{command}"),
            }
        }
    });
}

#[test]
fn what_awaited_others_is_believed_in_an_answer_only() {
    paused(async {
        // An executor can have said two things of one task, for two who ask others for what it awaits.
        let world = silent();
        let base = world.network.ask(102, "/sum", vec![number(5)]);
        let hint = world.network.ask(101, "/sum", vec![promise(&base)]);
        let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
        let for_another = told(&hint, ok(999), 101, false);
        let late = world.after(&waiting, &[&hint, &base], std::slice::from_ref(&for_another)).await;
        assert_eq!(late.outcome().failure_name(), Some("Unresolved"));
        // Nor is it believed later because it was filed.
        let filing = ucan_invocation::Filing {
            tasks: vec![id(&hint)],
            memo: None,
            inputs: vec![],
            durability: ucan_invocation::Durability::Buffered,
        };
        world.network.node(100).receipts.file(&for_another, &filing).await.unwrap();
        let late = world.after(&waiting, &[&hint, &base], &[]).await;
        assert_eq!(late.outcome().failure_name(), Some("Unresolved"));
    });
}

#[test]
fn contradictions_are_evidence_and_change_nothing() {
    paused(async {
        let world = silent();
        let hint = world.network.ask(101, "/sum", vec![number(1)]);
        let waiting = world.network.ask(100, "/sum", vec![promise(&hint), number(10)]);
        let (first, second) = (told(&hint, ok(1), 101, false), told(&hint, ok(2), 101, false));
        let stranger = told(&hint, ok(3), 66, false);
        let done = world.after(&waiting, &[&hint], &[first.clone(), second.clone(), stranger]).await;
        assert_eq!(done.outcome(), &ok(11));
        let executor = world.executor();
        executor.execute(&deliver(&second)).await.unwrap();
        let again = world.network.ask(100, "/sum", vec![promise(&hint), number(10)]);
        assert_eq!(world.after(&again, &[&hint], &[]).await.id(), done.id());
        let filed = world.network.node(100).receipts.by_task(&id(&hint)).await.unwrap();
        assert_eq!(filed.iter().map(Receipt::id).collect::<Vec<_>>(), [first.id(), second.id()]);
        let filed: Vec<_> = filed.into_iter().map(|receipt| verify(receipt, &DidKeys).unwrap()).collect();
        assert_eq!(contradictions(&filed).len(), 1);
        // However many there are.
        for value in 3..100 {
            executor.execute(&deliver(&told(&hint, ok(value), 101, false))).await.unwrap();
        }
        assert_eq!(world.network.node(100).receipts.by_task(&id(&hint)).await.unwrap().len(), 8);
    });
}

#[test]
fn a_result_with_a_promise_in_it_is_refused() {
    paused(async {
        let world = silent();
        let hint = world.network.ask(101, "/sum", vec![number(1)]);
        let trap = Await { branch: Branch::Ok, target: id(&hint) }.to_ipld();
        let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
        let receipt = told(&hint, Outcome::Ok(Ipld::List(vec![trap])), 101, false);
        let refused = world.after(&waiting, &[&hint], &[receipt]).await;
        assert_eq!(refused.outcome().failure_name(), Some("PromiseInResult"));
        assert!(refused.is_attempt());
        // A failure is another thing than nothing.
        let failing = world.network.ask(101, "/sum", vec![number(2)]);
        let waiting = world.network.ask(100, "/sum", vec![promise(&failing)]);
        let receipt = told(&failing, Failure::new("Failed", "for good").into(), 101, false);
        let refused = world.after(&waiting, &[&failing], &[receipt]).await;
        assert_eq!(refused.outcome().failure_name(), Some("BranchMismatch"));
    });
}

#[test]
fn those_who_are_named_are_believed_alone_or_together() {
    paused(async {
        let named: BTreeSet<Did> = [104, 105, 106].map(|key| issuer(key).did().clone()).into();
        let two = Trust::Agreement { executors: named.clone(), threshold: 2.try_into().unwrap() };
        for (trust, said, value) in [
            (Trust::Executors(named), vec![(66, 7), (104, 1)], 1),
            (two.clone(), vec![(104, 7), (66, 7), (104, 7), (105, 1), (106, 1)], 1),
            (two, vec![(104, 5), (105, 5)], 5),
        ] {
            let world = world_of(&trust, Patience::default(), |_, _| None);
            let hint = world.network.ask(101, "/log", vec![number(1)]);
            let waiting = world.network.ask(100, "/sum", vec![promise(&hint)]);
            let said: Vec<Receipt> = said.into_iter().map(|(by, value)| told(&hint, ok(value), by, false)).collect();
            let start = Instant::now();
            assert_eq!(world.after(&waiting, &[&hint], &said).await.outcome(), &ok(value));
            assert!(start.elapsed() < Duration::from_secs(10));
            // Brought along they say the same.
            let other = world.network.ask(100, "/sum", vec![promise(&hint), number(100)]);
            let tokens: Vec<&dyn Token> =
                said.iter().map(|receipt| receipt as &dyn Token).chain([&hint as _]).collect();
            assert_eq!(world.after(&other, &tokens, &[]).await.outcome(), &ok(value + 100));
        }
    });
}
