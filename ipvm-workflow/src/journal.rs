use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ucan_core::{Cid, Ipld, StoreError, Timestamp, dagcbor};
use ucan_invocation::{ReceiptId, TaskId};

/// What the engine writes down before it acts, so that a crash at any moment leaves no doubt about what was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A run was accepted.
    Started {
        /// The task of the run itself, `/ipvm/run`.
        run: TaskId,
        /// The workflow that is run.
        workflow: Cid,
        /// The invocation that asks for it, whose block is in the store with those of all delegations that it names.
        request: Cid,
        /// The invocation by which another executor handed it over, where one did; its block is in the store too.
        handover: Option<Cid>,
        /// When it was started first, wherever that was; earlier versions did not say.
        at: Option<Timestamp>,
    },
    /// A run was cancelled, or has failed and has effects to undo: nothing of it is started any more, and what it did is undone where
    /// its workflow says how.
    Cancelled {
        /// The run.
        run: TaskId,
    },
    /// A task that alters the world is about to start.
    Intent {
        /// The run.
        run: TaskId,
        /// The resolved task.
        task: TaskId,
    },
    /// A task that is for another executor is about to be asked for.
    Sent {
        /// The run.
        run: TaskId,
        /// The resolved task.
        task: TaskId,
        /// The invocation that asks for it, whose block is in the store.
        invocation: Cid,
    },
    /// A run is over, and its receipt is filed.
    Finished {
        /// The run.
        run: TaskId,
        /// The receipt of the run.
        receipt: ReceiptId,
    },
    /// A run was handed over to another executor: it is none of this one's any more.
    HandedOver {
        /// The run.
        run: TaskId,
        /// The invocation that hands it over, whose block is in the store.
        handover: Cid,
    },
}

impl Entry {
    /// Whether it has to be durable before anybody goes on. That a run is over can be lost in a crash: it has its receipt.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        !matches!(self, Self::Finished { .. })
    }

    /// The run that the entry belongs to.
    #[must_use]
    pub fn run(&self) -> &TaskId {
        match self {
            Self::Started { run, .. } | Self::Intent { run, .. } | Self::Sent { run, .. } => run,
            Self::Cancelled { run } | Self::Finished { run, .. } | Self::HandedOver { run, .. } => run,
        }
    }

    /// The entry as canonical DAG-CBOR: a map with the one key `started`, `intent`, `sent`, `cancelled`, `finished` or `handedOver`.
    ///
    /// # Errors
    /// None in practice: every entry can be carried. The codec's error is passed on rather than hidden.
    pub fn encode(&self) -> Result<Vec<u8>, dagcbor::EncodeError> {
        let (kind, links) = match self {
            Self::Started { workflow, request, handover, .. } => {
                let links = [("workflow", *workflow), ("request", *request)].into_iter();
                ("started", links.chain(handover.map(|cid| ("handover", cid))).collect())
            }
            Self::Intent { task, .. } => ("intent", vec![("task", (*task).into())]),
            Self::Sent { task, invocation, .. } => {
                ("sent", vec![("task", (*task).into()), ("invocation", *invocation)])
            }
            Self::Cancelled { .. } => ("cancelled", vec![]),
            Self::Finished { receipt, .. } => ("finished", vec![("receipt", (*receipt).into())]),
            Self::HandedOver { handover, .. } => ("handedOver", vec![("handover", *handover)]),
        };
        let links = links.into_iter().chain([("run", (*self.run()).into())]);
        let mut fields: BTreeMap<String, Ipld> = links.map(|(key, cid)| (key.to_owned(), Ipld::Link(cid))).collect();
        if let Self::Started { at: Some(at), .. } = self {
            fields.insert("at".to_owned(), Ipld::Integer(at.as_secs().into()));
        }
        dagcbor::encode(&Ipld::Map([(kind.to_owned(), Ipld::Map(fields))].into()))
    }

    /// Reads an entry; `None` where the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let Ipld::Map(map) = dagcbor::decode(bytes).ok()? else { return None };
        let (kind, Ipld::Map(fields)) = map.first_key_value().filter(|_| map.len() == 1)? else { return None };
        let link = |key: &str| match fields.get(key) {
            Some(Ipld::Link(cid)) => Some(*cid),
            _ => None,
        };
        let run = TaskId::new(link("run")?);
        let (entry, has) = match kind.as_str() {
            "started" => {
                let (workflow, request, handover) = (link("workflow")?, link("request")?, link("handover"));
                let at = match fields.get("at") {
                    Some(Ipld::Integer(at)) => Some(u64::try_from(*at).ok().and_then(Timestamp::from_secs)?),
                    _ => None,
                };
                let has = 3 + usize::from(handover.is_some()) + usize::from(at.is_some());
                (Self::Started { run, workflow, request, handover, at }, has)
            }
            "intent" => (Self::Intent { run, task: TaskId::new(link("task")?) }, 2),
            "sent" => (Self::Sent { run, task: TaskId::new(link("task")?), invocation: link("invocation")? }, 3),
            "cancelled" => (Self::Cancelled { run }, 1),
            "finished" => (Self::Finished { run, receipt: ReceiptId::new(link("receipt")?) }, 2),
            "handedOver" => (Self::HandedOver { run, handover: link("handover")? }, 2),
            _ => return None,
        };
        (fields.len() == has).then_some(entry)
    }
}

