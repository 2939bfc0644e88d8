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
    /// Each entry with its number, which grows with every filing.
    lists: HashMap<Listing, Vec<(u64, ReceiptId)>>,
    filed: u64,
}

#[derive(Debug)]
struct Kept {
    receipt: Receipt,
    listings: BTreeSet<Listing>,
}

impl Receipts {
    fn all(&self, listing: &Listing) -> Vec<Receipt> {
        let ids = self.lists.get(listing).into_iter().flatten();
        ids.filter_map(|(_, id)| self.by_id.get(id)).map(|kept| kept.receipt.clone()).collect()
    }
}

#[async_trait]
impl ReceiptStore for MemoryReceipts {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        let id = receipt.id();
        // Before the lock: it may have to hash a large result.
        let listings = filing.listings(receipt);
        let mut receipts = lock(&self.0);
        let Receipts { by_id, lists, filed } = &mut *receipts;
        *filed += 1;
        let new = || Kept { receipt: receipt.clone(), listings: BTreeSet::new() };
        let kept = by_id.entry(id).or_insert_with(new);
        for listing in listings {
            if kept.listings.insert(listing.clone()) {
                lists.entry(listing).or_default().push((*filed, id));
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

    async fn unlist(&self, id: &ReceiptId) -> Result<(), StoreError> {
        let mut receipts = lock(&self.0);
        let Receipts { by_id, lists, .. } = &mut *receipts;
        let listings = by_id.get_mut(id).map(|kept| std::mem::take(&mut kept.listings)).unwrap_or_default();
        for listing in listings {
            if let Some(list) = lists.get_mut(&listing) {
                list.retain(|(_, listed)| listed != id);
            }
        }
        Ok(())
    }

    async fn list(&self, listing: &Listing, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        let receipts = lock(&self.0);
        let list = receipts.lists.get(listing).map_or(&[][..], Vec::as_slice);
        let rest = list.get(list.partition_point(|(number, _)| *number <= after.number())..).unwrap_or_default();
        let page = rest.get(..Page::limit(limit)).unwrap_or(rest);
        let next = page.last().filter(|_| page.len() < rest.len()).map(|(number, _)| Cursor::after(*number));
        Ok(Page { receipts: page.iter().map(|(_, id)| *id).collect(), next })
    }
}

/// Nothing that is done under these locks can leave the maps half changed, so a panic elsewhere does not spoil them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
