//! What an engine does about executors that lied: it finds out, believes them no more, and forgets what rests on their word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use ipvm_workflow::{
    Bindings, Document, Engine, Entropy, How, MemoryJournal, Parts, RunReport, RunRequest, StepReport, Trust,
    VerifyError,
};
use ucan_core::{Command, Delegation, Did, DidKeys, FixedClock, Ipld, Issuer, Timestamp, Token, dagjson};
use ucan_invocation::meta::CHECK;
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Durability, EffectClass, Failure, Filing, Handler, Invocation, MemoryBlocks,
    MemoryReceipts, MemoryRevocations, Outcome, Receipt, ReceiptId, ReceiptStore, Reexecutor, Router, Task, TokioTimer,
};
use varsig::ed25519::SigningKey;

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

/// `/math/sum`: adds the numbers under `of`.
#[derive(Debug)]
struct Sum;

#[async_trait]
impl Handler for Sum {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        let mut completion = self.reexecute(call.task()).await;
        completion.meta.extend(call.config().get(CHECK).map(|check| (CHECK.to_owned(), check.clone())));
        completion
    }

    fn accepts(&self, known: &Receipt, config: &Config) -> bool {
        config.get(CHECK).is_none_or(|check| known.meta().get(CHECK) == Some(check))
    }

    fn reexecutor(&self) -> Option<&dyn Reexecutor> {
        Some(self)
    }
}

#[async_trait]
impl Reexecutor for Sum {
    async fn reexecute(&self, task: &Task) -> Completion {
        let Some(Ipld::List(items)) = task.args().get("of") else { panic!("{task:?}") };
        let number = |item: &Ipld| match item {
            Ipld::Integer(number) => *number,
            other => panic!("{other:?}"),
        };
        Completion::new(Outcome::Ok(Ipld::Integer(items.iter().map(number).sum())))
    }
}

/// `/log/append`: counts.
#[derive(Debug, Default)]
struct Append(AtomicUsize);

#[async_trait]
impl Handler for Append {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::Integer(self.0.fetch_add(1, Ordering::Relaxed) as i128)))
    }
}

fn key(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

struct World {
    node: Issuer,
    user: Issuer,
    others: [Issuer; 2],
    append: Arc<Append>,
    blocks: Arc<MemoryBlocks>,
    receipts: Arc<MemoryReceipts>,
    engine: Engine,
    grants: Vec<Delegation>,
    requests: AtomicU64,
}

const DIAMOND: &str = r#"{"v": "1.0.0", "tasks": {
    "a": {"cmd": "/math/sum", "args": {"of": [1, 2]}},
    "b": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}, 10]}},
    "c": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "a"}, 20]}},
    "d": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "b"}, {"await/ok": "c"}]}},
    "apart": {"cmd": "/math/sum", "args": {"of": [1]}},
    "like a": {"cmd": "/math/sum", "args": {"of": [{"await/ok": "apart"}, 2]}},
    "log": {"cmd": "/log/append", "args": {"what": {"await/ok": "d"}}}
}}"#;

impl World {
    /// A node that believes two others.
    fn new() -> Self {
        let (node, user, others) = (key(1), key(2), [key(3), key(4)]);
        let append = Arc::new(Append::default());
        let mut router = Router::default();
        router.insert(node.did().clone(), command("/math"), Arc::new(Sum));
        router.insert(node.did().clone(), command("/log"), append.clone());
        let blocks = Arc::new(MemoryBlocks::default());
        let receipts = Arc::new(MemoryReceipts::default());
        let engine = Engine::new(Parts {
            executor: node.clone(),
            blocks: blocks.clone(),
            receipts: receipts.clone(),
            revocations: Arc::new(MemoryRevocations::default()),
            journal: Arc::new(MemoryJournal::default()),
            router,
            trust: Trust::Executors(others.iter().map(|other| other.did().clone()).collect()),
            keys: Arc::new(DidKeys),
            clock: Arc::new(FixedClock(Timestamp::from_secs(1_800_000_000).unwrap())),
            entropy: Arc::new(Counter::default()),
            timer: Arc::new(TokioTimer),
            parallelism: 2,
        });
        let grant = |what| {
            Delegation::builder(user.did().clone(), Some(node.did().clone()), command(what)).sign(&node).unwrap()
        };
        let grants = ["/ipvm/run", "/math", "/log"].map(grant).into();
        Self { node, user, others, append, blocks, receipts, engine, grants, requests: AtomicU64::new(0) }
    }

