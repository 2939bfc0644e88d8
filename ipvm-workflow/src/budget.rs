//! Amounts of fuel of which tasks set their limits aside before they start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify};

/// Those who draw on one channel, or on one budget: who finds too little waits for those who may not use all that is set
/// aside for them.
#[derive(Debug, Default)]
pub(crate) struct Line {
    turn: AsyncMutex<()>,
    /// How many have something set aside, and how often one of them was over.
    state: Mutex<(usize, u64)>,
    over: Notify,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, (usize, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else tries.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn<'_> {
        let alone = self.turn.lock().await;
        let (_, seen) = *self.state();
        Turn { line: self, seen, alone }
    }
}

/// One attempt at setting something aside.
pub(crate) struct Turn<'a> {
    line: &'a Arc<Line>,
    seen: u64,
    alone: AsyncMutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// It was set aside.
    pub(crate) fn taken(self) -> Place {
        self.line.state().0 += 1;
        Place(self.line.clone())
    }

    /// There was too little. Says whether there may be more, once there is.
    pub(crate) async fn again(self) -> bool {
        let over = self.line.over.notified();
        tokio::pin!(over);
        over.as_mut().enable();
        let (under_way, now) = *self.line.state();
        if now != self.seen {
            return true;
        }
        if under_way > 0 {
            drop(self.alone);
            over.await;
        }
        under_way > 0
    }
}

/// One who has something set aside.
#[derive(Debug)]
pub(crate) struct Place(Arc<Line>);

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.0.state();
            *state = (state.0.saturating_sub(1), state.1.wrapping_add(1));
        }
        self.0.over.notify_waiters();
    }
}

/// How much fuel the tasks of one run may use together.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    most: u64,
    /// What was used, and what is set aside.
    used: Mutex<(u64, u64)>,
    line: Arc<Line>,
}

/// What a task may use of a budget; dropping it without [`Share::settle`] frees it for the others.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    limit: u64,
    /// Freed after the rest, so that whoever waits for it finds that there.
    _place: Place,
}

impl Budget {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, ..Self::default() }
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    fn used(&self) -> MutexGuard<'_, (u64, u64)> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets aside what a task may use, waiting for others to be over where there is too little before; where there is too little
    /// all the same, says how much was used.
    pub(crate) async fn set_aside(&self, limit: u64) -> Result<Share<'_>, u64> {
        loop {
            let turn = self.line.turn().await;
            let spent = {
                let mut used = self.used();
                let most = used.0.saturating_add(used.1).saturating_add(limit);
                if most <= self.most {
                    used.1 = used.1.saturating_add(limit);
                    return Ok(Share { budget: self, limit, _place: turn.taken() });
                }
                used.0
            };
            if !turn.again().await {
                return Err(spent);
            }
        }
    }

    /// Counts what was used without being set aside.
    pub(crate) fn count(&self, amount: u64) {
        let mut used = self.used();
        used.0 = used.0.saturating_add(amount);
    }
}

impl Share<'_> {
    /// What was set aside.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Counts what was used, and frees the rest.
    pub(crate) fn settle(self, amount: u64) {
        self.budget.count(amount);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.1 = used.1.saturating_sub(self.limit);
    }
}
