use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};

use futures_util::lock::{Mutex as AsyncMutex, OwnedMutexGuard};
use ucan_core::Cid;

use crate::memory::lock;

/// Lets each thing that has a CID be done by one at a time, across all requests to an executor. Whoever comes second waits, and
/// then finds the receipt.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<Gates>);

#[derive(Debug, Default)]
struct Gates {
    open: HashMap<Cid, Weak<AsyncMutex<()>>>,
    /// How many gates there may be before those that nobody holds are swept out.
    sweep_at: usize,
}

/// The right to do some things, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    _gates: Vec<OwnedMutexGuard<()>>,
    /// Whether somebody else was doing one of them.
    pub(crate) waited: bool,
}

impl Flights {
    /// Enters the flights of all these things. All are entered in one order, so that no two wait for each other.
    pub(crate) async fn enter(&self, ids: BTreeSet<Cid>) -> Flight {
        let (mut gates, mut waited) = (Vec::with_capacity(ids.len()), false);
        for id in ids {
            let gate = lock(&self.0).gate(id);
            gates.push(match gate.try_lock_owned() {
                Some(entered) => entered,
                None => {
                    waited = true;
                    gate.lock_owned().await
                }
            });
        }
        Flight { _gates: gates, waited }
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        lock(&self.0).open.values().filter(|gate| gate.strong_count() > 0).count()
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use ucan_core::block;

    #[test]
    fn one_at_a_time_and_whoever_goes_away_is_not_in_the_way() {
        let flights = Flights::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| block::raw_cid(name.as_bytes()));
        let first = flights.enter([b, a].into()).now_or_never().unwrap();
        assert!(!first.waited);
        {
            // This one has entered `c` and waits for the others.
            let mut second = Box::pin(flights.enter([a, b, c].into()));
            assert!(second.as_mut().now_or_never().is_none());
            let mut third = Box::pin(flights.enter([b].into()));
            assert!(third.as_mut().now_or_never().is_none());
            drop(first);
            assert!(third.now_or_never().unwrap().waited);
        }
        assert_eq!(flights.held(), 0);
        assert!(!flights.enter([a, b, c].into()).now_or_never().unwrap().waited);
        for number in 0..10_000_u32 {
            flights.enter([block::raw_cid(&number.to_be_bytes())].into()).now_or_never().unwrap();
        }
        assert!(lock(&flights.0).open.len() < 200, "gates that nobody holds are swept out");
    }
}