    async fn request(&self, json: &str) -> RunRequest {
        let bindings = Bindings::new(self.node.did().clone(), self.user.did().clone());
        let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
        let workflow = document.bind(&bindings).unwrap();
        self.blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
        let args = RunRequest::args(&workflow, &self.grants, &[]);
        let invocation = Invocation::builder(self.node.did().clone(), command("/ipvm/run"), args)
            .proofs(vec![*self.grants[0].cid()])
            .nonce(self.requests.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec())
            .sign(&self.user)
            .unwrap();
        RunRequest { invocation, delegations: self.grants.clone() }
    }

    async fn run(&self) -> RunReport {
        self.engine.run(self.request(DIAMOND).await, &|_| {}).await.unwrap()
    }

    async fn issuer(&self, report: &RunReport, label: &str) -> Did {
        let receipt = self.receipts.get(&step(report, label).receipt).await.unwrap().unwrap();
        receipt.issuer().clone()
    }

    /// Files what `signer` states of the sum of 1 and 2.
    async fn state(&self, signer: &Issuer, value: i128) -> ReceiptId {
        let args = [("of".to_owned(), Ipld::List(vec![Ipld::Integer(1), Ipld::Integer(2)]))].into();
        let task = Task::new(self.node.did().clone(), command("/math/sum"), args, vec![]);
        let (id, bytes) = (task.id().unwrap(), task.to_block().unwrap());
        self.blocks.put(id.cid(), bytes.into()).await.unwrap();
        let receipt = Receipt::builder(id, Outcome::Ok(Ipld::Integer(value))).sign(signer, [9; 16]).unwrap();
        let filing = Filing {
            tasks: vec![id],
            memo: Some(task.instruction_id().unwrap()),
            inputs: task.links(),
            durability: Durability::Buffered,
        };
        self.receipts.file(&receipt, &filing).await.unwrap();
        receipt.id()
    }
}

fn step<'a>(report: &'a RunReport, label: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.label == label).unwrap()
}

fn values(report: &RunReport) -> BTreeMap<&str, i128> {
    let value = |step: &StepReport| match step.outcome {
        Outcome::Ok(Ipld::Integer(value)) => value,
        ref other => panic!("{other:?}"),
    };
    report.steps.iter().map(|step| (step.label.as_str(), value(step))).collect()
}

