//! Canonical DAG-CBOR, read and written as values of WIT types without a tree in between.
//!
//! This crate has a reader of its own, since it must not depend on the family's tokens, whose strict reader makes trees
//! and knows envelopes. What the two share is the format, and vectors and fuzzing hold them to the same answers.

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind};
#[cfg(feature = "wasmtime")]
pub(crate) use reader::NULL;
pub(crate) use reader::{Reader, Rejected};
pub(crate) use writer::{encode, encoded_len};
#[cfg(feature = "wasmtime")]
pub(crate) use writer::{encode_bytes, encode_form, form_len};

use ipld_core::ipld::Ipld;

use crate::error::Failure;
use crate::read::read;
use crate::source::{Source as _, Tree};
use crate::value::Build;
use crate::{ArgumentError, ConvertError, Type, Value};

/// How much is read before a value is refused. All are checked before memory is spent.
///
/// What is refused is decoded as a tree to say what is wrong with it, and a whole `node` is one. In a tree, a map of one
/// entry takes some 1.5 KiB: fewer `items` are the bound on that.
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

/// Bytes are no value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FromBytesError {
    /// They are not canonical DAG-CBOR, or too much of it.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// They are, but of a value of another type.
    #[error(transparent)]
    Convert(Box<ConvertError>),
}

impl From<Failure> for FromBytesError {
    fn from(failure: Failure) -> Self {
        Self::Convert(failure)
    }
}

/// Bytes are no arguments for a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentBytesError {
    /// They are not canonical DAG-CBOR, or too much of it.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// They are, but the arguments do not fit the function.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
}

/// Reads canonical DAG-CBOR as a value of type `ty`. The same as to decode it and to call [`to_value`](crate::to_value),
/// but for the time that takes.
///
/// ```
/// use ipld_wit::{Limits, Type, Value, from_dag_cbor, to_dag_cbor};
///
/// let ty = Type::record([("id", Type::U32), ("data", Type::bytes())]);
/// let bytes = [0xa2, 0x62, b'i', b'd', 0x07, 0x64, b'd', b'a', b't', b'a', 0x41, 0xff];
/// let value = from_dag_cbor(&bytes, &ty, &Limits::default())?;
/// assert_eq!(to_dag_cbor(&value, &ty)?, bytes);
///
/// let error = from_dag_cbor(&[0x18, 0x01], &Type::U8, &Limits::default()).unwrap_err();
/// assert_eq!(error.to_string(), "an integer or length could be written shorter at byte 0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// When the bytes are not canonical DAG-CBOR or exceed a limit; else as [`to_value`](crate::to_value).
pub fn from_dag_cbor(bytes: &[u8], ty: &Type, limits: &Limits) -> Result<Value, FromBytesError> {
    value(bytes, ty, limits)
}

pub(crate) fn value<T: Build>(bytes: &[u8], ty: &Type, limits: &Limits) -> Result<T, FromBytesError> {
    straight(bytes, limits, |reader, at| read(reader, at, ty), |tree| Ok(read(&mut Tree, tree, ty)?))
}

/// Reads all of `bytes`; what is refused is decoded and read again as a tree, which says what is wrong with it. So there is
/// one place that finds words for errors, and an error in the encoding comes before one in the value.
pub(crate) fn straight<'a, T, E: From<DecodeError>>(
    bytes: &'a [u8],
    limits: &Limits,
    read: impl FnOnce(&mut Reader<'a>, usize) -> Result<T, Rejected>,
    tree: impl FnOnce(&Ipld) -> Result<T, E>,
) -> Result<T, E> {
    let mut reader = Reader::new(bytes, limits)?;
    if let Ok(value) = reader.start().map_err(Rejected::from).and_then(|at| read(&mut reader, at))
        && reader.finish().is_ok()
    {
        return Ok(value);
    }
    tree(&decode(bytes, limits)?)
}

/// Reads canonical DAG-CBOR as a tree.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Ipld, DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let at = reader.start()?;
    let ipld = reader.whole(at).map_err(|rejected| rejected.0)?;
    reader.finish()?;
    Ok(ipld)
}

/// Writes `value`, which is of type `ty`, as canonical DAG-CBOR.
///
/// # Errors
///
/// As [`to_ipld`](crate::to_ipld).
pub fn to_dag_cbor(value: &Value, ty: &Type) -> Result<Vec<u8>, ConvertError> {
    encode(value, ty).map_err(|failure| *failure)
}
