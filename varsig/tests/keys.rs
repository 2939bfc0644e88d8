//! Keys in and out: what is stored, what is shown, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use varsig::{AsyncSigner, PublicKey, PublicKeyError, SecretKey, SecretKeyError, SignatureAlgorithm};

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// RFC 6979, appendices A.2.5 to A.2.7, with the usual hash of each curve, and what is often quoted for secp256k1: algorithm, secret
/// key, message, signature, of which the lower `s` is meant.
const DETERMINISTIC: [(&str, &str, &str, &str); 4] = [
    (
        "ES256",
        "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
        "test",
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    ),
    (
        "ES384",
        "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
        "test",
        "8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023dbddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5",
    ),
    (
        "ES512",
        "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
        "sample",
        "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
    ),
    (
        "ES256K",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "Satoshi Nakamoto",
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
    ),
];

#[test]
fn signatures_are_those_of_rfc_6979() {
    for (name, secret, message, signature) in DETERMINISTIC {
        let algorithm = name.parse().unwrap();
        match SecretKey::from_bytes(algorithm, &hex(secret)) {
            Err(SecretKeyError::Unsupported(_)) => {}
            key => {
                let made = key.unwrap().into_signer().try_sign(message.as_bytes()).unwrap();
                let half = made.as_bytes().len();
                assert_eq!(HEXLOWER.encode(&made.as_bytes()[..half / 2]), signature[..half], "{name}");
            }
        }
    }
}

/// Every algorithm with software keys, and whether they have a fixed length.
const ALGORITHMS: [(&str, &[u8]); 6] = [
    ("Ed25519", &[0x80, 0x26]),
    ("ES256K", &[0x81, 0x26]),
    ("EIP191", &[0x81, 0x26]),
    ("ES256", &[0x86, 0x26]),
    ("ES384", &[0x87, 0x26]),
    ("ES512", &[0x88, 0x26]),
];

#[test]
fn a_stored_key_is_the_same_key() {
    for (name, code) in ALGORITHMS {
        let algorithm: SignatureAlgorithm = name.parse().unwrap();
        let key = match SecretKey::generate(algorithm, &mut |bytes| bytes.fill(0x5a)) {
            Err(SecretKeyError::Unsupported(_)) => continue,
            key => key.unwrap(),
        };
        let stored = key.to_multicodec();
        assert!(stored.starts_with(code), "{name}");
        let again = SecretKey::from_multicodec(&stored).unwrap().with_algorithm(algorithm).unwrap();
        assert_eq!(*again.to_multicodec(), *stored);
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!((again.algorithm(), again.code()), (algorithm, algorithm.secret_key_code()));

        let public = key.public_key();
        assert_eq!(PublicKey::from_multicodec(&public.to_multicodec()), Ok(public.clone()));
        assert!(public.supports(algorithm) && !public.supports(SignatureAlgorithm::Ed448));
        assert_eq!(public.code(), algorithm.public_key_code());
        assert_eq!(public.verifier(algorithm).unwrap().public_key(), public.as_bytes());

        // No secret is shown: every byte of it is 5a, but for what the first one cannot be.
        let mut shown = format!("{key:?}");
        shown.push_str(&format!("{:?}", key.into_signer()));
        assert!(!shown.contains("5a5a5a") && !shown.contains("90, 90"), "{shown}");

        let got = stored.len() - 3;
        let error = SecretKey::from_multicodec(&stored[..stored.len() - 1]).unwrap_err();
        assert_eq!(error, SecretKeyError::Length { expected: got + 1, got });
    }
}

