use std::collections::BTreeMap;

use ucan_core::{Cid, Ipld};
use ucan_invocation::{Outcome, Receipt, ReceiptId, Task};

use crate::{Engine, RUN_COMMAND, Verification, VerifyError, Workflow};

/// What holds of a whole run: of each task that its receipt lists.
#[derive(Debug)]
pub struct RunVerification {
    /// The labels, in the order of the plan, with what verifying the receipt of each gave.
    pub steps: Vec<(String, Result<Verification, VerifyError>)>,
}

impl RunVerification {
    /// How many receipts are refuted.
    #[must_use]
    pub fn refuted(&self) -> usize {
        self.count(|step| step.as_ref().is_err_and(VerifyError::refutes))
    }

    /// Of how many receipts it cannot be told here whether they hold.
    #[must_use]
    pub fn untold(&self) -> usize {
        self.count(|step| step.as_ref().is_err_and(|error| !error.refutes()))
    }

    /// How many tasks were run again, and gave the same.
    #[must_use]
    pub fn reexecuted(&self) -> usize {
        self.count(|step| matches!(step, Ok(Verification::Reexecuted { .. })))
    }

    fn count(&self, what: impl Fn(&Result<Verification, VerifyError>) -> bool) -> usize {
        self.steps.iter().filter(|(_, step)| what(step)).count()
    }
}

impl Engine {
    /// Checks the receipt of a whole run: that it fits the workflow that was asked for, and the receipts of all tasks that it
    /// lists, each as [`Engine::verify`] does; `observe` is told each label with what came of it.
    ///
    /// # Errors
    /// [`VerifyError`] where the receipt of the run itself does not hold, or does not fit the workflow. What does not hold of a
    /// task is in the result.
    pub async fn verify_run(
        &self,
        receipt: Receipt,
        observe: &(dyn Fn(&str, &Result<Verification, VerifyError>) + Send + Sync),
    ) -> Result<RunVerification, VerifyError> {
        let run = *receipt.ran();
        let listed = tasks(receipt.outcome()).ok_or(VerifyError::NotARun)?;
        if self.verify(receipt).await? != Verification::Run {
            return Err(VerifyError::NotARun);
        }
        let request = self.task(&run).await?;
        let workflow = self.workflow_of(&request).await?;
        let plan = self.shared.plan(run, &workflow).map_err(|error| VerifyError::Plan(Box::new(error)))?;
        if let Some(label) = listed.keys().find(|label| !plan.steps().iter().any(|step| step.label == **label)) {
            return Err(VerifyError::UnknownLabel { label: label.clone() });
        }
        let mut steps = Vec::new();
        for step in plan.steps() {
            // What was not started has no receipt.
            let Some(id) = listed.get(&step.label) else { continue };
            let verified = match self.parts().receipts.get(id).await? {
                None => Err(VerifyError::MissingReceipt { receipt: *id }),
                Some(receipt) if *receipt.ran() != step.id => Err(VerifyError::OtherTask),
                Some(receipt) => self.verify(receipt).await,
            };
            observe(&step.label, &verified);
            steps.push((step.label.clone(), verified));
        }
        Ok(RunVerification { steps })
    }

    async fn workflow_of(&self, request: &Task) -> Result<Workflow, VerifyError> {
        let cid = match request.args().get("workflow") {
            Some(Ipld::Link(cid)) if request.command().as_str() == RUN_COMMAND => *cid,
            _ => return Err(VerifyError::NotARun),
        };
        let missing = |cid: Cid| VerifyError::MissingWorkflow { cid };
        let bytes = self.parts().blocks.get(&cid).await?.ok_or_else(|| missing(cid))?;
        // What its hash names is what it was when it was run.
        Workflow::from_block(&bytes).map_err(|_| missing(cid))
    }
}

/// The receipts by label that the outcome of a run lists, whether it succeeded or failed.
fn tasks(outcome: &Outcome) -> Option<BTreeMap<String, ReceiptId>> {
    let (Outcome::Ok(Ipld::Map(map)) | Outcome::Error(Ipld::Map(map))) = outcome else { return None };
    let Some(Ipld::Map(tasks)) = map.get("tasks") else { return None };
    let receipt = |(label, receipt): (&String, &Ipld)| match receipt {
        Ipld::Link(cid) => Some((label.clone(), ReceiptId::new(*cid))),
        _ => None,
    };
    tasks.iter().map(receipt).collect()
}
