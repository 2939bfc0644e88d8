//! Runs at certain times: asked for, listed, removed, and run when they are due.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{ArgGroup, Args, Subcommand};
use ipvm::{Node, NodeError, Source};
use ipvm_workflow::{
    Control, Cron, Ending, Missed, Overlap, RunError, ScheduleError, ScheduleEvent, Scheduled, Scheduler, Timing,
    Until, When,
};
use serde_json::{Value, json};
use ucan_core::{Cid, Clock, SystemClock, Timestamp};
use ucan_invocation::TaskId;

use super::moment::{self, date};
use super::print::{Unprinted, plain, say, say_json};
use super::run::{Given, with_unlinked};
use super::{FAILED, Outcome, PAUSED, Refused, cid, runs};

/// How many times that are to come are shown.
const SHOWN: usize = 5;

/// What `ipvm schedule` takes.
#[derive(Debug, Args)]
pub(super) struct Schedule {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Has a workflow run at a time, after a while, or whenever a cron expression matches. All times are in UTC.
    Add(Box<Add>),
    /// Lists the schedules that are not over.
    List(List),
    /// Shows a schedule: when it is due next, and what came of its last runs.
    Show(One),
    /// Removes a schedule, for good. What is under way of it goes on.
    Remove(One),
    /// Stays, runs what is due, and goes on with what was under way when it ended the last time. An interrupt stops it gently.
    Run(Due),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("when").required(true).args(["at", "after", "cron"]))]
struct Add {
    #[command(flatten)]
    given: Given,
    /// Once, at this time: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment::at)]
    at: Option<Timestamp>,
    /// Once, after so much time: 45s, 90m, 12h, 30d, 2w.
    #[arg(long, value_name = "PERIOD")]
    after: Option<String>,
    /// Whenever this matches: minute, hour, day of the month, month and day of the week, in UTC, as in "30 9 * * mon-fri".
    #[arg(long, value_name = "EXPRESSION", value_parser = expression)]
    cron: Option<Cron>,
    /// Never after this time, or after so much time.
    #[arg(long, value_name = "TIME|PERIOD")]
    until: Option<String>,
    /// At most so many times.
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// What becomes of times that pass while nobody is there: the last is run once, late; skip; or all are run, at most a hundred.
    #[arg(long, value_name = "once|skip|all", value_parser = missed, default_value = "once")]
    missed: Missed,
    /// What becomes of a time at which the last run is not over: skip, or allow.
    #[arg(long, value_name = "skip|allow", value_parser = overlap, default_value = "skip")]
    overlap: Overlap,
}

#[derive(Debug, Args)]
struct List {
    /// Lists those that are over or were removed, too.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct One {
    /// The schedule, as `ipvm schedule list` has it.
    #[arg(value_parser = cid)]
    schedule: Cid,
}

