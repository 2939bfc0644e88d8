use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::Instrument;
use ucan_core::{Cid, Clock, Command, Context, Delegation, Did, Ipld, IsRevoked, Issuer, KeySource, StoreError, Token};
use ucan_invocation::{
    Await, BlockStore, Durability, EffectClass, Entropy, Failure, Filing, Handler, Invocation, InvocationId, Outcome,
    Receipt, ReceiptStore, RevocationStore, Revoked, Router, Task, TaskId, Timer, Trust,
};
use ucan_pipeline::{Bounds, resolve_args};

use crate::charge::{Charging, Toll};
use crate::doubt::Doubts;
use crate::error::{BadTask, Missing, RunError, Unauthorized};
use crate::flight::Flights;
use crate::handover::Handed;
use crate::perform::{Beginning, Performance, Performed};
use crate::places::Places;
use crate::request::{Grants, Request};
use crate::step::is_unrepresentable;
use crate::telemetry;
use crate::time_limit::time_limit;
use crate::vault::{self, Vault};
use crate::{Entry, Event, Journal, Plan, PlanError, Planner, RunOptions, RunReport, RunRequest, StepReport, Workflow};

/// The command that asks an executor to run a workflow. Its arguments are `{workflow: &Workflow, prf: [&Delegation],
/// self: [Command], chan?: &Delegation}`: the workflow, the delegations that it may use, the commands that it may use on the
/// invoker's own resources, and the channel that pays.
pub const RUN_COMMAND: &str = "/ipvm/run";

/// What an engine is made of. Every part can be another.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who runs workflows, and signs receipts.
    pub executor: Issuer,
    /// Components, tasks, workflows.
    pub blocks: Arc<dyn BlockStore>,
    /// Receipts, which are the memo table too.
    pub receipts: Arc<dyn ReceiptStore>,
    /// What was revoked: it is asked whenever a chain of delegations is checked.
    pub revocations: Arc<dyn RevocationStore>,
    /// What was begun.
    pub journal: Arc<dyn Journal>,
    /// Who does the tasks of which command.
    pub router: Router,
    /// Whose receipts are reused.
    pub trust: Trust,
    /// The keys of principals.
    pub keys: Arc<dyn KeySource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for nonces.
    pub entropy: Arc<dyn Entropy>,
    /// What lets time pass, between attempts.
    pub timer: Arc<dyn Timer>,
    /// How many tasks may run at once. Runs take turns, those of a higher [priority](RunOptions::priority) first; classes
    /// ([`Router::set_limit`]) and handlers ([`Handler::places`]) may have fewer.
    pub parallelism: usize,
}

/// Runs workflows: checks authority, reuses what is known, runs what is ready in parallel, and signs receipts.
///
/// Cloning it is cheap, and all clones share what is under way.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) flights: Flights,
    pub(crate) places: Arc<Places>,
    pub(crate) doubts: Doubts,
    pub(crate) toll: Option<Toll>,
    pub(crate) vault: Option<Vault>,
}

/// What not every engine has.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// By what it is paid for what it runs; nobody pays, unless set.
    pub charging: Option<Charging>,
    /// What keeps the results of secret tasks. Without it, workflows with such tasks are refused.
    pub vault: Option<Vault>,
}

