use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// What a guest may do with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look at what is in it.
    Read,
    /// Alter it, too.
    Write,
}

/// What the guests of a handler get of the system beside clocks and random numbers, each thing by its name. Whatever is not named
/// they do not get: no folder, no variable, no standard input. The network they never get.
#[derive(Clone, Default)]
pub struct Grants {
    folders: BTreeMap<String, (PathBuf, Access)>,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Grants {
    /// Nothing but clocks and random numbers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets guests see the folder `path` under the name `guest`, an absolute path in their world such as `/data`. It is opened anew
    /// for every task, and nothing outside of it can be reached, by links neither.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>, guest: impl Into<String>, access: Access) -> Self {
        self.folders.insert(guest.into(), (path.into(), access));
        self
    }

    /// Gives guests an environment variable. Its value may be a secret: [`Debug`](fmt::Debug) shows names alone.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Gives guests one more argument, after those that were given before. The first is the name of the program.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The first folder that is not there.
    pub(crate) fn missing(&self) -> Option<&Path> {
        self.folders.values().map(|(path, _)| path.as_path()).find(|path| !path.is_dir())
    }

    pub(crate) fn builder(&self) -> wasmtime::Result<WasiCtxBuilder> {
        let mut builder = WasiCtxBuilder::new();
        for (guest, (path, access)) in &self.folders {
            let access = match access {
                Access::Read => FsPerms::ReadOnly,
                Access::Write => FsPerms::ReadWrite,
            };
            builder.preopened_dir(path, guest, access)?;
        }
        for (name, value) in &self.variables {
            builder.env(name, value);
        }
        builder.args(&self.arguments).allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        Ok(builder)
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("folders", &self.folders)
            .field("variables", &self.variables.keys())
            .field("arguments", &self.arguments)
            .finish()
    }
}
