use std::collections::BTreeMap;

use ipvm_workflow::DocumentError;
use ucan_core::{Cid, Ipld, Place};

use super::Notes;

/// Why a workflow cannot be carried over, and which part of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ImportError {
    /// The part of the workflow.
    pub place: Place,
    /// What is wrong with it.
    pub problem: ImportProblem,
}

impl ImportError {
    pub(super) fn new(place: &Place, problem: ImportProblem) -> Self {
        Self { place: place.clone(), problem }
    }
}

/// What is wrong with a part of a workflow that is to be carried over.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportProblem {
    /// It is something else than a workflow has there.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A field is missing.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// The instruction is given by its CID alone.
    #[error("the instruction {0} is not in this file; write it out")]
    Elsewhere(Cid),
    /// The operation is another one than to run a component.
    #[error("the operation {0:?} is not known; homestar has \"wasm/run\" alone")]
    Operation(String),
    /// The resource is something else than a component with a CID.
    #[error("the resource {0:?} is not of the form ipfs://CID")]
    Resource(String),
    /// The nonce is not one that homestar takes.
    #[error("a nonce is empty, or 12 or 16 bytes, as bytes or in base32hex in lower case")]
    Nonce,
    /// A promise names an instruction that no task has.
    #[error("it awaits the instruction {awaited}, which no task of this file has; they have {}", list_of(.known))]
    Awaited {
        /// What it names.
        awaited: String,
        /// The instructions of the tasks, by label.
        known: Vec<(String, Cid)>,
    },
    /// A map of one key and a link, which homestar takes for a promise whatever its key is.
    #[error(
        "homestar takes a map of one key and a link for a promise, and {0:?} is none of await/ok, await/error and await/*"
    )]
    AmbiguousPromise(String),
    /// Data that would be something else in a document.
    #[error("a map with the one key {0:?} stands for something else in a document, and cannot be data")]
    Reserved(String),
    /// It cannot be encoded, so that it has no CID.
    #[error("it has no CID: {0}")]
    Encode(#[from] ucan_core::dagcbor::EncodeError),
    /// What comes of it is no document.
    #[error("what comes of it is no document: {0}")]
    Document(#[from] DocumentError),
}

fn list_of(known: &[(String, Cid)]) -> String {
    const SHOWN: usize = 8;
    let shown = known.iter().take(SHOWN).map(|(label, cid)| format!("{cid} ({label})"));
    let more = (known.len() > SHOWN).then(|| format!("{} more", known.len() - SHOWN));
    shown.chain(more).collect::<Vec<_>>().join(", ")
}

pub(super) fn map<'a>(value: &'a Ipld, place: &Place) -> Result<&'a BTreeMap<String, Ipld>, ImportError> {
    match value {
        Ipld::Map(map) => Ok(map),
        _ => Err(ImportError::new(place, ImportProblem::Expected("a map"))),
    }
}

/// The fields of a map that are known. Others mean nothing to homestar either, and are noted.
pub(super) fn fields<'a, const N: usize>(
    value: &'a Ipld,
    place: &Place,
    known: [&str; N],
    notes: &mut Notes,
) -> Result<[Option<&'a Ipld>; N], ImportError> {
    let map = map(value, place)?;
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        notes.add(|| place.key(key).at_key(), "a field that homestar does not know, left out");
    }
    Ok(known.map(|key| map.get(key)))
}

pub(super) fn required<'a>(
    value: Option<&'a Ipld>,
    place: &Place,
    key: &'static str,
) -> Result<(&'a Ipld, Place), ImportError> {
    let value = value.ok_or_else(|| ImportError::new(place, ImportProblem::Missing(key)))?;
    Ok((value, place.key(key)))
}

pub(super) fn list<'a>(
    value: Option<&'a Ipld>,
    place: &Place,
    key: &'static str,
) -> Result<(&'a [Ipld], Place), ImportError> {
    match required(value, place, key)? {
        (Ipld::List(list), place) => Ok((list, place)),
        (_, place) => Err(ImportError::new(&place, ImportProblem::Expected("a list"))),
    }
}

pub(super) fn string<'a>(
    value: Option<&'a Ipld>,
    place: &Place,
    key: &'static str,
) -> Result<(&'a str, Place), ImportError> {
    match required(value, place, key)? {
        (Ipld::String(text), place) => Ok((text, place)),
        (_, place) => Err(ImportError::new(&place, ImportProblem::Expected("a string"))),
    }
}
