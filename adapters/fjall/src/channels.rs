//! The states of channels: one row for each, which is replaced by each commit, and of which the log has the hash.

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use ucan_chan::{Change, ChannelStore, Commit, Kept, check_changes};
use ucan_core::{Cid, StoreError};

use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

const WHAT: &str = "the state of a channel";

/// What the log says of the state of a channel or a schedule: that it was written, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) id: Cid,
    /// How often it was written, this included.
    pub(crate) version: u64,
    /// How many bytes the state has.
    pub(crate) length: u32,
    /// The sha2-256 of the version and the state.
    pub(crate) hash: [u8; 32],
}

/// What a row holds before the state: its version, and the hash that the log has.
const HEADER: usize = 8 + 32;

impl Written {
    pub(crate) fn of(id: Cid, version: u64, state: &[u8]) -> Result<Self, StoreError> {
        let length = u32::try_from(state.len()).map_err(|_| StoreError::unsupported("states of so many bytes"))?;
        Ok(Self { id, version, length, hash: hash(version, state) })
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id.to_bytes());
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(self.hash);
    }

    pub(crate) fn decode(rest: &mut &[u8]) -> Option<Self> {
        let id = Cid::read_bytes(&mut *rest).ok()?;
        let (version, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (hash, after) = after.split_first_chunk()?;
        *rest = after;
        Some(Self { id, version: u64::from_be_bytes(*version), length: u32::from_be_bytes(*length), hash: *hash })
    }

    /// The value of the row.
    pub(crate) fn row(&self, state: &[u8]) -> Vec<u8> {
        let mut row = Vec::with_capacity(HEADER + state.len());
        row.extend(self.version.to_be_bytes());
        row.extend(self.hash);
        row.extend(state);
        row
    }

    /// Whether a row is the one that this says was written.
    pub(crate) fn is_row(&self, row: &[u8]) -> bool {
        read(row).is_some_and(|(version, state)| {
            version == self.version && row.get(8..HEADER) == Some(&self.hash[..]) && state.len() == self.length as usize
        })
    }
}

fn hash(version: u64, state: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(version.to_be_bytes()).chain_update(state).finalize().into()
}

/// The version and the state in a row, if it is as it was written.
pub(crate) fn read(row: &[u8]) -> Option<(u64, &[u8])> {
    let (version, rest) = row.split_first_chunk()?;
    let (stated, state) = rest.split_first_chunk::<32>()?;
    let version = u64::from_be_bytes(*version);
    (hash(version, state) == *stated).then_some((version, state))
}

/// The version in a row; `None` where it is too short.
pub(crate) fn version(row: &[u8]) -> Option<u64> {
    row.first_chunk().map(|version| u64::from_be_bytes(*version))
}

/// That somebody else was faster. It goes the way of errors within this crate, and is none outside of it.
#[derive(Debug, thiserror::Error)]
#[error("it was changed meanwhile")]
pub(crate) struct Stale;

pub(crate) fn stale() -> StoreError {
    StoreError::io("a state", Stale)
}

pub(crate) fn malformed(what: &str) -> StoreError {
    StoreError::corrupt(what, "its row is not as it was written")
}

/// A commit is one record, with all its rows in one batch, and is synced before it is answered. The committer, which is the only one
/// that writes, compares the versions.
#[async_trait]
impl ChannelStore for FjallStore {
    async fn get(&self, id: &Cid) -> Result<Option<Kept>, StoreError> {
        let Some(row) = self.db()?.get(WHAT, &rows::channel(id))? else { return Ok(None) };
        let (version, state) = read(&row).ok_or_else(|| malformed(WHAT))?;
        Ok(Some(Kept { version, state: Bytes::copy_from_slice(state) }))
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Commit, StoreError> {
        check_changes(&changes)?;
        if changes.is_empty() {
            return Ok(Commit::Done);
        }
        let (mut written, mut states) = (Vec::with_capacity(changes.len()), Vec::new());
        for Change { id, from, state } in changes {
            written.push(Written::of(id, from.saturating_add(1), &state)?);
            states.extend(state);
        }
        match self.write(Record::Channels(written), Some(states), true).await {
            Ok(()) => Ok(Commit::Done),
            Err(StoreError::Io { source, .. }) if source.is::<Stale>() => Ok(Commit::Stale),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::block;

    fn change(from: u64, state: &'static str) -> Change {
        Change { id: block::raw_cid(b"a channel"), from, state: Bytes::from_static(state.as_bytes()) }
    }

    /// What somebody does to a row by hand is noticed, by each of those who could be deceived by it.
    #[tokio::test]
    async fn a_state_that_is_not_the_last_one_is_noticed() {
        let key = rows::channel(&block::raw_cid(b"a channel"));
        for what in ["older", "removed", "changed"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let store = FjallStore::open(&path).unwrap();
            assert_eq!(store.commit(vec![change(0, "one")]).await.unwrap(), Commit::Done);
            let older = store.db().unwrap().get(WHAT, &key).unwrap().unwrap().to_vec();
            assert_eq!(store.commit(vec![change(1, "two")]).await.unwrap(), Commit::Done);
            assert!(store.check().await.unwrap().is_sound());
            let mut changed = store.db().unwrap().get(WHAT, &key).unwrap().unwrap().to_vec();
            *changed.last_mut().unwrap() ^= 1;
            let row = match what {
                "older" => Some(older),
                "removed" => None,
                _ => Some(changed),
            };
            store.db().unwrap().write([(key.clone(), row)].into_iter(), true).unwrap();
            assert_eq!(store.check().await.unwrap().damage.len(), 1, "{what}");
            if what == "changed" {
                assert!(matches!(store.get(&change(0, "").id).await, Err(StoreError::Corrupt { .. })));
            }
            drop(store);
            assert!(FjallStore::open(&path).is_err(), "{what}");
        }
    }

    /// A channel that the log does not know is noticed too.
    #[tokio::test]
    async fn a_state_that_nobody_wrote_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open(&folder.path().join("store")).unwrap();
        let id = block::raw_cid(b"forged");
        let written = Written::of(id, 1, b"state").unwrap();
        store.db().unwrap().write([(rows::channel(&id), Some(written.row(b"state")))].into_iter(), true).unwrap();
        assert_eq!(store.check().await.unwrap().damage.len(), 1);
    }
}
