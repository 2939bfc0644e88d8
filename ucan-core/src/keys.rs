//! From a principal to the key that its signatures are checked with.

use std::{fmt, sync::Arc};

use varsig::{PublicKeyError, SignatureAlgorithm, Verifier};

use crate::{Did, SignatureMemo};

/// What a signature is for. A DID document can give each purpose its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
/// documents that have to be fetched are fetched before.
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

/// Keys of `did:key` principals, which are in the identifier itself. The key serves every purpose.
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

impl KeySource for DidKeys {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        _purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        if did.method() != "key" {
            return Err(KeyError::UnsupportedMethod { did: did.clone() });
        }
        let malformed = || KeyError::Malformed { did: did.clone() };
        // RSA keys of 8192 bits take some 1,500 characters; decoding base58 takes quadratic time.
        let text = did.id();
        if !text.starts_with('z') || text.len() > 2048 {
            return Err(malformed());
        }
        let (_, bytes) = multibase::decode(text).map_err(|_| malformed())?;
        let (code, key) = unsigned_varint::decode::u64(&bytes).map_err(|_| malformed())?;
        if algorithm.public_key_code() != code {
            return Err(KeyError::WrongAlgorithm { did: did.clone(), algorithm });
        }
        varsig::verifier(algorithm, key).map_err(|source| match source {
            PublicKeyError::Unsupported(algorithm) => KeyError::Unsupported { algorithm },
            source => KeyError::BadKey { did: did.clone(), source },
        })
    }
}

/// Why there is no verifier for a principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Nobody here resolves DIDs of this method.
    #[error("DIDs like {did} cannot be resolved here")]
    UnsupportedMethod {
        /// The principal.
        did: Did,
    },
    /// The identifier does not hold a key where it should.
    #[error("{did} does not hold a public key")]
    Malformed {
        /// The principal.
        did: Did,
    },
    /// The bytes of the key cannot be used.
    #[error("the public key of {did} cannot be used: {source}")]
    BadKey {
        /// The principal.
        did: Did,
        /// What is wrong with the key.
        source: PublicKeyError,
    },
    /// The principal has no key for the algorithm of the signature.
    #[error("{did} has no key for {algorithm} signatures")]
    WrongAlgorithm {
        /// The principal.
        did: Did,
        /// What the signature's header states.
        algorithm: SignatureAlgorithm,
    },
    /// Signatures of this algorithm can be read but not checked.
    #[error("{algorithm} signatures cannot be verified here")]
    Unsupported {
        /// What the signature's header states.
        algorithm: SignatureAlgorithm,
    },
    /// The principal's document does not list a key for this purpose.
    #[error("{did} has no key for {purpose}")]
    NotAuthorized {
        /// The principal.
        did: Did,
        /// What the key was wanted for.
        purpose: Purpose,
    },
    /// The principal's document could not be had.
    #[error("{did} could not be resolved: {detail}")]
    Unresolved {
        /// The principal.
        did: Did,
        /// What went wrong.
        detail: String,
    },
}
