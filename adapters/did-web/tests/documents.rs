//! What is read of documents, and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipvm_did_web::{Document, DocumentError, JwkError, MethodError};
use serde_json::{Value, json};
use ucan_core::{Did, KeyError, Purpose, Timestamp};

const DID: &str = "did:web:example.com";
const ED25519: &str = "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
const P256: &str = "zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
const X25519: &str = "z6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW";

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn method(id: &str, key: &str) -> Value {
    json!({"id": id, "type": "Multikey", "controller": DID, "publicKeyMultibase": key})
}

fn read(document: &Value) -> Result<Document, DocumentError> {
    Document::parse(&did(DID), document.to_string().as_bytes())
}

/// The keys that `who` has for delegations and for invocations in 1970, as Multikeys.
fn keys(document: &Value, who: &str) -> [Vec<String>; 2] {
    keys_at(document, who, Timestamp::EPOCH)
}

fn keys_at(document: &Value, who: &str, now: Timestamp) -> [Vec<String>; 2] {
    let document = read(document).unwrap();
    [Purpose::Delegation, Purpose::Invocation].map(|purpose| {
        let keys = match document.keys(&did(who), purpose, now) {
            Ok(keys) => keys,
            Err(KeyError::NotAuthorized { did, purpose: asked }) => {
                assert_eq!((did.as_str(), asked), (who, purpose));
                Vec::new()
            }
            Err(error) => panic!("{error}"),
        };
        keys.iter().map(|key| Did::from_public_key(key).id().to_owned()).collect()
    })
}

fn of(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn relationships_are_honoured_where_they_are_stated() {
    let mut document = json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": DID,
        "verificationMethod": [method("#a", ED25519), method("did:web:example.com#b", P256)],
        "authentication": ["#a"],
    });
    let both = of(&[ED25519, P256]);
    assert_eq!(keys(&document, DID), [both.clone(), both], "neither is stated");

    document["capabilityInvocation"] = json!(["#b"]);
    assert_eq!(keys(&document, DID), [of(&[]), of(&[P256])], "only one is stated");

    document["capabilityDelegation"] = json!(["did:web:example.com#a"]);
    assert_eq!(keys(&document, DID), [of(&[ED25519]), of(&[P256])]);

    document["capabilityInvocation"] = json!([]);
    assert_eq!(keys(&document, DID), [of(&[ED25519]), of(&[])], "stated, and empty");

    document["capabilityInvocation"] = json!([method("#c", P256)]);
    assert_eq!(keys(&document, DID), [of(&[ED25519]), of(&[P256])], "embedded");
    document["capabilityDelegation"] = json!(["#c"]);
    assert_eq!(keys(&document, DID)[0], of(&[]), "an embedded key is for its relationship alone");
}

#[test]
fn a_fragment_names_the_one_key_that_counts() {
    let mut document = json!({
        "id": DID,
        "verificationMethod": [method("#a", ED25519), method("#b", P256)],
    });
    let of_both = |keys: &[&str]| [of(keys), of(keys)];
    assert_eq!(keys(&document, "did:web:example.com#a"), of_both(&[ED25519]));
    assert_eq!(keys(&document, "did:web:example.com#b"), of_both(&[P256]));
    assert_eq!(keys(&document, "did:web:example.com#c"), of_both(&[]));
    assert_eq!(keys(&document, "did:web:example.com#"), of_both(&[]));
    document["capabilityDelegation"] = json!(["#a"]);
    assert_eq!(keys(&document, "did:web:example.com#a"), [of(&[ED25519]), of(&[])]);
    assert_eq!(keys(&document, "did:web:example.com#b"), of_both(&[]));
    assert_eq!(keys(&document, "did:web:example.org#a"), of_both(&[]), "another principal");
}

#[test]
fn what_is_unknown_or_of_others_is_passed_over() {
    let document = json!({
        "id": DID,
        "verificationMethod": [
            method("#good", ED25519),
            method("#agreement", X25519),
            {"id": "#old", "type": "Ed25519VerificationKey2018", "controller": DID, "publicKeyBase58": "4zvw"},
            {"id": "#new", "type": "Unheard-of", "controller": DID, "publicKeyMultibase": "uAQID"},
            {"id": "#account", "type": "EcdsaSecp256k1RecoveryMethod2020", "controller": DID, "blockchainAccountId": "eip155:1:0x"},
            {"id": "#other", "type": "Multikey", "controller": "did:web:other.example", "publicKeyMultibase": P256},
        ],
        "capabilityDelegation": ["#good", "#agreement", "#old", "#new", "#account", "#other", "#nowhere", "did:web:other.example#good"],
        "service": [{"id": "#s", "type": "x", "serviceEndpoint": "https://example.com"}],
    });
    assert_eq!(keys(&document, DID), [of(&[ED25519]), of(&[])]);
}

