//! What a container brings: what is asked here, what is shown of others, and what was told.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::lock::Mutex;
use ucan_core::{Cid, Container, Delegation, Did, Ipld, Token, verify};

use super::belief::{Found, Hearing, standing};
use super::{ExecuteError, Executor};
use crate::slot::Slot;
use crate::{Failure, Invocation, RECEIPT_COMMAND, TaskId, promises};

/// How many invocations one container may have for one executor, and how many receipts are looked at.
const MOST: usize = 1024;
/// How many invocations for others one container may have where these are looked at.
const MOST_SHOWN: usize = 4096;

/// What came of an awaited task, or why nobody waits for it any longer.
pub(super) type Settled = Result<Arc<Found>, Failure>;

/// What a container is to an executor.
pub(super) enum Read<'a> {
    /// It asks for something.
    Asked(Box<Batch<'a>>),
    /// It only tells what came of tasks.
    Told(Vec<Invocation>),
}

/// An invocation in a container.
pub(super) struct Shown {
    pub(super) invocation: Invocation,
    pub(super) id: TaskId,
    /// The tasks that it awaits, in the order of the data, each once.
    pub(super) awaits: Vec<TaskId>,
    /// Which invocations of one task by one invoker it belongs to, if it is asked of this executor.
    pub(super) group: Option<usize>,
    /// As a hint, once it was checked.
    pub(super) hint: Mutex<Option<Hint>>,
    /// Whether its signature holds, once somebody wanted to know: a bad one is looked at once only, too.
    signed: OnceLock<bool>,
}

/// A receipt in a container, and whether it stands, once somebody wanted to know.
struct Brought {
    receipt: Invocation,
    stands: OnceLock<bool>,
}

/// What an invocation that is addressed to somebody else is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing: it is not signed by whom it names, has expired, or its invoker may not ask for it.
    Void,
    /// Its executor can be asked.
    Good {
        /// Whether the authority of its invoker is settled, whatever its promises turn out to be.
        decided: bool,
    },
}

/// The invocations of one task by one invoker, of which one that succeeds is enough.
struct Group {
    settled: Slot<Settled>,
    open: AtomicUsize,
}

/// What a container brings, and what has come of its invocations so far.
pub(super) struct Batch<'a> {
    request: &'a Container,
    delegations: HashMap<Cid, Delegation>,
    shown: Vec<Shown>,
    /// Which of them are asked of this executor.
    pub(super) asked: Vec<usize>,
    by_task: HashMap<TaskId, Vec<usize>>,
    /// Invocations for others that await a task, by that task.
    awaiting: HashMap<TaskId, Vec<usize>>,
    groups: Vec<Group>,
    receipts: HashMap<TaskId, Vec<Brought>>,
    /// The id under which the request was kept, once it was.
    pub(super) kept: Mutex<Option<Cid>>,
}

/// Where the outcome of an awaited task comes from.
pub(super) enum Source<'a> {
    /// From a receipt that was brought along.
    Known(Arc<Found>),
    /// From an invocation that is asked of this executor too.
    Here(&'a Slot<Settled>),
    /// From the executor to whom one of these is addressed.
    Elsewhere(Vec<usize>),
}

