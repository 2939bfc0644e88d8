//! Finding the keys of principals whose keys are somewhere else.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use varsig::PublicKey;

use super::{DidKeys, KeyError, Purpose};
use crate::Did;

/// Who finds the keys of a principal, which may mean that a document is fetched.
///
/// # Contract
///
/// The implementer returns every key that the principal has for the purpose *now*, in no particular order, and no other one.
/// Where the document states verification relationships, they are honoured: `capabilityDelegation` for delegations,
/// `capabilityInvocation` for invocations. When the identifier has a fragment, it names one verification method of the document,
/// and only that method's key counts, if it has the purpose; nothing that a fragment does not name is put in its place.
///
/// An answer without keys is an error ([`KeyError::NotAuthorized`]). Whatever is fetched is bounded in size and in time: identifiers
/// come out of tokens of strangers, before anything about them has been verified.
///
/// Whoever fetches documents fetches one for all questions about its principal: [`resolve_all`](Self::resolve_all). Whoever wraps
/// another resolver passes both methods on.
///
/// The caller asks anew when it wants to know anew: [`CachedResolver`](super::CachedResolver) remembers for a while.
#[async_trait]
pub trait DidResolver: fmt::Debug + Send + Sync {
    /// The keys of a principal for a purpose.
    ///
    /// # Errors
    ///
    /// When the principal cannot be resolved, or has no key for the purpose.
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError>;

    /// The answers to several questions about one principal, in their order: the identifiers differ in nothing but their
    /// fragments. Unless the implementer knows better, they are asked one after the other.
    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        let mut answers = Vec::with_capacity(questions.len());
        for (did, purpose) in questions {
            answers.push(self.resolve(did, *purpose).await);
        }
        answers
    }
}

#[async_trait]
impl<T: DidResolver + ?Sized> DidResolver for Arc<T> {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        (**self).resolve(did, purpose).await
    }

    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        (**self).resolve_all(questions).await
    }
}

/// Resolvers by the method of the principal. Principals that are their own key ([`DidKeys`]) need none.
///
/// ```
/// use std::sync::Arc;
/// use ucan_core::{Did, DidResolver, KeyError, Purpose, Resolvers};
/// use varsig::PublicKey;
///
/// /// Knows one principal.
/// #[derive(Debug)]
/// struct Example(PublicKey);
///
/// #[async_trait::async_trait]
/// impl DidResolver for Example {
///     async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
///         match did.as_str() {
///             "did:example:alice" => Ok(vec![self.0.clone()]),
///             _ => Err(KeyError::NotAuthorized { did: did.clone(), purpose }),
///         }
///     }
/// }
///
/// let key = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp".parse::<Did>()?.public_key()?;
/// let resolvers = Resolvers::new().with("example", Arc::new(Example(key)));
/// assert_eq!(resolvers.methods().collect::<Vec<_>>(), ["example"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Resolvers(BTreeMap<String, Arc<dyn DidResolver>>);

impl Resolvers {
    /// Resolves `did:key`, and nothing else yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the resolver of a method, in the place of the one that it had.
    ///
    /// Nobody else says what the key of a principal is that is its own: one for `key` is not added at all, and one for `pkh` is
    /// asked for all accounts except those of Ethereum (`did:pkh:eip155:..`).
    #[must_use]
    pub fn with(mut self, method: impl Into<String>, resolver: Arc<dyn DidResolver>) -> Self {
        let method = method.into();
        if method != "key" {
            self.0.insert(method, resolver);
        }
        self
    }

    /// Who is asked about a principal.
    fn of(&self, did: &Did) -> &dyn DidResolver {
        match self.0.get(did.method()) {
            Some(resolver) if !DidKeys::knows(did) => resolver,
            _ => &DidKeys,
        }
    }

    /// The methods that were added, sorted.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[async_trait]
impl DidResolver for Resolvers {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        self.of(did).resolve(did, purpose).await
    }

    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        match questions.first() {
            Some((did, _)) => self.of(did).resolve_all(questions).await,
            None => Vec::new(),
        }
    }
}
