//! A strict reader that is asked for one item after the other.

use std::cmp::Ordering;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use super::{DecodeError, DecodeErrorKind as Kind, Limits};
use crate::error::{Failure, Mismatch, Segment};
use crate::members::canonical_order;
use crate::source::{Node, Place, Source};
use crate::{Field, Members, Type, arena};

/// A position in bytes that are being read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    /// How many values may still come.
    items: usize,
}

/// Why the straight path gives up. Where only the value does not fit its type, the error says nothing true: nobody is shown
/// it.
#[derive(Debug)]
pub(crate) struct Rejected(pub(crate) DecodeError);

impl From<DecodeError> for Rejected {
    fn from(error: DecodeError) -> Self {
        Self(error)
    }
}

/// What is left of a list that stands `depth` deep.
#[derive(Debug)]
pub(crate) struct Items {
    left: usize,
    depth: usize,
}

/// What is left of a map that stands `depth` deep.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    left: usize,
    depth: usize,
    previous: Option<&'a [u8]>,
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
pub(crate) const NULL: u8 = 0xf6;

/// The start of an item.
struct Head {
    major: u8,
    info: u8,
    argument: u64,
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.bytes {
            return Err(DecodeError { offset: limits.bytes, kind: Kind::TooManyBytes(limits.bytes) });
        }
        Ok(Self { bytes, at: 0, limits: *limits, items: limits.items })
    }

    /// The depth at which the whole stands.
    pub(crate) fn start(&mut self) -> Result<usize, DecodeError> {
        self.admit(1, 0).map(|()| 0)
    }

    /// Checks that nothing follows.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError { offset: self.at, kind: Kind::Trailing }) }
    }

    /// Counts values that are about to be read, before there is room made for them. Those of a list or map are counted all
    /// at once: otherwise lists inside each other could each make room for as many as one of them may have.
    fn admit(&mut self, values: usize, offset: usize) -> Result<(), DecodeError> {
        let kind = Kind::TooManyItems(self.limits.items);
        self.items = self.items.checked_sub(values).ok_or(DecodeError { offset, kind })?;
        Ok(())
    }

    /// The number of entries of a list or map, once it is sure that they can be there and may be.
    fn count(&mut self, head: &Head, depth: usize, bytes_each: usize) -> Result<usize, DecodeError> {
        let error = |kind| DecodeError { offset: head.offset, kind };
        if depth >= self.limits.depth {
            return Err(error(Kind::TooDeep(self.limits.depth)));
        }
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(head.argument).ok().filter(|length| *length <= left / bytes_each);
        let length = length.ok_or_else(|| error(Kind::Truncated))?;
        self.admit(length, head.offset)?;
        Ok(length)
    }

    /// Steps over the content of a string.
    #[inline]
    fn content(&mut self, head: &Head) -> Result<&'a [u8], DecodeError> {
        let content = usize::try_from(head.argument)
            .ok()
            .and_then(|length| self.bytes.get(self.at..)?.get(..length))
            .ok_or(DecodeError { offset: head.offset, kind: Kind::Truncated })?;
        self.at += content.len();
        Ok(content)
    }

    #[inline]
    fn text(&mut self, head: &Head) -> Result<&'a str, DecodeError> {
        let content = self.content(head)?;
        str::from_utf8(content).map_err(|_| DecodeError { offset: head.offset, kind: Kind::Utf8 })
    }

    /// The bytes of the next key of a map, and where it stands.
    #[inline]
    fn key(&mut self, entries: &mut Entries<'a>) -> Result<Option<(usize, &'a [u8])>, DecodeError> {
        let Some(left) = entries.left.checked_sub(1) else { return Ok(None) };
        entries.left = left;
        let head = self.head()?;
        if head.major != TEXT {
            return Err(DecodeError { offset: head.offset, kind: Kind::Key });
        }
        Ok(Some((head.offset, self.content(&head)?)))
    }

    /// Checks that a key comes after the one before it.
    #[inline]
    fn after(entries: &mut Entries<'a>, key: &'a [u8], offset: usize) -> Result<(), DecodeError> {
        match entries.previous.replace(key).map_or(Ordering::Less, |previous| canonical_order(previous, key)) {
            Ordering::Less => Ok(()),
            Ordering::Equal => Err(DecodeError { offset, kind: Kind::DuplicateKey }),
            Ordering::Greater => Err(DecodeError { offset, kind: Kind::KeyOrder }),
        }
    }

    /// The CID after a tag.
    fn link(&mut self, tag: &Head) -> Result<&'a [u8], DecodeError> {
        let error = DecodeError { offset: tag.offset, kind: Kind::Link };
        let head = self.head()?;
        if head.major != BYTES {
            return Err(DecodeError { offset: head.offset, ..error });
        }
        match self.content(&head)?.split_first() {
            Some((0, bytes)) if arena::cid(bytes).is_some() => Ok(bytes),
            _ => Err(error),
        }
    }

    #[inline]
    fn head(&mut self) -> Result<Head, DecodeError> {
        let offset = self.at;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let Some((&initial, rest)) = rest.split_first() else {
            return Err(DecodeError { offset, kind: Kind::Truncated });
        };
        let (major, info) = (initial >> 5, initial & 0x1f);
        if info < 24 {
            self.at = offset + 1;
            return Ok(Head { major, info, argument: info.into(), offset });
        }
        self.long_head(major, info, rest, offset)
    }

    #[inline]
    fn long_head(&mut self, major: u8, info: u8, rest: &[u8], offset: usize) -> Result<Head, DecodeError> {
        let error = |kind| Err(DecodeError { offset, kind });
        let (argument, width, least) = match (info, rest) {
            (24, [byte, ..]) => (u64::from(*byte), 1, 24),
            (25, _) if let Some(bytes) = rest.first_chunk() => (u16::from_be_bytes(*bytes).into(), 2, 1 << 8),
            (26, _) if let Some(bytes) = rest.first_chunk() => (u32::from_be_bytes(*bytes).into(), 4, 1 << 16),
            (27, _) if let Some(bytes) = rest.first_chunk() => (u64::from_be_bytes(*bytes), 8, 1 << 32),
            (24..=27, _) => return error(Kind::Truncated),
            (31, _) if (BYTES..=MAP).contains(&major) => return error(Kind::Indefinite),
            _ => return error(Kind::Reserved),
        };
        // The bits of a float are not a number that could be shorter.
        if argument < least && major != 7 {
            return error(Kind::LongForm);
        }
        self.at = offset + 1 + width;
        Ok(Head { major, info, argument, offset })
    }
}

