use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ucan_core::Issuer;
use varsig::{SecretKey, SignatureAlgorithm};
use zeroize::Zeroizing;

use crate::keyfile;
use crate::state::{StateError, is_set_up, lock, make_folder, read_key, set_apart, write_new};

/// How many characters the name of a key may have.
const LONGEST_NAME: usize = 64;

/// Words that mean something where the name of a key can stand.
const RESERVED: [&str; 1] = ["powerline"];

/// The keys in a state folder, by name: one file each, readable by its owner alone.
///
/// The folder need not have been set up. A key that is called `node`, `user` or `output` when [`State`](crate::State) sets it up
/// is taken for what it is called.
#[derive(Clone, Debug)]
pub struct Keyring {
    state: PathBuf,
}

impl Keyring {
    /// The keys in the state folder `state`, which is not touched before something is asked.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// The file of the key with a name.
    ///
    /// # Errors
    /// [`StateError::KeyName`] where there can be no such key.
    pub fn file(&self, name: &str) -> Result<PathBuf, StateError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('-') || !name.bytes().all(plain) {
            return Err(StateError::KeyName { name: name.chars().take(LONGEST_NAME).collect() });
        }
        Ok(self.folder().join(format!("{name}.key")))
    }

    /// The file of a key that is not there yet.
    fn new_file(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.file(name)?;
        if RESERVED.contains(&name) {
            return Err(StateError::ReservedName { name: name.to_owned() });
        }
        if path.symlink_metadata().is_ok() {
            return Err(StateError::KeyExists { name: name.to_owned(), path });
        }
        Ok(path)
    }

    fn folder(&self) -> PathBuf {
        self.state.join("keys")
    }

    /// The names of all keys, in alphabetical order.
    ///
    /// # Errors
    /// [`StateError::Io`] where the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let folder = self.folder();
        let failed = |source| StateError::Io { action: "read", path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".key"));
            names.extend(name.filter(|name| self.file(name).is_ok()).map(ToOwned::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The key with a name, as somebody who signs.
    ///
    /// # Errors
    /// [`StateError`] where there is no such key, or its file cannot be used.
    pub fn issuer(&self, name: &str) -> Result<Issuer, StateError> {
        Ok(Issuer::from_key(self.secret(name)?))
    }

    /// Makes a key. `random` fills a buffer with random bytes.
    ///
    /// # Errors
    /// [`StateError`] where there is one of that name, the algorithm has no software keys, or the file cannot be written.
    pub fn generate(
        &self,
        name: &str,
        algorithm: SignatureAlgorithm,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Issuer, StateError> {
        let path = self.new_file(name)?;
        let unusable =
            |error: varsig::SecretKeyError| StateError::Key { path: path.clone(), problem: error.to_string() };
        self.add(name, SecretKey::generate(algorithm, random).map_err(unusable)?)
    }

    /// Keeps a key that comes from elsewhere: multibase of its multicodec form, or PKCS #8 in PEM for Ed25519.
    ///
    /// # Errors
    /// [`StateError`] where there is one of that name, the text holds no key, or the file cannot be written.
    pub fn import(&self, name: &str, text: &str) -> Result<Issuer, StateError> {
        self.new_file(name)?;
        let key = keyfile::decode(text).map_err(|error| StateError::Import { problem: error.to_string() })?;
        self.add(name, key)
    }

    /// The secret key with a name, as text: multibase of its multicodec form.
    ///
    /// # Errors
    /// As [`Keyring::issuer`].
    pub fn export(&self, name: &str) -> Result<Zeroizing<String>, StateError> {
        Ok(keyfile::encode(&self.secret(name)?))
    }

    fn secret(&self, name: &str) -> Result<SecretKey, StateError> {
        let path = self.file(name)?;
        match read_key(&path) {
            Err(StateError::Key { .. }) if !path.exists() => {
                Err(StateError::NoSuchKey { name: name.to_owned(), folder: self.folder(), known: self.names()? })
            }
            key => key,
        }
    }

    fn add(&self, name: &str, key: SecretKey) -> Result<Issuer, StateError> {
        is_set_up(&self.state.join("FORMAT"))?;
        set_apart(&self.state)?;
        make_folder(&self.folder())?;
        let _alone = lock(&self.state.join("SETUP"))?;
        let path = self.new_file(name)?;
        write_new(&path, keyfile::encode(&key).as_bytes(), true)?;
        Ok(Issuer::from_key(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_out_of_the_folder() {
        let keyring = Keyring::new(Path::new("state"));
        assert_eq!(keyring.file("alice-2").unwrap(), Path::new("state/keys/alice-2.key"));
        for bad in ["", "..", "a/b", "a.b", "Alice", "-a", "\u{e4}", "a b", &"a".repeat(65)] {
            assert!(matches!(keyring.file(bad), Err(StateError::KeyName { .. })), "{bad}");
        }
    }
}
