//! Headers against the vectors, and the codec against arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use varsig::{HeaderError, PayloadEncoding, SignatureAlgorithm, Varsig};

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The value of a key in one line of the vectors, which have one case to a line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\": "))?;
    let end = rest.find([',', '}'])?;
    Some(rest[..end].trim_matches('"'))
}

#[test]
fn the_vectors() {
    let (mut read, mut refused) = (0, 0);
    for line in include_str!("../../fixtures/varsig/headers.json").lines() {
        let Some(bytes) = value(line, "hex").map(hex) else {
            continue;
        };
        let header = Varsig::decode(&bytes);
        match value(line, "algorithm") {
            Some(algorithm) => {
                let header = header.unwrap();
                assert_eq!(header.algorithm().to_string(), algorithm, "{line}");
                assert_eq!(header.encoding().to_string(), value(line, "encoding").unwrap(), "{line}");
                assert_eq!(header.encode(), bytes, "{line}");
                let length = match header.algorithm() {
                    SignatureAlgorithm::Rs256 { key_length }
                    | SignatureAlgorithm::Rs384 { key_length }
                    | SignatureAlgorithm::Rs512 { key_length } => Some(key_length.to_string()),
                    _ => None,
                };
                assert_eq!(length.as_deref(), value(line, "keyLength"), "{line}");
                read += 1;
            }
            None => {
                assert!(header.is_err(), "{line}");
                refused += 1;
            }
        }
    }
    assert_eq!((read, refused), (16, 22));
}

#[test]
fn errors_say_what_and_where() {
    let error = |text| Varsig::decode(&hex(text)).unwrap_err();
    assert_eq!(error("3401ed"), HeaderError::Truncated);
    assert_eq!(error("00"), HeaderError::Prefix(0));
    assert_eq!(error("3402"), HeaderError::Version(2));
    assert_eq!(error("348100"), HeaderError::Varint { offset: 1 });
    assert_eq!(error("3401b101ea0112"), HeaderError::UnknownAlgorithm { prefix: 0xb1 });
    assert_eq!(error("3401ed01ed01137f"), HeaderError::UnknownEncoding { code: 0x7f });
    assert_eq!(error("3401ed01ed01137171"), HeaderError::Trailing { offset: 8 });
}

#[test]
fn an_rsa_key_length_is_part_of_the_algorithm() {
    let header = Varsig::new(SignatureAlgorithm::Rs512 { key_length: 0x1234 }, PayloadEncoding::Raw);
    assert_eq!(Varsig::decode(&header.encode()), Ok(header));
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
