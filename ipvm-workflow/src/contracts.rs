//! What every implementation of [`ScheduleStore`] and of [`Journal`] has to do, as functions for its tests to call.
//!
//! They panic, with a message, where the contract is broken, and put what they need under names of their own.
//!
//! ```
//! # pollster::block_on(async {
//! ipvm_workflow::contracts::journal(&ipvm_workflow::MemoryJournal::default(), 1).await;
//! ipvm_workflow::contracts::schedules(&ipvm_workflow::MemorySchedules::default(), 1).await;
//! # });
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract that is broken is a panic in somebody's test"
)]

use bytes::Bytes;
use ucan_core::{Cid, StoreError, Timestamp, block};
use ucan_invocation::{ReceiptId, TaskId};

use crate::{Entry, Journal, KeptSchedule, OpenRun, SCHEDULE_STATE, ScheduleStore};

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

/// The contract of [`Journal`]; `seed` decides the names.
pub async fn journal(journal: &dyn Journal, seed: u64) {
    let cid = |name: &str| block::dag_cbor_cid(format!("journal {seed} {name}").as_bytes());
    let task = |name: &str| TaskId::new(cid(name));
    let append = async |entry: Entry| journal.append(&entry).await.unwrap();
    let (workflow, request) = (cid("workflow"), cid("request"));
    let start = |run: TaskId, handover: Option<Cid>, at: Option<u64>| {
        let at = at.and_then(Timestamp::from_secs);
        let open = OpenRun { workflow, request, handover, cancelled: false, at };
        (Entry::Started { run, workflow, request, handover, at }, open)
    };
    let before = journal.unfinished().await.unwrap();

    let (one, two) = (task("one"), task("two"));
    assert_eq!(journal.open(&one).await.unwrap(), None, "a run that was not started");
    let (started, open) = start(one, None, Some(7));
    append(started).await;
    assert_eq!(journal.open(&one).await.unwrap(), Some(open));
    let (started, handed) = start(two, Some(cid("handover")), None);
    append(started).await;
    assert_eq!(journal.open(&two).await.unwrap(), Some(handed), "it says where it came from, and not since when");

    assert!(!journal.intended(&task("act")).await.unwrap(), "what was not begun");
    append(Entry::Intent { run: one, task: task("act") }).await;
    append(Entry::Intent { run: two, task: task("act") }).await;
    assert!(journal.intended(&task("act")).await.unwrap());
    assert!(!journal.intended(&one).await.unwrap(), "a run is not a task that was begun");

    assert_eq!(journal.sent(&task("act")).await.unwrap(), None, "what nobody was asked for");
    for invocation in ["first", "second"] {
        append(Entry::Sent { run: one, task: task("act"), invocation: cid(invocation) }).await;
        assert_eq!(journal.sent(&task("act")).await.unwrap(), Some(cid(invocation)), "the last one counts");
    }
    assert_eq!(journal.sent(&task("other")).await.unwrap(), None);
    assert!(!journal.intended(&task("other")).await.unwrap());

    append(Entry::Cancelled { run: one }).await;
    assert_eq!(journal.open(&one).await.unwrap(), Some(OpenRun { cancelled: true, ..open }));
    assert_eq!(journal.open(&two).await.unwrap(), Some(handed), "another run");
    let mut expected = before.clone();
    expected.extend([one, two]);
    let sorted = |mut runs: Vec<TaskId>| {
        runs.sort_unstable();
        runs
    };
    assert_eq!(sorted(journal.unfinished().await.unwrap()), sorted(expected));

    append(Entry::Finished { run: one, receipt: ReceiptId::new(cid("receipt")) }).await;
    assert_eq!(journal.open(&one).await.unwrap(), None, "it is over");
    assert_eq!(journal.handed_over(&two).await.unwrap(), None);
    append(Entry::HandedOver { run: two, handover: cid("onward") }).await;
    assert_eq!(journal.open(&two).await.unwrap(), None, "somebody else has it");
    assert_eq!(journal.handed_over(&two).await.unwrap(), Some(cid("onward")));
    assert_eq!(sorted(journal.unfinished().await.unwrap()), sorted(before));
    assert!(journal.intended(&task("act")).await.unwrap(), "what was begun stays written down");
    assert_eq!(journal.sent(&task("act")).await.unwrap(), Some(cid("second")));
}
