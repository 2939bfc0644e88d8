use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ipvm_files::{
    APPEND_COMMAND, AppendHandler, Folder, FolderError, READ_COMMAND, ReadHandler, WRITE_COMMAND, WriteHandler,
};
use ipvm_fjall::{FjallStore, OpenError};
use ipvm_task::{Compat, RuntimeError, WASM_RUN_COMMAND, WasmHandler, WasmtimeOptions, WasmtimeRuntime};
use ipvm_workflow::{
    Ask, AskError, BindError, Bindings, Charging, Document, Elsewhere, Engine, EngineOptions, Entropy, Event, Parts,
    Plan, RUN_COMMAND, Refuted, RunError, RunOptions, RunReport, RunRequest, SCHEDULE_COMMAND, Schedule, ScheduleError,
    Scheduled, Scheduler, Timing, Trust, Unauthorized, Workflow,
};
use ucan_chan::Till;
use ucan_core::{
    CachedKeys, Cid, Clock, Command, CommandError, Context, Delegation, Did, DidKeys, Ipld, NoChain, Policy,
    PolicyError, StoreError, SystemClock,
};
use ucan_invocation::{BlockStore, Handler, Invocation, Router, TokioTimer};

use crate::{GET_COMMAND, SecretHandler, Secrets, State, StateError, wishes};

/// For how many seconds a request to run is accepted after it was signed.
const REQUEST_LIFETIME: u64 = 300;

/// How often is looked for what other processes wish.
const LOOK: Duration = Duration::from_millis(500);

/// The alias under which documents name the owner of the output folder.
pub const OUTPUT: &str = "output";

/// The alias under which documents name the owner of the secrets: the same principal.
pub const VAULT: &str = "vault";

/// An IPVM node of the default parts: keys in a folder, the embedded store, wasmtime, and files as effects.
///
/// It is both sides of a run: the executor, and the user who asks for it with the authority in the state folder.
#[derive(Debug)]
pub struct Node {
    state: State,
    store: Arc<FjallStore>,
    engine: Engine,
    till: Till,
    output: PathBuf,
    /// The names of those that are lent.
    secrets: BTreeSet<String>,
}

/// Where a node keeps what it needs, and which guests it takes.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The state folder.
    pub state: PathBuf,
    /// The folder in which results are written; `output` in the state folder, unless set.
    pub output: Option<PathBuf>,
    /// Whose guests are run on their own terms, beside those that keep to ours; nobody's, unless set. What is computed so is no
    /// answer for anybody who asks without it, and the other way round.
    pub compat: Option<Compat>,
    /// Whose receipts are reused beside the node's own, unless they are in its quarantine; nobody's, unless set.
    pub trusted: BTreeSet<Did>,
    /// The owners of output folders of other nodes, whose runs were handed over to this one: what is asked of theirs is done in this
    /// node's output folder. Nobody's, unless set.
    pub output_for: BTreeSet<Did>,
    /// How tasks are had done that workflows address to other executors; such workflows are refused, unless set.
    pub elsewhere: Option<Elsewhere>,
    /// The names of the secrets that workflows may use that this node is asked for as the user; none, unless set.
    pub secrets: BTreeSet<String>,
}

impl NodeOptions {
    /// A node in this state folder, everything else as it is unless set.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>) -> Self {
        let (trusted, output_for, secrets) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { state: state.into(), output: None, compat: None, trusted, output_for, elsewhere: None, secrets }
    }
}

