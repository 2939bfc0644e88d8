//! A network of executors in one process, under tokio's paused time: what is sent is late, lost, doubled and out of order, as a
//! seed decides.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use ucan_core::{
    CachedKeys, Clock, Container, ContainerEncoding, Delegation, Did, DidKeys, Ipld, Issuer, Timestamp, Token,
};
use ucan_invocation::{
    Await, Branch, Call, Completion, Config, EffectClass, Elsewhere, Entropy, Executor, ExecutorParts, Failure,
    Handler, Invocation, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRequests, MemoryRevocations, Outcome,
    Patience, Receipt, Router, Task, TaskId, TokioTimer, Transport, TransportError, Trust,
};
use ucan_pipeline::Promises;
use varsig::ed25519::SigningKey;

pub(crate) const NOW: u64 = 1_767_225_600;

pub(crate) fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

/// xorshift: anybody can repeat what it chose.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        let mut state = self.0.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.store(state, Ordering::Relaxed);
        (state >> 32) % end
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

/// The time of the runtime, as tokens write it.
#[derive(Debug)]
pub(crate) struct RuntimeClock(pub(crate) Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        at(NOW + self.0.elapsed().as_secs())
    }
}

/// Adds up what is under `of`, slowly; fails where there is something else than numbers.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) class: EffectClass,
    pub(crate) takes: Duration,
    pub(crate) begun: Arc<Mutex<BTreeMap<TaskId, usize>>>,
}

#[async_trait]
impl Handler for Sum {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        *self.begun.lock().unwrap().entry(*call.id()).or_default() += 1;
        sleep(self.takes).await;
        let Some(Ipld::List(of)) = call.task().args().get("of") else {
            return Completion::new(Failure::new("NoNumbers", "`of` is a list").into());
        };
        let number = |item: &Ipld| if let Ipld::Integer(number) = item { Some(*number) } else { None };
        Completion::new(match of.iter().map(number).sum::<Option<i128>>() {
            Some(sum) => Outcome::Ok(Ipld::Integer(sum)),
            None => Failure::new("NoNumbers", "not all are numbers").into(),
        })
    }
}

/// How the network behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// How long a message takes at most, in milliseconds.
    pub(crate) delay: u64,
    /// How many of a hundred messages are lost, each way.
    pub(crate) loss: u64,
    /// How many of a hundred requests arrive twice.
    pub(crate) doubled: u64,
    /// Pairs between which nothing gets through.
    pub(crate) cut: BTreeSet<(u8, u8)>,
}

pub(crate) struct Node {
    pub(crate) key: u8,
    pub(crate) executor: Mutex<Option<Executor>>,
    parts: Mutex<Option<ExecutorParts>>,
    running: Mutex<Vec<AbortHandle>>,
    pub(crate) receipts: Arc<MemoryReceipts>,
    pub(crate) requests: Arc<MemoryRequests>,
}

pub(crate) struct Network {
    pub(crate) nodes: BTreeMap<Box<str>, Node>,
    pub(crate) random: Random,
    pub(crate) weather: Mutex<Weather>,
    /// How often a mutable task was begun.
    pub(crate) mutations: Arc<Mutex<BTreeMap<TaskId, usize>>>,
    pub(crate) computed: Arc<Mutex<BTreeMap<TaskId, usize>>>,
    /// What was sent: from, to, and the tokens.
    pub(crate) sent: Mutex<Vec<(u8, Box<str>, Container)>>,
    pub(crate) alice: Issuer,
    pub(crate) invoker: Issuer,
    pub(crate) grants: Vec<Delegation>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// The way of one node to the others.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: u8,
    pub(crate) network: std::sync::Weak<Network>,
}

#[async_trait]
impl Transport for Link {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        let network = self.network.upgrade().unwrap();
        network.send(self.from, to, container).await
    }
}

