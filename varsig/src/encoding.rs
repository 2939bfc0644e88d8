//! The registry of payload encodings.

use core::{fmt, str::FromStr};

use crate::UnknownName;

/// How the payload was turned into the bytes that were signed: the last part of a Varsig header.
///
/// Under EIP-191 ("personal sign") the bytes of the inner encoding are wrapped once more before they are signed.
///
/// ```
/// use varsig::PayloadEncoding;
///
/// assert_eq!(PayloadEncoding::DagCbor.to_string(), "DAG-CBOR");
/// assert_eq!("EIP191+DAG-CBOR".parse(), Ok(PayloadEncoding::Eip191DagCbor));
/// assert_eq!(PayloadEncoding::Eip191DagCbor.inner(), PayloadEncoding::DagCbor);
/// ```
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

const ALL: [PayloadEncoding; 6] = [Raw, DagCbor, DagJson, Eip191Raw, Eip191DagCbor, Eip191DagJson];

impl PayloadEncoding {
    /// The table: the name, and the segments of the header.
    fn row(self) -> (&'static str, &'static [u64]) {
        match self {
            Raw => ("RAW", &[0x5f]),
            DagCbor => ("DAG-CBOR", &[0x71]),
            DagJson => ("DAG-JSON", &[0x0129]),
            Eip191Raw => ("EIP191+RAW", &[EIP191, 0x5f]),
            Eip191DagCbor => ("EIP191+DAG-CBOR", &[EIP191, 0x71]),
            Eip191DagJson => ("EIP191+DAG-JSON", &[EIP191, 0x0129]),
        }
    }

    /// Whether EIP-191 wraps the encoded payload.
    pub fn is_eip191(self) -> bool {
        self.inner() != self
    }

    /// What EIP-191 wraps; any other encoding is itself.
    #[must_use]
    pub fn inner(self) -> Self {
        match self {
            Eip191Raw => Raw,
            Eip191DagCbor => DagCbor,
            Eip191DagJson => DagJson,
            plain => plain,
        }
    }

    /// The encoding's segments, in the order of the header.
    pub(crate) fn segments(self) -> &'static [u64] {
        self.row().1
    }

    /// Reads an encoding from the segments that `next` gives; the code that is not registered otherwise.
    pub(crate) fn from_segments<E>(mut next: impl FnMut() -> Result<u64, E>) -> Result<Result<Self, u64>, E> {
        let first = next()?;
        let found = if first == EIP191 {
            let code = next()?;
            (code, ALL.into_iter().find(|encoding| encoding.segments() == [EIP191, code]))
        } else {
            (first, ALL.into_iter().find(|encoding| encoding.segments() == [first]))
        };
        let (code, encoding) = found;
        Ok(encoding.ok_or(code))
    }
}

impl fmt::Display for PayloadEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().0)
    }
}

impl FromStr for PayloadEncoding {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        ALL.into_iter().find(|encoding| encoding.row().0 == name).ok_or_else(|| UnknownName::new(name))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_row_is_its_own_encoding() {
        for encoding in ALL {
            let mut segments = encoding.segments().iter().copied();
            let read = PayloadEncoding::from_segments(|| segments.next().ok_or(()));
            assert_eq!(read, Ok(Ok(encoding)));
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
    }
}
