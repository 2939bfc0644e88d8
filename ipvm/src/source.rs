use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ipvm_workflow::{Document, DocumentError};
use ucan_core::{Cid, Ipld, block, dagjson};
use ucan_invocation::visit;

use crate::file;

/// A workflow in a file, with the blocks in files that it lists.
///
/// `meta.blocks` lists files, relative to the document. One that is linked to by a task is kept in the store of whoever
/// runs the workflow, so that a workflow and its components can be handed over as a folder. A file that no task links to
/// by its hash is not taken, whatever the document says.
#[derive(Clone, Debug)]
pub struct Source {
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
    /// It is not DAG-JSON.
    #[error("{} is not JSON: {error}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, at which line and column.
        error: dagjson::JsonError,
    },
    /// It is JSON, and not a workflow.
    #[error("{} is not a workflow: {error}", .path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: DocumentError,
    },
    /// `meta.blocks` is not a list of relative paths.
    #[error("{}: meta.blocks is to be a list of paths relative to the document; {problem}", .path.display())]
    Blocks {
        /// The file.
        path: PathBuf,
        /// What stands there.
        problem: String,
    },
}

impl Source {
    /// Reads the document at `path` and the blocks that it links to.
    ///
    /// # Errors
    /// [`SourceError`] names the file, and where in it.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let read = |path: &Path| read_file(path).map_err(|source| SourceError::Io { path: path.to_owned(), source });
        let value =
            dagjson::decode(&read(path)?).map_err(|error| SourceError::Json { path: path.to_owned(), error })?;
        let document =
            Document::parse(&value).map_err(|error| SourceError::Document { path: path.to_owned(), error })?;
        let linked = links(&document);
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut blocks, mut unlinked) = (Vec::new(), Vec::new());
        for file in listed(path, &document)? {
            let file = folder.join(file);
            let bytes = read(&file)?;
            let cid = block::raw_cid(&bytes);
            if linked.contains(&cid) {
                blocks.push((cid, bytes.into()));
            } else {
                unlinked.push((file, cid));
            }
        }
        Ok(Self { document, blocks, unlinked })
    }
}

/// Reads a file that a document names, which may be anything: only a regular one, and only so much of it.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening can wait for ever, as on a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file::read_file(path, file::LARGEST)
}

fn listed<'a>(path: &Path, document: &'a Document) -> Result<Vec<&'a str>, SourceError> {
    let refused = |problem: String| SourceError::Blocks { path: path.to_owned(), problem };
    let items = match document.meta().get("blocks") {
        None => return Ok(Vec::new()),
        Some(Ipld::List(items)) => items,
        Some(_) => return Err(refused("it is not a list".to_owned())),
    };
    items
        .iter()
        .map(|item| match item {
            Ipld::String(file) if Path::new(file).is_relative() => Ok(file.as_str()),
            other => Err(refused(format!("found {}", dagjson::encode(other)))),
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
