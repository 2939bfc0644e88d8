//! The engine with handlers in memory: what it runs, reuses, refuses, and leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use ipvm_workflow::{
    Bindings, Document, Engine, Entropy, Entry, Event, How, MemoryJournal, Missing, Parts, Paused, PlanError, RunError,
    RunReport, RunRequest, StepReport, Tally, Trust, Verification, VerifyError, Workflow,
};
use ucan_core::{
    Command, Context, Delegation, DidKeys, FixedClock, Ipld, Issuer, Policy, StoreError, Timestamp, dagjson,
};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Cursor, Durability, EffectClass, Failure, Filing, Handler, InstructionId,
    Invocation, Listing, MemoryBlocks, MemoryReceipts, MemoryRevocations, Outcome, Page, REVOKE_COMMAND, Receipt,
    ReceiptId, ReceiptStore, Reexecutor, Revocation, RevocationStore, Router, Task, TaskId, TokioTimer,
};
use varsig::ed25519::SigningKey;

const NOW: u64 = 1_800_000_000;

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

/// `/math/*`: adds the numbers under `of`, or does what the argument `trick` says.
#[derive(Debug, Default)]
struct Sum {
    calls: AtomicUsize,
}

fn add(task: &Task) -> Completion {
    let mut total = 0;
    if let Some(Ipld::List(items)) = task.args().get("of") {
        for item in items {
            let Ipld::Integer(number) = item else {
                return Completion::new(Failure::new("NotANumber", format!("{item:?}")).into());
            };
            total += number;
        }
    }
    match task.args().get("trick") {
        Some(Ipld::String(trick)) if trick == "fail" => Completion::new(Failure::new("Told", "to fail").into()),
        Some(Ipld::String(trick)) if trick == "vast" => {
            Completion::new(Outcome::Ok(Ipld::List(vec![Ipld::Null; 1 << 20])))
        }
        Some(Ipld::String(trick)) if trick == "timeout" => {
            Completion { repeatable: false, ..Completion::new(Failure::new("TimeLimit", "too slow").into()) }
        }
        Some(Ipld::String(trick)) if trick == "promise" => {
            let link = Ipld::Link(*task.id().unwrap().cid());
            Completion::new(Outcome::Ok(Ipld::Map([("await/ok".to_owned(), link)].into())))
        }
        _ => Completion {
            meta: [("fuel".to_owned(), Ipld::Integer(7))].into(),
            ..Completion::new(Outcome::Ok(Ipld::Integer(total)))
        },
    }
}

#[async_trait]
impl Handler for Sum {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        match task.args().get("of") {
            Some(Ipld::List(_)) => Ok(()),
            _ => Err(Failure::new("ArgumentMismatch", "of is to be a list")),
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.calls.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        add(call.task())
    }

    fn reexecutor(&self) -> Option<&dyn Reexecutor> {
        Some(self)
    }
}

#[async_trait]
impl Reexecutor for Sum {
    async fn reexecute(&self, task: &Task) -> Completion {
        add(task)
    }
}

/// `/log/append`: counts, and panics when asked to.
#[derive(Debug, Default)]
struct Append {
    calls: AtomicUsize,
}

#[async_trait]
impl Handler for Append {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(call.task().args().get("crash").is_none(), "told to");
        Completion::new(Outcome::Ok(Ipld::Integer(before as i128)))
    }
}

/// `/count/next`: another number each time.
#[derive(Debug, Default)]
struct Next(AtomicUsize);

#[async_trait]
impl Handler for Next {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Query
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::Integer(self.0.fetch_add(1, Ordering::Relaxed) as i128)))
    }
}

struct World {
    node: Issuer,
    user: Issuer,
    owner: Issuer,
    sum: Arc<Sum>,
    append: Arc<Append>,
    blocks: Arc<MemoryBlocks>,
    receipts: Arc<MemoryReceipts>,
    revocations: Arc<MemoryRevocations>,
    journal: Arc<MemoryJournal>,
    engine: Engine,
    requests: AtomicU64,
    grants: Vec<Delegation>,
}

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

