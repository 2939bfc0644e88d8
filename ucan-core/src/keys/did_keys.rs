//! Principals that are their own key.

use std::sync::Arc;

use async_trait::async_trait;
use varsig::{PublicKey, PublicKeyError, SignatureAlgorithm, Verifier};

use super::{DidResolver, KeyError, KeySource, Purpose, pkh};
use crate::Did;

/// Keys that are in the identifier itself, which serve every purpose.
///
/// - `did:key`, for every algorithm that `varsig` was built with. It has one key, whatever fragment is written after it.
/// - `did:pkh:eip155:<chain>:0x<address>`, for the EIP-191 signatures of Ethereum accounts that are a key (feature `eip191`). An
///   address in mixed case has to carry the checksum of EIP-55. The text is the principal: the same account with another chain,
///   or in another case, is somebody else.
///
/// ```
/// use ucan_core::{DidKeys, KeySource, Purpose};
/// use varsig::SignatureAlgorithm::{Ed25519, Es256};
///
/// let alice = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp".parse()?;
/// assert!(DidKeys.verifier(&alice, Ed25519, Purpose::Delegation).is_ok());
/// // The algorithm must be the key's own.
/// assert!(DidKeys.verifier(&alice, Es256, Purpose::Delegation).is_err());
/// # Ok::<(), ucan_core::DidError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DidKeys;

impl DidKeys {
    /// Whether a principal is its own key, so that nobody has to be asked for it.
    pub(super) fn knows(did: &Did) -> bool {
        match did.method() {
            "key" => true,
            "pkh" => pkh::is_ethereum(did),
            _ => false,
        }
    }
}

impl KeySource for DidKeys {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        _purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        match did.method() {
            "pkh" => pkh::verifier(did, algorithm),
            _ => verifier(did, &did.public_key()?, algorithm),
        }
    }
}

#[async_trait]
impl DidResolver for DidKeys {
    /// The key of a `did:key`. Of an account nobody knows the public key before it has signed, so that those of `did:pkh` are not
    /// found this way.
    async fn resolve(&self, did: &Did, _purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        Ok(vec![did.public_key()?])
    }
}

/// The verifier of a key's signatures, if it is a key for that algorithm.
pub(super) fn verifier(
    did: &Did,
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
) -> Result<Arc<dyn Verifier>, KeyError> {
    if !key.supports(algorithm) {
        return Err(KeyError::WrongAlgorithm { did: did.clone(), algorithm });
    }
    key.verifier(algorithm).map_err(|source| match source {
        PublicKeyError::Unsupported(algorithm) => KeyError::Unsupported { algorithm },
        source => KeyError::BadKey { did: did.clone(), source },
    })
}
