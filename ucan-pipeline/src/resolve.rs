use std::collections::HashMap;

use ucan_core::Ipld;
use ucan_core::dagcbor::Limits;
use ucan_invocation::{Await, Branch, Outcome, TaskId, is_pending};

/// Replaces parts of `value`, top down: where `replace` gives something, it takes the place of that part and is not
/// looked at again.
///
/// # Errors
/// The first that `replace` gives.
pub fn substitute<E>(value: &Ipld, replace: &mut dyn FnMut(&Ipld) -> Result<Option<Ipld>, E>) -> Result<Ipld, E> {
    if let Some(replacement) = replace(value)? {
        return Ok(replacement);
    }
    Ok(match value {
        Ipld::List(items) => Ipld::List(items.iter().map(|item| substitute(item, replace)).collect::<Result<_, _>>()?),
        Ipld::Map(map) => Ipld::Map(
            map.iter().map(|(key, item)| Ok((key.clone(), substitute(item, replace)?))).collect::<Result<_, E>>()?,
        ),
        leaf => leaf.clone(),
    })
}

/// Puts results in the place of promises, wherever they stand in `value` (UCAN Promise).
///
/// `outcome_of` gives the outcome of a task that has one. A result is put in once and never looked at again; one that
/// itself holds the shape of a promise is refused, since later readers could not tell it from one. All that is put in
/// has to stay within the [`Limits`] of what can be decoded again, however often one result is asked for: this is
/// checked before anything is copied.
///
/// # Errors
/// [`ResolveError`] names the task whose result is missing or does not fit.
pub fn resolve<'a>(value: &Ipld, outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Result<Ipld, ResolveError> {
    let limits = Limits::default();
    let mut sizes: HashMap<TaskId, Size> = HashMap::new();
    let mut total = Size::default();
    let resolved = substitute(value, &mut |part| {
        let Some(promise) = Await::recognise(part) else { return Ok(None) };
        let from = promise.target;
        let outcome = outcome_of(&from).ok_or(ResolveError::Unresolved { from })?;
        let (Outcome::Ok(result) | Outcome::Error(result)) = outcome;
        let size = *sizes.entry(from).or_insert_with(|| Size::of(result));
        total = total.plus(size);
        if total.items > limits.items || total.bytes > limits.bytes {
            return Err(ResolveError::TooLarge { from });
        }
        let got = if outcome.is_ok() { Branch::Ok } else { Branch::Error };
        let mismatch = ResolveError::BranchMismatch { expected: promise.branch, got, from };
        if is_pending(result) {
            return Err(ResolveError::PromiseInResult { from });
        }
        promise.branch.take(outcome).map(Some).ok_or(mismatch)
    })?;
    // One level is left for the task around the arguments.
    let limit = limits.depth - 1;
    if depth(&resolved) > limit { Err(ResolveError::TooDeep { limit }) } else { Ok(resolved) }
}

/// What a value takes: how many values there are in it, and about how many bytes.
#[derive(Clone, Copy, Default)]
struct Size {
    items: usize,
    bytes: usize,
}

impl Size {
    /// What a head, or a number, takes at the most.
    const HEAD: usize = 9;
    /// What a link takes, about.
    const LINK: usize = 41;