impl World {
    fn new() -> Self {
        let key = |byte| Issuer::ed25519(SigningKey::from_seed(&[byte; 32]));
        let (node, user, owner) = (key(1), key(2), key(3));
        let (sum, append) = (Arc::new(Sum::default()), Arc::new(Append::default()));
        let mut router = Router::default();
        for subject in [&node, &user] {
            router.insert(subject.did().clone(), command("/math"), sum.clone());
        }
        router.insert(owner.did().clone(), command("/log/append"), append.clone());
        router.insert(owner.did().clone(), command("/count/next"), Arc::new(Next::default()));
        let blocks = Arc::new(MemoryBlocks::default());
        let receipts = Arc::new(MemoryReceipts::default());
        let revocations = Arc::new(MemoryRevocations::default());
        let journal = Arc::new(MemoryJournal::default());
        let engine = Engine::new(Parts {
            executor: node.clone(),
            blocks: blocks.clone(),
            receipts: receipts.clone(),
            revocations: revocations.clone(),
            journal: journal.clone(),
            router,
            trust: Trust::Own,
            keys: Arc::new(DidKeys),
            clock: Arc::new(FixedClock(Timestamp::from_secs(NOW).unwrap())),
            entropy: Arc::new(Counter::default()),
            timer: Arc::new(TokioTimer),
            parallelism: 2,
        });
        let mut world = Self {
            node,
            user,
            owner,
            sum,
            append,
            blocks,
            receipts,
            revocations,
            journal,
            engine,
            requests: AtomicU64::new(0),
            grants: Vec::new(),
        };
        world.grant(&world.node.clone(), "/ipvm/run", "[]");
        world.grant(&world.node.clone(), "/math", "[]");
        world.grant(&world.owner.clone(), "/log/append", "[]");
        world.grant(&world.owner.clone(), "/count", "[]");
        world
    }

    fn grant(&mut self, from: &Issuer, what: &str, policy: &str) {
        let policy = Policy::parse(&dagjson::decode(policy.as_bytes()).unwrap()).unwrap();
        let grant = Delegation::builder(self.user.did().clone(), Some(from.did().clone()), command(what))
            .policy(policy)
            .sign(from)
            .unwrap();
        self.grants.push(grant);
    }

    fn bind(&self, json: &str, inputs: &[(&str, Ipld)]) -> Workflow {
        let mut bindings = Bindings::new(self.node.did().clone(), self.user.did().clone());
        bindings.subjects.insert("log".to_owned(), self.owner.did().clone());
        bindings.inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap().bind(&bindings).unwrap()
    }

    async fn request(&self, workflow: &Workflow) -> RunRequest {
        self.blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
        let run = self.grants.iter().filter(|grant| grant.command().as_str() == "/ipvm/run");
        let nonce = self.requests.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
        let invocation = Invocation::builder(
            self.node.did().clone(),
            command("/ipvm/run"),
            RunRequest::args(workflow, &self.grants, &[]),
        )
        .proofs(run.map(|grant| *grant.cid()).collect())
        .nonce(nonce)
        .sign(&self.user)
        .unwrap();
        RunRequest { invocation, delegations: self.grants.clone() }
    }

    async fn run(&self, json: &str) -> Result<RunReport, RunError> {
        let request = self.request(&self.bind(json, &[])).await;
        self.engine.run(request, &|_| {}).await
    }

    fn calls(&self) -> (usize, usize) {
        (self.sum.calls.load(Ordering::Relaxed), self.append.calls.load(Ordering::Relaxed))
    }

    async fn receipt(&self, step: &StepReport) -> Receipt {
        ReceiptStore::get(&*self.receipts, &step.receipt).await.unwrap().unwrap()
    }
}

fn step<'a>(report: &'a RunReport, label: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.label == label).unwrap()
}

const DIAMOND: &str = r#"{"v": "1.0.0", "tasks": {
    "a": {"cmd": "/math/sum", "args": {"of": [1, 2]}},
    "b": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}, 10]}},
    "c": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}, 20]}},
    "d": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "b"}, {"await/ok": "c"}]}},
    "log": {"cmd": "/log/append", "sub": "log", "args": {"what": {"await/ok": "d"}}}
}}"#;

#[tokio::test]
async fn a_second_run_reuses_pure_results_and_does_mutations_anew() {
    let world = World::new();
    let first = world.run(DIAMOND).await.unwrap();
    assert!(first.succeeded());
    assert_eq!(step(&first, "d").outcome, Outcome::Ok(Ipld::Integer(36)));
    assert_eq!(step(&first, "d").fuel, Some(7));
    assert_eq!(world.calls(), (4, 1));

    let second = world.run(DIAMOND).await.unwrap();
    assert_eq!(world.calls(), (4, 2));
    for label in ["a", "b", "c", "d"] {
        assert_eq!(step(&second, label).how, How::Reused, "{label}");
        assert_eq!(step(&second, label).receipt, step(&first, label).receipt, "{label}");
    }
    assert_eq!(step(&second, "log").how, How::Ran);
    assert_ne!(step(&second, "log").task, step(&first, "log").task);
    // Each intent is written down under the id with promises and under the resolved one.
    let intents = world.journal.entries().into_iter().filter(|entry| matches!(entry, Entry::Intent { .. }));
    assert_eq!(intents.count(), 4);
}

