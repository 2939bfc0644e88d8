//! DID documents: which keys a principal has, and what for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;
use ucan_core::{Did, KeyError, Purpose, Timestamp};
use varsig::{PublicKey, PublicKeyError};

use crate::{
    jwk::{Jwk, JwkError},
    text::excerpt,
};

/// The keys in a DID document (DID Core 1.0, section 5).
///
/// The document is read as JSON; `@context` plays no part. What is unknown is passed over: members, kinds of verification methods
/// and of keys. What is known has to be right. A verification method that was `revoked`, or whose `expires` is no time, is passed
/// over as well.
///
/// ```
/// use ipvm_did_web::Document;
/// use ucan_core::{Did, Purpose, Timestamp};
///
/// let alice: Did = "did:web:example.com".parse()?;
/// let document = Document::parse(&alice, br##"{
///     "id": "did:web:example.com",
///     "verificationMethod": [{
///         "id": "#laptop",
///         "type": "Multikey",
///         "controller": "did:web:example.com",
///         "publicKeyMultibase": "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
///     }],
///     "capabilityInvocation": ["#laptop"]
/// }"##)?;
/// let now = Timestamp::EPOCH;
/// assert_eq!(document.keys(&alice, Purpose::Invocation, now)?.len(), 1);
/// assert!(document.keys(&alice, Purpose::Delegation, now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    /// Whose document it is, without a fragment.
    principal: String,
    delegation: Keys,
    invocation: Keys,
}

/// Keys by the full id of their verification method.
type Keys = BTreeMap<String, Key>;

#[derive(Clone, Debug)]
struct Key {
    key: PublicKey,
    /// When it ceases to be used.
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default, rename = "verificationMethod")]
    methods: Vec<Method>,
    #[serde(default, deserialize_with = "present")]
    authentication: Option<Vec<Entry>>,
    #[serde(default, rename = "assertionMethod", deserialize_with = "present")]
    assertion: Option<Vec<Entry>>,
    #[serde(default, rename = "keyAgreement", deserialize_with = "present")]
    agreement: Option<Vec<Entry>>,
    #[serde(default, rename = "capabilityDelegation", deserialize_with = "present")]
    delegation: Option<Vec<Entry>>,
    #[serde(default, rename = "capabilityInvocation", deserialize_with = "present")]
    invocation: Option<Vec<Entry>>,
}

/// A member that is there has a value: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Reference(String),
    Embedded(Box<Method>),
}

#[derive(Deserialize)]
struct Method {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    controller: String,
    #[serde(rename = "publicKeyMultibase")]
    multibase: Option<String>,
    #[serde(rename = "publicKeyJwk")]
    jwk: Option<Jwk>,
    /// The time when it was revoked; whatever its value, nobody leaves it there who still trusts the key.
    #[serde(default, deserialize_with = "present")]
    revoked: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    expires: Option<Value>,
    #[serde(rename = "secretKeyMultibase")]
    secret_multibase: Option<IgnoredAny>,
    #[serde(rename = "privateKeyMultibase")]
    private_multibase: Option<IgnoredAny>,
    #[serde(rename = "secretKeyJwk")]
    secret_jwk: Option<IgnoredAny>,
    #[serde(rename = "privateKeyJwk")]
    private_jwk: Option<IgnoredAny>,
}

impl Method {
    fn has_secret(&self) -> bool {
        let Self { secret_multibase, private_multibase, secret_jwk, private_jwk, .. } = self;
        [secret_multibase, private_multibase, secret_jwk, private_jwk].into_iter().any(Option::is_some)
    }
}

impl Document {
    /// Reads the document of a principal, whose fragment plays no part.
    ///
    /// # Errors
    ///
    /// When it is not JSON in the form of a DID document, is about somebody else, or holds a malformed key or a secret one.
    pub fn parse(did: &Did, json: &[u8]) -> Result<Self, DocumentError> {
        let raw: Raw =
            serde_json::from_slice(json).map_err(|error| DocumentError::Json { detail: excerpt(error.to_string()) })?;
        let principal = did.principal();
        if raw.id != principal {
            return Err(DocumentError::OtherSubject { id: excerpt(raw.id) });
        }
        let mut reader = Reader { principal, listed: Keys::new(), ids: BTreeSet::new() };
        for method in &raw.methods {
            let (id, key) = reader.method(method)?;
            reader.listed.extend(key.map(|key| (id, key)));
        }
        let authentication = reader.relationship(raw.authentication)?.unwrap_or_default();
        let assertion = reader.relationship(raw.assertion)?.unwrap_or_default();
        let agreement = reader.relationship(raw.agreement)?.unwrap_or_default();
        let (delegation, invocation) =
            match (reader.relationship(raw.delegation)?, reader.relationship(raw.invocation)?) {
                (None, None) => {
                    let mut keys = reader.listed;
                    // Keys for agreeing on keys sign nothing, unless they are said to.
                    keys.retain(|id, _| {
                        !agreement.contains_key(id) || authentication.contains_key(id) || assertion.contains_key(id)
                    });
                    (keys.clone(), keys)
                }
                (delegation, invocation) => (delegation.unwrap_or_default(), invocation.unwrap_or_default()),
            };
        Ok(Self { principal: principal.to_owned(), delegation, invocation })
    }

