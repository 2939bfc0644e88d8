//! The vectors under `fixtures/ipld-wit`, which other implementations can use.
//!
//! `cargo test -p ipld-wit --test vectors -- --ignored` writes them anew. What is expected stands in `vectors/`, written by
//! hand or computed without the crate that is tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
#[path = "vectors/numbers.rs"]
mod numbers;
#[path = "vectors/values.rs"]
mod values;

use std::fs;
use std::path::Path;

use common::wit;
use ipld_wit::{FromBytesError, Ipld, Limits, check, from_dag_cbor, to_dag_cbor, to_ipld, to_value};
use ucan_core::{dagcbor, dagjson};

/// A type in WIT, a value, and what comes of it.
pub(crate) struct Case {
    pub(crate) ty: String,
    pub(crate) ipld: Ipld,
    /// The canonical form, or the name of the error and where it is.
    pub(crate) expected: Result<Ipld, (String, String)>,
}

pub(crate) fn ok(ty: &str, ipld: Ipld, canonical: Ipld) -> Case {
    Case { ty: ty.to_owned(), ipld, expected: Ok(canonical) }
}

pub(crate) fn same(ty: &str, ipld: Ipld) -> Case {
    ok(ty, ipld.clone(), ipld)
}

pub(crate) fn error(ty: &str, ipld: Ipld, name: &str, path: &str) -> Case {
    Case { ty: ty.to_owned(), ipld, expected: Err((name.to_owned(), path.to_owned())) }
}

pub(crate) fn text(it: &str) -> Ipld {
    Ipld::String(it.to_owned())
}

pub(crate) fn list(items: impl IntoIterator<Item = Ipld>) -> Ipld {
    Ipld::List(items.into_iter().collect())
}

pub(crate) fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn files() -> [(&'static str, &'static str, Vec<Case>); 2] {
    const LAYOUT: &str = "Each case has a `type` in WIT (records and the like are written in place; `link` and `node` are \
        those of `ipvm:ipld`), a value `ipld` as DAG-JSON, and either its canonical form `ok` or an `error` with the `name` \
        of the rule that is broken (docs/specs/ipld-wit.md, section 8) and the `path` to the part that breaks it.";
    [("numbers", LAYOUT, numbers::cases()), ("values", LAYOUT, values::cases())]
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/ipld-wit/{name}.json"))
}

#[test]
#[ignore = "writes the files anew"]
fn write() {
    for (name, about, cases) in files() {
        let cases = cases.iter().map(|case| {
            let expected = match &case.expected {
                Ok(canonical) => ("ok", canonical.clone()),
                Err((name, path)) => ("error", map([("name", text(name)), ("path", text(path))])),
            };
            let json = |it: &Ipld| dagjson::encode(it);
            let (key, value) = expected;
            format!(
                r#"    {{"type": {}, "ipld": {}, "{key}": {}}}"#,
                json(&text(&case.ty)),
                json(&case.ipld),
                json(&value)
            )
        });
        let cases: Vec<String> = cases.collect();
        let about = dagjson::encode(&text(about));
        let file = format!("{{\n  \"about\": {about},\n  \"cases\": [\n{}\n  ]\n}}\n", cases.join(",\n"));
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), file).unwrap();
    }
}

#[test]
fn every_vector() {
    let mut total = 0;
    for (name, _, written) in files() {
        let file = dagjson::decode(&fs::read(path(name)).unwrap()).unwrap();
        let Ok(Some(Ipld::List(cases))) = file.take("cases") else { panic!("{name} has cases") };
        assert_eq!(cases.len(), written.len(), "{name} is out of date");
        for case in cases {
            total += 1;
            run(&case);
        }
    }
    assert!(total > 400, "only {total} vectors were found");
}

fn run(case: &Ipld) {
    let part = |key| case.get(key).unwrap().cloned();
    let string = |it: &Ipld, key| match it.get(key) {
        Ok(Some(Ipld::String(text))) => text.clone(),
        _ => panic!("{case:?} has no string {key}"),
    };
    let ty = wit::parse(&string(case, "type"));
    let ipld = part("ipld").unwrap();
    let label = format!("{} as {ty}", dagjson::encode(&ipld));
    let straight = dagcbor::encode(&ipld).map(|bytes| from_dag_cbor(&bytes, &ty, &Limits::default()));
    match part("ok") {
        Some(canonical) => {
            let value = to_value(&ipld, &ty).unwrap_or_else(|error| panic!("{label}: {error}"));
            // Bits count: the sign of zero is one of them.
            assert_eq!(dagjson::encode(&to_ipld(&value, &ty).unwrap()), dagjson::encode(&canonical), "{label}");
            assert_eq!(to_dag_cbor(&value, &ty).unwrap(), dagcbor::encode(&canonical).unwrap(), "{label}");
            assert_eq!(to_value(&canonical, &ty).as_ref(), Ok(&value), "{label}");
            assert_eq!(check(&ipld, &ty), Ok(()), "{label}");
            assert_eq!(straight.unwrap(), Ok(value), "{label}");
        }
        None => {
            let expected = part("error").unwrap();
            let error = to_value(&ipld, &ty).expect_err(&label);
            assert_eq!(error.mismatch.name(), string(&expected, "name"), "{label}: {error}");
            assert_eq!(error.path.to_string(), string(&expected, "path"), "{label}: {error}");
            assert_eq!(check(&ipld, &ty), Err(error.clone()), "{label}");
            // Integers beyond 64 bits have no bytes.
            if let Ok(straight) = straight {
                assert_eq!(straight, Err(FromBytesError::Convert(Box::new(error))), "{label}");
            }
        }
    }
}
