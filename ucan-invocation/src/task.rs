use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

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
///
/// Cloning it is cheap, and all clones share the ids that one of them computed.
#[derive(Clone, Debug)]
pub struct Task(Arc<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    subject: Did,
    command: Command,
    /// Always a map.
    args: Ipld,
    nonce: Vec<u8>,
    /// What the fields above hash to, once somebody has asked.
    id: OnceLock<TaskId>,
    instruction: OnceLock<InstructionId>,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        fn fields(Task(task): &Task) -> (&Did, &Command, &Ipld, &[u8]) {
            (&task.subject, &task.command, &task.args, &task.nonce)
        }
        Arc::ptr_eq(&self.0, &other.0) || fields(self) == fields(other)
    }
}

static NO_ARGS: BTreeMap<String, Ipld> = BTreeMap::new();

impl Task {
    /// A task on `subject`. The nonce is empty for work that is the same each time it is done.
    #[must_use]
    pub fn new(subject: Did, command: Command, args: BTreeMap<String, Ipld>, nonce: Vec<u8>) -> Self {
        let (id, instruction) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Fields { subject, command, args: Ipld::Map(args), nonce, id, instruction }))
    }

    /// Whose resource it concerns (`sub`).
    #[must_use]
    pub fn subject(&self) -> &Did {
        &self.0.subject
    }

    /// What is asked for (`cmd`).
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.0.command
    }

    /// The arguments of the command (`args`).
    #[must_use]
    pub fn args(&self) -> &BTreeMap<String, Ipld> {
        match &self.0.args {
            Ipld::Map(args) => args,
            _ => &NO_ARGS,
        }
    }

    pub(crate) fn into_args(self) -> BTreeMap<String, Ipld> {
        match Arc::unwrap_or_clone(self.0).args {
            Ipld::Map(args) => args,
            _ => BTreeMap::new(),
        }
    }

    /// The arguments as one value, which is a map: what policies are about.
    #[must_use]
    pub fn args_value(&self) -> &Ipld {
        &self.0.args
    }

    /// What tells repeated requests apart (`nonce`).
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        &self.0.nonce
    }

    /// The same task with other arguments: how a task with promises becomes a resolved one.
    #[must_use]
    pub fn with_args(&self, args: BTreeMap<String, Ipld>) -> Self {
        Self::new(self.0.subject.clone(), self.0.command.clone(), args, self.0.nonce.clone())
    }

    /// Whether an argument still waits for another task.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.args().values().any(promise::is_pending)
    }

    /// The canonical DAG-CBOR block of the task.
    ///
    /// # Errors
    /// [`TaskError::Encode`] where an argument cannot be carried (NaN, infinity, an integer beyond 64 bits).
    pub fn to_block(&self) -> Result<Vec<u8>, TaskError> {
        let subject = Ipld::String(self.0.subject.to_string());
        let command = Ipld::String(self.0.command.to_string());
        let nonce = Ipld::Bytes(self.0.nonce.clone());
        let fields = [("sub", &subject), ("cmd", &command), ("args", &self.0.args), ("nonce", &nonce)];
        Ok(dagcbor::encode_fields(fields)?)
    }

    /// The id of the task. It is computed once.
    ///
    /// # Errors
    /// As [`Task::to_block`].
    pub fn id(&self) -> Result<TaskId, TaskError> {
        if let Some(id) = self.0.id.get() {
            return Ok(*id);
        }
        let id = TaskId::new(block::dag_cbor_cid(&self.to_block()?));
        Ok(*self.0.id.get_or_init(|| id))
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
        let subject = Did::parse(&subject).map_err(|_| TaskError::Field("sub"))?;
        let command = Command::parse(&command).map_err(|_| TaskError::Field("cmd"))?;
        Ok(Self::new(subject, command, args, nonce))
    }

    /// The closure of the task: what decides its result.
    ///
    /// # Errors
    /// [`TaskError::Pending`] while an argument waits for another task.
    pub fn instruction(&self) -> Result<Instruction, TaskError> {
        if self.is_pending() {
            return Err(TaskError::Pending);
        }
        let subject = self.instruction_subject().cloned();
        Ok(Instruction { subject, command: self.0.command.clone(), args: self.0.args.clone() })
    }

    /// The id of its [`Instruction`]. It is computed once.
    ///
    /// # Errors
    /// [`TaskError::Pending`] while an argument waits for another task; [`TaskError::Encode`] where one cannot be carried.
    pub fn instruction_id(&self) -> Result<InstructionId, TaskError> {
        if let Some(id) = self.0.instruction.get() {
            return Ok(*id);
        }
        if self.is_pending() {
            return Err(TaskError::Pending);
        }
        let id = instruction_id(self.instruction_subject(), &self.0.command, &self.0.args)?;
        Ok(*self.0.instruction.get_or_init(|| id))
    }

    fn instruction_subject(&self) -> Option<&Did> {
        Some(&self.0.subject).filter(|_| self.0.command.as_str() != WASM_RUN)
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
        instruction_id(self.subject.as_ref(), &self.command, &self.args)
    }
}

fn instruction_id(subject: Option<&Did>, command: &Command, args: &Ipld) -> Result<InstructionId, TaskError> {
    let command = Ipld::String(command.to_string());
    let bytes = match subject.map(|subject| Ipld::String(subject.to_string())) {
        Some(subject) => dagcbor::encode_fields([("cmd", &command), ("args", args), ("sub", &subject)])?,
        None => dagcbor::encode_fields([("cmd", &command), ("args", args)])?,
    };
    Ok(InstructionId::new(block::dag_cbor_cid(&bytes)))
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
