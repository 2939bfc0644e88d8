use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ipvm_workflow::{Document, DocumentError};
use ucan_core::{Cid, Ipld, Place, block, dagjson};
use ucan_invocation::visit;

use crate::text::TextError;
use crate::{NodeError, Spot, Text, fault, file};

/// A workflow in a file, in DAG-JSON or YAML, with the blocks in files that it lists.
///
/// `meta.blocks` lists files, relative to the document. One that is linked to by a task is kept in the store of whoever
/// runs the workflow, so that a workflow and its components can be handed over as a folder. A file that no task links to
/// by its hash is not taken, whatever the document says.
#[derive(Clone, Debug)]
pub struct Source {
    /// The text of the document.
    pub text: Text,
    /// The document.
    pub document: Document,
    /// The blocks that its tasks link to.
    pub blocks: Vec<(Cid, Bytes)>,
    /// Files that `meta.blocks` lists and no task links to, with their CIDs: often a component that was built anew.
    pub unlinked: Vec<(PathBuf, Cid)>,
}

/// Why a workflow cannot be read from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not in the format that its name says.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It is in its format, and not a workflow.
    #[error("{} is not a workflow: {error}", .path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which part.
        error: DocumentError,
        /// Where that stands.
        spot: Option<Box<Spot>>,
    },
    /// `meta.blocks` is not a list of relative paths.
    #[error("{}: meta.blocks is to be a list of paths relative to the document; {problem}", .path.display())]
    Blocks {
        /// The file.
        path: PathBuf,
        /// What stands there.
        problem: String,
        /// Where that is.
        spot: Option<Box<Spot>>,
    },
}

impl SourceError {
    /// Where the file is wrong, if that is something in it.
    #[must_use]
    pub fn spot(&self) -> Option<&Spot> {
        match self {
            Self::Io { .. } => None,
            Self::Text(error) => Some(error.spot()),
            Self::Document { spot, .. } | Self::Blocks { spot, .. } => spot.as_deref(),
        }
    }
}

impl Source {
    /// Reads the document at `path` and the blocks that it links to.
    ///
    /// # Errors
    /// [`SourceError`] names the file, and where in it.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let read = |path: &Path| read_file(path).map_err(|source| SourceError::Io { path: path.to_owned(), source });
        let text = Self::text(path)?;
        let document = Document::parse(&text.value()?).map_err(|error| {
            let spot = error.place().and_then(|place| text.spot(place)).map(Box::new);
            SourceError::Document { path: path.to_owned(), error, spot }
        })?;
        let linked = links(&document);
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut blocks, mut unlinked) = (Vec::new(), Vec::new());
        for file in listed(&text, &document)? {
            let file = folder.join(file);
            let bytes = read(&file)?;
            let cid = block::raw_cid(&bytes);
            if linked.contains(&cid) {
                blocks.push((cid, bytes.into()));
            } else {
                unlinked.push((file, cid));
            }
        }
        Ok(Self { text, document, blocks, unlinked })
    }

    /// The text of a document in a file, whatever that says.
    ///
    /// # Errors
    /// [`SourceError::Io`] where it cannot be read, or is too large.
    pub fn text(path: &Path) -> Result<Text, SourceError> {
        let bytes = read_file(path).map_err(|source| SourceError::Io { path: path.to_owned(), source })?;
        Ok(Text::new(path, bytes))
    }

    /// What in the file is at fault where a run of it was refused with this error; empty, where it is something else.
    #[must_use]
    pub fn spots(&self, error: &NodeError) -> Vec<Spot> {
        fault::places(&self.document, error).iter().filter_map(|place| self.text.spot(place)).collect()
    }
}

/// Reads a document, or a file that one names, which may be anything: only a regular one, and only so much of it.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening can wait for ever, as on a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file::read_file(path, file::LARGEST)
}

fn listed<'a>(text: &Text, document: &'a Document) -> Result<Vec<&'a str>, SourceError> {
    let blocks = Place::root().key("meta").key("blocks");
    let refused = |problem: String, place: &Place| {
        let spot = text.spot(place).map(Box::new);
        SourceError::Blocks { path: text.path().to_owned(), problem, spot }
    };
    let items = match document.meta().get("blocks") {
        None => return Ok(Vec::new()),
        Some(Ipld::List(items)) => items,
        Some(_) => return Err(refused("it is not a list".to_owned(), &blocks)),
    };
    items
        .iter()
        .enumerate()
        .map(|(at, item)| match item {
            Ipld::String(file) if Path::new(file).is_relative() => Ok(file.as_str()),
            other => Err(refused(format!("found {}", dagjson::encode(other)), &blocks.index(at))),
        })
        .collect()
}

fn links(document: &Document) -> BTreeSet<Cid> {
    let mut links = BTreeSet::new();
    for value in document.tasks().values().flat_map(|task| task.args.values()) {
        visit(value, &mut |part| {
            match part {
                Ipld::Link(cid) => {
                    links.insert(*cid);
                }
                Ipld::String(text) => {
                    links.extend(text.strip_prefix("ipfs://").and_then(|cid| cid.parse::<Cid>().ok()))
                }
                _ => {}
            }
            true
        });
    }
    links
}
