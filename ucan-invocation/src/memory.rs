use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError, block};

use crate::{BlockStore, Cursor, Filing, InstructionId, Listing, Page, Receipt, ReceiptId, ReceiptStore, TaskId};

/// Blocks in memory.
#[derive(Debug, Default)]
pub struct MemoryBlocks(Mutex<HashMap<Cid, Bytes>>);

#[async_trait]
impl BlockStore for MemoryBlocks {
    async fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok(lock(&self.0).get(cid).cloned())
    }

    async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError> {
        block::verify(cid, &bytes).map_err(|error| StoreError::corrupt(format!("block {cid}"), error))?;
        lock(&self.0).insert(*cid, bytes);
        Ok(())
    }
}

/// Receipts in memory.
#[derive(Debug, Default)]
pub struct MemoryReceipts(Mutex<Receipts>);

#[derive(Debug, Default)]
struct Receipts {
    by_id: HashMap<ReceiptId, Kept>,
    lists: HashMap<Listing, Vec<ReceiptId>>,
}

#[derive(Debug)]
struct Kept {
    receipt: Receipt,
    listings: BTreeSet<Listing>,
}

impl Receipts {
    fn all(&self, listing: &Listing) -> Vec<Receipt> {
        let ids = self.lists.get(listing).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id)).map(|kept| kept.receipt.clone()).collect()
    }
}

#[async_trait]
impl ReceiptStore for MemoryReceipts {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        let id = receipt.id();
        // Before the lock: it may have to hash a large result.
        let listings = filing.listings(receipt);
        let mut receipts = lock(&self.0);
        let Receipts { by_id, lists } = &mut *receipts;
        let new = || Kept { receipt: receipt.clone(), listings: BTreeSet::new() };
        let kept = by_id.entry(id).or_insert_with(new);
        for listing in listings {
            if kept.listings.insert(listing.clone()) {
                lists.entry(listing).or_default().push(id);
            }
        }
        Ok(())
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        Ok(lock(&self.0).by_id.get(id).map(|kept| kept.receipt.clone()))
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        Ok(lock(&self.0).all(&Listing::Task(*id)))
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        Ok(lock(&self.0).all(&Listing::Instruction(*id)))
    }

    async fn list(&self, listing: &Listing, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        let receipts = lock(&self.0);
        let list = receipts.lists.get(listing).map_or(&[][..], Vec::as_slice);
        // An entry's number is how many there are up to it.
        let from = usize::try_from(after.number()).unwrap_or(usize::MAX).min(list.len());
        let rest = list.get(from..).unwrap_or_default();
        let page = rest.get(..Page::limit(limit)).unwrap_or(rest);
        let next = (page.len() < rest.len()).then(|| Cursor::after((from + page.len()) as u64));
        Ok(Page { receipts: page.to_vec(), next })
    }
}

/// Nothing that is done under these locks can leave the maps half changed, so a panic elsewhere does not spoil them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
