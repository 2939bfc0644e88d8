//! Arguments: promises by CID become promises by label, and links become inputs.

use std::collections::BTreeMap;

use ipvm_workflow::DocumentBuilder;
use ucan_core::{Cid, Ipld, Place};
use ucan_invocation::{Await, Branch};

use super::instruction::as_read;
use super::{ImportError, ImportProblem, Notes};

/// Where a value stands: the way back to the arguments. A place is made of it only where there is something to say.
#[derive(Clone, Copy)]
enum At<'a> {
    Arguments(&'a Place),
    Index(&'a At<'a>, usize),
    Key(&'a At<'a>, &'a str),
}

impl At<'_> {
    fn place(&self) -> Place {
        match self {
            Self::Arguments(place) => (*place).clone(),
            Self::Index(at, index) => at.place().index(*index),
            Self::Key(at, key) => at.place().key(key),
        }
    }
}

/// What turns arguments into those of a document.
pub(super) struct Arguments<'a> {
    /// The labels of the tasks, by the CIDs of their instructions.
    pub(super) own: &'a BTreeMap<Cid, String>,
    /// What is done otherwise.
    pub(super) notes: &'a mut Notes,
}

impl Arguments<'_> {
    /// All arguments of a task.
    pub(super) fn all(&mut self, args: &[Ipld], place: &Place) -> Result<Ipld, ImportError> {
        let all = At::Arguments(place);
        let args = args.iter().enumerate().map(|(at, argument)| self.argument(argument, &At::Index(&all, at)));
        Ok(Ipld::List(args.collect::<Result<_, _>>()?))
    }

    /// One argument. Some forms mean something in this place alone.
    fn argument(&mut self, argument: &Ipld, at: &At<'_>) -> Result<Ipld, ImportError> {
        if let Ipld::List(items) = argument
            && let [Ipld::String(tag), value] = items.as_slice()
            && matches!(tag.as_str(), "ok" | "error" | "just")
        {
            self.note(at, "homestar takes a list of \"ok\", \"error\" or \"just\" and a value for the value");
            return self.value(value, &At::Index(at, 1), false);
        }
        self.value(argument, at, true)
    }

    fn value(&mut self, value: &Ipld, at: &At<'_>, is_argument: bool) -> Result<Ipld, ImportError> {
        match value {
            Ipld::Link(cid) => Ok(self.link(cid, at)),
            Ipld::List(items) => {
                let items =
                    items.iter().enumerate().map(|(index, item)| self.value(item, &At::Index(at, index), false));
                Ok(Ipld::List(items.collect::<Result<_, _>>()?))
            }
            Ipld::Map(map) => {
                if let Some(meant) = self.single(value, at, is_argument)? {
                    return Ok(meant);
                }
                let entries =
                    map.iter().map(|(key, item)| Ok((key.clone(), self.value(item, &At::Key(at, key), false)?)));
                Ok(Ipld::Map(entries.collect::<Result<_, _>>()?))
            }
            other => Ok(as_read(other)),
        }
    }

    /// What a map with one entry stands for, if that is something else than itself.
    fn single(&mut self, map: &Ipld, at: &At<'_>, is_argument: bool) -> Result<Option<Ipld>, ImportError> {
        let refused = |problem| Err(ImportError::new(&at.place(), problem));
        let (branch, target) = match (Await::recognise(map), Await::recognise_label(map)) {
            (Some(promise), _) => (promise.branch, Some(Cid::from(promise.target))),
            (_, Some(promise)) => (promise.branch, promise.target.parse().ok()),
            _ => {
                let Some((key, item)) = entry(map) else { return Ok(None) };
                return match item {
                    Ipld::Link(_) if is_argument => refused(ImportProblem::AmbiguousPromise(key.to_owned())),
                    Ipld::String(name) if *map == DocumentBuilder::input(name) => {
                        refused(ImportProblem::Reserved(key.to_owned()))
                    }
                    _ => Ok(None),
                };
            }
        };
        let Some(target) = target else { return refused(ImportProblem::Reserved(branch.key().to_owned())) };
        let Some(label) = self.own.get(&target) else {
            let known = self.own.iter().map(|(cid, label)| (label.clone(), *cid)).collect();
            return refused(ImportProblem::Awaited { awaited: target.to_string(), known });
        };
        if !is_argument {
            self.note(at, "homestar leaves the key of a promise inside of an argument around its value; here the value takes its place");
        }
        let branch = match branch {
            Branch::Any => {
                self.note(
                    at,
                    "homestar hands over the value for await/*, and only of tasks that succeeded: it became await/ok",
                );
                Branch::Ok
            }
            branch => branch,
        };
        Ok(Some(promise(branch, label)))
    }

    /// Homestar puts the result, or the content, in the place of a link.
    fn link(&mut self, cid: &Cid, at: &At<'_>) -> Ipld {
        if let Some(label) = self.own.get(cid) {
            self.note(at, "a link to the instruction of a task is a promise to homestar: it became await/ok");
            return promise(Branch::Ok, label);
        }
        let text = format!(
            "homestar hands over the content of {cid}; here it is an input: give it, by --input-bytes {cid}=FILE"
        );
        self.note(at, &text);
        DocumentBuilder::input(&cid.to_string())
    }

    fn note(&mut self, at: &At<'_>, text: &str) {
        self.notes.add(|| at.place(), text);
    }
}

fn promise(branch: Branch, label: &str) -> Ipld {
    Ipld::Map([(branch.key().to_owned(), Ipld::String(label.to_owned()))].into())
}

/// The one entry of a map that has no other.
fn entry(map: &Ipld) -> Option<(&str, &Ipld)> {
    match map {
        Ipld::Map(map) if map.len() == 1 => map.iter().next().map(|(key, item)| (key.as_str(), item)),
        _ => None,
    }
}
