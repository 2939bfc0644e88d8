//! Why a signature cannot be checked.

use varsig::{PublicKeyError, SignatureAlgorithm};

use crate::{Did, Purpose};

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

impl KeyError {
    /// A resolver that was asked several questions has answered fewer.
    pub(super) fn unanswered(did: &Did) -> Self {
        Self::Unresolved { did: did.clone(), detail: "its resolver did not answer".to_owned() }
    }
}
