//! A world that can be looked at: an engine on stores that crash, and handlers that do as their arguments say.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "tests, of which not each uses all of it")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ipvm_workflow::{
    Bindings, Charging, Document, Elsewhere, Engine, EngineOptions, Entropy, Entry, Journal, KeptSchedule,
    MemoryJournal, MemorySchedules, OpenRun, Parts, RunReport, RunRequest, ScheduleStore, StepReport, Trust, Vault,
    Workflow,
};
use ucan_chan::{Change, ChannelStore, Commit, Kept, MemoryChannels, Open, Purse, Terms, Till};
use ucan_core::{
    CachedKeys, Cid, Clock, Command, Context, Delegation, Did, DidKeys, FixedClock, Ipld, Issuer, StoreError,
    Timestamp, dagjson,
};
use ucan_invocation::meta::{FUEL, FUEL_BOUND};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Cursor, EffectClass, Failure, Filing, Handler, InstructionId, Invocation,
    Listing, MemoryBlocks, MemoryReceipts, MemoryRevocations, Outcome, Page, Probe, Receipt, ReceiptId, ReceiptStore,
    Reexecutor, Router, Task, TaskId, Timer,
};
use varsig::ed25519::SigningKey;

/// xorshift: any seed can be tried again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        // Each number once, and each of its bytes of all values.
        let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

/// Lets no time pass, and remembers how long it was to be.
#[derive(Debug, Default)]
pub(crate) struct Waits(pub(crate) Mutex<Vec<Duration>>);

#[async_trait]
impl Timer for Waits {
    async fn sleep(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
        tokio::task::yield_now().await;
    }
}

/// A clock that goes on when somebody waits, or is told to.
#[derive(Debug)]
pub(crate) struct Passing(pub(crate) AtomicU64);

impl Passing {
    pub(crate) fn pass(&self, secs: u64) {
        self.0.fetch_add(secs, Ordering::Relaxed);
    }
}

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

#[async_trait]
impl Timer for Passing {
    async fn sleep(&self, time: Duration) {
        self.pass(time.as_secs());
        tokio::task::yield_now().await;
    }
}

/// After how many more writes the process dies; never, where it is negative. Two numbers stand for each write: it has not reached the
/// medium, or it has, and nobody is told. A write of what is on the medium already does not count.
#[derive(Debug)]
pub(crate) struct Crash(AtomicI64, AtomicBool);

impl Crash {
    pub(crate) fn never() -> Arc<Self> {
        Self::after(-1)
    }

    pub(crate) fn after(halves: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(halves), AtomicBool::new(false)))
    }

    /// Whether the process died.
    pub(crate) fn died(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    /// Whether the process is dead before and after a write, which changes something or does not.
    fn write(&self, changes: bool) -> (bool, bool) {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 && !changes {
            return (false, false);
        }
        if left >= 0 {
            // Dead is dead.
            self.0.store(if left >= 2 { left - 2 } else { 0 }, Ordering::Relaxed);
        }
        self.1.fetch_or(left == 0 || left == 1, Ordering::Relaxed);
        (left == 0, left == 0 || left == 1)
    }
}

fn died() -> StoreError {
    StoreError::io("writing", std::io::Error::other("the process died"))
}

/// A store whose process can die.
#[derive(Debug)]
pub(crate) struct Mortal<S>(pub(crate) Arc<S>, pub(crate) Arc<Crash>);

macro_rules! mortal {
    ($self:ident, $changes:expr, $write:expr) => {{
        let (before, after) = $self.1.write($changes);
        if before {
            return Err(died());
        }
        let done = $write.await;
        if after { Err(died()) } else { done }
    }};
}

#[async_trait]
impl BlockStore for Mortal<MemoryBlocks> {
    async fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        self.0.get(cid).await
    }

    async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError> {
        mortal!(self, self.0.get(cid).await?.is_none(), self.0.put(cid, bytes))
    }
}

#[async_trait]
impl ReceiptStore for Mortal<MemoryReceipts> {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        mortal!(self, true, self.0.file(receipt, filing))
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        ReceiptStore::get(&*self.0, id).await
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

#[async_trait]
impl Journal for Mortal<MemoryJournal> {
    async fn append(&self, entry: &Entry) -> Result<(), StoreError> {
        mortal!(self, true, self.0.append(entry))
    }

    async fn intended(&self, task: &TaskId) -> Result<bool, StoreError> {
        self.0.intended(task).await
    }

    async fn sent(&self, task: &TaskId) -> Result<Option<Cid>, StoreError> {
        self.0.sent(task).await
    }

