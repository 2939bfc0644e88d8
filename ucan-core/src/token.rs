//! What all tokens have in common: decoding gives something to look at, verifying gives something to rely on.

use std::ops::Deref;

use varsig::{HeaderError, PayloadEncoding, SignatureAlgorithm, VerifyError};

use crate::{Did, Envelope, KeyError, KeySource, PolicyError, Purpose, dagcbor};

/// A signed token.
pub trait Token {
    /// The signed shell, with the bytes as they were received.
    fn envelope(&self) -> &Envelope;
    /// Who is said to have signed it.
    fn issuer(&self) -> &Did;
    /// What the signature is for, which decides the keys that may have made it.
    fn purpose(&self) -> Purpose;
}

impl<T: Token> Token for &T {
    fn envelope(&self) -> &Envelope {
        (**self).envelope()
    }

    fn issuer(&self) -> &Did {
        (**self).issuer()
    }

    fn purpose(&self) -> Purpose {
        (**self).purpose()
    }
}

/// A token whose signature is its issuer's. Nothing is said about time, authority or revocation.
///
/// Only [`verify`] makes it.
///
/// ```
/// use ucan_core::{Command, Delegation, DidKeys, Issuer, verify};
/// use varsig::ed25519::SigningKey;
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let delegation = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
/// let verified = verify(delegation, &DidKeys)?;
/// assert_eq!(verified.issuer(), alice.did());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T: Token>(T);

impl<T: Token> Verified<T> {
    /// The token, which may be a reference or owned.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: Token> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Checks the signature of a token over the bytes that were received.
///
/// # Errors
///
/// When the issuer has no key for the header's algorithm, or the signature is not one of that key.
pub fn verify<T: Token>(token: T, keys: &dyn KeySource) -> Result<Verified<T>, SignatureError> {
    check_signature(&token, keys)?;
    Ok(Verified(token))
}

/// What is signed when a token is signed with an algorithm: its DAG-CBOR, which EIP-191 wraps once more.
pub(crate) fn encoding(algorithm: SignatureAlgorithm) -> PayloadEncoding {
    match algorithm {
        SignatureAlgorithm::Eip191 => PayloadEncoding::Eip191DagCbor,
        _ => PayloadEncoding::DagCbor,
    }
}

/// What [`verify`] does, for tokens of any kind.
pub(crate) fn check_signature(token: &dyn Token, keys: &dyn KeySource) -> Result<(), SignatureError> {
    let memo = keys.memo();
    if memo.is_some_and(|memo| memo.recalls(token)) {
        return Ok(());
    }
    let envelope = token.envelope();
    let header = envelope.header();
    if header.encoding() != encoding(header.algorithm()) {
        return Err(SignatureError::Encoding(header.encoding()));
    }
    let verifier = keys.verifier(token.issuer(), header.algorithm(), token.purpose())?;
    // A key source that hands out another algorithm's key must not decide what is accepted.
    if verifier.algorithm() != header.algorithm() {
        return Err(KeyError::WrongAlgorithm { did: token.issuer().clone(), algorithm: header.algorithm() }.into());
    }
    if memo.is_some_and(|memo| memo.recalls_with(token, &*verifier)) {
        return Ok(());
    }
    verifier.verify(envelope.signed_bytes(), envelope.signature())?;
    if let Some(memo) = memo {
        memo.remember(token, &verifier);
    }
    Ok(())
}

/// Checks the signatures of many tokens at once, on as many threads as there are cores, so that validation finds them in the
/// [memory](crate::SignatureMemo) of `keys`.
///
/// It decides nothing: a signature that does not hold is found by whoever validates the token afterwards, who also says which
/// it is. Where `keys` remember nothing, nothing is done. It pays from three or four tokens on.
///
/// ```
/// use ucan_core::{CachedKeys, Command, Delegation, DidKeys, Issuer, verify_ahead};
/// use varsig::ed25519::SigningKey;
///
/// let keys = CachedKeys::new(DidKeys);
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let delegation = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
/// verify_ahead(&[&delegation], &keys);
/// assert!(keys.memo().recalls(&delegation));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "parallel")]
pub fn verify_ahead(tokens: &[&(dyn Token + Sync)], keys: &dyn KeySource) {
    use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

    if keys.memo().is_some() {
        // Whoever validates the token says what is wrong with it.
        tokens.par_iter().for_each(|token| drop(check_signature(*token, keys)));
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no key to check it with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is not a signature of the issuer's key.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// The header says that something else than DAG-CBOR was signed.
    #[error("signatures over {0} cannot be verified")]
    Encoding(PayloadEncoding),
}

impl SignatureError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Key(KeyError::Unsupported { .. }) | Self::Encoding(_) => "UnsupportedAlgorithm",
            _ => "InvalidSignature",
        }
    }
}

/// Why bytes are not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// They are not canonical DAG-CBOR, or not in the shape of an envelope.
    #[error(transparent)]
    Cbor(#[from] dagcbor::DecodeError),
    /// The header of the signature is malformed or names an unknown algorithm.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The tag is none of those that are known.
    #[error("{tag:?} is not a kind of token that is known here")]
    UnknownTag {
        /// The tag.
        tag: String,
    },
    /// The tag is of another kind of token.
    #[error("expected {expected}, not a token tagged {tag}")]
    WrongKind {
        /// What was expected.
        expected: &'static str,
        /// The tag.
        tag: &'static str,
    },
    /// A required field is not there.
    #[error("the field `{field}` is missing")]
    MissingField {
        /// The field.
        field: &'static str,
    },
    /// A field that is not defined: signed data whose meaning is unknown.
    #[error("the field `{field}` is not defined")]
    UnknownField {
        /// The field.
        field: String,
    },
    /// A field has a value of another kind.
    #[error("the field `{field}` is not {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A field has a value of the right kind that means nothing.
    #[error("the field `{field}` is malformed: {reason}")]
    InvalidField {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The nonce is too long.
    #[error("the nonce is longer than {limit} bytes")]
    NonceTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The policy is malformed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl TokenError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cbor(error) => error.name(),
            Self::Header(HeaderError::UnknownAlgorithm { .. } | HeaderError::UnknownEncoding { .. }) => {
                "UnsupportedAlgorithm"
            }
            Self::Header(HeaderError::Varint { .. }) => "NonCanonical",
            Self::UnknownTag { tag } if tag.starts_with("ucan/dlg@") || tag.starts_with("ucan/inv@") => {
                "UnsupportedVersion"
            }
            Self::NonceTooLong { .. } => "LimitExceeded",
            Self::Policy(error) => error.name(),
            _ => "MalformedToken",
        }
    }
}
