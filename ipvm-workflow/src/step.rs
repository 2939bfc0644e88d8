use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use ucan_core::{Ipld, StoreError, Timestamp};
use ucan_invocation::{
    Call, Completion, EffectClass, Failure, Handler, InstructionId, Probe, Receipt, ReceiptId, Task, TaskId,
};
use ucan_pipeline::ResolveError;

use crate::charge::{Hold, Short};
use crate::engine::Shared;
use crate::errand::Doer;
use crate::known::Known;
use crate::places::Want;
use crate::request::Grants;
use crate::stating::{RESOLUTION, report};
use crate::{Entry, Event, How, Paused, Resolution, RunError, RunOptions, Step, StepReport};

/// One step of a run, with all that it takes to perform it.
pub(crate) struct Work {
    pub(crate) step: Step,
    /// The task with its promises resolved.
    pub(crate) task: Result<Task, ResolveError>,
    /// What was known of it when the run was accepted.
    pub(crate) known: Option<Known>,
    pub(crate) run: TaskId,
    /// The receipts that it goes on from, of tasks that it awaits, which are not those of their outcomes.
    pub(crate) instead: Vec<ReceiptId>,
    /// The receipt that asked for it, where it is no task of the workflow.
    pub(crate) cause: Option<ReceiptId>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: RunOptions,
    /// Whether it is only to be settled what came of it: the run was cancelled after it was begun.
    pub(crate) settle: bool,
    /// Whether what nobody pays for is not waited for: somebody wants the run to be over.
    pub(crate) gives_up: bool,
    /// Whether it is known to have failed before a crash: what was begun has no final receipt, and undoing had begun.
    pub(crate) had_failed: bool,
    /// Whether the workflow has a handler of failures.
    pub(crate) catches: bool,
    /// The span of the task, within that of the run.
    pub(crate) span: Span,
    /// Where it says what happens meanwhile.
    pub(crate) notes: mpsc::UnboundedSender<Event>,
}

/// What a step comes to.
#[expect(clippy::large_enum_variant, reason = "there is one a step, and most are reports")]
pub(crate) enum Concluded {
    /// It has its receipt.
    Report(StepReport),
    /// It cannot go on by itself.
    Paused(Paused),
}

/// A call whose authority was checked, and when.
pub(crate) struct Allowed {
    call: Call,
    at: Timestamp,
    /// The revision of the store of revocations, where it has any.
    revision: Option<u64>,
}

/// How a task that has its own receipt now came by it.
pub(crate) struct Stated {
    pub(crate) how: How,
    pub(crate) receipt: Receipt,
}

/// What an attempt comes to.
pub(crate) enum Attempt {
    Stated(Stated),
    /// It may be made again.
    Failed(Stated),
    /// The same, but nobody knows whether it failed: where it is not made again, the run is paused.
    Unanswered(Stated, Paused),
    Paused(Paused),
}

/// Whether an effect was begun before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Not,
    /// With these arguments.
    As,
    /// With other arguments: what it awaits failed then, went on from what its handler of failures answered, and succeeds now.
    Otherwise,
}

impl From<Stated> for Attempt {
    fn from(stated: Stated) -> Self {
        Self::Stated(stated)
    }
}

impl Work {
    pub(crate) async fn perform(self) -> Result<Concluded, RunError> {
        let span = self.span.clone();
        self.perform_here().instrument(span).await
    }

    async fn perform_here(self) -> Result<Concluded, RunError> {
        let started = Instant::now();
        let attempt = match &self.task {
            Ok(_) if self.had_failed => {
                let failure =
                    Failure::new("Cancelled", "it had failed when the run was cancelled, and is not tried again");
                self.fail(failure).await?.into()
            }
            Ok(task) => self.perform_resolved(task).await?,
            Err(error) => self.fail(error.into()).await?.into(),
        };
        let Stated { how, receipt } = match attempt {
            Attempt::Stated(stated) | Attempt::Failed(stated) => stated,
            Attempt::Paused(paused) | Attempt::Unanswered(_, paused) => return Ok(Concluded::Paused(paused)),
        };
        Ok(Concluded::Report(report(&self.step, how, &receipt, started.elapsed())))
    }

