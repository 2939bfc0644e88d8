//! What is read of documents, and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipvm_did_web::{Document, DocumentError, JwkError, MethodError};
use serde_json::{Value, json};
use ucan_core::{Did, KeyError, Purpose};

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

/// The keys that `who` has for delegations and for invocations, as Multikeys.
fn keys(document: &Value, who: &str) -> [Vec<String>; 2] {
    let document = read(document).unwrap();
    [Purpose::Delegation, Purpose::Invocation].map(|purpose| {
        let keys = match document.keys(&did(who), purpose) {
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
