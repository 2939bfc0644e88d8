use std::fmt;

use ucan_core::{Cid, Ipld};

use crate::{Outcome, TaskId};

/// Which arm of an outcome a promise waits for (UCAN Promise).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// `await/ok`: the value of a success.
    Ok,
    /// `await/error`: the value of a failure.
    Error,
    /// `await/*`: the whole outcome, `{ok: ..}` or `{error: ..}`.
    Any,
}

impl Branch {
    /// The key under which a promise for this branch is written.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ok => "await/ok",
            Self::Error => "await/error",
            Self::Any => "await/*",
        }
    }

    /// The name of the branch alone: `ok`, `error` or `*`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Any => "*",
        }
    }

    fn from_key(key: &str) -> Option<Self> {
        [Self::Ok, Self::Error, Self::Any].into_iter().find(|branch| branch.key() == key)
    }

    /// The value that a promise for this branch takes from `outcome`, or `None` where the outcome is of the other arm.
    #[must_use]
    pub fn take(self, outcome: &Outcome) -> Option<Ipld> {
        match (self, outcome) {
            (Self::Ok, Outcome::Ok(value)) | (Self::Error, Outcome::Error(value)) => Some(value.clone()),
            (Self::Any, outcome) => Some(outcome.to_ipld()),
            _ => None,
        }
    }
}

/// A promise: a place in arguments that the result of another task will fill (UCAN Promise).
///
/// It is a map with exactly one key, `await/ok`, `await/error` or `await/*`. Its target `T` is a [`TaskId`] in a
/// signed task, and a label in a workflow document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Await<T = TaskId> {
    /// The arm that is waited for.
    pub branch: Branch,
    /// The task that is waited for.
    pub target: T,
}

impl Await<TaskId> {
    /// Reads `value` as a promise of a task by its CID; anything else is data.
    #[must_use]
    pub fn recognise(value: &Ipld) -> Option<Self> {
        match promise(value)? {
            (branch, Ipld::Link(cid)) => Some(Self { branch, target: TaskId::new(*cid) }),
            _ => None,
        }
    }

    /// The promise as it is written in arguments.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        Ipld::Map([(self.branch.key().to_owned(), Ipld::Link(Cid::from(self.target)))].into())
    }
}

impl Await<String> {
    /// Reads `value` as a promise of a task by its label, as workflow documents write it; anything else is data.
    #[must_use]
    pub fn recognise_label(value: &Ipld) -> Option<Self> {
        match promise(value)? {
            (branch, Ipld::String(label)) => Some(Self { branch, target: label.clone() }),
            _ => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Await<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.branch.key(), self.target)
    }
}

fn promise(value: &Ipld) -> Option<(Branch, &Ipld)> {
    let Ipld::Map(map) = value else { return None };
    let mut entries = map.iter();
    let (Some((key, target)), None) = (entries.next(), entries.next()) else { return None };
    Some((Branch::from_key(key)?, target))
}

/// Every promise in `value`, however deep, in the order of the data.
#[must_use]
pub fn promises(value: &Ipld) -> Vec<Await> {
    let mut found = Vec::new();
    visit(value, &mut |node| match Await::recognise(node) {
        Some(promise) => {
            found.push(promise);
            false
        }
        None => true,
    });
    found
}

/// Whether `value` holds a promise of a task by its CID, at any depth.
#[must_use]
pub fn is_pending(value: &Ipld) -> bool {
    !promises(value).is_empty()
}

/// Calls `enter` on `value` and all that it contains, top down; `enter` says whether to look inside.
pub fn visit<'a>(value: &'a Ipld, enter: &mut dyn FnMut(&'a Ipld) -> bool) {
    if !enter(value) {
        return;
    }
    match value {
        Ipld::List(items) => items.iter().for_each(|item| visit(item, enter)),
        Ipld::Map(map) => map.values().for_each(|item| visit(item, enter)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::block;

    fn map(entries: &[(&str, Ipld)]) -> Ipld {
        Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn only_the_exact_shape_is_a_promise() {
        let link = Ipld::Link(block::dag_cbor_cid(b"task"));
        for (branch, key) in [(Branch::Ok, "await/ok"), (Branch::Error, "await/error"), (Branch::Any, "await/*")] {
            let promise = Await::recognise(&map(&[(key, link.clone())])).unwrap();
            assert_eq!(promise.branch, branch);
            assert_eq!(promise.to_ipld(), map(&[(key, link.clone())]));
        }
        for data in [
            map(&[("await/maybe", link.clone())]),
            map(&[("await/ok", Ipld::String("label".into()))]),
            map(&[("await/ok", link.clone()), ("more", Ipld::Null)]),
            Ipld::List(vec![Ipld::String("await/ok".into()), link.clone()]),
            link,
        ] {
            assert_eq!(Await::recognise(&data), None, "{data:?}");
        }
    }

    #[test]
    fn labels_are_promises_in_documents_only() {
        let by_label = map(&[("await/ok", Ipld::String("first".into()))]);
        assert_eq!(Await::recognise(&by_label), None);
        assert_eq!(Await::recognise_label(&by_label).unwrap().target, "first");
    }
}
