//! Whatever order tasks finish in, they get the same arguments; and nothing but a promise is taken for one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use ucan_core::{Cid, Command, Did, Ipld, Issuer, block};
use ucan_invocation::{
    Await, Branch, Durability, Filing, MemoryReceipts, Outcome, Receipt, ReceiptStore, Task, TaskId,
};
use ucan_pipeline::{ResolveError, Resolved, awaits, dataflow, is_pending, promises, resolve, resolve_task};
use varsig::ed25519::SigningKey;

fn subject() -> Did {
    "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse().unwrap()
}

fn branch() -> impl Strategy<Value = Branch> {
    prop::sample::select(vec![Branch::Ok, Branch::Error, Branch::Any])
}

/// Tasks, each after those that it awaits: of each, the earlier ones that it awaits, and whether it fails.
type Plan = Vec<(Vec<(usize, Branch)>, bool)>;

fn plan() -> impl Strategy<Value = Plan> {
    let awaited = prop::collection::vec((0_usize..100, branch()), 0..4);
    prop::collection::vec((awaited, prop::bool::weighted(0.2)), 1..20)
}

fn tasks(plan: &Plan) -> Vec<(TaskId, Task)> {
    let mut tasks: Vec<(TaskId, Task)> = Vec::new();
    for (at, (awaited, _)) in plan.iter().enumerate() {
        let mut args: BTreeMap<String, Ipld> = [("number".to_owned(), Ipld::Integer(at as i128))].into();
        for (place, (target, branch)) in awaited.iter().enumerate().filter(|_| at > 0) {
            let promise = Await { branch: *branch, target: tasks[target % at].0 }.to_ipld();
            // At several depths.
            let value = (0..place).fold(promise, |inner, _| Ipld::List(vec![Ipld::Null, inner]));
            args.insert(format!("arg{place}"), value);
        }
        let task = Task::new(subject(), Command::parse("/test/echo").unwrap(), args, vec![]);
        tasks.push((task.id().unwrap(), task));
    }
    tasks
}

/// Runs all tasks, always the one that `choose` says among those that can. A task answers with the hash of its arguments.
fn run(
    plan: &Plan,
    tasks: &[(TaskId, Task)],
    mut choose: impl FnMut(usize) -> usize,
) -> HashMap<TaskId, (Result<Resolved, ResolveError>, Outcome)> {
    let mut done: HashMap<TaskId, (Result<Resolved, ResolveError>, Outcome)> = HashMap::new();
    while done.len() < tasks.len() {
        let able: Vec<_> = (0..tasks.len())
            .filter(|at| !done.contains_key(&tasks[*at].0))
            .filter_map(|at| {
                let outcome_of = |id: &TaskId| done.get(id).map(|(_, outcome)| outcome);
                match resolve_task(&tasks[at].1, &outcome_of) {
                    Err(ResolveError::Unresolved { .. }) => None,
                    resolved => Some((at, resolved)),
                }
            })
            .collect();
        let (at, resolved) = able[choose(able.len())].clone();
        let outcome = match &resolved {
            Err(error) => ucan_invocation::Failure::from(error).into(),
            Ok(Resolved { id, .. }) if plan[at].1 => Outcome::Error(Ipld::String(id.to_string())),
            Ok(Resolved { id, .. }) => Outcome::Ok(Ipld::Bytes(Cid::from(*id).to_bytes())),
        };
        done.insert(tasks[at].0, (resolved, outcome));
    }
    done
}

fn any_value() -> impl Strategy<Value = Ipld> {
    let link = any::<u8>().prop_map(|byte| Ipld::Link(block::dag_cbor_cid(&[byte])));
    let leaf = prop_oneof![Just(Ipld::Null), Just(Ipld::String("await/ok".into())), link];
    let key = prop::sample::select(vec!["await/ok", "await/error", "await/*", "await/", "await", "await/OK", "/", "x"]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Ipld::List),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..3).prop_map(Ipld::Map),
        ]
    })
}

