//! Carrying out a plan: the planner says what is next, and this has it done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use ucan_core::{Cid, Ipld};
use ucan_invocation::{EffectClass, Outcome, Receipt, ReceiptId, TaskId, promises};

use crate::catch::{self, Answer, BY, CAUGHT, Caught, RUN};
use crate::continuation::Continuations;
use crate::control::Wish;
use crate::engine::Shared;
use crate::known::Known;
use crate::request::Grants;
use crate::resolve::resolve;
use crate::stating;
use crate::step::{Concluded, Work};
use crate::telemetry;
use crate::{Entry, Event, How, NotUndone, Paused, Plan, Planner, RunError, RunOptions, Step, StepReport, Workflow};

/// What came of a plan.
#[derive(Debug, Default)]
pub(crate) struct Performed {
    /// The steps that have receipts, in the order in which they came.
    pub(crate) reports: Vec<StepReport>,
    /// The tasks that have receipts of those that others asked for, in that order.
    pub(crate) continued: Vec<StepReport>,
    /// Those that were not started.
    pub(crate) not_continued: Vec<(String, EffectClass)>,
    /// Failures that were handled, by label.
    pub(crate) caught: BTreeMap<String, Caught>,
    /// What was undone, in that order.
    pub(crate) undone: Vec<StepReport>,
    /// What stays, as what was to undo it failed.
    pub(crate) not_undone: Vec<NotUndone>,
    pub(crate) cancelled: bool,
}

impl Performed {
    /// The steps that failed, and whose failure nobody made good, and the tasks that they asked for.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &StepReport> {
        let steps = self.reports.iter().filter(|report| !self.made_good(&report.label));
        steps.chain(&self.continued).filter(|report| !report.outcome.is_ok())
    }

    fn made_good(&self, label: &str) -> bool {
        self.caught.get(label).is_some_and(|caught| caught.instead.is_some())
    }
}

/// Something that ended.
pub(crate) enum Ended {
    Step(usize, Result<Concluded, RunError>),
    Catch(usize, Result<Concluded, RunError>),
    Continued(usize, Result<Concluded, RunError>),
}

/// The tasks under way. Dropping it does not abort them: what has begun to alter the world is to come to its receipt.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) tasks: JoinSet<Ended>,
    pub(crate) labels: HashMap<Id, String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.detach_all();
    }
}

/// A plan that is being carried out.
pub(crate) struct Performance<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) workflow: &'a Workflow,
    pub(crate) plan: &'a Plan,
    pub(crate) planner: &'a mut Planner,
    pub(crate) run: TaskId,
    pub(crate) grants: Arc<Grants>,
    pub(crate) outcomes: HashMap<TaskId, Outcome>,
    /// What was known when the run was accepted.
    known: HashMap<TaskId, Known>,
    /// Whether it was begun before, so that something of it may have been done.
    resumed: bool,
    /// Whether somebody wants it to be over, so that nothing is waited for that may never come.
    gives_up: bool,
    pub(crate) options: &'a RunOptions,
    pub(crate) observe: &'a (dyn Fn(Event) + Send + Sync),
    pub(crate) performed: Performed,
    /// What the receipts so far ask for.
    pub(crate) continued: Continuations,
    /// The receipts that others go on from, of tasks that these receipts do not answer: what failed tasks came to instead, what rests on
    /// that, and attempts.
    pub(crate) instead: HashMap<TaskId, ReceiptId>,
    /// Mutations that took effect, in the order in which they ended.
    pub(crate) effects: Vec<usize>,
    /// Failed steps that come to what another one comes to, once that has ended, with the receipts of their handlers.
    rewired: Vec<(usize, usize, ReceiptId)>,
    failures: HashMap<usize, StepReport>,
    pub(crate) running: Running,
    /// The first error that is no task's.
    pub(crate) error: Option<RunError>,
    pub(crate) paused: Option<Paused>,
}

/// What it takes to begin.
pub(crate) struct Beginning<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) workflow: &'a Workflow,
    pub(crate) plan: &'a Plan,
    pub(crate) planner: &'a mut Planner,
    pub(crate) run: TaskId,
    pub(crate) grants: Arc<Grants>,
    pub(crate) outcomes: HashMap<TaskId, Outcome>,
    pub(crate) known: HashMap<TaskId, Known>,
    pub(crate) cancelled: bool,
    pub(crate) resumed: bool,
    pub(crate) gives_up: bool,
    pub(crate) options: &'a RunOptions,
    pub(crate) observe: &'a (dyn Fn(Event) + Send + Sync),
}

