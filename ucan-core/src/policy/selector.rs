//! Selectors: paths into the arguments.

use std::{fmt, str::FromStr};

use super::evaluate::{Budget, Work};
use crate::{Ipld, dagcbor::canonical_order, text::excerpt};

/// A path into a value: `.`, `.name`, `.list[-1]`, `.list[2:4]`, `.map[]`, `.["any name"]`, each segment optional with `?`.
///
/// A missing key selects null, and so does a failed optional segment; anything else that is not there makes the whole
/// selection fail. A single dot in front of a bracket or at the end changes nothing.
///
/// ```
/// use ucan_core::{Ipld, Selector, dagjson};
///
/// let args = dagjson::decode(br#"{"to": ["bob", "carol"]}"#)?;
/// let select = |text: &str| Selector::parse(text).map(|selector| selector.select(&args));
/// assert_eq!(select(".to[-1]")?, Some(Ipld::String("carol".into())));
/// assert_eq!(select(".to[99]?")?, Some(Ipld::Null));
/// assert_eq!(select(".to[99]")?, None);
/// assert!(select("to").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// As it was written, so that a policy is written back as it was read.
    text: Box<str>,
    segments: Vec<(Segment, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Values,
}

/// How many segments a selector may have.
const SEGMENTS: usize = 256;
/// How long a selector may be, in bytes.
const LENGTH: usize = 16 << 10;

/// What a selector found, without copying it.
#[derive(Clone)]
pub(super) enum Found<'a> {
    Node(&'a Ipld),
    Null,
    /// A byte of a byte string.
    Integer(i128),
    /// A part of a byte string.
    Bytes(&'a [u8]),
    /// A part of a list, or the values of a map.
    Items(Vec<&'a Ipld>),
}

/// What became of a selection.
pub(super) enum Selection<'a> {
    Found(Found<'a>),
    /// Nothing is there.
    Failed,
    /// It depends on a value that is not known yet.
    Pending,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// When the text has another syntax, more than 256 segments, or more than 16 KiB.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { text, rest: text };
        parser.selector().map(|segments| Self { text: text.into(), segments })
    }

    /// The selector as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value that the selector finds, unless the selection fails.
    pub fn select(&self, value: &Ipld) -> Option<Ipld> {
        match self.resolve(value, &Work::new(&|_| false, &Budget::default())) {
            Selection::Found(found) => Some(found.to_ipld()),
            Selection::Failed | Selection::Pending => None,
        }
    }

    pub(super) fn resolve<'a>(&self, value: &'a Ipld, work: &Work<'_>) -> Selection<'a> {
        let mut found = Found::Node(value);
        for (segment, optional) in &self.segments {
            if found.is_pending(work) {
                return Selection::Pending;
            }
            found = match step(segment, found, work) {
                Some(next) => next,
                None if *optional => Found::Null,
                None => return Selection::Failed,
            };
        }
        if found.is_pending(work) { Selection::Pending } else { Selection::Found(found) }
    }
}

impl<'a> Found<'a> {
    fn is_pending(&self, work: &Work<'_>) -> bool {
        matches!(self, Self::Node(node) if work.is_pending(node))
    }

    fn to_ipld(&self) -> Ipld {
        match self {
            Self::Node(node) => (*node).clone(),
            Self::Null => Ipld::Null,
            Self::Integer(integer) => Ipld::Integer(*integer),
            Self::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
            Self::Items(items) => Ipld::List(items.iter().copied().cloned().collect()),
        }
    }

    /// The members of a list, or the values of a map in canonical order of the keys.
    pub(super) fn members(self, work: &Work<'_>) -> Option<Vec<&'a Ipld>> {
        let steps = match &self {
            Self::Node(Ipld::List(list)) => list.len(),
            // They are sorted by their keys.
            Self::Node(Ipld::Map(map)) => map.keys().map(|key| 1 + key.len() / 16).sum(),
            _ => 0,
        };
        if !work.spend(steps) {
            return None;
        }
        match self {
            Self::Items(items) => Some(items),
            Self::Node(Ipld::List(list)) => Some(list.iter().collect()),
            Self::Node(Ipld::Map(map)) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by(|(a, _), (b, _)| canonical_order(a, b));
                Some(entries.into_iter().map(|(_, value)| value).collect())
            }
            _ => None,
        }
    }
}

fn step<'a>(segment: &Segment, found: Found<'a>, work: &Work<'_>) -> Option<Found<'a>> {
    if !work.spend(1) {
        return None;
    }
    match (segment, found) {
        (Segment::Key(key), Found::Node(Ipld::Map(map))) => {
            work.spend(key.len() / 16).then(|| map.get(key).map_or(Found::Null, Found::Node))
        }
        (Segment::Key(_), _) => None,
        (Segment::Values, found) => found.members(work).map(Found::Items),
        (Segment::Index(index), Found::Node(Ipld::List(list))) => Some(Found::Node(at(list, *index)?)),
        (Segment::Index(index), Found::Items(items)) => Some(Found::Node(at(&items, *index)?)),
        (Segment::Index(index), Found::Node(Ipld::Bytes(bytes))) => byte(bytes, *index),
        (Segment::Index(index), Found::Bytes(bytes)) => byte(bytes, *index),
        (Segment::Slice(from, to), Found::Node(Ipld::List(list))) => {
            let items = slice(list, *from, *to);
            work.spend(items.len()).then(|| Found::Items(items.iter().collect()))
        }
        (Segment::Slice(from, to), Found::Items(items)) => {
            let items = slice(&items, *from, *to);
            work.spend(items.len()).then(|| Found::Items(items.to_vec()))
        }
        (Segment::Slice(from, to), Found::Node(Ipld::Bytes(bytes))) => Some(Found::Bytes(slice(bytes, *from, *to))),
        (Segment::Slice(from, to), Found::Bytes(bytes)) => Some(Found::Bytes(slice(bytes, *from, *to))),
        (Segment::Index(_) | Segment::Slice(..), _) => None,
    }
}

fn byte<'a>(bytes: &[u8], index: i64) -> Option<Found<'a>> {
    at(bytes, index).map(|byte| Found::Integer(i128::from(*byte)))
}

/// The item at an index; negative ones count from the end.
fn at<T>(items: &[T], index: i64) -> Option<&T> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    let index = if index < 0 { items.len().checked_sub(distance)? } else { distance };
    items.get(index)
}

