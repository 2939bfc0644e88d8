#![doc = include_str!("../README.md")]

mod attested;
#[cfg(feature = "contracts")]
pub mod contracts;
mod effect;
mod handler;
mod ids;
mod invocation;
mod listing;
mod memo;
mod memory;
pub mod meta;
mod outcome;
mod promise;
mod receipt;
mod store;
mod task;
mod trust;

pub use attested::{AttestError, Attested, attest};
pub use effect::EffectClass;
pub use handler::{Call, CallError, Completion, Config, Handler, Reexecutor, Router};
pub use ids::{InstructionId, InvocationId, ReceiptId, TaskId};
pub use invocation::{Authorized, Invocation, InvocationBuilder, InvocationError, authorize};
pub use listing::{Cursor, Listing, Page, links};
pub use memo::{Memo, MemoError};
pub use memory::{MemoryBlocks, MemoryReceipts};
pub use outcome::{Failure, Outcome};
pub use promise::{Await, Branch, is_pending, promises, visit};
pub use receipt::{RECEIPT_COMMAND, Receipt, ReceiptBuilder, ReceiptError};
pub use store::{BlockStore, Durability, Filing, ReceiptStore};
pub use task::{Instruction, Task, TaskError};
pub use trust::{Contradiction, Terms, Trust, contradictions};
