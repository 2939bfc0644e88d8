use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::AddAssign;
use std::time::Duration;

use tokio::task::JoinSet;
use ucan_core::{Did, Ipld, StoreError, verify};
use ucan_invocation::{Cursor, EffectClass, Listing, Outcome, Receipt, ReceiptId, Task, TaskId};

use crate::catch::{self, Answer, BY, CAUGHT, Caught};
use crate::continuation::Walk;
use crate::stating::report;
use crate::vault::is_sealed;
use crate::{Engine, How, Plan, RUN_COMMAND, RunError, Verification, VerifyError, Workflow};

/// How many receipts there are of which what holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that were run again, and gave the same.
    pub reexecuted: u64,
    /// Signatures that hold, of tasks that are not run again, of attempts and of whole runs.
    pub attested: u64,
    /// Receipts that do not hold.
    pub refuted: u64,
    /// Receipts of which it cannot be told here.
    pub untold: u64,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.reexecuted + self.attested + self.refuted + self.untold
    }

    fn count(&mut self, verified: &Result<Verification, VerifyError>) {
        let counter = match verified {
            Ok(Verification::Reexecuted { .. }) => &mut self.reexecuted,
            Ok(_) => &mut self.attested,
            Err(error) if error.refutes() => &mut self.refuted,
            Err(_) => &mut self.untold,
        };
        *counter += 1;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.reexecuted += more.reexecuted;
        self.attested += more.attested;
        self.refuted += more.refuted;
        self.untold += more.untold;
    }
}

/// What holds of a whole run: of each task that its receipt lists.
#[derive(Debug)]
pub struct RunVerification {
    /// The labels, in the order of the plan and then in that of asking, with what verifying the receipt of each gave.
    pub steps: Vec<(String, Result<Verification, VerifyError>)>,
}

impl RunVerification {
    /// How many receipts there are of which what holds.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.steps.iter().for_each(|(_, verified)| tally.count(verified));
        tally
    }
}

