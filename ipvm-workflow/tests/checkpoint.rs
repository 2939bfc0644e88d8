//! Runs that are handed over from one executor to another: each task is done once, wherever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{Crash, Knows, World, step};
use ipvm_workflow::{
    Control, Event, HandoverError, How, Journal, Paused, PlanError, RESUME_COMMAND, Resolution, RunError, RunOptions,
    RunRequest, Trust, Workflow,
};
use ucan_core::{Cid, Command, Delegation, Did, Ipld, Issuer, Token, block, car, dagcbor};
use ucan_invocation::{BlockStore, Effects, Invocation, Outcome, Receipt, ReceiptStore, Task, TaskId};

const WORKFLOW: &str = r#"{"v": "1.0.0", "tasks": {
    "price": {"cmd": "/pure", "args": {"of": [20, 22]}},
    "reserve": {"cmd": "/do", "args": {"name": "reserve", "of": [{"await/ok": "price"}]}, "undo": "release"},
    "charge": {"cmd": "/do", "args": {"name": "charge", "of": [{"await/ok": "reserve"}]}},
    "tell": {"cmd": "/put", "args": {"name": "tell", "of": [{"await/ok": "charge"}]}},
    "release": {"cmd": "/do", "args": {"name": "release"}}
}}"#;

/// Another executor, to whom the same world outside is open.
fn beside(world: &World, node: u8, knows: Knows, trust: &[&World]) -> World {
    let mut other = World::of(node, knows);
    other.outside = world.outside.clone();
    other.beside = vec![world.node.did().clone()];
    let named: BTreeSet<_> = trust.iter().map(|world| world.node.did().clone()).collect();
    other.trust = if named.is_empty() { Trust::Own } else { Trust::Executors(named) };
    other.open(&Crash::never());
    other
}

/// Asks for the run, and pauses it when the task of this label is done.
async fn begin(world: &World, pause_after: &str) -> TaskId {
    let request = world.request(WORKFLOW).await;
    let run = request.invocation.task().id().unwrap();
    let options = RunOptions { control: Control::default(), ..RunOptions::default() };
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == pause_after) {
            options.control.pause();
        }
    };
    let paused = world.engine.run_with(request, &options, &observe).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Asked))), "{paused:?}");
    run
}

async fn resume(world: &World, run: &TaskId) -> Result<ipvm_workflow::RunReport, RunError> {
    world.engine.resume(run, &RunOptions::default(), &|_| {}).await
}

#[tokio::test]
async fn a_run_goes_on_with_another_executor_and_what_is_done_stays_done() {
    let here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[&here]);
    let run = begin(&here, "reserve").await;
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();

    // It is gone from here.
    assert!(here.journal.unfinished().await.unwrap().is_empty());
    assert!(matches!(resume(&here, &run).await, Err(RunError::NotOpen(id)) if id == run));

    let mut there = there;
    there.now += 100_000;
    there.open(&Crash::never());
    assert_eq!(there.engine.take_over(&archive).await.unwrap(), run);
    assert!(there.journal.unfinished().await.unwrap().contains(&run));
    let report = resume(&there, &run).await.unwrap();
    assert!(report.succeeded(), "{report:?}");
    assert_eq!((report.run, here.outside.names()), (run, ["reserve", "charge", "tell"].map(String::from).into()));
    for (label, how) in [("price", How::Reused), ("reserve", How::Reused), ("charge", How::Ran), ("tell", How::Ran)] {
        assert_eq!(step(&report, label).how, how, "{label}");
    }
    // The tasks are those that were asked for, and whoever did them says so.
    let issuer = async |label: &str| {
        let receipt = ReceiptStore::get(&*there.receipts, &step(&report, label).receipt).await.unwrap().unwrap();
        receipt.issuer().clone()
    };
    assert_eq!(issuer("reserve").await, *here.node.did());
    assert_eq!(issuer("charge").await, *there.node.did());
    let receipt = ReceiptStore::get(&*there.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = there.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
    assert_eq!((verified.tally().reexecuted, verified.tally().attested), (1, 3), "{verified:?}");
}

