//! Tasks that ask for others: what their receipts name is done in the same run, under its grants, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use common::{Crash, Doer, Knows, Outside, World, field, step, texts};
use ipvm_workflow::{
    Control, Entry, Event, How, Paused, Resolution, RunError, RunOptions, RunReport, RunState, StepReport, StepState,
    Verification,
};
use ucan_core::{Cid, Command, Did, Ipld, block, dagjson};
use ucan_invocation::{
    Await, BlockStore, Branch, Call, Completion, Config, EffectClass, Effects, Failure, Handler, MemoryBlocks, Outcome,
    Probe, Receipt, ReceiptStore, Task, TaskId,
};

/// A doer that asks for what its argument `then` says: `{fork: [{cmd, args}], join: {cmd, args}}`. In the list `of` of these arguments,
/// `"@"` stands for what it came to itself, and `"@0"` for what its first fork did. A text is the CID of a task that is named and kept
/// nowhere; a number stands for so many tasks. `again` is a task that asks for its like for ever.
#[derive(Debug)]
struct Asker {
    doer: Doer,
    node: Did,
    blocks: Arc<MemoryBlocks>,
}

impl Asker {
    fn task(&self, call: &Call, told: &Ipld, position: usize, forks: &[TaskId]) -> Task {
        let Ipld::Map(told) = told else { panic!("{told:?}") };
        let (Ipld::String(command), Ipld::Map(mut args)) = (told["cmd"].clone(), told["args"].clone()) else {
            panic!("{told:?}")
        };
        if let Some(Ipld::List(of)) = args.get_mut("of") {
            for item in of {
                let target = match item {
                    Ipld::String(text) if text == "@" => *call.id(),
                    Ipld::String(text) => forks[text[1..].parse::<usize>().unwrap()],
                    _ => continue,
                };
                *item = Await { branch: Branch::Ok, target }.to_ipld();
            }
        }
        let subject = match told.get("sub") {
            Some(Ipld::String(subject)) => Did::parse(subject).unwrap(),
            _ => self.node.clone(),
        };
        // The same task asks for the same tasks.
        let mut nonce = call.id().cid().to_bytes()[20..31].to_vec();
        nonce.push(position as u8);
        Task::new(subject, Command::parse(&command).unwrap(), args, nonce)
    }

    async fn ask(&self, call: &Call, told: &Ipld, position: usize, forks: &[TaskId]) -> TaskId {
        if let Ipld::Link(missing) = told {
            return TaskId::new(*missing);
        }
        let bytes = self.task(call, told, position, forks).to_block().unwrap();
        let id = block::dag_cbor_cid(&bytes);
        self.blocks.put(&id, bytes.into()).await.unwrap();
        TaskId::new(id)
    }

    async fn effects(&self, call: &Call) -> Effects {
        let args = call.task().args();
        if let Some(Ipld::Integer(many)) = args.get("many") {
            let task = Ipld::Map(
                [("cmd".to_owned(), Ipld::String("/pure".to_owned())), ("args".to_owned(), Ipld::Map(BTreeMap::new()))]
                    .into(),
            );
            let task = self.ask(call, &task, 0, &[]).await;
            return Effects { fork: vec![task; *many as usize], join: None };
        }
        if let Some(Ipld::Integer(deep)) = args.get("deep") {
            let mut deeper = args.clone();
            deeper.insert("deep".to_owned(), Ipld::Integer(deep - 1));
            deeper.insert("name".to_owned(), Ipld::String(format!("{} left", deep - 1)));
            let task = [
                ("cmd".to_owned(), Ipld::String(call.task().command().to_string())),
                ("args".to_owned(), Ipld::Map(deeper)),
            ];
            let fork = if *deep == 0 { vec![] } else { vec![self.ask(call, &Ipld::Map(task.into()), 0, &[]).await] };
            return Effects { fork, join: None };
        }
        let Some(Ipld::Map(then)) = args.get("then") else { return Effects::default() };
        let mut fork = Vec::new();
        if let Some(Ipld::List(forks)) = then.get("fork") {
            for (position, told) in forks.iter().enumerate() {
                fork.push(self.ask(call, told, position, &[]).await);
            }
        }
        let join = match then.get("join") {
            Some(told) => Some(self.ask(call, told, 255, &fork).await),
            None => None,
        };
        Effects { fork, join }
    }
}

