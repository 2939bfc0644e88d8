use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;
use ipld_core::serde::{from_ipld, to_ipld};
use serde::{Serialize, de::DeserializeOwned};
use ucan_core::{CommandError, Delegation, DelegationBuilder, Did, Ipld};

use crate::{Call, Completion, Config, EffectClass, Failure, Handler, Invocation, InvocationBuilder, Outcome, Task};

/// A command whose arguments and result have types.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use ucan_core::Issuer;
/// use ucan_invocation::{Failure, Outcome, TypedCommand};
/// use varsig::ed25519::SigningKey;
///
/// struct SendMail;
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Mail {
///     to: Vec<String>,
///     text: String,
/// }
///
/// impl TypedCommand for SendMail {
///     const COMMAND: &'static str = "/msg/send";
///     type Args = Mail;
///     type Output = u64;
/// }
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let mail = Mail { to: vec!["bob@example.com".into()], text: "hello".into() };
/// let invocation = SendMail::invoke(alice.did().clone(), &mail)?.nonce(vec![1; 12]).sign(&alice)?;
///
/// let read = SendMail::args(invocation.task())?;
/// assert_eq!(read.text, "hello");
/// assert_eq!(SendMail::output(&SendMail::outcome(&1)?)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TypedCommand: Send + Sync + 'static {
    /// The command.
    const COMMAND: &'static str;
    /// Its arguments: what serde writes as a map.
    type Args: Serialize + DeserializeOwned + Send;
    /// What it gives.
    type Output: Serialize + DeserializeOwned + Send;

    /// Starts an invocation of the command.
    ///
    /// # Errors
    /// A [`Failure`] named `ArgumentMismatch` where the arguments cannot be written as a map, and `MalformedCommand` where
    /// [`COMMAND`](Self::COMMAND) is no command.
    fn invoke(subject: Did, args: &Self::Args) -> Result<InvocationBuilder, Failure> {
        let command = Self::COMMAND.parse().map_err(|error: CommandError| malformed(&error))?;
        match to_ipld(args) {
            Ok(Ipld::Map(args)) => Ok(Invocation::builder(subject, command, args)),
            Ok(_) => Err(mismatch("they are not a map")),
            Err(error) => Err(mismatch(error)),
        }
    }

    /// Starts a delegation of the command; without a subject it is a powerline.
    ///
    /// # Errors
    /// A [`Failure`] named `MalformedCommand` where [`COMMAND`](Self::COMMAND) is no command.
    fn delegate(audience: Did, subject: Option<Did>) -> Result<DelegationBuilder, Failure> {
        let command = Self::COMMAND.parse().map_err(|error: CommandError| malformed(&error))?;
        Ok(Delegation::builder(audience, subject, command))
    }

    /// The arguments of a task.
    ///
    /// # Errors
    /// A [`Failure`] named `ArgumentMismatch` that says what does not fit.
    fn args(task: &Task) -> Result<Self::Args, Failure> {
        from_ipld(task.args_value().clone()).map_err(mismatch)
    }

    /// A result, as receipts state it.
    ///
    /// # Errors
    /// A [`Failure`] named `UnrepresentableResult` where it cannot be written.
    fn outcome(output: &Self::Output) -> Result<Outcome, Failure> {
        let message = |error| format!("the result cannot be carried in a receipt: {error}");
        to_ipld(output).map(Outcome::Ok).map_err(|error| Failure::new("UnrepresentableResult", message(error)))
    }

    /// The result that a receipt states.
    ///
    /// # Errors
    /// [`OutputError::Failed`] where the task failed, [`OutputError::Mismatch`] where the result is of another type.
    fn output(outcome: &Outcome) -> Result<Self::Output, OutputError> {
        match outcome {
            Outcome::Ok(value) => from_ipld(value.clone()).map_err(|error| OutputError::Mismatch(error.to_string())),
            Outcome::Error(_) => Err(OutputError::Failed {
                name: outcome.failure_name().unwrap_or_default().to_owned(),
                message: outcome.failure_message().unwrap_or_default().to_owned(),
            }),
        }
    }
}

fn mismatch(error: impl fmt::Display) -> Failure {
    Failure::new("ArgumentMismatch", format!("the arguments do not fit: {error}"))
}

fn malformed(error: &CommandError) -> Failure {
    Failure::new("MalformedCommand", error.to_string())
}

/// Why a receipt does not have the result of a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The task failed.
    #[error("the task failed: {name}: {message}")]
    Failed {
        /// The name of the failure; empty where it has none.
        name: String,
        /// Its message; empty where it has none.
        message: String,
    },
    /// The result is of another type.
    #[error("the result is of another type than the command's: {0}")]
    Mismatch(String),
}

/// A [`Handler`] made of a function from the arguments of a command to its result.
///
/// The arguments are checked before anything starts, unless a promise stands in them. A function whose failures would not be
/// repeated by another run is no [`Deterministic`](EffectClass::Deterministic) one: its failures are memoized like its results.
pub struct TypedHandler<C, F> {
    class: EffectClass,
    function: F,
    command: PhantomData<fn() -> C>,
}

impl<C, F, R> TypedHandler<C, F>
where
    C: TypedCommand,
    F: Fn(C::Args, Call) -> R + Send + Sync,
    R: Future<Output = Result<C::Output, Failure>> + Send,
{
    /// The handler that calls `function`, whose effects are of this class.
    pub fn new(class: EffectClass, function: F) -> Self {
        Self { class, function, command: PhantomData }
    }
}

#[async_trait]
impl<C, F, R> Handler for TypedHandler<C, F>
where
    C: TypedCommand,
    F: Fn(C::Args, Call) -> R + Send + Sync,
    R: Future<Output = Result<C::Output, Failure>> + Send,
{
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        if task.is_pending() { Ok(()) } else { C::args(task).map(drop) }
    }

    async fn handle(&self, call: &Call) -> Completion {
        let result = match C::args(call.task()) {
            Ok(args) => (self.function)(args, call.clone()).await,
            Err(failure) => Err(failure),
        };
        Completion::new(result.and_then(|output| C::outcome(&output)).unwrap_or_else(Outcome::from))
    }
}

impl<C: TypedCommand, F> fmt::Debug for TypedHandler<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedHandler").field("command", &C::COMMAND).field("class", &self.class).finish_non_exhaustive()
    }
}
