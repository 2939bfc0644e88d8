use ucan_core::{Cid, Ipld, SignatureError, StoreError, Token, verify};
use ucan_invocation::meta::{FUEL, PROFILE};
use ucan_invocation::{Await, EffectClass, Outcome, Receipt, ReceiptId, Task, TaskError, TaskId};

use crate::catch::is_instead;
use crate::errand;
use crate::stating::INSTEAD;
use crate::vault;
use crate::{Engine, PlanError, RUN_COMMAND};

/// That a receipt holds, and how far that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// The task was run again, and gave the same result for the same fuel.
    Reexecuted {
        /// The fuel that it used, where the receipt states any.
        fuel: Option<u64>,
    },
    /// The signature holds. The task has effects, or reads what may change, or its handler has no means of running it
    /// again.
    Attested {
        /// What running the task does to the world.
        class: EffectClass,
    },
    /// The signature holds. The receipt states what came of one attempt, such as that a limit was hit or that authority
    /// was missing, and no result of its task.
    Attempt,
    /// The receipt is that of a whole run. Its signature holds; each task has a receipt of its own to verify.
    Run,
}

impl Engine {
    /// Checks `receipt`: its signature, and, where its task is deterministic, its result and fuel by running it again.
    /// What the message of a failure says is not compared: programs branch on its name and its other fields.
    ///
    /// # Errors
    /// [`VerifyError`] says why it does not hold, or what is missing to tell; [`VerifyError::refutes`] which of the two.
    pub async fn verify(&self, receipt: Receipt) -> Result<Verification, VerifyError> {
        let parts = self.parts();
        let receipt = verify(receipt, &*parts.keys)?.into_inner();
        if !self.shared.trusts(&receipt) {
            return Err(VerifyError::Untrusted { issuer: receipt.issuer().to_string() });
        }
        let task = self.task(receipt.ran()).await?;
        if task.command().as_str() == RUN_COMMAND {
            return Ok(Verification::Run);
        }
        if receipt.is_attempt() {
            return Ok(Verification::Attempt);
        }
        if vault::is_sealed(&receipt) {
            let handler = parts.router.find(task.subject(), task.command());
            return Ok(Verification::Attested {
                class: handler.map_or(EffectClass::Mutable, |handler| handler.effect_class()),
            });
        }
        let resolved = self.task(&receipt.resolved()).await?;
        self.check_inputs(&receipt, &task, &resolved).await?;
        if errand::executor(&receipt).is_some() {
            return self.verify_elsewhere(&receipt, &task).await;
        }
        // What another executor computed, it computed as this one does.
        let handler = parts.router.find(task.subject(), task.command());
        let handler = handler.or_else(|| parts.router.find(parts.executor.did(), task.command()));
        let handler = handler.ok_or_else(|| VerifyError::NoHandler { command: task.command().to_string() })?;
        let Some(reexecutor) = handler.reexecutor() else {
            return Ok(Verification::Attested { class: handler.effect_class() });
        };
        if receipt.meta().get(PROFILE) != handler.profile().map(Ipld::Link).as_ref() {
            let stated = match receipt.meta().get(PROFILE) {
                Some(Ipld::Link(cid)) => Some(*cid),
                _ => None,
            };
            return Err(VerifyError::OtherProfile { stated, own: handler.profile() });
        }
        // What an executor refuses to state of a result, this one does, too.
        let again = reexecutor.reexecute(&resolved).await.for_receipt(handler.effect_class());
        if !again.repeatable {
            let (Outcome::Ok(value) | Outcome::Error(value)) = &again.outcome;
            return Err(VerifyError::NotRepeatable { outcome: show(value) });
        }
        compare(&again.outcome, receipt.outcome())?;
        let fuel = |value: Option<&Ipld>| match value {
            Some(Ipld::Integer(fuel)) => u64::try_from(*fuel).ok(),
            _ => None,
        };
        let (found, stated) = (fuel(again.meta.get(FUEL)), fuel(receipt.meta().get(FUEL)));
        if found != stated {
            return Err(VerifyError::Fuel { stated, found });
        }
        Ok(Verification::Reexecuted { fuel: found })
    }