#[async_trait]
impl Handler for Asker {
    fn effect_class(&self) -> EffectClass {
        self.doer.class
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    fn is_idempotent(&self, command: &Command) -> bool {
        self.doer.is_idempotent(command)
    }

    async fn probe(&self, call: &Call) -> Probe {
        match self.doer.probe(call).await {
            Probe::Done(done) => {
                let effects = self.effects(call).await;
                Probe::Done(Box::new(Completion { effects, ..*done }))
            }
            other => other,
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        let done = self.doer.handle(call).await;
        Completion { effects: self.effects(call).await, ..done }
    }
}

/// A world in which tasks ask for others; `pure` ones try to.
fn world(knows: Knows) -> World {
    world_of(1, knows)
}

fn world_of(node: u8, knows: Knows) -> World {
    let mut world = World::of(node, knows);
    world.handlers = [
        ("/ask/then", EffectClass::Query),
        ("/pure/then", EffectClass::Deterministic),
        ("/put/then", EffectClass::IdempotentWrite),
        ("/do/then", EffectClass::Mutable),
        ("/other", EffectClass::Mutable),
    ]
    .map(|(command, class)| {
        let doer = Doer { class, knows, pace: None, outside: world.outside.clone() };
        let asker = Asker { doer, node: world.node.did().clone(), blocks: world.blocks.clone() };
        (command, Arc::new(asker) as Arc<dyn Handler>)
    })
    .into();
    world.open(&Crash::never());
    world
}

fn tasks(tasks: &str) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{{tasks}}}}}"#)
}

fn continued<'a>(report: &'a RunReport, label: &str) -> &'a StepReport {
    report.continued.iter().find(|task| task.label == label).unwrap_or_else(|| panic!("no {label}: {report:#?}"))
}

fn labels(reports: &[StepReport]) -> Vec<&str> {
    reports.iter().map(|report| report.label.as_str()).collect()
}

async fn receipt(world: &World, report: &StepReport) -> Receipt {
    ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap()
}

async fn verified(world: &World, report: &RunReport) -> Vec<(String, bool)> {
    let receipt = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = world.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
    verified.steps.into_iter().map(|(label, verified)| (label, verified.is_ok())).collect()
}

/// An order of which each part is sent off, and then somebody is told; the label of one has another printed.
const ORDER: &str = r#"{"v": "1.0.0", "tasks": {
    "parts": {"cmd": "/pure", "args": {"of": [20, 22]}},
    "order": {"cmd": "/do/then", "args": {"name": "order", "of": [{"await/ok": "parts"}], "then": {
        "fork": [
            {"cmd": "/do", "args": {"name": "send one", "of": ["@", 1]}},
            {"cmd": "/put/then", "args": {"name": "send two", "of": ["@", 2], "then": {
                "join": {"cmd": "/do", "args": {"name": "label", "of": ["@"]}}
            }}}
        ],
        "join": {"cmd": "/do", "args": {"name": "tell", "of": ["@", "@0", "@1"]}}
    }}},
    "log": {"cmd": "/do", "args": {"name": "log", "of": [{"await/ok": "order"}]}}
}}"#;

const ORDERED: [&str; 4] = ["order/fork/0", "order/fork/1", "order/fork/1/join", "order/join"];

