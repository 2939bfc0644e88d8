//! Compiled components by CID.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ucan_core::Cid;

use super::Stats;
use super::component::WasmtimeComponent;
use crate::PrepareError;

/// How many refusals are remembered.
const REFUSALS: usize = 256;

type Made = Result<Arc<WasmtimeComponent>, PrepareError>;

/// Keeps the components that were used last, within bounds on their number and size. Those that are still in use
/// elsewhere live on when they are dropped from here.
#[derive(Debug)]
pub(super) struct Cache {
    max_components: usize,
    max_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Cid, Entry>,
    /// Counts uses, to tell which one was last.
    uses: u64,
    bytes: usize,
    /// The latest refusals, oldest first: what cannot be made is not tried again and again.
    refused: VecDeque<(Cid, PrepareError)>,
}

#[derive(Debug)]
struct Entry {
    /// Empty while it is being made.
    cell: Arc<OnceLock<Made>>,
    bytes: usize,
    last_use: u64,
}

impl Cache {
    pub(super) fn new(max_components: usize, max_bytes: usize) -> Self {
        Self { max_components, max_bytes, inner: Mutex::default() }
    }

    pub(super) fn get(&self, cid: &Cid) -> Option<Arc<WasmtimeComponent>> {
        let mut inner = self.lock();
        inner.uses += 1;
        let last_use = inner.uses;
        let entry = inner.entries.get_mut(cid)?;
        entry.last_use = last_use;
        entry.cell.get()?.as_ref().ok().cloned()
    }

    /// The component, made by the first who asks while the others wait. Some of the latest refusals are remembered.
    pub(super) fn get_or_make(&self, cid: &Cid, make: impl FnOnce() -> Made) -> Made {
        let cell = self.cell(cid)?;
        let _abandon = Abandon { cache: self, cid, cell: &cell };
        let mut made_here = false;
        let made = cell.get_or_init(|| {
            made_here = true;
            make()
        });
        if made_here {
            self.settle(cid, &cell, made);
        }
        made.clone()
    }

    pub(super) fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats { cached: inner.entries.len(), cached_bytes: inner.bytes, ..Stats::default() }
    }

    fn cell(&self, cid: &Cid) -> Result<Arc<OnceLock<Made>>, PrepareError> {
        let mut inner = self.lock();
        if let Some((_, refusal)) = inner.refused.iter().find(|(refused, _)| refused == cid) {
            return Err(refusal.clone());
        }
        inner.uses += 1;
        let last_use = inner.uses;
        let entry = inner.entries.entry(*cid).or_insert_with(|| Entry { cell: Arc::default(), bytes: 0, last_use });
        entry.last_use = last_use;
        Ok(Arc::clone(&entry.cell))
    }

    fn settle(&self, cid: &Cid, cell: &Arc<OnceLock<Made>>, made: &Made) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(cid).filter(|entry| Arc::ptr_eq(&entry.cell, cell)) else {
            return;
        };
        match made {
            Ok(component) => {
                entry.bytes = component.size();
                inner.bytes = inner.bytes.saturating_add(component.size());
                inner.evict(self.max_components, self.max_bytes);
            }
            Err(refusal) => {
                inner.entries.remove(cid);
                inner.refuse(*cid, refusal);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away the cell of a component whose making ended in a panic.
struct Abandon<'a> {
    cache: &'a Cache,
    cid: &'a Cid,
    cell: &'a Arc<OnceLock<Made>>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if self.cell.get().is_none() {
            let mut inner = self.cache.lock();
            if inner.entries.get(self.cid).is_some_and(|entry| Arc::ptr_eq(&entry.cell, self.cell)) {
                inner.entries.remove(self.cid);
            }
        }
    }
}

impl Inner {
    /// Remembers a refusal, unless the next try may end otherwise.
    fn refuse(&mut self, cid: Cid, refusal: &PrepareError) {
        if matches!(refusal, PrepareError::Host { .. } | PrepareError::Block(_)) {
            return;
        }
        if self.refused.len() >= REFUSALS {
            self.refused.pop_front();
        }
        self.refused.push_back((cid, refusal.clone()));
    }

    fn evict(&mut self, max_components: usize, max_bytes: usize) {
        while self.entries.len() > max_components || self.bytes > max_bytes {
            let made = self.entries.iter().filter(|(_, entry)| entry.cell.get().is_some());
            let Some(oldest) = made.min_by_key(|(_, entry)| entry.last_use).map(|(cid, _)| *cid) else {
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use ucan_core::block;

    fn invalid(detail: &str) -> PrepareError {
        PrepareError::invalid(detail)
    }

    #[test]
    fn a_panic_leaves_no_entry_behind() {
        let cache = Cache::new(1, 1);
        let cid = block::raw_cid(b"a");
        let made = catch_unwind(AssertUnwindSafe(|| cache.get_or_make(&cid, || panic!("while compiling"))));
        assert!(made.is_err());
        assert_eq!(cache.stats().cached, 0);
        assert_eq!(cache.get_or_make(&cid, || Err(invalid("now"))).unwrap_err(), invalid("now"));
    }

    #[test]
    fn the_latest_refusals_are_remembered() {
        let cache = Cache::new(1, 1);
        let first = block::raw_cid(b"first");
        cache.get_or_make(&first, || Err(invalid("once"))).unwrap_err();
        assert_eq!(cache.get_or_make(&first, || Err(invalid("twice"))).unwrap_err(), invalid("once"));
        for n in 0..REFUSALS {
            let cid = block::raw_cid(&n.to_be_bytes());
            cache.get_or_make(&cid, || Err(invalid("another"))).unwrap_err();
        }
        assert_eq!(cache.lock().refused.len(), REFUSALS);
        assert_eq!(cache.get_or_make(&first, || Err(invalid("twice"))).unwrap_err(), invalid("twice"));
        let host = || PrepareError::Host { message: "no memory".to_owned() };
        let cid = block::raw_cid(b"unlucky");
        assert_eq!(cache.get_or_make(&cid, || Err(host())).unwrap_err(), host());
        assert_eq!(cache.get_or_make(&cid, || Err(invalid("now"))).unwrap_err(), invalid("now"));
    }
}
