use std::collections::BTreeMap;

use ucan_core::{Cid, Context, Delegation, Did, Ipld, Token, Verified, verify};
use ucan_invocation::{Authorized, Invocation, InvocationError, authorize};

use crate::amount::Unit;
use crate::args::text;
use crate::charge::CHARGE;
use crate::error::CommandError;
use crate::terms::Terms;
use crate::voucher::Voucher;

/// That a delegation is good only together with a voucher. It stands in the delegation's metadata, under `chan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The channel, or one above it, on which the voucher draws.
    pub channel: Cid,
    /// Its unit.
    pub unit: Unit,
}

impl Metered {
    /// Puts it into the metadata of a delegation.
    pub fn put(&self, meta: &mut BTreeMap<String, Ipld>) {
        let map = [("channel".to_owned(), Ipld::Link(self.channel)), ("unit".to_owned(), text(&self.unit))];
        meta.insert(CHARGE.to_owned(), Ipld::Map(map.into()));
    }

    /// What a delegation says of it; none where it is good by itself.
    ///
    /// # Errors
    /// [`CommandError`] where it has such an entry and that is malformed: it must not be taken for one that is good by itself.
    pub fn of(delegation: &Delegation) -> Result<Option<Self>, CommandError> {
        let Some(entry) = delegation.meta().and_then(|meta| meta.get(CHARGE)) else { return Ok(None) };
        let Ipld::Map(map) = entry else { return Err(CommandError::Argument(CHARGE)) };
        match (map.get("channel"), map.get("unit"), map.len()) {
            (Some(Ipld::Link(channel)), Some(Ipld::String(unit)), 2) => {
                let unit = unit.parse().map_err(|_| CommandError::Argument("unit"))?;
                Ok(Some(Self { channel: *channel, unit }))
            }
            _ => Err(CommandError::Argument(CHARGE)),
        }
    }
}

/// An invocation that was checked in full, with vouchers for all that is metered in its chain.
#[derive(Clone, Debug)]
pub struct Paid {
    authorized: Authorized,
    vouchers: Vec<Verified<Voucher>>,
}

impl Paid {
    /// The invocation and its authority.
    #[must_use]
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// A voucher for each delegation that is metered; none where none is. They are to be drawn, and their channels to be
    /// reserved from, before anything starts.
    #[must_use]
    pub fn vouchers(&self) -> &[Verified<Voucher>] {
        &self.vouchers
    }
}

/// Checks all of an invocation as [`authorize`] does, and that there is a voucher for each metered delegation in its chain: by the
/// invoker, for this very task, within the budget of its channel. `proofs` finds the delegations of both.
///
/// That a voucher is the next one, and that its channel is open, is what [`Till::draw`](crate::Till::draw) says.
///
/// # Errors
/// [`MeteredError::Unpaid`] names the channel on which a voucher is wanted.
pub fn authorize_metered(
    invocation: Invocation,
    vouchers: &[Voucher],
    executor: &Did,
    proofs: &dyn Fn(&Cid) -> Option<Delegation>,
    ctx: &Context<'_>,
) -> Result<Paid, MeteredError> {
    let authorized = authorize(invocation, executor, proofs, ctx)?;
    let mut used = Vec::new();
    for cid in authorized.authority().proofs() {
        let delegation = proofs(cid).ok_or(InvocationError::UnavailableProof { proof: *cid })?;
        let Some(metered) = Metered::of(&delegation)? else { continue };
        if !authorized.invocation().subject().same_principal(executor) {
            return Err(MeteredError::Foreign { delegation: *cid });
        }
        let unpaid = || MeteredError::Unpaid { channel: metered.channel, unit: metered.unit.clone() };
        let voucher = vouchers.iter().find(|voucher| covers(voucher, &metered, authorized.invocation()));
        let voucher = voucher.ok_or_else(unpaid)?;
        // Its whole chain, so that its policies see the total.
        drop(authorize(voucher.invocation().clone(), executor, proofs, ctx)?);
        let chain: Option<Vec<Delegation>> = voucher.proofs().iter().map(proofs).collect();
        if chain.is_none_or(|chain| Terms::read(&chain).is_err()) {
            return Err(unpaid());
        }
        used.push(verify(voucher.clone(), ctx.keys).map_err(InvocationError::from)?);
    }
    Ok(Paid { authorized, vouchers: used })
}

fn covers(voucher: &Voucher, metered: &Metered, invocation: &Invocation) -> bool {
    voucher.proofs().contains(&metered.channel)
        && *voucher.unit() == metered.unit
        && voucher.issuer().same_principal(invocation.issuer())
        && invocation.task().id().is_ok_and(|task| task == *voucher.paid_for())
}

/// Why an invocation is not good, or not paid for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MeteredError {
    /// It, or the voucher, does not hold.
    #[error(transparent)]
    Invocation(#[from] InvocationError),
    /// A delegation is metered in a way that cannot be read.
    #[error("a delegation in the chain is metered, but it cannot be read how: {0}")]
    Malformed(#[from] CommandError),
    /// There is no voucher for it.
    #[error("the invocation has to be paid for: send a voucher for its task, in {unit}, on the channel {channel}")]
    Unpaid {
        /// On which channel.
        channel: Cid,
        /// In which unit.
        unit: Unit,
    },
    /// It is metered by somebody whose channels this executor does not keep.
    #[error(
        "the delegation {delegation} is metered, and its subject is not this executor, which keeps no channels for others"
    )]
    Foreign {
        /// The delegation.
        delegation: Cid,
    },
}
