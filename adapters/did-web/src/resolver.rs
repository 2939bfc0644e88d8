//! The resolver of `did:web`.

use std::sync::Arc;

use async_trait::async_trait;
use ucan_core::{Clock, Did, DidResolver, KeyError, Purpose};
use varsig::PublicKey;

use crate::{Document, DocumentError, FetchError, Location, LocationError, Lookup, Options, fetch::Fetcher};

/// Finds the keys of `did:web` principals in the documents that they publish.
///
/// It keeps nothing: each time that it is asked, it fetches the document anew, over a connection of its own; questions that are
/// asked together, as `ucan_core::ResolvedKeys` does, share one document. `ucan_core::CachedResolver` around it remembers answers
/// for a while.
///
/// ```
/// use std::sync::Arc;
/// use ipvm_did_web::{DidWeb, Options, SystemLookup};
/// use ucan_core::{Resolvers, SystemClock};
///
/// let web = DidWeb::new(Arc::new(SystemClock), Arc::new(SystemLookup), Options::default())?;
/// let resolvers = Resolvers::new().with("web", Arc::new(web));
/// # Ok::<(), ipvm_did_web::FetchError>(())
/// ```
#[derive(Debug)]
pub struct DidWeb {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
}

impl DidWeb {
    /// A resolver that judges certificates and keys by a clock and finds addresses by a lookup.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(clock: Arc<dyn Clock>, lookup: Arc<dyn Lookup>, options: Options) -> Result<Self, FetchError> {
        Ok(Self { fetcher: Fetcher::new(clock.clone(), lookup, options)?, clock })
    }

    /// Fetches the document of a principal, and reads it. Fragments are ignored.
    ///
    /// # Errors
    ///
    /// When there is no place to look, nothing could be fetched from there, or what was fetched is not the document of this
    /// principal.
    pub async fn document(&self, did: &Did) -> Result<Document, DidWebError> {
        let json = self.fetcher.fetch(Location::of(did)?).await?;
        Ok(Document::parse(did, &json)?)
    }

    /// What a document, or the lack of one, says about a question.
    fn answer(&self, document: &Result<Document, DidWebError>, did: &Did, purpose: Purpose) -> Keys {
        match document {
            Ok(document) => document.keys(did, purpose, self.clock.now()),
            Err(DidWebError::Location(LocationError::Method)) => Err(KeyError::UnsupportedMethod { did: did.clone() }),
            Err(error) => Err(KeyError::Unresolved { did: did.clone(), detail: error.to_string() }),
        }
    }
}

type Keys = Result<Vec<PublicKey>, KeyError>;

#[async_trait]
impl DidResolver for DidWeb {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Keys {
        self.answer(&self.document(did).await, did, purpose)
    }

    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Keys> {
        let Some((principal, _)) = questions.first() else {
            return Vec::new();
        };
        let document = self.document(principal).await;
        questions.iter().map(|(did, purpose)| self.answer(&document, did, *purpose)).collect()
    }
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DidWebError {
    /// The identifier does not say where the document is.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Nothing could be fetched from there.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is not the principal's document.
    #[error(transparent)]
    Document(#[from] DocumentError),
}
