//! Turns at a limited number of slots.

use std::sync::{Condvar, Mutex, PoisonError};

/// Lets as many in as there are slots.
#[derive(Debug)]
pub(super) struct Gate {
    slots: u32,
    free: Mutex<u32>,
    freed: Condvar,
}

impl Gate {
    pub(super) fn new(slots: u32) -> Self {
        Self { slots, free: Mutex::new(slots), freed: Condvar::new() }
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// Waits until `wanted` slots are free, and takes them until the pass is dropped. No one can take more than all.
    pub(super) fn enter(&self, wanted: u32) -> Pass<'_> {
        let taken = wanted.min(self.slots);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free < taken).unwrap_or_else(PoisonError::into_inner);
        *free -= taken;
        Pass { gate: self, taken }
    }
}

pub(super) struct Pass<'a> {
    gate: &'a Gate,
    taken: u32,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.gate.free.lock().unwrap_or_else(PoisonError::into_inner) += self.taken;
        // All, since who waits for many must not keep out who waits for one.
        self.gate.freed.notify_all();
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
        assert_eq!(*gate.free.lock().unwrap(), 3);
    }
}
