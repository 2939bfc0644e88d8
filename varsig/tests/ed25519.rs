//! Ed25519 against RFC 8032, and against signatures that a strict verifier must refuse.
#![cfg(feature = "ed25519")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use data_encoding::HEXLOWER;
use varsig::{
    PublicKeyError, SignatureAlgorithm, Signer, Verifier, VerifyError,
    ed25519::{SigningKey, VerifyingKey},
    verifier,
};

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// RFC 8032, section 7.1: seed, public key, message, signature.
const RFC_8032: [(&str, &str, &str, &str); 3] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
];

#[test]
fn rfc_8032() {
    for (seed, public, message, signature) in RFC_8032 {
        let key = SigningKey::from_seed(&hex(seed));
        let message = HEXLOWER.decode(message.as_bytes()).unwrap();
        assert_eq!(*key.seed(), hex(seed));
        assert_eq!(*key.verifying_key().as_bytes(), hex(public));
        assert_eq!(key.try_sign(&message).unwrap().as_bytes(), hex::<64>(signature));
        key.verifying_key().verify(&message, &hex::<64>(signature)).unwrap();
    }
}

#[test]
fn a_second_spelling_of_a_signature_is_refused() {
    // S + L verifies under the lax equation but is not reduced.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = SigningKey::from_seed(&[3; 32]);
    let mut signature: [u8; 64] = key.try_sign(b"once").unwrap().as_bytes().try_into().unwrap();
    let mut carry = 0;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*digit) + u16::from(order) + carry;
        *digit = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(key.verifying_key().verify(b"once", &signature), Err(VerifyError::Mismatch));
}

#[test]
fn small_order_keys_are_refused() {
    // The neutral element, and a point of order 8: a signature of zeros would match under a lax verifier.
    let neutral = hex("0100000000000000000000000000000000000000000000000000000000000000");
    let eighth = hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
    for weak in [neutral, eighth] {
        assert_eq!(VerifyingKey::from_bytes(&weak), Err(PublicKeyError::Weak));
    }
    let not_a_point = hex("0200000000000000000000000000000000000000000000000000000000000000");
    assert_eq!(VerifyingKey::from_bytes(&not_a_point), Err(PublicKeyError::NotAPoint));
}

#[test]
fn the_length_of_a_signature_is_checked_when_it_is_verified() {
    let key = SigningKey::from_seed(&[3; 32]).verifying_key();
    assert_eq!(key.verify(b"", &[0; 3]), Err(VerifyError::Length { expected: 64, got: 3 }));
    assert_eq!(key.verify(b"", &[0; 64]), Err(VerifyError::Mismatch));
}

#[test]
fn keys_come_from_the_algorithm_of_the_header() {
    let key = SigningKey::from_seed(&[3; 32]).verifying_key();
    let found = verifier(SignatureAlgorithm::Ed25519, key.as_bytes()).unwrap();
    assert_eq!(found.algorithm(), SignatureAlgorithm::Ed25519);
    assert_eq!(found.public_key(), key.as_bytes());
    let error = verifier(SignatureAlgorithm::Ed448, key.as_bytes()).unwrap_err();
    assert_eq!(error, PublicKeyError::Unsupported(SignatureAlgorithm::Ed448));
    let error = verifier(SignatureAlgorithm::Ed25519, &[0; 31]).unwrap_err();
    assert_eq!(error, PublicKeyError::Length { expected: 32, got: 31 });
}

#[test]
fn a_secret_key_is_not_printed() {
    let text = format!("{:?}", SigningKey::from_seed(&[0xab; 32]));
    assert!(!text.contains("abab") && !text.contains("171"), "{text}");
}
