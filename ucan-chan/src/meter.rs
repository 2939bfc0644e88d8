use std::fmt;

use async_trait::async_trait;
use ucan_core::{Cid, Timestamp};
use ucan_invocation::TaskId;

use crate::channel::{Channel, Reservation, Status};
use crate::charge::Charge;
use crate::till::TillError;

/// What an engine asks before and after a task: the seam between computing and being paid for it.
///
/// # Contract
///
/// Before a task starts the engine reserves the limit under which it is going to run (in the unit of the channel: for `gas`, the
/// limit of fuel). Where that fails the task MUST NOT start. When the task is over, whatever came of it, the
/// engine charges what it has used, and puts the [`Charge`] into the metadata of the receipt before it signs that. Once the receipt is
/// durable it says so by [`filed`](Self::filed). A task that was answered from what is known has used nothing, and is not reserved for.
///
/// Per task, one thing is set aside or charged at a time. What is set aside does not outlive the process, and costs nobody anything. A
/// charge outlives it: a crash between the charge and its receipt leads to a reservation that knows the charge
/// ([`Reservation::earlier`](crate::Reservation::earlier)), and charging comes to the same. So a task is charged for once, however often a crash has it run. It is for
/// the engine to look whether a receipt states the earlier charge ([`Charge::key`]): then that was another attempt, which is over;
/// it says that it is filed, and reserves again.
///
/// What `reserve` and `charge` do is durable when they return. Each takes one commit of the [`ChannelStore`](crate::ChannelStore) behind it.
#[async_trait]
pub trait Meter: fmt::Debug + Send + Sync {
    /// A channel as it is kept.
    ///
    /// # Errors
    /// [`TillError::Unknown`] where it was not opened.
    async fn channel(&self, channel: &Cid) -> Result<Channel, TillError>;

    /// Sets `limit` of the channel's credit aside for a task.
    ///
    /// # Errors
    /// [`TillError`]; [`ChannelError::NoCredit`](crate::ChannelError::NoCredit) in it says how much there is.
    async fn reserve(&self, channel: &Cid, task: TaskId, limit: u64, now: Timestamp) -> Result<Reservation, TillError>;

    /// Charges what the task has used, and frees the rest.
    ///
    /// # Errors
    /// [`TillError`]. If the store failed, it may have been charged; another reservation for the task knows it then.
    async fn charge(&self, reservation: Reservation, used: u64) -> Result<Charge, TillError>;

    /// Takes note that a charge stands in a receipt that is durable. It is written down with the next change of the channel.
    fn filed(&self, charge: &Charge);

    /// Closes a channel because its delegation, or one above it, was revoked.
    ///
    /// # Errors
    /// [`TillError`].
    async fn revoke(&self, channel: &Cid, now: Timestamp) -> Result<Status, TillError>;
}
