//! What is stated of a step: the receipts of what came of it, and under which ids they are filed.

use std::collections::BTreeMap;
use std::time::Duration;

use ucan_chan::CHARGE;
use ucan_core::{Cid, Ipld, SignError};
use ucan_invocation::meta::{ATTEMPT, CHECK, FUEL, PROFILE, RESOLVED};
use ucan_invocation::{
    Completion, Durability, EffectClass, Effects, Failure, Filing, Handler, InstructionId, Outcome, Receipt,
    ReceiptBuilder, Task, TaskId,
};

use crate::charge::{self, Hold};
use crate::continuation::asked_by;
use crate::step::{Attempt, Stated, Work};
use crate::{How, RunError, Step, StepReport};

/// The metadata field with the time that handling the task took, in microseconds.
pub(crate) const TIME: &str = "time";
/// The metadata field that says that somebody found out what came of a task, and not its handler: `true`.
pub(crate) const RESOLUTION: &str = "resolution";
/// The metadata field that links the receipts that it went on from in the place of outcomes that it awaits: by which these came to
/// something else than their failures, what rests on such, and failures of attempts.
pub(crate) const INSTEAD: &str = "instead";

impl Work {
    /// Signs and files the receipt of what `completion` says.
    pub(crate) async fn conclude(
        &self,
        handler: &dyn Handler,
        task: &Task,
        completion: Completion,
        instruction: Option<InstructionId>,
        took: Duration,
        hold: Hold<'_>,
    ) -> Result<Attempt, RunError> {
        let resolved = &self.shared.name(&self.step, task.id()?);
        // That the world was as a secret wants it would confirm a guess that somebody made it be.
        let how = if completion.unchanged && !self.step.secret { How::Unchanged } else { How::Ran };
        let Completion { mut outcome, mut effects, mut meta, repeatable, .. } = completion.for_receipt(self.step.class);
        let used = charge::used(&meta);
        if self.step.secret {
            // What a function computed is secret down to the name of its failure; how an effect failed is for its handler to name.
            let name = outcome.failure_name().filter(|_| self.step.class != EffectClass::Deterministic);
            let name = name.map(str::to_owned);
            outcome = self.shared.stated(&self.step, outcome, name.as_deref());
            // What a handler says beside the result may be secret as well; what it used is, to the unit, as good as a hash.
            meta.retain(|key, value| key == RESOLUTION && *value == Ipld::Bool(true));
            effects = Effects::default();
        }
        let again = handler.is_idempotent(task.command()) && self.step.retry.is_some();
        let final_outcome = match self.step.class {
            EffectClass::Deterministic => repeatable,
            // What has the same effect when it is done again is not over while it is tried.
            EffectClass::Mutable if again => outcome.is_ok(),
            EffectClass::Mutable => true,
            // What failed can be tried again without harm.
            EffectClass::Query | EffectClass::IdempotentWrite => outcome.is_ok(),
        };
        if let Some(profile) = handler.profile() {
            meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
        }
        if !self.step.secret {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            meta.insert(TIME.to_owned(), Ipld::Integer(micros.into()));
        }
        // What was charged is for the engine alone to say.
        meta.remove(CHARGE);
        let charge = hold.charge(used).await?;
        charge.iter().for_each(|charge| charge.put(&mut meta));
        let receipt =
            |outcome, meta, is_final| self.receipt(outcome, meta, resolved, is_final).effects(effects.clone());
        let signed = self.shared.sign(receipt(outcome, meta.clone(), final_outcome));
        let (receipt, final_outcome) = match signed {
            Err(error) if is_unrepresentable(&error) => {
                let message = format!("the result cannot be carried in a receipt: {error}");
                let failure = Failure::new("UnrepresentableResult", message).into();
                // What a mutable task did is done, even if it cannot be told.
                let final_outcome = self.step.class == EffectClass::Mutable;
                // It may be the list of what is asked for that is too long.
                let receipt = receipt(failure, meta, final_outcome).effects(Effects::default());
                (self.shared.sign(receipt)?, final_outcome)
            }
            signed => (signed?, final_outcome),
        };
        let memo = instruction.filter(|_| final_outcome);
        if self.step.class.is_mutation() {
            // The task itself was kept before it started.
            self.file(&receipt, resolved, task, memo, final_outcome).await?;
        } else {
            let file = self.file(&receipt, resolved, task, memo, final_outcome);
            tokio::try_join!(self.keep(Some(task)), file)?;
        }
        self.grants.account.filed(charge.as_ref());
        let stated = Stated { how, receipt };
        Ok(if final_outcome || stated.receipt.outcome().is_ok() {
            Attempt::Stated(stated)
        } else {
            Attempt::Failed(stated)
        })
    }

