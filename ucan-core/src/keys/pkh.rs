//! Ethereum accounts as principals (the `did:pkh` method, CAIP-10).

use std::sync::Arc;

use varsig::{SignatureAlgorithm, Verifier};

use super::KeyError;
use crate::Did;

/// The name space of Ethereum accounts. Others have other kinds of accounts.
const ETHEREUM: &str = "eip155:";

/// Whether a `did:pkh` is an account that is known here.
pub(super) fn is_ethereum(did: &Did) -> bool {
    did.id().starts_with(ETHEREUM)
}

/// The verifier of an account's signatures.
pub(super) fn verifier(did: &Did, algorithm: SignatureAlgorithm) -> Result<Arc<dyn Verifier>, KeyError> {
    let account = did.id().strip_prefix(ETHEREUM).ok_or_else(|| KeyError::UnsupportedMethod { did: did.clone() })?;
    let address = account.split_once(":0x").filter(|(chain, _)| is_chain(chain)).and_then(|(_, hex)| address(hex));
    let address = address.ok_or_else(|| KeyError::Malformed { did: did.clone() })?;
    if algorithm != SignatureAlgorithm::Eip191 {
        return Err(KeyError::WrongAlgorithm { did: did.clone(), algorithm });
    }
    account_verifier(address)
}

#[cfg(feature = "eip191")]
fn account_verifier(address: [u8; 20]) -> Result<Arc<dyn Verifier>, KeyError> {
    Ok(Arc::new(varsig::eip191::VerifyingKey::from_address(address)))
}

#[cfg(not(feature = "eip191"))]
fn account_verifier(_: [u8; 20]) -> Result<Arc<dyn Verifier>, KeyError> {
    Err(KeyError::Unsupported { algorithm: SignatureAlgorithm::Eip191 })
}

/// A chain is a decimal number, spelled in one way.
fn is_chain(text: &str) -> bool {
    let digits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

/// Twenty bytes, whose checksum is right if there is one.
fn address(hex: &str) -> Option<[u8; 20]> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    let address = bytes.try_into().ok()?;
    let mixed = hex.bytes().any(|byte| byte.is_ascii_lowercase()) && hex.bytes().any(|byte| byte.is_ascii_uppercase());
    (!mixed || has_checksum(hex)).then_some(address)
}

/// EIP-55: a letter is a capital where the hash of the lowercase text has a digit of 8 or more.
#[cfg(feature = "eip191")]
fn has_checksum(hex: &str) -> bool {
    use sha3::{Digest, Keccak256};
    let hash = Keccak256::digest(hex.to_ascii_lowercase());
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    hex.bytes()
        .zip(digits)
        .all(|(letter, digit)| letter.is_ascii_digit() || letter.is_ascii_uppercase() == (digit >= 8))
}

/// Without the hash nobody can tell, and nothing is verified anyway.
#[cfg(not(feature = "eip191"))]
fn has_checksum(_: &str) -> bool {
    true
}