#[test]
fn kinds_of_keys() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"});
    for method in [
        json!({"id": "#k", "type": "Ed25519VerificationKey2020", "controller": DID, "publicKeyMultibase": ED25519}),
        json!({"id": "#k", "type": "JsonWebKey2020", "controller": DID, "publicKeyJwk": jwk}),
        json!({"id": "#k", "type": "JsonWebKey", "controller": DID, "publicKeyJwk": jwk}),
    ] {
        assert_eq!(keys(&json!({"id": DID, "verificationMethod": [method]}), DID)[0], of(&[ED25519]), "{method}");
    }
    // The first example of secp256k1 in the did:key method.
    let koblitz = json!({
        "kty": "EC", "crv": "secp256k1",
        "x": "h0wVx_2iDlOcblulc8E5iEw1EYh5n1RYtLQfeSTyNc0",
        "y": "O2EATIGbu6DezKFptj5scAIRntgfecanVNXxat1rnwE",
    });
    let typed = |kind: &str, jwk: &Value| {
        let method = json!({"id": "#k", "type": kind, "controller": DID, "publicKeyJwk": jwk});
        json!({"id": DID, "verificationMethod": [method]})
    };
    let secp256k1 = of(&["zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"]);
    assert_eq!(keys(&typed("EcdsaSecp256k1VerificationKey2019", &koblitz), DID)[0], secp256k1);
    let error = read(&typed("EcdsaSecp256k1VerificationKey2019", &jwk)).unwrap_err();
    assert!(matches!(error, DocumentError::Method { source: MethodError::Kind, .. }), "{error}");
    for kind in ["X25519KeyAgreementKey2019", "Multikey", "Ed25519VerificationKey2020", "Unheard-of", "jsonwebkey"] {
        assert_eq!(keys(&typed(kind, &jwk), DID)[0], of(&[]), "{kind}");
    }
}

#[test]
fn what_was_revoked_is_never_used() {
    let mut document = json!({"id": DID, "verificationMethod": [method("#a", ED25519), method("#b", P256)]});
    for value in
        [json!("2020-01-01T00:00:00Z"), json!("9999-01-01T00:00:00Z"), json!("soon"), json!(false), json!(null)]
    {
        document["verificationMethod"][0]["revoked"] = value.clone();
        assert_eq!(keys(&document, DID), [of(&[P256]), of(&[P256])], "{value}");
        assert_eq!(keys(&document, "did:web:example.com#a"), [of(&[]), of(&[])], "{value}");
    }
    document["capabilityDelegation"] = json!(["#a"]);
    assert_eq!(keys(&document, DID), [of(&[]), of(&[])], "although it is referred to");
    let mut embedded = method("#c", ED25519);
    embedded["revoked"] = json!("2020-01-01T00:00:00Z");
    document["capabilityInvocation"] = json!([embedded, "#b"]);
    assert_eq!(keys(&document, DID), [of(&[]), of(&[P256])]);
    // Nobody looks at a key that is out of use, and its id is still taken.
    embedded["publicKeyMultibase"] = json!("none");
    document["capabilityInvocation"] = json!([embedded]);
    assert!(read(&document).is_ok());
    document["capabilityInvocation"] = json!([embedded, method("#c", P256)]);
    assert_eq!(read(&document).unwrap_err(), DocumentError::Twice { id: "did:web:example.com#c".to_owned() });
}

#[test]
fn what_expires_is_used_until_then() {
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let mut document = json!({"id": DID, "verificationMethod": [method("#a", ED25519), method("#b", P256)]});
    document["verificationMethod"][0]["expires"] = json!("2026-01-01T01:00:00+01:00");
    let (both, other) = (of(&[ED25519, P256]), of(&[P256]));
    let count = |now| keys_at(&document, DID, at(now));
    assert_eq!(count("2025-12-31T23:59:59Z"), [both.clone(), both]);
    for late in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "9999-01-01T00:00:00Z"] {
        assert_eq!(count(late), [other.clone(), other.clone()], "{late}");
    }
    for unclear in
        [json!("next year"), json!("2999-01-01"), json!(""), json!(32_503_680_000_u64), json!(null), json!({})]
    {
        document["verificationMethod"][0]["expires"] = unclear.clone();
        assert_eq!(keys(&document, DID), [other.clone(), other.clone()], "{unclear}");
    }
}