#[tokio::test]
async fn what_was_handed_over_has_one_owner() {
    let here = World::of(1, Knows::Nothing);
    let (there, stranger) = (beside(&here, 3, Knows::Nothing, &[&here]), beside(&here, 4, Knows::Nothing, &[]));
    let run = begin(&here, "reserve").await;
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    // A file that was lost can be had again, by nobody else.
    assert_eq!(here.engine.checkpoint(&run, there.node.did()).await.unwrap(), archive);
    let other = here.engine.checkpoint(&run, stranger.node.did()).await;
    assert!(matches!(&other, Err(HandoverError::HandedToOther { to, .. }) if to == there.node.did()), "{other:?}");
    for world in [&here, &stranger] {
        let refused = world.engine.take_over(&archive).await;
        assert!(matches!(refused, Err(HandoverError::Invocation { .. })), "{refused:?}");
    }
    // Who asked for it cannot have it started anew.
    let again = here.engine.run(here.request(WORKFLOW).await, &|_| {}).await.unwrap();
    assert_ne!(again.run, run);
    let open = common::request_of(&here, &run).await;
    let refused = here.engine.run(open, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::HandedOver { run: id, .. }) if id == run), "{refused:?}");

    there.engine.take_over(&archive).await.unwrap();
    // Until it is gone on with, taking it over again changes nothing.
    there.engine.take_over(&archive).await.unwrap();
    assert!(resume(&there, &run).await.unwrap().succeeded());
    let again = there.engine.take_over(&archive).await;
    assert!(matches!(again, Err(HandoverError::TakenBefore(id)) if id == run), "{again:?}");
}

#[tokio::test]
async fn who_does_not_believe_the_other_computes_again_and_asks_what_was_done() {
    let here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[]);
    let run = begin(&here, "reserve").await;
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    there.engine.take_over(&archive).await.unwrap();
    let paused = resume(&there, &run).await;
    let Err(RunError::Paused(Paused::Uncertain { label, task })) = paused else { panic!("{paused:?}") };
    assert_eq!((label.as_str(), here.outside.names()), ("reserve", vec!["reserve".to_owned()]));
    let mut options = RunOptions::default();
    options.resolutions.insert(task, Resolution::Done(Outcome::Ok(Ipld::Integer(42))));
    let report = there.engine.resume(&run, &options, &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(step(&report, "price").how, How::Reused, "computed before the pause");
    assert_eq!(here.outside.names(), ["reserve", "charge", "tell"]);
}

#[tokio::test]
async fn it_is_handed_on_and_comes_back_and_no_old_archive_counts() {
    let mut here = World::of(1, Knows::Nothing);
    let second = beside(&here, 3, Knows::Nothing, &[&here]);
    let third = beside(&here, 4, Knows::Nothing, &[&here, &second]);
    here.trust = Trust::Executors([&second, &third].map(|world| world.node.did().clone()).into());
    here.open(&Crash::never());
    let run = begin(&here, "price").await;
    let one = here.engine.checkpoint(&run, second.node.did()).await.unwrap();
    second.engine.take_over(&one).await.unwrap();
    let two = second.engine.checkpoint(&run, third.node.did()).await.unwrap();
    third.engine.take_over(&two).await.unwrap();
    let three = third.engine.checkpoint(&run, here.node.did()).await.unwrap();
    let again = second.engine.take_over(&one).await;
    assert!(matches!(again, Err(HandoverError::TakenBefore(_))), "{again:?}");
    here.engine.take_over(&three).await.unwrap();
    let report = resume(&here, &run).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(here.outside.names(), ["reserve", "charge", "tell"]);
    for (world, archive) in [(&second, &one), (&third, &two), (&here, &three)] {
        let again = world.engine.take_over(archive).await;
        let over = matches!(again, Err(HandoverError::TakenBefore(_)));
        assert!(over, "{again:?}");
    }
}