#[tokio::test]
async fn what_is_asked_for_is_done_in_the_same_run() {
    let world = world(Knows::Nothing);
    let request = world.request(ORDER).await;
    let run = request.invocation.task().id().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let observe = |event| {
        if let Event::Started { label } = event {
            seen.lock().unwrap().push(label);
        }
    };
    let report = world.engine.run(request, &observe).await.unwrap();
    assert!(report.succeeded(), "{report:#?}");
    let mut done = world.outside.names();
    assert_eq!(done[0], "order");
    let place = |done: &[String], name: &str| done.iter().position(|done| done == name).unwrap();
    assert!(place(&done, "tell") > place(&done, "send one").max(place(&done, "send two")), "{done:?}");
    assert!(place(&done, "label") > place(&done, "send two"));
    done.sort();
    assert_eq!(done, ["label", "log", "order", "send one", "send two", "tell"]);
    // What awaits the task goes on from what that came to itself; a join from what the forks did.
    assert_eq!(step(&report, "log").outcome, Outcome::Ok(Ipld::Integer(42)));
    for (label, value) in ORDERED.into_iter().zip([43, 44, 44, 42 + 43 + 44]) {
        assert_eq!(continued(&report, label).outcome, Outcome::Ok(Ipld::Integer(value)), "{label}");
    }
    assert!(ORDERED.iter().all(|label| seen.lock().unwrap().iter().any(|seen| seen == label)));
    assert_eq!(labels(&report.steps).len(), 3, "they are no steps of the workflow");

    // Each receipt names the one that asked.
    for (label, by) in [("order/fork/0", "order"), ("order/join", "order"), ("order/fork/1/join", "order/fork/1")] {
        let asking = report.steps.iter().chain(&report.continued).find(|report| report.label == by).unwrap();
        assert_eq!(receipt(&world, continued(&report, label)).await.cause(), Some(asking.receipt), "{label}");
        assert!(!asking.effects.is_empty());
    }
    // The receipt of the run lists them, and they are verified and found with it.
    let stated = world.stated(&report).await;
    let Ipld::Map(listed) = field(&stated, "continued") else { panic!("{stated:?}") };
    assert_eq!(listed.keys().collect::<Vec<_>>(), ORDERED);
    let all = verified(&world, &report).await;
    assert_eq!((all.len(), all.iter().all(|(_, holds)| *holds)), (7, true), "{all:?}");
    let status = world.engine.status(&run).await.unwrap();
    assert!(matches!(status.state, RunState::Over { succeeded: true, .. }));
    let found = |label: &str| status.steps.iter().find(|(found, ..)| found == label).map(|(.., state)| *state);
    assert!(ORDERED.iter().all(|label| matches!(found(label), Some(StepState::Done { succeeded: true, .. }))));
}

#[tokio::test]
async fn a_run_that_lists_what_nobody_asked_for_does_not_hold() {
    let world = world(Knows::Nothing);
    let report = world.run(ORDER).await;
    let stated = world.stated(&report).await;
    let receipts = world.receipts.by_task(&report.run).await.unwrap();
    let Ipld::Map(mut told) = stated else { panic!() };
    let Some(Ipld::Map(listed)) = told.get_mut("continued") else { panic!() };
    let other = listed["order/fork/0"].clone();
    for (label, is_there) in [("order/fork/7", false), ("parts/join", false), ("order/fork/1", true)] {
        let mut lie = told.clone();
        let Some(Ipld::Map(listed)) = lie.get_mut("continued") else { panic!() };
        listed.insert(label.to_owned(), other.clone());
        let lie = Receipt::builder(report.run, Outcome::Ok(Ipld::Map(lie))).meta(receipts[0].meta().clone());
        let lie = lie.sign(&world.node, [9; 16]).unwrap();
        let verified = world.engine.verify_run(lie, &|_, _| {}).await;
        match is_there {
            false => assert!(verified.unwrap_err().refutes(), "{label}"),
            // What the right one would ask for is not known.
            true => {
                let tally = verified.unwrap().tally();
                assert_eq!((tally.refuted, tally.untold), (1, 1), "{label}");
            }
        }
    }
}

