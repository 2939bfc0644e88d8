use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::StoreError;
use ucan_invocation::TaskId;

/// The most bytes that the state of a schedule may have.
pub const SCHEDULE_STATE: usize = 16 << 10;

/// The state of a schedule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSchedule {
    /// How often it was written: 1 for the first time.
    pub version: u64,
    /// What was written.
    pub state: Bytes,
}

/// A place for schedules.
///
/// # Contract
/// A state is written only if the schedule still has the version from which it was made; the version is one higher then, and the state
/// is durable, and so is everything that was put into the same store before. After an error it may have been written or not. What is
/// read is what was written last. Schedules are never dropped: what was removed is a state, too, so that nobody can ask for it again
/// with the same request. The implementer does not look into states.
#[async_trait]
pub trait ScheduleStore: fmt::Debug + Send + Sync {
    /// The state of a schedule, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    async fn get(&self, id: &TaskId) -> Result<Option<KeptSchedule>, StoreError>;

    /// Writes a state of at most [`SCHEDULE_STATE`] bytes, made from the version `from`, which is 0 where there was none. It answers
    /// whether it was written: it is not where somebody else has written another one meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where the state is too large; else where it could not be written.
    async fn put(&self, id: &TaskId, from: u64, state: Bytes) -> Result<bool, StoreError>;

    /// All schedules that were ever written, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    async fn list(&self) -> Result<Vec<TaskId>, StoreError>;
}

#[async_trait]
impl<T: ScheduleStore + ?Sized> ScheduleStore for Arc<T> {
    async fn get(&self, id: &TaskId) -> Result<Option<KeptSchedule>, StoreError> {
        (**self).get(id).await
    }

    async fn put(&self, id: &TaskId, from: u64, state: Bytes) -> Result<bool, StoreError> {
        (**self).put(id, from, state).await
    }

    async fn list(&self) -> Result<Vec<TaskId>, StoreError> {
        (**self).list().await
    }
}

/// Whether a state keeps to its bound: for those who implement [`ScheduleStore`].
///
/// # Errors
/// [`StoreError::Unsupported`] where it does not.
pub fn check_schedule_state(state: &[u8]) -> Result<(), StoreError> {
    if state.len() > SCHEDULE_STATE {
        return Err(StoreError::unsupported("states of schedules of more than 16384 bytes"));
    }
    Ok(())
}

/// Schedules in memory, for as long as the process lives.
#[derive(Debug, Default)]
pub struct MemorySchedules(Mutex<BTreeMap<TaskId, KeptSchedule>>);

#[async_trait]
impl ScheduleStore for MemorySchedules {
    async fn get(&self, id: &TaskId) -> Result<Option<KeptSchedule>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned())
    }

    async fn put(&self, id: &TaskId, from: u64, state: Bytes) -> Result<bool, StoreError> {
        check_schedule_state(&state)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(id).map_or(0, |kept| kept.version) != from {
            return Ok(false);
        }
        kept.insert(*id, KeptSchedule { version: from.saturating_add(1), state });
        Ok(true)
    }

    async fn list(&self) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect())
    }
}