#[derive(Debug, Args)]
struct Due {
    /// Runs what is due now, and ends: for a timer of the system.
    #[arg(long, conflicts_with = "until_idle")]
    once: bool,
    /// Ends when nothing will be due any more.
    #[arg(long)]
    until_idle: bool,
    /// The folder in which workflows write results [default: the folder "output" in the state folder].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

fn expression(text: &str) -> Result<Cron, String> {
    Cron::parse(text).map_err(|error| error.to_string())
}

fn missed(text: &str) -> Result<Missed, String> {
    let known = [Missed::Once, Missed::Skip, Missed::All];
    known.into_iter().find(|it| it.name() == text).ok_or_else(|| "expected once, skip or all".to_owned())
}

fn overlap(text: &str) -> Result<Overlap, String> {
    let known = [Overlap::Skip, Overlap::Allow];
    known.into_iter().find(|it| it.name() == text).ok_or_else(|| "expected skip or allow".to_owned())
}

impl Schedule {
    pub(super) async fn carry_out(
        self,
        open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>,
        json: bool,
    ) -> Outcome {
        match self.command {
            Verb::Add(add) => add.carry_out(open, json).await,
            Verb::List(list) => {
                let shown = |it: &Scheduled| list.all || !is_over(it);
                for scheduled in open(None)?.scheduler().list().await?.iter().filter(|it| shown(it)) {
                    print(json, as_json(scheduled)?, &line(scheduled))?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Verb::Show(one) => {
                let scheduled = one.find(&open(None)?.scheduler()).await?;
                print(json, as_json(&scheduled)?, &details(&scheduled)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Verb::Remove(one) => {
                let id = TaskId::new(one.schedule);
                open(None)?.scheduler().remove(&id).await?;
                print(json, json!({"event": "removed", "schedule": id.to_string()}), &format!("{id} is removed"))?;
                Ok(ExitCode::SUCCESS)
            }
            Verb::Run(due) => due.carry_out(open, json).await,
        }
    }
}

impl Add {
    fn timing(&self, now: Timestamp) -> Result<Timing, Refused> {
        let when = match (&self.at, &self.after, &self.cron) {
            (Some(at), _, _) => When::At(*at),
            (_, Some(after), _) => When::At(moment::after(after, now).map_err(|error| format!("--after: {error}"))?),
            (_, _, Some(cron)) => When::Cron(cron.clone()),
            _ => return Err("say when: --at, --after or --cron".into()),
        };
        let end = self.until.as_deref().map(|until| moment::parse(until, now));
        let end = end.transpose().map_err(|error| format!("--until: {error}"))?;
        Ok(Timing { when, end, count: self.count, missed: self.missed, overlap: self.overlap })
    }

    async fn carry_out(self, open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>, json: bool) -> Outcome {
        let timing = self.timing(SystemClock.now())?;
        let source = Source::read(&self.given.workflow)?;
        let (inputs, subjects) = (self.given.inputs()?, self.given.subjects()?);
        let node = open(None)?;
        for (cid, bytes) in &source.blocks {
            node.put(cid, bytes.clone()).await?;
        }
        let scheduled = node.schedule(&source.document, inputs, subjects, &timing).await;
        let scheduled = scheduled.map_err(|error| with_unlinked(error, &source.unlinked))?;
        let text = format!("{}\nit is run by `ipvm schedule run`", details(&scheduled)?);
        print(json, as_json(&scheduled)?, &text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl One {
    async fn find(&self, scheduler: &Scheduler) -> Result<Scheduled, Refused> {
        let found = scheduler.get(&TaskId::new(self.schedule)).await?;
        Ok(found.ok_or_else(|| format!("there is no schedule {}; `ipvm schedule list` has them", self.schedule))?)
    }
}

/// What happened while schedules were run.
#[derive(Default)]
struct Tally {
    began: bool,
    failed: usize,
    paused: usize,
    unprinted: Option<Unprinted>,
}

impl Due {
    async fn carry_out(self, open: impl FnOnce(Option<PathBuf>) -> Result<Node, NodeError>, json: bool) -> Outcome {
        let until = match (self.once, self.until_idle) {
            (true, _) => Until::NothingDue,
            (_, true) => Until::Idle,
            _ => Until::Stopped,
        };
        let node = open(self.output)?;
        let control = Control::default();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let observe = {
            let tally = tally.clone();
            move |event: ScheduleEvent| {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                match &event {
                    ScheduleEvent::Began { .. } => tally.began = true,
                    ScheduleEvent::Ended { ending: Ending::Failed(_) | Ending::Refused(_), .. } => tally.failed += 1,
                    ScheduleEvent::Paused { .. } => tally.paused += 1,
                    _ => {}
                }
                // That it cannot be printed is no reason to stop.
                let (value, text) = told(&event);
                tally.unprinted = tally.unprinted.take().or(print(json, value, &text).err());
            }
        };
        let scheduler = node.scheduler();
        let ended = runs::interruptible(&node, &control, scheduler.run(until, &control, Arc::new(observe))).await;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Err(ScheduleError::Store(error)) if tally.began => {
                return Err(NodeError::from(RunError::CutOff(Box::new(error.into()))).into());
            }
            ended => ended?,
        }
        match (tally.unprinted.take(), tally.paused, tally.failed) {
            (Some(unprinted), _, _) => Err(unprinted.into()),
            (None, 0, 0) => Ok(ExitCode::SUCCESS),
            (None, 0, _) => Ok(ExitCode::from(FAILED)),
            _ => Ok(ExitCode::from(PAUSED)),
        }
    }
}

fn print(json: bool, value: Value, text: &str) -> Result<(), Unprinted> {
    if json { say_json(&value.to_string()) } else { say(text) }
}

fn next(scheduled: &Scheduled) -> Option<Timestamp> {
    scheduled.progress.next(&scheduled.schedule.timing)
}

fn is_over(scheduled: &Scheduled) -> bool {
    scheduled.progress.open.is_empty() && next(scheduled).is_none()
}

fn state(scheduled: &Scheduled) -> String {
    match next(scheduled) {
        _ if scheduled.progress.removed => "removed".to_owned(),
        Some(next) => format!("next {}", date(next)),
        None if scheduled.progress.open.is_empty() => "over".to_owned(),
        None => "its last run is not over".to_owned(),
    }
}

fn when(scheduled: &Scheduled) -> String {
    match &scheduled.schedule.timing.when {
        When::At(at) => format!("at {}", date(*at)),
        When::Cron(cron) => format!("cron {cron}"),
    }
}

fn line(scheduled: &Scheduled) -> String {
    let (state, when, workflow) = (state(scheduled), when(scheduled), scheduled.schedule.workflow);
    format!("{}  {state}  ({when})  workflow {workflow}", scheduled.id)
}

/// The times that are to come.
fn to_come(scheduled: &Scheduled) -> Vec<Timestamp> {
    let timing = &scheduled.schedule.timing;
    let left = timing.count.map_or(u64::MAX, |count| count.saturating_sub(scheduled.progress.fired));
    let times = std::iter::successors(next(scheduled), |due| timing.after(*due));
    times.take(SHOWN.min(usize::try_from(left).unwrap_or(SHOWN))).collect()
}

fn details(scheduled: &Scheduled) -> Result<String, Refused> {
    let Scheduled { id, invoker, schedule, progress, .. } = scheduled;
    let timing = &schedule.timing;
    let mut lines = vec![
        format!("schedule {id}: {}", state(scheduled)),
        format!("  {} (UTC), workflow {}, asked for by {invoker}", when(scheduled), schedule.workflow),
        format!("  missed: {}; overlap: {}", timing.missed.name(), timing.overlap.name()),
    ];
    lines.extend(timing.end.map(|end| format!("  not after {}", date(end))));
    lines.extend(timing.count.map(|count| format!("  {} of {count} times", progress.fired)));
    for due in &progress.open {
        lines.push(format!("  {}  not over: {}", date(*due), scheduled.run(*due)?));
    }
    for past in &progress.recent {
        lines.push(format!("  {}  {}", date(past.due), ended(&past.ending)));
    }
    lines.extend(to_come(scheduled).into_iter().map(|due| format!("  {}  to come", date(due))));
    Ok(lines.join("\n"))
}

fn ended(ending: &Ending) -> String {
    match ending {
        Ending::Succeeded(receipt) => format!("succeeded, by the receipt {receipt}"),
        Ending::Failed(receipt) => format!("failed, by the receipt {receipt}"),
        Ending::Refused(reason) => format!("refused: {}", plain(reason)),
        _ => "over".to_owned(),
    }
}

fn ended_json(ending: &Ending) -> Value {
    match ending {
        Ending::Succeeded(receipt) => json!({"outcome": "succeeded", "receipt": receipt.to_string()}),
        Ending::Failed(receipt) => json!({"outcome": "failed", "receipt": receipt.to_string()}),
        Ending::Refused(reason) => json!({"outcome": "refused", "reason": reason}),
        _ => json!({"outcome": "over"}),
    }
}

/// An object with the fields of another one, too.
fn with(mut object: Value, other: Value) -> Value {
    if let (Value::Object(object), Value::Object(other)) = (&mut object, other) {
        object.extend(other);
    }
    object
}

fn as_json(scheduled: &Scheduled) -> Result<Value, Refused> {
    let Scheduled { id, invoker, schedule, progress, .. } = scheduled;
    let timing = &schedule.timing;
    let (at, cron) = match &timing.when {
        When::At(at) => (Some(date(*at)), None),
        When::Cron(cron) => (None, Some(cron.as_str())),
    };
    let run = |due: &Timestamp| -> Result<Value, Refused> {
        Ok(json!({"due": date(*due), "run": scheduled.run(*due)?.to_string()}))
    };
    let past = progress.recent.iter().map(|past| Ok(with(run(&past.due)?, ended_json(&past.ending))));
    Ok(json!({
        "event": "schedule",
        "schedule": id.to_string(),
        "invoker": invoker.to_string(),
        "workflow": schedule.workflow.to_string(),
        "at": at,
        "cron": cron,
        "end": timing.end.map(date),
        "count": timing.count,
        "missed": timing.missed.name(),
        "overlap": timing.overlap.name(),
        "fired": progress.fired,
        "open": progress.open.iter().map(run).collect::<Result<Vec<_>, _>>()?,
        "recent": past.collect::<Result<Vec<_>, Refused>>()?,
        "next": to_come(scheduled).into_iter().map(date).collect::<Vec<_>>(),
        "removed": progress.removed,
        "over": is_over(scheduled),
    }))
}

/// What is said of what happens: to programs, and to people.
fn told(event: &ScheduleEvent) -> (Value, String) {
    let about = |event: &str, schedule: &TaskId, due: &Timestamp, run: &TaskId| json!({"event": event, "schedule": schedule.to_string(), "due": date(*due), "run": run.to_string()});
    match event {
        ScheduleEvent::Began { schedule, due, run, again } => (
            with(about("began", schedule, due, run), json!({"again": again})),
            format!("{}  {}: run {run}", date(*due), if *again { "goes on" } else { "begins" }),
        ),
        ScheduleEvent::LeftOut { schedule, due, why } => (
            json!({"event": "left-out", "schedule": schedule.to_string(), "due": date(*due), "reason": why.name()}),
            format!("{}  is not run: {}; schedule {schedule}", date(*due), why.name()),
        ),
        ScheduleEvent::Ended { schedule, due, run, ending } => {
            (with(about("ended", schedule, due, run), ended_json(ending)), format!("{}  {}", date(*due), ended(ending)))
        }
        ScheduleEvent::Paused { schedule, due, run, reason } => (
            with(about("paused", schedule, due, run), json!({"reason": reason})),
            format!(
                "{}  the run is paused: {}\nto go on: ipvm schedule run, or ipvm resume {run}; ipvm cancel {run} ends it",
                date(*due),
                plain(reason)
            ),
        ),
        ScheduleEvent::Waiting { until } => (
            json!({"event": "waiting", "until": until.map(date)}),
            until.map_or_else(
                || "nothing is to come".to_owned(),
                |until| format!("nothing is due before {}", date(until)),
            ),
        ),
        _ => (json!({"event": "other"}), "something else happened".to_owned()),
    }
}