#[tokio::test]
async fn mutations_that_pure_work_asks_for_wait_for_the_pure_part() {
    let asking = r#""look": {"cmd": "/ask/then", "args": {"name": "look", "then": {"fork": [
            {"cmd": "/do", "args": {"name": "note"}}, {"cmd": "/ask", "args": {"name": "more"}}
        ]}}}, "slow": {"cmd": "/ask", "args": {"name": "slow"}, "config": {"retry": {"attempts": 3}}}"#;
    let mut world = world(Knows::Nothing);
    world.parallelism = 1;
    world.open(&Crash::never());
    // What nothing hangs on in the workflow asks first; its mutation comes last all the same.
    let json = tasks(asking).replace(r#""name": "slow""#, r#""name": "slow", "fails": 2"#);
    let (order, more) = (std::sync::Mutex::new(Vec::new()), "look/fork/1");
    let observe = |event| {
        if let Event::Finished(report) = event {
            order.lock().unwrap().push(report.label);
        }
    };
    let report = world.engine.run(world.request(&json).await, &observe).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(order.into_inner().unwrap().last().unwrap(), "look/fork/0");
    assert_eq!(continued(&report, more).how, How::Ran);

    // Where the pure part fails they are not started, and what alters nothing is.
    let world = world_of(1, Knows::Nothing);
    let json = tasks(&asking.replace(r#""name": "slow"}, "config": {"retry": {"attempts": 3}}"#, r#""fails": -1}"#));
    let report = world.run(&json).await;
    assert!(!report.succeeded() && world.outside.names().is_empty());
    assert_eq!(
        (report.not_started.as_slice(), labels(&report.continued)),
        (&["look/fork/0".to_owned()][..], vec![more])
    );
    assert_eq!(texts(field(&world.stated(&report).await, "notStarted")), ["look/fork/0"]);
    assert!(verified(&world, &report).await.iter().any(|(label, holds)| label == more && *holds));
}

#[tokio::test]
async fn what_cannot_be_done_is_a_failure_of_its_own_and_of_the_run() {
    let nowhere = block::dag_cbor_cid(b"nowhere");
    let world = world(Knows::Nothing);
    let user = world.user.did().to_string();
    let raw = block::raw_cid(b"not a task");
    world.blocks.put(&raw, b"not a task".to_vec().into()).await.unwrap();
    let cases = [
        (format!(r#"{{"/": "{nowhere}"}}"#), "MissingTask"),
        (format!(r#"{{"/": "{raw}"}}"#), "NotATask"),
        (r#"{"cmd": "/nobody", "args": {}}"#.to_owned(), "NoHandler"),
        (r#"{"cmd": "/other", "args": {"name": "other"}}"#.to_owned(), "NoAuthority"),
        // Over what is their own people have all authority, and this run was lent none of it.
        (format!(r#"{{"cmd": "/do", "args": {{"name": "own"}}, "sub": "{user}"}}"#), "NoAuthority"),
        (r#"{"cmd": "/do", "args": {"name": "no", "fails": -1}}"#.to_owned(), "Unavailable"),
    ];
    for (task, name) in cases {
        let json = tasks(&format!(
            r#""first": {{"cmd": "/do", "args": {{"name": "first"}}, "undo": "back"}},
               "back": {{"cmd": "/do", "args": {{"name": "back"}}}},
               "ask": {{"cmd": "/do/then", "args": {{"name": "ask", "of": [{{"await/ok": "first"}}], "then": {{
                   "fork": [{{"cmd": "/do", "args": {{"name": "fine"}}}}, {task}],
                   "join": {{"cmd": "/do", "args": {{"name": "end"}}}}}}}}}}"#
        ));
        let world = world_of(1, Knows::Nothing);
        world.blocks.put(&raw, b"not a task".to_vec().into()).await.unwrap();
        let report = world.run(&json).await;
        assert!(!report.succeeded(), "{name}");
        let failed = continued(&report, "ask/fork/1");
        assert_eq!(failed.outcome.failure_name(), Some(name));
        let stated = receipt(&world, failed).await;
        assert_eq!(stated.cause(), Some(step(&report, "ask").receipt));
        assert_eq!(stated.is_attempt(), name != "Unavailable");
        assert_eq!(texts(field(&world.stated(&report).await, "failed")), ["ask/fork/1"]);
        // The join comes when all forks have come to something; what they did is not undone, and what the workflow did is.
        let mut done = world.outside.names();
        assert_eq!(done.pop().unwrap(), "back");
        assert_eq!(done, ["first", "ask", "fine", "end"]);
        assert!(verified(&world, &report).await.len() >= 5);
    }
}

#[tokio::test]
async fn only_what_led_to_it_can_be_awaited() {
    let world = world(Knows::Nothing);
    let other = world.run(&tasks(r#""one": {"cmd": "/ask", "args": {"name": "one"}}"#)).await;
    let known = step(&other, "one").task;
    // A join that awaits a fork that failed, and a fork that awaits what is known here, and not to it.
    let of = Await { branch: Branch::Ok, target: known }.to_ipld();
    let task = Task::new(
        world.node.did().clone(),
        Command::parse("/do").unwrap(),
        [("name".to_owned(), Ipld::String("steal".to_owned())), ("of".to_owned(), Ipld::List(vec![of]))].into(),
        vec![3; 12],
    );
    let id = task.id().unwrap();
    world.blocks.put(id.cid(), task.to_block().unwrap().into()).await.unwrap();
    let json = tasks(&format!(
        r#""ask": {{"cmd": "/do/then", "args": {{"name": "ask", "then": {{
               "fork": [{{"/": "{}"}}, {{"cmd": "/do", "args": {{"name": "bad", "fails": -1}}}}],
               "join": {{"cmd": "/do", "args": {{"name": "end", "of": ["@1"]}}}}}}}}}}"#,
        Cid::from(id)
    ));
    let report = world.run(&json).await;
    assert_eq!(world.outside.names(), ["ask"]);
    for label in ["ask/fork/0", "ask/join"] {
        assert!(receipt(&world, continued(&report, label)).await.is_attempt(), "{label}");
        assert_eq!(continued(&report, label).how, How::NotRun);
    }
    assert_eq!(continued(&report, "ask/join").outcome.failure_name(), Some("BranchMismatch"));
}

#[tokio::test]
async fn there_is_an_end_to_it() {
    let limited = async |args: &str| {
        let world = world_of(1, Knows::Nothing);
        let report = world.run(&tasks(&format!(r#""ask": {{"cmd": "/ask/then", "args": {args}}}"#))).await;
        let all = verified(&world, &report).await;
        assert_eq!(all.len(), 1 + report.continued.len());
        let failed = report.continued.iter().find(|task| !task.outcome.is_ok());
        assert_eq!(failed.is_none(), report.succeeded());
        let name = failed.map(|task| (task.label.clone(), task.outcome.failure_name().unwrap().to_owned()));
        (report.continued.len(), name)
    };
    assert_eq!(limited(r#"{"deep": 32}"#).await, (32, None));
    let (count, failed) = limited(r#"{"deep": 40}"#).await;
    let (label, name) = failed.unwrap();
    assert_eq!((count, name.as_str()), (33, "ContinuationLimit"));
    assert_eq!(label.matches("/fork/0").count(), 33);
    assert_eq!(limited(r#"{"many": 1000}"#).await, (1000, None));
    let (count, failed) = limited(r#"{"many": 1001}"#).await;
    assert_eq!((count, failed.unwrap().1.as_str()), (1, "ContinuationLimit"));
}

#[tokio::test]
async fn functions_ask_for_nothing_and_attempts_neither() {
    let world = world(Knows::Nothing);
    let then = r#""then": {"fork": [{"cmd": "/do", "args": {"name": "more"}}]}"#;
    let json = tasks(&format!(
        r#""f": {{"cmd": "/pure/then", "args": {{{then}}}}}, "q": {{"cmd": "/ask/then", "args": {{"name": "q", "fails": -1, {then}}}}}"#
    ));
    let report = world.run(&json).await;
    assert_eq!(step(&report, "f").outcome.failure_name(), Some("EffectsRefused"));
    assert!(!receipt(&world, step(&report, "q")).await.effects().is_empty());
    assert!(report.continued.is_empty() && report.not_started.is_empty() && world.outside.names().is_empty());
    assert!(!matches!(world.stated(&report).await, Ipld::Map(map) if map.contains_key("continued")));
}

#[tokio::test]
async fn what_is_known_asks_for_the_same_and_nothing_is_done_twice() {
    let world = world(Knows::Nothing);
    let json = |of: &str| {
        let then = r#""then": {"fork": [{"cmd": "/do", "args": {"name": "note"}}]}"#;
        let task = format!(
            r#"{{"cmd": "/do/then", "args": {{"name": "look", "of": [{of}], {then}}}, "nonce": {{"/": {{"bytes": "AAAA"}}}}}}"#
        );
        tasks(&format!(r#""two": {{"cmd": "/pure", "args": {{"of": [2]}}}}, "look": {task}"#))
    };
    let first = world.run(&json("2")).await;
    let again = world.run(&json("2")).await;
    // The same by another way: its receipt states the same, and rests on the other.
    let other = world.run(&json(r#"{"await/ok": "two"}"#)).await;
    assert_eq!(world.outside.names(), ["look", "note"]);
    for report in [&again, &other] {
        assert!(report.succeeded());
        assert_eq!((step(report, "look").how, continued(report, "look/fork/0").how), (How::Reused, How::Reused));
        assert_eq!(continued(report, "look/fork/0").receipt, continued(&first, "look/fork/0").receipt);
        assert!(verified(&world, report).await.iter().all(|(_, holds)| *holds));
    }
    let rests = receipt(&world, step(&other, "look")).await;
    assert_eq!((rests.cause(), rests.effects().fork.len()), (Some(step(&first, "look").receipt), 1));
}

#[tokio::test]
async fn what_a_cancelled_run_asked_for_is_not_started_and_not_undone() {
    let world = world(Knows::Nothing);
    let json = tasks(
        r#""ask": {"cmd": "/do/then", "args": {"name": "ask", "then": {
               "fork": [{"cmd": "/do", "args": {"name": "one"}}], "join": {"cmd": "/do", "args": {"name": "end"}}}}, "undo": "back"},
           "back": {"cmd": "/do", "args": {"name": "back"}}"#,
    );
    for (after, done, not_started) in [
        ("ask", vec!["ask", "back"], vec!["ask/fork/0", "ask/join"]),
        ("ask/fork/0", vec!["ask", "one", "back"], vec!["ask/join"]),
    ] {
        world.outside.done.lock().unwrap().clear();
        let options = RunOptions::default();
        let control = options.control.clone();
        let observe = |event| {
            if let Event::Finished(report) = event
                && report.label == after
            {
                control.cancel();
            }
        };
        let report = world.engine.run_with(world.request(&json).await, &options, &observe).await.unwrap();
        assert!(report.cancelled);
        assert_eq!((world.outside.names(), report.not_started.clone()), (to_strings(&done), to_strings(&not_started)));
    }
}

fn to_strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What is told of a task by its name alone.
fn find_out(outside: &Outside, name: &str) -> Resolution {
    match outside.came.lock().unwrap().get(name) {
        Some(outcome) => Resolution::Done(outcome.clone()),
        None => Resolution::NotDone,
    }
}

/// A query and a mutation that ask for mutations, which ask for more.
const WIDE: &str = r#"{"v": "1.0.0", "tasks": {
    "look": {"cmd": "/ask/then", "args": {"name": "look", "then": {"fork": [{"cmd": "/do", "args": {"name": "look/fork/0"}}]}}},
    "ask": {"cmd": "/do/then", "args": {"name": "ask", "of": [{"await/ok": "look"}], "then": {
        "fork": [
            {"cmd": "/do", "args": {"name": "ask/fork/0", "of": ["@", 1]}},
            {"cmd": "/ask/then", "args": {"name": "more", "then": {"join": {"cmd": "/do", "args": {"name": "ask/fork/1/join"}}}}}
        ],
        "join": {"cmd": "/put", "args": {"name": "ask/join", "of": ["@0", "@1"]}}
    }}, "undo": "back"},
    "back": {"cmd": "/do", "args": {"name": "back"}},
    "log": {"cmd": "/do", "args": {"name": "log", "of": [{"await/ok": "ask"}]}}
}}"#;

/// Runs `json` on a process that dies after `writes`, and cancels it in the next life where that is wished, until it is over.
async fn survive(json: &str, knows: Knows, writes: i64, cancels: bool) -> (World, RunReport, bool) {
    let mut world = world(knows);
    let request = world.request(json).await;
    let run = request.invocation.task().id().unwrap();
    let crash = Crash::after(writes);
    world.open(&crash);
    let ended = world.engine.run(request.clone(), &|_| {}).await;
    let died = crash.died();
    if let Ok(report) = ended {
        return (world, report, died);
    }
    assert!(died, "{ended:?}");
    world.open(&Crash::never());
    let mut options = RunOptions::default();
    for _ in 0..20 {
        let engine = &world.engine;
        let open = engine.parts().journal.open(&run).await.unwrap().is_some();
        options.control = Control::default();
        let ended = if open && cancels {
            engine.cancel(&run, &options, &|_| {}).await
        } else {
            engine.run_with(request.clone(), &options, &|_| {}).await
        };
        match ended {
            Ok(report) => return (world, report, died),
            Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                assert!(knows == Knows::Nothing, "somebody knows of {label}");
                options.resolutions.insert(task, find_out(&world.outside, &label));
            }
            // The crash came after the receipt of the run.
            Err(RunError::AlreadyRun { receipt }) => {
                let stated = ReceiptStore::get(&*world.receipts, &receipt).await.unwrap().unwrap();
                assert!(stated.outcome().is_ok());
                let mut fresh = world_of(1, knows);
                let report = fresh.run(json).await;
                fresh.outside = world.outside.clone();
                return (fresh, report, died);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("it does not come to an end");
}

#[tokio::test]
async fn whenever_the_process_dies_nothing_that_is_asked_for_is_lost_or_done_twice() {
    let mut found_out = 0;
    for knows in [Knows::Nothing, Knows::Probe, Knows::Key] {
        for writes in 0.. {
            let (world, report, died) = survive(WIDE, knows, writes, false).await;
            assert!(report.succeeded(), "{knows:?} {writes}: {report:#?}");
            let mut names = world.outside.names();
            names.sort();
            // An idempotent write may be repeated.
            names.dedup_by(|a, b| a == b && a == "ask/join");
            let mut all = vec!["ask", "ask/fork/0", "ask/fork/1/join", "ask/join", "log", "look/fork/0"];
            let mut asked = vec!["ask/fork/0", "ask/fork/1", "ask/fork/1/join", "ask/join", "look/fork/0"];
            // Whoever finds out that it was done knows nothing of what it would have asked for.
            if receipt(&world, step(&report, "ask")).await.meta().contains_key("resolution") {
                assert!(knows == Knows::Nothing);
                found_out += 1;
                all.retain(|name| !name.starts_with("ask/"));
                asked.retain(|name| !name.starts_with("ask/"));
            }
            assert_eq!(names, all, "{knows:?} {writes}");
            let mut labels = labels(&report.continued);
            labels.sort_unstable();
            assert_eq!(labels, asked, "{knows:?} {writes}");
            if !died {
                assert!(writes > 40, "{writes} writes are too few");
                break;
            }
        }
    }
    // From its first intent to its receipt, and only then.
    assert!((1..=8).contains(&found_out), "somebody had to be asked {found_out} times");
}

#[tokio::test]
async fn a_run_that_is_cancelled_after_a_crash_says_what_was_done() {
    for knows in [Knows::Nothing, Knows::Probe, Knows::Key] {
        for writes in 0.. {
            let (world, report, died) = survive(WIDE, knows, writes, true).await;
            let names = world.outside.names();
            let entries = world.journal.entries();
            if report.cancelled {
                // What took effect is listed, and nothing else is said to have.
                for name in ["ask", "log", "look/fork/0", "ask/fork/0", "ask/fork/1/join", "ask/join"] {
                    let all = report.steps.iter().chain(&report.continued);
                    let listed = all.filter(|step| step.label == name && step.outcome.is_ok()).count();
                    let times = names.iter().filter(|done| *done == name).count();
                    // An idempotent write that was begun is done again to find out; so is what takes a key, which is had once.
                    assert!(times <= 1 || name == "ask/join", "{name} was done {times} times: {names:?}");
                    assert_eq!(listed, usize::from(times > 0), "{knows:?} {writes}: {name}, {names:?} {report:#?}");
                }
                assert_eq!(names.contains(&"back".to_owned()), names.contains(&"ask".to_owned()));
                assert!(entries.iter().any(|entry| matches!(entry, Entry::Cancelled { .. })));
            }
            if !died {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_is_handed_over_takes_along_what_was_asked_for() {
    let mut first = world(Knows::Nothing);
    let request = first.request(ORDER).await;
    let run = request.invocation.task().id().unwrap();
    let options = RunOptions::default();
    let control = options.control.clone();
    // One of what was asked for is done, and the rest is not.
    let observe = |event| {
        if let Event::Finished(report) = event
            && report.label == "order/fork/1"
        {
            control.pause();
        }
    };
    first.parallelism = 1;
    first.open(&Crash::never());
    let paused = first.engine.run_with(request, &options, &observe).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Asked))));
    let done = first.outside.names();
    assert!(done.contains(&"send two".to_owned()) && done.len() < 6, "{done:?}");

    let mut second = world_of(2, Knows::Nothing);
    second.trust = ipvm_workflow::Trust::Executors([first.node.did().clone()].into());
    second.beside = vec![first.node.did().clone()];
    second.open(&Crash::never());
    let archive = first.engine.checkpoint(&run, second.node.did()).await.unwrap();
    assert_eq!(second.engine.take_over(&archive).await.unwrap(), run);
    let report = second.engine.resume(&run, &RunOptions::default(), &|_| {}).await.unwrap();
    assert!(report.succeeded(), "{report:#?}");
    let mut all = done;
    all.extend(second.outside.names());
    all.sort();
    assert_eq!(all, ["label", "log", "order", "send one", "send two", "tell"]);
    let receipt = ReceiptStore::get(&*second.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = second.engine.verify_run(receipt, &|_, _| {}).await.unwrap();
    assert_eq!((verified.steps.len(), verified.tally().refuted), (7, 0));
    assert!(verified.steps.iter().all(|(_, verified)| !matches!(verified, Ok(Verification::Run))));
    assert!(dagjson::encode(&second.stated(&report).await).contains("order/fork/1/join"));
}
