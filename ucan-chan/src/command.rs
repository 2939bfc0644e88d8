use std::sync::Arc;

use ucan_core::{Cid, Did, Envelope, Ipld, Issuer, Purpose, Token};
use ucan_invocation::Invocation;

use crate::amount::Unit;
use crate::args::{self, Stated, integer, text};
use crate::error::{CommandError, IssueError};
use crate::terms::Terms;
use crate::voucher::Voucher;

/// The command by which a holder opens its channel.
pub const OPEN_COMMAND: &str = "/chan/open";
/// The command by which either side closes a channel.
pub const CLOSE_COMMAND: &str = "/chan/close";
/// The command by which a provider states what is due.
pub const SETTLE_COMMAND: &str = "/chan/settle";
/// The command by which either side answers a closing.
pub const DISPUTE_COMMAND: &str = "/chan/dispute";

/// The longest window for disputes, in seconds.
const WINDOW: u64 = 1 << 31;

/// What all of these commands have.
macro_rules! command {
    ($name:ident) => {
        impl $name {
            /// The channel.
            #[must_use]
            pub fn channel(&self) -> &Cid {
                &self.stated.channel
            }

            /// The unit of the channel.
            #[must_use]
            pub fn unit(&self) -> &Unit {
                &self.stated.unit
            }

            /// What it states as total, in the unit.
            #[must_use]
            pub fn total(&self) -> u64 {
                self.stated.total
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
        }

        impl Token for $name {
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
    };
}

/// `/chan/open`: the holder accepts the terms of its channel, and says how long a closing may be disputed.
#[derive(Clone, Debug)]
pub struct Open {
    stated: Stated,
    window: u64,
}

command!(Open);

impl Open {
    /// Signs it as the holder; `window` is in seconds.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails, or the window is longer than 2^31 seconds.
    pub fn sign(holder: &Issuer, terms: &Terms, window: u64) -> Result<Self, IssueError> {
        let args = [
            ("channel", Ipld::Link(terms.id)),
            ("unit", text(&terms.unit)),
            ("total", integer(terms.budget)),
            ("window", integer(window)),
        ];
        let invocation = args::sign(holder, &terms.provider, OPEN_COMMAND, terms.proofs.clone(), None, args)?;
        Ok(Self::decode(invocation.envelope().bytes())?)
    }

    /// Reads it; the signature is not checked.
    ///
    /// # Errors
    /// [`CommandError`] where it is anything else.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CommandError> {
        let stated = Stated::decode(bytes, OPEN_COMMAND, &["channel", "unit", "total", "window"], &[])?;
        let window = args::number(&stated.invocation, "window")?;
        if window > WINDOW {
            return Err(CommandError::Argument("window"));
        }
        if stated.invocation.proofs().is_empty() {
            return Err(CommandError::Proofs);
        }
        Ok(Self { stated, window })
    }

    /// How long a closing may be disputed, in seconds.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }
}

/// `/chan/close`: no voucher comes after this one.
#[derive(Clone, Debug)]
pub struct Close {
    stated: Stated,
}

command!(Close);

impl Close {
    /// Signs it as the holder or the provider, with the sequence number and the total of the last voucher that it knows; zeros
    /// where there is none.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails, or the numbers cannot be those of a voucher.
    pub fn sign(issuer: &Issuer, terms: &Terms, sequence: u64, total: u64) -> Result<Self, IssueError> {
        let args = common(terms, sequence, total);
        let invocation = args::sign(issuer, &terms.provider, CLOSE_COMMAND, proofs(issuer, terms), None, args)?;
        Ok(Self::decode(invocation.envelope().bytes())?)
    }

    /// Reads it; the signature is not checked.
    ///
    /// # Errors
    /// [`CommandError`] where it is anything else.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CommandError> {
        let stated = Stated::decode(bytes, CLOSE_COMMAND, &["channel", "unit", "seq", "total"], &[])?;
        nothing_from_nothing(&stated)?;
        Ok(Self { stated })
    }

    /// The place of the last voucher that its issuer knows; 0 where it knows none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.stated.seq
    }

    /// Whether the provider closes.
    #[must_use]
    pub fn by_provider(&self) -> bool {
        self.stated.invocation.issuer().same_principal(self.stated.invocation.subject())
    }
}

/// `/chan/settle`: what is due, and the voucher that says so.
#[derive(Clone, Debug)]
pub struct Settle {
    stated: Stated,
    voucher: Option<Cid>,
}

command!(Settle);

