mod adjacency;
mod error;
#[cfg(test)]
mod tests;
mod walk;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;

use indexmap::IndexSet;
use ucan_invocation::{Task, TaskId};

use crate::awaits;
use adjacency::Adjacency;
pub use error::GraphError;
pub use walk::CriticalPath;

/// Which tasks wait for which: a directed graph without cycles, its nodes named by `K`.
///
/// Building it, and every walk through it, is linear in nodes and edges and uses no recursion. Names are kept once, and
/// edges in a few flat lists.
#[derive(Clone, Debug)]
pub struct Graph<K> {
    /// The tasks, then what they await and is not among them.
    keys: IndexSet<K>,
    tasks: usize,
    dependencies: Adjacency,
    dependents: Adjacency,
    order: Vec<usize>,
}

impl<K: Hash + Eq + Clone + fmt::Debug + fmt::Display> Graph<K> {
    /// Builds the graph of `tasks`, each with the tasks that it awaits (repetitions do no harm).
    ///
    /// # Errors
    /// [`GraphError::Unknown`] where a task awaits one that is not there, [`GraphError::Duplicate`] where two have one
    /// name, and [`GraphError::Cycle`] where tasks wait for each other.
    pub fn new<I>(tasks: impl IntoIterator<Item = (K, I)>) -> Result<Self, GraphError<K>>
    where
        I: IntoIterator<Item: Borrow<K>>,
    {
        Self::build(tasks, false)
    }

    /// Builds the graph of `tasks`, some of which may wait for tasks that are not among them: [`Graph::elsewhere`]
    /// lists those.
    ///
    /// # Errors
    /// [`GraphError::Duplicate`] and [`GraphError::Cycle`], as [`Graph::new`].
    pub fn open<I>(tasks: impl IntoIterator<Item = (K, I)>) -> Result<Self, GraphError<K>>
    where
        I: IntoIterator<Item: Borrow<K>>,
    {
        Self::build(tasks, true)
    }

    fn build<I>(tasks: impl IntoIterator<Item = (K, I)>, open: bool) -> Result<Self, GraphError<K>>
    where
        I: IntoIterator<Item: Borrow<K>>,
    {
        let tasks = tasks.into_iter();
        let mut keys = IndexSet::with_capacity(tasks.size_hint().0);
        let mut lists = Vec::with_capacity(tasks.size_hint().0);
        for (key, awaited) in tasks {
            if let Some(twice) = keys.replace(key) {
                return Err(GraphError::Duplicate(twice));
            }
            lists.push(awaited);
        }
        let tasks = keys.len();
        let mut asked = Adjacency::with_rows(tasks);
        // Who asked for a task last: that is how repetitions are found, without sorting.
        let mut last: Vec<Option<usize>> = vec![None; tasks];
        for (from, awaited) in lists.into_iter().enumerate() {
            for to in awaited {
                let to = to.borrow();
                let at = match keys.get_index_of(to) {
                    Some(at) => at,
                    None if open => {
                        last.push(None);
                        keys.insert_full(to.clone()).0
                    }
                    None => return Err(GraphError::Unknown { from: keys[from].clone(), to: to.clone() }),
                };
                if last[at] != Some(from) {
                    last[at] = Some(from);
                    asked.push(at);
                }
            }
            asked.end_row();
        }
        let dependents = asked.transposed(keys.len());
        // Turned round twice, the rows are in the order of the tasks, whatever order they were asked for in.
        let dependencies = dependents.transposed(keys.len());
        let order = walk::topological(tasks, &dependencies, &dependents);
        if order.len() < tasks {
            let cycle = walk::cycle(tasks, &dependencies, &order);
            return Err(GraphError::Cycle(cycle.into_iter().map(|at| keys[at].clone()).collect()));
        }
        Ok(Self { keys, tasks, dependencies, dependents, order })
    }
}

impl<K: Hash + Eq> Graph<K> {
    /// How many tasks there are, those awaited from elsewhere not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks
    }

    /// Whether there are no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// The tasks in an order in which each comes after all that it awaits.
    pub fn order(&self) -> impl Iterator<Item = &K> {
        self.named(&self.order)
    }

    /// What is awaited and is not among the tasks, each once. [`Graph::dependents`] says by whom.
    pub fn elsewhere(&self) -> impl Iterator<Item = &K> {
        (self.tasks..self.keys.len()).map(|at| &self.keys[at])
    }

    /// What `key` awaits directly, in the order in which the tasks were given; nothing for a task that is not in the
    /// graph.
    pub fn dependencies(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, &self.dependencies)
    }

    /// What awaits `key` directly, in the order in which the tasks were given; nothing for a task that is not in the
    /// graph.
    pub fn dependents(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, &self.dependents)
    }

    fn neighbours<'a>(&'a self, key: &K, edges: &'a Adjacency) -> impl Iterator<Item = &'a K> {
        let found = self.keys.get_index_of(key).map(|at| edges.row(at));
        self.named(found.unwrap_or_default())
    }

    fn named<'a>(&'a self, positions: &'a [usize]) -> impl Iterator<Item = &'a K> {
        positions.iter().map(|at| &self.keys[*at])
    }
}

/// The dataflow of `tasks`, each with its id: which waits for which by the promises in its arguments, those awaited from
/// elsewhere included (UCAN Promise).
///
/// That an id is the id of its task is for the caller to know. Where it is, there can be no cycle: a task would have to
/// hold its own hash.
///
/// ```
/// use ucan_core::{Command, Did};
/// use ucan_invocation::{Await, Branch, Task};
/// use ucan_pipeline::dataflow;
///
/// let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse()?;
/// let first = Task::new(subject.clone(), Command::parse("/dns/read")?, Default::default(), vec![]);
/// let promise = Await { branch: Branch::Ok, target: first.id()? }.to_ipld();
/// let second = Task::new(subject, Command::parse("/msg/send")?, [("body".to_owned(), promise)].into(), vec![]);
///
/// let graph = dataflow([(second.id()?, &second), (first.id()?, &first)])?;
/// assert_eq!(graph.order().collect::<Vec<_>>(), [&first.id()?, &second.id()?]);
///
/// // Of the second task alone, the first is awaited from elsewhere.
/// let graph = dataflow([(second.id()?, &second)])?;
/// assert_eq!(graph.elsewhere().collect::<Vec<_>>(), [&first.id()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GraphError::Duplicate`] and [`GraphError::Cycle`].
pub fn dataflow<'a>(tasks: impl IntoIterator<Item = (TaskId, &'a Task)>) -> Result<Graph<TaskId>, GraphError<TaskId>> {
    Graph::open(tasks.into_iter().map(|(id, task)| (id, awaits(task.args()).map(|promise| promise.target))))
}
