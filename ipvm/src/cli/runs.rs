//! Runs that are planned, under way, paused or cancelled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ipvm::{Node, NodeError, Wish};
use ipvm_workflow::{
    Control, Journal, Paused, Plan, Quote, Resolution, RunError, RunOptions, RunReport, RunState, Step, StepState,
};
use ucan_core::{Cid, Timestamp, dagjson};
use ucan_invocation::{EffectClass, Outcome as TaskOutcome, ReceiptId, ReceiptStore, TaskId};

use super::display::{Display, grouped};
use super::moves::take_over;
use super::print::{mention, plain, say, say_json};
use super::run::Payment;
use super::wish::{self, Told};
use super::{FAILED, Outcome, PAUSED, Refused, cid, moment};

/// What `ipvm resume` takes.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run, as `ipvm list` has it, or the archive by which another executor hands one over.
    #[arg(value_name = "RUN|FILE")]
    run: String,
    #[command(flatten)]
    open: Open,
}

/// What `ipvm cancel` takes.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The run, as `ipvm list` has it.
    #[arg(value_parser = cid)]
    run: Cid,
    #[command(flatten)]
    open: Open,
}

/// What `ipvm status` takes.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The run.
    #[arg(value_parser = cid)]
    run: Cid,
}

/// How a run that is not over is gone on with.
#[derive(Debug, Args)]
struct Open {
    /// Says of an uncertain task that it took effect, and what came of it, in DAG-JSON: `{"ok": ..}` or `{"error": ..}`.
    #[arg(long, value_name = "TASK=JSON", value_parser = done)]
    done: Vec<(Cid, TaskOutcome)>,
    /// Says of an uncertain task that it did not take effect, so that it can be done now.
    #[arg(long, value_name = "TASK", value_parser = cid)]
    not_done: Vec<Cid>,
    #[command(flatten)]
    payment: Payment,
    /// How long after its first start tasks of it are started, instead of what its workflow says: 45s, 90m, 12h, 30d or 2w.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    time: Option<Duration>,
    /// The most gas that all of its tasks may use together since its first start, instead of what its workflow says.
    #[arg(long, value_name = "GAS")]
    gas: Option<u64>,
    /// The folder in which the workflow writes results [default: the folder "output" in the state folder].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

fn done(text: &str) -> Result<(Cid, TaskOutcome), String> {
    let (task, outcome) = text.split_once('=').ok_or("expected TASK=JSON")?;
    let outcome = dagjson::decode(outcome.as_bytes()).map_err(|error| format!("not DAG-JSON: {error}"))?;
    let outcome = TaskOutcome::from_ipld(&outcome).ok_or("expected {\"ok\": ..} or {\"error\": ..}")?;
    Ok((cid(task)?, outcome))
}

fn period(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs(moment::after(text, Timestamp::EPOCH)?.as_secs()))
}

impl Resume {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let run = match cid(&self.run) {
            Ok(run) => Which::Run(TaskId::new(run)),
            Err(_) => Which::Archive(self.run.into()),
        };
        self.open.go_on(open, json, run).await
    }
}

