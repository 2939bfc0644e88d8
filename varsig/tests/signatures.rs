//! Every signature of the vectors, and every single changed bit of some more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use serde_json::Value;
use varsig::{PublicKeyError, SecretKey, SignatureAlgorithm, Verifier, verifier};

/// What the header of a signature says, for a case of the vectors.
fn algorithm(case: &Value) -> SignatureAlgorithm {
    let named: SignatureAlgorithm = case["algorithm"].as_str().unwrap().parse().unwrap();
    case["key_length"].as_u64().map_or(named, |length| named.with_key_length(length.try_into().unwrap()))
}

/// The verifier for the key of a case; the vectors have addresses, too.
fn key(case: &Value, bytes: &[u8]) -> Result<Arc<dyn Verifier>, PublicKeyError> {
    #[cfg(feature = "eip191")]
    if let (SignatureAlgorithm::Eip191, Ok(address)) = (algorithm(case), bytes.try_into()) {
        return Ok(Arc::new(varsig::eip191::VerifyingKey::from_address(address)));
    }
    verifier(algorithm(case), bytes)
}

#[test]
fn the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../fixtures/varsig/signatures.json")).unwrap();
    let hex = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::<(String, bool), usize>::new();
    for case in vectors["cases"].as_array().unwrap() {
        let public_key = hex(&case["public_key"]);
        let verified = match key(case, &public_key) {
            Err(PublicKeyError::Unsupported(_)) => continue,
            Err(error) => Err(error.to_string()),
            Ok(verifier) => {
                assert_eq!(verifier.algorithm(), algorithm(case));
                assert_eq!(verifier.public_key(), public_key);
                verifier.verify(&hex(&case["message"]), &hex(&case["signature"])).map_err(|error| error.to_string())
            }
        };
        let valid = case["valid"].as_bool().unwrap();
        if verified.is_ok() != valid {
            wrong.push(format!("{}: {verified:?}", case["name"]));
        }
        *counts.entry((case["algorithm"].to_string(), valid)).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{counts:#?}");
    let all = cfg!(all(feature = "p384", feature = "p521", feature = "rsa", feature = "eip191"));
    assert!(!all || counts.values().sum::<usize>() == 381, "{counts:?}");
}

/// The algorithms whose keys are found in no time.
fn quick() -> Vec<SignatureAlgorithm> {
    use SignatureAlgorithm::{Ed25519, Eip191, Es256, Es256K, Es384, Es512};
    let enabled = |algorithm: &SignatureAlgorithm| secret(*algorithm, &[7; 32]).is_some();
    [Ed25519, Es256, Es384, Es512, Es256K, Eip191].into_iter().filter(enabled).collect()
}

/// A key out of little randomness.
fn secret(algorithm: SignatureAlgorithm, seed: &[u8; 32]) -> Option<SecretKey> {
    SecretKey::generate(algorithm, &mut |bytes| bytes.iter_mut().zip(seed.iter().cycle()).for_each(|(b, s)| *b = *s))
        .ok()
}

/// The other `s` of a signature on a NIST curve, as big-endian bytes.
fn negated(s: &[u8], order: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let digits = order.iter().zip(s).rev().map(|(n, s)| {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        difference.rem_euclid(256) as u8
    });
    let mut digits: Vec<u8> = digits.collect();
    digits.reverse();
    digits
}

/// Every bit of a signature counts, and every bit of the message; the bits of a signature that are tried are named.
fn only_what_was_signed(key: SecretKey, message: &[u8], bits: impl Iterator<Item = usize>) {
    let algorithm = key.algorithm();
    let verifier = key.public_key().verifier(algorithm).unwrap();
    let signer = key.into_signer();
    let signature = signer.try_sign(message).unwrap().into_bytes();
    assert_eq!(signer.algorithm(), algorithm);
    assert_eq!(signer.try_sign(message).unwrap().as_bytes(), signature, "signing is deterministic");
    assert_eq!(verifier.verify(message, &signature), Ok(()), "{algorithm}");

    let flip = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in bits.take_while(|bit| *bit < 8 * signature.len()) {
        let changed = flip(&signature, bit);
        assert!(verifier.verify(message, &changed).is_err(), "{algorithm}, bit {bit}");
    }
    for bit in 0..8 * message.len() {
        assert!(verifier.verify(&flip(message, bit), &signature).is_err(), "{algorithm}, bit {bit} of the message");
    }
    for length in 0..signature.len() {
        assert!(verifier.verify(message, &signature[..length]).is_err(), "{algorithm}, {length} bytes");
    }
}

#[test]
fn the_lower_s_is_written_and_the_upper_one_read_where_it_is_usual() {
    let orders = [
        ("ES256", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", true),
        (
            "ES384",
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
            true,
        ),
        (
            "ES512",
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
            true,
        ),
        ("ES256K", "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", false),
    ];
    for (name, order, accepted) in orders {
        let order = HEXLOWER.decode(order.as_bytes()).unwrap();
        let Some(key) = secret(name.parse().unwrap(), &[9; 32]) else {
            continue;
        };
        let verifier = key.public_key().verifier(key.algorithm()).unwrap();
        let signer = key.into_signer();
        for message in 0_u8..20 {
            let mut signature = signer.try_sign(&[message]).unwrap().into_bytes();
            let s = signature.split_off(order.len());
            let other = negated(&s, &order);
            assert!(s < other, "{name}");
            signature.extend(other);
            assert_eq!(verifier.verify(&[message], &signature).is_ok(), accepted, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn every_bit_counts(
        seed: [u8; 32],
        message in proptest::collection::vec(any::<u8>(), 0..4),
        first in 0_usize..37,
    ) {
        for algorithm in quick() {
            if let Some(key) = secret(algorithm, &seed) {
                only_what_was_signed(key, &message, (first..).step_by(37));
            }
        }
    }
}

#[cfg(feature = "rsa")]
#[test]
fn every_bit_counts_in_rsa_too() {
    let stored = HEXLOWER.decode(include_str!("rsa2048.hex").trim().as_bytes()).unwrap();
    for name in ["RS256", "RS384", "RS512"] {
        let key = SecretKey::from_bytes(name.parse().unwrap(), &stored).unwrap();
        only_what_was_signed(key, b"m", 0..);
    }
}
