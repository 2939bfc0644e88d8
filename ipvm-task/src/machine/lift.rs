//! The bound on what a guest can hand over before its size is known.
//!
//! wasmtime counts the bytes that a result takes on the host while it copies them out of the guest, and stops when they
//! exceed an allowance. The limit on outputs is in bytes of DAG-CBOR, so the allowance is the limit times the most that
//! one byte of an encoding can take: no output within the limit is stopped (but see [`FLAGS_DISCOUNT`]), and none beyond
//! it can take more of the host's memory than that.
//!
//! The size of a type does not enter: what wasmtime counts for a tuple, a record or a name stands in the encoding, too.

use ipld_wit::{Signature, Type};
use wasmtime::component::Val;

/// The size of one value on the host, wherever it stands. wasmtime counts it for each item of a list or tuple, field of
/// a record and payload, and counts strings (two bytes for each character in UTF-16) and names by their bytes.
const VALUE: u64 = size_of::<Val>() as u64;

/// By how much the factor of lists with flags is lower.
///
/// For each flag, wasmtime counts the bytes of its name but not the string that holds them, which takes some tens of
/// bytes more. So lists of flags have less of what is counted. What stops early for that are lists of records whose
/// names have a letter or two and whose flags are nearly all unset.
const FLAGS_DISCOUNT: u64 = 4;

/// How many values there are for an item of a whole IPLD node, which can have a single byte in an encoding: its index in
/// what holds it, with the key and the pair around them if that is a map, the item itself, and what it carries.
const NODE_VALUES: u64 = 6;

/// What wasmtime counts for a byte of text or bytes that a typed function gives: UTF-16 has two for a letter.
const TYPED: u64 = 2;

/// The same for a number of 64 bits in a list, which can have a single byte in an encoding.
const NUMBER: u64 = size_of::<u64>() as u64;