    async fn perform_resolved(&self, task: &Task) -> Result<Attempt, RunError> {
        let (shared, class) = (&self.shared, self.step.class);
        let Some(doer) = self.doer(task) else {
            let failure = Failure::new("NoHandler", "there is no handler for this task");
            return self.fail(failure).await.map(Into::into);
        };
        let resolved = self.shared.name(&self.step, task.id()?);
        let shares = class == EffectClass::Deterministic && !self.step.secret;
        let instruction = if shares { Some(task.instruction_id()?) } else { None };
        let _alone = shared.flights.enter(instruction.map_or(*resolved.cid(), Into::into)).await;

        // Authority is checked on the resolved arguments and at this time, whether the result is known or not: it is
        // handed out only to somebody who could have asked for it.
        let mut allowed = match self.authorize(task).await? {
            Ok(allowed) => allowed,
            Err(failure) => return self.hold_back(failure, doer.handler(), task, &resolved).await,
        };
        let known = match (&doer, instruction) {
            (Doer::Here(handler), Some(_)) => self.known_result(task, *handler).await?,
            _ => self.done_before(&resolved).await?,
        };
        if let Some(known) = known {
            if !self.step.secret && shared.keeps(&known) {
                let message = "what came of this task is secret, and this workflow does not keep it so";
                return self.fail(Failure::new("Secret", message)).await.map(Into::into);
            }
            self.grants.count_known(&known);
            if instruction.is_some() {
                shared.sample(&known);
            }
            return self.reuse(task, &resolved, known).await.map(Into::into);
        }
        let (mut number, began) = (1, Instant::now());
        loop {
            let attempt = match &doer {
                Doer::Here(handler) => self.attempt(*handler, &mut allowed, &resolved, instruction, number).await?,
                Doer::There(errand) => self.ask(errand, task, &resolved).await?,
            };
            let (stated, unanswered) = match attempt {
                Attempt::Failed(stated) => (stated, None),
                Attempt::Unanswered(stated, paused) => (stated, Some(paused)),
                attempt => return Ok(attempt),
            };
            // Whoever did not answer may have done it: nobody goes on as if it had failed.
            let over = |attempt| unanswered.map_or(attempt, Attempt::Paused);
            let retry = self.step.retry.as_ref().filter(|_| !self.settle);
            let Some(retry) = retry else { return Ok(over(Attempt::Stated(stated))) };
            let name = stated.receipt.outcome().failure_name().unwrap_or_default();
            let mut chance = [0; 4];
            shared.parts.entropy.fill(&mut chance);
            let pause = retry.pause(number, name, u32::from_le_bytes(chance));
            let in_time = pause.filter(|pause| retry.within.is_none_or(|within| began.elapsed() + *pause <= within));
            let Some(pause) = in_time else {
                return Ok(over(self.spent(stated, number, pause.is_some())));
            };
            // Whoever shows what happens may be gone; what happens does not depend on it.
            let _unheard = self.notes.send(Event::Retrying {
                label: self.step.label.clone(),
                attempt: number,
                receipt: stated.receipt.id(),
                pause,
            });
            tokio::select! {
                biased;
                () = self.options.control.stopped() => return Ok(over(Attempt::Stated(stated))),
                () = shared.parts.timer.sleep(self.in_time(pause)) => number += 1,
            }
        }
    }

    /// What it comes to that all attempts failed. A handler of failures may know better; else a person has to.
    fn spent(&self, stated: Stated, attempts: u32, late: bool) -> Attempt {
        if attempts == 1 && !late || self.catches {
            return Attempt::Stated(stated);
        }
        let outcome = stated.receipt.outcome();
        Attempt::Paused(Paused::Spent {
            label: self.step.label.clone(),
            attempts,
            failure: outcome.failure_name().unwrap_or("error").to_owned(),
            message: outcome.failure_message().unwrap_or_default().to_owned(),
            receipt: stated.receipt.id(),
        })
    }

    /// What it comes to that nobody knows whether it took effect: it waits for a person.
    pub(crate) fn uncertain(&self) -> Attempt {
        Attempt::Paused(Paused::Uncertain { label: self.step.label.clone(), task: self.step.id })
    }

