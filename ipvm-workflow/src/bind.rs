use std::collections::{BTreeMap, BTreeSet};

use ucan_core::dagcbor::{self, Limits};
use ucan_core::{Cid, Did, Ipld, block};
use ucan_invocation::{Await, Config, is_pending, visit};
use ucan_pipeline::substitute;

use crate::plan::SECRET;
use crate::{Document, DocumentError, Retry, RunConfig, TaskDocument};

/// The key of a map that stands for a value given at run time.
pub(crate) const INPUT: &str = "ipvm/input";
/// How the task that handles failures is called where tasks are called by their labels.
pub(crate) const CATCH: &str = "catch";
/// The alias of whoever runs the workflow; the subject of tasks that name none.
pub const EXECUTOR: &str = "executor";
/// The alias of whoever asks for the run.
pub const INVOKER: &str = "invoker";

/// What a document leaves open: who its aliases are, and the values of its inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings {
    /// Principals by alias. `executor` and `invoker` are always among them.
    pub subjects: BTreeMap<String, Did>,
    /// Values by input name.
    pub inputs: BTreeMap<String, Ipld>,
}

impl Bindings {
    /// Bindings of the two aliases that every document may use.
    #[must_use]
    pub fn new(executor: Did, invoker: Did) -> Self {
        let subjects = [(EXECUTOR.to_owned(), executor), (INVOKER.to_owned(), invoker)].into();
        Self { subjects, inputs: BTreeMap::new() }
    }
}

impl Document {
    /// Puts principals in the place of aliases and values in the place of inputs.
    ///
    /// Values are put in once and never looked at again, and may not have the shape of a promise: what is given at run
    /// time cannot change the graph.
    ///
    /// # Errors
    /// [`BindError`] names the alias or input that is open, unused or not allowed.
    pub fn bind(&self, bindings: &Bindings) -> Result<Workflow, BindError> {
        if let Some((name, _)) = bindings.inputs.iter().find(|(_, value)| names_a_task(value)) {
            return Err(BindError::PromiseInInput { input: name.clone() });
        }
        let mut unused: BTreeSet<&str> = bindings.inputs.keys().map(String::as_str).collect();
        let mut document = self.clone();
        let catch = document.catch.as_mut().map(|catch| (CATCH.to_owned(), catch));
        for (label, task) in document.tasks.iter_mut().map(|(label, task)| (label.clone(), task)).chain(catch) {
            let label = &label;
            let subject = task.subject.as_deref().unwrap_or(EXECUTOR);
            let subject = bind_principal(subject, bindings).ok_or_else(|| BindError::UnknownSubject {
                label: label.clone(),
                subject: subject.to_owned(),
                known: bindings.subjects.keys().cloned().collect(),
            })?;
            task.subject = Some(subject.to_string());
            if let Some(audience) = &task.audience {
                let bound = bind_principal(audience, bindings).ok_or_else(|| BindError::UnknownAudience {
                    label: label.clone(),
                    audience: audience.clone(),
                    known: bindings.subjects.keys().cloned().collect(),
                })?;
                task.audience = Some(bound.to_string());
            }
            let bound = substitute(&Ipld::Map(task.args.clone()), &mut |part| {
                let Some(name) = input(part) else { return Ok(None) };
                unused.remove(name);
                bindings.inputs.get(name).cloned().map(Some).ok_or_else(|| BindError::MissingInput {
                    label: label.clone(),
                    input: name.to_owned(),
                    given: bindings.inputs.keys().cloned().collect(),
                })
            })?;
            if let Ipld::Map(args) = bound {
                task.args = args;
            }
        }
        if let Some(name) = unused.first() {
            return Err(BindError::UnusedInput {
                input: (*name).to_owned(),
                known: self.inputs().into_iter().map(str::to_owned).collect(),
            });
        }
        Ok(Workflow::seal(document)?)
    }

    /// The names of the values that have to be given at run time.
    #[must_use]
    pub fn inputs(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for value in self.tasks.values().chain(&self.catch).flat_map(|task| task.args.values()) {
            visit(value, &mut |part| match input(part) {
                Some(name) => {
                    names.insert(name);
                    false
                }
                None => true,
            });
        }
        names
    }
}

fn input(value: &Ipld) -> Option<&str> {
    let Ipld::Map(map) = value else { return None };
    match (map.len(), map.get(INPUT)) {
        (1, Some(Ipld::String(name))) => Some(name),
        _ => None,
    }
}

pub(crate) fn names_a_task(value: &Ipld) -> bool {
    let mut found = is_pending(value);
    visit(value, &mut |part| {
        found |= Await::recognise_label(part).is_some();
        !found
    });
    found
}

fn bind_principal(name: &str, bindings: &Bindings) -> Option<Did> {
    bindings.subjects.get(name).cloned().or_else(|| Did::parse(name).ok())
}

/// A workflow that is ready to be signed for: every subject a DID, every input a value.
///
/// Its id is the CID of its canonical DAG-CBOR. It can be passed around and negotiated before anyone signs anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    document: Document,
    subjects: BTreeMap<String, Did>,
    /// Those of the tasks that have one.
    audiences: BTreeMap<String, Did>,
    /// The subject of the task that handles failures.
    catch: Option<Did>,
    cid: Cid,
    bytes: Vec<u8>,
}

impl Workflow {
    pub(crate) fn seal(document: Document) -> Result<Self, DocumentError> {
        let bytes = dagcbor::encode(&document.to_ipld())?;
        Self::check(document, block::dag_cbor_cid(&bytes), bytes)
    }

