//! Workflows that differ from another in what a task is given.

use ucan_core::Ipld;

use crate::bind::names_a_task;
use crate::{DocumentError, Workflow};

/// Why a workflow cannot be altered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// No task has this label.
    #[error("no task has the label {label:?}; the labels are: {}", .known.join(", "))]
    UnknownLabel {
        /// The label that was given.
        label: String,
        /// The labels of the workflow.
        known: Vec<String>,
    },
    /// The path does not lead to anything in the arguments of the task.
    #[error("there is no {path:?} in the arguments of task {label:?}")]
    NoSuchArgument {
        /// The task.
        label: String,
        /// The path, as far as it leads nowhere.
        path: String,
    },
    /// The value has the shape of a promise, or what is replaced is one: the graph stays as it is.
    #[error("{path:?} of task {label:?} is, or would be, a promise: what is altered are values")]
    Promise {
        /// The task.
        label: String,
        /// The path.
        path: String,
    },
    /// The altered workflow is not one that can be run.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Workflow {
    /// The same workflow, with `value` in the place of what is at `path` in the arguments of the task `label`: keys of maps, and
    /// positions in lists. Its parent is this workflow. Tasks that do not hang on what was altered keep their ids, so that a run of it
    /// reuses their results.
    ///
    /// # Errors
    /// [`ForkError`] where there is nothing at that path, or a promise is involved.
    pub fn fork(&self, label: &str, path: &[&str], value: Ipld) -> Result<Self, ForkError> {
        let mut document = self.document().clone();
        let known = || self.tasks().map(|(label, ..)| label.to_owned()).collect();
        let task = document.tasks.get_mut(label);
        let task = task.ok_or_else(|| ForkError::UnknownLabel { label: label.to_owned(), known: known() })?;
        let absent = |at: usize| ForkError::NoSuchArgument { label: label.to_owned(), path: path[..=at].join(".") };
        let (first, rest) = path
            .split_first()
            .ok_or_else(|| ForkError::NoSuchArgument { label: label.to_owned(), path: String::new() })?;
        let promise = || ForkError::Promise { label: label.to_owned(), path: path.join(".") };
        let mut place = task.args.get_mut(*first).ok_or_else(|| absent(0))?;
        for (at, key) in rest.iter().enumerate() {
            if ucan_invocation::Await::recognise_label(place).is_some() {
                return Err(promise());
            }
            place = match place {
                Ipld::Map(map) => map.get_mut(*key),
                Ipld::List(items) => key.parse().ok().and_then(|at: usize| items.get_mut(at)),
                _ => None,
            }
            .ok_or_else(|| absent(at + 1))?;
        }
        if names_a_task(place) || names_a_task(&value) {
            return Err(promise());
        }
        *place = value;
        document.parent = Some((*self.cid(), label.to_owned()));
        Ok(Self::seal(document)?)
    }
}

#[cfg(test)]
mod tests {
    use ucan_core::{Did, dagjson};

    use super::*;
    use crate::{Bindings, Document};

    fn workflow() -> Workflow {
        let json = br#"{"v": "1.0.0", "tasks": {
            "a": {"cmd": "/wasm/run", "args": {"params": [1, {"deep": "x"}]}},
            "b": {"cmd": "/wasm/run", "args": {"params": [{"await/ok": "a"}, 2]}}
        }}"#;
        let did: Did = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".parse().unwrap();
        let document = Document::parse(&dagjson::decode(json).unwrap()).unwrap();
        document.bind(&Bindings::new(did.clone(), did)).unwrap()
    }

    #[test]
    fn only_what_is_named_differs() {
        let workflow = workflow();
        let fork = workflow.fork("a", &["params", "1", "deep"], Ipld::Integer(7)).unwrap();
        assert_ne!(fork.cid(), workflow.cid());
        let read = Workflow::from_block(fork.bytes()).unwrap();
        assert_eq!(read, fork);
        assert_eq!(fork.document().parent, Some((*workflow.cid(), "a".to_owned())));
        let back = fork.fork("a", &["params", "1", "deep"], Ipld::String("x".to_owned())).unwrap();
        assert_eq!(back.document().tasks, workflow.document().tasks);
    }

    #[test]
    fn what_leads_nowhere_or_alters_the_graph_is_refused() {
        let workflow = workflow();
        let fork = |label: &str, path: &[&str], value| workflow.fork(label, path, value).unwrap_err();
        assert!(matches!(fork("c", &["params"], Ipld::Null), ForkError::UnknownLabel { .. }));
        for path in [&[] as &[&str], &["no"], &["params", "2"], &["params", "x"], &["params", "0", "deeper"]] {
            assert!(matches!(fork("a", path, Ipld::Null), ForkError::NoSuchArgument { .. }), "{path:?}");
        }
        for path in [&["params"] as &[&str], &["params", "0"], &["params", "0", "await/ok"]] {
            assert!(matches!(fork("b", path, Ipld::Null), ForkError::Promise { .. }), "{path:?}");
        }
        let promise = Ipld::Map([("await/ok".to_owned(), Ipld::String("b".to_owned()))].into());
        assert!(matches!(fork("a", &["params", "0"], promise), ForkError::Promise { .. }));
    }
}
