use std::collections::BTreeMap;
use std::fmt;

/// Which tasks wait for which: a directed graph without cycles, its nodes named by `K`.
///
/// Building it is linear in nodes and edges, and uses no recursion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph<K> {
    nodes: Vec<Node<K>>,
    index: BTreeMap<K, usize>,
    order: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node<K> {
    key: K,
    dependencies: Vec<usize>,
    dependents: Vec<usize>,
}

impl<K: Ord + Clone + fmt::Debug + fmt::Display> Graph<K> {
    /// Builds the graph of `tasks`, each with the tasks that it awaits (repetitions do no harm).
    ///
    /// # Errors
    /// [`GraphError::Unknown`] where a task awaits one that is not there, [`GraphError::Duplicate`] where two have one
    /// name, and [`GraphError::Cycle`] where tasks wait for each other.
    pub fn new(tasks: impl IntoIterator<Item = (K, Vec<K>)>) -> Result<Self, GraphError<K>> {
        let tasks: Vec<(K, Vec<K>)> = tasks.into_iter().collect();
        let mut index = BTreeMap::new();
        for (position, (key, _)) in tasks.iter().enumerate() {
            if index.insert(key.clone(), position).is_some() {
                return Err(GraphError::Duplicate(key.clone()));
            }
        }
        let mut nodes: Vec<Node<K>> = Vec::with_capacity(tasks.len());
        for (key, awaited) in tasks {
            let mut dependencies = Vec::with_capacity(awaited.len());
            for to in awaited {
                match index.get(&to) {
                    Some(position) => dependencies.push(*position),
                    None => return Err(GraphError::Unknown { from: key, to }),
                }
            }
            dependencies.sort_unstable();
            dependencies.dedup();
            nodes.push(Node { key, dependencies, dependents: Vec::new() });
        }
        for position in 0..nodes.len() {
            for dependency in nodes[position].dependencies.clone() {
                nodes[dependency].dependents.push(position);
            }
        }
        let order = topological(&nodes);
        if order.len() < nodes.len() {
            return Err(GraphError::Cycle(cycle(&nodes, &order)));
        }
        Ok(Self { nodes, index, order })
    }

    /// The tasks in an order in which each comes after all that it awaits.
    pub fn order(&self) -> impl Iterator<Item = &K> {
        self.order.iter().map(|position| &self.nodes[*position].key)
    }

    /// What `key` awaits directly; nothing for a task that is not in the graph.
    pub fn dependencies(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, |node| &node.dependencies)
    }

    /// What awaits `key` directly; nothing for a task that is not in the graph.
    pub fn dependents(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, |node| &node.dependents)
    }

    fn neighbours<'a>(&'a self, key: &K, of: fn(&Node<K>) -> &Vec<usize>) -> impl Iterator<Item = &'a K> {
        let found = self.index.get(key).map(|position| of(&self.nodes[*position]).as_slice());
        found.unwrap_or_default().iter().map(|position| &self.nodes[*position].key)
    }
}

/// Kahn's algorithm; what stands on a cycle, or behind one, is missing from the result.
fn topological<K>(nodes: &[Node<K>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = nodes.iter().map(|node| node.dependencies.len()).collect();
    let mut order: Vec<usize> = (0..nodes.len()).filter(|position| waiting[*position] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for dependent in &nodes[order[next]].dependents {
            waiting[*dependent] -= 1;
            if waiting[*dependent] == 0 {
                order.push(*dependent);
            }
        }
        next += 1;
    }
    order
}

/// A cycle among the nodes that are not in `order`: its first node stands again at the end.
fn cycle<K: Clone>(nodes: &[Node<K>], order: &[usize]) -> Vec<K> {
    let mut ordered = vec![false; nodes.len()];
    for position in order {
        ordered[*position] = true;
    }
    // Whatever has no place in the order awaits something else that has none: following that must come round.
    let mut seen = vec![None; nodes.len()];
    let mut path = Vec::new();
    let mut at = (0..nodes.len()).find(|position| !ordered[*position]);
    while let Some(position) = at {
        if let Some(start) = seen[position] {
            let mut keys: Vec<K> = path.split_off(start);
            keys.push(nodes[position].key.clone());
            return keys;
        }
        seen[position] = Some(path.len());
        path.push(nodes[position].key.clone());
        at = nodes[position].dependencies.iter().copied().find(|dependency| !ordered[*dependency]);
    }
    path
}

/// Why tasks do not form a graph that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError<K: fmt::Debug + fmt::Display> {
    /// Two tasks have the same name.
    #[error("there are two tasks named {0}")]
    Duplicate(K),
    /// A task awaits one that does not exist.
    #[error("task {from} awaits {to}, which is not there")]
    Unknown {
        /// The task that waits.
        from: K,
        /// What it waits for.
        to: K,
    },
    /// Tasks wait for each other, each for the next; the first one stands again at the end.
    #[error("tasks wait for each other: {}", path(.0))]
    Cycle(Vec<K>),
}

fn path<K: fmt::Display>(keys: &[K]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(tasks: &[(&'static str, &[&'static str])]) -> Result<Graph<&'static str>, GraphError<&'static str>> {
        Graph::new(tasks.iter().map(|(key, awaited)| (*key, awaited.to_vec())))
    }

    #[test]
    fn order_dependencies_and_dependents() {
        let graph =
            graph(&[("join", &["left", "right", "left"]), ("left", &["start"]), ("right", &["start"]), ("start", &[])])
                .unwrap();
        assert_eq!(graph.order().collect::<Vec<_>>(), [&"start", &"left", &"right", &"join"]);
        assert_eq!(graph.dependencies(&"join").collect::<Vec<_>>(), [&"left", &"right"]);
        assert_eq!(graph.dependents(&"start").collect::<Vec<_>>(), [&"left", &"right"]);
        assert_eq!(graph.dependents(&"nowhere").count(), 0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(graph(&[("a", &["b"])]).unwrap_err(), GraphError::Unknown { from: "a", to: "b" });
        assert_eq!(graph(&[("a", &[]), ("a", &[])]).unwrap_err(), GraphError::Duplicate("a"));
        assert_eq!(graph(&[("a", &["a"])]).unwrap_err(), GraphError::Cycle(vec!["a", "a"]));
        let error = graph(&[("tail", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("free", &[])]).unwrap_err();
        assert_eq!(error.to_string(), "tasks wait for each other: a -> b -> c -> a");
    }

    proptest! {
        #[test]
        fn graphs_are_ordered_and_cycles_always_found(
            size in 1_usize..40,
            edges in prop::collection::vec((0_usize..40, 0_usize..40), 0..120),
        ) {
            let tasks: Vec<(usize, Vec<usize>)> = (0..size)
                .map(|task| (task, edges.iter().filter(|(from, to)| *from == task && *to < size).map(|(_, to)| *to).collect()))
                .collect();
            match Graph::new(tasks.clone()) {
                Ok(graph) => {
                    let place: BTreeMap<usize, usize> = graph.order().enumerate().map(|(place, task)| (*task, place)).collect();
                    prop_assert_eq!(place.len(), size);
                    for (task, awaited) in &tasks {
                        for dependency in awaited {
                            prop_assert!(place[dependency] < place[task]);
                        }
                    }
                }
                Err(GraphError::Cycle(keys)) => {
                    prop_assert!(keys.len() >= 2);
                    prop_assert_eq!(keys.first(), keys.last());
                    for pair in keys.windows(2) {
                        prop_assert!(tasks[pair[0]].1.contains(&pair[1]));
                    }
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
