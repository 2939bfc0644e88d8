use ucan_core::Position;

/// A text that is not YAML as it is taken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at {position}")]
pub struct YamlError {
    pub(super) kind: YamlErrorKind,
    pub(super) position: Position,
}

impl YamlError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &YamlErrorKind {
        &self.kind
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }
}

/// What is wrong with a text that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlErrorKind {
    /// The text is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// It is not YAML.
    #[error("{0}")]
    Syntax(String),
    /// There is no document in the text.
    #[error("no document")]
    Empty,
    /// There is a second document in the text.
    #[error("a second document; a file has one")]
    Second,
    /// An alias.
    #[error("an alias; write out what it stands for")]
    Alias,
    /// An anchor, which only an alias would need.
    #[error("an anchor; nothing can refer to it")]
    Anchor,
    /// A tag that is none of the core schema, or not one for what it stands at.
    #[error("the tag {0}, which means nothing here")]
    Tag(String),
    /// What is tagged is not spelled as the tag says.
    #[error("a scalar that is not spelled as its tag {0} says")]
    Mistagged(String),
    /// A key that is read as something else than a string.
    #[error("a key that is no string; if it is meant as one, write it in quotes")]
    Key,
    /// A key occurs twice in a map.
    #[error("the key {0:?} occurs twice")]
    DuplicateKey(String),
    /// A number that fits neither an integer of 128 bits nor a finite float.
    #[error("a number that is too large")]
    Number,
    /// A float that is not finite.
    #[error("a float that is not finite")]
    NotFinite,
    /// A map that is reserved for links and bytes, but is neither.
    #[error("a map with the key \"/\" that is neither a link nor bytes")]
    Reserved,
    /// Lists and maps are nested too deep.
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    /// There are too many values.
    #[error("more than {0} values")]
    TooMany(usize),
    /// The text is too long.
    #[error("more than {0} bytes")]
    TooLong(usize),
}
