use std::fmt;

use async_trait::async_trait;
use ucan_core::{Cid, Timestamp};
use ucan_invocation::TaskId;

use crate::channel::Reservation;
use crate::charge::Charge;
use crate::till::TillError;

/// What an engine asks before and after a task: the seam between computing and being paid for it.
///
/// # Contract
///
/// Before a task starts the engine reserves the limit under which it is going to run (in the unit of the channel: for `gas`, the
/// limit of fuel). Where that fails the task MUST NOT start: its receipt says so, as an attempt. When the task is over, whatever came of it, the
/// engine charges what it has used, and puts the [`Charge`] into the metadata of the receipt before it signs that. A task that was answered from what is known
/// has used nothing, and is not reserved for. A reservation that is not charged (the process ended) costs nobody anything.
///
/// Both are durable when they return. Each takes one commit of the [`ChannelStore`](crate::ChannelStore) behind it.
#[async_trait]
pub trait Meter: fmt::Debug + Send + Sync {
    /// Sets `limit` of the channel's credit aside for a task.
    ///
    /// # Errors
    /// [`TillError`]; [`ChannelError::NoCredit`](crate::ChannelError::NoCredit) in it says how much there is.
    async fn reserve(&self, channel: &Cid, task: TaskId, limit: u64, now: Timestamp) -> Result<Reservation, TillError>;

    /// Charges what the task has used, and frees the rest.
    ///
    /// # Errors
    /// [`TillError`], where nothing is charged. If the store failed, it stays set aside until the provider starts again.
    async fn charge(&self, reservation: Reservation, used: u64) -> Result<Charge, TillError>;
}
