//! Ed25519 software keys: RFC 8032 signing, strict verification.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use crate::{
    PublicKeyError, SecretKeyError, SignError, Signature, SignatureAlgorithm, Signer, Verifier, VerifyError,
    secret_key::SoftwareKey, text::Hex,
};

/// A secret key, wiped from memory when it is dropped.
///
/// It cannot be cloned or printed; share it behind an `Arc<dyn Signer>`.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that a seed stands for (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The key that a seed stands for, whose length is still to be checked.
    ///
    /// # Errors
    ///
    /// When there are not 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretKeyError> {
        let seed = bytes.try_into().map_err(|_| SecretKeyError::Length { expected: 32, got: bytes.len() })?;
        Ok(Self::from_seed(seed))
    }

    /// A new key, out of the randomness that `fill` gives: it writes over all of the bytes that it is handed.
    pub fn generate(fill: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        fill(seed.as_mut_slice());
        Self::from_seed(&seed)
    }

    /// The seed, for storing the key.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The seed, as the secret keys of other algorithms give theirs.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.as_bytes().to_vec())
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.verifying_key()).finish_non_exhaustive()
    }
}

impl Signer for SigningKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }

    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        Ok(Signature::from(self.0.sign(message).to_vec()))
    }
}

impl SoftwareKey for SigningKey {
    fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.to_bytes()
    }

    fn public_bytes(&self) -> &[u8] {
        self.0.as_ref().as_bytes()
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// The public key with these bytes.
    ///
    /// # Errors
    ///
    /// When they are not a point of the curve, not the only spelling of it, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(PublicKeyError::Weak);
        }
        // RFC 8032 refuses y above the field's prime; the library reduces it.
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(PublicKeyError::NotAPoint);
        }
        Ok(Self(key))
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&Hex(self.as_bytes())).finish()
    }
}

impl Verifier for VerifyingKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }

    fn public_key(&self) -> &[u8] {
        self.as_bytes()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let signature = ed25519_dalek::Signature::from_slice(signature)
            .map_err(|_| VerifyError::Length { expected: 64, got: signature.len() })?;
        self.0.verify_strict(message, &signature).map_err(|_| VerifyError::Mismatch)
    }
}
