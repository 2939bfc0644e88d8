use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

/// An open folder, and all that can be reached within it: no path and no symbolic link leads out of it.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: Arc<Dir>,
    /// Held while something is added to a file, so that it is known where.
    appending: Arc<Mutex<()>>,
    path: PathBuf,
}

/// What writing a file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The file is new, or has other content now.
    Changed,
    /// The file had this content already.
    Unchanged,
}

/// Why a file under a folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The path is not one of plain names.
    #[error("{path:?} is not a path of plain names below the folder, such as \"reports/today.md\"")]
    Path {
        /// The path as given.
        path: String,
    },
    /// The file is too large to be read as a whole.
    #[error("{} has more than {largest} bytes, which is the most that is read", .path.display())]
    TooLarge {
        /// The file, relative to the folder.
        path: PathBuf,
        /// The bound, in bytes.
        largest: u64,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file: relative to the folder, where it lies in one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Folder {
    /// Opens the folder at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`FolderError::Io`] where it cannot be made or opened.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |action| move |source| FolderError::Io { action, path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed("make the folder"))?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed("open the folder"))?;
        Ok(Self { dir: Arc::new(dir), appending: Arc::default(), path: path.to_owned() })
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file at `path` hold `content`, durably, whatever happens in between: it is written under the name
    /// `temporary` first and then takes the place of the old one. Folders on the way are made.
    pub(crate) fn write(&self, path: &str, content: &[u8], temporary: &str) -> Result<Written, FolderError> {
        let relative = plain(path)?;
        let failed = |action| move |source| FolderError::Io { action, path: path.into(), source };
        if self.holds(&relative, content).map_err(failed("read"))? {
            // It may have been put there a moment before a crash.
            self.sync(&relative).map_err(failed("sync"))?;
            return Ok(Written::Unchanged);
        }
        if let Some(parent) = relative.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.dir.create_dir_all(parent).map_err(failed("make the folder of"))?;
        }
        let temporary = relative.with_file_name(temporary);
        let replace = || -> io::Result<()> {
            // What a crash left under this name is of no use to anyone.
            let mut options = OpenOptions::new();
            let mut file = self.dir.open_with(&temporary, options.write(true).create(true).truncate(true))?;
            file.write_all(content)?;
            file.sync_all()?;
            self.dir.rename(&temporary, &self.dir, &relative)?;
            self.sync(&relative)
        };
        replace().map(|()| Written::Changed).map_err(|source| {
            let _gone_or_never_there = self.dir.remove_file(&temporary);
            failed("write")(source)
        })
    }

    /// What the file at `path` holds, which is at most `largest` bytes.
    pub(crate) fn read(&self, path: &str, largest: u64) -> Result<Vec<u8>, FolderError> {
        let relative = plain(path)?;
        let failed = |source| FolderError::Io { action: "read", path: path.into(), source };
        let mut content = Vec::new();
        let file = self.dir.open(&relative).map_err(failed)?;
        // A file that is not a plain one could wait for somebody, or never end.
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is no plain file")));
        }
        file.take(largest.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > largest {
            return Err(FolderError::TooLarge { path: relative, largest });
        }
        Ok(content)
    }

    /// Adds `content` to the end of the file at `path`, durably, and says where. The file, and folders on the way, are made where
    /// they are not there.
    pub(crate) fn append(&self, path: &str, content: &[u8]) -> Result<u64, FolderError> {
        let relative = plain(path)?;
        let failed = |action| move |source| FolderError::Io { action, path: path.into(), source };
        if let Some(parent) = relative.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.dir.create_dir_all(parent).map_err(failed("make the folder of"))?;
        }
        let _alone = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let append = || -> io::Result<u64> {
            let mut options = OpenOptions::new();
            let mut file = self.dir.open_with(&relative, options.append(true).create(true))?;
            let offset = file.metadata()?.len();
            if let Err(error) = file.write_all(content) {
                // Nobody is to find a beginning of it.
                let _as_far_as_possible = file.set_len(offset);
                return Err(error);
            }
            file.sync_all()?;
            self.sync(&relative)?;
            Ok(offset)
        };
        append().map_err(failed("append to"))
    }

    /// Makes a file durable, and each name on the way to it.
    fn sync(&self, path: &Path) -> io::Result<()> {
        for part in path.ancestors() {
            let part = if part.as_os_str().is_empty() { Path::new(".") } else { part };
            // A folder is opened as a file, since a `Dir` is not open for syncing.
            self.dir.open(part)?.sync_all()?;
        }
        Ok(())
    }

    fn holds(&self, path: &Path, content: &[u8]) -> io::Result<bool> {
        let file = match self.dir.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != content.len() as u64 {
            return Ok(false);
        }
        let mut found = Vec::with_capacity(content.len());
        file.take(content.len() as u64 + 1).read_to_end(&mut found)?;
        Ok(found == content)
    }
}