    async fn unfinished(&self) -> Result<Vec<TaskId>, StoreError> {
        self.0.unfinished().await
    }

    async fn open(&self, run: &TaskId) -> Result<Option<OpenRun>, StoreError> {
        self.0.open(run).await
    }

    async fn handed_over(&self, run: &TaskId) -> Result<Option<Cid>, StoreError> {
        self.0.handed_over(run).await
    }
}

#[async_trait]
impl ScheduleStore for Mortal<MemorySchedules> {
    async fn get(&self, id: &TaskId) -> Result<Option<KeptSchedule>, StoreError> {
        self.0.get(id).await
    }

    async fn put(&self, id: &TaskId, from: u64, state: Bytes) -> Result<bool, StoreError> {
        mortal!(self, true, self.0.put(id, from, state))
    }

    async fn list(&self) -> Result<Vec<TaskId>, StoreError> {
        self.0.list().await
    }
}

#[async_trait]
impl ChannelStore for Mortal<MemoryChannels> {
    async fn get(&self, id: &Cid) -> Result<Option<Kept>, StoreError> {
        self.0.get(id).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Commit, StoreError> {
        mortal!(self, true, self.0.commit(changes))
    }
}

/// The world outside: what was done to it, in order, each with the task that did it.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) done: Mutex<Vec<(String, TaskId)>>,
    /// How often something was asked for, by its name.
    pub(crate) asked: Mutex<HashMap<String, u32>>,
    /// What came of it, by its name, when it was done last.
    pub(crate) came: Mutex<HashMap<String, Outcome>>,
}

impl Outside {
    pub(crate) fn names(&self) -> Vec<String> {
        self.done.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn ask(&self, name: &str) -> u32 {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(name.to_owned()).or_default();
        *times += 1;
        *times
    }
}

/// Whether handlers of mutations can tell afterwards what they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Knows {
    /// Nobody can.
    #[default]
    Nothing,
    /// They can be asked.
    Probe,
    /// They take the id of the task for an idempotency key.
    Key,
}

/// How long tasks take: as many turns as this seed says for each time that something is asked for. Without one, all take one turn.
pub(crate) type Pace = Option<u64>;

fn turns(pace: Pace, name: &str, times: u32) -> u64 {
    let Some(seed) = pace else { return 1 };
    let mixed = name.bytes().fold(seed ^ u64::from(times), |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)
    });
    (mixed >> 40) % 24
}

/// Does what the arguments say, as a class of effect: `name` is what is done, `fails` how often that fails first (always, where it
/// is negative), `limit` how often a computation first hits a limit, `of` numbers that are added up.
#[derive(Debug)]
pub(crate) struct Doer {
    pub(crate) class: EffectClass,
    pub(crate) knows: Knows,
    pub(crate) pace: Pace,
    pub(crate) outside: Arc<Outside>,
}

fn integer(task: &Task, key: &str) -> i128 {
    match task.args().get(key) {
        Some(Ipld::Integer(number)) => *number,
        _ => 0,
    }
}

/// The fuel that a task may use: what its configuration says, 100 otherwise.
pub(crate) fn limit(config: &Config) -> u64 {
    match config.get("gas") {
        Some(Ipld::Integer(gas)) => u64::try_from(*gas).unwrap(),
        _ => 100,
    }
}

/// What a task that uses `fuel` comes to under its limit.
fn metered(completion: Completion, call: &Call) -> Completion {
    let (fuel, limit) = (u64::try_from(integer(call.task(), "fuel")).unwrap(), limit(call.config()));
    if fuel > limit {
        let failed = Completion::new(Failure::new("OutOfFuel", "more than it may").into());
        return Completion {
            meta: [(FUEL_BOUND.to_owned(), Ipld::Integer(limit.into()))].into(),
            repeatable: false,
            ..failed
        };
    }
    with_fuel(completion, call.task())
}

/// What it takes stands in the receipt, where the task says how much that is: whoever computes it again finds the same.
fn with_fuel(mut completion: Completion, task: &Task) -> Completion {
    let fuel = task.args().get("fuel").map(|fuel| (FUEL.to_owned(), fuel.clone()));
    completion.meta.extend(fuel);
    completion
}

fn name(task: &Task) -> String {
    match task.args().get("name") {
        Some(Ipld::String(name)) => name.clone(),
        _ => String::new(),
    }
}

