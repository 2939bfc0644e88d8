use std::io;
use std::path::{Path, PathBuf};

use crate::folder::FORMAT;

/// Why a store could not be opened. The texts are meant to be shown as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder that is to hold the store's folder does not exist.
    #[error("cannot create the store {}: its parent folder does not exist; create that first, or name another place", .path.display())]
    MissingParent {
        /// The store's folder.
        path: PathBuf,
    },
    /// There is something else than a folder at this place.
    #[error("{} is not a folder; name a folder for the store, or one that does not exist yet", .path.display())]
    NotAFolder {
        /// The place.
        path: PathBuf,
    },
    /// The folder holds something else than a store.
    #[error(
        "{} is not a store: it has no FORMAT file and holds {found:?}; name an empty folder, or one that does not exist yet",
        .path.display()
    )]
    Alien {
        /// The folder.
        path: PathBuf,
        /// A name in it that no store has.
        found: String,
    },
    /// The process may not write here.
    #[error("cannot write to {}: {detail}; the store needs to read and write its folder", .path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        detail: String,
    },
    /// Another process, or another part of this one, has the store open.
    #[error(
        "the store {} is in use{}; close it there first: only one can have it open",
        .path.display(),
        .holder.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// The process that holds it, where it could be read.
        holder: Option<u32>,
    },
    /// The store was written in another format.
    #[error(
        "the store {} has format {found:?}, and this version reads format {supported:?}; open it with the version that wrote it",
        .path.display()
    )]
    Format {
        /// The store's folder.
        path: PathBuf,
        /// The format that its `FORMAT` file names.
        found: String,
        /// The format that this version reads and writes.
        supported: String,
    },
    /// What is stored is not what was written. Nothing was altered by finding this out, except that the database may
    /// have cut its own journal where that is damaged.
    #[error(
        "the store {} is damaged: {damage}; restore the whole folder from a copy, or keep it for inspection and start an empty store: \
         what was written after the copy was made is lost",
        .path.display()
    )]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// The operating system failed.
    #[error("cannot open the store: {} failed: {detail}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// What the operating system says.
        detail: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { path, detail },
            kind => Self::Io { path, kind, detail },
        }
    }

    pub(crate) fn damaged(path: &Path, damage: Damage) -> Self {
        Self::Damaged { path: path.to_owned(), damage }
    }

    pub(crate) fn format(path: &Path, found: &str) -> Self {
        Self::Format { path: path.to_owned(), found: found.to_owned(), supported: FORMAT.to_owned() }
    }
}

/// What is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Writes that were acknowledged are gone.
    #[error(
        "{claimed} records were acknowledged and the database holds {held}: the last {} are lost",
        .claimed.saturating_sub(*.held)
    )]
    Lost {
        /// How many records were made durable, as `HEAD` says.
        claimed: u64,
        /// How many the log holds without a gap.
        held: u64,
    },
    /// The log misses a record although it has later ones.
    #[error("record {sequence} of the log is missing although there are later ones")]
    Gap {
        /// The first record that is missing.
        sequence: u64,
    },
    /// A record is not the one that was written.
    #[error("record {sequence} of the log is not the one that was written: its hash does not continue the chain")]
    Chain {
        /// The record.
        sequence: u64,
    },
    /// The log is whole, and something that it lists is not there.
    #[error("record {sequence} of the log lists {what}, which is not in the store")]
    Missing {
        /// The record.
        sequence: u64,
        /// What is missing.
        what: String,
    },
    /// Receipts are listed where the log does not list them.
    #[error("the lists of receipts have {found} rows, and the log lists {listed}")]
    Unlisted {
        /// How many rows there are.
        found: u64,
        /// How many there should be.
        listed: u64,
    },
    /// A receipt is listed although the log says that it was taken out of its lists.
    #[error("the receipt {receipt} is listed, and record {sequence} took it out of its lists")]
    StillListed {
        /// The record's place in the log.
        sequence: u64,
        /// The receipt.
        receipt: String,
    },
    /// Something is stored that the log says is over, or not yet there.
    #[error("the index of open runs disagrees with the log about {run}")]
    OpenRun {
        /// The run.
        run: String,
    },
    /// The same for a request that waits for others.
    #[error("the index of requests that wait disagrees with the log about {request}")]
    Waiting {
        /// The request.
        request: String,
    },
    /// A block is not what its CID names.
    #[error("the block {cid} is damaged: {detail}")]
    Block {
        /// The block.
        cid: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file of the store is missing or unreadable.
    #[error("the file {name} is missing or damaged: {detail}")]
    File {
        /// The file, relative to the store's folder.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The database cannot read its own files.
    #[error("the database cannot read its files: {detail}")]
    Database {
        /// What the database says.
        detail: String,
    },
}
