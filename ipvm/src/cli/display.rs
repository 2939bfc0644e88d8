use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use console::{Style, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ipvm_workflow::{Event, How, NotUndone, StepReport};
use serde_json::{Value, json};
use ucan_core::{Ipld, dagjson};
use ucan_invocation::{EffectClass, Outcome, TaskId};

use super::print::{Unprinted, plain, say_json, say_styled};

/// How many characters of a result are shown.
const RESULT: usize = 40;

/// Shows what happens in a run: a table that grows, with the tasks under way below it on a terminal, or JSON lines.
pub(super) struct Display {
    json: bool,
    output: PathBuf,
    began: Instant,
    progress: Option<MultiProgress>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    run: Option<TaskId>,
    label_width: usize,
    under_way: HashMap<String, ProgressBar>,
    ran: usize,
    reused: usize,
    unchanged: usize,
    not_started: usize,
    failures: Vec<String>,
    /// What was charged by what ran here, where anything was.
    charged: Option<u64>,
    wrote: bool,
    /// Why not all was printed.
    unprinted: Option<Unprinted>,
}

impl Display {
    pub(super) fn new(json: bool, output: PathBuf) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self {
            json,
            output,
            began: Instant::now(),
            progress: (terminal && !json).then(MultiProgress::new),
            table: Mutex::default(),
        }
    }

    pub(super) fn show(&self, event: &Event) {
        if self.json {
            let mut table = self.table();
            if let Event::Accepted { run, .. } = event {
                table.run = Some(*run);
            }
            let printed = say_json(&as_json(event).to_string());
            return table.unprinted = table.unprinted.take().or(printed.err());
        }
        let mut table = self.table();
        let table = &mut *table;
        match event {
            Event::Accepted { run, workflow, steps } => {
                table.run = Some(*run);
                table.label_width = steps.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).max(4);
                self.line(table, &format!("workflow {workflow}"));
                let heading = row(table.label_width, "task", "class", "status", "fuel", "time", "result", "receipt");
                self.line(table, &style(heading).bold().to_string());
            }
            Event::Started { label } => {
                if let Some(progress) = &self.progress {
                    table.under_way.insert(label.clone(), spinner(progress, label));
                }
            }
            Event::Finished(step) => {
                if let Some(bar) = table.under_way.remove(&step.label) {
                    bar.finish_and_clear();
                }
                let line = table.finished(step);
                self.line(table, &line);
            }
            Event::Retrying { label, attempt, pause, .. } => {
                let pause = time(*pause);
                self.line(table, &format!("{}: attempt {attempt} failed; the next one is in {pause}", plain(label)));
            }
            Event::Caught { label, caught } => {
                let came = match (&caught.instead, &caught.message) {
                    (Some(_), _) => "goes on with another result".to_owned(),
                    (None, message) => format!("stays failed: {}", plain(message.as_deref().unwrap_or_default())),
                };
                self.line(table, &format!("{}: {came}, by the receipt {}", plain(label), caught.by));
            }
            Event::Undoing { label, by } => {
                self.line(table, &format!("{} is undone by {}", plain(label), plain(by)));
            }
            Event::NotUndone(NotUndone { label, by, reason, .. }) => {
                let (label, by, reason) = (plain(label), plain(by), plain(reason));
                self.line(table, &format!("{label} stays: {by} did not undo it: {reason}"));
            }
            Event::NotStarted { label, class } => {
                table.not_started += 1;
                let cells =
                    row(table.label_width, &plain(label), class.name(), "held back", "-", "-", "pure work failed", "-");
                self.line(table, &style(cells).dim().to_string());
            }
            Event::Done { receipt, .. } => {
                for failure in table.failures.clone() {
                    self.line(table, &failure);
                }
                let (summary, elapsed) = (table.summary(), time(self.began.elapsed()));
                let charged = table.charged.map_or_else(String::new, |gas| format!("{} gas charged; ", grouped(gas)));
                self.line(table, &format!("{summary} in {elapsed}; {charged}receipt of the run {receipt}"));
                if table.wrote {
                    self.line(table, &format!("results are in {}", plain(&self.output.display().to_string())));
                }
            }
            _ => {}
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // At worst a count is wrong after a panic elsewhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line above whatever is under way. That it cannot be printed is no reason to stop a run.
    fn line(&self, table: &mut Table, text: &str) {
        let printed = match &self.progress {
            Some(progress) => progress.suspend(|| say_styled(text)),
            None => say_styled(text),
        };
        table.unprinted = table.unprinted.take().or(printed.err());
    }

    /// The run, once it was accepted.
    pub(super) fn run(&self) -> Option<TaskId> {
        self.table().run
    }

    /// Says, when the run is over, why not all of it was shown.
    pub(super) fn end(self) -> Result<(), Unprinted> {
        let table = self.table.into_inner().unwrap_or_else(PoisonError::into_inner);
        table.unprinted.map_or(Ok(()), Err)
    }
}

impl Table {
    fn finished(&mut self, step: &StepReport) -> String {
        match (step.outcome.is_ok(), step.how) {
            (true, How::Ran) => self.ran += 1,
            (true, How::Unchanged) => self.unchanged += 1,
            (true, _) => self.reused += 1,
            (false, _) => {}
        }
        if let (How::Ran | How::Unchanged, Some(charged)) = (step.how, step.charged) {
            self.charged = Some(self.charged.unwrap_or(0).saturating_add(charged));
        }
        self.wrote |= step.class == EffectClass::IdempotentWrite && step.outcome.is_ok();
        if !step.outcome.is_ok() {
            let name = step.outcome.failure_name().unwrap_or("error");
            let message = step.outcome.failure_message().unwrap_or("the receipt has the details");
            self.failures.push(format!(
                "{} {}: {}: {}",
                style("failed:").red().bold(),
                plain(&step.label),
                plain(name),
                plain(message)
            ));
        }
        let fuel = step.fuel.map_or_else(|| "-".to_owned(), grouped);
        let (Outcome::Ok(value) | Outcome::Error(value)) = &step.outcome;
        let receipt = step.receipt.to_string();
        let cells = row(
            self.label_width,
            &plain(&step.label),
            step.class.name(),
            status(step),
            &fuel,
            &time(step.elapsed),
            &short(value),
            &receipt,
        );
        colour(step).apply_to(cells).to_string()
    }

    fn summary(&self) -> String {
        let counts = [
            (self.ran, "ran"),
            (self.reused, "reused"),
            (self.unchanged, "unchanged"),
            (self.failures.len(), "failed"),
            (self.not_started, "held back"),
        ];
        let some = counts.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}

#[expect(clippy::too_many_arguments, reason = "one argument a column")]
fn row(
    width: usize,
    label: &str,
    class: &str,
    status: &str,
    fuel: &str,
    time: &str,
    result: &str,
    receipt: &str,
) -> String {
    format!("{label:<width$}  {class:<16}  {status:<9}  {fuel:>13}  {time:>8}  {result:<RESULT$}  {receipt}")
}

fn status(step: &StepReport) -> &'static str {
    if step.outcome.is_ok() { step.how.name() } else { "failed" }
}

fn colour(step: &StepReport) -> Style {
    match (step.outcome.is_ok(), step.how) {
        (false, _) => Style::new().red(),
        (true, How::Ran) => Style::new().green(),
        (true, _) => Style::new(),
    }
}

fn spinner(progress: &MultiProgress, label: &str) -> ProgressBar {
    let bar = progress.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(plain(label));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A value in short: DAG-JSON, cut where the column ends.
fn short(value: &Ipld) -> String {
    let text = plain(&dagjson::encode(value));
    if text.chars().count() <= RESULT {
        return text;
    }
    text.chars().take(RESULT - 2).chain("..".chars()).collect()
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(elapsed: Duration) -> String {
    match elapsed.as_micros() {
        micros if micros < 1_000 => format!("{micros} us"),
        micros if micros < 1_000_000 => format!("{:.1} ms", elapsed.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", elapsed.as_secs_f64()),
    }
}

fn as_json(event: &Event) -> Value {
    match event {
        Event::Accepted { run, workflow, steps } => json!({
            "event": "accepted",
            "run": run.to_string(),
            "workflow": workflow.to_string(),
            "tasks": steps.iter().map(|(label, class)| json!({"label": label, "class": class.name()})).collect::<Vec<_>>(),
        }),
        Event::Started { label } => json!({"event": "started", "label": label}),
        Event::Finished(step) => json!({
            "event": "finished",
            "label": step.label,
            "task": step.task.to_string(),
            "class": step.class.name(),
            "status": status(step),
            "how": step.how.name(),
            "fuel": step.fuel,
            "charged": step.charged,
            "micros": u64::try_from(step.elapsed.as_micros()).unwrap_or(u64::MAX),
            "out": serde_json::from_str::<Value>(&dagjson::encode(&step.outcome.to_ipld())).unwrap_or_default(),
            "receipt": step.receipt.to_string(),
        }),
        Event::Retrying { label, attempt, receipt, pause } => json!({
            "event": "retrying",
            "label": label,
            "attempt": attempt,
            "receipt": receipt.to_string(),
            "micros": u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
        }),
        Event::Caught { label, caught } => json!({
            "event": "caught",
            "label": label,
            "by": caught.by.to_string(),
            "instead": caught.instead.map(|receipt| receipt.to_string()),
            "message": caught.message,
        }),
        Event::Undoing { label, by } => json!({"event": "undoing", "label": label, "by": by}),
        Event::NotUndone(NotUndone { label, by, reason, receipt }) => json!({
            "event": "not-undone",
            "label": label,
            "by": by,
            "reason": reason,
            "receipt": receipt.to_string(),
        }),
        Event::NotStarted { label, class } => {
            json!({"event": "not-started", "label": label, "class": class.name()})
        }
        Event::Done { receipt, succeeded } => {
            json!({"event": "done", "receipt": receipt.to_string(), "succeeded": succeeded})
        }
        _ => json!({"event": "other"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_values_fit_their_columns() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(short(&Ipld::String("x".repeat(100))).chars().count(), RESULT);
        assert_eq!(time(Duration::from_micros(1_500)), "1.5 ms");
    }
}
