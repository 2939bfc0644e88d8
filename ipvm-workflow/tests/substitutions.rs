//! What follows from the answers of a handler of failures, across crashes: who goes on from what, under which task its receipt is found, and what
//! the receipt of the run says of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Crash, Knows, World, field, step};
use ipvm_workflow::{Event, How, RunError, RunOptions, RunReport, RunRequest, Verification};
use ucan_core::{Ipld, Token};
use ucan_invocation::{Outcome, Receipt, ReceiptId, ReceiptStore, TaskId};

/// A query that is not there when it is asked first, a handler of failures that answers for it then, and what goes on from that.
fn workflow(then: &str, answer: &str) -> String {
    format!(
        r#"{{"v": "1.0.0",
            "tasks": {{
                "price": {{"cmd": "/ask", "args": {{"name": "price", "of": [7], "fails": 1}}}},
                "then": {{"cmd": "{then}", "args": {{"name": "then", "of": [{{"await/ok": "price"}}]}}}},
                "last": {{"cmd": "{then}", "args": {{"name": "last", "of": [{{"await/ok": "then"}}, 1]}}}},
                "note": {{"cmd": "/do", "args": {{"name": "note", "of": [{{"await/ok": "last"}}]}}, "undo": "strike"}},
                "end": {{"cmd": "/do", "args": {{"name": "end", "of": [{{"await/ok": "note"}}]}}}},
                "strike": {{"cmd": "/do", "args": {{"name": "strike"}}}}
            }},
            "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {answer}}}}}
        }}"#
    )
}

/// A world whose run was paused when this step had its receipt.
async fn paused_after(json: &str, label: &str) -> (World, RunRequest) {
    let mut world = World::new(Knows::Probe);
    let (request, options) = (world.request(json).await, RunOptions::default());
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == label) {
            options.control.pause();
        }
    };
    let paused = world.engine.run_with(request.clone(), &options, &observe).await;
    assert!(matches!(paused, Err(RunError::Paused(_))), "{paused:?}");
    world.open(&Crash::never());
    (world, request)
}

async fn receipt(world: &World, id: &ReceiptId) -> Receipt {
    ReceiptStore::get(&*world.receipts, id).await.unwrap().unwrap()
}

async fn by_task(world: &World, task: &TaskId) -> Vec<Receipt> {
    world.receipts.by_task(task).await.unwrap()
}

