//! The signed shell that every token comes in.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use varsig::Varsig;

use crate::{
    Cid, Fields, Ipld, Issuer, Shape, TokenError, Unsigned, block,
    dagcbor::{self, DecodeError, Limits, Reader},
    text::excerpt,
};

/// The tags of the tokens that are read and written.
pub mod tag {
    /// A delegation of UCAN 1.0.0.
    pub const DELEGATION: &str = "ucan/dlg@1.0.0";
    /// A delegation of the release candidate.
    pub const DELEGATION_RC1: &str = "ucan/dlg@1.0.0-rc.1";
    /// An invocation of UCAN 1.0.0.
    pub const INVOCATION: &str = "ucan/inv@1.0.0";
    /// An invocation of the release candidate.
    pub const INVOCATION_RC1: &str = "ucan/inv@1.0.0-rc.1";

    pub(super) const ALL: [&str; 4] = [DELEGATION, DELEGATION_RC1, INVOCATION, INVOCATION_RC1];
}

/// The signed shell of a token: `[signature, {h: header, <tag>: payload}]` (UCAN 1.0, "Envelope").
///
/// It keeps the bytes that were received: the CID is their hash, and signatures are checked over the part of them that was
/// signed. Cloning it is cheap.
#[derive(Clone)]
pub struct Envelope(Arc<Parts>);

struct Parts {
    bytes: Arc<[u8]>,
    cid: Cid,
    tag: &'static str,
    header: Varsig,
    signature: Range<usize>,
    signed: Range<usize>,
    payload: Range<usize>,
}

/// What stands in front of the payload.
struct Front {
    signature: Range<usize>,
    signed: usize,
    header: Range<usize>,
    tag: &'static str,
}

impl Front {
    fn read(reader: &mut Reader<'_>) -> Result<Self, TokenError> {
        reader.list_of(2, "an array of two items")?;
        let signature = reader.bytes("a signature in bytes")?;
        let signed = reader.position();
        reader.map_of(2, "a map of two entries")?;
        // In canonical order the shorter key comes first, and every tag is longer than `h`.
        reader.key("h", "the key `h`")?;
        let header = reader.bytes("a signature header in bytes")?;
        let found = reader.text("the tag of a token")?;
        let tag = tag::ALL.into_iter().find(|tag| *tag == found);
        let tag = tag.ok_or_else(|| TokenError::UnknownTag { tag: excerpt(found) })?;
        Ok(Self { signature, signed, header, tag })
    }
}

impl Envelope {
    /// Reads an envelope. The signature is not checked: [`verify`](crate::verify) does that.
    ///
    /// # Errors
    ///
    /// When the bytes are not canonical DAG-CBOR in the shape of an envelope, with a known header and tag, or exceed
    /// [`Limits::TOKEN`](crate::dagcbor::Limits::TOKEN).
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, TokenError> {
        let bytes = bytes.into();
        let mut reader = Reader::new(&bytes, &Limits::TOKEN)?;
        let front = Front::read(&mut reader)?;
        let payload = reader.position();
        reader.map("a payload map")?;
        reader.finish()?;
        let header = Varsig::decode(&bytes[front.header.clone()])?;
        Ok(Self::new(bytes, front, header, payload))
    }

