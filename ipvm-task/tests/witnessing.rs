//! Results that are verified by others: real executors, reached with signed invocations, of whom some lie, are silent, or are late.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use common::GUEST;
use ipvm_task::{
    ChallengeError, Peers, Runtime, Verdict, Verification, WasmHandler, WasmtimeRuntime, Witness, WitnessError,
    Witnesses, Witnessing,
};
use tokio::sync::watch;
use ucan_core::{
    Cid, Command, Context, Delegation, DelegationStore, Did, DidKeys, FixedClock, Ipld, Issuer, MemoryDelegations,
    Timestamp, Token, block,
};
use ucan_invocation::meta::{CHECK, FUEL, PROFILE};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, EffectClass, Entropy, Executor, ExecutorParts, Failure, Handler, InProcess,
    Memo, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, Receipt, ReceiptId,
    ReceiptStore, Router, Task, TokioTimer, Trust,
};
use varsig::ed25519::SigningKey;

static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| wat::parse_str(GUEST).unwrap());
static RUNTIME: LazyLock<Arc<WasmtimeRuntime>> = LazyLock::new(|| Arc::new(common::runtime()));
const NOW: u64 = 1_800_000_000;

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

/// Runs what it is asked to, and says what came of it once enough lies are told, or says something else.
#[derive(Debug)]
struct Speaker {
    honest: WasmHandler,
    lie: Option<i128>,
    lies_to_come: watch::Sender<usize>,
}

#[async_trait]
impl Handler for Speaker {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    fn profile(&self) -> Option<Cid> {
        self.honest.profile()
    }

    async fn check(&self, task: &Task, config: &Config) -> Result<(), Failure> {
        self.honest.check(task, config).await
    }

    async fn handle(&self, call: &Call) -> Completion {
        let truth = self.honest.handle(call).await;
        let Some(lie) = self.lie else {
            self.lies_to_come.subscribe().wait_for(|lies| *lies == 0).await.unwrap();
            return truth;
        };
        self.lies_to_come.send_modify(|lies| *lies = lies.saturating_sub(1));
        Completion { outcome: Outcome::Ok(Ipld::Integer(lie)), ..truth }
    }
}

/// Somebody who never answers.
#[derive(Debug)]
struct Silence;

#[async_trait]
impl Witnesses for Silence {
    async fn ask(&self, _: &Did, _: &Task) -> Result<Witness, WitnessError> {
        std::future::pending().await
    }
}

/// Counts how often it is asked for the component: each run here takes it once.
#[derive(Debug, Default)]
struct Counted(MemoryBlocks, AtomicUsize);

#[async_trait]
impl BlockStore for Counted {
    async fn get(&self, cid: &Cid) -> Result<Option<bytes::Bytes>, ucan_core::StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(cid).await
    }

    async fn put(&self, cid: &Cid, bytes: bytes::Bytes) -> Result<(), ucan_core::StoreError> {
        self.0.put(cid, bytes).await
    }
}

fn key(n: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[n; 32]))
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock(Timestamp::from_secs(NOW).unwrap()))
}

fn run_command() -> Command {
    Command::parse("/wasm/run").unwrap()
}

fn task(n: u8) -> Task {
    let args = [
        ("mod".to_owned(), Ipld::Link(block::raw_cid(&WASM))),
        ("fun".to_owned(), Ipld::String("divide".to_owned())),
        ("params".to_owned(), Ipld::List(vec![Ipld::Integer(84), Ipld::Integer(2)])),
    ];
    Task::new(key(n).did().clone(), run_command(), args.into(), vec![])
}

/// What each executor does: nothing where there is none, the truth, or to say something else.
type Says = Option<Option<i128>>;

const TRUTH: Says = Some(None);

struct World {
    handler: WasmHandler,
    witnessing: Witnessing,
    blocks: Arc<MemoryBlocks>,
    receipts: Arc<MemoryReceipts>,
    /// How many lies are waited for before anybody tells the truth.
    lies_to_come: watch::Sender<usize>,
}

