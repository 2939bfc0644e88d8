//! Properties of whatever strangers write: documents, identifiers and ranges of addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hyper::Uri;
use ipvm_did_web::{Document, DocumentError, Location, Network};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use ucan_core::{Did, Purpose, Timestamp};

const DID: &str = "did:web:example.com";
const NOW: &str = "2026-01-01T00:00:00Z";
const KEYS: [&str; 3] = [
    "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
    "zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
    // For agreeing on keys.
    "z6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW",
];
const RELATIONSHIPS: [&str; 5] =
    ["authentication", "assertionMethod", "keyAgreement", "capabilityDelegation", "capabilityInvocation"];

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339(NOW).unwrap()
}

fn id() -> impl Strategy<Value = String> {
    (select(&["", DID][..]), select(&["a", "b", "c", "d", "e", "f", "g", "h"][..]))
        .prop_map(|(front, name)| format!("{front}#{name}"))
}

/// Members that say whether a method is of use, each of them mostly the one that does.
fn method() -> impl Strategy<Value = Value> {
    let mostly = |good: &'static str, bad: &'static [&'static str]| prop_oneof![6 => Just(good), 1 => select(bad)];
    let expires = ["2026-01-01T00:00:01Z", NOW, "2025-12-31T23:59:59Z", "some day"];
    (
        id(),
        mostly("Multikey", &["Unheard-of", "JsonWebKey"]),
        mostly(DID, &["did:web:other.example", ""]),
        prop_oneof![5 => select(&KEYS[..2]), 1 => Just(KEYS[2])],
        option::weighted(0.1, select(&["2020-01-01T00:00:00Z", "9999-01-01T00:00:00Z"][..])),
        option::weighted(0.3, select(expires.to_vec())),
    )
        .prop_map(|(id, kind, controller, key, revoked, expires)| {
            let mut method = json!({"id": id, "type": kind, "controller": controller, "publicKeyMultibase": key});
            let times = [("revoked", revoked), ("expires", expires)];
            for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
                method[name] = json!(time);
            }
            method
        })
}

fn document() -> impl Strategy<Value = Value> {
    let entry = prop_oneof![
        5 => id().prop_map(Value::from),
        1 => prop_oneof![4 => id().prop_map(Value::from), 1 => method()],
        1 => Just(json!("did:web:other.example#a")),
    ];
    let relationships: Vec<_> = RELATIONSHIPS.map(|_| option::weighted(0.4, vec(entry.clone(), 0..8))).into();
    (vec(method(), 0..6), relationships).prop_map(|(methods, relationships)| {
        let mut document = json!({"id": DID, "verificationMethod": methods});
        for (name, entries) in RELATIONSHIPS.into_iter().zip(relationships) {
            if let Some(entries) = entries {
                document[name] = entries.into();
            }
        }
        document
    })
}

fn full(id: &str) -> String {
    if id.starts_with('#') { format!("{DID}{id}") } else { id.to_owned() }
}

/// The members of a list, and none of a list that is not there.
fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().map_or(&[], Vec::as_slice)
}

/// What a method's key is, if it is of any use.
fn usable(method: &Value) -> Option<&str> {
    let key = method["publicKeyMultibase"].as_str().filter(|key| *key != KEYS[2])?;
    let own = method["type"] == "Multikey" && method["controller"] == DID && method.get("revoked").is_none();
    let expires = method.get("expires").map(|time| time == "2026-01-01T00:00:01Z");
    (own && expires != Some(false)).then_some(key)
}

/// The keys that a document without mistakes lists for a purpose, by their ids: written down once more, in another way.
fn model(document: &Value, purpose: &str) -> BTreeMap<String, String> {
    let named = |method: &Value| Some((full(method["id"].as_str()?), usable(method)?.to_owned()));
    let listed: BTreeMap<_, _> = list(document, "verificationMethod").iter().filter_map(named).collect();
    let refers =
        |name: &str, id: &str| list(document, name).iter().any(|entry| entry.as_str().map(full).as_deref() == Some(id));
    let stated = |name: &str| document.get(name).is_some();
    if !stated("capabilityDelegation") && !stated("capabilityInvocation") {
        let agrees =
            |id: &str| refers("keyAgreement", id) && !refers("authentication", id) && !refers("assertionMethod", id);
        return listed.into_iter().filter(|(id, _)| !agrees(id)).collect();
    }
    let embedded = list(document, purpose).iter().filter_map(named);
    listed.clone().into_iter().filter(|(id, _)| refers(purpose, id)).chain(embedded).collect()
}

