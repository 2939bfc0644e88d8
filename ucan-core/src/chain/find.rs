//! Finding a chain among the delegations in a store.

use super::{Context, Found, NoChain, ProofSearch, Request};
use crate::{DelegationStore, Did, StoreError};

/// Finds the shortest chain in a store that authorises a request, as [`search`](super::search) does in a slice.
///
/// The store is asked only for the delegations of principals that are reached on the way from the invoker to the subject, and of
/// theirs only for those about the subject and powerlines: how many others it holds makes no difference. At most 4096 signatures
/// are verified.
///
/// ```
/// use ucan_core::{Context, Delegation, DelegationStore, DidKeys, Ipld, Issuer, MemoryDelegations, Request, Timestamp, find};
/// use varsig::ed25519::SigningKey;
///
/// # pollster::block_on(async {
/// let [alice, bob] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let store = MemoryDelegations::new();
/// store.put(&Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?).sign(&alice)?).await?;
///
/// let (command, args) = ("/msg/send".parse()?, Ipld::Map(Default::default()));
/// let request = Request { invoker: bob.did(), subject: alice.did(), command: &command, args: &args };
/// let found = find(&store, &request, &Context::new(Timestamp::EPOCH, &DidKeys)).await?;
/// assert_eq!(found.proofs.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// [`FindError::NoChain`] when there is none: what is missing, and which delegation would have come closest.
/// [`FindError::Store`] when the store fails.
pub async fn find(store: &dyn DelegationStore, request: &Request<'_>, ctx: &Context<'_>) -> Result<Found, FindError> {
    let mut search = ProofSearch::new(*request, *ctx);
    while let Some(holder) = search.wanted() {
        let Ok(holder) = Did::parse(holder) else { break };
        search.supply(store.granted(&holder, request.subject).await?);
    }
    Ok(search.outcome()?)
}

/// Why no chain was found in a store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// There is none.
    #[error(transparent)]
    NoChain(#[from] NoChain),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
