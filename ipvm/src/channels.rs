use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ucan_chan::{Purse, StateError as PurseStateError, TermsError, chain};
use ucan_core::{Cid, Container, ContainerEncoding, ContainerError, Delegation, TokenError};

use crate::file;
use crate::state::{StateError, lock, make_folder};

/// The largest file of a channel: a chain of 8 delegations of 4,096 bytes, and what is sent with it.
const LARGEST: u64 = 64 << 10;

/// What a state folder knows of channels beside what the store has: the chain of each, and the purses of those who hold one.
///
/// It is the folder `channels`, with a container `CID.chan` for each channel that was ever seen here, and `CID.purse` where a key of
/// this folder draws on it. A purse is never to be put back from a copy: what was signed since then would be signed again with
/// other contents, which is proof of cheating.
#[derive(Clone, Debug)]
pub struct Channels {
    folder: PathBuf,
}

/// Why what is known of a channel cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelsError {
    /// The state folder is at fault.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is none of this name.
    #[error("nothing is known of the channel {channel} in {}: `ipvm chan open` and `ipvm chan take` read what others sent of it", .folder.display())]
    Unknown {
        /// The channel.
        channel: Cid,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// No key of this folder draws on it.
    #[error("nobody here draws on the channel {channel}: `ipvm chan open` begins with it")]
    NoPurse {
        /// The channel.
        channel: Cid,
    },
    /// A file is no container.
    #[error("{} holds no tokens: {error}", .path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ContainerError,
    },
    /// A file holds something else than a chain.
    #[error("{} holds no channel: {error}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: TokenError,
    },
    /// The delegations are not those of one channel.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// A purse cannot be read.
    #[error("the purse {} cannot be used: {error}", .path.display())]
    Purse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PurseStateError,
    },
}

impl Channels {
    /// The channels of the state folder `state`, which is set up already.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("channels") }
    }

    /// Keeps others who change purses waiting, until the file is closed.
    ///
    /// # Errors
    /// [`ChannelsError::State`].
    pub fn lock(&self) -> Result<File, ChannelsError> {
        make_folder(&self.folder)?;
        Ok(lock(&self.folder.join("LOCK"))?)
    }

    /// Every channel of which something is known, in the order of their names.
    ///
    /// # Errors
    /// [`ChannelsError::State`] where the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Cid>, ChannelsError> {
        let failed = |source| failed("read", &self.folder, source);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let cid: Option<Cid> =
                name.to_str().and_then(|name| name.strip_suffix(".chan")).and_then(|name| name.parse().ok());
            all.extend(cid);
        }
        all.sort_by_key(Cid::to_string);
        Ok(all)
    }

    /// Keeps the chain of a channel. One that is there is the same.
    ///
    /// # Errors
    /// [`ChannelsError`] where it is none, or cannot be written.
    pub fn keep(&self, links: &[Delegation]) -> Result<(), ChannelsError> {
        let last = links.last().ok_or(TermsError::Length { length: 0 })?;
        make_folder(&self.folder)?;
        let path = self.path(last.cid(), "chan");
        let bytes = Container::from_iter(links.iter().map(Delegation::bytes)).encode(ContainerEncoding::Raw);
        match file::write_new(&path, &bytes, true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written.map_err(|source| failed("write", &path, source)),
        }
    }

    /// The chain of a channel, root first.
    ///
    /// # Errors
    /// [`ChannelsError`] where there is none, or it cannot be read.
    pub fn chain(&self, channel: &Cid) -> Result<Vec<Delegation>, ChannelsError> {
        let path = self.path(channel, "chan");
        let bytes = self.read(&path)?;
        let unknown = || ChannelsError::Unknown { channel: *channel, folder: self.folder.clone() };
        let bytes = bytes.ok_or_else(unknown)?;
        let container = Container::decode(&bytes);
        let container = container.map_err(|error| ChannelsError::Container { path: path.clone(), error })?;
        let links = container.tokens().map(Delegation::decode).collect::<Result<Vec<_>, _>>();
        Ok(chain(links.map_err(|error| ChannelsError::Token { path, error })?)?)
    }

    /// The purse of a channel, if a key of this folder draws on it.
    ///
    /// # Errors
    /// [`ChannelsError`] where it cannot be read.
    pub fn purse(&self, channel: &Cid) -> Result<Option<Purse>, ChannelsError> {
        let path = self.path(channel, "purse");
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let purse = Purse::decode(&bytes).map_err(|error| ChannelsError::Purse { path, error })?;
        Ok(Some(purse))
    }

    /// Makes a purse durable: to be done before anything is signed that it says.
    ///
    /// # Errors
    /// [`ChannelsError`] where it cannot be written.
    pub fn save(&self, purse: &Purse) -> Result<(), ChannelsError> {
        let path = self.path(purse.terms().id(), "purse");
        let bytes = purse.encode().map_err(|error| ChannelsError::Purse { path: path.clone(), error })?;
        file::replace(&path, &bytes).map_err(|source| failed("write", &path, source))
    }

    fn path(&self, channel: &Cid, what: &str) -> PathBuf {
        self.folder.join(format!("{channel}.{what}"))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, ChannelsError> {
        match file::read_file(path, LARGEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", path, source)),
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ChannelsError {
    StateError::Io { action, path: path.to_owned(), source }.into()
}
