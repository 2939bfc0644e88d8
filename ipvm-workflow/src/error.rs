use ucan_core::{Cid, Did, NoChain, SignError, StoreError, Timestamp};
use ucan_invocation::{Failure, InvocationError, MemoError, ReceiptId, Task, TaskError, TaskId};

use crate::{DocumentError, HandoverError, PaymentError, PlanError};

/// Why a run was refused before anything started, or had to be given up.
///
/// A task that fails is none of these: it has a signed error receipt, and the run goes on as far as it can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The request to run is not valid.
    #[error("the request to run is refused: {0}")]
    Request(#[from] InvocationError),
    /// The request asks for something else, or its arguments are not those of `/ipvm/run`.
    #[error("the request to run is malformed: {0}")]
    Malformed(String),
    /// A delegation that the request names is not at hand.
    #[error("the request names the delegation {0}, which did not come with it")]
    UnavailableGrant(Cid),
    /// The request was carried out before.
    #[error("this request was carried out already; its receipt is {receipt}")]
    AlreadyRun {
        /// The receipt of the run.
        receipt: ReceiptId,
    },
    /// The workflow is not in the block store.
    #[error("the workflow {0} is not in the store")]
    NoWorkflow(Cid),
    /// The block that the request names is not a workflow that can be run.
    #[error("the workflow {cid} cannot be run: {error}")]
    Workflow {
        /// The workflow.
        cid: Cid,
        /// What is wrong with it.
        error: DocumentError,
    },
    /// The workflow cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Some tasks are not covered by the granted delegations.
    #[error("{}", unauthorized(.0))]
    NoAuthority(Vec<Unauthorized>),
    /// Some tasks cannot succeed, whatever the results that they wait for.
    #[error("{}", list(.0))]
    BadTasks(Vec<BadTask>),
    /// The request names no channel.
    #[error("what runs here has to be paid for: name a channel with the request")]
    Unpaid,
    /// The channel that is to pay does not.
    #[error("the channel {channel} does not pay for the run: {error}")]
    Channel {
        /// The channel.
        channel: Cid,
        /// Why not.
        error: Box<PaymentError>,
    },
    /// A store failed. What was under way is given up; what has a receipt is kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receipt could not be made.
    #[error("a receipt could not be made: {0}")]
    Receipt(#[from] SignError),
    /// A task could not be addressed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Tasks had started when something else than a task failed. What has a receipt is kept, and what was under way has
    /// come to its end; the same request can be made again, and goes on from there.
    #[error("the run was cut off after tasks had started: {0}")]
    CutOff(Box<RunError>),
    /// The run cannot go on by itself, or is not to for now. What is under way has come to its receipts. Asking for it again, with
    /// the same request or by [`Engine::resume`](crate::Engine::resume), goes on from there.
    #[error("the run is paused: {0}")]
    Paused(Paused),
    /// The run was handed over to another executor, which goes on with it.
    #[error("the run {run} was handed over to another executor by {handover}")]
    HandedOver {
        /// The run.
        run: TaskId,
        /// The invocation that hands it over.
        handover: Cid,
    },
    /// The run came from another executor, and what says so does not hold any more.
    #[error(transparent)]
    Handover(#[from] Box<HandoverError>),
    /// A task is secret, or awaits what is, and this engine has no vault to keep what comes of it.
    #[error("what comes of task {label:?} is secret, and this executor has no vault to keep it in")]
    NoVault {
        /// The task.
        label: String,
    },
    /// What comes of a task is secret, and something that the workflow asks for would tell it.
    #[error("what comes of task {label:?} is secret, and {problem}")]
    NotKept {
        /// The task.
        label: String,
        /// What would tell it.
        problem: &'static str,
    },
    /// A task is for another executor, and this engine has no way to others.
    #[error(
        "task {label:?} is for {to} (`aud`), and this executor was given no way to others: run the workflow where there is one, or there"
    )]
    NoWay {
        /// The task.
        label: String,
        /// Whom it is for.
        to: Did,
    },
    /// There is no run of this id that was started and is not over.
    #[error("no run {0} was started that is not over")]
    NotOpen(TaskId),
    /// The request of a run is not in the store.
    #[error("the block {0} of the request to run is missing or damaged")]
    NoRequest(Cid),
    /// A handler panicked.
    #[error("the handler of task {label:?} panicked; this is a defect of the handler")]
    Panicked {
        /// The task.
        label: String,
    },
}

