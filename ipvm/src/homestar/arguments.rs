//! Arguments: promises by CID become promises by label, and links become inputs.

use std::collections::BTreeMap;

use ipvm_workflow::DocumentBuilder;
use ucan_core::{Cid, Ipld, Place};
use ucan_invocation::{Await, Branch};

use super::instruction::as_read;
use super::{ImportError, ImportProblem, Note};

/// What turns arguments into those of a document.
pub(super) struct Arguments<'a> {
    /// The labels of the tasks, by the CIDs of their instructions.
    pub(super) own: &'a BTreeMap<Cid, String>,
    /// What is done otherwise.
    pub(super) notes: &'a mut Vec<Note>,
}

impl Arguments<'_> {
    /// All arguments of a task.
    pub(super) fn all(&mut self, args: &[Ipld], place: &Place) -> Result<Ipld, ImportError> {
        let args = args.iter().enumerate().map(|(at, argument)| self.argument(argument, &place.index(at)));
        Ok(Ipld::List(args.collect::<Result<_, _>>()?))
    }

    /// One argument. Some forms mean something in this place alone.
    fn argument(&mut self, argument: &Ipld, place: &Place) -> Result<Ipld, ImportError> {
        if let Ipld::List(items) = argument
            && let [Ipld::String(tag), value] = items.as_slice()
            && matches!(tag.as_str(), "ok" | "error" | "just")
        {
            self.note(place, "homestar takes a list of \"ok\", \"error\" or \"just\" and a value for the value");
            return self.value(value, &place.index(1), false);
        }
        self.value(argument, place, true)
    }

    fn value(&mut self, value: &Ipld, place: &Place, is_argument: bool) -> Result<Ipld, ImportError> {
        match value {
            Ipld::Link(cid) => Ok(self.link(cid, place)),
            Ipld::List(items) => {
                let items = items.iter().enumerate().map(|(at, item)| self.value(item, &place.index(at), false));
                Ok(Ipld::List(items.collect::<Result<_, _>>()?))
            }
            Ipld::Map(map) => {
                if let Some(meant) = self.single(value, place, is_argument)? {
                    return Ok(meant);
                }
                let entries = map.iter().map(|(key, item)| Ok((key.clone(), self.value(item, &place.key(key), false)?)));
                Ok(Ipld::Map(entries.collect::<Result<_, _>>()?))
            }
            other => Ok(as_read(other)),
        }
    }

    /// What a map with one entry stands for, if that is something else than itself.
    fn single(&mut self, map: &Ipld, place: &Place, is_argument: bool) -> Result<Option<Ipld>, ImportError> {
        let refused = |problem| Err(ImportError::new(place, problem));
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
            self.note(place, "homestar leaves the key of a promise inside of an argument around its value; here the value takes its place");
        }
        let branch = match branch {
            Branch::Any => {
                self.note(place, "homestar hands over the value for await/*, and only of tasks that succeeded: it became await/ok");
                Branch::Ok
            }
            branch => branch,
        };
        Ok(Some(promise(branch, label)))
    }

    /// Homestar puts the result, or the content, in the place of a link.
    fn link(&mut self, cid: &Cid, place: &Place) -> Ipld {
        if let Some(label) = self.own.get(cid) {
            self.note(place, "a link to the instruction of a task is a promise to homestar: it became await/ok");
            return promise(Branch::Ok, label);
        }
        let text = format!("homestar hands over the content of {cid}; here it is an input: give it, by --input-bytes {cid}=FILE");
        self.note(place, &text);
        DocumentBuilder::input(&cid.to_string())
    }

    fn note(&mut self, place: &Place, text: &str) {
        self.notes.push(Note { place: place.clone(), text: text.to_owned() });
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