/// The items from one index up to another, which is not included; both are clamped to what is there.
fn slice<T>(items: &[T], from: Option<i64>, to: Option<i64>) -> &[T] {
    let place = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { items.len().saturating_sub(distance) } else { distance.min(items.len()) }
    };
    let (from, to) = (from.map_or(0, place), to.map_or(items.len(), place));
    items.get(from..to).unwrap_or_default()
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Vec<(Segment, bool)>, SelectorError> {
        let mut segments = Vec::new();
        if self.text.len() > LENGTH {
            return Err(SelectorError::TooLong);
        }
        if !self.rest.starts_with('.') {
            return Err(self.error("`.` at the start"));
        }
        while !self.rest.is_empty() {
            let segment = if self.take('.') {
                if self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    Some(Segment::Key(self.name()))
                } else if self.rest.is_empty() || self.rest.starts_with('[') {
                    None
                } else if self.rest.starts_with('?') && segments.is_empty() {
                    // `.?`: the identity cannot fail, so that making it optional changes nothing.
                    while self.take('?') {}
                    None
                } else {
                    return Err(self.error("a name or `[`"));
                }
            } else if self.take('[') {
                Some(self.bracket()?)
            } else {
                return Err(self.error("`.`, `[` or `?`"));
            };
            if let Some(segment) = segment {
                let optional = self.rest.starts_with('?');
                while self.take('?') {}
                segments.push((segment, optional));
            }
            if segments.len() > SEGMENTS {
                return Err(SelectorError::TooLong);
            }
        }
        Ok(segments)
    }

    fn take(&mut self, char: char) -> bool {
        let rest = self.rest.strip_prefix(char);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn name(&mut self) -> String {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    /// What stands between brackets, the opening one of which has been read.
    fn bracket(&mut self) -> Result<Segment, SelectorError> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let Some((inside, rest)) = self.rest.split_once(']') else {
            return Err(self.error("`]`"));
        };
        let segment = match inside.split_once(':') {
            _ if inside.is_empty() => Segment::Values,
            Some((from, to)) if from.is_empty() && to.is_empty() => {
                return Err(self.error("an index on one side of `:`"));
            }
            Some((from, to)) => Segment::Slice(self.bound(from)?, self.bound(to)?),
            None => Segment::Index(self.index(inside)?),
        };
        self.rest = rest;
        Ok(segment)
    }

    /// A name in quotes, with the escapes of JSON, and the closing bracket.
    fn quoted(&mut self) -> Result<Segment, SelectorError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, char)| {
            let ends = *char == '"' && !escaped;
            escaped = *char == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            return Err(self.error("`\"]`"));
        };
        let (name, rest) = self.rest.split_at(end + 1);
        let Ok(Ipld::String(name)) = crate::dagjson::decode(name.as_bytes()) else {
            return Err(self.error("a quoted name with the escapes of JSON"));
        };
        self.rest = rest;
        if self.take(']') { Ok(Segment::Key(name)) } else { Err(self.error("`]`")) }
    }

    fn bound(&self, digits: &str) -> Result<Option<i64>, SelectorError> {
        if digits.is_empty() { Ok(None) } else { self.index(digits).map(Some) }
    }

    fn index(&self, digits: &str) -> Result<i64, SelectorError> {
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        let number = unsigned.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
        number.flatten().ok_or_else(|| self.error("an index, a slice or a quoted name"))
    }

    fn error(&self, expected: &'static str) -> SelectorError {
        let offset = self.text.len() - self.rest.len();
        SelectorError::Syntax { selector: excerpt(self.text), expected, offset }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The text has another syntax.
    #[error("malformed selector {selector:?}: expected {expected} at byte {offset}")]
    Syntax {
        /// The selector, cut when long.
        selector: String,
        /// What should have been there.
        expected: &'static str,
        /// Where in the selector.
        offset: usize,
    },
    /// More than 256 segments or 16 KiB.
    #[error("a selector of more than {SEGMENTS} segments or {LENGTH} bytes")]
    TooLong,
}

impl SelectorError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "MalformedSelector",
            Self::TooLong => "LimitExceeded",
        }
    }
}
