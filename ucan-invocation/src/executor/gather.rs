//! What an invocation awaits, before it can be carried out.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use ucan_core::{Cid, ContainerEncoding, Context, Delegation, Did, Ipld, Timestamp, Token, block};

use super::batch::{Batch, Hint, Settled, Shown, Source};
use super::belief::{Found, Hearing};
use super::wait::Wait;
use super::{ExecuteError, Executor};
use crate::{
    Await, Config, Durability, Elsewhere, Failure, Filing, Invocation, Outcome, ReceiptId, Revoked, TaskId, authorize,
};

/// What has come of all that an invocation awaits.
pub(super) enum Awaited {
    /// All is known.
    Known(HashMap<TaskId, Arc<Found>>),
    /// Something is missing, and is not waited for any longer.
    Missing(Failure),
}

impl Awaited {
    pub(super) fn outcome(&self, id: &TaskId) -> Option<&Outcome> {
        match self {
            Self::Known(known) => known.get(id).map(|found| &found.outcome),
            Self::Missing(_) => None,
        }
    }

    /// The receipts by which it is known, in the order in which the tasks are awaited, each once.
    pub(super) fn receipts(&self, awaits: &[TaskId]) -> Vec<ReceiptId> {
        let Self::Known(known) = self else { return Vec::new() };
        let mut receipts = Vec::new();
        for found in awaits.iter().filter_map(|id| known.get(id)) {
            if !receipts.contains(&found.by) {
                receipts.push(found.by);
            }
        }
        receipts
    }
}

/// Where one awaited task comes from, once hints were checked.
enum Way<'a> {
    Known(Arc<Found>),
    Here(&'a crate::slot::Slot<Settled>),
    Ask {
        at: usize,
        shown: &'a Shown,
        /// Whether receipts count that do not come in the answer. Not where it is undecided whether the invoker may know the
        /// result; and not where the task awaits others itself: what came of it for somebody else may rest on what only
        /// they believe.
        told: bool,
    },
}

impl Executor {
    /// Waits for what the invocation `at` awaits.
    pub(super) async fn gather(
        &self,
        batch: &Batch<'_>,
        at: usize,
        accepted: Timestamp,
    ) -> Result<Awaited, ExecuteError> {
        let Some(asked) = batch.shown(at).filter(|asked| !asked.awaits.is_empty()) else {
            return Ok(Awaited::Known(HashMap::new()));
        };
        // Nobody is asked, and nothing else is looked at, on behalf of somebody whose invocation would be refused anyway.
        let proofs_end = match self.accept(batch, &asked.invocation, accepted).await? {
            Ok(end) => end,
            Err(failure) => return Ok(Awaited::Missing(failure)),
        };
        let mut ways = Vec::with_capacity(asked.awaits.len());
        for id in &asked.awaits {
            match self.way(batch, id, asked.invocation.issuer(), accepted).await? {
                Some(way) => ways.push((*id, way)),
                None => return Ok(Awaited::Missing(nobody(id))),
            }
        }
        let asks = ways.iter().filter(|(_, way)| matches!(way, Way::Ask { .. })).count();
        let Some(elsewhere) = self.parts.elsewhere.as_ref().filter(|_| asks > 0) else {
            return Ok(collect(ways.into_iter().map(|(id, way)| self.wait(batch, id, way, None))).await);
        };
        let patience = &elsewhere.patience;
        if asks > patience.awaited {
            let message = format!("an invocation may wait for {} tasks of others, not {asks}", patience.awaited);
            return Ok(Awaited::Missing(Failure::new("TooManyWaiting", message)));
        }
        let _place = match self.waits.enter(asked, patience) {
            Ok(place) => place,
            Err(failure) => return Ok(Awaited::Missing(failure)),
        };
        let until = accepted.saturating_add(patience.longest.as_secs());
        self.keep_request(batch, elsewhere, until).await?;
        let until = proofs_end.map_or(until, |end| until.min(end.saturating_add(Context::SKEW)));
        let settled = collect(ways.into_iter().map(|(id, way)| self.wait(batch, id, way, Some((elsewhere, until)))));
        Ok(settled.await)
    }