    fn of(value: &Ipld) -> Self {
        let leaf = |bytes| Self { items: 1, bytes };
        match value {
            Ipld::List(items) => items.iter().map(Self::of).fold(leaf(Self::HEAD), Self::plus),
            Ipld::Map(map) => map
                .iter()
                .map(|(key, item)| Self::of(item).plus(Self { items: 0, bytes: Self::HEAD + key.len() }))
                .fold(leaf(Self::HEAD), Self::plus),
            Ipld::String(text) => leaf(Self::HEAD + text.len()),
            Ipld::Bytes(bytes) => leaf(Self::HEAD + bytes.len()),
            Ipld::Link(_) => leaf(Self::LINK),
            _ => leaf(Self::HEAD),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { items: self.items.saturating_add(other.items), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

fn depth(value: &Ipld) -> usize {
    match value {
        Ipld::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Ipld::Map(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Why promises cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The awaited task has no outcome yet.
    #[error("the result of task {from} is not there yet")]
    Unresolved {
        /// The awaited task.
        from: TaskId,
    },
    /// The promise waits for the other arm of the outcome.
    #[error("expected {} of task {from}, got {}", expected.name(), got.name())]
    BranchMismatch {
        /// The arm that the promise waits for.
        expected: Branch,
        /// The arm of the outcome.
        got: Branch,
        /// The awaited task.
        from: TaskId,
    },
    /// With this result, the arguments would pass what can be decoded again.
    #[error("with the result of task {from}, the arguments are too large")]
    TooLarge {
        /// The awaited task.
        from: TaskId,
    },
    /// With the results in place, the arguments are nested too deep.
    #[error("with the results in place, the arguments are nested deeper than {limit}")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// The result has the shape of a promise.
    #[error("the result of task {from} holds the shape of a promise, which is refused")]
    PromiseInResult {
        /// The awaited task.
        from: TaskId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::block;

    fn task(name: &str) -> TaskId {
        TaskId::new(block::dag_cbor_cid(name.as_bytes()))
    }

    fn promise(branch: Branch, target: TaskId) -> Ipld {
        Await { branch, target }.to_ipld()
    }

    #[test]
    fn results_take_the_place_of_promises() {
        let args = Ipld::List(vec![
            promise(Branch::Ok, task("good")),
            Ipld::Map([("deep".to_owned(), promise(Branch::Error, task("bad")))].into()),
            promise(Branch::Any, task("bad")),
            Ipld::String("await/ok".into()),
        ]);
        let (good, bad) = (Outcome::Ok(Ipld::Integer(1)), Outcome::Error(Ipld::String("no".into())));
        let outcome_of = |id: &TaskId| Some(if *id == task("good") { &good } else { &bad });
        let resolved = resolve(&args, &outcome_of).unwrap();
        let failed = Ipld::Map([("error".to_owned(), Ipld::String("no".into()))].into());
        assert_eq!(
            resolved,
            Ipld::List(vec![
                Ipld::Integer(1),
                Ipld::Map([("deep".to_owned(), Ipld::String("no".into()))].into()),
                failed,
                Ipld::String("await/ok".into()),
            ])
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let from = task("first");
        let waiting = promise(Branch::Ok, from);
        let failed = Outcome::Error(Ipld::Null);
        assert_eq!(resolve(&waiting, &|_| None), Err(ResolveError::Unresolved { from }));
        assert_eq!(
            resolve(&waiting, &|_| Some(&failed)),
            Err(ResolveError::BranchMismatch { expected: Branch::Ok, got: Branch::Error, from })
        );
        let sly = Outcome::Ok(Ipld::List(vec![promise(Branch::Ok, task("second"))]));
        assert_eq!(resolve(&waiting, &|_| Some(&sly)), Err(ResolveError::PromiseInResult { from }));
    }

    #[test]
    fn a_result_that_is_asked_for_often_is_not_copied_without_end() {
        let from = task("large");
        let large = Outcome::Ok(Ipld::Bytes(vec![0; 1 << 20]));
        let asks = |times: usize| Ipld::List(vec![promise(Branch::Ok, from); times]);
        assert!(resolve(&asks(15), &|_| Some(&large)).is_ok());
        assert_eq!(resolve(&asks(100_000), &|_| Some(&large)), Err(ResolveError::TooLarge { from }));
        let many = Outcome::Ok(Ipld::List(vec![Ipld::Null; 1 << 19]));
        assert_eq!(resolve(&asks(3), &|_| Some(&many)), Err(ResolveError::TooLarge { from }));
        let nested = |depth: usize| (0..depth).fold(Ipld::Null, |inner, _| Ipld::List(vec![inner]));
        let deep = Outcome::Ok(nested(126));
        assert!(resolve(&asks(1), &|_| Some(&deep)).is_ok());
        let deeper = Outcome::Ok(nested(127));
        assert_eq!(resolve(&asks(1), &|_| Some(&deeper)), Err(ResolveError::TooDeep { limit: 127 }));
    }
}
