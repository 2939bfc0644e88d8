//! Ed25519 software keys: RFC 8032 signing, strict verification.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, Verifier as _};
use zeroize::Zeroizing;

use crate::{
    PublicKeyError, SecretKeyError, SignError, Signature, SignatureAlgorithm, Signer, Verifier, VerifyError,
    secret_key::SoftwareKey, text::Hex,
};

/// A secret key, wiped from memory when it is dropped.
///
/// It cannot be cloned or printed; share it behind an `Arc<dyn Signer>`.
///
/// ```
/// use varsig::{Signer, Verifier, ed25519::SigningKey};
///
/// let key = SigningKey::from_seed(&[0; 32]);
/// let signature = key.try_sign(b"hello")?;
/// assert!(key.verifying_key().verify(b"hello", signature.as_bytes()).is_ok());
/// # Ok::<(), varsig::SignError>(())
/// ```
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

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = [
    point(b"0100000000000000000000000000000000000000000000000000000000000000"),
    point(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    point(b"0000000000000000000000000000000000000000000000000000000000000080"),
    point(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    point(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    point(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    point(b"0000000000000000000000000000000000000000000000000000000000000000"),
    point(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
];

const fn point(hex: &[u8; 64]) -> [u8; 32] {
    const fn digit(hex: u8) -> u8 {
        if hex.is_ascii_digit() { hex - b'0' } else { hex - b'a' + 10 }
    }
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < 32 {
        bytes[index] = digit(hex[2 * index]) << 4 | digit(hex[2 * index + 1]);
        index += 1;
    }
    bytes
}

/// The y of an encoded point, as its bytes, and without the sign of x.
fn unsigned(point: &[u8; 32]) -> (&[u8], u8) {
    let [y @ .., last] = point;
    (y, last & 0x7f)
}

/// Whether the y of an encoded point is below the field's prime, 2^255 - 19.
fn is_reduced(point: &[u8; 32]) -> bool {
    let [first, rest @ .., last] = point;
    *first < 0xed || last & 0x7f < 0x7f || rest.iter().any(|byte| *byte < 0xff)
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
        // The library reduces a y above the field's prime, and knows a zero with a sign; RFC 8032 refuses both. Both signs of the
        // second are of small order.
        if is_reduced(bytes) && !SMALL_ORDER.iter().any(|point| unsigned(point) == unsigned(bytes)) {
            return Ok(Self(key));
        }
        Err(if key.is_weak() { PublicKeyError::Weak } else { PublicKeyError::NotAPoint })
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
        // This is `verify_strict` without decompressing R: R is compared with canonical bytes, so that it can only be one of
        // the canonical encodings of a point of small order, and the key was checked when it was made.
        if SMALL_ORDER.contains(signature.r_bytes()) {
            return Err(VerifyError::Mismatch);
        }
        self.0.verify(message, &signature).map_err(|_| VerifyError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_small_order_are_what_the_curve_says() {
        for (index, bytes) in SMALL_ORDER.iter().enumerate() {
            let point = ed25519_dalek::VerifyingKey::from_bytes(bytes).unwrap();
            assert!(point.is_weak(), "{index}");
            assert!(!SMALL_ORDER[..index].contains(bytes), "{index}");
        }
    }

    #[test]
    fn a_key_has_one_spelling_and_is_not_of_small_order() {
        let mut spellings: Vec<[u8; 32]> = SMALL_ORDER.to_vec();
        // Every y from the prime on, and some below it.
        spellings.extend((0xd0..=0xff).map(|first| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (first, 0x7f);
            bytes
        }));
        spellings.extend((0..=40).map(|first| {
            let mut bytes = [0; 32];
            bytes[0] = first;
            bytes
        }));
        spellings.extend((0..200).map(|seed| *SigningKey::from_seed(&[seed; 32]).verifying_key().as_bytes()));
        let mut counts = [0; 3];
        for mut bytes in spellings {
            for _ in 0..2 {
                bytes[31] ^= 0x80;
                // What the library and the point itself say.
                let expected = match ed25519_dalek::VerifyingKey::from_bytes(&bytes) {
                    Err(_) => Err(PublicKeyError::NotAPoint),
                    Ok(key) if key.is_weak() => Err(PublicKeyError::Weak),
                    Ok(key) if key.to_edwards().compress().as_bytes() != &bytes => Err(PublicKeyError::NotAPoint),
                    Ok(_) => Ok(()),
                };
                counts[match &expected {
                    Ok(()) => 0,
                    Err(PublicKeyError::Weak) => 1,
                    Err(_) => 2,
                }] += 1;
                assert_eq!(VerifyingKey::from_bytes(&bytes).map(drop), expected, "{bytes:02x?}");
            }
        }
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    }

    #[test]
    fn a_signature_is_accepted_where_strict_verification_accepts_it() {
        let key = SigningKey::from_seed(&[3; 32]);
        let public = key.verifying_key();
        for message in 0..20_u8 {
            let good = key.try_sign(&[message]).unwrap().into_bytes();
            let changed = (0..64).map(|at| {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << (message % 8);
                bytes
            });
            let small = SMALL_ORDER.iter().map(|point| [&point[..], &good[32..]].concat());
            for bytes in changed.chain(small).chain([good.clone()]) {
                let strict = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
                let strict = public.0.verify_strict(&[message], &strict).is_ok();
                assert_eq!(public.verify(&[message], &bytes).is_ok(), strict);
                assert_eq!(strict, bytes == good);
            }
        }
    }
}
