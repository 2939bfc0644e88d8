use std::fs;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use ipvm_workflow::Vault;
use ucan_core::{Did, Ipld};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task, is_pending};
use zeroize::Zeroizing;

use crate::state::make_folder;
use crate::{State, StateError, SystemEntropy, file};

/// The command that gives a secret to the tasks that await it. Its arguments are `{name}`; it answers text, or bytes where that is none.
pub const GET_COMMAND: &str = "/secret/get";

/// How many bytes a secret may have, and how many its name.
const LARGEST: usize = 64 << 10;
const LONGEST_NAME: usize = 64;
/// How many bytes a sealed secret has more.
const OVERHEAD: usize = 64;

/// The secrets of a state folder, each encrypted in a file of its own.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
    vault: Vault,
}

/// Why a secret cannot be had, or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There can be no secret of this name.
    #[error(
        "{name:?} cannot be the name of a secret: up to {LONGEST_NAME} letters of a to z, digits, hyphens, dots and underscores can, of which the first is neither dot nor hyphen"
    )]
    Name {
        /// The name, as far as it is shown.
        name: String,
    },
    /// There is none.
    #[error("there is no secret {name:?}; ipvm secret set {name} makes it")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It is too long.
    #[error("a secret has at most {LARGEST} bytes")]
    TooLong,
    /// The file is not what this folder's key has sealed under this name.
    #[error("the secret {name:?} was kept with another key, or its file is damaged; set it again")]
    Sealed {
        /// The name.
        name: String,
    },
    /// The file system refused.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Secrets {
    /// The secrets of a state folder.
    ///
    /// # Errors
    /// [`StateError`] where the key that they are sealed with cannot be used.
    pub fn of(state: &State) -> Result<Self, StateError> {
        let vault = state.vault(&mut |buffer| ipvm_workflow::Entropy::fill(&SystemEntropy, buffer))?;
        Ok(Self { folder: state.secrets_folder(), vault })
    }

    /// What seals them, and the results of secret tasks.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    fn path(&self, name: &str) -> Result<PathBuf, SecretError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with(['.', '-']) || !name.bytes().all(plain) {
            return Err(SecretError::Name { name: name.chars().take(LONGEST_NAME).collect() });
        }
        Ok(self.folder.join(name))
    }

    /// Keeps a secret, in the place of one of that name.
    ///
    /// # Errors
    /// [`SecretError`] where it is too long, there can be none of that name, or it cannot be written.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), SecretError> {
        let path = self.path(name)?;
        if value.len() > LARGEST {
            return Err(SecretError::TooLong);
        }
        let sealed = self.vault.seal(value, &context(name), &SystemEntropy).ok_or(SecretError::TooLong)?;
        make_folder(&self.folder)?;
        Ok(file::replace(&path, &sealed).map_err(|source| StateError::Io { action: "write", path, source })?)
    }

    /// The secret of that name.
    ///
    /// # Errors
    /// [`SecretError`] where there is none, or it cannot be opened.
    pub fn get(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let path = self.path(name)?;
        let sealed = match file::read_file(&path, (LARGEST + OVERHEAD) as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SecretError::Unknown { name: name.to_owned() });
            }
            Err(source) => return Err(StateError::Io { action: "read", path, source }.into()),
            Ok(sealed) => sealed,
        };
        self.vault.open(&sealed, &context(name)).ok_or_else(|| SecretError::Sealed { name: name.to_owned() })
    }

    /// Removes the secret of that name; says whether there was one.
    ///
    /// # Errors
    /// [`SecretError`] where its file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool, SecretError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StateError::Io { action: "remove", path, source }.into()),
        }
    }

    /// The names of all secrets, in order.
    ///
    /// # Errors
    /// [`SecretError`] where the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, SecretError> {
        let failed = |source| StateError::Io { action: "read", path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| self.path(name).is_ok()));
        }
        names.sort();
        Ok(names)
    }
}

fn context(name: &str) -> Vec<u8> {
    [b"ipvm secret ", name.as_bytes()].concat()
}

/// Gives the secrets of a state folder to workflows, for whoever was given that authority by its owner. What it gives, and all that is
/// computed from it, is secret.
#[derive(Clone, Debug)]
pub struct SecretHandler {
    owner: Did,
    secrets: Secrets,
}

impl SecretHandler {
    /// A handler for tasks whose subject is `owner`.
    #[must_use]
    pub fn new(owner: Did, secrets: Secrets) -> Self {
        Self { owner, secrets }
    }

    /// The name that a task asks for, where it is known.
    fn read(&self, task: &Task) -> Result<Option<String>, Failure> {
        let mismatch = |problem: &str| Failure::new("ArgumentMismatch", format!("{GET_COMMAND}: {problem}"));
        if !task.subject().same_principal(&self.owner) {
            let message = format!("the secrets belong to {}, and the task's subject is {}", self.owner, task.subject());
            return Err(Failure::new("WrongSubject", message));
        }
        match (task.args().len(), task.args().get("name")) {
            (1, Some(Ipld::String(name))) => Ok(Some(name.clone())),
            (1, Some(value)) if is_pending(value) => Ok(None),
            _ => Err(mismatch("it takes the argument \"name\", a text, and no other")),
        }
    }

    fn give(&self, task: &Task) -> Result<Ipld, Failure> {
        let name = self.read(task)?.ok_or_else(|| Failure::new("ArgumentMismatch", "the name is a promise"))?;
        let value = self.secrets.get(&name).map_err(|error| Failure::new("NoSecret", error.to_string()))?;
        Ok(match std::str::from_utf8(&value) {
            Ok(text) => Ipld::String(text.to_owned()),
            Err(_) => Ipld::Bytes(value.to_vec()),
        })
    }
}

#[async_trait]
impl Handler for SecretHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Query
    }

    fn is_secret(&self) -> bool {
        true
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        match self.read(task)? {
            Some(name) => {
                self.secrets.get(&name).map(drop).map_err(|error| Failure::new("NoSecret", error.to_string()))
            }
            None => Ok(()),
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(self.give(call.task()).map_or_else(Into::into, Outcome::Ok))
    }
}
