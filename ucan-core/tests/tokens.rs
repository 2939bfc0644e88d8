//! Envelopes, delegations, keys and the store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use ucan_core::{
    Command, Delegation, DelegationStore, Did, DidKeys, Envelope, Ipld, Issuer, KeyError, KeySource, MemoryDelegations,
    Purpose, SignError, SignatureError, Timestamp, Token, TokenError, block, dagcbor, dagjson, tag, verify,
};
use varsig::{
    SignatureAlgorithm, Verifier, VerifyError,
    ed25519::{SigningKey, VerifyingKey},
};

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

/// The payload of a good delegation.
fn payload() -> BTreeMap<String, Ipld> {
    let json = br#"{"iss": "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "aud": "did:web:example.com",
        "sub": null, "cmd": "/msg/send", "pol": [], "nonce": {"/": {"bytes": ""}}, "exp": null}"#;
    match dagjson::decode(json).unwrap() {
        Ipld::Map(map) => map,
        _ => unreachable!(),
    }
}

/// The name of the error when one field is another, or is left out.
fn with(field: &str, json: Option<&str>) -> Result<Delegation, &'static str> {
    let mut payload = payload();
    match json {
        Some(json) => payload.insert(field.to_owned(), dagjson::decode(json.as_bytes()).unwrap()),
        None => payload.remove(field),
    };
    read(tag::DELEGATION, payload).map_err(|error| error.name())
}

