use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ipvm::{Node, NodeError, Source, file};
use ipvm_workflow::RunOptions;
use ucan_core::{Cid, Did, Ipld, dagjson};

use super::display::Display;
use super::pointed::Pointed;
use super::{FAILED, Outcome, Refused, forget, runs};

/// What `ipvm run` takes.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    given: Given,
    /// Computes this share of the results that are reused again, from 0 to 1, and puts whoever signed one that does not hold into
    /// quarantine.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    sample: f64,
    #[command(flatten)]
    payment: Payment,
    /// The folder in which the workflow writes results [default: the folder "output" in the state folder].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// What a run may cost, and what pays for it.
#[derive(Debug, Args)]
pub(super) struct Payment {
    /// The most gas that it may cost from now on: it is paused before a task starts that could exceed it.
    #[arg(long, value_name = "GAS")]
    cap: Option<u64>,
    /// The channel that pays for it, one that the key "user" draws on.
    #[arg(long, value_name = "CID", value_parser = super::cid)]
    channel: Option<Cid>,
}

impl Payment {
    pub(super) fn says_more(&self) -> bool {
        self.cap.is_some() || self.channel.is_some()
    }

    pub(super) fn options(&self) -> RunOptions {
        RunOptions { cap: self.cap, channel: self.channel, ..RunOptions::default() }
    }
}

/// What `ipvm plan` takes.
#[derive(Debug, Args)]
pub(super) struct Planned {
    #[command(flatten)]
    given: Given,
    /// Says what it would cost: by what receipts say of the same tasks, and at most what the limits allow.
    #[arg(long)]
    cost: bool,
}

/// A workflow, and what it leaves open.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// The workflow, a file of DAG-JSON, or of YAML where its name ends in .yaml or .yml.
    pub(super) workflow: PathBuf,
    /// Gives an input the text of a file (UTF-8); - is standard input.
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = assignment)]
    inputs: Vec<(String, String)>,
    /// Gives an input the bytes of a file; - is standard input.
    #[arg(long = "input-bytes", value_name = "NAME=FILE", value_parser = assignment)]
    bytes: Vec<(String, String)>,
    /// Gives an input a value, in DAG-JSON.
    #[arg(long = "input-json", value_name = "NAME=JSON", value_parser = assignment)]
    values: Vec<(String, String)>,
    /// Says who an alias is that the workflow uses as a subject.
    #[arg(long = "bind", value_name = "ALIAS=DID", value_parser = assignment)]
    subjects: Vec<(String, String)>,
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl Run {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let source = Source::read(&self.given.workflow)?;
        let (inputs, subjects) = (self.given.inputs()?, self.given.subjects()?);
        let node = open(self.output)?;
        for (cid, bytes) in &source.blocks {
            node.put(cid, bytes.clone()).await?;
        }
        node.engine().sample(self.sample);
        let display = Display::new(json, node.output().to_owned());
        let options = self.payment.options();
        let observe = |event| display.show(&event);
        let run = node.run_with(&source.document, inputs, subjects, &options, &observe);
        let report = runs::interruptible(&node, &options.control, run).await;
        let ended = runs::conclude(json, display, report.map_err(|error| pointed(error, &source)))?;
        let refuted = node.checked().await?;
        for refuted in &refuted {
            forget::report_refuted(json, refuted)?;
        }
        Ok(if refuted.is_empty() { ended } else { ExitCode::from(FAILED) })
    }
}

impl Planned {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let source = Source::read(&self.given.workflow)?;
        let (inputs, subjects) = (self.given.inputs()?, self.given.subjects()?);
        let node = open(None)?;
        for (cid, bytes) in &source.blocks {
            node.put(cid, bytes.clone()).await?;
        }
        let plan = node.plan(&source.document, inputs, subjects).await;
        let plan = plan.map_err(|error| pointed(error, &source))?;
        let quotes = if self.cost { Some(node.engine().quote(&plan).await?) } else { None };
        runs::show_plan(&plan, quotes.as_deref(), json)
    }
}

impl Given {
    pub(super) fn inputs(&self) -> Result<BTreeMap<String, Ipld>, Refused> {
        let mut inputs = BTreeMap::new();
        let mut give = |name: &String, value| match inputs.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(Refused::from(format!("the input {name:?} is given twice"))),
        };
        for (name, file) in &self.inputs {
            let text = String::from_utf8(read(file)?).map_err(|error| {
                let place = error.utf8_error().valid_up_to();
                format!("{file} is not UTF-8 text (at byte {place}); give it as bytes: --input-bytes {name}={file}")
            })?;
            give(name, Ipld::String(text))?;
        }
        for (name, file) in &self.bytes {
            give(name, Ipld::Bytes(read(file)?))?;
        }
        for (name, json) in &self.values {
            let value = dagjson::decode(json.as_bytes())
                .map_err(|error| format!("the value of the input {name:?} is not DAG-JSON: {error}"))?;
            give(name, value)?;
        }
        Ok(inputs)
    }

    pub(super) fn subjects(&self) -> Result<BTreeMap<String, Did>, Refused> {
        self.subjects
            .iter()
            .map(|(alias, did)| {
                let did = Did::parse(did).map_err(|error| format!("--bind {alias}={did}: {error}"))?;
                Ok((alias.clone(), did))
            })
            .collect()
    }
}

fn read(path: &str) -> Result<Vec<u8>, Refused> {
    let read = file::read_bounded(path.as_ref(), file::LARGEST);
    read.map_err(|error| format!("cannot read {}: {error}", file::name_of(path.as_ref())).into())
}

/// An error with what in the document is at fault.
fn pointed(error: NodeError, source: &Source) -> Refused {
    let spots = source.spots(&error);
    Pointed::at(with_unlinked(error, &source.unlinked), spots)
}

/// Where a component is missing, a file beside the workflow that changed is the likely reason.
pub(super) fn with_unlinked(error: NodeError, unlinked: &[(PathBuf, Cid)]) -> Refused {
    let text = error.to_string();
    let error = error.into();
    if unlinked.is_empty() || !text.contains("MissingBlock") {
        return error;
    }
    let files: Vec<String> = unlinked
        .iter()
        .map(|(path, cid)| format!("{} has the CID {cid} now, to which no task links", path.display()))
        .collect();
    format!("{text}\n{}", files.join("\n")).into()
}