impl<'a> Batch<'a> {
    /// Reads a container: what is asked of an executor, and what else there is.
    pub(super) fn read(executor: &Executor, request: &'a Container) -> Result<Read<'a>, ExecuteError> {
        let contents = request.contents();
        if let Some(refused) = contents.refused.into_iter().next() {
            return Err(ExecuteError::Token { cid: refused.cid, error: refused.error });
        }
        let waits = executor.parts.elsewhere.is_some();
        let (mut asked, mut others, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        for envelope in contents.others {
            let cid = *envelope.cid();
            let invocation = Invocation::from_envelope(envelope).map_err(|error| ExecuteError::Token { cid, error })?;
            if invocation.command().as_str() == RECEIPT_COMMAND {
                receipts.push(invocation);
            } else if executor.is_asked(&invocation) {
                asked.push(invocation);
            } else {
                others.push(invocation);
            }
        }
        receipts.truncate(MOST);
        match asked.len() {
            0 if waits && !receipts.is_empty() => return Ok(Read::Told(receipts)),
            0 => return Err(ExecuteError::NothingAsked),
            1..=MOST => {}
            asked => return Err(ExecuteError::TooMany { asked, most: MOST }),
        }
        if !waits {
            others.clear();
        }
        if others.len() > MOST_SHOWN {
            return Err(ExecuteError::TooManyForOthers { shown: others.len(), most: MOST_SHOWN });
        }
        let delegations = contents.delegations.into_iter().map(|delegation| (*delegation.cid(), delegation)).collect();
        let mut batch = Self {
            request,
            delegations,
            shown: Vec::with_capacity(asked.len() + others.len()),
            asked: (0..asked.len()).collect(),
            by_task: HashMap::new(),
            awaiting: HashMap::new(),
            groups: Vec::new(),
            receipts: HashMap::new(),
            kept: Mutex::default(),
        };
        asked.into_iter().try_for_each(|invocation| batch.show(invocation, true))?;
        others.into_iter().try_for_each(|invocation| batch.show(invocation, false))?;
        let awaited: BTreeSet<TaskId> = batch.shown.iter().flat_map(|shown| shown.awaits.iter().copied()).collect();
        for receipt in receipts {
            if let Some(ran) = ran(&receipt).filter(|ran| awaited.contains(ran)) {
                let brought = Brought { receipt, stands: OnceLock::new() };
                batch.receipts.entry(ran).or_default().push(brought);
            }
        }
        Ok(Read::Asked(Box::new(batch)))
    }

    fn show(&mut self, invocation: Invocation, asked: bool) -> Result<(), ExecuteError> {
        let (id, at, mut seen) = (invocation.task().id()?, self.shown.len(), BTreeSet::new());
        let awaits = invocation.args().values().flat_map(promises).map(|promise| promise.target);
        let awaits: Vec<TaskId> = awaits.filter(|target| seen.insert(*target)).collect();
        if !asked {
            awaits.iter().for_each(|of| self.awaiting.entry(*of).or_default().push(at));
        }
        let group = asked.then(|| match self.group(&id, invocation.issuer()) {
            Some(group) => group,
            None => {
                self.groups.push(Group { settled: Slot::default(), open: AtomicUsize::new(0) });
                self.groups.len() - 1
            }
        });
        if let Some(group) = group.and_then(|group| self.groups.get(group)) {
            group.open.fetch_add(1, Ordering::Relaxed);
        }
        self.by_task.entry(id).or_default().push(at);
        self.shown.push(Shown { invocation, id, awaits, group, hint: Mutex::default(), signed: OnceLock::new() });
        Ok(())
    }

    /// The invocations of a task by an invoker, for whomever.
    fn of(&self, id: &TaskId, invoker: &Did) -> impl Iterator<Item = (usize, &Shown)> {
        let at = self.by_task.get(id).into_iter().flatten();
        at.filter_map(|at| Some((*at, self.shown.get(*at)?)))
            .filter(|(_, shown)| shown.invocation.issuer().same_principal(invoker))
    }

    fn group(&self, id: &TaskId, invoker: &Did) -> Option<usize> {
        self.of(id, invoker).find_map(|(_, shown)| shown.group)
    }

    pub(super) fn shown(&self, at: usize) -> Option<&Shown> {
        self.shown.get(at)
    }

    pub(super) fn request(&self) -> &Container {
        self.request
    }

    /// The delegation with a CID, if it was brought along.
    pub(super) fn find(&self, cid: &Cid) -> Option<Delegation> {
        self.delegations.get(cid).cloned()
    }

    /// Where the outcome of a task may come from, as far as an invoker may know it.
    ///
    /// Whoever has a receipt knows what it says already; and whom the invoker asks for a task is believed about it.
    pub(super) fn source(&self, executor: &Executor, id: &TaskId, invoker: &Did) -> Source<'_> {
        let elsewhere: Vec<usize> =
            self.of(id, invoker).filter(|(_, shown)| shown.group.is_none()).map(|(at, _)| at).collect();
        if let Some(receipts) = self.receipts.get(id) {
            let signed = |at: &&usize| self.is_signed(executor, **at);
            let asked = elsewhere.iter().filter(signed).filter_map(|at| self.shown(*at));
            let asked = asked.map(|shown| shown.invocation.executor()).collect();
            let mut hearing = Hearing::new(*id, asked);
            let stands =
                |brought: &&Brought| *brought.stands.get_or_init(|| standing(executor, &brought.receipt, id).is_some());
            let mut standing = receipts.iter().filter(stands);
            if let Some(found) = standing.find_map(|brought| hearing.hear(executor, &brought.receipt)) {
                return Source::Known(Arc::new(found));
            }
        }
        let group = self.group(id, invoker).and_then(|group| self.groups.get(group));
        group.map_or(Source::Elsewhere(elsewhere), |group| Source::Here(&group.settled))
    }

    fn is_signed(&self, executor: &Executor, at: usize) -> bool {
        let holds = |shown: &Shown| verify(shown.invocation.clone(), &*executor.parts.keys).is_ok();
        self.shown(at).is_some_and(|shown| *shown.signed.get_or_init(|| holds(shown)))
    }

    /// Notes what came of an invocation that was asked.
    pub(super) fn note(&self, at: usize, settled: Settled) {
        let Some(group) = self.shown(at).and_then(|shown| self.groups.get(shown.group?)) else { return };
        let others = group.open.fetch_sub(1, Ordering::AcqRel) > 1;
        // That one was refused says nothing of another token for the same.
        if settled.is_ok() || !others {
            group.settled.set(settled);
        }
    }

    /// What an executor needs to carry out the invocation `at`: that itself, those whose tasks it awaits in turn, by the same
    /// invoker, and the proofs of all these and the receipts for what they await, as far as they were brought along.
    pub(super) fn closure(&self, executor: &Executor, at: usize) -> Container {
        let (mut closure, mut seen, mut next) = (Container::new(), BTreeSet::from([at]), vec![at]);
        while let Some(shown) = next.pop().and_then(|at| self.shown(at)) {
            closure.insert(shown.invocation.envelope().bytes());
            for proof in shown.invocation.proofs() {
                closure.extend(self.delegations.get(proof).map(Delegation::bytes));
            }
            for awaited in &shown.awaits {
                let receipts = self.receipts.get(awaited).into_iter().flatten();
                closure.extend(receipts.map(|brought| brought.receipt.envelope().bytes()));
                for (at, _) in self.of(awaited, shown.invocation.issuer()) {
                    if seen.insert(at) && self.is_signed(executor, at) {
                        next.push(at);
                    }
                }
            }
        }
        closure
    }

    /// The executors, other than this one, to whom the invoker of a task has addressed something that awaits it.
    pub(super) fn interested(&self, executor: &Executor, id: &TaskId, invoker: &Did) -> Vec<Did> {
        let mut interested: Vec<Did> = Vec::new();
        for at in self.awaiting.get(id).into_iter().flatten() {
            let Some(shown) = self.shown(*at) else { continue };
            let to = shown.invocation.executor();
            if shown.invocation.issuer().same_principal(invoker)
                && !interested.iter().any(|known| known.same_principal(to))
                && self.is_signed(executor, *at)
            {
                interested.push(to.clone());
            }
        }
        interested
    }
}

/// The task that a receipt says was run.
pub(super) fn ran(receipt: &Invocation) -> Option<TaskId> {
    match receipt.args().get("ran") {
        Some(Ipld::Link(ran)) => Some(TaskId::new(*ran)),
        _ => None,
    }
}