impl Engine {
    /// An engine of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self::with_options(parts, EngineOptions::default())
    }

    /// An engine of these parts that is paid for what it runs.
    #[must_use]
    pub fn with_charging(parts: Parts, charging: Charging) -> Self {
        Self::with_options(parts, EngineOptions { charging: Some(charging), ..EngineOptions::default() })
    }

    /// An engine of these parts with what not every engine has.
    #[must_use]
    pub fn with_options(parts: Parts, options: EngineOptions) -> Self {
        let EngineOptions { charging, vault } = options;
        let (places, toll) = (Places::new(parts.parallelism), charging.map(Toll::new));
        let (flights, doubts) = (Flights::default(), Doubts::default());
        Self { shared: Arc::new(Shared { parts, flights, places, doubts, toll, vault }) }
    }

    /// The parts that it was made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    /// Checks all that is checked before the run that `request` asks for starts, and gives its plan.
    ///
    /// # Errors
    /// [`RunError`] where the run would be refused.
    pub async fn check(&self, request: RunRequest) -> Result<Plan, RunError> {
        let request = self.shared.check_request(request, None).await?;
        Ok(self.shared.prepare(&request).await?.1)
    }

    /// Runs the workflow that `request` asks for, telling `observe` what happens as it happens.
    ///
    /// Before anything starts, the request, the layout of the workflow, the authority for each task and the arguments
    /// of each are checked. A task that fails has an error receipt, and the report says so; it is not an `Err`. Dropping
    /// the future starts nothing more; what is under way comes to its receipts.
    ///
    /// # Errors
    /// [`RunError`] where the run is refused; [`RunError::CutOff`] where a store or a handler fails after tasks have
    /// started; [`RunError::Paused`] where it waits for somebody.
    pub async fn run(
        &self,
        request: RunRequest,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        self.run_with(request, &RunOptions::default(), observe).await
    }

    /// The same, as `options` say.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn run_with(
        &self,
        request: RunRequest,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        let span = telemetry::run_span(&request.invocation.task().id()?);
        let observe = |event| {
            telemetry::count(&event);
            observe(event);
        };
        let run = async {
            let ended = self.carry_out(request, options, &observe).await;
            telemetry::count_run(&ended);
            ended
        };
        run.instrument(span).await
    }

    async fn carry_out(
        &self,
        request: RunRequest,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        let shared = &self.shared;
        let handed = shared.taken(&request.invocation).await?;
        let mut request = shared.check_request(request, handed.as_ref()).await?;
        let (run, asked) = (request.run, request.invocation.id());
        let inputs = request.invocation.task().links();
        // The same request twice at once is one run: whoever comes second finds its receipt.
        let _alone = shared.flights.enter(*run.cid()).await;
        shared.check_not_done(&run).await?;
        let open = shared.parts.journal.open(&run).await?;
        if open.is_none()
            && let Some(handover) = shared.parts.journal.handed_over(&run).await?
        {
            return Err(RunError::HandedOver { run, handover });
        }
        let grants = &mut request.grants;
        grants.account = shared.account(&grants.invoker, grants.channel, options, handed.is_some()).await?;
        let (workflow, plan, outcomes) = shared.prepare(&request).await?;
        shared.keep(&request).await?;

        match &handed {
            Some(handed) => shared.note_taken(handed).await?,
            None if open.is_none() => {
                let started = Entry::Started { run, workflow: *workflow.cid(), request: asked.into(), handover: None };
                shared.parts.journal.append(&started).await?;
            }
            None => {}
        }
        observe(Event::Accepted {
            run,
            workflow: *workflow.cid(),
            steps: plan
                .steps()
                .iter()
                .filter(|step| !step.undoes)
                .map(|step| (step.label.clone(), step.class))
                .collect(),
        });
        let mut planner = Planner::new(&plan);
        let beginning = Beginning {
            shared,
            workflow: &workflow,
            plan: &plan,
            planner: &mut planner,
            run,
            grants: Arc::new(request.grants),
            outcomes,
            cancelled: open.is_some_and(|open| open.cancelled),
            resumed: open.is_some(),
            options,
            observe,
        };
        let performed = Performance::new(beginning).perform().await.map_err(|error| match error {
            RunError::Paused(_) => error,
            error => RunError::CutOff(Box::new(error)),
        })?;

        let not_started: Vec<String> = planner
            .not_started()
            .map(|position| &plan.steps()[position])
            // What was done before the run was resumed, and has not been come to again, was started then.
            .filter(|step| performed.reports.iter().all(|report| report.label != step.label))
            .map(|step| (step.label.clone(), step.class))
            .chain(performed.not_continued.iter().cloned())
            .inspect(|(label, class)| observe(Event::NotStarted { label: label.clone(), class: *class }))
            .map(|(label, _)| label)
            .collect();
        let receipt = shared.finish(run, asked, inputs, &performed, &not_started).await;
        let receipt = receipt.map_err(|error| RunError::CutOff(Box::new(error)))?;
        let Performed { reports, continued, caught, undone, cancelled, .. } = performed;
        let report = RunReport {
            run,
            workflow: *workflow.cid(),
            steps: reports,
            continued,
            not_started,
            caught,
            undone,
            cancelled,
            receipt: receipt.id(),
        };
        observe(Event::Done { receipt: report.receipt, succeeded: report.succeeded() });
        Ok(report)
    }
}