impl Settle {
    /// Signs it as the provider: `total` is due, by this voucher.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails, or something is due without a voucher.
    pub fn sign(provider: &Issuer, terms: &Terms, voucher: Option<&Voucher>, total: u64) -> Result<Self, IssueError> {
        let mut args = common(terms, voucher.map_or(0, Voucher::sequence), total).to_vec();
        args.extend(voucher.map(|voucher| ("voucher", Ipld::Link(*voucher.envelope().cid()))));
        let audience = Some(terms.funder.clone());
        let invocation = args::sign(provider, &terms.provider, SETTLE_COMMAND, Vec::new(), audience, args)?;
        Ok(Self::decode(invocation.envelope().bytes())?)
    }

    /// Reads it; the signature is not checked.
    ///
    /// # Errors
    /// [`CommandError`] where it is anything else.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CommandError> {
        let stated = Stated::decode(bytes, SETTLE_COMMAND, &["channel", "unit", "seq", "total"], &["voucher"])?;
        nothing_from_nothing(&stated)?;
        if !stated.invocation.issuer().same_principal(stated.invocation.subject()) {
            return Err(CommandError::Contradiction("only the provider settles"));
        }
        let voucher = match stated.invocation.args().get("voucher") {
            Some(_) => Some(args::link(&stated.invocation, "voucher")?),
            None => None,
        };
        if voucher.is_some() != (stated.seq > 0) {
            return Err(CommandError::Contradiction("a sequence number and its voucher come together"));
        }
        Ok(Self { stated, voucher })
    }

    /// The place of the voucher; 0 where there is none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.stated.seq
    }

    /// The voucher; none where nothing is due.
    #[must_use]
    pub fn voucher(&self) -> Option<&Cid> {
        self.voucher.as_ref()
    }
}

/// `/chan/dispute`: a closing is not the whole truth, and here is what is.
#[derive(Clone, Debug)]
pub struct Dispute {
    stated: Stated,
    evidence: Vec<Cid>,
}

command!(Dispute);

impl Dispute {
    /// Signs it as the holder or the provider. `evidence` are the CIDs of a higher voucher, or of the tokens of a
    /// [`Proof`](crate::Proof); the numbers are those of the first voucher among them.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails, or there is no evidence, or more than two tokens of it.
    pub fn sign(
        issuer: &Issuer,
        terms: &Terms,
        sequence: u64,
        total: u64,
        evidence: &[Cid],
    ) -> Result<Self, IssueError> {
        let mut args = common(terms, sequence, total).to_vec();
        args.push(("evidence", Ipld::List(evidence.iter().copied().map(Ipld::Link).collect())));
        let invocation = args::sign(issuer, &terms.provider, DISPUTE_COMMAND, proofs(issuer, terms), None, args)?;
        Ok(Self::decode(invocation.envelope().bytes())?)
    }

    /// Reads it; the signature is not checked.
    ///
    /// # Errors
    /// [`CommandError`] where it is anything else.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CommandError> {
        let stated = Stated::decode(bytes, DISPUTE_COMMAND, &["channel", "unit", "seq", "total", "evidence"], &[])?;
        nothing_from_nothing(&stated)?;
        let malformed = || CommandError::Argument("evidence");
        let evidence = match stated.invocation.args().get("evidence") {
            Some(Ipld::List(links)) if (1..=2).contains(&links.len()) => links
                .iter()
                .map(|link| if let Ipld::Link(cid) = link { Ok(*cid) } else { Err(malformed()) })
                .collect::<Result<_, _>>()?,
            _ => return Err(malformed()),
        };
        Ok(Self { stated, evidence })
    }

    /// The place of the first voucher in the evidence; 0 where there is none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.stated.seq
    }

    /// The tokens that show it.
    #[must_use]
    pub fn evidence(&self) -> &[Cid] {
        &self.evidence
    }
}

fn nothing_from_nothing(stated: &Stated) -> Result<(), CommandError> {
    if stated.seq == 0 && stated.total > 0 {
        return Err(CommandError::Contradiction("a total without a voucher"));
    }
    Ok(())
}

fn common(terms: &Terms, sequence: u64, total: u64) -> [(&'static str, Ipld); 4] {
    let channel = Ipld::Link(terms.id);
    [("channel", channel), ("unit", text(&terms.unit)), ("seq", integer(sequence)), ("total", integer(total))]
}

/// The provider needs no proof to speak about what is its own.
fn proofs(issuer: &Issuer, terms: &Terms) -> Vec<Cid> {
    if issuer.did().same_principal(&terms.provider) { Vec::new() } else { terms.proofs.clone() }
}
