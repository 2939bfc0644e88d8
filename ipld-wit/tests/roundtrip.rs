//! For any type, any value of it, and any IPLD at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{ipld, plain_types, typed_values, types};
use ipld_wit::{
    FromBytesError, Ipld, Limits, Signature, Type, Value, check, encoded_len, from_dag_cbor, to_dag_cbor, to_ipld,
    to_value,
};
use proptest::collection::vec;
use proptest::prelude::*;
use ucan_core::dagcbor;

/// What the straight path has to give: decoded first, by another reader, and converted then.
fn decoded(bytes: &[u8], ty: &Type) -> Result<Value, FromBytesError> {
    let tree = dagcbor::decode(bytes).map_err(|error| {
        let mut ours = from_dag_cbor(bytes, &Type::Node, &Limits::default()).unwrap_err();
        let FromBytesError::Decode(ours_error) = &mut ours else { panic!("{bytes:?} was read, but {error}") };
        // The kinds are those of two crates.
        assert_eq!(ours_error.offset, error.offset());
        ours
    })?;
    to_value(&tree, ty).map_err(|error| FromBytesError::Convert(Box::new(error)))
}

/// Whether two values are one in the data model but for what the ABI makes no difference of: a number as an integer or a
/// float, and in a record, a missing option that is none. (Zero has one sign as an integer.)
fn equal(a: &Ipld, b: &Ipld) -> bool {
    match (a, b) {
        (Ipld::Integer(integer), Ipld::Float(float)) | (Ipld::Float(float), Ipld::Integer(integer)) => {
            *float as i128 == *integer && *integer as f64 == *float
        }
        (Ipld::List(a), Ipld::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Ipld::Map(a), Ipld::Map(b)) => {
            b.iter().all(|(key, b)| match a.get(key) {
                Some(a) => equal(a, b),
                None => *b == Ipld::Null || *b == Ipld::List(vec![]),
            }) && a.keys().all(|key| b.contains_key(key))
        }
        (a, b) => a == b,
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
            prop_assert_eq!(&to_ipld(&to_value(&canonical, &ty).unwrap(), &ty).unwrap(), &canonical);
            prop_assert!(equal(&ipld, &canonical), "{:?} is not {:?}", ipld, canonical);
        }
        prop_assert_eq!(check(&ipld, &ty), to_value(&ipld, &ty).map(|_| ()));
    }

    #[test]
    fn bytes_are_what_the_tree_is_encoded_as((ty, value) in typed_values()) {
        let bytes = to_dag_cbor(&value, &ty).unwrap();
        prop_assert_eq!(&bytes, &dagcbor::encode(&to_ipld(&value, &ty).unwrap()).unwrap());
        prop_assert_eq!(bytes.len() as u64, encoded_len(&value, &ty).unwrap());
        prop_assert_eq!(from_dag_cbor(&bytes, &ty, &Limits::default()).unwrap(), value);
    }

    #[test]
    fn the_straight_path_says_what_the_long_one_says(ty in plain_types(), ipld in ipld()) {
        if let Ok(bytes) = dagcbor::encode(&ipld) {
            prop_assert_eq!(from_dag_cbor(&bytes, &ty, &Limits::default()), decoded(&bytes, &ty));
        }
    }

    #[test]
    fn also_of_bytes_that_were_changed(
        (ty, value) in typed_values(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        kind in 0..4,
    ) {
        let mut bytes = to_dag_cbor(&value, &ty).unwrap();
        match kind {
            0 => bytes.truncate(cut.index(bytes.len())),
            1 => bytes.insert(cut.index(bytes.len()), changes[0].1),
            2 => drop(bytes.remove(cut.index(bytes.len()))),
            _ => changes.iter().for_each(|(at, byte)| { let at = at.index(bytes.len()); bytes[at] = *byte; }),
        }
        prop_assert_eq!(from_dag_cbor(&bytes, &ty, &Limits::default()), decoded(&bytes, &ty));
    }

    #[test]
    fn and_of_any_bytes(ty in plain_types(), bytes in vec(any::<u8>(), 0..12)) {
        prop_assert_eq!(from_dag_cbor(&bytes, &ty, &Limits::default()), decoded(&bytes, &ty));
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
    use ipld_wit::{result_to_ipld, to_val};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn wasmtime_values_obey_the_same_rules((ty, value) in typed_values()) {
            let ipld = to_ipld(&value, &ty).unwrap();
            let val = to_val(&ipld, &ty).unwrap();
            let signature = Signature { params: vec![], result: Some(ty.clone()) };
            prop_assert_eq!(result_to_ipld(Some(&val), &signature).unwrap(), ipld);
        }

        #[test]
        fn and_refuse_the_same_things(ty in plain_types(), ipld in ipld()) {
            prop_assert_eq!(to_val(&ipld, &ty).map(|_| ()), check(&ipld, &ty));
        }
    }
}
