//! What is wished of runs that another process has under way.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use ipvm::{Asked, Node, NodeError, Wish};
use ipvm_fjall::OpenError;
use ipvm_workflow::Journal;
use ucan_core::Cid;
use ucan_invocation::TaskId;

use super::print::{say, say_json};
use super::{Outcome, Refused, cid};

/// How long the process that has the store may take to take notice; it looks twice a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited between two looks.
const NAP: Duration = Duration::from_millis(100);

/// What `ipvm pause` takes.
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The run, which another process has under way.
    #[arg(value_parser = cid)]
    run: Cid,
}

/// What came of a wish.
pub(super) enum Told {
    /// The process that has the run under way takes it from there.
    Heeded,
    /// No process has the store: here it is.
    Free(Box<Node>),
}

impl Pause {
    pub(super) async fn carry_out(
        self,
        state: &Path,
        open: &dyn Fn(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let run = TaskId::new(self.run);
        match tell(Wish::Pause, state, &run, &|| open(None)).await? {
            Told::Heeded => heeded(Wish::Pause, &run, json),
            Told::Free(node) => Err(match node.store().open(&run).await? {
                Some(_) => format!(
                    "the run {run} is not running: `ipvm resume {run}` goes on with it, and `ipvm cancel {run}` ends it"
                ),
                None => format!("there is no run {run} here that is not over; `ipvm list` has those that there are"),
            }
            .into()),
        }
    }
}

/// Tells the process that has the store what is wished of a run, and waits until it has taken notice; where there is no such process,
/// opens the store.
pub(super) async fn tell(
    wish: Wish,
    state: &Path,
    run: &TaskId,
    open: &dyn Fn() -> Result<Node, NodeError>,
) -> Result<Told, Refused> {
    let (began, mut asked) = (Instant::now(), None::<Asked>);
    loop {
        let in_use = match open() {
            Ok(node) => {
                // It may have been heeded before that process ended.
                let heeded = asked.map_or(Ok(false), Asked::take_back)?;
                return Ok(if heeded { Told::Heeded } else { Told::Free(Box::new(node)) });
            }
            Err(NodeError::Open(error @ OpenError::Locked { .. })) => error,
            Err(error) => return Err(error.into()),
        };
        let waiting = match asked.take() {
            Some(waiting) => waiting,
            None => wish.ask(state, run)?,
        };
        for _ in 0..10 {
            tokio::time::sleep(NAP).await;
            if waiting.is_heeded()? {
                return Ok(Told::Heeded);
            }
        }
        if began.elapsed() >= PATIENCE {
            return match waiting.take_back()? {
                true => Ok(Told::Heeded),
                false => Err(format!(
                    "{in_use}. That process took no notice of what is wished of the run {run}: it does not have it under way, or \
                     undoes it already"
                )
                .into()),
            };
        }
        asked = Some(waiting);
    }
}

/// Says that a wish was heeded.
pub(super) fn heeded(wish: Wish, run: &TaskId, json: bool) -> Outcome {
    if json {
        let line = serde_json::json!({"event": "told", "run": run.to_string(), "wish": wish.name()});
        say_json(&line.to_string())?;
    } else {
        let what = match wish {
            Wish::Pause => format!("is paused; `ipvm resume {run}` goes on with it"),
            Wish::Cancel => "is undone where its workflow says how, and over".to_owned(),
        };
        say(&format!(
            "the process that runs it was told: what is under way comes to its receipts, then the run {what}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
