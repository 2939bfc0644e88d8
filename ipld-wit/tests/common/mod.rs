//! Types at random, and values of them; types in their text form.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod wit;

use std::sync::Arc;

use ipld_wit::{Cid, Ipld, Type, Value};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,3}(-[a-z0-9]{1,3})?"
}

pub(crate) fn types() -> impl Strategy<Value = Type> {
    let scalars = [
        Type::Bool,
        Type::S8,
        Type::U8,
        Type::S16,
        Type::U16,
        Type::S32,
        Type::U32,
        Type::S64,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        Type::bytes(),
        Type::Link,
        Type::Node,
    ];
    let leaf = prop_oneof![
        4 => proptest::sample::select(scalars.to_vec()),
        1 => btree_set(name(), 1..4).prop_map(Type::enumeration),
        1 => btree_set(name(), 1..4).prop_map(Type::flags),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let arm = proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::option),
            vec(inner.clone(), 1..4).prop_map(Type::tuple),
            btree_map(name(), inner.clone(), 1..4).prop_map(Type::record),
            btree_map(name(), proptest::option::of(inner), 1..4).prop_map(Type::variant),
            (arm.clone(), arm).prop_map(|(ok, err)| Type::result(ok, err)),
        ]
    })
}

fn payload(ty: Option<&Type>) -> BoxedStrategy<Option<Box<Value>>> {
    ty.map_or_else(|| Just(None).boxed(), |ty| values(ty).prop_map(|value| Some(Box::new(value))).boxed())
}

pub(crate) fn values(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Value::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Value::U64).boxed(),
        Type::F32 => any::<f32>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::F32).boxed(),
        Type::F64 => any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::F64).boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::List(element) if **element == Type::U8 => any::<Vec<u8>>().prop_map(Value::Bytes).boxed(),
        Type::List(element) => vec(values(element), 0..4).prop_map(Value::List).boxed(),
        Type::Tuple(types) => types.iter().map(values).collect::<Vec<_>>().prop_map(Value::Tuple).boxed(),
        Type::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            let values: Vec<_> = fields.iter().map(|field| values(&field.ty)).collect();
            values.prop_map(move |values| Value::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Type::Variant(cases) => proptest::sample::select(cases.to_vec())
            .prop_flat_map(|case| {
                payload(case.ty.as_ref()).prop_map(move |payload| Value::Variant(case.name.clone(), payload))
            })
            .boxed(),
        Type::Enum(names) => proptest::sample::select(names.to_vec()).prop_map(Value::Enum).boxed(),
        Type::Option(_) => {
            let Type::Option(some) = ty else { unreachable!() };
            payload(Some(some)).prop_union(Just(None).boxed()).prop_map(Value::Option).boxed()
        }
        Type::Result { ok, err } => prop_oneof![
            payload(ok.as_deref()).prop_map(|payload| Value::Result(Ok(payload))),
            payload(err.as_deref()).prop_map(|payload| Value::Result(Err(payload))),
        ]
        .boxed(),
        Type::Link => cids().prop_map(Value::Link).boxed(),
        Type::Node => nodes().prop_map(Value::Node).boxed(),
        Type::Flags(names) => {
            let len = names.len();
            proptest::sample::subsequence(names.to_vec(), 0..=len)
                .prop_map(|names| Value::Flags(names.into_iter().collect()))
                .boxed()
        }
    }
}

/// CIDs of both versions, with digests of all lengths.
fn cids() -> impl Strategy<Value = Cid> {
    let one =
        (any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..=64)).prop_filter_map("a CID", |(codec, code, digest)| {
            let mut bytes = vec![1];
            for number in [codec >> 1, code >> 1, digest.len() as u64] {
                varint(number, &mut bytes);
            }
            Cid::try_from([bytes, digest].concat()).ok()
        });
    let zero =
        any::<[u8; 32]>().prop_filter_map("a CID", |digest| Cid::try_from([&[0x12, 0x20], &digest[..]].concat()).ok());
    prop_oneof![3 => one, 1 => zero]
}

fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Whatever DAG-CBOR can hold.
pub(crate) fn nodes() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<u64>().prop_map(|it| Ipld::Integer(it.into())),
        any::<u64>().prop_map(|it| Ipld::Integer(-1 - i128::from(it))),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Ipld::Float),
        any::<String>().prop_map(Ipld::String),
        any::<Vec<u8>>().prop_map(Ipld::Bytes),
        cids().prop_map(Ipld::Link),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Ipld::List),
            btree_map("[a-z]{0,3}", inner, 0..4).prop_map(Ipld::Map),
        ]
    })
}

pub(crate) fn typed_values() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|ty| {
        let values = values(&ty);
        (Just(ty), values)
    })
}

/// IPLD that often has the shape of some type, because names and literals are few.
pub(crate) fn ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        (-300_i128..300).prop_map(Ipld::Integer),
        any::<i128>().prop_map(Ipld::Integer),
        any::<f64>().prop_map(Ipld::Float),
        (-9_i8..9).prop_map(|it| Ipld::Float(it.into())),
        "[a-c]{0,2}".prop_map(Ipld::String),
        vec(any::<u8>(), 0..4).prop_map(Ipld::Bytes),
        cids().prop_map(Ipld::Link),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Ipld::List),
            btree_map("a|b|c|ok|error", inner, 0..3).prop_map(Ipld::Map),
        ]
    })
}

/// Types whose names are drawn from the same few as those of [`ipld`].
pub(crate) fn plain_types() -> impl Strategy<Value = Type> {
    types().prop_map(|ty| rename(&ty))
}

fn rename(ty: &Type) -> Type {
    let names = || ["a", "b", "c"].into_iter();
    match ty {
        Type::List(element) => Type::list(rename(element)),
        Type::Option(some) => Type::option(rename(some)),
        Type::Tuple(types) => Type::tuple(types.iter().map(rename)),
        Type::Record(fields) => Type::record(names().zip(fields.iter().map(|field| rename(&field.ty)))),
        Type::Variant(cases) => Type::variant(names().zip(cases.iter().map(|case| case.ty.as_ref().map(rename)))),
        Type::Enum(cases) => Type::enumeration(names().take(cases.len())),
        Type::Flags(flags) => Type::flags(names().take(flags.len())),
        Type::Result { ok, err } => {
            let arm = |arm: &Option<Arc<Type>>| arm.as_ref().map(|ty| rename(ty));
            Type::result(arm(ok), arm(err))
        }
        scalar => scalar.clone(),
    }
}
