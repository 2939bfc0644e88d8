//! The rules that a single delegation has to keep, whatever its place in a chain.

use super::{ChainErrorClass as Class, Context, Request};
use crate::{Delegation, Did, TimeError, Token, in_time, policy::Budget, verify};

/// A rule that is broken, and how.
pub(super) type Broken = (Class, String);

pub(super) fn signature(grant: &Delegation, ctx: &Context<'_>) -> Result<(), Broken> {
    match verify(grant, ctx.keys) {
        Ok(_) => Ok(()),
        Err(error) => {
            let unsupported = error.name() == Class::UnsupportedAlgorithm.name();
            let class = if unsupported { Class::UnsupportedAlgorithm } else { Class::InvalidSignature };
            Err((class, format!("{error} (issuer {})", grant.issuer())))
        }
    }
}

pub(super) fn time(grant: &Delegation, ctx: &Context<'_>) -> Result<(), Broken> {
    in_time(grant.not_before(), grant.expiration(), ctx.now, ctx.skew).map_err(|error| {
        let class = match error {
            TimeError::Expired { .. } => Class::Expired,
            TimeError::TooEarly { .. } => Class::TooEarly,
        };
        (class, error.to_string())
    })
}

pub(super) fn subject(grant: &Delegation, request: &Request<'_>) -> Result<(), Broken> {
    match grant.subject() {
        Some(subject) if !subject.same_principal(request.subject) => {
            Err((Class::InvalidSubject, format!("is about {subject}, not about {}", request.subject)))
        }
        _ => Ok(()),
    }
}

pub(super) fn command(grant: &Delegation, request: &Request<'_>) -> Result<(), Broken> {
    if grant.command().covers(request.command) {
        Ok(())
    } else {
        Err((Class::InvalidCommand, format!("{} does not cover {}", grant.command(), request.command)))
    }
}

/// Whether the policy holds; true when that is not decided yet.
pub(super) fn policy(
    grant: &Delegation,
    request: &Request<'_>,
    ctx: &Context<'_>,
    budget: &Budget,
) -> Result<bool, Broken> {
    let judged = grant.policy().judge(request.args, ctx.pending, budget);
    judged.map_err(|what| (Class::MatchError, format!("the arguments violate {what}")))
}

/// Whether any of those who may has revoked a delegation.
pub(super) fn revocation<'a>(
    grant: &Delegation,
    by: impl IntoIterator<Item = &'a Did>,
    ctx: &Context<'_>,
) -> Result<(), Broken> {
    let Some(revoked) = ctx.revoked else {
        return Ok(());
    };
    let names = [*grant.cid(), grant.envelope().signed_cid()];
    match by.into_iter().find(|by| names.iter().any(|name| revoked(name, by))) {
        Some(by) => {
            if let Some(memo) = ctx.keys.memo() {
                memo.forget(grant.cid());
            }
            Err((Class::Revoked, format!("{} has been revoked by {by}", grant.cid())))
        }
        None => Ok(()),
    }
}
