//! What this engine states, and what it believes.

use ucan_core::{Cid, Ipld, SignError, StoreError, Token, Verified, verify};
use ucan_invocation::{
    Config, Durability, EffectClass, Failure, Filing, Handler, Memo, Outcome, Receipt, ReceiptBuilder, ReceiptId,
    ReceiptStore, Task, TaskId, Terms,
};

use crate::engine::Shared;
use crate::{Plan, RunError, Step, vault};

/// A result that was found, and checked in full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The task that it answers, its promises resolved.
    pub(crate) resolved: TaskId,
    pub(crate) receipt: ReceiptId,
    /// How often receipts had been forgotten before.
    pub(crate) forgotten: u64,
}

impl Shared {
    /// Refuses a plan with secrets that could not be kept.
    pub(crate) fn check_secrets(&self, plan: &Plan) -> Result<(), RunError> {
        for step in plan.steps().iter().chain(plan.catch()).filter(|step| step.secret) {
            let label = || step.label.clone();
            if self.vault.is_none() {
                return Err(RunError::NoVault { label: label() });
            }
            let problem = if plan.catch() == Some(step) {
                "what the handler of failures answers is told"
            } else if matches!(step.config.get("check"), Some(Ipld::Map(_))) {
                "it is to be verified by others, who would be told its arguments"
            } else if step.audience.is_some() {
                "it is for another executor, who would be told it"
            } else {
                continue;
            };
            return Err(RunError::NotKept { label: label(), problem });
        }
        Ok(())
    }

    /// What a receipt states in the place of what came of a step: the same, or, of a secret one, what only this engine can open.
    /// Of a failure that is secret, `name` can be seen.
    pub(crate) fn stated(&self, step: &Step, outcome: Outcome, name: Option<&str>) -> Outcome {
        if !step.secret {
            return outcome;
        }
        let entropy = &*self.parts.entropy;
        let sealed = self.vault.as_ref().and_then(|vault| vault.seal_outcome(&step.id, &outcome, name, entropy));
        sealed.unwrap_or_else(|| Failure::new("UnrepresentableResult", "the result cannot be sealed").into())
    }

    /// What came of a step that a receipt of this engine states.
    pub(crate) fn plain(&self, step: &Step, stated: &Outcome) -> Option<Outcome> {
        match &self.vault {
            _ if !step.secret => Some(stated.clone()),
            Some(vault) => vault.open_outcome(&step.id, stated),
            None => None,
        }
    }

    /// What a step is called with its promises resolved: by its id, or by a name that says nothing of what is secret.
    pub(crate) fn name(&self, step: &Step, resolved: TaskId) -> TaskId {
        match &self.vault {
            Some(vault) if step.secret => vault.blind(&resolved),
            _ => resolved,
        }
    }

    /// Whether this engine has sealed what a receipt states.
    pub(crate) fn keeps(&self, receipt: &Receipt) -> bool {
        let vault = self.vault.as_ref();
        vault.is_some_and(|vault| vault.open_outcome(receipt.ran(), receipt.outcome()).is_some())
    }

    /// The receipt of a task that is believed.
    pub(crate) async fn receipt_of(&self, task: &TaskId) -> Result<Option<Receipt>, StoreError> {
        let receipts = self.parts.receipts.by_task(task).await?;
        Ok(receipts.into_iter().find(|receipt| self.trusts(receipt)))
    }

    /// Keeps a receipt that answers nothing by itself, and is found by these.
    pub(crate) async fn file_apart(&self, receipt: &Receipt, inputs: Vec<Cid>) -> Result<(), RunError> {
        let filing = Filing { tasks: Vec::new(), memo: None, inputs, durability: Durability::Buffered };
        Ok(self.parts.receipts.file(receipt, &filing).await?)
    }

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
        if known.as_ref().is_none_or(|known| handler.accepts(known, config) && !vault::is_sealed(known)) {
            return Ok(known);
        }
        // Of what was verified less, there may be another that was verified more.
        let answers = memo.answers(&task.instruction_id()?).await?;
        let enough = answers.into_iter().map(Verified::into_inner).find(|known| {
            trust.admits(known, &terms)
                && trust.believes(parts.executor.did(), known.issuer())
                && handler.accepts(known, config)
                && !vault::is_sealed(known)
        });
        Ok(enough)
    }

    /// A result that was found before, if it still answers the same task: what was checked of it then and cannot have changed is not
    /// checked again.
    pub(crate) async fn still_known(
        &self,
        known: &Known,
        task: &Task,
        config: &Config,
        handler: &dyn Handler,
    ) -> Result<Option<Receipt>, RunError> {
        let (parts, profile) = (&self.parts, handler.profile());
        if known.resolved != task.id()? || known.forgotten != self.doubts.forgotten() {
            return Ok(None);
        }
        let terms = Terms { own: parts.executor.did(), now: parts.clock.now(), profile: profile.as_ref() };
        let receipt = ReceiptStore::get(&*parts.receipts, &known.receipt).await?;
        Ok(receipt.filter(|receipt| {
            let trust = self.trust();
            // What was checked then has this id, whatever the store has under it now.
            receipt.id() == known.receipt
                && trust.admits(receipt, &terms)
                && trust.believes(parts.executor.did(), receipt.issuer())
                && handler.accepts(receipt, config)
        }))
    }

    /// Whether `receipt` is signed by somebody whose word is enough for this engine, and still stands.
    pub(crate) fn trusts(&self, receipt: &Receipt) -> bool {
        let parts = &self.parts;
        receipt.expiration().is_none_or(|end| parts.clock.now() <= end)
            && self.trust().believes(parts.executor.did(), receipt.issuer())
            && verify(receipt, &*parts.keys).is_ok()
    }
}