fn compute(task: &Task) -> Completion {
    if let Some(answer) = task.args().get("answer") {
        return Completion::new(Outcome::Ok(answer.clone()));
    }
    if integer(task, "fails") < 0 {
        return Completion::new(Failure::new("Told", "to fail").into());
    }
    let Some(Ipld::List(items)) = task.args().get("of") else {
        return Completion::new(Outcome::Ok(Ipld::Integer(1)));
    };
    let number = |item: &Ipld| if let Ipld::Integer(number) = item { *number } else { 0 };
    Completion::new(Outcome::Ok(Ipld::Integer(items.iter().map(number).sum())))
}

#[async_trait]
impl Handler for Doer {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    fn is_idempotent(&self, _: &Command) -> bool {
        self.knows == Knows::Key
    }

    async fn probe(&self, call: &Call) -> Probe {
        let done = self.outside.done.lock().unwrap().iter().any(|(_, task)| task == call.id());
        match (self.knows, done) {
            (Knows::Probe, true) => Probe::Done(Box::new(compute(call.task()))),
            (Knows::Probe, false) => Probe::NotDone,
            _ => Probe::Unknown,
        }
    }

    fn most_fuel(&self, config: &Config) -> Option<u64> {
        Some(limit(config))
    }

    async fn handle(&self, call: &Call) -> Completion {
        metered(self.do_it(call).await, call)
    }

    fn reexecutor(&self) -> Option<&dyn Reexecutor> {
        (self.class == EffectClass::Deterministic).then_some(self as &dyn Reexecutor)
    }
}

impl Doer {
    async fn do_it(&self, call: &Call) -> Completion {
        let (task, name) = (call.task(), name(call.task()));
        assert!(!task.args().contains_key("panics"), "told to");
        let times = self.outside.ask(&name);
        for _ in 0..turns(self.pace, &name, times) {
            tokio::task::yield_now().await;
        }
        if self.class == EffectClass::Deterministic {
            let limited = i128::from(times) <= integer(task, "limit");
            let hit = || Completion::new(Failure::new("OutOfFuel", "it takes more").into());
            return if limited { Completion { repeatable: false, ..hit() } } else { compute(task) };
        }
        let fails = integer(task, "fails");
        if fails < 0 || i128::from(times) <= fails {
            return Completion::new(Failure::new("Unavailable", format!("{name} is not there")).into());
        }
        if self.class.is_mutation() {
            self.outside.came.lock().unwrap().insert(name.clone(), compute(task).outcome);
            let mut done = self.outside.done.lock().unwrap();
            if self.knows != Knows::Key || !done.iter().any(|(_, task)| task == call.id()) {
                done.push((name, *call.id()));
            }
        }
        compute(task)
    }
}

#[async_trait]
impl Reexecutor for Doer {
    async fn reexecute(&self, task: &Task) -> Completion {
        with_fuel(compute(task), task)
    }
}

pub(crate) struct World {
    pub(crate) node: Issuer,
    pub(crate) user: Issuer,
    pub(crate) outside: Arc<Outside>,
    pub(crate) waits: Arc<Waits>,
    pub(crate) blocks: Arc<MemoryBlocks>,
    pub(crate) receipts: Arc<MemoryReceipts>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) revocations: Arc<MemoryRevocations>,
    pub(crate) channels: Arc<MemoryChannels>,
    /// The channel that pays for runs; without one nobody is paid.
    pub(crate) channel: Option<Cid>,
    pub(crate) till: Till,
    pub(crate) engine: Engine,
    pub(crate) grants: Vec<Delegation>,
    pub(crate) entropy: Arc<Counter>,
    pub(crate) now: u64,
    pub(crate) trust: Trust,
    pub(crate) parallelism: usize,
    pub(crate) pace: Pace,
    /// Handlers beside those of [`COMMANDS`].
    pub(crate) handlers: Vec<(&'static str, Arc<dyn Handler>)>,
    pub(crate) vault: Option<Vault>,
    pub(crate) elsewhere: Option<Elsewhere>,
    /// The executors whose resources can be reached from here as well.
    pub(crate) beside: Vec<Did>,
    knows: Knows,
    requests: AtomicU64,
    lives: u64,
}

/// Signatures are computed once for all worlds: what is tried is what is done with them.
static KEYS: LazyLock<Arc<CachedKeys<DidKeys>>> = LazyLock::new(|| Arc::new(CachedKeys::new(DidKeys)));

static GRANTS: LazyLock<Vec<Delegation>> = LazyLock::new(|| grants(&PEOPLE[0], &PEOPLE[1]));

