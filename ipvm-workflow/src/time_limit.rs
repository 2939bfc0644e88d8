use std::time::Duration;

use ucan_core::Ipld;
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler};

use crate::retry::duration;
use crate::shape::Shape;
use crate::step::Work;

/// The field of a configuration that says how long an attempt may take.
const TIME: &str = "time";

/// How long an attempt may take of a handler that does not see to that itself; `None` where nobody has said.
///
/// # Errors
/// [`Failure`] where what is said is no time.
pub(crate) fn time_limit(handler: &dyn Handler, config: &Config) -> Result<Option<Duration>, Failure> {
    if handler.limits_time() {
        return Ok(None);
    }
    time_of(config)
}

/// How long an attempt may take by a configuration.
///
/// # Errors
/// As [`time_limit`].
pub(crate) fn time_of(config: &Config) -> Result<Option<Duration>, Failure> {
    let invalid = |problem| Failure::new("InvalidConfig", format!("config.{TIME}: {problem}"));
    let read = |time: &Ipld| duration(&Shape::root(time)).map_err(|error| invalid(error.problem));
    config.get(TIME).map(read).transpose()
}

impl Work {
    /// Has a handler do a task, for as long as the configuration lets it; `None` where it took longer, and nobody can tell what came of
    /// it.
    pub(crate) async fn handle_in_time(&self, handler: &dyn Handler, call: &Call) -> Option<Completion> {
        let limit = match time_limit(handler, call.config()) {
            Ok(Some(limit)) => limit,
            Ok(None) => return Some(handler.handle(call).await),
            Err(failure) => return Some(Completion::new(failure.into())),
        };
        tokio::select! {
            biased;
            completion = handler.handle(call) => return Some(completion),
            () = self.shared.parts.timer.sleep(limit) => {}
        }
        // What is done again by the same id is the same effect; of anything else it has to be found out what it did.
        let again = handler.is_idempotent(call.task().command()) && self.step.retry.is_some();
        if self.step.class == EffectClass::Mutable && !again {
            return None;
        }
        let message = format!("out of time: the limit is {limit:?}; raise `time`, or divide the work into more tasks");
        Some(Completion { repeatable: false, ..Completion::new(Failure::new("TimeLimit", message).into()) })
    }
}