/// Promises, found by the letter of the spec.
fn by_the_letter(value: &Ipld, found: &mut Vec<Ipld>) {
    match value {
        Ipld::Map(map) => {
            for key in ["await/ok", "await/error", "await/*"] {
                if map.len() == 1 && matches!(map.get(key), Some(Ipld::Link(_))) {
                    found.push(value.clone());
                    return;
                }
            }
            map.values().for_each(|value| by_the_letter(value, found));
        }
        Ipld::List(list) => list.iter().for_each(|value| by_the_letter(value, found)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_order_gives_the_same_arguments(plan in plan(), choices in prop::collection::vec(any::<usize>(), 20)) {
        let tasks = tasks(&plan);
        let first = run(&plan, &tasks, |_| 0);
        let last = run(&plan, &tasks, |able| able - 1);
        let mut choices = choices.into_iter();
        let other = run(&plan, &tasks, |able| choices.next().unwrap_or(0) % able);
        prop_assert_eq!(&first, &last);
        prop_assert_eq!(&first, &other);
        for resolved in first.values().filter_map(|(resolved, _)| resolved.as_ref().ok()) {
            prop_assert!(!resolved.task.is_pending());
        }
        let graph = dataflow(tasks.iter().map(|(id, task)| (*id, task))).unwrap();
        prop_assert_eq!(graph.order().count(), tasks.len());
        prop_assert_eq!(graph.elsewhere().count(), 0);
    }

    #[test]
    fn nothing_else_is_a_promise(value in any_value()) {
        let mut expected = Vec::new();
        by_the_letter(&value, &mut expected);
        let args = [("value".to_owned(), value.clone())].into();
        let found: Vec<Ipld> = awaits(&args).map(|promise| promise.to_ipld()).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(promises(&value).iter().map(Await::to_ipld).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_resolved_holds_no_promise(value in any_value(), result in any_value(), succeeds in any::<bool>()) {
        let outcome = if succeeds { Outcome::Ok(result.clone()) } else { Outcome::Error(result.clone()) };
        match resolve(&value, &|_| Some(&outcome)) {
            Ok(resolved) => {
                prop_assert!(!is_pending(&resolved));
                prop_assert!(!is_pending(&value) || !is_pending(&result));
                prop_assert!(is_pending(&value) || resolved == value);
            }
            Err(ResolveError::PromiseInResult { .. }) => {
                prop_assert!(is_pending(&result) || matches!(result, Ipld::Link(_)));
            }
            Err(ResolveError::BranchMismatch { expected, got, .. }) => {
                prop_assert_ne!(expected, got);
                prop_assert_eq!(got == Branch::Ok, succeeds);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn a_receipt_is_found_by_the_promised_and_by_the_resolved_task() {
    let plan = vec![(vec![], false), (vec![(0, Branch::Ok)], false)];
    let tasks = tasks(&plan);
    let done = run(&plan, &tasks, |_| 0);
    let (Ok(resolved), outcome) = &done[&tasks[1].0] else { panic!("resolved") };
    let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let receipt = Receipt::builder(resolved.promised, outcome.clone()).sign(&executor, [0; 16]).unwrap();
    let store = MemoryReceipts::default();
    let filing = Filing { tasks: resolved.ids(), memo: None, inputs: Vec::new(), durability: Durability::Synced };
    pollster::block_on(store.file(&receipt, &filing)).unwrap();
    assert_ne!(resolved.promised, resolved.id);
    for id in [tasks[1].0, resolved.task.id().unwrap()] {
        let found: Vec<_> = pollster::block_on(store.by_task(&id)).unwrap().iter().map(Receipt::id).collect();
        assert_eq!(found, [receipt.id()]);
    }
}

#[test]
fn a_task_cannot_await_itself_but_an_id_can_lie() {
    // By hash it is impossible. Somebody who is told ids instead of computing them finds the cycle.
    let lie = TaskId::new(block::dag_cbor_cid(b"mine"));
    let promise = Await { branch: Branch::Ok, target: lie }.to_ipld();
    let task =
        Task::new(subject(), Command::parse("/test/echo").unwrap(), [("self".to_owned(), promise)].into(), vec![]);
    assert!(dataflow([(lie, &task)]).is_err());
    assert_eq!(dataflow([(task.id().unwrap(), &task)]).unwrap().elsewhere().collect::<Vec<_>>(), [&lie]);
}
