//! The limit on memory.

use wasmtime::ResourceLimiter;

/// The most elements that a table can have. A fixed number, since the slots of the pool have one.
pub(super) const MAX_TABLE_ELEMENTS: usize = 1 << 20;
/// What an element of a table counts for, on every machine.
const TABLE_ELEMENT: usize = 8;
/// The most instances, memories and tables that one store can have. Each takes some of the host even when it is empty.
const MAX_INSTANCES: usize = 256;
const MAX_TABLES: usize = 256;
const MAX_MEMORIES: usize = 64;
/// What the 32-bit addresses of a memory reach.
const ADDRESSABLE: usize = 1 << 32;

/// Counts what the memories and tables of one store take, with what the host keeps for its guest, and ends the run when it is too much.
///
/// A growth that the module's own types rule out fails as the specification says, and the guest sees it: that is the
/// same everywhere. A growth that this limit or the host rules out traps, so that no guest can see the difference.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    limit: u64,
    taken: u64,
    /// Why the run was ended, if this limiter did it.
    pub(super) ended: Option<Ended>,
}

/// Why a run was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The guest would have had this many bytes.
    Limit { limit: u64, wanted: u64 },
    /// The host has no more.
    Host { message: String },
}

impl MemoryLimiter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, taken: 0, ended: None }
    }

    /// Counts what the host keeps for the guest beside its memories and tables.
    pub(super) fn hold(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.take(usize::try_from(bytes).unwrap_or(usize::MAX)).map(|_| ())
    }

    fn take(&mut self, more: usize) -> wasmtime::Result<bool> {
        let wanted = self.taken.saturating_add(more as u64);
        if wanted > self.limit {
            return self.end(Ended::Limit { limit: self.limit, wanted });
        }
        self.taken = wanted;
        Ok(true)
    }

    fn end(&mut self, why: Ended) -> wasmtime::Result<bool> {
        self.ended = Some(why);
        Err(wasmtime::Error::msg("memory limit"))
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > maximum.unwrap_or(ADDRESSABLE).min(ADDRESSABLE) {
            return Ok(false);
        }
        self.take(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.end(Ended::Host { message: format!("{error:#}") }).map(|_| ())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // A larger maximum may be that of a slot in the pool, and not the type's.
        if maximum.is_some_and(|maximum| maximum < MAX_TABLE_ELEMENTS && desired > maximum) {
            return Ok(false);
        }
        if desired > MAX_TABLE_ELEMENTS {
            let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT as u64);
            return self.end(Ended::Limit { limit: bytes(MAX_TABLE_ELEMENTS), wanted: bytes(desired) });
        }
        self.take(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.end(Ended::Host { message: format!("{error:#}") }).map(|_| ())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
