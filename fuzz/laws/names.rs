//! Signature headers, principals and commands.

use ucan_core::{Command, Did, DidKeys, KeySource, Purpose};
use varsig::{PayloadEncoding, SignatureAlgorithm, Varsig, ed25519::VerifyingKey};

use super::choices::Choices;

/// One of each algorithm; those with parameters with a common one.
pub(crate) const ALGORITHMS: [SignatureAlgorithm; 12] = [
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::Ed448,
    SignatureAlgorithm::Es256,
    SignatureAlgorithm::Es384,
    SignatureAlgorithm::Es512,
    SignatureAlgorithm::Es256K,
    SignatureAlgorithm::Eip191,
    SignatureAlgorithm::Rs256 { key_length: 256 },
    SignatureAlgorithm::Rs384 { key_length: 384 },
    SignatureAlgorithm::Rs512 { key_length: 512 },
    SignatureAlgorithm::Bls12381G1,
    SignatureAlgorithm::Bls12381G2,
];

const ENCODINGS: [PayloadEncoding; 6] = [
    PayloadEncoding::Raw,
    PayloadEncoding::DagCbor,
    PayloadEncoding::DagJson,
    PayloadEncoding::Eip191Raw,
    PayloadEncoding::Eip191DagCbor,
    PayloadEncoding::Eip191DagJson,
];

/// A header has one spelling, of which no part and no continuation is a header.
pub fn varsig(data: &[u8]) {
    if let Ok(header) = Varsig::decode(data) {
        assert_eq!(header.encode(), data, "another spelling was accepted");
        assert!(!header.to_string().is_empty());
        assert!(Varsig::decode(&data[..data.len() - 1]).is_err());
        assert!(Varsig::decode(&[data, &[0]].concat()).is_err());
    }
    let mut choices = Choices::new(data);
    let header = Varsig::new(choices.pick(&ALGORITHMS), choices.pick(&ENCODINGS));
    let mut bytes = header.encode();
    assert_eq!(Varsig::decode(&bytes), Ok(header));
    // One change.
    let at = choices.below(bytes.len());
    bytes[at] = choices.byte();
    if let Ok(changed) = Varsig::decode(&bytes) {
        assert_eq!(changed.encode(), bytes);
        assert_eq!(changed == header, bytes == header.encode());
    }
}

/// A principal is the text that was read, made of its parts; what verifies for it is of the algorithm that was asked for.
pub fn did(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        one_did(text);
    }
    // A key of any kind under its code, which a fuzzer would not find in base 58.
    let mut choices = Choices::new(data);
    let code: &[u8] =
        choices.pick(&[&[0xed, 0x01], &[0x80, 0x24], &[0x81, 0x24], &[0x82, 0x24], &[0xe7, 0x01], &[0x85, 0x24]]);
    let key = choices.rest();
    let base = choices.pick(&[multibase::Base::Base58Btc, multibase::Base::Base32Lower]);
    one_did(&format!("did:key:{}", multibase::encode(base, [code, &key].concat())));
}

fn one_did(text: &str) {
    let Ok(did) = Did::parse(text) else { return };
    assert_eq!(did.as_str(), text);
    assert_eq!(did.to_string().parse(), Ok(did.clone()));
    assert_eq!(format!("did:{}:{}", did.method(), did.id()), did.principal());
    match did.fragment() {
        Some(fragment) => assert_eq!(format!("{}#{fragment}", did.principal()), text),
        None => assert_eq!(did.principal(), text),
    }
    let bare = Did::parse(did.principal()).expect("a principal without its fragment is one");
    assert!(did.same_principal(&bare) && bare.fragment().is_none());
    let mut keys = 0;
    for algorithm in ALGORITHMS {
        for purpose in [Purpose::Delegation, Purpose::Invocation] {
            let Ok(verifier) = DidKeys.verifier(&did, algorithm, purpose) else { continue };
            keys += 1;
            assert_eq!(did.method(), "key");
            assert_eq!(verifier.algorithm(), algorithm);
            assert!(verifier.verify(b"a message", &[0; 64]).is_err());
            let same = DidKeys.verifier(&bare, algorithm, purpose).expect("a fragment makes no difference");
            assert_eq!(same.public_key(), verifier.public_key());
            if algorithm == SignatureAlgorithm::Ed25519 {
                let bytes = verifier.public_key().try_into().expect("32 bytes");
                let key = VerifyingKey::from_bytes(bytes).expect("a key that verifies is one");
                assert_eq!(Did::from_ed25519(&key), bare, "two principals have one key");
            }
        }
    }
    assert!(keys <= 4, "a key serves both purposes, with one algorithm, or on secp256k1 with two");
}

/// A command is its segments, and covers what begins with all of them and nothing else.
pub fn command(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut commands = text.splitn(2, '\n').filter_map(|text| Command::parse(text).ok().map(|command| (text, command)));
    let Some((text, command)) = commands.next() else { return };
    assert_eq!(command.as_str(), text);
    assert_eq!(command.to_string().parse(), Ok(command.clone()));
    assert_eq!(text.to_lowercase(), text);
    assert_eq!(format!("/{}", command.segments().collect::<Vec<_>>().join("/")), text);
    assert!(command.covers(&command) && Command::top().covers(&command));
    assert_eq!(command.covers(&Command::top()), command == Command::top());
    let below = format!("{}/x", text.trim_end_matches('/'));
    if let Ok(below) = Command::parse(&below) {
        assert!(command.covers(&below) && !below.covers(&command));
    }
    let beside = format!("{text}x");
    if let Ok(beside) = Command::parse(&beside) {
        assert_eq!(command.covers(&beside), command == Command::top());
    }
    if let Some((other_text, other)) = commands.next() {
        let begins = text == "/" || other_text == text || other_text.starts_with(&format!("{text}/"));
        assert_eq!(command.covers(&other), begins, "{text} and {other_text}");
    }
}
