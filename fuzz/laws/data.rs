//! Values and their spellings.

use ucan_core::{
    Cid, Ipld, block,
    dagcbor::{self, Limits},
    dagjson,
};

use super::choices::{Choices, same};

/// What is read as DAG-CBOR has exactly one spelling; what can be written is read back.
pub fn dagcbor(data: &[u8]) {
    let mut found = dagcbor::links(data);
    if let Ok(found) = &mut found {
        found.sort_unstable();
    }
    assert_eq!(found, dagcbor::decode(data).map(|value| links(&value)), "links that are found without a tree");
    if let Ok(value) = dagcbor::decode(data) {
        assert_eq!(dagcbor::encode(&value).as_deref(), Ok(data), "another spelling was accepted");
        block::verify(&block::dag_cbor_cid(data), data).expect("a block is what its CID names");
        // Limits refuse and never change.
        if let Ok(narrow) = dagcbor::decode_with(data, &Limits::TOKEN) {
            assert!(same(&narrow, &value));
        }
        let mut limits = Limits::default();
        limits.bytes = data.len();
        limits.depth = depth(&value);
        limits.items = items(&value);
        assert!(dagcbor::decode_with(data, &limits).is_ok_and(|exact| same(&exact, &value)), "within its own size");
        limits.items -= 1;
        assert!(dagcbor::decode_with(data, &limits).is_err(), "one value more than allowed");
        limits.items += 1;
        limits.bytes -= 1;
        assert!(dagcbor::decode_with(data, &limits).is_err(), "one byte more than allowed");
        limits.bytes += 1;
        if let Some(depth) = limits.depth.checked_sub(1) {
            limits.depth = depth;
            assert!(dagcbor::decode_with(data, &limits).is_err(), "one level more than allowed");
        }
    }
    let value = Choices::new(data).value(6);
    let bytes = dagcbor::encode(&value).expect("the value is one that DAG-CBOR has");
    let read = dagcbor::decode(&bytes).expect("what is written is read");
    assert!(same(&read, &value), "{read:?} is not {value:?}");
}

/// Every link in a value, sorted.
fn links(value: &Ipld) -> Vec<Cid> {
    let mut found = match value {
        Ipld::Link(cid) => vec![*cid],
        Ipld::List(list) => list.iter().flat_map(links).collect(),
        Ipld::Map(map) => map.values().flat_map(links).collect(),
        _ => vec![],
    };
    found.sort_unstable();
    found
}

/// How deep lists and maps are nested.
fn depth(value: &Ipld) -> usize {
    match value {
        Ipld::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Ipld::Map(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many values there are, this one included.
fn items(value: &Ipld) -> usize {
    match value {
        Ipld::List(list) => 1 + list.iter().map(items).sum::<usize>(),
        Ipld::Map(map) => 1 + map.values().map(items).sum::<usize>(),
        _ => 1,
    }
}

/// What is read as DAG-JSON, and every value that it can say, survives being written and read again.
pub fn dagjson(data: &[u8]) {
    if let Ok(value) = dagjson::decode(data) {
        survives(&value);
    }
    let mut choices = Choices::new(data);
    let value = choices.value(6);
    if !has_reserved(&value) {
        survives(&value);
    }
    survives(&Ipld::Integer(choices.number()));
}

fn survives(value: &Ipld) {
    let text = dagjson::encode(value);
    for spelling in [&text, &dagjson::encode_pretty(value)] {
        let read = dagjson::decode(spelling.as_bytes()).expect("what is written is read");
        assert!(same(&read, value), "{read:?} is not {value:?}");
        assert_eq!(dagjson::encode(&read), text);
    }
}

/// Whether a value holds a map that DAG-JSON keeps for links and bytes.
fn has_reserved(value: &Ipld) -> bool {
    match value {
        Ipld::List(list) => list.iter().any(has_reserved),
        Ipld::Map(map) => {
            let reserved = match map.get("/") {
                Some(Ipld::String(_)) => true,
                Some(Ipld::Map(inner)) => matches!(inner.get("bytes"), Some(Ipld::String(_))),
                _ => false,
            };
            reserved || map.values().any(has_reserved)
        }
        _ => false,
    }
}
