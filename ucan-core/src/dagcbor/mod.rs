//! Canonical DAG-CBOR: a strict, bounded reader and a canonical writer.
//!
//! Every value has exactly one spelling here, so that what is read can be written again byte for byte. Refused are: integers
//! and lengths that could be shorter, indefinite lengths, map keys that are not strings, not unique or not in order
//! (shorter first, then bytewise), floats of fewer than 64 bits, NaN and infinities, tags other than 42, links that are
//! not exactly one CID, undefined and other simple values, and bytes after the value.
//!
//! ```
//! use ucan_core::{Ipld, dagcbor};
//!
//! let bytes = [0xa2, 0x61, b'b', 0x01, 0x62, b'a', b'a', 0x02];
//! let value = dagcbor::decode(&bytes)?;
//! assert!(matches!(value.get("aa"), Ok(Some(Ipld::Integer(2)))));
//! assert_eq!(dagcbor::encode(&value)?, bytes);
//!
//! let error = dagcbor::decode(&[0x18, 0x01]).unwrap_err();
//! assert_eq!(error.to_string(), "an integer or length could be written shorter at byte 0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind};
pub(crate) use reader::Reader;
pub use writer::{EncodeError, encode};
pub(crate) use writer::{Writer, canonical_order};

use crate::Ipld;

/// How much is read before a value is refused. All are checked before memory is spent.
///
/// ```
/// use ucan_core::dagcbor::{self, Limits};
///
/// let mut limits = Limits::default();
/// limits.items = 2;
/// assert!(dagcbor::decode_with(&[0x82, 0x01, 0x02], &limits).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep lists and maps may be nested: 128.
    pub depth: usize,
    /// How many bytes the whole value may take: 16 MiB.
    pub bytes: usize,
    /// How many values there may be in all, those in lists and maps included, keys not: 2^20.
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, bytes: 16 << 20, items: 1 << 20 }
    }
}

/// Reads one value that takes up all of `bytes`, within the default [`Limits`].
///
/// # Errors
///
/// When the bytes are not canonical DAG-CBOR or exceed a limit; the error says where.
pub fn decode(bytes: &[u8]) -> Result<Ipld, DecodeError> {
    decode_with(bytes, &Limits::default())
}

/// Reads one value that takes up all of `bytes`, within limits of the caller's.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with(bytes: &[u8], limits: &Limits) -> Result<Ipld, DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let value = reader.value()?;
    reader.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