/// The executor 0, which others are asked by, and the executors from 1 on.
async fn world(says: &[Says]) -> World {
    let transport = Arc::new(InProcess::default());
    let lies_to_come = watch::Sender::new(0);
    let delegations = Arc::new(MemoryDelegations::default());
    for (n, says) in (1..).zip(says) {
        let executor = key(n);
        let grant = Delegation::builder(key(0).did().clone(), Some(executor.did().clone()), run_command());
        delegations.put(&grant.sign(&executor).unwrap()).await.unwrap();
        let Some(says) = says else { continue };
        let blocks = Arc::new(MemoryBlocks::default());
        blocks.put(&block::raw_cid(&WASM), WASM.clone().into()).await.unwrap();
        let honest = WasmHandler::new(RUNTIME.clone(), blocks.clone());
        let handler = Arc::new(Speaker { honest, lie: *says, lies_to_come: lies_to_come.clone() });
        let mut router = Router::default();
        router.insert(executor.did().clone(), run_command(), handler);
        transport.add(Executor::new(ExecutorParts {
            executor,
            router,
            blocks,
            receipts: Arc::new(MemoryReceipts::default()),
            trust: Trust::Own,
            revocations: Arc::new(MemoryRevocations::default()),
            replays: Arc::new(MemoryReplayGuard::default()),
            promises: Arc::new(NoPromises),
            elsewhere: None,
            keys: Arc::new(DidKeys),
            clock: clock(),
            entropy: Arc::new(Counter::default()),
        }));
    }
    let peers = Peers { issuer: key(0), transport, delegations, keys: Arc::new(DidKeys), clock: clock() };
    let (blocks, receipts) = (Arc::new(MemoryBlocks::default()), Arc::new(MemoryReceipts::default()));
    blocks.put(&block::raw_cid(&WASM), WASM.clone().into()).await.unwrap();
    let witnessing = Witnessing {
        executor: key(0),
        witnesses: Arc::new(peers),
        blocks: blocks.clone(),
        receipts: receipts.clone(),
        keys: Arc::new(DidKeys),
        clock: clock(),
        entropy: Arc::new(Counter::default()),
        timer: Arc::new(TokioTimer),
        patience: Duration::from_secs(60),
    };
    let handler = WasmHandler::new(RUNTIME.clone(), blocks.clone()).with_witnesses(witnessing.clone());
    World { handler, witnessing, blocks, receipts, lies_to_come }
}

