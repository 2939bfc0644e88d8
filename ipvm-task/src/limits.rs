//! What a run may spend.

use std::time::Duration;

/// What one run may spend. There is no way to run a guest without one of these.
///
/// A guest cannot observe a limit: reaching one ends the run, whatever the guest would have done about it. So limits
/// are no part of a task's identity, and a run that was ended by one is no result of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units of fuel for the call: about one for each WebAssembly instruction, one for each byte of bulk copies.
    /// Instantiation, which costs most guests nothing or little, is metered apart under the same bound.
    pub fuel: u64,
    /// Bytes that all memories and tables of a guest may take together, with what the host keeps for it.
    pub memory: u64,
    /// Wall-clock time, a safety net: it ends a run some hundredths of a second late, never early.
    pub time: Duration,
    /// Bytes that the output may take as canonical DAG-CBOR.
    pub output: u64,
}

impl Limits {
    /// For tasks that ask for nothing else: enough for a guest that brings a JavaScript or Python interpreter along.
    pub const STANDARD: Self =
        Self { fuel: 10_000_000_000, memory: 256 << 20, time: Duration::from_secs(60), output: 4 << 20 };

    /// The lower of each pair.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            fuel: self.fuel.min(other.fuel),
            memory: self.memory.min(other.memory),
            time: self.time.min(other.time),
            output: self.output.min(other.output),
        }
    }
}

/// What an engine gives to tasks that ask for nothing, and the most that it gives to any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For what a document does not set. Where it lies above the ceiling, the ceiling holds.
    pub default: Limits,
    /// The most that a document may ask for.
    pub ceiling: Limits,
}

impl Default for Bounds {
    /// [`Limits::STANDARD`], and a ceiling of 10^13 units of fuel, 4 GiB, an hour and 64 MiB of output.
    fn default() -> Self {
        let ceiling =
            Limits { fuel: 10_000_000_000_000, memory: 4 << 30, time: Duration::from_secs(3600), output: 64 << 20 };
        Self { default: Limits::STANDARD, ceiling }
    }
}
