//! What is secret is computed with, and nobody is shown it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{Crash, Knows, World, field, step};
use ipvm_workflow::{
    DocumentError, Event, How, Journal, Paused, PlanError, Resolution, RunError, RunOptions, RunReport, Vault,
    Verification, VerifyError,
};
use ucan_core::Ipld;
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Durability, EffectClass, Failure, Filing, Handler, Outcome, Receipt,
    ReceiptStore, Task, TaskId,
};

const SECRET: &str = "hunter2 is a secret";

/// Gives the secret, or fails with it.
#[derive(Debug)]
struct Teller;

#[async_trait]
impl Handler for Teller {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Query
    }

    fn is_secret(&self) -> bool {
        true
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        let args = call.task().args();
        match args.get("number") {
            Some(number) => Completion::new(Outcome::Ok(number.clone())),
            None if args.contains_key("fails") => {
                Completion::new(Failure::new("Locked", format!("not even {SECRET}")).into())
            }
            None => Completion::new(Outcome::Ok(Ipld::String(SECRET.to_owned()))),
        }
    }
}

/// Writes down what it is called with, as a program writes what it wants to know of itself.
#[derive(Debug, Default)]
struct Logger(Mutex<String>);

#[async_trait]
impl Handler for Logger {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        *self.0.lock().unwrap() = format!("{call:?}");
        Completion { unchanged: true, ..Completion::new(Outcome::Ok(Ipld::Null)) }
    }
}

fn world(node: u8, knows: Knows) -> World {
    let mut world = World::of(node, knows);
    world.handlers.push(("/ask/secret", Arc::new(Teller)));
    world.vault = Some(Vault::new(&[7; 32]));
    world.open(&Crash::never());
    world
}

/// The secret is copied by a function, whose result is the name of an effect.
const WORKFLOW: &str = r#"{"v": "1.0.0", "tasks": {
    "get": {"cmd": "/ask/secret", "args": {}},
    "copy": {"cmd": "/pure", "args": {"answer": {"await/ok": "get"}}, "config": {"secret": false}},
    "public": {"cmd": "/pure", "args": {"of": [1, 2]}},
    "use": {"cmd": "/do", "args": {"name": {"await/ok": "copy"}, "of": [{"await/ok": "public"}]}}
}}"#;

/// Nothing that the engine keeps of a run tells the secret.
async fn assert_kept(world: &World, report: &RunReport) {
    for step in &report.steps {
        let receipt = ReceiptStore::get(&*world.receipts, &step.receipt).await.unwrap().unwrap();
        let resolved = world.blocks.get(receipt.resolved().cid()).await.unwrap();
        for bytes in [receipt.bytes(), &resolved.unwrap_or_default(), format!("{step:?}").as_bytes()] {
            assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", step.label);
        }
    }
}

fn is_sealed(report: &RunReport, label: &str) -> bool {
    let (Outcome::Ok(value) | Outcome::Error(value)) = &step(report, label).outcome;
    matches!(value, Ipld::Map(map) if map.contains_key("ipvm/sealed"))
}

#[tokio::test]
async fn what_is_computed_from_a_secret_is_secret() {
    let world = world(1, Knows::Nothing);
    let report = world.run(WORKFLOW).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(world.outside.names(), [SECRET]);
    assert_eq!(["get", "copy", "public", "use"].map(|label| is_sealed(&report, label)), [true, true, false, true]);
    assert_kept(&world, &report).await;
    // It is no answer for anybody else.
    let again = world.run(WORKFLOW).await;
    assert_eq!(["copy", "public"].map(|label| step(&again, label).how), [How::Ran, How::Reused]);
    assert_ne!(step(&again, "copy").outcome, step(&report, "copy").outcome, "equal secrets do not look equal");
    let receipt = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = world.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
    assert_eq!((verified.tally().reexecuted, verified.tally().attested), (1, 3));
    let copy = ReceiptStore::get(&*world.receipts, &step(&report, "copy").receipt).await.unwrap().unwrap();
    assert!(matches!(world.engine.verify(copy).await, Ok(Verification::Attested { .. })));
}

#[tokio::test]
async fn it_survives_every_crash_and_is_used_once() {
    for (halves, knows) in (0..70).flat_map(|halves| [(halves, Knows::Probe), (halves, Knows::Key)]) {
        let mut world = world(1, knows);
        let request = world.request(WORKFLOW).await;
        world.open(&Crash::after(halves));
        let died = world.engine.run(request.clone(), &|_| {}).await;
        world.open(&Crash::never());
        let report = match (died, world.engine.run(request, &|_| {}).await) {
            (_, Ok(report)) | (Ok(report), _) => report,
            (Err(_), Err(RunError::AlreadyRun { .. })) => continue,
            (_, Err(error)) => panic!("{halves}: {error:?}"),
        };
        assert!(report.succeeded(), "{halves}: {report:?}");
        assert_eq!(world.outside.names(), [SECRET], "{halves}");
        assert_kept(&world, &report).await;
    }
}