fn did(n: u8) -> Ipld {
    Ipld::String(key(n).did().to_string())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn consensus(of: impl IntoIterator<Item = u8>, agree: i128) -> Ipld {
    let executors = Ipld::List(of.into_iter().map(did).collect());
    map([("consensus", map([("executors", executors), ("agree", Ipld::Integer(agree))]))])
}

fn optimistic(confirmations: i128, referee: u8) -> Ipld {
    map([("optimistic", map([("confirmations", Ipld::Integer(confirmations)), ("referee", did(referee))]))])
}

impl World {
    /// What comes of the task of the executor 0 where it is to be verified so.
    async fn run(&self, check: Ipld) -> Completion {
        let config: Config = [("check".to_owned(), check)].into();
        self.handler.check(&task(0), &config).await.unwrap();
        let context = Context::new(Timestamp::from_secs(NOW).unwrap(), &DidKeys);
        let call = Call::authorize(task(0), config, key(0).did(), &[], &context).unwrap();
        self.handler.handle(&call).await
    }

    /// Of what a list of links leads to, who signed what.
    async fn signed(&self, links: &Ipld) -> BTreeMap<u8, i128> {
        let Ipld::List(links) = links else { panic!("{links:?}") };
        let mut signed = BTreeMap::new();
        for link in links {
            let Ipld::Link(cid) = link else { panic!("{link:?}") };
            let receipt = self.receipts.get(&ReceiptId::new(*cid)).await.unwrap().unwrap();
            let Outcome::Ok(Ipld::Integer(value)) = receipt.outcome() else { panic!("{:?}", receipt.outcome()) };
            signed.insert(who(receipt.issuer()), *value);
        }
        signed
    }

    /// The sides of the evidence that a failure links to.
    async fn evidence(&self, done: &Completion) -> Vec<BTreeMap<u8, i128>> {
        let Outcome::Error(Ipld::Map(error)) = &done.outcome else { panic!("{done:?}") };
        let Ipld::List(sides) = &error["evidence"] else { panic!("{error:?}") };
        let mut found = Vec::new();
        for side in sides {
            found.push(self.signed(side).await);
        }
        found
    }
}

fn who(did: &Did) -> u8 {
    (0..=9).find(|n| key(*n).did().same_principal(did)).unwrap()
}

fn check(done: &Completion) -> &BTreeMap<String, Ipld> {
    let Some(Ipld::Map(check)) = done.meta.get(CHECK) else { panic!("{done:?}") };
    check
}

fn name(done: &Completion) -> &str {
    let Outcome::Error(Ipld::Map(error)) = &done.outcome else { panic!("{done:?}") };
    let Ipld::String(name) = &error["name"] else { panic!("{error:?}") };
    name
}

const RIGHT: Outcome = Outcome::Ok(Ipld::Integer(42));

#[tokio::test]
async fn two_of_five_lie_and_the_others_are_believed() {
    for lies in [[41, 41], [41, 43]] {
        let world = world(&[TRUTH, Some(Some(lies[0])), TRUTH, Some(Some(lies[1])), TRUTH]).await;
        // A verdict waits for nobody who cannot change it: were the liars late, they would not be heard.
        world.lies_to_come.send_replace(lies.len());
        let strategy = consensus(1..=5, 3);
        let done = world.run(strategy.clone()).await;
        assert_eq!(done.outcome, RIGHT);
        assert!(done.repeatable && matches!(done.meta.get(FUEL), Some(Ipld::Integer(1..))));
        assert_eq!(Verification::parse(&check(&done)["by"]), Verification::parse(&strategy));
        assert_eq!(world.signed(&check(&done)["supporters"]).await, [(1, 42), (3, 42), (5, 42)].into());
        // Whoever has the store sees the lies.
        let memo = Memo::new(&*world.receipts, &*world.blocks, &DidKeys);
        let instruction = task(0).instruction_id().unwrap();
        let found = memo.contradictions(&instruction).await.unwrap();
        let liars: BTreeSet<u8> = found[0]
            .sides
            .iter()
            .flatten()
            .filter(|receipt| *receipt.outcome() != RIGHT)
            .map(|receipt| who(receipt.issuer()))
            .collect();
        assert_eq!(liars, [2, 4].into());
    }
}

#[tokio::test]
async fn where_nobody_is_a_majority_the_result_is_a_refusal_with_the_evidence() {
    let world = world(&[TRUTH, Some(Some(1)), Some(Some(2))]).await;
    let done = world.run(consensus(1..=3, 2)).await;
    assert_eq!(name(&done), "Disagreement");
    assert!(!done.repeatable, "another time others may be asked");
    let sides = world.evidence(&done).await;
    let all: BTreeMap<u8, i128> = sides.iter().flatten().map(|(who, value)| (*who, *value)).collect();
    assert_eq!((sides.len(), all), (3, [(1, 42), (2, 1), (3, 2)].into()));
}

#[tokio::test]
async fn who_cannot_be_asked_is_named_and_nothing_less_is_taken() {
    let world = world(&[TRUTH, None, None, TRUTH]).await;
    let done = world.run(consensus(1..=4, 3)).await;
    assert_eq!(name(&done), "Unverified");
    let Outcome::Error(Ipld::Map(error)) = &done.outcome else { panic!("{done:?}") };
    let Ipld::Map(silent) = &error["silent"] else { panic!("{error:?}") };
    let silent: BTreeSet<u8> = silent.keys().map(|did| who(&did.parse().unwrap())).collect();
    assert_eq!(silent, [2, 3].into());
    // Two are enough where two were asked for.
    assert_eq!(world.run(consensus([1, 2, 4], 2)).await.outcome, RIGHT);
}

#[tokio::test]
async fn where_it_is_named_this_executor_has_a_voice_as_any_other() {
    let world = world(&[TRUTH, Some(Some(7)), TRUTH]).await;
    let done = world.run(consensus([0, 1, 2], 2)).await;
    assert_eq!(done.outcome, RIGHT);
    assert_eq!(world.signed(&check(&done)["supporters"]).await, [(1, 42)].into(), "its own receipt is this one");
    // Those who agree on something else outvote it, which is seen afterwards.
    let fooled = self::world(&[Some(Some(7)), Some(Some(7)), TRUTH]).await;
    let done = fooled.run(consensus([0, 1, 2], 2)).await;
    assert_eq!(done.outcome, Outcome::Ok(Ipld::Integer(7)));
}

#[tokio::test]
async fn an_oracle_is_asked_and_nothing_is_run_here() {
    let blocks = Arc::new(Counted::default());
    let world = world(&[Some(Some(7)), TRUTH]).await;
    let handler =
        WasmHandler::new(Arc::new(common::runtime()), blocks.clone()).with_witnesses(world.witnessing.clone());
    let run = async |oracle: Ipld| {
        let config: Config = [("check".to_owned(), map([("oracle", oracle)]))].into();
        let context = Context::new(Timestamp::from_secs(NOW).unwrap(), &DidKeys);
        let call = Call::authorize(task(0), config, key(0).did(), &[], &context).unwrap();
        handler.handle(&call).await
    };
    assert_eq!(run(did(1)).await.outcome, Outcome::Ok(Ipld::Integer(7)));
    assert_eq!(run(did(2)).await.outcome, RIGHT);
    assert_eq!(name(&run(did(9)).await), "Unverified");
    assert_eq!(blocks.1.load(Ordering::Relaxed), 0);
    // It is its own oracle where somebody says so.
    blocks.put(&block::raw_cid(&WASM), WASM.clone().into()).await.unwrap();
    assert_eq!(run(did(0)).await.outcome, RIGHT);
    assert!(blocks.1.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn others_are_not_waited_for_for_ever() {
    let mut world = world(&[]).await;
    world.witnessing.witnesses = Arc::new(Silence);
    world.witnessing.patience = Duration::from_millis(50);
    world.handler = WasmHandler::new(RUNTIME.clone(), world.blocks.clone()).with_witnesses(world.witnessing.clone());
    let done = world.run(consensus([0, 1, 2], 2)).await;
    assert_eq!(name(&done), "Unverified");
    assert!(!done.repeatable);
}

#[tokio::test]
async fn who_has_no_witnesses_refuses_before_anything_starts() {
    let handler = WasmHandler::new(RUNTIME.clone(), Arc::new(MemoryBlocks::default()));
    let config: Config = [("check".to_owned(), map([("oracle", did(1))]))].into();
    let refused = handler.check(&task(0), &config).await.unwrap_err();
    assert!(refused.to_string().contains("needs other executors"), "{refused}");
}

/// The receipt of a result that was accepted optimistically.
fn accepted(done: &Completion, value: i128, profile: Cid) -> Receipt {
    let mut meta = done.meta.clone();
    meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
    Receipt::builder(task(0).id().unwrap(), Outcome::Ok(Ipld::Integer(value)))
        .meta(meta)
        .issued_at(Timestamp::from_secs(NOW).unwrap())
        .sign(&key(0), [1; 16])
        .unwrap()
}

#[tokio::test]
async fn an_optimistic_result_is_taken_back_when_a_referee_says_so() {
    let world = world(&[TRUTH, Some(Some(7)), TRUTH]).await;
    let done = world.run(optimistic(0, 3)).await;
    assert_eq!(done.outcome, RIGHT);
    assert_eq!(check(&done)["until"], Ipld::Integer((NOW + 3600).into()));

    let profile = *RUNTIME.profile().cid();
    let (right, wrong) = (accepted(&done, 42, profile), accepted(&done, 41, profile));
    world.blocks.put(task(0).id().unwrap().cid(), task(0).to_block().unwrap().into()).await.unwrap();
    let trust = Trust::Executors([1, 2].map(|n| key(n).did().clone()).into());
    let quiet = world.witnessing.challenge(right.clone(), &trust).await.unwrap();
    assert!(matches!(quiet, Verdict::Accepted { until: Some(_), .. }), "{quiet:?}");

    // What others state comes into the store in some way.
    world.run(map([("oracle", did(1))])).await;
    let upheld = world.witnessing.challenge(right.clone(), &trust).await.unwrap();
    assert!(matches!(upheld, Verdict::Accepted { until: Some(_), .. }), "one who says the same is no challenge");
    let overturned = world.witnessing.challenge(wrong.clone(), &trust).await.unwrap();
    let Verdict::Overturned { receipt } = overturned else { panic!("{overturned:?}") };
    assert_eq!((who(receipt.issuer()), receipt.outcome()), (3, &RIGHT));
    assert!(world.receipts.get(&receipt.id()).await.unwrap().is_some(), "its word is kept");

    // A liar does not get through, and costs a word of the referee, which is there already.
    world.run(map([("oracle", did(2))])).await;
    let upheld = world.witnessing.challenge(right.clone(), &trust).await.unwrap();
    assert!(matches!(upheld, Verdict::Accepted { until: None, .. }), "{upheld:?}");

    let plain = Receipt::builder(task(0).id().unwrap(), RIGHT).sign(&key(0), [2; 16]).unwrap();
    let error = world.witnessing.challenge(plain, &trust).await.unwrap_err();
    assert!(matches!(error, ChallengeError::NotOptimistic), "{error:?}");
}

#[test]
fn a_receipt_says_how_its_result_was_verified() {
    let by = |strategy: &Ipld| {
        let meta = [(CHECK.to_owned(), map([("by", strategy.clone()), ("supporters", Ipld::List(vec![]))]))];
        Receipt::builder(task(0).id().unwrap(), RIGHT).meta(meta.into()).sign(&key(0), [1; 16]).unwrap()
    };
    let plain = Receipt::builder(task(0).id().unwrap(), RIGHT).sign(&key(0), [1; 16]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(world(&[]));
    let asks = |check: &Ipld| -> Config { [("check".to_owned(), check.clone())].into() };
    let (two, three) = (consensus([1, 2, 3], 2), consensus([1, 2, 3], 3));
    assert!(world.handler.accepts(&plain, &Config::new()) && world.handler.accepts(&by(&two), &Config::new()));
    assert!(world.handler.accepts(&by(&two), &asks(&Ipld::String("attestation".to_owned()))));
    assert!(world.handler.accepts(&by(&two), &asks(&two)));
    assert!(!world.handler.accepts(&by(&two), &asks(&three)) && !world.handler.accepts(&plain, &asks(&two)));
}