/// Why a node cannot be opened, or does not take a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The state folder is at fault.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The output folder cannot be used.
    #[error(transparent)]
    Output(#[from] FolderError),
    /// The Wasm runtime cannot be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The document cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The user may not ask for runs.
    #[error("the user may not run workflows here: {error}\n{}", advice(.folder))]
    MayNotRun {
        /// What is missing.
        error: Box<NoChain>,
        /// Where delegations are looked for.
        folder: PathBuf,
    },
    /// The user may not have some of the tasks done.
    #[error("{error}\n{}", advice(.folder))]
    NoAuthority {
        /// What is missing; always [`RunError::NoAuthority`].
        error: RunError,
        /// Where delegations are looked for.
        folder: PathBuf,
    },
    /// The workflow uses secrets that it is not lent.
    #[error(
        "{error}\nNo workflow is lent a secret unless its name is given: --secret NAME, for each that it may use, and may hand on to all that it does."
    )]
    NotLent {
        /// What is missing; always [`RunError::NoAuthority`].
        error: RunError,
    },
    /// The run was refused, or given up.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A request could not be made.
    #[error("the request to run could not be made: {0}")]
    Ask(AskError),
    /// A schedule was refused, or could not be kept.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The secrets that are named are too many.
    #[error("the secrets cannot be lent: {0}")]
    Policy(#[from] PolicyError),
    /// A command is malformed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn advice(folder: &Path) -> String {
    format!(
        "The user's delegations are the files in {}; one that was deleted is not made again. \
         Put it back, or ask whoever controls the resource for another.",
        folder.display()
    )
}

/// Random bytes of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key or nonce is safe: there is nothing to go on with"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// A number that is higher each time a node is opened: the time, in microseconds.
fn epoch() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).min(ucan_chan::MAX)
}

impl Node {
    /// Opens the node, setting up what is not there yet.
    ///
    /// # Errors
    /// [`NodeError`] says which part is at fault.
    pub fn open(options: &NodeOptions) -> Result<Self, NodeError> {
        let state = State::open(&options.state, &mut |buffer| SystemEntropy.fill(buffer))?;
        let store = Arc::new(FjallStore::open(&state.store_folder())?);
        let output = options.output.clone().unwrap_or_else(|| state.output_folder());
        let (owner, folder) = (state.owner.did(), Folder::open(&output)?);
        let artifacts = state.artifacts(&mut |buffer| SystemEntropy.fill(buffer))?;
        let machine = WasmtimeOptions { compat: options.compat, ..WasmtimeOptions::default() };
        let runtime = WasmtimeRuntime::new(&machine)?.with_artifacts(artifacts);
        let wasm = WasmHandler::new(Arc::new(runtime), store.clone());
        let mut router = Router::default();
        for owner in options.output_for.iter().chain([owner]) {
            let (own, folder) = (owner.clone(), folder.clone());
            let files: [(&str, Arc<dyn Handler>); 3] = [
                (WRITE_COMMAND, Arc::new(WriteHandler::new(own.clone(), folder.clone()))),
                (READ_COMMAND, Arc::new(ReadHandler::new(own.clone(), folder.clone()))),
                (APPEND_COMMAND, Arc::new(AppendHandler::new(own, folder))),
            ];
            for (command, handler) in files {
                router.insert(owner.clone(), Command::parse(command)?, handler);
            }
        }
        let secrets = Secrets::of(&state)?;
        let vault = secrets.vault().clone();
        router.insert(
            owner.clone(),
            Command::parse(GET_COMMAND)?,
            Arc::new(SecretHandler::new(owner.clone(), secrets)),
        );
        router.insert(state.node.did().clone(), Command::parse(WASM_RUN_COMMAND)?, Arc::new(wasm));
        let quarantine = state.quarantine()?;
        let trust = match options.trusted.is_empty() {
            true => Trust::Own,
            false => Trust::Executors(options.trusted.clone())
                .without(&|did| quarantine.iter().any(|signer| signer.same_principal(did))),
        };
        let till = Till::new(store.clone(), state.node.did().clone(), epoch());
        // Whoever owns the node need not pay itself, and can, to see what things cost.
        let charging = Charging::new(Arc::new(till.clone())).exempt([state.user.did().clone()]);
        let parts = Parts {
            executor: state.node.clone(),
            blocks: store.clone(),
            receipts: store.clone(),
            revocations: store.clone(),
            journal: store.clone(),
            router,
            trust,
            keys: Arc::new(CachedKeys::new(DidKeys)),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            timer: Arc::new(TokioTimer),
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
        };
        let engine_options = EngineOptions {
            charging: Some(charging),
            vault: Some(vault),
            elsewhere: options.elsewhere.clone(),
            ..EngineOptions::default()
        };
        let engine = Engine::with_options(parts, engine_options);
        Ok(Self { state, store, engine, till, output, secrets: options.secrets.clone() })
    }

