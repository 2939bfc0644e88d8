//! The vectors of whole argument lists, `fixtures/ipld-wit/arguments.json`, on every way into a function.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::wit;
use ipld_wit::{ArgumentBytesError, ArgumentError, Ipld, Limits, Signature, Value, to_ipld};
use ucan_core::{dagcbor, dagjson};

const FILE: &str = include_str!("../../fixtures/ipld-wit/arguments.json");

fn text(ipld: &Ipld) -> &str {
    match ipld {
        Ipld::String(text) => text,
        other => panic!("{other:?} is no string"),
    }
}

fn list(ipld: &Ipld) -> &[Ipld] {
    match ipld {
        Ipld::List(items) => items,
        other => panic!("{other:?} is no list"),
    }
}

fn field<'a>(map: &'a Ipld, key: &str) -> Option<&'a Ipld> {
    match map {
        Ipld::Map(map) => map.get(key),
        other => panic!("{other:?} is no map"),
    }
}

/// An error as the vectors have it: its name, and the parameter or the path.
fn named(error: &ArgumentError) -> (String, Option<String>) {
    match error {
        ArgumentError::NotArguments { .. } => ("NotArguments".to_owned(), None),
        ArgumentError::Count { .. } => ("Count".to_owned(), None),
        ArgumentError::Missing { name, .. } => ("Missing".to_owned(), Some(name.clone())),
        ArgumentError::Unknown { name, .. } => ("Unknown".to_owned(), Some(name.clone())),
        ArgumentError::Convert(error) => (error.mismatch.name().to_owned(), Some(error.path.to_string())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vectors() {
    let file = dagjson::decode(FILE.as_bytes()).unwrap();
    let cases = list(field(&file, "cases").unwrap());
    assert!(cases.len() > 40);
    for case in cases {
        let shown = dagjson::encode(case);
        let param = |param: &Ipld| match list(param) {
            [name, ty] => (text(name).to_owned(), wit::parse(text(ty))),
            other => panic!("{other:?}"),
        };
        let params = list(field(case, "params").unwrap()).iter().map(param).collect();
        let signature = Signature { params, result: None };
        let args = field(case, "args").unwrap();
        let bytes = dagcbor::encode(args).unwrap();

        let canonical = |values: Vec<Value>| -> Ipld {
            let of = |(value, (_, ty)): (&Value, &(String, _))| to_ipld(value, ty).unwrap();
            Ipld::List(values.iter().zip(&signature.params).map(of).collect())
        };
        let from_tree = signature.values(args).map(canonical).map_err(|error| named(&error));
        let from_bytes = signature.values_from_dag_cbor(&bytes, &Limits::default()).map(canonical);
        let from_bytes = from_bytes.map_err(|error| match error {
            ArgumentBytesError::Arguments(error) => named(&error),
            other => panic!("{shown}: {other}"),
        });
        let expected = match field(case, "error") {
            None => Ok(field(case, "ok").unwrap().clone()),
            Some(error) => {
                let place = field(error, "param").or_else(|| field(error, "path")).map(|it| text(it).to_owned());
                Err((text(field(error, "name").unwrap()).to_owned(), place))
            }
        };
        assert_eq!(from_tree, expected, "{shown}");
        assert_eq!(from_bytes, expected, "{shown}");
        assert_eq!(signature.check(args).is_ok(), expected.is_ok(), "{shown}");
        assert_eq!(signature.arguments(args).is_ok(), expected.is_ok(), "{shown}");
        assert_eq!(signature.check_dag_cbor(&bytes, &Limits::default()).is_ok(), expected.is_ok(), "{shown}");
    }
}
