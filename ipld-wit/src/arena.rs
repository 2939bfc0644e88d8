//! Whole IPLD values in WIT, which has no recursive types: a list of items that name each other by their index.

#[cfg(feature = "wasmtime")]
mod items;

use std::collections::BTreeMap;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::Type;
use crate::error::{At as _, Failure, Mismatch, Segment, failure};
use crate::value::{Scalar, Seen, View};

#[cfg(feature = "wasmtime")]
pub(crate) use items::items;

/// The field by which the record `link` is told.
pub(crate) const LINK: &str = "ipld-link";
/// The field by which the record `node` is told.
pub(crate) const NODE: &str = "ipld-node";
/// How deep a whole value may be nested. In the deepest type it is still within what DAG-CBOR readers accept.
pub(crate) const MAX_DEPTH: usize = 64;

/// The type of one item.
pub(crate) fn item_type() -> Type {
    Type::variant([
        ("null", None),
        ("boolean", Some(Type::Bool)),
        ("unsigned", Some(Type::U64)),
        // -1 - n, so that every integer of DAG-CBOR has one form.
        ("negative", Some(Type::U64)),
        ("float", Some(Type::F64)),
        ("text", Some(Type::String)),
        ("bytes", Some(Type::bytes())),
        ("items", Some(Type::list(Type::U32))),
        ("entries", Some(Type::list(Type::tuple([Type::String, Type::U32])))),
        ("link", Some(Type::Link)),
    ])
}

/// Exactly one CID, in its binary form and as it is written.
pub(crate) fn cid(bytes: &[u8]) -> Option<Cid> {
    let cid = Cid::read_bytes(bytes).ok()?;
    // The reader stops at the end of the CID and forgives long varints.
    (cid.encoded_len() == bytes.len() && cid.to_bytes() == bytes).then_some(cid)
}

/// Checks that a value is one that DAG-CBOR has, and not too deep.
pub(crate) fn check(ipld: &Ipld) -> Result<(), Failure> {
    check_at(ipld, MAX_DEPTH)
}

fn check_at(ipld: &Ipld, left: usize) -> Result<(), Failure> {
    let deeper = || left.checked_sub(1).ok_or_else(|| failure(&Type::Node, Mismatch::TooDeep { limit: MAX_DEPTH }));
    match ipld {
        Ipld::List(items) => {
            let left = deeper()?;
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| check_at(item, left).at(|| Segment::Index(index)))
        }
        Ipld::Map(map) => {
            let left = deeper()?;
            map.iter().try_for_each(|(key, value)| check_at(value, left).at(|| Segment::Key(key.clone())))
        }
        Ipld::Float(it) if !it.is_finite() => Err(failure(&Type::Node, Mismatch::NotFinite { found: it.to_string() })),
        Ipld::Integer(it) if integer(*it).is_none() => {
            Err(failure(&Type::Node, Mismatch::OutOfRange { found: it.to_string() }))
        }
        _ => Ok(()),
    }
}

/// The case and payload of an integer, if DAG-CBOR has it.
fn integer(it: i128) -> Option<(&'static str, u64)> {
    match u64::try_from(it) {
        Ok(it) => Some(("unsigned", it)),
        Err(_) => u64::try_from(-1 - it).ok().map(|it| ("negative", it)),
    }
}

/// A value that was put together, until another holds it.
struct Part {
    ipld: Ipld,
    /// How many lists and maps are nested in each other there.
    depth: usize,
}

/// The value that a list of items stands for: each item after its parts, each but the last a part of exactly one.
pub(crate) fn value<V: View>(list: &V) -> Result<Ipld, Failure> {
    let Seen::List(items) = list.view() else {
        return Err(arena(0, "is no list of items"));
    };
    let mut parts: Vec<Option<Part>> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let part = part(item, at, &mut parts)?;
        parts.push(Some(part));
    }
    let whole = parts.pop().flatten().ok_or_else(|| arena(0, "is missing: the whole stands last"))?;
    match parts.iter().position(Option::is_some) {
        None => Ok(whole.ipld),
        Some(left) => Err(arena(left, "is no part of any other, and not the last")),
    }
}

