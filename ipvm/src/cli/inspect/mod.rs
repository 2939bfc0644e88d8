//! What is in a token, a container, an archive or a block, and whether it holds.

mod authority;
mod check;
mod read;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ipvm::file;
use ucan_core::{CachedKeys, Clock, Context, DidKeys, SystemClock, Timestamp, block};
use ucan_invocation::Await;

use super::print::{say, say_json, say_styled};
use super::{FAILED, Outcome, Refused, UNKNOWN, moment};
use authority::Pool;
use check::{Checker, Findings};
use read::{Content, Item, read};

/// What `ipvm inspect` takes.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(super) struct Inspect {
    /// A token, container, archive or block of DAG-CBOR, as bytes or in base64; - is standard input.
    file: PathBuf,
    /// A further file with tokens, among which proofs are looked for; may be given more than once.
    #[arg(long, value_name = "FILE")]
    proofs: Vec<PathBuf>,
    /// The time to check at: a date and time (2027-01-31T12:00:00Z), a period from now (30d), or seconds since 1970
    /// [default: now].
    #[arg(long, value_name = "WHEN")]
    now: Option<String>,
}

const STATUSES: &str = "Exit status: 0 where all holds that has to for a token to be relied on: signature, time and authority; 1 \
where something does not hold; 2 where nothing can be read; 4 where it cannot be told, as something could not be checked here, or \
there is nothing that is signed. Nothing is looked up anywhere, and revocations are not known.";

impl Inspect {
    pub(super) fn carry_out(self, json: bool) -> Outcome {
        let content = self.content(&self.file)?;
        let mut pool = Pool::default();
        pool.add(&content.items);
        for file in &self.proofs {
            pool.add(&self.content(file)?.items);
        }
        let now = self.now()?;
        // A proof that many chains share is verified once.
        let keys = CachedKeys::new(DidKeys);
        let context = Context { pending: &|value| Await::recognise(value).is_some(), ..Context::new(now, &keys) };
        let findings = Checker::new(&pool, &context).check(&content.items);
        let several = content.items.len() != 1;
        if several && !json {
            say(&format!("{} of {}", content.kind, content.items.len()))?;
        }
        for (item, findings) in content.items.iter().zip(&findings) {
            if json {
                say_json(&show::as_json(item, findings))?;
            } else {
                let space = if several { "\n" } else { "" };
                say_styled(&format!("{space}{}", show::as_text(item, findings)))?;
            }
        }
        for root in content.missing_roots.iter().filter(|_| !json) {
            say(&format!("\nthe root {root} of the archive is not in it"))?;
        }
        let all = Findings(findings.into_iter().flat_map(|findings| findings.0).collect());
        let verdict = all.verdict();
        if verdict.is_none() && !json {
            say_styled(&format!("\n{}", show::unknown(&all)))?;
        }
        Ok(match verdict {
            Some(true) => ExitCode::SUCCESS,
            Some(false) => ExitCode::from(FAILED),
            None => ExitCode::from(UNKNOWN),
        })
    }

    fn now(&self) -> Result<Timestamp, Refused> {
        let Some(text) = &self.now else { return Ok(SystemClock.now()) };
        let secs = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let moment = match secs {
            Some(secs) => Timestamp::from_secs(secs).ok_or_else(|| format!("{text} is later than a token can say")),
            None => moment::parse(text, SystemClock.now()),
        };
        Ok(moment.map_err(|error| format!("--now: {error}"))?)
    }

    fn content(&self, path: &Path) -> Result<Content, Refused> {
        let name = file::name_of(path);
        let bytes = file::read_bounded(path, file::LARGEST).map_err(|error| format!("cannot read {name}: {error}"))?;
        Ok(read(&bytes).map_err(|error| {
            format!(
                "{name} holds no token, container, archive or block that can be read: {error} (its bytes have the CID {})",
                block::raw_cid(&bytes)
            )
        })?)
    }
}
