//! Compiled components by CID.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ucan_core::Cid;

use super::Stats;
use super::component::WasmtimeComponent;
use crate::PrepareError;

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
    compiled: u64,
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

    /// The component, made by the first who asks while the others wait. What could not be made is not remembered.
    pub(super) fn get_or_make(&self, cid: &Cid, make: impl FnOnce() -> Made) -> Made {
        let cell = self.cell(cid);
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
        Stats { compiled: inner.compiled, cached: inner.entries.len(), cached_bytes: inner.bytes }
    }

    fn cell(&self, cid: &Cid) -> Arc<OnceLock<Made>> {
        let mut inner = self.lock();
        inner.uses += 1;
        let last_use = inner.uses;
        let entry = inner.entries.entry(*cid).or_insert_with(|| Entry { cell: Arc::default(), bytes: 0, last_use });
        entry.last_use = last_use;
        Arc::clone(&entry.cell)
    }

    fn settle(&self, cid: &Cid, cell: &Arc<OnceLock<Made>>, made: &Made) {
        let mut inner = self.lock();
        inner.compiled += u64::from(made.is_ok());
        let Some(entry) = inner.entries.get_mut(cid).filter(|entry| Arc::ptr_eq(&entry.cell, cell)) else {
            return;
        };
        match made {
            Ok(component) => {
                entry.bytes = component.code_size();
                inner.bytes += component.code_size();
                inner.evict(self.max_components, self.max_bytes);
            }
            Err(_) => {
                inner.entries.remove(cid);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
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
