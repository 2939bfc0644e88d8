//! Channels as people use them: each side has a state folder of its own, and sends the other one files.

mod holder;
mod provider;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipvm::{Channels, Keyring, Node, State, SystemEntropy, file};
use ipvm_workflow::Entropy;
use ucan_chan::{Purse, Status, Terms, TermsError, TillError, Unit};
use ucan_core::{Cid, Container, ContainerEncoding, Delegation, Did, Issuer};

use super::moment::date;
use super::print::{say, say_json};
use super::{Outcome, Refused, cid};

/// The largest file that is read of what others send.
const LARGEST: u64 = 64 << 10;

/// What `ipvm chan` takes.
#[derive(Debug, Args)]
pub(super) struct Chan {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// As a provider: offers a channel. The other side opens it.
    Offer(Offer),
    /// As the holder of a channel: gives somebody a part of it.
    Share(Share),
    /// As the one to whom a channel is offered: opens it. The provider takes what comes of it.
    Open {
        /// The offer.
        file: PathBuf,
        /// How long a closing may be disputed, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "86400")]
        window: u64,
        #[command(flatten)]
        signed: Signed,
    },
    /// As the holder of a channel: signs a voucher for so much more, which pays for what is asked for next.
    Pay(Pay),
    /// Takes what the other side sent: a channel that was opened, a voucher, a closing, what is due, a revocation.
    Take {
        /// What it sent.
        file: PathBuf,
    },
    /// Tells how far channels have come.
    Status {
        /// Which one; all of them, if none is named.
        #[arg(value_parser = cid)]
        channel: Option<Cid>,
    },
    /// Closes a channel, as whichever side this is. The other one takes what comes of it.
    Close {
        /// Which one.
        #[arg(value_parser = cid)]
        channel: Cid,
        #[command(flatten)]
        signed: Signed,
    },
    /// As a provider: states what is due for a channel that is closed, by its highest voucher.
    Settle {
        /// Which one.
        #[arg(value_parser = cid)]
        channel: Cid,
        #[command(flatten)]
        output: Output,
    },
}

/// A channel that is offered.
#[derive(Debug, Args)]
struct Offer {
    /// Who will hold it: a DID, or the name of a key.
    #[arg(long, value_name = "DID|NAME")]
    to: String,
    /// How much it has, in its unit.
    #[arg(long, value_name = "AMOUNT")]
    budget: u64,
    /// What it counts; what runs on a node is paid in gas.
    #[arg(long, default_value = "gas")]
    unit: Unit,
    /// Until when: a period (30d, 12h, 90m), or a date and time (2027-01-31T12:00:00Z).
    #[arg(long, value_name = "WHEN")]
    expires: String,
    #[command(flatten)]
    output: Output,
}

/// A part of a channel.
#[derive(Debug, Args)]
struct Share {
    /// The channel of which it is a part.
    #[arg(value_parser = cid)]
    channel: Cid,
    /// Who will hold it: a DID, or the name of a key.
    #[arg(long, value_name = "DID|NAME")]
    to: String,
    /// How much it has, in the unit of the channel.
    #[arg(long, value_name = "AMOUNT")]
    budget: u64,
    #[command(flatten)]
    signed: Signed,
}

/// A payment.
#[derive(Debug, Args)]
struct Pay {
    /// The channel.
    #[arg(value_parser = cid)]
    channel: Cid,
    /// How much more than was signed for before, in the unit of the channel.
    #[arg(long, value_name = "AMOUNT", required_unless_present = "again")]
    amount: Option<u64>,
    /// The task that it pays for [default: the channel itself, for whatever comes].
    #[arg(long = "for", value_name = "TASK", value_parser = cid)]
    task: Option<Cid>,
    /// Signs the last voucher again, which was lost.
    #[arg(long, conflicts_with_all = ["amount", "task"])]
    again: bool,
    #[command(flatten)]
    signed: Signed,
}

