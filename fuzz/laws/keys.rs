//! Keys and signatures of every algorithm.

use std::sync::{Arc, OnceLock};

use data_encoding::HEXLOWER;
use ucan_core::{Did, DidKeys, Issuer, KeySource, Purpose};
use varsig::{PublicKey, SecretKey, SignatureAlgorithm, Signer, Verifier};

use super::{choices::Choices, names::ALGORITHMS};

/// A key has one spelling, and verifies what it signs; a principal that is made of it has it.
pub fn key(data: &[u8]) {
    if let Ok(key) = PublicKey::from_multicodec(data) {
        assert_eq!(key.to_multicodec(), data, "another spelling was accepted");
        public(&key);
    }
    if let Ok(key) = SecretKey::from_multicodec(data) {
        assert_eq!(*key.to_multicodec(), data, "another spelling was accepted");
        secret(key);
    }
    let mut choices = Choices::new(data);
    let algorithm = choices.pick(&ALGORITHMS);
    let bytes = match algorithm.key_length() {
        Some(_) => rsa_key(&mut choices),
        // A compressed point, as often as not with an x that fits; the length is that of the algorithm.
        None => {
            let length = choices.pick(&[32, 33, 49, 57, 67]);
            let mut bytes: Vec<u8> = (0..length).map(|_| choices.byte()).collect();
            if length % 2 == 1 {
                bytes[0] = choices.pick(&[2, 3, 2, 3, 4, 5, 0]);
            }
            if length == 67 {
                bytes[1] &= 1;
            }
            bytes
        }
    };
    if let Ok(key) = PublicKey::new(algorithm.public_key_code(), bytes) {
        assert_eq!(PublicKey::from_multicodec(&key.to_multicodec()).as_ref(), Ok(&key));
        public(&key);
    }
    // RSA keys that are not one of the published kind take long to look through, and come from files of the user's alone.
    if algorithm.key_length().is_none()
        && let Ok(key) = SecretKey::from_bytes(algorithm, &choices.rest())
    {
        secret(key);
    }
}

/// The DER of an RSA key, with all that may be wrong about one.
fn rsa_key(choices: &mut Choices<'_>) -> Vec<u8> {
    let length = choices.pick(&[0, 1, 127, 128, 255, 256, 257, 384, 512, 1024, 1025]);
    let first = choices.byte();
    let mut modulus = vec![first; length];
    for byte in modulus.iter_mut().skip(1) {
        *byte = choices.byte() | 1;
    }
    let exponent = if choices.flag() { vec![1, 0, 1] } else { choices.bytes(10) };
    let (modulus, exponent) = (unsigned(choices, modulus), unsigned(choices, exponent));
    let mut numbers = der(choices, 2, &modulus);
    numbers.extend(der(choices, 2, &exponent));
    der(choices, 0x30, &numbers)
}

fn unsigned(choices: &mut Choices<'_>, mut number: Vec<u8>) -> Vec<u8> {
    if number.first().is_some_and(|first| *first >= 0x80) != choices.rarely(8) {
        number.insert(0, 0);
    }
    number
}

fn der(choices: &mut Choices<'_>, tag: u8, content: &[u8]) -> Vec<u8> {
    if !choices.rarely(16) {
        return written(tag, content);
    }
    let [.., high, low] = content.len().to_be_bytes();
    let lengths = [vec![low], vec![0x81, low], vec![0x82, high, low], vec![0x83, 0, high, low], vec![0x80]];
    [&[tag], &choices.pick_ref(&lengths)[..], content].concat()
}

/// An element whose length is in its shortest form.
fn written(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    match (high, low) {
        (0, 0..0x80) => [&[tag, low], content].concat(),
        (0, _) => [&[tag, 0x81, low], content].concat(),
        _ => [&[tag, 0x82, high, low], content].concat(),
    }
}

/// The content of the first element and what follows it, whatever form its length has.
fn element(bytes: &[u8]) -> (&[u8], &[u8]) {
    let [_, first, rest @ ..] = bytes else { panic!("an element has a tag and a length") };
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at(long - 0x80);
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at(length)
}

/// An RSA key is written in DER as shortly as can be: two numbers above zero, and nothing else.
fn shortest(der_key: &[u8]) {
    let (sequence, after) = element(der_key);
    let (modulus, rest) = element(sequence);
    let (exponent, end) = element(rest);
    assert!(after.is_empty() && end.is_empty());
    for number in [modulus, exponent] {
        assert!(!matches!(number, [] | [0] | [0, 0..0x80, ..] | [0x80..=0xff, ..]), "{number:02x?}");
    }
    let again = [written(2, modulus), written(2, exponent)].concat();
    assert_eq!(written(0x30, &again), der_key);
}

