//! Several tokens as one sequence of bytes (UCAN Container 0.1).

mod car;
mod contents;
mod encoding;
mod error;
mod gzip;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

pub use contents::{ContainerContents, RefusedToken};
pub use encoding::ContainerEncoding;
pub use error::{ContainerError, GzipError};

use crate::{
    Cid, block,
    dagcbor::{Limits, Reader, Writer},
};

/// The only key of the map in a container.
const KEY: &str = "ctn-v1";

/// How much is read before a container is refused. All are checked before memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerLimits {
    /// How many bytes the map with the tokens may take once it is neither base64 nor compressed, and how many it may take
    /// while it is still compressed: 16 MiB.
    pub payload: usize,
    /// How many tokens there may be, repeated ones counted: 65,536.
    pub tokens: usize,
}

impl Default for ContainerLimits {
    fn default() -> Self {
        Self { payload: 16 << 20, tokens: 1 << 16 }
    }
}

/// A set of tokens that travel together, such as an invocation and its proofs (UCAN Container 0.1).
///
/// To a container, tokens are bytes: it neither reads nor verifies them, and it hashes them itself, so that nobody can claim a
/// CID for them. [`contents`](Self::contents) reads them.
///
/// ```
/// use ucan_core::{Container, ContainerEncoding, block};
///
/// let container = Container::from_iter([b"two".to_vec(), b"one".to_vec(), b"two".to_vec()]);
/// assert!(container.tokens().eq([b"one", b"two"]));
/// assert_eq!(container.get(&block::dag_cbor_cid(b"two")), Some(&b"two"[..]));
///
/// let text = container.encode(ContainerEncoding::Base64Url);
/// assert_eq!(text, b"CoWZjdG4tdjGCQ29uZUN0d28");
/// assert_eq!(Container::decode(&text)?, container);
///
/// let error = Container::decode(b"C====").unwrap_err();
/// assert_eq!(error.name(), "MalformedContainer");
/// # Ok::<(), ucan_core::ContainerError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Container {
    tokens: BTreeSet<Arc<[u8]>>,
    by_cid: BTreeMap<Cid, Arc<[u8]>>,
}

impl Container {
    /// A container without tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a container in any of the encodings, within the default [`ContainerLimits`].
    ///
    /// Tokens may come in any order and more than once. What is read beside the headers of the specification: the headers
    /// 0x44, 0x45 and 0x46, under which the ucantone library writes raw, base64 and base64url bytes that are compressed, and
    /// the bare map without a header.
    ///
    /// # Errors
    ///
    /// When the header is not known, the rest is not exactly one canonical map with a list of byte strings in that
    /// encoding, or a limit is exceeded. Base64 is read as strictly as it is written: no white space, padding where it
    /// belongs and nowhere else. Compressed bytes are exactly one gzip member, with nothing after it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContainerError> {
        Self::decode_with(bytes, &ContainerLimits::default())
    }

    /// Reads a container within limits of the caller's.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_with(bytes: &[u8], limits: &ContainerLimits) -> Result<Self, ContainerError> {
        let payload = encoding::payload(bytes, limits.payload)?;
        let bounds = Limits { bytes: limits.payload, items: limits.tokens, ..Limits::default() };
        let mut reader = Reader::new(&payload, &bounds)?;
        reader.map_of(1, "a map of one entry")?;
        reader.key(KEY, "the key `ctn-v1`")?;
        let length = reader.list("a list of tokens")?;
        let mut container = Self::new();
        for _ in 0..length {
            let token = reader.bytes("a token in bytes")?;
            container.insert(&payload[token]);
        }
        reader.finish()?;
        Ok(container)
    }

    /// Writes the container; the same tokens give the same bytes, in whatever order they were put in.
    ///
    /// Nothing is bounded here. Readers within the default limits refuse what exceeds [`ContainerLimits`].
    pub fn encode(&self, encoding: ContainerEncoding) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.map(1);
        writer.text(KEY);
        writer.list(self.tokens.len());
        for token in &self.tokens {
            writer.byte_string(token);
        }
        encoding.write(&writer.bytes)
    }

    /// Adds a token. Returns whether it was not there yet.
    pub fn insert(&mut self, token: impl Into<Arc<[u8]>>) -> bool {
        let token = token.into();
        if self.tokens.contains(&token) {
            return false;
        }
        self.by_cid.insert(block::dag_cbor_cid(&token), Arc::clone(&token));
        self.tokens.insert(token)
    }

    /// The tokens in bytewise order.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.tokens.iter().map(|token| &**token)
    }

    /// The token with a CID.
    pub fn get(&self, cid: &Cid) -> Option<&[u8]> {
        self.by_cid.get(cid).map(|token| &**token)
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

impl<T: Into<Arc<[u8]>>> Extend<T> for Container {
    fn extend<I: IntoIterator<Item = T>>(&mut self, tokens: I) {
        for token in tokens {
            self.insert(token);
        }
    }
}

impl<T: Into<Arc<[u8]>>> FromIterator<T> for Container {
    fn from_iter<I: IntoIterator<Item = T>>(tokens: I) -> Self {
        let mut container = Self::new();
        container.extend(tokens);
        container
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cids = self.by_cid.keys().map(Cid::to_string);
        f.debug_struct("Container").field("tokens", &cids.collect::<Vec<_>>()).finish()
    }
}
