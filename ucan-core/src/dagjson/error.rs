//! Why a text was refused.

use crate::Position;

/// A text that is not DAG-JSON, or too deep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at {position}")]
pub struct JsonError {
    pub(super) kind: JsonErrorKind,
    pub(super) position: Position,
}

impl JsonError {
    /// What is wrong.
    pub fn kind(&self) -> &JsonErrorKind {
        &self.kind
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// What is wrong with a text that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// Something else was expected here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Something follows the value.
    #[error("text follows the value")]
    Trailing,
    /// The text is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A control character inside a string.
    #[error("a control character inside a string")]
    Control,
    /// An escape that JSON does not have, or half of a surrogate pair.
    #[error("an escape that names no character")]
    Escape,
    /// A number that fits neither an integer of 128 bits nor a finite float.
    #[error("a number that is too large")]
    Number,
    /// A key occurs twice in a map.
    #[error("the key {0:?} occurs twice")]
    DuplicateKey(String),
    /// A map that DAG-JSON reserves for links and bytes, but that is neither.
    #[error("a map with the key \"/\" that is neither a link nor bytes")]
    Reserved,
    /// Lists and maps are nested too deep.
    #[error("nested deeper than {0}")]
    TooDeep(usize),
}