fn public(key: &PublicKey) {
    let did = did_of(key);
    if key.code() == (SignatureAlgorithm::Rs256 { key_length: 256 }).public_key_code() {
        shortest(key.as_bytes());
    }
    for algorithm in ALGORITHMS {
        match key.verifier(algorithm) {
            Ok(verifier) => {
                assert!(key.supports(algorithm));
                assert_eq!((verifier.algorithm(), verifier.public_key()), (algorithm, key.as_bytes()));
                for length in [0, 64, 65, 96, 132, 256] {
                    assert!(verifier.verify(b"a message", &vec![0; length]).is_err(), "zeros are a signature");
                }
                let found = DidKeys.verifier(&did, algorithm, Purpose::Invocation).expect("the key is in the name");
                assert_eq!(found.public_key(), key.as_bytes());
            }
            Err(_) => assert!(DidKeys.verifier(&did, algorithm, Purpose::Invocation).is_err()),
        }
    }
}

fn secret(key: SecretKey) {
    let (algorithm, public_key) = (key.algorithm(), key.public_key());
    public(&public_key);
    let again = SecretKey::from_multicodec(&key.to_multicodec()).expect("what is written is read");
    assert_eq!(again.public_key(), public_key);
    let signature = key.into_signer().try_sign(b"a message").expect("a software key signs");
    let verifier = public_key.verifier(algorithm).expect("a key that signs verifies");
    assert!(verifier.verify(b"a message", signature.as_bytes()).is_ok());
    assert!(verifier.verify(b"another", signature.as_bytes()).is_err());
}

fn did_of(key: &PublicKey) -> Did {
    let text = multibase::encode(multibase::Base::Base58Btc, key.to_multicodec());
    Did::parse(&format!("did:key:{text}")).expect("base58 may stand in a DID")
}

/// One key of every algorithm that can sign here, and its signatures of [`MESSAGES`].
pub(crate) struct Known {
    pub(crate) issuer: Issuer,
    algorithm: SignatureAlgorithm,
    verifier: Arc<dyn Verifier>,
    signatures: Vec<Vec<u8>>,
}

/// Several, so that the signatures have all that half of them have.
const MESSAGES: [&[u8]; 6] = [b"", b"1", b"2", b"3", b"4", b"5"];

pub(crate) fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| ALGORITHMS.into_iter().filter_map(know).collect())
}

fn know(algorithm: SignatureAlgorithm) -> Option<Known> {
    let key = match algorithm {
        SignatureAlgorithm::Rs384 { .. } | SignatureAlgorithm::Rs512 { .. } => return None,
        SignatureAlgorithm::Rs256 { .. } => {
            let text = include_str!("../../varsig/tests/rsa2048.hex").trim();
            SecretKey::from_bytes(algorithm, &HEXLOWER.decode(text.as_bytes()).expect("hexadecimal"))
        }
        _ => {
            let mut state = 1_u64;
            SecretKey::generate(algorithm, &mut |bytes| {
                for byte in bytes {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *byte = state.to_be_bytes()[0];
                }
            })
        }
    };
    // The feature of an algorithm may not be there.
    let key = key.ok()?;
    let public = key.public_key();
    let signer: Arc<dyn Signer> = key.into_signer();
    let signatures =
        MESSAGES.map(|message| signer.try_sign(message).expect("a software key signs").into_bytes()).into();
    let verifier = public.verifier(algorithm).expect("a key that signs verifies");
    Some(Known { issuer: Issuer::new(did_of(&public), signer), algorithm, verifier, signatures })
}

