//! Compiled components on disk, so that a new process does not compile them again.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use ucan_core::Cid;
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use super::trusted::{Authentic, seal};

/// How many bytes of artifacts are kept unless it is said otherwise.
const MAX_BYTES: u64 = 4 << 30;
/// How files are named that are artifacts, after the hash of what they are for; and those that are being written.
const EXTENSION: &str = "artifact";
const TEMPORARY: &str = "artifact-new";

/// A folder of compiled components, each authenticated with a key before it is used.
///
/// An artifact belongs to one build of this crate and of wasmtime, and to one configuration; to another it is as if it were not there.
/// What is damaged, or was made by somebody without the key, is removed and compiled again. The folder can be deleted at any
/// time, and several processes can share it.
pub struct Artifacts {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
    max_bytes: u64,
}

/// Why a folder cannot hold artifacts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactsError {
    /// The file system refused.
    #[error("the folder {} cannot be used: {source}", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could put files there.
    #[error("the folder {} can be written by others; take that away: chmod go-w {}", .folder.display(), .folder.display())]
    Shared {
        /// The folder.
        folder: PathBuf,
    },
}

impl Artifacts {
    /// Artifacts in `folder`, which is made if it is not there. `key` is 32 random bytes that nobody else knows: whoever has it can
    /// have any code run. Of what was written first is deleted what exceeds 4 GiB.
    ///
    /// # Errors
    ///
    /// [`ArtifactsError`] where the folder cannot be made, or where others can write to it.
    pub fn open(folder: &Path, key: [u8; 32]) -> Result<Self, ArtifactsError> {
        let io = |source| ArtifactsError::Io { folder: folder.to_owned(), source };
        make(folder).map_err(io)?;
        if is_shared(&fs::metadata(folder).map_err(io)?) {
            return Err(ArtifactsError::Shared { folder: folder.to_owned() });
        }
        Ok(Self { folder: folder.to_owned(), key: Zeroizing::new(key), max_bytes: MAX_BYTES })
    }

    /// The same with another bound on the bytes of all artifacts together.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The component, if an artifact of it is here that can be used.
    pub(super) fn load(&self, purpose: &Purpose, engine: &Engine) -> Option<Component> {
        let path = self.path(purpose);
        let mut content = Vec::new();
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut content)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "a compiled component cannot be read: {error}");
                return None;
            }
        }
        let loaded = match Authentic::open(&self.key, &purpose.0, content) {
            None => Err("it was altered, or made with another key".to_owned()),
            Some(artifact) => artifact.load(engine).map_err(|error| format!("{error:#}")),
        };
        loaded
            .inspect_err(|problem| {
                tracing::warn!(path = %path.display(), "a compiled component is not used, and removed: {problem}");
                let _gone = fs::remove_file(&path);
            })
            .ok()
    }

    /// Keeps an artifact. What goes wrong is only said: nothing is lost but time.
    pub(super) fn keep(&self, purpose: &Purpose, component: &Component) {
        let kept = component.serialize().map_err(io::Error::other).and_then(|artifact| {
            let content = seal(&self.key, &purpose.0, &artifact);
            self.make_room(content.len() as u64)?;
            self.write(&self.path(purpose), &content)
        });
        if let Err(error) = kept {
            tracing::warn!(folder = %self.folder.display(), "a compiled component is not kept: {error}");
        }
    }

    fn path(&self, purpose: &Purpose) -> PathBuf {
        let name = data_encoding::HEXLOWER.encode(&Sha256::digest(&purpose.0));
        self.folder.join(name).with_extension(EXTENSION)
    }

    /// Writes a file in one step: others see all of it or nothing.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}-{count}.{TEMPORARY}", std::process::id()));
        let written = create(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            // Else a crash could leave a file of the right name without its content, to be compiled again and again.
            file.sync_all()
        });
        let moved = written.and_then(|()| fs::rename(&temporary, path));
        if moved.is_err() {
            let _gone = fs::remove_file(&temporary);
        }
        moved
    }

    /// Removes what was written first until `more` bytes fit in.
    fn make_room(&self, more: u64) -> io::Result<()> {
        if more > self.max_bytes {
            return Err(io::Error::other(format!("it has {more} bytes, and the limit is {}", self.max_bytes)));
        }
        let mut files: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Whatever else somebody has put there is not ours to delete.
            if !path.extension().is_some_and(|it| it == EXTENSION || it == TEMPORARY) {
                continue;
            }
            // Another process may have removed it meanwhile.
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_file() {
                files.push((about.modified()?, path, about.len()));
            }
        }
        let mut taken: u64 = files.iter().map(|(_, _, size)| size).sum();
        files.sort();
        for (_, path, size) in files {
            if taken.saturating_add(more) <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            taken -= size;
        }
        Ok(())
    }
}

impl fmt::Debug for Artifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifacts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What an artifact is for. It is authenticated with the artifact.
pub(super) struct Purpose(Vec<u8>);

impl Purpose {
    /// The code of the component `cid`, as this build compiles it for `engine` under a profile.
    pub(super) fn new(cid: &Cid, profile: &Cid, engine: &Engine) -> Self {
        let mut build = Sum(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut build);
        // What was scanned and refused by another version of this crate is scanned again.
        build.write(env!("CARGO_PKG_VERSION").as_bytes());
        let mut purpose = b"ipvm artifact 1\n".to_vec();
        purpose.extend_from_slice(&build.0.finalize());
        purpose.extend_from_slice(&profile.to_bytes());
        purpose.extend_from_slice(&cid.to_bytes());
        Self(purpose)
    }
}

/// Sums up whatever can be hashed, in more than the 64 bits that a hasher gives.
struct Sum(Sha256);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks a sum for it.
        0
    }
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn is_shared(folder: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.mode() & 0o022 != 0
}

#[cfg(not(unix))]
fn is_shared(_folder: &fs::Metadata) -> bool {
    false
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}