#[test]
fn what_is_no_secret_key_is_refused() {
    let error = |bytes: &[u8]| SecretKey::from_multicodec(bytes).unwrap_err();
    assert_eq!(error(&[]), SecretKeyError::NoCode);
    assert_eq!(error(&[0x80]), SecretKeyError::NoCode);
    assert_eq!(error(&[0x80, 0x00]), SecretKeyError::NoCode);
    // A public key.
    assert_eq!(error(&hex(&format!("ed01{}", "07".repeat(32)))), SecretKeyError::UnknownCode { code: 0xed });
    assert_eq!(error(&hex("912607")), SecretKeyError::Unsupported(SignatureAlgorithm::Ed448));
    for (name, code) in ALGORITHMS {
        let algorithm: SignatureAlgorithm = name.parse().unwrap();
        let length = match SecretKey::from_bytes(algorithm, &[]) {
            Err(SecretKeyError::Length { expected, got: 0 }) => expected,
            Err(SecretKeyError::Unsupported(_)) => continue,
            other => panic!("{other:?}"),
        };
        if name != "Ed25519" {
            assert_eq!(error(&[code, &vec![0; length]].concat()), SecretKeyError::Invalid, "zero");
            assert_eq!(error(&[code, &vec![0xff; length]].concat()), SecretKeyError::Invalid, "above the order");
            let broken = SecretKey::generate(algorithm, &mut |bytes| bytes.fill(0));
            assert_eq!(broken.unwrap_err(), SecretKeyError::Randomness);
        }
    }
}

#[cfg(feature = "p256")]
#[test]
fn randomness_that_is_no_key_is_drawn_again() {
    let mut draws = 0;
    let key = varsig::p256::SigningKey::generate(&mut |bytes| {
        draws += 1;
        bytes.fill(if draws < 3 { 0xff } else { 1 });
    });
    assert_eq!(*key.unwrap().to_bytes(), [1; 32]);
    assert_eq!(draws, 3);
}

#[test]
fn what_is_no_public_key_is_refused() {
    let error = |bytes: &[u8]| PublicKey::from_multicodec(bytes).unwrap_err();
    assert_eq!(error(&[]), PublicKeyError::NoCode);
    assert_eq!(error(&[0xed, 0x81, 0x00]), PublicKeyError::NoCode);
    // X25519 keys cannot sign.
    assert_eq!(error(&hex(&format!("ec01{}", "07".repeat(32)))), PublicKeyError::UnknownCode { code: 0xec });
    assert_eq!(error(&[0xed, 0x01, 7]), PublicKeyError::Length { expected: 32, got: 1 });
    assert_eq!(error(&[0x85, 0x24, 0x30]), PublicKeyError::NotPkcs1);

    let key = PublicKey::new(0x1203, [1; 57]).unwrap();
    let unsupported = PublicKeyError::Unsupported(SignatureAlgorithm::Ed448);
    assert_eq!(key.verifier(SignatureAlgorithm::Ed448).unwrap_err(), unsupported);
    assert_eq!((unsupported.name(), PublicKeyError::NotAPoint.name()), ("UnsupportedAlgorithm", "InvalidSignature"));
    let wrong = PublicKeyError::WrongAlgorithm { code: 0x1203, algorithm: SignatureAlgorithm::Ed25519 };
    assert_eq!(key.verifier(SignatureAlgorithm::Ed25519).unwrap_err(), wrong);
}

#[cfg(feature = "ed25519")]
#[test]
fn every_signer_can_be_waited_for() {
    let key = SecretKey::generate(SignatureAlgorithm::Ed25519, &mut |bytes| bytes.fill(1)).unwrap();
    let public = key.public_key();
    let signer: Arc<dyn AsyncSigner> = Arc::new(key.into_signer());
    assert_eq!(signer.algorithm(), SignatureAlgorithm::Ed25519);
    let mut signing = pin!(signer.sign(b"m"));
    let Poll::Ready(Ok(signature)) = signing.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a software key does not wait");
    };
    let verifier = public.verifier(SignatureAlgorithm::Ed25519).unwrap();
    assert_eq!(verifier.verify(b"m", signature.as_bytes()), Ok(()));
}

#[cfg(feature = "rsa")]
mod rsa {
    use super::*;

    fn stored() -> Vec<u8> {
        [&[0x85, 0x26], hex(include_str!("rsa2048.hex").trim()).as_slice()].concat()
    }

