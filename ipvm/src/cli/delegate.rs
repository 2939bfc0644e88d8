use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ipvm::{Keyring, State};
use ucan_core::{Clock, Command, Delegation, Did, Ipld, Policy, SystemClock, Timestamp, dagjson};

use super::display::plain;
use super::moment;
use super::{Outcome, Refused, random, say};

/// What `ipvm delegate` takes.
#[derive(Debug, Args)]
pub(super) struct Delegate {
    /// Whose authority is passed on: the name of a key.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// Who receives it: a DID, or the name of a key.
    #[arg(long, value_name = "DID|NAME")]
    to: String,
    /// What they may do, with everything below it: /file/write, or / for everything.
    #[arg(long, value_name = "/COMMAND")]
    command: String,
    /// On what: a DID, the name of a key, or "powerline" for whatever the issuer is given [default: the issuer].
    #[arg(long, value_name = "DID|NAME|powerline")]
    subject: Option<String>,
    /// What is demanded of the arguments, in DAG-JSON, or a file that holds it.
    #[arg(long, value_name = "JSON|@FILE")]
    policy: Option<String>,
    /// Until when: a period (30d, 12h, 90m), a date and time (2027-01-31T12:00:00Z), or "never".
    #[arg(long, value_name = "WHEN")]
    expires: String,
    /// From when: a period from now, or a date and time.
    #[arg(long, value_name = "WHEN")]
    not_before: Option<String>,
    /// Adds a fact: text, which nobody checks.
    #[arg(long, value_name = "KEY=TEXT", value_parser = super::run::assignment)]
    meta: Vec<(String, String)>,
    /// Writes the version tag of the release candidate, for readers that know no other.
    #[arg(long)]
    rc1: bool,
    /// Where to write it, - being standard output [default: a file in the current folder, named by its CID].
    #[arg(long, value_name = "FILE|-")]
    output: Option<PathBuf>,
    /// Keeps it among the delegations of the state folder, where `ipvm run` finds it.
    #[arg(long)]
    save: bool,
}

impl Delegate {
    pub(super) fn carry_out(self, state: &Path, json: bool) -> Outcome {
        let keyring = Keyring::new(state);
        let issuer = keyring.issuer(&self.from)?;
        let audience = principal(&keyring, &self.to).map_err(|error| format!("--to {}: {error}", self.to))?;
        let subject = match self.subject.as_deref() {
            None => Some(issuer.did().clone()),
            Some("powerline") => None,
            Some(subject) => {
                Some(principal(&keyring, subject).map_err(|error| format!("--subject {subject}: {error}"))?)
            }
        };
        let command = Command::parse(&self.command).map_err(|error| format!("--command {}: {error}", self.command))?;
        let policy = self.policy()?;
        let (not_before, expiration) = self.times(SystemClock.now())?;
        let mut nonce = vec![0; 12];
        random(&mut nonce);
        let mut builder = Delegation::builder(audience, subject, command)
            .policy(policy)
            .expiration(expiration)
            .not_before(not_before)
            .meta(self.meta()?)
            .nonce(nonce);
        if self.rc1 {
            builder = builder.release_candidate();
        }
        let delegation = builder.sign(&issuer)?;
        for lint in delegation.policy().lint() {
            warn(&format!("the policy, at {}", plain(&lint.to_string())));
        }
        self.write(&delegation, state, json)
    }

    fn policy(&self) -> Result<Policy, Refused> {
        let Some(text) = &self.policy else { return Ok(Policy::default()) };
        let json = match text.strip_prefix('@') {
            Some(file) => {
                std::fs::read(file).map_err(|error| format!("cannot read the policy from {file}: {error}"))?
            }
            None => text.clone().into_bytes(),
        };
        let policy = dagjson::decode(&json).map_err(|error| format!("the policy is not DAG-JSON: {error}"))?;
        Ok(Policy::parse(&policy).map_err(|error| format!("the policy cannot be read: {error}"))?)
    }

