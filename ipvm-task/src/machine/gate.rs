//! Turns at a limited number of slots.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets as many in as there are slots.
#[derive(Debug)]
pub(super) struct Gate {
    slots: u32,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    free: u32,
    /// How many wait. To wake nobody takes a system call, too.
    waiting: u32,
}

impl Gate {
    pub(super) fn new(slots: u32) -> Self {
        Self { slots, state: Mutex::new(State { free: slots, waiting: 0 }), freed: Condvar::new() }
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// Waits until `wanted` slots are free, and takes them until the pass is dropped. No one can take more than all.
    pub(super) fn enter(&self, wanted: u32) -> Pass<'_> {
        let taken = wanted.min(self.slots);
        let mut state = self.lock();
        if state.free < taken {
            state.waiting += 1;
            let freed = self.freed.wait_while(state, |state| state.free < taken);
            state = freed.unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.free -= taken;
        Pass { gate: self, taken }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Pass<'a> {
    gate: &'a Gate,
    taken: u32,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.free += self.taken;
        if state.waiting > 0 {
            // All, since who waits for many must not keep out who waits for one.
            self.gate.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn never_more_than_there_are_slots() {
        let gate = Gate::new(3);
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for wanted in [1, 2, 3, 1, 2, 9] {
                let (gate, inside) = (&gate, &inside);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let pass = gate.enter(wanted);
                        assert!(inside.fetch_add(pass.taken, Ordering::SeqCst) + pass.taken <= 3);
                        inside.fetch_sub(pass.taken, Ordering::SeqCst);
                    }
                });
            }
        });
        let state = gate.lock();
        assert_eq!((state.free, state.waiting), (3, 0));
    }
}