/// How many receipts are looked up at a time.
const PAGE: usize = 100;

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
        if self.verify(receipt.clone()).await? != Verification::Run {
            return Err(VerifyError::NotARun);
        }
        let links = async |key, within| self.shared.links_of(receipt.outcome(), key, within).await;
        let mut listed = links("tasks", None).await?.ok_or(VerifyError::NotARun)?;
        // What undoes another is no task of the normal course, so that no label is in both.
        listed.extend(links("undone", None).await?.unwrap_or_default());
        listed.extend(links("notUndone", Some("receipt")).await?.unwrap_or_default());
        let mut continued = links("continued", None).await?.unwrap_or_default();
        let caught = answers(self.shared.entries_of(receipt.outcome(), "caught").await?.unwrap_or_default());
        let request = self.task(&run).await?;
        let workflow = self.workflow_of(&request).await?;
        let plan =
            self.shared.plan(run, &workflow, request.subject()).map_err(|error| VerifyError::Plan(Box::new(error)))?;
        let labels: BTreeSet<&str> = plan.steps().iter().map(|step| step.label.as_str()).collect();
        if let Some(label) = listed.keys().find(|label| !labels.contains(label.as_str())) {
            return Err(VerifyError::UnknownLabel { label: label.clone() });
        }
        let (mut steps, mut walk, mut untold) = (Vec::new(), Walk::unbounded(), Vec::new());
        for step in plan.steps() {
            // What was not started has no receipt.
            let Some(id) = listed.get(&step.label) else { continue };
            let (receipt, verified) = self.verify_listed(id, &step.id, step.secret).await?;
            match receipt {
                Some(receipt) => walk.add_step(&step.label, step.class, &receipt),
                None => untold.push((step.label.clone(), *id)),
            }
            observe(&step.label, &verified);
            steps.push((step.label.clone(), verified));
        }
        while let Some(asked) = walk.next() {
            let Some(id) = continued.remove(&asked.label) else { continue };
            let (receipt, verified) = self.verify_listed(&id, &asked.task, false).await?;
            let class = self.shared.class_of_asked(request.subject(), &asked.task).await?.unwrap_or(EffectClass::Query);
            match receipt {
                Some(receipt) => walk.add_asked(&asked, class, &receipt),
                None => untold.push((asked.label.clone(), id)),
            }
            observe(&asked.label, &verified);
            steps.push((asked.label, verified));
        }
        for label in continued.into_keys() {
            let below = |by: &str| label.strip_prefix(by).is_some_and(|rest| rest.starts_with('/'));
            // No receipt of the run asks for it, unless one does that is not known here.
            let Some((_, by)) = untold.iter().find(|(by, _)| below(by)) else {
                return Err(VerifyError::UnknownLabel { label });
            };
            let verified = Err(VerifyError::MissingReceipt { receipt: *by });
            observe(&label, &verified);
            steps.push((label, verified));
        }
        for label in caught.keys() {
            let verified = self.verify_caught(&plan, &listed, &caught, label).await;
            if let Err(VerifyError::Store(error)) = verified {
                return Err(error.into());
            }
            let label = format!("catch of {label}");
            observe(&label, &verified);
            steps.push((label, verified));
        }
        Ok(RunVerification { steps })
    }

    /// Checks a receipt that a run lists for the task `ran`, which may be `secret`; and gives it, where it is one of that task.
    async fn verify_listed(
        &self,
        id: &ReceiptId,
        ran: &TaskId,
        secret: bool,
    ) -> Result<(Option<Receipt>, Result<Verification, VerifyError>), StoreError> {
        Ok(match self.parts().receipts.get(id).await? {
            None => (None, Err(VerifyError::MissingReceipt { receipt: *id })),
            Some(receipt) if receipt.ran() != ran => (None, Err(VerifyError::OtherTask)),
            Some(receipt) if !secret && is_sealed(&receipt) => (Some(receipt), Err(VerifyError::Withheld)),
            Some(receipt) => (Some(receipt.clone()), self.verify(receipt).await),
        })
    }

    /// Checks what a run says of a failure: that its handler was told of it, and what it answered is what the task came to instead.
    async fn verify_caught(
        &self,
        plan: &Plan,
        listed: &BTreeMap<String, ReceiptId>,
        caught: &BTreeMap<String, Option<Caught>>,
        label: &str,
    ) -> Result<Verification, VerifyError> {
        let receipt = async |id: &ReceiptId| {
            let found = self.parts().receipts.get(id).await?;
            found.ok_or(VerifyError::MissingReceipt { receipt: *id })
        };
        let unknown = || VerifyError::UnknownLabel { label: label.to_owned() };
        let Caught { by, instead, .. } = caught.get(label).and_then(Option::as_ref).ok_or(VerifyError::NotARun)?;
        let position = plan.steps().iter().position(|step| step.label == label).ok_or_else(unknown)?;
        let (step, failed) = (&plan.steps()[position], listed.get(label).ok_or_else(unknown)?);
        let handler = plan.catch().ok_or_else(unknown)?;
        let told = report(step, How::Reused, &receipt(failed).await?, Duration::ZERO);
        let answered = receipt(by).await?;
        if catch::step(handler, &told)?.id != *answered.ran() {
            return Err(VerifyError::OtherTask);
        }
        if let Some(instead) = instead {
            let instead = verify(receipt(instead).await?, &*self.parts().keys)?.into_inner();
            let links = [(CAUGHT, failed), (BY, by)];
            let links = links.iter().all(|(key, id)| instead.meta().get(*key) == Some(&Ipld::Link((**id).into())));
            if !links || *instead.ran() != step.id {
                return Err(VerifyError::OtherTask);
            }
            let answers = match Answer::read(answered.outcome()) {
                Ok(Answer::Ok(value)) => vec![Outcome::Ok(value)],
                // What that one came to, or was made good by.
                Ok(Answer::Rewire(to)) if plan.rewirable(position, &to).is_ok() => {
                    let instead = caught.get(&to).and_then(Option::as_ref).and_then(|it| it.instead.as_ref());
                    let mut answers = Vec::new();
                    for id in listed.get(&to).into_iter().chain(instead) {
                        answers.push(receipt(id).await?.outcome().clone());
                    }
                    answers
                }
                _ => return Err(VerifyError::OtherTask),
            };
            match is_sealed(&instead) {
                true if !step.secret => return Err(VerifyError::Withheld),
                false if !answers.contains(instead.outcome()) => {
                    return Err(VerifyError::OtherInput { task: step.id });
                }
                _ => {}
            }
        }
        self.verify(answered).await
    }

    /// Checks all receipts of the store that `issuer` signed, each as [`Engine::verify`] does, as many at once as the engine does
    /// tasks; `observe` is told of each, in the order in which they are done. What is signed meanwhile is checked, too.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn verify_issued(
        &self,
        issuer: &Did,
        observe: &(dyn Fn(&ReceiptId, &Result<Verification, VerifyError>) + Send + Sync),
    ) -> Result<Tally, StoreError> {
        let (listing, receipts) = (Listing::issuer(issuer), &self.parts().receipts);
        let (mut tally, mut next) = (Tally::default(), Some(Cursor::START));
        let (mut waiting, mut under_way) = (VecDeque::new(), JoinSet::new());
        loop {
            if let Some(cursor) = next.filter(|_| waiting.is_empty()) {
                let page = receipts.list(&listing, cursor, PAGE).await?;
                (waiting, next) = (page.receipts.into(), page.next);
            }
            while under_way.len() < self.parts().parallelism.max(1) {
                let Some(id) = waiting.pop_front() else { break };
                let engine = self.clone();
                under_way.spawn(async move {
                    let verified = match engine.parts().receipts.get(&id).await {
                        Ok(Some(receipt)) => engine.verify(receipt).await,
                        Ok(None) => Err(VerifyError::MissingReceipt { receipt: id }),
                        Err(error) => Err(error.into()),
                    };
                    (id, verified)
                });
            }
            match under_way.join_next().await {
                Some(Ok((_, Err(VerifyError::Store(error))))) => return Err(error),
                Some(Ok((id, verified))) => {
                    observe(&id, &verified);
                    tally.count(&verified);
                }
                Some(Err(error)) => return Err(StoreError::io("verifying a receipt", std::io::Error::other(error))),
                None if waiting.is_empty() && next.is_none() => return Ok(tally),
                None => {}
            }
        }
    }

    pub(crate) async fn workflow_of(&self, request: &Task) -> Result<Workflow, VerifyError> {
        let cid = match request.args().get("workflow") {
            Some(Ipld::Link(cid)) if request.command().as_str() == RUN_COMMAND => *cid,
            _ => return Err(VerifyError::NotARun),
        };
        self.shared.workflow(&cid).await.map_err(|error| match error {
            RunError::Store(error) => error.into(),
            // What its hash names is what it was when it was run.
            _ => VerifyError::MissingWorkflow { cid },
        })
    }
}

fn link(value: &Ipld) -> Option<ReceiptId> {
    match value {
        Ipld::Link(cid) => Some(ReceiptId::new(*cid)),
        _ => None,
    }
}

/// What a run says of failures, by label; nothing of one of which it says something else.
fn answers(listed: BTreeMap<String, Ipld>) -> BTreeMap<String, Option<Caught>> {
    let answered = |value: &Ipld| {
        let Ipld::Map(map) = value else { return None };
        let instead = match map.get("instead") {
            None => None,
            Some(value) => Some(link(value)?),
        };
        Some(Caught { by: link(map.get("by")?)?, instead, message: None })
    };
    listed.into_iter().map(|(label, value)| (label, answered(&value))).collect()
}
