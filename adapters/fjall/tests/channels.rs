//! Channels in the embedded store: many spenders at once, and what is there after it was closed and opened again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use ipvm_fjall::FjallStore;
use ucan_chan::{ChannelError, Meter, Open, Purse, Terms, Till, TillError};
use ucan_core::{Context, Delegation, DidKeys, Issuer, Timestamp, block};
use ucan_invocation::TaskId;
use varsig::ed25519::SigningKey;

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

async fn open(till: &Till, holder: &Issuer, chain: &[Delegation]) -> Result<Purse, TillError> {
    let terms = Terms::read(chain).unwrap();
    let open = Open::sign(holder, &terms, 60).unwrap();
    till.open(open.bytes(), chain, &Context::new(Timestamp::EPOCH, &DidKeys)).await?;
    Ok(Purse::new(terms))
}

/// Delegations come to twice of what there is. Those that are opened spend all they have, no more is charged than was funded, and
/// all of it is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_spenders_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (provider, funder) = (issuer(1), issuer(2));
    let offer = Terms::offer(provider.did(), funder.did().clone(), "gas".parse().unwrap(), 1_000, Timestamp::MAX);
    let root = offer.unwrap().nonce(vec![0; 12]).sign(&provider).unwrap();
    let store = FjallStore::open(&path).unwrap();
    let till = Till::new(Arc::new(store.clone()), provider.did().clone(), 1);
    let above = open(&till, &funder, std::slice::from_ref(&root)).await.unwrap();
    let mut spenders = tokio::task::JoinSet::new();
    for seed in 100..200_u8 {
        let (till, holder) = (till.clone(), issuer(seed));
        let share = above.terms().share(holder.did().clone(), 20).unwrap();
        let chain = vec![root.clone(), share.nonce(vec![seed; 12]).sign(&funder).unwrap()];
        spenders.spawn(async move {
            let mut purse = match open(&till, &holder, &chain).await {
                Ok(purse) => purse,
                Err(TillError::Channel(ChannelError::Exhausted { .. })) => return None,
                Err(error) => panic!("{error}"),
            };
            let task = TaskId::new(block::dag_cbor_cid(&[seed]));
            while let Ok(draft) = purse.reserve(task, 7) {
                let voucher = draft.sign(&holder, purse.terms()).unwrap();
                till.draw(voucher.bytes(), &DidKeys, Timestamp::EPOCH).await.unwrap();
                let reserved = till.reserve(purse.terms().id(), task, 7, Timestamp::EPOCH).await.unwrap();
                let charge = till.charge(reserved, 5).await.unwrap();
                till.filed(&charge);
                purse.settled(7, &charge).unwrap();
            }
            Some(purse)
        });
    }
    let purses: Vec<Purse> = spenders.join_all().await.into_iter().flatten().collect();
    assert_eq!(purses.len(), 50, "half of them could open");
    assert!(store.check().await.unwrap().is_sound());
    drop((till, store));

    let store = FjallStore::open(&path).unwrap();
    let till = Till::new(Arc::new(store.clone()), provider.did().clone(), 2);
    assert_eq!(till.channel(above.terms().id()).await.unwrap().left(), 0);
    for purse in purses {
        let channel = till.channel(purse.terms().id()).await.unwrap();
        let held = (channel.sequence(), channel.total(), channel.charged());
        assert_eq!(held, (purse.sequence(), purse.total(), purse.charged()));
        assert_eq!((channel.charged(), channel.reserved()), (15, 0));
    }
}
