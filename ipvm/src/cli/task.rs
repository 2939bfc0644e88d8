use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ipvm::{Node, NodeError, file};
use ipvm_task::WASM_RUN_COMMAND;
use ipvm_workflow::{Document, VERSION};
use ucan_core::{Cid, Ipld, block, dagjson};

use super::display::Display;
use super::print::say;
use super::{FAILED, Outcome, Refused};

/// The label of the only task.
const LABEL: &str = "task";

/// What `ipvm task` takes.
#[derive(Debug, Args)]
pub(super) struct Task {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a single task, as a workflow that has no other: signed for, memoized, with a receipt.
    Run(Run),
}

#[derive(Debug, Args)]
struct Run {
    /// The component whose function is called: a file, which is kept, or the CID of one that was.
    #[arg(long = "mod", value_name = "FILE|CID", requires = "fun", conflicts_with = "args")]
    module: Option<String>,
    /// The function: its name, or interface#name for one of an interface.
    #[arg(long, value_name = "NAME", requires = "module")]
    fun: Option<String>,
    /// The arguments of the function, as DAG-JSON: a list, or an object by the names of the parameters.
    #[arg(long, value_name = "JSON", default_value = "[]", requires = "module")]
    params: String,
    /// The command of another task than a call of a component.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "args",
        required_unless_present = "module",
        conflicts_with = "module"
    )]
    cmd: Option<String>,
    /// Its arguments, as DAG-JSON.
    #[arg(long, value_name = "JSON", requires = "cmd")]
    args: Option<String>,
    /// On whose resource it acts: a DID, "executor", "invoker" or "output".
    #[arg(long, value_name = "WHO")]
    sub: Option<String>,
    /// How it is to be run, as DAG-JSON: {"gas": 1000000, "time": [5, "seconds"]}.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// The folder in which results are written [default: the folder "output" in the state folder].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Task {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let Verb::Run(run) = self.command;
        let module = run.module.as_deref().map(component).transpose()?;
        let document = run.document(module.as_ref().map(|(cid, _)| *cid))?;
        let node = open(run.output)?;
        if let Some((cid, Some(bytes))) = module {
            node.put(&cid, bytes.into()).await?;
        }
        let display = Display::new(json, node.output().to_owned());
        let report = node.run(&document, BTreeMap::new(), BTreeMap::new(), &|event| display.show(&event)).await?;
        display.end()?;
        if !json {
            for step in &report.steps {
                say(&dagjson::encode_pretty(&step.outcome.to_ipld()))?;
            }
        }
        Ok(if report.succeeded() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

impl Run {
    fn document(&self, module: Option<Cid>) -> Result<Document, Refused> {
        let text = |text: &str| Ipld::String(text.to_owned());
        let (command, args) = match (module, &self.cmd, &self.args) {
            (Some(module), _, _) => {
                let fun = text(self.fun.as_deref().unwrap_or_default());
                let args =
                    map([("mod", Ipld::Link(module)), ("fun", fun), ("params", read("--params", &self.params)?)]);
                (WASM_RUN_COMMAND, args)
            }
            (None, Some(command), Some(args)) => (command.as_str(), read("--args", args)?),
            _ => return Err("name a component with --mod, or a command with --cmd and its --args".into()),
        };
        let mut task = BTreeMap::from([("cmd".to_owned(), text(command)), ("args".to_owned(), args)]);
        if let Some(subject) = &self.sub {
            task.insert("sub".to_owned(), text(subject));
        }
        if let Some(config) = &self.config {
            task.insert("config".to_owned(), read("--config", config)?);
        }
        let document = map([("v", text(VERSION)), ("tasks", map([(LABEL, Ipld::Map(task))]))]);
        Ok(Document::parse(&document)?)
    }
}

/// The component that a file holds, or that the store has under a CID.
fn component(named: &str) -> Result<(Cid, Option<Vec<u8>>), Refused> {
    let path = Path::new(named);
    if !path.exists()
        && let Ok(cid) = named.parse()
    {
        return Ok((cid, None));
    }
    let bytes = file::read_bounded(path, file::LARGEST);
    let bytes = bytes.map_err(|error| format!("{named:?} is neither a CID nor a file that can be read: {error}"))?;
    Ok((block::raw_cid(&bytes), Some(bytes)))
}

fn read(option: &str, json: &str) -> Result<Ipld, Refused> {
    dagjson::decode(json.as_bytes()).map_err(|error| format!("{option} is not DAG-JSON: {error}").into())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}
