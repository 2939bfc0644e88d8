use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, StoreError};

use crate::{Cursor, InstructionId, Listing, Page, Receipt, ReceiptId, TaskId};

/// Content-addressed blocks: components, tasks, workflows, inputs.
///
/// # Contract
/// What [`get`](BlockStore::get) returns hashes to the CID that was asked for; a store that finds otherwise answers
/// [`StoreError::Corrupt`]. Putting a block that is there already changes nothing.
#[async_trait]
pub trait BlockStore: fmt::Debug + Send + Sync {
    /// The bytes of `cid`, or `None` where the store does not have them.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read, or holds other bytes under this CID.
    async fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError>;

    /// Keeps `bytes` under `cid`. They are durable no later than anything that the store makes durable afterwards.
    ///
    /// # Errors
    /// [`StoreError`] where the bytes do not hash to the CID, or cannot be written.
    async fn put(&self, cid: &Cid, bytes: Bytes) -> Result<(), StoreError>;
}

/// When a write has to survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At some time soon: for what can be computed again.
    Buffered,
    /// Before the call returns: for the receipt of an effect.
    Synced,
}

/// Under what a receipt is to be found, derived by the executor that files it: never from what the receipt claims.
///
/// What is part of the receipt itself, its issuer and what its outcome gave, needs no derivation: see
/// [`Filing::listings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filing {
    /// The ids of the task: as it was invoked and, where it held promises, as it was resolved.
    pub tasks: Vec<TaskId>,
    /// The input address, where the result is to be reused for equal instructions.
    pub memo: Option<InstructionId>,
    /// What the arguments of the task link to ([`Task::links`](crate::Task::links)), as it was invoked and as it was
    /// resolved; and the receipts that this one repeats, or rests on beside these.
    pub inputs: Vec<Cid>,
    /// When it has to be durable.
    pub durability: Durability,
}

/// Receipts, which are also the memo table.
///
/// # Contract
/// The store keeps what it is given; whether a receipt is to be believed is for its reader to check. Filing the same
/// receipt again adds its filings. Lists come back in the order of filing, and a receipt is once in each, where it was
/// filed first.
#[async_trait]
pub trait ReceiptStore: fmt::Debug + Send + Sync {
    /// Keeps `receipt` and lists it as `filing` says.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    async fn file(&self, receipt: &Receipt, filing: &Filing) -> Result<(), StoreError>;

    /// The receipt `id`.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read, or what it holds is not this receipt.
    async fn get(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError>;

    /// The receipts of the task `id`, promised or resolved.
    ///
    /// # Errors
    /// As [`ReceiptStore::get`].
    async fn by_task(&self, id: &TaskId) -> Result<Vec<Receipt>, StoreError>;

    /// The receipts that answer the instruction `id`.
    ///
    /// # Errors
    /// As [`ReceiptStore::get`].
    async fn by_instruction(&self, id: &InstructionId) -> Result<Vec<Receipt>, StoreError>;

    /// Takes a receipt out of all lists, durably: it is found by its own id alone from then on, as evidence. Filing it again lists
    /// it again, at the end of each list. Nothing happens where there is no such receipt.
    ///
    /// # Errors
    /// [`StoreError`] where that cannot be written.
    async fn unlist(&self, id: &ReceiptId) -> Result<(), StoreError>;

    /// The receipts in `listing` after a place in it, at most [`Page::limit`] of `limit`. What is filed meanwhile comes
    /// at the end of a list, so that going on from page to page misses nothing and repeats nothing, also where what was read is
    /// taken out.
    ///
    /// # Errors
    /// As [`ReceiptStore::get`].
    async fn list(&self, listing: &Listing, after: Cursor, limit: usize) -> Result<Page, StoreError>;
}