impl<'a> Performance<'a> {
    pub(crate) fn new(beginning: Beginning<'a>) -> Self {
        let Beginning {
            shared,
            workflow,
            plan,
            planner,
            run,
            grants,
            outcomes,
            known,
            cancelled,
            resumed,
            gives_up,
            options,
            observe,
        } = beginning;
        Self {
            shared,
            workflow,
            plan,
            planner,
            run,
            grants,
            outcomes,
            known,
            resumed,
            gives_up,
            options,
            observe,
            performed: Performed { cancelled, ..Performed::default() },
            continued: Continuations::default(),
            instead: HashMap::new(),
            effects: Vec::new(),
            rewired: Vec::new(),
            failures: HashMap::new(),
            running: Running::default(),
            error: None,
            paused: None,
        }
    }

    /// Carries out the plan. After the first error nothing more is started, and what is under way is waited for; so it is where
    /// the run is paused or cancelled.
    pub(crate) async fn perform(mut self) -> Result<Performed, RunError> {
        // Resolved arguments take memory while they wait for a place to run.
        let most = self.shared.parts.parallelism.max(1) * 4;
        let (notes, mut noted) = mpsc::unbounded_channel();
        loop {
            self.heed().await;
            while self.goes_on() && self.running.tasks.len() < most {
                let Some(position) = self.planner.poll() else { break };
                self.start(position, notes.clone());
            }
            while self.goes_on() && self.running.tasks.len() < most && self.start_continued(&notes).await {}
            let ended = tokio::select! {
                biased;
                Some(event) = noted.recv() => {
                    (self.observe)(event);
                    continue;
                }
                () = self.options.control.stopped(), if self.goes_on() => continue,
                ended = self.running.tasks.join_next_with_id() => ended,
            };
            match ended {
                None => break,
                Some(Ok((id, ended))) => {
                    self.running.labels.remove(&id);
                    match ended {
                        Ended::Step(position, concluded) => self.end(position, concluded, &notes).await,
                        Ended::Catch(position, concluded) => self.end_catch(position, concluded).await,
                        Ended::Continued(position, concluded) => self.end_continued(position, concluded).await,
                    }
                }
                Some(Err(error)) => {
                    let label = self.running.labels.get(&error.id()).cloned().unwrap_or_default();
                    self.fail(RunError::Panicked { label });
                }
            }
        }
        while let Ok(event) = noted.try_recv() {
            (self.observe)(event);
        }
        let ends_badly = self.performed.cancelled || self.performed.failed().next().is_some();
        if self.error.is_none()
            && self.paused.is_none()
            && self.resumed
            && ends_badly
            && let Err(error) = self.recall(&notes).await
        {
            self.fail(error);
        }
        if self.error.is_none() && self.paused.is_none() {
            self.undo(&notes).await;
        }
        self.performed.not_continued = self.continued.not_started().collect();
        match (self.error, self.paused) {
            (Some(error), _) => Err(error),
            (None, Some(paused)) => Err(RunError::Paused(paused)),
            (None, None) => Ok(self.performed),
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.error.is_none() && self.paused.is_none() && !self.performed.cancelled
    }

    pub(crate) fn pause(&mut self, paused: Paused) {
        self.paused.get_or_insert(paused);
    }

    pub(crate) fn fail(&mut self, error: RunError) {
        self.error.get_or_insert(error);
    }

    /// Does what is wished of the run.
    async fn heed(&mut self) {
        match self.options.control.wished() {
            Wish::Go => {}
            Wish::Pause if self.goes_on() => self.paused = Some(Paused::Asked),
            Wish::Cancel if self.goes_on() => {
                let cancelled = Entry::Cancelled { run: self.run };
                match self.shared.parts.journal.append(&cancelled).await {
                    Ok(()) => self.performed.cancelled = true,
                    Err(error) => self.fail(error.into()),
                }
            }
            Wish::Pause | Wish::Cancel => {}
        }
    }

    pub(crate) fn work(&self, step: Step, notes: mpsc::UnboundedSender<Event>) -> Work {
        let awaited: Vec<TaskId> = step.task.args().values().flat_map(promises).map(|promise| promise.target).collect();
        let instead = awaited.iter().filter_map(|id| self.instead.get(id).copied()).collect();
        Work {
            task: resolve(&step.task, &|id| self.outcomes.get(id)),
            known: self.known.get(&step.id).copied(),
            span: telemetry::task_span(&step),
            step,
            run: self.run,
            instead,
            cause: None,
            grants: self.grants.clone(),
            shared: self.shared.clone(),
            options: self.options.clone(),
            settle: self.performed.cancelled,
            gives_up: self.gives_up,
            had_failed: false,
            catches: self.plan.catch().is_some(),
            notes,
        }
    }

    fn start(&mut self, position: usize, notes: mpsc::UnboundedSender<Event>) {
        let step = self.plan.steps()[position].clone();
        (self.observe)(Event::Started { label: step.label.clone() });
        let label = step.label.clone();
        let work = self.work(step, notes);
        let handle = self.running.tasks.spawn(async move { Ended::Step(position, work.perform().await) });
        self.running.labels.insert(handle.id(), label);
    }

    /// What came of a step, for those that await it.
    pub(crate) fn note(&mut self, step: &Step, report: &StepReport) {
        if !report.answers {
            self.instead.insert(report.task, report.receipt);
        }
        let outcome = self.shared.plain(step, &report.outcome);
        self.outcomes.extend(outcome.map(|outcome| (report.task, outcome)));
    }

    /// Takes note of what came of a step.
    async fn end(
        &mut self,
        position: usize,
        concluded: Result<Concluded, RunError>,
        notes: &mpsc::UnboundedSender<Event>,
    ) {
        let report = match concluded {
            Ok(Concluded::Report(report)) => report,
            Ok(Concluded::Paused(paused)) => return self.pause(paused),
            Err(error) => return self.fail(error),
        };
        let step = &self.plan.steps()[position];
        if step.class.is_mutation() && report.outcome.is_ok() {
            self.effects.push(position);
        }
        (self.observe)(Event::Finished(report.clone()));
        let succeeded = report.outcome.is_ok();
        self.note(step, &report);
        self.performed.reports.push(report.clone());
        self.enqueue(None, &report).await;
        // Nobody has to say of what waits for a failure that it fails, too.
        let follows = report.outcome.failure_name() == Some("BranchMismatch");
        match self.plan.catch() {
            Some(handler) if !succeeded && !follows && self.goes_on() => match catch::step(handler, &report) {
                Ok(step) => {
                    let work = self.work(step, notes.clone());
                    self.failures.insert(position, report);
                    let handle = self.running.tasks.spawn(async move { Ended::Catch(position, work.perform().await) });
                    self.running.labels.insert(handle.id(), crate::bind::CATCH.to_owned());
                }
                Err(error) => self.fail(error.into()),
            },
            _ => self.settle(position, succeeded).await,
        }
    }

    /// The step at `position` has come to what it comes to.
    async fn settle(&mut self, position: usize, succeeded: bool) {
        self.planner.handle_finished(position, succeeded);
        let (settled, waiting) = std::mem::take(&mut self.rewired).into_iter().partition(|(_, to, _)| *to == position);
        self.rewired = waiting;
        for (failed, to, by) in settled {
            Box::pin(self.rewire(failed, to, by)).await;
        }
    }

    /// Takes note of what the handler of the failure of a step answered.
    async fn end_catch(&mut self, position: usize, concluded: Result<Concluded, RunError>) {
        let report = match concluded {
            Ok(Concluded::Report(report)) => report,
            Ok(Concluded::Paused(paused)) => return self.pause(paused),
            Err(error) => return self.fail(error),
        };
        let by = report.receipt;
        match Answer::read(&report.outcome) {
            Ok(Answer::Ok(value)) => self.put_instead(position, Outcome::Ok(value), by).await,
            Ok(Answer::Message(message)) => self.stays_failed(position, by, message).await,
            Ok(Answer::Rewire(label)) => match self.plan.rewirable(position, &label) {
                Ok(to) if self.planner.is_finished(to) => self.rewire(position, to, by).await,
                Ok(to) => self.rewired.push((position, to, by)),
                Err(problem) => {
                    self.stays_failed(position, by, format!("it cannot be {label:?} instead: {problem}")).await
                }
            },
            Err(problem) => self.stays_failed(position, by, catch::no_help(&problem)).await,
        }
    }

    async fn rewire(&mut self, failed: usize, to: usize, by: ReceiptId) {
        let outcome = self.outcomes.get(&self.plan.steps()[to].id).filter(|outcome| outcome.is_ok()).cloned();
        match outcome {
            Some(outcome) => self.put_instead(failed, outcome, by).await,
            None => {
                let label = &self.plan.steps()[to].label;
                let message = format!("it was to be what {label:?} comes to, and that failed as well");
                self.stays_failed(failed, by, message).await;
            }
        }
    }

    async fn stays_failed(&mut self, position: usize, by: ReceiptId, message: String) {
        self.caught(position, Caught { by, instead: None, message: Some(message) });
        Box::pin(self.settle(position, false)).await;
    }

    pub(crate) fn caught(&mut self, position: usize, caught: Caught) {
        let label = self.plan.steps()[position].label.clone();
        (self.observe)(Event::Caught { label: label.clone(), caught: caught.clone() });
        self.performed.caught.insert(label, caught);
    }

    /// Has all who wait for a failed step go on with another outcome, which has a receipt of its own.
    async fn put_instead(&mut self, position: usize, outcome: Outcome, by: ReceiptId) {
        let (step, outcome) = (&self.plan.steps()[position], outcome.without_promises());
        if !outcome.is_ok() {
            return self.stays_failed(position, by, "the answer holds the shape of a promise".to_owned()).await;
        }
        let Some(failed) = self.failures.remove(&position) else { return };
        let meta = [(CAUGHT, failed.receipt.into()), (BY, by.into()), (RUN, self.run.into())];
        let meta = meta.map(|(key, cid)| (key.to_owned(), Ipld::Link(cid)));
        let stated = self.shared.stated(step, outcome.clone(), None);
        let receipt = self.shared.sign(Receipt::builder(step.id, stated).meta(meta.into()));
        let filed = match receipt {
            Ok(receipt) => {
                let inputs = [failed.receipt, by].map(Cid::from).into();
                self.shared.file_apart(&receipt, inputs).await.map(|()| receipt.id())
            }
            Err(error) => Err(error.into()),
        };
        match filed {
            Ok(instead) => {
                self.instead.insert(step.id, instead);
                self.outcomes.insert(step.id, outcome);
                self.caught(position, Caught { by, instead: Some(instead), message: None });
                Box::pin(self.settle(position, true)).await;
            }
            Err(error) => self.fail(error),
        }
    }

    /// Undoes, where the run has failed or was cancelled, what it did to the world, the last first.
    async fn undo(&mut self, notes: &mpsc::UnboundedSender<Event>) {
        if !self.performed.cancelled {
            let undoable = self.effects.iter().any(|position| self.plan.undo(*position).is_some());
            if !undoable || self.performed.failed().next().is_none() {
                return;
            }
            // After a crash, what failed might succeed: a run of which something is undone is not gone on with.
            if let Err(error) = self.shared.parts.journal.append(&Entry::Cancelled { run: self.run }).await {
                return self.fail(error.into());
            }
        }
        while let Some(position) = self.effects.pop() {
            let Some(undo) = self.plan.undo(position).cloned() else { continue };
            (self.observe)(Event::Undoing { label: self.plan.steps()[position].label.clone(), by: undo.label.clone() });
            match self.undo_one(&undo, notes).await {
                Ok(Concluded::Report(report)) => self.end_undo(position, &undo, report),
                Ok(Concluded::Paused(paused)) => return self.pause(paused),
                Err(error) => return self.fail(error),
            }
        }
    }

    async fn undo_one(&self, undo: &Step, notes: &mpsc::UnboundedSender<Event>) -> Result<Concluded, RunError> {
        // What was undone before a crash was, whether there is authority for it now or not.
        if let Some(receipt) = self.shared.receipt_of(&undo.id).await? {
            return Ok(Concluded::Report(stating::report(undo, How::Reused, &receipt, Duration::ZERO)));
        }
        Work { settle: false, ..self.work(undo.clone(), notes.clone()) }.perform().await
    }

    fn end_undo(&mut self, position: usize, undo: &Step, report: StepReport) {
        (self.observe)(Event::Finished(report.clone()));
        self.note(undo, &report);
        if report.outcome.is_ok() {
            return self.performed.undone.push(report);
        }
        let name = report.outcome.failure_name().unwrap_or("error");
        let reason = match report.outcome.failure_message() {
            Some(message) => format!("{name}: {message}"),
            None => name.to_owned(),
        };
        let label = self.plan.steps()[position].label.clone();
        let stays = NotUndone { label, by: undo.label.clone(), reason, receipt: report.receipt };
        (self.observe)(Event::NotUndone(stays.clone()));
        self.performed.not_undone.push(stays);
    }
}
