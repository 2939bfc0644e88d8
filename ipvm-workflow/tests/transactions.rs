//! What an engine does when things go wrong: tries again, undoes, asks the handler of failures, stops, and goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Crash, Knows, World, by_label, field, step, texts};
use ipvm_workflow::{
    Document, Event, How, Paused, Plan, PlanError, Resolution, RunError, RunOptions, RunRequest, Verification,
};
use ucan_core::{Ipld, dagjson};
use ucan_invocation::{Durability, EffectClass, Filing, Outcome, Receipt, ReceiptStore};

fn tasks(tasks: &str) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{{tasks}}}}}"#)
}

#[tokio::test]
async fn what_fails_is_tried_again_after_longer_and_longer_pauses() {
    let world = World::new(Knows::Nothing);
    let retry = r#""config": {"retry": {"attempts": 4, "delay": [1, "seconds"], "longest": [3, "seconds"]}}"#;
    let json = tasks(&format!(r#""get": {{"cmd": "/ask", "args": {{"name": "page", "fails": 3}}, {retry}}}"#));
    let seen = Mutex::new(Vec::new());
    let observe = |event| {
        if let Event::Retrying { attempt, pause, .. } = event {
            seen.lock().unwrap().push((attempt, pause));
        }
    };
    let report = world.engine.run(world.request(&json).await, &observe).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(world.outside.asked.lock().unwrap()["page"], 4);
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    for ((_, pause), whole) in seen.iter().zip([1_000, 2_000, 3_000].map(Duration::from_millis)) {
        assert!(*pause <= whole && *pause >= whole / 2, "{pause:?} of {whole:?}");
    }
    assert_eq!(*world.waits.0.lock().unwrap(), seen.iter().map(|(_, pause)| *pause).collect::<Vec<_>>());
}

#[tokio::test]
async fn when_attempts_are_spent_the_run_waits_and_can_be_resumed() {
    let mut world = World::new(Knows::Nothing);
    let json = tasks(
        r#""get": {"cmd": "/ask", "args": {"name": "page", "fails": 3}, "config": {"retry": {"attempts": 2}}},
           "log": {"cmd": "/do", "args": {"name": "log", "of": [{"await/ok": "get"}]}}"#,
    );
    let request = world.request(&json).await;
    let paused = world.engine.run(request.clone(), &|_| {}).await.unwrap_err();
    let RunError::Paused(Paused::Spent { label, attempts: 2, failure, receipt, .. }) = &paused else {
        panic!("{paused:?}")
    };
    assert_eq!((label.as_str(), failure.as_str()), ("get", "Unavailable"));
    let attempt = ReceiptStore::get(&*world.receipts, receipt).await.unwrap().unwrap();
    assert!(attempt.is_attempt());
    assert!(world.outside.names().is_empty());

    // Long after the request has expired, in another process.
    let run = request.invocation.task().id().unwrap();
    world.now += 100_000;
    world.open(&Crash::never());
    let report = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(world.outside.names(), ["log"]);
    let over = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
    assert!(matches!(over, Err(RunError::NotOpen(id)) if id == run));
}

#[tokio::test]
async fn only_what_may_be_done_again_is_tried_again() {
    let retry = r#""config": {"retry": {"attempts": 3}}"#;
    let json = tasks(&format!(r#""do": {{"cmd": "/do", "args": {{"name": "it", "fails": 2}}, {retry}}}"#));
    for (knows, asked, succeeds) in [(Knows::Nothing, 1, false), (Knows::Probe, 1, false), (Knows::Key, 3, true)] {
        let world = World::new(knows);
        let report = world.run(&json).await;
        assert_eq!((report.succeeded(), world.outside.asked.lock().unwrap()["it"]), (succeeds, asked), "{knows:?}");
    }
    // A function fails once and for all.
    let world = World::new(Knows::Nothing);
    let report = world.run(&tasks(&format!(r#""f": {{"cmd": "/pure", "args": {{"fails": -1}}, {retry}}}"#))).await;
    assert_eq!(step(&report, "f").outcome.failure_name(), Some("Told"));
    assert!(world.waits.0.lock().unwrap().is_empty());
    // Other failures than those that are named are not waited out.
    let named = retry.replace("3", r#"3, "on": ["Overloaded"]"#);
    let report =
        world.run(&tasks(&format!(r#""get": {{"cmd": "/ask", "args": {{"name": "g", "fails": 1}}, {named}}}"#))).await;
    assert!(!report.succeeded());
}

/// An order: each step has another that undoes it.
const SAGA: &str = r#"{"v": "1.0.0", "tasks": {
    "price": {"cmd": "/pure", "args": {"of": [20, 22]}},
    "reserve": {"cmd": "/do", "args": {"name": "reserve", "of": [{"await/ok": "price"}]}, "undo": "release"},
    "charge": {"cmd": "/do", "args": {"name": "charge", "of": [{"await/ok": "reserve"}]}, "undo": "refund"},
    "label": {"cmd": "/put", "args": {"name": "label", "of": [{"await/ok": "charge"}]}},
    "ship": {"cmd": "/do", "args": {"name": "ship", "of": [{"await/ok": "label"}], "fails": -1}, "undo": "recall"},
    "release": {"cmd": "/do", "args": {"name": "release", "of": [{"await/ok": "reserve"}]}},
    "refund": {"cmd": "/do", "args": {"name": "refund", "of": [{"await/ok": "charge"}]}},
    "recall": {"cmd": "/do", "args": {"name": "recall"}}
}}"#;

#[tokio::test]
async fn what_was_done_is_undone_in_reverse_order() {
    let world = World::new(Knows::Nothing);
    let report = world.run(SAGA).await;
    assert_eq!(world.outside.names(), ["reserve", "charge", "label", "refund", "release"]);
    assert!(!report.succeeded() && !report.cancelled);
    assert_eq!(report.undone.iter().map(|step| step.label.as_str()).collect::<Vec<_>>(), ["refund", "release"]);
    // What undoes gets the result of what it undoes.
    assert!(report.undone.iter().all(|step| step.outcome == Outcome::Ok(Ipld::Integer(42))));
    assert_eq!(report.not_started, Vec::<String>::new());
    let stated = world.stated(&report).await;
    assert_eq!(texts(field(&stated, "failed")), ["ship"]);
    let receipt = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = world.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
    assert_eq!((verified.steps.len(), verified.tally().attested), (7, 6), "with what was undone");
    let Ipld::Map(undone) = field(&stated, "undone") else { panic!("{stated:?}") };
    assert_eq!(undone.keys().collect::<Vec<_>>(), ["refund", "release"]);

    // Where nothing fails nothing is undone.
    let world = World::new(Knows::Nothing);
    let report = world.run(&SAGA.replace(r#", "fails": -1"#, "")).await;
    assert!(report.succeeded() && report.undone.is_empty());
    assert_eq!(world.outside.names(), ["reserve", "charge", "label", "ship"]);
}

#[tokio::test]
async fn a_run_that_is_cancelled_undoes_what_it_did() {
    let world = World::new(Knows::Nothing);
    let options = RunOptions::default();
    let control = options.control.clone();
    let observe = |event| {
        if let Event::Finished(step) = event
            && step.label == "charge"
        {
            control.cancel();
        }
    };
    let report = world.engine.run_with(world.request(SAGA).await, &options, &observe).await.unwrap();
    assert!(report.cancelled && !report.succeeded());
    assert_eq!(world.outside.names(), ["reserve", "charge", "refund", "release"]);
    assert_eq!(report.not_started, ["label", "ship"]);
    let stated = world.stated(&report).await;
    assert_eq!(field(&stated, "name"), &Ipld::String("Cancelled".to_owned()));
}

#[tokio::test]
async fn a_run_that_is_paused_goes_on_or_is_cancelled_later() {
    for cancel in [false, true] {
        let mut world = World::new(Knows::Nothing);
        let json = SAGA.replace(r#", "fails": -1"#, "");
        let request = world.request(&json).await;
        let run = request.invocation.task().id().unwrap();
        let mut handle = world.engine.start(request, RunOptions::default());
        let mut number = 0;
        while let Some((at, event)) = handle.next().await {
            assert_eq!(at, number, "events are numbered without gaps");
            number += 1;
            if matches!(event, Event::Finished(step) if step.label == "reserve") {
                handle.control().pause();
            }
        }
        let paused = handle.finish().await;
        assert!(matches!(paused, Err(RunError::Paused(Paused::Asked))), "{paused:?}");
        let before = world.outside.names();
        assert!(before.starts_with(&["reserve".to_owned()]) && before.len() < 4, "{before:?}");

        world.open(&Crash::never());
        let options = RunOptions::default();
        if cancel {
            let report = world.engine.cancel(&run, &options, &|_| {}).await.unwrap();
            assert!(report.cancelled);
            // What was done before the pause is known by its receipts.
            assert!(report.steps.iter().all(|step| step.how == How::Reused), "{report:?}");
            assert_eq!(report.steps.len() + report.not_started.len(), 5);
            assert!(world.outside.names().ends_with(&["release".to_owned()]), "{:?}", world.outside.names());
        } else {
            let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
            assert!(report.succeeded());
            assert_eq!(world.outside.names(), ["reserve", "charge", "label", "ship"], "nothing twice");
        }
    }
}

/// A failure, and somebody who answers for it.
fn caught(answer: &str) -> String {
    format!(
        r#"{{"v": "1.0.0",
            "tasks": {{
                "bad": {{"cmd": "/pure", "args": {{"fails": -1}}}},
                "good": {{"cmd": "/pure", "args": {{"of": [40]}}}},
                "sum": {{"cmd": "/pure", "args": {{"of": [{{"await/ok": "bad"}}, 2]}}}},
                "log": {{"cmd": "/do", "args": {{"name": "log", "of": [{{"await/ok": "sum"}}]}}}}
            }},
            "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {answer}}}}}
        }}"#
    )
}

#[tokio::test]
async fn a_handler_of_failures_has_the_run_go_on() {
    for (answer, sum) in [(r#"{"ok": 5}"#, 7), (r#"{"rewire": "good"}"#, 42)] {
        let world = World::new(Knows::Nothing);
        let report = world.run(&caught(answer)).await;
        assert!(report.succeeded(), "{report:?}");
        assert_eq!(step(&report, "log").outcome, Outcome::Ok(Ipld::Integer(sum)));
        // That it failed stays said, and so does who answered for it.
        assert_eq!(step(&report, "bad").outcome.failure_name(), Some("Told"));
        let stated = world.stated(&report).await;
        let Ipld::Link(_) = field(&stated, "caught.bad.by") else { panic!("{stated:?}") };
        let by = ReceiptStore::get(&*world.receipts, &report.caught["bad"].by).await.unwrap().unwrap();
        assert!(by.outcome().is_ok());
        // All of it can be verified, also what was computed from the answer.
        let receipt = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
        let verified = world.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
        for (label, verified) in &verified.steps {
            assert!(verified.is_ok(), "{label}: {verified:?}");
        }
        assert!(verified.steps.iter().any(|(label, _)| label == "catch of bad"));
        let sum = ReceiptStore::get(&*world.receipts, &step(&report, "sum").receipt).await.unwrap().unwrap();
        assert!(matches!(world.engine.verify(sum).await, Ok(Verification::Reexecuted { .. })));
    }
}

#[tokio::test]
async fn what_is_said_instead_is_what_the_handler_of_failures_answered() {
    for (answer, came) in [(r#"{"ok": 5}"#, 5), (r#"{"rewire": "good"}"#, 40)] {
        let world = World::new(Knows::Nothing);
        let report = world.run(&caught(answer)).await;
        let honest = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
        let Ipld::Map(told) = world.stated(&report).await else { panic!() };
        let instead = report.caught["bad"].instead.unwrap();
        let instead = ReceiptStore::get(&*world.receipts, &instead).await.unwrap().unwrap();
        assert_eq!(instead.outcome(), &Outcome::Ok(Ipld::Integer(came)));
        // Another value, and an answer that nobody gave to this failure.
        let lie = Receipt::builder(*instead.ran(), Outcome::Ok(Ipld::Integer(6))).meta(instead.meta().clone());
        let lie = lie.sign(&world.node, [9; 16]).unwrap();
        let filing = Filing { tasks: vec![], memo: None, inputs: vec![], durability: Durability::Buffered };
        world.receipts.file(&lie, &filing).await.unwrap();
        let said = [("instead", lie.id()), ("by", step(&report, "good").receipt)];
        for (key, receipt) in said {
            let mut told = told.clone();
            let Some(Ipld::Map(all)) = told.get_mut("caught") else { panic!() };
            let Some(Ipld::Map(bad)) = all.get_mut("bad") else { panic!() };
            bad.insert(key.to_owned(), Ipld::Link(receipt.into()));
            let run = Receipt::builder(report.run, Outcome::Ok(Ipld::Map(told))).meta(honest.meta().clone());
            let run = run.sign(&world.node, [8; 16]).unwrap();
            let verified = world.engine.verify_run(run, &|_, _| {}).await.unwrap();
            assert_eq!(verified.tally().refuted, 1, "{key}: {verified:?}");
        }
    }
}

#[tokio::test]
async fn a_handler_of_failures_can_leave_it_at_that() {
    for (answer, message) in [
        (r#"{"msg": "no wonder"}"#, "no wonder"),
        (r#"{"rewire": "sum"}"#, "it waits for this one"),
        (r#"{"rewire": "nothing"}"#, "there is no such task"),
        (r#"{"rewire": "log"}"#, "comes last"),
        (r#"{"what": 1}"#, "neither ok, rewire nor msg"),
        (r#"7"#, "neither ok, rewire nor msg"),
    ] {
        let world = World::new(Knows::Nothing);
        let report = world.run(&caught(answer)).await;
        assert!(!report.succeeded(), "{answer}");
        let said = report.caught["bad"].message.as_deref().unwrap();
        assert!(said.contains(message), "{answer}: {said}");
        assert!(world.outside.names().is_empty(), "pure work failed");
    }
}

#[tokio::test]
async fn a_task_that_follows_a_failure_is_not_told_of_twice() {
    let world = World::new(Knows::Nothing);
    let report = world.run(&caught(r#"{"msg": "no wonder"}"#)).await;
    assert_eq!(report.caught.keys().collect::<Vec<_>>(), ["bad"]);
    assert_eq!(step(&report, "sum").outcome.failure_name(), Some("BranchMismatch"));
}

#[tokio::test]
async fn what_cannot_be_known_is_found_out_by_whoever_can() {
    let json = tasks(
        r#""log": {"cmd": "/do", "args": {"name": "log"}}, "then": {"cmd": "/put", "args": {"name": "then", "of": [{"await/ok": "log"}]}}"#,
    );
    for (knows, resolution, times) in [
        (Knows::Probe, None, 1),
        (Knows::Key, None, 1),
        (Knows::Nothing, Some(Resolution::Done(Outcome::Ok(Ipld::Integer(1)))), 1),
        (Knows::Nothing, Some(Resolution::NotDone), 2),
    ] {
        // It dies as early as it can after the effect: before the receipt.
        let mut found = None;
        for writes in 0..100 {
            let mut world = World::new(knows);
            let request = world.request(&json).await;
            world.open(&Crash::after(writes));
            assert!(world.engine.run(request.clone(), &|_| {}).await.is_err());
            let done = world.outside.done.lock().unwrap().first().map(|(_, task)| *task);
            if let Some(task) = done
                && world.receipts.by_task(&task).await.unwrap().is_empty()
            {
                found = Some((world, request.invocation.task().id().unwrap()));
                break;
            }
        }
        let (mut world, run) = found.expect("an effect comes before its receipt");
        world.open(&Crash::never());
        let options = match resolution {
            None => RunOptions::default(),
            Some(resolution) => {
                let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
                let Err(RunError::Paused(Paused::Uncertain { label, task })) = paused else { panic!("{paused:?}") };
                assert_eq!(label, "log");
                RunOptions { resolutions: [(task, resolution)].into(), ..RunOptions::default() }
            }
        };
        let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
        assert!(report.succeeded(), "{report:?}");
        assert_eq!(world.outside.names().iter().filter(|name| *name == "log").count(), times, "{knows:?}");
        assert_eq!(by_label(&report.steps)["log"], &Outcome::Ok(Ipld::Integer(1)));
    }
}

/// A page that is there the second time it is asked for, after something was charged.
const LATER: &str = r#"{"v": "1.0.0", "tasks": {
    "charge": {"cmd": "/do", "args": {"name": "charge"}, "undo": "refund"},
    "page": {"cmd": "/put", "args": {"name": "page", "of": [{"await/ok": "charge"}], "fails": 1}},
    "refund": {"cmd": "/do", "args": {"name": "refund"}}
}}"#;

#[tokio::test]
async fn what_is_being_undone_is_not_gone_on_with() {
    let mut outcomes = BTreeMap::new();
    for knows in [Knows::Probe, Knows::Key] {
        for writes in 0..120 {
            let mut world = World::new(knows);
            let request = world.request(LATER).await;
            world.open(&Crash::after(writes));
            let first = world.engine.run(request.clone(), &|_| {}).await;
            world.open(&Crash::never());
            let succeeded = match first {
                Ok(report) => report.succeeded(),
                Err(_) => match world.engine.run(request, &|_| {}).await {
                    Ok(report) => report.succeeded(),
                    Err(RunError::AlreadyRun { receipt }) => {
                        ReceiptStore::get(&*world.receipts, &receipt).await.unwrap().unwrap().outcome().is_ok()
                    }
                    Err(error) => panic!("{error:?}"),
                },
            };
            let names = world.outside.names();
            let [charged, refunded] =
                ["charge", "refund"].map(|name| names.iter().filter(|done| *done == name).count());
            assert_eq!((charged, refunded), (1, usize::from(!succeeded)), "after {writes} writes: {names:?}");
            *outcomes.entry(succeeded).or_insert(0) += 1;
        }
    }
    assert!(outcomes.len() == 2, "it succeeds where it had not failed before, and only there: {outcomes:?}");
}

#[tokio::test]
async fn a_run_again_does_what_it_does_anew_and_computes_nothing_twice() {
    let world = World::new(Knows::Nothing);
    let json = SAGA.replace(r#", "fails": -1"#, "");
    world.run(&json).await;
    let again = world.run(&json).await;
    assert_eq!(step(&again, "price").how, How::Reused);
    assert_eq!(world.outside.names().len(), 8, "effects are had anew");
    // With one input changed, what does not depend on it is reused.
    let changed = json
        .replace("[20, 22]", "[20, 23]")
        .replace(r#""tasks": {"#, r#""tasks": {"apart": {"cmd": "/pure", "args": {"of": [20, 22]}},"#);
    let fork = world.run(&changed).await;
    assert_eq!((step(&fork, "price").how, step(&fork, "apart").how), (How::Ran, How::Reused));
}

#[test]
fn layouts_of_undoing_and_catching_that_make_no_sense_are_refused() {
    let node = ucan_core::Did::parse("did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC").unwrap();
    let classes: BTreeMap<&str, EffectClass> = common::COMMANDS.into();
    let plan = |json: &str| {
        let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
        let workflow = document.bind(&ipvm_workflow::Bindings::new(node.clone(), node.clone())).unwrap();
        Plan::new(&workflow, &|_, command| classes.get(command.as_str()).copied(), &|label| label.as_bytes().to_vec())
    };
    let a = |more: &str| format!(r#""a": {{"cmd": "/do", "args": {{}}, {more}}}"#);
    for (json, problem) in [
        (tasks(&a(r#""undo": "b""#)), "no task has that label"),
        (tasks(&a(r#""undo": "a""#)), "not undone itself"),
        (tasks(r#""a": {"cmd": "/pure", "args": {}, "undo": "b"}, "b": {"cmd": "/do", "args": {}}"#), "only what alters"),
        (
            tasks(&format!(r#"{}, "b": {{"cmd": "/do", "args": {{}}}}, "c": {{"cmd": "/do", "args": {{"of": [{{"await/ok": "b"}}]}}}}"#, a(r#""undo": "b""#))),
            "a task waits for it",
        ),
        (
            tasks(&format!(r#"{}, "b": {{"cmd": "/do", "args": {{}}}}, "c": {{"cmd": "/do", "args": {{}}, "undo": "b"}}"#, a(r#""undo": "b""#))),
            "undoes another already",
        ),
        (
            r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/do", "args": {}}}, "catch": {"cmd": "/ask", "args": {"a": {"ipvm/failure": null}}}}"#.to_owned(),
            "is to be deterministic",
        ),
    ] {
        let error: PlanError = plan(&json).unwrap_err();
        assert!(error.to_string().contains(problem), "{json}: {error}");
    }
    for (json, path) in [
        (r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/a", "args": {}}}, "catch": {"cmd": "/a", "args": {}}}"#, "catch: "),
        (
            r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/a", "args": {}}}, "catch": {"cmd": "/a", "args": {"a": [{"ipvm/failure": null}, {"await/ok": "a"}]}}}"#,
            "catch: ",
        ),
        (
            r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/a", "args": {}, "config": {"retry": {"attempts": 0}}}}}"#,
            "tasks.a.config.retry.attempts: ",
        ),
        (
            r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/a", "args": {}, "config": {"retry": {"attempts": 2, "delay": [1, "fortnights"]}}}}}"#,
            "tasks.a.config.retry.delay: ",
        ),
    ] {
        let error = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(path), "{error}");
    }
    // What is said of it is part of the document, and survives being written down.
    let text = format!(
        r#"{{"v": "1.0.0", "defaults": {{"retry": {{"attempts": 2, "on": ["X"]}}}}, {}"#,
        &caught(r#"{"ok": 1}"#)[15..]
    );
    let document = Document::parse(&dagjson::decode(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(Document::parse(&document.to_ipld()).unwrap(), document);
    let _shared: Arc<Document> = Arc::new(document);
}

/// A query that fails when it is asked first, and somebody who answers for it then.
fn answered(then: &str) -> String {
    format!(
        r#"{{"v": "1.0.0",
            "tasks": {{
                "price": {{"cmd": "/ask", "args": {{"name": "price", "of": [7], "fails": 1}}}},
                "then": {{"cmd": "{then}", "args": {{"name": "then", "of": [{{"await/ok": "price"}}]}}}},
                "end": {{"cmd": "/do", "args": {{"name": "end", "of": [{{"await/ok": "then"}}]}}}}
            }},
            "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {{"ok": 100}}}}}}
        }}"#
    )
}

/// A world whose process died at the first moment at which that is cut off what is meant.
async fn cut_off_at(knows: Knows, json: &str, is_cut_off: impl AsyncFn(&World) -> bool) -> (World, RunRequest) {
    for writes in 0..200 {
        let mut world = World::new(knows);
        let request = world.request(json).await;
        world.open(&Crash::after(writes));
        assert!(world.engine.run(request.clone(), &|_| {}).await.is_err());
        if is_cut_off(&world).await {
            world.open(&Crash::never());
            return (world, request);
        }
    }
    panic!("there is no such moment")
}

#[tokio::test]
async fn what_was_begun_with_other_arguments_is_not_repeated_with_these() {
    // Neither a key nor a probe says anything of it: both are about the task as it would be done now.
    for (command, knows) in [("/do", Knows::Key), ("/do", Knows::Probe), ("/put", Knows::Nothing)] {
        let cut_off = async |world: &World| {
            let done = world.outside.done.lock().unwrap().first().map(|(_, task)| *task);
            match done {
                Some(task) => world.receipts.by_task(&task).await.unwrap().is_empty(),
                None => false,
            }
        };
        let (world, request) = cut_off_at(knows, &answered(command), cut_off).await;
        let paused = world.engine.run(request.clone(), &|_| {}).await;
        let Err(RunError::Paused(Paused::Uncertain { label, task })) = paused else { panic!("{paused:?}") };
        assert_eq!((label.as_str(), world.outside.names()), ("then", vec!["then".to_owned()]), "{command} {knows:?}");
        let found_out = Resolution::Done(Outcome::Ok(Ipld::Integer(100)));
        let options = RunOptions { resolutions: [(task, found_out)].into(), ..RunOptions::default() };
        let report = world.engine.run_with(request, &options, &|_| {}).await.unwrap();
        assert!(report.succeeded());
        assert_eq!(world.outside.names(), ["then", "end"]);
        assert_eq!(step(&report, "price").outcome, Outcome::Ok(Ipld::Integer(7)));
        assert_eq!(step(&report, "end").outcome, Outcome::Ok(Ipld::Integer(100)), "it went on from what was done");
    }
}

#[tokio::test]
async fn a_question_with_other_arguments_is_another_question() {
    let asked = async |world: &World| world.outside.asked.lock().unwrap().contains_key("end");
    let (world, request) = cut_off_at(Knows::Key, &answered("/ask"), asked).await;
    let report = world.engine.run(request, &|_| {}).await;
    // The effect that followed was begun on the other answer.
    assert!(matches!(report, Err(RunError::Paused(Paused::Uncertain { label, .. })) if label == "end"));
    assert_eq!(world.outside.asked.lock().unwrap()["then"], 2, "it is asked with the price that there is now");
}

#[tokio::test]
async fn what_was_done_before_a_crash_is_undone_also_where_the_run_is_cancelled_before_it_comes_to_it() {
    let json = tasks(
        r#""one": {"cmd": "/do", "args": {"name": "one"}, "undo": "not one"},
           "two": {"cmd": "/do", "args": {"name": "two", "of": [{"await/ok": "one"}]}, "undo": "not two"},
           "not one": {"cmd": "/do", "args": {"name": "not one"}},
           "not two": {"cmd": "/do", "args": {"name": "not two"}}"#,
    );
    let two = async |world: &World| world.outside.names().len() == 2;
    let (world, request) = cut_off_at(Knows::Probe, &json, two).await;
    let options = RunOptions::default();
    let observe = |event| {
        if matches!(event, Event::Accepted { .. }) {
            options.control.cancel();
        }
    };
    let report = world.engine.run_with(request, &options, &observe).await.unwrap();
    assert!(report.cancelled && report.not_started.is_empty(), "{report:?}");
    assert_eq!(world.outside.names(), ["one", "two", "not two", "not one"]);
}
