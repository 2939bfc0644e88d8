use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use ucan_core::Ipld;
use ucan_invocation::{
    Call, Completion, Durability, EffectClass, Failure, Filing, Handler, InstructionId, Outcome, Receipt,
    ReceiptBuilder, Task, TaskId, is_pending,
};
use ucan_pipeline::ResolveError;

use crate::engine::{Grants, Shared};
use crate::{Entry, How, RunError, Step, StepReport};

/// The metadata field that links the task as it was resolved, where that differs from the task as it was invoked.
pub(crate) const RESOLVED: &str = "resolved";
/// The metadata field that links the determinism profile under which a result was computed.
pub(crate) const PROFILE: &str = "profile";
/// The metadata field with the fuel that a computation used.
pub(crate) const FUEL: &str = "fuel";
/// The metadata field with the time that a computation took, in microseconds.
const TIME: &str = "time";

/// One step of a run, with all that it takes to perform it.
pub(crate) struct Work {
    pub(crate) step: Step,
    pub(crate) args: Result<Ipld, ResolveError>,
    pub(crate) run: TaskId,
    pub(crate) grants: Arc<Grants>,
    pub(crate) shared: Arc<Shared>,
}

/// How a task that has its own receipt now came by it.
struct Concluded {
    how: How,
    receipt: Receipt,
}

impl Work {
    pub(crate) async fn perform(self) -> Result<StepReport, RunError> {
        let started = Instant::now();
        let parts = &self.shared.parts;
        parts.blocks.put(self.step.id.cid(), self.step.task.to_block()?.into()).await?;
        let Concluded { how, receipt } = match &self.args {
            Ok(Ipld::Map(args)) => {
                let task = self.step.task.with_args(args.clone());
                let id = task.id()?;
                if id != self.step.id {
                    parts.blocks.put(id.cid(), task.to_block()?.into()).await?;
                }
                self.perform_resolved(task, id, started).await?
            }
            // Arguments are a map, and resolving them does not change that.
            Ok(_) => self.fail(unresolvable(&self.step, "the arguments are not a map")).await?,
            Err(error) => self.fail(resolve_failure(error)).await?,
        };
        let fuel = match receipt.meta().get(FUEL) {
            Some(Ipld::Integer(fuel)) => u64::try_from(*fuel).ok(),
            _ => None,
        };
        Ok(StepReport {
            label: self.step.label.clone(),
            task: self.step.id,
            class: self.step.class,
            how,
            outcome: receipt.outcome().clone(),
            fuel,
            elapsed: started.elapsed(),
            receipt: receipt.id(),
        })
    }

    async fn perform_resolved(&self, task: Task, id: TaskId, started: Instant) -> Result<Concluded, RunError> {
        let shared = &self.shared;
        let Some(handler) = shared.parts.router.find(task.subject(), task.command()) else {
            return self.fail(unresolvable(&self.step, "its handler is gone")).await;
        };
        // Authority is checked again here, on the resolved arguments and at this time, whether the result is known or
        // not: a result is handed out only to somebody who could have asked for it.
        let call = {
            let Grants { invoker, delegations, .. } = &*self.grants;
            Call::authorize(task, self.step.config.clone(), invoker, delegations, &shared.context())
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => return self.fail(Failure::new("NoAuthority", error.to_string())).await,
        };
        if self.step.class == EffectClass::Deterministic {
            let instruction = call.task().instruction()?.id()?;
            let _alone = shared.flights.enter(instruction).await;
            if let Some(known) = shared.known_result(call.task(), &**handler).await? {
                return self.reuse(id, &known).await;
            }
            self.compute(&**handler, &call, instruction, started).await
        } else {
            self.effect(&**handler, &call, started).await
        }
    }

    async fn compute(
        &self,
        handler: &dyn Handler,
        call: &Call,
        instruction: InstructionId,
        started: Instant,
    ) -> Result<Concluded, RunError> {
        let completion = {
            let _permit = self.shared.permits.acquire().await;
            handler.handle(call).await
        };
        let memo = completion.repeatable.then_some(instruction);
        self.conclude(handler, call.id(), completion, memo, Durability::Buffered, started).await
    }

    async fn effect(&self, handler: &dyn Handler, call: &Call, started: Instant) -> Result<Concluded, RunError> {
        let parts = &self.shared.parts;
        let mutation = self.step.class.is_mutation();
        if mutation {
            // A task is done once: a receipt that is there from before a crash answers it.
            let receipts = parts.receipts.by_task(call.id()).await?;
            if let Some(receipt) = receipts.into_iter().find(|receipt| self.shared.trusts(receipt)) {
                return Ok(Concluded { how: How::Reused, receipt });
            }
            if self.step.class == EffectClass::Mutable && parts.journal.intended(call.id()).await? {
                return self.fail(uncertain()).await;
            }
            parts.journal.append(&Entry::Intent { run: self.run, task: *call.id() }).await?;
        }
        let completion = {
            let _permit = self.shared.permits.acquire().await;
            handler.handle(call).await
        };
        let durability = if mutation { Durability::Synced } else { Durability::Buffered };
        self.conclude(handler, call.id(), completion, None, durability, started).await
    }