#[tokio::test]
async fn what_had_begun_is_not_done_again_on_a_guess() {
    // The process dies when the effect has been had, and before its receipt is written.
    let mut found = 0;
    for (halves, knows) in (0..60).flat_map(|halves| [(halves, Knows::Nothing), (halves, Knows::Key)]) {
        let mut here = World::of(1, knows);
        let there = beside(&here, 3, knows, &[&here]);
        let request = here.request(WORKFLOW).await;
        let run = request.invocation.task().id().unwrap();
        here.open(&Crash::after(halves));
        let died = here.engine.run(request, &|_| {}).await;
        here.open(&Crash::never());
        if died.is_ok() || here.journal.open(&run).await.unwrap().is_none() {
            continue;
        }
        let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
        there.engine.take_over(&archive).await.unwrap();
        let mut options = RunOptions::default();
        let report = loop {
            match there.engine.resume(&run, &options, &|_| {}).await {
                Ok(report) => break report,
                Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                    assert_eq!(knows, Knows::Nothing, "its handler makes once of twice");
                    found += 1;
                    let done = here.outside.names().contains(&label);
                    let outcome = Resolution::Done(Outcome::Ok(Ipld::Integer(42)));
                    options.resolutions.insert(task, if done { outcome } else { Resolution::NotDone });
                }
                Err(error) => panic!("{halves}: {error:?}"),
            }
        };
        assert!(report.succeeded());
        let mut names = here.outside.names();
        // What is idempotent may be had twice.
        names.dedup_by(|a, b| a == b && a == "tell");
        assert_eq!(names, ["reserve", "charge", "tell"], "{halves}");
    }
    assert!(found > 3, "{found}");
}

#[tokio::test]
async fn whoever_dies_while_it_is_handed_over_one_of_them_has_it() {
    for halves in 0..60 {
        for first_dies in [true, false] {
            let mut here = World::of(1, Knows::Nothing);
            let mut there = beside(&here, 3, Knows::Nothing, &[&here]);
            let run = begin(&here, "reserve").await;
            if first_dies {
                here.open(&Crash::after(halves));
            }
            let archive = match here.engine.checkpoint(&run, there.node.did()).await {
                Ok(archive) => archive,
                Err(_) => {
                    here.open(&Crash::never());
                    here.engine.checkpoint(&run, there.node.did()).await.unwrap()
                }
            };
            if !first_dies {
                there.open(&Crash::after(halves));
            }
            let taken = there.engine.take_over(&archive).await;
            there.open(&Crash::never());
            if taken.is_err() && there.journal.open(&run).await.unwrap().is_none() {
                there.engine.take_over(&archive).await.unwrap();
            }
            assert!(resume(&there, &run).await.unwrap().succeeded());
            assert!(matches!(there.engine.take_over(&archive).await, Err(HandoverError::TakenBefore(_))));
            assert_eq!(here.outside.names(), ["reserve", "charge", "tell"], "{halves}");
        }
    }
}

#[tokio::test]
async fn an_archive_that_was_altered_is_refused_and_begins_nothing() {
    let here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[&here]);
    let run = begin(&here, "reserve").await;
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    let mut refused = 0;
    for at in (0..archive.len()).step_by(37) {
        let mut altered = archive.clone();
        altered[at] ^= 1;
        let fresh = beside(&here, 3, Knows::Nothing, &[&here]);
        match fresh.engine.take_over(&altered).await {
            // Another codec in the name of a block that is not needed.
            Ok(taken) => assert_eq!(taken, run),
            Err(_) => {
                assert_eq!(fresh.journal.entries(), [], "byte {at}");
                refused += 1;
            }
        }
    }
    assert!(refused * 37 * 10 > archive.len() * 9, "{refused}");
    // A block that is missing is named, or not needed.
    let read = car::read(&archive, &car::CarLimits::default()).unwrap();
    for without in read.blocks().map(|(cid, _)| *cid) {
        let fresh = beside(&here, 3, Knows::Nothing, &[&here]);
        let rest = car::write(read.roots(), read.blocks().filter(|(cid, _)| **cid != without));
        match fresh.engine.take_over(&rest).await {
            Ok(_) => assert!(!fresh.journal.unfinished().await.unwrap().is_empty()),
            Err(error) => {
                assert!(error.to_string().contains(&without.to_string()), "{without}: {error}");
                assert_eq!(fresh.journal.entries(), []);
            }
        }
    }
}

