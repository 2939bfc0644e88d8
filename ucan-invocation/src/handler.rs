use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ucan_core::{Authority, Cid, Command, Context, Delegation, Did, Ipld, NoChain, Request};

use crate::{Authorized, EffectClass, Effects, Failure, Invocation, Outcome, Receipt, Task, TaskError, TaskId};

/// How a task is asked to be run: limits and the like. Read by its handler, and never part of its identity.
pub type Config = BTreeMap<String, Ipld>;

/// A task whose authority has been checked: the only thing that a [`Handler`] accepts.
///
/// There is no way to make one but [`Call::authorize`] and [`Call::of`], so that nothing runs unless a chain of delegations from the
/// task's subject to the invoker covered its command and these very arguments.
#[derive(Clone)]
pub struct Call {
    id: TaskId,
    task: Task,
    config: Config,
    authority: Authority,
    asked: Option<Arc<Asked>>,
}

/// The signed request that a call came by.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The invocation.
    pub invocation: Invocation,
    /// Its proofs, as far as they came with it.
    pub proofs: Vec<Delegation>,
}

impl Call {
    /// Finds among `grants` the chain that lets `invoker` do `task`, whose promises are all resolved.
    ///
    /// # Errors
    /// [`CallError::NoChain`] says which delegation is missing; [`CallError::Task`] that the task waits for another.
    pub fn authorize(
        task: Task,
        config: Config,
        invoker: &Did,
        grants: &[Delegation],
        context: &Context<'_>,
    ) -> Result<Self, CallError> {
        if task.is_pending() {
            return Err(TaskError::Pending.into());
        }
        let id = task.id()?;
        let request = Request { invoker, subject: task.subject(), command: task.command(), args: task.args_value() };
        let authority = ucan_core::search(&request, grants, context).map_err(Box::new)?;
        if authority.undecided() {
            return Err(TaskError::Pending.into());
        }
        Ok(Self { id, task, config, authority, asked: None })
    }

    /// The call that an invocation asks for, whose own proofs were found to cover it.
    ///
    /// # Errors
    /// [`CallError::Task`] where the task waits for another, or a policy cannot be judged before one is done.
    pub fn of(authorized: &Authorized, config: Config) -> Result<Self, CallError> {
        let (task, authority) = (authorized.invocation().task(), authorized.authority());
        if task.is_pending() || authority.undecided() {
            return Err(TaskError::Pending.into());
        }
        Ok(Self { id: task.id()?, task: task.clone(), config, authority: authority.clone(), asked: None })
    }

    /// The id of the resolved task, unless it is [named](Call::named) otherwise: an idempotency key for handlers that reach outside.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// The same call under a name that takes the place of the id of its task, and is the same for the same task. Whoever sees the id can
    /// test with it what they guess of the arguments; where these are secret, a name says nothing of them.
    #[must_use]
    pub fn named(self, name: TaskId) -> Self {
        Self { id: name, ..self }
    }

    /// What is to be done.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// How it is asked to be run.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same call, with the request that it came by.
    pub(crate) fn asked_by(self, invocation: &Invocation, proofs: &[Delegation]) -> Self {
        let asked = Asked { invocation: invocation.clone(), proofs: proofs.to_vec() };
        Self { asked: Some(Arc::new(asked)), ..self }
    }

    /// The request that it came by, for handlers to which what somebody signed is evidence. An [`Executor`](crate::Executor) hands it to those
    /// of mutations; a task of a workflow has none of its own.
    #[must_use]
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_deref()
    }

    /// On whose behalf and by which delegations.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments may be secret.
        let (subject, command) = (self.task.subject(), self.task.command());
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("subject", subject)
            .field("command", command)
            .finish_non_exhaustive()
    }
}

/// Why a task may not be called.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The task cannot be called as it is.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// No chain of the granted delegations covers it.
    #[error(transparent)]
    NoChain(#[from] Box<NoChain>),
}

/// What came of running a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The result that the receipt states.
    pub outcome: Outcome,
    /// What is asked to be done next, as the receipt states it. A deterministic task asks for nothing: that it does is a failure.
    pub effects: Effects,
    /// What the receipt's metadata records of the execution.
    pub meta: BTreeMap<String, Ipld>,
    /// Whether running it again, anywhere, gives the same outcome. Of a deterministic command, only such completions
    /// are memoized; a time-out, say, is not.
    pub repeatable: bool,
    /// Whether the world was already as the task wants it, so that an idempotent write had nothing to do.
    pub unchanged: bool,
}

impl Completion {
    /// A completion with this outcome, no effects and no metadata, which another run would repeat.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, effects: Effects::default(), meta: BTreeMap::new(), repeatable: true, unchanged: false }
    }

    /// What a receipt may state of it. An outcome that holds the shape of a promise becomes the failure `PromiseInResult`, and
    /// one with which a deterministic task asks for more work the failure `EffectsRefused`.
    #[must_use]
    pub fn for_receipt(mut self, class: EffectClass) -> Self {
        self.outcome = self.outcome.without_promises();
        if class == EffectClass::Deterministic && !self.effects.is_empty() {
            let message = "a deterministic task asks for other tasks, which only effects may do";
            self.outcome = Failure::new("EffectsRefused", message).into();
            self.effects = Effects::default();
        }
        self
    }
}

