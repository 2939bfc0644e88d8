//! What a run would cost, as far as that is known before.

use std::collections::HashMap;

use ucan_invocation::{EffectClass, Receipt, TaskId};

use crate::charge::used;
use crate::engine::Shared;
use crate::resolve::resolve;
use crate::{Engine, Plan, RunError, Step};

/// What one step of a plan would cost, in units of fuel. Tasks whose handlers do not count cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The label of the step.
    pub label: String,
    /// Whether its result is known, so that it costs nothing.
    pub known: bool,
    /// What it took somebody to compute it, where there is a receipt for the same instruction.
    pub measured: Option<u64>,
    /// The most that it can cost: what is set aside for it before it starts, for as often as it may be tried.
    pub most: u64,
}

impl Engine {
    /// What a run of `plan` would cost, step by step: by receipts of the same instructions where there are any, and at most what its
    /// limits allow. What undoes others, and the handler of failures, is not in it. Nobody is bound by it: what is known can be forgotten, and
    /// what a task awaits may come out differently.
    ///
    /// # Errors
    /// [`RunError`] where the store cannot be read.
    pub async fn quote(&self, plan: &Plan) -> Result<Vec<Quote>, RunError> {
        let (mut known, mut quotes) = (HashMap::new(), Vec::new());
        for step in plan.steps().iter().filter(|step| !step.undoes) {
            let (quote, receipt) = self.shared.quote(step, &known).await?;
            quotes.push(quote);
            known.extend(receipt.map(|receipt| (step.id, receipt.outcome().clone())));
        }
        Ok(quotes)
    }
}

impl Shared {
    async fn quote(
        &self,
        step: &Step,
        outcomes: &HashMap<TaskId, ucan_invocation::Outcome>,
    ) -> Result<(Quote, Option<Receipt>), RunError> {
        let label = step.label.clone();
        let free = Quote { label, known: false, measured: None, most: 0 };
        let handler = self.parts.router.find(step.task.subject(), step.task.command());
        let Some(handler) = handler.filter(|_| step.audience.is_none()) else {
            return Ok((free, None));
        };
        let task = resolve(&step.task, &|id| outcomes.get(id))
            .ok()
            .filter(|task| step.class == EffectClass::Deterministic && !step.secret && !task.is_pending());
        let Some(most) = handler.most_fuel(&step.config) else {
            let known = match &task {
                Some(task) => self.known_result(task, &step.config, &**handler).await?,
                None => None,
            };
            return Ok((Quote { known: known.is_some(), ..free }, known));
        };
        let attempts = step.retry.as_ref().map_or(1, |retry| u64::from(retry.attempts));
        let dear = Quote { most: most.saturating_mul(attempts), ..free.clone() };
        let Some(task) = task else { return Ok((dear, None)) };
        if let Some(known) = self.known_result(&task, &step.config, &**handler).await? {
            return Ok((Quote { known: true, measured: Some(used(known.meta())), ..free }, Some(known)));
        }
        // Somebody who is not believed may have measured well; by how much it can be wrong is stated too.
        let instruction = task.instruction_id()?;
        let stated = self.parts.receipts.by_instruction(&instruction).await?;
        let measured = stated.iter().map(|receipt| used(receipt.meta())).max();
        Ok((Quote { measured: measured.map(|measured| measured.min(dear.most)), ..dear }, None))
    }
}
