use std::collections::BTreeSet;

use ucan_core::{Cid, Did, Ipld, StoreError, Token};
use ucan_invocation::{Cursor, EffectClass, Listing, Page, Receipt, ReceiptId};

use crate::catch::{BY, CAUGHT};
use crate::engine::Shared;
use crate::stating::INSTEAD;
use crate::{Engine, RUN_COMMAND, VerifyError};

/// What was taken out of the lists of a store. All of it can still be read by its id, as evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The receipts that answer nothing any more, in the order in which they were taken out.
    pub receipts: Vec<ReceiptId>,
    /// Receipts of effects that this executor had on the strength of these. They stay: what was done is done, and it is for people to
    /// say what follows.
    pub effects: Vec<ReceiptId>,
}

/// What a receipt has to do with one that was taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// It repeats it, lists it, or may await its task.
    Input,
    /// It is that of a run which lists it.
    Run,
}

impl Engine {
    /// Takes out of the store's lists all that `signer` stated, and all that rests on it: receipts that repeat what it stated, those
    /// of tasks that awaited it and for whose inputs no other trusted receipt stands, those of runs that list one of them, and so
    /// on. What is asked for again is computed again.
    ///
    /// What is filed by runs that are under way meanwhile may rest on it too: let them end, or do it again.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; what was taken out until then stays out.
    pub async fn forget(&self, signer: &Did) -> Result<Forgotten, StoreError> {
        let ids = self.shared.listed(&Listing::issuer(signer)).await?;
        self.forget_receipts(ids).await
    }

    /// The same for these receipts, whoever signed them.
    ///
    /// # Errors
    /// As [`Engine::forget`].
    pub async fn forget_receipts(&self, ids: Vec<ReceiptId>) -> Result<Forgotten, StoreError> {
        let receipts = &self.parts().receipts;
        self.shared.doubts.forgets();
        let (mut forgotten, mut seen) = (Forgotten::default(), BTreeSet::new());
        let mut left: Vec<ReceiptId> = ids.into_iter().filter(|id| seen.insert(*id)).rev().collect();
        while let Some(id) = left.pop() {
            let Some(receipt) = receipts.get(&id).await? else { continue };
            receipts.unlist(&id).await?;
            forgotten.receipts.push(id);
            let inputs: BTreeSet<Cid> = [id.into(), (*receipt.ran()).into(), receipt.resolved().into()].into();
            let inputs = inputs.into_iter().map(|cid| (Tie::Input, Listing::Input(cid)));
            for (tie, list) in inputs.chain([(Tie::Run, Listing::Output(id.into()))]) {
                for other in self.shared.listed(&list).await? {
                    let Some(candidate) = receipts.get(&other).await?.filter(|_| !seen.contains(&other)) else {
                        continue;
                    };
                    if !self.rests_on(&candidate, &id, tie).await? {
                        continue;
                    }
                    seen.insert(other);
                    if self.is_own_effect(&candidate).await? {
                        forgotten.effects.push(other);
                    } else {
                        left.push(other);
                    }
                }
            }
        }
        Ok(forgotten)
    }

    /// Whether `candidate` falls with the receipt `taken_out`.
    async fn rests_on(&self, candidate: &Receipt, taken_out: &ReceiptId, tie: Tie) -> Result<bool, StoreError> {
        if candidate.cause() == Some(*taken_out) || goes_on_from(candidate, taken_out) {
            return Ok(true);
        }
        let promised = match self.task(candidate.ran()).await {
            Ok(task) => task,
            Err(error) => return gone(error),
        };
        if tie == Tie::Run {
            return Ok(promised.command().as_str() == RUN_COMMAND);
        }
        let resolved = match self.task(&candidate.resolved()).await {
            Ok(task) => task,
            Err(error) => return gone(error),
        };
        self.check_inputs(candidate, &promised, &resolved).await.map_or_else(gone, |()| Ok(false))
    }

    /// Whether `receipt` says what this executor did to the world.
    async fn is_own_effect(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let parts = self.parts();
        if !receipt.issuer().same_principal(parts.executor.did()) {
            return Ok(false);
        }
        match self.task(receipt.ran()).await {
            Ok(task) if task.command().as_str() == RUN_COMMAND => Ok(false),
            Ok(task) => {
                let handler = parts.router.find(task.subject(), task.command());
                // What nobody here does any more may have been anything.
                Ok(handler.is_none_or(|handler| EffectClass::is_mutation(handler.effect_class())))
            }
            Err(error) => gone(error),
        }
    }
}

impl Shared {
    /// All receipts in a list.
    pub(crate) async fn listed(&self, listing: &Listing) -> Result<Vec<ReceiptId>, StoreError> {
        let (mut ids, mut next) = (Vec::new(), Some(Cursor::START));
        while let Some(cursor) = next {
            let page = self.parts.receipts.list(listing, cursor, Page::LIMIT).await?;
            ids.extend(page.receipts);
            next = page.next;
        }
        Ok(ids)
    }
}

/// Whether a receipt links to another as what it went on from: the answer of a handler of failures, or what a task came to by that.
fn goes_on_from(candidate: &Receipt, other: &ReceiptId) -> bool {
    let other = Ipld::Link((*other).into());
    let meta = candidate.meta();
    let instead = matches!(meta.get(INSTEAD), Some(Ipld::List(links)) if links.contains(&other));
    instead || [CAUGHT, BY].iter().any(|key| meta.get(*key) == Some(&other))
}

/// What cannot be told for lack of a task is taken for the worse; what a store cannot say is its error.
fn gone(error: VerifyError) -> Result<bool, StoreError> {
    match error {
        VerifyError::Store(error) => Err(error),
        _ => Ok(true),
    }
}
