//! The engine, driven through all that can happen to small workflows: all graphs of a few tasks of all kinds, every order in which tasks
//! end, success and failure of each, a crash after every write and every effect, cancelling at every moment, and whatever handlers
//! know afterwards. What is on the medium is the state; from each state that is new, all lives of a process are tried.
//!
//! `IPVM_STATES` is how many tasks the graphs have at most, 2 unless it is set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::{COMMANDS, Knows, World, texts};
use ipvm_workflow::{
    Control, Engine, Entry, Journal, OpenRun, Parts, Paused, Resolution, RunError, RunOptions, RunRequest,
};
use tokio::sync::oneshot;
use ucan_core::{Cid, Command, Ipld, StoreError};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Cursor, EffectClass, Failure, Filing, Handler, InstructionId, Listing,
    Outcome, Page, Probe, Receipt, ReceiptId, ReceiptStore, Router, TaskId,
};

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pure,
    PureFails,
    Ask,
    Put,
    Do,
    DoUndo,
}

const KINDS: [Kind; 6] = [Kind::Pure, Kind::PureFails, Kind::Ask, Kind::Put, Kind::Do, Kind::DoUndo];

impl Kind {
    fn command(self) -> &'static str {
        match self {
            Self::Pure | Self::PureFails => "/pure",
            Self::Ask => "/ask",
            Self::Put => "/put",
            Self::Do | Self::DoUndo => "/do",
        }
    }

    fn mutates(self) -> bool {
        matches!(self, Self::Put | Self::Do | Self::DoUndo)
    }
}

/// A workflow, and what handlers know.
#[derive(Clone, Debug)]
struct Case {
    kinds: Vec<Kind>,
    awaits: Vec<Vec<usize>>,
    knows: Knows,
}

