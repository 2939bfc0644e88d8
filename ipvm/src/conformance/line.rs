//! Lines, and the members of the one object that a line is.

use std::io::{self, BufRead};

/// A line of the input.
pub(super) enum Line {
    /// It, without its end.
    Whole(Vec<u8>),
    /// It had more bytes than are read, all of which were passed over.
    TooLong,
}

/// The next line, if there is one; of one that is too long, no more is held than the limit.
pub(super) fn next_line(input: &mut impl BufRead, limit: usize) -> io::Result<Option<Line>> {
    let (mut line, mut length, mut some) = (Vec::new(), 0_usize, false);
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            break;
        }
        some = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        length = length.saturating_add(part.len());
        if length <= limit {
            line.extend_from_slice(part);
        } else {
            line = Vec::new();
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(some.then_some(if length <= limit { Line::Whole(line) } else { Line::TooLong }))
}

/// About how many bytes the values of a request may take in memory.
const MEMORY: usize = 512 << 20;
/// About what a value takes, and what a map takes beyond its values.
const VALUE: usize = 112;
const NODE: usize = 1536;

/// Why a line is not taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not one JSON object; what was expected where, counted in bytes.
    Syntax(&'static str, usize),
    /// Its values would take too much memory.
    TooMuch,
}

/// The names and the unread texts of the members of a JSON object, in their order.
///
/// Brackets and strings are matched, so that where a member ends is certain. The texts themselves are read by whoever knows
/// what they are to be.
pub(super) fn members(line: &str) -> Result<Vec<(&str, &str)>, Problem> {
    let mut scanner = Scanner { text: line, at: 0, memory: 0 };
    let mut members = Vec::new();
    scanner.space();
    scanner.expect(b'{', "an object")?;
    scanner.space();
    if !scanner.take(b'}') {
        loop {
            scanner.space();
            let name = scanner.string()?;
            scanner.space();
            scanner.expect(b':', "`:`")?;
            scanner.space();
            members.push((name, scanner.value()?));
            scanner.space();
            if scanner.take(b'}') {
                break;
            }
            scanner.expect(b',', "`,` or `}`")?;
        }
    }
    scanner.space();
    if scanner.at == line.len() { Ok(members) } else { Err(Problem::Syntax("nothing after the object", scanner.at)) }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    memory: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Problem> {
        if self.take(byte) { Ok(()) } else { Err(Problem::Syntax(expected, self.at)) }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A string with its quotes, escapes as they are.
    fn string(&mut self) -> Result<&'a str, Problem> {
        let start = self.at;
        self.expect(b'"', "a string")?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.since(start));
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(Problem::Syntax("the end of a string", self.text.len())),
            }
        }
    }

    fn value(&mut self) -> Result<&'a str, Problem> {
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.peek() {
                None => break,
                Some(b'"') => {
                    self.string()?;
                    self.count(VALUE)?;
                }
                Some(b'{') => {
                    open.push(b'}');
                    self.count(NODE)?;
                    self.at += 1;
                }
                Some(b'[') => {
                    open.push(b']');
                    self.count(VALUE)?;
                    self.at += 1;
                }
                Some(end @ (b'}' | b']')) => match open.pop() {
                    Some(expected) if expected == end => self.at += 1,
                    Some(_) => return Err(Problem::Syntax("the bracket that closes the last one", self.at)),
                    None => break,
                },
                Some(b',') if open.is_empty() => break,
                Some(b',') => {
                    self.count(VALUE)?;
                    self.at += 1;
                }
                Some(b' ' | b'\t' | b'\r') if open.is_empty() => break,
                Some(_) => self.at += 1,
            }
        }
        match open.is_empty() && self.at > start {
            true => Ok(self.since(start)),
            false => Err(Problem::Syntax("a value", self.at)),
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Problem> {
        self.memory += bytes;
        if self.memory > MEMORY { Err(Problem::TooMuch) } else { Ok(()) }
    }
}
