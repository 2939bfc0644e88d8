use std::sync::Arc;

use ucan_core::{Cid, Did, Envelope, Ipld, Issuer, Purpose, Token};
use ucan_invocation::{Invocation, TaskId};

use crate::amount::Unit;
use crate::args::{self, Stated, integer, text};
use crate::error::{CommandError, IssueError};
use crate::terms::Terms;

/// The command of every voucher.
pub const DRAW_COMMAND: &str = "/chan/draw";

const ARGS: [&str; 5] = ["channel", "unit", "seq", "total", "for"];

/// A signed statement that so much of a channel has been used up in all.
///
/// On the wire it is an invocation of `/chan/draw` on the provider, whose arguments are `{channel: &Delegation, unit, seq, total,
/// for: &Task}`. Since it states the total, the voucher with the highest sequence number is the whole state of the channel.
#[derive(Clone, Debug)]
pub struct Voucher {
    stated: Stated,
    paid_for: TaskId,
}

impl Voucher {
    /// Signs a voucher as the holder: `total` units of the channel are used up, the last of them for `paid_for`.
    ///
    /// Who signs must have made durable that it is going to: see [`Purse`](crate::Purse), which decides what may be signed.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails, or a number is out of range.
    pub fn sign(
        holder: &Issuer,
        terms: &Terms,
        sequence: u64,
        total: u64,
        paid_for: TaskId,
    ) -> Result<Self, IssueError> {
        let args = [
            ("channel", Ipld::Link(terms.id)),
            ("unit", text(&terms.unit)),
            ("seq", integer(sequence)),
            ("total", integer(total)),
            ("for", Ipld::Link(paid_for.into())),
        ];
        Ok(Self::read(args::sign(holder, &terms.provider, DRAW_COMMAND, terms.proofs.clone(), None, args)?)?)
    }

    /// Reads a voucher from its token. The signature is not checked: [`verify`](ucan_core::verify) does that.
    ///
    /// # Errors
    /// [`CommandError`] where it is not an invocation of the shape of a voucher.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CommandError> {
        Self::from_stated(Stated::decode(bytes, DRAW_COMMAND, &ARGS, &[])?)
    }

    /// Reads a voucher from an invocation, in the same way.
    ///
    /// # Errors
    /// [`CommandError`] where it has not the shape of a voucher.
    pub fn read(invocation: Invocation) -> Result<Self, CommandError> {
        if invocation.envelope().bytes().len() > args::TOKEN {
            return Err(CommandError::TooLong { length: invocation.envelope().bytes().len() });
        }
        Self::from_stated(Stated::read(invocation, DRAW_COMMAND, &ARGS, &[])?)
    }

    fn from_stated(stated: Stated) -> Result<Self, CommandError> {
        if stated.seq == 0 {
            return Err(CommandError::Argument("seq"));
        }
        // A provider has nothing to pay itself for; without its chain nobody could check the voucher.
        if stated.invocation.proofs().is_empty() {
            return Err(CommandError::Proofs);
        }
        let paid_for = TaskId::new(args::link(&stated.invocation, "for")?);
        Ok(Self { stated, paid_for })
    }

    /// The delegation that the channel is.
    #[must_use]
    pub fn channel(&self) -> &Cid {
        &self.stated.channel
    }

    /// The unit of the channel.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.stated.unit
    }

    /// The place of the voucher in the channel, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.stated.seq
    }

    /// How much has been used up in all, in the unit of the channel.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.stated.total
    }

    /// The task that was paid for last.
    #[must_use]
    pub fn paid_for(&self) -> &TaskId {
        &self.paid_for
    }

    /// The chain of the channel, root first.
    #[must_use]
    pub fn proofs(&self) -> &[Cid] {
        self.stated.invocation.proofs()
    }

    /// The invocation that it is.
    #[must_use]
    pub fn invocation(&self) -> &Invocation {
        &self.stated.invocation
    }

    /// The token.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.stated.invocation.envelope().bytes()
    }

    /// To whom it is owed.
    #[must_use]
    pub fn provider(&self) -> &Did {
        self.stated.invocation.subject()
    }

    /// Whether it says the same as another, whatever their bytes.
    #[must_use]
    pub fn same_statement(&self, other: &Self) -> bool {
        (self.channel(), self.sequence(), self.total(), self.unit(), &self.paid_for)
            == (other.channel(), other.sequence(), other.total(), other.unit(), &other.paid_for)
    }
}

impl Token for Voucher {
    fn envelope(&self) -> &Envelope {
        self.stated.invocation.envelope()
    }

    fn issuer(&self) -> &Did {
        self.stated.invocation.issuer()
    }

    fn purpose(&self) -> Purpose {
        self.stated.invocation.purpose()
    }
}
