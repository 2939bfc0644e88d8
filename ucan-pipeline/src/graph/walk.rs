use std::hash::Hash;

use super::Graph;
use super::adjacency::Adjacency;

/// The longest way through a graph: it takes at least this long, however much is done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalPath<'a, K> {
    /// The tasks on it, each awaited by the next.
    pub tasks: Vec<&'a K>,
    /// What they weigh together, in the unit of the caller's weights.
    pub weight: u128,
}

impl<K: Hash + Eq> Graph<K> {
    /// The way through the graph with the most tasks on it.
    #[must_use]
    pub fn critical_path(&self) -> CriticalPath<'_, K> {
        self.critical_path_by(|_| 1)
    }

    /// The way through the graph that weighs most, each task as much as `weight` says. Of equal ones, the one that goes
    /// by tasks that were given earlier. What is awaited from elsewhere is not on it.
    #[must_use]
    pub fn critical_path_by(&self, weight: impl Fn(&K) -> u64) -> CriticalPath<'_, K> {
        // What the heaviest way from each task to an end weighs, and where it goes next.
        let mut behind = vec![0_u128; self.tasks];
        let mut next: Vec<Option<usize>> = vec![None; self.tasks];
        for &at in self.order.iter().rev() {
            for &dependent in self.dependents.row(at) {
                if next[at].is_none_or(|best| behind[dependent] > behind[best]) {
                    next[at] = Some(dependent);
                }
            }
            let rest = next[at].map_or(0, |dependent| behind[dependent]);
            behind[at] = rest + u128::from(weight(&self.keys[at]));
        }
        let mut start: Option<usize> = None;
        for at in 0..self.tasks {
            if start.is_none_or(|best| behind[at] > behind[best]) {
                start = Some(at);
            }
        }
        let tasks = std::iter::successors(start, |at| next[*at]).map(|at| &self.keys[at]).collect();
        CriticalPath { tasks, weight: start.map_or(0, |at| behind[at]) }
    }

    /// All that waits for any of `keys`, directly or not, each once and the nearest first: what cannot go on when they
    /// fail. Keys may be awaited from elsewhere; those that are not in the graph have no dependents.
    ///
    /// One call takes time in the size of the graph: ask for several keys at once.
    pub fn all_dependents<'k>(&self, keys: impl IntoIterator<Item = &'k K>) -> Vec<&K>
    where
        K: 'k,
    {
        self.reach(keys, &self.dependents)
    }

    /// All that any of `keys` waits for, directly or not, each once and the nearest first.
    ///
    /// One call takes time in the size of the graph: ask for several keys at once.
    pub fn all_dependencies<'k>(&self, keys: impl IntoIterator<Item = &'k K>) -> Vec<&K>
    where
        K: 'k,
    {
        self.reach(keys, &self.dependencies)
    }

    fn reach<'k>(&self, keys: impl IntoIterator<Item = &'k K>, edges: &Adjacency) -> Vec<&K>
    where
        K: 'k,
    {
        let mut seen = vec![false; self.keys.len()];
        let mut found = Vec::new();
        let mut follow = |at: usize, found: &mut Vec<usize>| {
            for &to in edges.row(at) {
                if !seen[to] {
                    seen[to] = true;
                    found.push(to);
                }
            }
        };
        for at in keys.into_iter().filter_map(|key| self.keys.get_index_of(key)) {
            follow(at, &mut found);
        }
        let mut next = 0;
        while let Some(&at) = found.get(next) {
            follow(at, &mut found);
            next += 1;
        }
        found.into_iter().map(|at| &self.keys[at]).collect()
    }
}

/// Kahn's algorithm; what stands on a cycle, or behind one, is missing from the result.
pub(super) fn topological(tasks: usize, dependencies: &Adjacency, dependents: &Adjacency) -> Vec<usize> {
    let inside = |at: usize| dependencies.row(at).iter().filter(|to| **to < tasks).count();
    let mut waiting: Vec<usize> = (0..tasks).map(inside).collect();
    let mut order = Vec::with_capacity(tasks);
    order.extend((0..tasks).filter(|at| waiting[*at] == 0));
    let mut next = 0;
    while let Some(&at) = order.get(next) {
        for &dependent in dependents.row(at) {
            waiting[dependent] -= 1;
            if waiting[dependent] == 0 {
                order.push(dependent);
            }
        }
        next += 1;
    }
    order
}

/// A cycle among the tasks that are not in `order`: its first node stands again at the end.
pub(super) fn cycle(tasks: usize, dependencies: &Adjacency, order: &[usize]) -> Vec<usize> {
    let mut open = vec![true; tasks];
    for &at in order {
        open[at] = false;
    }
    // Whatever has no place in the order awaits something else that has none: following that must come round.
    let blocked = |at: &usize| open.get(*at) == Some(&true);
    let mut seen = vec![None; tasks];
    let mut path = Vec::new();
    let mut next = (0..tasks).find(blocked);
    while let Some(at) = next {
        path.push(at);
        if let Some(start) = seen[at] {
            return path.split_off(start);
        }
        seen[at] = Some(path.len() - 1);
        next = dependencies.row(at).iter().copied().find(blocked);
    }
    path
}
