use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use ucan_core::Cid;

/// Lets each thing that has a CID be done by one at a time, across all runs of an engine: an instruction, an effect, a
/// whole run. Whoever comes second waits, and then finds the receipt.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<Gates>);

#[derive(Debug, Default)]
struct Gates {
    open: HashMap<Cid, Weak<AsyncMutex<()>>>,
    /// How many gates there may be before those that nobody holds are swept out.
    sweep_at: usize,
}

impl Flights {
    pub(crate) async fn enter(&self, id: Cid) -> OwnedMutexGuard<()> {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).gate(id);
        gate.lock_owned().await
    }
}

impl Gates {
    fn gate(&mut self, id: Cid) -> Arc<AsyncMutex<()>> {
        if let Some(gate) = self.open.get(&id).and_then(Weak::upgrade) {
            return gate;
        }
        if self.open.len() >= self.sweep_at {
            self.open.retain(|_, gate| gate.strong_count() > 0);
            self.sweep_at = self.open.len() * 2 + 64;
        }
        let gate = Arc::new(AsyncMutex::new(()));
        self.open.insert(id, Arc::downgrade(&gate));
        gate
    }
}
