//! Decentralised identifiers: their syntax. Keys are found by a [`KeySource`](crate::KeySource).

use std::{fmt, str::FromStr, sync::Arc};

use varsig::PublicKey;

use crate::{KeyError, text::excerpt};

/// A principal's identifier: `did:<method>:<id>`, with a fragment where the writer gave one.
///
/// Any method can be a principal. The text is kept exactly as it was written, and two values are equal when their text
/// is; [`same_principal`](Self::same_principal) is the comparison that ignores fragments.
///
/// ```
/// use ucan_core::Did;
///
/// let phone: Did = "did:web:example.com#phone".parse()?;
/// assert_eq!((phone.method(), phone.fragment()), ("web", Some("phone")));
/// assert!(phone.same_principal(&"did:web:example.com".parse()?));
/// assert!("did:web:example.com/path".parse::<Did>().is_err());
/// # Ok::<(), ucan_core::DidError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(Arc<str>);

impl Did {
    /// The longest identifier that is read, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads an identifier (DID Core 1.0, section 3.1; a path or a query is refused).
    ///
    /// # Errors
    ///
    /// When the text has another syntax, or is longer than [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub fn parse(text: &str) -> Result<Self, DidError> {
        let error = |expected| DidError { text: excerpt(text), expected };
        if text.len() > Self::MAX_LENGTH {
            return Err(error("at most 4096 bytes"));
        }
        let rest = text.strip_prefix("did:").ok_or_else(|| error("`did:` at the start"))?;
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (rest, None),
        };
        let (method, id) = rest.split_once(':').ok_or_else(|| error("a method and an identifier"))?;
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(error("a method of lowercase letters and digits"));
        }
        // The last colon-separated part must not be empty; the others may be.
        if id.is_empty() || id.ends_with(':') || !is_escaped(id, |b| b".-_:".contains(&b)) {
            return Err(error("an identifier of letters, digits and `.-_:%`"));
        }
        if fragment.is_some_and(|f| !is_escaped(f, |b| b"-._~!$&'()*+,;=:@/?".contains(&b))) {
            return Err(error("a fragment of URL characters"));
        }
        Ok(Self(text.into()))
    }

    /// The longest `did:key` that is read, in bytes without the scheme and the method: an RSA key of 8192 bits takes some 1,500,
    /// and decoding base58 takes quadratic time.
    const MAX_KEY_LENGTH: usize = 2048;

    /// The `did:key` of a public key (did:key method, "Format").
    ///
    /// ```
    /// use ucan_core::Did;
    /// use varsig::PublicKey;
    ///
    /// let did: Did = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169".parse()?;
    /// let key = did.public_key()?;
    /// assert_eq!((key.code(), key.as_bytes().len()), (0x1200, 33));
    /// assert_eq!(Did::from_public_key(&key), did);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_public_key(key: &PublicKey) -> Self {
        Self::of_multicodec(&key.to_multicodec())
    }

    /// The `did:key` of an Ed25519 public key.
    #[cfg(feature = "ed25519")]
    pub fn from_ed25519(key: &varsig::ed25519::VerifyingKey) -> Self {
        Self::of_multicodec(&[&[0xed, 0x01], key.as_bytes().as_slice()].concat())
    }

    fn of_multicodec(key: &[u8]) -> Self {
        Self(format!("did:key:{}", multibase::encode(multibase::Base::Base58Btc, key)).into())
    }

    /// The public key of a `did:key`, read strictly: base58btc, a minimal varint, the code of a key that can sign, and as many
    /// bytes as such a key has. Whether they are a key is seen when a verifier is made of them.
    ///
    /// # Errors
    ///
    /// [`KeyError::UnsupportedMethod`] for another method; [`KeyError::Malformed`] or [`KeyError::BadKey`] when what follows is no
    /// key.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        if self.method() != "key" {
            return Err(KeyError::UnsupportedMethod { did: self.clone() });
        }
        let text = self.id();
        let (_, bytes) = (text.starts_with('z') && text.len() <= Self::MAX_KEY_LENGTH)
            .then(|| multibase::decode(text).ok())
            .flatten()
            .ok_or_else(|| KeyError::Malformed { did: self.clone() })?;
        PublicKey::from_multicodec(&bytes).map_err(|source| KeyError::BadKey { did: self.clone(), source })
    }

    /// The identifier as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The method: `key`, `web`, ..
    pub fn method(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// What comes after the method, without the fragment.
    pub fn id(&self) -> &str {
        let (_, id) = self.principal()[4..].split_once(':').unwrap_or_default();
        id
    }

    /// What comes after the `#`, if there is one.
    pub fn fragment(&self) -> Option<&str> {
        self.0.split_once('#').map(|(_, fragment)| fragment)
    }

    /// The identifier without its fragment: who it is, whichever key is meant.
    pub fn principal(&self) -> &str {
        self.0.split_once('#').map_or(&self.0, |(principal, _)| principal)
    }

    /// Whether both name the same principal. Fragments are ignored.
    pub fn same_principal(&self, other: &Self) -> bool {
        self.principal() == other.principal()
    }
}

/// Letters, digits, percent escapes, and whatever else is allowed.
fn is_escaped(text: &str, also: impl Fn(u8) -> bool) -> bool {
    // Every `did:key` is of this kind.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return true;
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped =
            || bytes.next().zip(bytes.next()).is_some_and(|(a, b)| a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        if !(byte.is_ascii_alphanumeric() || also(byte) || byte == b'%' && { escaped }()) {
            return false;
        }
    }
    true
}

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        Self::parse(text)
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({})", self.0)
    }
}

impl AsRef<str> for Did {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A text that is not a DID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a DID: {text:?} (expected {expected})")]
pub struct DidError {
    text: String,
    expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax() {
        for good in [
            "did:key:z6Mk",
            "did:web:example.com%3A8080:user:alice",
            "did:a:b",
            "did:3::x",
            "did:plc:x#",
            "did:k:a#b/c?d",
        ] {
            assert!(Did::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "did",
            "did:",
            "did:key",
            "did:key:",
            "DID:key:z",
            "did:Key:z",
            "did::z",
            "did:k:a:",
            "did:k:%3",
            "did:k:%zz",
            "did:k:é",
            "did:k:a b",
            "did:k:a?x",
            "did:k:a#b#c",
            "mailto:a@b",
        ] {
            assert!(Did::parse(bad).is_err(), "{bad}");
        }
        assert!(Did::parse(&format!("did:x:{}", "a".repeat(5000))).is_err());
        assert_eq!(Did::parse("did:web:a:b#c").unwrap().id(), "a:b");
    }
}