#[tokio::test]
async fn what_is_being_undone_stays_where_it_was_done() {
    let mut here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[&here]);
    let run = begin(&here, "reserve").await;
    here.open(&Crash::after(2));
    assert!(here.engine.cancel(&run, &RunOptions::default(), &|_| {}).await.is_err());
    here.open(&Crash::never());
    let refused = here.engine.checkpoint(&run, there.node.did()).await;
    assert!(matches!(refused, Err(HandoverError::Cancelled(id)) if id == run), "{refused:?}");
    let report = resume(&here, &run).await.unwrap();
    assert!(report.cancelled);
    assert_eq!(here.outside.names(), ["reserve", "release"]);
    let over = here.engine.checkpoint(&run, there.node.did()).await;
    assert!(matches!(over, Err(HandoverError::Run(RunError::NotOpen(_)))), "{over:?}");
}

#[tokio::test]
async fn nobody_there_can_allow_what_is_done_to_resources_here() {
    let here = World::of(1, Knows::Nothing);
    let mut there = beside(&here, 3, Knows::Nothing, &[&here]);
    there.beside.clear();
    there.open(&Crash::never());
    let run = begin(&here, "reserve").await;
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    let refused = there.engine.take_over(&archive).await;
    let no_handler = matches!(&refused, Err(HandoverError::Run(RunError::Plan(PlanError::NoHandler { .. }))));
    assert!(no_handler, "{refused:?}");
    assert_eq!(there.journal.entries(), []);
}

/// What somebody says of a run who may say anything.
#[derive(Default)]
struct Said {
    receipts: Vec<Cid>,
    begun: Vec<TaskId>,
    before: Option<Cid>,
    /// Blocks beside the request, its delegations and the workflow.
    blocks: Vec<Vec<u8>>,
}

impl Said {
    fn of(receipts: &[&Receipt], begun: &[TaskId]) -> Self {
        let blocks = receipts.iter().map(|receipt| receipt.bytes().to_vec()).collect();
        let receipts = receipts.iter().map(|receipt| receipt.id().into()).collect();
        Self { receipts, begun: begun.to_vec(), before: None, blocks }
    }

    /// The archive by which `from` hands the run over.
    fn archive(self, from: &Issuer, to: &Did, (request, workflow): &(RunRequest, Workflow)) -> Vec<u8> {
        let links = |cids: Vec<Cid>| Ipld::List(cids.into_iter().map(Ipld::Link).collect());
        let run = request.invocation.task().id().unwrap();
        let mut fields = vec![
            ("run", Ipld::Link(run.into())),
            ("request", Ipld::Link(*request.invocation.envelope().cid())),
            ("receipts", links(self.receipts)),
            ("begun", links(self.begun.into_iter().map(Cid::from).collect())),
        ];
        fields.extend(self.before.map(|before| ("before", Ipld::Link(before))));
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let state = dagcbor::encode(&Ipld::Map([("ipvm/checkpoint@1.0.0".to_owned(), Ipld::Map(fields))].into()));
        let state = state.unwrap();
        let args = [("checkpoint".to_owned(), Ipld::Link(block::dag_cbor_cid(&state)))].into();
        let handover = Invocation::builder(from.did().clone(), Command::parse(RESUME_COMMAND).unwrap(), args)
            .audience(to.clone())
            .nonce(b"any other".to_vec())
            .sign(from)
            .unwrap();
        let handover = handover.envelope();
        let mut blocks = vec![state, handover.bytes().to_vec(), request.invocation.envelope().bytes().to_vec()];
        blocks.extend(request.delegations.iter().map(|token| token.bytes().to_vec()));
        blocks.extend([workflow.bytes().to_vec()].into_iter().chain(self.blocks));
        let named: Vec<_> = blocks.iter().map(|bytes| (block::dag_cbor_cid(bytes), bytes.as_slice())).collect();
        car::write(&[*handover.cid()], named.iter().map(|(cid, bytes)| (cid, *bytes)))
    }
}

