//! For any type, any value of it, and any IPLD at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use ipld_wit::{Ipld, Signature, Type, Value, check, encoded_len, to_ipld, to_value};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,3}(-[a-z0-9]{1,3})?"
}

fn types() -> impl Strategy<Value = Type> {
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

fn values(ty: &Type) -> BoxedStrategy<Value> {
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
        Type::Flags(names) => {
            let len = names.len();
            proptest::sample::subsequence(names.to_vec(), 0..=len)
                .prop_map(|names| Value::Flags(names.into_iter().collect()))
                .boxed()
        }
    }
}

fn typed_values() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|ty| {
        let values = values(&ty);
        (Just(ty), values)
    })
}

/// IPLD that often has the shape of some type, because names and literals are few.
fn ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        (-300_i128..300).prop_map(Ipld::Integer),
        any::<i128>().prop_map(Ipld::Integer),
        any::<f64>().prop_map(Ipld::Float),
        (-9_i8..9).prop_map(|it| Ipld::Float(it.into())),
        "[a-c]{0,2}".prop_map(Ipld::String),
        vec(any::<u8>(), 0..4).prop_map(Ipld::Bytes),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Ipld::List),
            btree_map("a|b|c|ok|error", inner, 0..3).prop_map(Ipld::Map),
        ]
    })
}

/// Types whose names are drawn from the same few as those of [`ipld`].
fn plain_types() -> impl Strategy<Value = Type> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_value_comes_back((ty, value) in typed_values()) {
        let ipld = to_ipld(&value, &ty).unwrap();
        prop_assert_eq!(to_value(&ipld, &ty).unwrap(), value);
        prop_assert_eq!(check(&ipld, &ty), Ok(()));
    }

    #[test]
    fn what_is_accepted_has_one_canonical_form(ty in plain_types(), ipld in ipld()) {
        if let Ok(value) = to_value(&ipld, &ty) {
            let canonical = to_ipld(&value, &ty).unwrap();
            prop_assert_eq!(to_value(&canonical, &ty).unwrap(), value);
            prop_assert_eq!(to_ipld(&to_value(&canonical, &ty).unwrap(), &ty).unwrap(), canonical);
        }
        prop_assert_eq!(check(&ipld, &ty), to_value(&ipld, &ty).map(|_| ()));
    }

    #[test]
    fn a_value_under_another_type_never_panics((_, value) in typed_values(), ty in types()) {
        if let Ok(ipld) = to_ipld(&value, &ty) {
            prop_assert!(to_value(&ipld, &ty).is_ok());
        }
    }

    #[test]
    fn lengths_add_up((ty, value) in typed_values()) {
        let one = encoded_len(&value, &ty).unwrap();
        if ty != Type::U8 {
            let two = Value::List(vec![value.clone(), value]);
            prop_assert_eq!(encoded_len(&two, &Type::list(ty)).unwrap(), 1 + 2 * one);
        }
    }

    #[test]
    fn arguments_by_position_and_by_name_are_the_same(typed in vec(typed_values(), 0..4)) {
        let names = || ["a", "b", "c", "d"].map(str::to_owned).into_iter();
        let params = names().zip(typed.iter().map(|(ty, _)| ty.clone())).collect();
        let signature = Signature { params, result: None };
        let items: Vec<Ipld> = typed.iter().map(|(ty, value)| to_ipld(value, ty).unwrap()).collect();
        let values: Vec<Value> = typed.into_iter().map(|(_, value)| value).collect();
        let by_name = Ipld::Map(names().zip(items.iter().cloned()).collect());
        prop_assert_eq!(&signature.values(&Ipld::List(items)).unwrap(), &values);
        prop_assert_eq!(&signature.values(&by_name).unwrap(), &values);
    }
}

#[cfg(feature = "wasmtime")]
mod wasmtime {
    use super::*;
    use ipld_wit::{result_encoded_len, result_to_ipld, to_val};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn wasmtime_values_obey_the_same_rules((ty, value) in typed_values()) {
            let ipld = to_ipld(&value, &ty).unwrap();
            let val = to_val(&ipld, &ty).unwrap();
            let signature = Signature { params: vec![], result: Some(ty.clone()) };
            prop_assert_eq!(result_to_ipld(Some(&val), &signature).unwrap(), ipld);
            prop_assert_eq!(result_encoded_len(Some(&val), &signature).unwrap(), encoded_len(&value, &ty).unwrap());
        }

        #[test]
        fn and_refuse_the_same_things(ty in plain_types(), ipld in ipld()) {
            prop_assert_eq!(to_val(&ipld, &ty).map(|_| ()), check(&ipld, &ty));
        }
    }
}