impl Shared {
    /// The circumstances under which chains of delegations are checked now.
    pub(crate) fn context<'a>(&'a self, revoked: &'a IsRevoked<'a>) -> Context<'a> {
        Context {
            pending: &|value| Await::recognise(value).is_some(),
            revoked: Some(revoked),
            ..Context::new(self.parts.clock.now(), &*self.parts.keys)
        }
    }

    /// Who has revoked any of these delegations by now.
    pub(crate) async fn revoked(&self, delegations: &[Delegation]) -> Result<Revoked, StoreError> {
        Revoked::among(&*self.parts.revocations, delegations).await
    }

    /// By what the open run of a request came to this executor, where another had it before.
    pub(crate) async fn taken(&self, request: &Invocation) -> Result<Option<Handed>, RunError> {
        let open = self.parts.journal.open(&request.task().id()?).await?;
        let Some(handover) = open.and_then(|open| open.handover) else { return Ok(None) };
        Ok(Some(self.handed(&handover, false).await.map_err(Box::new)?))
    }

    /// Writes down that a run was taken over, so that it is not by the same handover again.
    pub(crate) async fn note_taken(&self, handed: &Handed) -> Result<(), StoreError> {
        let (run, task) = (handed.checkpoint.run, handed.task);
        if self.parts.journal.intended(&task).await? {
            return Ok(());
        }
        self.parts.journal.append(&Entry::Intent { run, task }).await
    }

    /// The workflow and the plan of a request, and what its tasks await from elsewhere, once all of it has been checked.
    pub(crate) async fn prepare(
        &self,
        request: &Request,
    ) -> Result<(Workflow, Plan, HashMap<TaskId, Outcome>), RunError> {
        let workflow = self.workflow(&request.workflow).await?;
        let plan = self.plan(request.run, &workflow, &request.grants.home)?;
        self.check_secrets(&plan)?;
        self.check_authority(&plan, &request.grants).await?;
        let outcomes = self.results_from_elsewhere(&plan, &request.grants).await?;
        self.check_tasks(&plan, &outcomes, &request.grants.home).await?;
        Ok((workflow, plan, outcomes))
    }

    pub(crate) async fn check_not_done(&self, run: &TaskId) -> Result<(), RunError> {
        let receipts = self.parts.receipts.by_task(run).await?;
        let Some(receipt) = receipts.into_iter().find(|receipt| self.trusts(receipt)) else { return Ok(()) };
        let receipt = receipt.id();
        if self.parts.journal.unfinished().await?.contains(run) {
            // A crash came between the receipt and this entry.
            self.parts.journal.append(&Entry::Finished { run: *run, receipt }).await?;
        }
        Err(RunError::AlreadyRun { receipt })
    }

    pub(crate) async fn workflow(&self, cid: &Cid) -> Result<Workflow, RunError> {
        let bytes = self.parts.blocks.get(cid).await?.ok_or(RunError::NoWorkflow(*cid))?;
        Workflow::from_block(&bytes).map_err(|error| RunError::Workflow { cid: *cid, error })
    }

    /// Keeps the tokens of a request that is about to be carried out, so that its receipts can be accounted for.
    async fn keep(&self, request: &Request) -> Result<(), RunError> {
        let blocks = &self.parts.blocks;
        for token in [request.invocation.envelope()].into_iter().chain(request.tokens.iter().map(Token::envelope)) {
            blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        }
        Ok(blocks.put(request.run.cid(), request.invocation.task().to_block()?.into()).await?)
    }

    pub(crate) fn plan(&self, run: TaskId, workflow: &Workflow, home: &Did) -> Result<Plan, PlanError> {
        let class_of =
            |subject: &Did, command: &Command| self.handler(home, subject, command).map(|it| it.effect_class());
        let mut plan = Plan::new(workflow, &class_of, &|label| nonce(&run, label))?;
        plan.mark_secrets(&|step| {
            let handler = self.handler(home, step.task.subject(), step.task.command());
            handler.is_some_and(|handler| handler.is_secret())
        });
        Ok(plan)
    }

    /// Who does the tasks of a command on a subject here. What the executor whom the invoker asked computes is, where the run
    /// was handed over, computed by this one; what this one does to its own resources, nobody there could allow.
    pub(crate) fn handler(&self, home: &Did, subject: &Did, command: &Command) -> Option<&Arc<dyn Handler>> {
        let found = self.parts.router.find(subject, command);
        let own = self.parts.executor.did();
        if found.is_some() || !subject.same_principal(home) {
            return found;
        }
        let computes = |handler: &&Arc<dyn Handler>| handler.effect_class() == EffectClass::Deterministic;
        self.parts.router.find(own, command).filter(computes)
    }

    /// The outcomes of tasks that the plan awaits and does not contain. They are given only to somebody who could have
    /// asked for these tasks.
    async fn results_from_elsewhere(&self, plan: &Plan, grants: &Grants) -> Result<HashMap<TaskId, Outcome>, RunError> {
        let mut outcomes = HashMap::new();
        for (step, awaited) in plan.awaited_elsewhere() {
            let label = || step.label.clone();
            let missing = || PlanError::AwaitedElsewhere { label: label(), awaited: awaited.into() };
            let receipts = self.parts.receipts.by_task(&awaited).await?;
            let told = |receipt: &Receipt| self.trusts(receipt) && !vault::is_sealed(receipt);
            let receipt = receipts.into_iter().find(told).ok_or_else(missing)?;
            let resolved = receipt.resolved();
            let bytes = self.parts.blocks.get(resolved.cid()).await?.ok_or_else(missing)?;
            let task = Task::from_block(&bytes)?;
            let revoked = self.revoked(&grants.delegations).await?;
            self.authority(&task, grants, &revoked)
                .map_err(|reason| RunError::NoAuthority(vec![Unauthorized::new(label(), &task, reason)]))?;
            outcomes.insert(awaited, receipt.outcome().clone());
        }
        Ok(outcomes)
    }

    pub(crate) async fn check_authority(&self, plan: &Plan, grants: &Grants) -> Result<(), RunError> {
        let revoked = self.revoked(&grants.delegations).await?;
        let missing = plan.steps().iter().chain(plan.catch()).filter_map(|step| {
            let reason = self.authority(&step.task, grants, &revoked).err()?;
            Some(Unauthorized::new(step.label.clone(), &step.task, reason))
        });
        let missing: Vec<Unauthorized> = missing.collect();
        if missing.is_empty() { Ok(()) } else { Err(RunError::NoAuthority(missing)) }
    }

    /// Whether `grants` cover `task`, as far as its arguments are known.
    pub(crate) fn authority(&self, task: &Task, grants: &Grants, revoked: &Revoked) -> Result<(), Missing> {
        let (invoker, subject, command) = (&grants.invoker, task.subject(), task.command());
        if !grants.lend(task) {
            return Err(Missing::Own);
        }
        let request = ucan_core::Request { invoker, subject, command, args: task.args_value() };
        ucan_core::search(&request, &grants.delegations, &self.context(&revoked.as_fn()))
            .map(drop)
            .map_err(|error| Missing::Chain(Box::new(error)))
    }

    /// Checks each task whose result is not known yet. What is known was checked when it was run, so that a component
    /// is not even compiled for it.
    async fn check_tasks(&self, plan: &Plan, elsewhere: &HashMap<TaskId, Outcome>, home: &Did) -> Result<(), RunError> {
        let mut known = elsewhere.clone();
        let mut bad = Vec::new();
        for step in plan.steps() {
            let Some(handler) = self.handler(home, step.task.subject(), step.task.command()) else { continue };
            let args = resolve_args(step.task.args(), &Bounds::default(), &|id| known.get(id));
            if !step.secret
                && let Ok(args) = args
                && let Some(receipt) = self.known_result(&step.task.with_args(args), &step.config, &**handler).await?
            {
                known.insert(step.id, receipt.outcome().clone());
                continue;
            }
            let timed = time_limit(&**handler, &step.config).map(drop);
            if let Err(failure) = handler.check(&step.task, &step.config).await.and(timed) {
                bad.push(BadTask { label: step.label.clone(), failure });
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(RunError::BadTasks(bad)) }
    }

    async fn finish(
        &self,
        run: TaskId,
        asked: InvocationId,
        inputs: Vec<Cid>,
        performed: &Performed,
        not_started: &[String],
    ) -> Result<Receipt, RunError> {
        let receipts = |steps: &[StepReport]| {
            let receipts = steps.iter().map(|step| (step.label.clone(), Ipld::Link(step.receipt.into())));
            Ipld::Map(receipts.collect())
        };
        let failed: Vec<&str> = performed.failed().map(|step| step.label.as_str()).collect();
        let strings =
            |labels: Vec<&str>| Ipld::List(labels.into_iter().map(|label| Ipld::String(label.to_owned())).collect());
        let message = format!("{} tasks failed, and {} were not started", failed.len(), not_started.len());
        let mut told = BTreeMap::from([("tasks".to_owned(), receipts(&performed.reports))]);
        if !performed.continued.is_empty() {
            told.insert("continued".to_owned(), receipts(&performed.continued));
        }
        if !performed.caught.is_empty() {
            let caught = performed.caught.iter().map(|(label, caught)| (label.clone(), caught.to_ipld()));
            told.insert("caught".to_owned(), Ipld::Map(caught.collect()));
        }
        if !performed.undone.is_empty() {
            told.insert("undone".to_owned(), receipts(&performed.undone));
        }
        let outcome = if failed.is_empty() && not_started.is_empty() && !performed.cancelled {
            Outcome::Ok(Ipld::Map(told))
        } else {
            let name = if performed.cancelled { "Cancelled" } else { "TaskFailed" };
            told.insert("failed".to_owned(), strings(failed));
            told.insert("notStarted".to_owned(), strings(not_started.iter().map(String::as_str).collect()));
            told.into_iter()
                .fold(Failure::new(name, message.as_str()), |failure, (key, value)| failure.with(&key, value))
                .into()
        };
        let receipt = |outcome| {
            let meta = [("invocation".to_owned(), Ipld::Link(asked.into()))].into();
            Receipt::builder(run, outcome).meta(meta)
        };
        let receipt = match self.sign(receipt(outcome)) {
            Err(error) if is_unrepresentable(&error) => {
                let all = performed.reports.len() + performed.continued.len();
                let counts = format!("{message}; the receipts of {} tasks are too many to list", all);
                self.sign(receipt(Failure::new("TooManyTasks", counts).into()))?
            }
            signed => signed?,
        };
        let filing = Filing { tasks: vec![run], memo: None, inputs, durability: Durability::Synced };
        self.parts.receipts.file(&receipt, &filing).await?;
        self.parts.journal.append(&Entry::Finished { run, receipt: receipt.id() }).await?;
        Ok(receipt)
    }
}

/// The nonce of a task that is not deterministic: one for each run and label, and the same whenever that run is resumed.
fn nonce(run: &TaskId, label: &str) -> Vec<u8> {
    let digest = Sha256::new().chain_update(run.cid().to_bytes()).chain_update(label).finalize();
    digest[..12].to_vec()
}
