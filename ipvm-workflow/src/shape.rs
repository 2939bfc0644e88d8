use std::collections::BTreeMap;

use std::fmt;

use ucan_core::{Cid, Ipld, Place};

/// A value of a document together with where it stands, so that every complaint can say where.
#[derive(Clone, Debug)]
pub(crate) struct Shape<'a> {
    place: Place,
    value: &'a Ipld,
}

/// The data does not have the shape that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", Shown(.place))]
pub struct ShapeError {
    /// Where it stands, as `tasks.join.args`. Of what is missing it is the map that it is missing in.
    pub place: Place,
    /// What is wrong there.
    pub problem: String,
}

/// A place as messages have it.
struct Shown<'a>(&'a Place);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.segments().is_empty() { f.write_str("workflow") } else { self.0.fmt(f) }
    }
}

impl<'a> Shape<'a> {
    pub(crate) fn root(value: &'a Ipld) -> Self {
        Self { place: Place::root(), value }
    }

    pub(crate) fn child(&self, key: &str) -> Place {
        self.place.key(key)
    }

    pub(crate) fn error(&self, problem: String) -> ShapeError {
        ShapeError { place: self.place.clone(), problem }
    }

    fn expected(&self, what: &str) -> ShapeError {
        self.error(format!("expected {what}, found {}", kind(self.value)))
    }

    pub(crate) fn string(&self) -> Result<&'a str, ShapeError> {
        match self.value {
            Ipld::String(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    pub(crate) fn value(&self) -> &'a Ipld {
        self.value
    }

    pub(crate) fn integer(&self) -> Result<i128, ShapeError> {
        match self.value {
            Ipld::Integer(number) => Ok(*number),
            _ => Err(self.expected("an integer")),
        }
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], ShapeError> {
        match self.value {
            Ipld::Bytes(bytes) => Ok(bytes),
            _ => Err(self.expected("bytes")),
        }
    }

    pub(crate) fn map(&self) -> Result<&'a BTreeMap<String, Ipld>, ShapeError> {
        match self.value {
            Ipld::Map(map) => Ok(map),
            _ => Err(self.expected("a map")),
        }
    }

    pub(crate) fn items(&self) -> Result<Vec<Shape<'a>>, ShapeError> {
        match self.value {
            Ipld::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Self { place: self.place.index(index), value })
                .collect()),
            _ => Err(self.expected("a list")),
        }
    }

    pub(crate) fn entries(&self) -> Result<Vec<(&'a str, Shape<'a>)>, ShapeError> {
        Ok(self.map()?.iter().map(|(key, value)| (key.as_str(), Self { place: self.child(key), value })).collect())
    }

    pub(crate) fn link_and_label(&self) -> Result<(Cid, String), ShapeError> {
        match self.value {
            Ipld::List(items) => match items.as_slice() {
                [Ipld::Link(cid), Ipld::String(label)] => Ok((*cid, label.clone())),
                _ => Err(self.error("expected a link and a label".to_owned())),
            },
            _ => Err(self.expected("a list of a link and a label")),
        }
    }

    /// The fields of a map that has none but `known` ones.
    pub(crate) fn fields(&self, known: &[&str]) -> Result<Fields<'a>, ShapeError> {
        let map = self.map()?;
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ShapeError {
                place: self.child(key).at_key(),
                problem: format!("unknown field; the fields here are {}", known.join(", ")),
            }),
            None => Ok(Fields { shape: self.clone(), map }),
        }
    }
}

pub(crate) struct Fields<'a> {
    shape: Shape<'a>,
    map: &'a BTreeMap<String, Ipld>,
}

impl<'a> Fields<'a> {
    pub(crate) fn optional(&self, key: &str) -> Option<Shape<'a>> {
        self.map.get(key).map(|value| Shape { place: self.shape.child(key), value })
    }

    pub(crate) fn required(&self, key: &str) -> Result<Shape<'a>, ShapeError> {
        self.optional(key).ok_or_else(|| self.shape.error(format!("the field {key:?} is missing")))
    }
}

fn kind(value: &Ipld) -> &'static str {
    match value {
        Ipld::Null => "null",
        Ipld::Bool(_) => "a boolean",
        Ipld::Integer(_) => "an integer",
        Ipld::Float(_) => "a float",
        Ipld::String(_) => "a string",
        Ipld::Bytes(_) => "bytes",
        Ipld::List(_) => "a list",
        Ipld::Map(_) => "a map",
        Ipld::Link(_) => "a link",
    }
}
