//! The text of a document, and pointing at parts of it.

use std::fmt;
use std::path::{Path, PathBuf};

use ipvm_workflow::yaml::{self, YamlError};
use ucan_core::dagjson::{self, JsonError};
use ucan_core::{Ipld, Place, Position};

/// How many characters of a line are shown.
const SHOWN: usize = 100;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// DAG-JSON.
    Json,
    /// YAML, with the same meaning.
    Yaml,
}

impl Format {
    /// The format of a file of this name: YAML where it ends in `.yaml` or `.yml`, and DAG-JSON otherwise.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let is = |wanted: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted));
        if is("yaml") || is("yml") { Self::Yaml } else { Self::Json }
    }

    /// Writes a value for people to read.
    #[must_use]
    pub fn encode(self, value: &Ipld) -> String {
        match self {
            Self::Json => dagjson::encode_pretty(value) + "\n",
            Self::Yaml => yaml::encode(value),
        }
    }
}

/// A text that says nothing in its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is {kind}", .spot.path.display())]
pub struct TextError {
    kind: TextErrorKind,
    spot: Box<Spot>,
}

impl TextError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &TextErrorKind {
        &self.kind
    }

    /// Where it is wrong.
    #[must_use]
    pub fn spot(&self) -> &Spot {
        &self.spot
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// It is not DAG-JSON.
    #[error("not JSON: {0}")]
    Json(#[from] JsonError),
    /// It is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] YamlError),
}

/// The text of a document, which says where its parts stand.
#[derive(Clone, Debug)]
pub struct Text {
    path: PathBuf,
    bytes: Vec<u8>,
    format: Format,
}

impl Text {
    /// A text that was read from a file of this name, which says how it is written.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        let path = path.into();
        Self { format: Format::of(&path), path, bytes }
    }

    /// What it says.
    ///
    /// # Errors
    /// [`TextError`] where it is not written in its format.
    pub fn value(&self) -> Result<Ipld, TextError> {
        let (position, kind) = match self.format {
            Format::Json => match dagjson::decode(&self.bytes) {
                Ok(value) => return Ok(value),
                Err(error) => (error.position(), error.into()),
            },
            Format::Yaml => match yaml::decode(&self.bytes) {
                Ok(value) => return Ok(value),
                Err(error) => (error.position(), error.into()),
            },
        };
        Err(TextError { kind, spot: Box::new(self.spot_at(position)) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a part of its value stands, if it has that part.
    #[must_use]
    pub fn spot(&self, place: &Place) -> Option<Spot> {
        let position = match self.format {
            Format::Json => dagjson::locate(&self.bytes, place),
            Format::Yaml => yaml::locate(&self.bytes, place),
        }?;
        Some(self.spot_at(position))
    }

    /// What stands at a position of it.
    #[must_use]
    pub fn spot_at(&self, position: Position) -> Spot {
        let line = self.bytes.split(|byte| *byte == b'\n').nth(position.line.saturating_sub(1)).unwrap_or_default();
        Spot::new(self.path.clone(), position, &String::from_utf8_lossy(line))
    }
}

/// Something in a text, to be pointed at: its line with a mark under it, where it is displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: Position,
    /// The line, or a part of it where it is long; without its end.
    shown: String,
    /// How many characters of `shown` come before what is meant.
    before: usize,
}

impl Spot {
    fn new(path: PathBuf, position: Position, line: &str) -> Self {
        let at = position.column.saturating_sub(1);
        // A third of it before what is meant, where not all can be shown.
        let from = if line.chars().count() > SHOWN { at.saturating_sub(SHOWN / 3) } else { 0 };
        let shown = line.trim_end().chars().skip(from).take(SHOWN);
        let shown: String = shown.map(|char| if char == '\t' { ' ' } else { char }).collect();
        Self { path, position, shown, before: at - from }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        let margin = line.to_string().len();
        writeln!(f, "{:margin$}--> {}:{line}:{column}", "", self.path.display())?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{line} | {}", self.shown)?;
        write!(f, "{:margin$} | {:before$}^", "", "", before = self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: &str, column: usize) -> Spot {
        Spot::new(PathBuf::from("a.json"), Position { line: 12, column }, line)
    }

    #[test]
    fn a_mark_stands_under_what_is_meant() {
        assert_eq!(
            spot("  \"é\": \"x\",\r", 8).to_string(),
            "  --> a.json:12:8\n   |\n12 |   \"é\": \"x\",\n   |        ^"
        );
        assert_eq!(spot("\t- x", 4).to_string(), "  --> a.json:12:4\n   |\n12 |  - x\n   |    ^");
        // At the end of a text, there is nothing.
        assert_eq!(spot("", 1).to_string(), "  --> a.json:12:1\n   |\n12 | \n   | ^");
        let long = format!("{}é!{}", "a".repeat(10_000), "b".repeat(10_000));
        let shown = spot(&long, 10_002).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let mark = lines[3].chars().position(|char| char == '^').unwrap();
        assert_eq!(lines[2].chars().nth(mark), Some('!'));
        assert_eq!(lines[2].chars().count(), 5 + SHOWN);
    }

    #[test]
    fn the_name_says_the_format() {
        for (name, format) in
            [("a.yaml", Format::Yaml), ("a.YML", Format::Yaml), ("a.json", Format::Json), ("yaml", Format::Json)]
        {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
