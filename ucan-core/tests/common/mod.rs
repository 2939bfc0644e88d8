//! Reading vectors.

use ucan_core::{Ipld, dagjson};

/// The cases of a file.
pub(crate) fn cases(json: &str) -> Vec<Ipld> {
    match dagjson::decode(json.as_bytes()).unwrap().get("cases") {
        Ok(Some(Ipld::List(cases))) => cases.clone(),
        _ => panic!("no cases"),
    }
}

/// A string of a case, if it has one of that name.
pub(crate) fn text<'a>(case: &'a Ipld, key: &str) -> Option<&'a str> {
    match case.get(key) {
        Ok(Some(Ipld::String(text))) => Some(text),
        _ => None,
    }
}

/// A number of a case, if it has one of that name.
pub(crate) fn number(case: &Ipld, key: &str) -> Option<u64> {
    match case.get(key) {
        Ok(Some(Ipld::Integer(number))) => u64::try_from(*number).ok(),
        _ => None,
    }
}
