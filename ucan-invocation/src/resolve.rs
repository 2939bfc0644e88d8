use std::fmt;

use crate::{Failure, Outcome, Task, TaskId};

/// What puts results in the place of promises. The one that does is `Promises` of `ucan-pipeline`.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// A task with what it awaits in the place of its promises; subject, command and nonce stay as they are.
    ///
    /// # Errors
    /// A [`Failure`] that says what is missing or does not fit.
    fn resolve<'a>(&self, task: &Task, outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Result<Task, Failure>;
}

/// Waits for nothing: tasks with promises are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPromises;

impl Resolve for NoPromises {
    fn resolve<'a>(&self, task: &Task, _: &dyn Fn(&TaskId) -> Option<&'a Outcome>) -> Result<Task, Failure> {
        if task.is_pending() {
            return Err(Failure::new(
                "Unresolved",
                "an argument waits for another task, and nothing is waited for here",
            ));
        }
        Ok(task.clone())
    }
}
