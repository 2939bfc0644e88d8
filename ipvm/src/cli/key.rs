use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use ipvm::{Keyring, StateError, file};
use ucan_core::Issuer;
use varsig::SignatureAlgorithm;
use zeroize::Zeroizing;

use super::print::{say, say_json, write_out};
use super::{Outcome, Refused, random};

/// What `ipvm key` takes.
#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a key; one that is there is never overwritten.
    New {
        /// What to call it: lowercase letters, digits and hyphens.
        name: String,
        /// How it signs.
        #[arg(long, value_enum, default_value = "ed25519")]
        algorithm: Algorithm,
    },
    /// Prints who the keys are: their DIDs, never the keys themselves.
    Show {
        /// Which key; all of them, if none is named.
        name: Option<String>,
    },
    /// Keeps a key that comes from elsewhere.
    Import {
        /// What to call it.
        name: String,
        /// The file with the key, or - for standard input: multibase of its multicodec form, or PKCS #8 in PEM for Ed25519.
        file: PathBuf,
    },
    /// Writes the secret key, for another machine.
    Export {
        /// Which key.
        name: String,
        /// The file to make, readable by its owner alone.
        #[arg(long, value_name = "FILE", conflicts_with = "print")]
        output: Option<PathBuf>,
        /// Prints the secret although others may see it: on the terminal, or in a file that they can read.
        #[arg(long)]
        print: bool,
    },
}

/// The algorithms that software keys can be made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    /// Ed25519: what everybody reads.
    Ed25519,
    /// ECDSA on P-256: what browsers and phones have.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// ECDSA on secp256k1.
    Secp256k1,
    /// RSA of 2048 bits.
    Rsa,
}

impl From<Algorithm> for SignatureAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::P256 => Self::Es256,
            Algorithm::P384 => Self::Es384,
            Algorithm::P521 => Self::Es512,
            Algorithm::Secp256k1 => Self::Es256K,
            Algorithm::Rsa => Self::Rs256 { key_length: 256 },
        }
    }
}

/// How much of a key file is read. The longest key is one of RSA, with some 6,500 characters.
const LONGEST_KEY: u64 = 16 << 10;

impl Key {
    pub(super) fn carry_out(self, state: &Path, json: bool) -> Outcome {
        let keyring = Keyring::new(state);
        match self.command {
            Verb::New { name, algorithm } => {
                let issuer = keyring.generate(&name, algorithm.into(), &mut random)?;
                made(&keyring, &name, &issuer, json)?;
            }
            Verb::Import { name, file } => {
                keyring.file(&name)?;
                let issuer = keyring.import(&name, &read(&file)?).map_err(|error| match error {
                    StateError::Import { .. } => Refused::from(format!("{}: {error}", file::name_of(&file))),
                    error => error.into(),
                })?;
                made(&keyring, &name, &issuer, json)?;
            }
            Verb::Show { name } => show(&keyring, name, json)?,
            Verb::Export { name, output, print } => export(&keyring, &name, output.as_deref(), print)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn made(keyring: &Keyring, name: &str, issuer: &Issuer, json: bool) -> Result<(), Refused> {
    let file = keyring.file(name)?;
    if json {
        say_json(&as_json(name, issuer, &file).to_string())?;
    } else {
        say(&format!(
            "{name} is {} ({}); the key is in {}",
            issuer.did(),
            issuer.signer().algorithm(),
            file.display()
        ))?;
    }
    Ok(())
}

fn as_json(name: &str, issuer: &Issuer, file: &Path) -> serde_json::Value {
    serde_json::json!({
        "event": "key",
        "name": name,
        "did": issuer.did().as_str(),
        "algorithm": issuer.signer().algorithm().to_string(),
        "file": file.display().to_string(),
    })
}

fn show(keyring: &Keyring, name: Option<String>, json: bool) -> Result<(), Refused> {
    let names = match name {
        Some(name) => vec![name],
        None => keyring.names()?,
    };
    if names.is_empty() && !json {
        say("there are no keys yet; `ipvm key new NAME` makes one")?;
    }
    let width = names.iter().map(String::len).max().unwrap_or(0);
    // One that cannot be used hides none of the others.
    let mut unusable = Vec::new();
    for name in names {
        match keyring.issuer(&name) {
            Err(error) => unusable.push(error.to_string()),
            Ok(issuer) if json => say_json(&as_json(&name, &issuer, &keyring.file(&name)?).to_string())?,
            Ok(issuer) => {
                say(&format!("{name:<width$}  {:<7}  {}", issuer.signer().algorithm().to_string(), issuer.did()))?;
            }
        }
    }
    if unusable.is_empty() { Ok(()) } else { Err(unusable.join("\n").into()) }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Refused> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read the key from {}: {error}", file::name_of(path));
    let bytes = file::read_bounded(path, LONGEST_KEY).map_err(|error| failed(&error))?;
    // What is not text is wiped as well.
    Ok(String::from_utf8(bytes).map(Zeroizing::new).map_err(|error| {
        let _wiped = Zeroizing::new(error.into_bytes());
        failed(&"it is not text")
    })?)
}

fn export(keyring: &Keyring, name: &str, output: Option<&Path>, print: bool) -> Result<(), Refused> {
    let secret = keyring.export(name)?;
    let Some(path) = output else {
        match audience() {
            Some(audience) if !print => {
                return Err(format!(
                    "this would show the secret key {audience}; --output FILE writes it to a file that only you can read, \
                     and --print shows it anyway"
                )
                .into());
            }
            _ => return write_out(secret.as_bytes()),
        }
    };
    file::write_new(path, secret.as_bytes(), true)
        .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    say(&format!("the secret key {name} is in {}, which only you can read", path.display()))?;
    Ok(())
}

/// Who else can see what is written to standard output, as far as that can be told.
fn audience() -> Option<&'static str> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return Some("on the terminal, where it stays in the scrollback and perhaps in a recording");
    }
    #[cfg(unix)]
    {
        use std::os::{fd::AsFd, unix::fs::PermissionsExt};
        let file = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from).ok()?;
        let metadata = file.metadata().ok()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            return Some("in a file that others can read");
        }
    }
    None
}
