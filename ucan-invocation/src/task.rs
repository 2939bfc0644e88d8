use std::collections::BTreeMap;

use ucan_core::{Command, Did, Ipld, block, dagcbor};

use crate::{InstructionId, TaskId, promise};

/// The command whose instructions leave the subject out: running a Wasm component is the same work whoever does it.
const WASM_RUN: &str = "/wasm/run";

/// What is to be done: `{sub, cmd, args, nonce}`, exactly as UCAN Invocation 1.0 defines a Task.
///
/// ```
/// use ucan_core::{Command, Did, Ipld};
/// use ucan_invocation::Task;
///
/// let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse()?;
/// let task = Task::new(subject, Command::parse("/msg/send")?, Default::default(), vec![]);
/// assert_eq!(task.id()?.to_string().split_at(7).0, "bafyrei");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    subject: Did,
    command: Command,
    /// Always a map.
    args: Ipld,
    nonce: Vec<u8>,
}

static NO_ARGS: BTreeMap<String, Ipld> = BTreeMap::new();

impl Task {
    /// A task on `subject`. The nonce is empty for work that is the same each time it is done.
    #[must_use]
    pub fn new(subject: Did, command: Command, args: BTreeMap<String, Ipld>, nonce: Vec<u8>) -> Self {
        Self { subject, command, args: Ipld::Map(args), nonce }
    }

    /// Whose resource it concerns (`sub`).
    #[must_use]
    pub fn subject(&self) -> &Did {
        &self.subject
    }

    /// What is asked for (`cmd`).
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The arguments of the command (`args`).
    #[must_use]
    pub fn args(&self) -> &BTreeMap<String, Ipld> {
        match &self.args {
            Ipld::Map(args) => args,
            _ => &NO_ARGS,
        }
    }

    pub(crate) fn into_args(self) -> BTreeMap<String, Ipld> {
        match self.args {
            Ipld::Map(args) => args,
            _ => BTreeMap::new(),
        }
    }

    /// The arguments as one value, which is a map: what policies are about.
    #[must_use]
    pub fn args_value(&self) -> &Ipld {
        &self.args
    }

    /// What tells repeated requests apart (`nonce`).
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// The same task with other arguments: how a task with promises becomes a resolved one.
    #[must_use]
    pub fn with_args(&self, args: BTreeMap<String, Ipld>) -> Self {
        Self { args: Ipld::Map(args), ..self.clone() }
    }

    /// Whether an argument still waits for another task.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.args().values().any(promise::is_pending)
    }

    /// The task as data.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        Ipld::Map(
            [
                ("sub".to_owned(), Ipld::String(self.subject.to_string())),
                ("cmd".to_owned(), Ipld::String(self.command.to_string())),
                ("args".to_owned(), self.args.clone()),
                ("nonce".to_owned(), Ipld::Bytes(self.nonce.clone())),
            ]
            .into(),
        )
    }

    /// The canonical DAG-CBOR block of the task.
    ///
    /// # Errors
    /// [`TaskError::Encode`] where an argument cannot be carried (NaN, infinity, an integer beyond 64 bits).
    pub fn to_block(&self) -> Result<Vec<u8>, TaskError> {
        Ok(dagcbor::encode(&self.to_ipld())?)
    }

    /// The id of the task.
    ///
    /// # Errors
    /// As [`Task::to_block`].
    pub fn id(&self) -> Result<TaskId, TaskError> {
        Ok(TaskId::new(block::dag_cbor_cid(&self.to_block()?)))
    }

    /// Reads a task from its block.
    ///
    /// # Errors
    /// [`TaskError`] names the field that is missing, unknown or of another kind.
    pub fn from_block(bytes: &[u8]) -> Result<Self, TaskError> {
        let Ipld::Map(mut map) = dagcbor::decode(bytes)? else { return Err(TaskError::NotAMap) };
        let Some(Ipld::String(subject)) = map.remove("sub") else { return Err(TaskError::Field("sub")) };
        let Some(Ipld::String(command)) = map.remove("cmd") else { return Err(TaskError::Field("cmd")) };
        let Some(Ipld::Map(args)) = map.remove("args") else { return Err(TaskError::Field("args")) };
        let Some(Ipld::Bytes(nonce)) = map.remove("nonce") else { return Err(TaskError::Field("nonce")) };
        if let Some(key) = map.into_keys().next() {
            return Err(TaskError::UnknownField(key));
        }
        Ok(Self {
            subject: Did::parse(&subject).map_err(|_| TaskError::Field("sub"))?,
            command: Command::parse(&command).map_err(|_| TaskError::Field("cmd"))?,
            args: Ipld::Map(args),
            nonce,
        })
    }

    /// The closure of the task: what decides its result.
    ///
    /// # Errors
    /// [`TaskError::Pending`] while an argument waits for another task.
    pub fn instruction(&self) -> Result<Instruction, TaskError> {
        if self.is_pending() {
            return Err(TaskError::Pending);
        }
        let subject = (self.command.as_str() != WASM_RUN).then(|| self.subject.clone());
        Ok(Instruction { subject, command: self.command.clone(), args: self.args.clone() })
    }
}

/// The closure `{cmd, args}` with every promise resolved. Its id is the input address under which results are memoized.
///
/// Only commands whose meaning does not depend on the subject (`/wasm/run`) leave `sub` out; any other is keyed by
/// `{sub, cmd, args}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    subject: Option<Did>,
    command: Command,
    args: Ipld,
}

impl Instruction {
    /// The input address.
    ///
    /// # Errors
    /// [`TaskError::Encode`] where an argument cannot be carried.
    pub fn id(&self) -> Result<InstructionId, TaskError> {
        let mut map: BTreeMap<String, Ipld> =
            [("cmd".to_owned(), Ipld::String(self.command.to_string())), ("args".to_owned(), self.args.clone())].into();
        if let Some(subject) = &self.subject {
            map.insert("sub".to_owned(), Ipld::String(subject.to_string()));
        }
        Ok(InstructionId::new(block::dag_cbor_cid(&dagcbor::encode(&Ipld::Map(map))?)))
    }
}

/// Why something is not a task, or has no instruction.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The block is not canonical DAG-CBOR.
    #[error("the task is not canonical DAG-CBOR: {0}")]
    Decode(#[from] dagcbor::DecodeError),
    /// A value cannot be carried in DAG-CBOR.
    #[error("the task cannot be encoded: {0}")]
    Encode(#[from] dagcbor::EncodeError),
    /// The block is not a map.
    #[error("a task is a map of sub, cmd, args and nonce")]
    NotAMap,
    /// A required field is missing or of another kind.
    #[error("the task's field {0:?} is missing or of the wrong kind")]
    Field(&'static str),
    /// There is a field that tasks do not have.
    #[error("the task has an unknown field {0:?}")]
    UnknownField(String),
    /// An argument waits for another task, so that there is no instruction yet.
    #[error("an argument still waits for the result of another task")]
    Pending,
}
