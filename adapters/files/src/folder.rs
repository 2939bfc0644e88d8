use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

/// An open folder, and all that can be reached within it: no path and no symbolic link leads out of it.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: Arc<Dir>,
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

/// Why a file under a folder cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The path is not one of plain names.
    #[error("{path:?} is not a path of plain names below the folder, such as \"reports/today.md\"")]
    Path {
        /// The path as given.
        path: String,
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
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
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
