//! Tasks for other executors: asked for under delegations, done there once, and stated here by receipts that rest on theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Crash, Knows, Passing, World, by_label, field, step};
use ipvm_workflow::{
    BindError, Bindings, Document, DocumentError, Elsewhere, Engine, EngineOptions, Entry, Event, HandoverError, How,
    Missing, Parts, Paused, PlanError, Resolution, RunError, RunOptions, RunReport, Trust, Vault, Verification,
    Workflow,
};
use ucan_core::{Command, Container, Delegation, Did, DidKeys, FixedClock, Ipld, Timestamp, Token, dagjson};
use ucan_invocation::{
    BlockStore, EffectClass, Executor, ExecutorParts, InProcess, Invocation, InvocationId, MemoryReplayGuard,
    NoPromises, Outcome, Receipt, ReceiptStore, TokioTimer, Transport, TransportError,
};

/// What happens to what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    /// Nobody is there.
    NoRoute,
    /// It is lost on the way.
    RequestLost,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It is done, and the answer takes for ever.
    Hangs,
}

type Forge = Box<dyn Fn(&Container) -> Container + Send + Sync>;

/// A way to others on which things get lost, and on which somebody may sit.
#[derive(Default)]
struct Line {
    others: InProcess,
    /// What happens next, in this order; what comes after them arrives.
    fates: Mutex<Vec<Fate>>,
    forge: Mutex<Option<Forge>>,
    /// The invocations that were sent, in order.
    sent: Mutex<Vec<InvocationId>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    fn fates(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.to_vec();
    }

    fn sent(&self) -> Vec<InvocationId> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        let fate = {
            let mut fates = self.fates.lock().unwrap();
            if fates.is_empty() { Fate::Arrives } else { fates.remove(0) }
        };
        if fate == Fate::NoRoute {
            return Err(TransportError::NoRoute(to.clone()));
        }
        for envelope in container.contents().others {
            self.sent.lock().unwrap().push(Invocation::from_envelope(envelope).unwrap().id());
        }
        let lost = || Err(TransportError::Failed { to: to.clone(), detail: "the line is dead".to_owned() });
        if fate == Fate::RequestLost {
            return lost();
        }
        let answer = self.others.send(to, container).await;
        match fate {
            Fate::AnswerLost => lost(),
            Fate::Hangs => std::future::pending().await,
            _ => answer.map(|answer| match &*self.forge.lock().unwrap() {
                Some(forge) => forge(&answer),
                None => answer,
            }),
        }
    }
}

/// Two executors with an engine each, and a line between them.
struct Two {
    here: World,
    there: World,
    line: Arc<Line>,
    /// What does tasks there for who asks over the line.
    replays: Arc<MemoryReplayGuard>,
}

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

impl Two {
    fn new(knows: Knows) -> Self {
        let (mut here, there) = (World::of(1, Knows::Nothing), World::of(3, knows));
        here.grants.extend(there.grants.iter().skip(1).cloned());
        // The user lets the one here ask for what the one there lets the user do.
        for what in ["/do", "/put", "/ask", "/pure"] {
            let onward = Delegation::builder(here.node.did().clone(), Some(there.node.did().clone()), command(what));
            here.grants.push(onward.sign(&here.user).unwrap());
        }
        let two = Self { here, there, line: Arc::default(), replays: Arc::default() };
        two.connect(&two.there);
        two
    }

    /// Lets others reach the executor of a world.
    fn connect(&self, world: &World) {
        let parts = world.engine.parts().clone();
        self.line.others.add(Executor::new(ExecutorParts {
            executor: world.node.clone(),
            router: parts.router,
            blocks: parts.blocks,
            receipts: parts.receipts,
            trust: Trust::Own,
            revocations: world.revocations.clone(),
            replays: self.replays.clone(),
            promises: Arc::new(NoPromises),
            elsewhere: None,
            keys: Arc::new(DidKeys),
            clock: Arc::new(FixedClock(Timestamp::from_secs(world.now).unwrap())),
            entropy: world.entropy.clone(),
        }));
    }

    fn elsewhere(&self) -> Elsewhere {
        Elsewhere::new(self.line.clone())
    }

    /// The engine here, as it stands on its stores now.
    fn engine(&self) -> Engine {
        self.engine_with(self.elsewhere())
    }

