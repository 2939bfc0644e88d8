//! A whole value as the items that stand for it.

use ipld_core::ipld::Ipld;

use super::integer;
use crate::members::canonical_order;
use crate::value::{Build, Scalar};

/// The list of items for a value that was [`check`](super::check)ed: children before what holds them, the whole last.
pub(crate) fn items<T: Build>(ipld: &Ipld) -> T {
    let mut items = Vec::new();
    push(ipld, &mut items);
    T::list(items)
}

/// Adds a value after its parts, and gives its index.
fn push<T: Build>(ipld: &Ipld, items: &mut Vec<T>) -> T {
    let case = |name, payload| T::variant(name, Some(payload));
    let item = match ipld {
        Ipld::Null => T::variant("null", None),
        Ipld::Bool(it) => case("boolean", T::scalar(Scalar::Bool(*it))),
        Ipld::Integer(it) => {
            let (name, it) = integer(*it).unwrap_or(("unsigned", u64::MAX));
            case(name, T::scalar(Scalar::U64(it)))
        }
        Ipld::Float(it) => case("float", T::scalar(Scalar::F64(*it))),
        Ipld::String(it) => case("text", T::scalar(Scalar::String(it))),
        Ipld::Bytes(it) => case("bytes", T::bytes(it)),
        Ipld::List(list) => {
            let indices = list.iter().map(|item| push(item, items)).collect();
            case("items", T::list(indices))
        }
        Ipld::Map(map) => {
            let mut entries: Vec<(&String, &Ipld)> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| canonical_order(a, b));
            let entries = entries.into_iter().map(|(key, value)| {
                let index = push(value, items);
                T::tuple(vec![T::scalar(Scalar::String(key)), index])
            });
            let entries = entries.collect();
            case("entries", T::list(entries))
        }
        Ipld::Link(cid) => case("link", T::link(*cid)),
    };
    items.push(item);
    // No list that fits into a guest is longer.
    T::scalar(Scalar::U32(u32::try_from(items.len() - 1).unwrap_or(u32::MAX)))
}
