//! What is checked before anything of a run starts.

use std::collections::HashMap;

use ucan_core::Did;
use ucan_invocation::{Outcome, Receipt, Revoked, Task, TaskId};

use crate::elsewhere::check_time;
use crate::engine::Shared;
use crate::error::{BadTask, Missing, RunError, Unauthorized};
use crate::known::Known;
use crate::limits::check_gas;
use crate::request::{Grants, Request};
use crate::resolve::resolve;
use crate::time_limit::time_limit;
use crate::{Plan, PlanError, Step, Workflow, vault};

/// What a request asks for.
pub(crate) struct Prepared {
    pub(crate) workflow: Workflow,
    pub(crate) plan: Plan,
    /// What its tasks await from elsewhere.
    pub(crate) outcomes: HashMap<TaskId, Outcome>,
    /// What is known already, by the task as it stands in the workflow.
    pub(crate) known: HashMap<TaskId, Known>,
}

impl Shared {
    /// What a request asks for, once all of it has been checked.
    pub(crate) async fn prepare(&self, request: &Request) -> Result<Prepared, RunError> {
        let workflow = self.workflow(&request.workflow).await?;
        let plan = self.plan(request.run, &workflow, &request.grants.home)?;
        self.check_secrets(&plan)?;
        if request.ends {
            // Nothing starts but what undoes it, and authority for that is checked when it does.
            let outcomes = self.results_from_elsewhere(&plan, &request.grants, true).await?;
            return Ok(Prepared { workflow, plan, outcomes, known: HashMap::new() });
        }
        self.check_ways(&plan)?;
        self.check_authority(&plan, &request.grants).await?;
        let outcomes = self.results_from_elsewhere(&plan, &request.grants, false).await?;
        let known = self.check_tasks(&workflow, &plan, &outcomes, &request.grants.home).await?;
        Ok(Prepared { workflow, plan, outcomes, known })
    }

    /// The outcomes of tasks that the plan awaits and does not contain. They are given only to somebody who could have
    /// asked for these tasks; where the run `ends`, it does without the others.
    async fn results_from_elsewhere(
        &self,
        plan: &Plan,
        grants: &Grants,
        ends: bool,
    ) -> Result<HashMap<TaskId, Outcome>, RunError> {
        let mut outcomes = HashMap::new();
        for (step, awaited) in plan.awaited_elsewhere() {
            match self.result_from_elsewhere(step, &awaited, grants).await {
                Err(error) if !ends || matches!(error, RunError::Store(_)) => return Err(error),
                outcome => drop(outcome.map(|outcome| outcomes.insert(awaited, outcome))),
            }
        }
        Ok(outcomes)
    }

    async fn result_from_elsewhere(&self, step: &Step, awaited: &TaskId, grants: &Grants) -> Result<Outcome, RunError> {
        let label = || step.label.clone();
        let missing = || PlanError::AwaitedElsewhere { label: label(), awaited: (*awaited).into() };
        let receipts = self.parts.receipts.by_task(awaited).await?;
        let told = |receipt: &Receipt| self.trusts(receipt) && !vault::is_sealed(receipt);
        let receipt = receipts.into_iter().find(told).ok_or_else(missing)?;
        let resolved = receipt.resolved();
        let bytes = self.parts.blocks.get(resolved.cid()).await?.ok_or_else(missing)?;
        let task = Task::from_block(&bytes)?;
        let (_, revoked) = self.revoked_of(grants).await?;
        self.authority(&task, grants, &revoked)
            .map_err(|reason| RunError::NoAuthority(vec![Unauthorized::new(label(), &task, reason)]))?;
        Ok(receipt.outcome().clone())
    }

    pub(crate) async fn check_authority(&self, plan: &Plan, grants: &Grants) -> Result<(), RunError> {
        let (_, revoked) = self.revoked_of(grants).await?;
        let missing = plan.steps().iter().chain(plan.catch()).filter_map(|step| {
            let found = self.authority(&step.task, grants, &revoked);
            let reason = found.and_then(|()| self.may_ask(step, grants, &revoked)).err()?;
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

    /// Checks each task whose result is not known yet, and gives the results that are. What is known was checked when it was run, so
    /// that a component is not even compiled for it.
    async fn check_tasks(
        &self,
        workflow: &Workflow,
        plan: &Plan,
        elsewhere: &HashMap<TaskId, Outcome>,
        home: &Did,
    ) -> Result<HashMap<TaskId, Known>, RunError> {
        let (mut outcomes, mut known, forgotten) = (elsewhere.clone(), HashMap::new(), self.doubts.forgotten());
        let mut bad = Vec::new();
        for step in plan.steps() {
            if step.audience.is_some() {
                let label = || step.label.clone();
                bad.extend(check_time(&step.config).err().map(|failure| BadTask { label: label(), failure }));
                continue;
            }
            let Some(handler) = self.handler(home, step.task.subject(), step.task.command()) else { continue };
            if !step.secret
                && let Ok(task) = resolve(&step.task, &|id| outcomes.get(id))
                && let Some(receipt) = self.known_result(&task, &step.config, &**handler).await?
            {
                outcomes.insert(step.id, receipt.outcome().clone());
                known.insert(step.id, Known { resolved: task.id()?, receipt: receipt.id(), forgotten });
                continue;
            }
            let timed = time_limit(&**handler, &step.config).map(drop);
            let fits = check_gas(workflow.run_config(), step, &**handler);
            if let Err(failure) = handler.check(&step.task, &step.config).await.and(timed).and(fits) {
                bad.push(BadTask { label: step.label.clone(), failure });
            }
        }
        if bad.is_empty() { Ok(known) } else { Err(RunError::BadTasks(bad)) }
    }
}
