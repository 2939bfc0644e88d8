//! Blocks that are files: content-named, written aside and renamed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ucan_core::Cid;

/// Blocks of so many bytes and more are files: fjall would write them several times over.
pub(crate) const LARGE: usize = 256 << 10;

const UNFINISHED: &str = "unfinished";

/// The folder `blocks`.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    next: AtomicU64,
    /// The shards whose names are durable.
    shards: Mutex<HashSet<PathBuf>>,
}

impl Files {
    /// Opens the folder, creates it where it is missing, and removes what a crash left half written in it.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let unfinished = folder.join(UNFINISHED);
        fs::create_dir_all(&unfinished)?;
        for entry in fs::read_dir(&unfinished)? {
            fs::remove_file(entry?.path())?;
        }
        sync_folder(&folder)?;
        Ok(Self { folder, next: AtomicU64::new(0), shards: Mutex::default() })
    }

    /// Writes a block; it is durable on return. Readers see all of it or nothing.
    pub(crate) fn write(&self, cid: &Cid, bytes: &[u8]) -> io::Result<()> {
        let (shard, path) = self.place(cid);
        self.make_shard(&shard)?;
        // The store is locked, so that a number is unique as long as it is within this process.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(UNFINISHED).join(number.to_string());
        let written = write_synced(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            // The failure itself is what the caller has to know; what is left over goes when the store is opened again.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        sync_folder(&shard)
    }

    /// Makes the folder of a shard, durably. That it is there does not say so: its maker may not have come so far.
    fn make_shard(&self, shard: &Path) -> io::Result<()> {
        let mut durable = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if !durable.contains(shard) {
            match fs::create_dir(shard) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => sync_folder(&self.folder)?,
            }
            durable.insert(shard.to_owned());
        }
        Ok(())
    }

    /// The bytes of a block as they are; `None` where there is no such file.
    pub(crate) fn read(&self, cid: &Cid) -> io::Result<Option<Vec<u8>>> {
        found(fs::read(self.place(cid).1))
    }

    /// The length of a block's file.
    pub(crate) fn length(&self, cid: &Cid) -> io::Result<Option<u64>> {
        Ok(found(fs::metadata(self.place(cid).1))?.map(|metadata| metadata.len()))
    }

    /// One of 256 folders, by the last byte of the hash, and in it a file with the name of the CID.
    fn place(&self, cid: &Cid) -> (PathBuf, PathBuf) {
        let last = cid.hash().digest().last().copied().unwrap_or_default();
        let shard = self.folder.join(format!("{last:02x}"));
        let path = shard.join(cid.to_string());
        (shard, path)
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a file, writes it and syncs it.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a small file into place so that it is there whole or not at all, and durably.
pub(crate) fn write_atomic(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!("{name}.new"));
    write_synced(&unfinished, bytes)?;
    fs::rename(&unfinished, folder.join(name))?;
    sync_folder(folder)
}

/// Makes creations and renames in a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems cannot open folders, and journal renames themselves.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
