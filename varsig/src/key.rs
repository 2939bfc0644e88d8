//! From the bytes of a public key to a verifier.

use std::sync::Arc;

use crate::{SignatureAlgorithm, Verifier, ed25519};

/// The verifier for a public key in the form that Multikey gives it.
///
/// The algorithm is what the header of the signature says, never a guess from the key's length.
///
/// # Errors
///
/// [`PublicKeyError::Unsupported`] for an algorithm that this crate cannot verify; otherwise when the bytes are not a key.
pub fn verifier(algorithm: SignatureAlgorithm, public_key: &[u8]) -> Result<Arc<dyn Verifier>, PublicKeyError> {
    match algorithm {
        SignatureAlgorithm::Ed25519 => {
            let bytes: &[u8; 32] =
                public_key.try_into().map_err(|_| PublicKeyError::Length { expected: 32, got: public_key.len() })?;
            Ok(Arc::new(ed25519::VerifyingKey::from_bytes(bytes)?))
        }
        other => Err(PublicKeyError::Unsupported(other)),
    }
}

/// Why bytes are not a public key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Signatures of this algorithm can be read but not checked.
    #[error("{0} signatures cannot be verified")]
    Unsupported(SignatureAlgorithm),
    /// A key of this algorithm has another length.
    #[error("a public key of {expected} bytes was expected, not of {got}")]
    Length {
        /// The length that the algorithm has, in bytes.
        expected: usize,
        /// The length that was given.
        got: usize,
    },
    /// The bytes are not a point of the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// The key is of small order: signatures of anybody would match it.
    #[error("the public key is of small order")]
    Weak,
}
