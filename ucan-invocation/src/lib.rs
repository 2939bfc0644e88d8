#![doc = include_str!("../README.md")]

mod attested;
#[cfg(feature = "contracts")]
pub mod contracts;
mod effect;
mod effects;
mod elsewhere;
mod entropy;
mod executor;
mod flight;
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
mod replay;
mod requests;
mod resolve;
mod revocation;
#[cfg(feature = "tower")]
mod service;
mod slot;
mod store;
mod task;
mod timer;
mod transport;
mod trust;
#[cfg(feature = "typed")]
mod typed;

pub use attested::{AttestError, Attested, attest};
pub use effect::EffectClass;
pub use effects::Effects;
pub use elsewhere::{Elsewhere, Patience};
pub use entropy::Entropy;
pub use executor::{ExecuteError, Executor, ExecutorParts};
pub use handler::{Asked, Call, CallError, Completion, Config, Handler, Probe, Reexecutor, Router};
pub use ids::{InstructionId, InvocationId, ReceiptId, TaskId};
pub use invocation::{Authorized, Invocation, InvocationBuilder, InvocationError, authorize};
pub use listing::{Cursor, Listing, Page, links};
pub use memo::{Memo, MemoError};
pub use memory::{MemoryBlocks, MemoryReceipts};
pub use outcome::{Failure, Outcome};
pub use promise::{Await, Branch, is_pending, promises, visit};
pub use receipt::{RECEIPT_COMMAND, Receipt, ReceiptBuilder, ReceiptError};
pub use replay::{Claim, MemoryReplayGuard, ReplayGuard};
pub use requests::{MemoryRequests, RequestStore};
pub use resolve::{NoPromises, Resolve};
pub use revocation::{MemoryRevocations, REVOKE_COMMAND, Revocation, RevocationError, RevocationStore, Revoked};
pub use store::{BlockStore, Durability, Filing, ReceiptStore};
pub use task::{Instruction, Task, TaskError};
pub use timer::Timer;
#[cfg(feature = "tokio")]
pub use timer::TokioTimer;
pub use transport::{InProcess, Transport, TransportError};
pub use trust::{Contradiction, Terms, Trust, contradictions};
#[cfg(feature = "typed")]
pub use typed::{OutputError, TypedCommand, TypedHandler};
