//! Headers against the vectors, and the codec against arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use proptest::prelude::*;
use serde_json::Value;
use varsig::{HeaderError, PayloadEncoding, SignatureAlgorithm, Varsig};

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../fixtures/varsig/headers.json")).unwrap();
    let (mut read, mut refused) = (0, 0);
    for case in vectors["cases"].as_array().unwrap() {
        assert_eq!(case["request"]["op"], "varsig");
        let bytes = BASE64_NOPAD.decode(case["request"]["bytes"].as_str().unwrap().as_bytes()).unwrap();
        match Varsig::decode(&bytes) {
            Ok(header) => {
                assert_eq!(case["ok"]["algorithm"], header.algorithm().to_string(), "{case}");
                assert_eq!(case["ok"]["encoding"], header.encoding().to_string(), "{case}");
                assert_eq!(header.encode(), bytes, "{case}");
                let named = header.algorithm().to_string().parse::<SignatureAlgorithm>().unwrap();
                let length = header.algorithm().key_length().unwrap_or_default();
                assert_eq!(named.with_key_length(length), header.algorithm());
                assert_eq!(header.encoding().to_string().parse(), Ok(header.encoding()));
                read += 1;
            }
            Err(error) => {
                assert_eq!(case["error"]["name"], error.name(), "{case}: {error}");
                refused += 1;
            }
        }
    }
    assert_eq!((read, refused), (79, 59));
}

#[test]
fn errors_say_what_and_where() {
    let error = |text| Varsig::decode(&hex(text)).unwrap_err();
    assert_eq!(error("3401ed"), HeaderError::Truncated);
    assert_eq!(error("00"), HeaderError::Prefix(0));
    assert_eq!(error("3402"), HeaderError::Version(2));
    assert_eq!(error("348100"), HeaderError::Varint { offset: 1 });
    assert_eq!(error("3401b101ea0113"), HeaderError::UnknownAlgorithm { prefix: 0xb1 });
    assert_eq!(error("3401ed01ed01137f"), HeaderError::UnknownEncoding { code: 0x7f });
    assert_eq!(error("3401ed01ed01137171"), HeaderError::Trailing { offset: 8 });
}

#[test]
fn an_rsa_key_length_is_part_of_the_algorithm() {
    let header = Varsig::new(SignatureAlgorithm::Rs512 { key_length: 0x1234 }, PayloadEncoding::Raw);
    assert_eq!(Varsig::decode(&header.encode()), Ok(header));
    assert_eq!(header.algorithm().key_length(), Some(0x1234));
    assert_eq!(SignatureAlgorithm::Es256.key_length(), None);
}

#[test]
fn what_is_signed_is_the_payload_or_wrapped_by_the_key_that_signs_it() {
    use PayloadEncoding::{DagCbor, DagJson, Eip191DagCbor, Eip191Raw, Raw};
    let message = |algorithm, encoding| Varsig::new(algorithm, encoding).message_encoding();
    assert_eq!(message(SignatureAlgorithm::Ed25519, DagJson), Some(DagJson));
    assert_eq!(message(SignatureAlgorithm::Eip191, Eip191Raw), Some(Raw));
    assert_eq!(message(SignatureAlgorithm::Eip191, Raw), None);
    assert_eq!(message(SignatureAlgorithm::Es256K, Eip191DagCbor), None);
    assert_eq!(message(SignatureAlgorithm::Ed25519, Eip191DagCbor), None);
    assert_eq!(message(SignatureAlgorithm::Eip191, DagCbor), None);
}

proptest! {
    #[test]
    fn what_decodes_has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
        if let Ok(header) = Varsig::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn every_changed_byte_is_another_header_or_none(at in 0_usize..8, byte: u8) {
        let header = Varsig::new(SignatureAlgorithm::Ed25519, PayloadEncoding::DagCbor);
        let mut bytes = header.encode();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        prop_assert_ne!(Varsig::decode(&bytes), Ok(header));
    }
}
