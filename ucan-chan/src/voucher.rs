use std::collections::BTreeMap;
use std::sync::Arc;

use ucan_core::{Cid, Command, Did, Envelope, Ipld, Issuer, Purpose, SignError, Token, TokenError};
use ucan_invocation::{Invocation, TaskId};

/// The command of every voucher.
pub const DRAW_COMMAND: &str = "/chan/draw";

/// A signed statement that so much of a channel has been used up in all.
///
/// On the wire it is an invocation of `/chan/draw` on the provider, whose arguments are `{channel: &Delegation, seq, total,
/// for: &Task}`. Since it states the total, the voucher with the highest sequence number is the whole state of the channel.
#[derive(Clone, Debug)]
pub struct Voucher {
    invocation: Invocation,
    channel: Cid,
    sequence: u64,
    total: u64,
    paid_for: TaskId,
}

impl Voucher {
    /// Signs a voucher as the spender: `total` units of `channel` are used up, the last of them for `paid_for`.
    ///
    /// # Errors
    /// [`SignError`] where the signer fails.
    pub fn sign(
        spender: &Issuer,
        provider: Did,
        channel: Cid,
        sequence: u64,
        total: u64,
        paid_for: TaskId,
    ) -> Result<Self, SignError> {
        let command = Command::parse(DRAW_COMMAND)
            .map_err(|error| TokenError::InvalidField { field: "cmd", reason: error.to_string() })?;
        let args = BTreeMap::from([
            ("channel".to_owned(), Ipld::Link(channel)),
            ("seq".to_owned(), Ipld::Integer(sequence.into())),
            ("total".to_owned(), Ipld::Integer(total.into())),
            ("for".to_owned(), Ipld::Link(paid_for.into())),
        ]);
        let invocation = Invocation::builder(provider, command, args).proofs(vec![channel]).sign(spender)?;
        Ok(Self { invocation, channel, sequence, total, paid_for })
    }

    /// Reads a voucher from its token. The signature is not checked: [`verify`](ucan_core::verify) does that.
    ///
    /// # Errors
    /// [`VoucherError`] where it is not an invocation of the shape of a voucher.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, VoucherError> {
        let invocation = Invocation::decode(bytes)?;
        if invocation.command().as_str() != DRAW_COMMAND {
            return Err(VoucherError::NotAVoucher { command: invocation.command().to_string() });
        }
        let args = invocation.args();
        if let Some(key) = args.keys().find(|key| !matches!(key.as_str(), "channel" | "seq" | "total" | "for")) {
            return Err(VoucherError::UnknownArgument(key.clone()));
        }
        let link = |key| match args.get(key) {
            Some(Ipld::Link(cid)) => Ok(*cid),
            _ => Err(VoucherError::Argument(key)),
        };
        let number = |key| match args.get(key) {
            Some(Ipld::Integer(number)) => u64::try_from(*number).map_err(|_| VoucherError::Argument(key)),
            _ => Err(VoucherError::Argument(key)),
        };
        let (channel, sequence, total) = (link("channel")?, number("seq")?, number("total")?);
        let paid_for = TaskId::new(link("for")?);
        Ok(Self { channel, sequence, total, paid_for, invocation })
    }

    /// The delegation that opened the channel.
    #[must_use]
    pub fn channel(&self) -> &Cid {
        &self.channel
    }

    /// The place of the voucher in the channel, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How much has been used up in all, in the unit of the channel.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The task that was paid for last.
    #[must_use]
    pub fn paid_for(&self) -> &TaskId {
        &self.paid_for
    }

    /// The token.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.invocation.envelope().bytes()
    }

    /// To whom it is owed.
    #[must_use]
    pub fn provider(&self) -> &Did {
        self.invocation.subject()
    }
}

impl Token for Voucher {
    fn envelope(&self) -> &Envelope {
        self.invocation.envelope()
    }

    fn issuer(&self) -> &Did {
        self.invocation.issuer()
    }

    fn purpose(&self) -> Purpose {
        self.invocation.purpose()
    }
}

/// Why a token is not a voucher.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// The token itself cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is an invocation of something else.
    #[error("not a voucher: an invocation of {command}, where vouchers invoke /chan/draw")]
    NotAVoucher {
        /// The command that the token invokes.
        command: String,
    },
    /// A required argument is missing or malformed.
    #[error("the voucher's argument {0:?} is missing or malformed")]
    Argument(&'static str),
    /// An argument that vouchers do not have.
    #[error("the voucher has an unknown argument {0:?}")]
    UnknownArgument(String),
}
