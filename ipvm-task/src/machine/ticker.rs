//! The thread that makes time pass for guests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch lasts: a time limit is kept to within one or two of these.
const TICK: Duration = Duration::from_millis(10);
/// How many epochs without a running guest pass before the thread sleeps until there is one.
const IDLE_TICKS: u32 = 100;

/// Starts a new epoch at every tick while guests run, and ends when it is dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicU64,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engines: Vec<Engine>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let handle = thread::Builder::new().name("ipvm-ticker".to_owned()).spawn(move || tick(&watched, &engines))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Says that a guest runs, until the watch is dropped.
    pub(super) fn watch(&self) -> Watch<'_> {
        // In this order, as the thread does it in the other one: whoever comes second sees the first.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Watch { running: &self.shared.running }
    }

    /// How many epochs from now a limit ends. The current one has partly passed, and does not count.
    pub(super) fn epochs(limit: Duration) -> u64 {
        let epochs = limit.as_nanos().div_ceil(TICK.as_nanos()) + 1;
        // Some ten thousand years: far away, and far from an overflow.
        u64::try_from(epochs).map_or(1 << 45, |epochs| epochs.min(1 << 45))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It cannot have panicked, and if it had, there would be nothing left to end.
            let _ = handle.join();
        }
    }
}

pub(super) struct Watch<'a> {
    running: &'a AtomicU64,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engines: &[Engine]) {
    let mut idle = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        thread::park_timeout(TICK);
        for engine in engines {
            engine.increment_epoch();
        }
        idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle > IDLE_TICKS {
            shared.asleep.store(true, Ordering::SeqCst);
            while shared.running.load(Ordering::SeqCst) == 0 && !shared.ended.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_never_ends_early() {
        assert_eq!(Ticker::epochs(Duration::ZERO), 1);
        assert_eq!(Ticker::epochs(Duration::from_millis(10)), 2);
        assert_eq!(Ticker::epochs(Duration::from_millis(11)), 3);
        assert_eq!(Ticker::epochs(Duration::MAX), 1 << 45);
    }
}