/// The log of what was begun and what is over.
///
/// # Contract
/// An entry that is [vital](Entry::is_vital) is durable when [`append`](Journal::append) returns, and so is everything that was put into
/// the same store before; any other is written, and may be lost by a crash. Entries are never altered or dropped; a store that finds them damaged says so when it is opened.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Writes `entry` down: durably, where it is vital.
    ///
    /// # Errors
    /// [`StoreError`] where that fails; the caller must not go on with what it announced.
    async fn append(&self, entry: &Entry) -> Result<(), StoreError>;

    /// Whether an intent for `task` was ever written.
    ///
    /// # Errors
    /// [`StoreError`] where the journal cannot be read.
    async fn intended(&self, task: &TaskId) -> Result<bool, StoreError>;

    /// The invocation by which another executor was last to be asked for `task`.
    ///
    /// # Errors
    /// [`StoreError`] where the journal cannot be read.
    async fn sent(&self, task: &TaskId) -> Result<Option<Cid>, StoreError>;

    /// The runs that were started here, and are neither over nor handed over.
    ///
    /// # Errors
    /// [`StoreError`] where the journal cannot be read.
    async fn unfinished(&self) -> Result<Vec<TaskId>, StoreError>;

    /// What is known of a run that was started and is not over; `None` of any other.
    ///
    /// # Errors
    /// [`StoreError`] where the journal cannot be read.
    async fn open(&self, run: &TaskId) -> Result<Option<OpenRun>, StoreError>;

    /// The invocation by which a run was last handed over, whether it came back or not.
    ///
    /// # Errors
    /// [`StoreError`] where the journal cannot be read.
    async fn handed_over(&self, run: &TaskId) -> Result<Option<Cid>, StoreError>;
}

/// A run that was started here, and is neither over nor handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// The workflow that is run.
    pub workflow: Cid,
    /// The invocation that asked for it.
    pub request: Cid,
    /// The invocation by which another executor handed it over, where one did.
    pub handover: Option<Cid>,
    /// Whether it was cancelled, or is being undone.
    pub cancelled: bool,
    /// When it was started first, wherever that was; earlier versions did not say.
    pub at: Option<Timestamp>,
}

/// A journal in memory: for tests, and for hosts that do not need to survive a crash.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Vec<Entry>>);

impl MemoryJournal {
    /// All that was written, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, entry: &Entry) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        Ok(())
    }

    async fn intended(&self, task: &TaskId) -> Result<bool, StoreError> {
        Ok(self.entries().iter().any(|entry| matches!(entry, Entry::Intent { task: intended, .. } if intended == task)))
    }

    async fn sent(&self, task: &TaskId) -> Result<Option<Cid>, StoreError> {
        let last = self.entries().into_iter().rev().find_map(|entry| match entry {
            Entry::Sent { task: asked, invocation, .. } if asked == *task => Some(invocation),
            _ => None,
        });
        Ok(last)
    }

    async fn unfinished(&self) -> Result<Vec<TaskId>, StoreError> {
        let mut open = BTreeSet::new();
        for entry in self.entries() {
            match entry {
                Entry::Started { run, .. } => open.insert(run),
                Entry::Finished { run, .. } | Entry::HandedOver { run, .. } => open.remove(&run),
                Entry::Intent { .. } | Entry::Sent { .. } | Entry::Cancelled { .. } => continue,
            };
        }
        Ok(open.into_iter().collect())
    }

    async fn open(&self, run: &TaskId) -> Result<Option<OpenRun>, StoreError> {
        let mut open: Option<OpenRun> = None;
        for entry in self.entries().into_iter().filter(|entry| entry.run() == run) {
            match (entry, &mut open) {
                // That it was cancelled stays, whoever starts it again.
                (Entry::Started { workflow, request, handover, at, .. }, open) => {
                    let cancelled = open.is_some_and(|open| open.cancelled);
                    *open = Some(OpenRun { workflow, request, handover, cancelled, at });
                }
                (Entry::Cancelled { .. }, Some(open)) => open.cancelled = true,
                (Entry::Finished { .. } | Entry::HandedOver { .. }, open) => *open = None,
                (Entry::Intent { .. } | Entry::Sent { .. } | Entry::Cancelled { .. }, _) => {}
            }
        }
        Ok(open)
    }

    async fn handed_over(&self, run: &TaskId) -> Result<Option<Cid>, StoreError> {
        let last = self.entries().into_iter().rev().find_map(|entry| match entry {
            Entry::HandedOver { run: handed, handover } if handed == *run => Some(handover),
            _ => None,
        });
        Ok(last)
    }
}