/// Reads `path` as names joined by slashes: nothing that is empty, leads upwards or starts at a root.
fn plain(path: &str) -> Result<PathBuf, FolderError> {
    let refused = || FolderError::Path { path: path.to_owned() };
    if path.contains(['\\', '\0']) || path.ends_with('/') {
        return Err(refused());
    }
    let read = Path::new(path);
    let plain = read.components().all(|component| matches!(component, Component::Normal(_)));
    if path.is_empty() || !plain || path.split('/').any(|name| name.is_empty() || name == ".") {
        return Err(refused());
    }
    Ok(read.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken() {
        for good in ["a", "a/b.md", "..a", "a b/ä"] {
            assert!(plain(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/etc/passwd", "..", "a/../b", "../a", "a//b", "./a", "a/.", "a/", "a\\b", "a\0"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writing_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("out")).unwrap();
        assert_eq!(folder.write("deep/er/file", b"one", ".t").unwrap(), Written::Changed);
        assert_eq!(folder.write("deep/er/file", b"one", ".t").unwrap(), Written::Unchanged);
        assert_eq!(folder.write("deep/er/file", b"two", ".t").unwrap(), Written::Changed);
        assert_eq!(std::fs::read(folder.path().join("deep/er/file")).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path().join("deep/er")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_appended_is_read_in_order_and_within_bounds() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("out")).unwrap();
        assert_eq!(folder.append("deep/log", b"one").unwrap(), 0);
        assert_eq!(folder.append("deep/log", b"").unwrap(), 3);
        assert_eq!(folder.append("deep/log", b"two").unwrap(), 3);
        assert_eq!(folder.read("deep/log", 6).unwrap(), b"onetwo");
        assert!(matches!(folder.read("deep/log", 5), Err(FolderError::TooLarge { largest: 5, .. })));
        assert!(matches!(folder.read("deep", 5), Err(FolderError::Io { .. })), "a folder is no file");
        assert!(matches!(folder.read("none", 5), Err(FolderError::Io { .. })));
        assert!(matches!(folder.append("../log", b"x"), Err(FolderError::Path { .. })));
    }

    #[test]
    fn those_who_append_at_once_do_not_overlap() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let offsets: Vec<u64> = std::thread::scope(|scope| {
            let append = |byte: u8| folder.append("log", &[byte; 7]).unwrap();
            let threads: Vec<_> = (0..8).map(|byte| scope.spawn(move || append(byte))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let content = folder.read("log", 1000).unwrap();
        assert_eq!(content.len(), 56);
        for (byte, offset) in offsets.into_iter().enumerate() {
            let at = usize::try_from(offset).unwrap();
            assert_eq!(content[at..at + 7], [byte as u8; 7]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_do_not_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("out")).unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join("link")).unwrap();
        assert!(folder.write("link/file", b"no", ".t").is_err());
        assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
    }
}
