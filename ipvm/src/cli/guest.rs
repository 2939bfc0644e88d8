use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use ipvm::guest::{self, Language};

use super::Outcome;
use super::print::{say, say_json};

/// What `ipvm guest` takes.
#[derive(Debug, Args)]
pub(super) struct Guest {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes a project for a new guest: a WIT world, a first function, and a script that builds it.
    New {
        /// What to call it: words of lowercase letters and digits, joined by hyphens.
        name: String,
        /// In which language it is.
        #[arg(long, value_enum)]
        lang: Lang,
        /// The folder to make for it [default: one of its name, in the current folder].
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    Rust,
    C,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::C => Self::C,
        }
    }
}

impl Guest {
    pub(super) fn carry_out(self, json: bool) -> Outcome {
        let Verb::New { name, lang, output } = self.command;
        let language = Language::from(lang);
        let folder = output.unwrap_or_else(|| PathBuf::from(&name));
        guest::write(language, &name, &folder)?;
        let script = folder.join("build.sh");
        if json {
            let made = serde_json::json!({
                "event": "guest",
                "name": name,
                "folder": folder.display().to_string(),
                "build": script.display().to_string(),
            });
            say_json(&made.to_string())?;
        } else {
            say(&format!("{} builds {name}.wasm; it needs {}", script.display(), language.needs()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
