use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ucan_core::{Cid, Ipld, SignError, Token, Verified, block, verify};
use ucan_invocation::meta::{ATTEMPT, CHECK, FUEL, PROFILE, RESOLVED};
use ucan_invocation::{
    Call, Completion, Config, Durability, EffectClass, Failure, Filing, Handler, InstructionId, Memo, Outcome, Receipt,
    ReceiptBuilder, Task, TaskId, Terms,
};
use ucan_pipeline::ResolveError;

use crate::engine::{Grants, Shared};
use crate::{Entry, How, RunError, Step, StepReport};

/// The metadata field with the time that handling the task took, in microseconds.
const TIME: &str = "time";
/// One step of a run, with all that it takes to perform it.
pub(crate) struct Work {
    pub(crate) step: Step,
    pub(crate) args: Result<BTreeMap<String, Ipld>, ResolveError>,
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
        let Concluded { how, receipt } = match &self.args {
            Ok(args) => self.perform_resolved(self.step.task.with_args(args.clone())).await?,
            Err(error) => self.fail(error.into()).await?,
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

    async fn perform_resolved(&self, task: Task) -> Result<Concluded, RunError> {
        let (shared, class) = (&self.shared, self.step.class);
        let Some(handler) = shared.parts.router.find(task.subject(), task.command()) else {
            return self.fail(Failure::new("NoHandler", "there is no handler for this task")).await;
        };
        let resolved = task.id()?;
        let instruction = if class == EffectClass::Deterministic { Some(task.instruction()?.id()?) } else { None };
        let _alone = shared.flights.enter(instruction.map_or(*resolved.cid(), Into::into)).await;

        // Authority is checked on the resolved arguments and at this time, whether the result is known or not: it is
        // handed out only to somebody who could have asked for it.
        if let Err(failure) = self.authorize(&task).await? {
            return self.fail(failure).await;
        }
        let known = match instruction {
            Some(_) => shared.known_result(&task, &self.step.config, &**handler).await?,
            None => self.done_before(&resolved).await?,
        };
        if let Some(known) = known {
            if instruction.is_some() {
                shared.sample(&known);
            }
            return self.reuse(&task, &resolved, known).await;
        }
        let _permit = shared.permits.acquire().await;
        // Waiting for a place may have taken long.
        let call = match self.authorize(&task).await? {
            Ok(call) => call,
            Err(failure) => return self.fail(failure).await,
        };
        if class.is_mutation() {
            if class == EffectClass::Mutable && self.begun_before(&resolved).await? {
                return self.fail(uncertain()).await;
            }
            self.keep(Some(call.task())).await?;
            self.announce(&resolved).await?;
        }
        let began = Instant::now();
        let completion = handler.handle(&call).await;
        self.conclude(&**handler, &call, completion, instruction, began.elapsed()).await
    }

    async fn authorize(&self, task: &Task) -> Result<Result<Call, Failure>, RunError> {
        let Grants { invoker, delegations, .. } = &*self.grants;
        let revoked = self.shared.revoked(delegations).await?;
        let (revoked, config) = (revoked.as_fn(), self.step.config.clone());
        let call = Call::authorize(task.clone(), config, invoker, delegations, &self.shared.context(&revoked));
        Ok(call.map_err(|error| Failure::new("NoAuthority", error.to_string())))
    }

    /// The receipt that this effect has from before a crash. It is found under either id: what a task awaited may have
    /// come out differently the second time, and then only the id with its promises is the same.
    async fn done_before(&self, resolved: &TaskId) -> Result<Option<Receipt>, RunError> {
        for id in [&self.step.id, resolved] {
            let receipts = self.shared.parts.receipts.by_task(id).await?;
            if let Some(receipt) = receipts.into_iter().find(|receipt| self.shared.trusts(receipt)) {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    async fn begun_before(&self, resolved: &TaskId) -> Result<bool, RunError> {
        let journal = &self.shared.parts.journal;
        Ok(journal.intended(&self.step.id).await? || journal.intended(resolved).await?)
    }

    /// Writes down, under both ids, that the task is about to start.
    async fn announce(&self, resolved: &TaskId) -> Result<(), RunError> {
        let (journal, run) = (&self.shared.parts.journal, self.run);
        let intent = Entry::Intent { run, task: self.step.id };
        if *resolved == self.step.id {
            return Ok(journal.append(&intent).await?);
        }
        // Together, so that a store that commits in groups syncs once.
        let both = Entry::Intent { run, task: *resolved };
        let (one, other) = tokio::join!(journal.append(&intent), journal.append(&both));
        one?;
        Ok(other?)
    }

    /// Signs and files the receipt of what `completion` says.
    async fn conclude(
        &self,
        handler: &dyn Handler,
        call: &Call,
        completion: Completion,
        instruction: Option<InstructionId>,
        took: Duration,
    ) -> Result<Concluded, RunError> {
        let resolved = call.id();
        let how = if completion.unchanged { How::Unchanged } else { How::Ran };
        let Completion { outcome, effects, mut meta, repeatable, .. } = completion.for_receipt(self.step.class);
        let final_outcome = match self.step.class {
            EffectClass::Deterministic => repeatable,
            EffectClass::Mutable => true,
            // What failed can be tried again without harm.
            EffectClass::Query | EffectClass::IdempotentWrite => outcome.is_ok(),
        };
        if let Some(profile) = handler.profile() {
            meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        meta.insert(TIME.to_owned(), Ipld::Integer(micros.into()));
        let receipt =
            |outcome, meta, is_final| self.receipt(outcome, meta, resolved, is_final).effects(effects.clone());
        let signed = self.shared.sign(receipt(outcome, meta.clone(), final_outcome));
        let (receipt, final_outcome) = match signed {
            Err(error) if is_unrepresentable(&error) => {
                let message = format!("the result cannot be carried in a receipt: {error}");
                let failure = Failure::new("UnrepresentableResult", message).into();
                // What a mutable task did is done, even if it cannot be told.
                let final_outcome = self.step.class == EffectClass::Mutable;
                (self.shared.sign(receipt(failure, meta, final_outcome))?, final_outcome)
            }
            signed => (signed?, final_outcome),
        };
        let memo = instruction.filter(|_| final_outcome);
        if self.step.class.is_mutation() {
            // The task itself was kept before it started.
            self.file(&receipt, resolved, call.task(), memo, final_outcome).await?;
        } else {
            let file = self.file(&receipt, resolved, call.task(), memo, final_outcome);
            tokio::try_join!(self.keep(Some(call.task())), file)?;
        }
        Ok(Concluded { how, receipt })
    }

    /// Answers the task with a result that is known: by a receipt that it has already, or by one that names the receipt
    /// that it rests on.
    async fn reuse(&self, task: &Task, resolved: &TaskId, known: Receipt) -> Result<Concluded, RunError> {
        let how = How::Reused;
        let states_the_same = |receipt: &Receipt| {
            *receipt.ran() == self.step.id
                && receipt.resolved() == *resolved
                && [PROFILE, CHECK].iter().all(|key| receipt.meta().get(*key) == known.meta().get(*key))
                && receipt.outcome() == known.outcome()
        };
        if states_the_same(&known) {
            return Ok(Concluded { how, receipt: known });
        }
        let own = self.shared.parts.receipts.by_task(&self.step.id).await?;
        let own = own.into_iter().find(|receipt| states_the_same(receipt) && self.shared.trusts(receipt));
        if let Some(receipt) = own {
            return Ok(Concluded { how, receipt });
        }
        let meta = [FUEL, PROFILE, CHECK]
            .into_iter()
            .filter_map(|key| known.meta().get(key).map(|value| (key.to_owned(), value.clone())))
            .collect();
        let receipt = self.receipt(known.outcome().clone(), meta, resolved, true).cause(known.id());
        let receipt = self.shared.sign(receipt)?;
        tokio::try_join!(self.keep(Some(task)), self.file(&receipt, resolved, task, None, true))?;
        Ok(Concluded { how, receipt })
    }

    /// Signs and files the receipt of a task that was not run. That it was not is no outcome of the task, but of this
    /// request: another may have more authority, or better results to go on from.
    async fn fail(&self, failure: Failure) -> Result<Concluded, RunError> {
        let id = self.step.id;
        let receipt = self.shared.sign(self.receipt(failure.into(), BTreeMap::new(), &id, false))?;
        tokio::try_join!(self.keep(None), self.file(&receipt, &id, &self.step.task, None, false))?;
        Ok(Concluded { how: How::NotRun, receipt })
    }

    /// Keeps the task as it stands in the workflow and, where that is another, as it was resolved: what receipts link to.
    async fn keep(&self, resolved: Option<&Task>) -> Result<(), RunError> {
        let blocks = &self.shared.parts.blocks;
        let put = async |task: &Task| -> Result<(), RunError> {
            let bytes = task.to_block()?;
            Ok(blocks.put(&block::dag_cbor_cid(&bytes), bytes.into()).await?)
        };
        match resolved.filter(|task| task.args() != self.step.task.args()) {
            Some(resolved) => tokio::try_join!(put(&self.step.task), put(resolved)).map(drop),
            None => put(&self.step.task).await,
        }
    }

    fn receipt(
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
        Receipt::builder(self.step.id, outcome).meta(meta)
    }

    /// Files a receipt: under its task and the inputs of that where it states the final outcome, and in any case under its
    /// own id.
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
            tasks.push(self.step.id);
            inputs.extend(self.step.task.links());
            if *resolved != self.step.id {
                tasks.push(*resolved);
                inputs.extend(task.links());
            }
            inputs.extend(receipt.cause().map(Cid::from));
        }
        let durability = if self.step.class.is_mutation() { Durability::Synced } else { Durability::Buffered };
        Ok(self.shared.parts.receipts.file(receipt, &Filing { tasks, memo, inputs, durability }).await?)
    }
}

/// Whether a receipt was not signed because of what it was to state.
pub(crate) fn is_unrepresentable(error: &SignError) -> bool {
    matches!(error, SignError::Encode(_) | SignError::Unreadable(_))
}

impl Shared {
    pub(crate) fn sign(&self, receipt: ReceiptBuilder) -> Result<Receipt, SignError> {
        let mut nonce = [0; 16];
        self.parts.entropy.fill(&mut nonce);
        receipt.issued_at(self.parts.clock.now()).sign(&self.parts.executor, nonce)
    }

    /// A trusted receipt that answers the deterministic `task` under the profile of its handler.
    pub(crate) async fn known_result(
        &self,
        task: &Task,
        config: &Config,
        handler: &dyn Handler,
    ) -> Result<Option<Receipt>, RunError> {
        if handler.effect_class() != EffectClass::Deterministic || task.is_pending() {
            return Ok(None);
        }
        let (parts, profile) = (&self.parts, handler.profile());
        let terms = Terms { own: parts.executor.did(), now: parts.clock.now(), profile: profile.as_ref() };
        let memo = Memo::new(&*parts.receipts, &*parts.blocks, &*parts.keys);
        let trust = self.trust();
        let known = memo.known(task, &trust, &terms).await?.map(Verified::into_inner);
        if known.as_ref().is_none_or(|known| handler.accepts(known, config)) {
            return Ok(known);
        }
        // Of what was verified less, there may be another that was verified more.
        let answers = memo.answers(&task.instruction()?.id()?).await?;
        let enough = answers.into_iter().map(Verified::into_inner).find(|known| {
            trust.admits(known, &terms)
                && trust.believes(parts.executor.did(), known.issuer())
                && handler.accepts(known, config)
        });
        Ok(enough)
    }

    /// Whether `receipt` is signed by somebody whose word is enough for this engine, and still stands.
    pub(crate) fn trusts(&self, receipt: &Receipt) -> bool {
        let parts = &self.parts;
        receipt.expiration().is_none_or(|end| parts.clock.now() <= end)
            && self.trust().believes(parts.executor.did(), receipt.issuer())
            && verify(receipt, &*parts.keys).is_ok()
    }
}

fn uncertain() -> Failure {
    Failure::new(
        "Uncertain",
        "the task was started before and has no receipt: whether it took effect is not known. \
         Find out, then ask for it as a new task if it has to be done again",
    )
}