    /// Does the task once.
    async fn attempt(
        &self,
        handler: &dyn Handler,
        allowed: &mut Allowed,
        resolved: &TaskId,
        instruction: Option<InstructionId>,
        number: u32,
    ) -> Result<Attempt, RunError> {
        let (shared, class) = (&self.shared, self.step.class);
        let _turn = self.turn().await;
        let want = Want::new(self.run, self.options.priority, handler, &shared.parts.router);
        let _place = shared.places.acquire(want).await;
        if let Some(late) = self.too_late() {
            return Ok(Attempt::Paused(late));
        }
        // Waiting for a place may have taken long.
        if !self.still_holds(allowed) {
            *allowed = match self.authorize(allowed.call.task()).await? {
                Ok(allowed) => allowed,
                Err(failure) if number == 1 => {
                    return self.hold_back(failure, Some(handler), allowed.call.task(), resolved).await;
                }
                // What came of the attempts before is known.
                Err(failure) => return self.fail(failure).await.map(Into::into),
            };
        }
        let call = &allowed.call;
        let mut found = None;
        if class.is_mutation() {
            let begun = self.begun_before(resolved).await?;
            let probe = match begun {
                Begun::Not => None,
                Begun::As if class == EffectClass::IdempotentWrite => None,
                Begun::As => Some(self.find_out(handler, call).await),
                // Neither a repetition nor its handler says anything of what was begun with other arguments.
                Begun::Otherwise => Some(self.told().unwrap_or(Probe::Unknown)),
            };
            if let Some(probe) = probe {
                let repeats = begun == Begun::As && handler.is_idempotent(call.task().command());
                match probe {
                    Probe::Done(completion) => found = Some(*completion),
                    Probe::NotDone if self.settle && !repeats => {
                        let message = "the run was cancelled, and it has not taken effect";
                        return self.fail(Failure::new("Cancelled", message)).await.map(Into::into);
                    }
                    Probe::NotDone => {}
                    Probe::Unknown => return Ok(self.uncertain()),
                }
            }
        }
        // Nothing is announced that is not going to start.
        let hold = match self.hold(handler, call, found.is_some()).await {
            Ok(hold) => hold,
            Err(Short::Paused(paused @ Paused::ChannelClosed { .. })) if self.gives_up => {
                let failure = Failure::new("NotPaid", paused.to_string());
                return self.hold_back(failure, Some(handler), call.task(), resolved).await;
            }
            Err(Short::Paused(paused)) => return Ok(Attempt::Paused(paused)),
            Err(Short::Failed(error)) => return Err(error),
        };
        if class.is_mutation() {
            self.keep(Some(call.task())).await?;
            if found.is_none() {
                self.announce(resolved).await?;
            }
        }
        let began = Instant::now();
        let completion = match found {
            Some(completion) => completion,
            None => match self.handle_in_time(handler, call).await {
                Some(completion) => {
                    shared.costs.note(handler, call.task(), began.elapsed());
                    completion
                }
                None => return Ok(self.uncertain()),
            },
        };
        self.conclude(handler, call.task(), completion, instruction, began.elapsed(), hold).await
    }

    /// What it comes to that the task may not start. Of one that was begun before only a person can say whether it took effect: without
    /// authority its handler is not asked.
    pub(crate) async fn hold_back(
        &self,
        failure: Failure,
        handler: Option<&dyn Handler>,
        task: &Task,
        resolved: &TaskId,
    ) -> Result<Attempt, RunError> {
        let is_open = self.step.class.is_mutation()
            && self.begun_before(resolved).await? != Begun::Not
            && self.done_before(resolved).await?.is_none();
        match self.told() {
            Some(Probe::Done(completion)) if is_open => {
                let Some(handler) = handler else { return self.resolve(task, resolved, *completion).await };
                self.keep(Some(task)).await?;
                self.conclude(handler, task, *completion, None, Duration::ZERO, Hold::default()).await
            }
            None if is_open => Ok(self.uncertain()),
            _ => self.fail(failure).await.map(Into::into),
        }
    }

