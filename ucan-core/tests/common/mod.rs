//! Vectors in the layout that all files under `fixtures` share.

use data_encoding::{BASE64, BASE64_NOPAD};
use ucan_core::{Ipld, dagjson};

/// A request in the conformance protocol, and what the answer must hold.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) request: Ipld,
    /// The `ok` or the `error` that is expected.
    pub(crate) expected: Result<Ipld, Ipld>,
}

/// The cases of a file.
pub(crate) fn cases(json: &str) -> Vec<Case> {
    entries(json).into_iter().map(Case::new).collect()
}

/// What is listed under `cases` in a file of a layout of its own.
pub(crate) fn entries(json: &str) -> Vec<Ipld> {
    let file = dagjson::decode(json.as_bytes()).unwrap();
    match file.take("cases") {
        Ok(Some(Ipld::List(cases))) => cases,
        _ => panic!("a file has cases"),
    }
}

/// The text under a key.
pub(crate) fn text<'a>(value: &'a Ipld, key: &str) -> &'a str {
    match value.get(key) {
        Ok(Some(Ipld::String(text))) => text,
        _ => panic!("no string {key}"),
    }
}

/// Standard base64, padded or not.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let encoding = if text.ends_with('=') { BASE64 } else { BASE64_NOPAD };
    encoding.decode(text.as_bytes()).unwrap()
}

impl Case {
    fn new(case: Ipld) -> Self {
        let value = |key| case.get(key).unwrap().cloned();
        Self {
            name: text(&case, "name").to_owned(),
            request: value("request").expect("a case has a request"),
            expected: match value("ok") {
                Some(ok) => Ok(ok),
                None => Err(value("error").expect("a case has an answer")),
            },
        }
    }

    /// The bytes under a key of the request.
    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        unbase64(text(&self.request, key))
    }

    /// Checks an answer, or the name of an error.
    pub(crate) fn check(&self, answer: Result<Ipld, &str>) {
        let holds = match (&self.expected, &answer) {
            (Ok(expected), Ok(answer)) => covers(answer, expected),
            (Err(expected), Err(name)) => text(expected, "name") == *name,
            _ => false,
        };
        assert!(holds, "{}: expected {:?}, not {answer:?}", self.name, self.expected);
    }
}

/// Whether an answer is what is expected; of a map, the keys that are expected.
fn covers(answer: &Ipld, expected: &Ipld) -> bool {
    match (answer, expected) {
        (Ipld::Map(answer), Ipld::Map(expected)) => {
            expected.iter().all(|(key, expected)| answer.get(key) == Some(expected))
        }
        _ => answer == expected,
    }
}
