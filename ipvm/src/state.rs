use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use ipvm_task::{Artifacts, ArtifactsError};
use ipvm_workflow::Vault;
use ucan_core::{Command, Delegation, Did, Issuer, Policy, TokenError, block};
use varsig::{SecretKey, SignatureAlgorithm};
use zeroize::Zeroizing;

use crate::{file, keyfile};

/// How many bytes a DID in the quarantine may have.
const LONGEST_DID: u64 = 4096;
/// The format of the state folder that is read and written.
const FORMAT: &str = "ipvm state 1\n";

/// The folder in which a node keeps its keys, its delegations and its store.
///
/// It is set up once: three keys, for the node, its user and the owner of the output folder, and the delegations by
/// which the node and the owner let the user work. What is deleted later stays deleted: authority that somebody took
/// away is not made again.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    /// Who runs workflows.
    pub node: Issuer,
    /// Who asks for them.
    pub user: Issuer,
    /// Who controls the output folder.
    pub owner: Issuer,
}

/// A delegation that is made when a state folder is set up: the name of its file, and what it allows.
struct Grant {
    file: &'static str,
    command: &'static str,
}

const RUN: Grant = Grant { file: "user-may-run-workflows.ucan", command: "/ipvm/run" };
const COMPUTE: Grant = Grant { file: "user-may-compute.ucan", command: "/wasm/run" };
const WRITE: Grant = Grant { file: "user-may-write-output.ucan", command: "/file/write" };
const READ: Grant = Grant { file: "user-may-read-output.ucan", command: "/file/read" };
const APPEND: Grant = Grant { file: "user-may-append-to-output.ucan", command: "/file/append" };

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}; --state chooses another folder", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It was made by another version.
    #[error("{} says {found:?}, and this version reads {FORMAT:?}; choose another folder with --state", .path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A key file is missing, malformed, or can be read by others.
    #[error("the key {} cannot be used: {problem}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Keys have other names.
    #[error(
        "{name:?} cannot be the name of a key; take up to 64 lowercase letters, digits and hyphens, no hyphen in front"
    )]
    KeyName {
        /// The name, cut when long.
        name: String,
    },
    /// There is a key of that name, and keys are never overwritten.
    #[error("there is a key {name:?} already, in {}; keys are never overwritten: choose another name, or move the file away", .path.display())]
    KeyExists {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A name that means something else where the name of a key can stand.
    #[error(
        "{name:?} cannot be the name of a key, as `ipvm delegate --subject {name}` means something else; take another"
    )]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A text from elsewhere holds no key.
    #[error("there is no key in it that can be imported: {problem}")]
    Import {
        /// What is wrong with it.
        problem: String,
    },
    /// There is no key of that name.
    #[error("there is no key {name:?} in {}; {}", .folder.display(), known_keys(.known, .name))]
    NoSuchKey {
        /// The name.
        name: String,
        /// Where keys are looked for.
        folder: PathBuf,
        /// The names of the keys that there are.
        known: Vec<String>,
    },
    /// A delegation file does not hold a delegation.
    #[error("{} does not hold a delegation: {error}", .path.display())]
    Delegation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: TokenError,
    },
    /// The folder for compiled components cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// Keys or delegations could not be made.
    #[error("the state folder could not be set up: {0}")]
    Setup(String),
}

impl State {
    /// Opens the state in `folder`, which is set up if it was not before. `random` fills a buffer with random bytes.
    ///
    /// # Errors
    /// [`StateError`] says which file is at fault and what to do.
    pub fn open(folder: &Path, random: &mut dyn FnMut(&mut [u8])) -> Result<Self, StateError> {
        let marker = folder.join("FORMAT");
        let mut fresh = !is_set_up(&marker)?;
        let _alone;
        if fresh {
            set_apart(folder)?;
            for part in ["keys", "delegations"] {
                make_folder(&folder.join(part))?;
            }
            _alone = lock(&folder.join("SETUP"))?;
            // Another process may have been faster.
            fresh = !is_set_up(&marker)?;
        }
        let mut key = |name: &str| -> Result<Issuer, StateError> {
            let path = folder.join("keys").join(name);
            if fresh && !path.exists() {
                let made = SecretKey::generate(SignatureAlgorithm::Ed25519, random);
                let made = made.map_err(|error| StateError::Setup(error.to_string()))?;
                write_new(&path, keyfile::encode(&made).as_bytes(), true)?;
            }
            Ok(Issuer::from_key(read_key(&path)?))
        };
        let state = Self {
            folder: folder.to_owned(),
            node: key("node.key")?,
            user: key("user.key")?,
            owner: key("output.key")?,
        };
        if fresh {
            state.grant(&RUN, &state.node, random)?;
            state.grant(&COMPUTE, &state.node, random)?;
            for grant in [&WRITE, &READ, &APPEND] {
                state.grant(grant, &state.owner, random)?;
            }
            // Written last: until it is there, setting up is begun again where it was left.
            write_new(&marker, FORMAT.as_bytes(), false)?;
        }
        Ok(state)
    }

