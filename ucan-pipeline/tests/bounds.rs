//! How much waits at once, what is done once, and what is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::script::{ok, silent, told, world_of};
use common::{NOW, Weather, at, id, issuer, network, number, paused, promise, receipts};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use ucan_core::{Ipld, Token};
use ucan_invocation::{ExecuteError, Invocation, Patience, Receipt, RequestStore, TaskId, Trust};

#[test]
fn no_more_wait_than_may() {
    paused(async {
        let mut patience = Patience::default();
        (patience.waiting, patience.waiting_of_one, patience.awaited) = (3, 2, 2);
        let world = world_of(&Trust::Own, patience, |_, _| None);
        let hints: Vec<_> = (0..6).map(|value| world.network.ask(101, "/sum", vec![number(value)])).collect();
        let name = |receipt: &Receipt| receipt.outcome().failure_name().unwrap_or("ok").to_owned();
        let tokens: Vec<&dyn Token> = hints.iter().map(|hint| hint as &dyn Token).collect();
        let greedy = world.network.ask(100, "/sum", hints.iter().take(3).map(promise).collect());
        assert_eq!(name(&world.after(&greedy, &tokens, &[]).await), "TooManyWaiting");
        // The same one in two requests takes one place.
        let waiting: Vec<_> =
            hints.iter().take(3).map(|hint| world.network.ask(100, "/sum", vec![promise(hint)])).collect();
        let mut asking = Vec::new();
        for waiting in [&waiting[0], &waiting[0], &waiting[1]] {
            let all: Vec<&dyn Token> = tokens.iter().copied().chain([waiting as &dyn Token]).collect();
            let (executor, container) = (world.executor(), world.network.container(&all));
            asking.push(tokio::spawn(async move { executor.execute(&container).await }));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(name(&world.after(&waiting[2], &tokens, &[]).await), "TooManyWaiting");
        // A place is free when whoever had it goes away.
        asking.remove(2).abort();
        sleep(Duration::from_secs(1)).await;
        let receipt = told(&hints[2], ok(2), 101, false);
        assert_eq!(name(&world.after(&waiting[2], &tokens, &[receipt]).await), "ok");
        // Nor are more bytes held than may be, more questions asked, or one thing brought more often.
        let limits: [fn(&mut Patience); 3] =
            [|it| it.forwarded = 100, |it| it.questions = 0, |it| it.places_of_one = 0];
        for limit in limits {
            let mut patience = patience;
            limit(&mut patience);
            let world = world_of(&Trust::Own, patience, |_, _| None);
            assert_eq!(name(&world.after(&waiting[0], &tokens, &[]).await), "TooManyWaiting");
            assert_eq!(world.forwarded(), []);
        }
        patience.places_of_one = 2;
        let world = world_of(&Trust::Own, patience, |_, _| None);
        let ask = async || world.after(&waiting[0], &tokens, &[]).await;
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        let names = [name(&first), name(&second), name(&third)];
        assert_eq!(names.iter().filter(|name| *name == "TooManyWaiting").count(), 1, "{names:?}");
        // All is given back.
        assert_eq!(name(&world.after(&waiting[1], &tokens, &[told(&hints[1], ok(2), 101, false)]).await), "ok");
    });
}

#[test]
fn huge_containers_are_refused() {
    paused(async {
        let world = silent();
        let waiting = world.network.ask(100, "/sum", vec![number(1)]);
        // Nobody has to be able to sign: the shape is enough to be counted.
        let hints: Vec<Invocation> =
            (0..4097).map(|value| world.network.ask(101, "/sum", vec![number(value)])).collect();
        let tokens: Vec<&dyn Token> = hints.iter().map(|hint| hint as &dyn Token).chain([&waiting as _]).collect();
        let refused = world.executor().execute(&world.network.container(&tokens)).await;
        assert!(matches!(refused, Err(ExecuteError::TooManyForOthers { shown: 4097, .. })), "{refused:?}");
        assert!(matches!(
            world.executor().execute(&world.network.container(&[&hints[0]])).await,
            Err(ExecuteError::NothingAsked)
        ));
    });
}

#[test]
fn results_are_pushed_to_those_whom_the_same_invoker_addressed() {
    paused(async {
        let world = silent();
        let ours = world.network.ask(100, "/sum", vec![number(1)]);
        let slow = world.network.ask(100, "/log", vec![promise(&ours)]);
        let (wanted, twice) = (
            world.network.ask(101, "/sum", vec![promise(&ours)]),
            world.network.ask(101, "/log", vec![promise(&ours)]),
        );
        let strange = world.network.ask_by(&issuer(2), 102, "/sum", vec![promise(&ours)]);
        let start = Instant::now();
        let receipt = world.after(&slow, &[&ours, &wanted, &twice, &strange], &[]).await;
        assert!(receipt.outcome().is_ok());
        // The transport never comes back from it: the answer does not wait for that.
        assert!(start.elapsed() < Duration::from_secs(2));
        let sent = world.script.sent.lock().unwrap();
        assert_eq!(sent.len(), 1);
        assert_eq!(&sent[0].0, issuer(101).did());
        let pushed: BTreeMap<TaskId, Receipt> = receipts(&sent[0].1);
        assert_eq!(pushed[&id(&ours)].outcome(), &ok(1));
        assert_eq!(pushed.len(), 1);
    });
}

/// Polls a request so many times, lets it go, and sees whether anything was left behind.
#[test]
fn a_request_that_is_dropped_leaves_nothing_behind() {
    let mut finished = false;
    for polls in 0..200 {
        if finished {
            return;
        }
        paused(async {
            let mut patience = Patience::default();
            (patience.waiting, patience.waiting_of_one) = (1, 1);
            let network = network(polls, 2, Weather { delay: 3, ..Weather::default() }, &Trust::Own, patience);
            let first = network.ask(101, "/sum", vec![number(1)]);
            let local = network.ask(100, "/sum", vec![number(2)]);
            let second = network.ask(100, "/sum", vec![promise(&first), promise(&local)]);
            let container = network.container(&[&first, &local, &second]);
            let executor = network.node(100).executor.lock().unwrap().clone().unwrap();
            {
                let mut request = Box::pin(executor.execute(&container));
                for _ in 0..polls {
                    if request.as_mut().now_or_never().is_some() {
                        finished = true;
                        break;
                    }
                    sleep(Duration::from_micros(500)).await;
                }
            }
            // As somebody else, so that a place that was not given back would be missed.
            let again = network.ask(100, "/sum", vec![promise(&first), number(40)]);
            let container = network.container(&[&first, &local, &second, &again]);
            let alone = network.container(&[&first, &again]);
            let done = tokio::time::timeout(Duration::from_secs(20), executor.execute(&alone)).await.unwrap().unwrap();
            assert_eq!(receipts(&done)[&id(&again)].outcome(), &ok(41), "after {polls} polls");
            let done = tokio::time::timeout(Duration::from_secs(20), executor.execute(&container)).await;
            assert_eq!(receipts(&done.unwrap().unwrap())[&id(&second)].outcome(), &ok(3), "after {polls} polls");
            // What was under way is kept until somebody resumes it.
            executor.resume().await.unwrap();
            assert_eq!(network.node(100).requests.list().await.unwrap(), []);
        });
    }
    panic!("it never came to its end");
}

#[test]
fn equal_requests_at_once_are_one() {
    paused(async {
        let world = silent();
        let mail = world.network.ask(100, "/log", vec![number(1)]);
        let later = {
            let args = mail.args().clone();
            let proofs = mail.proofs().to_vec();
            let again = Invocation::builder(mail.subject().clone(), mail.command().clone(), args).proofs(proofs);
            again.audience(issuer(100).did().clone()).expiration(at(NOW + 77)).sign(&world.network.invoker).unwrap()
        };
        let executor = world.executor();
        let one = world.network.container(&[&mail]);
        let two = world.network.container(&[&later, &mail]);
        let (one, two) = tokio::join!(executor.execute(&one), executor.execute(&two));
        let (one, two) = (receipts(&one.unwrap()), receipts(&two.unwrap()));
        assert_eq!(one[&id(&mail)].id(), two[&id(&mail)].id());
        assert_eq!(world.network.mutations.lock().unwrap().values().sum::<usize>(), 1);
        // Two tasks of one instruction are computed once, too.
        let ask = |nonce: u8| {
            let args = [("of".to_owned(), Ipld::List(vec![number(5)]))].into();
            let proofs = mail.proofs().to_vec();
            Invocation::builder(mail.subject().clone(), "/sum".parse().unwrap(), args)
                .audience(issuer(100).did().clone())
                .proofs(proofs)
                .nonce(vec![nonce])
                .sign(&world.network.invoker)
                .unwrap()
        };
        let (a, b) = (world.network.container(&[&ask(1)]), world.network.container(&[&ask(2)]));
        let (a, b) = tokio::join!(executor.execute(&a), executor.execute(&b));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(world.network.computed.lock().unwrap().len(), 1);
    });
}