/// Alice's resources are served by the executors 100, 101, ..; Alice lets Bob do everything, and he lets the invoker.
pub(crate) fn network(seed: u64, executors: u8, weather: Weather, trust: &Trust, patience: Patience) -> Arc<Network> {
    let [alice, bob, invoker] = [1, 2, 3].map(issuer);
    let grant = |from: &Issuer, to: &Issuer| {
        let grant = Delegation::builder(to.did().clone(), Some(alice.did().clone()), "/".parse().unwrap());
        grant.nonce(vec![7; 12]).sign(from).unwrap()
    };
    let grants = vec![grant(&alice, &bob), grant(&bob, &invoker)];
    let (start, entropy) = (Instant::now(), Arc::<Counter>::default());
    let (mutations, computed) =
        (Arc::<Mutex<BTreeMap<TaskId, usize>>>::default(), Arc::<Mutex<BTreeMap<TaskId, usize>>>::default());
    let keys = Arc::new(CachedKeys::new(DidKeys));
    Arc::new_cyclic(|network| {
        let node = |key: u8| {
            let mut router = Router::default();
            for (command, class, begun) in
                [("/sum", EffectClass::Deterministic, &computed), ("/log", EffectClass::Mutable, &mutations)]
            {
                let handler = Sum { class, takes: Duration::from_millis(3), begun: Arc::clone(begun) };
                router.insert(alice.did().clone(), command.parse().unwrap(), Arc::new(handler));
            }
            let (receipts, requests) = (Arc::<MemoryReceipts>::default(), Arc::<MemoryRequests>::default());
            let parts = ExecutorParts {
                executor: issuer(key),
                router,
                blocks: Arc::new(MemoryBlocks::default()),
                receipts: Arc::<MemoryReceipts>::clone(&receipts),
                trust: trust.clone(),
                revocations: Arc::new(MemoryRevocations::default()),
                replays: Arc::new(MemoryReplayGuard::default()),
                promises: Arc::new(Promises),
                elsewhere: Some(Elsewhere {
                    transport: Arc::new(Link { from: key, network: network.clone() }),
                    timer: Arc::new(TokioTimer),
                    requests: Arc::<MemoryRequests>::clone(&requests),
                    patience,
                }),
                keys: Arc::<CachedKeys<DidKeys>>::clone(&keys),
                clock: Arc::new(RuntimeClock(start)),
                entropy: Arc::<Counter>::clone(&entropy),
            };
            let executor = Mutex::new(Some(Executor::new(parts.clone())));
            let node =
                Node { key, executor, parts: Mutex::new(Some(parts)), running: Mutex::default(), receipts, requests };
            (issuer(key).did().principal().into(), node)
        };
        Network {
            nodes: (100..100 + executors).map(node).collect(),
            random: Random::new(seed),
            weather: Mutex::new(weather),
            mutations: Arc::clone(&mutations),
            computed: Arc::clone(&computed),
            sent: Mutex::default(),
            alice: alice.clone(),
            invoker,
            grants,
        }
    })
}

impl Network {
    pub(crate) fn node(&self, key: u8) -> &Node {
        &self.nodes[issuer(key).did().principal()]
    }

    async fn send(&self, from: u8, to: &Did, container: &Container) -> Result<Container, TransportError> {
        self.sent.lock().unwrap().push((from, to.principal().into(), container.clone()));
        let node = self.nodes.get(to.principal()).ok_or_else(|| TransportError::NoRoute(to.clone()))?;
        let failed = |detail: &str| TransportError::Failed { to: to.clone(), detail: detail.to_owned() };
        self.carry(from, node.key).await.map_err(failed)?;
        let bytes = container.encode(ContainerEncoding::Raw);
        let doubled = self.weather.lock().unwrap().doubled;
        if self.random.chance(doubled) {
            drop(node.serve(bytes.clone()));
        }
        // The host sees it through, even where nobody waits for the answer any longer.
        let serving = node.serve(bytes).ok_or_else(|| failed("connection refused"))?;
        let answer = serving.await.map_err(|_| failed("connection lost"))?;
        self.carry(node.key, from).await.map_err(failed)?;
        let answer = answer.map_err(|error| TransportError::Refused { to: to.clone(), error })?;
        Container::decode(&answer).map_err(|error| TransportError::Answer { to: to.clone(), error })
    }