/// What is accepted is the signature that was made, or the one other spelling that its algorithm has, for the message that was
/// signed and by the key that signed it.
pub fn signature(data: &[u8]) {
    let mut choices = Choices::new(data);
    let known = known();
    let signed = choices.pick_ref(known);
    let number = choices.below(MESSAGES.len());
    let (original, made) = (MESSAGES[number], &signed.signatures[number][..]);
    assert!(signed.verifier.verify(original, made).is_ok());
    let (mut message, mut signature) = (original.to_vec(), made.to_vec());
    for _ in 0..=choices.below(3) {
        match choices.below(9) {
            8 => {
                if let Some(last) = signature.last_mut() {
                    *last = choices.pick(&[0, 1, 2, 3, 4, 26, 27, 28, 29, 30, 31, 32, 35, 255]);
                }
            }
            0 => message = choices.bytes(20),
            1 => signature = respell(signed.algorithm, &signature).unwrap_or_default(),
            2 => signature = beyond(signed.algorithm, signed.verifier.public_key(), &signature),
            3 => {
                let half = signature.len() / 2;
                let number = choices.pick(&[0, 1, 0xff]);
                let range = if choices.flag() { 0..half } else { half..2 * half };
                signature[range].fill(number);
            }
            4 => signature.truncate(choices.below(signature.len() + 1)),
            5 => signature.insert(choices.below(signature.len() + 1), choices.byte()),
            6 => {
                let places = choices.below(signature.len() + 1);
                signature.rotate_left(places);
            }
            _ => {
                let at = choices.below(signature.len().max(1));
                if let Some(byte) = signature.get_mut(at) {
                    *byte = choices.byte();
                }
            }
        }
    }
    // Everybody is asked now and then: it takes long.
    let everybody = choices.rarely(8);
    for other in known.iter().filter(|other| everybody || other.algorithm == signed.algorithm) {
        let accepted = other.verifier.verify(&message, &signature).is_ok();
        let same_key = other.algorithm == signed.algorithm && message == original;
        let right = same_key && is_spelling_of(signed.algorithm, made, &signature);
        assert_eq!(accepted, right, "{} {} {signature:02x?}", signed.algorithm, other.algorithm);
    }
}

/// Whether a signature is the one that was made, or the one other that is as good under its algorithm.
pub(crate) fn is_spelling_of(algorithm: SignatureAlgorithm, made: &[u8], other: &[u8]) -> bool {
    let accepted = match algorithm {
        // Either sign of s, because some hardware knows no better.
        SignatureAlgorithm::Es256 | SignatureAlgorithm::Es384 | SignatureAlgorithm::Es512 => {
            respell(algorithm, made).is_some_and(|respelled| respelled == other)
        }
        // Some wallets write 0 and 1 for 27 and 28.
        SignatureAlgorithm::Eip191 => match (made.split_last(), other.split_last()) {
            (Some((id, made)), Some((other_id, other))) => made == other && other_id.checked_add(27) == Some(*id),
            _ => false,
        },
        _ => false,
    };
    accepted || made == other
}

/// An ECDSA signature with the other sign of s.
pub(crate) fn respell(algorithm: SignatureAlgorithm, signature: &[u8]) -> Option<Vec<u8>> {
    let order = order(algorithm)?;
    let (scalars, id) = signature.split_at_checked(2 * order.len())?;
    let (r, s) = scalars.split_at(order.len());
    let id: Vec<u8> = id.iter().map(|id| id ^ 7).collect();
    Some([r, &difference(&order, s), &id].concat())
}

/// A signature whose last number is larger than it may be, by what it is taken modulo.
fn beyond(algorithm: SignatureAlgorithm, key: &[u8], signature: &[u8]) -> Vec<u8> {
    let modulus = match order(algorithm) {
        Some(order) => order,
        None if algorithm.key_length().is_some() => {
            // Behind 30 82 .. .. 02 82 01 01 00.
            key.get(9..9 + 256).unwrap_or_default().to_vec()
        }
        None => return signature.to_vec(),
    };
    let start = match order(algorithm) {
        Some(order) => order.len(),
        None => 0,
    };
    let Some((front, rest)) = signature.split_at_checked(start) else { return signature.to_vec() };
    let Some((number, id)) = rest.split_at_checked(modulus.len()) else { return signature.to_vec() };
    [front, &sum(&modulus, number), id].concat()
}

/// The order of the base point, big endian.
fn order(algorithm: SignatureAlgorithm) -> Option<Vec<u8>> {
    let hex = match algorithm {
        SignatureAlgorithm::Es256 => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        SignatureAlgorithm::Es256K | SignatureAlgorithm::Eip191 => {
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        }
        SignatureAlgorithm::Es384 => concat!(
            "ffffffffffffffffffffffffffffffffffffffffffffffff",
            "c7634d81f4372ddf581a0db248b0a77aecec196accc52973"
        ),
        SignatureAlgorithm::Es512 => concat!(
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa",
            "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"
        ),
        _ => return None,
    };
    Some(HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal"))
}

/// Big endian and of one length; what does not fit is left out.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(digit < 0);
            digit.rem_euclid(256) as u8
        })
        .collect();
    digits.reverse();
    digits
}

/// As [`difference`].
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = u16::from(*a) + u16::from(*b) + carry;
            carry = digit >> 8;
            (digit & 0xff) as u8
        })
        .collect();
    digits.reverse();
    digits
}
