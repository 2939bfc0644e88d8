//! The signed shell that every token comes in.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use varsig::{PayloadEncoding, SignatureAlgorithm, Varsig};

use crate::{
    Cid, Ipld, Issuer, TokenError, block,
    dagcbor::{self, Limits, Reader, Writer},
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
    payload: BTreeMap<String, Ipld>,
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
        reader.list_of(2, "an array of two items")?;
        let signature = reader.bytes("a signature in bytes")?;
        let start = reader.position();
        reader.map_of(2, "a map of two entries")?;
        // In canonical order the shorter key comes first, and every tag is longer than `h`.
        reader.key("h", "the key `h`")?;
        let header = reader.bytes("a signature header in bytes")?;
        let found = reader.text("the tag of a token")?;
        let tag = tag::ALL.into_iter().find(|tag| *tag == found);
        let tag = tag.ok_or_else(|| TokenError::UnknownTag { tag: excerpt(found) })?;
        let payload = reader.map("a payload map")?;
        let signed = start..reader.position();
        reader.finish()?;
        let header = Varsig::decode(&bytes[header])?;
        let cid = block::dag_cbor_cid(&bytes);
        Ok(Self(Arc::new(Parts { bytes, cid, tag, header, signature, signed, payload })))
    }

    /// Signs a payload.
    ///
    /// # Errors
    ///
    /// When the tag is not one of [`tag`], the payload cannot be encoded or is too large to be read again, or the signer
    /// fails.
    pub fn sign(tag: &str, payload: BTreeMap<String, Ipld>, issuer: &Issuer) -> Result<Self, SignError> {
        let algorithm = issuer.signer().algorithm();
        let header = Varsig::new(algorithm, payload_encoding(algorithm));
        let mut signed = Writer::default();
        signed.map(2);
        signed.text("h");
        signed.byte_string(&header.encode());
        signed.text(tag);
        signed.value(&Ipld::Map(payload))?;
        let signature = issuer.signer().try_sign(&signed.bytes)?;
        let mut token = Writer::default();
        token.list(2);
        token.byte_string(signature.as_bytes());
        token.bytes.extend_from_slice(&signed.bytes);
        // What is written is read like any other, so that nothing is issued that others would refuse.
        Ok(Self::decode(token.bytes)?)
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

    /// The payload.
    pub fn payload(&self) -> &BTreeMap<String, Ipld> {
        &self.0.payload
    }
}

/// How the payload of every token is encoded, given who signs: a wallet wraps it in its sentence, everybody else does not.
pub(crate) fn payload_encoding(algorithm: SignatureAlgorithm) -> PayloadEncoding {
    match algorithm {
        SignatureAlgorithm::Eip191 => PayloadEncoding::Eip191DagCbor,
        _ => PayloadEncoding::DagCbor,
    }
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
            .field("payload", self.payload())
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
