//! Selectors: paths into the arguments.

use std::{fmt, str::FromStr};

use super::{
    evaluate::{Budget, Pending, Work},
    found::{Found, Selection},
};
use crate::{Ipld, text::excerpt};

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
pub(super) enum Segment {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Values,
}

/// How many segments a selector may have.
const SEGMENTS: usize = 256;
/// How long a selector may be, in bytes.
const LENGTH: usize = 16 << 10;

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
        match self.resolve(value, &Work::new(&|_: &Ipld| false, &Budget::default())) {
            Selection::Found(found) => Some(found.to_ipld()),
            Selection::Failed | Selection::Pending => None,
        }
    }

    /// What the selector says, segment by segment, and whether the segment is optional.
    pub(super) fn segments(&self) -> &[(Segment, bool)] {
        &self.segments
    }

    pub(super) fn resolve<'a, P: Pending + ?Sized>(&self, value: &'a Ipld, work: &Work<'_, P>) -> Selection<'a> {
        let (mut node, mut segments) = (value, self.segments.as_slice());
        // Names lead from map to map, and most selectors say nothing else.
        let mut found = loop {
            let (Ipld::Map(map), [(Segment::Key(key), _), rest @ ..]) = (node, segments) else {
                break Found::Node(node);
            };
            if work.is_pending(node) {
                return Selection::Pending;
            }
            if !work.spend(1 + key.len() / 16) {
                return Selection::Failed;
            }
            segments = rest;
            match map.get(key) {
                Some(next) => node = next,
                None => break Found::Null,
            }
        };
        for (segment, optional) in segments {
            if found.is_pending(work) {
                return Selection::Pending;
            }
            found = match found.step(segment, work) {
                Some(next) => next,
                None if *optional => Found::Null,
                None => return Selection::Failed,
            };
        }
        if found.is_pending(work) { Selection::Pending } else { Selection::Found(found) }
    }
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
