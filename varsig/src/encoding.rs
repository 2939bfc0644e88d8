//! The registry of payload encodings.

use std::fmt;

/// How the payload was turned into the bytes that were signed: the last part of a Varsig header.
///
/// Under EIP-191 ("personal sign") the bytes of the inner encoding are wrapped once more before they are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadEncoding {
    /// The payload's own bytes.
    Raw,
    /// DAG-CBOR.
    DagCbor,
    /// DAG-JSON.
    DagJson,
    /// EIP-191 over the payload's own bytes.
    Eip191Raw,
    /// EIP-191 over DAG-CBOR.
    Eip191DagCbor,
    /// EIP-191 over DAG-JSON.
    Eip191DagJson,
}

use PayloadEncoding::{DagCbor, DagJson, Eip191DagCbor, Eip191DagJson, Eip191Raw, Raw};

/// The segment that wraps another encoding in EIP-191.
const EIP191: u64 = 0xe191;

/// Plain form, the form under EIP-191, name of the plain form, code.
const TABLE: [(PayloadEncoding, PayloadEncoding, &str, u64); 3] = [
    (Raw, Eip191Raw, "RAW", 0x5f),
    (DagCbor, Eip191DagCbor, "DAG-CBOR", 0x71),
    (DagJson, Eip191DagJson, "DAG-JSON", 0x0129),
];

impl PayloadEncoding {
    /// Whether the payload is wrapped in EIP-191, and the code and name of what is wrapped.
    fn row(self) -> (bool, u64, &'static str) {
        let (wrapped, row) = match self {
            Raw => (false, 0),
            DagCbor => (false, 1),
            DagJson => (false, 2),
            Eip191Raw => (true, 0),
            Eip191DagCbor => (true, 1),
            Eip191DagJson => (true, 2),
        };
        let (_, _, name, code) = TABLE[row];
        (wrapped, code, name)
    }

    /// The encoding's segments, in the order of the header.
    pub(crate) fn segments(self) -> impl Iterator<Item = u64> {
        let (wrapped, code, _) = self.row();
        wrapped.then_some(EIP191).into_iter().chain([code])
    }

    /// Reads an encoding from the segments that `next` gives; the code that is not registered otherwise.
    pub(crate) fn from_segments<E>(mut next: impl FnMut() -> Result<u64, E>) -> Result<Result<Self, u64>, E> {
        let first = next()?;
        let code = if first == EIP191 { next()? } else { first };
        let row = TABLE.iter().find(|(.., known)| *known == code);
        Ok(match row {
            Some((_, wrapped, ..)) if first == EIP191 => Ok(*wrapped),
            Some((plain, ..)) => Ok(*plain),
            None => Err(code),
        })
    }
}

impl fmt::Display for PayloadEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            (true, _, name) => write!(f, "EIP191+{name}"),
            (false, _, name) => f.write_str(name),
        }
    }
}
