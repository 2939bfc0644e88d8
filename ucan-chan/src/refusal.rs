use ucan_core::{Cid, Timestamp};

use crate::amount::Unit;
use crate::proof::{Cheating, Proof};

/// Why a voucher is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawError {
    /// It belongs to another channel.
    #[error("the voucher draws on the channel {named}, not on {own}")]
    OtherChannel {
        /// The channel that it names.
        named: Cid,
        /// This channel.
        own: Cid,
    },
    /// It is not from the holder to the provider of this channel.
    #[error("the voucher is not from the channel's holder to its provider")]
    OtherParty,
    /// Its proofs are not the chain of the channel, so that it would be no proof for anybody else.
    #[error("the voucher's proofs are not the chain of the channel")]
    OtherChain,
    /// It counts something else.
    #[error("the voucher is in {unit}, which is not the unit of the channel")]
    OtherUnit {
        /// What it counts.
        unit: Unit,
    },
    /// It asks for more than is left; what is missing may be set aside for sub-channels.
    #[error("the voucher draws {asked} more, and {left} is left: open another channel, or settle a sub-channel")]
    Exhausted {
        /// What is left.
        left: u64,
        /// What it draws.
        asked: u64,
    },
    /// The channel has expired.
    #[error("the channel has expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The channel was closed, and the time for disputes is over.
    #[error("the channel is closed, and the time for disputes is over")]
    Over,
    /// The holder signed what it must not. The tokens are proof for anybody.
    #[error("the holder of the channel cheats ({kind}): nothing was taken, keep the proof")]
    Cheating {
        /// What it did.
        kind: Cheating,
        /// The tokens that show it.
        proof: Box<Proof>,
    },
}

/// Why a channel is not opened, used, closed or settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// What was signed is about another channel, or other terms of it.
    #[error("what was signed is not about this channel, or not about its terms")]
    OtherTerms,
    /// It was signed by somebody who has no part in it.
    #[error("what was signed is by neither the holder nor the provider, or not by the one whose part it is")]
    OtherParty,
    /// It is no sub-channel of the other one, or a sub-channel where a root is expected.
    #[error("the channel is not where it should be in the tree of channels")]
    OtherParent,
    /// It is closed or has expired.
    #[error("the channel is closed or has expired: open another one")]
    NotOpen,
    /// The budget does not suffice.
    #[error("the channel has {left} left, and {asked} is asked for")]
    Exhausted {
        /// What is left.
        left: u64,
        /// What was asked for.
        asked: u64,
    },
    /// Too little was signed for.
    #[error("the channel has a credit of {credit}, and {asked} is needed: send a voucher for more")]
    NoCredit {
        /// What can be set aside.
        credit: u64,
        /// What was to be set aside.
        asked: u64,
    },
    /// A task was said to have used more than was set aside for it.
    #[error("the task has used {used}, and {limit} was set aside for it")]
    OverLimit {
        /// What was set aside.
        limit: u64,
        /// What it is said to have used.
        used: u64,
    },
    /// As many tasks are under way as a channel knows of.
    #[error("64 tasks are under way on the channel: wait until one of them is over")]
    Busy,
    /// Nothing is set aside for the task.
    #[error("nothing is set aside for the task")]
    NotReserved,
    /// The provider has started again since.
    #[error("this was set aside in epoch {own} of the provider, and {found} has begun")]
    Epoch {
        /// Whose epoch.
        own: u64,
        /// That of the channel.
        found: u64,
    },
    /// It cannot be settled yet.
    #[error("the channel is open, can be disputed, or has tasks or sub-channels that are not settled")]
    Unfinished,
    /// An amount would be more than 2^53 - 1.
    #[error("an amount would be more than 2^53 - 1")]
    Overflow,
}
