use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError, block};

use crate::{BlockStore, Filing, InstructionId, Receipt, ReceiptId, ReceiptStore, TaskId};

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
    by_id: HashMap<ReceiptId, Receipt>,
    by_task: BTreeMap<TaskId, Vec<ReceiptId>>,
    by_instruction: BTreeMap<InstructionId, Vec<ReceiptId>>,
}

impl Receipts {
    fn all(&self, ids: Option<&Vec<ReceiptId>>) -> Vec<Receipt> {
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id)).cloned().collect()
    }
}

fn list<K: Ord>(index: &mut BTreeMap<K, Vec<ReceiptId>>, key: K, id: ReceiptId) {
    let ids = index.entry(key).or_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
}

#[async_trait]
impl ReceiptStore for MemoryReceipts {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        let mut receipts = lock(&self.0);
        let id = receipt.id();
        receipts.by_id.insert(id, receipt.clone());
        for task in &filing.tasks {
            list(&mut receipts.by_task, *task, id);
        }
        if let Some(instruction) = filing.memo {
            list(&mut receipts.by_instruction, instruction, id);
        }
        Ok(())
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        Ok(lock(&self.0).by_id.get(id).cloned())
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        let receipts = lock(&self.0);
        Ok(receipts.all(receipts.by_task.get(id)))
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        let receipts = lock(&self.0);
        Ok(receipts.all(receipts.by_instruction.get(id)))
    }
}

/// Nothing that is done under these locks can leave the maps half changed, so a panic elsewhere does not spoil them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
