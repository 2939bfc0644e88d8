//! Names that are read, and bytes that are shown.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;

/// A name that no algorithm or encoding has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no algorithm or encoding that is known here")]
pub struct UnknownName {
    name: String,
}

impl UnknownName {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Bytes as they are printed for people.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
