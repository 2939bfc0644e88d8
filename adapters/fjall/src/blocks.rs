//! Blocks: rows of the database, or files for the large ones. Nothing is handed out that does not hash to its CID.

use std::sync::Arc;

use bytes::Bytes;
use ucan_core::{Cid, StoreError, block};

use crate::db::Db;
use crate::files::{Files, LARGE};
use crate::rows::{self, Stored};

/// How much of a block is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// That it is there, and if it is a file, with the right length.
    Present,
    /// All its bytes.
    Read,
}

/// Where blocks are.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    db: Db,
    files: Arc<Files>,
}

/// What was found under a CID: bytes that are verified, or that there is a file.
pub(crate) enum Found {
    Bytes(Bytes),
    File,
}

impl Blocks {
    pub(crate) fn new(db: Db, files: Files) -> Self {
        Self { db, files: Arc::new(files) }
    }

    /// What the database has under `cid`.
    pub(crate) fn find(&self, cid: &Cid) -> Result<Option<Found>, StoreError> {
        let what = format_args!("block {cid}");
        let Some(row) = self.db.get(what, &rows::block(cid))? else { return Ok(None) };
        match Stored::decode(&row) {
            Some(Stored::Inline(bytes)) => {
                verify(cid, bytes)?;
                Ok(Some(Found::Bytes(Bytes::copy_from_slice(bytes))))
            }
            Some(Stored::File(_)) => Ok(Some(Found::File)),
            None => Err(StoreError::corrupt(what.to_string(), "its row is malformed")),
        }
    }

    /// What `read` makes of the row of a block, unverified; `None` where the block is no row.
    pub(crate) fn inline<T>(&self, cid: &Cid, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, StoreError> {
        let row = self.db.get(format_args!("block {cid}"), &rows::block(cid))?;
        Ok(match row.as_deref().and_then(Stored::decode) {
            Some(Stored::Inline(bytes)) => read(bytes),
            _ => None,
        })
    }

    /// Reads the file of a block that the database says is one.
    pub(crate) fn read_file(&self, cid: &Cid) -> Result<Bytes, StoreError> {
        let read = self.files.read(cid).map_err(|error| StoreError::io(format!("reading block {cid}"), error))?;
        let bytes = read.ok_or_else(|| StoreError::corrupt(format!("block {cid}"), "its file is missing"))?;
        verify(cid, &bytes)?;
        Ok(bytes.into())
    }

    /// Whether the block is there. A file of the wrong length is not, so that putting the block again mends it.
    pub(crate) fn check(&self, cid: &Cid, depth: Depth) -> Result<bool, StoreError> {
        let what = format_args!("block {cid}");
        let row = match depth {
            Depth::Present => self.db.get(what, &rows::block(cid))?,
            Depth::Read => match self.find(cid)? {
                None => return Ok(false),
                Some(Found::Bytes(_)) => return Ok(true),
                Some(Found::File) => return self.read_file(cid).map(|_| true),
            },
        };
        match row.as_deref().map(Stored::decode) {
            None => Ok(false),
            Some(None) => Err(StoreError::corrupt(what.to_string(), "its row is malformed")),
            Some(Some(Stored::Inline(_))) => Ok(true),
            Some(Some(Stored::File(length))) => {
                Ok(self.files.length(cid).map_err(|error| StoreError::io(what.to_string(), error))? == Some(length))
            }
        }
    }

    /// Writes the file of a large block.
    pub(crate) fn write_file(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        self.files.write(cid, bytes).map_err(|error| StoreError::io(format!("writing block {cid}"), error))
    }
}

/// The row for a block, and whether it needs a file as well.
pub(crate) fn row(bytes: &[u8]) -> (Vec<u8>, bool) {
    if bytes.len() < LARGE {
        (Stored::Inline(bytes).encode(), false)
    } else {
        (Stored::File(bytes.len() as u64).encode(), true)
    }
}

pub(crate) fn verify(cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
    block::verify(cid, bytes).map_err(|error| StoreError::corrupt(format!("block {cid}"), error))
}
