//! Why bytes were refused.

/// Bytes that are not canonical DAG-CBOR, or too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// Where the offending item starts, counted from the first byte that was given.
    pub offset: usize,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

/// What is wrong with bytes that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end inside the value.
    #[error("the bytes end early")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// A map key that is no text string.
    #[error("a map key that is no text string")]
    Key,
    /// An integer or a length takes more bytes than it needs.
    #[error("an integer or length could be written shorter")]
    LongForm,
    /// A string, list or map of indefinite length.
    #[error("a length is indefinite")]
    Indefinite,
    /// A float of 16 or 32 bits.
    #[error("a float has fewer than 64 bits")]
    SmallFloat,
    /// NaN or an infinity.
    #[error("a float is not finite")]
    NotFinite,
    /// A simple value other than false, true and null.
    #[error("a simple value other than false, true and null")]
    Simple,
    /// A reserved initial byte.
    #[error("a reserved initial byte")]
    Reserved,
    /// A tag other than 42.
    #[error("tag {0}, where only 42 (a link) is known")]
    Tag(u64),
    /// What tag 42 holds is not a byte string of a zero byte and exactly one CID.
    #[error("a link that is not exactly one CID")]
    Link,
    /// A text string that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A key sorts before the one in front of it.
    #[error("a map key is out of order")]
    KeyOrder,
    /// A key occurs twice in a map.
    #[error("a map key occurs twice")]
    DuplicateKey,
    /// Lists and maps are nested too deep.
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    /// There are too many bytes.
    #[error("more than {0} bytes")]
    TooManyBytes(usize),
    /// There are too many values.
    #[error("more than {0} values")]
    TooManyItems(usize),
}
