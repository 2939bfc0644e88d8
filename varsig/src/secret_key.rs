//! Software keys of whatever algorithm.

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use unsigned_varint::{decode, encode};
use zeroize::Zeroizing;

use crate::{PublicKey, PublicKeyError, SignatureAlgorithm, Signer};

/// What every software key can say of itself.
pub(crate) trait SoftwareKey: Signer {
    /// What is stored of the key, without its multicodec.
    fn secret_bytes(&self) -> Zeroizing<Vec<u8>>;

    /// The public key, without its multicodec.
    fn public_bytes(&self) -> &[u8];
}

/// A software key of any algorithm whose feature is enabled, wiped from memory when it is dropped.
///
/// Stored, it is the multicodec of its kind as a varint, followed by the secret bytes: the seed of an Ed25519 key, the scalar of an
/// ECDSA key in big-endian order, the PKCS #1 DER of an RSA key.
///
/// ```
/// # #[cfg(all(feature = "ed25519", feature = "p256"))] {
/// use varsig::{SecretKey, SignatureAlgorithm, Verifier};
///
/// // Applications hand in the system's randomness.
/// let key = SecretKey::generate(SignatureAlgorithm::Es256, &mut |bytes| bytes.fill(7))?;
/// let stored = key.to_multicodec();
/// assert_eq!(stored[..3], [0x86, 0x26, 7]);
///
/// let key = SecretKey::from_multicodec(&stored)?;
/// let public = key.public_key();
/// let signature = key.into_signer().try_sign(b"hello")?;
/// public.verifier(SignatureAlgorithm::Es256)?.verify(b"hello", signature.as_bytes())?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SecretKey(Arc<dyn SoftwareKey>);

impl SecretKey {
    /// A new key, out of the randomness that `fill` gives: it writes over all of the bytes that it is handed.
    ///
    /// A new RSA key has the length that the algorithm names, and takes seconds to be found.
    ///
    /// # Errors
    ///
    /// When the algorithm has no software keys here, or `fill` gives nothing usable.
    pub fn generate(algorithm: SignatureAlgorithm, fill: &mut dyn FnMut(&mut [u8])) -> Result<Self, SecretKeyError> {
        // Without any feature there is nothing to fill.
        let _ = &fill;
        match algorithm {
            #[cfg(feature = "ed25519")]
            SignatureAlgorithm::Ed25519 => Ok(Self(Arc::new(crate::ed25519::SigningKey::generate(fill)))),
            #[cfg(feature = "p256")]
            SignatureAlgorithm::Es256 => Ok(Self(Arc::new(crate::p256::SigningKey::generate(fill)?))),
            #[cfg(feature = "p384")]
            SignatureAlgorithm::Es384 => Ok(Self(Arc::new(crate::p384::SigningKey::generate(fill)?))),
            #[cfg(feature = "p521")]
            SignatureAlgorithm::Es512 => Ok(Self(Arc::new(crate::p521::SigningKey::generate(fill)?))),
            #[cfg(feature = "secp256k1")]
            SignatureAlgorithm::Es256K => Ok(Self(Arc::new(crate::secp256k1::SigningKey::generate(fill)?))),
            #[cfg(feature = "eip191")]
            SignatureAlgorithm::Eip191 => {
                let key = crate::secp256k1::SigningKey::generate(fill)?;
                Ok(Self(Arc::new(crate::eip191::SigningKey::new(key))))
            }
            #[cfg(feature = "rsa")]
            SignatureAlgorithm::Rs256 { .. } | SignatureAlgorithm::Rs384 { .. } | SignatureAlgorithm::Rs512 { .. } => {
                Ok(Self(Arc::new(crate::rsa::SigningKey::generate(algorithm, fill)?)))
            }
            other => Err(SecretKeyError::Unsupported(other)),
        }
    }

