//! The vectors of containers, DAG-CBOR and DAG-JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{cases, entries, text, unbase64};
use data_encoding::BASE64;
use ucan_core::{Cid, Container, ContainerEncoding, Ipld, block, dagcbor, dagjson};

/// The multicodec of DAG-JSON.
const DAG_JSON: u64 = 0x0129;

fn answer<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(BTreeMap::from(entries.map(|(key, value)| (key.to_owned(), value))))
}

#[test]
fn containers() {
    let cases = cases(include_str!("../../fixtures/ucan/containers.json"));
    for case in &cases {
        let read = Container::decode(&case.bytes("bytes"));
        if let Ok(container) = &read {
            for encoding in ContainerEncoding::ALL {
                assert_eq!(Container::decode(&container.encode(encoding)).as_ref(), Ok(container), "{}", case.name);
            }
        }
        let tokens = read.map(|container| {
            let tokens = container.tokens().map(|token| Ipld::String(BASE64.encode(token)));
            answer([("tokens", Ipld::List(tokens.collect()))])
        });
        case.check(tokens.as_ref().map_err(|error| error.name()).cloned());
    }
    let good = cases.iter().filter(|case| case.expected.is_ok()).count();
    assert_eq!((good, cases.len() - good), (23, 51));
}

#[test]
fn dag_cbor() {
    let cases = cases(include_str!("../../fixtures/ipld/dag-cbor.json"));
    for case in &cases {
        let bytes = case.bytes("bytes");
        let read = dagcbor::decode(&bytes);
        if let Ok(value) = &read {
            assert_eq!(dagcbor::encode(value).unwrap(), bytes, "{}", case.name);
        }
        let cid = Ipld::String(block::dag_cbor_cid(&bytes).to_string());
        let read = read.map(|value| answer([("cid", cid), ("value", value)]));
        case.check(read.as_ref().map_err(|error| error.name()).cloned());
    }
    let good = cases.iter().filter(|case| case.expected.is_ok()).count();
    assert_eq!((good, cases.len() - good), (141, 123));
}

#[test]
fn dag_json() {
    let (mut good, mut bad) = (0, 0);
    for case in entries(include_str!("../../fixtures/ipld/dag-json.json")) {
        let (name, json) = (text(&case, "name"), text(&case, "json"));
        let read = dagjson::decode(json.as_bytes());
        if let Ok(Some(_)) = case.get("error") {
            assert!(read.is_err(), "{name}");
            bad += 1;
            continue;
        }
        let value = read.unwrap();
        let bytes = unbase64(text(&case, "dagcbor"));
        assert_eq!(dagcbor::encode(&value).unwrap(), bytes, "{name}");
        assert_eq!(dagjson::encode(&dagcbor::decode(&bytes).unwrap()), json, "{name}");
        let cid = Cid::new_v1(DAG_JSON, *block::raw_cid(json.as_bytes()).hash());
        assert_eq!(cid.to_string(), text(&case, "cid"), "{name}");
        good += 1;
    }
    assert_eq!((good, bad), (128, 29));
}