    fn grant(&self, grant: &Grant, from: &Issuer, random: &mut dyn FnMut(&mut [u8])) -> Result<(), StateError> {
        let path = self.delegations_folder().join(grant.file);
        if path.exists() {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| StateError::Setup(error.to_string());
        let mut nonce = vec![0; 12];
        random(&mut nonce);
        let command = Command::parse(grant.command).map_err(|error| failed(&error))?;
        let delegation = Delegation::builder(self.user.did().clone(), Some(from.did().clone()), command)
            .policy(Policy::default())
            .nonce(nonce)
            .sign(from)
            .map_err(|error| failed(&error))?;
        write_new(&path, delegation.bytes(), false)
    }

    /// Keeps a delegation in the state folder `folder`, which need not have been set up, under the name of its CID; gives
    /// the file.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be written.
    pub fn keep(folder: &Path, delegation: &Delegation) -> Result<PathBuf, StateError> {
        is_set_up(&folder.join("FORMAT"))?;
        set_apart(folder)?;
        let delegations = folder.join("delegations");
        make_folder(&delegations)?;
        let path = delegations.join(format!("{}.ucan", delegation.cid()));
        // One of that name is this one.
        if !path.exists() {
            write_new(&path, delegation.bytes(), false)?;
        }
        Ok(path)
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the store is.
    #[must_use]
    pub fn store_folder(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The compiled components of this folder, and the key that they are authenticated with, which is made when it is not there:
    /// without it, or with another, they are compiled again.
    ///
    /// # Errors
    /// [`StateError`] where the folder or the key cannot be made, or others can use them.
    pub fn artifacts(&self, random: &mut dyn FnMut(&mut [u8])) -> Result<Artifacts, StateError> {
        let key = self.own_key("artifacts.key", "delete it, and another is made", random)?;
        Ok(Artifacts::open(&self.folder.join("artifacts"), *key)?)
    }

    /// What keeps the results of secret tasks of this folder, and its [`Secrets`](crate::Secrets). Its key is made when it is not there;
    /// without it, they are lost.
    ///
    /// # Errors
    /// [`StateError`] where the key cannot be made, or others can use it.
    pub fn vault(&self, random: &mut dyn FnMut(&mut [u8])) -> Result<Vault, StateError> {
        Ok(Vault::new(&*self.own_key(
            "vault.key",
            "put the right one back: without it, what is secret is lost",
            random,
        )?))
    }

    /// Where secrets are.
    pub(crate) fn secrets_folder(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// A key of 32 bytes for this folder's own use, which is made when it is not there.
    fn own_key(
        &self,
        name: &str,
        advice: &str,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Zeroizing<[u8; 32]>, StateError> {
        let path = self.folder.join(name);
        if !path.exists() {
            let mut key = Zeroizing::new([0; 32]);
            random(&mut *key);
            match write_new(&path, &*key, true) {
                // Another process was faster, and its key is the one.
                Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                written => written?,
            }
        }
        let unusable = |problem: String| StateError::Key { path: path.clone(), problem };
        refuse_shared(&path).map_err(unusable)?;
        let kept = file::read_file(&path, 32).map(Zeroizing::new).map_err(|error| unusable(error.to_string()))?;
        let wrong = |_| unusable(format!("it is not 32 bytes; {advice}"));
        Ok(Zeroizing::new(kept.as_slice().try_into().map_err(wrong)?))
    }

    /// Whom this node believes no more, whoever names them as trusted: one DID a file in the folder `quarantine`. To believe one of
    /// them again, remove the file.
    ///
    /// # Errors
    /// [`StateError`] where a file cannot be read, or does not hold a DID.
    pub fn quarantine(&self) -> Result<Vec<Did>, StateError> {
        let folder = self.folder.join("quarantine");
        let failed = |path: &Path, source| StateError::Io { action: "read", path: path.to_owned(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(&folder, error))?,
        };
        let mut dids = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&folder, error))?.path();
            let text = file::read_file(&path, LONGEST_DID).map_err(|error| failed(&path, error))?;
            let did = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            let no_did = || io::Error::new(io::ErrorKind::InvalidData, "it does not hold a DID");
            dids.push(did.ok_or_else(|| failed(&path, no_did()))?);
        }
        Ok(dids)
    }

    /// Believes nothing more that `signer` states, from the next time the node is opened on.
    ///
    /// # Errors
    /// [`StateError`] where the file cannot be written.
    pub fn put_in_quarantine(&self, signer: &Did) -> Result<(), StateError> {
        let folder = self.folder.join("quarantine");
        make_folder(&folder)?;
        let path = folder.join(block::raw_cid(signer.principal().as_bytes()).to_string());
        if path.exists() { Ok(()) } else { write_new(&path, signer.principal().as_bytes(), false) }
    }

    /// Where the delegations are, one token a file.
    #[must_use]
    pub fn delegations_folder(&self) -> PathBuf {
        self.folder.join("delegations")
    }

    /// Where results are written, unless another folder is chosen.
    #[must_use]
    pub fn output_folder(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// The delegations to `audience` that are in the folder now, in the order of their file names.
    ///
    /// # Errors
    /// [`StateError`] where a file cannot be read, or does not hold a delegation.
    pub fn delegations(&self, audience: &Did) -> Result<Vec<Delegation>, StateError> {
        let folder = self.delegations_folder();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { action: "read", path, source }
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&folder)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "ucan") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut delegations = Vec::new();
        for path in paths {
            let bytes = file::read_file(&path, file::LARGEST).map_err(failed(&path))?;
            let delegation = Delegation::decode(bytes).map_err(|error| StateError::Delegation { path, error })?;
            if delegation.audience().same_principal(audience) {
                delegations.push(delegation);
            }
        }
        Ok(delegations)
    }
}

/// Whether the folder has been set up before, by this version.
pub(crate) fn is_set_up(marker: &Path) -> Result<bool, StateError> {
    match fs::read_to_string(marker) {
        Ok(found) if found == FORMAT => Ok(true),
        Ok(found) => Err(StateError::Format { path: marker.to_owned(), found }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StateError::Io { action: "read", path: marker.to_owned(), source }),
    }
}

/// Waits until no other process is setting the folder up, and keeps others waiting until the file is closed.
pub(crate) fn lock(path: &Path) -> Result<File, StateError> {
    let lock = || -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|source| StateError::Io { action: "lock", path: path.to_owned(), source })
}

