//! The folder of a store: what is in it, who has it, and which format it has.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::db::Db;
use crate::error::{Damage, OpenError};
use crate::files::{sync_folder, write_atomic};
use crate::head::HeadFile;

/// The format that this version reads and writes: the whole content of `FORMAT`, but for the end of the line.
pub(crate) const FORMAT: &str = "ipvm-fjall 4";

const NAMES: [&str; 8] = ["FORMAT", "FORMAT.new", "LOCK", "HEAD", "HEAD.new", "fjall", "fjall.new", "blocks"];

/// A store's folder, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Whether the store was made just now, or by somebody who did not finish: it must be empty then.
    pub(crate) fresh: bool,
    /// Held for its lock.
    _lock: File,
}

impl Folder {
    /// Opens the folder, or makes one where there is none, and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let fail = |error: io::Error| OpenError::io(path, &error);
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(OpenError::NotAFolder { path: path.to_owned() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_folder(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(OpenError::MissingParent { path: path.to_owned() });
            }
            Err(error) => return Err(fail(error)),
        }
        // Nothing is written into a folder before it is clear that it is ours.
        if read_format(path)?.is_none() {
            refuse_alien(path)?;
        }
        let lock = lock(path)?;
        // Read again: whoever had the lock before may have made the store.
        let fresh = read_format(path)?.is_none();
        let folder = Self { path: path.to_owned(), fresh, _lock: lock };
        if folder.fresh {
            folder.create().map_err(fail)?;
        }
        folder.check()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("fjall")
    }

    pub(crate) fn blocks(&self) -> PathBuf {
        self.path.join("blocks")
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.path.join("HEAD")
    }

    /// Marks the store as complete: from now on, whatever is missing is damage.
    pub(crate) fn finish(&mut self) -> Result<(), OpenError> {
        if self.fresh {
            let text = format!("{FORMAT}\n");
            write_atomic(&self.path, "FORMAT", text.as_bytes()).map_err(|error| OpenError::io(&self.path, &error))?;
            self.fresh = false;
        }
        Ok(())
    }

    /// Makes what is not there yet. Each part comes into place whole, so that a crash leaves whole parts, and nothing
    /// that is there is replaced: should it turn out to hold anything, this was no unfinished store.
    fn create(&self) -> io::Result<()> {
        if !self.database().exists() {
            let unfinished = self.path.join("fjall.new");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            Db::create(&unfinished).map_err(io::Error::other)?;
            fs::rename(&unfinished, self.database())?;
        }
        if !self.head().exists() {
            write_atomic(&self.path, "HEAD", &HeadFile::initial())?;
        }
        sync_folder(&self.path)
    }

    /// Checks what the database itself would not: it takes a folder without a version marker for a new database, a
    /// keyspace without a manifest for an unfinished one, which it deletes, and every table that a damaged manifest no
    /// longer names for an orphan, which it deletes too.
    fn check(&self) -> Result<(), OpenError> {
        let required = ["fjall/version", "fjall/keyspaces/0/current", "fjall/keyspaces/1/current"];
        for name in required {
            let there =
                self.path.join(name).try_exists().map_err(|error| OpenError::io(&self.path.join(name), &error))?;
            if !there {
                return Err(self.damaged_file(name, "it does not exist"));
            }
        }
        for keyspace in ["fjall/keyspaces/0", "fjall/keyspaces/1"] {
            self.check_manifest(keyspace)?;
        }
        Ok(())
    }

    /// `current` names the manifest `v<number>` and its checksum, which the database writes but never compares.
    fn check_manifest(&self, keyspace: &str) -> Result<(), OpenError> {
        let name = format!("{keyspace}/current");
        let current = self.read(&name)?;
        let Some((number, rest)) = current.split_first_chunk::<8>() else {
            return Err(self.damaged_file(&name, "it is too short"));
        };
        let Some((checksum, kind)) = rest.split_first_chunk::<16>() else {
            return Err(self.damaged_file(&name, "it is too short"));
        };
        if kind != [0] {
            return Err(self.damaged_file(&name, "it names an unknown kind of checksum"));
        }
        let manifest = format!("{keyspace}/v{}", u64::from_le_bytes(*number));
        if xxh3_128(&self.read(&manifest)?) == u128::from_le_bytes(*checksum) {
            Ok(())
        } else {
            Err(self.damaged_file(&manifest, "it does not have the checksum that was written down for it"))
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, OpenError> {
        fs::read(self.path.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.damaged_file(name, "it does not exist"),
            _ => OpenError::io(&self.path.join(name), &error),
        })
    }

    fn damaged_file(&self, name: &str, detail: &str) -> OpenError {
        OpenError::damaged(&self.path, Damage::File { name: name.to_owned(), detail: detail.to_owned() })
    }
}

/// The format that the folder states, which is the one that is read; `None` where it states none yet.
fn read_format(path: &Path) -> Result<Option<String>, OpenError> {
    let file = path.join("FORMAT");
    match fs::read(&file) {
        Ok(bytes) => {
            let format = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if format == FORMAT { Ok(Some(format)) } else { Err(OpenError::format(path, &format)) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io(&file, &error)),
    }
}

/// Makes the folder of the store, which nobody but its owner can look into: arguments and results are in it.
fn create_folder(path: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => {}
        // Somebody else made it meanwhile: the lock will tell who goes first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::MissingParent { path: path.to_owned() });
        }
        Err(error) => return Err(OpenError::io(path, &error)),
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            sync_folder(parent).map_err(|error| OpenError::io(parent, &error))
        }
        _ => Ok(()),
    }
}

fn refuse_alien(path: &Path) -> Result<(), OpenError> {
    let fail = |error: io::Error| OpenError::io(path, &error);
    for entry in fs::read_dir(path).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        if !NAMES.iter().any(|ours| name == *ours) {
            return Err(OpenError::Alien { path: path.to_owned(), found: name.to_string_lossy().into_owned() });
        }
    }
    Ok(())
}

/// Takes `LOCK` and writes down who has it. The operating system lets go of it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join("LOCK");
    let fail = |error: io::Error| OpenError::io(&name, &error);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only to name the holder: where it cannot be read, the message does without.
            let holder = file.take(20).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::Locked { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(fail(error)),
    }
    let holder = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes())).map_err(fail)?;
    Ok(file)
}
