//! Runs that go on elsewhere, and workflows that are run again otherwise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ipvm::{Node, NodeError, file};
use ipvm_workflow::{RUN_COMMAND, RunOptions, Workflow};
use ucan_core::{Cid, Did, Ipld, dagjson};
use ucan_invocation::{BlockStore, Task, TaskId};

use super::display::Display;
use super::print::{say, say_json};
use super::{Outcome, Refused, cid, runs};

/// The largest archive that is read.
const LARGEST: u64 = 1 << 30;

/// What `ipvm checkpoint` takes.
#[derive(Debug, Args)]
pub(super) struct Checkpoint {
    /// The run, as `ipvm list` has it. From now on it is not gone on with here.
    #[arg(value_parser = cid)]
    run: Cid,
    /// Who goes on with it: the DID of the other executor, as `ipvm key show node` has it there.
    #[arg(long, value_name = "DID")]
    to: Did,
    /// The file to make, a CAR, which can be read by its owner alone: results are in it.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Checkpoint {
    pub(super) async fn carry_out(self, node: &Node, json: bool) -> Outcome {
        let Self { run, to, output } = self;
        // Once it is handed over, there has to be a file.
        if output.exists() {
            return Err(format!("{} is there already, and is not replaced", output.display()).into());
        }
        let archive = node.engine().checkpoint(&TaskId::new(run), &to).await?;
        file::write_new(&output, &archive, true).map_err(|error| {
            format!(
                "cannot write {}: {error}; the run is handed over, and the same command with another file writes it",
                output.display()
            )
        })?;
        let (bytes, name) = (archive.len(), output.display());
        if json {
            let line = serde_json::json!({
                "event": "handed over", "run": run.to_string(), "to": to.to_string(), "file": name.to_string(), "bytes": bytes,
            });
            say_json(&line.to_string())?;
        } else {
            say(&format!("the run is handed over: {bytes} bytes in {name}"))?;
            say(&format!("{to} goes on with it by: ipvm --trust {} resume {name}", node.state().node.did()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes over the run that an archive hands over.
pub(super) async fn take_over(node: &Node, path: &Path, json: bool) -> Result<TaskId, Refused> {
    let archive = file::read_bounded(path, LARGEST).map_err(|error| {
        format!("{} is neither the id of a run nor a file that can be read: {error}", file::name_of(path))
    })?;
    let run = node.engine().take_over(&archive).await?;
    if json {
        say_json(&serde_json::json!({"event": "taken over", "run": run.to_string()}).to_string())?;
    } else {
        say(&format!("the run {run} is taken over"))?;
    }
    Ok(run)
}

/// What `ipvm fork` takes.
#[derive(Debug, Args)]
pub(super) struct Fork {
    /// A run, or a workflow, of the store.
    #[arg(value_parser = cid)]
    of: Cid,
    /// Puts a value, in DAG-JSON, in the place of another: the label of a task, and where in its arguments; can be given several times.
    #[arg(long = "set", value_name = "LABEL.PATH=JSON", required = true)]
    changes: Vec<String>,
    /// The folder in which the workflow writes results [default: the folder "output" in the state folder].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Fork {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let node = open(self.output)?;
        let mut workflow = workflow(&node, &self.of).await?;
        for change in &self.changes {
            workflow = altered(&workflow, change)?;
        }
        let display = Display::new(json, node.output().to_owned());
        let options = RunOptions::default();
        let observe = |event| display.show(&event);
        let run = node.run_workflow(&workflow, &options, &observe);
        let report = runs::interruptible(&node, &options.control, run).await;
        runs::conclude(json, display, report.map_err(Into::into))
    }
}

/// The workflow with this CID, or that of the run with it.
async fn workflow(node: &Node, of: &Cid) -> Result<Workflow, Refused> {
    let block = async |cid: &Cid| {
        let block = BlockStore::get(&**node.store(), cid).await?;
        block.ok_or_else(|| Refused::from(format!("{cid} is not in the store")))
    };
    let bytes = block(of).await?;
    let run = Task::from_block(&bytes).ok().filter(|task| task.command().as_str() == RUN_COMMAND);
    let bytes = match run.as_ref().and_then(|run| run.args().get("workflow")) {
        Some(Ipld::Link(workflow)) => block(workflow).await?,
        _ => bytes,
    };
    let read = Workflow::from_block(&bytes);
    read.map_err(|error| format!("{of} is neither a run nor a workflow: {error}").into())
}

fn altered(workflow: &Workflow, change: &str) -> Result<Workflow, Refused> {
    let malformed = || Refused::from(format!("{change:?} is not LABEL.PATH=JSON, as add.params.0=7"));
    let (place, value) = change.split_once('=').ok_or_else(malformed)?;
    let value = dagjson::decode(value.as_bytes()).map_err(|error| format!("{value:?} is not DAG-JSON: {error}"))?;
    // Labels may have dots.
    let labels = workflow.tasks().map(|(label, ..)| label);
    let label = labels.filter(|label| place.strip_prefix(label).is_some_and(|rest| rest.starts_with('.')));
    let (label, path) = match label.max_by_key(|label| label.len()) {
        Some(label) => (label, &place[label.len() + 1..]),
        None => place.split_once('.').ok_or_else(malformed)?,
    };
    Ok(workflow.fork(label, &path.split('.').collect::<Vec<_>>(), value)?)
}
