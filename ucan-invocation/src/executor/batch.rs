//! A container of invocations, and what they may know of each other.

use std::collections::{BTreeSet, HashMap};

use ucan_core::{Cid, Container, Context, Delegation, Did, Ipld, Token};

use super::{ExecuteError, Executor};
use crate::meta::ATTEMPT;
use crate::{Invocation, Outcome, RECEIPT_COMMAND, TaskId, attest, promises};

/// How many invocations one container may have for one executor, and how many receipts are looked at.
const MOST: usize = 1024;

/// An invocation, and the tasks that it awaits.
pub(super) struct Asked {
    pub(super) invocation: Invocation,
    awaits: BTreeSet<TaskId>,
}

/// What a container brings, and what has come of its invocations so far.
pub(super) struct Batch {
    pub(super) delegations: HashMap<Cid, Delegation>,
    /// The outcomes of receipts that came with the container.
    given: HashMap<TaskId, Outcome>,
    /// Those of invocations that were carried out, and by whom they were asked for.
    found: HashMap<TaskId, Found>,
}

struct Found {
    outcome: Outcome,
    invokers: BTreeSet<Box<str>>,
}

impl Batch {
    /// Reads a container: what is asked of an executor, and what else there is.
    pub(super) fn read(executor: &Executor, request: &Container) -> Result<(Self, Vec<Asked>), ExecuteError> {
        let contents = request.contents();
        if let Some(refused) = contents.refused.into_iter().next() {
            return Err(ExecuteError::Token { cid: refused.cid, error: refused.error });
        }
        let delegations = contents.delegations.into_iter().map(|delegation| (*delegation.cid(), delegation)).collect();
        let mut batch = Self { delegations, given: HashMap::new(), found: HashMap::new() };
        let (mut asked, mut receipts) = (Vec::new(), Vec::new());
        for envelope in contents.others {
            let cid = *envelope.cid();
            let invocation = Invocation::from_envelope(envelope).map_err(|error| ExecuteError::Token { cid, error })?;
            if invocation.command().as_str() == RECEIPT_COMMAND {
                receipts.push(invocation);
            } else if invocation.executor().same_principal(executor.parts.executor.did())
                || executor.is_revocation_here(&invocation)
            {
                let awaits = invocation.args().values().flat_map(promises).map(|promise| promise.target).collect();
                asked.push(Asked { invocation, awaits });
            }
        }
        match asked.len() {
            0 => return Err(ExecuteError::NothingAsked),
            1..=MOST => {}
            asked => return Err(ExecuteError::TooMany { asked, most: MOST }),
        }
        let awaited: BTreeSet<TaskId> = asked.iter().flat_map(|asked| asked.awaits.iter().copied()).collect();
        receipts.truncate(MOST);
        receipts.into_iter().for_each(|receipt| batch.take(executor, receipt, &awaited));
        Ok((batch, asked))
    }

    /// Takes a receipt for true if it is this executor's own, still stands, and says what finally came of an awaited task.
    /// Whoever has it knows the outcome already.
    fn take(&mut self, executor: &Executor, receipt: Invocation, awaited: &BTreeSet<TaskId>) {
        let (parts, own) = (&*executor.parts, executor.parts.executor.did());
        let is_wanted =
            matches!(receipt.args().get("ran"), Some(Ipld::Link(ran)) if awaited.contains(&TaskId::new(*ran)));
        let is_final = receipt.meta().get(ATTEMPT) != Some(&Ipld::Bool(true));
        if !is_wanted || !is_final || !receipt.issuer().same_principal(own) {
            return;
        }
        let context = Context::new(parts.clock.now(), &*parts.keys);
        if let Ok(attested) = attest(receipt, None, &|_| None, &context)
            && !attested.expired()
        {
            self.given.insert(*attested.ran(), attested.outcome().clone());
        }
    }

    /// Whether all that an invocation awaits is known.
    pub(super) fn is_ready(&self, asked: &Asked) -> bool {
        asked.awaits.iter().all(|id| self.outcome(id, asked.invocation.issuer()).is_some())
    }

    /// The outcome of a task, as far as an invoker may know it: by a receipt that came along, or because they asked for the
    /// task themselves.
    pub(super) fn outcome(&self, id: &TaskId, invoker: &Did) -> Option<&Outcome> {
        let found = || self.found.get(id).filter(|found| found.invokers.contains(invoker.principal()));
        self.given.get(id).or_else(|| found().map(|found| &found.outcome))
    }

    /// Notes what came of an invocation in the end.
    pub(super) fn note(&mut self, id: TaskId, invoker: &Did, outcome: &Outcome) {
        let found = || Found { outcome: outcome.clone(), invokers: BTreeSet::new() };
        self.found.entry(id).or_insert_with(found).invokers.insert(invoker.principal().into());
    }
}
