//! Public keys, and the verifiers that are made from them.

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use unsigned_varint::{decode, encode};

use crate::{SignatureAlgorithm, Verifier, rsa_der, text::Hex};

/// A public key as a Multikey or a `did:key` has it: the multicodec that says what kind of key it is, and its bytes.
///
/// The code is registered and the length is right. Whether the bytes are a key at all is found out when a
/// [`verifier`](Self::verifier) is made of them.
///
/// ```
/// use varsig::{PublicKey, PublicKeyError, SignatureAlgorithm};
///
/// let key = PublicKey::new(0x1200, vec![2; 33])?;
/// assert!(key.supports(SignatureAlgorithm::Es256));
/// assert_eq!(key.to_multicodec()[..3], [0x80, 0x24, 2]);
/// assert_eq!(PublicKey::from_multicodec(&key.to_multicodec())?, key);
///
/// let error = PublicKey::new(0x1200, vec![2; 32]).unwrap_err();
/// assert_eq!(error, PublicKeyError::Length { expected: 33, got: 32 });
/// # Ok::<(), PublicKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    code: u64,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The key with this multicodec and these bytes.
    ///
    /// # Errors
    ///
    /// When the code is not one of a key that can sign, or its keys have another length.
    pub fn new(code: u64, bytes: impl Into<Vec<u8>>) -> Result<Self, PublicKeyError> {
        let bytes = bytes.into();
        match SignatureAlgorithm::public_key_length(code) {
            None => Err(PublicKeyError::UnknownCode { code }),
            Some(Some(expected)) if expected != bytes.len() => {
                Err(PublicKeyError::Length { expected, got: bytes.len() })
            }
            Some(None) if rsa_der::public_key(&bytes).is_none() => Err(PublicKeyError::NotPkcs1),
            Some(_) => Ok(Self { code, bytes }),
        }
    }

    /// The public key of a secret key, about which there is nothing to be checked.
    pub(crate) fn of_secret(code: u64, bytes: &[u8]) -> Self {
        Self { code, bytes: bytes.into() }
    }

    /// Reads a key from its code, a minimal varint, and its bytes, which are all that follow.
    ///
    /// # Errors
    ///
    /// When there is no varint, or as for [`new`](Self::new).
    pub fn from_multicodec(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let (code, key) = decode::u64(bytes).map_err(|_| PublicKeyError::NoCode)?;
        Self::new(code, key)
    }

    /// The code as a varint, then the bytes.
    pub fn to_multicodec(&self) -> Vec<u8> {
        let mut buffer = encode::u64_buffer();
        [encode::u64(self.code, &mut buffer), &self.bytes].concat()
    }

    /// What kind of key it is.
    pub fn code(&self) -> u64 {
        self.code
    }

    /// The key's own bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether signatures of an algorithm can be this key's. Of an RSA key the length counts, too.
    pub fn supports(&self, algorithm: SignatureAlgorithm) -> bool {
        let length = || rsa_der::public_key(&self.bytes).map(|(modulus, _)| modulus.len());
        let same_length = algorithm.key_length().is_none_or(|expected| length() == Some(usize::from(expected)));
        self.code == algorithm.public_key_code() && same_length
    }

    /// The verifier of this key's signatures of one algorithm.
    ///
    /// # Errors
    ///
    /// When the key is of another kind, or as for the function [`verifier`].
    pub fn verifier(&self, algorithm: SignatureAlgorithm) -> Result<Arc<dyn Verifier>, PublicKeyError> {
        if self.code != algorithm.public_key_code() {
            return Err(PublicKeyError::WrongAlgorithm { code: self.code, algorithm });
        }
        verifier(algorithm, &self.bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:#x}, {:?})", self.code, Hex(&self.bytes))
    }
}

