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
pub use writer::{EncodeError, encode, encode_fields};
pub(crate) use writer::{Writer, canonical_order};

use crate::{Cid, Ipld};

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
    /// About how many bytes the decoded value may take in memory: not limited but by `items`.
    ///
    /// A value takes far more room decoded than encoded: 112 bytes for a null of one byte, and 1.5 KiB for a map of one
    /// entry, for which a whole node of a tree is set aside. Counted are values, nodes and the contents of strings; while a
    /// map is being read, its entries are there twice.
    pub memory: usize,
}

impl Limits {
    /// The limits for a token: those by default, but 2^18 values and 64 MiB of memory.
    ///
    /// Tokens come from anybody, and are read before it is known whether they are signed. They may hold whole arguments and
    /// results: 2^18 nulls, 16 MiB of bytes, or some 40,000 small maps.
    pub const TOKEN: Self = Self { depth: 128, bytes: 16 << 20, items: 1 << 18, memory: 64 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, bytes: 16 << 20, items: 1 << 20, memory: usize::MAX }
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

/// The links in one value that takes up all of `bytes`, within the default [`Limits`]: in the order of the bytes, each as often
/// as it occurs. The value is checked as by [`decode`], but takes no memory.
///
/// ```
/// use ucan_core::{Ipld, block, dagcbor};
///
/// let link = block::raw_cid(b"a leaf");
/// let bytes = dagcbor::encode(&Ipld::List(vec![Ipld::Null, Ipld::Link(link)]))?;
/// assert_eq!(dagcbor::links(&bytes), Ok(vec![link]));
/// # Ok::<(), dagcbor::EncodeError>(())
/// ```
///
/// # Errors
///
/// As [`decode`].
pub fn links(bytes: &[u8]) -> Result<Vec<Cid>, DecodeError> {
    let mut reader = Reader::new(bytes, &Limits::default())?;
    let links = reader.links()?;
    reader.finish()?;
    Ok(links)
}

#[cfg(test)]
mod tests;