    /// The keys for a purpose at a time; only that of the verification method which the fragment names, where `did` has one.
    ///
    /// Keys for delegations are those under `capabilityDelegation`, keys for invocations those under `capabilityInvocation`. Where
    /// the document states neither, it leaves open what its keys are for, and all keys under `verificationMethod` serve both, except
    /// those that are named under `keyAgreement` and under neither `authentication` nor `assertionMethod`. One that states only one
    /// of the two has no keys for the other. From its `expires` on, a key serves nothing.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAuthorized`] when there is no such key.
    pub fn keys(&self, did: &Did, purpose: Purpose, now: Timestamp) -> Result<Vec<PublicKey>, KeyError> {
        let stated = match purpose {
            Purpose::Delegation => &self.delegation,
            Purpose::Invocation => &self.invocation,
        };
        let named = |id: &str| did.fragment().is_none_or(|_| id == did.as_str());
        let counts = |id: &str, key: &Key| named(id) && key.expires.is_none_or(|expires| now < expires);
        let own = stated.iter().filter(|_| did.principal() == self.principal);
        let keys: Vec<_> = own.filter(|(id, key)| counts(id, key)).map(|(_, key)| key.key.clone()).collect();
        if keys.is_empty() { Err(KeyError::NotAuthorized { did: did.clone(), purpose }) } else { Ok(keys) }
    }
}

/// What is known of a document while it is read.
struct Reader<'a> {
    principal: &'a str,
    /// The keys under `verificationMethod`.
    listed: Keys,
    /// The ids of all verification methods so far, whether they have keys of any use or not.
    ids: BTreeSet<String>,
}

impl Reader<'_> {
    /// The keys of a relationship. What it refers to and is not here serves nothing: keys in the documents of others are not
    /// fetched.
    fn relationship(&mut self, entries: Option<Vec<Entry>>) -> Result<Option<Keys>, DocumentError> {
        let Some(entries) = entries else {
            return Ok(None);
        };
        let mut keys = Keys::new();
        for entry in entries {
            match entry {
                Entry::Reference(reference) if self.is_foreign(&reference) => {}
                Entry::Reference(reference) => {
                    let id = self.full_id(&reference)?;
                    keys.extend(self.listed.get_key_value(&id).map(|(id, key)| (id.clone(), key.clone())));
                }
                Entry::Embedded(method) => {
                    let (id, key) = self.method(&method)?;
                    keys.extend(key.map(|key| (id, key)));
                }
            }
        }
        Ok(Some(keys))
    }

    /// Whether a reference leads into another document.
    fn is_foreign(&self, reference: &str) -> bool {
        reference.parse::<Did>().is_ok_and(|did| did.principal() != self.principal)
    }

    /// An id in full: a relative one begins with its `#`.
    fn full_id(&self, id: &str) -> Result<String, DocumentError> {
        let full = if id.starts_with('#') { format!("{}{id}", self.principal) } else { id.to_owned() };
        let own = full.parse::<Did>().ok().filter(|did| did.principal() == self.principal);
        match own.as_ref().and_then(Did::fragment) {
            Some(fragment) if !fragment.is_empty() => Ok(full),
            _ => Err(DocumentError::Id { id: excerpt(id) }),
        }
    }

    /// The id of a method, which nothing before has had, and its key.
    fn method(&mut self, method: &Method) -> Result<(String, Option<Key>), DocumentError> {
        let id = self.full_id(&method.id)?;
        if !self.ids.insert(id.clone()) {
            return Err(DocumentError::Twice { id: excerpt(id) });
        }
        match self.key(method) {
            Ok(key) => Ok((id, key)),
            Err(source) => Err(DocumentError::Method { id: excerpt(id), source }),
        }
    }

    /// The key of a method; nothing if it is of a kind that is not known, under the control of somebody else, or out of use.
    fn key(&self, method: &Method) -> Result<Option<Key>, MethodError> {
        // A secret is everybody's, and whoever has published one may have published others: this comes before all exceptions.
        if method.has_secret() {
            return Err(MethodError::Secret);
        }
        if method.jwk.as_ref().is_some_and(Jwk::has_secret) {
            return Err(JwkError::Secret.into());
        }
        if method.controller != self.principal || method.revoked.is_some() {
            return Ok(None);
        }
        let expires = match &method.expires {
            None => None,
            Some(time) => match time.as_str().and_then(Timestamp::parse_rfc3339) {
                Some(time) => Some(time),
                // Nobody knows whether it still holds.
                None => return Ok(None),
            },
        };
        let key = match (&method.multibase, &method.jwk) {
            (Some(_), Some(_)) => return Err(MethodError::TwoKeys),
            (Some(text), None) => multikey(&method.kind, text)?,
            (None, Some(jwk)) => json_web_key(&method.kind, jwk)?,
            (None, None) => None,
        };
        Ok(key.map(|key| Key { key, expires }))
    }
}

