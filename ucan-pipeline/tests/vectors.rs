//! The vectors under `fixtures/pipeline`, which other implementations can use.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ucan_core::{Command, Did, Ipld, dagjson};
use ucan_invocation::{Failure, Outcome, Task, TaskId};
use ucan_pipeline::{Bounds, Graph, GraphError, awaits, resolve_args, resolve_task};

fn cases(json: &str) -> Vec<BTreeMap<String, Ipld>> {
    let Ok(Some(Ipld::List(cases))) = dagjson::decode(json.as_bytes()).unwrap().take("cases") else {
        panic!("no cases")
    };
    cases.iter().map(|case| map(case).clone()).collect()
}

fn map(value: &Ipld) -> &BTreeMap<String, Ipld> {
    let Ipld::Map(map) = value else { panic!("no map: {value:?}") };
    map
}

fn list(value: &Ipld) -> &[Ipld] {
    let Ipld::List(list) = value else { panic!("no list: {value:?}") };
    list
}

fn text(value: &Ipld) -> &str {
    let Ipld::String(text) = value else { panic!("no string: {value:?}") };
    text
}

fn texts(value: &Ipld) -> Vec<&str> {
    list(value).iter().map(text).collect()
}

fn number(value: &Ipld) -> usize {
    let Ipld::Integer(number) = value else { panic!("no number: {value:?}") };
    (*number).try_into().unwrap()
}

#[test]
fn promises_in_arguments() {
    for case in cases(include_str!("../../fixtures/pipeline/promises.json")) {
        let found = awaits(map(&case["args"]))
            .map(|promise| {
                Ipld::List(vec![Ipld::String(promise.branch.name().to_owned()), Ipld::Link(promise.target.into())])
            })
            .collect();
        assert_eq!(Ipld::List(found), case["awaits"], "{}", text(&case["name"]));
    }
}

#[test]
fn resolution() {
    for case in cases(include_str!("../../fixtures/pipeline/resolution.json")) {
        let name = text(&case["name"]);
        let task = map(&case["task"]);
        let (subject, command) =
            (text(&task["sub"]).parse::<Did>().unwrap(), Command::parse(text(&task["cmd"])).unwrap());
        let Ipld::Bytes(nonce) = &task["nonce"] else { panic!("{name}: no nonce") };
        let task = Task::new(subject, command, map(&task["args"]).clone(), nonce.clone());
        assert_eq!(task.id().unwrap().to_string(), text(&case["id"]), "{name}");

        let outcomes: HashMap<TaskId, Outcome> = list(&case["outcomes"])
            .iter()
            .map(|pair| {
                let [Ipld::Link(of), Ipld::Map(outcome)] = list(pair) else { panic!("{name}: no outcome") };
                let outcome = match outcome.get("ok") {
                    Some(value) => Outcome::Ok(value.clone()),
                    None => Outcome::Error(outcome["error"].clone()),
                };
                (TaskId::new(*of), outcome)
            })
            .collect();
        let mut bounds = Bounds::default();
        if let Some(given) = case.get("bounds").map(map) {
            bounds.bytes = number(&given["bytes"]);
            bounds.items = number(&given["items"]);
            bounds.depth = number(&given["depth"]);
        }
        let outcome_of = |id: &TaskId| outcomes.get(id);
        match (resolve_args(task.args(), &bounds, &outcome_of), case.get("resolved").map(map)) {
            (Ok(args), Some(expected)) => {
                assert_eq!(&Ipld::Map(args), &expected["args"], "{name}");
                let resolved = resolve_task(&task, &outcome_of).unwrap();
                assert_eq!(resolved.id.to_string(), text(&expected["id"]), "{name}");
                assert_eq!(resolved.promised, task.id().unwrap(), "{name}");
                assert!(!resolved.task.is_pending(), "{name}");
            }
            (Err(error), None) => {
                let Outcome::Error(Ipld::Map(mut failure)) = Failure::from(&error).into() else { panic!("{name}") };
                assert!(failure.remove("message").is_some_and(|message| !text(&message).is_empty()), "{name}");
                assert_eq!(&failure, map(&case["fails"]), "{name}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

#[test]
fn graphs() {
    for case in cases(include_str!("../../fixtures/pipeline/graphs.json")) {
        let name = text(&case["name"]);
        let tasks = list(&case["tasks"]).iter().map(|task| {
            let [task, awaited] = list(task) else { panic!("{name}: no pair") };
            (text(task), texts(awaited))
        });
        match Graph::open(tasks) {
            Ok(graph) => {
                let expected: BTreeSet<&str> = texts(&case["elsewhere"]).into_iter().collect();
                assert_eq!(graph.elsewhere().copied().collect::<BTreeSet<_>>(), expected, "{name}");
                assert_eq!(graph.critical_path().tasks.len(), number(&case["longest"]), "{name}");
            }
            Err(GraphError::Cycle(mut keys)) => {
                keys.pop();
                let start = keys.iter().position(|key| *key == texts(&case["cycle"])[0]).unwrap();
                keys.rotate_left(start);
                assert_eq!(keys, texts(&case["cycle"]), "{name}");
            }
            Err(GraphError::Duplicate(key)) => assert_eq!(key, text(&case["duplicate"]), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