    fn engine_with(&self, elsewhere: Elsewhere) -> Engine {
        let parts = Parts { timer: Arc::new(TokioTimer), ..self.here.engine.parts().clone() };
        let vault = self.here.vault.clone();
        Engine::with_options(parts, EngineOptions { elsewhere: Some(elsewhere), vault, ..EngineOptions::default() })
    }

    /// A task there.
    fn task(&self, label: &str, command: &str, args: &str, more: &str) -> String {
        let there = self.there.node.did();
        format!(r#""{label}": {{"cmd": "{command}", "sub": "{there}", "aud": "{there}", "args": {{{args}}}{more}}}"#)
    }

    /// One that alters the world, alone.
    fn pay(&self, more: &str) -> String {
        document(&[self.task("pay", "/do", r#""name": "pay""#, more)])
    }

    async fn run(&self, json: &str) -> Result<RunReport, RunError> {
        self.engine().run(self.here.request(json).await, &|_| {}).await
    }
}

fn document(tasks: &[String]) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
}

fn paused(ended: Result<RunReport, RunError>) -> Paused {
    match ended {
        Err(RunError::Paused(why)) => why,
        ended => panic!("{ended:?}"),
    }
}

async fn receipt(world: &World, report: &RunReport, label: &str) -> Receipt {
    ReceiptStore::get(&*world.receipts, &step(report, label).receipt).await.unwrap().unwrap()
}

fn bind(here: &World, json: &str) -> Result<Workflow, BindError> {
    let bindings = Bindings::new(here.node.did().clone(), here.user.did().clone());
    Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap().bind(&bindings)
}

const SUM: &str = r#""sum": {"cmd": "/pure", "args": {"of": [20, 22]}}"#;

#[tokio::test]
async fn a_task_is_done_by_whom_it_is_for_and_its_receipt_rests_on_theirs() {
    let two = Two::new(Knows::Nothing);
    let json = document(&[
        SUM.to_owned(),
        two.task("pay", "/do", r#""name": "pay", "of": [{"await/ok": "sum"}]"#, ""),
        r#""tell": {"cmd": "/put", "args": {"name": "tell", "of": [{"await/ok": "pay"}, 1]}}"#.to_owned(),
    ]);
    let report = two.run(&json).await.unwrap();
    assert!(report.succeeded());
    assert_eq!((two.there.outside.names(), two.here.outside.names()), (vec!["pay".into()], vec!["tell".into()]));
    assert_eq!(by_label(&report.steps)["tell"], &Outcome::Ok(Ipld::Integer(43)));

    let own = receipt(&two.here, &report, "pay").await;
    assert!(own.issuer().same_principal(two.here.node.did()));
    assert_eq!(own.meta().get("executor"), Some(&Ipld::String(two.there.node.did().to_string())));
    let theirs = ReceiptStore::get(&*two.here.receipts, &own.cause().unwrap()).await.unwrap().unwrap();
    assert!(theirs.issuer().same_principal(two.there.node.did()));
    assert_eq!((*theirs.ran(), theirs.outcome()), (own.resolved(), own.outcome()));
    assert_ne!(own.resolved(), *own.ran(), "they are asked with results in the place of promises");
    // The receipt of the run leads to it.
    let stated = two.here.stated(&report).await;
    assert_eq!(field(&stated, "tasks.pay"), &Ipld::Link(own.id().into()));

    // Before it was sent, it was written down what is sent, and that it is about to be.
    let entries = two.here.journal.entries();
    let at = |is: &dyn Fn(&Entry) -> bool| entries.iter().position(is).unwrap();
    let sent = at(&|entry| matches!(entry, Entry::Sent { task, .. } if *task == own.resolved()));
    assert!(sent < at(&|entry| matches!(entry, Entry::Intent { task, .. } if *task == own.resolved())));
    let Entry::Sent { invocation, .. } = entries[sent] else { panic!("{entries:?}") };
    assert_eq!(two.line.sent(), [InvocationId::new(invocation)]);
    let kept = Invocation::decode(two.here.blocks.get(&invocation).await.unwrap().unwrap().to_vec()).unwrap();
    assert!(kept.issuer().same_principal(two.here.node.did()) && kept.executor().same_principal(two.there.node.did()));
    assert!(kept.expiration().is_some());

    // Both receipts hold, here; a receipt that says something else does not.
    let engine = two.engine();
    let attested = Verification::Attested { class: EffectClass::Mutable };
    assert_eq!(engine.verify(own.clone()).await.unwrap(), attested);
    let whole = ReceiptStore::get(&*two.here.receipts, &report.receipt).await.unwrap().unwrap();
    let verified = engine.verify_run(whole, &|_, _| {}).await.unwrap();
    assert!(verified.steps.iter().all(|(_, verified)| verified.is_ok()), "{verified:?}");
    let forged = Receipt::builder(*own.ran(), Outcome::Ok(Ipld::Integer(1_000)))
        .meta(own.meta().clone())
        .cause(theirs.id())
        .sign(&two.here.node, [9; 16])
        .unwrap();
    assert!(engine.verify(forged).await.unwrap_err().refutes());
}

/// What was done for the engine of one is known to the engine of the other, whose stores are those of its executor.
#[tokio::test]
async fn both_engines_go_on_from_what_one_did_for_the_other() {
    let mut two = Two::new(Knows::Nothing);
    two.there.grants.extend(two.here.grants.iter().skip(1).take(4).cloned());
    for what in ["/do", "/pure"] {
        let to = two.there.node.did().clone();
        let onward = Delegation::builder(to, Some(two.here.node.did().clone()), command(what));
        two.there.grants.push(onward.sign(&two.here.user).unwrap());
    }
    two.connect(&two.here);
    let report = two.run(&document(&[two.task("sum", "/pure", r#""of": [40, 2]"#, "")])).await.unwrap();
    let done = receipt(&two.here, &report, "sum").await;
    let parts = Parts { timer: Arc::new(TokioTimer), ..two.there.engine.parts().clone() };
    let options = EngineOptions { elsewhere: Some(two.elsewhere()), ..EngineOptions::default() };
    let engine = Engine::with_options(parts, options);
    let here = two.here.node.did();
    let json = document(&[
        format!(
            r#""back": {{"cmd": "/do", "sub": "{here}", "aud": "{here}",
            "args": {{"name": "back", "of": [{{"await/ok": {{"/": "{}"}}}}]}}}}"#,
            done.ran()
        ),
        r#""same": {"cmd": "/pure", "args": {"of": [40, 2]}}"#.to_owned(),
    ]);
    let report = engine.run(two.there.request(&json).await, &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(by_label(&report.steps)["back"], &Outcome::Ok(Ipld::Integer(42)));
    assert_eq!(step(&report, "same").how, How::Reused, "the executor there computed it for the other");
    assert_eq!(two.here.outside.names(), ["back"]);
}

#[tokio::test]
async fn who_runs_the_workflow_does_what_is_for_them_as_if_nothing_was_said() {
    let two = Two::new(Knows::Nothing);
    let json = r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/pure", "aud": "executor", "args": {"of": [1, 2]}}}}"#;
    let absent = r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/pure", "args": {"of": [1, 2]}}}}"#;
    // No way to others is needed, and none is gone.
    let (report, same) = (two.here.run(json).await, two.here.run(absent).await);
    assert!(report.succeeded());
    assert_eq!(step(&report, "a").task, step(&same, "a").task);
    assert_eq!(step(&same, "a").how, How::Reused);
    assert_ne!(report.workflow, same.workflow);
    assert!(two.line.sent().is_empty());
}

#[test]
fn an_audience_is_a_did_or_an_alias_and_the_handler_of_failures_has_none() {
    let here = World::new(Knows::Nothing);
    let of = |audience: &str| {
        format!(r#"{{"v": "1.0.0", "tasks": {{"a": {{"cmd": "/pure", "aud": {audience}, "args": {{}}}}}}}}"#)
    };
    let error = bind(&here, &of(r#""bank""#)).unwrap_err();
    let BindError::UnknownAudience { label, audience, known } = &error else { panic!("{error:?}") };
    assert_eq!((label.as_str(), audience.as_str(), known.len()), ("a", "bank", 2));
    let bound = bind(&here, &of(r#""invoker""#)).unwrap();
    assert_eq!(bound.audience("a"), Some(here.user.did()));
    assert_eq!(Workflow::from_block(bound.bytes()).unwrap(), bound);
    // What is signed for has no aliases.
    let open = Document::parse(&dagjson::decode(of(r#""bank""#).as_bytes()).unwrap()).unwrap();
    let open = ucan_core::dagcbor::encode(&open.to_ipld()).unwrap();
    let error = Workflow::from_block(&open).unwrap_err();
    assert!(matches!(&error, DocumentError::Unbound { .. }), "{error}");
    let parse = |json: &str| Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap_err();
    assert!(parse(&of("1")).to_string().contains("tasks.a.aud"));
    let catch = r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/pure", "args": {}}},
        "catch": {"cmd": "/pure", "aud": "executor", "args": {"of": {"ipvm/failure": null}}}}"#;
    assert_eq!(parse(catch).place().map(ToString::to_string).as_deref(), Some("catch.aud"));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_before_anything_starts() {
    let mut two = Two::new(Knows::Nothing);
    let json = document(&[SUM.to_owned(), two.task("pay", "/do", r#""name": "pay", "of": [{"await/ok": "sum"}]"#, "")]);
    // There is no way to others.
    let refused = two.here.engine.run(two.here.request(&json).await, &|_| {}).await.unwrap_err();
    assert!(matches!(&refused, RunError::NoWay { label, to } if label == "pay" && to == two.there.node.did()));

    // What others are asked is not secret any more.
    two.here.vault = Some(Vault::new(&[7; 32]));
    two.here.open(&Crash::never());
    let refused = two.run(&two.pay(r#", "config": {"secret": true}"#)).await.unwrap_err();
    assert!(matches!(&refused, RunError::NotKept { label, .. } if label == "pay"), "{refused:?}");

    let refused = two.run(&two.pay(r#", "config": {"time": "soon"}"#)).await.unwrap_err();
    assert!(matches!(&refused, RunError::BadTasks(bad) if bad[0].label == "pay"), "{refused:?}");

    // It alters the world, for all that is known here.
    let pure = r#""after": {"cmd": "/pure", "args": {"of": [{"await/ok": "pay"}]}}"#.to_owned();
    let refused = two.run(&document(&[two.task("pay", "/do", "", ""), pure])).await.unwrap_err();
    assert!(matches!(&refused, RunError::Plan(PlanError::Layout { .. })), "{refused:?}");

    // The invoker may have it done; who runs the workflow may not.
    let onward = two.here.grants.iter().position(|it| it.audience() == two.here.node.did()).unwrap();
    two.here.grants.remove(onward);
    let refused = two.run(&json).await.unwrap_err();
    let RunError::NoAuthority(missing) = &refused else { panic!("{refused:?}") };
    let [missing] = missing.as_slice() else { panic!("{missing:?}") };
    let Missing::Onward { to, executor, .. } = &missing.reason else { panic!("{missing:?}") };
    assert_eq!((missing.label.as_str(), to, executor), ("pay", two.there.node.did(), two.here.node.did()));
    assert!(refused.to_string().contains(&format!("delegate it to {executor}")), "{refused}");
    // The other way round it is not enough either.
    let granted = two
        .here
        .grants
        .iter()
        .position(|it| {
            it.subject() == Some(two.there.node.did())
                && it.audience() == two.here.user.did()
                && it.command().as_str() == "/do"
        })
        .unwrap();
    let all = two.here.grants.clone();
    two.here.grants.remove(granted);
    let direct = Delegation::builder(two.here.node.did().clone(), Some(two.there.node.did().clone()), command("/do"));
    two.here.grants.push(direct.sign(&two.there.node).unwrap());
    let refused = two.run(&json).await.unwrap_err();
    assert!(matches!(&refused, RunError::NoAuthority(missing) if matches!(missing[0].reason, Missing::Chain(_))));
    two.here.grants = all;

    assert!(two.line.sent().is_empty() && two.there.outside.names().is_empty());
    assert!(two.here.outside.asked.lock().unwrap().is_empty(), "nothing was started here either");
}

/// Whenever the process here dies, the task is done there once, by one invocation.
#[tokio::test]
async fn whenever_the_process_dies_it_is_done_once() {
    let mut finished = false;
    for crash_after in 0..200 {
        let mut two = Two::new(Knows::Nothing);
        let json = document(&[
            two.task("pay", "/do", r#""name": "pay", "of": [{"await/ok": "sum"}]"#, ""),
            SUM.to_owned(),
            r#""tell": {"cmd": "/put", "args": {"name": "tell", "of": [{"await/ok": "pay"}]}}"#.to_owned(),
        ]);
        let request = two.here.request(&json).await;
        let crash = Crash::after(crash_after);
        two.here.open(&crash);
        let first = two.engine().run(request.clone(), &|_| {}).await;
        if !crash.died() {
            assert!(first.unwrap().succeeded());
            finished = true;
            break;
        }
        assert!(first.is_err());
        two.here.open(&Crash::never());
        match two.engine().run(request, &|_| {}).await {
            Ok(report) => {
                assert!(report.succeeded(), "{crash_after}");
                assert_eq!(by_label(&report.steps)["tell"], &Outcome::Ok(Ipld::Integer(42)));
            }
            Err(RunError::AlreadyRun { .. }) => {}
            Err(error) => panic!("{crash_after}: {error}"),
        }
        assert_eq!(two.there.outside.names(), ["pay"], "{crash_after}");
        let sent: BTreeSet<InvocationId> = two.line.sent().into_iter().collect();
        assert_eq!(sent.len(), 1, "{crash_after}: the same bytes are sent again");
    }
    assert!(finished, "all moments were tried");
}

const AGAIN: &str =
    r#", "config": {"time": [200, "milli", "seconds"], "retry": {"attempts": 4, "delay": [1, "milli", "seconds"]}}"#;

#[tokio::test]
async fn who_does_not_answer_is_asked_again_by_the_same_invocation() {
    let two = Two::new(Knows::Nothing);
    two.line.fates(&[Fate::RequestLost, Fate::AnswerLost, Fate::Hangs]);
    let (json, attempts) = (two.pay(AGAIN), Mutex::new(Vec::new()));
    let observe = |event| {
        if let Event::Retrying { receipt, .. } = event {
            attempts.lock().unwrap().push(receipt);
        }
    };
    let report = two.engine().run(two.here.request(&json).await, &observe).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(two.there.outside.names(), ["pay"]);
    let sent = two.line.sent();
    assert_eq!((sent.len(), sent.iter().collect::<BTreeSet<_>>().len()), (4, 1));
    for attempt in attempts.into_inner().unwrap() {
        let receipt = ReceiptStore::get(&*two.here.receipts, &attempt).await.unwrap().unwrap();
        assert!(receipt.is_attempt());
        assert_eq!(receipt.outcome().failure_name(), Some("Unanswered"));
    }
}

#[tokio::test]
async fn a_run_whose_question_is_not_answered_is_paused_and_never_fails_for_that() {
    for fate in [Fate::NoRoute, Fate::RequestLost, Fate::AnswerLost] {
        let two = Two::new(Knows::Nothing);
        // A handler of failures is not told of what may have succeeded.
        let json = two.pay(AGAIN).replace(
            r#""tasks""#,
            r#""catch": {"cmd": "/pure", "args": {"answer": {"ok": 7}, "of": {"ipvm/failure": null}}}, "tasks""#,
        );
        let request = two.here.request(&json).await;
        let run = request.invocation.task().id().unwrap();
        two.line.fates(&[fate; 4]);
        let why = paused(two.engine().run(request, &|_| {}).await);
        let Paused::Unanswered { label, to, .. } = &why else { panic!("{why:?}") };
        assert_eq!((label.as_str(), to), ("pay", two.there.node.did()));
        two.line.fates(&[fate; 4]);
        let options = RunOptions::default();
        assert!(matches!(paused(two.engine().resume(&run, &options, &|_| {}).await), Paused::Unanswered { .. }));
        let report = two.engine().resume(&run, &options, &|_| {}).await.unwrap();
        assert!(report.succeeded() && report.caught.is_empty());
        assert_eq!(two.there.outside.names(), ["pay"], "{fate:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_asked_again_waits_for_a_person() {
    let lost = async || {
        let two = Two::new(Knows::Nothing);
        let request = two.here.request(&two.pay("")).await;
        let run = request.invocation.task().id().unwrap();
        two.line.fates(&[Fate::AnswerLost]);
        let elsewhere = two.elsewhere().with_lifetime(Duration::from_secs(100));
        assert!(matches!(paused(two.engine_with(elsewhere).run(request, &|_| {}).await), Paused::Unanswered { .. }));
        (two, run)
    };
    let options = RunOptions::default();
    let (mut two, run) = lost().await;
    two.here.now += 99;
    two.here.open(&Crash::never());
    assert!(two.engine().resume(&run, &options, &|_| {}).await.unwrap().succeeded());
    assert_eq!(two.line.sent().len(), 2);

    // When the invocation is over, the other executor need not remember it.
    let (mut two, run) = lost().await;
    two.here.now += 100;
    two.here.open(&Crash::never());
    let why = paused(two.engine().resume(&run, &options, &|_| {}).await);
    let Paused::Uncertain { task, .. } = why else { panic!("{why:?}") };
    assert_eq!(two.line.sent().len(), 1, "it was not asked for again");
    let found = Resolution::Done(Outcome::Ok(Ipld::Integer(5)));
    let options = RunOptions { resolutions: [(task, found)].into(), ..options };
    let report = two.engine().resume(&run, &options, &|_| {}).await.unwrap();
    let stated = receipt(&two.here, &report, "pay").await;
    assert_eq!(stated.outcome(), &Outcome::Ok(Ipld::Integer(5)));
    assert_eq!(stated.meta().get("resolution"), Some(&Ipld::Bool(true)));

    // Somebody says that it was not done: it is asked for anew.
    let (mut two, run) = lost().await;
    two.here.now += 100;
    two.here.open(&Crash::never());
    let options = RunOptions { resolutions: [(task_of(&two).await, Resolution::NotDone)].into(), ..options };
    assert!(two.engine().resume(&run, &options, &|_| {}).await.unwrap().succeeded());
    let sent: BTreeSet<_> = two.line.sent().into_iter().collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(two.there.outside.names(), ["pay"], "it was wrong, and there the receipt is known");
}

/// The task that was sent last.
async fn task_of(two: &Two) -> ucan_invocation::TaskId {
    let entries = two.here.journal.entries();
    let sent = entries.iter().rev().find_map(|entry| match entry {
        Entry::Sent { task, .. } => Some(*task),
        _ => None,
    });
    sent.unwrap()
}

#[tokio::test]
async fn what_was_begun_there_and_cut_off_is_uncertain_here_too() {
    let two = Two::new(Knows::Nothing);
    let request = two.here.request(&two.pay(AGAIN)).await;
    let run = request.invocation.task().id().unwrap();
    two.line.fates(&[Fate::RequestLost; 4]);
    assert!(matches!(paused(two.engine().run(request, &|_| {}).await), Paused::Unanswered { .. }));
    // They had begun it when their process died.
    let (task, now) = (task_of(&two).await, Timestamp::from_secs(two.there.now).unwrap());
    let until = now.saturating_add(1_000_000);
    ucan_invocation::ReplayGuard::claim(&*two.replays, task.cid(), until, now).await.unwrap();
    let why = paused(two.engine().resume(&run, &RunOptions::default(), &|_| {}).await);
    assert!(matches!(&why, Paused::Uncertain { label, .. } if label == "pay"), "{why:?}");
}

#[tokio::test]
async fn what_is_refused_has_failed_unless_it_may_have_been_done_before() {
    let two = Two::new(Knows::Nothing);
    let json = document(&[two.task("pay", "/do/nothing/such", r#""name": "pay", "fails": -1"#, "")]);
    let report = two.run(&json).await.unwrap();
    assert_eq!(step(&report, "pay").outcome.failure_name(), Some("Unavailable"), "it failed there, for good");
    assert!(receipt(&two.here, &report, "pay").await.cause().is_some());

    // The one there does not know the command on that subject.
    let mut two = Two::new(Knows::Nothing);
    let here = two.here.node.did().clone();
    let onto_here = |label: &str| {
        let there = two.there.node.did();
        format!(r#""{label}": {{"cmd": "/do", "sub": "{here}", "aud": "{there}", "args": {{"name": "{label}"}}}}"#)
    };
    let json = document(&[onto_here("pay")]);
    let report = two.run(&json).await.unwrap();
    let refused = receipt(&two.here, &report, "pay").await;
    assert!(refused.is_attempt());
    assert_eq!(refused.outcome().failure_name(), Some("NoHandler"));
    assert!(refused.outcome().failure_message().unwrap().contains(&two.there.node.did().to_string()));
    assert!(!report.succeeded());

    // After an answer was lost, a refusal says nothing of what was done before.
    let request = two.here.request(&two.pay("")).await;
    let run = request.invocation.task().id().unwrap();
    two.line.fates(&[Fate::AnswerLost]);
    assert!(matches!(paused(two.engine().run(request, &|_| {}).await), Paused::Unanswered { .. }));
    two.there.now += 10_000_000;
    two.connect(&two.there);
    let why = paused(two.engine().resume(&run, &RunOptions::default(), &|_| {}).await);
    assert!(matches!(&why, Paused::Unanswered { why, .. } if why.contains("may have done it before")), "{why:?}");
}

#[tokio::test]
async fn nobody_else_is_believed_and_nothing_about_another_task() {
    let other = World::of(5, Knows::Nothing);
    let nonce = AtomicU64::new(0);
    let nonce = Arc::new(nonce);
    let forgeries: Vec<(&str, Forge)> = {
        let sign = |by: &World, nonce: &Arc<AtomicU64>| {
            let (by, nonce) = (by.node.clone(), nonce.clone());
            move |ran, outcome| {
                let number = nonce.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&number);
                Receipt::builder(ran, outcome).sign(&by, bytes).unwrap()
            }
        };
        let ran = |answer: &Container| {
            let envelope = answer.contents().others.into_iter().next().unwrap();
            *Receipt::decode(envelope.bytes().to_vec()).unwrap().ran()
        };
        let (stranger, theirs) = (sign(&other, &nonce), sign(&World::of(3, Knows::Nothing), &nonce));
        let rich = || Outcome::Ok(Ipld::Integer(1_000_000));
        vec![
            (
                "by a stranger",
                Box::new(move |answer| [stranger(ran(answer), rich()).bytes().to_vec()].into_iter().collect()),
            ),
            (
                "about another task",
                Box::new(move |_| {
                    let another = ucan_invocation::TaskId::new(ucan_core::block::dag_cbor_cid(b"another"));
                    [theirs(another, rich()).bytes().to_vec()].into_iter().collect()
                }),
            ),
            (
                "with a broken signature",
                Box::new(|answer| {
                    let mut bytes = answer.tokens().next().unwrap().to_vec();
                    // The signature comes first, after the head of the list and its own.
                    bytes[10] ^= 1;
                    [bytes].into_iter().collect()
                }),
            ),
            ("nothing", Box::new(|_| Container::new())),
        ]
    };
    for (what, forge) in forgeries {
        let two = Two::new(Knows::Nothing);
        *two.line.forge.lock().unwrap() = Some(forge);
        let request = two.here.request(&two.pay("")).await;
        let run = request.invocation.task().id().unwrap();
        let why = paused(two.engine().run(request, &|_| {}).await);
        assert!(matches!(&why, Paused::Unanswered { why, .. } if why.contains("without a receipt")), "{what}: {why:?}");
        *two.line.forge.lock().unwrap() = None;
        let report = two.engine().resume(&run, &RunOptions::default(), &|_| {}).await.unwrap();
        assert_eq!(by_label(&report.steps)["pay"], &Outcome::Ok(Ipld::Integer(1)), "{what}");
        assert_eq!(two.there.outside.names(), ["pay"]);
    }
}

#[tokio::test]
async fn a_host_can_say_what_is_only_a_question() {
    let two = Two::new(Knows::Nothing);
    let json = document(&[
        two.task("weather", "/ask", r#""name": "weather", "fails": 1"#, AGAIN),
        r#""twice": {"cmd": "/pure", "args": {"of": [{"await/ok": "weather"}, {"await/ok": "weather"}]}}"#.to_owned(),
    ]);
    let elsewhere = two.elsewhere().with_class(two.there.node.did().clone(), command("/ask"), EffectClass::Query);
    let report = two.engine_with(elsewhere).run(two.here.request(&json).await, &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(by_label(&report.steps)["twice"], &Outcome::Ok(Ipld::Integer(2)));
    assert_eq!(step(&report, "weather").class, EffectClass::Query);
    assert!(!two.here.journal.entries().iter().any(|entry| matches!(entry, Entry::Sent { .. } | Entry::Intent { .. })));
    assert_eq!(two.line.sent().len(), 2, "it failed once, which is no outcome");
}

#[tokio::test]
async fn what_was_done_there_is_undone_there() {
    let two = Two::new(Knows::Nothing);
    let json = document(&[
        two.task("pay", "/do", r#""name": "pay""#, r#", "undo": "refund""#),
        two.task("refund", "/do", r#""name": "refund", "of": [{"await/ok": "pay"}]"#, ""),
        r#""ship": {"cmd": "/do", "args": {"name": "ship", "fails": -1, "of": [{"await/ok": "pay"}]}}"#.to_owned(),
    ]);
    let report = two.run(&json).await.unwrap();
    assert!(!report.succeeded());
    assert_eq!(report.undone.len(), 1);
    assert_eq!(two.there.outside.names(), ["pay", "refund"]);

    // What a cancelled run had asked for, and of which nobody heard, is found out before it is undone.
    let two = Two::new(Knows::Nothing);
    let request = two.here.request(&json).await;
    let run = request.invocation.task().id().unwrap();
    two.line.fates(&[Fate::AnswerLost, Fate::AnswerLost]);
    assert!(matches!(paused(two.engine().run(request, &|_| {}).await), Paused::Unanswered { .. }));
    let options = RunOptions::default();
    assert!(matches!(paused(two.engine().cancel(&run, &options, &|_| {}).await), Paused::Unanswered { .. }));
    let report = two.engine().resume(&run, &options, &|_| {}).await.unwrap();
    assert!(report.cancelled);
    assert_eq!(two.there.outside.names(), ["pay", "refund"]);
}

#[tokio::test]
async fn a_run_that_asks_others_stays_where_it_is() {
    let two = Two::new(Knows::Nothing);
    let request = two.here.request(&two.pay("")).await;
    let run = request.invocation.task().id().unwrap();
    two.line.fates(&[Fate::NoRoute]);
    assert!(matches!(paused(two.engine().run(request, &|_| {}).await), Paused::Unanswered { .. }));
    let refused = two.engine().checkpoint(&run, two.there.node.did()).await.unwrap_err();
    assert!(matches!(&refused, HandoverError::Elsewhere { label, .. } if label == "pay"), "{refused}");
    assert!(two.engine().resume(&run, &RunOptions::default(), &|_| {}).await.unwrap().succeeded());
}

/// What the authority is when the task really starts counts, also for who asks.
#[tokio::test]
async fn authority_is_looked_for_again_when_it_is_asked() {
    let mut two = Two::new(Knows::Nothing);
    let at = two.here.grants.iter().position(|it| it.audience() == two.here.node.did()).unwrap();
    let policy = ucan_core::dagjson::decode(br#"[["==", ".of", [42]]]"#).unwrap();
    let narrow = Delegation::builder(two.here.node.did().clone(), Some(two.there.node.did().clone()), command("/do"))
        .policy(ucan_core::Policy::parse(&policy).unwrap())
        .sign(&two.here.user)
        .unwrap();
    two.here.grants[at] = narrow;
    let json = |of: &str| {
        document(&[
            format!(r#""sum": {{"cmd": "/pure", "args": {{"of": [{of}]}}}}"#),
            two.task("pay", "/do", r#""name": "pay", "of": [{"await/ok": "sum"}]"#, ""),
        ])
    };
    let report = two.run(&json("1, 2")).await.unwrap();
    assert_eq!(step(&report, "pay").outcome.failure_name(), Some("NoAuthority"));
    assert!(two.line.sent().is_empty());
    assert!(two.run(&json("20, 22")).await.unwrap().succeeded());
    assert_eq!(two.there.outside.names(), ["pay"]);
}

/// That it may not be asked for any more says nothing of whether it was done.
#[tokio::test]
async fn what_may_have_been_done_has_not_failed_when_the_authority_is_gone() {
    let mut two = Two::new(Knows::Nothing);
    let (user, there) = (two.here.user.did().clone(), two.there.node.did().clone());
    let is_grant =
        |it: &Delegation| *it.audience() == user && it.subject() == Some(&there) && it.command().as_str() == "/do";
    let at = two.here.grants.iter().position(is_grant).unwrap();
    let ends = Timestamp::from_secs(two.here.now + 100).unwrap();
    let grant = Delegation::builder(user, Some(there), command("/do")).expiration(ends);
    two.here.grants[at] = grant.sign(&two.there.node).unwrap();
    // While an answer is waited for, which never comes, an hour passes.
    let clock = Arc::new(Passing(AtomicU64::new(two.here.now)));
    let parts = Parts { clock: clock.clone(), timer: clock, ..two.here.engine.parts().clone() };
    let elsewhere = Some(two.elsewhere().with_patience(Duration::from_secs(3_600)));
    let engine = Engine::with_options(parts, EngineOptions { elsewhere, ..EngineOptions::default() });
    two.line.fates(&[Fate::Hangs, Fate::Hangs]);
    let json = two.pay(r#", "config": {"retry": {"attempts": 2}}"#);
    let why = paused(engine.run(two.here.request(&json).await, &|_| {}).await);
    assert!(matches!(&why, Paused::Unanswered { why, .. } if why.contains("may not be asked for any more")), "{why:?}");
    assert_eq!(two.line.sent().len(), 1);
}
