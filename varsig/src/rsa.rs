//! RSA software keys: RSASSA-PKCS #1 v1.5 with SHA2-256, SHA2-384 or SHA2-512.
//!
//! Keys have 2048 to 8192 bits. Public keys are the DER of a PKCS #1 `RSAPublicKey`, as `did:key` has them, secret keys that of an
//! `RSAPrivateKey`. The algorithm names the length of the key, and a key of another length is refused.
//!
//! Signing is blinded, with a factor that is derived from the key and the message, as no randomness is read here.

use alloc::{string::ToString, vec::Vec};
use core::{fmt, ops::RangeInclusive};

use ::rsa::{
    BoxedUint, PrivateKey, PublicKey,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, EncodeRsaPublicKey},
    pkcs1v15::Pkcs1v15Sign,
    rand_core::{TryCryptoRng, TryRng},
    sha2::{Digest, Sha256, Sha384, Sha512},
    traits::PublicKeyParts,
};
use zeroize::Zeroizing;

use crate::{
    PublicKeyError, SecretKeyError, SignError, Signature, SignatureAlgorithm, Signer, Verifier, VerifyError, rsa_der,
    secret_key::SoftwareKey, text::Hex,
};

/// What the numbers of a key may be, in bits.
const MODULUS: RangeInclusive<usize> = 2048..=8192;
const EXPONENT: RangeInclusive<u64> = 5..=(1 << 33) - 1;

/// The longest secret key of 8192 bits has less than 5,000 bytes.
const SECRET_LIMIT: usize = 8192;

/// How many bytes of randomness a source is asked for, per byte of the modulus, before it is given up. A good source is asked
/// for some hundreds.
const PATIENCE: usize = 100_000;

/// A secret key, wiped from memory when it is dropped.
///
/// It cannot be cloned or printed; share it behind an `Arc<dyn Signer>`.
///
/// ```
/// use varsig::{SecretKeyError, SignatureAlgorithm, rsa::SigningKey};
///
/// let algorithm = SignatureAlgorithm::Rs256 { key_length: 256 };
/// // The source of randomness is broken.
/// let error = SigningKey::generate(algorithm, &mut |bytes| bytes.fill(0)).unwrap_err();
/// assert_eq!(error, SecretKeyError::Randomness);
/// ```
pub struct SigningKey {
    key: PrivateKey,
    secret: Zeroizing<Vec<u8>>,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of an algorithm that is written so.
    ///
    /// # Errors
    ///
    /// When the algorithm is not one of RSA, the bytes are not the DER of a key with two primes, or the key is not of the length
    /// that the algorithm names.
    pub fn from_bytes(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, SecretKeyError> {
        Self::new(algorithm, read(bytes)?)
    }

    /// The key that is written so, whatever its length.
    pub(crate) fn from_bytes_of_any_length(
        algorithm: SignatureAlgorithm,
        bytes: &[u8],
    ) -> Result<Self, SecretKeyError> {
        let key = read(bytes)?;
        let length = u16::try_from(key.size()).map_err(|_| SecretKeyError::Invalid)?;
        Self::new(algorithm.with_key_length(length), key)
    }

    /// A new key of the length that the algorithm names, with the exponent 65537, out of the randomness that `fill` gives: it
    /// writes over all of the bytes that it is handed.
    ///
    /// This takes seconds.
    ///
    /// # Errors
    ///
    /// When the algorithm is not one of RSA, the length is not accepted, or `fill` gives nothing that leads to a key.
    pub fn generate(algorithm: SignatureAlgorithm, fill: &mut dyn FnMut(&mut [u8])) -> Result<Self, SecretKeyError> {
        let length = usize::from(length(algorithm)?);
        if !MODULUS.contains(&(8 * length)) {
            return Err(PublicKeyError::ModulusSize { bits: 8 * length }.into());
        }
        let mut source = Source { fill, left: PATIENCE * length };
        let key = PrivateKey::new(&mut source, 8 * length).map_err(|_| SecretKeyError::Randomness)?;
        Self::new(algorithm, key)
    }

    fn new(algorithm: SignatureAlgorithm, key: PrivateKey) -> Result<Self, SecretKeyError> {
        let public = key.as_public_key().to_pkcs1_der().map_err(|_| SecretKeyError::Invalid)?;
        let public = VerifyingKey::from_bytes(algorithm, public.as_bytes())?;
        let secret = key.to_pkcs1_der().map_err(|_| SecretKeyError::Invalid)?.to_bytes();
        Ok(Self { key, secret, public })
    }

    /// The DER of the key, for storing it.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.secret.clone()
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }
}

