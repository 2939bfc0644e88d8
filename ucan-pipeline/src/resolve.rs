use ucan_core::Ipld;
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
/// itself holds the shape of a promise is refused, since later readers could not tell it from one.
///
/// # Errors
/// [`ResolveError`] names the task whose result is missing or does not fit.
pub fn resolve(value: &Ipld, outcome_of: &dyn Fn(&TaskId) -> Option<Outcome>) -> Result<Ipld, ResolveError> {
    substitute(value, &mut |part| {
        let Some(promise) = Await::recognise(part) else { return Ok(None) };
        let from = promise.target;
        let outcome = outcome_of(&from).ok_or(ResolveError::Unresolved { from })?;
        let got = if outcome.is_ok() { Branch::Ok } else { Branch::Error };
        let result = promise.branch.take(&outcome).ok_or(ResolveError::BranchMismatch {
            expected: promise.branch,
            got,
            from,
        })?;
        if is_pending(&result) {
            return Err(ResolveError::PromiseInResult { from });
        }
        Ok(Some(result))
    })
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
        let outcome_of = |id: &TaskId| match id {
            id if *id == task("good") => Some(Outcome::Ok(Ipld::Integer(1))),
            _ => Some(Outcome::Error(Ipld::String("no".into()))),
        };
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
        assert_eq!(resolve(&waiting, &|_| None), Err(ResolveError::Unresolved { from }));
        assert_eq!(
            resolve(&waiting, &|_| Some(Outcome::Error(Ipld::Null))),
            Err(ResolveError::BranchMismatch { expected: Branch::Ok, got: Branch::Error, from })
        );
        let sly = Outcome::Ok(Ipld::List(vec![promise(Branch::Ok, task("second"))]));
        assert_eq!(resolve(&waiting, &|_| Some(sly.clone())), Err(ResolveError::PromiseInResult { from }));
    }
}
