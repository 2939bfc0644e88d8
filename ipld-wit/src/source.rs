//! Where the rules read from: a tree, or bytes.

use std::collections::btree_map;
use std::slice;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::error::{Failure, Mismatch, Segment, failure};
use crate::read::misfit;
use crate::text::describe;
use crate::{Field, Members, Type, arena};

/// What the rules read IPLD from. A value is looked at once, and its parts in their order.
pub(crate) trait Source<'a>: Sized {
    /// Where a value stands.
    type At: Copy;
    /// What is left of a list.
    type Items;
    /// What is left of a map.
    type Entries;
    /// A link.
    type Link: Copy;
    /// Why something was refused.
    type Fail;

    /// The value that stands there.
    fn look(&mut self, at: Self::At) -> Result<Node<'a, Self>, Self::Fail>;
    /// Where the next item of a list stands.
    fn item(&mut self, items: &mut Self::Items) -> Option<Self::At>;
    /// The next key of a map, and where its value stands.
    fn entry(&mut self, entries: &mut Self::Entries) -> Result<Option<(&'a str, Self::At)>, Self::Fail>;
    /// The same for a map that is read as a record: the place of the field that has this key, if one has. `nth` counts the
    /// keys that came before.
    fn field(
        &mut self,
        entries: &mut Self::Entries,
        fields: &Members<Field>,
        nth: usize,
    ) -> Result<Option<Place<Self::At>>, Self::Fail> {
        let entry = self.entry(entries)?;
        Ok(entry.map(|(key, at)| Place { field: fields.position_near(nth, key), at }))
    }
    /// Whether the value is null that stands there. It is not looked at thereby.
    fn is_null(&self, at: Self::At) -> bool;
    /// The CID of a link.
    fn cid(&self, link: Self::Link) -> Cid;
    /// The value that stands there, with all its parts.
    fn whole(&mut self, at: Self::At) -> Result<Ipld, Self::Fail>;

    /// Refuses a value for what it is.
    fn refuse(ty: &Type, mismatch: impl FnOnce() -> Mismatch) -> Self::Fail;
    /// Refuses a value because another kind is expected.
    fn kind(at: Self::At, ty: &Type) -> Self::Fail;
    /// Refuses what stands where null stands for no payload.
    fn no_payload(at: Self::At) -> Self::Fail;
    /// Refuses a map whose keys are not the fields of a record.
    fn misfit(at: Self::At, ty: &Type, fields: &Members<Field>) -> Self::Fail;
    /// Adds the step by which what was refused had been reached.
    fn step(fail: Self::Fail, segment: impl FnOnce() -> Segment) -> Self::Fail;
    /// A failure of a rule that knows only trees.
    fn failed(failure: Failure) -> Self::Fail;
}

/// An entry of a map that is read as a record.
pub(crate) struct Place<A> {
    /// The place of the field, if there is one of this name.
    pub(crate) field: Option<usize>,
    /// Where the value stands.
    pub(crate) at: A,
}

/// One level of IPLD.
pub(crate) enum Node<'a, S: Source<'a>> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(&'a str),
    Bytes(&'a [u8]),
    List(usize, S::Items),
    Map(usize, S::Entries),
    Link(S::Link),
}

/// A tree, which says in full what is wrong with it.
pub(crate) struct Tree;

impl<'a> Source<'a> for Tree {
    type At = &'a Ipld;
    type Items = slice::Iter<'a, Ipld>;
    type Entries = btree_map::Iter<'a, String, Ipld>;
    type Link = &'a Cid;
    type Fail = Failure;

    fn look(&mut self, at: &'a Ipld) -> Result<Node<'a, Self>, Failure> {
        Ok(match at {
            Ipld::Null => Node::Null,
            Ipld::Bool(it) => Node::Bool(*it),
            Ipld::Integer(it) => Node::Integer(*it),
            Ipld::Float(it) => Node::Float(*it),
            Ipld::String(it) => Node::String(it),
            Ipld::Bytes(it) => Node::Bytes(it),
            Ipld::List(it) => Node::List(it.len(), it.iter()),
            Ipld::Map(it) => Node::Map(it.len(), it.iter()),
            Ipld::Link(it) => Node::Link(it),
        })
    }

    fn item(&mut self, items: &mut Self::Items) -> Option<&'a Ipld> {
        items.next()
    }

    fn entry(&mut self, entries: &mut Self::Entries) -> Result<Option<(&'a str, &'a Ipld)>, Failure> {
        Ok(entries.next().map(|(key, value)| (key.as_str(), value)))
    }

    fn is_null(&self, at: &'a Ipld) -> bool {
        matches!(at, Ipld::Null)
    }

    fn cid(&self, link: &'a Cid) -> Cid {
        *link
    }

    fn whole(&mut self, at: &'a Ipld) -> Result<Ipld, Failure> {
        // Before it is cloned, which would go as deep as it does.
        arena::check(at)?;
        Ok(at.clone())
    }

    fn refuse(ty: &Type, mismatch: impl FnOnce() -> Mismatch) -> Failure {
        failure(ty, mismatch())
    }

    fn kind(at: &'a Ipld, ty: &Type) -> Failure {
        failure(ty, Mismatch::Kind { found: describe(at) })
    }

    fn no_payload(at: &'a Ipld) -> Failure {
        let found = format!("{} where null stands for no payload", describe(at));
        failure(&Type::result(None, None), Mismatch::Kind { found })
    }

    fn misfit(at: &'a Ipld, ty: &Type, fields: &Members<Field>) -> Failure {
        match at {
            Ipld::Map(map) => misfit(map, ty, fields),
            _ => Self::kind(at, ty),
        }
    }

    fn step(mut failure: Failure, segment: impl FnOnce() -> Segment) -> Failure {
        failure.path.push(segment());
        failure
    }

    fn failed(failure: Failure) -> Failure {
        failure
    }
}
