//! Revocations, and claims of tasks: what must never be forgotten, and is synced before it is answered.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use ucan_core::{Cid, Did, StoreError, Timestamp};
use ucan_invocation::{Claim, ReplayGuard, Revocation, RevocationStore, Revoked};

use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

/// The log keeps revocations for ever: nothing is evicted.
#[async_trait]
impl RevocationStore for FjallStore {
    async fn keep(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let by = revocation.by().principal();
        for name in revocation.names() {
            self.write(Record::Revocation { name: *name, by: by.to_owned() }, None, true).await?;
        }
        Ok(())
    }

    /// One process owns the store, and its committer counts: whoever asked may be gone before what they asked for is written.
    fn revision(&self) -> Option<u64> {
        Some(self.0.revocations.load(Ordering::Acquire))
    }

    async fn revoked(&self, cids: &[Cid]) -> Result<Revoked, StoreError> {
        const WHAT: &str = "the index of revocations";
        let malformed = || StoreError::corrupt(WHAT, "a row is malformed");
        let (db, mut revoked) = (self.db()?, Revoked::default());
        for cid in cids {
            for (_, number) in db.prefix(WHAT, &rows::revoked(cid))? {
                let number = rows::number(&number).ok_or_else(malformed)?;
                let row = db.get(WHAT, &rows::log(number))?.ok_or_else(malformed)?;
                match rows::split_log_value(&row).and_then(|(_, record)| Record::decode(record)) {
                    Some(Record::Revocation { name, by }) if name == *cid => {
                        revoked.insert(name, Did::parse(&by).map_err(|_| malformed())?);
                    }
                    _ => return Err(malformed()),
                }
            }
        }
        Ok(revoked)
    }

    async fn evict(&self, _before: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}

/// Claims survive a crash, and are never forgotten: a task that was begun is not begun again.
#[async_trait]
impl ReplayGuard for FjallStore {
    async fn claim(&self, name: &Cid, _until: Timestamp, _now: Timestamp) -> Result<Claim, StoreError> {
        let claiming = || self.0.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        {
            // Whoever comes second finds the first one here, or in the database.
            let mut claiming = claiming();
            if self.db()?.contains("the index of claims", &rows::claim(name))? || !claiming.insert(*name) {
                return Ok(Claim::Repeated);
            }
        }
        let written = self.write(Record::Claim(*name), None, true).await;
        claiming().remove(name);
        written.map(|()| Claim::First)
    }
}