fn instead(receipt: &Receipt) -> Vec<Ipld> {
    match receipt.meta().get("instead") {
        Some(Ipld::List(links)) => links.clone(),
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn link(receipt: &ReceiptId) -> Ipld {
    Ipld::Link((*receipt).into())
}

/// All that a run lists holds.
async fn holds(world: &World, report: &RunReport) {
    let verified = world.engine.verify_run(receipt(world, &report.receipt).await, &|_, _| {}).await.unwrap();
    assert!(verified.steps.iter().all(|(_, verified)| verified.is_ok()), "{verified:?}");
}

fn ok(number: i128) -> Outcome {
    Outcome::Ok(Ipld::Integer(number))
}

#[tokio::test]
async fn what_rests_on_a_substitute_is_not_what_its_task_comes_to() {
    for then in ["/pure", "/ask"] {
        let (world, request) = paused_after(&workflow(then, r#"{"ok": 100}"#), "last").await;
        // The price is there now: all that goes on from it does so from what it is.
        let report = world.engine.run(request, &|_| {}).await.unwrap();
        assert!(report.succeeded() && report.caught.is_empty());
        for (label, number) in [("price", 7), ("then", 7), ("last", 8), ("note", 8)] {
            assert_eq!(step(&report, label).outcome, ok(number), "{label}");
            let found = by_task(&world, &step(&report, label).task).await;
            assert_eq!(found.len(), 1, "{label} has one final outcome, whoever asks for it");
            assert_eq!((found[0].id(), found[0].outcome()), (step(&report, label).receipt, &ok(number)));
            assert!(instead(&found[0]).is_empty());
        }
        holds(&world, &report).await;
    }
}

#[tokio::test]
async fn who_went_on_from_a_substitute_says_so_and_is_found_by_its_resolved_task() {
    for then in ["/pure", "/ask"] {
        let world = World::new(Knows::Nothing);
        let report = world.run(&workflow(then, r#"{"ok": 100}"#)).await;
        assert!(report.succeeded());
        let substitute = report.caught["price"].instead.unwrap();
        let [first, last, note] = ["then", "last", "note"].map(|label| step(&report, label));
        assert_eq!([&first.outcome, &last.outcome, &note.outcome], [&ok(100), &ok(101), &ok(101)]);
        for (at, from) in [(first, substitute), (last, first.receipt), (note, last.receipt)] {
            let stated = receipt(&world, &at.receipt).await;
            assert_eq!(instead(&stated), [link(&from)], "{}", at.label);
            let by_resolved = by_task(&world, &at.resolved).await;
            assert_eq!(by_resolved.iter().map(Receipt::id).collect::<Vec<_>>(), [at.receipt]);
        }
        assert!(by_task(&world, &first.task).await.is_empty() && by_task(&world, &last.task).await.is_empty());
        assert!(!first.answers && !last.answers);
        // A mutation is had once, whatever it went on from.
        assert!(note.answers && by_task(&world, &note.task).await.len() == 1);
        holds(&world, &report).await;
        let status = world.engine.status(&report.run).await.unwrap();
        let (.., state) = status.steps.iter().find(|(label, ..)| label == "then").unwrap();
        assert_eq!(*state, ipvm_workflow::StepState::Done { receipt: first.receipt, succeeded: true });
    }
}

#[tokio::test]
async fn a_result_that_rested_on_a_substitute_is_stated_anew_where_it_rests_on_none() {
    // The substitute was right: what was computed from it is known, and not computed again.
    let (world, request) = paused_after(&workflow("/pure", r#"{"ok": 7}"#), "last").await;
    let report = world.engine.run(request, &|_| {}).await.unwrap();
    assert!(report.succeeded() && report.caught.is_empty());
    for label in ["then", "last"] {
        let at = step(&report, label);
        assert_eq!((at.how, at.answers), (How::Reused, true));
        let found = by_task(&world, &at.task).await;
        assert_eq!(found.iter().map(Receipt::id).collect::<Vec<_>>(), [at.receipt]);
        let rests_on = receipt(&world, &found[0].cause().unwrap()).await;
        assert!(instead(&found[0]).is_empty() && instead(&rests_on).len() == 1);
    }
    holds(&world, &report).await;
}

#[tokio::test]
async fn another_workflow_does_not_get_what_was_put_in_the_place_of_a_failure() {
    // The same function, which hits a limit: each workflow answers for that by itself.
    let json = |answer: &str| {
        format!(
            r#"{{"v": "1.0.0",
                "tasks": {{
                    "a": {{"cmd": "/pure", "args": {{"name": "a", "limit": 1, "of": [1]}}}},
                    "b": {{"cmd": "/pure", "args": {{"name": "b", "of": [{{"await/ok": "a"}}]}}}}
                }},
                "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {answer}}}}}
            }}"#
        )
    };
    let world = World::new(Knows::Nothing);
    let report = world.run(&json(r#"{"ok": 100}"#)).await;
    let b = step(&report, "b");
    assert_eq!(b.outcome, ok(100));
    let awaits = format!(
        r#"{{"v": "1.0.0", "tasks": {{"c": {{"cmd": "/pure", "args": {{"of": [{{"await/ok": {{"/": "{}"}}}}]}}}}}}}}"#,
        b.task
    );
    let refused = world.engine.run(world.request(&awaits).await, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::Plan(_))), "{refused:?}");
    // Once it is known what it comes to, it is that.
    let report = world.run(&json(r#"{"ok": 200}"#)).await;
    assert_eq!((step(&report, "b").task, &step(&report, "b").outcome), (b.task, &ok(1)));
    let report = world.run(&awaits).await;
    assert_eq!(step(&report, "c").outcome, ok(1));
    holds(&world, &report).await;
}

#[tokio::test]
async fn what_went_on_from_a_failed_attempt_says_so_too() {
    let json = r#"{"v": "1.0.0", "tasks": {
        "price": {"cmd": "/ask", "args": {"name": "price", "fails": 1}},
        "sorry": {"cmd": "/pure", "args": {"name": "sorry", "of": [1, {"await/error": "price"}]}}
    }}"#;
    let world = World::new(Knows::Nothing);
    let report = world.run(json).await;
    let (price, sorry) = (step(&report, "price"), step(&report, "sorry"));
    assert!(!price.outcome.is_ok() && !price.answers);
    assert_eq!((&sorry.outcome, sorry.answers), (&ok(1), false));
    assert_eq!(instead(&receipt(&world, &sorry.receipt).await), [link(&price.receipt)]);
    assert!(by_task(&world, &sorry.task).await.is_empty(), "the price may be there next time");
    // It is verified by the attempt that it went on from.
    let verified = world.engine.verify(receipt(&world, &sorry.receipt).await).await;
    assert!(matches!(verified, Ok(Verification::Reexecuted { .. })), "{verified:?}");
}

#[tokio::test]
async fn who_answered_for_a_failure_is_told_also_where_the_run_is_cancelled_in_another_life() {
    for then in ["/pure", "/ask"] {
        let json = workflow(then, r#"{"ok": 100}"#);
        // What the run says that is cancelled at once is what it says that is cancelled after a pause.
        let world = World::new(Knows::Probe);
        let options = RunOptions::default();
        let observe = |event| {
            if matches!(event, Event::Finished(step) if step.label == "note") {
                options.control.cancel();
            }
        };
        let at_once = world.engine.run_with(world.request(&json).await, &options, &observe).await.unwrap();
        let (world, request) = paused_after(&json, "note").await;
        let run = request.invocation.task().id().unwrap();
        let report = world.engine.cancel(&run, &RunOptions::default(), &|_| {}).await.unwrap();
        for report in [&at_once, &report] {
            assert!(report.cancelled);
            let listed: Vec<(&str, bool, bool)> =
                report.steps.iter().map(|step| (step.label.as_str(), step.outcome.is_ok(), step.answers)).collect();
            let expected =
                [("price", false, false), ("then", true, false), ("last", true, false), ("note", true, true)];
            assert_eq!(listed, expected);
            assert_eq!(report.not_started, ["end"]);
            assert_eq!(report.undone.len(), 1);
        }
        assert_eq!(world.outside.names(), ["note", "strike"]);
        let caught = &report.caught["price"];
        let substitute = receipt(&world, &caught.instead.unwrap()).await;
        assert_eq!((substitute.outcome(), &caught.message), (&ok(100), &None));
        assert_eq!(instead(&receipt(&world, &step(&report, "then").receipt).await), [link(&substitute.id())]);
        let stated = world.stated(&report).await;
        assert_eq!(field(&stated, "caught.price.by"), &link(&caught.by));
        assert_eq!(field(&stated, "failed"), &Ipld::List(vec![]), "it was made good");
        holds(&world, &report).await;
    }
}

#[tokio::test]
async fn what_was_said_of_a_failure_is_told_in_another_life() {
    // The function fails for good, and another query has the run pause.
    for (answer, message) in [
        (r#"{"msg": "no wonder"}"#, "no wonder"),
        (r#"7"#, "neither ok, rewire nor msg"),
        (r#"{"rewire": "bad"}"#, "nobody went on"),
    ] {
        let json = format!(
            r#"{{"v": "1.0.0",
                "tasks": {{
                    "bad": {{"cmd": "/pure", "args": {{"name": "bad", "fails": -1}}}},
                    "after": {{"cmd": "/pure", "args": {{"of": [{{"await/ok": "bad"}}]}}}}
                }},
                "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {answer}}}}}
            }}"#
        );
        let mut world = World::new(Knows::Nothing);
        let request = world.request(&json).await;
        let run = request.invocation.task().id().unwrap();
        let options = RunOptions::default();
        let observe = |event| {
            if matches!(event, Event::Caught { .. }) {
                options.control.pause();
            }
        };
        let paused = world.engine.run_with(request, &options, &observe).await;
        assert!(matches!(paused, Err(RunError::Paused(_))), "{paused:?}");
        world.open(&Crash::never());
        let report = world.engine.cancel(&run, &RunOptions::default(), &|_| {}).await.unwrap();
        let caught = &report.caught["bad"];
        assert!(caught.instead.is_none() && caught.message.as_deref().unwrap().contains(message), "{caught:?}");
        assert_eq!(step(&report, "bad").outcome.failure_name(), Some("Told"));
        let by = receipt(&world, &caught.by).await;
        assert_eq!(by.issuer(), world.node.did());
        holds(&world, &report).await;
    }
}

#[tokio::test]
async fn what_rests_on_the_word_of_a_handler_of_failures_falls_with_it() {
    let world = World::new(Knows::Nothing);
    let report = world.run(&workflow("/pure", r#"{"ok": 100}"#)).await;
    let caught = &report.caught["price"];
    let forgotten = world.engine.forget_receipts(vec![caught.by]).await.unwrap();
    for label in ["then", "last"] {
        assert!(forgotten.receipts.contains(&step(&report, label).receipt), "{label}: {forgotten:?}");
    }
    assert!(forgotten.receipts.contains(&caught.instead.unwrap()));
    assert!(forgotten.effects.contains(&step(&report, "note").receipt), "it was done: {forgotten:?}");
}
