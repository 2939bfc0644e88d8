//! The runs that are under way, and by what each is told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ucan_invocation::TaskId;

use crate::Control;

/// The runs of an engine that are under way: one at a time for each id.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashMap<TaskId, Control>>>);

/// A run that is under way until this is dropped.
pub(crate) struct Told {
    all: UnderWay,
    run: TaskId,
}

impl UnderWay {
    /// Takes note that the run is under way. Whoever calls has the run to itself.
    pub(crate) fn enter(&self, run: TaskId, control: Control) -> Told {
        self.runs().insert(run, control);
        Told { all: self.clone(), run }
    }

    pub(crate) fn control(&self, run: &TaskId) -> Option<Control> {
        self.runs().get(run).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<TaskId, Control>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.all.runs().remove(&self.run);
    }
}