/// Who signs, and where it is written.
#[derive(Debug, Args)]
struct Signed {
    /// With which key: its name.
    #[arg(long, value_name = "NAME", default_value = "user")]
    from: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// Where to write what the other side takes [default: a file in the current folder, named by what it is and its CID].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What all of it works on.
struct Here {
    keyring: Keyring,
    channels: Channels,
    json: bool,
}

impl Chan {
    pub(super) async fn carry_out(
        self,
        state: &Path,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, ipvm::NodeError>,
        json: bool,
    ) -> Outcome {
        // Both sides have keys of their own from the beginning.
        State::open(state, &mut |buffer| SystemEntropy.fill(buffer))?;
        let here = Here { keyring: Keyring::new(state), channels: Channels::new(state), json };
        match self.command {
            Verb::Offer(offer) => provider::offer(&here, &offer)?,
            Verb::Share(share) => holder::share(&here, &share)?,
            Verb::Open { file, window, signed } => holder::open(&here, &file, window, &signed)?,
            Verb::Pay(pay) => holder::pay(&here, &pay)?,
            Verb::Take { file } => provider::take(&here, &open(None)?, &file).await?,
            Verb::Status { channel } => status(&here, &open(None)?, channel).await?,
            Verb::Close { channel, signed } => match here.channels.purse(&channel)? {
                Some(purse) => holder::close(&here, purse, &signed)?,
                None => provider::close(&here, &open(None)?, &channel, &signed.output).await?,
            },
            Verb::Settle { channel, output } => provider::settle(&here, &open(None)?, &channel, &output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Here {
    fn issuer(&self, signed: &Signed) -> Result<Issuer, Refused> {
        Ok(self.keyring.issuer(&signed.from)?)
    }

    fn principal(&self, text: &str) -> Result<Did, Refused> {
        super::delegate::principal(&self.keyring, text).map_err(|error| format!("--to {text}: {error}").into())
    }

    /// Writes a token with the chain of its channel, for the other side.
    fn hand_over(
        &self,
        what: &str,
        output: &Output,
        chain: &[Delegation],
        token: Option<&[u8]>,
    ) -> Result<PathBuf, Refused> {
        let name = token.map_or_else(
            || chain.last().map_or_else(String::new, |last| last.cid().to_string()),
            |token| ucan_core::block::dag_cbor_cid(token).to_string(),
        );
        let path = output.output.clone().unwrap_or_else(|| format!("{what}-{name}.chan").into());
        let tokens = chain.iter().map(Delegation::bytes).chain(token);
        let bytes = Container::from_iter(tokens).encode(ContainerEncoding::Base64Url);
        file::write_new(&path, &bytes, false).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(path)
    }

    /// Says what was done, and what the other side does with the file.
    fn report(&self, text: &str, line: serde_json::Value) -> Result<(), Refused> {
        Ok(if self.json { say_json(&line.to_string()) } else { say(text) }?)
    }
}

/// What a file holds: the chain of a channel, and the other tokens.
struct Received {
    chain: Vec<Delegation>,
    rest: Vec<Vec<u8>>,
}

impl Received {
    fn read(path: &Path) -> Result<Self, Refused> {
        let name = file::name_of(path);
        let bytes = file::read_bounded(path, LARGEST).map_err(|error| format!("cannot read {name}: {error}"))?;
        let container = Container::decode(&bytes).map_err(|error| format!("{name} holds no tokens: {error}"))?;
        let (mut links, mut rest) = (Vec::new(), Vec::new());
        for token in container.tokens() {
            match Delegation::decode(token) {
                Ok(link) => links.push(link),
                Err(_) => rest.push(token.to_vec()),
            }
        }
        let chain = ucan_chan::chain(links).map_err(|error| format!("{name} holds no channel: {error}"))?;
        Ok(Self { chain, rest })
    }

    fn terms(&self) -> Result<Terms, TermsError> {
        Terms::read(&self.chain)
    }
}

fn words(status: Status) -> (&'static str, Option<u64>, Option<u64>) {
    match status {
        Status::Open => ("open", None, None),
        Status::Closing { until, .. } => ("closed", Some(until.as_secs()), None),
        Status::Settled { due } => ("settled", None, Some(due)),
        _ => ("unknown", None, None),
    }
}

async fn status(here: &Here, node: &Node, channel: Option<Cid>) -> Result<(), Refused> {
    let all = match channel {
        Some(channel) => vec![channel],
        None => here.channels.all()?,
    };
    if all.is_empty() && !here.json {
        say("there are no channels yet; `ipvm chan offer` makes one")?;
    }
    for id in all {
        let terms = Terms::read(&here.channels.chain(&id)?)?;
        let purse = here.channels.purse(&id)?;
        if let Some(purse) = &purse {
            show_purse(here, purse)?;
        }
        match node.till().channel(&id).await {
            Ok(channel) => {
                let (status, until, due) = words(channel.status());
                let line = serde_json::json!({
                    "event": "channel", "side": "provider", "channel": id.to_string(), "unit": channel.unit().as_str(),
                    "holder": terms.holder().as_str(), "status": status, "until": until, "due": due,
                    "budget": terms.budget(), "expires": terms.expiration().as_secs(), "signed": channel.total(),
                    "seq": channel.sequence(), "charged": channel.charged(), "credit": channel.credit(),
                    "reserved": channel.reserved(), "allotted": channel.allotted(),
                });
                let more = match (until, due) {
                    (_, Some(due)) => format!(", {due} due"),
                    (Some(until), _) => format!(", can be disputed until {until}"),
                    _ => String::new(),
                };
                let text = format!(
                    "{id}  provider  {status}{more}: {} {}, {} signed for, {} charged, {} allotted, held by {}, expires {}",
                    terms.budget(),
                    channel.unit(),
                    channel.total(),
                    channel.charged(),
                    channel.allotted(),
                    terms.holder(),
                    date(terms.expiration()),
                );
                here.report(&text, line)?;
            }
            Err(TillError::Unknown { .. }) if purse.is_some() => {}
            Err(TillError::Unknown { .. }) => {
                let line = serde_json::json!({
                    "event": "channel", "side": null, "channel": id.to_string(), "unit": terms.unit().as_str(),
                    "holder": terms.holder().as_str(), "status": "offered", "budget": terms.budget(),
                    "expires": terms.expiration().as_secs(),
                });
                let text = format!(
                    "{id}  offered: {} {} to {}, expires {}",
                    terms.budget(),
                    terms.unit(),
                    terms.holder(),
                    date(terms.expiration())
                );
                here.report(&text, line)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn show_purse(here: &Here, purse: &Purse) -> Result<(), Refused> {
    let terms = purse.terms();
    let line = serde_json::json!({
        "event": "channel", "side": "holder", "channel": terms.id().to_string(), "unit": terms.unit().as_str(),
        "holder": terms.holder().as_str(), "provider": terms.provider().as_str(), "budget": terms.budget(),
        "expires": terms.expiration().as_secs(), "signed": purse.total(), "seq": purse.sequence(), "left": purse.left(),
        "status": if purse.is_closed() { "closed" } else { "open" },
    });
    let text = format!(
        "{}  holder  {}: {} {}, {} signed for, {} left, provided by {}, expires {}",
        terms.id(),
        if purse.is_closed() { "closed" } else { "open" },
        terms.budget(),
        terms.unit(),
        purse.total(),
        purse.left(),
        terms.provider(),
        date(terms.expiration()),
    );
    here.report(&text, line)
}
