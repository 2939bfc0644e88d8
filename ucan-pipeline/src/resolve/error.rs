use std::fmt;

use ucan_core::Ipld;
use ucan_invocation::{Branch, Failure, TaskError, TaskId};

/// Why promises cannot be resolved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The awaited task has no outcome yet. This comes before any other error, so that in the end the error is the same
    /// in whatever order tasks finish.
    #[error("the result of task {from} is not there yet")]
    Unresolved {
        /// The awaited task.
        from: TaskId,
    },
    /// The promise waits for the other arm of the outcome (UCAN Promise, "Branch Mismatch").
    #[error("expected {} of task {from}, got {}", expected.name(), got.name())]
    BranchMismatch {
        /// The arm that the promise waits for.
        expected: Branch,
        /// The arm of the outcome.
        got: Branch,
        /// The awaited task.
        from: TaskId,
    },
    /// With the results in place, the arguments would pass what can be decoded again.
    #[error("with the results in place, the arguments take more than {limit} {quantity}{}", at(*from))]
    TooLarge {
        /// What there is too much of.
        quantity: Quantity,
        /// How much of it there may be.
        limit: usize,
        /// The awaited task whose result passes the limit, where it is a result that does.
        from: Option<TaskId>,
    },
    /// With the results in place, the arguments are nested too deep.
    #[error("with the results in place, the arguments are nested deeper than {limit}")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// The result has the shape of a promise, or takes it where it is put.
    #[error("the result of task {from} holds the shape of a promise, which is refused")]
    PromiseInResult {
        /// The awaited task.
        from: TaskId,
    },
    /// The resolved task has no id.
    #[error(transparent)]
    Task(#[from] TaskError),
}

fn at(from: Option<TaskId>) -> String {
    from.map_or_else(String::new, |from| format!(", by the result of task {from}"))
}

impl ResolveError {
    /// The name of the failure that a receipt states.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "Unresolved",
            Self::BranchMismatch { .. } => "BranchMismatch",
            Self::TooLarge { .. } | Self::TooDeep { .. } => "ArgumentsTooLarge",
            Self::PromiseInResult { .. } => "PromiseInResult",
            Self::Task(_) => "MalformedArguments",
        }
    }
}

/// What the receipt of the waiting task states: `{name, message, ..}`. A branch mismatch has `expected`, `got` and
/// `from`, a link to the awaited task.
impl From<&ResolveError> for Failure {
    fn from(error: &ResolveError) -> Self {
        let failure = Self::new(error.name(), error.to_string());
        let link = |from: TaskId| Ipld::Link(from.into());
        match error {
            ResolveError::BranchMismatch { expected, got, from } => failure
                .with("expected", Ipld::String(expected.name().to_owned()))
                .with("got", Ipld::String(got.name().to_owned()))
                .with("from", link(*from)),
            ResolveError::Unresolved { from } | ResolveError::PromiseInResult { from } => {
                failure.with("from", link(*from))
            }
            ResolveError::TooLarge { .. } | ResolveError::TooDeep { .. } | ResolveError::Task(_) => failure,
        }
    }
}

/// What arguments can have too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Bytes of canonical DAG-CBOR.
    Bytes,
    /// Values, those in lists and maps included, keys not.
    Values,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Values => "values",
        })
    }
}