fn grants(node: &Issuer, user: &Issuer) -> Vec<Delegation> {
    let grant =
        |what: &str| Delegation::builder(user.did().clone(), Some(node.did().clone()), command(what)).sign(node);
    ["/ipvm/run", "/ask", "/pure", "/put", "/do"].map(|what| grant(what).unwrap()).into()
}

static PEOPLE: LazyLock<[Issuer; 2]> =
    LazyLock::new(|| [1, 2].map(|byte| Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))));

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

pub(crate) const COMMANDS: [(&str, EffectClass); 4] = [
    ("/ask", EffectClass::Query),
    ("/pure", EffectClass::Deterministic),
    ("/put", EffectClass::IdempotentWrite),
    ("/do", EffectClass::Mutable),
];

impl World {
    pub(crate) fn new(knows: Knows) -> Self {
        Self::of(1, knows)
    }

    /// That of another executor, for each number, where the same people ask.
    pub(crate) fn of(node: u8, knows: Knows) -> Self {
        let user = PEOPLE[1].clone();
        let (node, grants) = match node {
            1 => (PEOPLE[0].clone(), GRANTS.clone()),
            other => {
                let node = Issuer::ed25519(SigningKey::from_seed(&[other; 32]));
                (node.clone(), grants(&node, &user))
            }
        };
        let parts = parts(&node);
        let till = Till::new(Arc::new(MemoryChannels::default()), node.did().clone(), 0);
        let mut world = Self {
            node,
            user,
            outside: Arc::default(),
            waits: Arc::default(),
            blocks: Arc::default(),
            receipts: Arc::default(),
            journal: Arc::default(),
            revocations: Arc::default(),
            channels: Arc::default(),
            channel: None,
            till,
            engine: Engine::new(parts),
            grants,
            entropy: Arc::default(),
            now: 1_800_000_000,
            trust: Trust::Own,
            parallelism: 2,
            pace: None,
            handlers: Vec::new(),
            vault: None,
            elsewhere: None,
            beside: Vec::new(),
            knows,
            requests: AtomicU64::new(0),
            lives: 0,
        };
        world.open(&Crash::never());
        world
    }

    /// Another process takes over what is on the medium; it dies as `crash` says.
    pub(crate) fn open(&mut self, crash: &Arc<Crash>) {
        let mut router = Router::default();
        for (command, class) in COMMANDS {
            let doer = Doer { class, knows: self.knows, pace: self.pace, outside: self.outside.clone() };
            let doer: Arc<dyn Handler> = Arc::new(doer);
            router.insert(self.node.did().clone(), self::command(command), doer.clone());
            for other in self.beside.iter().filter(|_| class != EffectClass::Deterministic) {
                router.insert(other.clone(), self::command(command), doer.clone());
            }
        }
        for (command, handler) in &self.handlers {
            for owner in self.beside.iter().chain([self.node.did()]) {
                router.insert(owner.clone(), self::command(command), handler.clone());
            }
        }
        self.lives += 1;
        let channels = Arc::new(Mortal(self.channels.clone(), crash.clone()));
        self.till = Till::new(channels, self.node.did().clone(), self.lives);
        let parts = Parts {
            blocks: Arc::new(Mortal(self.blocks.clone(), crash.clone())),
            receipts: Arc::new(Mortal(self.receipts.clone(), crash.clone())),
            journal: Arc::new(Mortal(self.journal.clone(), crash.clone())),
            router,
            trust: self.trust.clone(),
            clock: Arc::new(FixedClock(Timestamp::from_secs(self.now).unwrap())),
            entropy: self.entropy.clone(),
            timer: self.waits.clone(),
            parallelism: self.parallelism,
            revocations: self.revocations.clone(),
            ..parts(&self.node)
        };
        let charging = self.channel.is_some().then(|| Charging::new(Arc::new(self.till.clone())));
        self.engine = Engine::with_options(
            parts,
            EngineOptions {
                charging,
                vault: self.vault.clone(),
                elsewhere: self.elsewhere.clone(),
                ..EngineOptions::default()
            },
        );
    }