/// The verifier for the bytes of a public key in the form that Multikey gives them.
///
/// The algorithm is what the header of the signature says, never a guess from the key's length.
///
/// ```
/// use varsig::{PublicKeyError, SignatureAlgorithm, verifier};
///
/// // A point at infinity, whose signatures anybody could make.
/// let mut neutral = [0; 32];
/// neutral[0] = 1;
/// assert_eq!(verifier(SignatureAlgorithm::Ed25519, &neutral).err(), Some(PublicKeyError::Weak));
/// ```
///
/// # Errors
///
/// [`PublicKeyError::Unsupported`] for an algorithm that this crate cannot verify, or whose feature is not enabled; otherwise
/// when the bytes are not a key.
pub fn verifier(algorithm: SignatureAlgorithm, public_key: &[u8]) -> Result<Arc<dyn Verifier>, PublicKeyError> {
    // Without any feature there is no key to look at.
    let _ = public_key;
    match algorithm {
        #[cfg(feature = "ed25519")]
        SignatureAlgorithm::Ed25519 => {
            let bytes =
                public_key.try_into().map_err(|_| PublicKeyError::Length { expected: 32, got: public_key.len() })?;
            Ok(Arc::new(crate::ed25519::VerifyingKey::from_bytes(bytes)?))
        }
        #[cfg(feature = "p256")]
        SignatureAlgorithm::Es256 => Ok(Arc::new(crate::p256::VerifyingKey::from_bytes(public_key)?)),
        #[cfg(feature = "p384")]
        SignatureAlgorithm::Es384 => Ok(Arc::new(crate::p384::VerifyingKey::from_bytes(public_key)?)),
        #[cfg(feature = "p521")]
        SignatureAlgorithm::Es512 => Ok(Arc::new(crate::p521::VerifyingKey::from_bytes(public_key)?)),
        #[cfg(feature = "secp256k1")]
        SignatureAlgorithm::Es256K => Ok(Arc::new(crate::secp256k1::VerifyingKey::from_bytes(public_key)?)),
        #[cfg(feature = "eip191")]
        SignatureAlgorithm::Eip191 => {
            let key = crate::secp256k1::VerifyingKey::from_bytes(public_key)?;
            Ok(Arc::new(crate::eip191::VerifyingKey::new(key)))
        }
        #[cfg(feature = "rsa")]
        SignatureAlgorithm::Rs256 { .. } | SignatureAlgorithm::Rs384 { .. } | SignatureAlgorithm::Rs512 { .. } => {
            Ok(Arc::new(crate::rsa::VerifyingKey::from_bytes(algorithm, public_key)?))
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
    /// The bytes do not begin with a multicodec.
    #[error("a public key begins with a code, which is a minimal varint")]
    NoCode,
    /// The multicodec is none of a public key that can sign.
    #[error("{code:#x} is not the code of a public key that can sign")]
    UnknownCode {
        /// The code.
        code: u64,
    },
    /// The key is of another kind than the algorithm's.
    #[error("a key with the code {code:#x} makes no {algorithm} signatures")]
    WrongAlgorithm {
        /// The multicodec of the key.
        code: u64,
        /// The algorithm that was asked for.
        algorithm: SignatureAlgorithm,
    },
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
    /// The bytes are not the DER of an RSA key.
    #[error("the RSA public key is not written as PKCS #1 in DER")]
    NotPkcs1,
    /// The modulus of an RSA key is too short to be safe, or longer than anybody uses.
    #[error("the RSA public key has {bits} bits; those of 2048 to 8192 are accepted")]
    ModulusSize {
        /// The length of the modulus in bits.
        bits: usize,
    },
    /// The modulus of an RSA key has another length than the header states.
    #[error("the signature's header states an RSA key of {expected} bytes, and the key has {got}")]
    ModulusLength {
        /// The length that the header states, in bytes.
        expected: usize,
        /// The length of the key's modulus, in bytes.
        got: usize,
    },
    /// The modulus or the exponent of an RSA key cannot be one.
    #[error("the RSA public key has an even modulus, or an exponent that is even, below 5 or above 2^33")]
    UnsafeNumbers,
}

impl PublicKeyError {
    /// The name of the error in the conformance protocol, where a signature was to be checked with the key.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "UnsupportedAlgorithm",
            _ => "InvalidSignature",
        }
    }
}