    fn times(&self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
        let not_before = self
            .not_before
            .as_deref()
            .map(|when| moment::parse(when, now).map_err(|error| format!("--not-before: {error}")));
        let not_before = not_before.transpose()?;
        let expiration = match self.expires.as_str() {
            "never" => None,
            when => Some(moment::parse(when, now).map_err(|error| format!("--expires: {error}"))?),
        };
        if let Some(expiration) = expiration {
            if expiration <= now {
                return Err(
                    format!("--expires: {} has passed, so that nobody could use it", moment::date(expiration)).into()
                );
            }
            if not_before.is_some_and(|not_before| not_before > expiration) {
                return Err(
                    "--not-before is after --expires, so that there is no time at which anybody could use it".into()
                );
            }
        }
        Ok((not_before, expiration))
    }

    fn meta(&self) -> Result<BTreeMap<String, Ipld>, Refused> {
        let mut meta = BTreeMap::new();
        for (key, value) in &self.meta {
            if meta.insert(key.clone(), Ipld::String(value.clone())).is_some() {
                return Err(format!("--meta {key} is given twice").into());
            }
        }
        Ok(meta)
    }

    fn write(&self, delegation: &Delegation, state: &Path, json: bool) -> Outcome {
        let cid = delegation.cid();
        let mut files = Vec::new();
        if self.save {
            files.push(State::keep(state, delegation)?);
        }
        let to_stdout = self.output.as_deref() == Some(Path::new("-"));
        if to_stdout {
            let written = std::io::stdout().write_all(delegation.bytes());
            written.map_err(|error| format!("the delegation was not written: {error}"))?;
        } else if let Some(path) = self.output.clone().or((!self.save).then(|| format!("{cid}.ucan").into())) {
            let written = OpenOptions::new().write(true).create_new(true).open(&path);
            let written = written.and_then(|mut file| file.write_all(delegation.bytes()));
            written.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
            files.push(path);
        }
        let report = if json { as_json(delegation, &files) } else { describe(delegation, &files) };
        if to_stdout {
            // The token is on standard output; nothing may be mixed with it.
            eprintln!("{report}");
        } else {
            say(&report);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A DID, or who the key of a name is.
pub(super) fn principal(keyring: &Keyring, text: &str) -> Result<Did, Refused> {
    if text.starts_with("did:") {
        return Ok(Did::parse(text)?);
    }
    Ok(keyring.issuer(text)?.did().clone())
}

fn warn(text: &str) {
    eprintln!("{} {text}", console::style("warning:").yellow().bold().for_stderr());
}

fn describe(delegation: &Delegation, files: &[PathBuf]) -> String {
    let what = match delegation.subject() {
        Some(subject) => format!("on {subject}"),
        None => "on whatever the issuer is given (a powerline)".to_owned(),
    };
    let until = match delegation.expiration() {
        Some(expiration) => format!("until {} ({expiration})", moment::date(expiration)),
        None => "for ever".to_owned(),
    };
    let mut text = format!(
        "{}\n{} lets {} do {} {what}, {until}",
        delegation.cid(),
        delegation.issuer(),
        delegation.audience(),
        delegation.command()
    );
    for file in files {
        text.push_str(&format!("\nwritten to {}", file.display()));
    }
    text
}

fn as_json(delegation: &Delegation, files: &[PathBuf]) -> String {
    serde_json::json!({
        "event": "delegated",
        "cid": delegation.cid().to_string(),
        "issuer": delegation.issuer().as_str(),
        "audience": delegation.audience().as_str(),
        "subject": delegation.subject().map(Did::as_str),
        "command": delegation.command().as_str(),
        "notBefore": delegation.not_before().map(Timestamp::as_secs),
        "expires": delegation.expiration().map(Timestamp::as_secs),
        "files": files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
    })
    .to_string()
}
