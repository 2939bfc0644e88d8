//! The header and its codec.

use alloc::vec::Vec;
use core::fmt;

use unsigned_varint::{decode, encode};

use crate::{PayloadEncoding, SignatureAlgorithm};

const PREFIX: u64 = 0x34;
const VERSION: u64 = 0x01;

/// A Varsig v1 header: which algorithm signed, and what encoding of the payload.
///
/// ```
/// use varsig::{PayloadEncoding, SignatureAlgorithm, Varsig};
///
/// let header = Varsig::decode(&[0x34, 0x01, 0xec, 0x01, 0xe7, 0x01, 0x12, 0x71])?;
/// assert_eq!(header.algorithm(), SignatureAlgorithm::Es256K);
/// assert_eq!(header.to_string(), "ES256K over DAG-CBOR");
///
/// // Every header has one spelling: a varint that could be shorter is refused.
/// assert!(Varsig::decode(&[0x34, 0x81, 0x00, 0xec, 0x01, 0xe7, 0x01, 0x12, 0x71]).is_err());
/// # Ok::<(), varsig::HeaderError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Varsig {
    algorithm: SignatureAlgorithm,
    encoding: PayloadEncoding,
}

impl Varsig {
    /// The header for an algorithm and an encoding.
    pub fn new(algorithm: SignatureAlgorithm, encoding: PayloadEncoding) -> Self {
        Self { algorithm, encoding }
    }

    /// Reads a header that takes up the whole of `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes end early, go on too long, hold a varint that is not minimal, or a code that is not registered.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut rest = bytes;
        let mut next = || {
            let offset = bytes.len() - rest.len();
            let (value, tail) = decode::u64(rest).map_err(|error| match error {
                decode::Error::Insufficient => HeaderError::Truncated,
                _ => HeaderError::Varint { offset },
            })?;
            // More than nine bytes are no varint in multiformats; a tenth could be written in many ways.
            if rest.len() - tail.len() > 9 {
                return Err(HeaderError::Varint { offset });
            }
            rest = tail;
            Ok(value)
        };
        match next()? {
            PREFIX => {}
            other => return Err(HeaderError::Prefix(other)),
        }
        match next()? {
            VERSION => {}
            other => return Err(HeaderError::Version(other)),
        }
        let prefix = next()?;
        let algorithm =
            SignatureAlgorithm::from_segments(prefix, &mut next)?.ok_or(HeaderError::UnknownAlgorithm { prefix })?;
        let encoding =
            PayloadEncoding::from_segments(&mut next)?.map_err(|code| HeaderError::UnknownEncoding { code })?;
        if rest.is_empty() {
            Ok(Self { algorithm, encoding })
        } else {
            Err(HeaderError::Trailing { offset: bytes.len() - rest.len() })
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let segments = [PREFIX, VERSION].into_iter().chain(self.algorithm.segments());
        let mut bytes = Vec::with_capacity(12);
        for segment in segments.chain(self.encoding.segments().iter().copied()) {
            bytes.extend_from_slice(encode::u64(segment, &mut encode::u64_buffer()));
        }
        bytes
    }

    /// The algorithm that made the signature.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The encoding of the payload that was signed.
    pub fn encoding(&self) -> PayloadEncoding {
        self.encoding
    }

    /// The encoding of the bytes that a [`Verifier`](crate::Verifier) of this header's algorithm is to be given.
    ///
    /// An EIP-191 key wraps the message itself, and no other key does. A header in which algorithm and encoding disagree about
    /// that (`EIP191 over DAG-CBOR`, `ES256K over EIP191+DAG-CBOR`) can be shown, but no key here checks what it describes:
    /// nothing is returned for it.
    ///
    /// ```
    /// use varsig::{PayloadEncoding::{DagCbor, Eip191DagCbor}, SignatureAlgorithm::{Ed25519, Eip191}, Varsig};
    ///
    /// assert_eq!(Varsig::new(Ed25519, DagCbor).message_encoding(), Some(DagCbor));
    /// assert_eq!(Varsig::new(Eip191, Eip191DagCbor).message_encoding(), Some(DagCbor));
    /// assert_eq!(Varsig::new(Eip191, DagCbor).message_encoding(), None);
    /// ```
    pub fn message_encoding(&self) -> Option<PayloadEncoding> {
        let wraps = self.algorithm == SignatureAlgorithm::Eip191;
        (wraps == self.encoding.is_eip191()).then(|| self.encoding.inner())
    }
}

impl fmt::Display for Varsig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.algorithm, self.encoding)
    }
}

/// Why bytes are not a Varsig header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The bytes end before the header does.
    #[error("the signature header ends early")]
    Truncated,
    /// A varint is longer than it needs to be, or than nine bytes.
    #[error("the varint at byte {offset} of the signature header is not minimal or too large")]
    Varint {
        /// Where the varint starts.
        offset: usize,
    },
    /// The header does not begin with the Varsig prefix.
    #[error("a signature header begins with 0x34, not {0:#x}")]
    Prefix(u64),
    /// A version of Varsig other than 1.
    #[error("Varsig version {0} is not known")]
    Version(u64),
    /// The algorithm, or its combination of curve and hash, is not registered.
    #[error("no known signature algorithm has these segments (the first is {prefix:#x})")]
    UnknownAlgorithm {
        /// The first segment of the algorithm.
        prefix: u64,
    },
    /// The payload encoding is not registered.
    #[error("payload encoding {code:#x} is not known")]
    UnknownEncoding {
        /// The code that is not known.
        code: u64,
    },
    /// There are bytes after the header.
    #[error("bytes follow the signature header at byte {offset}")]
    Trailing {
        /// Where the first of them is.
        offset: usize,
    },
}

impl HeaderError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownAlgorithm { .. } | Self::UnknownEncoding { .. } => "UnsupportedAlgorithm",
            Self::Varint { .. } => "NonCanonical",
            _ => "MalformedToken",
        }
    }
}
