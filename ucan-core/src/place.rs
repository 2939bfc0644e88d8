//! Parts of a value, and where they stand in the text that it was read from.

use std::fmt;
use std::sync::Arc;

use crate::text::excerpt;

/// A part of a value: the keys and indices that lead to it, and whether its own key is meant rather than what stands under that.
///
/// ```
/// use ucan_core::{Place, dagjson};
///
/// let text = b"{\"tasks\": {\n  \"join\": {\"args\": [1, true]}\n}}";
/// let join = Place::root().key("tasks").key("join");
/// let second = join.key("args").index(1);
/// assert_eq!(second.to_string(), "tasks.join.args[1]");
/// assert_eq!(dagjson::locate(text, &second).unwrap().to_string(), "line 2, column 24");
/// assert_eq!(dagjson::locate(text, &join.at_key()).unwrap().to_string(), "line 2, column 3");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    segments: Vec<Segment>,
    at_key: bool,
}

/// One step on the way to a part of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// What a map has under this key.
    Key(Arc<str>),
    /// The item of a list, counted from 0.
    Index(usize),
}

impl Place {
    /// The whole value.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// What stands under a key of this part.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.and(Segment::Key(key.into()))
    }

    /// An item of this part.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.and(Segment::Index(index))
    }

    fn and(&self, segment: Segment) -> Self {
        let mut segments = self.segments.clone();
        segments.push(segment);
        Self { segments, at_key: false }
    }

    /// The key of this part. For what is no entry of a map it is the part itself.
    #[must_use]
    pub fn at_key(mut self) -> Self {
        self.at_key = true;
        self
    }

    /// Whether the key is meant.
    #[must_use]
    pub fn is_at_key(&self) -> bool {
        self.at_key
    }

    /// The steps from the whole value to this part.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// As `tasks.join.args[1]`, of long keys the beginning; nothing for the whole value.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Key(key) if at == 0 => f.write_str(&excerpt(key))?,
                Segment::Key(key) => write!(f, ".{}", excerpt(key))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
