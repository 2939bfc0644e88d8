//! What can be wrong with a value, and where.

use std::fmt;

use crate::Type;
use crate::text::shorten;

/// A value does not fit its WIT type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, {mismatch}")]
pub struct ConvertError {
    /// Where in the value.
    pub path: Path,
    /// The WIT type that is expected there, cut short if it is long.
    pub expected: String,
    /// What is wrong.
    pub mismatch: Mismatch,
}

/// What is wrong with a value, apart from where it stands and which type was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// Another kind of thing.
    Kind {
        /// What stands there, in a few words.
        found: String,
    },
    /// An integer or an integral float outside the type's range.
    OutOfRange {
        /// The number.
        found: String,
    },
    /// A number that the type could only hold after rounding.
    Inexact {
        /// The number.
        found: String,
    },
    /// NaN or an infinity, which IPLD cannot carry.
    NotFinite {
        /// `NaN`, `inf` or `-inf`.
        found: String,
    },
    /// A string that is not exactly one Unicode scalar value.
    NotOneChar {
        /// How many it has.
        found: usize,
    },
    /// A tuple, or the list form of an option, with the wrong number of items.
    Length {
        /// What is allowed.
        expected: &'static str,
        /// How many are there.
        found: usize,
    },
    /// A record lacks a field that is not optional.
    MissingField {
        /// The field.
        name: String,
    },
    /// A record has a field that its type lacks.
    UnknownField {
        /// The field.
        name: String,
        /// The declared name that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// The type has no case or flag of this name.
    UnknownName {
        /// The name.
        name: String,
        /// The declared names that are spelled most alike, the likest first; at most three.
        nearest: Vec<String>,
    },
    /// A case that carries a value was given as a bare name.
    MissingPayload {
        /// The case.
        name: String,
    },
    /// A case that carries nothing was given a value.
    UnexpectedPayload {
        /// The case.
        name: String,
    },
    /// Flags that are not in bytewise order, or one of them twice.
    FlagOrder {
        /// The first name that is not after the one before it.
        name: String,
    },
    /// Bytes in a `link` that are not exactly one CID.
    NotACid {
        /// How many bytes there are.
        found: usize,
    },
    /// A `node` whose items are not one IPLD value.
    Arena {
        /// The item, counted from zero; how many there are, where it is none in particular.
        item: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A whole IPLD value that is nested too deep.
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
}

impl Mismatch {
    /// The name of the rule that is broken, as in the published vectors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kind { .. } => "Kind",
            Self::OutOfRange { .. } => "OutOfRange",
            Self::Inexact { .. } => "Inexact",
            Self::NotFinite { .. } => "NotFinite",
            Self::NotOneChar { .. } => "NotOneChar",
            Self::Length { .. } => "Length",
            Self::MissingField { .. } => "MissingField",
            Self::UnknownField { .. } => "UnknownField",
            Self::UnknownName { .. } => "UnknownName",
            Self::MissingPayload { .. } => "MissingPayload",
            Self::UnexpectedPayload { .. } => "UnexpectedPayload",
            Self::FlagOrder { .. } => "FlagOrder",
            Self::NotACid { .. } => "NotACid",
            Self::Arena { .. } => "Arena",
            Self::TooDeep { .. } => "TooDeep",
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { found } => write!(f, "found {found}"),
            Self::OutOfRange { found } => write!(f, "found {found}, which is out of range"),
            Self::Inexact { found } => write!(f, "found {found}, which it cannot hold exactly"),
            Self::NotFinite { found } => write!(f, "found {found}, which IPLD cannot carry"),
            Self::NotOneChar { found } => {
                write!(f, "found a string of {found} characters instead of one")
            }
            Self::Length { expected, found } => {
                write!(f, "found {found} items instead of {expected}")
            }
            Self::MissingField { name } => write!(f, "field `{name}` is missing"),
            Self::UnknownField { name, nearest } => {
                write!(f, "there is no field `{name}`")?;
                did_you_mean(f, nearest.as_slice())
            }
            Self::UnknownName { name, nearest } => {
                write!(f, "there is no `{name}`")?;
                did_you_mean(f, nearest)
            }
            Self::MissingPayload { name } => {
                write!(f, "case `{name}` carries a value: write {{\"{name}\": ..}}")
            }
            Self::UnexpectedPayload { name } => {
                write!(f, "case `{name}` carries nothing: write \"{name}\"")
            }
            Self::FlagOrder { name } => {
                write!(f, "flag `{name}` is out of order: names are distinct and sorted bytewise")
            }
            Self::NotACid { found } => write!(f, "found {found} bytes that are not exactly one CID"),
            Self::Arena { item, reason } => write!(f, "item {item} {reason}"),
            Self::TooDeep { limit } => write!(f, "found a value that is nested deeper than {limit}"),
        }
    }
}

pub(crate) fn did_you_mean(f: &mut fmt::Formatter<'_>, nearest: &[String]) -> fmt::Result {
    match nearest {
        [] => Ok(()),
        [first, more @ ..] => {
            write!(f, " (did you mean `{first}`")?;
            more.iter().try_for_each(|name| write!(f, " or `{name}`"))?;
            f.write_str("?)")
        }
    }
}

/// The way from a whole value to one of its parts, shown as `params[1].tags[3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    root: &'static str,
    /// Innermost first: a failure finds its way out.
    reversed: Vec<Segment>,
}

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// An item of a list, a tuple, or the parameters.
    Index(usize),
    /// A field of a record, a parameter by name, or the case of a variant or a result.
    Key(String),
}

impl Path {
    pub(crate) const fn new(root: &'static str) -> Self {
        Self { root, reversed: Vec::new() }
    }

    /// Adds the step by which the part had been reached that the path leads to.
    pub(crate) fn push(&mut self, segment: Segment) {
        self.reversed.push(segment);
    }

    /// The steps from the whole to the part.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &Segment> {
        self.reversed.iter().rev()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root)?;
        for segment in self.segments() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Boxed, so that a result of the rules stays as small as what they make.
pub(crate) type Failure = Box<ConvertError>;

pub(crate) fn failure(expected: &Type, mismatch: Mismatch) -> Failure {
    Box::new(ConvertError { path: Path::new("value"), expected: shorten(&expected.to_string(), 240), mismatch })
}

/// Adds the step by which the failing part was reached.
pub(crate) trait At<T> {
    fn at(self, segment: impl FnOnce() -> Segment) -> Result<T, Failure>;
    fn rooted(self, root: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Failure> {
    fn at(self, segment: impl FnOnce() -> Segment) -> Self {
        self.map_err(|mut failure| {
            failure.path.reversed.push(segment());
            failure
        })
    }

    fn rooted(self, root: &'static str) -> Self {
        self.map_err(|mut failure| {
            failure.path.root = root;
            failure
        })
    }
}