const ED25519: u64 = 0xed;
const SECP256K1: u64 = 0xe7;

/// The key in `publicKeyMultibase`, which is written as in a `did:key`.
fn multikey(kind: &str, text: &str) -> Result<Option<PublicKey>, MethodError> {
    let expected = match kind {
        "Multikey" => None,
        "Ed25519VerificationKey2020" => Some(ED25519),
        // Other kinds spell their keys in their own ways.
        _ => return Ok(None),
    };
    let did = Did::parse(&format!("did:key:{text}")).ok().filter(|did| did.fragment().is_none());
    match did.ok_or(MethodError::Multibase)?.public_key() {
        Ok(key) if expected.is_some_and(|code| code != key.code()) => Err(MethodError::Kind),
        Ok(key) => Ok(Some(key)),
        // For agreeing on keys, for example.
        Err(KeyError::BadKey { source: PublicKeyError::UnknownCode { .. }, .. }) if expected.is_none() => Ok(None),
        Err(KeyError::BadKey { source, .. }) => Err(MethodError::Key(source)),
        Err(_) => Err(MethodError::Multibase),
    }
}

/// The key in `publicKeyJwk`.
fn json_web_key(kind: &str, jwk: &Jwk) -> Result<Option<PublicKey>, MethodError> {
    let expected = match kind {
        "JsonWebKey" | "JsonWebKey2020" => None,
        "EcdsaSecp256k1VerificationKey2019" => Some(SECP256K1),
        // Other kinds, for agreeing on keys for example, may have a key of the same form that is not for signatures.
        _ => return Ok(None),
    };
    match jwk.public_key()? {
        Some(key) if expected.is_some_and(|code| code != key.code()) => Err(MethodError::Kind),
        key => Ok(key),
    }
}

/// Why a DID document was not accepted. Of what it says, no more than some 120 characters are quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is not JSON, or not in the form of a DID document.
    #[error("the document is not a DID document: {detail}")]
    Json {
        /// What is wrong, and where.
        detail: String,
    },
    /// It is the document of somebody else.
    #[error("the document is about {id:?}")]
    OtherSubject {
        /// Whom it is about.
        id: String,
    },
    /// The id of a verification method, or a reference to one, is neither of the form `#name` nor a name under this principal.
    #[error("{id:?} does not name a verification method of this document")]
    Id {
        /// What was written.
        id: String,
    },
    /// Two verification methods have one id.
    #[error("there are two verification methods {id}")]
    Twice {
        /// The id.
        id: String,
    },
    /// A verification method holds a malformed key.
    #[error("the verification method {id} is malformed: {source}")]
    Method {
        /// The id.
        id: String,
        /// What is wrong with it.
        source: MethodError,
    },
}

/// Why a verification method was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// It holds a secret, which everybody knows now.
    #[error("it holds a secret key")]
    Secret,
    /// It holds two keys.
    #[error("it has both `publicKeyMultibase` and `publicKeyJwk`")]
    TwoKeys,
    /// The text is not base58btc after a `z`.
    #[error("`publicKeyMultibase` is not base58btc after a `z`")]
    Multibase,
    /// The key is of another kind than the method says.
    #[error("its key is of another kind than its type says")]
    Kind,
    /// What it holds is not a key.
    #[error(transparent)]
    Key(PublicKeyError),
    /// Its JSON Web Key is malformed.
    #[error(transparent)]
    Jwk(#[from] JwkError),
}