/// Reads a secret key, and only from its one spelling.
fn read(bytes: &[u8]) -> Result<PrivateKey, SecretKeyError> {
    if bytes.len() > SECRET_LIMIT {
        return Err(SecretKeyError::Invalid);
    }
    let key = PrivateKey::from_pkcs1_der(bytes).map_err(|_| SecretKeyError::Invalid)?;
    let spelling = key.to_pkcs1_der().map_err(|_| SecretKeyError::Invalid)?;
    if spelling.as_bytes() == bytes { Ok(key) } else { Err(SecretKeyError::Invalid) }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Signer for SigningKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm
    }

    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let (scheme, hash) = self.public.scheme(message);
        // The factor that hides the key from those who measure time has to be unknown, not random.
        let seed = Sha256::new().chain_update(b"varsig: RSA blinding").chain_update(&self.secret).chain_update(&hash);
        let mut blocks = 0_u64;
        let mut fill = |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(32) {
                let block = seed.clone().chain_update(blocks.to_be_bytes()).finalize();
                chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
                blocks += 1;
            }
        };
        let mut source = Source { fill: &mut fill, left: usize::MAX };
        let signature = self.key.sign_with_rng(&mut source, scheme, &hash);
        signature.map(Signature::from).map_err(|error| SignError::Unavailable(error.to_string()))
    }
}

impl SoftwareKey for SigningKey {
    fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.to_bytes()
    }

    fn public_bytes(&self) -> &[u8] {
        &self.public.bytes
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    algorithm: SignatureAlgorithm,
    hash: Hash,
    key: PublicKey,
    bytes: Vec<u8>,
}

impl VerifyingKey {
    /// The public key of an algorithm that is written so.
    ///
    /// # Errors
    ///
    /// When the algorithm is not one of RSA, the bytes are not the DER of a key, its numbers are not accepted, or the modulus is not
    /// of the length that the algorithm names.
    pub fn from_bytes(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let expected = usize::from(length(algorithm)?);
        let hash = Hash::of(algorithm)?;
        let (modulus, exponent) = rsa_der::public_key(bytes).ok_or(PublicKeyError::NotPkcs1)?;
        let bits = modulus.iter().take(1).fold(8 * modulus.len(), |bits, first| bits - first.leading_zeros() as usize);
        if !MODULUS.contains(&bits) {
            return Err(PublicKeyError::ModulusSize { bits });
        }
        if modulus.len() != expected {
            return Err(PublicKeyError::ModulusLength { expected, got: modulus.len() });
        }
        if exponent.len() > 8 {
            return Err(PublicKeyError::UnsafeNumbers);
        }
        let exponent = exponent.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if exponent % 2 == 0 || !EXPONENT.contains(&exponent) {
            return Err(PublicKeyError::UnsafeNumbers);
        }
        let key = BoxedUint::from_be_slice_vartime(modulus);
        let key = PublicKey::new(key, exponent.into()).map_err(|_| PublicKeyError::UnsafeNumbers)?;
        Ok(Self { algorithm, hash, key, bytes: bytes.into() })
    }

    /// The DER of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The padding that goes with the hash, and the hash of the message.
    fn scheme(&self, message: &[u8]) -> (Pkcs1v15Sign, Vec<u8>) {
        match self.hash {
            Hash::Sha256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
            Hash::Sha384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
            Hash::Sha512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.algorithm).field(&Hex(&self.bytes)).finish()
    }
}

impl Verifier for VerifyingKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key(&self) -> &[u8] {
        self.as_bytes()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        if signature.len() != self.key.size() {
            return Err(VerifyError::Length { expected: self.key.size(), got: signature.len() });
        }
        let (scheme, hash) = self.scheme(message);
        self.key.verify(scheme, &hash, signature).map_err(|_| VerifyError::Mismatch)
    }
}

/// The length of the modulus that an algorithm names, in bytes.
fn length(algorithm: SignatureAlgorithm) -> Result<u16, PublicKeyError> {
    algorithm.key_length().ok_or(wrong(algorithm))
}

fn wrong(algorithm: SignatureAlgorithm) -> PublicKeyError {
    PublicKeyError::WrongAlgorithm { code: SignatureAlgorithm::Rs256 { key_length: 0 }.public_key_code(), algorithm }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(algorithm: SignatureAlgorithm) -> Result<Self, PublicKeyError> {
        match algorithm {
            SignatureAlgorithm::Rs256 { .. } => Ok(Self::Sha256),
            SignatureAlgorithm::Rs384 { .. } => Ok(Self::Sha384),
            SignatureAlgorithm::Rs512 { .. } => Ok(Self::Sha512),
            other => Err(wrong(other)),
        }
    }
}

/// Randomness as the library for RSA wants it, until there has been too much of it.
struct Source<'a> {
    fill: &'a mut dyn FnMut(&mut [u8]),
    /// How many more bytes are asked for.
    left: usize,
}

/// So much randomness, and no key.
#[derive(Debug, thiserror::Error)]
#[error("the randomness leads nowhere")]
struct Exhausted;

impl TryRng for Source<'_> {
    type Error = Exhausted;

    fn try_next_u32(&mut self) -> Result<u32, Exhausted> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Exhausted> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(Exhausted)?;
        (self.fill)(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Source<'_> {}
