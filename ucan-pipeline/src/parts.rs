use std::collections::{BTreeMap, btree_map};
use std::slice;

use ucan_core::Ipld;
use ucan_invocation::Await;

/// The promises in `args`, however deep, one at a time in the order of the data: lists by index, maps by the bytes of
/// their keys (UCAN Promise, "Promise Format").
///
/// The arguments themselves are no promise, even if their map has the shape of one. Nothing recurses, and nothing is
/// allocated for values without nesting.
pub fn awaits(args: &BTreeMap<String, Ipld>) -> impl Iterator<Item = Await> + '_ {
    Parts::of_args(args).filter_map(|part| match part.kind {
        Kind::Promise(promise) => Some(promise),
        Kind::Value(_) => None,
    })
}

/// A part of a value, and how many lists and maps are around it.
pub(crate) struct Part<'a> {
    pub(crate) depth: usize,
    pub(crate) kind: Kind<'a>,
}

pub(crate) enum Kind<'a> {
    /// A promise, into which nobody looks.
    Promise(Await),
    Value(&'a Ipld),
}

/// All parts of a value, each before what it contains.
pub(crate) struct Parts<'a> {
    root: Option<&'a Ipld>,
    level: Level<'a>,
    above: Vec<Level<'a>>,
}

struct Level<'a> {
    depth: usize,
    items: Items<'a>,
}

enum Items<'a> {
    List(slice::Iter<'a, Ipld>),
    Map(btree_map::Values<'a, String, Ipld>),
}

impl<'a> Items<'a> {
    fn of(value: &'a Ipld) -> Option<Self> {
        match value {
            Ipld::List(items) => Some(Self::List(items.iter())),
            Ipld::Map(map) => Some(Self::Map(map.values())),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<&'a Ipld> {
        match self {
            Self::List(items) => items.next(),
            Self::Map(values) => values.next(),
        }
    }
}

impl<'a> Parts<'a> {
    /// All parts of `value`, itself first.
    pub(crate) fn of(value: &'a Ipld) -> Self {
        let items = Items::List([].iter());
        Self { root: Some(value), level: Level { depth: 0, items }, above: Vec::new() }
    }

    /// All parts of `args`, not counting the map itself.
    pub(crate) fn of_args(args: &'a BTreeMap<String, Ipld>) -> Self {
        let items = Items::Map(args.values());
        Self { root: None, level: Level { depth: 1, items }, above: Vec::new() }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let (depth, value) = loop {
            if let Some(root) = self.root.take() {
                break (0, root);
            }
            match self.level.items.next() {
                Some(value) => break (self.level.depth, value),
                None => self.level = self.above.pop()?,
            }
        };
        if let Some(promise) = Await::recognise(value) {
            return Some(Part { depth, kind: Kind::Promise(promise) });
        }
        if let Some(items) = Items::of(value) {
            let inner = Level { depth: depth + 1, items };
            self.above.push(std::mem::replace(&mut self.level, inner));
        }
        Some(Part { depth, kind: Kind::Value(value) })
    }
}
