//! The stores that this one is.

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, Delegation, DelegationStore, Did, StoreError};
use ucan_invocation::{
    BlockStore, Cursor, Durability, Filing, InstructionId, Listing, Page, Receipt, ReceiptId, ReceiptStore, TaskId,
};

use crate::blocks::verify;
use crate::record::Record;
use crate::rows::{self, List};
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

/// Receipts that were read or filed lately are kept decoded, within some 32 MiB; whoever reads them from the medium
/// checks their hash.
#[async_trait]
impl ReceiptStore for FjallStore {
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError> {
        let id = receipt.id();
        let lists = filing.listings(receipt).iter().map(List::of).collect();
        let record = Record::Receipt { id: id.into(), lists };
        self.write_with_block(record, receipt.bytes(), filing.durability == Durability::Synced).await?;
        self.remember(id, receipt);
        Ok(())
    }

    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        self.receipt(id).await
    }

    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError> {
        self.receipts(&Listing::Task(*id)).await
    }

    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError> {
        self.receipts(&Listing::Instruction(*id)).await
    }

    async fn unlist(&self, id: &ReceiptId) -> Result<(), StoreError> {
        // Which records list it is for the committer to say, who knows those that are about to be written.
        self.write(Record::Unlisted { receipt: (*id).into(), records: Vec::new() }, None, true).await
    }

    async fn list(&self, listing: &Listing, after: Cursor, limit: usize) -> Result<Page, StoreError> {
        let limit = Page::limit(limit);
        // One more says whether there is more.
        let mut found = self.receipt_ids(&List::of(listing), after.number(), limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(number, _)| Cursor::after(*number));
        Ok(Page { receipts: found.into_iter().map(|(_, id)| id).collect(), next })
    }
}

impl FjallStore {
    async fn receipts(&self, listing: &Listing) -> Result<Vec<Receipt>, StoreError> {
        let mut receipts = Vec::new();
        for (_, id) in self.receipt_ids(&List::of(listing), 0, usize::MAX)? {
            let receipt = self.receipt(&id).await?;
            receipts.push(
                receipt.ok_or_else(|| StoreError::corrupt(format!("receipt {id}"), "it is listed, and not there"))?,
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
