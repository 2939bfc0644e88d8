mod error;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use ucan_core::Ipld;
use ucan_core::dagcbor::Limits;
use ucan_invocation::{Await, Branch, Failure, Outcome, Resolve, Task, TaskId};

use crate::measure::Measure;
use crate::parts::{Kind, Parts};
pub use error::{Quantity, ResolveError};

/// How large arguments may become when results are put in. All is checked before anything is copied.
///
/// By default, as much as can be decoded again, less what is left for the task around the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// How many bytes of canonical DAG-CBOR they may take: 16 MiB less 128 KiB.
    pub bytes: usize,
    /// How many values there may be in them, those in lists and maps included, keys not: 2^20 less 16.
    pub items: usize,
    /// How deep lists and maps may be nested in them, the map of arguments counted: 127. A greater number counts as 127.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let Limits { bytes, items, .. } = Limits::default();
        // Around the arguments there are a map, a subject, a command and a nonce of up to 64 KiB.
        Self { bytes: bytes - (128 << 10), items: items - 16, depth: DEPTH }
    }
}

/// One level is left for the task around the arguments.
const DEPTH: usize = 127;

/// Replaces parts of `value`, top down: where `replace` gives something, it takes the place of that part and is not
/// looked at again. It calls itself as deep as `value` is nested.
///
/// # Errors
/// The first that `replace` gives.
pub fn substitute<E>(value: &Ipld, replace: &mut dyn FnMut(&Ipld) -> Result<Option<Ipld>, E>) -> Result<Ipld, E> {
    if let Some(replacement) = replace(value)? {
        return Ok(replacement);
    }
    Ok(match value {
        Ipld::List(items) => Ipld::List(items.iter().map(|item| substitute(item, replace)).collect::<Result<_, _>>()?),
        Ipld::Map(map) => Ipld::Map(substitute_members(map, replace)?),
        leaf => leaf.clone(),
    })
}

fn substitute_members<E>(
    map: &BTreeMap<String, Ipld>,
    replace: &mut dyn FnMut(&Ipld) -> Result<Option<Ipld>, E>,
) -> Result<BTreeMap<String, Ipld>, E> {
    map.iter().map(|(key, item)| Ok((key.clone(), substitute(item, replace)?))).collect()
}

/// Puts results in the place of promises, wherever they stand in `value` (UCAN Promise, "Resolution").
///
/// `outcome_of` gives the outcome of a task that has one. A result is put in once and never looked at again; one that
/// itself holds the shape of a promise, or takes it where it is put, is refused, since later readers could not tell it
/// from one. What comes of it stays within [`Bounds`], however often one result is asked for.
///
/// # Errors
/// [`ResolveError`] names the task whose result is missing or does not fit: of several, the first in the order of the
/// data, but a missing one before all others.
pub fn resolve<'a>(value: &Ipld, outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Result<Ipld, ResolveError> {
    Check::new(&Bounds::default(), outcome_of).run(Parts::of(value))?;
    substitute(value, &mut put(outcome_of))
}

/// Puts results in the place of promises in the arguments of a task, within bounds of the caller's.
///
/// The arguments themselves are no promise, even if their map has the shape of one.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_args<'a>(
    args: &BTreeMap<String, Ipld>,
    bounds: &Bounds,
    outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>,
) -> Result<BTreeMap<String, Ipld>, ResolveError> {
    let mut check = Check::new(bounds, outcome_of);
    check.total = Measure::of_map(args);
    check.keyed = has_promise_key(args);
    check.run(Parts::of_args(args))?;
    substitute_members(args, &mut put(outcome_of))
}

/// A task whose promises have become results, and the ids under which its receipt is to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The id of the task as it was asked for, promises and all: what others await.
    pub promised: TaskId,
    /// The id of the resolved task: another one if there were promises.
    pub id: TaskId,
    /// The resolved task.
    pub task: Task,
}

impl Resolved {
    /// Both ids, or the one where they are the same. A receipt is filed under each (UCAN Promise, "ActID").
    #[must_use]
    pub fn ids(&self) -> Vec<TaskId> {
        if self.promised == self.id { vec![self.id] } else { vec![self.promised, self.id] }
    }
}

/// Puts results in the place of the promises of `task`, whose subject, command and nonce stay as they are.
///
/// # Errors
/// As [`resolve`], and [`ResolveError::Task`] where an argument cannot be carried.
pub fn resolve_task<'a>(
    task: &Task,
    outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>,
) -> Result<Resolved, ResolveError> {
    let args = resolve_args(task.args(), &Bounds::default(), outcome_of)?;
    let resolved = Task::new(task.subject().clone(), task.command().clone(), args, task.nonce().to_vec());
    Ok(Resolved { promised: task.id()?, id: resolved.id()?, task: resolved })
}

