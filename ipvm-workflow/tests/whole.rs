//! Limits of a run as a whole: its time, its fuel, how many of its tasks run at once, and that all of it is secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{COMMANDS, Crash, Knows, Passing, World, step};
use ipvm_workflow::{
    Document, DocumentBuilder, DocumentError, Engine, Entry, How, Journal, Parts, Paused, RunConfig, RunError,
    RunOptions, Trust, Vault,
};
use ucan_core::{Clock, Command, Ipld, Timestamp, dagjson};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, ReceiptStore, Task, TaskId};

/// Takes as many seconds as it is told, and counts how many do at once.
#[derive(Debug)]
struct Slow {
    clock: Arc<Passing>,
    class: EffectClass,
    under_way: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

#[async_trait]
impl Handler for Slow {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(under_way, Ordering::Relaxed);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
        if let Some(Ipld::Integer(secs)) = call.task().args().get("secs") {
            self.clock.pass(u64::try_from(*secs).unwrap());
        }
        match call.task().args().contains_key("fails") {
            true => Completion::new(Failure::new("Unavailable", "told to fail").into()),
            false => Completion::new(Outcome::Ok(Ipld::Integer(1))),
        }
    }
}

/// An engine on the world's stores whose time passes; what is below the command of a class is slow.
fn slow(world: &World) -> (Engine, Arc<Passing>, Vec<Arc<Slow>>) {
    let clock = Arc::new(Passing(AtomicU64::new(world.now)));
    let mut parts =
        Parts { clock: clock.clone(), timer: clock.clone(), parallelism: 8, ..world.engine.parts().clone() };
    let mut handlers = Vec::new();
    for (command, class) in COMMANDS {
        let counts = [(); 3].map(|()| AtomicUsize::new(0));
        let [under_way, most, done] = counts;
        let handler = Arc::new(Slow { clock: clock.clone(), class, under_way, most, done });
        let command = Command::parse(&format!("{command}/slowly")).unwrap();
        parts.router.insert(world.node.did().clone(), command, handler.clone());
        handlers.push(handler);
    }
    (Engine::new(parts), clock, handlers)
}

fn parse(json: &str) -> Result<Document, DocumentError> {
    Document::parse(&dagjson::decode(json.as_bytes()).unwrap())
}

