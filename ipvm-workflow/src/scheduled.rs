use std::sync::Arc;

use ucan_core::{Command, Delegation, Did, StoreError, Timestamp, dagcbor};
use ucan_invocation::{Invocation, Task, TaskId};

use crate::schedule::nonce;
use crate::{AskError, Ending, LeftOut, Progress, RUN_COMMAND, RunError, Schedule};

/// A schedule, and how far it has come.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its id: that of the task that asks for it.
    pub id: TaskId,
    /// Who asked for it.
    pub invoker: Did,
    /// What was asked for.
    pub schedule: Schedule,
    /// How far it has come.
    pub progress: Progress,
    /// The version of what is kept that this was read from.
    pub(crate) version: u64,
    pub(crate) invocation: Invocation,
    pub(crate) delegations: Arc<Vec<Delegation>>,
}

impl Scheduled {
    /// The id of the run that is due at a moment.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be addressed, as what is too large.
    pub fn run(&self, due: Timestamp) -> Result<TaskId, RunError> {
        let command = command(RUN_COMMAND)?;
        let executor = self.invocation.subject().clone();
        Ok(Task::new(executor, command, self.schedule.run_args(), nonce(&self.id, due)).id()?)
    }
}

/// Until when a [`Scheduler`](crate::Scheduler) goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Stopped,
    /// Until nothing is due any more, now or later, and nothing is under way.
    Idle,
    /// Until all that is due now was run.
    NothingDue,
}

/// What happens to schedules, in the order in which it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ScheduleEvent {
    /// A run begins.
    Began {
        /// The schedule.
        schedule: TaskId,
        /// When it was due.
        due: Timestamp,
        /// The run.
        run: TaskId,
        /// Whether it was begun before, and is gone on with.
        again: bool,
    },
    /// A time is not run. There may be others before it.
    LeftOut {
        /// The schedule.
        schedule: TaskId,
        /// The last time that is not run.
        due: Timestamp,
        /// Why not.
        why: LeftOut,
    },
    /// A run is over.
    Ended {
        /// The schedule.
        schedule: TaskId,
        /// When it was due.
        due: Timestamp,
        /// The run.
        run: TaskId,
        /// What came of it.
        ending: Ending,
    },
    /// A run is not over, and is not gone on with before the scheduler is run anew.
    Paused {
        /// The schedule.
        schedule: TaskId,
        /// When it was due.
        due: Timestamp,
        /// The run.
        run: TaskId,
        /// Why.
        reason: String,
    },
    /// Nothing is due before this moment; ever, where there is none.
    Waiting {
        /// The moment.
        until: Option<Timestamp>,
    },
}

/// Why a schedule is refused, or schedules cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The request is refused, or that of its first run would be.
    #[error(transparent)]
    Refused(#[from] RunError),
    /// A run cannot be asked for.
    #[error("its runs cannot be asked for: {0}")]
    Ask(#[from] AskError),
    /// It was asked for by somebody for whom this scheduler does not sign.
    #[error("it was asked for by {invoker}, and requests to run are signed by {signer} here")]
    OtherInvoker {
        /// Who asked for it.
        invoker: Did,
        /// Who signs here.
        signer: Did,
    },
    /// Nothing will ever be due.
    #[error("it is never due: its time has passed, or there is none")]
    Never,
    /// It is there already, or was and has been removed.
    #[error("the schedule {0} was asked for before")]
    Known(TaskId),
    /// There is no such schedule.
    #[error("there is no schedule {0}")]
    Unknown(TaskId),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state of a schedule could not be encoded.
    #[error("the state of the schedule could not be written: {0}")]
    Encode(#[from] dagcbor::EncodeError),
}

pub(crate) fn command(text: &str) -> Result<Command, RunError> {
    Command::parse(text).map_err(|error| RunError::Malformed(error.to_string()))
}
