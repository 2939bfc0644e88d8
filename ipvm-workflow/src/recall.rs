//! What a run that ends badly had come to in other lives: before a crash or a pause.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use ucan_core::{Cid, Ipld};
use ucan_invocation::{Listing, Outcome, Receipt, ReceiptId, ReceiptStore, Task, TaskId};

use crate::catch::{self, Answer, BY, CAUGHT, Caught, RUN};
use crate::perform::Performance;
use crate::resolve::resolve;
use crate::stating;
use crate::step::{Concluded, Work};
use crate::{Event, How, Paused, Resolution, RunError, Step};

/// What the handler of failures answered for a step in another life.
struct Answered {
    /// The receipt of the failure that it was told of.
    failed: Receipt,
    caught: Caught,
    /// What those who wait for the step went on from, where they did.
    outcome: Option<Outcome>,
}

impl Performance<'_> {
    /// Finds out what a run that ends badly did before a crash or a pause, of what it has not come to again since. None of what has
    /// ended since waits for that, so that it is undone first.
    pub(crate) async fn recall(&mut self, notes: &mpsc::UnboundedSender<Event>) -> Result<(), RunError> {
        let mut undoing = false;
        for step in self.plan.steps().iter().filter(|step| step.undoes) {
            undoing |= self.shared.parts.journal.intended(&step.id).await?;
        }
        let failures = self.performed.reports.iter().map(|report| {
            // The handler of failures is not told of what follows from others.
            let told = !report.outcome.is_ok() && report.outcome.failure_name() != Some("BranchMismatch");
            (report.task, told && !self.performed.caught.contains_key(&report.label))
        });
        let reported: BTreeMap<TaskId, bool> = failures.collect();
        let plan = self.plan;
        for (position, step) in plan.steps().iter().enumerate().filter(|(_, step)| !step.undoes) {
            let has_failed = match reported.get(&step.id) {
                Some(has_failed) => *has_failed,
                None => self.recall_step(position, undoing, notes).await?,
            };
            if self.paused.is_some() {
                return Ok(());
            }
            if has_failed && let Some(answered) = self.answered_before(step).await? {
                if let (Some(outcome), Some(receipt)) = (answered.outcome, answered.caught.instead) {
                    self.outcomes.insert(step.id, outcome);
                    self.instead.insert(step.id, receipt);
                }
                self.caught(position, answered.caught);
            }
        }
        self.recall_continued(undoing, notes).await
    }

    /// Finds out what a step came to that this life has not come to; whether that was a failure.
    async fn recall_step(
        &mut self,
        position: usize,
        undoing: bool,
        notes: &mpsc::UnboundedSender<Event>,
    ) -> Result<bool, RunError> {
        let (plan, shared) = (self.plan, self.shared);
        let step = &plan.steps()[position];
        let known = match shared.receipt_of(&step.id).await? {
            None if !step.class.is_mutation() => self.known_as_resolved(step).await?,
            known => known,
        };
        let report = match known {
            Some(receipt) => stating::report(step, How::Reused, &receipt, Duration::ZERO),
            None if step.class.is_mutation() && shared.parts.journal.intended(&step.id).await? => {
                // Undoing begins when all that was begun has come to something: what has no receipt of it had failed, and could
                // succeed now, on top of what is undone.
                let work = Work { settle: true, had_failed: undoing, ..self.work(step.clone(), notes.clone()) };
                if work.task.is_err() {
                    // What it went on from is not known any more, so that nobody here can find out.
                    match self.options.resolutions.get(&step.id) {
                        Some(Resolution::Done(outcome)) if outcome.is_ok() => self.effects.push(position),
                        Some(_) => {}
                        None => self.pause(Paused::Uncertain { label: step.label.clone(), task: step.id }),
                    }
                    return Ok(false);
                }
                match work.perform().await? {
                    Concluded::Report(report) => report,
                    Concluded::Paused(paused) => {
                        self.pause(paused);
                        return Ok(false);
                    }
                }
            }
            // An attempt is found by whoever answered for it.
            None => match self.answered_before(step).await? {
                Some(answered) => stating::report(step, How::Reused, &answered.failed, Duration::ZERO),
                None => return Ok(false),
            },
        };
        let succeeded = report.outcome.is_ok();
        if step.class.is_mutation() && succeeded {
            self.effects.push(position);
        }
        (self.observe)(Event::Finished(report.clone()));
        self.note(step, &report);
        self.enqueue(None, &report).await;
        self.performed.reports.push(report);
        Ok(!succeeded)
    }

    /// The receipt of a function or a query that went on from what others came to instead.
    async fn known_as_resolved(&self, step: &Step) -> Result<Option<Receipt>, RunError> {
        let Ok(task) = resolve(&step.task, &|id| self.outcomes.get(id)) else { return Ok(None) };
        let resolved = self.shared.name(step, task.id()?);
        let known = self.shared.receipt_of(&resolved).await?;
        Ok(known.filter(|receipt| *receipt.ran() == step.id))
    }

    /// What the handler of failures answered last for a failure of this step. Its receipts are found by the task that failed, and the
    /// failure by the id of its own task, which pins all that it was told.
    async fn answered_before(&self, step: &Step) -> Result<Option<Answered>, RunError> {
        let Some(handler) = self.plan.catch() else { return Ok(None) };
        let told = self.shared.listed(&Listing::Input(step.id.into())).await?;
        for id in told.into_iter().rev() {
            let Some(by) = self.believed(&id).await? else { continue };
            let Some(failed) = self.failure_told(handler, step, &by).await? else { continue };
            let by_id = by.id();
            let (instead, message) = match Answer::read(by.outcome()) {
                Ok(Answer::Message(message)) => (None, Some(message)),
                Ok(Answer::Ok(_) | Answer::Rewire(_)) => match self.substitute(step, &failed, &by).await? {
                    Some(receipt) => (Some(receipt), None),
                    None => (None, Some("nobody went on from what the handler of failures answered".to_owned())),
                },
                Err(problem) => (None, Some(catch::no_help(&problem))),
            };
            let outcome = instead.as_ref().and_then(|receipt| self.shared.plain(step, receipt.outcome()));
            let caught = Caught { by: by_id, instead: instead.map(|receipt| receipt.id()), message };
            return Ok(Some(Answered { failed, caught, outcome }));
        }
        Ok(None)
    }

    /// The failure of `step` that the handler of failures was told of where it came to `by`; none, where that is something else.
    async fn failure_told(&self, handler: &Step, step: &Step, by: &Receipt) -> Result<Option<Receipt>, RunError> {
        let Some(bytes) = self.shared.parts.blocks.get(by.ran().cid()).await? else { return Ok(None) };
        let Some(task) = Task::from_block(&bytes).ok().filter(|task| task.command() == handler.task.command()) else {
            return Ok(None);
        };
        for link in task.links() {
            let failed = self.believed(&ReceiptId::new(link)).await?;
            let Some(failed) = failed.filter(|failed| *failed.ran() == step.id && !failed.outcome().is_ok()) else {
                continue;
            };
            let report = stating::report(step, How::Reused, &failed, Duration::ZERO);
            if catch::step(handler, &report)?.id == *by.ran() {
                return Ok(Some(failed));
            }
        }
        Ok(None)
    }

    /// The receipt by which this run went on from what the handler answered for that failure.
    async fn substitute(&self, step: &Step, failed: &Receipt, by: &Receipt) -> Result<Option<Receipt>, RunError> {
        let links = [(CAUGHT, Cid::from(failed.id())), (BY, by.id().into()), (RUN, self.run.into())];
        let is_it = |receipt: &Receipt| {
            let has = |(key, cid): &(&str, Cid)| receipt.meta().get(*key) == Some(&Ipld::Link(*cid));
            *receipt.ran() == step.id && links.iter().all(has)
        };
        for id in self.shared.listed(&Listing::Input(by.id().into())).await?.into_iter().rev() {
            if let Some(receipt) = self.believed(&id).await?.filter(is_it) {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    async fn believed(&self, id: &ReceiptId) -> Result<Option<Receipt>, RunError> {
        let receipt = ReceiptStore::get(&*self.shared.parts.receipts, id).await?;
        Ok(receipt.filter(|receipt| self.shared.trusts(receipt)))
    }
}