impl<'a> Source<'a> for Reader<'a> {
    /// The depth. The next item is the one that is looked at.
    type At = usize;
    type Items = Items;
    type Entries = Entries<'a>;
    /// A CID, checked.
    type Link = &'a [u8];
    type Fail = Rejected;

    #[inline]
    fn look(&mut self, depth: usize) -> Result<Node<'a, Self>, Rejected> {
        let head = self.head()?;
        let error = |kind| Err(DecodeError { offset: head.offset, kind }.into());
        Ok(match head.major {
            UNSIGNED => Node::Integer(head.argument.into()),
            NEGATIVE => Node::Integer(-1 - i128::from(head.argument)),
            BYTES => Node::Bytes(self.content(&head)?),
            TEXT => Node::String(self.text(&head)?),
            LIST => {
                let left = self.count(&head, depth, 1)?;
                Node::List(left, Items { left, depth })
            }
            MAP => {
                let left = self.count(&head, depth, 2)?;
                Node::Map(left, Entries { left, depth, previous: None })
            }
            TAG if head.argument == 42 => Node::Link(self.link(&head)?),
            TAG => return error(Kind::Tag(head.argument)),
            _ => match head.info {
                20 => Node::Bool(false),
                21 => Node::Bool(true),
                22 => Node::Null,
                25 | 26 => return error(Kind::SmallFloat),
                27 => match f64::from_bits(head.argument) {
                    float if float.is_finite() => Node::Float(float),
                    _ => return error(Kind::NotFinite),
                },
                _ => return error(Kind::Simple),
            },
        })
    }

    #[inline]
    fn item(&mut self, items: &mut Items) -> Option<usize> {
        items.left = items.left.checked_sub(1)?;
        Some(items.depth + 1)
    }

    fn entry(&mut self, entries: &mut Entries<'a>) -> Result<Option<(&'a str, usize)>, Rejected> {
        let Some((offset, key)) = self.key(entries)? else { return Ok(None) };
        let key = str::from_utf8(key).map_err(|_| DecodeError { offset, kind: Kind::Utf8 })?;
        Self::after(entries, key.as_bytes(), offset)?;
        Ok(Some((key, entries.depth + 1)))
    }

    #[inline]
    fn field(
        &mut self,
        entries: &mut Entries<'a>,
        fields: &Members<Field>,
        nth: usize,
    ) -> Result<Option<Place<usize>>, Rejected> {
        let Some((offset, key)) = self.key(entries)? else { return Ok(None) };
        let field = match fields.near(nth, key) {
            // The bytes of a name are UTF-8.
            Some(place) => Some(place),
            None => {
                let key = str::from_utf8(key).map_err(|_| DecodeError { offset, kind: Kind::Utf8 })?;
                fields.position(key)
            }
        };
        Self::after(entries, key, offset)?;
        Ok(Some(Place { field, at: entries.depth + 1 }))
    }

    fn is_null(&self, _: usize) -> bool {
        self.bytes.get(self.at) == Some(&NULL)
    }

    fn cid(&self, link: &'a [u8]) -> Cid {
        // Checked when it was read.
        arena::cid(link).unwrap_or_default()
    }

    fn whole(&mut self, depth: usize) -> Result<Ipld, Rejected> {
        Ok(match self.look(depth)? {
            Node::Null => Ipld::Null,
            Node::Bool(it) => Ipld::Bool(it),
            Node::Integer(it) => Ipld::Integer(it),
            Node::Float(it) => Ipld::Float(it),
            Node::String(it) => Ipld::String(it.to_owned()),
            Node::Bytes(it) => Ipld::Bytes(it.to_vec()),
            Node::List(len, mut items) => {
                let mut list = Vec::with_capacity(len);
                while let Some(at) = self.item(&mut items) {
                    list.push(self.whole(at)?);
                }
                Ipld::List(list)
            }
            Node::Map(_, mut entries) => {
                let mut map = std::collections::BTreeMap::new();
                while let Some((key, at)) = self.entry(&mut entries)? {
                    map.insert(key.to_owned(), self.whole(at)?);
                }
                Ipld::Map(map)
            }
            Node::Link(link) => Ipld::Link(self.cid(link)),
        })
    }

    fn refuse(_: &Type, _: impl FnOnce() -> Mismatch) -> Rejected {
        REJECTED
    }

    fn kind(_: usize, _: &Type) -> Rejected {
        REJECTED
    }

    fn no_payload(_: usize) -> Rejected {
        REJECTED
    }

    fn misfit(_: usize, _: &Type, _: &Members<Field>) -> Rejected {
        REJECTED
    }

    fn step(fail: Rejected, _: impl FnOnce() -> Segment) -> Rejected {
        fail
    }

    fn failed(_: Failure) -> Rejected {
        REJECTED
    }
}

/// The value does not fit its type.
const REJECTED: Rejected = Rejected(DecodeError { offset: 0, kind: Kind::Truncated });