#[test]
fn keys_for_agreeing_on_keys_sign_nothing() {
    let mut document = json!({
        "id": DID,
        "verificationMethod": [method("#a", ED25519), method("#b", P256)],
        "keyAgreement": ["#b"],
    });
    assert_eq!(keys(&document, DID), [of(&[ED25519]), of(&[ED25519])]);
    assert_eq!(keys(&document, "did:web:example.com#b"), [of(&[]), of(&[])]);
    for relationship in ["authentication", "assertionMethod"] {
        let mut document = document.clone();
        document[relationship] = json!(["did:web:example.com#b"]);
        assert_eq!(keys(&document, DID)[0], of(&[ED25519, P256]), "{relationship}");
    }
    document["capabilityDelegation"] = json!(["#b"]);
    assert_eq!(keys(&document, DID), [of(&[P256]), of(&[])], "what is stated counts");
}

#[test]
fn ids_are_given_once() {
    let base = json!({"id": DID, "verificationMethod": [method("#k", P256)]});
    let other = "capabilityInvocation";
    let twice = DocumentError::Twice { id: "did:web:example.com#k".to_owned() };
    for name in ["authentication", "assertionMethod", "keyAgreement", "capabilityDelegation", other] {
        let mut document = base.clone();
        document[name] = json!([method("did:web:example.com#k", ED25519)]);
        assert_eq!(read(&document).unwrap_err(), twice, "{name}, and listed");
        // Also where one of them, or both, have no key of any use.
        for kind in ["Multikey", "Unheard-of"] {
            let mut embedded = method("#k", ED25519);
            embedded["type"] = json!(kind);
            let mut document = json!({"id": DID});
            document[name] = json!([embedded]);
            assert!(read(&document).is_ok());
            let mut two = document.clone();
            two[name] = json!([embedded, method("#k", P256)]);
            assert_eq!(read(&two).unwrap_err(), twice, "{name}");
            let name = if name == other { "capabilityDelegation" } else { other };
            document[name] = json!([embedded]);
            assert_eq!(read(&document).unwrap_err(), twice, "{name}");
        }
    }
}

#[test]
fn published_secrets_spoil_the_document() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let spoiled = |method: &Value| {
        for document in [
            json!({"id": DID, "verificationMethod": [method]}),
            json!({"id": DID, "capabilityDelegation": [method]}),
            json!({"id": DID, "authentication": [method]}),
        ] {
            match read(&document) {
                Err(DocumentError::Method {
                    source: MethodError::Secret | MethodError::Jwk(JwkError::Secret), ..
                }) => {}
                other => panic!("{method}: {other:?}"),
            }
        }
    };
    for name in ["secretKeyMultibase", "privateKeyMultibase", "secretKeyJwk", "privateKeyJwk"] {
        let mut method = method("#k", ED25519);
        assert!(read(&json!({"id": DID, "verificationMethod": [method]})).is_ok());
        method[name] = json!({});
        spoiled(&method);
        method["type"] = json!("Unheard-of");
        method["revoked"] = json!("2020-01-01T00:00:00Z");
        method["controller"] = json!("did:web:other.example");
        spoiled(&method);
    }
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "priv", "k"] {
        for kind in ["JsonWebKey", "Multikey", "Unheard-of"] {
            let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
            jwk[name] = json!(x);
            spoiled(&json!({"id": "#k", "type": kind, "controller": DID, "publicKeyJwk": jwk}));
        }
    }
}

#[test]
fn little_is_quoted() {
    let long = "\u{e4}".repeat(20_000);
    let id = format!("#{}", "x".repeat(3000));
    for document in [
        json!({"id": long}),
        json!({"id": DID, "verificationMethod": long}),
        json!({"id": DID, "verificationMethod": [{"id": 1, "type": long}]}),
        json!({"id": DID, "verificationMethod": [method(&long, P256)]}),
        json!({"id": DID, "verificationMethod": [method(&id, P256), method(&id, P256)]}),
        json!({"id": DID, "verificationMethod": [method(&id, &long)]}),
        json!({"id": DID, "authentication": [long]}),
    ] {
        let text = read(&document).unwrap_err().to_string();
        assert!(text.chars().count() < 300, "{text}");
    }
}

