//! What is secret is computed with, and nobody is shown it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Crash, Knows, World, step};
use ipvm_workflow::{
    DocumentError, How, Paused, PlanError, Resolution, RunError, RunOptions, RunReport, Vault, Verification,
};
use ucan_core::Ipld;
use ucan_invocation::{
    BlockStore, Call, Completion, Config, EffectClass, Failure, Handler, Outcome, ReceiptStore, Task, TaskId,
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
        match call.task().args().contains_key("fails") {
            true => Completion::new(Failure::new("Locked", format!("not even {SECRET}")).into()),
            false => Completion::new(Outcome::Ok(Ipld::String(SECRET.to_owned()))),
        }
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