/// A task of somebody else's run, which alters what belongs to `world`'s node.
fn elsewhere(world: &World) -> Task {
    let args = [("name".to_owned(), Ipld::String("theirs".to_owned()))].into();
    Task::new(world.node.did().clone(), Command::parse("/do").unwrap(), args, vec![7; 12])
}

fn sign(world: &World, receipt: ucan_invocation::ReceiptBuilder) -> Receipt {
    receipt.sign(&world.node, [7; 16]).unwrap()
}

#[tokio::test]
async fn nobody_says_of_what_others_do_that_it_was_begun() {
    let there = World::of(3, Knows::Nothing);
    let liar = beside(&there, 9, Knows::Nothing, &[]);
    let victim = elsewhere(&there);
    let id = victim.id().unwrap();

    // As a task of the liar's own workflow, for which nobody gave authority.
    let theirs = format!(
        r#"{{"v": "1.0.0", "tasks": {{"x": {{"cmd": "/do", "sub": "{}", "args": {{"name": "theirs"}},
            "nonce": {{"/": {{"bytes": "BwcHBwcHBwcHBwcH"}}}}}}}}}}"#,
        there.node.did()
    );
    let asked = liar.ask(&theirs).await;
    let archive = Said::of(&[], &[id]).archive(&liar.node, there.node.did(), &asked);
    let refused = there.engine.take_over(&archive).await;
    assert!(matches!(&refused, Err(HandoverError::Run(RunError::NoAuthority(_)))), "{refused:?}");
    assert_eq!(there.journal.entries(), []);

    // As what a task of the liar's was when its promises were resolved, and as what one asked for.
    let mut there = there;
    there.beside = vec![liar.node.did().clone()];
    there.open(&Crash::never());
    let own =
        r#"{"v": "1.0.0", "tasks": {"x": {"cmd": "/do", "args": {"name": "mine"}, "nonce": {"/": {"bytes": "AA"}}}}}"#;
    let args = [("name".to_owned(), Ipld::String("mine".to_owned()))].into();
    let mine = Task::new(liar.node.did().clone(), Command::parse("/do").unwrap(), args, vec![0]);
    let done = || Receipt::builder(mine.id().unwrap(), Outcome::Ok(Ipld::Null));
    let resolved = sign(&liar, done().meta([("resolved".to_owned(), Ipld::Link(id.into()))].into()));
    let wants = sign(&liar, done().effects(Effects { fork: vec![id], join: None }));
    for (receipt, begun) in [(&resolved, &[][..]), (&wants, &[id])] {
        for block in [None, Some(victim.to_block().unwrap())] {
            let (mut said, asked) = (Said::of(&[receipt], begun), liar.ask(own).await);
            said.blocks.extend(block);
            let taken = there.engine.take_over(&said.archive(&liar.node, there.node.did(), &asked)).await;
            assert!(!there.journal.intended(&id).await.unwrap(), "{taken:?}");
            match begun {
                [] => assert!(taken.is_ok(), "{taken:?}"),
                _ => assert!(matches!(taken, Err(HandoverError::NotBegun(_))), "{taken:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_receipt_that_is_named_often_is_taken_once() {
    let mut there = World::of(3, Knows::Nothing);
    let liar = beside(&there, 9, Knows::Nothing, &[]);
    there.beside = vec![liar.node.did().clone()];
    // It would be dead long before it had written as many.
    there.open(&Crash::after(60));
    let asked = liar.ask(r#"{"v": "1.0.0", "tasks": {"x": {"cmd": "/pure", "args": {"of": [1]}}}}"#).await;
    let args = [("of".to_owned(), Ipld::List(vec![Ipld::Integer(1)]))].into();
    let pure = Task::new(liar.node.did().clone(), Command::parse("/pure").unwrap(), args, vec![]);
    let receipt = sign(&liar, Receipt::builder(pure.id().unwrap(), Outcome::Ok(Ipld::Integer(1))));
    let mut said = Said::of(&[&receipt], &[]);
    said.receipts = vec![receipt.id().into(); 10_000];
    let taken = there.engine.take_over(&said.archive(&liar.node, there.node.did(), &asked)).await;
    assert!(taken.is_ok(), "{taken:?}");
}

#[tokio::test]
async fn what_a_task_came_to_instead_does_not_come_back_as_what_it_came_to() {
    let here = World::of(3, Knows::Nothing);
    let liar = beside(&here, 9, Knows::Nothing, &[]);
    let bad = format!(r#""bad": {{"cmd": "/pure", "sub": "{}", "args": {{"fails": -1}}}}"#, here.node.did());
    let report = here
        .run(&format!(
            r#"{{"v": "1.0.0", "tasks": {{{bad}}},
                "catch": {{"cmd": "/pure", "args": {{"told": {{"ipvm/failure": null}}, "answer": {{"ok": 5}}}}}}}}"#
        ))
        .await;
    let instead = report.caught["bad"].instead.unwrap();
    let instead = ReceiptStore::get(&*here.receipts, &instead).await.unwrap().unwrap();
    assert_eq!(instead.outcome(), &Outcome::Ok(Ipld::Integer(5)));

    // Whoever saw the receipt of that run knows its id.
    let (asked, workflow) = liar.ask(&format!(r#"{{"v": "1.0.0", "tasks": {{{bad}}}}}"#)).await;
    let grants: Vec<Delegation> = liar.grants.iter().chain(&here.grants).cloned().collect();
    let args = RunRequest::args(&workflow, &grants, &[]);
    let invocation = Invocation::builder(liar.node.did().clone(), asked.invocation.command().clone(), args)
        .proofs(asked.invocation.proofs().to_vec())
        .nonce(vec![1])
        .sign(&liar.user)
        .unwrap();
    let asked = (RunRequest { invocation, delegations: grants }, workflow);
    let mut said = Said::of(&[&instead], &[]);
    said.blocks.push(here.blocks.get(step(&report, "bad").task.cid()).await.unwrap().unwrap().to_vec());
    let taken = here.engine.take_over(&said.archive(&liar.node, here.node.did(), &asked)).await;
    assert!(matches!(taken, Err(HandoverError::Receipt { .. })), "{taken:?}");
    let again = here.run(&format!(r#"{{"v": "1.0.0", "tasks": {{{bad}}}}}"#)).await;
    assert_eq!(step(&again, "bad").outcome.failure_name(), Some("Told"), "{again:?}");
}

#[tokio::test]
async fn who_had_a_run_once_cannot_hand_it_over_again() {
    let mut here = World::of(1, Knows::Nothing);
    let second = beside(&here, 3, Knows::Nothing, &[&here]);
    let third = beside(&here, 4, Knows::Nothing, &[&here, &second]);
    here.trust = Trust::Executors([&second, &third].map(|world| world.node.did().clone()).into());
    here.open(&Crash::never());
    let run = begin(&here, "price").await;
    let one = here.engine.checkpoint(&run, second.node.did()).await.unwrap();
    second.engine.take_over(&one).await.unwrap();
    let two = second.engine.checkpoint(&run, here.node.did()).await.unwrap();
    here.engine.take_over(&two).await.unwrap();
    let three = here.engine.checkpoint(&run, third.node.did()).await.unwrap();
    third.engine.take_over(&three).await.unwrap();

    // It says that it has had the run all the time since.
    let request = common::request_of(&here, &run).await;
    let Some(Ipld::Link(workflow)) = request.invocation.args().get("workflow") else { panic!() };
    let workflow = Workflow::from_block(&here.blocks.get(workflow).await.unwrap().unwrap()).unwrap();
    let first = *car::read(&one, &car::CarLimits::default()).unwrap().roots().first().unwrap();
    let said = Said { before: Some(first), ..Said::default() };
    let again = said.archive(&second.node, here.node.did(), &(request, workflow));
    let refused = here.engine.take_over(&again).await;
    assert!(matches!(refused, Err(HandoverError::HandedOn { .. })), "{refused:?}");
    assert!(here.journal.open(&run).await.unwrap().is_none());
    assert!(resume(&third, &run).await.unwrap().succeeded());
    // From whom has it now, it comes back.
    let run = begin(&here, "price").await;
    let archive = here.engine.checkpoint(&run, third.node.did()).await.unwrap();
    third.engine.take_over(&archive).await.unwrap();
    let back = third.engine.checkpoint(&run, here.node.did()).await.unwrap();
    assert_eq!(here.engine.take_over(&back).await.unwrap(), run);
}

#[tokio::test]
async fn an_archive_names_each_receipt_once() {
    let here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[&here]);
    let (request, _) = here
        .ask(
            r#"{"v": "1.0.0", "tasks": {
                "a": {"cmd": "/pure", "args": {"of": [1]}},
                "b": {"cmd": "/pure", "args": {"of": [1]}},
                "c": {"cmd": "/ask", "args": {"name": "c", "fails": 9}, "config": {"retry": {"attempts": 2}}}
            }}"#,
        )
        .await;
    let run = request.invocation.task().id().unwrap();
    let paused = here.engine.run(request, &|_| {}).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Spent { .. }))), "{paused:?}");
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    let read = car::read(&archive, &car::CarLimits::default()).unwrap();
    let root = Invocation::decode(read.get(&read.roots()[0]).unwrap().to_vec()).unwrap();
    let Some(Ipld::Link(state)) = root.args().get("checkpoint") else { panic!("{root:?}") };
    let state = dagcbor::decode(read.get(state).unwrap()).unwrap();
    let Ipld::Map(state) = state else { panic!("{state:?}") };
    let Ipld::List(receipts) = common::field(&state["ipvm/checkpoint@1.0.0"], "receipts") else { panic!("{state:?}") };
    assert_eq!(receipts.len(), 1);
    there.engine.take_over(&archive).await.unwrap();
}

#[tokio::test]
async fn who_started_a_run_hands_it_over_by_its_handle() {
    let here = World::of(1, Knows::Nothing);
    let there = beside(&here, 3, Knows::Nothing, &[&here]);
    let mut handle = here.engine.start(here.request(WORKFLOW).await, RunOptions::default());
    let mut run = None;
    while let Some((_, event)) = handle.next().await {
        match event {
            Event::Accepted { run: id, .. } => run = Some(id),
            Event::Finished(step) if step.label == "reserve" => break,
            _ => {}
        }
    }
    let archive = handle.checkpoint(there.node.did()).await.unwrap();
    assert_eq!(Some(there.engine.take_over(&archive).await.unwrap()), run);
    assert!(resume(&there, &run.unwrap()).await.unwrap().succeeded());
    assert_eq!(here.outside.names(), ["reserve", "charge", "tell"]);

    // One that is over is not handed over.
    let mut handle = here.engine.start(here.request(WORKFLOW).await, RunOptions::default());
    while handle.next().await.is_some() {}
    let over = handle.checkpoint(there.node.did()).await;
    assert!(matches!(over, Err(HandoverError::Run(RunError::AlreadyRun { .. }))), "{over:?}");
}
