//! The limits of a run as a whole: until when its tasks are started, and how many of them run at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ucan_core::Timestamp;
use ucan_invocation::{Failure, Handler, Receipt};

use crate::engine::Shared;
use crate::request::Grants;
use crate::step::Work;
use crate::{Paused, RunConfig, RunOptions, Step};

/// The limits of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// When the run was started first.
    started: Option<Timestamp>,
    /// Nothing is started from then on.
    deadline: Option<Timestamp>,
    turns: Option<Arc<Semaphore>>,
}

/// One of the turns of a run that runs so many tasks at once; dropping it gives it to the next.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(crate) fn new(config: &RunConfig, options: &RunOptions, started: Timestamp) -> Self {
        let deadline = options.time.or(config.time).map(|time| started.saturating_add(time.as_secs()));
        let turns = config.parallelism.map(|most| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
        });
        Self { started: Some(started), deadline, turns }
    }

    async fn turn(&self) -> Turn {
        let Some(turns) = &self.turns else { return Turn { _permit: None } };
        // Nobody closes it.
        Turn { _permit: turns.clone().acquire_owned().await.ok() }
    }
}

impl Grants {
    /// Has the run keep to its limits.
    pub(crate) fn limit(&mut self, config: &RunConfig, options: &RunOptions, started: Timestamp) {
        self.account.limit_gas(options.gas.or(config.gas));
        self.limits = Limits::new(config, options, started);
    }

    /// Counts what a known result took, where it was computed since the run was started: after a crash nobody can tell whether it
    /// was this run that did it.
    pub(crate) fn count_known(&self, known: &Receipt) {
        let since = |started: Timestamp| known.issued_at().is_some_and(|at| at >= started);
        if self.limits.started.is_some_and(since) {
            self.account.count_known(known);
        }
    }
}

/// That a task could use more than the whole run may.
pub(crate) fn check_gas(config: &RunConfig, step: &Step, handler: &dyn Handler) -> Result<(), Failure> {
    match (config.gas, handler.most_fuel(&step.config)) {
        (Some(gas), Some(most)) if most > gas => {
            let message = format!(
                "config.gas: the task may use {most}, and the whole run {gas}: give the task, or all by `defaults`, a lower `gas`"
            );
            Err(Failure::new("InvalidConfig", message))
        }
        _ => Ok(()),
    }
}

impl Work {
    /// Waits until the run lets one more of its tasks run.
    pub(crate) async fn turn(&self) -> Turn {
        self.grants.limits.turn().await
    }

    /// Why the task is not started any more, where it is too late. What undoes others, and finding out what was begun, is not too late
    /// ever.
    pub(crate) fn too_late(&self) -> Option<Paused> {
        let deadline = self.grants.limits.deadline.filter(|_| !self.step.undoes && !self.settle)?;
        let late = deadline <= self.shared.parts.clock.now();
        late.then(|| Paused::OutOfTime { label: self.step.label.clone(), deadline })
    }

    /// A pause before the next attempt, cut off where the run is out of time then.
    pub(crate) fn in_time(&self, pause: Duration) -> Duration {
        let now = self.shared.parts.clock.now().as_secs();
        let left = self.grants.limits.deadline.map(|deadline| deadline.as_secs().saturating_sub(now));
        left.map_or(pause, |left| pause.min(Duration::from_secs(left)))
    }
}

impl Shared {
    /// When a run was started first, where that is known; now, where it is being started.
    pub(crate) fn started(&self, at: Option<Timestamp>) -> Timestamp {
        at.unwrap_or_else(|| self.parts.clock.now())
    }
}