    /// Answers the task with a result that is known: by a receipt that it has already, or by one that names the receipt
    /// that it rests on.
    pub(crate) async fn reuse(&self, task: &Task, resolved: &TaskId, known: Receipt) -> Result<Stated, RunError> {
        let (how, effects) = (How::Reused, asked_by(self.step.class, &known));
        let states_the_same = |receipt: &Receipt| {
            *receipt.ran() == self.step.id
                && receipt.resolved() == *resolved
                && [PROFILE, CHECK].iter().all(|key| receipt.meta().get(*key) == known.meta().get(*key))
                && receipt.outcome() == known.outcome()
                && *receipt.effects() == effects
                // What rests on more than outcomes of tasks answers nobody who goes on from nothing else.
                && (answers(self.step.class, receipt) || !self.instead.is_empty())
        };
        // What a mutation did, it did with the arguments that it had then.
        if states_the_same(&known) || (self.step.class.is_mutation() && *known.ran() == self.step.id) {
            return Ok(Stated { how, receipt: known });
        }
        let mut own = self.shared.parts.receipts.by_task(&self.step.id).await?;
        if !self.instead.is_empty() {
            own.extend(self.shared.parts.receipts.by_task(resolved).await?);
        }
        let own = own.into_iter().find(|receipt| states_the_same(receipt) && self.shared.trusts(receipt));
        if let Some(receipt) = own {
            return Ok(Stated { how, receipt });
        }
        let meta = [FUEL, PROFILE, CHECK]
            .into_iter()
            .filter_map(|key| known.meta().get(key).map(|value| (key.to_owned(), value.clone())))
            .collect();
        let receipt = self.receipt(known.outcome().clone(), meta, resolved, true).cause(known.id());
        self.state(how, task, resolved, receipt.effects(effects)).await
    }

    /// Signs and files the receipt of a final outcome that somebody else knew.
    pub(crate) async fn state(
        &self,
        how: How,
        task: &Task,
        resolved: &TaskId,
        receipt: ReceiptBuilder,
    ) -> Result<Stated, RunError> {
        let receipt = self.shared.sign(receipt)?;
        tokio::try_join!(self.keep(Some(task)), self.file(&receipt, resolved, task, None, true))?;
        Ok(Stated { how, receipt })
    }

    /// Signs and files the receipt of a task that was not run. That it was not is no outcome of the task, but of this
    /// request: another may have more authority, or better results to go on from.
    pub(crate) async fn fail(&self, failure: Failure) -> Result<Stated, RunError> {
        let id = self.step.id;
        let outcome = Outcome::from(failure);
        let name = outcome.failure_name().map(str::to_owned);
        let outcome = self.shared.stated(&self.step, outcome, name.as_deref());
        let receipt = self.shared.sign(self.receipt(outcome, BTreeMap::new(), &id, false))?;
        tokio::try_join!(self.keep(None), self.file(&receipt, &id, &self.step.task, None, false))?;
        Ok(Stated { how: How::NotRun, receipt })
    }