/// Does the tasks of one command.
///
/// # Contract
/// The engine calls [`handle`](Handler::handle) only with a [`Call`], whose authority was checked for these arguments
/// at that moment. The handler checks the shape of the arguments, never panics, and reports what went wrong as an
/// error outcome with a machine-readable name. A handler that declares [`EffectClass::Deterministic`] gives equal
/// outcomes for equal instructions on every machine; one that declares [`EffectClass::IdempotentWrite`] can be run
/// again after a crash. A handler does not run workflows on the engine that called it: it holds one of the places for
/// tasks that run at once, and could wait for itself.
#[async_trait]
pub trait Handler: fmt::Debug + Send + Sync {
    /// What running a task does to the world.
    fn effect_class(&self) -> EffectClass;

    /// The determinism profile under which results of this handler are comparable, where it has one.
    fn profile(&self) -> Option<Cid> {
        None
    }

    /// Checks what can be known of a task before anything runs. Its arguments may still hold promises.
    ///
    /// # Errors
    /// A [`Failure`] where the task could not succeed whatever the promises turn out to be.
    async fn check(&self, task: &Task, config: &Config) -> Result<(), Failure>;

    /// Does the task.
    async fn handle(&self, call: &Call) -> Completion;

    /// Whether what it gives is secret: nobody may be told it, or shown a receipt that states it in the clear. Workflows seal it, with all
    /// that is computed from it; an [`Executor`](crate::Executor) does not ask such a handler.
    fn is_secret(&self) -> bool {
        false
    }

    /// What tells tasks of a command that take long from others that do not, such as the function that is called. By what tasks with the
    /// same answer took lately, a workflow engine begins with those that hold up most.
    fn workload(&self, task: &Task) -> Option<String> {
        let _ = task;
        None
    }

    /// How many of its tasks may run at once; as many as there are places, unless it says so.
    fn places(&self) -> Option<usize> {
        None
    }

    /// Whether doing a task of `command` once more, with the same id, has no further effect, because the handler hands the id on as an
    /// idempotency key and whoever gets it honours that. Of mutable commands, only such are done again after a crash.
    fn is_idempotent(&self, command: &Command) -> bool {
        let _ = command;
        false
    }

    /// Whether it ends by itself what takes longer than the `time` of its configuration. The engine does it for all others: it waits no
    /// longer, and drops the future of [`handle`](Handler::handle).
    fn limits_time(&self) -> bool {
        false
    }

    /// Finds out whether a mutable task took effect that was begun, and of which a crash left no receipt.
    async fn probe(&self, call: &Call) -> Probe {
        let _ = call;
        Probe::Unknown
    }

    /// Whether what `known` states is enough for somebody who asks with this configuration: how a result was verified is no part
    /// of a task's identity, and some ask for more than others. It is asked of receipts that are trusted.
    fn accepts(&self, known: &Receipt, config: &Config) -> bool {
        let _ = (known, config);
        true
    }

    /// The most fuel that a task may use that is asked for with this configuration: no more than that is in its receipt as
    /// [`FUEL`](crate::meta::FUEL) and [`INSTANTIATION`](crate::meta::INSTANTIATION) together, or as
    /// [`FUEL_BOUND`](crate::meta::FUEL_BOUND). None where the handler does not count, so that its tasks cost nothing.
    fn most_fuel(&self, config: &Config) -> Option<u64> {
        let _ = config;
        None
    }

    /// The means of running a task of this command again to see whether a receipt holds. Only a deterministic command
    /// has one.
    fn reexecutor(&self) -> Option<&dyn Reexecutor> {
        None
    }
}

/// What can be found out of a task that was begun.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It took effect, and this came of it.
    Done(Box<Completion>),
    /// It did not take effect, and will not: it can be done now.
    NotDone,
    /// It cannot be told.
    Unknown,
}

/// Runs deterministic tasks again, to compare the result with a receipt. Nothing that it runs has effects, so that it
/// asks for no authority but its caller's.
#[async_trait]
pub trait Reexecutor: Send + Sync {
    /// Runs `task`, whose promises are all resolved.
    async fn reexecute(&self, task: &Task) -> Completion;
}

/// The handlers of an executor, each for the commands on one subject.
///
/// There are no handlers for any subject whatever: somebody who makes a key of their own has all authority over it, and
/// would have the executor's work for nothing. What the executor itself offers, such as its compute, has the executor as
/// its subject.
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
    limits: BTreeMap<EffectClass, usize>,
}

#[derive(Clone, Debug)]
struct Route {
    subject: Did,
    command: Command,
    handler: Arc<dyn Handler>,
}

impl Router {
    /// Lets `handler` do `command`, and all below it, for tasks on `subject`.
    pub fn insert(&mut self, subject: Did, command: Command, handler: Arc<dyn Handler>) {
        self.routes.push(Route { subject, command, handler });
    }

    /// Lets no more than `most` tasks of a class run at once, and always one.
    pub fn set_limit(&mut self, class: EffectClass, most: usize) {
        self.limits.insert(class, most.max(1));
    }

    /// How many tasks of a class may run at once; as many as there are places, where nothing is said.
    #[must_use]
    pub fn limit(&self, class: EffectClass) -> Option<usize> {
        self.limits.get(&class).copied()
    }

    /// Whether anything is done here on `subject`.
    #[must_use]
    pub fn serves(&self, subject: &Did) -> bool {
        self.routes.iter().any(|route| route.subject.same_principal(subject))
    }

    /// The handler for tasks of `command` on `subject`: that of the longest command that covers it, and of equal ones the
    /// last that was inserted.
    #[must_use]
    pub fn find(&self, subject: &Did, command: &Command) -> Option<&Arc<dyn Handler>> {
        self.routes
            .iter()
            .filter(|route| route.subject.same_principal(subject) && route.command.covers(command))
            .max_by_key(|route| route.command.segments().count())
            .map(|route| &route.handler)
    }
}