#[tokio::test]
async fn what_is_equal_is_computed_once_and_each_task_has_its_receipt() {
    let world = World::new();
    let twins = r#"{"v": "1.0.0", "tasks": {
        "one": {"cmd": "/math/sum", "args": {"of": [5]}},
        "two": {"cmd": "/math/sum", "args": {"of": [5]}},
        "same": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "one"}]}}
    }}"#;
    let report = world.run(twins).await.unwrap();
    assert_eq!(world.calls().0, 1);
    assert_eq!(step(&report, "one").receipt, step(&report, "two").receipt);
    // `same` awaits `one`, and so is another task of the same instruction: its receipt names the one it rests on.
    let same = world.receipt(step(&report, "same")).await;
    assert_eq!(same.cause(), Some(step(&report, "one").receipt));
    assert_eq!(*same.ran(), step(&report, "same").task);
}

#[tokio::test]
async fn nothing_runs_without_authority_for_all_of_it() {
    let mut world = World::new();
    world.grants.retain(|grant| grant.command().as_str() != "/log/append");
    let Err(RunError::NoAuthority(missing)) = world.run(DIAMOND).await else { panic!("it ran") };
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].label, "log");
    assert!(matches!(missing[0].reason, Missing::Chain(_)));
    assert_eq!(world.calls(), (0, 0));

    world.grants.clear();
    assert!(matches!(world.run(DIAMOND).await, Err(RunError::Request(_))));
    assert_eq!(world.calls(), (0, 0));
}

/// The grant of a command on the resources of a principal is revoked by them.
async fn revoke(world: &World, owner: &Issuer, granted: &str) {
    let grant = world.grants.iter().find(|grant| grant.command().as_str() == granted).unwrap().clone();
    let args = Revocation::args(grant.cid(), &[]);
    let asked = Invocation::builder(owner.did().clone(), command(REVOKE_COMMAND), args).sign(owner).unwrap();
    let context = Context::new(Timestamp::from_secs(NOW).unwrap(), &DidKeys);
    let revocation = Revocation::check(asked, &|_| Some(grant.clone()), &context).unwrap();
    world.revocations.keep(&revocation).await.unwrap();
}

#[tokio::test]
async fn what_was_revoked_lends_no_authority() {
    let world = World::new();
    revoke(&world, &world.node.clone(), "/math").await;
    let Err(RunError::NoAuthority(missing)) = world.run(DIAMOND).await else { panic!("it ran") };
    assert_eq!(missing.len(), 4);
    assert!(missing[0].to_string().contains("has been revoked"), "{}", missing[0]);

    // The very permission to have workflows run.
    let world = World::new();
    revoke(&world, &world.node.clone(), "/ipvm/run").await;
    let Err(RunError::Request(refused)) = world.run(DIAMOND).await else { panic!("it ran") };
    assert_eq!((refused.name(), world.calls()), ("Revoked", (0, 0)));
}

#[tokio::test]
async fn a_revocation_counts_while_a_run_is_under_way() {
    let world = World::new();
    let request = world.request(&world.bind(DIAMOND, &[])).await;
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == "d") {
            pollster::block_on(revoke(&world, &world.owner, "/log/append"));
        }
    };
    let report = world.engine.run(request, &observe).await.unwrap();
    assert!(step(&report, "d").outcome.is_ok());
    assert_eq!(step(&report, "log").outcome.failure_name(), Some("NoAuthority"));
    assert_eq!(world.calls().1, 0);
}

#[tokio::test]
async fn only_what_the_request_names_can_be_used() {
    let world = World::new();
    let workflow = world.bind(DIAMOND, &[]);
    let mut request = world.request(&workflow).await;
    // The delegations are at hand, and the signed request grants none of them to the workflow.
    let run = &world.grants[..1];
    request.invocation =
        Invocation::builder(world.node.did().clone(), command("/ipvm/run"), RunRequest::args(&workflow, run, &[]))
            .proofs(run.iter().map(|grant| *grant.cid()).collect())
            .sign(&world.user)
            .unwrap();
    let error = world.engine.run(request, &|_| {}).await.unwrap_err();
    assert!(matches!(error, RunError::NoAuthority(missing) if missing.len() == 5));
}

#[tokio::test]
async fn the_invokers_own_resources_are_lent_command_by_command() {
    let mut world = World::new();
    let user = world.user.clone();
    let own = r#"{"v": "1.0.0", "tasks": {"mine": {"cmd": "/math/sum", "sub": "invoker", "args": {"of": [1]}}}}"#;
    let workflow = world.bind(own, &[]);
    let Err(RunError::NoAuthority(missing)) = world.run(own).await else { panic!("it ran") };
    assert_eq!(missing[0].reason, Missing::Own);
    world.grants.truncate(1);
    let mut request = world.request(&workflow).await;
    let args = RunRequest::args(&workflow, &[], &[command("/math")]);
    request.invocation = Invocation::builder(world.node.did().clone(), command("/ipvm/run"), args)
        .proofs(vec![*world.grants[0].cid()])
        .sign(&user)
        .unwrap();
    assert!(world.engine.run(request, &|_| {}).await.unwrap().succeeded());
}