fn with(config: &str, tasks: &str) -> String {
    format!(r#"{{"v": "1.0.0", "config": {{{config}}}, "tasks": {{{tasks}}}}}"#)
}

const ONE: &str = r#""a": {"cmd": "/pure", "args": {}}"#;

#[test]
fn what_is_not_known_of_a_whole_run_is_refused_by_name() {
    for (config, place, problem) in [
        (r#""memory": 1"#, "config.memory", "unknown field"),
        (r#""retry": {"attempts": 2}"#, "config.retry", "unknown field"),
        (r#""time": "soon""#, "config.time", "a list"),
        (r#""time": [0, "seconds"]"#, "config.time", "at least one"),
        (r#""time": [1500, "milli", "seconds"]"#, "config.time", "whole seconds"),
        (r#""time": [-1, "hours"]"#, "config.time[0]", "out of range"),
        (r#""gas": -1"#, "config.gas", "2^63"),
        (r#""gas": 9223372036854775808"#, "config.gas", "2^63"),
        (r#""gas": 1.5"#, "config.gas", "an integer"),
        (r#""parallelism": 0"#, "config.parallelism", "at once"),
        (r#""parallelism": 4294967296"#, "config.parallelism", "at once"),
        (r#""secret": "yes""#, "config.secret", "true or false"),
    ] {
        let error = parse(&with(config, ONE)).unwrap_err();
        assert_eq!(error.place().map(ToString::to_string).as_deref(), Some(place), "{config}");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let error = parse(r#"{"v": "1.0.0", "config": [], "tasks": {"a": {"cmd": "/pure", "args": {}}}}"#).unwrap_err();
    assert!(error.to_string().contains("config: expected a map"), "{error}");
}

#[test]
fn the_configuration_of_a_run_survives_and_is_no_part_of_its_tasks() {
    let json = with(r#""time": [3000, "milli", "seconds"], "gas": 7, "parallelism": 3, "secret": true"#, ONE);
    let document = parse(&json).unwrap();
    let config = RunConfig { time: Some(Duration::from_secs(3)), gas: Some(7), parallelism: Some(3), secret: true };
    assert_eq!(*document.config(), config);
    assert_eq!(Document::parse(&document.to_ipld()).unwrap(), document);
    let mut builder = DocumentBuilder::new();
    builder.config(config).task("a", Command::parse("/pure").unwrap()).add().unwrap();
    assert_eq!(builder.build().unwrap(), document);
    // What says nothing is left out.
    let nothing = parse(&with(r#""secret": false"#, ONE)).unwrap();
    assert!(matches!(nothing.to_ipld(), Ipld::Map(map) if !map.contains_key("config")));
}

#[tokio::test]
async fn tasks_keep_their_ids_whatever_the_limits_of_the_run() {
    let world = World::new(Knows::Nothing);
    let report = world.run(&with("", ONE)).await;
    let limited = world.run(&with(r#""time": [1, "hours"], "gas": 500, "parallelism": 1"#, ONE)).await;
    assert_ne!(report.workflow, limited.workflow);
    assert_eq!(step(&report, "a").task, step(&limited, "a").task);
    assert_eq!(step(&limited, "a").how, How::Reused);
}

/// Three tasks of 40 seconds each, one after the other, and one that alters the world.
const CHAIN: &str = r#"
    "a": {"cmd": "/ask/slowly", "args": {"secs": 40}},
    "b": {"cmd": "/ask/slowly", "args": {"secs": 40, "after": {"await/ok": "a"}}},
    "c": {"cmd": "/ask/slowly", "args": {"secs": 40, "after": {"await/ok": "b"}}},
    "d": {"cmd": "/do", "args": {"name": "d", "of": [{"await/ok": "c"}]}}"#;

#[tokio::test]
async fn after_its_time_nothing_of_a_run_is_started_until_it_is_given_more() {
    let world = World::new(Knows::Nothing);
    let (engine, clock, handlers) = slow(&world);
    let request = world.request(&with(r#""time": [1, "minutes"]"#, CHAIN)).await;
    let run = request.invocation.task().id().unwrap();
    let deadline = Timestamp::from_secs(world.now + 60).unwrap();
    let late = |label: &str, deadline| Paused::OutOfTime { label: label.to_owned(), deadline };
    let paused = |ended: Result<_, RunError>| match ended {
        Err(RunError::Paused(why)) => why,
        ended => panic!("{ended:?}"),
    };
    // What is under way at the deadline comes to its receipt.
    assert_eq!(paused(engine.run(request, &|_| {}).await), late("c", deadline));
    assert_eq!(handlers[0].done.load(Ordering::Relaxed), 2);
    // It counts from the first start, so that going on changes nothing, days later either.
    clock.pass(86_400);
    let options = RunOptions::default();
    assert_eq!(paused(engine.resume(&run, &options, &|_| {}).await), late("c", deadline));
    let started = world.journal.open(&run).await.unwrap().unwrap().at;
    assert_eq!(started, Timestamp::from_secs(world.now));
    // More time counts from there, too.
    let options = RunOptions { time: Some(Duration::from_secs(86_400 + 90)), ..options };
    let deadline = Timestamp::from_secs(world.now + 86_490).unwrap();
    assert_eq!(paused(engine.resume(&run, &options, &|_| {}).await), late("d", deadline));
    let options = RunOptions { time: Some(Duration::from_secs(200_000)), ..options };
    let report = engine.resume(&run, &options, &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(handlers[0].done.load(Ordering::Relaxed), 3, "nothing was asked for twice");
    assert_eq!(world.outside.names(), ["d"]);
}

#[tokio::test]
async fn what_is_known_is_handed_out_late_and_what_was_done_is_undone_late() {
    let world = World::new(Knows::Nothing);
    let (engine, _, _) = slow(&world);
    // The failure comes when the time is over.
    let json = with(
        r#""time": [10, "seconds"]"#,
        r#""pay": {"cmd": "/do", "args": {"name": "pay"}, "undo": "refund"},
           "ship": {"cmd": "/do/slowly", "args": {"secs": 60, "fails": true, "of": {"await/ok": "pay"}}},
           "refund": {"cmd": "/do", "args": {"name": "refund"}}"#,
    );
    let report = engine.run(world.request(&json).await, &|_| {}).await.unwrap();
    assert!(!report.succeeded());
    assert_eq!(world.outside.names(), ["pay", "refund"]);

    let json = with(r#""time": [10, "seconds"]"#, r#""a": {"cmd": "/pure", "args": {"of": [4, 5]}}"#);
    assert!(world.run(&json).await.succeeded());
    let request = world.request(&json).await;
    let run = request.invocation.task().id().unwrap();
    let at = Timestamp::from_secs(world.now - 1_000);
    let workflow = ucan_core::block::raw_cid(b"it is not looked at");
    let entry = Entry::Started { run, workflow, request: request.invocation.id().into(), handover: None, at };
    world.journal.append(&entry).await.unwrap();
    let report = engine.run(request, &|_| {}).await.unwrap();
    assert_eq!(step(&report, "a").how, How::Reused, "nothing has to be started for it");
}

#[tokio::test]
async fn no_attempt_is_waited_for_that_would_come_too_late() {
    let world = World::new(Knows::Nothing);
    let (engine, clock, handlers) = slow(&world);
    let json = with(
        r#""time": [1, "minutes"]"#,
        r#""a": {"cmd": "/ask/slowly", "args": {"secs": 1, "fails": true},
                 "config": {"retry": {"attempts": 9, "delay": [10, "hours"], "longest": [10, "hours"]}}}"#,
    );
    let paused = engine.run(world.request(&json).await, &|_| {}).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::OutOfTime { .. }))), "{paused:?}");
    assert_eq!(handlers[0].done.load(Ordering::Relaxed), 1);
    assert_eq!(clock.now().as_secs(), world.now + 60, "the pause ends with the time of the run");
}

#[tokio::test]
async fn the_time_of_a_run_goes_on_where_it_is_handed_over() {
    let here = World::of(1, Knows::Nothing);
    let mut there = World::of(3, Knows::Nothing);
    there.beside = vec![here.node.did().clone()];
    there.trust = Trust::Executors([here.node.did().clone()].into());
    there.now = here.now + 50;
    there.open(&Crash::never());
    let (engine, ..) = slow(&here);
    let json = with(
        r#""time": [1, "minutes"]"#,
        r#""a": {"cmd": "/ask/slowly", "args": {"secs": 60}},
           "b": {"cmd": "/pure", "args": {"of": [{"await/ok": "a"}]}}"#,
    );
    let request = here.request(&json).await;
    let run = request.invocation.task().id().unwrap();
    assert!(matches!(engine.run(request, &|_| {}).await, Err(RunError::Paused(Paused::OutOfTime { .. }))));
    let archive = engine.checkpoint(&run, there.node.did()).await.unwrap();
    assert_eq!(there.engine.take_over(&archive).await.unwrap(), run);
    assert_eq!(there.journal.open(&run).await.unwrap().unwrap().at, Timestamp::from_secs(here.now));
    there.now = here.now + 60;
    there.open(&Crash::never());
    let paused = there.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
    let deadline = Timestamp::from_secs(here.now + 60).unwrap();
    assert!(
        matches!(&paused, Err(RunError::Paused(why)) if *why == Paused::OutOfTime { label: "b".into(), deadline }),
        "{paused:?}"
    );
}

fn pure(count: usize, fuel: u64, gas: u64) -> String {
    let task = |at| {
        format!(
            r#""t{at}": {{"cmd": "/pure", "args": {{"name": "t{at}", "fuel": {fuel}}}, "config": {{"gas": {gas}}}}}"#
        )
    };
    (0..count).map(task).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn all_tasks_together_use_no_more_fuel_than_the_run_may_across_crashes() {
    // 10 tasks that use 30 and may use 50, and 200 for all of them: after 6 of them, 20 are left.
    for crash_after in (0..80).step_by(3) {
        let mut world = World::new(Knows::Key);
        let request = world.request(&with(r#""gas": 200"#, &pure(10, 30, 50))).await;
        let run = request.invocation.task().id().unwrap();
        world.open(&Crash::after(crash_after));
        let died = world.engine.run(request.clone(), &|_| {}).await;
        assert!(died.is_err());
        world.open(&Crash::never());
        let paused = world.engine.run(request, &|_| {}).await;
        let Err(RunError::Paused(Paused::OutOfGas { gas: 200, used, asked: 50, .. })) = paused else {
            panic!("{crash_after}: {paused:?}")
        };
        assert_eq!(used, 180, "{crash_after}: six were done");
        let options = RunOptions { gas: Some(320), ..RunOptions::default() };
        let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
        assert!(report.succeeded());
    }
}

#[tokio::test]
async fn what_was_known_before_a_run_costs_it_nothing() {
    let mut world = World::new(Knows::Key);
    assert!(world.run(&with("", &pure(10, 30, 50))).await.succeeded());
    world.now += 1;
    world.open(&Crash::never());
    let report = world.run(&with(r#""gas": 50"#, &pure(11, 30, 50))).await;
    assert!(report.succeeded());
    assert_eq!(report.steps.iter().filter(|step| step.how == How::Ran).count(), 1);
}

#[tokio::test]
async fn a_task_that_may_use_more_than_the_whole_run_is_refused_before_anything_starts() {
    let world = World::new(Knows::Key);
    let refused = world.engine.run(world.request(&with(r#""gas": 99"#, &pure(2, 1, 100))).await, &|_| {}).await;
    let Err(RunError::BadTasks(bad)) = refused else { panic!("{refused:?}") };
    assert_eq!(bad.iter().map(|bad| bad.label.as_str()).collect::<Vec<_>>(), ["t0", "t1"]);
    assert!(bad[0].failure.to_string().contains("may use 100, and the whole run 99"), "{}", bad[0]);
    assert!(world.outside.asked.lock().unwrap().is_empty());
    assert!(world.run(&with(r#""gas": 100"#, &pure(1, 1, 100))).await.succeeded());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_tasks_of_a_run_run_at_once_than_it_says() {
    let tasks: Vec<String> = (0..24).map(|at| format!(r#""t{at}": {{"cmd": "/ask/slowly", "args": {{}}}}"#)).collect();
    let tasks = tasks.join(", ");
    let mut most = Vec::new();
    for config in [r#""parallelism": 1"#, r#""parallelism": 3"#, ""] {
        let world = World::new(Knows::Nothing);
        let (engine, _, handlers) = slow(&world);
        assert!(engine.run(world.request(&with(config, &tasks)).await, &|_| {}).await.unwrap().succeeded());
        assert_eq!(handlers[0].done.load(Ordering::Relaxed), 24);
        most.push(handlers[0].most.load(Ordering::Relaxed));
    }
    assert_eq!(most[0], 1);
    assert!((2..=3).contains(&most[1]), "{most:?}");
    assert!(most[2] > 3, "{most:?}");
}

#[tokio::test]
async fn all_of_a_secret_workflow_is_secret() {
    let mut world = World::new(Knows::Nothing);
    let tasks = r#""a": {"cmd": "/pure", "args": {"of": [20, 22]}, "config": {"secret": false}},
                   "b": {"cmd": "/ask", "args": {}}"#;
    let json = with(r#""secret": true"#, tasks);
    let refused = world.engine.run(world.request(&json).await, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::NoVault { .. })), "{refused:?}");
    world.vault = Some(Vault::new(&[7; 32]));
    world.open(&Crash::never());
    let report = world.run(&json).await;
    assert!(report.succeeded());
    for label in ["a", "b"] {
        let receipt = ReceiptStore::get(&*world.receipts, &step(&report, label).receipt).await.unwrap().unwrap();
        let Outcome::Ok(Ipld::Map(sealed)) = receipt.outcome() else { panic!("{receipt:?}") };
        assert!(sealed.contains_key("ipvm/sealed"), "{label}");
    }
    // A task that is asked to be verified by others, and a handler of failures, cannot be.
    let caught = format!(
        r#"{{"v": "1.0.0", "config": {{"secret": true}}, "tasks": {{{tasks}}},
            "catch": {{"cmd": "/pure", "args": {{"of": {{"ipvm/failure": null}}}}}}}}"#
    );
    let refused = world.engine.run(world.request(&caught).await, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::NotKept { .. })), "{refused:?}");
}

/// Entries of earlier versions say nothing of when a run was started, and are read.
#[test]
fn the_journal_says_when_a_run_was_started() {
    let cid = ucan_core::block::raw_cid(b"it");
    for (handover, at) in
        [(None, None), (Some(cid), None), (None, Timestamp::from_secs(7)), (Some(cid), Timestamp::from_secs(0))]
    {
        let entry = Entry::Started { run: TaskId::new(cid), workflow: cid, request: cid, handover, at };
        assert_eq!(Entry::decode(&entry.encode().unwrap()), Some(entry));
    }
    let started = |at| {
        let link = |key: &str| (key.to_owned(), Ipld::Link(cid));
        let mut fields = std::collections::BTreeMap::from([link("run"), link("workflow"), link("request")]);
        fields.insert("at".to_owned(), at);
        Entry::decode(
            &ucan_core::dagcbor::encode(&Ipld::Map([("started".to_owned(), Ipld::Map(fields))].into())).unwrap(),
        )
    };
    assert!(started(Ipld::Integer(7)).is_some());
    for at in [Ipld::Integer(-1), Ipld::Integer(1 << 60), Ipld::Null, Ipld::String("7".to_owned())] {
        assert_eq!(started(at), None);
    }
}
