use std::collections::BTreeMap;

use ucan_core::{Cid, Command, Ipld, Place, dagcbor};
use ucan_invocation::{Await, Config, visit};

use crate::bind::INPUT;
use crate::shape::{Shape, ShapeError};
use crate::{Retry, RunConfig};

/// The version of the document format that is read and written.
pub const VERSION: &str = "1.0.0";

/// The key of the map that stands for what failed.
pub(crate) const FAILURE: &str = "ipvm/failure";
/// The field of a configuration that says how often a task is tried.
const RETRY: &str = "retry";
/// How many bytes a label may have.
const LONGEST_LABEL: usize = 256;

/// A workflow as somebody wrote it: labelled tasks whose subjects may be aliases and whose arguments may name inputs.
///
/// [`Document::bind`] turns it into a [`Workflow`](crate::Workflow), which has an id and can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) meta: BTreeMap<String, Ipld>,
    pub(crate) parent: Option<(Cid, String)>,
    pub(crate) config: RunConfig,
    pub(crate) defaults: Config,
    pub(crate) retry: Option<Retry>,
    pub(crate) tasks: BTreeMap<String, TaskDocument>,
    pub(crate) catch: Option<TaskDocument>,
}

/// One task of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDocument {
    /// A DID, or an alias that is bound at run time. `None` stands for the alias `executor`.
    pub subject: Option<String>,
    /// Who is to do it: a DID, or an alias that is bound at run time. `None` is whoever runs the workflow.
    pub audience: Option<String>,
    /// What is asked for.
    pub command: Command,
    /// The arguments, with promises by label and, before binding, inputs by name.
    pub args: BTreeMap<String, Ipld>,
    /// What tells repeated requests apart, where the document says so itself.
    pub nonce: Option<Vec<u8>>,
    /// How it is asked to be run, without what is for the engine itself.
    pub config: Config,
    /// How often it is tried; as often as the defaults say, where nothing is said.
    pub retry: Option<Retry>,
    /// The label of the task that undoes what this one did to the world.
    pub undo: Option<String>,
    /// The labels of mutations that this task may wait for although it is no mutation itself.
    pub allow: Vec<String>,
}

impl Document {
    /// Reads a document, strictly: unknown fields are refused.
    ///
    /// # Errors
    /// [`DocumentError`] says where and what.
    pub fn parse(value: &Ipld) -> Result<Self, DocumentError> {
        let root = Shape::root(value);
        let fields = root.fields(&["v", "meta", "parent", "config", "defaults", "tasks", "catch"])?;
        let version = fields.required("v")?;
        if version.string()? != VERSION {
            return Err(version.error(format!("this engine reads version {VERSION:?}")).into());
        }
        let meta = fields.optional("meta").map(|shape| shape.map().cloned()).transpose()?.unwrap_or_default();
        let parent = fields.optional("parent").map(|shape| shape.link_and_label()).transpose()?;
        let run = fields.optional("config").map(|shape| RunConfig::parse(&shape)).transpose()?.unwrap_or_default();
        let (defaults, retry) = config(fields.optional("defaults"))?;
        let catch = fields.optional("catch").map(|shape| TaskDocument::parse_catch(&shape)).transpose()?;
        let listed = fields.required("tasks")?;
        let mut tasks = BTreeMap::new();
        for (label, shape) in listed.entries()? {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                let problem = format!("a task's label has 1 to {LONGEST_LABEL} bytes");
                return Err(ShapeError { place: listed.child(label).at_key(), problem }.into());
            }
            tasks.insert(label.to_owned(), TaskDocument::parse(&shape)?);
        }
        if tasks.is_empty() {
            return Err(listed.error("a workflow has at least one task".to_owned()).into());
        }
        Ok(Self { meta, parent, config: run, defaults, retry, tasks, catch })
    }

    /// Metadata: whatever the author wants to say of the workflow.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, Ipld> {
        &self.meta
    }

    /// How it is to be run as a whole.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The tasks by label.
    #[must_use]
    pub fn tasks(&self) -> &BTreeMap<String, TaskDocument> {
        &self.tasks
    }

    /// The document as data. What is absent is left out.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let mut map = BTreeMap::from([("v".to_owned(), Ipld::String(VERSION.to_owned()))]);
        let tasks = self.tasks.iter().map(|(label, task)| (label.clone(), task.to_ipld())).collect();
        map.insert("tasks".to_owned(), Ipld::Map(tasks));
        put_map(&mut map, "meta", &self.meta);
        put_map(&mut map, "config", &self.config.to_ipld());
        put_config(&mut map, "defaults", &self.defaults, self.retry.as_ref());
        if let Some(catch) = &self.catch {
            map.insert("catch".to_owned(), catch.to_ipld());
        }
        if let Some((cid, label)) = &self.parent {
            map.insert("parent".to_owned(), Ipld::List(vec![Ipld::Link(*cid), Ipld::String(label.clone())]));
        }
        Ipld::Map(map)
    }
}

