use ucan_core::{Cid, ContainerError, SignError, StoreError, TokenError};

use crate::{MemoError, TaskError};

/// Why a container has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The bytes are no container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A token in it cannot be read.
    #[error("the token {cid} in the container cannot be read: {error}")]
    Token {
        /// Which token.
        cid: Cid,
        /// What is wrong with it.
        error: TokenError,
    },
    /// Nothing in it asks this executor for anything: its invocations, if it has any, are addressed to others or are
    /// receipts.
    #[error("nothing in the container is asked of this executor")]
    NothingAsked,
    /// It asks for too much at once.
    #[error("the container has {asked} invocations for this executor, more than {most}")]
    TooMany {
        /// How many there are.
        asked: usize,
        /// How many there may be.
        most: usize,
    },
    /// It shows too many invocations that are addressed to others.
    #[error("the container has {shown} invocations for others, more than {most}")]
    TooManyForOthers {
        /// How many there are.
        shown: usize,
        /// How many there may be.
        most: usize,
    },
    /// A task has no id.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A store failed. What was begun may have been done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receipt could not be signed.
    #[error("a receipt could not be signed: {0}")]
    Sign(#[from] SignError),
}

impl From<MemoError> for ExecuteError {
    fn from(error: MemoError) -> Self {
        match error {
            MemoError::Task(error) => Self::Task(error),
            MemoError::Store(error) => Self::Store(error),
        }
    }
}

impl ExecuteError {
    /// The name of the error, for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Container(error) => error.name(),
            Self::Token { error, .. } => error.name(),
            Self::NothingAsked => "NothingAsked",
            Self::TooMany { .. } | Self::TooManyForOthers { .. } => "LimitExceeded",
            Self::Task(_) => "MalformedToken",
            Self::Store(_) | Self::Sign(_) => "HostFailure",
        }
    }
}
