use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn graph(tasks: &[(&'static str, &[&'static str])]) -> Result<Graph<&'static str>, GraphError<&'static str>> {
    Graph::new(tasks.iter().map(|(key, awaited)| (*key, *awaited)))
}

#[test]
fn order_dependencies_and_dependents() {
    let graph =
        graph(&[("join", &["right", "left", "right"]), ("left", &["start"]), ("right", &["start"]), ("start", &[])])
            .unwrap();
    assert_eq!(graph.order().collect::<Vec<_>>(), [&"start", &"left", &"right", &"join"]);
    assert_eq!(graph.dependencies(&"join").collect::<Vec<_>>(), [&"left", &"right"]);
    assert_eq!(graph.dependents(&"start").collect::<Vec<_>>(), [&"left", &"right"]);
    assert_eq!(graph.dependents(&"nowhere").count(), 0);
    assert_eq!(graph.all_dependents([&"left", &"right"]), [&"join"]);
    assert_eq!(graph.all_dependencies([&"join"]), [&"left", &"right", &"start"]);
    assert_eq!(graph.all_dependents([&"nowhere"]), [&""; 0]);
    let path = graph.critical_path();
    assert_eq!((path.tasks, path.weight), (vec![&"start", &"left", &"join"], 3));
    let path = graph.critical_path_by(|key| if *key == "right" { u64::MAX } else { 1 });
    assert_eq!((path.tasks, path.weight), (vec![&"start", &"right", &"join"], u128::from(u64::MAX) + 2));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(graph(&[("a", &["b"])]).unwrap_err(), GraphError::Unknown { from: "a", to: "b" });
    assert_eq!(graph(&[("a", &[]), ("a", &[])]).unwrap_err(), GraphError::Duplicate("a"));
    assert_eq!(graph(&[("a", &["a"])]).unwrap_err(), GraphError::Cycle(vec!["a", "a"]));
    let error = graph(&[("tail", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("free", &[])]).unwrap_err();
    assert_eq!(error.to_string(), "tasks wait for each other: a -> b -> c -> a");
}

#[test]
fn long_cycles_are_not_spelled_out() {
    let ring = |size: usize| Graph::new((0..size).map(|at| (at, [(at + 1) % size]))).unwrap_err();
    let names = (0..15).map(|at| at.to_string()).collect::<Vec<_>>().join(" -> ");
    assert_eq!(ring(15).to_string(), format!("tasks wait for each other: {names} -> 0"));
    assert_eq!(ring(16).to_string(), format!("tasks wait for each other: {names} -> 15 -> 0"));
    assert_eq!(ring(17).to_string(), format!("tasks wait for each other: {names} -> 15 -> (1 more) -> 0"));
    let GraphError::Cycle(cycle) = ring(100_000) else { panic!("a cycle") };
    assert_eq!(cycle.len(), 100_001);
}

#[test]
fn tasks_elsewhere_are_listed_where_that_is_wanted() {
    let graph = Graph::open([("a", vec!["b", "far"]), ("b", vec!["far", "farther"]), ("c", vec![])]).unwrap();
    assert_eq!(graph.len(), 3);
    assert_eq!(graph.order().collect::<Vec<_>>(), [&"b", &"c", &"a"]);
    assert_eq!(graph.elsewhere().collect::<Vec<_>>(), [&"far", &"farther"]);
    assert_eq!(graph.dependents(&"far").collect::<Vec<_>>(), [&"a", &"b"]);
    assert_eq!(graph.dependencies(&"a").collect::<Vec<_>>(), [&"b", &"far"]);
    assert_eq!(graph.all_dependents([&"farther"]), [&"b", &"a"]);
    assert_eq!(graph.critical_path().tasks, [&"b", &"a"]);
    assert_eq!(Graph::open([("a", ["a"])]).unwrap_err(), GraphError::Cycle(vec!["a", "a"]));
    let none = Graph::<u8>::open::<[u8; 0]>([]).unwrap();
    assert!(none.is_empty() && none.critical_path() == CriticalPath { tasks: vec![], weight: 0 });
}

/// Tasks by number, each with the numbers that it awaits. Edges beyond `size` are left out.
fn tasks(size: usize, edges: &[(usize, usize)]) -> Vec<(usize, Vec<usize>)> {
    let awaited = |task| edges.iter().filter(move |(from, to)| *from == task && *to < size).map(|(_, to)| *to);
    (0..size).map(|task| (task, awaited(task).collect())).collect()
}

/// All that can be reached from `from`, by repeating one step until nothing is added.
fn closure(from: usize, step: &dyn Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = step(from).into_iter().collect();
    loop {
        let more: BTreeSet<usize> = found.iter().flat_map(|at| step(*at)).chain(found.iter().copied()).collect();
        if more == found {
            return found;
        }
        found = more;
    }
}

/// The weight of the heaviest way that ends with `at`, by trying all.
fn heaviest(at: usize, tasks: &[(usize, Vec<usize>)], weights: &[u64]) -> u128 {
    u128::from(weights[at]) + tasks[at].1.iter().map(|to| heaviest(*to, tasks, weights)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn graphs_are_ordered_and_cycles_always_found(
        size in 1_usize..40,
        edges in prop::collection::vec((0_usize..40, 0_usize..40), 0..120),
    ) {
        let tasks = tasks(size, &edges);
        let cyclic = (0..size).any(|task| closure(task, &|at| tasks[at].1.clone()).contains(&task));
        match Graph::new(tasks.clone()) {
            Ok(graph) => {
                prop_assert!(!cyclic);
                let place: BTreeMap<usize, usize> = graph.order().enumerate().map(|(place, task)| (*task, place)).collect();
                prop_assert_eq!(place.len(), size);
                for (task, awaited) in &tasks {
                    for dependency in awaited {
                        prop_assert!(place[dependency] < place[task]);
                    }
                }
            }
            Err(GraphError::Cycle(keys)) => {
                prop_assert!(cyclic);
                prop_assert!(keys.len() >= 2);
                prop_assert_eq!(keys.first(), keys.last());
                for pair in keys.windows(2) {
                    prop_assert!(tasks[pair[0]].1.contains(&pair[1]));
                }
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn walks_agree_with_naive_ones(
        size in 1_usize..14,
        edges in prop::collection::vec((0_usize..14, 0_usize..14), 0..30),
        weights in prop::collection::vec(0_u64..5, 14),
        starts in prop::collection::vec(0_usize..14, 0..3),
    ) {
        let forward: Vec<_> = edges.iter().map(|(a, b)| (*a.max(b), *a.min(b))).filter(|(a, b)| a != b).collect();
        let tasks = tasks(size, &forward);
        let graph = Graph::new(tasks.clone()).unwrap();
        for (task, awaited) in &tasks {
            let unique: BTreeSet<&usize> = awaited.iter().collect();
            prop_assert_eq!(graph.dependencies(task).collect::<Vec<_>>(), unique.into_iter().collect::<Vec<_>>());
        }
        let waiting = |at: usize| (0..size).filter(|task| tasks[*task].1.contains(&at)).collect::<Vec<_>>();
        let starts: Vec<usize> = starts.into_iter().filter(|at| *at < size).collect();
        for (found, step) in [
            (graph.all_dependents(&starts), &waiting as &dyn Fn(usize) -> Vec<usize>),
            (graph.all_dependencies(&starts), &|at| tasks[at].1.clone()),
        ] {
            let expected: BTreeSet<usize> = starts.iter().flat_map(|at| closure(*at, step)).collect();
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().copied().collect::<BTreeSet<_>>(), expected);
        }
        let path = graph.critical_path_by(|key| weights[*key]);
        prop_assert_eq!(path.weight, (0..size).map(|at| heaviest(at, &tasks, &weights)).max().unwrap());
        prop_assert_eq!(path.weight, path.tasks.iter().map(|key| u128::from(weights[**key])).sum::<u128>());
        for pair in path.tasks.windows(2) {
            prop_assert!(tasks[*pair[1]].1.contains(pair[0]));
        }
    }
}