    /// Where the outcome of a task comes from, or none where nobody can be asked.
    async fn way<'a>(
        &self,
        batch: &'a Batch<'_>,
        id: &TaskId,
        invoker: &Did,
        now: Timestamp,
    ) -> Result<Option<Way<'a>>, ExecuteError> {
        let hints = match batch.source(self, id, invoker) {
            Source::Known(found) => return Ok(Some(Way::Known(found))),
            Source::Here(slot) => return Ok(Some(Way::Here(slot))),
            Source::Elsewhere(hints) => hints,
        };
        for at in hints {
            let Some(shown) = batch.shown(at) else { continue };
            let mut hint = shown.hint.lock().await;
            let checked = match *hint {
                Some(checked) => checked,
                None => *hint.insert(self.hint(batch, &shown.invocation, now).await?),
            };
            let Hint::Good { decided } = checked else { continue };
            let told = decided && shown.awaits.is_empty();
            if told && let Some(found) = self.told_before(id, shown.invocation.executor()).await? {
                return Ok(Some(Way::Known(Arc::new(found))));
            }
            return Ok(Some(Way::Ask { at, shown, told }));
        }
        Ok(None)
    }

    /// What came of a task by what this executor was told before, as far as whoever is asked for it now is believed.
    async fn told_before(&self, id: &TaskId, asked: &Did) -> Result<Option<Found>, ExecuteError> {
        let (receipts, mut hearing) = (self.parts.receipts.by_task(id).await?, Hearing::new(*id, vec![asked]));
        let receipts = receipts.into_iter().filter_map(|receipt| Invocation::decode(receipt.bytes()).ok());
        Ok(receipts.into_iter().find_map(|receipt| hearing.hear(self, &receipt)))
    }

    /// What an invocation that is addressed to somebody else is good for: whether its invoker may ask for it, as far as that
    /// can be told here.
    async fn hint(&self, batch: &Batch<'_>, hint: &Invocation, now: Timestamp) -> Result<Hint, ExecuteError> {
        let named = named(batch, hint);
        let revoked = Revoked::among(&*self.parts.revocations, &named).await?;
        let is_revoked = revoked.as_fn();
        let mut context = Context::new(now, &*self.parts.keys);
        context.revoked = Some(&is_revoked);
        context.pending = &|value| Await::recognise(value).is_some();
        let authorized = authorize(hint.clone(), hint.executor(), &|cid| batch.find(cid), &context);
        Ok(authorized.map_or(Hint::Void, |authorized| Hint::Good { decided: !authorized.authority().undecided() }))
    }

    /// Whether an invocation is accepted, before anybody is asked for what it awaits. Gives when the first of its proofs ends.
    async fn accept(
        &self,
        batch: &Batch<'_>,
        invocation: &Invocation,
        now: Timestamp,
    ) -> Result<Result<Option<Timestamp>, Failure>, ExecuteError> {
        let named = named(batch, invocation);
        let revoked = Revoked::among(&*self.parts.revocations, &named).await?;
        let authorized = {
            let is_revoked = revoked.as_fn();
            let mut context = Context::new(now, &*self.parts.keys);
            context.revoked = Some(&is_revoked);
            context.pending = &|value| Await::recognise(value).is_some();
            authorize(invocation.clone(), self.parts.executor.did(), &|cid| batch.find(cid), &context)
        };
        if let Err(error) = authorized {
            return Ok(Err(Failure::new(error.name(), error.to_string())));
        }
        let task = invocation.task();
        let Some(handler) = self.parts.router.find(task.subject(), task.command()) else {
            return Ok(Err(super::no_handler(task)));
        };
        if let Err(failure) = handler.check(task, &Config::new()).await {
            return Ok(Err(failure));
        }
        Ok(Ok(named.iter().filter_map(Delegation::expiration).min()))
    }

    async fn wait(
        &self,
        batch: &Batch<'_>,
        id: TaskId,
        way: Way<'_>,
        far: Option<(&Elsewhere, Timestamp)>,
    ) -> Result<(TaskId, Arc<Found>), Failure> {
        let settled = match (way, far) {
            (Way::Known(found), _) => Ok(found),
            (Way::Here(slot), _) => slot.settled().await,
            (Way::Ask { at, shown, told }, Some((elsewhere, until))) => {
                let hint = &shown.invocation;
                let until = hint.expiration().map_or(until, |end| until.min(end.saturating_add(Context::SKEW)));
                let wait = Wait::new(id, hint.executor(), batch.closure(self, at), told);
                let wait = self.waits.join(wait, &elsewhere.patience)?;
                wait.outcome(self, elsewhere, until).await
            }
            (Way::Ask { .. }, None) => Err(nobody(&id)),
        };
        settled.map(|found| (id, found))
    }

    /// Keeps the request before anybody is waited for, once.
    async fn keep_request(
        &self,
        batch: &Batch<'_>,
        elsewhere: &Elsewhere,
        until: Timestamp,
    ) -> Result<(), ExecuteError> {
        let mut kept = batch.kept.lock().await;
        if kept.is_none() {
            let bytes = batch.request().encode(ContainerEncoding::Raw);
            let id: Cid = block::raw_cid(&bytes);
            elsewhere.requests.keep(&id, bytes.into(), until).await?;
            *kept = Some(id);
        }
        Ok(())
    }

    /// Keeps the receipts of others on which something is going to rest.
    pub(super) async fn keep_receipts(&self, awaited: &Awaited) -> Result<(), ExecuteError> {
        let Awaited::Known(known) = awaited else { return Ok(()) };
        for (id, found) in known {
            if let Some(receipt) = &found.receipt {
                let filing =
                    Filing { tasks: vec![*id], memo: None, inputs: Vec::new(), durability: Durability::Buffered };
                self.parts.receipts.file(receipt, &filing).await?;
            }
        }
        Ok(())
    }
}

/// The proofs of an invocation, as far as they were brought along.
pub(super) fn named(batch: &Batch<'_>, invocation: &Invocation) -> Vec<Delegation> {
    invocation.proofs().iter().filter_map(|cid| batch.find(cid)).collect()
}

/// Waits for all of them; the first that will not come ends it.
async fn collect(waits: impl Iterator<Item = impl Future<Output = Result<(TaskId, Arc<Found>), Failure>>>) -> Awaited {
    match try_join_all(waits).await {
        Ok(known) => Awaited::Known(known.into_iter().collect()),
        Err(failure) => Awaited::Missing(failure),
    }
}

fn nobody(id: &TaskId) -> Failure {
    let message = format!(
        "the result of the task {id} is not known here: no receipt for it that can be believed came along, and no \
         invocation of it that says who can be asked"
    );
    Failure::new("Unresolved", message).with("from", Ipld::Link((*id).into()))
}
