//! DID documents: which keys a principal has, and what for.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use ucan_core::{Did, KeyError, Purpose};
use varsig::{PublicKey, PublicKeyError};

use crate::jwk::{Jwk, JwkError};

/// The keys in a DID document (DID Core 1.0, section 5).
///
/// The document is read as JSON; `@context` plays no part. What is unknown is passed over: members, kinds of verification methods
/// and of keys. What is known has to be right.
///
/// ```
/// use ipvm_did_web::Document;
/// use ucan_core::{Did, Purpose};
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
/// assert_eq!(document.keys(&alice, Purpose::Invocation)?.len(), 1);
/// assert!(document.keys(&alice, Purpose::Delegation).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    /// Whose document it is, without a fragment.
    principal: String,
    /// Keys by the full id of their verification method.
    general: BTreeMap<String, PublicKey>,
    delegation: Option<BTreeMap<String, PublicKey>>,
    invocation: Option<BTreeMap<String, PublicKey>>,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default, rename = "verificationMethod")]
    methods: Vec<Method>,
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
}

impl Document {
    /// Reads the document of a principal, whose fragment plays no part.
    ///
    /// # Errors
    ///
    /// When it is not JSON in the form of a DID document, is about somebody else, or holds a malformed key.
    pub fn parse(did: &Did, json: &[u8]) -> Result<Self, DocumentError> {
        let raw: Raw =
            serde_json::from_slice(json).map_err(|error| DocumentError::Json { detail: error.to_string() })?;
        let principal = did.principal().to_owned();
        if raw.id != principal {
            return Err(DocumentError::OtherSubject { id: raw.id });
        }
        let mut document = Self { principal, general: BTreeMap::new(), delegation: None, invocation: None };
        let mut ids = Vec::new();
        for method in &raw.methods {
            let id = document.full_id(&method.id)?;
            if let Some(key) = document.key(method, &id)? {
                document.general.insert(id.clone(), key);
            }
            ids.push(id);
        }
        ids.sort();
        if let Some(id) = ids.windows(2).find_map(|pair| pair.first().filter(|id| pair.last() == Some(id))) {
            return Err(DocumentError::Twice { id: id.clone() });
        }
        document.delegation = document.relationship(raw.delegation)?;
        document.invocation = document.relationship(raw.invocation)?;
        Ok(document)
    }

    /// The keys for a purpose; only that of the verification method which the fragment names, where `did` has one.
    ///
    /// Keys for delegations are those under `capabilityDelegation`, keys for invocations those under `capabilityInvocation`. Where
    /// the document states neither, it leaves open what its keys are for, and all keys under `verificationMethod` serve both. One
    /// that states only one of the two has no keys for the other.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAuthorized`] when there is no such key.
    pub fn keys(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        let none = || KeyError::NotAuthorized { did: did.clone(), purpose };
        let keys = match (&self.delegation, &self.invocation) {
            (None, None) => &self.general,
            (delegation, invocation) => {
                let stated = if purpose == Purpose::Delegation { delegation } else { invocation };
                stated.as_ref().ok_or_else(none)?
            }
        };
        if did.principal() != self.principal {
            return Err(none());
        }
        let keys: Vec<PublicKey> = match did.fragment() {
            Some(_) => keys.get(did.as_str()).into_iter().cloned().collect(),
            None => keys.values().cloned().collect(),
        };
        if keys.is_empty() { Err(none()) } else { Ok(keys) }
    }

    /// The keys of a relationship. What it refers to and is not here serves nothing: keys in the documents of others are not
    /// fetched.
    fn relationship(&self, entries: Option<Vec<Entry>>) -> Result<Option<BTreeMap<String, PublicKey>>, DocumentError> {
        let Some(entries) = entries else {
            return Ok(None);
        };
        let mut keys = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Reference(reference) if self.is_foreign(&reference) => {}
                Entry::Reference(reference) => {
                    let id = self.full_id(&reference)?;
                    keys.extend(self.general.get_key_value(&id).map(|(id, key)| (id.clone(), key.clone())));
                }
                Entry::Embedded(method) => {
                    let id = self.full_id(&method.id)?;
                    if let Some(key) = self.key(&method, &id)?
                        && (self.general.contains_key(&id) || keys.insert(id.clone(), key).is_some())
                    {
                        return Err(DocumentError::Twice { id });
                    }
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
            _ => Err(DocumentError::Id { id: id.to_owned() }),
        }
    }

    /// The key of a method; nothing if it is of a kind that is not known, or under the control of somebody else.
    fn key(&self, method: &Method, id: &str) -> Result<Option<PublicKey>, DocumentError> {
        let wrong = |source: MethodError| DocumentError::Method { id: id.to_owned(), source };
        if method.controller != self.principal {
            return Ok(None);
        }
        match (&method.multibase, &method.jwk) {
            (Some(_), Some(_)) => Err(wrong(MethodError::TwoKeys)),
            (Some(text), None) => multikey(&method.kind, text).map_err(wrong),
            (None, Some(jwk)) => jwk.public_key().map_err(|error| wrong(error.into())),
            (None, None) => Ok(None),
        }
    }
}

/// The key in `publicKeyMultibase`, which is written as in a `did:key`.
fn multikey(kind: &str, text: &str) -> Result<Option<PublicKey>, MethodError> {
    const ED25519: u64 = 0xed;
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

/// Why a DID document was not accepted.
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