#[tokio::test]
async fn without_the_key_nothing_is_known() {
    let mut world = world(1, Knows::Nothing);
    let request = world.request(WORKFLOW).await;
    let run = request.invocation.task().id().unwrap();
    // It dies when all but the receipt of the run is there.
    let mut halves = 0;
    while world.outside.names().is_empty() {
        halves += 1;
        world = self::world(1, Knows::Nothing);
        world.open(&Crash::after(halves));
        assert!(world.engine.run(world.request(WORKFLOW).await, &|_| {}).await.is_err());
    }
    world.vault = Some(Vault::new(&[8; 32]));
    world.open(&Crash::never());
    let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
    let Err(RunError::Paused(Paused::Uncertain { label, task })) = paused else { panic!("{paused:?}") };
    assert_eq!(label, "use");
    let mut options = RunOptions::default();
    options.resolutions.insert(task, Resolution::Done(Outcome::Ok(Ipld::Null)));
    assert!(world.engine.resume(&run, &options, &|_| {}).await.unwrap().succeeded());
    assert_eq!(world.outside.names(), [SECRET]);

    let mut bare = self::world(1, Knows::Nothing);
    bare.vault = None;
    bare.open(&Crash::never());
    let refused = bare.engine.run(bare.request(WORKFLOW).await, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::NoVault { label }) if label == "get"));
}

#[tokio::test]
async fn failures_say_their_names_and_no_more() {
    let world = world(1, Knows::Nothing);
    let report = world.run(r#"{"v": "1.0.0", "tasks": {"get": {"cmd": "/ask/secret", "args": {"fails": 1}}}}"#).await;
    assert_eq!(step(&report, "get").outcome.failure_name(), Some("Locked"));
    assert!(is_sealed(&report, "get"));
    assert_kept(&world, &report).await;
    // By its configuration, any task is secret.
    let report = world
        .run(r#"{"v": "1.0.0", "defaults": {"secret": true}, "tasks": {"sum": {"cmd": "/pure", "args": {"of": [1]}}}}"#)
        .await;
    assert!(is_sealed(&report, "sum"));
    // What a function makes of a secret may be the name of its failure.
    let report = world
        .run(r#"{"v": "1.0.0", "defaults": {"secret": true}, "tasks": {"f": {"cmd": "/pure", "args": {"fails": -1}}}}"#)
        .await;
    assert_eq!(step(&report, "f").outcome.failure_name(), Some("Failed"));
}

#[tokio::test]
async fn what_would_tell_it_is_refused_before_anything_starts() {
    let world = world(1, Knows::Nothing);
    let others = WORKFLOW.replace(
        r#""config": {"secret": false}"#,
        r#""config": {"check": {"oracle": "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"}}"#,
    );
    let catch = r#"{"v": "1.0.0", "defaults": {"secret": true}, "tasks": {"sum": {"cmd": "/pure", "args": {}}},
        "catch": {"cmd": "/pure", "args": {"f": {"ipvm/failure": null}}}}"#;
    for (json, told) in [(others.as_str(), "copy"), (catch, "catch")] {
        let refused = world.engine.run(world.request(json).await, &|_| {}).await;
        assert!(matches!(&refused, Err(RunError::NotKept { label, .. }) if label == told), "{refused:?}");
    }
    assert_eq!(world.journal.entries(), []);
}

#[tokio::test]
async fn no_way_around_leads_to_it() {
    let world = world(1, Knows::Nothing);
    let report = world.run(WORKFLOW).await;
    // Not by its id, from another workflow.
    let get: TaskId = step(&report, "get").task;
    let elsewhere = format!(
        r#"{{"v": "1.0.0", "tasks": {{"copy": {{"cmd": "/pure", "args": {{"answer": {{"await/ok": {{"/": "{get}"}}}}}}}}}}}}"#
    );
    let refused = world.engine.run(world.request(&elsewhere).await, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::Plan(PlanError::AwaitedElsewhere { .. }))), "{refused:?}");
    // Not as what another task comes to instead of its failure.
    let rewired =
        WORKFLOW.replace("\"public\":", "\"fails\": {\"cmd\": \"/pure\", \"args\": {\"fails\": -1}}, \"public\":");
    let tasks = rewired.strip_suffix("}}").unwrap();
    let rewired = tasks.to_owned()
        + r#"}, "catch": {"cmd": "/pure", "args": {"answer": {"rewire": "get"}, "f": {"ipvm/failure": null}}}}"#;
    let report = world.run(&rewired).await;
    assert!(!report.succeeded());
    assert!(report.caught["fails"].message.as_ref().unwrap().contains("secret"), "{report:?}");
    assert_kept(&world, &report).await;
    assert!(matches!(
        ipvm_workflow::Document::parse(
            &ucan_core::dagjson::decode(
                br#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/pure", "args": {}, "config": {"secret": 1}}}}"#
            )
            .unwrap()
        ),
        Err(DocumentError::Shape(_))
    ));
}

