//! Reading the arguments of a command, all of which have to be accounted for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ucan_core::{Cid, Command, Did, Ipld, Issuer, SignError, Token, TokenError};
use ucan_invocation::Invocation;

use crate::amount::{Unit, amount};
use crate::error::CommandError;

/// The longest token that is read, in bytes.
pub const TOKEN: usize = 4096;

/// An invocation of a command of channels, and the arguments that all of them have.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    pub(crate) invocation: Invocation,
    pub(crate) channel: Cid,
    pub(crate) unit: Unit,
    pub(crate) seq: u64,
    pub(crate) total: u64,
}

impl Stated {
    /// Reads an invocation of `command` with `channel`, `unit`, `total`, `seq` unless it opens, and `more`.
    pub(crate) fn decode(
        bytes: impl Into<Arc<[u8]>>,
        command: &'static str,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, CommandError> {
        let bytes = bytes.into();
        if bytes.len() > TOKEN {
            return Err(CommandError::TooLong { length: bytes.len() });
        }
        Self::read(Invocation::decode(bytes)?, command, required, optional)
    }

    pub(crate) fn read(
        invocation: Invocation,
        command: &'static str,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, CommandError> {
        if invocation.command().as_str() != command {
            return Err(CommandError::OtherCommand { expected: command, found: invocation.command().to_string() });
        }
        let args = invocation.args();
        if let Some(key) = required.iter().find(|key| !args.contains_key(**key)) {
            return Err(CommandError::Argument(key));
        }
        let known = |key: &str| required.iter().chain(optional).any(|known| *known == key);
        if let Some(key) = args.keys().find(|key| !known(key)) {
            return Err(CommandError::UnknownArgument(key.chars().take(40).collect()));
        }
        if !invocation.task().nonce().is_empty() {
            return Err(CommandError::Nonce);
        }
        let channel = link(&invocation, "channel")?;
        let by_provider = invocation.issuer().same_principal(invocation.subject()) && invocation.proofs().is_empty();
        if !by_provider && invocation.proofs().last() != Some(&channel) {
            return Err(CommandError::Proofs);
        }
        let unit = match args.get("unit") {
            Some(Ipld::String(unit)) => unit.parse().map_err(|_| CommandError::Argument("unit"))?,
            _ => return Err(CommandError::Argument("unit")),
        };
        let seq = if required.contains(&"seq") { number(&invocation, "seq")? } else { 0 };
        let total = number(&invocation, "total")?;
        Ok(Self { channel, unit, seq, total, invocation })
    }
}

pub(crate) fn link(invocation: &Invocation, key: &'static str) -> Result<Cid, CommandError> {
    match invocation.args().get(key) {
        Some(Ipld::Link(cid)) => Ok(*cid),
        _ => Err(CommandError::Argument(key)),
    }
}

pub(crate) fn number(invocation: &Invocation, key: &'static str) -> Result<u64, CommandError> {
    invocation.args().get(key).and_then(amount).ok_or(CommandError::Argument(key))
}

/// Signs an invocation of `command` on `provider`; what is signed is read like any other.
pub(crate) fn sign(
    issuer: &Issuer,
    provider: &Did,
    command: &'static str,
    proofs: Vec<Cid>,
    audience: Option<Did>,
    args: impl IntoIterator<Item = (&'static str, Ipld)>,
) -> Result<Invocation, SignError> {
    let command = Command::parse(command)
        .map_err(|error| TokenError::InvalidField { field: "cmd", reason: error.to_string() })?;
    let args: BTreeMap<String, Ipld> = args.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let builder = Invocation::builder(provider.clone(), command, args).proofs(proofs);
    match audience {
        Some(audience) => builder.audience(audience),
        None => builder,
    }
    .sign(issuer)
}

pub(crate) fn integer(number: u64) -> Ipld {
    Ipld::Integer(number.into())
}

pub(crate) fn text(unit: &Unit) -> Ipld {
    Ipld::String(unit.as_str().to_owned())
}
