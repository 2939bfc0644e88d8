//! Where delegations are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{Cid, Delegation, Did};

/// A place for delegations.
///
/// # Contract
///
/// Once [`put`](Self::put) has returned, the delegation is found by its CID and by its audience, with the bytes that were
/// put. Putting it again changes nothing. The implementer does not look at signatures, times or revocations: whoever takes
/// delegations out validates them.
///
/// ```
/// use ucan_core::{Command, Delegation, DelegationStore, Issuer, MemoryDelegations};
/// use varsig::ed25519::SigningKey;
///
/// # pollster::block_on(async {
/// let [alice, bob] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), Command::top()).sign(&alice)?;
/// let store = MemoryDelegations::new();
/// store.put(&grant).await?;
/// assert_eq!(store.get(grant.cid()).await?, Some(grant.clone()));
/// assert_eq!(store.granted(bob.did(), alice.did()).await?, [grant]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[async_trait]
pub trait DelegationStore: fmt::Debug + Send + Sync {
    /// Keeps a delegation.
    ///
    /// # Errors
    ///
    /// When it could not be stored.
    async fn put(&self, delegation: &Delegation) -> Result<(), StoreError>;

    /// The delegation with a CID, if it is here.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn get(&self, cid: &Cid) -> Result<Option<Delegation>, StoreError>;

    /// All delegations to a principal, fragments ignored, in the order of their CIDs.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn for_audience(&self, audience: &Did) -> Result<Vec<Delegation>, StoreError>;

    /// Of the delegations to a principal those about a subject, and powerlines; fragments ignored, in the order of their CIDs.
    ///
    /// This is what a [search for proofs](crate::find) asks at each step, so that it has to be an index's work.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn granted(&self, audience: &Did, subject: &Did) -> Result<Vec<Delegation>, StoreError>;
}

#[async_trait]
impl<T: DelegationStore + ?Sized> DelegationStore for Arc<T> {
    async fn put(&self, delegation: &Delegation) -> Result<(), StoreError> {
        (**self).put(delegation).await
    }

    async fn get(&self, cid: &Cid) -> Result<Option<Delegation>, StoreError> {
        (**self).get(cid).await
    }

    async fn for_audience(&self, audience: &Did) -> Result<Vec<Delegation>, StoreError> {
        (**self).for_audience(audience).await
    }

    async fn granted(&self, audience: &Did, subject: &Did) -> Result<Vec<Delegation>, StoreError> {
        (**self).granted(audience, subject).await
    }
}

/// Delegations in memory.
#[derive(Default)]
pub struct MemoryDelegations(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_cid: BTreeMap<Cid, Delegation>,
    /// By audience, and then by subject; powerlines are under the empty one.
    index: BTreeMap<String, BTreeMap<String, BTreeSet<Cid>>>,
}

impl Kept {
    /// The delegations with these CIDs, in the order of the CIDs.
    fn in_order<'a>(&self, cids: impl Iterator<Item = &'a Cid>) -> Vec<Delegation> {
        let cids: BTreeSet<&Cid> = cids.collect();
        cids.into_iter().filter_map(|cid| self.by_cid.get(cid).cloned()).collect()
    }
}

impl MemoryDelegations {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves at most a delegation that is not in the index yet.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryDelegations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDelegations").field("len", &self.kept().by_cid.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl DelegationStore for MemoryDelegations {
    async fn put(&self, delegation: &Delegation) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let cid = *delegation.cid();
        kept.by_cid.insert(cid, delegation.clone());
        let subject = delegation.subject().map_or("", Did::principal).to_owned();
        let of_audience = kept.index.entry(delegation.audience().principal().to_owned()).or_default();
        of_audience.entry(subject).or_default().insert(cid);
        Ok(())
    }

    async fn get(&self, cid: &Cid) -> Result<Option<Delegation>, StoreError> {
        Ok(self.kept().by_cid.get(cid).cloned())
    }

    async fn for_audience(&self, audience: &Did) -> Result<Vec<Delegation>, StoreError> {
        let kept = self.kept();
        let subjects = kept.index.get(audience.principal()).into_iter().flat_map(BTreeMap::values);
        Ok(kept.in_order(subjects.flatten()))
    }

    async fn granted(&self, audience: &Did, subject: &Did) -> Result<Vec<Delegation>, StoreError> {
        let kept = self.kept();
        let of_audience = kept.index.get(audience.principal());
        let about = |subject: &str| of_audience.and_then(|subjects| subjects.get(subject)).into_iter().flatten();
        Ok(kept.in_order(about(subject.principal()).chain(about(""))))
    }
}

/// Why a store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The medium failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// How it failed.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// What is stored is not what was put.
    #[error("{what} is corrupt: {detail}")]
    Corrupt {
        /// What was being read.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The store cannot do this.
    #[error("this store does not support {what}")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// The store was closed, or stopped after a failure.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The medium failed while something was being done.
    pub fn io(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Io { what: what.into(), source: source.into().into() }
    }

    /// What is stored is not what was put.
    pub fn corrupt(what: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), detail: detail.to_string() }
    }

    /// The store cannot do this.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
