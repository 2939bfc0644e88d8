//! How long tasks took, so that the costliest way through a workflow is gone first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ucan_core::Did;
use ucan_invocation::{Handler, Task};

use crate::Step;
use crate::engine::Shared;

/// Of how many kinds of tasks it is remembered at most.
const KINDS: usize = 4096;
/// The weight of what is remembered against one more measurement.
const MEMORY: u64 = 3;

/// What tasks of a kind took lately, in microseconds. It is remembered for as long as the engine lives.
#[derive(Debug, Default)]
pub(crate) struct Costs(Mutex<HashMap<Kind, u64>>);

/// The command, and what the handler says that tells the work of one task from that of another.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind(String, Option<String>);

impl Kind {
    fn of(handler: &dyn Handler, task: &Task) -> Self {
        Self(task.command().to_string(), handler.workload(task))
    }
}

impl Costs {
    /// Takes note of how long a task took.
    pub(crate) fn note(&self, handler: &dyn Handler, task: &Task, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (kind, mut costs) = (Kind::of(handler, task), self.lock());
        if costs.len() >= KINDS && !costs.contains_key(&kind) {
            costs.clear();
        }
        let cost = costs.entry(kind).or_insert(micros);
        *cost = (*cost / (MEMORY + 1)).saturating_mul(MEMORY).saturating_add(micros / (MEMORY + 1));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// What a task of a run that `home` was asked for is expected to take, in microseconds. What nobody has measured yet is expected to
    /// take what others take on average.
    pub(crate) fn expected<'a>(&'a self, home: &'a Did) -> impl Fn(&Step) -> u64 + 'a {
        let average = {
            let costs = self.costs.lock();
            let sum = costs.values().fold(0, |sum: u64, cost| sum.saturating_add(*cost));
            u64::try_from(costs.len()).ok().and_then(|known| sum.checked_div(known))
        };
        let measured = move |step: &Step| {
            let handler = self.handler(home, step.task.subject(), step.task.command())?;
            let cost = self.costs.lock().get(&Kind::of(&**handler, &step.task)).copied();
            cost.or(average)
        };
        move |step| average.and_then(|_| measured(step)).unwrap_or(1)
    }
}
