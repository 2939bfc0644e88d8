//! The single-pass reader.

use std::{collections::BTreeMap, ops::Range};

use super::{DecodeError, DecodeErrorKind as Kind, Limits, canonical_order};
use crate::{Ipld, block};

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

    fn value_at(&mut self, depth: usize) -> Result<Ipld, DecodeError> {
        let head = self.head()?;
        let error = |kind| Err(DecodeError { offset: head.offset, kind });
        match head.major {
            UNSIGNED => Ok(Ipld::Integer(i128::from(head.argument))),
            NEGATIVE => Ok(Ipld::Integer(-1 - i128::from(head.argument))),
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
                self.entries(length, depth).map(Ipld::Map)
            }
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

    fn entries(&mut self, length: usize, depth: usize) -> Result<BTreeMap<String, Ipld>, DecodeError> {
        let mut entries = Vec::with_capacity(length);
        let mut previous: Option<&str> = None;
        for _ in 0..length {
            let offset = self.at;
            let key = self.text("a text string as a map key")?;
            match previous.map(|previous| canonical_order(previous, key)) {
                None | Some(std::cmp::Ordering::Less) => {}
                Some(std::cmp::Ordering::Equal) => {
                    return Err(DecodeError { offset, kind: Kind::DuplicateKey(crate::text::excerpt(key)) });
                }
                Some(std::cmp::Ordering::Greater) => {
                    return Err(DecodeError { offset, kind: Kind::KeyOrder });
                }
            }
            self.make_room(key.len(), offset)?;
            previous = Some(key);
            entries.push((key.to_owned(), self.value_at(depth + 1)?));
        }
        Ok(entries.into_iter().collect())
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
        let error = |kind| DecodeError { offset, kind };
        let rest = &self.bytes[offset..];
        let (initial, rest) = rest.split_first().ok_or_else(|| error(Kind::Truncated))?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let width = match info {
            0..=23 => 0,
            24..=27 => 1 << (info - 24),
            28..=30 => return Err(error(Kind::Reserved)),
            _ => {
                return Err(error(if (BYTES..=MAP).contains(&major) { Kind::Indefinite } else { Kind::Reserved }));
            }
        };
        let argument = if width == 0 {
            u64::from(info)
        } else {
            let argument = rest.get(..width).ok_or_else(|| error(Kind::Truncated))?;
            argument.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        // The bits of a float are not a number that could be shorter.
        let shortest = major == 7
            || match width {
                0 => true,
                1 => argument >= 24,
                _ => argument >> (4 * width) != 0,
            };
        if !shortest {
            return Err(error(Kind::LongForm));
        }
        self.at = offset + 1 + width;
        Ok(Head { major, info, argument, offset })
    }
}