#[tokio::test]
async fn policies_are_checked_again_on_resolved_arguments() {
    let mut world = World::new();
    world.grants.retain(|grant| grant.command().as_str() != "/math");
    let node = world.node.clone();
    world.grant(&node, "/math", r#"[["all", ".of", ["<", ".", 3]]]"#);
    let report = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "small": {"cmd": "/math/sum", "args": {"of": [2, 2]}},
                "large": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "small"}]}}
            }}"#,
        )
        .await
        .unwrap();
    assert!(!report.succeeded());
    assert_eq!(step(&report, "large").outcome.failure_name(), Some("NoAuthority"));
    assert_eq!(world.calls().0, 1);
}

#[tokio::test]
async fn a_failure_is_a_result_and_holds_mutations_back() {
    let world = World::new();
    let report = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "bad": {"cmd": "/math/sum", "args": {"of": [], "trick": "fail"}},
                "waits": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "bad"}]}},
                "free": {"cmd": "/math/sum", "args": {"of": [4]}},
                "log": {"cmd": "/log/append", "sub": "log", "args": {}}
            }}"#,
        )
        .await
        .unwrap();
    assert!(!report.succeeded());
    assert_eq!(step(&report, "bad").outcome.failure_name(), Some("Told"));
    assert_eq!(step(&report, "waits").outcome.failure_name(), Some("BranchMismatch"));
    assert!(step(&report, "free").outcome.is_ok());
    assert_eq!(report.not_started, ["log"]);
    assert_eq!(world.calls().1, 0);
    let run = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
    assert_eq!(run.outcome().failure_name(), Some("TaskFailed"));
    assert_eq!(*run.ran(), report.run);
}

#[tokio::test]
async fn a_time_out_is_not_remembered_and_a_failure_is() {
    let world = World::new();
    let tricky = |trick: &str| {
        format!(
            r#"{{"v": "1.0.0", "tasks": {{"t": {{"cmd": "/math/sum", "args": {{"of": [], "trick": "{trick}"}}}}}}}}"#
        )
    };
    for (trick, calls) in [("timeout", 1), ("timeout", 2), ("fail", 3), ("fail", 3)] {
        assert!(!world.run(&tricky(trick)).await.unwrap().succeeded());
        assert_eq!(world.calls().0, calls);
    }
}

#[tokio::test]
async fn a_result_that_looks_like_a_promise_is_refused() {
    let world = World::new();
    let report = world
        .run(r#"{"v": "1.0.0", "tasks": {"t": {"cmd": "/math/sum", "args": {"of": [], "trick": "promise"}}}}"#)
        .await
        .unwrap();
    assert_eq!(step(&report, "t").outcome.failure_name(), Some("PromiseInResult"));
    // Whoever computes it again refuses the same: nobody is taken for a liar who did.
    let refused = world.receipt(step(&report, "t")).await;
    assert_eq!(world.engine.verify(refused).await.unwrap(), Verification::Reexecuted { fuel: None });
}

#[tokio::test]
async fn documents_that_cannot_be_run_are_refused_before_anything_starts() {
    let world = World::new();
    let plan_error = async |json: &str| match world.run(json).await {
        Err(RunError::Plan(error)) => error,
        other => panic!("{other:?}"),
    };
    let cycle = plan_error(
        r#"{"v": "1.0.0", "tasks": {
            "a": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "b"}]}},
            "b": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}]}}
        }}"#,
    )
    .await;
    assert_eq!(cycle.to_string(), "tasks wait for each other: a -> b -> a");
    let unknown =
        plan_error(r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "z"}]}}}}"#);
    assert_eq!(unknown.await.to_string(), r#"task "a" awaits "z", and no task has that label"#);
    let misspelt = plan_error(
        r#"{"v": "1.0.0", "tasks": {
            "letters": {"cmd": "/math/sum", "args": {"of": []}},
            "b": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "lettrs"}]}}
        }}"#,
    );
    assert!(matches!(misspelt.await, PlanError::UnknownLabel { nearest: Some(nearest), .. } if nearest == "letters"));
    let handler = plan_error(r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/mail/send", "args": {}}}}"#).await;
    assert!(matches!(handler, PlanError::NoHandler { .. }));
    let pure_after_mutation = |allow: &str| {
        format!(
            r#"{{"v": "1.0.0", "tasks": {{
                "log": {{"cmd": "/log/append", "sub": "log", "args": {{}}}},
                "pure": {{"cmd": "/math/sum", "args": {{"of": [{{"await/ok": "log"}}]}}{allow}}}
            }}}}"#
        )
    };
    let layout = plan_error(&pure_after_mutation("")).await;
    assert!(matches!(layout, PlanError::Layout { label, mutation, .. } if label == "pure" && mutation == "log"));
    assert_eq!(world.calls(), (0, 0));
    assert!(world.run(&pure_after_mutation(r#", "allow": ["log"]"#)).await.unwrap().succeeded());
    let bad = world.run(r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/math/sum", "args": {}}}}"#).await;
    assert!(matches!(bad, Err(RunError::BadTasks(bad)) if bad[0].label == "a"));
}

#[tokio::test]
async fn a_request_is_carried_out_once() {
    let world = World::new();
    let request = world.request(&world.bind(DIAMOND, &[])).await;
    let report = world.engine.run(request.clone(), &|_| {}).await.unwrap();
    let again = world.engine.run(request, &|_| {}).await;
    assert!(matches!(again, Err(RunError::AlreadyRun { receipt }) if receipt == report.receipt));
    assert_eq!(world.calls(), (4, 1));
}

#[tokio::test]
async fn what_was_begun_and_has_no_receipt_is_uncertain() {
    let world = World::new();
    let crashing = r#"{"v": "1.0.0", "tasks": {"log": {"cmd": "/log/append", "sub": "log", "args": {"crash": true}}}}"#;
    let request = world.request(&world.bind(crashing, &[])).await;
    assert!(
        matches!(world.engine.run(request.clone(), &|_| {}).await, Err(RunError::CutOff(error)) if matches!(&*error, RunError::Panicked { label } if label == "log"))
    );
    assert_eq!(world.calls().1, 1);
    // The same request again is the same run, resumed: what may have taken effect is not done a second time.
    let paused = world.engine.run(request, &|_| {}).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Uncertain { label, .. })) if label == "log"));
    assert_eq!(world.calls().1, 1);
}