    /// Waits for what [`Engine::sample`] has computed again, and keeps whom that put into quarantine there for when the node is
    /// opened again.
    ///
    /// # Errors
    /// [`StateError`] where that cannot be written.
    pub async fn checked(&self) -> Result<Vec<Refuted>, StateError> {
        let refuted = self.engine.checked().await;
        for signer in self.engine.in_quarantine() {
            self.state.put_in_quarantine(&signer)?;
        }
        Ok(refuted)
    }

    /// Does what other processes [wish](crate::Wish) of the runs that are under way here, as long as it is awaited: it looks twice a
    /// second, and never comes back. What it cannot read is not heeded.
    pub async fn heed_wishes(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            wishes::heed(self.state.folder(), &|run| self.engine.control(run));
        }
    }

    /// The engine, with which a host can do all that the node does not do for it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The store of blocks, receipts and the journal.
    #[must_use]
    pub fn store(&self) -> &Arc<FjallStore> {
        &self.store
    }

    /// The channels by which others pay this node.
    #[must_use]
    pub fn till(&self) -> &Till {
        &self.till
    }

    /// The keys and delegations.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The folder in which results are written.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Keeps a block, such as a component that a workflow links to.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    pub async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(cid, bytes).await
    }

    /// Binds `document`, asks for its run as the user, and runs it. `subjects` are aliases beyond `executor`,
    /// `invoker` and `output`.
    ///
    /// # Errors
    /// [`NodeError`] where the run is refused before anything starts, or a store fails under way.
    pub async fn run(
        &self,
        document: &Document,
        inputs: BTreeMap<String, Ipld>,
        subjects: BTreeMap<String, Did>,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, NodeError> {
        self.run_with(document, inputs, subjects, &RunOptions::default(), observe).await
    }

    /// The same, as `options` say.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub async fn run_with(
        &self,
        document: &Document,
        inputs: BTreeMap<String, Ipld>,
        subjects: BTreeMap<String, Did>,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, NodeError> {
        let request = self.request(&self.bind(document, inputs, subjects).await?, options.channel)?;
        self.engine.run_with(request, options, observe).await.map_err(|error| self.explain(error))
    }

    /// Asks for the run of a workflow that is bound, as the user, and runs it.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub async fn run_workflow(
        &self,
        workflow: &Workflow,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, NodeError> {
        self.store.put(workflow.cid(), workflow.bytes().to_vec().into()).await?;
        self.engine
            .run_with(self.request(workflow, options.channel)?, options, observe)
            .await
            .map_err(|error| self.explain(error))
    }

    /// Checks all that is checked before a run starts, and gives its plan.
    ///
    /// # Errors
    /// [`NodeError`] where the run would be refused.
    pub async fn plan(
        &self,
        document: &Document,
        inputs: BTreeMap<String, Ipld>,
        subjects: BTreeMap<String, Did>,
    ) -> Result<Plan, NodeError> {
        let request = self.request(&self.bind(document, inputs, subjects).await?, None)?;
        self.engine.check(request).await.map_err(|error| self.explain(error))
    }

    /// Binds `document`, and asks as the user that it be run at certain times. [`Node::scheduler`] runs it when it is due.
    ///
    /// # Errors
    /// [`NodeError`] where the schedule is refused, as its runs would be.
    pub async fn schedule(
        &self,
        document: &Document,
        inputs: BTreeMap<String, Ipld>,
        subjects: BTreeMap<String, Did>,
        timing: &Timing,
    ) -> Result<Scheduled, NodeError> {
        let workflow = self.bind(document, inputs, subjects).await?;
        let delegations = self.delegations()?;
        let args = Schedule::args(RunRequest::args(&workflow, &delegations, &[]), timing);
        let asked = self.ask(SCHEDULE_COMMAND, args, &delegations, None)?;
        self.scheduler().add(asked, delegations).await.map_err(|error| match error {
            ScheduleError::Refused(error @ RunError::NoAuthority(_)) => self.explain(error),
            error => error.into(),
        })
    }

    /// What runs schedules when they are due, and signs for the user.
    #[must_use]
    pub fn scheduler(&self) -> Scheduler {
        Scheduler::new(self.engine.clone(), self.store.clone(), self.state.user.clone())
    }

    /// Binds a document, and keeps the workflow.
    async fn bind(
        &self,
        document: &Document,
        inputs: BTreeMap<String, Ipld>,
        subjects: BTreeMap<String, Did>,
    ) -> Result<Workflow, NodeError> {
        let mut bindings = Bindings::new(self.state.node.did().clone(), self.state.user.did().clone());
        for alias in [OUTPUT, VAULT] {
            bindings.subjects.insert(alias.to_owned(), self.state.owner.did().clone());
        }
        bindings.subjects.extend(subjects);
        bindings.inputs = inputs;
        let workflow = document.bind(&bindings)?;
        self.store.put(workflow.cid(), workflow.bytes().to_vec().into()).await?;
        Ok(workflow)
    }

    fn explain(&self, error: RunError) -> NodeError {
        let secret = |missing: &Unauthorized| missing.command == GET_COMMAND;
        match error {
            RunError::NoAuthority(missing) if missing.iter().any(secret) => {
                NodeError::NotLent { error: RunError::NoAuthority(missing) }
            }
            RunError::NoAuthority(_) => NodeError::NoAuthority { error, folder: self.state.delegations_folder() },
            error => error.into(),
        }
    }

    /// What the user may let workflows use: all delegations that the user holds, and those by which the node may ask others for what it
    /// is asked for; and of the secrets, those that are named.
    fn delegations(&self) -> Result<Vec<Delegation>, NodeError> {
        let mut delegations = self.state.delegations(self.state.user.did())?;
        delegations.extend(self.state.delegations(self.state.node.did())?);
        delegations.extend(self.secrets()?);
        Ok(delegations)
    }

    /// Lets the user use the secrets that are named.
    fn secrets(&self) -> Result<Option<Delegation>, NodeError> {
        if self.secrets.is_empty() {
            return Ok(None);
        }
        let text = |text: &str| Ipld::String(text.to_owned());
        let named = |name: &String| Ipld::List(vec![text("=="), text(".name"), text(name)]);
        let any = Ipld::List(vec![text("or"), Ipld::List(self.secrets.iter().map(named).collect())]);
        let owner = &self.state.owner;
        let policy = Policy::parse(&Ipld::List(vec![any]))?;
        let mut nonce = vec![0; 12];
        SystemEntropy.fill(&mut nonce);
        let lent =
            Delegation::builder(self.state.user.did().clone(), Some(owner.did().clone()), Command::parse(GET_COMMAND)?);
        Ok(Some(lent.policy(policy).nonce(nonce).sign(owner).map_err(AskError::from).map_err(NodeError::Ask)?))
    }

    /// Signs, as the user, the request to run `workflow`, paid by `channel`.
    fn request(&self, workflow: &Workflow, channel: Option<Cid>) -> Result<RunRequest, NodeError> {
        let delegations = self.delegations()?;
        let args = RunRequest::args(workflow, &delegations, &[]);
        let args = match channel {
            Some(channel) => RunRequest::paid_by(args, channel),
            None => args,
        };
        let invocation = self.ask(RUN_COMMAND, args, &delegations, Some(REQUEST_LIFETIME))?;
        Ok(RunRequest { invocation, delegations })
    }

    /// Signs, as the user, what is asked of the node for so many seconds, or for ever.
    fn ask(
        &self,
        command: &str,
        args: BTreeMap<String, Ipld>,
        delegations: &[Delegation],
        lifetime: Option<u64>,
    ) -> Result<Invocation, NodeError> {
        let now = SystemClock.now();
        let mut nonce = vec![0; 12];
        SystemEntropy.fill(&mut nonce);
        let ask = Ask {
            executor: self.state.node.did(),
            command: Command::parse(command)?,
            args,
            nonce,
            expiration: lifetime.map(|secs| now.saturating_add(secs)),
            meta: BTreeMap::new(),
        };
        ask.sign(&self.state.user, delegations, &Context::new(now, &DidKeys)).map_err(|error| match error {
            AskError::NoChain(error) => NodeError::MayNotRun { error, folder: self.state.delegations_folder() },
            error => NodeError::Ask(error),
        })
    }
}
