//! What is in a token, a container, an archive or a block, and whether it holds.

mod check;
mod read;
mod show;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ucan_core::{Clock, Context, DidKeys, SystemClock, Timestamp, block};
use ucan_invocation::Await;

use super::{FAILED, Outcome, Refused, say};
use check::{Pool, check};
use read::{Content, Item, read};

/// What `ipvm inspect` takes.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A token, container, archive or block of DAG-CBOR, as bytes or in base64; - is standard input.
    file: PathBuf,
    /// Further files with tokens, containers or archives, among which proofs are looked for.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    proofs: Vec<PathBuf>,
    /// The time to check at, in seconds since 1970 [default: now].
    #[arg(long, value_name = "SECS")]
    now: Option<u64>,
}

/// How many bytes of a file are read.
const LARGEST: u64 = 64 << 20;

impl Inspect {
    pub(super) fn carry_out(self, json: bool) -> Outcome {
        let content = self.content(&self.file)?;
        let mut pool = Pool::default();
        pool.add(&content.items);
        for file in &self.proofs {
            pool.add(&self.content(file)?.items);
        }
        let now = match self.now {
            Some(secs) => Timestamp::from_secs(secs).ok_or("--now: a token cannot say a time beyond 2^53 - 1")?,
            None => SystemClock.now(),
        };
        let context = Context { pending: &|value| Await::recognise(value).is_some(), ..Context::new(now, &DidKeys) };
        let mut holds = true;
        let several = content.items.len() != 1;
        if several && !json {
            say(&format!("{} of {}", content.kind, content.items.len()));
        }
        for item in &content.items {
            if several && !json {
                say("");
            }
            let findings = check(item, &pool, &context);
            holds &= findings.hold();
            say(&if json { show::as_json(item, &findings) } else { show::as_text(item, &findings) });
        }
        for root in content.missing_roots() {
            if !json {
                say(&format!("\nthe root {root} of the archive is not in it"));
            }
        }
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn content(&self, file: &Path) -> Result<Content, Refused> {
        let mut bytes = Vec::new();
        let result = if file == Path::new("-") {
            std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes))
        };
        let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        result.map_err(|error| format!("cannot read {name}: {error}"))?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("{name} has more than {LARGEST} bytes, which no token or container has").into());
        }
        read(&bytes).map_err(|error| {
            let text = format!(
                "{name} holds no token, container, archive or block that can be read: {error} (its bytes have the CID {})",
                block::raw_cid(&bytes)
            );
            super::display::plain(&text).into()
        })
    }
}