fn read(tag: &str, payload: BTreeMap<String, Ipld>) -> Result<Delegation, TokenError> {
    match Envelope::sign(tag, payload, &issuer(0)) {
        Ok(envelope) => Delegation::decode(envelope.bytes()),
        Err(SignError::Unreadable(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn exactly_the_defined_fields_are_read() {
    for field in ["iss", "aud", "sub", "cmd", "pol", "nonce", "exp"] {
        assert_eq!(with(field, None).unwrap_err(), "MalformedToken", "{field}");
    }
    for field in ["iat", "args", "prf", "Iss", "", "fct"] {
        assert_eq!(with(field, Some("1")).unwrap_err(), "MalformedToken", "{field}");
    }
    let error =
        read(tag::DELEGATION, [payload(), BTreeMap::from([("x".into(), Ipld::Null)])].into_iter().flatten().collect());
    assert_eq!(error, Err(TokenError::UnknownField { field: "x".into() }));
}

#[test]
fn fields_have_their_types() {
    let good = [
        ("sub", "\"did:web:example.com\""),
        ("exp", "0"),
        ("exp", "9007199254740991"),
        ("nbf", "0"),
        ("meta", "{}"),
        ("meta", "{\"a\": [1.5]}"),
        ("nonce", r#"{"/": {"bytes": "AQI"}}"#),
        ("cmd", "\"/\""),
        ("pol", r#"[["==", ".a", 1]]"#),
    ];
    for (field, value) in good {
        assert!(with(field, Some(value)).is_ok(), "{field} {value}");
    }
    let bad = [
        ("iss", "null"),
        ("iss", "\"alice\""),
        ("aud", "null"),
        ("aud", "1"),
        ("sub", "1"),
        ("sub", "\"\""),
        ("cmd", "\"msg\""),
        ("cmd", "\"/Msg\""),
        ("cmd", "\"/msg/\""),
        ("cmd", "null"),
        ("exp", "1.0"),
        ("exp", "-1"),
        ("exp", "9007199254740992"),
        ("exp", "\"1\""),
        ("nbf", "null"),
        ("nbf", "-1"),
        ("nbf", "9007199254740992"),
        ("meta", "null"),
        ("meta", "[]"),
        ("nonce", "\"\""),
        ("nonce", "null"),
    ];
    for (field, value) in bad {
        assert_eq!(with(field, Some(value)).unwrap_err(), "MalformedToken", "{field} {value}");
    }
    assert_eq!(with("pol", Some("null")).unwrap_err(), "MalformedPolicy");
    assert_eq!(with("pol", Some(r#"[["==", "a", 1]]"#)).unwrap_err(), "MalformedSelector");
}

#[test]
fn a_nonce_has_a_limit() {
    let mut long = payload();
    long.insert("nonce".into(), Ipld::Bytes(vec![0; 64 << 10]));
    assert!(read(tag::DELEGATION, long.clone()).is_ok());
    long.insert("nonce".into(), Ipld::Bytes(vec![0; (64 << 10) + 1]));
    assert_eq!(read(tag::DELEGATION, long).unwrap_err().name(), "LimitExceeded");
}

#[test]
fn what_a_token_holds_has_limits() {
    let sign = |value: Ipld| {
        let payload = BTreeMap::from([("meta".to_owned(), value)]);
        Envelope::sign(tag::INVOCATION, payload, &issuer(0)).map(drop).map_err(|error| match error {
            SignError::Unreadable(error) => error.name(),
            error => panic!("{error}"),
        })
    };
    // The payload and the list are values, too.
    assert_eq!(sign(Ipld::List(vec![Ipld::Null; (1 << 18) - 2])), Ok(()));
    assert_eq!(sign(Ipld::List(vec![Ipld::Null; (1 << 18) - 1])), Err("LimitExceeded"));
    assert_eq!(sign(Ipld::List(vec![Ipld::Null; 1 << 20])), Err("LimitExceeded"));
    let map = Ipld::Map([("a".to_owned(), Ipld::Null)].into());
    assert_eq!(sign(Ipld::List(vec![map; 50_000])), Err("LimitExceeded"));
    assert_eq!(sign(Ipld::Bytes(vec![0; 15 << 20])), Ok(()));
}

#[test]
fn only_known_tags_are_read() {
    assert!(read(tag::DELEGATION, payload()).is_ok());
    assert!(read(tag::DELEGATION_RC1, payload()).is_ok());
    let name = |tag| read(tag, payload()).unwrap_err().name();
    assert_eq!(name(tag::INVOCATION), "MalformedToken");
    assert_eq!(name("ucan/dlg@1.0.1"), "UnsupportedVersion");
    assert_eq!(name("ucan/dlg@1.0.0-rc.2"), "UnsupportedVersion");
    assert_eq!(name("ucan/inv@2.0.0"), "UnsupportedVersion");
    assert_eq!(name("ucan/xyz@1.0.0"), "MalformedToken");
    assert_eq!(name("i"), "MalformedToken");
}

/// An envelope with parts that no signer would write.
fn envelope(signature: Ipld, signed: &[(&str, Ipld)]) -> Result<Envelope, &'static str> {
    let signed = signed.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let token = dagcbor::encode(&Ipld::List(vec![signature, Ipld::Map(signed)])).unwrap();
    Envelope::decode(token).map_err(|error| error.name())
}

#[test]
fn the_shell_has_one_shape() {
    let header = |hex: &str| Ipld::Bytes(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
    let ed25519 = header("3401ed01ed011371");
    let payload = Ipld::Map(payload());
    let signature = Ipld::Bytes(vec![1, 2, 3]);
    let good = [("h", ed25519.clone()), (tag::DELEGATION, payload.clone())];
    let decoded = envelope(signature.clone(), &good).unwrap();
    assert_eq!(decoded.signature(), [1, 2, 3]);
    assert_eq!(decoded.signed_bytes(), &decoded.bytes()[5..]);
    assert_eq!(*decoded.cid(), block::dag_cbor_cid(decoded.bytes()));

    let name = |signed: &[(&str, Ipld)]| envelope(signature.clone(), signed).unwrap_err();
    assert_eq!(envelope(Ipld::String("s".into()), &good).unwrap_err(), "MalformedToken");
    assert_eq!(name(&good[..1]), "MalformedToken");
    assert_eq!(name(&good[1..]), "MalformedToken");
    assert_eq!(name(&[good[0].clone(), good[1].clone(), ("x", Ipld::Null)]), "MalformedToken");
    assert_eq!(name(&[good[0].clone(), good[1].clone(), (tag::DELEGATION_RC1, payload.clone())]), "MalformedToken");
    assert_eq!(name(&[("a", ed25519.clone()), good[1].clone()]), "MalformedToken");
    assert_eq!(name(&[("h", Ipld::String("x".into())), good[1].clone()]), "MalformedToken");
    assert_eq!(name(&[good[0].clone(), (tag::DELEGATION, Ipld::List(vec![]))]), "MalformedToken");
    assert_eq!(name(&[("h", header("")), good[1].clone()]), "MalformedToken");
    assert_eq!(name(&[("h", header("3401ed01ed01137100")), good[1].clone()]), "MalformedToken");
    assert_eq!(name(&[("h", header("348100ed01ed011371")), good[1].clone()]), "NonCanonical");
    assert_eq!(name(&[("h", header("3401b201ea011271")), good[1].clone()]), "UnsupportedAlgorithm");
    assert_eq!(Envelope::decode([0, 0, 0]).unwrap_err().to_string(), "expected an array of two items at byte 0");
    assert_eq!(Envelope::decode([0x9f]).unwrap_err().name(), "NonCanonical");

    // An algorithm that is known but cannot be verified can be looked at.
    let shown = envelope(signature.clone(), &[("h", header("3401ec0180241271")), good[1].clone()]).unwrap();
    assert_eq!(shown.header().algorithm(), SignatureAlgorithm::Es256);
}

#[test]
fn the_header_decides_how_a_signature_is_checked() {
    let alice = issuer(0);
    let check = |header: &str| {
        let header = data_encoding::HEXLOWER.decode(header.as_bytes()).unwrap();
        let good = [("h", Ipld::Bytes(header)), (tag::DELEGATION, Ipld::Map(payload()))];
        let envelope = envelope(Ipld::Bytes(vec![0; 64]), &good).unwrap();
        verify(Delegation::from_envelope(envelope).unwrap(), &DidKeys).unwrap_err()
    };
    let did = || alice.did().clone();
    assert_eq!(check("3401ed01ed011371"), SignatureError::Signature(VerifyError::Mismatch));
    let algorithm = SignatureAlgorithm::Es256;
    assert_eq!(check("3401ec0180241271"), SignatureError::Key(KeyError::WrongAlgorithm { did: did(), algorithm }));
    assert_eq!(check("3401ed01ed01135f").name(), "UnsupportedAlgorithm");
    assert_eq!(check("3401ed01ed011391c30371").name(), "UnsupportedAlgorithm");
    // EIP-191 signs wrapped DAG-CBOR, and nothing else does.
    assert_eq!(check("3401ec01e7011b71").name(), "UnsupportedAlgorithm");
    assert_eq!(check("3401ec01e7011291c30371").name(), "UnsupportedAlgorithm");
}

/// Hands out one key whatever it is asked for.
#[derive(Debug)]
struct OneKey(VerifyingKey);

impl KeySource for OneKey {
    fn verifier(&self, _: &Did, _: SignatureAlgorithm, purpose: Purpose) -> Result<Arc<dyn Verifier>, KeyError> {
        assert_eq!(purpose, Purpose::Delegation);
        Ok(Arc::new(self.0))
    }
}

#[test]
fn keys_of_other_methods_come_from_elsewhere() {
    let key = SigningKey::from_seed(&[5; 32]);
    let keys = OneKey(key.verifying_key());
    let web = Issuer::new("did:web:example.com".parse().unwrap(), Arc::new(key));
    let delegation = Delegation::builder(web.did().clone(), None, Command::top()).sign(&web).unwrap();
    assert!(verify(&delegation, &keys).is_ok());
    let error = verify(&delegation, &DidKeys).unwrap_err();
    assert_eq!(error, SignatureError::Key(KeyError::UnsupportedMethod { did: web.did().clone() }));
    assert_eq!(error.name(), "InvalidSignature");
}

#[test]
fn did_keys() {
    let verifier = |did: &str, algorithm| DidKeys.verifier(&did.parse().unwrap(), algorithm, Purpose::Invocation);
    let ed25519 = SignatureAlgorithm::Ed25519;
    assert!(verifier("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#anything", ed25519).is_ok());
    // Keys of other algorithms, from the test vectors of the did:key method.
    let others = [
        ("did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", SignatureAlgorithm::Es256K),
        ("did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169", SignatureAlgorithm::Es256),
    ];
    for (did, algorithm) in others {
        assert_eq!(verifier(did, algorithm).unwrap().algorithm(), algorithm);
        let did_parsed: Did = did.parse().unwrap();
        let error = KeyError::WrongAlgorithm { did: did_parsed, algorithm: ed25519 };
        assert_eq!(verifier(did, ed25519).unwrap_err(), error);
    }
    for bad in [
        "did:key:f6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "did:key:z",
        "did:key:z0OIl",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",
        "did:key:ze",
    ] {
        assert!(verifier(bad, ed25519).is_err(), "{bad}");
    }
    let long = format!("did:key:z{}", "1".repeat(4000));
    assert!(matches!(verifier(&long, ed25519), Err(KeyError::Malformed { .. })));
}

#[test]
fn blocks_are_what_their_cids_name() {
    let cid = block::dag_cbor_cid(&[0xa0]);
    assert_eq!(cid.to_string(), "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua");
    assert_eq!(block::verify(&cid, &[0xa0]), Ok(()));
    assert_eq!(block::verify(&cid, &[0xa1]), Err(block::BlockError::Mismatch { cid }));
    let identity = "bafyqaaa".parse().unwrap();
    assert!(matches!(block::verify(&identity, &[]), Err(block::BlockError::UnsupportedHash { code: 0, .. })));
}

#[test]
fn a_builder_writes_what_it_was_given() {
    let alice = issuer(0);
    let meta = BTreeMap::from([("k".to_owned(), Ipld::Bool(true))]);
    let delegation = Delegation::builder("did:web:b".parse().unwrap(), None, Command::top())
        .not_before(Timestamp::from_secs(1))
        .expiration(Timestamp::MAX)
        .meta(meta.clone())
        .nonce([1])
        .sign(&alice)
        .unwrap();
    assert_eq!(delegation.issuer(), alice.did());
    assert_eq!(delegation.audience().as_str(), "did:web:b");
    assert_eq!((delegation.subject(), delegation.nonce(), delegation.meta()), (None, &[1_u8][..], Some(&meta)));
    assert_eq!((delegation.not_before(), delegation.expiration()), (Timestamp::from_secs(1), Some(Timestamp::MAX)));
    let bare = Delegation::builder("did:web:b".parse().unwrap(), None, Command::top()).sign(&alice).unwrap();
    assert_eq!(bare.envelope().payload().len(), 7);
    let not_finite = BTreeMap::from([("k".to_owned(), Ipld::Float(f64::NAN))]);
    let refused = Delegation::builder("did:web:b".parse().unwrap(), None, Command::top()).meta(not_finite).sign(&alice);
    assert_eq!(refused, Err(SignError::Encode(dagcbor::EncodeError::NotFinite)));
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the future waits"),
    }
}

#[test]
fn the_store_in_memory() {
    let store: Arc<dyn DelegationStore> = Arc::new(MemoryDelegations::new());
    let alice = issuer(0);
    let grant = |audience: &str, nonce: u8| {
        Delegation::builder(audience.parse().unwrap(), None, Command::top()).nonce([nonce]).sign(&alice).unwrap()
    };
    let (one, two, other) = (grant("did:web:b", 1), grant("did:web:b#key", 2), grant("did:web:c", 3));
    for delegation in [&one, &two, &other, &one] {
        now(store.put(delegation)).unwrap();
    }
    assert_eq!(now(store.get(one.cid())).unwrap(), Some(one.clone()));
    assert_eq!(now(store.get(&block::raw_cid(b""))).unwrap(), None);
    let mut expected = vec![one, two];
    expected.sort_by_key(|delegation| *delegation.cid());
    assert_eq!(now(store.for_audience(&"did:web:b#other".parse().unwrap())).unwrap(), expected);
    assert_eq!(now(store.for_audience(&"did:web:d".parse().unwrap())).unwrap(), []);

    let about = |subject: &str, nonce: u8| {
        let subject = Some(subject.parse().unwrap());
        Delegation::builder("did:web:b".parse().unwrap(), subject, Command::top()).nonce([nonce]).sign(&alice).unwrap()
    };
    let (mine, theirs) = (about("did:web:x", 4), about("did:web:y", 5));
    for delegation in [&mine, &theirs] {
        now(store.put(delegation)).unwrap();
    }
    // Powerlines are about everybody.
    expected.push(mine);
    expected.sort_by_key(|delegation| *delegation.cid());
    let granted = |subject: &str| now(store.granted(&"did:web:b".parse().unwrap(), &subject.parse().unwrap())).unwrap();
    assert_eq!(granted("did:web:x#any"), expected);
    assert_eq!(granted("did:web:z").len(), 2);
}
