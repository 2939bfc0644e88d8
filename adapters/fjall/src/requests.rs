//! Requests that wait for others, kept until they are answered.

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError, Timestamp};
use ucan_invocation::RequestStore;

use crate::blocks::verify;
use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

const WHAT: &str = "the index of requests that wait";

/// A request is a block, which stays when the request is forgotten, and a row, which does not.
#[async_trait]
impl RequestStore for FjallStore {
    async fn keep(&self, id: &Cid, bytes: Bytes, until: Timestamp) -> Result<(), StoreError> {
        verify(id, &bytes)?;
        let until = self.waits_until(id)?.map_or(until, |kept| kept.max(until));
        self.write_with_block(Record::Waits { request: *id, until: until.as_secs() }, &bytes, true).await
    }

    async fn forget(&self, id: &Cid) -> Result<(), StoreError> {
        // Buffered: at worst it is carried out again, which does no harm.
        self.write(Record::Answered(*id), None, false).await
    }

    async fn list(&self) -> Result<Vec<(Cid, Timestamp)>, StoreError> {
        let mut kept = Vec::new();
        for (key, number) in self.db()?.prefix(WHAT, &rows::all_waiting())? {
            kept.push((rows::only_cid(&key).ok_or_else(malformed)?, self.recorded(&number)?));
        }
        kept.sort_unstable();
        Ok(kept)
    }

    async fn get(&self, id: &Cid) -> Result<Option<Bytes>, StoreError> {
        if self.waits_until(id)?.is_none() { Ok(None) } else { self.block(id).await }
    }
}

impl FjallStore {
    fn waits_until(&self, id: &Cid) -> Result<Option<Timestamp>, StoreError> {
        self.db()?.get(WHAT, &rows::waiting(id))?.map(|number| self.recorded(&number)).transpose()
    }

    /// Until when the request of a row waits, by the record that wrote the row.
    fn recorded(&self, number: &[u8]) -> Result<Timestamp, StoreError> {
        let number = rows::number(number).ok_or_else(malformed)?;
        let row = self.db()?.get(WHAT, &rows::log(number))?.ok_or_else(malformed)?;
        match rows::split_log_value(&row).and_then(|(_, record)| Record::decode(record)) {
            Some(Record::Waits { until, .. }) => Timestamp::from_secs(until).ok_or_else(malformed),
            _ => Err(malformed()),
        }
    }
}

fn malformed() -> StoreError {
    StoreError::corrupt(WHAT, "a row is malformed")
}