impl Cancel {
    pub(super) async fn carry_out(
        self,
        state: &Path,
        open: &dyn Fn(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        let (run, output) = (TaskId::new(self.run), self.open.output.clone());
        let open = || open(output.clone());
        // What else is said is for whoever undoes it to know, so that it cannot be told to another process.
        let node = match self.open.says_more() {
            true => Box::new(open()?),
            false => match wish::tell(Wish::Cancel, state, &run, &open).await? {
                Told::Heeded => return wish::heeded(Wish::Cancel, &run, json),
                Told::Free(node) => node,
            },
        };
        self.open.go_on(|_| Ok(*node), json, Which::Cancelled(run)).await
    }
}

/// Says of a run what its receipt says.
async fn already_over(node: &Node, receipt: &ReceiptId, json: bool) -> Outcome {
    let stated = ReceiptStore::get(&**node.store(), receipt).await?;
    let succeeded = stated.is_some_and(|stated| stated.outcome().is_ok());
    if json {
        let line = serde_json::json!({"event": "done", "receipt": receipt.to_string(), "succeeded": succeeded});
        say_json(&line.to_string())?;
    } else {
        say(&format!("the run is over; its receipt is {receipt}"))?;
    }
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Which run is gone on with.
enum Which {
    Run(TaskId),
    Cancelled(TaskId),
    /// The one that this archive hands over.
    Archive(PathBuf),
}

impl Open {
    async fn go_on(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
        which: Which,
    ) -> Outcome {
        let options = self.options();
        let node = open(self.output)?;
        let cancel = matches!(which, Which::Cancelled(_));
        let run = match which {
            Which::Run(run) | Which::Cancelled(run) => run,
            Which::Archive(file) => take_over(&node, &file, json).await?,
        };
        let display = Display::new(json, node.output().to_owned());
        let observe = |event| display.show(&event);
        let engine = node.engine();
        let report = match cancel {
            true => engine.cancel(&run, &options, &observe).await,
            false => interruptible(&node, &options.control, engine.resume(&run, &options, &observe)).await,
        };
        if let Err(error @ (RunError::NoAuthority(_) | RunError::Request(_))) = &report {
            let advice = "The run cannot go on: what it rests on has expired or was revoked.";
            return Err(format!(
                "{error}\n{advice} `ipvm cancel {run}` ends it, and says what stays that cannot be undone"
            )
            .into());
        }
        // It died after it was done, and before that was written down, which it is now.
        if let Err(RunError::AlreadyRun { receipt }) = report {
            return already_over(&node, &receipt, json).await;
        }
        conclude(json, display, report.map_err(|error| NodeError::from(error).into()))
    }

    fn says_more(&self) -> bool {
        let Self { done, not_done, payment, time, gas, output } = self;
        !done.is_empty()
            || !not_done.is_empty()
            || payment.says_more()
            || time.is_some()
            || gas.is_some()
            || output.is_some()
    }

    fn options(&self) -> RunOptions {
        let done = self.done.iter().map(|(task, outcome)| (TaskId::new(*task), Resolution::Done(outcome.clone())));
        let not_done = self.not_done.iter().map(|task| (TaskId::new(*task), Resolution::NotDone));
        let resolutions: BTreeMap<TaskId, Resolution> = not_done.chain(done).collect();
        RunOptions { resolutions, time: self.time, gas: self.gas, ..self.payment.options() }
    }
}

/// Carries out a run that an interrupt pauses, and a second one ends at once. What other processes wish of it is done.
pub(super) async fn interruptible<T>(node: &Node, control: &Control, run: impl Future<Output = T>) -> T {
    let run = async {
        tokio::select! {
            biased;
            ended = run => ended,
            never = node.heed_wishes() => match never {},
        }
    };
    tokio::pin!(run);
    tokio::select! {
        biased;
        ended = &mut run => return ended,
        interrupted = tokio::signal::ctrl_c() => {
            if interrupted.is_ok() {
                mention("what is under way is being finished; interrupt again to stop at once");
                control.pause();
            }
        }
    }
    tokio::select! {
        biased;
        ended = &mut run => ended,
        // Whatever is under way is as if the process had crashed: that is what the journal is for.
        Ok(()) = tokio::signal::ctrl_c() => std::process::exit(130),
        else => run.await,
    }
}

/// Says what came of a run. That it is paused is said with how it goes on.
pub(super) fn conclude(json: bool, display: Display, report: Result<RunReport, Refused>) -> Outcome {
    let run = display.run();
    display.end()?;
    let error = match report {
        Ok(report) if report.succeeded() => return Ok(ExitCode::SUCCESS),
        Ok(_) => return Ok(ExitCode::from(FAILED)),
        Err(error) => error,
    };
    let (Some(NodeError::Run(RunError::Paused(paused))), Some(run)) = (error.downcast_ref(), run) else {
        return Err(error);
    };
    let how = match paused {
        Paused::Uncertain { task, .. } => {
            format!("ipvm resume {run} --done '{task}={{\"ok\": ..}}', or ipvm resume {run} --not-done {task}")
        }
        Paused::Unanswered { task, .. } => {
            format!("ipvm resume {run}, which asks again; or ipvm resume {run} --done '{task}={{\"ok\": ..}}'")
        }
        Paused::Exhausted { channel, .. } => {
            format!(
                "ipvm chan pay {channel} --amount GAS, and ipvm resume {run}; or ipvm resume {run} --channel ANOTHER"
            )
        }
        Paused::ChannelClosed { .. } => format!("ipvm resume {run} --channel ANOTHER, or ipvm cancel {run}"),
        Paused::Capped { .. } => format!("ipvm resume {run} --cap GAS, or ipvm cancel {run}"),
        Paused::OutOfTime { .. } => format!("ipvm resume {run} --time PERIOD, or ipvm cancel {run}"),
        Paused::OutOfGas { .. } => format!("ipvm resume {run} --gas GAS, or ipvm cancel {run}"),
        _ => format!("ipvm resume {run}, or ipvm cancel {run}"),
    };
    if json {
        let (label, task) = match paused {
            Paused::Spent { label, .. } => (Some(label), None),
            Paused::Uncertain { label, task } => (Some(label), Some(task.to_string())),
            Paused::Unanswered { label, task, .. } => (Some(label), Some(task.to_string())),
            Paused::Exhausted { label, .. } | Paused::ChannelClosed { label, .. } | Paused::Capped { label, .. } => {
                (Some(label), None)
            }
            Paused::OutOfTime { label, .. } | Paused::OutOfGas { label, .. } => (Some(label), None),
            _ => (None, None),
        };
        let line = serde_json::json!({
            "event": "paused", "run": run.to_string(), "reason": paused.to_string(), "label": label, "uncertain": task,
            "next": how,
        });
        say_json(&line.to_string())?;
    } else {
        say(&format!("the run is paused: {}", plain(&paused.to_string())))?;
        say(&format!("to go on: {how}"))?;
    }
    Ok(ExitCode::from(PAUSED))
}

impl Status {
    pub(super) async fn carry_out(self, node: &Node, json: bool) -> Outcome {
        let run = TaskId::new(self.run);
        let status = node.engine().status(&run).await?;
        let (state, receipt) = match status.state {
            RunState::Open => ("not over", None),
            RunState::Cancelled => ("cancelled, and not all undone yet", None),
            RunState::Over { receipt, succeeded: true } => ("succeeded", Some(Cid::from(receipt))),
            RunState::Over { receipt, succeeded: false } => ("failed", Some(receipt.into())),
            RunState::HandedOver { handover } => ("handed over to another executor", Some(handover)),
            _ => ("never started here", None),
        };
        let stated = receipt.map(|receipt| receipt.to_string());
        if json {
            let line = serde_json::json!({
                "event": "status", "run": run.to_string(), "workflow": status.workflow.to_string(), "state": state,
                "by": stated,
            });
            say_json(&line.to_string())?;
        } else {
            let by = stated.map_or_else(String::new, |by| format!(" ({by})"));
            say(&format!("workflow {}: {state}{by}", status.workflow))?;
        }
        for (label, class, state) in &status.steps {
            let (state, receipt) = match state {
                StepState::Done { receipt, succeeded: true } => ("succeeded", Some(receipt.to_string())),
                StepState::Done { receipt, succeeded: false } => ("failed", Some(receipt.to_string())),
                StepState::Begun => ("begun, and it is not known what came of it", None),
                _ => ("not done", None),
            };
            if json {
                let line = serde_json::json!({
                    "event": "step", "label": label, "class": class.name(), "state": state, "receipt": receipt,
                });
                say_json(&line.to_string())?;
            } else {
                let receipt = receipt.map_or_else(String::new, |receipt| format!(" ({receipt})"));
                say(&format!("  {}: {state}{receipt}", plain(label)))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists the runs that are not over.
pub(super) async fn list(node: &Node, json: bool) -> Outcome {
    let journal = node.store();
    for run in journal.unfinished().await? {
        let Some(open) = journal.open(&run).await? else { continue };
        let state = if open.cancelled { "cancelled, and not all undone yet" } else { "not over" };
        if json {
            let line = serde_json::json!({
                "event": "run", "run": run.to_string(), "workflow": open.workflow.to_string(), "cancelled": open.cancelled,
            });
            say_json(&line.to_string())?;
        } else {
            say(&format!("{run}  workflow {}  {state}", open.workflow))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what a run would do, in its three phases, and what it would cost.
pub(super) fn show_plan(plan: &Plan, quotes: Option<&[Quote]>, json: bool) -> Outcome {
    let phase = |step: &Step| match step.class {
        _ if step.undoes => "undo",
        EffectClass::Query => "1 query",
        EffectClass::Deterministic => "2 compute",
        EffectClass::IdempotentWrite | EffectClass::Mutable => "3 alter",
    };
    let mut steps: Vec<&Step> = plan.steps().iter().collect();
    steps.sort_by_key(|step| phase(step));
    for step in steps {
        let quote = quotes.and_then(|quotes| quotes.iter().find(|quote| quote.label == step.label));
        let (command, subject) = (step.task.command().as_str(), step.task.subject());
        if json {
            let line = serde_json::json!({
                "event": "planned", "label": step.label, "phase": phase(step), "class": step.class.name(), "task": step.id.to_string(),
                "command": command, "subject": subject.to_string(), "undo": step.undo,
                "attempts": step.retry.as_ref().map_or(1, |retry| retry.attempts),
                "cost": quote.map(|quote| serde_json::json!({
                    "known": quote.known, "measured": quote.measured, "most": quote.most,
                })),
            });
            say_json(&line.to_string())?;
            continue;
        }
        let undo = step.undo.as_ref().map_or_else(String::new, |undo| format!(", undone by {}", plain(undo)));
        let tries = step.retry.as_ref().map_or_else(String::new, |retry| format!(", tried {} times", retry.attempts));
        let (label, class) = (plain(&step.label), step.class.name());
        let cost = quote.map_or_else(String::new, |quote| format!(": {}", cost(quote)));
        say(&format!("{:<10} {label}: {command} ({class}{tries}{undo}) on {subject}{cost}", phase(step)))?;
    }
    let Some(quotes) = quotes else { return Ok(ExitCode::SUCCESS) };
    let most = quotes.iter().map(|quote| quote.most).fold(0, u64::saturating_add);
    // What nobody has measured is not guessed.
    let likely = |quote: &Quote| if quote.most == 0 { Some(0) } else { quote.measured };
    let likely = quotes.iter().map(likely).try_fold(0_u64, |sum, likely| Some(sum.saturating_add(likely?)));
    if json {
        say_json(&serde_json::json!({"event": "cost", "most": most, "likely": likely}).to_string())?;
    } else {
        let likely =
            likely.map_or_else(String::new, |likely| format!("{} gas by what was measured, ", grouped(likely)));
        say(&format!("in all: {likely}{} gas at most", grouped(most)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cost(quote: &Quote) -> String {
    match (quote.known, quote.measured) {
        (true, Some(measured)) => format!("costs nothing, as it is known; it took {} gas", grouped(measured)),
        (true, None) => "costs nothing, as it is known".to_owned(),
        (false, Some(measured)) => {
            format!("{} gas as others measured it, {} at most", grouped(measured), grouped(quote.most))
        }
        (false, None) if quote.most == 0 => "costs nothing".to_owned(),
        (false, None) => format!("{} gas at most", grouped(quote.most)),
    }
}