impl Case {
    fn json(&self) -> String {
        let mut tasks = Vec::new();
        for (at, kind) in self.kinds.iter().enumerate() {
            let of: Vec<String> = self.awaits[at].iter().map(|at| format!(r#"{{"await/ok": "t{at}"}}"#)).collect();
            let undo = if *kind == Kind::DoUndo { format!(r#", "undo": "u{at}""#) } else { String::new() };
            let fails = if *kind == Kind::PureFails { r#", "fails": true"# } else { "" };
            let args = format!(r#"{{"name": "t{at}", "of": [{}]{fails}}}"#, of.join(", "));
            tasks.push(format!(r#""t{at}": {{"cmd": "{}", "args": {args}{undo}}}"#, kind.command()));
            if *kind == Kind::DoUndo {
                tasks.push(format!(r#""u{at}": {{"cmd": "/do", "args": {{"name": "u{at}"}}}}"#));
            }
        }
        format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
    }

    /// All workflows of so many tasks.
    fn all(count: usize) -> impl Iterator<Item = Self> {
        let edges: Vec<(usize, usize)> = (0..count).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
        let graphs = KINDS.len().pow(count as u32) << edges.len();
        (0..graphs * 3).filter_map(move |number| {
            let knows = [Knows::Nothing, Knows::Probe, Knows::Key][number % 3];
            let (set, mut rest) = ((number / 3) % (1 << edges.len()), (number / 3) >> edges.len());
            let mut kinds = Vec::new();
            for _ in 0..count {
                kinds.push(KINDS[rest % KINDS.len()]);
                rest /= KINDS.len();
            }
            let mut awaits = vec![Vec::new(); count];
            for (_, (from, to)) in edges.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1) {
                awaits[*to].push(*from);
            }
            // What handlers know is of interest where there is something to know.
            let knows_something = kinds.iter().any(|kind| matches!(kind, Kind::Do | Kind::DoUndo));
            let lies_well =
                (0..count).all(|to| kinds[to].mutates() || awaits[to].iter().all(|at| !kinds[*at].mutates()));
            (lies_well && (knows_something || knows == Knows::Nothing)).then_some(Self { kinds, awaits, knows })
        })
    }
}

/// A receipt, and under what it is filed.
#[derive(Clone, Debug)]
struct Filed {
    receipt: Receipt,
    tasks: Vec<TaskId>,
    memo: Option<InstructionId>,
    /// How many entries the journal had by then.
    after: usize,
}

/// What is on the medium, and what was done to the world.
#[derive(Clone, Debug, Default)]
struct State {
    blocks: HashMap<Cid, Bytes>,
    receipts: Vec<Filed>,
    entries: Vec<Entry>,
    done: Vec<String>,
}

/// What of a state makes a difference to who goes on from it.
type Key = (Vec<(TaskId, Option<String>)>, BTreeSet<TaskId>, [bool; 3], Vec<String>, BTreeMap<TaskId, bool>);

impl State {
    fn key(&self, found: &BTreeMap<TaskId, Resolution>) -> Key {
        let answers = self.receipts.iter().filter(|filed| !filed.tasks.is_empty());
        let mut receipts: Vec<_> = answers
            .map(|filed| (*filed.receipt.ran(), filed.receipt.outcome().failure_name().map(str::to_owned)))
            .collect();
        receipts.sort();
        receipts.dedup();
        let intended = self.entries.iter().filter_map(|entry| match entry {
            Entry::Intent { task, .. } => Some(*task),
            _ => None,
        });
        let has = |is: fn(&Entry) -> bool| self.entries.iter().any(is);
        let flags = [
            has(|entry| matches!(entry, Entry::Started { .. })),
            has(|entry| matches!(entry, Entry::Cancelled { .. })),
            has(|entry| matches!(entry, Entry::Finished { .. })),
        ];
        // An idempotent write may be done again and again.
        let mut done: Vec<String> = Vec::new();
        for name in &self.done {
            if !done.contains(name) {
                done.push(name.clone());
            }
        }
        let found = found.iter().map(|(task, found)| (*task, matches!(found, Resolution::Done(_)))).collect();
        (receipts, intended.collect(), flags, done, found)
    }
}

/// Something that a task waits for: how it ends.
struct Waiting {
    may_fail: bool,
    ends: oneshot::Sender<bool>,
}

/// One life of a process, and the choices that are made in it.
#[derive(Default)]
struct Life {
    state: State,
    /// All that was on the medium during it.
    seen: Vec<State>,
    waiting: Vec<Waiting>,
    /// Each choice and how many there were; those beyond `made` are made as they come.
    path: Vec<(usize, usize)>,
    made: usize,
    control: Control,
    cancelled: bool,
}

impl Life {
    fn changed(&mut self) {
        self.seen.push(self.state.clone());
    }

    fn choose(&mut self, choices: usize) -> usize {
        if self.made == self.path.len() {
            self.path.push((0, choices));
        }
        let (chosen, of) = self.path[self.made];
        assert_eq!(of, choices, "a life goes the same way when the same is chosen");
        self.made += 1;
        chosen
    }

    /// Nothing goes on by itself: something ends, or somebody cancels.
    fn go_on(&mut self) {
        assert!(!self.waiting.is_empty(), "nothing goes on, and nothing is waited for");
        let mut choices: Vec<(usize, bool)> = Vec::new();
        for (at, waiting) in self.waiting.iter().enumerate() {
            choices.push((at, true));
            if waiting.may_fail {
                choices.push((at, false));
            }
        }
        let mut chosen = self.choose(choices.len() + usize::from(!self.cancelled));
        if chosen == choices.len() {
            self.cancelled = true;
            self.control.cancel();
            // Nobody may be listening: something has to end all the same.
            chosen = self.choose(choices.len());
        }
        let (at, succeeds) = choices[chosen];
        let waiting = self.waiting.remove(at);
        let _gone = waiting.ends.send(succeeds);
    }

    /// The next path in which something else is chosen; none where all were tried.
    fn next(mut path: Vec<(usize, usize)>) -> Option<Vec<(usize, usize)>> {
        while let Some((chosen, of)) = path.pop() {
            if chosen + 1 < of {
                path.push((chosen + 1, of));
                return Some(path);
            }
        }
        None
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Life>>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    fn with<T>(&self, with: impl FnOnce(&mut Life) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl BlockStore for Shared {
    async fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok(self.with(|life| life.state.blocks.get(cid).cloned()))
    }

    async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError> {
        self.with(|life| {
            if life.state.blocks.insert(*cid, bytes).is_none() {
                life.changed();
            }
        });
        Ok(())
    }
}

#[async_trait]
impl ReceiptStore for Shared {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        self.with(|life| {
            let (tasks, after) = (filing.tasks.clone(), life.state.entries.len());
            life.state.receipts.push(Filed { receipt: receipt.clone(), tasks, memo: filing.memo, after });
            life.changed();
        });
        Ok(())
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        let found = |life: &mut Life| life.state.receipts.iter().find(|filed| filed.receipt.id() == *id).cloned();
        Ok(self.with(found).map(|filed| filed.receipt))
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        Ok(self.with(|life| {
            let filed = life.state.receipts.iter().filter(|filed| filed.tasks.contains(id));
            filed.map(|filed| filed.receipt.clone()).collect()
        }))
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        Ok(self.with(|life| {
            let filed = life.state.receipts.iter().filter(|filed| filed.memo == Some(*id));
            filed.map(|filed| filed.receipt.clone()).collect()
        }))
    }

    async fn unlist(&self, _: &ReceiptId) -> Result<(), StoreError> {
        panic!("nobody forgets anything here")
    }

    async fn list(&self, listing: &Listing, _: Cursor, _: usize) -> Result<Page, StoreError> {
        let receipts = match listing {
            Listing::Task(task) => self.by_task(task).await?,
            Listing::Instruction(instruction) => self.by_instruction(instruction).await?,
            _ => Vec::new(),
        };
        Ok(Page { receipts: receipts.iter().map(Receipt::id).collect(), next: None })
    }
}

#[async_trait]
impl Journal for Shared {
    async fn append(&self, entry: &Entry) -> Result<(), StoreError> {
        self.with(|life| {
            life.state.entries.push(entry.clone());
            life.changed();
        });
        Ok(())
    }

    async fn intended(&self, task: &TaskId) -> Result<bool, StoreError> {
        let is = |entry: &Entry| matches!(entry, Entry::Intent { task: intended, .. } if intended == task);
        Ok(self.with(|life| life.state.entries.iter().any(is)))
    }

    async fn sent(&self, _: &TaskId) -> Result<Option<Cid>, StoreError> {
        Ok(None)
    }

    async fn unfinished(&self) -> Result<Vec<TaskId>, StoreError> {
        let run = self.with(|life| life.state.entries.first().map(|entry| *entry.run()));
        Ok(match run {
            Some(run) if self.open(&run).await?.is_some() => vec![run],
            _ => Vec::new(),
        })
    }

    async fn open(&self, _: &TaskId) -> Result<Option<OpenRun>, StoreError> {
        Ok(self.with(|life| {
            let mut open: Option<OpenRun> = None;
            for entry in &life.state.entries {
                match entry {
                    Entry::Started { workflow, request, at, .. } => {
                        open = Some(OpenRun {
                            workflow: *workflow,
                            request: *request,
                            handover: None,
                            cancelled: false,
                            at: *at,
                        });
                    }
                    Entry::Cancelled { .. } => open = open.map(|open| OpenRun { cancelled: true, ..open }),
                    Entry::Finished { .. } => return None,
                    _ => {}
                }
            }
            open
        }))
    }

    async fn handed_over(&self, _: &TaskId) -> Result<Option<Cid>, StoreError> {
        Ok(None)
    }
}

/// Does what is chosen.
#[derive(Debug)]
struct Chosen {
    class: EffectClass,
    knows: Knows,
    life: Shared,
}

fn name(call: &Call) -> String {
    match call.task().args().get("name") {
        Some(Ipld::String(name)) => name.clone(),
        other => panic!("{other:?}"),
    }
}

#[async_trait]
impl Handler for Chosen {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, _: &ucan_invocation::Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    fn is_idempotent(&self, _: &Command) -> bool {
        self.knows == Knows::Key
    }

    async fn probe(&self, call: &Call) -> Probe {
        let done = self.life.with(|life| life.state.done.contains(&name(call)));
        match (self.knows, done) {
            (Knows::Probe, true) => Probe::Done(Box::new(Completion::new(Outcome::Ok(Ipld::Integer(1))))),
            (Knows::Probe, false) => Probe::NotDone,
            _ => Probe::Unknown,
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        let name = name(call);
        let (ends, ended) = oneshot::channel();
        self.life.with(|life| {
            // What has a key and was done answers what it answered then.
            let answers = self.knows == Knows::Key && life.state.done.contains(&name);
            let may_fail = self.class != EffectClass::Deterministic && !name.starts_with('u') && !answers;
            life.waiting.push(Waiting { may_fail, ends });
        });
        // Who is gone fails: the process is.
        let succeeds = ended.await.unwrap_or(false) && !call.task().args().contains_key("fails");
        if !succeeds {
            return Completion::new(Failure::new("Told", "to fail").into());
        }
        if self.class.is_mutation() {
            self.life.with(|life| {
                if self.knows != Knows::Key || !life.state.done.contains(&name) {
                    life.state.done.push(name);
                    life.changed();
                }
            });
        }
        Completion::new(Outcome::Ok(Ipld::Integer(1)))
    }
}

/// How a process goes about what it finds.
#[derive(Clone, Debug)]
enum Way {
    Resume(BTreeMap<TaskId, Resolution>),
    Cancel,
}

/// How many lives were lived, and how many states there are.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    states: usize,
    lives: usize,
}

struct Explorer<'a> {
    case: &'a Case,
    parts: Parts,
    request: RunRequest,
    known: HashSet<(Key, bool)>,
    waiting: VecDeque<(State, Way)>,
    lives: usize,
}

impl Explorer<'_> {
    /// Whoever finds this state goes on, or cancels.
    fn reach(&mut self, state: State, found: BTreeMap<TaskId, Resolution>) {
        check_state(self.case, &state);
        let key = state.key(&found);
        let begun = key.2[0] && !key.2[2];
        if begun && self.known.insert((key.clone(), true)) {
            self.waiting.push_back((state.clone(), Way::Cancel));
        }
        if self.known.insert((key, false)) {
            self.waiting.push_back((state, Way::Resume(found)));
        }
    }

    /// All lives that begin with this state.
    fn live(&mut self, state: &State, way: &Way) {
        let mut path = Some(Vec::new());
        while let Some(chosen) = path.take() {
            self.lives += 1;
            let control = Control::default();
            let life = Life { state: state.clone(), path: chosen, control: control.clone(), ..Life::default() };
            let shared = Shared(Arc::new(Mutex::new(life)));
            let idle = shared.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .on_thread_park(move || idle.with(Life::go_on))
                .build()
                .unwrap();
            let mut router = Router::default();
            for (command, class) in COMMANDS {
                let handler = Chosen { class, knows: self.case.knows, life: shared.clone() };
                router.insert(self.parts.executor.did().clone(), command.parse().unwrap(), Arc::new(handler));
            }
            let engine = Engine::new(Parts {
                blocks: Arc::new(shared.clone()),
                receipts: Arc::new(shared.clone()),
                journal: Arc::new(shared.clone()),
                router,
                ..self.parts.clone()
            });
            let resolutions = match way {
                Way::Resume(found) => found.clone(),
                Way::Cancel => BTreeMap::new(),
            };
            let options = RunOptions { control, resolutions, ..RunOptions::default() };
            let ended = runtime.block_on(async {
                let run = self.request.invocation.task().id().unwrap();
                match way {
                    Way::Resume(_) => engine.run_with(self.request.clone(), &options, &|_| {}).await,
                    Way::Cancel => engine.cancel(&run, &options, &|_| {}).await,
                }
            });
            drop(runtime);
            let (end, seen, went) = shared.with(|life| {
                assert_eq!(life.made, life.path.len(), "all of the path was gone");
                let seen = std::mem::take(&mut life.seen);
                (life.state.clone(), seen, std::mem::take(&mut life.path))
            });
            for state in seen {
                self.reach(state, BTreeMap::new());
            }
            match ended {
                Ok(report) => check_end(self.case, &end, &report.receipt),
                Err(RunError::AlreadyRun { receipt }) => check_end(self.case, &end, &receipt),
                Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                    assert_eq!(self.case.knows, Knows::Nothing, "somebody knows of {label}: {:?}", self.case);
                    let found = match end.done.contains(&label) {
                        true => Resolution::Done(Outcome::Ok(Ipld::Integer(1))),
                        false => Resolution::NotDone,
                    };
                    let mut resolutions = options.resolutions.clone();
                    assert!(resolutions.insert(task, found).is_none(), "it was found out of {label}");
                    self.reach(end, resolutions);
                }
                Err(error) => panic!("{:?}: {error:?}", self.case),
            }
            path = Life::next(went);
        }
    }
}

/// What must be true at any moment.
fn check_state(case: &Case, state: &State) {
    for (at, kind) in case.kinds.iter().enumerate().filter(|(_, kind)| kind.mutates()) {
        let times = |name: &str| state.done.iter().filter(|done| *done == name).count();
        assert!(*kind == Kind::Put || times(&format!("t{at}")) <= 1, "{case:?}: {:?}", state.done);
        assert!(times(&format!("u{at}")) <= 1, "{case:?}: {:?}", state.done);
    }
    // Effects come after their intents, and are not said to be had before they are.
    let distinct: BTreeSet<&String> = state.done.iter().collect();
    let intents = state.entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
    assert!(distinct.len() <= intents, "{case:?}: {state:?}");
    let fails = case.kinds.contains(&Kind::PureFails);
    assert!(!fails || state.done.is_empty(), "{case:?}: mutations after pure work failed: {:?}", state.done);
}

/// What must be true of a run that is over.
fn check_end(case: &Case, state: &State, receipt: &ReceiptId) {
    let filed = state.receipts.iter().find(|filed| filed.receipt.id() == *receipt).unwrap();
    let stated = &filed.receipt;
    let finished = state.entries.iter().filter(|entry| matches!(entry, Entry::Finished { .. })).count();
    assert_eq!(finished, 1, "{case:?}");
    let place = |name: String| state.done.iter().position(|done| *done == name);
    let mut answered: HashMap<TaskId, usize> = HashMap::new();
    for filed in &state.receipts {
        for task in &filed.tasks {
            *answered.entry(*task).or_default() += 1;
        }
    }
    assert!(answered.values().all(|count| *count == 1), "{case:?}: a task has one receipt");
    // Who cancels what has its receipt comes too late.
    let was_cancelled = state.entries[..filed.after].iter().any(|entry| matches!(entry, Entry::Cancelled { .. }));
    if stated.outcome().is_ok() {
        assert!(!was_cancelled && !case.kinds.contains(&Kind::PureFails), "{case:?}");
    } else {
        // What fails and is undone in one life says that it failed.
        assert!(was_cancelled || stated.outcome().failure_name() == Some("TaskFailed"), "{case:?}: {stated:?}");
    }
    for (at, kind) in case.kinds.iter().enumerate().filter(|(_, kind)| kind.mutates()) {
        let (done, undone) = (place(format!("t{at}")), place(format!("u{at}")));
        if stated.outcome().is_ok() {
            assert!(done.is_some() && undone.is_none(), "{case:?}: {:?}", state.done);
            continue;
        }
        assert_eq!(undone.is_some(), *kind == Kind::DoUndo && done.is_some(), "{case:?}: {:?}", state.done);
        for awaited in &case.awaits[at] {
            if let (Some(sooner), Some(later)) = (undone, place(format!("u{awaited}"))) {
                assert!(sooner < later, "{case:?}: what came last is undone first: {:?}", state.done);
            }
        }
        // What was done is not said to be not started.
        let (Outcome::Error(Ipld::Map(told)) | Outcome::Ok(Ipld::Map(told))) = stated.outcome() else {
            panic!("{stated:?}")
        };
        let not_started = told.get("notStarted").map(texts).unwrap_or_default();
        assert!(done.is_none() || !not_started.contains(&format!("t{at}")), "{case:?}: t{at} was done: {told:?}");
    }
}

fn explore(case: &Case, tally: &mut Tally) {
    let world = World::new(case.knows);
    let asked = pollster::block_on(world.ask(&case.json()));
    let (request, workflow) = asked;
    let mut parts = world.engine.parts().clone();
    parts.parallelism = case.kinds.len();
    let mut explorer = Explorer { case, parts, request, known: HashSet::new(), waiting: VecDeque::new(), lives: 0 };
    let mut state = State::default();
    state.blocks.insert(*workflow.cid(), workflow.bytes().to_vec().into());
    explorer.reach(state, BTreeMap::new());
    while let Some((state, way)) = explorer.waiting.pop_front() {
        explorer.live(&state, &way);
    }
    tally.cases += 1;
    tally.states += explorer.known.len();
    tally.lives += explorer.lives;
}

#[test]
fn all_that_can_happen_to_small_workflows_is_survived() {
    let most = std::env::var("IPVM_STATES").ok().and_then(|number| number.parse().ok()).unwrap_or(2);
    let cases: Vec<Case> = (1..=most).flat_map(Case::all).collect();
    let (next, tally) = (std::sync::atomic::AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut own = Tally::default();
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    explore(case, &mut own);
                }
                let mut tally = tally.lock().unwrap();
                tally.cases += own.cases;
                tally.states += own.states;
                tally.lives += own.lives;
            });
        }
    });
    let Tally { cases: explored, states, lives } = tally.into_inner().unwrap();
    println!("{explored} workflows of up to {most} tasks: {states} states, {lives} lives");
    assert_eq!(explored, cases.len());
    assert!(states > explored * 10, "only {states} states");
}