#[tokio::test]
async fn genuine_receipts_hold_and_others_do_not() {
    let world = World::new();
    let report = world.run(DIAMOND).await.unwrap();
    for label in ["a", "b", "d"] {
        let receipt = world.receipt(step(&report, label)).await;
        let verified = world.engine.verify(receipt).await.unwrap();
        assert_eq!(verified, Verification::Reexecuted { fuel: Some(7) });
    }
    let log = world.receipt(step(&report, "log")).await;
    let attested = world.engine.verify(log).await.unwrap();
    assert_eq!(attested, Verification::Attested { class: EffectClass::Mutable });

    let genuine = world.receipt(step(&report, "d")).await;
    let forged = |outcome, fuel| {
        let mut meta = genuine.meta().clone();
        meta.insert("fuel".to_owned(), Ipld::Integer(fuel));
        Receipt::builder(*genuine.ran(), outcome).meta(meta).sign(&world.node, [0; 16]).unwrap()
    };
    let other = world.engine.verify(forged(Outcome::Ok(Ipld::Integer(37)), 7)).await;
    assert!(matches!(other, Err(VerifyError::Mismatch { path, .. }) if path == "out.ok"));
    let other = world.engine.verify(forged(genuine.outcome().clone(), 8)).await;
    assert!(matches!(other, Err(VerifyError::Fuel { stated: Some(8), found: Some(7) })));

    let stranger = Receipt::builder(*genuine.ran(), genuine.outcome().clone()).sign(&world.user, [0; 16]).unwrap();
    assert!(matches!(world.engine.verify(stranger).await, Err(VerifyError::Untrusted { .. })));

    // Any change to the bytes is found: the token cannot be read any more, or its signature does not hold.
    for position in (0..genuine.bytes().len()).step_by(7) {
        let mut bytes = genuine.bytes().to_vec();
        bytes[position] ^= 1;
        if let Ok(altered) = Receipt::decode(bytes) {
            assert!(world.engine.verify(altered).await.is_err(), "byte {position}");
        }
    }
}