    /// Sets aside what the task may use. For one that was done before a crash nothing more is charged, whoever pays.
    async fn hold(&self, handler: &dyn Handler, call: &Call, done: bool) -> Result<Hold<'_>, Short> {
        let account = &self.grants.account;
        let Some(most) = handler.most_fuel(call.config()).filter(|_| account.counts()) else {
            return Ok(Hold::default());
        };
        let limit = if done { 0 } else { most };
        match account.set_aside(&self.shared, &self.step.label, self.step.id, limit).await {
            Err(Short::Paused(_)) if done => Ok(Hold::default()),
            held => held,
        }
    }

    /// Whether a mutable task that was begun took effect: by what somebody found out, or by what its handler does.
    async fn find_out(&self, handler: &dyn Handler, call: &Call) -> Probe {
        if let Some(told) = self.told() {
            return told;
        }
        if handler.is_idempotent(call.task().command()) {
            return Probe::NotDone;
        }
        handler.probe(call).await
    }

    /// What somebody found out of the task.
    pub(crate) fn told(&self) -> Option<Probe> {
        Some(match self.options.resolutions.get(&self.step.id)? {
            Resolution::Done(outcome) => {
                let resolved = (RESOLUTION.to_owned(), Ipld::Bool(true));
                let completion = Completion::new(outcome.clone());
                Probe::Done(Box::new(Completion { meta: [resolved].into(), ..completion }))
            }
            Resolution::NotDone => Probe::NotDone,
        })
    }

    pub(crate) async fn authorize(&self, task: &Task) -> Result<Result<Allowed, Failure>, RunError> {
        let Grants { invoker, delegations, .. } = &*self.grants;
        let (revision, revoked) = self.shared.revoked_of(&self.grants).await?;
        let (revoked, config) = (revoked.as_fn(), self.step.config.clone());
        let context = self.shared.context(&revoked);
        let (call, at) = (Call::authorize(task.clone(), config, invoker, delegations, &context), context.now);
        // What a call is named can be seen outside.
        let named = |call: Call| {
            let name = self.shared.name(&self.step, *call.id());
            Allowed { call: call.named(name), at, revision }
        };
        Ok(call.map(named).map_err(|error| Failure::new("NoAuthority", error.to_string())))
    }

    /// Whether a check would come to the same now: in the same second, with nothing more revoked.
    fn still_holds(&self, allowed: &Allowed) -> bool {
        let parts = &self.shared.parts;
        allowed.revision.is_some()
            && allowed.revision == parts.revocations.revision()
            && allowed.at == parts.clock.now()
    }

    /// What is known of a function.
    async fn known_result(&self, task: &Task, handler: &dyn Handler) -> Result<Option<Receipt>, RunError> {
        let (shared, config) = (&self.shared, &self.step.config);
        if let Some(known) = &self.known
            && let Some(receipt) = shared.still_known(known, task, config, handler).await?
        {
            return Ok(Some(receipt));
        }
        shared.known_result(task, config, handler).await
    }

    /// The receipt that this effect has from before a crash. That of a mutation is found under either id: what a task awaited may have
    /// come out differently the second time, and then only the id with its promises is the same. A query with other arguments is
    /// another question.
    async fn done_before(&self, resolved: &TaskId) -> Result<Option<Receipt>, StoreError> {
        let of_it = match self.step.class.is_mutation() {
            true => self.shared.receipt_of(&self.step.id).await?,
            false => None,
        };
        let found = match of_it {
            None => self.shared.receipt_of(resolved).await?,
            found => found,
        };
        // What was sealed with another key is as if it were not known.
        Ok(found.filter(|receipt| self.shared.plain(&self.step, receipt.outcome()).is_some()))
    }

    pub(crate) async fn begun_before(&self, resolved: &TaskId) -> Result<Begun, RunError> {
        let journal = &self.shared.parts.journal;
        Ok(if journal.intended(resolved).await? {
            Begun::As
        } else if *resolved != self.step.id && journal.intended(&self.step.id).await? {
            Begun::Otherwise
        } else {
            Begun::Not
        })
    }

    /// Writes down, under both ids, that the task is about to start. The resolved one comes first, so that where only the other one is
    /// found, what was begun was begun with other arguments.
    pub(crate) async fn announce(&self, resolved: &TaskId) -> Result<(), RunError> {
        let (journal, run) = (&self.shared.parts.journal, self.run);
        let intent = Entry::Intent { run, task: self.step.id };
        if *resolved == self.step.id {
            return Ok(journal.append(&intent).await?);
        }
        // Together, so that a store that commits in groups syncs once.
        let both = Entry::Intent { run, task: *resolved };
        let (one, other) = tokio::join!(journal.append(&both), journal.append(&intent));
        one?;
        Ok(other?)
    }
}
