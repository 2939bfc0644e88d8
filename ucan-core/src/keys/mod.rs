//! From a principal to the key that its signatures are checked with.

mod any_of;
mod cached_resolver;
mod did_keys;
mod error;
mod pkh;
mod resolved;
mod resolver;

use std::{fmt, sync::Arc};

use varsig::{SignatureAlgorithm, Verifier};

use crate::{Did, SignatureMemo};

pub use cached_resolver::CachedResolver;
pub use did_keys::DidKeys;
pub use error::KeyError;
pub use resolved::ResolvedKeys;
pub use resolver::{DidResolver, Resolvers};

/// What a signature is for. A DID document can give each purpose its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Passing authority on (`capabilityDelegation`).
    Delegation,
    /// Using authority (`capabilityInvocation`).
    Invocation,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delegation => "delegations",
            Self::Invocation => "invocations",
        })
    }
}

/// Where public keys come from.
///
/// # Contract
///
/// The caller names the algorithm that the signature's header states. The implementer returns a verifier for exactly
/// that algorithm, made from a key that the principal has for that purpose, or an error; it waits for nothing, so that
/// documents that have to be fetched are fetched before, by [`ResolvedKeys::fetch`].
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The verifier for a principal's signatures of one algorithm and purpose.
    ///
    /// # Errors
    ///
    /// When the principal cannot be resolved, or has no such key.
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError>;

    /// The memory of signatures that were verified with keys from here, if there is one. Whoever verifies tokens looks there
    /// first.
    fn memo(&self) -> Option<&SignatureMemo> {
        None
    }
}

impl<T: KeySource + ?Sized> KeySource for Arc<T> {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        (**self).verifier(did, algorithm, purpose)
    }

    fn memo(&self) -> Option<&SignatureMemo> {
        (**self).memo()
    }
}
