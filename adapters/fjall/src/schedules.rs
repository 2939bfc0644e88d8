//! The states of schedules: one row for each, which is replaced by each change, and of which the log has the hash.

use async_trait::async_trait;
use bytes::Bytes;
use ipvm_workflow::{KeptSchedule, ScheduleStore, check_schedule_state};
use ucan_core::StoreError;
use ucan_invocation::TaskId;

use crate::channels::{Stale, Written, malformed, read};
use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

const WHAT: &str = "the state of a schedule";

/// A change is one record, and is synced before it is answered. The committer, which is the only one that writes, compares the versions.
#[async_trait]
impl ScheduleStore for FjallStore {
    async fn get(&self, id: &TaskId) -> Result<Option<KeptSchedule>, StoreError> {
        let Some(row) = self.db()?.get(WHAT, &rows::schedule(id.cid()))? else { return Ok(None) };
        let (version, state) = read(&row).ok_or_else(|| malformed(WHAT))?;
        Ok(Some(KeptSchedule { version, state: Bytes::copy_from_slice(state) }))
    }

    async fn put(&self, id: &TaskId, from: u64, state: Bytes) -> Result<bool, StoreError> {
        check_schedule_state(&state)?;
        let written = Written::of(*id.cid(), from.saturating_add(1), &state)?;
        match self.write(Record::Schedule(written), Some(state.to_vec()), true).await {
            Ok(()) => Ok(true),
            Err(StoreError::Io { source, .. }) if source.is::<Stale>() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Vec<TaskId>, StoreError> {
        let mut listed = Vec::new();
        for (key, _) in self.db()?.prefix(WHAT, &rows::all_schedules())? {
            listed.push(TaskId::new(rows::only_cid(&key).ok_or_else(|| malformed(WHAT))?));
        }
        listed.sort_unstable();
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::block;

    /// What somebody does to a row by hand is noticed: a schedule that is set back would run what it ran before.
    #[tokio::test]
    async fn a_state_that_is_not_the_last_one_is_noticed() {
        let id = TaskId::new(block::dag_cbor_cid(b"a schedule"));
        let key = rows::schedule(id.cid());
        for older in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let store = FjallStore::open(&path).unwrap();
            assert!(store.put(&id, 0, Bytes::from_static(b"one")).await.unwrap());
            let first = store.db().unwrap().get(WHAT, &key).unwrap().unwrap().to_vec();
            assert!(store.put(&id, 1, Bytes::from_static(b"two")).await.unwrap());
            assert!(store.check().await.unwrap().is_sound());
            store.db().unwrap().write([(key.clone(), Some(first).filter(|_| older))].into_iter(), true).unwrap();
            assert_eq!(store.check().await.unwrap().damage.len(), 1, "{older}");
            drop(store);
            assert!(FjallStore::open(&path).is_err(), "{older}");
        }
        // One that the log does not know is noticed, too.
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open(&folder.path().join("store")).unwrap();
        let written = Written::of(*id.cid(), 1, b"state").unwrap();
        store.db().unwrap().write([(key, Some(written.row(b"state")))].into_iter(), true).unwrap();
        assert_eq!(store.check().await.unwrap().damage.len(), 1);
    }
}
