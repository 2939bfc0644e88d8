use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::Instrument;
use ucan_core::dagcbor::Limits;
use ucan_core::{
    Cid, Clock, Command, Context, Delegation, Did, Envelope, IsRevoked, Issuer, KeySource, StoreError, Token,
};
use ucan_invocation::{
    Await, BlockStore, EffectClass, Entropy, Handler, Invocation, ReceiptStore, RevocationStore, Revoked, Router,
    TaskId, Timer, Trust,
};

use crate::charge::{Account, Charging, Toll};
use crate::costs::Costs;
use crate::doubt::Doubts;
use crate::elsewhere::Elsewhere;
use crate::error::RunError;
use crate::flight::Flights;
use crate::handover::Handed;
use crate::perform::{Beginning, Performance, Performed};
use crate::places::Places;
use crate::prepare::Prepared;
use crate::request::Request;
use crate::telemetry;
use crate::under_way::UnderWay;
use crate::vault::Vault;
use crate::{Entry, Event, Journal, Plan, PlanError, Planner, RunOptions, RunReport, RunRequest, Workflow};

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
    pub(crate) under_way: UnderWay,
    pub(crate) places: Arc<Places>,
    pub(crate) doubts: Doubts,
    pub(crate) costs: Costs,
    pub(crate) toll: Option<Toll>,
    pub(crate) vault: Option<Vault>,
    pub(crate) elsewhere: Option<Elsewhere>,
    workflows: Limits,
}

