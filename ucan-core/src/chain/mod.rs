//! Chains of delegations: whether they authorise a request, and finding one that does.

mod checks;
mod error;
mod explain;
mod find;
mod search;
mod validate;

use std::fmt;

pub use error::{ChainError, ChainErrorClass, NoChain};
pub use explain::{Check, CheckOutcome, Explanation, Link, Rule, explain};
pub use find::{FindError, find};
pub use search::{Found, ProofSearch, search};
pub use validate::{check_attenuation, diagnose, validate};

use crate::{Cid, Command, Did, Ipld, KeySource, Timestamp};

/// How many delegations a chain may have.
///
/// Each costs a signature, and an invocation can name the same one any number of times.
const LENGTH: usize = 64;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who wants to do it: the issuer of the invocation.
    pub invoker: &'a Did,
    /// What it is done to.
    pub subject: &'a Did,
    /// What is to be done.
    pub command: &'a Command,
    /// With which arguments: a map.
    pub args: &'a Ipld,
}

/// Whether a principal has revoked what has a CID.
pub type IsRevoked<'a> = dyn Fn(&Cid, &Did) -> bool + Sync + 'a;

/// What is known of the world when a chain is checked.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// How far clocks may be apart, in seconds.
    pub skew: u64,
    /// Where public keys come from.
    pub keys: &'a dyn KeySource,
    /// Whether a principal has revoked the token with a CID, or the signed part with it; none when nothing is revoked.
    ///
    /// Of each proof it is asked about those who may revoke it in this chain: its own issuer, and those of the proofs above it, the
    /// subject among them (UCAN Revocation, "Scope").
    pub revoked: Option<&'a IsRevoked<'a>>,
    /// Whether a value in the arguments stands for one that is not known yet.
    pub pending: &'a (dyn Fn(&Ipld) -> bool + Sync),
}

impl<'a> Context<'a> {
    /// How far clocks may be apart unless somebody says otherwise, in seconds.
    pub const SKEW: u64 = 60;

    /// A time and keys, with the usual skew; nothing is revoked and nothing pending.
    pub fn new(now: Timestamp, keys: &'a dyn KeySource) -> Self {
        Self { now, skew: Self::SKEW, keys, revoked: None, pending: &|_| false }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .field("skew", &self.skew)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// The right to do what was requested, at the time that was given.
///
/// Only [`validate`] and [`search`] make it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Authority {
    invoker: Did,
    subject: Did,
    command: Command,
    proofs: Vec<Cid>,
    undecided: bool,
    expiration: Option<Timestamp>,
}

impl Authority {
    /// Who may do it.
    pub fn invoker(&self) -> &Did {
        &self.invoker
    }

    /// What it may be done to.
    pub fn subject(&self) -> &Did {
        &self.subject
    }

    /// What may be done: the command of the request.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The delegations that it rests on, root first; none when the subject itself asks.
    pub fn proofs(&self) -> &[Cid] {
        &self.proofs
    }

    /// Whether a policy still waits for values that were pending: then it has to be validated again when they are known.
    pub fn undecided(&self) -> bool {
        self.undecided
    }

    /// When the first of its proofs expires; none when none ever does.
    pub fn expiration(&self) -> Option<Timestamp> {
        self.expiration
    }
}

#[cfg(test)]
mod tests;
