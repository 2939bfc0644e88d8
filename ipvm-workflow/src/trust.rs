use std::collections::BTreeSet;

use ucan_core::{Did, Token, verify};
use ucan_invocation::Receipt;

use crate::engine::Shared;

/// Whose receipts an engine reuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Only those that this executor signed itself.
    #[default]
    Own,
    /// Its own, and those of the named executors.
    Executors(BTreeSet<Did>),
}

impl Trust {
    fn covers(&self, own: &Did, issuer: &Did) -> bool {
        own.same_principal(issuer)
            || match self {
                Self::Own => false,
                Self::Executors(named) => named.iter().any(|named| named.same_principal(issuer)),
            }
    }
}

impl Shared {
    /// Whether `receipt` is signed by somebody whom this engine trusts, and still stands.
    pub(crate) fn trusts(&self, receipt: &Receipt) -> bool {
        let stands = receipt.expiration().is_none_or(|end| self.parts.clock.now() <= end);
        stands
            && self.parts.trust.covers(self.parts.executor.did(), receipt.issuer())
            && verify(receipt, &*self.parts.keys).is_ok()
    }
}
