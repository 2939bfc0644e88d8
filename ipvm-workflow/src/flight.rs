use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use ucan_invocation::InstructionId;

/// Lets each instruction be computed by one task at a time, across all runs of an engine: whoever comes second waits,
/// and then finds the result in the memo table.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<InstructionId, Weak<AsyncMutex<()>>>>);

impl Flights {
    pub(crate) async fn enter(&self, id: InstructionId) -> OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let open = gates.get(&id).and_then(Weak::upgrade);
            open.unwrap_or_else(|| {
                gates.retain(|_, gate| gate.strong_count() > 0);
                let gate = Arc::new(AsyncMutex::new(()));
                gates.insert(id, Arc::downgrade(&gate));
                gate
            })
        };
        gate.lock_owned().await
    }
}
