use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError, Timestamp};

use crate::memory::lock;

/// Requests that were accepted and wait for others, so that a crash does not lose them.
///
/// # Contract
/// What [`keep`](RequestStore::keep) was told is durable when it returns, and stays until it is forgotten. The id is the CID of
/// the bytes (raw, sha2-256). Keeping what is kept already changes nothing but the time, which becomes the later one. What was
/// forgotten need not be durably so: carrying out a request again does no harm.
#[async_trait]
pub trait RequestStore: fmt::Debug + Send + Sync {
    /// Keeps a request, which is of no use after `until`.
    ///
    /// # Errors
    /// [`StoreError`] where the bytes do not hash to the id, or cannot be written.
    async fn keep(&self, id: &Cid, bytes: Bytes, until: Timestamp) -> Result<(), StoreError>;

    /// Forgets a request; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError`] where that cannot be written.
    async fn forget(&self, id: &Cid) -> Result<(), StoreError>;

    /// What is kept, and until when it is of use, in the order of the ids.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    async fn list(&self) -> Result<Vec<(Cid, Timestamp)>, StoreError>;

    /// The bytes of a request that is kept.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read, or holds other bytes under this id.
    async fn get(&self, id: &Cid) -> Result<Option<Bytes>, StoreError>;
}

/// Requests in memory, which do not survive their process.
#[derive(Debug, Default)]
pub struct MemoryRequests(Mutex<BTreeMap<Cid, (Bytes, Timestamp)>>);

#[async_trait]
impl RequestStore for MemoryRequests {
    async fn keep(&self, id: &Cid, bytes: Bytes, until: Timestamp) -> Result<(), StoreError> {
        ucan_core::block::verify(id, &bytes).map_err(|error| StoreError::corrupt(format!("request {id}"), error))?;
        let mut requests = lock(&self.0);
        let (_, end) = requests.entry(*id).or_insert((bytes, until));
        *end = until.max(*end);
        Ok(())
    }

    async fn forget(&self, id: &Cid) -> Result<(), StoreError> {
        lock(&self.0).remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(Cid, Timestamp)>, StoreError> {
        Ok(lock(&self.0).iter().map(|(id, (_, until))| (*id, *until)).collect())
    }

    async fn get(&self, id: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok(lock(&self.0).get(id).map(|(bytes, _)| bytes.clone()))
    }
}