/// The most bytes that wasmtime may count for an output of this function that is encoded in `limit` bytes.
pub(super) fn allowance(signature: &Signature, limit: u64) -> usize {
    let factor = match &signature.result {
        Some(ty) if signature.is_typed() => {
            if is_row_of_numbers(ty) {
                NUMBER
            } else {
                TYPED
            }
        }
        result => result.as_ref().map_or(0, factor),
    };
    let bytes = factor.saturating_mul(limit).saturating_add(VALUE);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The most bytes that wasmtime counts for a byte of an encoding.
///
/// Each value has at least a byte in an encoding, except that an option may be told by its payload alone. As no two such
/// options stand directly in each other, there are at most two values to a byte; and each value that is no such option
/// has at most one value less than two for each of its bytes, from which follows the same for those that it is part of.
fn factor(ty: &Type) -> u64 {
    if has_nodes(ty) {
        return NODE_VALUES * VALUE;
    }
    let factor = if has_options(ty) { 2 * VALUE } else { VALUE };
    if has_listed_flags(ty, false) { factor / FLAGS_DISCOUNT } else { factor }
}

fn has_options(ty: &Type) -> bool {
    matches!(ty, Type::Option(_)) || parts(ty).any(has_options)
}

fn has_nodes(ty: &Type) -> bool {
    matches!(ty, Type::Node) || parts(ty).any(has_nodes)
}

fn is_row_of_numbers(ty: &Type) -> bool {
    matches!(ty, Type::List(element) if **element != Type::U8)
}

/// Whether there are flags, any number of times. Those that are there a fixed number of times are bounded by the type.
fn has_listed_flags(ty: &Type, listed: bool) -> bool {
    match ty {
        Type::Flags(_) => listed,
        _ => parts(ty).any(|part| has_listed_flags(part, listed || matches!(ty, Type::List(_)))),
    }
}

/// The types that a type is directly made of.
fn parts(ty: &Type) -> Box<dyn Iterator<Item = &Type> + '_> {
    match ty {
        Type::List(part) | Type::Option(part) => Box::new(std::iter::once(&**part)),
        Type::Tuple(parts) => Box::new(parts.iter()),
        Type::Record(fields) => Box::new(fields.iter().map(|field| &field.ty)),
        Type::Variant(cases) => Box::new(cases.iter().filter_map(|case| case.ty.as_ref())),
        Type::Result { ok, err } => Box::new(ok.iter().chain(err).map(|part| &**part)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether an error says that the allowance was exceeded. The type of that error is private to wasmtime.
pub(super) fn is_allowance_exceeded(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipld_wit::{Ipld, Value, encoded_len};
    use proptest::prelude::*;

    /// A function of this result that is called with dynamic values.
    fn taking(result: &Type) -> Signature {
        let signature = Signature { params: vec![("a".into(), Type::S8)], result: Some(result.clone()) };
        assert!(!signature.is_typed());
        signature
    }

    #[test]
    fn the_allowance_does_not_grow_with_the_type() {
        let limit = 1 << 20;
        let long = Type::enumeration(["x".repeat(100_000)]);
        let wide = Type::tuple(vec![Type::U8; 9_999]);
        for ty in [Type::String, Type::bytes(), Type::list(long), Type::list(wide.clone())] {
            assert_eq!(allowance(&taking(&ty), limit) as u64, limit * VALUE + VALUE);
        }
        let mut deep = Type::U8;
        for _ in 0..60 {
            deep = Type::option(deep);
        }
        assert_eq!(allowance(&taking(&Type::list(deep)), limit) as u64, 2 * limit * VALUE + VALUE);
        assert_eq!(allowance(&Signature { params: vec![], result: None }, limit) as u64, VALUE);
        assert_eq!(allowance(&taking(&wide), u64::MAX), usize::MAX);
        let typed = Signature { params: vec![], result: Some(Type::bytes()) };
        assert!(typed.is_typed());
        assert_eq!(allowance(&typed, limit) as u64, 2 * limit + VALUE);
        let flags = Type::flags(["a", "b"]);
        assert_eq!(factor(&flags), VALUE);
        assert_eq!(factor(&Type::list(Type::tuple([flags]))), VALUE / FLAGS_DISCOUNT);
    }

    /// What wasmtime counts for a value, besides the value itself, at worst.
    fn counted(value: &Value) -> u64 {
        let slot = |value: &Value| VALUE + counted(value);
        let name = |name: &str| name.len() as u64;
        match value {
            Value::String(it) => 2 * it.encode_utf16().count().max(it.len()) as u64,
            Value::Enum(it) => name(it),
            Value::List(items) | Value::Tuple(items) => items.iter().map(slot).sum(),
            Value::Record(fields) => fields.iter().map(|(it, value)| name(it) + slot(value)).sum(),
            Value::Variant(it, payload) => name(it) + payload.as_deref().map_or(0, slot),
            Value::Option(some) => some.as_deref().map_or(0, slot),
            Value::Result(Ok(payload) | Err(payload)) => payload.as_deref().map_or(0, slot),
            Value::Node(ipld) => VALUE + name("ipld-node") + arena(ipld),
            Value::Flags(names) => names.iter().map(|it| name(it)).sum(),
            _ => 0,
        }
    }

    /// The same for the items of a whole node, each with its index.
    fn arena(ipld: &Ipld) -> u64 {
        let parts: u64 = match ipld {
            Ipld::List(items) => items.iter().map(arena).sum(),
            Ipld::Map(map) => map.iter().map(|(key, it)| 2 * VALUE + 2 * key.len() as u64 + arena(it)).sum(),
            Ipld::String(it) => 2 * it.encode_utf16().count().max(it.len()) as u64,
            Ipld::Bytes(it) => VALUE * it.len() as u64,
            _ => 0,
        };
        let longest_name = "boolean".len() as u64 + 1;
        VALUE + VALUE + longest_name + VALUE + parts
    }

    fn nodes() -> impl Strategy<Value = Ipld> {
        let leaf = prop_oneof![
            Just(Ipld::Null),
            any::<u8>().prop_map(|it| Ipld::Integer(it.into())),
            ".{0,4}".prop_map(Ipld::String),
            any::<Vec<u8>>().prop_map(Ipld::Bytes)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Ipld::List),
                proptest::collection::btree_map("[a-z]{0,2}", inner, 0..4).prop_map(Ipld::Map),
            ]
        })
    }

    /// Types with a value of each.
    fn typed() -> impl Strategy<Value = (Type, Value)> {
        let leaf = prop_oneof![
            any::<u8>().prop_map(|it| (Type::U8, Value::U8(it))),
            ".{0,4}".prop_map(|it| (Type::String, Value::String(it))),
            nodes().prop_map(|it| (Type::Node, Value::Node(it))),
            Just((Type::enumeration(["a"]), Value::Enum("a".to_owned()))),
        ];
        leaf.prop_recursive(12, 64, 4, |inner| {
            prop_oneof![
                4 => (inner.clone(), any::<bool>()).prop_map(|((ty, value), some)| {
                    (Type::option(ty), Value::Option(some.then(|| Box::new(value))))
                }),
                1 => (inner.clone(), 0_usize..3).prop_map(|((ty, value), n)| {
                    (Type::list(ty), Value::List(vec![value; n]))
                }),
                1 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| {
                    let (types, values): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                    (Type::tuple(types), Value::Tuple(values))
                }),
                1 => inner.clone().prop_map(|(ty, value)| {
                    (Type::record([("a", ty)]), Value::Record(vec![("a".to_owned(), value)]))
                }),
                1 => inner.clone().prop_map(|(ty, value)| {
                    let payload = Some(Box::new(value));
                    (Type::variant([("a", Some(ty))]), Value::Variant("a".to_owned(), payload))
                }),
                1 => inner.prop_map(|(ty, value)| {
                    (Type::result(None, Some(ty)), Value::Result(Err(Some(Box::new(value)))))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_output_within_the_limit_is_stopped((ty, value) in typed()) {
            let limit = encoded_len(&value, &ty).unwrap();
            prop_assert!(counted(&value) <= allowance(&taking(&ty), limit) as u64);
        }
    }
}