/// The task of `use`, as somebody would write it who guesses the secret.
async fn guessed(world: &World, report: &RunReport) -> TaskId {
    let block = world.blocks.get(step(report, "use").task.cid()).await.unwrap().unwrap();
    let args = BTreeMap::from([
        ("name".to_owned(), Ipld::String(SECRET.to_owned())),
        ("of".to_owned(), Ipld::List(vec![Ipld::Integer(3)])),
    ]);
    Task::from_block(&block).unwrap().with_args(args).id().unwrap()
}

#[tokio::test]
async fn nothing_tells_whether_a_guess_is_right() {
    for knows in [Knows::Nothing, Knows::Key] {
        let world = world(1, knows);
        let report = world.run(WORKFLOW).await;
        let guess = guessed(&world, &report).await;
        // What a handler hands on, such as the key of a request or the name of a file.
        let done = world.outside.done.lock().unwrap().clone();
        assert!(done.iter().all(|(_, id)| *id != guess), "{guess}");
        // What is looked up by it.
        assert!(!world.journal.intended(&guess).await.unwrap());
        assert!(world.receipts.by_task(&guess).await.unwrap().is_empty());
        assert!(world.blocks.get(guess.cid()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_shown_of_a_call_are_not_its_arguments() {
    let (mut world, logger) = (world(1, Knows::Nothing), Arc::new(Logger::default()));
    world.handlers.push(("/do/log", logger.clone()));
    world.open(&Crash::never());
    let json = WORKFLOW.replace(r#""cmd": "/do""#, r#""cmd": "/do/log""#);
    let report = world.run(&json).await;
    assert!(report.succeeded());
    // Whoever had made the world so by a guess would know that it is right.
    assert_eq!(step(&report, "use").how, How::Ran);
    let logged = logger.0.lock().unwrap().clone();
    assert!(logged.contains("/do/log") && !logged.contains("hunter2"), "{logged}");
}

#[tokio::test]
async fn what_it_took_to_compute_tells_nothing() {
    let world = world(1, Knows::Nothing);
    let report = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "get": {"cmd": "/ask/secret", "args": {"number": 42}},
                "burn": {"cmd": "/pure", "args": {"fuel": {"await/ok": "get"}}}
            }}"#,
        )
        .await;
    assert!(report.succeeded(), "{report:?}");
    let burn = step(&report, "burn");
    let receipt = ReceiptStore::get(&*world.receipts, &burn.receipt).await.unwrap().unwrap();
    assert_eq!((burn.fuel, receipt.meta().keys().map(String::as_str).collect::<Vec<_>>()), (None, vec!["resolved"]));
}

#[tokio::test]
async fn what_was_secret_is_not_told_to_who_does_not_keep_it() {
    let world = world(1, Knows::Nothing);
    let json = |config: &str| {
        format!(
            r#"{{"v": "1.0.0", "tasks": {{"get": {{"cmd": "/do", "args": {{"name": "once"}}{config},
                "nonce": {{"/": {{"bytes": "AAAAAAAAAAAAAAAA"}}}}}}}}}}"#
        )
    };
    let report = world.run(&json(r#", "config": {"secret": true}"#)).await;
    assert!(report.succeeded() && is_sealed(&report, "get"));
    let report = world.run(&json("")).await;
    assert_eq!(step(&report, "get").outcome.failure_name(), Some("Secret"), "{report:?}");
    assert_eq!(world.outside.names(), ["once"]);
}

#[tokio::test]
async fn what_a_person_found_out_is_stated_so() {
    for halves in 0.. {
        let mut world = world(1, Knows::Nothing);
        let request = world.request(WORKFLOW).await;
        let run = request.invocation.task().id().unwrap();
        world.open(&Crash::after(halves));
        let died = world.engine.run(request, &|_| {}).await;
        assert!(died.is_err(), "there is a moment when it is begun and has no receipt");
        world.open(&Crash::never());
        let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
        let Err(RunError::Paused(Paused::Uncertain { task, .. })) = paused else { continue };
        let mut options = RunOptions::default();
        options.resolutions.insert(task, Resolution::Done(Outcome::Ok(Ipld::Integer(7))));
        let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
        let receipt = ReceiptStore::get(&*world.receipts, &step(&report, "use").receipt).await.unwrap().unwrap();
        assert!(is_sealed(&report, "use"));
        assert_eq!(receipt.meta().get("resolution"), Some(&Ipld::Bool(true)), "{receipt:?}");
        break;
    }
}

#[tokio::test]
async fn what_is_not_secret_cannot_be_withheld_from_who_verifies() {
    let world = world(1, Knows::Nothing);
    let report = world.run(WORKFLOW).await;
    let stated = world.stated(&report).await;
    // An executor that does not want to be checked says of a public result that it was secret.
    let sealed = Ipld::Map([("ipvm/sealed".to_owned(), Ipld::Bytes(vec![7; 40]))].into());
    let lie = Receipt::builder(step(&report, "public").task, Outcome::Ok(sealed));
    let lie = lie.sign(&world.node, [9; 16]).unwrap();
    let Ipld::Map(mut tasks) = field(&stated, "tasks").clone() else { panic!("{stated:?}") };
    tasks.insert("public".to_owned(), Ipld::Link(lie.id().into()));
    let listed = Outcome::Ok(Ipld::Map([("tasks".to_owned(), Ipld::Map(tasks))].into()));
    let of_run = Receipt::builder(report.run, listed).sign(&world.node, [8; 16]).unwrap();
    for receipt in [&lie, &of_run] {
        let filing = Filing { tasks: vec![], memo: None, inputs: vec![], durability: Durability::Buffered };
        world.receipts.file(receipt, &filing).await.unwrap();
    }
    let verified = world.engine.verify_run(of_run, &|_, _| {}).await.unwrap();
    assert_eq!((verified.tally().refuted, verified.tally().attested), (1, 3), "{verified:?}");
    let public = verified.steps.iter().find(|(label, _)| label == "public").unwrap();
    assert!(matches!(&public.1, Err(VerifyError::Withheld)), "{public:?}");
}

#[tokio::test]
async fn a_run_takes_no_secret_along_to_who_goes_on_with_it() {
    let here = world(1, Knows::Nothing);
    let mut there = world(3, Knows::Nothing);
    there.outside = here.outside.clone();
    there.beside = vec![here.node.did().clone()];
    there.trust = ipvm_workflow::Trust::Executors([here.node.did().clone()].into());
    there.vault = Some(Vault::new(&[8; 32]));
    there.open(&Crash::never());
    let request = here.request(WORKFLOW).await;
    let run = request.invocation.task().id().unwrap();
    let options = RunOptions::default();
    let pause = |event| {
        if matches!(event, Event::Finished(step) if step.label == "copy") {
            options.control.pause();
        }
    };
    let paused = here.engine.run_with(request, &options, &pause).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Asked))), "{paused:?}");
    let archive = here.engine.checkpoint(&run, there.node.did()).await.unwrap();
    assert!(!archive.windows(7).any(|part| part == b"hunter2"));
    there.engine.take_over(&archive).await.unwrap();
    let report = there.engine.resume(&run, &RunOptions::default(), &|_| {}).await.unwrap();
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(["get", "copy"].map(|label| step(&report, label).how), [How::Ran, How::Ran]);
    assert_eq!(here.outside.names(), [SECRET]);
    assert_kept(&there, &report).await;
}

#[tokio::test]
async fn one_task_is_secret_by_all_of_its_names() {
    let world = world(1, Knows::Nothing);
    let task = r#"{"cmd": "/ask", "args": {"name": "n", "of": [1]}, "nonce": {"/": {"bytes": "AAAAAAAAAAAAAAAA"}}"#;
    let report = world
        .run(&format!(
            r#"{{"v": "1.0.0", "tasks": {{
                "a": {task}}},
                "b": {task}, "config": {{"secret": true}}}},
                "of a": {{"cmd": "/pure", "args": {{"of": [{{"await/ok": "a"}}]}}}},
                "of b": {{"cmd": "/pure", "args": {{"of": [{{"await/ok": "b"}}]}}}}
            }}}}"#
        ))
        .await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(["a", "b", "of a", "of b"].map(|label| is_sealed(&report, label)), [true; 4]);
}
