//! What waits, for what, and until when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ucan_core::{Command, Did, Ipld, Timestamp, block};
use ucan_invocation::{Await, Branch, Task, TaskId};
use ucan_pipeline::{Resolver, Waiting, WaitingError, WaitingLimits};

fn id(number: u8) -> TaskId {
    TaskId::new(block::dag_cbor_cid(&[number]))
}

fn at(secs: u64) -> Timestamp {
    Timestamp::EPOCH.saturating_add(secs)
}

fn task(awaited: &[u8]) -> Task {
    let promises = awaited.iter().map(|of| Await { branch: Branch::Any, target: id(*of) }.to_ipld()).collect();
    let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse().unwrap();
    Task::new(subject, Command::parse("/test/echo").unwrap(), [("all".to_owned(), Ipld::List(promises))].into(), vec![])
}

fn events(resolver: &mut Resolver) -> Vec<Waiting> {
    std::iter::from_fn(|| resolver.poll()).collect()
}

fn limits(tasks: usize, promises: usize) -> WaitingLimits {
    let mut limits = WaitingLimits::default();
    (limits.tasks, limits.promises) = (tasks, promises);
    limits
}

#[test]
fn interests_are_told_once_and_given_up() {
    let mut resolver = Resolver::new(WaitingLimits::default());
    let none = |_: &TaskId| false;
    resolver.handle_task(id(10), &task(&[2, 1, 2]), at(5), &none).unwrap();
    assert_eq!(events(&mut resolver), [Waiting::Awaited(id(2)), Waiting::Awaited(id(1))]);
    resolver.handle_task(id(11), &task(&[1]), at(9), &none).unwrap();
    resolver.handle_task(id(12), &task(&[3]), at(9), &|of| *of == id(3)).unwrap();
    assert_eq!(events(&mut resolver), [Waiting::Ready(id(12))]);
    // The deadline itself is still in time.
    assert_eq!(resolver.poll_timeout(), Some(at(5)));
    resolver.handle_timeout(at(5));
    assert_eq!(events(&mut resolver), []);
    resolver.handle_timeout(at(6));
    assert_eq!(events(&mut resolver), [Waiting::Late(id(10)), Waiting::Forgotten(id(2))]);
    // Asked for again, it would wait for longer.
    resolver.handle_task(id(11), &task(&[1]), at(20), &none).unwrap();
    resolver.handle_task(id(11), &task(&[1]), at(15), &none).unwrap();
    assert_eq!((resolver.len(), resolver.poll_timeout()), (1, Some(at(20))));
    resolver.handle_cancelled(&id(11));
    assert_eq!(events(&mut resolver), [Waiting::Forgotten(id(1))]);
    assert_eq!((resolver.is_empty(), resolver.poll_timeout()), (true, None));
}

#[test]
fn limits_leave_everything_as_it_was() {
    let none = |_: &TaskId| false;
    let mut resolver = Resolver::new(limits(1, 3));
    assert_eq!(
        resolver.handle_task(id(10), &task(&[1, 2, 3, 4]), at(5), &none),
        Err(WaitingError::Promises { limit: 3 })
    );
    assert!(resolver.is_empty() && resolver.poll().is_none());
    resolver.handle_task(id(10), &task(&[1, 2, 1, 2]), at(5), &none).unwrap();
    assert_eq!(resolver.handle_task(id(11), &task(&[3]), at(5), &none), Err(WaitingError::Tasks { limit: 1 }));
    assert_eq!(resolver.handle_task(id(12), &task(&[3, 4]), at(5), &none), Err(WaitingError::Promises { limit: 3 }));
    // What need not wait takes no room.
    resolver.handle_task(id(13), &task(&[]), at(5), &none).unwrap();
    events(&mut resolver);
    resolver.handle_outcome(&id(1));
    resolver.handle_outcome(&id(2));
    assert_eq!(events(&mut resolver), [Waiting::Ready(id(10))]);
    resolver.handle_task(id(11), &task(&[3, 4, 5]), at(5), &none).unwrap();
}

#[derive(Clone, Debug)]
enum Input {
    Task(u8, Vec<u8>, u64),
    Outcome(u8),
    Cancelled(u8),
    Later(u64),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => (10_u8..20, prop::collection::vec(0_u8..14, 0..5), 0_u64..30).prop_map(|(id, of, span)| Input::Task(id, of, span)),
        3 => (0_u8..14).prop_map(Input::Outcome),
        1 => (10_u8..20).prop_map(Input::Cancelled),
        1 => (0_u64..10).prop_map(Input::Later),
    ]
}

proptest! {
    /// The model keeps only what waits, and computes all else from that each time.
    #[test]
    fn it_does_what_a_simple_model_does(inputs in prop::collection::vec(input(), 0..60)) {
        let mut resolver = Resolver::new(WaitingLimits::default());
        let (mut now, mut known) = (0, BTreeSet::new());
        let mut waiting: BTreeMap<u8, (BTreeSet<u8>, u64)> = BTreeMap::new();
        for input in inputs {
            let before: BTreeSet<u8> = waiting.values().flat_map(|(missing, _)| missing.clone()).collect();
            let (mut ready, mut late) = (BTreeSet::new(), BTreeSet::new());
            let mut outcome = None;
            match input {
                Input::Task(number, awaited, span) => {
                    resolver.handle_task(id(number), &task(&awaited), at(now + span), &|of| {
                        known.iter().any(|number| id(*number) == *of)
                    }).unwrap();
                    let missing: BTreeSet<u8> = awaited.into_iter().filter(|of| !known.contains(of)).collect();
                    if let Some((_, deadline)) = waiting.get_mut(&number) {
                        *deadline = (*deadline).max(now + span);
                    } else if missing.is_empty() {
                        ready.insert(number);
                    } else {
                        waiting.insert(number, (missing, now + span));
                    }
                }
                Input::Outcome(of) => {
                    known.insert(of);
                    outcome = Some(of);
                    resolver.handle_outcome(&id(of));
                    for (number, (missing, _)) in &mut waiting {
                        if missing.remove(&of) && missing.is_empty() {
                            ready.insert(*number);
                        }
                    }
                    waiting.retain(|_, (missing, _)| !missing.is_empty());
                }
                Input::Cancelled(number) => {
                    resolver.handle_cancelled(&id(number));
                    waiting.remove(&number);
                }
                Input::Later(span) => {
                    now += span;
                    resolver.handle_timeout(at(now));
                    late = waiting.iter().filter(|(_, (_, deadline))| *deadline < now).map(|(number, _)| *number).collect();
                    waiting.retain(|_, (_, deadline)| *deadline >= now);
                }
            }
            let after: BTreeSet<u8> = waiting.values().flat_map(|(missing, _)| missing.clone()).collect();
            let expected: Vec<String> = [
                ready.iter().map(|number| Waiting::Ready(id(*number))).collect::<Vec<_>>(),
                late.iter().map(|number| Waiting::Late(id(*number))).collect(),
                after.difference(&before).map(|number| Waiting::Awaited(id(*number))).collect(),
                before.difference(&after).filter(|of| Some(**of) != outcome).map(|number| Waiting::Forgotten(id(*number))).collect(),
            ].concat().iter().map(|event| format!("{event:?}")).collect();
            let found: Vec<String> = events(&mut resolver).iter().map(|event| format!("{event:?}")).collect();
            prop_assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(resolver.len(), waiting.len());
            prop_assert_eq!(resolver.poll_timeout(), waiting.values().map(|(_, deadline)| at(*deadline)).min());
        }
    }
}