#[tokio::test]
async fn a_whole_run_is_verified_task_by_task() {
    let world = World::new();
    let report = world.run(DIAMOND).await.unwrap();
    let run = world.receipts.get(&report.receipt).await.unwrap().unwrap();
    assert_eq!(world.engine.verify(run.clone()).await.unwrap(), Verification::Run);
    let observed = std::sync::Mutex::new(Vec::new());
    let observe = |label: &str, step: &Result<Verification, VerifyError>| {
        observed.lock().unwrap().push((label.to_owned(), step.is_ok()));
    };
    let verified = world.engine.verify_run(run.clone(), &observe).await.unwrap();
    assert_eq!(verified.tally(), Tally { reexecuted: 4, attested: 1, ..Tally::default() });
    assert_eq!(observed.into_inner().unwrap().len(), 5);

    // The node lists for one task the receipt of another, one that is nowhere, and a task that nobody asked for.
    let Outcome::Ok(Ipld::Map(outcome)) = run.outcome() else { panic!("{:?}", run.outcome()) };
    let Ipld::Map(tasks) = &outcome["tasks"] else { panic!("{outcome:?}") };
    let stating = |label: &str, receipt: Ipld| {
        let mut tasks = tasks.clone();
        tasks.insert(label.to_owned(), receipt);
        let outcome = Ipld::Map([("tasks".to_owned(), Ipld::Map(tasks))].into());
        Receipt::builder(*run.ran(), Outcome::Ok(outcome)).sign(&world.node, [0; 16]).unwrap()
    };
    let quiet = |_: &str, _: &Result<Verification, VerifyError>| {};
    let of_another = world.engine.verify_run(stating("a", tasks["b"].clone()), &quiet).await.unwrap();
    assert_eq!(of_another.tally(), Tally { reexecuted: 3, attested: 1, refuted: 1, untold: 0 });
    let nowhere = Ipld::Link(ucan_core::block::dag_cbor_cid(b"nowhere"));
    let missing = world.engine.verify_run(stating("a", nowhere.clone()), &quiet).await.unwrap();
    assert_eq!(missing.tally(), Tally { reexecuted: 3, attested: 1, refuted: 0, untold: 1 });
    let unasked = world.engine.verify_run(stating("z", nowhere), &quiet).await.unwrap_err();
    assert!(matches!(&unasked, VerifyError::UnknownLabel { label } if label == "z") && unasked.refutes());
    // What is no run at all.
    let task = world.receipt(step(&report, "a")).await;
    assert!(matches!(world.engine.verify_run(task, &quiet).await, Err(VerifyError::NotARun)));
}

#[tokio::test]
async fn all_that_somebody_signed_is_verified_and_what_does_not_hold_is_found() {
    let world = World::new();
    let report = world.run(DIAMOND).await.unwrap();
    let quiet = |_: &ReceiptId, _: &Result<Verification, VerifyError>| {};
    let node = world.node.did();
    let tally = world.engine.verify_issued(node, &quiet).await.unwrap();
    assert_eq!(tally, Tally { reexecuted: 4, attested: 2, ..Tally::default() });
    assert_eq!(world.engine.verify_issued(world.user.did(), &quiet).await.unwrap().all(), 0);

    // More than a page of lies.
    let genuine = world.receipt(step(&report, "d")).await;
    for lie in 0..250_u8 {
        let forged = Receipt::builder(*genuine.ran(), Outcome::Ok(Ipld::Integer(1_000 + i128::from(lie))));
        let forged = forged.meta(genuine.meta().clone()).sign(&world.node, [lie; 16]).unwrap();
        let filing =
            Filing { tasks: vec![*genuine.ran()], memo: None, inputs: vec![], durability: Durability::Buffered };
        world.receipts.file(&forged, &filing).await.unwrap();
    }
    let found = std::sync::Mutex::new(Vec::new());
    let observe = |id: &ReceiptId, verified: &Result<Verification, VerifyError>| {
        if verified.as_ref().is_err_and(VerifyError::refutes) {
            found.lock().unwrap().push(*id);
        }
    };
    let tally = world.engine.verify_issued(node, &observe).await.unwrap();
    assert_eq!(tally, Tally { reexecuted: 4, attested: 2, refuted: 250, untold: 0 });
    assert_eq!(found.into_inner().unwrap().len(), 250);
}

#[test]
fn inputs_are_values_and_nothing_else() {
    let world = World::new();
    let json = r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/math/sum", "args": {"of": {"ipvm/input": "numbers"}}}}}"#;
    let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
    let bind = |inputs: &[(&str, Ipld)]| {
        let mut bindings = Bindings::new(world.node.did().clone(), world.user.did().clone());
        bindings.inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        document.bind(&bindings)
    };
    let list = Ipld::List(vec![Ipld::Integer(1)]);
    assert_eq!(bind(&[("numbers", list.clone())]).unwrap(), bind(&[("numbers", list.clone())]).unwrap());
    assert!(bind(&[]).unwrap_err().to_string().contains("numbers"));
    assert!(bind(&[("numbers", list.clone()), ("more", Ipld::Null)]).unwrap_err().to_string().contains("more"));
    let promise = Ipld::List(vec![Ipld::Map(BTreeMap::from([("await/ok".to_owned(), Ipld::String("a".to_owned()))]))]);
    assert!(bind(&[("numbers", promise)]).is_err());
    let block = bind(&[("numbers", list)]).unwrap();
    assert_eq!(Workflow::from_block(block.bytes()).unwrap(), block);
}

