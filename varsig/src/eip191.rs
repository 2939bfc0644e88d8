//! EIP-191 "personal sign": what Ethereum wallets make when they are asked to sign a message.
//!
//! The message is wrapped in a sentence that no transaction begins with, hashed with Keccak-256, and signed on secp256k1. A
//! signature has 65 bytes, `r || s || v`; the last one is 27 or 28 (some wallets write 0 or 1), and with it the public key can
//! be computed from the signature. The upper `s` is refused.
//!
//! ```
//! use varsig::{Signer, Verifier, eip191::{SigningKey, VerifyingKey}, secp256k1};
//!
//! let wallet = SigningKey::new(secp256k1::SigningKey::from_bytes(&[7; 32])?);
//! let signature = wallet.try_sign(b"hello")?;
//! // Whoever knows no more of a wallet than its address can check what it signed.
//! let verifier = VerifyingKey::from_address(wallet.verifying_key().address());
//! verifier.verify(b"hello", signature.as_bytes())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::{string::ToString, vec::Vec};
use core::fmt;

use k256::ecdsa::{self, RecoveryId};
use sha3::{Digest, Keccak256};
use zeroize::Zeroizing;

use crate::{
    SignError, Signature, SignatureAlgorithm, Signer, Verifier, VerifyError, secp256k1, secret_key::SoftwareKey,
    text::Hex,
};

/// What is hashed and signed.
fn digest(message: &[u8]) -> [u8; 32] {
    Keccak256::new()
        .chain_update(b"\x19Ethereum Signed Message:\n")
        .chain_update(message.len().to_string())
        .chain_update(message)
        .finalize()
        .into()
}

/// The last 20 bytes of the hash of the point.
fn address_of(key: &ecdsa::VerifyingKey) -> [u8; 20] {
    let point = key.to_sec1_point(false);
    // The first byte is the tag of the form.
    let hash = Keccak256::digest(point.as_bytes().get(1..).unwrap_or_default());
    hash.last_chunk().copied().unwrap_or_default()
}

/// A secret key that signs as wallets do. It is wiped from memory when it is dropped.
pub struct SigningKey(secp256k1::SigningKey);

impl SigningKey {
    /// Signs with this key as wallets do.
    pub fn new(key: secp256k1::SigningKey) -> Self {
        Self(key)
    }

    /// The key itself, for storing it.
    pub fn key(&self) -> &secp256k1::SigningKey {
        &self.0
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::new(self.0.verifying_key())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.verifying_key()).finish_non_exhaustive()
    }
}

impl Signer for SigningKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Eip191
    }

    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        // The lower `s`, with the recovery bit that belongs to it.
        let (signature, id) = self.0.key.sign_prehash_recoverable(&digest(message));
        let mut bytes = signature.to_vec();
        bytes.push(27 + id.to_byte());
        Ok(Signature::from(bytes))
    }
}

impl SoftwareKey for SigningKey {
    fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_bytes()
    }

    fn public_bytes(&self) -> &[u8] {
        self.0.public_bytes()
    }
}

/// Whose signatures are accepted: a public key's, or those of the account at an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(Account);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    Key(secp256k1::VerifyingKey),
    Address([u8; 20]),
}

impl VerifyingKey {
    /// Accepts the signatures of a public key.
    pub fn new(key: secp256k1::VerifyingKey) -> Self {
        Self(Account::Key(key))
    }

    /// Accepts the signatures of the account at an address. Only accounts that are a key can sign so; a contract's cannot.
    pub fn from_address(address: [u8; 20]) -> Self {
        Self(Account::Address(address))
    }

    /// The address of the account.
    pub fn address(&self) -> [u8; 20] {
        match &self.0 {
            Account::Key(key) => address_of(&key.key),
            Account::Address(address) => *address,
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&Hex(self.public_key())).finish()
    }
}

impl Verifier for VerifyingKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Eip191
    }

    /// The compressed point, or the address if nothing else is known.
    fn public_key(&self) -> &[u8] {
        match &self.0 {
            Account::Key(key) => key.as_bytes(),
            Account::Address(address) => address,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let (scalars, id) = match signature {
            [scalars @ .., id] if scalars.len() == 64 => (scalars, *id),
            _ => return Err(VerifyError::Length { expected: 65, got: signature.len() }),
        };
        let y_is_odd = match id {
            0 | 27 => false,
            1 | 28 => true,
            _ => return Err(VerifyError::Mismatch),
        };
        let signature = ecdsa::Signature::from_slice(scalars).map_err(|_| VerifyError::Mismatch)?;
        if signature != signature.normalize_s() {
            return Err(VerifyError::Mismatch);
        }
        let id = RecoveryId::new(y_is_odd, false);
        let signer = ecdsa::VerifyingKey::recover_from_prehash(&digest(message), &signature, id)
            .map_err(|_| VerifyError::Mismatch)?;
        let matches = match &self.0 {
            Account::Key(key) => key.key == signer,
            Account::Address(address) => *address == address_of(&signer),
        };
        if matches { Ok(()) } else { Err(VerifyError::Mismatch) }
    }
}