    /// Keeps the task as it stands in the workflow and, where that is another, as it was resolved: what receipts link to.
    pub(crate) async fn keep(&self, resolved: Option<&Task>) -> Result<(), RunError> {
        let blocks = &self.shared.parts.blocks;
        let put = async |task: &Task| -> Result<(), RunError> {
            Ok(blocks.put(task.id()?.cid(), task.to_block()?.into()).await?)
        };
        match resolved.filter(|task| **task != self.step.task && !self.step.secret) {
            Some(resolved) => tokio::try_join!(put(&self.step.task), put(resolved)).map(drop),
            None => put(&self.step.task).await,
        }
    }

    pub(crate) fn receipt(
        &self,
        outcome: Outcome,
        mut meta: BTreeMap<String, Ipld>,
        resolved: &TaskId,
        final_outcome: bool,
    ) -> ReceiptBuilder {
        if *resolved != self.step.id {
            meta.insert(RESOLVED.to_owned(), Ipld::Link((*resolved).into()));
        }
        if !final_outcome {
            meta.insert(ATTEMPT.to_owned(), Ipld::Bool(true));
        }
        if !self.instead.is_empty() {
            let links = self.instead.iter().map(|receipt| Ipld::Link((*receipt).into())).collect();
            meta.insert(INSTEAD.to_owned(), Ipld::List(links));
        }
        let receipt = Receipt::builder(self.step.id, outcome).meta(meta);
        match self.cause {
            Some(cause) => receipt.cause(cause),
            None => receipt,
        }
    }

    /// Files a receipt: under its task and the inputs of that where it states the final outcome, and in any case under its
    /// own id. What went on from something else than the outcomes that it awaits is that of the resolved task alone.
    async fn file(
        &self,
        receipt: &Receipt,
        resolved: &TaskId,
        task: &Task,
        memo: Option<InstructionId>,
        final_outcome: bool,
    ) -> Result<(), RunError> {
        let (mut tasks, mut inputs) = (Vec::new(), Vec::new());
        if final_outcome {
            tasks.extend(Some(self.step.id).filter(|_| answers(self.step.class, receipt)));
            inputs.extend(self.step.task.links());
            if *resolved != self.step.id {
                tasks.push(*resolved);
                inputs.extend(Some(task).filter(|_| !self.step.secret).into_iter().flat_map(Task::links));
            }
            inputs.extend(receipt.cause().map(Cid::from));
            inputs.extend(self.instead.iter().map(|receipt| Cid::from(*receipt)));
        }
        let charge = charge::charge_of(receipt);
        inputs.extend(charge.iter().flat_map(|charge| [charge.channel, charge.key()]));
        // A charge may be forgotten once its receipt is there.
        let synced = self.step.class.is_mutation() || charge.is_some();
        let durability = if synced { Durability::Synced } else { Durability::Buffered };
        Ok(self.shared.parts.receipts.file(receipt, &Filing { tasks, memo, inputs, durability }).await?)
    }
}

/// Whether a receipt states what its task comes to, whoever asks: the outcome is final, and what it went on from are such outcomes as
/// well. A mutation is had once, whatever it went on from.
pub(crate) fn answers(class: EffectClass, receipt: &Receipt) -> bool {
    !receipt.is_attempt() && (class.is_mutation() || !receipt.meta().contains_key(INSTEAD))
}

/// What a receipt says of a step.
pub(crate) fn report(step: &Step, how: How, receipt: &Receipt, elapsed: Duration) -> StepReport {
    let fuel = match receipt.meta().get(FUEL) {
        Some(Ipld::Integer(fuel)) => u64::try_from(*fuel).ok(),
        _ => None,
    };
    StepReport {
        label: step.label.clone(),
        task: step.id,
        resolved: receipt.resolved(),
        class: step.class,
        how,
        outcome: receipt.outcome().clone(),
        answers: answers(step.class, receipt),
        effects: asked_by(step.class, receipt),
        fuel,
        charged: charge::charge_of(receipt).map(|charge| charge.cost),
        elapsed,
        receipt: receipt.id(),
    }
}

/// Whether a receipt was not signed because of what it was to state.
pub(crate) fn is_unrepresentable(error: &SignError) -> bool {
    matches!(error, SignError::Encode(_) | SignError::Unreadable(_))
}
