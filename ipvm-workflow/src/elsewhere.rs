//! Tasks for other executors: how they are asked, and what has to hold before they are.

use std::sync::Arc;
use std::time::Duration;

use ucan_core::{Authority, Command, Did, NoChain};
use ucan_invocation::{Config, EffectClass, Failure, Revoked, Task, Transport};

use crate::engine::Shared;
use crate::error::Missing;
use crate::request::Grants;
use crate::time_limit::time_of;
use crate::{Plan, RunError, Step};

/// How tasks are had done that a workflow addresses to other executors (`aud`).
///
/// Such a task is asked for by an invocation that the engine's own executor signs, under delegations among the grants of the run that
/// lead to it. It alters the world each time, as far as the engine knows ([`EffectClass::Mutable`]), unless the host says otherwise.
///
/// ```
/// use std::sync::Arc;
///
/// use ipvm_workflow::{Elsewhere, EngineOptions};
/// use ucan_core::Did;
/// use ucan_invocation::{EffectClass, InProcess};
///
/// let weather: Did = "did:web:weather.example".parse()?;
/// let elsewhere = Elsewhere::new(Arc::new(InProcess::default()))
///     .with_class(weather, "/weather/read".parse()?, EffectClass::Query);
/// let options = EngineOptions { elsewhere: Some(elsewhere), ..EngineOptions::default() };
/// # let _ = options;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Elsewhere {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) patience: Duration,
    pub(crate) lifetime: Duration,
    classes: Vec<(Did, Command, EffectClass)>,
}

impl Elsewhere {
    /// Asks others over this transport, waiting five minutes for an answer, with invocations that are good for a day.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        let (patience, lifetime) = (Duration::from_secs(300), Duration::from_secs(24 * 60 * 60));
        Self { transport, patience, lifetime, classes: Vec::new() }
    }

    /// How long an answer is waited for where the task's configuration has no `time`: executors answer when all is done.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long an invocation is good for, in whole seconds. For as long as that, a task of which nobody knows what came of it can be
    /// asked for again without being done twice; the other executor has to remember it for as long, too.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What a command, and all below it, does to the world at an executor; of several, the longest command counts, and of equal ones
    /// the last. What another executor computes is a query here: nothing is known of how it does that.
    #[must_use]
    pub fn with_class(mut self, executor: Did, command: Command, class: EffectClass) -> Self {
        let class = if class == EffectClass::Deterministic { EffectClass::Query } else { class };
        self.classes.push((executor, command, class));
        self
    }

    fn class_of(&self, executor: &Did, command: &Command) -> Option<EffectClass> {
        let covers =
            |(at, above, _): &&(Did, Command, EffectClass)| at.same_principal(executor) && above.covers(command);
        let known = self.classes.iter().filter(covers);
        known.max_by_key(|(_, above, _)| above.segments().count()).map(|(.., class)| *class)
    }
}

impl Shared {
    /// What a task does to the world that is for another executor.
    pub(crate) fn class_elsewhere(&self, executor: &Did, command: &Command) -> EffectClass {
        let told = self.elsewhere.as_ref().and_then(|elsewhere| elsewhere.class_of(executor, command));
        told.unwrap_or(EffectClass::Mutable)
    }

    /// Refuses a plan with tasks for others, where there is no way to any.
    pub(crate) fn check_ways(&self, plan: &Plan) -> Result<(), RunError> {
        match plan.elsewhere().next() {
            Some((step, to)) if self.elsewhere.is_none() => {
                Err(RunError::NoWay { label: step.label.clone(), to: to.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Whether this executor may ask the one that a step is for to do it, as far as its arguments are known.
    pub(crate) fn may_ask(&self, step: &Step, grants: &Grants, revoked: &Revoked) -> Result<(), Missing> {
        let Some(to) = &step.audience else { return Ok(()) };
        self.onward(&step.task, grants, revoked).map(drop).map_err(|error| Missing::Onward {
            to: to.clone(),
            executor: self.parts.executor.did().clone(),
            error: Box::new(error),
        })
    }

    /// By which of the grants this executor may ask others for a task.
    pub(crate) fn onward(&self, task: &Task, grants: &Grants, revoked: &Revoked) -> Result<Authority, NoChain> {
        let (invoker, subject, command) = (self.parts.executor.did(), task.subject(), task.command());
        let request = ucan_core::Request { invoker, subject, command, args: task.args_value() };
        ucan_core::search(&request, &grants.delegations, &self.context(&revoked.as_fn()))
    }
}

/// That the configuration of a task for another executor says nothing that can be understood of how long it may take.
pub(crate) fn check_time(config: &Config) -> Result<(), Failure> {
    time_of(config).map(drop)
}