#[tokio::test]
async fn only_the_executors_own_word_lets_somebody_run_workflows() {
    let world = World::new();
    let stranger = Issuer::ed25519(SigningKey::from_seed(&[9; 32]));
    // Over a subject of one's own one has all authority; that it is sent to the node changes nothing.
    let workflow = world.bind(DIAMOND, &[]);
    let mut request = world.request(&workflow).await;
    request.invocation =
        Invocation::builder(stranger.did().clone(), command("/ipvm/run"), RunRequest::args(&workflow, &[], &[]))
            .audience(world.node.did().clone())
            .sign(&stranger)
            .unwrap();
    assert!(matches!(world.engine.run(request, &|_| {}).await, Err(RunError::Malformed(_))));
}

#[tokio::test]
async fn a_subject_of_ones_own_is_no_way_to_the_executors_compute() {
    let mut world = World::new();
    let throwaway = Issuer::ed25519(SigningKey::from_seed(&[9; 32]));
    world.grant(&throwaway, "/math", "[]");
    let task = format!(r#"{{"cmd": "/math/sum", "sub": "{}", "args": {{"of": [1]}}}}"#, throwaway.did());
    let error = world.run(&format!(r#"{{"v": "1.0.0", "tasks": {{"a": {task}}}}}"#)).await;
    assert!(matches!(error, Err(RunError::Plan(PlanError::NoHandler { .. }))));
    assert_eq!(world.calls(), (0, 0));
}

#[tokio::test]
async fn results_of_others_are_given_only_to_those_who_could_ask_for_them() {
    let mut world = World::new();
    let report = world.run(DIAMOND).await.unwrap();
    let awaiting = |label: &str| {
        let task = step(&report, label).task;
        format!(
            r#"{{"v": "1.0.0", "tasks": {{"x": {{"cmd": "/math/sum", "args": {{"of": [{{"await/ok": {{"/": "{task}"}}}}]}}}}}}}}"#
        )
    };
    let taken = world.run(&awaiting("d")).await.unwrap();
    assert_eq!(step(&taken, "x").outcome, Outcome::Ok(Ipld::Integer(36)));
    world.grants.retain(|grant| grant.command().as_str() != "/log/append");
    let refused = world.run(&awaiting("log")).await;
    assert!(matches!(refused, Err(RunError::NoAuthority(missing)) if missing[0].command == "/log/append"));
}

#[tokio::test]
async fn a_task_of_the_same_workflow_is_awaited_by_its_label() {
    let world = World::new();
    let report = world.run(DIAMOND).await.unwrap();
    let a = step(&report, "a").task;
    let error = world
        .run(&format!(
            r#"{{"v": "1.0.0", "tasks": {{
                "a": {{"cmd": "/math/sum", "args": {{"of": [1, 2]}}}},
                "b": {{"cmd": "/math/sum", "args": {{"of": [{{"await/ok": {{"/": "{a}"}}}}]}}}}
            }}}}"#
        ))
        .await;
    assert!(
        matches!(error, Err(RunError::Plan(PlanError::OwnLink { label, awaited })) if label == "b" && awaited == "a")
    );
}

#[tokio::test]
async fn one_request_twice_at_once_is_one_run() {
    let world = World::new();
    let request = world.request(&world.bind(DIAMOND, &[])).await;
    let (one, two) =
        tokio::join!(world.engine.run(request.clone(), &|_| {}), world.engine.run(request.clone(), &|_| {}));
    assert_eq!(world.calls(), (4, 1));
    assert!(one.is_ok() != two.is_ok());
}

#[tokio::test]
async fn one_effect_under_two_labels_happens_once() {
    let world = World::new();
    let report = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "one": {"cmd": "/log/append", "sub": "log", "nonce": {"/": {"bytes": "AA"}}, "args": {}},
                "two": {"cmd": "/log/append", "sub": "log", "nonce": {"/": {"bytes": "AA"}}, "args": {}}
            }}"#,
        )
        .await
        .unwrap();
    assert!(report.succeeded());
    assert_eq!(world.calls().1, 1);
    assert_eq!(step(&report, "one").receipt, step(&report, "two").receipt);
}

#[tokio::test]
async fn missing_authority_is_no_outcome_of_a_task() {
    let mut world = World::new();
    world.grants.retain(|grant| grant.command().as_str() != "/math");
    let node = world.node.clone();
    world.grant(&node, "/math", r#"[["all", ".of", ["<", ".", 3]]]"#);
    let json = r#"{"v": "1.0.0", "tasks": {
        "small": {"cmd": "/math/sum", "args": {"of": [2, 2]}},
        "large": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "small"}]}}
    }}"#;
    let refused = world.run(json).await.unwrap();
    let attempt = world.receipt(step(&refused, "large")).await;
    assert_eq!(world.engine.verify(attempt).await.unwrap(), Verification::Attempt);
    assert_eq!(step(&refused, "large").how, How::NotRun);
    world.grant(&node, "/math", "[]");
    let report = world.run(json).await.unwrap();
    assert_eq!(step(&report, "large").outcome, Outcome::Ok(Ipld::Integer(4)));
    let receipt = world.receipt(step(&report, "large")).await;
    assert!(matches!(world.engine.verify(receipt).await, Ok(Verification::Reexecuted { .. })));
}