    #[test]
    fn the_length_of_a_key_is_in_the_key_and_in_the_algorithm() {
        let key = SecretKey::from_multicodec(&stored()).unwrap();
        assert_eq!(key.algorithm(), SignatureAlgorithm::Rs256 { key_length: 256 });
        assert_eq!(*key.to_multicodec(), stored());
        let public = key.public_key();
        assert_eq!(PublicKey::from_multicodec(&public.to_multicodec()), Ok(public.clone()));
        assert!(public.supports(SignatureAlgorithm::Rs512 { key_length: 256 }));
        assert!(!public.supports(SignatureAlgorithm::Rs512 { key_length: 512 }));
        let error = public.verifier(SignatureAlgorithm::Rs256 { key_length: 512 }).unwrap_err();
        assert_eq!(error, PublicKeyError::ModulusLength { expected: 512, got: 256 });
        assert!(!format!("{key:?}").contains(&HEXLOWER.encode(&stored()[300..310])));

        let key = key.with_algorithm(SignatureAlgorithm::Rs384 { key_length: 256 }).unwrap();
        assert_eq!(key.algorithm(), SignatureAlgorithm::Rs384 { key_length: 256 });
        let error = key.with_algorithm(SignatureAlgorithm::Rs384 { key_length: 512 }).unwrap_err();
        assert_eq!(error, PublicKeyError::ModulusLength { expected: 512, got: 256 }.into());
    }

    #[test]
    fn a_secret_key_has_one_spelling() {
        let good = stored();
        for cut in [2, 3, 6, 100, good.len() - 1] {
            assert_eq!(SecretKey::from_multicodec(&good[..cut]).unwrap_err(), SecretKeyError::Invalid);
        }
        for at in (2..good.len()).step_by(61) {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert_eq!(SecretKey::from_multicodec(&changed).unwrap_err(), SecretKeyError::Invalid, "byte {at}");
        }
        assert_eq!(SecretKey::from_multicodec(&[good.as_slice(), &[0]].concat()).unwrap_err(), SecretKeyError::Invalid);
    }

    #[test]
    fn keys_are_made_of_the_length_that_is_asked_for() {
        // A generator that is good enough for a test: SplitMix64.
        let mut state = 1_u64;
        let mut fill = |bytes: &mut [u8]| {
            for byte in bytes {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                *byte = (mixed ^ (mixed >> 31)).to_le_bytes()[0];
            }
        };
        let algorithm = SignatureAlgorithm::Rs256 { key_length: 256 };
        let key = SecretKey::generate(algorithm, &mut fill).unwrap();
        assert!(key.public_key().supports(algorithm));
        let again = SecretKey::from_multicodec(&key.to_multicodec()).unwrap();
        assert_eq!(again.public_key(), key.public_key());

        let short = SecretKey::generate(algorithm.with_key_length(128), &mut fill).unwrap_err();
        assert_eq!(short, PublicKeyError::ModulusSize { bits: 1024 }.into());
        let long = SecretKey::generate(algorithm.with_key_length(1025), &mut fill).unwrap_err();
        assert_eq!(long, PublicKeyError::ModulusSize { bits: 8200 }.into());
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(code in 0_usize..12, bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        const CODES: [&[u8]; 12] = [
            &[0xed, 0x01], &[0xe7, 0x01], &[0x80, 0x24], &[0x81, 0x24], &[0x82, 0x24], &[0x85, 0x24],
            &[0x80, 0x26], &[0x81, 0x26], &[0x86, 0x26], &[0x88, 0x26], &[0x85, 0x26], &[],
        ];
        let bytes = [CODES[code], &bytes].concat();
        if let Ok(key) = PublicKey::from_multicodec(&bytes) {
            prop_assert_eq!(key.to_multicodec(), bytes.clone());
        }
        if let Ok(key) = SecretKey::from_multicodec(&bytes) {
            prop_assert_eq!(key.to_multicodec().to_vec(), bytes);
        }
    }
}