/// [`resolve_task`] for an [`Executor`](ucan_invocation::Executor): with it, invocations in one container may await each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promises;

impl Resolve for Promises {
    fn resolve<'a>(&self, task: &Task, outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Result<Task, Failure> {
        resolve_task(task, outcome_of).map(|resolved| resolved.task).map_err(|error| Failure::from(&error))
    }
}

/// What stands in the place of a promise. That it fits was checked before.
fn put<'a>(
    outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>,
) -> impl FnMut(&Ipld) -> Result<Option<Ipld>, ResolveError> {
    move |part| {
        let Some(Await { branch, target: from }) = Await::recognise(part) else { return Ok(None) };
        let outcome = outcome_of(&from).ok_or(ResolveError::Unresolved { from })?;
        let mismatch = ResolveError::BranchMismatch { expected: branch, got: arm(outcome), from };
        branch.take(outcome).map(Some).ok_or(mismatch)
    }
}

fn arm(outcome: &Outcome) -> Branch {
    if outcome.is_ok() { Branch::Ok } else { Branch::Error }
}

/// Whether a map has one entry, under a key of promises: it becomes a promise if its value becomes a link.
fn has_promise_key(map: &BTreeMap<String, Ipld>) -> bool {
    let mut keys = map.keys();
    let key = keys.next().filter(|_| keys.next().is_none());
    key.is_some_and(|key| [Branch::Ok, Branch::Error, Branch::Any].iter().any(|branch| branch.key() == key))
}

/// Goes through a value and finds out what would become of it, before anything is copied.
struct Check<'c, 'a> {
    bounds: Bounds,
    outcome_of: &'c dyn Fn(&TaskId) -> Option<&'a Outcome>,
    /// What results take, each measured once, however often it is asked for; nothing for those that hold a promise.
    results: HashMap<TaskId, Option<Measure>>,
    total: Measure,
    /// Whether the next part is the only one of a map, under a key of promises.
    keyed: bool,
}

impl<'c, 'a> Check<'c, 'a> {
    fn new(bounds: &Bounds, outcome_of: &'c dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Self {
        let bounds = Bounds { depth: bounds.depth.min(DEPTH), ..*bounds };
        Self { bounds, outcome_of, results: HashMap::new(), total: Measure::default(), keyed: false }
    }

    fn run(mut self, parts: Parts<'_>) -> Result<(), ResolveError> {
        let mut first = Ok(());
        for part in parts {
            // Which error it is must not depend on the order in which tasks finish: all have to have finished.
            if let Kind::Promise(Await { target: from, .. }) = part.kind
                && (self.outcome_of)(&from).is_none()
            {
                return Err(ResolveError::Unresolved { from });
            }
            if first.is_ok() {
                first = self.part(part.depth, &part.kind);
            }
        }
        first
    }

    fn part(&mut self, depth: usize, part: &Kind<'_>) -> Result<(), ResolveError> {
        let keyed = std::mem::take(&mut self.keyed);
        let (from, measure) = match part {
            Kind::Value(value) => {
                self.keyed = matches!(value, Ipld::Map(map) if has_promise_key(map));
                (None, Measure::of_head(value))
            }
            Kind::Promise(promise) => (Some(promise.target), self.promise(promise, keyed)?),
        };
        self.total.add(depth, measure);
        let Bounds { bytes, items, depth } = self.bounds;
        if self.total.depth > depth {
            return Err(ResolveError::TooDeep { limit: depth });
        }
        if self.total.bytes > bytes {
            return Err(ResolveError::TooLarge { quantity: Quantity::Bytes, limit: bytes, from });
        }
        if self.total.items > items {
            return Err(ResolveError::TooLarge { quantity: Quantity::Values, limit: items, from });
        }
        Ok(())
    }

    /// What the result takes that stands in the place of `promise`.
    fn promise(&mut self, promise: &Await, keyed: bool) -> Result<Measure, ResolveError> {
        let from = promise.target;
        let outcome = (self.outcome_of)(&from).ok_or(ResolveError::Unresolved { from })?;
        let (Outcome::Ok(result) | Outcome::Error(result)) = outcome;
        let got = arm(outcome);
        let measured = *self.results.entry(from).or_insert_with(|| Measure::of(result));
        match promise.branch {
            Branch::Any => measured.map(|measure| measure.under(got.name().len())),
            branch if branch != got => {
                return Err(ResolveError::BranchMismatch { expected: branch, got, from });
            }
            _ => measured.filter(|_| !(keyed && matches!(result, Ipld::Link(_)))),
        }
        .ok_or(ResolveError::PromiseInResult { from })
    }
}
