use ucan_core::{KeySource, StoreError, Verified, verify};

use crate::trust::contradictions;
use crate::{BlockStore, Contradiction, InstructionId, Receipt, ReceiptStore, Task, TaskError, TaskId, Terms, Trust};

/// The memo table as its readers should see it: nothing that a store lists is believed before it was checked.
///
/// A receipt answers an instruction where its signature holds and the block of the task that it says was run, found by its
/// CID, has this instruction. Where a store filed it says nothing.
///
/// ```
/// use ucan_core::{Command, DidKeys, Ipld, Issuer, Timestamp, block};
/// use ucan_invocation::*;
/// use varsig::ed25519::SigningKey;
///
/// # pollster::block_on(async {
/// let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let (blocks, receipts) = (MemoryBlocks::default(), MemoryReceipts::default());
/// let module = block::raw_cid(b"a component");
/// let args = [("mod".to_owned(), Ipld::Link(module))].into();
/// let task = Task::new(executor.did().clone(), Command::parse("/wasm/run")?, args, vec![]);
///
/// // The executor that files derives where: from the task, which it has.
/// let filing = Filing {
///     tasks: vec![task.id()?],
///     memo: Some(task.instruction_id()?),
///     inputs: task.links(),
///     durability: Durability::Buffered,
/// };
/// let receipt = Receipt::builder(task.id()?, Outcome::Ok(Ipld::Integer(42))).sign(&executor, [7; 16])?;
/// receipts.file(&receipt, &filing).await?;
///
/// let memo = Memo::new(&receipts, &blocks, &DidKeys);
/// let terms = Terms { own: executor.did(), now: Timestamp::EPOCH, profile: None };
/// let known = memo.known(&task, &Trust::Own, &terms).await?.ok_or("nothing is known")?;
/// assert_eq!(known.outcome(), &Outcome::Ok(Ipld::Integer(42)));
///
/// // What has been computed with this component?
/// let page = receipts.list(&Listing::Input(module), Cursor::START, 10).await?;
/// assert_eq!(page.receipts, [receipt.id()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Memo<'a> {
    receipts: &'a dyn ReceiptStore,
    blocks: &'a dyn BlockStore,
    keys: &'a dyn KeySource,
}

impl<'a> Memo<'a> {
    /// Reads `receipts`, finds the tasks that they name in `blocks`, and checks signatures with `keys`.
    #[must_use]
    pub fn new(receipts: &'a dyn ReceiptStore, blocks: &'a dyn BlockStore, keys: &'a dyn KeySource) -> Self {
        Self { receipts, blocks, keys }
    }

    /// The result of the deterministic `task`, whose promises are all resolved, that may be reused on these terms.
    ///
    /// What would not be reused anyway is not checked any further, so that strangers' receipts cost next to nothing.
    ///
    /// # Errors
    /// [`MemoError::Task`] where the task has no instruction; [`MemoError::Store`] where a store cannot be read.
    pub async fn known(
        &self,
        task: &Task,
        trust: &Trust,
        terms: &Terms<'_>,
    ) -> Result<Option<Verified<Receipt>>, MemoError> {
        let (id, instruction) = (task.id()?, task.instruction_id()?);
        let mut counted = Vec::new();
        for receipt in self.receipts.by_instruction(&instruction).await? {
            if !trust.admits(&receipt, terms) {
                continue;
            }
            let Some(receipt) = self.holds(receipt, &instruction, Some(&id)).await? else { continue };
            if !matches!(trust, Trust::Agreement { .. }) {
                return Ok(Some(receipt));
            }
            counted.push(receipt);
        }
        Ok(trust.choose(counted, terms))
    }

    /// All receipts that answer `instruction`, whoever issued them and whatever they state, in the order of filing.
    ///
    /// # Errors
    /// [`StoreError`] where a store cannot be read.
    pub async fn answers(&self, instruction: &InstructionId) -> Result<Vec<Verified<Receipt>>, StoreError> {
        let mut answers = Vec::new();
        for receipt in self.receipts.by_instruction(instruction).await? {
            answers.extend(self.holds(receipt, instruction, None).await?);
        }
        Ok(answers)
    }

    /// What receipts state of the deterministic `instruction` that cannot all be true. They stay in the store, as evidence.
    ///
    /// # Errors
    /// As [`Memo::answers`].
    pub async fn contradictions(&self, instruction: &InstructionId) -> Result<Vec<Contradiction>, StoreError> {
        Ok(contradictions(&self.answers(instruction).await?))
    }

    /// `receipt`, if it is about `instruction` and signed by its issuer. `task` is a task that is known to have this
    /// instruction.
    async fn holds(
        &self,
        receipt: Receipt,
        instruction: &InstructionId,
        task: Option<&TaskId>,
    ) -> Result<Option<Verified<Receipt>>, StoreError> {
        let ran = receipt.resolved();
        if task != Some(&ran) {
            // Without the task nobody can tell what the receipt is about.
            let Some(block) = self.blocks.get(ran.cid()).await? else { return Ok(None) };
            let id = Task::from_block(&block).and_then(|task| task.instruction_id());
            if id.as_ref() != Ok(instruction) {
                return Ok(None);
            }
        }
        Ok(verify(receipt, self.keys).ok())
    }
}

/// Why nothing could be said about a task.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MemoError {
    /// The task cannot be encoded, or waits for another.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
