//! Why a container was refused.

use crate::dagcbor;

/// Bytes that are not a container, or too much of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// There is not even a header.
    #[error("a container has at least a header")]
    Empty,
    /// The first byte is neither a header nor the start of a map of one entry.
    #[error("{0:#04x} is not the header of a container")]
    Header(u8),
    /// What follows the header is not base64 of its kind.
    #[error("the base64 is malformed at byte {offset}")]
    Base64 {
        /// Where, counted from the header.
        offset: usize,
    },
    /// What is to be compressed is not.
    #[error(transparent)]
    Gzip(#[from] GzipError),
    /// The map with the tokens is too long, compressed or not.
    #[error("more than {0} bytes")]
    TooManyBytes(usize),
    /// What is inside is not canonical DAG-CBOR, not a map with a list of byte strings under the one key that there may be,
    /// or has too many tokens.
    #[error(transparent)]
    Payload(#[from] dagcbor::DecodeError),
}

impl ContainerError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooManyBytes(_) => "LimitExceeded",
            Self::Payload(error) => match error.name() {
                "MalformedToken" => "MalformedContainer",
                name => name,
            },
            _ => "MalformedContainer",
        }
    }
}

/// Bytes that are not one gzip member (RFC 1952).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GzipError {
    /// They do not begin like one.
    #[error("compressed bytes do not begin like gzip")]
    Magic,
    /// They are compressed by another method than deflate.
    #[error("compression method {0}, where only 8 (deflate) is known")]
    Method(u8),
    /// A flag is set that is reserved.
    #[error("reserved gzip flags {0:#04x}")]
    Flags(u8),
    /// The header has a checksum, and another one than it should.
    #[error("the gzip header does not match its checksum")]
    HeaderChecksum,
    /// They end early.
    #[error("compressed bytes end early")]
    Truncated,
    /// They are not deflated data.
    #[error("compressed bytes are malformed")]
    Deflate,
    /// What they inflate to has another checksum.
    #[error("inflated bytes do not match their checksum")]
    Checksum,
    /// What they inflate to has another length.
    #[error("inflated bytes do not match their length")]
    Length,
    /// Something follows the member, another member perhaps.
    #[error("bytes follow the compressed ones")]
    Trailing,
}
