//! Documents in YAML.
//!
//! This law is no part of the library, for `ipvm-workflow` stands above the crates of tokens: the fuzz target and a test of
//! `ipvm-workflow` include it.

use ipvm_workflow::yaml;
use ucan_core::{Ipld, Place, dagjson};

/// How many parts of a value are looked for: each is found by reading the text again.
const PARTS: usize = 64;

/// What is read as YAML, or as DAG-JSON, is written in both so that it is read as the same value; and all its parts stand somewhere
/// in each text, on the line that it has.
pub(crate) fn yaml(data: &[u8]) {
    if let Ok(value) = yaml::decode(data) {
        found(&value, data, yaml::locate);
        survives(&value);
    }
    if let Ok(value) = dagjson::decode(data) {
        found(&value, data, dagjson::locate);
        survives(&value);
    }
}

fn survives(value: &Ipld) {
    let json = dagjson::encode(value);
    let text = yaml::encode(value);
    let read = yaml::decode(text.as_bytes()).expect("what is written is read");
    // As text, so that negative zero is not zero.
    assert_eq!(dagjson::encode(&read), json, "{text}");
    let read = dagjson::decode(json.as_bytes()).expect("what is written is read");
    assert_eq!(yaml::encode(&read), text);
    found(value, text.as_bytes(), yaml::locate);
}

fn found(value: &Ipld, text: &[u8], locate: impl Fn(&[u8], &Place) -> Option<ucan_core::Position>) {
    let mut parts = Vec::new();
    collect(value, &Place::root(), &mut parts);
    let text = str::from_utf8(text).expect("it was read");
    for part in parts {
        for place in [part.clone(), part.at_key()] {
            let at = locate(text.as_bytes(), &place).unwrap_or_else(|| panic!("{place} is nowhere in {text}"));
            // What is left out may stand after the last line.
            let lines = 2 + text.matches(['\n', '\r']).count();
            assert!(at.line >= 1 && at.column >= 1 && at.line <= lines, "{place} at {at}");
        }
    }
}

fn collect(value: &Ipld, place: &Place, parts: &mut Vec<Place>) {
    if parts.len() >= PARTS {
        return;
    }
    parts.push(place.clone());
    match value {
        Ipld::List(list) => list.iter().enumerate().for_each(|(at, item)| collect(item, &place.index(at), parts)),
        Ipld::Map(map) => map.iter().for_each(|(key, item)| collect(item, &place.key(key), parts)),
        _ => {}
    }
}
