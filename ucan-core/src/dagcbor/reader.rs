//! The single-pass reader.

use std::{cmp::Ordering, collections::BTreeMap, ops::Range};

use super::{DecodeError, DecodeErrorKind as Kind, Limits, canonical_order};
use crate::{Cid, Ipld, block};

/// A position in bytes that are being read. Every step returns what it read, or where and why it stopped.
///
/// Callers that know the shape of what comes ask for it piece by piece and take byte ranges from
/// [`position`](Self::position); [`value`](Self::value) reads whatever comes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    /// How many values have been read or are about to be.
    items: usize,
    /// About how many bytes of memory they take.
    memory: usize,
}

/// How many entries the nodes of a [`BTreeMap`] have room for.
const NODE: usize = 11;

/// The start of an item: its major type, its argument, and where it is.
struct Head {
    major: u8,
    info: u8,
    argument: u64,
    offset: usize,
}

/// Where a reader is among the entries of a map.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    left: usize,
    previous: Option<&'a str>,
}

impl<'a> Entries<'a> {
    /// Reads the next key and checks that it comes after the one before it; none after the last entry.
    pub(crate) fn next_key(&mut self, reader: &mut Reader<'a>) -> Result<Option<&'a str>, DecodeError> {
        self.next(reader).map(|next| next.map(|(_, key)| key))
    }

    fn next(&mut self, reader: &mut Reader<'a>) -> Result<Option<(usize, &'a str)>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let offset = reader.at;
        let key = reader.text("a text string as a map key")?;
        let order = self.previous.map_or(Ordering::Less, |previous| canonical_order(previous, key));
        match order {
            Ordering::Less => {}
            Ordering::Equal => {
                return Err(DecodeError { offset, kind: Kind::DuplicateKey(crate::text::excerpt(key)) });
            }
            Ordering::Greater => return Err(DecodeError { offset, kind: Kind::KeyOrder }),
        }
        self.previous = Some(key);
        Ok(Some((offset, key)))
    }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.bytes {
            return Err(DecodeError { offset: limits.bytes, kind: Kind::TooManyBytes(limits.bytes) });
        }
        Ok(Self { bytes, at: 0, limits: *limits, items: 0, memory: 0 })
    }

    /// Where the next item starts.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Checks that nothing follows.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError { offset: self.at, kind: Kind::Trailing }) }
    }

    /// Enters a list of exactly `length` items.
    pub(crate) fn list_of(&mut self, length: u64, expected: &'static str) -> Result<(), DecodeError> {
        self.enter(LIST, length, expected)
    }

    /// Enters a map of exactly `length` entries.
    pub(crate) fn map_of(&mut self, length: u64, expected: &'static str) -> Result<(), DecodeError> {
        self.enter(MAP, length, expected)
    }

    fn enter(&mut self, major: u8, length: u64, expected: &'static str) -> Result<(), DecodeError> {
        let offset = self.at;
        let head = self.head()?;
        if (head.major, head.argument) == (major, length) {
            Ok(())
        } else {
            Err(DecodeError { offset, kind: Kind::Expected(expected) })
        }
    }

    /// Reads a byte string; its range excludes the head.
    pub(crate) fn bytes(&mut self, expected: &'static str) -> Result<Range<usize>, DecodeError> {
        let head = self.head()?;
        if head.major != BYTES {
            return Err(DecodeError { offset: head.offset, kind: Kind::Expected(expected) });
        }
        self.range(&head)
    }

    /// Reads a text string.
    pub(crate) fn text(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        let head = self.head()?;
        if head.major != TEXT {
            return Err(DecodeError { offset: head.offset, kind: Kind::Expected(expected) });
        }
        self.text_after(&head)
    }

    /// Reads one particular map key.
    pub(crate) fn key(&mut self, key: &str, expected: &'static str) -> Result<(), DecodeError> {
        let offset = self.at;
        if self.text(expected)? == key { Ok(()) } else { Err(DecodeError { offset, kind: Kind::Expected(expected) }) }
    }

    /// Reads a whole value.
    pub(crate) fn value(&mut self) -> Result<Ipld, DecodeError> {
        self.admit(1, self.at)?;
        self.value_at(0)
    }

    /// Reads a map with its values.
    pub(crate) fn map(&mut self, expected: &'static str) -> Result<BTreeMap<String, Ipld>, DecodeError> {
        let offset = self.at;
        match self.value()? {
            Ipld::Map(map) => Ok(map),
            _ => Err(DecodeError { offset, kind: Kind::Expected(expected) }),
        }
    }

    /// Enters a map, whose entries the caller reads one by one: for each a key, then its value.
    pub(crate) fn entries(&mut self, expected: &'static str) -> Result<Entries<'a>, DecodeError> {
        let head = self.head()?;
        if head.major != MAP {
            return Err(DecodeError { offset: head.offset, kind: Kind::Expected(expected) });
        }
        self.admit(1, head.offset)?;
        let left = self.count(&head, 0, 2)?;
        Ok(Entries { left, previous: None })
    }

    /// Enters a list, whose items the caller reads one by one: as many as are returned.
    pub(crate) fn list(&mut self, expected: &'static str) -> Result<usize, DecodeError> {
        let head = self.head()?;
        if head.major != LIST {
            return Err(DecodeError { offset: head.offset, kind: Kind::Expected(expected) });
        }
        self.count(&head, 0, 1)
    }

    /// Reads a text string without copying it, if one comes next.
    pub(crate) fn text_if(&mut self) -> Result<Option<&'a str>, DecodeError> {
        if self.peek() != Some(TEXT) {
            return Ok(None);
        }
        let head = self.head()?;
        self.text_after(&head).map(Some)
    }

    /// Reads a byte string without copying it, if one comes next.
    pub(crate) fn bytes_if(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.peek() != Some(BYTES) {
            return Ok(None);
        }
        let head = self.head()?;
        self.range(&head).map(|range| Some(&self.bytes[range]))
    }

    /// Reads the value of an entry.
    pub(crate) fn value_of_entry(&mut self) -> Result<Ipld, DecodeError> {
        self.value_at(1)
    }

    /// The major type of what comes next.
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).map(|initial| initial >> 5)
    }

    fn value_at(&mut self, depth: usize) -> Result<Ipld, DecodeError> {
        let head = self.head()?;
        match head.major {
            BYTES => {
                let range = self.range(&head)?;
                self.make_room(range.len(), head.offset)?;
                Ok(Ipld::Bytes(self.bytes[range].to_vec()))
            }
            TEXT => {
                let text = self.text_after(&head)?;
                self.make_room(text.len(), head.offset)?;
                Ok(Ipld::String(text.to_owned()))
            }
            LIST => {
                let length = self.count(&head, depth, 1)?;
                self.make_room(length.saturating_mul(size_of::<Ipld>()), head.offset)?;
                let mut list = Vec::with_capacity(length);
                for _ in 0..length {
                    list.push(self.value_at(depth + 1)?);
                }
                Ok(Ipld::List(list))
            }
            MAP => {
                let length = self.count(&head, depth, 2)?;
                let room = length.next_multiple_of(NODE).saturating_mul(size_of::<(String, Ipld)>());
                self.make_room(room, head.offset)?;
                self.map_of_values(length, depth).map(Ipld::Map)
            }
            _ => self.scalar(&head),
        }
    }

    /// Reads a whole value and keeps the links in it alone, in the order of the bytes.
    pub(crate) fn links(&mut self) -> Result<Vec<Cid>, DecodeError> {
        let mut found = Vec::new();
        self.admit(1, self.at)?;
        self.links_at(0, &mut found)?;
        Ok(found)
    }

    fn links_at(&mut self, depth: usize, found: &mut Vec<Cid>) -> Result<(), DecodeError> {
        let head = self.head()?;
        match head.major {
            BYTES => {
                self.range(&head)?;
            }
            TEXT => {
                self.text_after(&head)?;
            }
            LIST => {
                for _ in 0..self.count(&head, depth, 1)? {
                    self.links_at(depth + 1, found)?;
                }
            }
            MAP => {
                let mut entries = Entries { left: self.count(&head, depth, 2)?, previous: None };
                while entries.next(self)?.is_some() {
                    self.links_at(depth + 1, found)?;
                }
            }
            _ => {
                if let Ipld::Link(cid) = self.scalar(&head)? {
                    found.push(cid);
                }
            }
        }
        Ok(())
    }

    /// Reads what is neither a string nor a list nor a map.
    fn scalar(&mut self, head: &Head) -> Result<Ipld, DecodeError> {
        let error = |kind| Err(DecodeError { offset: head.offset, kind });
        match head.major {
            UNSIGNED => Ok(Ipld::Integer(i128::from(head.argument))),
            NEGATIVE => Ok(Ipld::Integer(-1 - i128::from(head.argument))),
            TAG if head.argument == 42 => {
                let range = self.bytes("a byte string under tag 42")?;
                match self.bytes[range].split_first() {
                    Some((0, cid)) => block::cid_from_bytes(cid).map(Ipld::Link),
                    _ => None,
                }
                .map_or_else(|| error(Kind::Link), Ok)
            }
            TAG => error(Kind::Tag(head.argument)),
            _ => match head.info {
                20 => Ok(Ipld::Bool(false)),
                21 => Ok(Ipld::Bool(true)),
                22 => Ok(Ipld::Null),
                25 | 26 => error(Kind::SmallFloat),
                27 => match f64::from_bits(head.argument) {
                    float if float.is_finite() => Ok(Ipld::Float(float)),
                    _ => error(Kind::NotFinite),
                },
                _ => error(Kind::Simple),
            },
        }
    }

    fn map_of_values(&mut self, length: usize, depth: usize) -> Result<BTreeMap<String, Ipld>, DecodeError> {
        let mut map = BTreeMap::new();
        let mut entries = Entries { left: length, previous: None };
        while let Some((offset, key)) = entries.next(self)? {
            self.make_room(key.len(), offset)?;
            let value = self.value_at(depth + 1)?;
            map.insert(key.to_owned(), value);
        }
        Ok(map)
    }

    /// Counts values that are about to be read, before there is room made for them. Those of a list or map are counted all at
    /// once: otherwise lists inside each other could each make room for as many as one of them may have.
    fn admit(&mut self, values: usize, offset: usize) -> Result<(), DecodeError> {
        let kind = Kind::TooManyItems(self.limits.items);
        if values > self.limits.items - self.items {
            return Err(DecodeError { offset, kind });
        }
        self.items += values;
        Ok(())
    }

    /// Counts memory that is about to be taken.
    fn make_room(&mut self, bytes: usize, offset: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.limits.memory {
            return Err(DecodeError { offset, kind: Kind::TooMuchMemory(self.limits.memory) });
        }
        Ok(())
    }

    /// The number of entries of a list or map, once it is sure that they can be there and may be.
    fn count(&mut self, head: &Head, depth: usize, bytes_each: usize) -> Result<usize, DecodeError> {
        let error = |kind| DecodeError { offset: head.offset, kind };
        if depth >= self.limits.depth {
            return Err(error(Kind::TooDeep(self.limits.depth)));
        }
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(head.argument)
            .ok()
            .filter(|length| *length <= left / bytes_each)
            .ok_or_else(|| error(Kind::Truncated))?;
        self.admit(length, head.offset)?;
        Ok(length)
    }

    /// Steps over the content of a string.
    fn range(&mut self, head: &Head) -> Result<Range<usize>, DecodeError> {
        let start = self.at;
        let end = usize::try_from(head.argument)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= self.bytes.len())
            .ok_or(DecodeError { offset: head.offset, kind: Kind::Truncated })?;
        self.at = end;
        Ok(start..end)
    }

    fn text_after(&mut self, head: &Head) -> Result<&'a str, DecodeError> {
        let range = self.range(head)?;
        str::from_utf8(&self.bytes[range]).map_err(|_| DecodeError { offset: head.offset, kind: Kind::Utf8 })
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let offset = self.at;
        let error = |kind| Err(DecodeError { offset, kind });
        let rest = &self.bytes[offset..];
        let Some((&initial, rest)) = rest.split_first() else {
            return error(Kind::Truncated);
        };
        let (major, info) = (initial >> 5, initial & 0x1f);
        // The bits of a float are not a number that could be shorter.
        let float = major == 7;
        let (argument, width, shortest) = match info {
            0..=23 => (u64::from(info), 0, true),
            24 => match rest.first() {
                Some(byte) => (u64::from(*byte), 1, *byte >= 24),
                None => return error(Kind::Truncated),
            },
            25 => match rest.first_chunk() {
                Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, bytes[0] != 0),
                None => return error(Kind::Truncated),
            },
            26 => match rest.first_chunk() {
                Some(bytes) => (u64::from(u32::from_be_bytes(*bytes)), 4, bytes[..2] != [0; 2]),
                None => return error(Kind::Truncated),
            },
            27 => match rest.first_chunk() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8, bytes[..4] != [0; 4]),
                None => return error(Kind::Truncated),
            },
            31 if (BYTES..=MAP).contains(&major) => return error(Kind::Indefinite),
            _ => return error(Kind::Reserved),
        };
        if !(shortest || float) {
            return error(Kind::LongForm);
        }
        self.at = offset + 1 + width;
        Ok(Head { major, info, argument, offset })
    }
}
