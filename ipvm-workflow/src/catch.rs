//! The task of a workflow that handles the failures of others.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ucan_core::Ipld;
use ucan_invocation::{Outcome, Receipt, ReceiptId, TaskError};
use ucan_pipeline::substitute;

use crate::document::is_failure;
use crate::{Step, StepReport};

/// What the receipt of a substitution links to: that of the failure, that of its handler, and the run in which it holds.
pub(crate) const CAUGHT: &str = "caught";
pub(crate) const BY: &str = "by";

/// Whether a receipt states what a failed task came to instead, which is no outcome of that task.
pub(crate) fn is_instead(receipt: &Receipt) -> bool {
    receipt.meta().contains_key(CAUGHT)
}
pub(crate) const RUN: &str = "run";

/// What a handler of failures answers (IPVM Workflow draft 0.1, section 5).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The task came to this value, for all who wait for it.
    Ok(Ipld),
    /// The task came to what another task of the workflow comes to.
    Rewire(String),
    /// The task failed, and this is the message.
    Message(String),
}

impl Answer {
    /// Reads `{ok: value}`, `{rewire: label}` or `{msg: text}`; says what is wrong with anything else.
    pub(crate) fn read(outcome: &Outcome) -> Result<Self, String> {
        let map = match outcome {
            Outcome::Ok(Ipld::Map(map)) if map.len() == 1 => map,
            Outcome::Ok(_) => return Err("it answered neither ok, rewire nor msg".to_owned()),
            Outcome::Error(_) => {
                let message = outcome.failure_message().unwrap_or("its receipt has the details");
                return Err(format!("it failed itself: {message}"));
            }
        };
        match map.first_key_value() {
            Some((key, value)) if key == "ok" => Ok(Self::Ok(value.clone())),
            Some((key, Ipld::String(label))) if key == "rewire" => Ok(Self::Rewire(label.clone())),
            Some((key, Ipld::String(text))) if key == "msg" => Ok(Self::Message(text.clone())),
            _ => Err("it answered neither ok, rewire nor msg".to_owned()),
        }
    }
}

/// What is said where a handler of failures gives no answer.
pub(crate) fn no_help(problem: &str) -> String {
    format!("the handler of failures is no help: {problem}")
}

/// What a handler of failures is told: `{label, task, receipt, error}`.
fn failure(failed: &StepReport) -> Ipld {
    let (Outcome::Ok(error) | Outcome::Error(error)) = &failed.outcome;
    Ipld::Map(
        [
            ("label".to_owned(), Ipld::String(failed.label.clone())),
            ("task".to_owned(), Ipld::Link(failed.task.into())),
            ("receipt".to_owned(), Ipld::Link(failed.receipt.into())),
            ("error".to_owned(), error.clone()),
        ]
        .into(),
    )
}

/// The step that handles this failure.
pub(crate) fn step(handler: &Step, failed: &StepReport) -> Result<Step, TaskError> {
    let told = failure(failed);
    let mut place = |part: &Ipld| -> Result<_, Infallible> { Ok(is_failure(part).then(|| told.clone())) };
    let args: BTreeMap<String, Ipld> = handler
        .task
        .args()
        .iter()
        .map(|(key, value)| {
            let Ok(value) = substitute(value, &mut place);
            (key.clone(), value)
        })
        .collect();
    let task = handler.task.with_args(args);
    Ok(Step { id: task.id()?, task, ..handler.clone() })
}

/// That a failure was handled.
#[derive(Clone, Debug, PartialEq)]
pub struct Caught {
    /// The receipt of the handler.
    pub by: ReceiptId,
    /// The receipt that states what the task came to instead; `None` where it stays failed.
    pub instead: Option<ReceiptId>,
    /// What the handler says of the failure, or what is wrong with its answer.
    pub message: Option<String>,
}

impl Caught {
    pub(crate) fn to_ipld(&self) -> Ipld {
        let mut map = BTreeMap::from([("by".to_owned(), Ipld::Link(self.by.into()))]);
        map.extend(self.instead.map(|receipt| ("instead".to_owned(), Ipld::Link(receipt.into()))));
        map.extend(self.message.clone().map(|message| ("message".to_owned(), Ipld::String(message))));
        Ipld::Map(map)
    }
}