    /// Checks a receipt of a task that another executor did: that it states what the receipt of that one does.
    async fn verify_elsewhere(&self, receipt: &Receipt, task: &Task) -> Result<Verification, VerifyError> {
        let cause = receipt.cause().ok_or(VerifyError::OtherTask)?;
        let theirs = self.parts().receipts.get(&cause).await?;
        let theirs = verify(theirs.ok_or(VerifyError::MissingReceipt { receipt: cause })?, &*self.parts().keys)?;
        if !errand::rests_on(receipt, &theirs) {
            return Err(VerifyError::OtherTask);
        }
        Ok(Verification::Attested { class: self.shared.class_elsewhere(theirs.issuer(), task.command()) })
    }

    pub(crate) async fn task(&self, id: &TaskId) -> Result<Task, VerifyError> {
        let bytes = self.parts().blocks.get(id.cid()).await?.ok_or(VerifyError::MissingTask { task: *id })?;
        Ok(Task::from_block(&bytes)?)
    }

    /// Checks that `resolved` is `promised` with what trusted receipts state in the place of each promise.
    pub(crate) async fn check_inputs(
        &self,
        receipt: &Receipt,
        promised: &Task,
        resolved: &Task,
    ) -> Result<(), VerifyError> {
        let instead = self.instead(receipt).await?;
        let mut inputs = Vec::new();
        let same = promised.subject() == resolved.subject()
            && promised.command() == resolved.command()
            && promised.nonce() == resolved.nonce()
            && promised.args().keys().eq(resolved.args().keys())
            && promised.args().values().zip(resolved.args().values()).all(|(a, b)| align(a, b, &mut inputs));
        if !same {
            return Err(VerifyError::OtherTask);
        }
        for (promise, input) in inputs {
            let mut receipts = self.parts().receipts.by_task(&promise.target).await?;
            receipts.extend(instead.iter().filter(|receipt| *receipt.ran() == promise.target).cloned());
            let mut trusted = receipts.iter().filter(|receipt| self.shared.trusts(receipt)).peekable();
            if trusted.peek().is_none() {
                return Err(VerifyError::MissingResult { task: promise.target });
            }
            if !trusted.any(|receipt| promise.branch.take(receipt.outcome()).as_ref() == Some(input)) {
                return Err(VerifyError::OtherInput { task: promise.target });
            }
        }
        Ok(())
    }
}

impl Engine {
    /// The receipts that `receipt`'s task went on from and that are filed under no task that it awaits.
    async fn instead(&self, receipt: &Receipt) -> Result<Vec<Receipt>, StoreError> {
        let Some(Ipld::List(links)) = receipt.meta().get(INSTEAD) else { return Ok(Vec::new()) };
        let mut receipts = Vec::new();
        for link in links {
            if let Ipld::Link(cid) = link {
                let receipt = self.parts().receipts.get(&ReceiptId::new(*cid)).await?;
                // What is filed under its task is looked up there, as long as it is.
                let apart = |receipt: &Receipt| {
                    receipt.is_attempt() || is_instead(receipt) || receipt.meta().contains_key(INSTEAD)
                };
                receipts.extend(receipt.filter(apart));
            }
        }
        Ok(receipts)
    }
}

/// Finds what stands in `resolved` where `promised` has promises; false where the two differ elsewhere.
fn align<'a>(promised: &Ipld, resolved: &'a Ipld, inputs: &mut Vec<(Await, &'a Ipld)>) -> bool {
    if let Some(promise) = Await::recognise(promised) {
        inputs.push((promise, resolved));
        return true;
    }
    match (promised, resolved) {
        (Ipld::Map(a), Ipld::Map(b)) => {
            a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| align(a, b, inputs))
        }
        (Ipld::List(a), Ipld::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| align(a, b, inputs)),
        (a, b) => a == b,
    }
}

fn compare(found: &Outcome, stated: &Outcome) -> Result<(), VerifyError> {
    match difference(&without_message(found), &without_message(stated), "out") {
        Some((path, found, stated)) => Err(VerifyError::Mismatch { path, stated, found }),
        None => Ok(()),
    }
}

fn without_message(outcome: &Outcome) -> Ipld {
    match outcome {
        Outcome::Error(Ipld::Map(error)) if error.contains_key("name") => {
            let mut error = error.clone();
            error.remove("message");
            Outcome::Error(Ipld::Map(error)).to_ipld()
        }
        outcome => outcome.to_ipld(),
    }
}

