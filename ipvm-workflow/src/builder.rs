use std::collections::BTreeMap;
use std::fmt;

use ucan_core::{Command, Ipld};
use ucan_invocation::{Branch, Config};

use crate::document::FAILURE;
use crate::{Document, DocumentError, Retry, RunConfig, TaskDocument};

/// Writes a document in Rust, in such a way that most wrong graphs cannot be written: a task is awaited by the handle that adding it
/// gave, so that what is awaited exists and comes before, and there are no circles.
///
/// ```
/// use ipvm_workflow::DocumentBuilder;
/// use ucan_core::{Command, Ipld};
///
/// let mut builder = DocumentBuilder::new();
/// let run = Command::parse("/wasm/run")?;
/// let module = Ipld::String("ipfs://bafkreigri4sewtaf7di2swrwkxxr3civkvl33jnkcjynitmrg3ifjg6hbm".to_owned());
/// let double = |number| [("mod", module.clone()), ("fun", "double".to_owned().into()), ("params", Ipld::List(vec![number]))];
/// let first = builder.task("first", run.clone()).args(double(DocumentBuilder::input("n"))).add()?;
/// let second = builder.task("second", run).args(double(first.ok())).add()?;
///
/// let charge = builder.task("charge", Command::parse("/money/charge")?).arg("cents", second.ok()).subject("bank").add()?;
/// builder.task("refund", Command::parse("/money/refund")?).arg("of", charge.ok()).subject("bank").undoes(&charge).add()?;
/// let document = builder.build()?;
/// assert_eq!(document.inputs().into_iter().collect::<Vec<_>>(), ["n"]);
/// assert_eq!(document.tasks()["charge"].undo.as_deref(), Some("refund"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DocumentBuilder {
    /// Not one that can be run, before there are tasks.
    document: Document,
}

impl Default for DocumentBuilder {
    fn default() -> Self {
        let (meta, defaults, tasks) = (BTreeMap::new(), Config::new(), BTreeMap::new());
        Self {
            document: Document {
                meta,
                parent: None,
                config: RunConfig::default(),
                defaults,
                retry: None,
                tasks,
                catch: None,
            },
        }
    }
}

/// A task of a [`DocumentBuilder`], for others to await.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskHandle {
    label: String,
}

impl TaskHandle {
    /// The label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The promise of what the task gives when it succeeds; whoever awaits it fails when it does not.
    #[must_use]
    pub fn ok(&self) -> Ipld {
        self.promise(Branch::Ok)
    }

    /// The promise of what the task states when it fails; whoever awaits it fails when it succeeds.
    #[must_use]
    pub fn error(&self) -> Ipld {
        self.promise(Branch::Error)
    }

    /// The promise of either: `{ok: ..}` or `{error: ..}`.
    #[must_use]
    pub fn outcome(&self) -> Ipld {
        self.promise(Branch::Any)
    }

    fn promise(&self, branch: Branch) -> Ipld {
        Ipld::Map([(branch.key().to_owned(), Ipld::String(self.label.clone()))].into())
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskHandle({:?})", self.label)
    }
}

impl DocumentBuilder {
    /// A document without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands for a value that is given at run time.
    #[must_use]
    pub fn input(name: &str) -> Ipld {
        Ipld::Map([(crate::bind::INPUT.to_owned(), Ipld::String(name.to_owned()))].into())
    }

    /// What stands for the failure, in the arguments of a handler of failures.
    #[must_use]
    pub fn failure() -> Ipld {
        Ipld::Map([(FAILURE.to_owned(), Ipld::Null)].into())
    }

    /// Says something of the workflow that means nothing to an engine.
    pub fn meta(&mut self, key: impl Into<String>, value: Ipld) -> &mut Self {
        self.document.meta.insert(key.into(), value);
        self
    }

    /// How it is to be run as a whole.
    pub fn config(&mut self, config: RunConfig) -> &mut Self {
        self.document.config = config;
        self
    }

    /// How tasks are to be run that say nothing else.
    pub fn defaults(&mut self, defaults: Config, retry: Option<Retry>) -> &mut Self {
        (self.document.defaults, self.document.retry) = (defaults, retry);
        self
    }

    /// Has failures handled by this task, whose arguments have [`DocumentBuilder::failure`] somewhere.
    pub fn catch(&mut self, command: Command, args: BTreeMap<String, Ipld>) -> &mut Self {
        self.document.catch = Some(task(command, args));
        self
    }