/// Makes a state folder, unless it is there, and keeps it out of Git: keys are easily committed by accident.
pub(crate) fn set_apart(folder: &Path) -> Result<(), StateError> {
    // In a folder that was there, other files may be tracked.
    if folder.exists() {
        return Ok(());
    }
    make_folder(folder)?;
    match write_new(&folder.join(".gitignore"), b"*\n", false) {
        // Another process was faster.
        Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

/// Makes a folder, and those on the way to it, that nobody but its owner can look into.
pub(crate) fn make_folder(path: &Path) -> Result<(), StateError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let failed = |source| StateError::Io { action: "make the folder", path: path.to_owned(), source };
    builder.create(path).map_err(failed)
}

pub(crate) fn read_key(path: &Path) -> Result<SecretKey, StateError> {
    let unusable = |problem: String| StateError::Key { path: path.to_owned(), problem };
    let missing = "it was deleted, and keys are not made again: put it back, or choose another folder with --state";
    if !path.exists() {
        return Err(unusable(missing.to_owned()));
    }
    refuse_shared(path).map_err(unusable)?;
    let bytes = file::read_file(path, keyfile::LONGEST).map_err(|error| unusable(error.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    keyfile::decode(text).map_err(|problem| unusable(problem.to_string()))
}

/// Refuses a file that others than its owner can read.
fn refuse_shared(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!("others can read it (mode {mode:04o}); run: chmod 600 {}", path.display()));
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    Ok(())
}

/// What to do when a key is asked for that is not there.
fn known_keys(known: &[String], name: &str) -> String {
    match known {
        [] => format!("there are none yet, and `ipvm key new {name}` makes one"),
        known => format!("there are {}, and `ipvm key new {name}` makes a new one", known.join(", ")),
    }
}

/// Writes a file that is not there yet.
pub(crate) fn write_new(path: &Path, content: &[u8], secret: bool) -> Result<(), StateError> {
    file::write_new(path, content, secret).map_err(|source| StateError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}