    /// One message on its way.
    async fn carry(&self, from: u8, to: u8) -> Result<(), &'static str> {
        let weather = self.weather.lock().unwrap().clone();
        sleep(Duration::from_micros(1 + self.random.below(weather.delay.max(1) * 1000))).await;
        if weather.cut.contains(&(from, to)) || self.random.chance(weather.loss) {
            if self.random.chance(50) {
                return Err("the message was lost");
            }
            // Nobody is told.
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    pub(crate) fn ask(&self, to: u8, command: &str, of: Vec<Ipld>) -> Invocation {
        self.ask_by(&self.invoker, to, command, of)
    }

    pub(crate) fn ask_by(&self, by: &Issuer, to: u8, command: &str, of: Vec<Ipld>) -> Invocation {
        let args = BTreeMap::from([("of".to_owned(), Ipld::List(of))]);
        Invocation::builder(self.alice.did().clone(), command.parse().unwrap(), args)
            .audience(issuer(to).did().clone())
            .proofs(self.grants.iter().map(|grant| *grant.cid()).collect())
            .expiration(at(NOW + 3600))
            .sign(by)
            .unwrap()
    }

    pub(crate) fn container(&self, tokens: &[&dyn Token]) -> Container {
        let grants = self.grants.iter().map(|grant| grant as &dyn Token);
        tokens.iter().copied().chain(grants).map(|token| token.envelope().bytes()).collect()
    }

    /// Sends as the invoker, once, over a network that behaves.
    pub(crate) async fn execute(&self, to: u8, container: &Container) -> BTreeMap<TaskId, Receipt> {
        let executor = self.node(to).executor.lock().unwrap().clone().unwrap();
        receipts(&executor.execute(container).await.unwrap())
    }
}

pub(crate) fn receipts(answer: &Container) -> BTreeMap<TaskId, Receipt> {
    let receipt = |token: &[u8]| ucan_core::verify(Receipt::decode(token).unwrap(), &DidKeys).unwrap().into_inner();
    answer.tokens().map(receipt).map(|receipt| (*receipt.ran(), receipt)).collect()
}

type Served = tokio::task::JoinHandle<Result<Vec<u8>, ucan_invocation::ExecuteError>>;

impl Node {
    fn serve(&self, bytes: Vec<u8>) -> Option<Served> {
        let executor = self.executor.lock().unwrap().clone()?;
        let serving = tokio::spawn(async move { executor.answer(&bytes).await });
        self.running.lock().unwrap().push(serving.abort_handle());
        Some(serving)
    }

    /// All that it does ends here and now; what it has stored stays.
    pub(crate) fn crash(&self) {
        drop(self.executor.lock().unwrap().take());
        self.running.lock().unwrap().drain(..).for_each(|running| running.abort());
    }

    /// Begins anew, from what was stored.
    pub(crate) fn restart(&self) {
        let executor = Executor::new(self.parts.lock().unwrap().clone().unwrap());
        *self.executor.lock().unwrap() = Some(executor.clone());
        let resuming = tokio::spawn(async move { drop(executor.resume().await.unwrap()) });
        self.running.lock().unwrap().push(resuming.abort_handle());
    }

    /// Replaces what it is made of.
    pub(crate) fn alter(&self, alter: impl FnOnce(&mut ExecutorParts)) {
        let mut parts = self.parts.lock().unwrap();
        alter(parts.as_mut().unwrap());
        *self.executor.lock().unwrap() = Some(Executor::new(parts.clone().unwrap()));
    }
}

pub(crate) fn id(invocation: &Invocation) -> TaskId {
    invocation.task().id().unwrap()
}

pub(crate) fn promise(of: &Invocation) -> Ipld {
    Await { branch: Branch::Ok, target: id(of) }.to_ipld()
}

pub(crate) fn number(number: i128) -> Ipld {
    Ipld::Integer(number)
}

/// Runs a future where time passes only when nothing else happens.
pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}
