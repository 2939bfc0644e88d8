//! Principals and their keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ucan_core::{Did, DidKeys, Ipld, Issuer, KeyError, KeySource, Purpose, dagjson};
use varsig::{PublicKey, PublicKeyError, SecretKey, SignatureAlgorithm};

/// What an error is called in the vectors.
fn name(error: &KeyError) -> &'static str {
    match error {
        KeyError::UnsupportedMethod { .. } => "UnsupportedMethod",
        KeyError::Malformed { .. } => "NotBase58",
        KeyError::BadKey { source, .. } => match source {
            PublicKeyError::NoCode => "NoCode",
            PublicKeyError::UnknownCode { .. } => "UnknownCode",
            PublicKeyError::Length { .. } => "Length",
            PublicKeyError::NotPkcs1 => "NotPkcs1",
            PublicKeyError::NotAPoint => "NotAPoint",
            PublicKeyError::Weak => "Weak",
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

fn is_built_in(algorithm: SignatureAlgorithm) -> bool {
    let kinds = [
        (0xed, true),
        (0xe7, true),
        (0x1200, true),
        (0x1201, cfg!(feature = "p384")),
        (0x1202, cfg!(feature = "p521")),
        (0x1205, cfg!(feature = "rsa")),
    ];
    kinds.contains(&(algorithm.public_key_code(), true))
}

/// A string of a case, if it has one of that name.
fn text<'a>(case: &'a Ipld, key: &str) -> Option<&'a str> {
    match case.get(key) {
        Ok(Some(Ipld::String(text))) => Some(text),
        _ => None,
    }
}

