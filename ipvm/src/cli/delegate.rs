use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ipvm::{Keyring, State, file};
use ucan_core::{
    Clock, Command, Container, ContainerEncoding, Delegation, Did, Ipld, Policy, SystemClock, Timestamp, dagjson,
};

use super::moment;
use super::print::{mention, say, say_json, warn, write_out};
use super::{Outcome, Refused, random};

/// What `ipvm delegate` takes.
#[derive(Debug, Args)]
pub(super) struct Delegate {
    /// Whose authority is passed on: the name of a key.
    #[arg(long, visible_alias = "issuer", value_name = "NAME")]
    from: String,
    /// Who receives it: a DID, or the name of a key.
    #[arg(long, visible_alias = "audience", value_name = "DID|NAME")]
    to: String,
    /// What they may do, with everything below it: /file/write, or / for everything.
    #[arg(long, value_name = "/COMMAND")]
    command: String,
    /// On what: a DID, the name of a key, or "powerline" for whatever the issuer is given [default: the issuer].
    #[arg(long, value_name = "DID|NAME|powerline")]
    subject: Option<String>,
    /// What is demanded of the arguments, in DAG-JSON, or a file that holds it (@- is standard input).
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
    /// What makes it different from others that say the same, in hexadecimal [default: 12 random bytes].
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    nonce: Option<Nonce>,
    /// Writes the version tag of the release candidate, for readers that know no other.
    #[arg(long)]
    rc1: bool,
    /// Where to write it, - being standard output [default: a file in the current folder, named by its CID].
    #[arg(long, value_name = "FILE|-")]
    output: Option<PathBuf>,
    /// In which form to write it.
    #[arg(long, value_enum, default_value = "raw")]
    format: Format,
    /// Keeps it in the state folder, where `ipvm run` finds those for the key `user`; it is written nowhere else then, unless
    /// --output says so.
    #[arg(long)]
    save: bool,
}

/// The forms in which a delegation is written, all of which `ipvm inspect` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Its bytes, DAG-CBOR.
    Raw,
    /// Its bytes as a line of base64, to be pasted somewhere.
    Base64,
    /// A container of one token, as text for URLs and headers.
    Container,
}

impl Format {
    fn of(self, delegation: &Delegation) -> Vec<u8> {
        match self {
            Self::Raw => delegation.bytes().to_vec(),
            Self::Base64 => format!("{}\n", BASE64.encode(delegation.bytes())).into_bytes(),
            Self::Container => Container::from_iter([delegation.bytes()]).encode(ContainerEncoding::Base64Url),
        }
    }
}

/// The bytes of a nonce.
#[derive(Clone, Debug)]
struct Nonce(Vec<u8>);

fn hexadecimal(text: &str) -> Result<Nonce, String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.map(Nonce).map_err(|error| format!("expected pairs of hexadecimal digits: {error}"))
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
        let nonce = match &self.nonce {
            Some(Nonce(bytes)) => bytes.clone(),
            None => {
                let mut nonce = vec![0; 12];
                random(&mut nonce);
                nonce
            }
        };
        let mut builder = Delegation::builder(audience, subject, command)
            .policy(policy)
            .expiration(expiration)
            .not_before(not_before)
            .meta(self.meta()?)
            .nonce(nonce);
        if self.rc1 {
            builder = builder.release_candidate();
        }
        self.check_terminal()?;
        let delegation = builder.sign(&issuer)?;
        for lint in delegation.policy().lint() {
            warn(&format!("the policy, at {lint}"));
        }
        self.write(&delegation, state, json)
    }

    fn policy(&self) -> Result<Policy, Refused> {
        let Some(text) = &self.policy else { return Ok(Policy::default()) };
        let json = match text.strip_prefix('@') {
            Some(path) => {
                let path = Path::new(path);
                file::read_bounded(path, file::LARGEST)
                    .map_err(|error| format!("cannot read the policy from {}: {error}", file::name_of(path)))?
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

    fn to_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// Bytes that are no text would leave a terminal in any state.
    fn check_terminal(&self) -> Result<(), Refused> {
        if self.to_stdout() && self.format == Format::Raw && std::io::stdout().is_terminal() {
            return Err("this would write bytes that are no text to the terminal; --format base64 writes text, and \
                        --output FILE writes a file"
                .into());
        }
        Ok(())
    }

    fn write(&self, delegation: &Delegation, state: &Path, json: bool) -> Outcome {
        let mut files = Vec::new();
        let mut content = self.format.of(delegation);
        if self.to_stdout() {
            // On a terminal, the report is to begin on a line of its own.
            if std::io::stdout().is_terminal() && !content.ends_with(b"\n") {
                content.push(b'\n');
            }
            write_out(&content).map_err(|error| format!("the delegation is not where it should be: {error}"))?;
        } else if let Some(path) =
            self.output.clone().or((!self.save).then(|| format!("{}.ucan", delegation.cid()).into()))
        {
            let written = file::write_new(&path, &content, false);
            written.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
            files.push(path);
        }
        // Last: what is kept can be used, so that it is to be what its author has.
        if self.save {
            files.push(State::keep(state, delegation)?);
        }
        let report = if json { as_json(delegation, &files) } else { describe(delegation, &files) };
        if self.to_stdout() {
            // The token is on standard output; nothing may be mixed with it.
            mention(&report);
        } else if json {
            say_json(&report)?;
        } else {
            say(&report)?;
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
        "lints": delegation.policy().lint().iter().map(|lint| serde_json::json!({
            "path": lint.path,
            "message": lint.kind.to_string(),
        })).collect::<Vec<_>>(),
        "files": files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
    })
    .to_string()
}
