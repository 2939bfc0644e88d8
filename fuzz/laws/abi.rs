//! DAG-CBOR straight to values of WIT types, and back.
//!
//! This law is no part of the library, for `ipld-wit` stands beside the crates of tokens: the fuzz target and a test of
//! `ipld-wit` include it.

use ipld_wit::{
    FromBytesError, Limits, Signature, Type, check, encoded_len, from_dag_cbor, to_dag_cbor, to_ipld, to_value,
};
use ucan_core::dagcbor;

/// The input is a type, as [`ty`] reads it, and then bytes that may be a value of it.
///
/// What is read straight is what decoding with the family's other reader and converting gives, also of what is refused. What is
/// accepted is written as the bytes that its canonical tree has, and read again.
pub(crate) fn abi(mut data: &[u8]) {
    let ty = ty(&mut data, 5);
    let straight = from_dag_cbor(data, &ty, &Limits::default());
    match dagcbor::decode(data) {
        Err(error) => match &straight {
            Err(FromBytesError::Decode(ours)) => assert_eq!(ours.offset, error.offset(), "{ours} is not {error}"),
            other => panic!("{other:?} is not {error}"),
        },
        Ok(tree) => {
            let converted = to_value(&tree, &ty).map_err(|error| FromBytesError::Convert(Box::new(error)));
            assert_eq!(straight, converted, "as {ty}");
            assert_eq!(check(&tree, &ty).is_ok(), converted.is_ok());
            let function = Signature { params: vec![("a".to_owned(), ty.clone())], result: None };
            let found = function.check(&tree);
            assert_eq!(function.check_dag_cbor(data, &Limits::default()), found.map_err(Into::into));
        }
    }
    if let Ok(value) = straight {
        let canonical = to_ipld(&value, &ty).expect("what is read is written");
        let bytes = to_dag_cbor(&value, &ty).expect("what is read is written");
        assert_eq!(dagcbor::encode(&canonical).as_deref(), Ok(&*bytes));
        assert_eq!(encoded_len(&value, &ty), Ok(bytes.len() as u64));
        assert_eq!(from_dag_cbor(&bytes, &ty, &Limits::default()), Ok(value));
    }
    let (json, schema) = (ty.json_schema(), ty.ipld_schema("T"));
    assert!(dagcbor::encode(&json).is_ok() && schema.starts_with("type T "));
}

const NAMES: [&str; 4] = ["a", "b", "aa", "long-name"];

/// One byte says which type it is, and the bytes after it what it is made of. Where they end, it is `bool`.
fn ty(data: &mut &[u8], depth: usize) -> Type {
    let Some((&first, rest)) = data.split_first() else { return Type::Bool };
    *data = rest;
    let count = usize::from(first >> 5) % NAMES.len() + 1;
    let inner = |data: &mut &[u8]| match depth {
        0 => Type::U8,
        _ => ty(data, depth - 1),
    };
    match first % 24 {
        0 => Type::Bool,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::F32,
        10 => Type::F64,
        11 => Type::Char,
        12 => Type::String,
        13 => Type::bytes(),
        14 => Type::Link,
        15 => Type::Node,
        16 => Type::list(inner(data)),
        17 => Type::option(inner(data)),
        18 => Type::tuple((0..count).map(|_| inner(data))),
        19 => Type::record(NAMES.into_iter().take(count).map(|name| (name, inner(data)))),
        20 => Type::variant(
            NAMES.into_iter().take(count).enumerate().map(|(at, name)| (name, (at > 0).then(|| inner(data)))),
        ),
        21 => Type::enumeration(NAMES.into_iter().take(count)),
        22 => Type::flags(NAMES.into_iter().take(count)),
        _ => Type::result((count > 1).then(|| inner(data)), (count > 2).then(|| inner(data))),
    }
}
