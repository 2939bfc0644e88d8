//! Files that are read up to a limit, and files that are made whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use ipvm_workflow::Entropy;

use crate::SystemEntropy;

/// How many bytes of a file are read unless somebody says otherwise: more than any token, container, archive or document has.
pub const LARGEST: u64 = 64 << 20;

/// Reads a file, or standard input where `path` is `-`, if it has no more than `limit` bytes.
///
/// # Errors
/// What the system says; [`FileTooLarge`](io::ErrorKind::FileTooLarge) where there is more.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if is_standard(path) { bounded(io::stdin().lock(), 0, limit) } else { read_file(path, limit) }
}

/// What to call a path in a message.
#[must_use]
pub fn name_of(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a file, whatever it is called.
pub(crate) fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    bounded(file, size, limit)
}

fn bounded(source: impl Read, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    // All at once, so that a secret is not left behind where a buffer was before it grew.
    let mut bytes = Vec::with_capacity(usize::try_from(size.max(1 << 14).min(limit) + 1).unwrap_or_default());
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Writes a file that is not there yet: whole, synced and, where it is secret, readable by its owner alone. Where that fails,
/// nothing is left.
///
/// # Errors
/// What the system says; [`AlreadyExists`](io::ErrorKind::AlreadyExists) where there is something of that name, which is left as
/// it is.
pub fn write_new(path: &Path, content: &[u8], secret: bool) -> io::Result<()> {
    let mut suffix = [0; 8];
    SystemEntropy.fill(&mut suffix);
    path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let temporary = path.with_file_name(format!(".{:016x}.new", u64::from_be_bytes(suffix)));
    let written = write_and_name(&temporary, path, content, secret);
    // It is there under the name that was asked for, or it is not wanted.
    let removed = fs::remove_file(&temporary);
    written.and_then(|()| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Writes a file, whole and synced, that may be there already: after a crash it is as it was, or as it is to be. It is readable by its owner
/// alone.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut suffix = [0; 8];
    SystemEntropy.fill(&mut suffix);
    path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let temporary = path.with_file_name(format!(".{:016x}.new", u64::from_be_bytes(suffix)));
    let replaced = write_new(&temporary, content, true).and_then(|()| fs::rename(&temporary, path));
    replaced.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_folder(path)
}

fn sync_folder(of: &Path) -> io::Result<()> {
    let parent = of.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all())
}

fn write_and_name(temporary: &Path, path: &Path, content: &[u8], secret: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // Some file systems know no links: an empty file keeps the place until it is replaced.
            options.open(path)?;
            fs::rename(temporary, path).inspect_err(|_| drop(fs::remove_file(path)))?;
        }
        linked => linked?,
    }
    sync_folder(path).inspect_err(|_| drop(fs::remove_file(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_bounded(&path, 100).unwrap(), [7; 100]);
        assert_eq!(read_bounded(&path, 99).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // Nobody knows how large this is before it is read.
        #[cfg(target_os = "linux")]
        assert_eq!(read_bounded(Path::new("/dev/zero"), 1000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn files_are_made_whole_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_new(&path, b"mine", true).unwrap();
        assert_eq!(write_new(&path, b"yours", true).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(write_new(&folder.path().join("nowhere/file"), b"", false).is_err());
        replace(&path, b"ours").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ours");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["file"]);
    }
}
