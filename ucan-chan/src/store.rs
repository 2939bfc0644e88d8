use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError};

/// The most changes in one commit.
pub const CHANGES: usize = 8;

/// The state of a channel as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How often it was written: 1 for the first time.
    pub version: u64,
    /// What was written.
    pub state: Bytes,
}

/// A state that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The channel.
    pub id: Cid,
    /// The version that was read, from which the new state was made; 0 where there was none.
    pub from: u64,
    /// The new state, at most [`STATE`](crate::STATE) bytes.
    pub state: Bytes,
}

/// What came of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// All of it is written, and durable.
    Done,
    /// None of it is written: somebody else has changed one of the channels meanwhile.
    Stale,
}

/// A place for the states of channels.
///
/// # Contract
///
/// A commit takes effect as a whole or not at all, and only if every channel in it still has the version that its change was made
/// from; the version is one higher then. When [`Commit::Done`] is answered it is durable, and everybody reads it. After an error it may have
/// taken effect or not. A state is at most as old as the last commit of which the caller knows, and has the bytes that were committed. What a
/// store keeps for a channel is constant. The implementer does not look into states.
#[async_trait]
pub trait ChannelStore: fmt::Debug + Send + Sync {
    /// The state of a channel, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn get(&self, id: &Cid) -> Result<Option<Kept>, StoreError>;

    /// Writes new states of at most [`CHANGES`] different channels.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where there are too many, one is too large, or one channel is there twice; else when it could not
    /// be stored.
    async fn commit(&self, changes: Vec<Change>) -> Result<Commit, StoreError>;
}

#[async_trait]
impl<T: ChannelStore + ?Sized> ChannelStore for Arc<T> {
    async fn get(&self, id: &Cid) -> Result<Option<Kept>, StoreError> {
        (**self).get(id).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Commit, StoreError> {
        (**self).commit(changes).await
    }
}

/// Whether a commit keeps to its bounds: for those who implement [`ChannelStore`].
///
/// # Errors
/// [`StoreError::Unsupported`] says which one it does not.
pub fn check_changes(changes: &[Change]) -> Result<(), StoreError> {
    if changes.len() > CHANGES {
        return Err(StoreError::unsupported("more than 8 channels in one commit"));
    }
    if changes.iter().any(|change| change.state.len() > crate::STATE) {
        return Err(StoreError::unsupported("states of more than 16384 bytes"));
    }
    let twice = |(at, change): (usize, &Change)| changes.iter().take(at).any(|other| other.id == change.id);
    if changes.iter().enumerate().any(twice) {
        return Err(StoreError::unsupported("one channel twice in one commit"));
    }
    Ok(())
}

/// Channels in memory, for as long as the process lives.
#[derive(Default)]
pub struct MemoryChannels(Mutex<HashMap<Cid, Kept>>);

impl fmt::Debug for MemoryChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryChannels").finish_non_exhaustive()
    }
}

#[async_trait]
impl ChannelStore for MemoryChannels {
    async fn get(&self, id: &Cid) -> Result<Option<Kept>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Commit, StoreError> {
        check_changes(&changes)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.iter().any(|change| kept.get(&change.id).map_or(0, |kept| kept.version) != change.from) {
            return Ok(Commit::Stale);
        }
        for Change { id, from, state } in changes {
            kept.insert(id, Kept { version: from.saturating_add(1), state });
        }
        Ok(Commit::Done)
    }
}