    /// Signs and files the receipt of what `completion` says.
    async fn conclude(
        &self,
        handler: &dyn Handler,
        resolved: &TaskId,
        completion: Completion,
        memo: Option<InstructionId>,
        durability: Durability,
        started: Instant,
    ) -> Result<Concluded, RunError> {
        let how = if completion.unchanged { How::Unchanged } else { How::Ran };
        let outcome = refuse_promises(completion.outcome);
        let mut meta = completion.meta;
        if let Some(profile) = handler.profile() {
            meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
        }
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        meta.insert(TIME.to_owned(), Ipld::Integer(micros.into()));
        let receipt = self.shared.sign(self.receipt(outcome, meta, resolved))?;
        self.file(&receipt, resolved, memo, durability).await?;
        Ok(Concluded { how, receipt })
    }

    /// Answers the task with a result that is known: by a receipt that it has already, or by one that names the receipt
    /// that it rests on.
    async fn reuse(&self, resolved: TaskId, known: &Receipt) -> Result<Concluded, RunError> {
        let own = self.shared.parts.receipts.by_task(&self.step.id).await?;
        let own = own.into_iter().find(|receipt| receipt.outcome() == known.outcome() && self.shared.trusts(receipt));
        let receipt = match own {
            Some(receipt) => receipt,
            None => {
                let meta = [FUEL, PROFILE]
                    .into_iter()
                    .filter_map(|key| known.meta().get(key).map(|value| (key.to_owned(), value.clone())))
                    .collect();
                let receipt = self.receipt(known.outcome().clone(), meta, &resolved).cause(known.id());
                let receipt = self.shared.sign(receipt)?;
                self.file(&receipt, &resolved, None, Durability::Buffered).await?;
                receipt
            }
        };
        Ok(Concluded { how: How::Reused, receipt })
    }

    /// Signs and files the receipt of a task that was not run at all.
    async fn fail(&self, failure: Failure) -> Result<Concluded, RunError> {
        let id = self.step.id;
        let receipt = self.shared.sign(Receipt::builder(id, failure.into()))?;
        self.file(&receipt, &id, None, Durability::Buffered).await?;
        Ok(Concluded { how: How::Ran, receipt })
    }

    fn receipt(&self, outcome: Outcome, mut meta: BTreeMap<String, Ipld>, resolved: &TaskId) -> ReceiptBuilder {
        if *resolved != self.step.id {
            meta.insert(RESOLVED.to_owned(), Ipld::Link((*resolved).into()));
        }
        Receipt::builder(self.step.id, outcome).meta(meta)
    }

    async fn file(
        &self,
        receipt: &Receipt,
        resolved: &TaskId,
        memo: Option<InstructionId>,
        durability: Durability,
    ) -> Result<(), RunError> {
        let mut tasks = vec![self.step.id];
        if *resolved != self.step.id {
            tasks.push(*resolved);
        }
        Ok(self.shared.parts.receipts.file(receipt, &Filing { tasks, memo, durability }).await?)
    }
}

impl Shared {
    pub(crate) fn sign(&self, receipt: ReceiptBuilder) -> Result<Receipt, RunError> {
        let mut nonce = [0; 16];
        self.parts.entropy.fill(&mut nonce);
        Ok(receipt.issued_at(self.parts.clock.now()).sign(&self.parts.executor, nonce)?)
    }

    /// A trusted receipt that answers the deterministic `task` under the profile of its handler.
    pub(crate) async fn known_result(&self, task: &Task, handler: &dyn Handler) -> Result<Option<Receipt>, RunError> {
        if handler.effect_class() != EffectClass::Deterministic || task.is_pending() {
            return Ok(None);
        }
        let profile = handler.profile().map(Ipld::Link);
        let receipts = self.parts.receipts.by_instruction(&task.instruction()?.id()?).await?;
        Ok(receipts.into_iter().find(|receipt| receipt.meta().get(PROFILE) == profile.as_ref() && self.trusts(receipt)))
    }
}

/// A result that looks like a promise could make a later reader wait for something else: it is refused.
fn refuse_promises(outcome: Outcome) -> Outcome {
    let (Outcome::Ok(value) | Outcome::Error(value)) = &outcome;
    if is_pending(value) {
        return Failure::new("PromiseInResult", "the result holds the shape of a promise, which is refused").into();
    }
    outcome
}

pub(crate) fn resolve_failure(error: &ResolveError) -> Failure {
    let text = |text: &str| Ipld::String(text.to_owned());
    match error {
        ResolveError::BranchMismatch { expected, got, from } => Failure::new("BranchMismatch", error.to_string())
            .with("expected", text(expected.name()))
            .with("got", text(got.name()))
            .with("from", Ipld::Link((*from).into())),
        _ => Failure::new("Unresolved", error.to_string()),
    }
}

fn unresolvable(step: &Step, why: &str) -> Failure {
    Failure::new("Unresolved", format!("task {:?} cannot be resolved: {why}", step.label))
}

fn uncertain() -> Failure {
    Failure::new(
        "Uncertain",
        "the task was started before and has no receipt: whether it took effect is not known. \
         Find out, then ask for it as a new task if it has to be done again",
    )
}
