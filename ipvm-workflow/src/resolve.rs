//! Promises and what they come to.

use ucan_invocation::{Outcome, Task, TaskId};
use ucan_pipeline::{Bounds, ResolveError, resolve_args};

/// A task with what it awaits in the place of its promises.
pub(crate) fn resolve<'a>(
    task: &Task,
    outcome_of: &dyn Fn(&TaskId) -> Option<&'a Outcome>,
) -> Result<Task, ResolveError> {
    if !task.is_pending() {
        return Ok(task.clone());
    }
    resolve_args(task.args(), &Bounds::default(), outcome_of).map(|args| task.with_args(args))
}
