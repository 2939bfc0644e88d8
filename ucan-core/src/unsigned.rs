//! Tokens that wait for their signature.

use std::collections::BTreeMap;

use varsig::{Signature, SignatureAlgorithm, Varsig};

use crate::{Ipld, dagcbor::Writer, envelope::SignError, token::encoding};

/// A token that is complete but for its signature, for keys that are elsewhere: a hardware module, a key service, a browser.
///
/// [`bytes`](Self::bytes) go to the key, and [`assemble`](Self::assemble) makes a token of them and the signature that comes
/// back. Nothing is checked here: whoever wants to know decodes the token and [verifies](crate::verify) it.
///
/// ```
/// use ucan_core::{Command, Delegation, Did, DidKeys, verify};
/// use varsig::{SignatureAlgorithm, Signer, ed25519::SigningKey};
///
/// let key = SigningKey::from_seed(&[1; 32]);
/// let alice = Did::from_ed25519(&key.verifying_key());
/// let unsigned = Delegation::builder("did:web:example.com".parse()?, Some(alice.clone()), Command::top())
///     .prepare(&alice, SignatureAlgorithm::Ed25519)?;
///
/// // Somewhere else, where the key is.
/// let signature = key.try_sign(unsigned.bytes())?;
///
/// let delegation = Delegation::decode(unsigned.assemble(&signature))?;
/// assert!(verify(delegation, &DidKeys).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Unsigned(Vec<u8>);

impl Unsigned {
    /// A payload under one of the [tags](crate::tag), to be signed with an algorithm.
    ///
    /// # Errors
    ///
    /// [`SignError::Encode`] when the payload holds what DAG-CBOR cannot say.
    pub fn new(tag: &str, payload: BTreeMap<String, Ipld>, algorithm: SignatureAlgorithm) -> Result<Self, SignError> {
        let header = Varsig::new(algorithm, encoding(algorithm));
        let mut signed = Writer::default();
        signed.map(2);
        signed.text("h");
        signed.byte_string(&header.encode());
        signed.text(tag);
        signed.value(&Ipld::Map(payload))?;
        Ok(Self(signed.bytes))
    }

    /// What the key signs, whole: hashing it is the signer's part.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token with its signature.
    pub fn assemble(&self, signature: &Signature) -> Vec<u8> {
        let mut token = Writer::default();
        token.list(2);
        token.byte_string(signature.as_bytes());
        token.bytes.extend_from_slice(&self.0);
        token.bytes
    }
}