#[tokio::test]
async fn all_that_rests_on_a_signer_is_forgotten_and_nothing_else() {
    let world = World::new();
    let liar = &world.others[0];
    let lie = world.state(liar, 99).await;
    let request = world.request(DIAMOND).await;
    let believed = world.engine.run(request.clone(), &|_| {}).await.unwrap();
    assert_eq!(values(&believed)["d"], 228);

    let forgotten = world.engine.forget(liar.did()).await.unwrap();
    let receipts: BTreeSet<ReceiptId> = forgotten.receipts.iter().copied().collect();
    assert_eq!(receipts.len(), forgotten.receipts.len(), "each once");
    let expected = ["a", "like a", "b", "c", "d"].map(|label| step(&believed, label).receipt);
    let expected: BTreeSet<ReceiptId> = expected.into_iter().chain([lie, believed.receipt]).collect();
    assert_eq!(receipts, expected);
    assert_eq!(forgotten.effects, [step(&believed, "log").receipt], "what was done is told");
    for id in receipts {
        assert!(world.receipts.get(&id).await.unwrap().is_some(), "it is evidence");
    }
    assert_eq!(world.engine.forget(liar.did()).await.unwrap(), Default::default(), "there is nothing left");

    // The same request goes on: what was pure is computed, and what was done is not done again.
    let again = world.engine.run(request, &|_| {}).await.unwrap();
    let truth = [("a", 3), ("b", 13), ("c", 23), ("d", 36), ("apart", 1), ("like a", 3), ("log", 0)];
    assert_eq!(values(&again), truth.into());
    assert_eq!(step(&again, "apart").how, How::Reused);
    assert_eq!(step(&again, "a").how, How::Ran);
    assert_eq!(world.append.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_another_states_as_well_stands() {
    let world = World::new();
    let [one, other] = &world.others;
    let (from_one, from_other) = (world.state(one, 3).await, world.state(other, 3).await);
    let report = world.run().await;
    let forgotten = world.engine.forget(one.did()).await.unwrap();
    // What repeats the one's word falls with it, and so does what lists that.
    let forgotten: BTreeSet<ReceiptId> = forgotten.receipts.into_iter().collect();
    assert_eq!(forgotten, [from_one, step(&report, "like a").receipt, report.receipt].into());
    // With the other's word nothing is left that b and c could have had the number from.
    let forgotten = world.engine.forget(other.did()).await.unwrap();
    let receipts: BTreeSet<ReceiptId> = forgotten.receipts.into_iter().collect();
    let expected = ["b", "c", "d"].map(|label| step(&report, label).receipt);
    assert_eq!(receipts, expected.into_iter().chain([from_other]).collect());
    assert_eq!(forgotten.effects, [step(&report, "log").receipt]);
}

#[tokio::test]
async fn who_is_caught_is_believed_no_more() {
    let world = World::new();
    let liar = &world.others[0];
    let lie = world.state(liar, 99).await;
    world.run().await;
    assert!(world.engine.checked().await.is_empty(), "nothing is looked at unless it is asked for");

    world.engine.sample(1.0);
    world.run().await;
    let refuted = world.engine.checked().await;
    let caught = refuted.iter().find(|refuted| refuted.signer == *liar.did()).unwrap();
    assert_eq!(caught.receipt, lie);
    assert!(matches!(&caught.error, VerifyError::Mismatch { path, .. } if path == "out.ok"), "{:?}", caught.error);
    assert!(caught.forgotten.as_ref().unwrap().receipts.contains(&lie));
    assert_eq!(world.engine.in_quarantine(), [liar.did().clone()]);

    // Whatever it states from now on, and whether or not the truth.
    world.state(liar, 98).await;
    let report = world.run().await;
    assert_eq!(values(&report)["a"], 3);
    assert_eq!(world.issuer(&report, "a").await, *world.node.did());
    assert!(world.engine.checked().await.is_empty());
    // The other one is believed as before.
    world.engine.forget(world.node.did()).await.unwrap();
    world.state(&world.others[1], 3).await;
    let report = world.run().await;
    assert_eq!(world.issuer(&report, "a").await, *world.others[1].did());
}

#[tokio::test]
async fn an_engine_that_finds_its_own_word_wrong_forgets_it_and_goes_on() {
    let world = World::new();
    let wrong = world.state(&world.node, 4).await;
    world.engine.sample(1.0);
    assert_eq!(values(&world.run().await)["a"], 4);
    let refuted = world.engine.checked().await;
    assert_eq!(refuted.iter().map(|refuted| refuted.receipt).collect::<Vec<_>>(), [wrong]);
    assert!(world.engine.in_quarantine().is_empty());
    assert_eq!(values(&world.run().await)["d"], 36);
}

#[tokio::test]
async fn what_was_verified_less_is_no_answer_for_whoever_asks_for_more() {
    let world = World::new();
    let checked = |check: &str| {
        let config = format!(r#""config": {{"check": "{check}"}}"#);
        format!(r#"{{"v": "1.0.0", "tasks": {{"a": {{"cmd": "/math/sum", "args": {{"of": [1, 2]}}, {config}}}}}}}"#)
    };
    let run = async |json: &str| {
        let report = world.engine.run(world.request(json).await, &|_| {}).await.unwrap();
        step(&report, "a").how
    };
    let plain = r#"{"v": "1.0.0", "tasks": {"a": {"cmd": "/math/sum", "args": {"of": [1, 2]}}}}"#;
    assert_eq!(run(plain).await, How::Ran);
    for check in ["by one", "by two"] {
        assert_eq!(run(&checked(check)).await, How::Ran);
        assert_eq!(run(&checked(check)).await, How::Reused);
    }
    assert_eq!((run(plain).await, run(&checked("by one")).await), (How::Reused, How::Reused));
}