fn part<V: View>(item: &V, at: usize, parts: &mut [Option<Part>]) -> Result<Part, Failure> {
    let Seen::Variant(name, payload) = item.view() else {
        return Err(arena(at, "is no item"));
    };
    let leaf = |ipld| Ok(Part { ipld, depth: 0 });
    match (name, payload.map(View::view)) {
        ("null", None) => leaf(Ipld::Null),
        ("boolean", Some(Seen::Scalar(Scalar::Bool(it)))) => leaf(Ipld::Bool(it)),
        ("unsigned", Some(Seen::Scalar(Scalar::U64(it)))) => leaf(Ipld::Integer(it.into())),
        ("negative", Some(Seen::Scalar(Scalar::U64(it)))) => leaf(Ipld::Integer(-1 - i128::from(it))),
        ("float", Some(Seen::Scalar(Scalar::F64(it)))) if it.is_finite() => leaf(Ipld::Float(it)),
        ("float", Some(Seen::Scalar(Scalar::F64(_)))) => {
            Err(arena(at, "is NaN or an infinity, which IPLD cannot carry"))
        }
        ("text", Some(Seen::Scalar(Scalar::String(it)))) => leaf(Ipld::String(it.to_owned())),
        ("bytes", Some(Seen::Bytes(it))) => leaf(Ipld::Bytes(it.to_vec())),
        ("bytes", Some(Seen::List(it))) => {
            leaf(Ipld::Bytes(bytes(it).ok_or_else(|| arena(at, "holds something else than bytes"))?))
        }
        ("link", Some(link)) => {
            leaf(Ipld::Link(link_of(&link).map_err(|_| arena(at, "is a link that is not exactly one CID"))?))
        }
        ("items", Some(Seen::List(indices))) => {
            let mut depth = 1;
            let list = indices.iter().map(|index| take(index, at, parts, &mut depth)).collect::<Result<_, _>>()?;
            Ok(Part { ipld: Ipld::List(list), depth })
        }
        ("entries", Some(Seen::List(entries))) => {
            let (mut depth, mut map) = (1, BTreeMap::new());
            for entry in entries {
                let (key, index) = match entry.view() {
                    Seen::Tuple([key, index]) => (key.view(), index),
                    _ => return Err(arena(at, "holds something else than entries")),
                };
                let Seen::Scalar(Scalar::String(key)) = key else {
                    return Err(arena(at, "has a key that is no string"));
                };
                let value = take(index, at, parts, &mut depth)?;
                if map.insert(key.to_owned(), value).is_some() {
                    return Err(arena(at, "has a map key twice"));
                }
            }
            Ok(Part { ipld: Ipld::Map(map), depth })
        }
        _ => Err(arena(at, "is no item")),
    }
}

/// Takes a part out of its place, so that no other can hold it, too: a few bytes could stand for gigabytes.
fn take<V: View>(index: &V, at: usize, parts: &mut [Option<Part>], depth: &mut usize) -> Result<Ipld, Failure> {
    let Seen::Scalar(Scalar::U32(index)) = index.view() else {
        return Err(arena(at, "has an index that is no u32"));
    };
    let part = usize::try_from(index).ok().and_then(|index| parts.get_mut(index)).and_then(Option::take);
    let part = part.ok_or_else(|| arena(at, "names a part that does not stand before it, or is held already"))?;
    *depth = (*depth).max(part.depth + 1);
    if *depth > MAX_DEPTH {
        return Err(failure(&Type::Node, Mismatch::TooDeep { limit: MAX_DEPTH }));
    }
    Ok(part.ipld)
}

/// The bytes in a list of them.
pub(crate) fn bytes<V: View>(items: &[V]) -> Option<Vec<u8>> {
    let byte = |item: &V| match item.view() {
        Seen::Scalar(Scalar::U8(byte)) => Some(byte),
        _ => None,
    };
    items.iter().map(byte).collect()
}

/// The CID in a link, or in the record that stands for one.
pub(crate) fn link_of<V: View>(seen: &Seen<'_, V>) -> Result<Cid, Failure> {
    let wrong = |found| failure(&Type::Link, Mismatch::NotACid { found });
    match seen {
        Seen::Link(cid) => Ok(**cid),
        Seen::Record([(_, field)]) => match field.view() {
            Seen::Bytes(bytes) => cid(bytes).ok_or_else(|| wrong(bytes.len())),
            Seen::List(items) => bytes(items).and_then(|bytes| cid(&bytes)).ok_or_else(|| wrong(items.len())),
            _ => Err(wrong(0)),
        },
        _ => Err(wrong(0)),
    }
}

fn arena(item: usize, reason: &'static str) -> Failure {
    failure(&Type::Node, Mismatch::Arena { item, reason })
}