/// A number of a case, if it has one of that name.
fn number(case: &Ipld, key: &str) -> Option<u64> {
    match case.get(key) {
        Ok(Some(Ipld::Integer(number))) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn hex(case: &Ipld, key: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(case, key).unwrap().as_bytes()).unwrap()
}

#[test]
fn the_vectors_of_did_key() {
    let (mut good, mut bad) = (0, 0);
    let file = dagjson::decode(include_bytes!("../../fixtures/did/did-key.json")).unwrap();
    let Ok(Some(Ipld::List(cases))) = file.take("cases") else { panic!("a file has cases") };
    for case in cases {
        let title = text(&case, "name").unwrap().to_owned();
        let did: Did = text(&case, "did").unwrap().parse().unwrap();
        if let Some(expected) = text(&case, "error") {
            bad += 1;
            // Some are only found when the key is used, with the algorithm that its code stands for.
            let error = match did.public_key() {
                Err(error) => error,
                Ok(key) => {
                    let algorithms =
                        [SignatureAlgorithm::Ed25519, SignatureAlgorithm::Es256, SignatureAlgorithm::Es256K];
                    let algorithm = algorithms.into_iter().find(|algorithm| key.supports(*algorithm)).unwrap();
                    DidKeys.verifier(&did, algorithm, Purpose::Delegation).unwrap_err()
                }
            };
            assert_eq!(name(&error), expected, "{title}");
            continue;
        }
        good += 1;
        let code = number(&case, "code").unwrap();
        let key = PublicKey::new(code, hex(&case, "public_key")).unwrap();
        assert_eq!(did.public_key().as_ref(), Ok(&key), "{title}");
        assert_eq!(Did::from_public_key(&key), did, "{title}");
        let algorithm: SignatureAlgorithm = text(&case, "algorithm").unwrap().parse().unwrap();
        let length = number(&case, "key_length").map(|length| u16::try_from(length).unwrap());
        let algorithm = length.map_or(algorithm, |length| algorithm.with_key_length(length));
        let verifier = DidKeys.verifier(&did, algorithm, Purpose::Invocation);
        if is_built_in(algorithm) {
            let verifier = verifier.unwrap();
            assert_eq!((verifier.algorithm(), verifier.public_key()), (algorithm, key.as_bytes()), "{title}");
        } else {
            assert_eq!(verifier.unwrap_err(), KeyError::Unsupported { algorithm }, "{title}");
        }
        // No other algorithm will do.
        let other = match algorithm {
            SignatureAlgorithm::Es256 => SignatureAlgorithm::Es384,
            SignatureAlgorithm::Rs256 { key_length } => SignatureAlgorithm::Rs256 { key_length: key_length + 1 },
            _ => SignatureAlgorithm::Es256,
        };
        let error = KeyError::WrongAlgorithm { did: did.clone(), algorithm: other };
        assert_eq!(DidKeys.verifier(&did, other, Purpose::Delegation).unwrap_err(), error, "{title}");
        if text(&case, "secret_key").is_some() && is_built_in(algorithm) {
            let secret = SecretKey::from_bytes(algorithm, &hex(&case, "secret_key")).unwrap();
            assert_eq!(Issuer::from_key(secret).did(), &did, "{title}");
        }
    }
    assert_eq!((good, bad), (23, 30));
}

#[test]
fn the_fragment_of_a_did_key_says_nothing() {
    let did: Did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#anything".parse().unwrap();
    assert_eq!(Did::from_public_key(&did.public_key().unwrap()).as_str(), did.principal());
}

#[cfg(feature = "eip191")]
mod accounts {
    use super::*;
    use ucan_core::{Command, Delegation, SignatureError, Token, dagcbor, verify};
    use varsig::{PayloadEncoding, VerifyError, eip191, secp256k1};

    fn resolve(did: &str) -> Result<Vec<u8>, KeyError> {
        let did = did.parse().unwrap();
        let verifier = DidKeys.verifier(&did, SignatureAlgorithm::Eip191, Purpose::Delegation)?;
        Ok(verifier.public_key().to_vec())
    }

    #[test]
    fn addresses_have_a_checksum_when_they_are_in_mixed_case() {
        // The examples of EIP-55.
        for address in [
            "52908400098527886E0F7030069857D2E4169EE7",
            "8617E340B3D01FA5F11F306F4090FD50E238070D",
            "de709f2102306220921060314715629080e2fb77",
            "27b1fdb04752bbc536007a920d24acb045561c26",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "fB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "dbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "D1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(address.as_bytes()).unwrap();
            assert_eq!(resolve(&format!("did:pkh:eip155:1:0x{address}")), Ok(bytes), "{address}");
        }
        let good = "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        for (at, letter) in good.char_indices().filter(|(_, letter)| letter.is_ascii_alphabetic()) {
            let other =
                if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            let bad = format!("did:pkh:eip155:1:0x{}{other}{}", &good[..at], &good[at + 1..]);
            assert!(matches!(resolve(&bad), Err(KeyError::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn what_is_no_account() {
        let address = "de709f2102306220921060314715629080e2fb77";
        let malformed = [
            format!("eip155:1:{address}"),
            format!("eip155:1:0X{address}"),
            format!("eip155:1:0x{}", &address[1..]),
            format!("eip155:1:0x{}", &address[2..]),
            format!("eip155:1:0x{address}00"),
            format!("eip155:1:0x{}g", &address[1..]),
            format!("eip155:01:0x{address}"),
            format!("eip155::0x{address}"),
            format!("eip155:x:0x{address}"),
            format!("eip155:{}:0x{address}", "1".repeat(33)),
            format!("eip155:1:1:0x{address}"),
            "eip155:1".to_owned(),
        ];
        for id in malformed {
            assert!(matches!(resolve(&format!("did:pkh:{id}")), Err(KeyError::Malformed { .. })), "{id}");
        }
        let other = "did:pkh:solana:4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZ:CKg5d12Jhpej1JqtmxLJgaFqqeYjxgPqToJ4LBdvG9Ev";
        assert!(matches!(resolve(other), Err(KeyError::UnsupportedMethod { .. })));
        let did: Did = format!("did:pkh:eip155:1:0x{address}").parse().unwrap();
        let algorithm = SignatureAlgorithm::Es256K;
        let error = KeyError::WrongAlgorithm { did: did.clone(), algorithm };
        assert_eq!(DidKeys.verifier(&did, algorithm, Purpose::Delegation).unwrap_err(), error);
        // The public key behind an address is not known.
        assert!(matches!(did.public_key(), Err(KeyError::UnsupportedMethod { .. })));
    }

    fn wallet(seed: u8) -> eip191::SigningKey {
        eip191::SigningKey::new(secp256k1::SigningKey::from_bytes(&[seed; 32]).unwrap())
    }

    fn account(seed: u8) -> Issuer {
        let wallet = wallet(seed);
        let address = data_encoding::HEXLOWER.encode(&wallet.verifying_key().address());
        Issuer::new(format!("did:pkh:eip155:1:0x{address}").parse().unwrap(), std::sync::Arc::new(wallet))
    }

    fn grant(issuer: &Issuer) -> Delegation {
        Delegation::builder(account(9).did().clone(), Some(issuer.did().clone()), Command::top()).sign(issuer).unwrap()
    }

    #[test]
    fn wallets_sign_delegations() {
        // As an account, and as the did:key of the same key.
        let key = SecretKey::from_bytes(SignatureAlgorithm::Eip191, &[7; 32]).unwrap();
        for issuer in [account(7), Issuer::from_key(key)] {
            let delegation = grant(&issuer);
            let header = delegation.envelope().header();
            let expected = (SignatureAlgorithm::Eip191, PayloadEncoding::Eip191DagCbor);
            assert_eq!((header.algorithm(), header.encoding()), expected);
            assert!(verify(delegation, &DidKeys).is_ok());
        }
        let forged = grant(&Issuer::new(account(7).did().clone(), std::sync::Arc::new(wallet(8))));
        assert_eq!(verify(forged, &DidKeys).unwrap_err(), SignatureError::Signature(VerifyError::Mismatch));
    }

    #[test]
    fn a_wallet_signs_with_its_sentence_and_nobody_else_does() {
        // The same token under another header; the signature is never looked at.
        let with_header = |issuer: &Issuer, header: &str| {
            let token = grant(issuer);
            let Ok(Ipld::List(mut parts)) = dagcbor::decode(token.bytes()) else { panic!("a list") };
            let Some(Ipld::Map(signed)) = parts.get_mut(1) else { panic!("a map") };
            signed.insert("h".to_owned(), Ipld::Bytes(data_encoding::HEXLOWER.decode(header.as_bytes()).unwrap()));
            let token = Delegation::decode(dagcbor::encode(&Ipld::List(parts)).unwrap()).unwrap();
            verify(token, &DidKeys).unwrap_err()
        };
        let wallet = account(7);
        let ed25519 = Issuer::ed25519(varsig::ed25519::SigningKey::from_seed(&[7; 32]));
        for (issuer, header) in [
            (&wallet, "3401ec01e7011b71"),        // EIP191 over DAG-CBOR
            (&wallet, "3401ec01e7011b5f"),        // EIP191 over RAW
            (&wallet, "3401ec01e7011b91c3035f"),  // EIP191 over EIP191+RAW
            (&wallet, "3401ec01e7011291c30371"),  // ES256K over EIP191+DAG-CBOR
            (&ed25519, "3401ed01ed011391c30371"), // Ed25519 over EIP191+DAG-CBOR
        ] {
            let error = with_header(issuer, header);
            assert!(matches!(error, SignatureError::Encoding(_)), "{header}: {error}");
            assert_eq!(error.name(), "UnsupportedAlgorithm");
        }
    }
}

#[cfg(not(feature = "eip191"))]
#[test]
fn accounts_are_for_another_feature() {
    let did = "did:pkh:eip155:1:0xde709f2102306220921060314715629080e2fb77".parse().unwrap();
    let algorithm = SignatureAlgorithm::Eip191;
    let error = DidKeys.verifier(&did, algorithm, Purpose::Delegation).unwrap_err();
    assert_eq!(error, KeyError::Unsupported { algorithm });
}
