//! How far a run has come.

use std::collections::BTreeMap;

use ucan_core::Cid;
use ucan_invocation::{EffectClass, ReceiptId, ReceiptStore, TaskId};

use crate::continuation::Walk;
use crate::{Engine, VerifyError};

/// How far a run has come, by what is written down. What is under way at this moment is as what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStatus {
    /// The workflow.
    pub workflow: Cid,
    /// Whether it goes on.
    pub state: RunState,
    /// The steps by label, each after all that it awaits, and then the tasks that they asked for.
    pub steps: Vec<(String, EffectClass, StepState)>,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// It was started, and is neither over nor cancelled.
    Open,
    /// It was cancelled, or has failed, and is not undone yet.
    Cancelled,
    /// It is over.
    Over {
        /// The receipt of the run.
        receipt: ReceiptId,
        /// Whether it succeeded.
        succeeded: bool,
    },
    /// Another executor has it.
    HandedOver {
        /// The invocation that hands it over.
        handover: Cid,
    },
    /// It was never started here.
    Unknown,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepState {
    /// It has its receipt.
    Done {
        /// The receipt.
        receipt: ReceiptId,
        /// Whether it succeeded.
        succeeded: bool,
    },
    /// It alters the world, was begun, and has no receipt.
    Begun,
    /// It was not begun, or is pure and can be begun again.
    Waiting,
}

impl Engine {
    /// How far the run has come.
    ///
    /// # Errors
    /// [`VerifyError`] where the run or its workflow is not in the store, or cannot be planned.
    pub async fn status(&self, run: &TaskId) -> Result<RunStatus, VerifyError> {
        let (shared, journal) = (&self.shared, &self.parts().journal);
        let request = self.task(run).await?;
        let workflow = self.workflow_of(&request).await?;
        let plan = shared.plan(*run, &workflow, request.subject());
        let plan = plan.map_err(|error| VerifyError::Plan(Box::new(error)))?;
        let state = match (journal.open(run).await?, shared.receipt_of(run).await?) {
            (_, Some(receipt)) => RunState::Over { receipt: receipt.id(), succeeded: receipt.outcome().is_ok() },
            (Some(open), None) if open.cancelled => RunState::Cancelled,
            (Some(_), None) => RunState::Open,
            (None, None) => match journal.handed_over(run).await? {
                Some(handover) => RunState::HandedOver { handover },
                None => RunState::Unknown,
            },
        };
        // What a run that is over came to is what its receipt lists, attempts too.
        let mut listed = BTreeMap::new();
        if let RunState::Over { receipt, .. } = &state
            && let Some(receipt) = ReceiptStore::get(&*shared.parts.receipts, receipt).await?
        {
            for (key, within) in
                [("tasks", None), ("undone", None), ("continued", None), ("notUndone", Some("receipt"))]
            {
                listed.extend(shared.links_of(receipt.outcome(), key, within).await?.unwrap_or_default());
            }
        }
        let mut steps = Vec::with_capacity(plan.steps().len());
        let mut walk = Walk::bounded();
        let state_of = async |label: &str, task: &TaskId, class: EffectClass| -> Result<_, VerifyError> {
            let receipt = match listed.get(label) {
                Some(receipt) => ReceiptStore::get(&*shared.parts.receipts, receipt).await?,
                None => shared.receipt_of(task).await?,
            };
            let state = match &receipt {
                Some(receipt) => StepState::Done { receipt: receipt.id(), succeeded: receipt.outcome().is_ok() },
                None if class.is_mutation() && journal.intended(task).await? => StepState::Begun,
                None => StepState::Waiting,
            };
            Ok((receipt, state))
        };
        for step in plan.steps() {
            let (receipt, state) = state_of(&step.label, &step.id, step.class).await?;
            receipt.iter().for_each(|receipt| walk.add_step(&step.label, step.class, receipt));
            steps.push((step.label.clone(), step.class, state));
        }
        while let Some(asked) = walk.next() {
            // What cannot be done here alters nothing.
            let class = shared.class_of_asked(request.subject(), &asked.task).await?.unwrap_or(EffectClass::Query);
            let (receipt, state) = state_of(&asked.label, &asked.task, class).await?;
            receipt.iter().for_each(|receipt| walk.add_asked(&asked, class, receipt));
            steps.push((asked.label, class, state));
        }
        Ok(RunStatus { workflow: *workflow.cid(), state, steps })
    }
}
