use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use ucan_core::{Cid, Clock, Command, Context, Delegation, Did, Ipld, Issuer, KeySource, Request, Token};
use ucan_invocation::{
    BlockStore, Durability, Failure, Filing, Invocation, Outcome, Receipt, ReceiptStore, Router, TaskId, authorize,
    is_pending,
};
use ucan_pipeline::resolve;

use crate::error::{BadTask, Missing, RunError, Unauthorized};
use crate::flight::Flights;
use crate::step::Work;
use crate::{Entry, Event, Journal, Plan, PlanError, Planner, RunReport, StepReport, Trust, Workflow};

/// The command that asks an executor to run a workflow. Its arguments are `{workflow: &Workflow, prf: [&Delegation],
/// self: [Command]}`: the workflow, the delegations that it may use, and the commands that it may use on the invoker's
/// own resources.
pub const RUN_COMMAND: &str = "/ipvm/run";

/// A source of random bytes. Libraries take it from their host, so that tests can hand in one that repeats itself.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// What an engine is made of. Every part can be another.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who runs workflows, and signs receipts.
    pub executor: Issuer,
    /// Components, tasks, workflows.
    pub blocks: Arc<dyn BlockStore>,
    /// Receipts, which are the memo table too.
    pub receipts: Arc<dyn ReceiptStore>,
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
    /// How many tasks may run at once.
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
    pub(crate) permits: Semaphore,
}

/// A request to run a workflow: the signed invocation of [`RUN_COMMAND`], and the delegations that it names.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The invocation.
    pub invocation: Invocation,
    /// Its proofs, and the delegations that it grants to the workflow.
    pub delegations: Vec<Delegation>,
}

impl RunRequest {
    /// The arguments of an invocation of [`RUN_COMMAND`].
    #[must_use]
    pub fn args(workflow: &Workflow, grants: &[Delegation], own: &[Command]) -> BTreeMap<String, Ipld> {
        let grants = grants.iter().map(|grant| Ipld::Link(*grant.cid())).collect();
        let own = own.iter().map(|command| Ipld::String(command.to_string())).collect();
        [
            ("workflow".to_owned(), Ipld::Link(*workflow.cid())),
            ("prf".to_owned(), Ipld::List(grants)),
            ("self".to_owned(), Ipld::List(own)),
        ]
        .into()
    }
}

/// What a run may use.
#[derive(Debug)]
pub(crate) struct Grants {
    pub(crate) invoker: Did,
    pub(crate) delegations: Vec<Delegation>,
    own: Vec<Command>,
}

impl Engine {
    /// An engine of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let permits = Semaphore::new(parts.parallelism.max(1));
        Self { shared: Arc::new(Shared { parts, flights: Flights::default(), permits }) }
    }

    /// The parts that it was made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    /// Runs the workflow that `request` asks for, telling `observe` what happens as it happens.
    ///
    /// Before anything starts, the request, the layout of the workflow, the authority for each task and the arguments
    /// of each are checked. A task that fails has an error receipt, and the report says so; it is not an `Err`.
    ///
    /// # Errors
    /// [`RunError`] where the run is refused, or a store fails under way.
    pub async fn run(
        &self,
        request: RunRequest,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        let shared = &self.shared;
        let (run, workflow, grants) = shared.accept(request).await?;
        let plan = shared.plan(run, &workflow)?;
        let mut outcomes = shared.results_from_elsewhere(&plan).await?;
        shared.check_authority(&plan, &grants)?;
        shared.check_tasks(&plan, &outcomes).await?;

        shared.parts.journal.append(&Entry::Started { run, workflow: *workflow.cid() }).await?;
        observe(Event::Accepted {
            run,
            workflow: *workflow.cid(),
            steps: plan.steps().iter().map(|step| (step.label.clone(), step.class)).collect(),
        });

        let grants = Arc::new(grants);
        let mut planner = Planner::new(&plan);
        let mut running: JoinSet<(usize, Result<StepReport, RunError>)> = JoinSet::new();
        let mut labels = HashMap::new();
        let mut reports = Vec::new();
        loop {
            while let Some(position) = planner.poll() {
                let step = plan.steps()[position].clone();
                observe(Event::Started { label: step.label.clone() });
                let args = resolve(&Ipld::Map(step.task.args().clone()), &|id| outcomes.get(id).cloned());
                let label = step.label.clone();
                let work = Work { step, args, run, grants: grants.clone(), shared: shared.clone() };
                let handle = running.spawn(async move { (position, work.perform().await) });
                labels.insert(handle.id(), label);
            }
            let Some(joined) = running.join_next().await else { break };
            let (position, report) = joined
                .map_err(|error| RunError::Panicked { label: labels.get(&error.id()).cloned().unwrap_or_default() })?;
            let report = report?;
            planner.handle_finished(position, report.outcome.is_ok());
            outcomes.insert(report.task, report.outcome.clone());
            observe(Event::Finished(report.clone()));
            reports.push(report);
        }

        let not_started: Vec<String> = planner
            .not_started()
            .map(|position| &plan.steps()[position])
            .inspect(|step| observe(Event::NotStarted { label: step.label.clone(), class: step.class }))
            .map(|step| step.label.clone())
            .collect();
        let receipt = shared.finish(run, &reports, &not_started).await?;
        let report = RunReport { run, workflow: *workflow.cid(), steps: reports, not_started, receipt: receipt.id() };
        observe(Event::Done { receipt: report.receipt, succeeded: report.succeeded() });
        Ok(report)
    }
}