    /// Opens a channel of the user with this budget, all of which is signed for up to `signed`.
    pub(crate) async fn open_channel(&self, unit: &str, budget: u64, signed: u64, nonce: u8) -> (Delegation, Purse) {
        let (holder, until) = (self.user.did().clone(), Timestamp::from_secs(self.now + 10_000).unwrap());
        let offer = Terms::offer(self.node.did(), holder, unit.parse().unwrap(), budget, until).unwrap();
        let chain = [offer.nonce(vec![nonce; 12]).sign(&self.node).unwrap()];
        let terms = Terms::read(&chain).unwrap();
        let open = Open::sign(&self.user, &terms, 100).unwrap();
        let now = Timestamp::from_secs(self.now).unwrap();
        self.till.open(open.bytes(), &chain, &Context::new(now, &DidKeys)).await.unwrap();
        self.blocks.put(chain[0].cid(), chain[0].bytes().to_vec().into()).await.unwrap();
        let mut purse = Purse::new(terms);
        self.sign_for(&mut purse, signed).await;
        let [chain] = chain;
        (chain, purse)
    }

    /// The user signs for so much more.
    pub(crate) async fn sign_for(&self, purse: &mut Purse, more: u64) {
        let draft = purse.reserve(TaskId::new(ucan_core::block::raw_cid(b"runs")), more).unwrap();
        let voucher = draft.sign(&self.user, purse.terms()).unwrap();
        let now = Timestamp::from_secs(self.now).unwrap();
        self.till.draw(voucher.bytes(), &DidKeys, now).await.unwrap();
    }

    pub(crate) async fn request(&self, json: &str) -> RunRequest {
        self.ask(json).await.0
    }

    /// The request to run a workflow, which is put where it is found.
    pub(crate) async fn ask(&self, json: &str) -> (RunRequest, Workflow) {
        let bindings = Bindings::new(self.node.did().clone(), self.user.did().clone());
        let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
        let workflow = document.bind(&bindings).unwrap();
        self.blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
        let mut args = RunRequest::args(&workflow, &self.grants, &[]);
        if let Some(channel) = self.channel {
            args = RunRequest::paid_by(args, channel);
        }
        let invocation = Invocation::builder(self.node.did().clone(), command("/ipvm/run"), args)
            .proofs(vec![*self.grants[0].cid()])
            .nonce(self.requests.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec())
            .expiration(Timestamp::from_secs(self.now + 300).unwrap())
            .sign(&self.user)
            .unwrap();
        (RunRequest { invocation, delegations: self.grants.clone() }, workflow)
    }

    pub(crate) async fn run(&self, json: &str) -> RunReport {
        self.engine.run(self.request(json).await, &|_| {}).await.unwrap()
    }

    /// What the receipt of a run states, as JSON.
    pub(crate) async fn stated(&self, report: &RunReport) -> Ipld {
        let receipt = ReceiptStore::get(&*self.receipts, &report.receipt).await.unwrap().unwrap();
        let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
        value.clone()
    }
}

fn parts(node: &Issuer) -> Parts {
    Parts {
        executor: node.clone(),
        blocks: Arc::new(MemoryBlocks::default()),
        receipts: Arc::new(MemoryReceipts::default()),
        revocations: Arc::new(MemoryRevocations::default()),
        journal: Arc::new(MemoryJournal::default()),
        router: Router::default(),
        trust: Trust::Own,
        keys: KEYS.clone(),
        clock: Arc::new(FixedClock(Timestamp::EPOCH)),
        entropy: Arc::new(Counter::default()),
        timer: Arc::new(Waits::default()),
        parallelism: 2,
    }
}

pub(crate) fn step<'a>(report: &'a RunReport, label: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.label == label).unwrap()
}

pub(crate) fn field<'a>(value: &'a Ipld, path: &str) -> &'a Ipld {
    path.split('.').fold(value, |value, key| match value {
        Ipld::Map(map) => map.get(key).unwrap_or_else(|| panic!("no {key:?} in {value:?}")),
        other => panic!("{other:?}"),
    })
}

pub(crate) fn texts(value: &Ipld) -> Vec<String> {
    let Ipld::List(items) = value else { panic!("{value:?}") };
    let text = |item: &Ipld| if let Ipld::String(text) = item { text.clone() } else { panic!("{item:?}") };
    items.iter().map(text).collect()
}

pub(crate) fn by_label(reports: &[StepReport]) -> BTreeMap<&str, &Outcome> {
    reports.iter().map(|step| (step.label.as_str(), &step.outcome)).collect()
}

/// The request that a run was started by.
pub(crate) async fn request_of(world: &World, run: &TaskId) -> RunRequest {
    let request = world.journal.entries().into_iter().find_map(|entry| match entry {
        Entry::Started { run: started, request, .. } if started == *run => Some(request),
        _ => None,
    });
    let token = world.blocks.get(&request.unwrap()).await.unwrap().unwrap();
    RunRequest { invocation: Invocation::decode(token.to_vec()).unwrap(), delegations: world.grants.clone() }
}