/// Why a run does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Paused {
    /// Somebody asked for it.
    #[error("somebody asked for it")]
    Asked,
    /// A task failed as often as it may be tried.
    #[error("task {label:?} failed {attempts} times, the last time with {failure}: {message}")]
    Spent {
        /// The task.
        label: String,
        /// How often it was tried.
        attempts: u32,
        /// The name of its last failure.
        failure: String,
        /// What that says.
        message: String,
        /// The receipt of the last attempt.
        receipt: ReceiptId,
    },
    /// A task was begun before a crash and has no receipt, and nobody knows whether it took effect.
    #[error(
        "task {label:?} was begun before and has no receipt: whether it took effect is not known. Find out, and resolve {task}"
    )]
    Uncertain {
        /// The task.
        label: String,
        /// Its id, as the run's plan has it.
        task: TaskId,
    },
    /// Another executor was asked for a task, and did not say what came of it. Going on asks again, which does nothing twice.
    #[error(
        "task {label:?} was asked of {to}, and what came of it is not known: {why}. Going on asks again; or find out, and resolve {task}"
    )]
    Unanswered {
        /// The task.
        label: String,
        /// Its id, as the run's plan has it.
        task: TaskId,
        /// Who was asked.
        to: Did,
        /// Why nothing is known.
        why: String,
    },
    /// The channel that pays has too little credit for a task.
    #[error(
        "task {label:?} may use {asked} gas, and the channel {channel} has a credit of {credit}: sign a voucher for more, take          another channel, or give the task a lower limit"
    )]
    Exhausted {
        /// The task.
        label: String,
        /// The channel.
        channel: Cid,
        /// What can be set aside there.
        credit: u64,
        /// What was to be.
        asked: u64,
    },
    /// The channel that pays is closed, has expired, or was revoked.
    #[error("task {label:?} has to be paid for, and the channel {channel} is closed or has expired: take another one")]
    ChannelClosed {
        /// The task.
        label: String,
        /// The channel.
        channel: Cid,
    },
    /// A task could exceed what the run may cost.
    #[error(
        "task {label:?} may use {asked} gas; the run may cost {cap}, of which {spent} are spent: resume it with another cap"
    )]
    Capped {
        /// The task.
        label: String,
        /// What the run may cost.
        cap: u64,
        /// What it has cost since it was started or resumed.
        spent: u64,
        /// What the task may use.
        asked: u64,
    },
    /// A task could exceed what all tasks of the run may use together.
    #[error(
        "task {label:?} may use {asked} gas; all tasks of the run may use {gas}, of which {used} are used: resume it with more gas"
    )]
    OutOfGas {
        /// The task.
        label: String,
        /// What all tasks may use.
        gas: u64,
        /// What they have used since the run was first started.
        used: u64,
        /// What the task may use.
        asked: u64,
    },
    /// A task was to be started after the time that the run has.
    #[error("task {label:?} is not started any more: the run had time until {deadline}; resume it with more")]
    OutOfTime {
        /// The task.
        label: String,
        /// From when on nothing is started.
        deadline: Timestamp,
    },
}

impl From<MemoError> for RunError {
    fn from(error: MemoError) -> Self {
        match error {
            MemoError::Task(error) => Self::Task(error),
            MemoError::Store(error) => Self::Store(error),
        }
    }
}

/// A task that nothing granted covers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("task {label:?} ({command} on {subject}): {reason}")]
pub struct Unauthorized {
    /// The task.
    pub label: String,
    /// What it asks for.
    pub command: String,
    /// Whose resource it concerns.
    pub subject: Did,
    /// What is missing.
    pub reason: Missing,
}

impl Unauthorized {
    pub(crate) fn new(label: String, task: &Task, reason: Missing) -> Self {
        Self { label, command: task.command().to_string(), subject: task.subject().clone(), reason }
    }
}

/// What is missing for a task to be authorized.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// No chain of delegations covers it.
    #[error(transparent)]
    Chain(Box<NoChain>),
    /// It is for another executor, and no chain of delegations lets the one who runs the workflow ask for it.
    #[error(
        "it is for {to}, and {executor}, who runs the workflow, may not ask for it: {error}; delegate it to {executor}, and name that with the request"
    )]
    Onward {
        /// Whom it is for.
        to: Did,
        /// Who runs the workflow, and would ask.
        executor: Did,
        /// What is missing.
        error: Box<NoChain>,
    },
    /// The resource is the invoker's own, and the request does not lend the command to the workflow.
    #[error("the resource is the invoker's own, and the request to run does not list this command under \"self\"")]
    Own,
}

/// A task that cannot succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("task {label:?}: {failure}")]
pub struct BadTask {
    /// The task.
    pub label: String,
    /// Why not.
    pub failure: Failure,
}

/// What is missing, once, with the tasks that need it.
fn unauthorized(missing: &[Unauthorized]) -> String {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for task in missing {
        let reason = task.reason.to_string();
        match lines.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, labels)) => labels.push(&task.label),
            None => lines.push((reason, vec![&task.label])),
        }
    }
    let lines = lines.iter().map(|(reason, labels)| format!("no authority for {}: {reason}", labels.join(", ")));
    lines.collect::<Vec<_>>().join("\n")
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