impl Shared {
    /// The circumstances under which chains of delegations are checked now.
    pub(crate) fn context(&self) -> Context<'_> {
        Context { pending: &is_pending, ..Context::new(self.parts.clock.now(), &*self.parts.keys) }
    }

    async fn accept(&self, request: RunRequest) -> Result<(TaskId, Workflow, Grants), RunError> {
        let RunRequest { invocation, delegations } = request;
        let find = |cid: &Cid| delegations.iter().find(|delegation| delegation.cid() == cid).cloned();
        let authorized = authorize(invocation, self.parts.executor.did(), &find, &self.context())?;
        let invocation = authorized.invocation();
        let run = invocation.task().id()?;
        let (workflow, named, own) = run_arguments(invocation)?;
        if let Some(receipt) = self.parts.receipts.by_task(&run).await?.into_iter().find(|receipt| self.trusts(receipt))
        {
            return Err(RunError::AlreadyRun { receipt: receipt.id() });
        }
        let granted =
            named.iter().map(|cid| find(cid).ok_or(RunError::UnavailableGrant(*cid))).collect::<Result<Vec<_>, _>>()?;
        let bytes = self.parts.blocks.get(&workflow).await?.ok_or(RunError::NoWorkflow(workflow))?;
        let workflow = Workflow::from_block(&bytes).map_err(|error| RunError::Workflow { cid: workflow, error })?;
        for token in [invocation.envelope()].into_iter().chain(delegations.iter().map(Token::envelope)) {
            self.parts.blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        }
        let task = invocation.task().to_block()?;
        self.parts.blocks.put(run.cid(), task.into()).await?;
        let grants = Grants { invoker: invocation.issuer().clone(), delegations: granted, own };
        Ok((run, workflow, grants))
    }

    fn plan(&self, run: TaskId, workflow: &Workflow) -> Result<Plan, PlanError> {
        let class_of = |subject: &Did, command: &Command| {
            self.parts.router.find(subject, command).map(|handler| handler.effect_class())
        };
        Plan::new(workflow, &class_of, &|label| nonce(&run, label))
    }

    /// The outcomes of tasks that the plan awaits and does not contain.
    async fn results_from_elsewhere(&self, plan: &Plan) -> Result<HashMap<TaskId, Outcome>, RunError> {
        let mut outcomes = HashMap::new();
        for (step, awaited) in plan.awaited_elsewhere() {
            let receipts = self.parts.receipts.by_task(&awaited).await?;
            let Some(receipt) = receipts.into_iter().find(|receipt| self.trusts(receipt)) else {
                return Err(PlanError::AwaitedElsewhere { label: step.label.clone(), awaited: awaited.into() }.into());
            };
            outcomes.insert(awaited, receipt.outcome().clone());
        }
        Ok(outcomes)
    }

    fn check_authority(&self, plan: &Plan, grants: &Grants) -> Result<(), RunError> {
        let context = self.context();
        let mut unauthorized = Vec::new();
        for step in plan.steps() {
            let (subject, command) = (step.task.subject(), step.task.command());
            let args = Ipld::Map(step.task.args().clone());
            let request = Request { invoker: &grants.invoker, subject, command, args: &args };
            let own = subject.same_principal(&grants.invoker);
            let reason = if own && !grants.own.iter().any(|lent| lent.covers(command)) {
                Missing::Own
            } else {
                match ucan_core::search(&request, &grants.delegations, &context) {
                    Ok(_) => continue,
                    Err(error) => Missing::Chain(Box::new(error)),
                }
            };
            unauthorized.push(Unauthorized {
                label: step.label.clone(),
                command: command.to_string(),
                subject: subject.clone(),
                reason,
            });
        }
        if unauthorized.is_empty() { Ok(()) } else { Err(RunError::NoAuthority(unauthorized)) }
    }

    /// Checks each task whose result is not known yet. What is known was checked when it was run, so that a component
    /// is not even compiled for it.
    async fn check_tasks(&self, plan: &Plan, elsewhere: &HashMap<TaskId, Outcome>) -> Result<(), RunError> {
        let mut known = elsewhere.clone();
        let mut bad = Vec::new();
        for step in plan.steps() {
            let Some(handler) = self.parts.router.find(step.task.subject(), step.task.command()) else { continue };
            let args = resolve(&Ipld::Map(step.task.args().clone()), &|id| known.get(id).cloned());
            if let Ok(Ipld::Map(args)) = args
                && let Some(receipt) = self.known_result(&step.task.with_args(args), &**handler).await?
            {
                known.insert(step.id, receipt.outcome().clone());
                continue;
            }
            if let Err(failure) = handler.check(&step.task, &step.config).await {
                bad.push(BadTask { label: step.label.clone(), failure });
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(RunError::BadTasks(bad)) }
    }

    async fn finish(&self, run: TaskId, steps: &[StepReport], not_started: &[String]) -> Result<Receipt, RunError> {
        let receipts = steps.iter().map(|step| (step.label.clone(), Ipld::Link(step.receipt.into()))).collect();
        let receipts = Ipld::Map(receipts);
        let failed: Vec<&str> =
            steps.iter().filter(|step| !step.outcome.is_ok()).map(|step| step.label.as_str()).collect();
        let strings =
            |labels: Vec<&str>| Ipld::List(labels.into_iter().map(|label| Ipld::String(label.to_owned())).collect());
        let outcome = if failed.is_empty() && not_started.is_empty() {
            Outcome::Ok(Ipld::Map([("tasks".to_owned(), receipts)].into()))
        } else {
            Failure::new("TaskFailed", format!("failed: {}", failed.join(", ")))
                .with("tasks", receipts)
                .with("failed", strings(failed))
                .with("notStarted", strings(not_started.iter().map(String::as_str).collect()))
                .into()
        };
        let receipt = self.sign(Receipt::builder(run, outcome))?;
        let filing = Filing { tasks: vec![run], memo: None, durability: Durability::Synced };
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

fn run_arguments(invocation: &Invocation) -> Result<(Cid, Vec<Cid>, Vec<Command>), RunError> {
    let malformed = |what: &str| RunError::Malformed(what.to_owned());
    if invocation.command().as_str() != RUN_COMMAND {
        return Err(RunError::Malformed(format!("it invokes {}, not {RUN_COMMAND}", invocation.command())));
    }
    let args = invocation.args();
    if let Some(key) = args.keys().find(|key| !matches!(key.as_str(), "workflow" | "prf" | "self")) {
        return Err(RunError::Malformed(format!("unknown argument {key:?}")));
    }
    let Some(Ipld::Link(workflow)) = args.get("workflow") else {
        return Err(malformed("the argument \"workflow\" is to be a link"));
    };
    let list = |key: &str| match args.get(key) {
        None => Ok(&[] as &[Ipld]),
        Some(Ipld::List(items)) => Ok(items.as_slice()),
        Some(_) => Err(RunError::Malformed(format!("the argument {key:?} is to be a list"))),
    };
    let grants = list("prf")?
        .iter()
        .map(|item| match item {
            Ipld::Link(cid) => Ok(*cid),
            _ => Err(malformed("the argument \"prf\" is to be a list of links")),
        })
        .collect::<Result<_, _>>()?;
    let own = list("self")?
        .iter()
        .map(|item| match item {
            Ipld::String(command) => Command::parse(command).map_err(|error| RunError::Malformed(error.to_string())),
            _ => Err(malformed("the argument \"self\" is to be a list of commands")),
        })
        .collect::<Result<_, _>>()?;
    Ok((*workflow, grants, own))
}
