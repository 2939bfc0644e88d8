use std::collections::{BTreeSet, HashMap, VecDeque};

use ucan_core::Timestamp;
use ucan_invocation::{Task, TaskId};

use crate::awaits;

/// The tasks of an executor that wait for others, from wherever: what is still awaited, by whom, and until when.
///
/// It waits for nothing itself and keeps no results. Tasks, outcomes and the time come in by `handle_*`; after each,
/// [`poll`](Resolver::poll) until there are no more events. The same inputs in the same order give the same events.
///
/// ```
/// use ucan_core::{Command, Did, Timestamp};
/// use ucan_invocation::{Await, Branch, Task};
/// use ucan_pipeline::{Resolver, Waiting, WaitingLimits};
///
/// let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse()?;
/// let first = Task::new(subject.clone(), Command::parse("/dns/read")?, Default::default(), vec![]).id()?;
/// let promise = Await { branch: Branch::Ok, target: first }.to_ipld();
/// let second = Task::new(subject, Command::parse("/msg/send")?, [("body".to_owned(), promise)].into(), vec![]);
///
/// let mut resolver = Resolver::new(WaitingLimits::default());
/// resolver.handle_task(second.id()?, &second, Timestamp::EPOCH.saturating_add(100), &|_| false)?;
/// assert_eq!(resolver.poll(), Some(Waiting::Awaited(first)));
/// assert_eq!(resolver.poll(), None);
/// resolver.handle_outcome(&first);
/// assert_eq!(resolver.poll(), Some(Waiting::Ready(second.id()?)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resolver {
    limits: WaitingLimits,
    tasks: HashMap<TaskId, Entry>,
    /// By whom a task is awaited; there is an entry only where somebody waits.
    awaited: HashMap<TaskId, BTreeSet<TaskId>>,
    deadlines: BTreeSet<(Timestamp, TaskId)>,
    /// How many edges there are in `awaited`.
    promises: usize,
    events: VecDeque<Waiting>,
}

#[derive(Clone, Debug)]
struct Entry {
    missing: BTreeSet<TaskId>,
    deadline: Timestamp,
}

/// How much may wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingLimits {
    /// How many tasks: 65,536.
    pub tasks: usize,
    /// How many promises they may wait for together, those of one task for the same other counted once: 2^20.
    pub promises: usize,
}

impl Default for WaitingLimits {
    fn default() -> Self {
        Self { tasks: 1 << 16, promises: 1 << 20 }
    }
}

/// What has become of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// This task, for which nobody here waited so far, is awaited now: its receipt has to be asked for, unless it is
    /// done here.
    Awaited(TaskId),
    /// Nobody here waits for this task any longer, and it has no outcome: its receipt need not be asked for.
    Forgotten(TaskId),
    /// All that this task awaits has an outcome: it can be resolved.
    Ready(TaskId),
    /// The time of this task is up. Resolving it says what is missing.
    Late(TaskId),
}

/// Why a task is not waited with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitingError {
    /// There is no room for another task.
    #[error("{limit} tasks wait already, which is all that may")]
    Tasks {
        /// How many may wait.
        limit: usize,
    },
    /// There is no room for the promises of this task.
    #[error("with this task, more than {limit} promises would be waited for")]
    Promises {
        /// How many there may be.
        limit: usize,
    },
}

impl Resolver {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(limits: WaitingLimits) -> Self {
        Self {
            limits,
            tasks: HashMap::new(),
            awaited: HashMap::new(),
            deadlines: BTreeSet::new(),
            promises: 0,
            events: VecDeque::new(),
        }
    }

    /// How many tasks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Lets the task `id` wait until `deadline` for what it awaits and is not `known`: for what has no final outcome
    /// that is trusted here. A task that waits already goes on waiting, until the later deadline.
    ///
    /// # Errors
    /// [`WaitingError`] where a limit would be passed; then nothing has changed.
    pub fn handle_task(
        &mut self,
        id: TaskId,
        task: &Task,
        deadline: Timestamp,
        known: &dyn Fn(&TaskId) -> bool,
    ) -> Result<(), WaitingError> {
        if let Some(entry) = self.tasks.get_mut(&id) {
            if deadline > entry.deadline {
                self.deadlines.remove(&(entry.deadline, id));
                self.deadlines.insert((deadline, id));
                entry.deadline = deadline;
            }
            return Ok(());
        }
        // The ones that are asked for are in the order of the data, each once.
        let room = self.limits.promises.saturating_sub(self.promises);
        let (mut missing, mut ordered) = (BTreeSet::new(), Vec::new());
        for target in awaits(task.args()).map(|promise| promise.target) {
            if !missing.contains(&target) && !known(&target) {
                if missing.len() == room {
                    return Err(WaitingError::Promises { limit: self.limits.promises });
                }
                missing.insert(target);
                ordered.push(target);
            }
        }
        if missing.is_empty() {
            self.events.push_back(Waiting::Ready(id));
            return Ok(());
        }
        if self.tasks.len() >= self.limits.tasks {
            return Err(WaitingError::Tasks { limit: self.limits.tasks });
        }
        self.promises += missing.len();
        for target in ordered {
            let waiting = self.awaited.entry(target).or_default();
            if waiting.is_empty() {
                self.events.push_back(Waiting::Awaited(target));
            }
            waiting.insert(id);
        }
        self.deadlines.insert((deadline, id));
        self.tasks.insert(id, Entry { missing, deadline });
        Ok(())
    }

    /// Takes note that `of` has a final outcome that is trusted here. Whether it is the one that is awaited is for
    /// resolution to say.
    pub fn handle_outcome(&mut self, of: &TaskId) {
        for id in self.awaited.remove(of).unwrap_or_default() {
            self.promises -= 1;
            let Some(entry) = self.tasks.get_mut(&id) else { continue };
            entry.missing.remove(of);
            if entry.missing.is_empty() {
                self.deadlines.remove(&(entry.deadline, id));
                self.tasks.remove(&id);
                self.events.push_back(Waiting::Ready(id));
            }
        }
    }

    /// Takes note of the time: what should have been ready before it waits no longer.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline < now
        {
            self.deadlines.remove(&(deadline, id));
            self.events.push_back(Waiting::Late(id));
            self.forget(&id);
        }
    }

    /// Lets the task `id` wait no longer, because it is not asked for any more. Nothing is said of it.
    pub fn handle_cancelled(&mut self, id: &TaskId) {
        if let Some(entry) = self.tasks.get(id) {
            self.deadlines.remove(&(entry.deadline, *id));
            self.forget(id);
        }
    }

    fn forget(&mut self, id: &TaskId) {
        let Some(entry) = self.tasks.remove(id) else { return };
        for of in entry.missing {
            self.promises -= 1;
            let Some(waiting) = self.awaited.get_mut(&of) else { continue };
            waiting.remove(id);
            if waiting.is_empty() {
                self.awaited.remove(&of);
                self.events.push_back(Waiting::Forgotten(of));
            }
        }
    }

    /// What has happened and was not told yet, the earliest first.
    pub fn poll(&mut self) -> Option<Waiting> {
        self.events.pop_front()
    }

    /// The earliest deadline: when that has passed, [`handle_timeout`](Resolver::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}
