//! The reader. A parser of YAML gives the events; what they mean, and what is not taken, is decided here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use ucan_core::{Ipld, Place, Position, Segment, dagjson};

use super::{YamlError, YamlErrorKind as Kind, scalar};

/// How deep lists and maps may be nested, as in DAG-JSON.
const DEPTH: usize = 128;
/// How many values there may be.
const VALUES: usize = 1 << 20;
/// How many bytes a text may have.
const BYTES: usize = 16 << 20;
/// How many characters of a text are repeated in a message.
const EXCERPT: usize = 64;

/// Reads the one document of a text.
///
/// # Errors
///
/// When the text is not YAML as it is taken here, nests deeper than 128, or has more than 2^20 values or 16 MiB; the error has the line
/// and the column.
pub fn decode(yaml: &[u8]) -> Result<Ipld, YamlError> {
    let mut reader = Reader::new(text(yaml)?);
    let (event, span) = reader.document()?;
    let value = reader.value(event, span, 0)?;
    reader.end()?;
    Ok(value)
}

/// Finds a part of the value that a text spells; `None` where it has no such part. The text is read again for that, up to the part:
/// it costs nothing to those who need no positions.
#[must_use]
pub fn locate(yaml: &[u8], place: &Place) -> Option<Position> {
    let mut reader = Reader::new(text(yaml).ok()?);
    reader.seek(place).ok().flatten()
}

fn text(yaml: &[u8]) -> Result<&str, YamlError> {
    if yaml.len() > BYTES {
        return Err(YamlError { kind: Kind::TooLong(BYTES), position: Position { line: 1, column: 1 } });
    }
    str::from_utf8(yaml).map_err(|error| {
        let before = String::from_utf8_lossy(&yaml[..error.valid_up_to()]).into_owned();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let position = Position { line: 1 + before.matches('\n').count(), column: 1 + line.chars().count() };
        YamlError { kind: Kind::Utf8, position }
    })
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    values: usize,
}

type Node<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { parser: Parser::new_from_str(text), values: 0 }
    }

    fn next(&mut self) -> Result<Node<'a>, YamlError> {
        match self.parser.next_event() {
            Some(Ok(node)) => Ok(node),
            Some(Err(error)) => Err(refused(Kind::Syntax(excerpt(error.info())), *error.marker())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The first node of the first document.
    fn document(&mut self) -> Result<Node<'a>, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::Nothing | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd, span) => return Err(refused(Kind::Empty, span.start)),
                node => return Ok(node),
            }
        }
    }

    /// There is nothing after the document.
    fn end(&mut self) -> Result<(), YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => return Err(refused(Kind::Second, span.start)),
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Ipld, YamlError> {
        let start = span.start;
        self.values += 1;
        if self.values > VALUES {
            return Err(refused(Kind::TooMany(VALUES), start));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => scalar(&text, style, anchor, tag, start),
            Event::SequenceStart(anchor, tag) => {
                collection(anchor, tag, "seq", depth, start)?;
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(Ipld::List(list)),
                        (event, span) => list.push(self.value(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                collection(anchor, tag, "map", depth, start)?;
                let mut map = BTreeMap::new();
                while let Some((key, at)) = self.key()? {
                    let (event, span) = self.next()?;
                    let value = self.value(event, span, depth + 1)?;
                    if map.contains_key(&key) {
                        return Err(refused(Kind::DuplicateKey(excerpt(&key)), at));
                    }
                    map.insert(key, value);
                }
                dagjson::meaning(map).ok_or_else(|| refused(Kind::Reserved, start))
            }
            Event::Alias(_) => Err(refused(Kind::Alias, start)),
            _ => Err(refused(Kind::Empty, start)),
        }
    }

    /// The next key of a map, unless it is over.
    fn key(&mut self) -> Result<Option<(String, Marker)>, YamlError> {
        let (event, span) = self.next()?;
        match event {
            Event::MappingEnd => Ok(None),
            Event::Scalar(text, style, anchor, tag) => match scalar(&text, style, anchor, tag, span.start)? {
                Ipld::String(key) => Ok(Some((key, span.start))),
                _ => Err(refused(Kind::Key, span.start)),
            },
            Event::Alias(_) => Err(refused(Kind::Alias, span.start)),
            _ => Err(refused(Kind::Key, span.start)),
        }
    }

    fn seek(&mut self, place: &Place) -> Result<Option<Position>, YamlError> {
        let (mut event, mut span) = self.document()?;
        let mut key = span.start;
        for segment in place.segments() {
            key = match (event, segment) {
                (Event::MappingStart(..), Segment::Key(wanted)) => loop {
                    let Some((key, at)) = self.key()? else { return Ok(None) };
                    if *key == **wanted {
                        break at;
                    }
                    self.skip()?;
                },
                (Event::SequenceStart(..), Segment::Index(index)) => {
                    for _ in 0..*index {
                        if !self.skip()? {
                            return Ok(None);
                        }
                    }
                    span.start
                }
                _ => return Ok(None),
            };
            let at_index = matches!(segment, Segment::Index(_));
            (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(None);
            }
            if at_index {
                key = span.start;
            }
        }
        Ok(Some(position(if place.is_at_key() { key } else { span.start })))
    }

    /// Passes over a node; `false` where there is none, but the end of the list.
    fn skip(&mut self) -> Result<bool, YamlError> {
        let mut open = 0_usize;
        loop {
            match self.next()?.0 {
                Event::SequenceEnd if open == 0 => return Ok(false),
                Event::StreamEnd => return Ok(false),
                Event::SequenceStart(..) | Event::MappingStart(..) => open += 1,
                Event::SequenceEnd | Event::MappingEnd => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return Ok(true);
            }
        }
    }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    anchor: usize,
    tag: Option<Cow<'_, Tag>>,
    start: Marker,
) -> Result<Ipld, YamlError> {
    if anchor != 0 {
        return Err(refused(Kind::Anchor, start));
    }
    let meant = match tag {
        Some(tag) => {
            core(&tag).and_then(|name| scalar::tagged(name, text)).unwrap_or_else(|| Err(Kind::Tag(spelled(&tag))))
        }
        None if style == ScalarStyle::Plain => scalar::plain(text),
        None => Ok(Ipld::String(text.to_owned())),
    };
    meant.map_err(|kind| refused(kind, start))
}

/// Whether a list or a map may begin here.
fn collection(
    anchor: usize,
    tag: Option<Cow<'_, Tag>>,
    name: &str,
    depth: usize,
    start: Marker,
) -> Result<(), YamlError> {
    let kind = match tag {
        _ if depth >= DEPTH => Kind::TooDeep(DEPTH),
        _ if anchor != 0 => Kind::Anchor,
        Some(tag) if core(&tag) != Some(name) => Kind::Tag(spelled(&tag)),
        _ => return Ok(()),
    };
    Err(refused(kind, start))
}

/// The name of a tag of the core schema.
fn core(tag: &Tag) -> Option<&str> {
    tag.is_yaml_core_schema().then_some(tag.suffix.as_str())
}

/// A tag as it is written, by the handles that it has unless the text gives it others.
fn spelled(tag: &Tag) -> String {
    excerpt(&match core(tag) {
        Some(name) => format!("!!{name}"),
        None => format!("{}{}", tag.handle, tag.suffix),
    })
}

fn refused(kind: Kind, at: Marker) -> YamlError {
    YamlError { kind, position: position(at) }
}

fn position(at: Marker) -> Position {
    // At the end of an empty text, the parser has not begun to count.
    Position { line: at.line().max(1), column: at.col() + 1 }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}
