//! Errors that point at what is wrong in a file.

use std::error::Error;
use std::fmt;

use ipvm::{SourceError, Spot, TextError};
use serde_json::Value;

use super::{Refused, chain};

/// How many places are shown to people.
const SHOWN: usize = 5;

/// An error, and what in a file it is about.
#[derive(Debug)]
pub(super) struct Pointed {
    error: Refused,
    spots: Vec<Spot>,
}

impl Pointed {
    /// The error as it is where there is nothing to point at.
    pub(super) fn at(error: Refused, spots: Vec<Spot>) -> Refused {
        if spots.is_empty() { error } else { Box::new(Self { error, spots }) }
    }
}

impl fmt::Display for Pointed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Pointed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The error itself.
pub(super) fn itself<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<Pointed>() {
        Some(pointed) => &*pointed.error,
        None => error,
    }
}

fn spots<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a Spot> {
    if let Some(error) = error.downcast_ref::<TextError>() {
        return vec![error.spot()];
    }
    match (error.downcast_ref::<Pointed>(), error.downcast_ref::<SourceError>()) {
        (Some(pointed), _) => pointed.spots.iter().collect(),
        (_, Some(error)) => error.spot().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// For people: what went wrong, and the lines that are wrong.
pub(super) fn for_people(error: &(dyn Error + 'static)) -> String {
    let spots = spots(error);
    let shown = spots.iter().take(SHOWN).map(|spot| format!("\n{spot}"));
    let more = spots.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("\nand {more} more"));
    std::iter::once(chain(error)).chain(shown).chain(more).collect()
}

/// For programs: what went wrong, with the file, line and column of what is wrong first, and all of them where there are several.
pub(super) fn for_programs(error: &(dyn Error + 'static)) -> Value {
    let mut line = serde_json::json!({"event": "error", "message": chain(error)});
    let spots: Vec<Value> = spots(error).into_iter().map(place).collect();
    if let (Value::Object(line), Some(Value::Object(first))) = (&mut line, spots.first()) {
        line.extend(first.clone());
        if spots.len() > 1 {
            line.insert("places".to_owned(), Value::Array(spots));
        }
    }
    line
}

/// The file, line and column of a spot.
pub(super) fn place(spot: &Spot) -> Value {
    let position = spot.position;
    serde_json::json!({"file": spot.path.display().to_string(), "line": position.line, "column": position.column})
}