    /// Reads a workflow from its block, within the default [`Limits`].
    ///
    /// # Errors
    /// [`DocumentError`] where the bytes are not a document, or one that still has open aliases or inputs.
    pub fn from_block(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::from_block_within(bytes, &Limits::default())
    }

    /// Reads a workflow from its block, within limits of the caller's.
    ///
    /// # Errors
    /// As [`Workflow::from_block`].
    pub fn from_block_within(bytes: &[u8], limits: &Limits) -> Result<Self, DocumentError> {
        let document = Document::parse(&dagcbor::decode_with(bytes, limits)?)?;
        Self::check(document, block::dag_cbor_cid(bytes), bytes.to_vec())
    }

    /// The same workflow for whoever has its plan, and does not need its tasks any more, which take most of its room.
    pub(crate) fn without_tasks(mut self) -> Self {
        self.document.tasks.clear();
        self.subjects.clear();
        self.bytes = Vec::new();
        self
    }

    fn check(document: Document, cid: Cid, bytes: Vec<u8>) -> Result<Self, DocumentError> {
        let (mut subjects, mut audiences) = (BTreeMap::new(), BTreeMap::new());
        let subject = |label: &str, task: &TaskDocument| {
            let subject = task.subject.as_deref().and_then(|subject| Did::parse(subject).ok());
            subject.ok_or_else(|| DocumentError::Unbound { what: format!("the subject of task {label:?}") })
        };
        for (label, task) in &document.tasks {
            subjects.insert(label.clone(), subject(label, task)?);
            if let Some(audience) = &task.audience {
                let unbound = |_| DocumentError::Unbound { what: format!("the audience of task {label:?}") };
                audiences.insert(label.clone(), Did::parse(audience).map_err(unbound)?);
            }
        }
        let catch = document.catch.as_ref().map(|task| subject(CATCH, task)).transpose()?;
        if let Some(name) = document.inputs().first() {
            return Err(DocumentError::Unbound { what: format!("the input {name:?}") });
        }
        Ok(Self { document, subjects, audiences, catch, cid, bytes })
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// The id of the workflow.
    #[must_use]
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The canonical DAG-CBOR block of the workflow.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tasks by label, each with its subject.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Did, &TaskDocument)> {
        self.document
            .tasks
            .iter()
            .zip(self.subjects.values())
            .map(|((label, task), subject)| (label.as_str(), subject, task))
    }

    /// Who is to do the task with this label, where the document says so.
    #[must_use]
    pub fn audience(&self, label: &str) -> Option<&Did> {
        self.audiences.get(label)
    }

    /// The task that handles failures, with its subject.
    #[must_use]
    pub fn catch(&self) -> Option<(&Did, &TaskDocument)> {
        self.catch.as_ref().zip(self.document.catch.as_ref())
    }

    /// How it is to be run as a whole.
    #[must_use]
    pub fn run_config(&self) -> &RunConfig {
        &self.document.config
    }

    /// How often the task is tried, where anything is said of it.
    #[must_use]
    pub fn retry(&self, task: &TaskDocument) -> Option<Retry> {
        task.retry.clone().or_else(|| self.document.retry.clone())
    }

    /// How tasks are run that the document does not have.
    pub(crate) fn defaults(&self) -> (Config, Option<&Retry>) {
        (self.with_secret(self.document.defaults.clone()), self.document.retry.as_ref())
    }

    /// How the task is asked to be run: its own configuration over the workflow's defaults.
    #[must_use]
    pub fn config(&self, task: &TaskDocument) -> Config {
        let mut config = self.document.defaults.clone();
        config.extend(task.config.clone());
        self.with_secret(config)
    }

    /// A configuration, where all is secret that comes of the workflow as one that says so.
    fn with_secret(&self, mut config: Config) -> Config {
        if self.document.config.secret {
            config.insert(SECRET.to_owned(), Ipld::Bool(true));
        }
        config
    }
}

/// Why a document cannot be bound.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An input has no value.
    #[error("task {label:?} needs the input {input:?}, which was not given{}", instead(.given))]
    MissingInput {
        /// The task.
        label: String,
        /// The input.
        input: String,
        /// The inputs that were given.
        given: Vec<String>,
    },
    /// A value was given that no task asks for.
    #[error("no task asks for the input {input:?}; the inputs are: {}", .known.join(", "))]
    UnusedInput {
        /// The input.
        input: String,
        /// The inputs of the document.
        known: Vec<String>,
    },
    /// An input has, somewhere inside, the shape of a promise.
    #[error("the input {input:?} holds the shape of a promise, which a value may not have")]
    PromiseInInput {
        /// The input.
        input: String,
    },
    /// A subject is neither a DID nor a known alias.
    #[error("the subject {subject:?} of task {label:?} is neither a DID nor one of the bound names: {}", .known.join(", "))]
    UnknownSubject {
        /// The task.
        label: String,
        /// The subject as written.
        subject: String,
        /// The aliases that are bound.
        known: Vec<String>,
    },
    /// An audience is neither a DID nor a known alias.
    #[error("the audience {audience:?} of task {label:?} is neither a DID nor one of the bound names: {}", .known.join(", "))]
    UnknownAudience {
        /// The task.
        label: String,
        /// The audience as written.
        audience: String,
        /// The aliases that are bound.
        known: Vec<String>,
    },
    /// The bound document is not one that can be run.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

fn instead(inputs: &[String]) -> String {
    if inputs.is_empty() { String::new() } else { format!("; given were: {}", inputs.join(", ")) }
}
