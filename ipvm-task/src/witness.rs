//! Asking other executors what they state of a task.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ucan_core::{
    Clock, Container, Context, DelegationStore, Did, FindError, Issuer, KeySource, Request, SignError, SignatureError,
    Token, Verified, find, verify,
};
use ucan_invocation::{Invocation, Receipt, Task, TaskError, Transport, TransportError};

/// What somebody else states of an instruction.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The receipt.
    pub receipt: Verified<Receipt>,
    /// The task that was asked for, whose subject is the other executor.
    pub task: Task,
}

/// Has other executors do a deterministic task, to compare what they state.
///
/// # Contract
/// What comes back is signed by the executor that was asked, about a task with the command and the arguments of the one given.
/// Everything else about it is for the caller to check. Asking twice is asking for the same task.
#[async_trait]
pub trait Witnesses: fmt::Debug + Send + Sync {
    /// Asks `executor` for what came of `task`, whose promises are all resolved, there.
    ///
    /// # Errors
    /// [`WitnessError`] where nothing can be had from it.
    async fn ask(&self, executor: &Did, task: &Task) -> Result<Witness, WitnessError>;
}

/// Why an executor says nothing of a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Nothing allows whoever asks to have the task done there.
    #[error("no authority to ask {executor}: {error}")]
    NoAuthority {
        /// Who was to be asked.
        executor: Did,
        /// What is missing.
        error: Box<FindError>,
    },
    /// The task cannot be addressed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The request could not be signed.
    #[error("the request could not be made: {0}")]
    Sign(#[from] SignError),
    /// The executor was not reached, or refused the request as a whole.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Its receipt is not signed by it.
    #[error("the signature of its receipt does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// It answered without a receipt for the task.
    #[error("{executor} answered without a receipt for the task")]
    NoReceipt {
        /// Who was asked.
        executor: Did,
    },
}

/// Other executors, reached over a [`Transport`] with invocations that the asking one signs itself, under the delegations that it
/// holds from them.
///
/// The other side finds the component, and the blocks that the arguments link to, by itself.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Who asks.
    pub issuer: Issuer,
    /// The way to them.
    pub transport: Arc<dyn Transport>,
    /// What they delegated.
    pub delegations: Arc<dyn DelegationStore>,
    /// The keys of principals.
    pub keys: Arc<dyn KeySource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// For how many seconds a request is good.
const LIFETIME: u64 = 300;

#[async_trait]
impl Witnesses for Peers {
    async fn ask(&self, executor: &Did, task: &Task) -> Result<Witness, WitnessError> {
        let now = self.clock.now();
        // It offers its own compute, and a deterministic task has no nonce: whoever asks, it is the same one.
        let task = Task::new(executor.clone(), task.command().clone(), task.args().clone(), Vec::new());
        let (invoker, command) = (self.issuer.did(), task.command());
        let request = Request { invoker, subject: executor, command, args: task.args_value() };
        let found = find(&*self.delegations, &request, &Context::new(now, &*self.keys))
            .await
            .map_err(|error| WitnessError::NoAuthority { executor: executor.clone(), error: Box::new(error) })?;
        let invocation = Invocation::builder(executor.clone(), command.clone(), task.args().clone())
            .nonce(Vec::new())
            .proofs(found.authority.proofs().to_vec())
            .expiration(now.saturating_add(LIFETIME))
            .sign(&self.issuer)?;
        let tokens = found.proofs.iter().map(|proof| proof.bytes().to_vec());
        let request: Container = tokens.chain([invocation.envelope().bytes().to_vec()]).collect();
        let answer = self.transport.send(executor, &request).await?;

        let id = task.id()?;
        let receipts = answer.contents().others.into_iter().filter_map(|it| Receipt::decode(it.bytes().to_vec()).ok());
        let mut about = receipts.filter(|it| it.resolved() == id && it.issuer().same_principal(executor));
        let receipt = about.next().ok_or_else(|| WitnessError::NoReceipt { executor: executor.clone() })?;
        Ok(Witness { receipt: verify(receipt, &*self.keys)?, task })
    }
}
