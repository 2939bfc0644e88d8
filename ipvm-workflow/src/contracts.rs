//! What every implementation of [`ScheduleStore`] has to do, as a function for its tests to call.
//!
//! It panics, with a message, where the contract is broken, and puts what it needs under names of its own.
//!
//! ```
//! # pollster::block_on(async {
//! ipvm_workflow::contracts::schedules(&ipvm_workflow::MemorySchedules::default(), 1).await;
//! # });
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract that is broken is a panic in somebody's test"
)]

use bytes::Bytes;
use ucan_core::{StoreError, block};
use ucan_invocation::TaskId;

use crate::{KeptSchedule, SCHEDULE_STATE, ScheduleStore};

/// The contract of [`ScheduleStore`]; `seed` decides the names.
pub async fn schedules(store: &dyn ScheduleStore, seed: u64) {
    let id = |name: &str| TaskId::new(block::dag_cbor_cid(format!("schedule {seed} {name}").as_bytes()));
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let kept = |version, state: &str| Some(KeptSchedule { version, state: text(state) });
    let before = store.list().await.unwrap();

    assert_eq!(store.get(&id("a")).await.unwrap(), None, "a schedule that was not written");
    assert!(!store.put(&id("a"), 1, text("x")).await.unwrap(), "a version that is not there");
    assert_eq!(store.get(&id("a")).await.unwrap(), None, "what is stale is not written");
    assert!(store.put(&id("a"), 0, text("one")).await.unwrap());
    assert!(!store.put(&id("a"), 0, text("again")).await.unwrap(), "it is there already");
    assert_eq!(store.get(&id("a")).await.unwrap(), kept(1, "one"));
    assert!(store.put(&id("a"), 1, text("two")).await.unwrap());
    assert!(!store.put(&id("a"), 1, text("late")).await.unwrap(), "somebody else was faster");
    assert_eq!(store.get(&id("a")).await.unwrap(), kept(2, "two"));
    assert_eq!(store.get(&id("b")).await.unwrap(), None, "another schedule");

    let large = |length| Bytes::from(vec![7; length]);
    let refused = store.put(&id("large"), 0, large(SCHEDULE_STATE + 1)).await;
    assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "a state that is too large");
    assert_eq!(store.get(&id("large")).await.unwrap(), None, "what is refused is not written");
    assert!(store.put(&id("large"), 0, large(SCHEDULE_STATE)).await.unwrap());
    assert!(store.put(&id("empty"), 0, Bytes::new()).await.unwrap());
    assert_eq!(store.get(&id("empty")).await.unwrap(), kept(1, ""));

    let mut expected = before;
    expected.extend(["a", "large", "empty"].map(id));
    expected.sort_unstable();
    assert_eq!(store.list().await.unwrap(), expected, "all that were written, in order");
}
