use std::collections::HashMap;

use ucan_core::{Cid, Ipld, SignatureError, StoreError, Token, verify};
use ucan_invocation::{EffectClass, Outcome, Receipt, Task, TaskError, TaskId, promises};
use ucan_pipeline::resolve;

use crate::step::{FUEL, PROFILE, RESOLVED, resolve_failure};
use crate::{Engine, RUN_COMMAND};

/// That a receipt holds, and how far that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// The task was run again, and gave the same bytes and used the same fuel.
    Reexecuted {
        /// The fuel that it used, where the receipt states any.
        fuel: Option<u64>,
    },
    /// The task waits for a result of the other branch: the failure that the receipt states follows from the receipts
    /// of what it awaits.
    Derived,
    /// The signature holds. The task has effects, or reads what may change, so that it cannot be run again.
    Attested {
        /// What running the task does to the world.
        class: EffectClass,
    },
    /// The receipt is that of a whole run. Its signature holds; each task has a receipt of its own to verify.
    Run,
}

impl Engine {
    /// Checks `receipt`: its signature, and, where its task is deterministic, its result and fuel by running it again.
    ///
    /// # Errors
    /// [`VerifyError`] says why it does not hold, or what is missing to tell.
    pub async fn verify(&self, receipt: Receipt) -> Result<Verification, VerifyError> {
        let parts = self.parts();
        let receipt = verify(receipt, &*parts.keys)?.into_inner();
        if !self.shared.trusts(&receipt) {
            return Err(VerifyError::Untrusted { issuer: receipt.issuer().to_string() });
        }
        let ran = *receipt.ran();
        let bytes = parts.blocks.get(ran.cid()).await?.ok_or(VerifyError::MissingTask { task: ran })?;
        let task = Task::from_block(&bytes)?;
        if task.command().as_str() == RUN_COMMAND {
            return Ok(Verification::Run);
        }
        let handler = parts.router.find(task.subject(), task.command());
        let handler = handler.ok_or_else(|| VerifyError::NoHandler { command: task.command().to_string() })?;
        let outcomes = self.awaited(&task).await?;
        let args = match resolve(&Ipld::Map(task.args().clone()), &|id| outcomes.get(id).cloned()) {
            Ok(Ipld::Map(args)) => args,
            Ok(_) => return Err(VerifyError::Task(TaskError::NotAMap)),
            Err(error) => {
                compare(&resolve_failure(&error).into(), receipt.outcome())?;
                return Ok(Verification::Derived);
            }
        };
        let resolved = task.with_args(args);
        let id = resolved.id()?;
        let stated = match receipt.meta().get(RESOLVED) {
            Some(Ipld::Link(cid)) => TaskId::new(*cid),
            _ => ran,
        };
        if stated != id {
            return Err(VerifyError::OtherInputs { stated, found: id });
        }
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
        let again = reexecutor.reexecute(&resolved).await;
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

    /// The outcomes of what `task` awaits, from receipts that this engine trusts.
    async fn awaited(&self, task: &Task) -> Result<HashMap<TaskId, Outcome>, VerifyError> {
        let mut outcomes = HashMap::new();
        for promise in task.args().values().flat_map(promises) {
            let receipts = self.parts().receipts.by_task(&promise.target).await?;
            let receipt = receipts.into_iter().find(|receipt| self.shared.trusts(receipt));
            let receipt = receipt.ok_or(VerifyError::MissingResult { task: promise.target })?;
            outcomes.insert(promise.target, receipt.outcome().clone());
        }
        Ok(outcomes)
    }
}

fn compare(found: &Outcome, stated: &Outcome) -> Result<(), VerifyError> {
    match difference(&found.to_ipld(), &stated.to_ipld(), "out") {
        Some((path, found, stated)) => Err(VerifyError::Mismatch { path, stated, found }),
        None => Ok(()),
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
    /// The receipt was computed from other results of the tasks that it awaits.
    #[error(
        "the receipt rests on other results of the tasks that it awaits: it states the task {stated}, and it is {found}"
    )]
    OtherInputs {
        /// The resolved task that the receipt states.
        stated: TaskId,
        /// The resolved task according to the receipts that are trusted here.
        found: TaskId,
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