impl TaskDocument {
    fn parse(shape: &Shape<'_>) -> Result<Self, DocumentError> {
        let fields = shape.fields(&["cmd", "args", "sub", "aud", "nonce", "config", "undo", "allow"])?;
        let command = fields.required("cmd")?;
        let command = Command::parse(command.string()?).map_err(|error| command.error(error.to_string()))?;
        let allow = match fields.optional("allow") {
            Some(list) => {
                list.items()?.iter().map(|item| item.string().map(str::to_owned)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let args = fields.required("args")?;
        if let Some(key) = stands_for_another(args.map()?) {
            return Err(args.error(format!("{key:?} cannot stand for all arguments; name them one by one")).into());
        }
        let (config, retry) = config(fields.optional("config"))?;
        Ok(Self {
            command,
            args: args.map()?.clone(),
            subject: fields.optional("sub").map(|shape| shape.string().map(str::to_owned)).transpose()?,
            audience: fields.optional("aud").map(|shape| shape.string().map(str::to_owned)).transpose()?,
            nonce: fields.optional("nonce").map(|shape| shape.bytes().map(<[u8]>::to_vec)).transpose()?,
            undo: fields.optional("undo").map(|shape| shape.string().map(str::to_owned)).transpose()?,
            config,
            retry,
            allow,
        })
    }

    /// The task that handles failures: one without a label, whose arguments have a place for what failed.
    fn parse_catch(shape: &Shape<'_>) -> Result<Self, DocumentError> {
        shape.fields(&["cmd", "args", "sub", "config"])?;
        let task = Self::parse(shape)?;
        let (mut places, mut promises) = (0, 0);
        for value in task.args.values() {
            visit(value, &mut |part| {
                places += usize::from(is_failure(part));
                promises += usize::from(Await::recognise_label(part).is_some() || Await::recognise(part).is_some());
                true
            });
        }
        if places == 0 {
            return Err(shape.error(format!("nothing in args takes the failure: {{{FAILURE:?}: null}}")).into());
        }
        if promises > 0 {
            return Err(shape.error("a handler of failures waits for no task".to_owned()).into());
        }
        Ok(task)
    }

    fn to_ipld(&self) -> Ipld {
        let mut map = BTreeMap::from([
            ("cmd".to_owned(), Ipld::String(self.command.to_string())),
            ("args".to_owned(), Ipld::Map(self.args.clone())),
        ]);
        if let Some(subject) = &self.subject {
            map.insert("sub".to_owned(), Ipld::String(subject.clone()));
        }
        if let Some(audience) = &self.audience {
            map.insert("aud".to_owned(), Ipld::String(audience.clone()));
        }
        if let Some(nonce) = &self.nonce {
            map.insert("nonce".to_owned(), Ipld::Bytes(nonce.clone()));
        }
        put_config(&mut map, "config", &self.config, self.retry.as_ref());
        if let Some(undo) = &self.undo {
            map.insert("undo".to_owned(), Ipld::String(undo.clone()));
        }
        if !self.allow.is_empty() {
            map.insert("allow".to_owned(), Ipld::List(self.allow.iter().cloned().map(Ipld::String).collect()));
        }
        Ipld::Map(map)
    }
}

/// The key that makes a map stand for something else: a promise, or an input.
fn stands_for_another(map: &BTreeMap<String, Ipld>) -> Option<&str> {
    let key = map.keys().next().filter(|_| map.len() == 1)?;
    matches!(key.as_str(), "await/ok" | "await/error" | "await/*" | INPUT).then_some(key)
}

/// Whether a value stands for what failed, in the arguments of the task that handles failures.
pub(crate) fn is_failure(value: &Ipld) -> bool {
    matches!(value, Ipld::Map(map) if map.len() == 1 && map.get(FAILURE) == Some(&Ipld::Null))
}

/// A configuration. Its limits are for the handlers to read; how often a task is tried, and whether what comes of it is secret, are
/// for the engine.
fn config(shape: Option<Shape<'_>>) -> Result<(Config, Option<Retry>), DocumentError> {
    let Some(shape) = shape else { return Ok(Default::default()) };
    let mut config = shape.map()?.clone();
    if !matches!(config.get("secret"), None | Some(Ipld::Bool(_))) {
        return Err(ShapeError { place: shape.child("secret"), problem: "it is true or false".to_owned() }.into());
    }
    let known: Vec<&str> = config.keys().map(String::as_str).collect();
    let retry = shape.fields(&known)?.optional(RETRY).map(|retry| Retry::parse(&retry)).transpose()?;
    config.remove(RETRY);
    Ok((config, retry))
}

fn put_config(into: &mut BTreeMap<String, Ipld>, key: &str, config: &Config, retry: Option<&Retry>) {
    let mut config = config.clone();
    config.extend(retry.map(|retry| (RETRY.to_owned(), retry.to_ipld())));
    put_map(into, key, &config);
}

fn put_map(into: &mut BTreeMap<String, Ipld>, key: &str, map: &BTreeMap<String, Ipld>) {
    if !map.is_empty() {
        into.insert(key.to_owned(), Ipld::Map(map.clone()));
    }
}

/// Why something is not a workflow document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The data does not have the shape of a document.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Something was left open that has to be bound before a workflow can be run.
    #[error("{what} is not bound")]
    Unbound {
        /// What is open.
        what: String,
    },
    /// The bytes are not canonical DAG-CBOR.
    #[error("the workflow is not canonical DAG-CBOR: {0}")]
    Decode(#[from] dagcbor::DecodeError),
    /// A value cannot be carried in DAG-CBOR.
    #[error("the workflow cannot be encoded: {0}")]
    Encode(#[from] dagcbor::EncodeError),
}

impl DocumentError {
    /// Where in the document it is wrong, as far as that is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Shape(error) => Some(&error.place),
            Self::Unbound { .. } | Self::Decode(_) | Self::Encode(_) => None,
        }
    }
}