    /// The key of an algorithm with these secret bytes, which have no multicodec.
    ///
    /// # Errors
    ///
    /// When the algorithm has no software keys here, or the bytes are not one.
    pub fn from_bytes(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, SecretKeyError> {
        // Without any feature there is no key to look at.
        let _ = bytes;
        match algorithm {
            #[cfg(feature = "ed25519")]
            SignatureAlgorithm::Ed25519 => Ok(Self(Arc::new(crate::ed25519::SigningKey::from_bytes(bytes)?))),
            #[cfg(feature = "p256")]
            SignatureAlgorithm::Es256 => Ok(Self(Arc::new(crate::p256::SigningKey::from_bytes(bytes)?))),
            #[cfg(feature = "p384")]
            SignatureAlgorithm::Es384 => Ok(Self(Arc::new(crate::p384::SigningKey::from_bytes(bytes)?))),
            #[cfg(feature = "p521")]
            SignatureAlgorithm::Es512 => Ok(Self(Arc::new(crate::p521::SigningKey::from_bytes(bytes)?))),
            #[cfg(feature = "secp256k1")]
            SignatureAlgorithm::Es256K => Ok(Self(Arc::new(crate::secp256k1::SigningKey::from_bytes(bytes)?))),
            #[cfg(feature = "eip191")]
            SignatureAlgorithm::Eip191 => {
                let key = crate::secp256k1::SigningKey::from_bytes(bytes)?;
                Ok(Self(Arc::new(crate::eip191::SigningKey::new(key))))
            }
            #[cfg(feature = "rsa")]
            SignatureAlgorithm::Rs256 { .. } | SignatureAlgorithm::Rs384 { .. } | SignatureAlgorithm::Rs512 { .. } => {
                Ok(Self(Arc::new(crate::rsa::SigningKey::from_bytes(algorithm, bytes)?)))
            }
            other => Err(SecretKeyError::Unsupported(other)),
        }
    }

    /// Reads a stored key.
    ///
    /// Two kinds of keys serve more than one algorithm: those of secp256k1 sign as ES256K, and those of RSA as RS256, unless
    /// [`with_algorithm`](Self::with_algorithm) says otherwise.
    ///
    /// # Errors
    ///
    /// When the bytes do not begin with the multicodec of a kind of key that is known here, or what follows is not one.
    pub fn from_multicodec(bytes: &[u8]) -> Result<Self, SecretKeyError> {
        let (code, secret) = decode::u64(bytes).map_err(|_| SecretKeyError::NoCode)?;
        let algorithm = SignatureAlgorithm::of_secret_key(code).ok_or(SecretKeyError::UnknownCode { code })?;
        #[cfg(feature = "rsa")]
        if algorithm.key_length().is_some() {
            return Ok(Self(Arc::new(crate::rsa::SigningKey::from_bytes_of_any_length(algorithm, secret)?)));
        }
        Self::from_bytes(algorithm, secret)
    }

    /// The same key, signing by another algorithm of its kind.
    ///
    /// # Errors
    ///
    /// When the key is of another kind, or the algorithm's feature is not enabled.
    pub fn with_algorithm(self, algorithm: SignatureAlgorithm) -> Result<Self, SecretKeyError> {
        if algorithm == self.algorithm() {
            return Ok(self);
        }
        if algorithm.secret_key_code() != self.code() {
            return Err(SecretKeyError::WrongAlgorithm { code: self.code(), algorithm });
        }
        Self::from_bytes(algorithm, &self.0.secret_bytes())
    }

    /// The key as it is stored: the multicodec, then the secret bytes.
    pub fn to_multicodec(&self) -> Zeroizing<Vec<u8>> {
        let mut buffer = encode::u64_buffer();
        Zeroizing::new([encode::u64(self.code(), &mut buffer), &self.0.secret_bytes()].concat())
    }

    /// The multicodec of this kind of secret key.
    pub fn code(&self) -> u64 {
        self.algorithm().secret_key_code()
    }

    /// The algorithm that the key signs by.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::of_secret(self.algorithm().public_key_code(), self.0.public_bytes())
    }

    /// The key as something that signs.
    pub fn into_signer(self) -> Arc<dyn Signer> {
        self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("algorithm", &self.algorithm())
            .field("public", &self.public_key())
            .finish_non_exhaustive()
    }
}

/// Why there is no secret key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// There are no software keys of this algorithm.
    #[error("there are no software keys for {0} signatures")]
    Unsupported(SignatureAlgorithm),
    /// The bytes do not begin with a multicodec.
    #[error("a secret key begins with a code, which is a minimal varint")]
    NoCode,
    /// The multicodec is none of a secret key that is known.
    #[error("{code:#x} is not the code of a secret key that can sign")]
    UnknownCode {
        /// The code.
        code: u64,
    },
    /// The key is of another kind than the algorithm's.
    #[error("a key with the code {code:#x} cannot make {algorithm} signatures")]
    WrongAlgorithm {
        /// The multicodec of the key.
        code: u64,
        /// The algorithm that was asked for.
        algorithm: SignatureAlgorithm,
    },
    /// A secret key of this algorithm has another length.
    #[error("a secret key of {expected} bytes was expected, not of {got}")]
    Length {
        /// The length that the algorithm has, in bytes.
        expected: usize,
        /// The length that was given.
        got: usize,
    },
    /// The bytes are not a secret key of the algorithm.
    #[error("the bytes are not a secret key")]
    Invalid,
    /// The public key that belongs to it could not be used.
    #[error(transparent)]
    Public(#[from] PublicKeyError),
    /// The source of randomness gave nothing that can be a key.
    #[error("the source of randomness gave nothing that can be a key")]
    Randomness,
}