/// The first place where two values differ: its path, and what stands there in each.
fn difference(left: &Ipld, right: &Ipld, path: &str) -> Option<(String, String, String)> {
    match (left, right) {
        (Ipld::Map(a), Ipld::Map(b)) if a.keys().eq(b.keys()) => {
            a.iter().zip(b.values()).find_map(|((key, a), b)| difference(a, b, &format!("{path}.{key}")))
        }
        (Ipld::List(a), Ipld::List(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| difference(a, b, &format!("{path}[{index}]")))
        }
        (left, right) if left == right => None,
        (left, right) => Some((path.to_owned(), show(left), show(right))),
    }
}

/// A value in short, for a message.
fn show(value: &Ipld) -> String {
    const LONGEST: usize = 200;
    let text = ucan_core::dagjson::encode(value);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// Why a receipt does not hold, or cannot be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature is not the issuer's.
    #[error("the signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// It is signed by somebody whose receipts this engine does not accept, or it has expired.
    #[error("{issuer} is not an executor that is trusted here, or the receipt has expired")]
    Untrusted {
        /// Who signed it.
        issuer: String,
    },
    /// Running the task again gave something else.
    #[error("running the task again gives another result: at {path} the receipt states {stated}, and it is {found}")]
    Mismatch {
        /// The first place that differs.
        path: String,
        /// What the receipt states there.
        stated: String,
        /// What running it again gave.
        found: String,
    },
    /// The result is right, and the fuel is not.
    #[error("the result holds, but not the fuel: the receipt states {stated:?}, and it is {found:?}")]
    Fuel {
        /// What the receipt states.
        stated: Option<u64>,
        /// What running it again used.
        found: Option<u64>,
    },
    /// What the receipt says was really run is not the task that it answers.
    #[error("the task that the receipt says was run is not the one that it answers")]
    OtherTask,
    /// What stands in the place of a promise is not what any trusted receipt of the awaited task states.
    #[error("the receipt was computed from a result of task {task} that no trusted receipt states")]
    OtherInput {
        /// The awaited task.
        task: TaskId,
    },
    /// It was computed under another determinism profile, so that a difference would mean nothing.
    #[error("the receipt was made under another determinism profile ({stated:?}) than this engine's ({own:?})")]
    OtherProfile {
        /// The profile that the receipt states.
        stated: Option<Cid>,
        /// The profile of this engine.
        own: Option<Cid>,
    },
    /// A limit was hit here, which says nothing about the result.
    #[error("running the task again came to no result that could be compared: {outcome}")]
    NotRepeatable {
        /// What it came to.
        outcome: String,
    },
    /// The task is not in the store.
    #[error("the task {task} that the receipt answers is not in the store")]
    MissingTask {
        /// The task.
        task: TaskId,
    },
    /// A result that the task awaits is not in the store.
    #[error("the task awaits {task}, which has no trusted receipt in the store")]
    MissingResult {
        /// The awaited task.
        task: TaskId,
    },
    /// The receipt is not that of a whole run, or lists no tasks.
    #[error("the receipt is not that of a run that lists its tasks")]
    NotARun,
    /// The workflow that was run is not in the store.
    #[error("the workflow {cid} that was run is not in the store")]
    MissingWorkflow {
        /// The workflow.
        cid: Cid,
    },
    /// The workflow cannot be planned here, so that its tasks are not known.
    #[error("the workflow cannot be planned here: {0}")]
    Plan(Box<PlanError>),
    /// The receipt of a run lists a task that its workflow has not.
    #[error("the receipt lists a task {label:?} that its workflow has not")]
    UnknownLabel {
        /// The label.
        label: String,
    },
    /// A receipt that a run lists is not in the store.
    #[error("the receipt {receipt} is not in the store")]
    MissingReceipt {
        /// The receipt.
        receipt: ReceiptId,
    },
    /// The receipt seals what came of a task that is not secret, so that nobody can tell whether it is right.
    #[error("the receipt keeps secret what came of a task that is not")]
    Withheld,
    /// There is no handler that could run it again.
    #[error("this engine has no handler for {command}")]
    NoHandler {
        /// The command.
        command: String,
    },
    /// The block is not a task.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VerifyError {
    /// Whether it says that the receipt does not hold, rather than that this engine cannot tell.
    #[must_use]
    pub fn refutes(&self) -> bool {
        matches!(
            self,
            Self::Signature(_)
                | Self::Untrusted { .. }
                | Self::Mismatch { .. }
                | Self::Fuel { .. }
                | Self::OtherTask
                | Self::OtherInput { .. }
                | Self::UnknownLabel { .. }
                | Self::Withheld
        )
    }
}