#[tokio::test]
async fn a_policy_that_is_violated_already_is_found_before_anything_starts() {
    let mut world = World::new();
    world.grants.retain(|grant| grant.command().as_str() != "/math");
    let node = world.node.clone();
    world.grant(&node, "/math", r#"[["not", ["==", ".trick", "fail"]]]"#);
    let refused = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "a": {"cmd": "/math/sum", "args": {"of": [1]}},
                "b": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}], "trick": "fail"}}
            }}"#,
        )
        .await;
    assert!(matches!(refused, Err(RunError::NoAuthority(missing)) if missing.len() == 1 && missing[0].label == "b"));
    assert_eq!(world.calls(), (0, 0));
}

#[tokio::test]
async fn a_result_that_no_receipt_can_carry_is_a_failure_of_its_task_alone() {
    let world = World::new();
    let report = world
        .run(
            r#"{"v": "1.0.0", "tasks": {
                "vast": {"cmd": "/math/sum", "args": {"of": [], "trick": "vast"}},
                "fine": {"cmd": "/math/sum", "args": {"of": [1]}}
            }}"#,
        )
        .await
        .unwrap();
    assert_eq!(step(&report, "vast").outcome.failure_name(), Some("UnrepresentableResult"));
    assert!(step(&report, "fine").outcome.is_ok());
}

#[test]
fn all_arguments_at_once_are_no_place_for_a_promise() {
    for args in [r#"{"await/ok": "a"}"#, r#"{"ipvm/input": "x"}"#] {
        let json = format!(r#"{{"v": "1.0.0", "tasks": {{"a": {{"cmd": "/c", "args": {args}}}}}}}"#);
        let error = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("tasks.a.args: "), "{error}");
    }
}

#[tokio::test]
async fn a_resumed_run_does_no_mutation_twice_even_where_a_query_answers_anew() {
    let world = World::new();
    let json = r#"{"v": "1.0.0", "tasks": {
        "next": {"cmd": "/count/next", "sub": "log", "args": {}},
        "log": {"cmd": "/log/append", "sub": "log", "args": {"what": {"await/ok": "next"}}},
        "crash": {"cmd": "/log/append", "sub": "log", "args": {"crash": true, "after": {"await/ok": "log"}}}
    }}"#;
    let request = world.request(&world.bind(json, &[])).await;
    assert!(matches!(world.engine.run(request.clone(), &|_| {}).await, Err(RunError::CutOff(_))));
    assert_eq!(world.calls().1, 2);
    let reused = AtomicUsize::new(0);
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == "log" && step.how == How::Reused) {
            reused.fetch_add(1, Ordering::Relaxed);
        }
    };
    let paused = world.engine.run(request, &observe).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Uncertain { label, .. })) if label == "crash"));
    assert_eq!((reused.into_inner(), world.calls().1), (1, 2));
}

/// Gives one receipt for each id that it is asked for.
#[derive(Debug)]
struct Confused(Arc<MemoryReceipts>, Receipt);

#[async_trait]
impl ReceiptStore for Confused {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        self.0.file(receipt, filing).await
    }

    async fn get(&self, _: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        Ok(Some(self.1.clone()))
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        self.0.by_task(id).await
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        self.0.by_instruction(id).await
    }

    async fn unlist(&self, id: &ReceiptId) -> Result<(), StoreError> {
        self.0.unlist(id).await
    }

    async fn list(&self, listing: &Listing, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        self.0.list(listing, after, limit).await
    }
}

#[tokio::test]
async fn what_a_store_has_under_an_id_is_not_believed_to_have_it() {
    let world = World::new();
    let first = world.run(DIAMOND).await.unwrap();
    let receipts = Arc::new(Confused(world.receipts.clone(), world.receipt(step(&first, "a")).await));
    let engine = Engine::new(Parts { receipts, ..world.engine.parts().clone() });
    let again = engine.run(world.request(&world.bind(DIAMOND, &[])).await, &|_| ()).await.unwrap();
    for label in ["a", "b", "c", "d"] {
        let (first, again) = (step(&first, label), step(&again, label));
        assert_eq!((again.how, &again.outcome), (How::Reused, &first.outcome), "{label}");
    }
    assert_ne!(step(&first, "a").outcome, step(&first, "d").outcome);
}
