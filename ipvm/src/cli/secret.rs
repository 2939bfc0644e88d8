//! Secrets that workflows can use.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipvm::{Secrets, State, file};
use zeroize::Zeroizing;

use super::print::{say, say_json};
use super::{Outcome, random};

/// The most that is read of a file; a secret has less.
const LARGEST: u64 = 1 << 20;

/// What `ipvm secret` takes.
#[derive(Debug, Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keeps a secret, in the place of one of that name. Workflows get it by /secret/get on the subject "vault".
    Set {
        /// What to call it: a to z, digits, hyphens, dots and underscores.
        name: String,
        /// The file with the secret, taken byte by byte, or - for standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Lists the names of the secrets, never the secrets.
    List,
    /// Removes a secret.
    Remove {
        /// What it is called.
        name: String,
    },
}

impl Secret {
    pub(super) fn carry_out(self, state: &Path, json: bool) -> Outcome {
        let state = State::open(state, &mut |buffer| random(buffer))?;
        let secrets = Secrets::of(&state)?;
        match self.command {
            Verb::Set { name, file } => {
                let value = file::read_bounded(&file, LARGEST).map(Zeroizing::new);
                let value = value.map_err(|error| format!("cannot read {}: {error}", file::name_of(&file)))?;
                secrets.set(&name, &value)?;
                let use_it = format!(
                    "the secret is kept; workflows get it by /secret/get on \"vault\" where it is lent them: --secret {name}"
                );
                told(json, "set", &name, &use_it)?;
            }
            Verb::List => {
                for name in secrets.names()? {
                    told(json, "secret", &name, &name)?;
                }
            }
            Verb::Remove { name } => {
                if !secrets.remove(&name)? {
                    return Err(format!("there is no secret {name:?}; ipvm secret list has their names").into());
                }
                told(json, "removed", &name, "the secret is removed")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn told(json: bool, event: &str, name: &str, text: &str) -> Result<(), super::print::Unprinted> {
    match json {
        true => say_json(&serde_json::json!({"event": event, "name": name}).to_string()),
        false => say(text),
    }
}
