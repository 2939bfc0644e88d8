//! The reader.
//!
//! Written out by hand because what is wanted of it does not come out of a general JSON reader: integers of more than 64
//! bits, duplicate keys as errors, and a position for every complaint.

use std::collections::BTreeMap;

use data_encoding::BASE64_NOPAD;

use super::{JsonError, JsonErrorKind as Kind};
use crate::{Ipld, Place, Position, Segment, block, text::excerpt};

/// How deep lists and maps may be nested, as in DAG-CBOR.
const DEPTH: usize = 128;

/// Reads one value that takes up all of a text, white space aside.
///
/// # Errors
///
/// When the text is not DAG-JSON, or nests deeper than 128; the error has the line and the column.
pub fn decode(json: &[u8]) -> Result<Ipld, JsonError> {
    let mut reader = Reader { json, at: 0 };
    reader.read().map_err(|(offset, kind)| JsonError { kind, position: position(json, offset) })
}

/// Finds a part of the value that a text spells; `None` where it has no such part. The text is read again for that, up to the part:
/// it costs nothing to those who need no positions.
pub fn locate(json: &[u8], place: &Place) -> Option<Position> {
    let offset = Reader { json, at: 0 }.seek(place)?;
    Some(position(json, offset))
}

fn position(json: &[u8], offset: usize) -> Position {
    let before = &json[..offset.min(json.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
    Position { line, column }
}

struct Reader<'a> {
    json: &'a [u8],
    at: usize,
}

/// Where, and what.
type Error = (usize, Kind);

impl Reader<'_> {
    fn read(&mut self) -> Result<Ipld, Error> {
        self.space();
        let value = self.value(0)?;
        self.space();
        if self.at == self.json.len() { Ok(value) } else { Err((self.at, Kind::Trailing)) }
    }

    /// The offset of a part.
    fn seek(&mut self, place: &Place) -> Option<usize> {
        self.space();
        let mut found = self.at;
        for segment in place.segments() {
            let opened = match segment {
                Segment::Key(_) => self.take(b'{'),
                Segment::Index(_) => self.take(b'['),
            };
            if !opened {
                return None;
            }
            let mut passed = 0;
            loop {
                self.space();
                found = self.at;
                let there = match segment {
                    Segment::Key(wanted) => {
                        let key = self.string().ok()?;
                        self.space();
                        self.expect(b':', "`:`").ok()?;
                        self.space();
                        *key == **wanted
                    }
                    Segment::Index(index) => passed == *index,
                };
                if there {
                    break;
                }
                self.value(0).ok()?;
                self.space();
                passed += 1;
                if !self.take(b',') {
                    return None;
                }
            }
        }
        Some(if place.is_at_key() { found } else { self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err((self.at, Kind::Expected(expected))) }
    }

    fn value(&mut self, depth: usize) -> Result<Ipld, Error> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH => Err((self.at, Kind::TooDeep(DEPTH))),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Ipld::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Ipld::Bool(true)),
            Some(b'f') => self.word("false", Ipld::Bool(false)),
            Some(b'n') => self.word("null", Ipld::Null),
            _ => Err((self.at, Kind::Expected("a value"))),
        }
    }

    fn word(&mut self, word: &str, value: Ipld) -> Result<Ipld, Error> {
        if !self.json[self.at..].starts_with(word.as_bytes()) {
            return Err((self.at, Kind::Expected("a value")));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Ipld, Error> {
        self.at += 1;
        let mut list = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Ipld::List(list));
        }
        loop {
            self.space();
            list.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Ipld::List(list));
            }
            self.expect(b',', "`,` or `]`")?;
        }
    }

    fn map(&mut self, depth: usize) -> Result<Ipld, Error> {
        let start = self.at;
        self.at += 1;
        let mut map = BTreeMap::new();
        self.space();
        if self.take(b'}') {
            return Ok(Ipld::Map(map));
        }
        loop {
            self.space();
            let key_start = self.at;
            let key = self.string()?;
            self.space();
            self.expect(b':', "`:`")?;
            self.space();
            let value = self.value(depth + 1)?;
            if map.contains_key(&key) {
                return Err((key_start, Kind::DuplicateKey(excerpt(&key))));
            }
            map.insert(key, value);
            self.space();
            if self.take(b'}') {
                return meaning(map).ok_or((start, Kind::Reserved));
            }
            self.expect(b',', "`,` or `}`")?;
        }
    }

    fn number(&mut self) -> Result<Ipld, Error> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut float = false;
        if self.take(b'.') {
            self.digits()?;
            float = true;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
            float = true;
        }
        let text = str::from_utf8(&self.json[start..self.at]).unwrap_or_default();
        let value = if float {
            text.parse().ok().filter(|float: &f64| float.is_finite()).map(Ipld::Float)
        } else {
            text.parse().ok().map(Ipld::Integer)
        };
        value.ok_or((start, Kind::Number))
    }

    fn digits(&mut self) -> Result<(), Error> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err((self.at, Kind::Expected("a digit")));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, Error> {
        self.expect(b'"', "`\"`")?;
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            let plain = str::from_utf8(&self.json[start..self.at])
                .map_err(|error| (start + error.valid_up_to(), Kind::Utf8))?;
            text.push_str(plain);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err((self.at, Kind::Control)),
                None => return Err((self.at, Kind::Expected("the end of the string"))),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let start = self.at;
        let error = (start, Kind::Escape);
        let letter = self.json.get(start + 1).copied();
        self.at = start + 2;
        Ok(match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex().ok_or(error.clone())?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    let second = (self.take(b'\\') && self.take(b'u')).then(|| self.hex()).flatten();
                    vec![first, second.ok_or(error.clone())?]
                } else {
                    vec![first]
                };
                match char::decode_utf16(units).collect::<Result<Vec<_>, _>>().as_deref() {
                    Ok([char]) => *char,
                    _ => return Err(error),
                }
            }
            _ => return Err(error),
        })
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.json.get(self.at..self.at + 4)?;
        let value = digits.iter().try_fold(0, |sum: u16, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(sum << 4 | u16::try_from(digit).ok()?)
        })?;
        self.at += 4;
        Some(value)
    }
}

/// What a map stands for: a link, bytes, or itself; nothing, if it is one that DAG-JSON reserves and is neither. It is for other
/// spellings of the same data, such as YAML.
///
/// Reserved are a string under `/`, and a map under `/` that has a string under `bytes`.
pub fn meaning(map: BTreeMap<String, Ipld>) -> Option<Ipld> {
    match map.get("/") {
        Some(Ipld::String(cid)) if map.len() == 1 => block::cid_from_text(cid).map(Ipld::Link),
        Some(Ipld::String(_)) => None,
        Some(Ipld::Map(inner)) => match inner.get("bytes") {
            Some(Ipld::String(base64)) if map.len() == 1 && inner.len() == 1 => {
                BASE64_NOPAD.decode(base64.as_bytes()).ok().map(Ipld::Bytes)
            }
            Some(Ipld::String(_)) => None,
            _ => Some(Ipld::Map(map)),
        },
        _ => Some(Ipld::Map(map)),
    }
}