/// Whether two methods have one id.
fn has_twice(document: &Value) -> bool {
    let embedded = RELATIONSHIPS.into_iter().flat_map(|name| list(document, name));
    let methods = list(document, "verificationMethod").iter().chain(embedded);
    let mut seen = BTreeSet::new();
    !methods.filter_map(|method| method.get("id")?.as_str()).all(|id| seen.insert(full(id)))
}

/// What is written in a document in some place or another.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
        id().prop_map(Value::from),
        select(&["Multikey", "JsonWebKey", DID, "OKP", "EC", "RSA", "P-256", "Ed25519", "AQAB", KEYS[0]][..])
            .prop_map(Value::from),
        method(),
    ];
    let names = [
        "id",
        "verificationMethod",
        "type",
        "controller",
        "publicKeyJwk",
        "publicKeyMultibase",
        "kty",
        "crv",
        "x",
        "y",
        "n",
        "e",
        "d",
        "use",
        "key_ops",
        "revoked",
        "expires",
        "keyAgreement",
        "capabilityDelegation",
    ];
    leaf.prop_recursive(4, 60, 6, move |inner| {
        let members = vec((select(names.to_vec()), inner.clone()), 0..8);
        let own = members.clone().prop_map(|members| {
            let mut object: Value = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            object["id"] = json!(DID);
            object
        });
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            own,
        ]
    })
}

/// No key that is found by its name is missing from all of them, whoever wrote the document.
fn check(document: &Document) {
    for purpose in [Purpose::Delegation, Purpose::Invocation] {
        let all = document.keys(&did(DID), purpose, now()).unwrap_or_default();
        for name in ["a", "b", "c", "ed25519", "p256"] {
            let named = document.keys(&did(&format!("{DID}#{name}")), purpose, now()).unwrap_or_default();
            assert!(named.len() <= 1 && named.iter().all(|key| all.contains(key)), "{name}");
        }
        assert!(document.keys(&did("did:web:example.co"), purpose, now()).is_err());
        let later = document.keys(&did(DID), purpose, Timestamp::MAX).unwrap_or_default();
        assert!(later.iter().all(|key| all.contains(key)), "time makes no keys");
    }
}

