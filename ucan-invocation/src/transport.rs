use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use ucan_core::{Container, ContainerEncoding, ContainerError, Did};

use crate::memory::lock;
use crate::{ExecuteError, Executor, Failure};

/// A way to others: a container goes to a principal, and one comes back.
///
/// # Contract
/// What comes back is what the other side sent, unchanged and unchecked: its tokens speak for themselves, and the transport for
/// nobody. A request can arrive more than once, and its answer not at all; whoever sends knows no more than
/// that when there is an error.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a container to a principal, and gives its answer.
    ///
    /// # Errors
    /// [`TransportError`] where the principal is not reached, or answers with no container.
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError>;
}

/// Why a container was not answered with one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Nobody here knows where the principal is.
    #[error("there is no way to {0}")]
    NoRoute(Did),
    /// The principal was not reached, or the way back failed: the request may have been carried out.
    #[error("{to} did not answer: {detail}")]
    Failed {
        /// To whom the container was sent.
        to: Did,
        /// What happened.
        detail: String,
    },
    /// The answer is no container.
    #[error("the answer of {to} cannot be read: {error}")]
    Answer {
        /// To whom the container was sent.
        to: Did,
        /// What is wrong with the answer.
        error: ContainerError,
    },
    /// The other side refused the container as a whole.
    #[error("{to} refused the request: {error}")]
    Refused {
        /// To whom the container was sent.
        to: Did,
        /// Why.
        error: ExecuteError,
    },
    /// The other side, at the end of a wire, refused the container as a whole, and nothing was begun.
    #[error("{to} refused the request: {failure}")]
    Rejected {
        /// To whom the container was sent.
        to: Did,
        /// Why, in the words of the other side.
        failure: Failure,
    },
}

/// Executors in this process, each reached under its own principal. Containers pass as bytes, so that nothing crosses that a
/// socket would not carry.
#[derive(Debug, Default)]
pub struct InProcess(Mutex<BTreeMap<Box<str>, Executor>>);

impl InProcess {
    /// Makes an executor reachable, in the place of one with the same principal.
    pub fn add(&self, executor: Executor) {
        let principal = executor.parts().executor.did().principal().into();
        lock(&self.0).insert(principal, executor);
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        let executor = lock(&self.0).get(to.principal()).cloned();
        let executor = executor.ok_or_else(|| TransportError::NoRoute(to.clone()))?;
        let answer = executor.answer(&container.encode(ContainerEncoding::Raw)).await;
        let answer = answer.map_err(|error| TransportError::Refused { to: to.clone(), error })?;
        Container::decode(&answer).map_err(|error| TransportError::Answer { to: to.clone(), error })
    }
}
