//! What the software keys of the ECDSA curves have in common: one macro, from which each curve's module is made.

/// How often randomness is asked for before a source that gives nothing usable is given up. A good source fails once in 2^32 times.
#[cfg(any(feature = "p256", feature = "p384", feature = "p521", feature = "secp256k1"))]
pub(crate) const ATTEMPTS: usize = 64;

/// Makes `SigningKey` and `VerifyingKey` of a curve.
///
/// `secret`, `public` and `signature` are lengths in bytes, `first` is the bits that the first byte of a secret key can have, and
/// `high_s` is whether a signature whose `s` is in the upper half of its range is accepted.
#[cfg(any(feature = "p256", feature = "p384", feature = "p521", feature = "secp256k1"))]
macro_rules! ecdsa_keys {
    (
        $curve:ident, $algorithm:ident, secret: $secret:literal, public: $public:literal, signature: $signature:literal,
        first: $first:literal, high_s: $high_s:literal $(,)?
    ) => {
        use alloc::vec::Vec;
        use core::fmt;

        use ::$curve::ecdsa::{self, signature::Verifier as _};
        use zeroize::Zeroizing;

        use crate::{
            PublicKeyError, SecretKeyError, SignError, Signature, SignatureAlgorithm, Signer, Verifier, VerifyError,
            ecdsa::ATTEMPTS, secret_key::SoftwareKey, text::Hex,
        };

        /// A secret key, wiped from memory when it is dropped.
        ///
        /// It cannot be cloned or printed; share it behind an `Arc<dyn Signer>`. Signatures are deterministic (RFC 6979), and
        /// their `s` is always the lower one of the two that would do.
        pub struct SigningKey {
            pub(crate) key: ecdsa::SigningKey,
            public: VerifyingKey,
        }

        impl SigningKey {
            /// The key with this scalar, in big-endian bytes.
            ///
            /// # Errors
            ///
            /// When the length is another, or the scalar is zero or not below the order of the curve.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretKeyError> {
                if bytes.len() != $secret {
                    return Err(SecretKeyError::Length { expected: $secret, got: bytes.len() });
                }
                let key = ecdsa::SigningKey::from_slice(bytes).map_err(|_| SecretKeyError::Invalid)?;
                let public = VerifyingKey::new(*key.verifying_key())?;
                Ok(Self { key, public })
            }

            /// A new key, out of the randomness that `fill` gives: it writes over all of the bytes that it is handed.
            ///
            /// # Errors
            ///
            /// When `fill` gives nothing that can be a key, time after time: it is broken then.
            pub fn generate(fill: &mut dyn FnMut(&mut [u8])) -> Result<Self, SecretKeyError> {
                let mut bytes = Zeroizing::new([0; $secret]);
                for _ in 0..ATTEMPTS {
                    fill(bytes.as_mut_slice());
                    bytes[0] &= $first;
                    if let Ok(key) = Self::from_bytes(bytes.as_slice()) {
                        return Ok(key);
                    }
                }
                Err(SecretKeyError::Randomness)
            }

            /// The scalar in big-endian bytes, for storing the key.
            pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
                Zeroizing::new(Zeroizing::new(self.key.to_bytes()).to_vec())
            }

            /// The public key.
            pub fn verifying_key(&self) -> VerifyingKey {
                self.public
            }
        }

        impl fmt::Debug for SigningKey {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
            }
        }

        impl Signer for SigningKey {
            fn algorithm(&self) -> SignatureAlgorithm {
                SignatureAlgorithm::$algorithm
            }

            fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError> {
                let (signature, _) = self.key.sign_recoverable(message);
                Ok(Signature::from(signature.normalize_s().to_vec()))
            }
        }

        impl SoftwareKey for SigningKey {
            fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
                self.to_bytes()
            }

            fn public_bytes(&self) -> &[u8] {
                self.public.as_bytes()
            }
        }

        /// A public key.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct VerifyingKey {
            pub(crate) key: ecdsa::VerifyingKey,
            bytes: [u8; $public],
        }

        impl VerifyingKey {
            fn new(key: ecdsa::VerifyingKey) -> Result<Self, PublicKeyError> {
                let bytes = key.to_sec1_point(true).as_bytes().try_into().map_err(|_| PublicKeyError::NotAPoint)?;
                Ok(Self { key, bytes })
            }

            /// The public key with this point, compressed (SEC 1, section 2.3.3), which is the only spelling that is read.
            ///
            /// # Errors
            ///
            /// When the length is another, or the bytes are not a compressed point of the curve.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
                if bytes.len() != $public {
                    return Err(PublicKeyError::Length { expected: $public, got: bytes.len() });
                }
                // There is a form without the sign of y that has this length, too.
                if !matches!(bytes.first(), Some(2 | 3)) {
                    return Err(PublicKeyError::NotAPoint);
                }
                let key = ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(|_| PublicKeyError::NotAPoint)?;
                Self::new(key)
            }

            /// The compressed point.
            pub fn as_bytes(&self) -> &[u8; $public] {
                &self.bytes
            }
        }

        impl fmt::Debug for VerifyingKey {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple("VerifyingKey").field(&Hex(&self.bytes)).finish()
            }
        }

        impl Verifier for VerifyingKey {
            fn algorithm(&self) -> SignatureAlgorithm {
                SignatureAlgorithm::$algorithm
            }

            fn public_key(&self) -> &[u8] {
                self.as_bytes()
            }

            fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
                if signature.len() != $signature {
                    return Err(VerifyError::Length { expected: $signature, got: signature.len() });
                }
                let signature = ecdsa::Signature::from_slice(signature).map_err(|_| VerifyError::Mismatch)?;
                if !$high_s && signature != signature.normalize_s() {
                    return Err(VerifyError::Mismatch);
                }
                self.key.verify(message, &signature).map_err(|_| VerifyError::Mismatch)
            }
        }
    };
}

#[cfg(any(feature = "p256", feature = "p384", feature = "p521", feature = "secp256k1"))]
pub(crate) use ecdsa_keys;