/// A part of an identifier, half of them parts of something that it must not be.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9.-]{1,9}",
        "[a-zA-Z0-9._:%-]{0,12}",
        "(%[0-9a-fA-F]{2}){1,3}",
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(bytes).to_string()),
        any::<u32>().prop_map(|number| number.to_string()),
        any::<u16>().prop_map(|port| format!("%3A{port}")),
        select(
            &[
                "a.example",
                "A.EXAMPLE",
                "localhost",
                ".",
                "..",
                "%2e",
                "%2E%2e",
                "%2F",
                "%5c",
                "%00",
                "%3A",
                "%3a443",
                "%40",
                "0x7f.1",
                "127.1",
                "%5B::1%5D",
                "1.2.3.4.",
                "xn--",
                "_",
                "-",
                ":",
                "::",
                "%25",
                "%3F",
                "%23",
                "\u{e4}",
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn keys_are_those_that_are_listed_for_the_purpose(document in document()) {
        let read = Document::parse(&did(DID), document.to_string().as_bytes());
        if has_twice(&document) {
            prop_assert!(matches!(read, Err(DocumentError::Twice { .. })), "{read:?}");
            return Ok(());
        }
        let read = read.unwrap();
        check(&read);
        for (purpose, name) in [(Purpose::Delegation, "capabilityDelegation"), (Purpose::Invocation, "capabilityInvocation")] {
            let expected = model(&document, name);
            let texts = |who: &Did| {
                let mut texts: Vec<String> = read.keys(who, purpose, now()).unwrap_or_default().iter()
                    .map(|key| Did::from_public_key(key).id().to_owned()).collect();
                texts.sort();
                texts
            };
            let mut all: Vec<String> = expected.values().cloned().collect();
            all.sort();
            prop_assert_eq!(texts(&did(DID)), all);
            for (id, key) in &expected {
                prop_assert_eq!(texts(&did(id)), [key.clone()]);
            }
            prop_assert!(texts(&did("did:web:example.com#z")).is_empty());
        }
    }

    #[test]
    fn no_json_makes_it_panic(json in any_json()) {
        if let Ok(document) = Document::parse(&did(DID), json.to_string().as_bytes()) {
            check(&document);
        }
    }

    #[test]
    fn no_change_makes_it_panic(
        document in document(),
        edits in vec((any::<prop::sample::Index>(), 0..4_usize, any::<u8>()), 1..6),
    ) {
        let mut bytes = document.to_string().into_bytes();
        for (at, kind, byte) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len() - 1).max(at))),
            }
        }
        if let Ok(document) = Document::parse(&did(DID), &bytes) {
            check(&document);
        }
    }

    #[test]
    fn locations_are_plain_urls_of_named_hosts(
        host in prop_oneof![2 => "[a-zA-Z][a-z0-9]{0,3}(\\.[a-zA-Z0-9-]{1,4}){0,2}(%3[Aa][0-9]{1,6})?", 1 => part()],
        parts in vec(part(), 0..4),
        colons in any::<bool>(),
    ) {
        let parts = [&[host], parts.as_slice()].concat();
        let text = format!("did:web:{}", parts.join(if colons { ":" } else { "" }));
        let Ok(did) = text.parse::<Did>() else { return Ok(()) };
        let Ok(location) = Location::of(&did) else { return Ok(()) };
        let url = location.to_string();
        let uri: Uri = url.parse().unwrap();
        prop_assert_eq!(uri.scheme_str(), Some("https"));
        let (host, authority) = (uri.host().unwrap(), uri.authority().unwrap().as_str());
        // The host is the one that the identifier begins with, and not an address in any spelling.
        let first = did.id().split([':', '%']).next().unwrap();
        prop_assert_eq!(host, first.to_ascii_lowercase());
        prop_assert!(host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{}", url);
        let last = host.rsplit('.').next().unwrap();
        prop_assert!(!last.is_empty() && !last.starts_with("0x") && last.parse::<u128>().is_err(), "{}", url);
        prop_assert!(authority == host || *authority == format!("{host}:{}", uri.port_u16().unwrap()), "{}", url);
        prop_assert_ne!(uri.port_u16(), Some(0));
        prop_assert_eq!(uri.query(), None);
        let path = uri.path();
        prop_assert_eq!(&url, &format!("https://{authority}{path}"), "nothing was lost, and nothing has another meaning");
        prop_assert!(path.ends_with("/did.json"));
        for segment in path.split('/').skip(1) {
            let lower = segment.to_ascii_lowercase().replace("%2e", ".");
            prop_assert!(!["", ".", ".."].contains(&lower.as_str()), "{}", url);
            prop_assert!(["%2f", "%5c", "%25", "%3f", "%23", "%0", "%1", "%7f"].iter().all(|escape| !lower.contains(escape)), "{}", url);
        }
    }

    #[test]
    fn networks_have_one_meaning(
        v4 in any::<u32>(), v6 in any::<u128>(), is_v4 in any::<bool>(), prefix in 0..140_u32, zeros in 0..140_u32,
    ) {
        let clear = |bits: u128| bits.checked_shr(zeros).and_then(|bits| bits.checked_shl(zeros)).unwrap_or(0);
        let address: IpAddr =
            if is_v4 { (clear(v4.into()) as u32).to_be_bytes().into() } else { clear(v6).to_be_bytes().into() };
        let text = format!("{address}/{prefix}");
        let Ok(network) = text.parse::<Network>() else { return Ok(()) };
        prop_assert_eq!(network.to_string(), text);
        prop_assert!(network.contains(address));
        let (bits, ones) = match address {
            IpAddr::V4(address) => (32, u128::from(address.to_bits())),
            IpAddr::V6(address) => (128, address.to_bits()),
        };
        let of = |ones: u128| -> IpAddr {
            if is_v4 { (ones as u32).to_be_bytes().into() } else { ones.to_be_bytes().into() }
        };
        // The last bit of the prefix matters, and the first one after it does not.
        if prefix > 0 {
            prop_assert!(!network.contains(of(ones ^ 1 << (bits - prefix))));
        }
        if prefix < bits && is_v4 {
            prop_assert!(network.contains(of(ones ^ 1 << (bits - prefix - 1))));
        }
    }
}
