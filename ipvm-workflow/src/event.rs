use std::collections::BTreeMap;
use std::time::Duration;

use ucan_core::{Cid, Ipld};
use ucan_invocation::{EffectClass, Effects, Outcome, ReceiptId, TaskId};

use crate::Caught;

/// How a step came to its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was run.
    Ran,
    /// A result that was known already answered it; nothing ran.
    Reused,
    /// It was run, and the world was already as it wants it.
    Unchanged,
    /// It was not run: its authority, or what it awaits, did not allow it. The receipt says why.
    NotRun,
}

impl How {
    /// The word for it, as people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Reused => "reused",
            Self::Unchanged => "unchanged",
            Self::NotRun => "not run",
        }
    }
}

/// What happens in a run, in the order in which it happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "most are reports, and each is looked at and dropped")]
pub enum Event {
    /// The run was accepted: its authority, its layout and its arguments were checked, and nothing has started.
    Accepted {
        /// The task of the run.
        run: TaskId,
        /// The workflow.
        workflow: Cid,
        /// The steps that are to be done: label and class, in an order in which each comes after what it awaits.
        steps: Vec<(String, EffectClass)>,
    },
    /// A step began.
    Started {
        /// Its label.
        label: String,
    },
    /// A step has its receipt.
    Finished(StepReport),
    /// An attempt at a step failed, and another one is made after a pause.
    Retrying {
        /// Its label.
        label: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// The receipt of the attempt.
        receipt: ReceiptId,
        /// How long the pause is.
        pause: Duration,
    },
    /// The workflow's handler of failures was told of one.
    Caught {
        /// The label of what failed.
        label: String,
        /// What came of it.
        caught: Caught,
    },
    /// What a step did to the world is about to be undone.
    Undoing {
        /// Its label.
        label: String,
        /// The label of what undoes it.
        by: String,
    },
    /// What a step did to the world could not be undone, and stays.
    NotUndone(NotUndone),
    /// A step, or a task that one asked for, will not be started, because pure work that mutations wait for has failed, or the run was cancelled.
    NotStarted {
        /// Its label.
        label: String,
        /// Its class.
        class: EffectClass,
    },
    /// The run has its receipt.
    Done {
        /// The receipt of the run.
        receipt: ReceiptId,
        /// Whether every task succeeded.
        succeeded: bool,
    },
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Its label; of a task that another asked for `LABEL/fork/0` and so on, or `LABEL/join`.
    pub label: String,
    /// The id of its task, as the workflow states it.
    pub task: TaskId,
    /// The same task with its promises resolved, as far as they were.
    pub resolved: TaskId,
    /// What running it does to the world.
    pub class: EffectClass,
    /// How it came to its receipt.
    pub how: How,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether its receipt is found by its task: it states what the task comes to, and not what came of one attempt or of something
    /// else than the outcomes that it awaits.
    pub answers: bool,
    /// What its receipt asks to have done next, where it states a final outcome.
    pub effects: Effects,
    /// The fuel that the receipt states, where it states any.
    pub fuel: Option<u64>,
    /// What the receipt says that was charged for it, in units of its channel, where it was paid for. What is reused says what it cost
    /// when it ran.
    pub charged: Option<u64>,
    /// The time that this run spent on it.
    pub elapsed: Duration,
    /// Its receipt.
    pub receipt: ReceiptId,
}

/// An effect that stays, although its workflow says how it is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUndone {
    /// The label of what was done.
    pub label: String,
    /// The label of the task that was to undo it.
    pub by: String,
    /// Why that did not: the name of its failure, and what that says.
    pub reason: String,
    /// Its receipt.
    pub receipt: ReceiptId,
}

impl NotUndone {
    /// What the receipt of a run says of it, under the label of the task that was to undo it.
    pub(crate) fn to_ipld(&self) -> Ipld {
        Ipld::Map(
            [
                ("of".to_owned(), Ipld::String(self.label.clone())),
                ("receipt".to_owned(), Ipld::Link(self.receipt.into())),
                ("reason".to_owned(), Ipld::String(self.reason.clone())),
            ]
            .into(),
        )
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// The task of the run.
    pub run: TaskId,
    /// The workflow.
    pub workflow: Cid,
    /// The steps that have receipts, in the order in which they came.
    pub steps: Vec<StepReport>,
    /// The tasks that have receipts of those that others asked for, in the order in which they came.
    pub continued: Vec<StepReport>,
    /// The labels of the steps that were not started, and of tasks that were asked for and not started.
    pub not_started: Vec<String>,
    /// Failures that the workflow's handler was told of, by label.
    pub caught: BTreeMap<String, Caught>,
    /// What was undone, in that order.
    pub undone: Vec<StepReport>,
    /// What could not be undone, and stays.
    pub not_undone: Vec<NotUndone>,
    /// Whether somebody cancelled it.
    pub cancelled: bool,
    /// The receipt of the run.
    pub receipt: ReceiptId,
}

impl RunReport {
    /// Whether every task succeeded, or came to something instead of its failure, and so did every one that was asked for.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        let made_good = |label: &str| self.caught.get(label).is_some_and(|caught| caught.instead.is_some());
        let fine = |step: &StepReport| step.outcome.is_ok() || made_good(&step.label);
        let continued = self.continued.iter().all(|task| task.outcome.is_ok());
        !self.cancelled && self.not_started.is_empty() && self.steps.iter().all(fine) && continued
    }
}
