//! What every implementation of [`ChannelStore`] has to do, as functions for its tests to call.
//!
//! Each panics, with a message, where the contract is broken. They put what they need under names of their own.
//!
//! ```
//! # pollster::block_on(async {
//! ucan_chan::contracts::channels(&ucan_chan::MemoryChannels::default(), 1).await;
//! # });
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract that is broken is a panic in somebody's test"
)]

use bytes::Bytes;
use futures_util::future::join_all;
use ucan_core::{Cid, StoreError, block};

use crate::{CHANGES, Change, ChannelStore, Commit, Kept, STATE};

/// The contract of [`ChannelStore`]; `seed` decides the names.
pub async fn channels(store: &dyn ChannelStore, seed: u64) {
    let id = |name: &str| block::dag_cbor_cid(format!("channel {seed} {name}").as_bytes());
    let change = |name: &str, from: u64, state: &str| Change { id: id(name), from, state: text(state) };
    let kept = |version, state: &str| Some(Kept { version, state: text(state) });

    assert_eq!(store.get(&id("a")).await.unwrap(), None, "a channel that was not written");
    assert_eq!(store.commit(vec![change("a", 1, "x")]).await.unwrap(), Commit::Stale, "a version that is not there");
    assert_eq!(store.get(&id("a")).await.unwrap(), None, "what is stale is not written");
    assert_eq!(store.commit(vec![change("a", 0, "one")]).await.unwrap(), Commit::Done);
    assert_eq!(store.get(&id("a")).await.unwrap(), kept(1, "one"));
    assert_eq!(store.commit(vec![change("a", 0, "again")]).await.unwrap(), Commit::Stale, "it is there already");
    assert_eq!(store.commit(vec![change("a", 1, "two")]).await.unwrap(), Commit::Done);
    assert_eq!(store.commit(vec![change("a", 1, "late")]).await.unwrap(), Commit::Stale);
    assert_eq!(store.get(&id("a")).await.unwrap(), kept(2, "two"));
    assert_eq!(store.commit(Vec::new()).await.unwrap(), Commit::Done, "nothing at all");

    // As a whole, or not at all.
    let both = |from| vec![change("b", 0, "new"), change("a", from, "three")];
    assert_eq!(store.commit(both(1)).await.unwrap(), Commit::Stale);
    assert_eq!(store.get(&id("b")).await.unwrap(), None, "half of a commit is written");
    assert_eq!(store.commit(both(2)).await.unwrap(), Commit::Done);
    assert_eq!(store.get(&id("b")).await.unwrap(), kept(1, "new"));
    assert_eq!(store.get(&id("a")).await.unwrap(), kept(3, "three"));

    // Bounds.
    let large = |length| Change { id: id("large"), from: 0, state: Bytes::from(vec![7; length]) };
    let refused = |result| matches!(result, Err(StoreError::Unsupported { .. }));
    assert!(refused(store.commit(vec![large(STATE + 1)]).await), "a state that is too large");
    assert!(refused(store.commit(vec![change("c", 0, "x"), change("c", 0, "y")]).await), "a channel twice");
    let many: Vec<Change> = (0..=CHANGES).map(|at| change(&format!("many {at}"), 0, "x")).collect();
    assert!(refused(store.commit(many.clone()).await), "too many channels");
    for refused in [id("large"), id("c"), id("many 0")] {
        assert_eq!(store.get(&refused).await.unwrap(), None, "what is refused is not written");
    }
    assert_eq!(store.commit(many.into_iter().take(CHANGES).collect()).await.unwrap(), Commit::Done);
    assert_eq!(store.commit(vec![large(STATE), change("empty", 0, "")]).await.unwrap(), Commit::Done);
    assert_eq!(store.get(&id("large")).await.unwrap().unwrap().state.len(), STATE);
    assert_eq!(store.get(&id("empty")).await.unwrap(), kept(1, ""));

    // Of many who change one version, one succeeds.
    for round in 0..4 {
        let results = join_all((0..20).map(|at| {
            let change = change("race", round, &format!("{at}"));
            async move { (at, store.commit(vec![change]).await.unwrap()) }
        }))
        .await;
        let done: Vec<u64> = results.iter().filter(|(_, result)| *result == Commit::Done).map(|(at, _)| *at).collect();
        assert_eq!(done.len(), 1, "of many who change one version, one succeeds");
        assert_eq!(store.get(&id("race")).await.unwrap(), kept(round + 1, &format!("{}", done[0])));
    }
    counters(store, [id("left"), id("right")]).await;
}

/// Many add to two counters at once, trying again where they were too late: nothing is lost, and the two never differ.
async fn counters(store: &dyn ChannelStore, ids: [Cid; 2]) {
    let add = || async {
        loop {
            let mut changes = Vec::new();
            for id in ids {
                let kept = store.get(&id).await.unwrap();
                let value: u64 = kept.as_ref().map_or(0, |kept| number(&kept.state));
                let from = kept.map_or(0, |kept| kept.version);
                changes.push(Change { id, from, state: text(&(value + 1).to_string()) });
            }
            if store.commit(changes).await.unwrap() == Commit::Done {
                break;
            }
        }
    };
    join_all((0..20).map(|_| add())).await;
    for id in ids {
        let kept = store.get(&id).await.unwrap().unwrap();
        assert_eq!((kept.version, number(&kept.state)), (20, 20), "a change was lost");
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn number(state: &[u8]) -> u64 {
    std::str::from_utf8(state).unwrap().parse().unwrap()
}
