//! Signatures, and the traits of those who make and check them.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::fmt;

use crate::{SignatureAlgorithm, text::Hex};

/// The bytes of a signature; what they mean is in the header that goes with them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for Signature {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signature").field(&Hex(&self.0)).finish()
    }
}

/// Somebody who can sign: a software key, a hardware module, a key service.
///
/// # Contract
///
/// The caller gives the whole message; hashing it, where the algorithm asks for that, is the implementer's part. The
/// implementer signs with the algorithm that [`algorithm`](Self::algorithm) names, every time.
///
/// ```
/// use varsig::{PublicKey, SecretKey, SignatureAlgorithm::Es256, Signer, Verifier};
///
/// let key = SecretKey::generate(Es256, &mut |bytes| bytes.fill(7))?;
/// let (public, signer) = (key.public_key(), key.into_signer());
/// let signature = signer.try_sign(b"hello")?;
/// assert!(public.verifier(Es256)?.verify(b"hello", signature.as_bytes()).is_ok());
/// assert!(public.verifier(Es256)?.verify(b"hullo", signature.as_bytes()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Signer: fmt::Debug + Send + Sync {
    /// The algorithm of every signature that this signer makes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs a message.
    ///
    /// # Errors
    ///
    /// When the key cannot be used now; a software key never fails.
    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError>;
}

/// A public key with the algorithm to check its signatures with.
///
/// # Contract
///
/// The implementer refuses every signature that has more than one accepted spelling, as far as its algorithm allows, and
/// never guesses an algorithm from the length of anything.
///
/// Two verifiers with equal [`algorithm`](Self::algorithm) and [`public_key`](Self::public_key) accept the same signatures, for
/// as long as they exist, so that whoever remembers what was verified can remember it by these.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// The algorithm of the signatures that this verifier can check.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The bytes of the public key, which say which key it is.
    fn public_key(&self) -> &[u8];

    /// Checks a signature over a message.
    ///
    /// # Errors
    ///
    /// When the signature is not one of this key over this message.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError>;
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: Signer + ?Sized> Signer for $pointer<T> {
            fn algorithm(&self) -> SignatureAlgorithm {
                (**self).algorithm()
            }

            fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError> {
                (**self).try_sign(message)
            }
        }

        impl<T: Verifier + ?Sized> Verifier for $pointer<T> {
            fn algorithm(&self) -> SignatureAlgorithm {
                (**self).algorithm()
            }

            fn public_key(&self) -> &[u8] {
                (**self).public_key()
            }

            fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
                (**self).verify(message, signature)
            }
        }
    };
}

forward!(Arc);
forward!(Box);

/// Why a message was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key is somewhere else and could not be used.
    #[error("the key could not be used: {0}")]
    Unavailable(String),
}

/// Why a signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A signature of this algorithm has another length.
    #[error("a signature of {expected} bytes was expected, not of {got}")]
    Length {
        /// The length that the algorithm has, in bytes.
        expected: usize,
        /// The length that was given.
        got: usize,
    },
    /// The signature is not one of this key over this message, or not in the strict form.
    #[error("the signature does not match")]
    Mismatch,
}

impl VerifyError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        "InvalidSignature"
    }
}
