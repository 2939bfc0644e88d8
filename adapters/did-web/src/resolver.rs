//! The resolver of `did:web`.

use std::sync::Arc;

use async_trait::async_trait;
use ucan_core::{Clock, Did, DidResolver, KeyError, Purpose};
use varsig::PublicKey;

use crate::{Document, DocumentError, FetchError, Location, LocationError, Lookup, Options, fetch::Fetcher};

/// Finds the keys of `did:web` principals in the documents that they publish.
///
/// It keeps nothing: each question fetches the document anew, over a connection of its own. `ucan_core::CachedResolver` around it
/// remembers answers for a while.
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
}

impl DidWeb {
    /// A resolver that judges certificates by a clock and finds addresses by a lookup.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(clock: Arc<dyn Clock>, lookup: Arc<dyn Lookup>, options: Options) -> Result<Self, FetchError> {
        Ok(Self { fetcher: Fetcher::new(clock, lookup, options)? })
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
}

#[async_trait]
impl DidResolver for DidWeb {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        let document = self.document(did).await.map_err(|error| match error {
            DidWebError::Location(LocationError::Method) => KeyError::UnsupportedMethod { did: did.clone() },
            error => KeyError::Unresolved { did: did.clone(), detail: error.to_string() },
        })?;
        document.keys(did, purpose)
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
