//! What runs tell the host's `tracing` subscriber and `metrics` recorder, where it has one. No argument and no result is among it.

use metrics::{counter, histogram};
use tracing::Span;
use ucan_invocation::TaskId;

use crate::{Event, How, RunError, RunReport, Step, StepReport};

/// The span of a run.
pub(crate) fn run_span(run: &TaskId) -> Span {
    tracing::info_span!("run", run = %run)
}

/// The span of a task, within that of its run.
pub(crate) fn task_span(step: &Step) -> Span {
    tracing::info_span!(
        "task",
        label = step.label,
        task = %step.id,
        command = step.task.command().as_str(),
        class = step.class.name(),
    )
}

/// Counts what happens in a run.
pub(crate) fn count(event: &Event) {
    match event {
        Event::Finished(report) => count_task(report),
        Event::Retrying { label, attempt, receipt, .. } => {
            tracing::warn!(label, attempt, %receipt, "an attempt failed, and another one is made");
            counter!("ipvm_attempts_failed_total").increment(1);
        }
        Event::Caught { caught, .. } => {
            let outcome = if caught.instead.is_some() { "made good" } else { "failed" };
            counter!("ipvm_failures_caught_total", "outcome" => outcome).increment(1);
        }
        Event::Undoing { label, by } => tracing::warn!(label, by, "an effect is undone"),
        _ => {}
    }
}

fn count_task(report: &StepReport) {
    let (class, how, succeeded) = (report.class.name(), report.how.name(), report.outcome.is_ok());
    let outcome = if succeeded { "ok" } else { "error" };
    counter!("ipvm_tasks_total", "class" => class, "how" => how, "outcome" => outcome).increment(1);
    if matches!(report.how, How::Reused | How::NotRun) {
        return;
    }
    histogram!("ipvm_task_seconds", "class" => class).record(report.elapsed.as_secs_f64());
    counter!("ipvm_fuel_total").increment(report.fuel.unwrap_or(0));
    if !succeeded {
        let failure = report.outcome.failure_name().unwrap_or("error");
        tracing::warn!(label = report.label, receipt = %report.receipt, failure, "a task failed");
    }
}

/// Counts how a run ended, or why it did not go on.
pub(crate) fn count_run(ended: &Result<RunReport, RunError>) {
    let outcome = match ended {
        Ok(report) if report.succeeded() => "ok",
        Ok(report) if report.cancelled => "cancelled",
        Ok(_) => "error",
        Err(RunError::Paused(_)) => "paused",
        Err(RunError::CutOff(_)) => "cut off",
        Err(_) => "refused",
    };
    counter!("ipvm_runs_total", "outcome" => outcome).increment(1);
    match ended {
        Ok(report) => tracing::info!(receipt = %report.receipt, outcome, "the run is over"),
        Err(error) => tracing::warn!(%error, outcome, "the run does not go on"),
    }
}
