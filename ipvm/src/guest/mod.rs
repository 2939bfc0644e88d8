//! Projects for new guests: a WIT world, a first function, and a script that builds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ipld_wit::text::WIT_KEYWORDS;

/// How many characters the name of a guest may have.
const LONGEST_NAME: usize = 64;

/// What builds the guest, in every project.
const SCRIPT: &str = "build.sh";

/// A language that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// Rust, with the bindings that `wit-bindgen` makes when it is compiled.
    Rust,
    /// C, with bindings that the command `wit-bindgen` writes.
    C,
}

impl Language {
    /// What its script needs to be installed, for people.
    #[must_use]
    pub fn needs(self) -> &'static str {
        match self {
            Self::Rust => "cargo with the target wasm32-unknown-unknown",
            Self::C => "wit-bindgen, and a C compiler for wasm32-wasi such as zig",
        }
    }

    /// Files, with content in which `{{name}}` stands for the name.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rust => &[
                ("wit/guest.wit", include_str!("template/guest.wit")),
                ("src/lib.rs", include_str!("template/rust/lib.rs")),
                // Under its own name, cargo would leave the folder out of the package of this crate.
                ("Cargo.toml", include_str!("template/rust/Cargo.toml.in")),
                (".gitignore", include_str!("template/rust/gitignore")),
                (SCRIPT, include_str!("template/rust/build.sh")),
            ],
            Self::C => &[
                ("wit/guest.wit", include_str!("template/guest.wit")),
                ("guest.c", include_str!("template/c/guest.c")),
                (".gitignore", include_str!("template/c/gitignore")),
                (SCRIPT, include_str!("template/c/build.sh")),
            ],
        }
    }
}

/// Why no project was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The name is none that WIT knows.
    #[error("{name:?} cannot be the name of a guest: {problem}")]
    Name {
        /// The name, or its beginning.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is something of that name, which is left as it is.
    #[error("{} is there already", .folder.display())]
    Exists {
        /// Where the project was to be.
        folder: PathBuf,
    },
    /// A file or folder cannot be made.
    #[error("cannot make {}: {source}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a project for a guest into `folder`, which is made: a world in `wit/guest.wit` with one function, that function in
/// `language`, and `build.sh`, which makes `NAME.wasm` of them. Where that fails, nothing is left.
///
/// The name is an identifier of WIT: words of lowercase letters and digits, each of which begins with a letter, joined by
/// single hyphens.
///
/// # Errors
/// [`GuestError`] names what is wrong with the name, or the file or folder that cannot be made. Nothing is written over.
pub fn write(language: Language, name: &str, folder: &Path) -> Result<(), GuestError> {
    check(name).map_err(|problem| GuestError::Name { name: name.chars().take(LONGEST_NAME).collect(), problem })?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(GuestError::Exists { folder: folder.to_owned() });
        }
        made => made.map_err(|source| GuestError::Io { path: folder.to_owned(), source })?,
    }
    for (file, content) in language.files() {
        let path = folder.join(file);
        let written = write_file(&path, &content.replace("{{name}}", name), *file == SCRIPT);
        written.map_err(|source| {
            // Half a project is of no use, and would be in the way of the next attempt.
            let _left_if_it_cannot_be_removed = fs::remove_dir_all(folder);
            GuestError::Io { path, source }
        })?;
    }
    Ok(())
}

fn check(name: &str) -> Result<(), &'static str> {
    let is_word = |word: &str| {
        let plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        plain && word.starts_with(|first: char| first.is_ascii_lowercase())
    };
    if name.len() > LONGEST_NAME {
        Err("it has more than 64 characters")
    } else if !name.split('-').all(is_word) {
        Err("it is to be words of lowercase letters and digits that begin with a letter, joined by single hyphens")
    } else if WIT_KEYWORDS.contains(&name) {
        Err("it means something else in WIT")
    } else {
        Ok(())
    }
}

fn write_file(path: &Path, content: &str, executable: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    #[cfg(unix)]
    if executable {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = fs::metadata(path)?.permissions();
        // Whoever may read it may run it.
        permissions.set_mode(permissions.mode() | (permissions.mode() & 0o444) >> 2);
        fs::set_permissions(path, permissions)?;
    }
    #[cfg(not(unix))]
    let _ = executable;
    Ok(())
}