    /// Begins a task; [`TaskBuilder::add`] ends it.
    pub fn task(&mut self, label: impl Into<String>, command: Command) -> TaskBuilder<'_> {
        TaskBuilder { builder: self, label: label.into(), task: task(command, BTreeMap::new()), undoes: None }
    }

    /// The document.
    ///
    /// # Errors
    /// [`BuildError`] where a handle of another builder was used, or [`Document::parse`] would refuse it.
    pub fn build(self) -> Result<Document, BuildError> {
        let document = Document::parse(&self.document.to_ipld())?;
        for (label, task) in &document.tasks {
            for awaited in crate::plan::labels(&task.args) {
                if !document.tasks.contains_key(&awaited) {
                    return Err(BuildError::UnknownTask { label: label.clone(), awaited });
                }
            }
        }
        Ok(document)
    }
}

fn task(command: Command, args: BTreeMap<String, Ipld>) -> TaskDocument {
    let (config, allow) = (Config::new(), Vec::new());
    TaskDocument { subject: None, audience: None, command, args, nonce: None, config, retry: None, undo: None, allow }
}

/// A task that is being written.
#[derive(Debug)]
#[must_use = "a task is part of the document once it was added"]
pub struct TaskBuilder<'a> {
    builder: &'a mut DocumentBuilder,
    label: String,
    task: TaskDocument,
    undoes: Option<String>,
}

impl TaskBuilder<'_> {
    /// Gives it an argument: a value, an input, or a promise, or anything that has such inside.
    pub fn arg(mut self, key: impl Into<String>, value: Ipld) -> Self {
        self.task.args.insert(key.into(), value);
        self
    }

    /// The same with several.
    pub fn args<K: Into<String>>(mut self, args: impl IntoIterator<Item = (K, Ipld)>) -> Self {
        self.task.args.extend(args.into_iter().map(|(key, value)| (key.into(), value)));
        self
    }

    /// Says whose resource it concerns: a DID, or an alias. It is the executor's, unless it is said otherwise.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.task.subject = Some(subject.into());
        self
    }

    /// Says who is to do it: a DID, or an alias. Whoever runs the workflow does it, unless it is said otherwise.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.task.audience = Some(audience.into());
        self
    }

    /// Says how it is to be run.
    pub fn config(mut self, config: Config) -> Self {
        self.task.config = config;
        self
    }

    /// Says how often it is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.task.retry = Some(retry);
        self
    }

    /// Lets it wait for a mutation although it is none itself.
    pub fn allow(mut self, mutation: &TaskHandle) -> Self {
        self.task.allow.push(mutation.label.clone());
        self
    }

    /// Makes it what undoes another, and nothing else.
    pub fn undoes(mut self, mutation: &TaskHandle) -> Self {
        self.undoes = Some(mutation.label.clone());
        self
    }

    /// Adds it to the document.
    ///
    /// # Errors
    /// [`BuildError`] where there is a task of this label already, or what it undoes is undone by another, or is of another builder.
    pub fn add(self) -> Result<TaskHandle, BuildError> {
        let Self { builder, label, task, undoes } = self;
        let tasks = &mut builder.document.tasks;
        if tasks.contains_key(&label) {
            return Err(BuildError::SameLabel { label });
        }
        if let Some(awaited) = undoes {
            match tasks.get_mut(&awaited) {
                None => return Err(BuildError::UnknownTask { label, awaited }),
                Some(TaskDocument { undo: Some(by), .. }) => {
                    return Err(BuildError::UndoneTwice { label: awaited, by: by.clone() });
                }
                Some(undone) => undone.undo = Some(label.clone()),
            }
        }
        tasks.insert(label.clone(), task);
        Ok(TaskHandle { label })
    }
}

/// Why a document cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two tasks have one label.
    #[error("there is a task {label:?} already")]
    SameLabel {
        /// The label.
        label: String,
    },
    /// A task names one that is not in this document: its handle is of another builder.
    #[error("task {label:?} names {awaited:?}, which is not in this document")]
    UnknownTask {
        /// The task.
        label: String,
        /// What it names.
        awaited: String,
    },
    /// Two tasks are to undo one.
    #[error("task {label:?} is undone by {by:?} already")]
    UndoneTwice {
        /// What is to be undone.
        label: String,
        /// What undoes it.
        by: String,
    },
    /// It is no document, for another reason.
    #[error(transparent)]
    Document(#[from] DocumentError),
}