/// What not every engine has.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// By what it is paid for what it runs; nobody pays, unless set.
    pub charging: Option<Charging>,
    /// What keeps the results of secret tasks. Without it, workflows with such tasks are refused.
    pub vault: Option<Vault>,
    /// How tasks are had done that are for other executors. Without it, workflows with such tasks are refused.
    pub elsewhere: Option<Elsewhere>,
    /// How large workflows may be: 16 MiB and 2^20 values as blocks, unless set. A task takes some 4 KiB of memory while its workflow is run.
    pub workflows: Limits,
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
        let EngineOptions { charging, vault, elsewhere, workflows } = options;
        let (places, toll) = (Places::new(parts.parallelism), charging.map(Toll::new));
        let (flights, under_way) = (Flights::default(), UnderWay::default());
        let (doubts, costs) = (Doubts::default(), Costs::default());
        let shared = Shared { parts, flights, under_way, places, doubts, costs, toll, vault, elsewhere, workflows };
        Self { shared: Arc::new(shared) }
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
        Ok(self.shared.prepare(&request).await?.plan)
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
        self.watch(request, options, observe, false).await
    }

    /// The same; where it `gives_up`, what undoes the run is not waited for where nobody pays for it.
    pub(crate) async fn watch(
        &self,
        request: RunRequest,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
        gives_up: bool,
    ) -> Result<RunReport, RunError> {
        let span = telemetry::run_span(&request.invocation.task().id()?);
        let observe = |event| {
            telemetry::count(&event);
            observe(event);
        };
        let run = async {
            let ended = self.carry_out(request, options, &observe, gives_up).await;
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
        gives_up: bool,
    ) -> Result<RunReport, RunError> {
        let shared = &self.shared;
        let handed = shared.taken(&request.invocation).await?;
        let mut request = shared.check_request(request, handed.as_ref()).await?;
        let (run, asked) = (request.run, request.invocation.id());
        let inputs = request.invocation.task().links();
        // The same request twice at once is one run: whoever comes second finds its receipt.
        let _alone = shared.flights.enter(*run.cid()).await;
        let _told = shared.under_way.enter(run, options.control.clone());
        shared.check_not_done(&run).await?;
        let open = shared.parts.journal.open(&run).await?;
        if open.is_none()
            && let Some(handover) = shared.parts.journal.handed_over(&run).await?
        {
            return Err(RunError::HandedOver { run, handover });
        }
        if request.ends && open.is_none_or(|open| !open.cancelled) {
            // It came to its end meanwhile, by somebody else: authority was not asked for anything else.
            return Err(RunError::NotOpen(run));
        }
        let grants = &mut request.grants;
        grants.account = match shared.account(&grants.invoker, grants.channel, options, handed.is_some()).await {
            // Who wants it to be over has what undoes it done for nothing, where nobody knows any more who pays.
            Err(RunError::Unpaid | RunError::Channel { .. }) if gives_up && options.channel.is_none() => {
                Account::default()
            }
            account => account?,
        };
        let Prepared { workflow, plan, outcomes, known } = shared.prepare(&request).await?;
        let workflow = workflow.without_tasks();
        shared.keep(&request).await?;
        let at = shared.started(open.and_then(|open| open.at));
        request.grants.limit(workflow.run_config(), options, at);

        match &handed {
            Some(handed) => shared.note_taken(handed).await?,
            None if open.is_none() => {
                let (request, at) = (asked.into(), Some(at));
                let started = Entry::Started { run, workflow: *workflow.cid(), request, handover: None, at };
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
        let mut planner = Planner::with_costs(&plan, &shared.expected(&request.grants.home));
        let beginning = Beginning {
            shared,
            workflow: &workflow,
            plan: &plan,
            planner: &mut planner,
            run,
            grants: Arc::new(request.grants),
            outcomes,
            known,
            cancelled: open.is_some_and(|open| open.cancelled),
            resumed: open.is_some(),
            gives_up,
            options,
            observe,
        };
        let performed = Performance::new(beginning).perform().await.map_err(|error| match error {
            RunError::Paused(_) => error,
            error => RunError::CutOff(Box::new(error)),
        })?;

        let reported: HashSet<TaskId> = performed.reports.iter().map(|report| report.task).collect();
        let not_started: Vec<String> = planner
            .not_started()
            .map(|position| &plan.steps()[position])
            // What was done before the run was resumed, and has not been come to again, was started then.
            .filter(|step| !reported.contains(&step.id))
            .map(|step| (step.label.clone(), step.class))
            .chain(performed.not_continued.iter().cloned())
            .inspect(|(label, class)| observe(Event::NotStarted { label: label.clone(), class: *class }))
            .map(|(label, _)| label)
            .collect();
        let receipt = shared.finish(run, asked, inputs, &performed, &not_started).await;
        let receipt = receipt.map_err(|error| RunError::CutOff(Box::new(error)))?;
        let Performed { reports, continued, caught, undone, not_undone, cancelled, .. } = performed;
        let report = RunReport {
            run,
            workflow: *workflow.cid(),
            steps: reports,
            continued,
            not_started,
            caught,
            undone,
            not_undone,
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
        Workflow::from_block_within(&bytes, &self.workflows).map_err(|error| RunError::Workflow { cid: *cid, error })
    }

    /// Keeps the tokens of a request that is about to be carried out, so that its receipts can be accounted for.
    async fn keep(&self, request: &Request) -> Result<(), RunError> {
        let blocks = &self.parts.blocks;
        let put = async |token: &Envelope| blocks.put(token.cid(), token.bytes().to_vec().into()).await;
        for token in &request.tokens {
            put(token.envelope()).await?;
        }
        let invocation = &request.invocation;
        let task = blocks.put(request.run.cid(), invocation.task().to_block()?.into());
        tokio::try_join!(put(invocation.envelope()), task)?;
        Ok(())
    }

    pub(crate) fn plan(&self, run: TaskId, workflow: &Workflow, home: &Did) -> Result<Plan, PlanError> {
        let class_of =
            |subject: &Did, command: &Command| self.handler(home, subject, command).map(|it| it.effect_class());
        let other = |label: &str, command: &Command| {
            let audience = workflow.audience(label).filter(|audience| !audience.same_principal(home))?;
            Some((audience, self.class_elsewhere(audience, command)))
        };
        let mut plan = Plan::addressed(workflow, &class_of, &|label| nonce(&run, label), &other)?;
        plan.mark_secrets(&|step| {
            if step.audience.is_some() {
                return false;
            }
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
}

/// The nonce of a task that is not deterministic: one for each run and label, and the same whenever that run is resumed.
fn nonce(run: &TaskId, label: &str) -> Vec<u8> {
    let digest = Sha256::new().chain_update(run.cid().to_bytes()).chain_update(label).finalize();
    digest[..12].to_vec()
}
