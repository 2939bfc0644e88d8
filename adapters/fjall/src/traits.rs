//! The stores that this one is.

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, Delegation, DelegationStore, Did, StoreError};
use ucan_invocation::{BlockStore, Durability, Filing, InstructionId, Receipt, ReceiptId, ReceiptStore, TaskId};

use crate::blocks::verify;
use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

/// Small blocks are rows; those of 256 KiB and more are files, read and written on blocking threads.
#[async_trait]
impl BlockStore for FjallStore {
    async fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        self.block(cid).await
    }

    async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError> {
        verify(cid, &bytes)?;
        if self.has_block(cid)? {
            return Ok(());
        }
        self.write_with_block(Record::Block(*cid), &bytes, false).await
    }
}

#[async_trait]
impl ReceiptStore for FjallStore {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        let record = Record::Receipt {
            id: receipt.id().into(),
            memo: filing.memo.map(Cid::from),
            tasks: filing.tasks.iter().copied().map(Cid::from).collect(),
        };
        self.write_with_block(record, receipt.bytes(), filing.durability == Durability::Synced).await
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        // A block that hashes to this id and is not a receipt: then there is no such receipt.
        Ok(self.block(id.cid()).await?.and_then(|bytes| Receipt::decode(&*bytes).ok()))
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        self.receipts("the receipts of a task", &rows::task(id.cid())).await
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        self.receipts("the receipts of an instruction", &rows::memo(id.cid())).await
    }
}

impl FjallStore {
    async fn receipts(&self, what: &str, prefix: &[u8]) -> Result<Vec<Receipt>, StoreError> {
        let mut receipts = Vec::new();
        for cid in self.listed(what, prefix, 0)? {
            let receipt = ReceiptStore::get(self, &ReceiptId::new(cid)).await?;
            receipts.push(
                receipt.ok_or_else(|| StoreError::corrupt(format!("receipt {cid}"), "it is listed, and not there"))?,
            );
        }
        Ok(receipts)
    }
}

/// Delegations are durable when `put` returns: they are few, and cannot be computed again.
#[async_trait]
impl DelegationStore for FjallStore {
    async fn put(&self, delegation: &Delegation) -> Result<(), StoreError> {
        let record = Record::Delegation {
            id: *delegation.cid(),
            audience: delegation.audience().principal().to_owned(),
            subject: delegation.subject().map_or("", Did::principal).to_owned(),
        };
        self.write_with_block(record, delegation.bytes(), true).await
    }

    async fn get(&self, cid: &Cid) -> Result<Option<Delegation>, StoreError> {
        Ok(self.block(cid).await?.and_then(|bytes| Delegation::decode(&*bytes).ok()))
    }

    async fn for_audience(&self, audience: &Did) -> Result<Vec<Delegation>, StoreError> {
        let audience = rows::audience(audience.principal());
        self.delegations(self.listed("the delegations of an audience", &audience, rows::SUBJECT)?).await
    }

    async fn granted(&self, audience: &Did, subject: &Did) -> Result<Vec<Delegation>, StoreError> {
        let mut cids = Vec::new();
        for subject in [subject.principal(), ""] {
            let prefix = rows::granted(audience.principal(), subject);
            cids.extend(self.listed("the delegations of an audience about a subject", &prefix, 0)?);
        }
        self.delegations(cids).await
    }
}

impl FjallStore {
    /// The delegations with these CIDs, in the order of the CIDs.
    async fn delegations(&self, mut cids: Vec<Cid>) -> Result<Vec<Delegation>, StoreError> {
        cids.sort_unstable();
        let mut delegations = Vec::with_capacity(cids.len());
        for cid in cids {
            let delegation = DelegationStore::get(self, &cid).await?;
            delegations.push(
                delegation
                    .ok_or_else(|| StoreError::corrupt(format!("delegation {cid}"), "it is listed, and not there"))?,
            );
        }
        Ok(delegations)
    }
}
