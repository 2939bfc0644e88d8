use std::collections::BTreeMap;

use ucan_core::Ipld;

use crate::parts::{Kind, Parts};

/// What a value takes in canonical DAG-CBOR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// How many values there are, those in lists and maps included, keys not.
    pub(crate) items: usize,
    /// How many bytes it takes.
    pub(crate) bytes: usize,
    /// How deep lists and maps are nested; 0 where there are none.
    pub(crate) depth: usize,
}

impl Measure {
    /// The measure of `value`, or `None` where it holds a promise.
    pub(crate) fn of(value: &Ipld) -> Option<Self> {
        let mut whole = Self::default();
        for part in Parts::of(value) {
            match part.kind {
                Kind::Promise(_) => return None,
                Kind::Value(value) => whole.add(part.depth, Self::of_head(value)),
            }
        }
        Some(whole)
    }

    /// What `value` takes without the values in it.
    pub(crate) fn of_head(value: &Ipld) -> Self {
        let leaf = |bytes| Self { items: 1, bytes, depth: 0 };
        match value {
            Ipld::Null | Ipld::Bool(_) => leaf(1),
            Ipld::Integer(number) => leaf(head(magnitude(*number))),
            Ipld::Float(_) => leaf(9),
            Ipld::String(text) => leaf(string(text.len())),
            Ipld::Bytes(bytes) => leaf(string(bytes.len())),
            // A tag of two bytes, and a byte before the CID.
            Ipld::Link(cid) => leaf(2 + string(1 + cid.encoded_len())),
            Ipld::List(list) => Self { depth: 1, ..leaf(head(list.len() as u64)) },
            Ipld::Map(map) => Self::of_map(map),
        }
    }

    /// What a map takes without the values in it.
    pub(crate) fn of_map(map: &BTreeMap<String, Ipld>) -> Self {
        let keys: usize = map.keys().map(|key| string(key.len())).sum();
        Self { items: 1, bytes: head(map.len() as u64) + keys, depth: 1 }
    }

    /// Adds a part that stands within `depth` lists and maps.
    pub(crate) fn add(&mut self, depth: usize, part: Self) {
        self.items = self.items.saturating_add(part.items);
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.depth = self.depth.max(depth.saturating_add(part.depth));
    }

    /// The measure as the only entry of a map, under a key of as many bytes.
    pub(crate) fn under(self, key: usize) -> Self {
        Self { items: self.items + 1, bytes: self.bytes + 1 + string(key), depth: self.depth + 1 }
    }
}

/// A negative number is written as what is left of it after -1. What has more than 64 bits cannot be written at all.
fn magnitude(number: i128) -> u64 {
    let magnitude = if number < 0 { -1 - number } else { number };
    u64::try_from(magnitude).unwrap_or(u64::MAX)
}

fn head(number: u64) -> usize {
    match number {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

fn string(length: usize) -> usize {
    length.saturating_add(head(length as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ucan_core::{block, dagcbor};

    use super::*;

    fn value() -> impl Strategy<Value = Ipld> {
        let leaf = prop_oneof![
            Just(Ipld::Null),
            any::<bool>().prop_map(Ipld::Bool),
            any::<i64>().prop_map(|number| Ipld::Integer(number.into())),
            any::<u64>().prop_map(|number| Ipld::Integer(number.into())),
            (0_u32..64).prop_map(|bits| Ipld::Integer(-(1_i128 << bits))),
            (0_u32..64).prop_map(|bits| Ipld::Integer(1_i128 << bits)),
            Just(Ipld::Float(0.5)),
            ".{0,300}".prop_map(Ipld::String),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Ipld::Bytes),
            any::<u8>().prop_map(|byte| Ipld::Link(block::dag_cbor_cid(&[byte]))),
        ];
        leaf.prop_recursive(6, 64, 30, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Ipld::List),
                prop::collection::btree_map(".{0,30}", inner, 0..30).prop_map(Ipld::Map),
            ]
        })
    }

    fn naive(value: &Ipld) -> (usize, usize) {
        let inner: Vec<(usize, usize)> = match value {
            Ipld::List(list) => list.iter().map(naive).collect(),
            Ipld::Map(map) => map.values().map(naive).collect(),
            _ => return (1, 0),
        };
        let deepest = inner.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        (1 + inner.iter().map(|(items, _)| items).sum::<usize>(), 1 + deepest)
    }

    proptest! {
        #[test]
        fn the_measure_is_what_is_written(value in value()) {
            let measure = Measure::of(&value).unwrap();
            prop_assert_eq!(measure.bytes, dagcbor::encode(&value).unwrap().len());
            prop_assert_eq!((measure.items, measure.depth), naive(&value));
        }
    }
}