#[test]
fn what_is_refused() {
    let with = |methods: Value| read(&json!({"id": DID, "verificationMethod": methods})).unwrap_err();
    let of_method = |fields: Value| {
        let mut method = json!({"id": "#k", "type": "Multikey", "controller": DID});
        for (key, value) in fields.as_object().unwrap() {
            method[key] = value.clone();
        }
        match with(json!([method])) {
            DocumentError::Method { id, source } => {
                assert_eq!(id, "did:web:example.com#k");
                source
            }
            other => panic!("{other}"),
        }
    };
    let multibase = |text: &str| of_method(json!({"publicKeyMultibase": text}));
    assert_eq!(multibase("f6MkiTBz"), MethodError::Multibase);
    assert_eq!(multibase("z0OIl"), MethodError::Multibase);
    assert_eq!(multibase(""), MethodError::Multibase);
    assert_eq!(multibase("z6MkiTBz1 "), MethodError::Multibase);
    assert_eq!(multibase(&format!("{ED25519}#x")), MethodError::Multibase);
    assert!(matches!(multibase("z2DQUz8nFdBkV4MKdqWGtQB9BsNUCioEPREBUjj3hFW95f6"), MethodError::Key(_)));
    let kind = json!({"type": "Ed25519VerificationKey2020", "publicKeyMultibase": P256});
    assert_eq!(of_method(kind), MethodError::Kind);
    let both = json!({"publicKeyMultibase": P256, "publicKeyJwk": {"kty": "EC"}});
    assert_eq!(of_method(both), MethodError::TwoKeys);
    let secret = json!({"publicKeyJwk": {"kty": "OKP", "crv": "Ed25519", "x": "", "d": "AA"}});
    assert_eq!(of_method(secret), MethodError::Jwk(JwkError::Secret));

    for id in ["", "#", "k", "/k#k", "did:web:other.example#k", "did:web:example.com", "#k#k", "#ä"] {
        assert_eq!(with(json!([method(id, P256)])), DocumentError::Id { id: id.to_owned() });
    }
    let id = || "did:web:example.com#k".to_owned();
    let twice = json!([method("#k", P256), method("did:web:example.com#k", ED25519)]);
    assert_eq!(with(twice), DocumentError::Twice { id: id() });
    let embedded =
        json!({"id": DID, "verificationMethod": [method("#k", P256)], "capabilityDelegation": [method("#k", P256)]});
    assert_eq!(read(&embedded).unwrap_err(), DocumentError::Twice { id: id() });
    let relative = json!({"id": DID, "capabilityDelegation": ["k"]});
    assert_eq!(read(&relative).unwrap_err(), DocumentError::Id { id: "k".to_owned() });
    for id in ["did:web:example.com#k", "did:web:EXAMPLE.com", "did:web:other.example", ""] {
        let error = DocumentError::OtherSubject { id: id.to_owned() };
        assert_eq!(read(&json!({"id": id})).unwrap_err(), error);
    }
}

#[test]
fn what_is_no_document() {
    let parse = |json: &str| Document::parse(&did(DID), json.as_bytes());
    let deep = |key: &str| format!(r#"{{"id":"{DID}",{key}:{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let deep_entry =
        |key: &str| format!(r#"{{"id":"{DID}",{key}:[{{"x":{}1{}}}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for json in [
        "",
        "null",
        "[]",
        "{}",
        "<html></html>",
        r#"{"id": 1}"#,
        r#"{"id": "did:web:example.com""#,
        r#"{"id": "did:web:example.com"} x"#,
        r#"{"id": "did:web:example.com", "id": "did:web:example.com"}"#,
        r#"{"id": "did:web:example.com", "verificationMethod": null}"#,
        r#"{"id": "did:web:example.com", "verificationMethod": {}}"#,
        r##"{"id": "did:web:example.com", "verificationMethod": ["#k"]}"##,
        r##"{"id": "did:web:example.com", "verificationMethod": [{"id": "#k"}]}"##,
        r#"{"id": "did:web:example.com", "capabilityDelegation": null}"#,
        r##"{"id": "did:web:example.com", "capabilityDelegation": "#k"}"##,
        r#"{"id": "did:web:example.com", "capabilityDelegation": [1]}"#,
        r#"{"id": "did:web:example.com", "capabilityDelegation": [], "capabilityDelegation": []}"#,
        &deep(r#""verificationMethod""#),
        &deep(r#""capabilityDelegation""#),
        &deep_entry(r#""verificationMethod""#),
        &deep_entry(r#""capabilityDelegation""#),
        &format!(r#"{{"id":"{DID}","x":{}"#, "[".repeat(60_000)),
    ] {
        assert!(matches!(parse(json), Err(DocumentError::Json { .. })), "{}", &json[..json.len().min(80)]);
    }
    assert!(parse(r#"{"id": "did:web:example.com"}"#).is_ok());
    // What is passed over may be as deep as it likes.
    assert!(parse(&deep(r#""x""#)).is_ok());
}