    /// Reads an envelope with a payload of one kind, in a single pass: `parse` makes of the fields what the kind wants.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), and when it is an envelope of something else, or a field is missing, malformed or not
    /// defined.
    pub fn decode_as<T>(
        bytes: impl Into<Arc<[u8]>>,
        shape: &'static Shape,
        parse: impl FnOnce(&mut Fields<'_>) -> Result<T, TokenError>,
    ) -> Result<(Self, T), TokenError> {
        let bytes = bytes.into();
        let mut reader = Reader::new(&bytes, &Limits::TOKEN)?;
        let front = Front::read(&mut reader)?;
        of_kind(shape, front.tag)?;
        let payload = reader.position();
        let mut fields = Fields::read(&mut reader, shape)?;
        reader.finish()?;
        let header = Varsig::decode(&bytes[front.header.clone()])?;
        fields.check()?;
        let parsed = parse(&mut fields)?;
        Ok((Self::new(bytes, front, header, payload), parsed))
    }

    /// Reads the payload of an envelope that has been read, as one of a kind.
    ///
    /// # Errors
    ///
    /// When it is an envelope of something else, or a field is missing, malformed or not defined.
    pub fn parse_as<T>(
        &self,
        shape: &'static Shape,
        parse: impl FnOnce(&mut Fields<'_>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        of_kind(shape, self.tag())?;
        let mut fields = Fields::read(&mut self.payload_reader()?, shape)?;
        fields.check()?;
        parse(&mut fields)
    }

    /// The tag of a token, without reading the rest of it: which kind of token to decode it as.
    ///
    /// ```
    /// use ucan_core::{Command, Delegation, Envelope, Issuer, tag};
    /// use varsig::ed25519::SigningKey;
    ///
    /// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    /// let token = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
    /// assert_eq!(Envelope::tag_of(token.bytes())?, tag::DELEGATION);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the bytes do not begin like an envelope, or have a tag that is not known.
    pub fn tag_of(bytes: &[u8]) -> Result<&'static str, TokenError> {
        Front::read(&mut Reader::new(bytes, &Limits::TOKEN)?).map(|front| front.tag)
    }

    fn new(bytes: Arc<[u8]>, front: Front, header: Varsig, payload: usize) -> Self {
        let end = bytes.len();
        Self(Arc::new(Parts {
            cid: block::dag_cbor_cid(&bytes),
            bytes,
            tag: front.tag,
            header,
            signature: front.signature,
            signed: front.signed..end,
            payload: payload..end,
        }))
    }

    /// Signs a payload.
    ///
    /// # Errors
    ///
    /// When the tag is not one of [`tag`], the payload cannot be encoded or is too large to be read again, or the signer
    /// fails.
    pub fn sign(tag: &str, payload: BTreeMap<String, Ipld>, issuer: &Issuer) -> Result<Self, SignError> {
        let unsigned = Unsigned::new(tag, payload, issuer.signer().algorithm())?;
        let signature = issuer.signer().try_sign(unsigned.bytes())?;
        // What is written is read like any other, so that nothing is issued that others would refuse.
        Ok(Self::decode(unsigned.assemble(&signature))?)
    }

    /// The token as it was received.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The token's CID: the hash of [`bytes`](Self::bytes).
    pub fn cid(&self) -> &Cid {
        &self.0.cid
    }

    /// The CID of the signed part alone.
    ///
    /// A signature can sometimes be spelled in another way, which changes [`cid`](Self::cid) but not this: what has been
    /// revoked or used up is remembered under both.
    pub fn signed_cid(&self) -> Cid {
        block::dag_cbor_cid(self.signed_bytes())
    }

    /// One of [`tag`].
    pub fn tag(&self) -> &'static str {
        self.0.tag
    }

    /// What the signature is said to be.
    pub fn header(&self) -> &Varsig {
        &self.0.header
    }

    /// The bytes of the signature.
    pub fn signature(&self) -> &[u8] {
        &self.0.bytes[self.0.signature.clone()]
    }

    /// The bytes that were signed, as they were received.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.0.bytes[self.0.signed.clone()]
    }

    /// The payload, decoded anew each time.
    pub fn payload(&self) -> BTreeMap<String, Ipld> {
        // It was read before without an error.
        self.payload_reader().and_then(|mut reader| reader.map("a payload map")).unwrap_or_default()
    }

    fn payload_reader(&self) -> Result<Reader<'_>, DecodeError> {
        Reader::new(&self.0.bytes[self.0.payload.clone()], &Limits::TOKEN)
    }
}

fn of_kind(shape: &'static Shape, tag: &'static str) -> Result<(), TokenError> {
    if shape.tags.contains(&tag) { Ok(()) } else { Err(TokenError::WrongKind { expected: shape.kind, tag }) }
}

/// Envelopes are equal when their bytes are.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.0.cid == other.0.cid
    }
}

impl Eq for Envelope {}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("cid", &format_args!("{}", self.cid()))
            .field("tag", &self.tag())
            .field("header", self.header())
            .field("payload", &self.payload())
            .finish_non_exhaustive()
    }
}

/// Why a token was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The payload holds what DAG-CBOR cannot say.
    #[error(transparent)]
    Encode(#[from] dagcbor::EncodeError),
    /// The key could not be used.
    #[error(transparent)]
    Signer(#[from] varsig::SignError),
    /// The token would be refused by those who read it.
    #[error("the token would not be readable: {0}")]
    Unreadable(#[from] TokenError),
}
