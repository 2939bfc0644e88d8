//! Random workflows on a process that dies at every write, again and again, until they are over. What DESIGN calls virtual
//! resiliency has to hold in each: nothing that is finished is lost, no mutation is had twice, pure failures keep mutations from
//! starting, and what was done is undone in reverse order.
//!
//! `IPVM_SIMULATIONS` is how many workflows are tried, 60 unless it is set; `IPVM_SEED` tries one again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Crash, Knows, World};
use ipvm_workflow::{Control, Paused, Resolution, RunError, RunOptions, RunReport};
use ucan_core::Ipld;
use ucan_invocation::{Outcome, ReceiptStore, TaskId};

/// xorshift: any seed can be tried again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

/// A task of a random workflow.
struct Drawn {
    command: &'static str,
    fails: bool,
    undo: bool,
    awaits: Vec<usize>,
}

impl Drawn {
    fn mutates(&self) -> bool {
        matches!(self.command, "/put" | "/do")
    }
}

struct Case {
    tasks: Vec<Drawn>,
    knows: Knows,
    /// After how many events somebody cancels the run, in each life.
    cancel: Option<usize>,
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let knows = [Knows::Nothing, Knows::Probe, Knows::Key][random.below(3) as usize];
        let mut tasks: Vec<Drawn> = Vec::new();
        for position in 0..1 + random.below(6) as usize {
            let command = ["/pure", "/ask", "/put", "/do", "/do"][random.below(5) as usize];
            let mutates = matches!(command, "/put" | "/do");
            let awaits =
                (0..position).filter(|at| (mutates || !tasks[*at].mutates()) && random.below(3) == 0).collect();
            let (fails, undo) = (random.below(6) == 0, mutates && random.below(2) == 0);
            tasks.push(Drawn { command, fails, undo, awaits });
        }
        let cancel = (random.below(4) == 0).then(|| random.below(12) as usize);
        Self { tasks, knows, cancel }
    }

    fn json(&self) -> String {
        let mut tasks = Vec::new();
        for (position, task) in self.tasks.iter().enumerate() {
            let of: Vec<String> = task.awaits.iter().map(|at| format!(r#"{{"await/ok": "t{at}"}}"#)).collect();
            let fails = if task.fails { r#", "fails": -1"# } else { "" };
            let undo = if task.undo { format!(r#", "undo": "u{position}""#) } else { String::new() };
            let args = format!(r#"{{"name": "t{position}", "of": [{}]{fails}}}"#, of.join(", "));
            tasks.push(format!(r#""t{position}": {{"cmd": "{}", "args": {args}{undo}}}"#, task.command));
            if task.undo {
                tasks.push(format!(r#""u{position}": {{"cmd": "/do", "args": {{"name": "u{position}"}}}}"#));
            }
        }
        format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
    }
}

/// Runs a case on a process that dies after `first` writes, and then after as many as `random` says, until it is over.
async fn survive(case: &Case, first: i64, random: &mut Random) -> (World, RunReport, usize) {
    let mut world = World::new(case.knows);
    let request = world.request(&case.json()).await;
    let (mut writes, mut deaths) = (first, 0);
    let mut options = RunOptions::default();
    loop {
        // It dies ever later: in the end it lives.
        world.open(&if deaths < 12 { Crash::after(writes) } else { Crash::never() });
        options.control = Control::default();
        let events = AtomicUsize::new(0);
        let observe = |_| {
            if case.cancel == Some(events.fetch_add(1, Ordering::Relaxed)) {
                options.control.cancel();
            }
        };
        match world.engine.run_with(request.clone(), &options, &observe).await {
            Ok(report) => return (world, report, deaths),
            Err(RunError::AlreadyRun { receipt }) => {
                // It died when all was done. What it would have said is in the receipt.
                let report = report_of(&world, receipt).await;
                return (world, report, deaths);
            }
            Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                assert_eq!(case.knows, Knows::Nothing, "somebody knows");
                options.resolutions.insert(task, find_out(&world, &label));
            }
            Err(RunError::Paused(other)) => panic!("{other:?}"),
            Err(_) => {
                deaths += 1;
                // What was found out was true of the life before.
                options.resolutions.clear();
                writes = random.below(24) as i64;
            }
        }
    }
}

/// A person looks whether it was done.
fn find_out(world: &World, label: &str) -> Resolution {
    if world.outside.names().iter().any(|name| name == label) {
        Resolution::Done(Outcome::Ok(Ipld::Integer(1)))
    } else {
        Resolution::NotDone
    }
}

/// What the receipt of a run lists, as far as it is compared.
async fn report_of(world: &World, receipt: ucan_invocation::ReceiptId) -> RunReport {
    let stated = ReceiptStore::get(&*world.receipts, &receipt).await.unwrap().unwrap();
    let (Outcome::Ok(Ipld::Map(value)) | Outcome::Error(Ipld::Map(value))) = stated.outcome() else {
        panic!("{stated:?}")
    };
    let labels = |key: &str| match value.get(key) {
        Some(Ipld::List(labels)) => common::texts(&Ipld::List(labels.clone())),
        _ => Vec::new(),
    };
    RunReport {
        run: *stated.ran(),
        workflow: *TaskId::new(*stated.ran().cid()).cid(),
        steps: Vec::new(),
        not_started: labels("notStarted"),
        caught: BTreeMap::new(),
        undone: Vec::new(),
        cancelled: false,
        receipt,
    }
}

/// What must be true of a run that is over.
async fn check(case: &Case, world: &World, report: &RunReport) {
    let names = world.outside.names();
    let done: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    // An idempotent write may be repeated after a crash; nothing else may, whatever is known of it.
    for (position, task) in case.tasks.iter().enumerate() {
        let name = format!("t{position}");
        let times = names.iter().filter(|done| **done == name).count();
        if task.command == "/do" {
            assert!(times <= 1, "{name} was done {times} times: {names:?}");
        }
        let undone = names.iter().filter(|done| **done == format!("u{position}")).count();
        assert!(undone <= 1, "u{position} was done {undone} times: {names:?}");
    }
    // Pure work that does not fail is a condition of all mutations.
    let pure_fails = case.tasks.iter().any(|task| !task.mutates() && task.fails);
    assert!(!pure_fails || names.is_empty(), "mutations after pure work failed: {names:?}");

    let stated = ReceiptStore::get(&*world.receipts, &report.receipt).await.unwrap().unwrap();
    let fails = case.tasks.iter().any(|task| task.fails);
    match stated.outcome().failure_name() {
        None => assert!(!fails),
        Some("TaskFailed") => assert!(fails),
        // What failed and was being undone when it died is gone on with as if it had been cancelled.
        Some(name) => assert!(name == "Cancelled" && (case.cancel.is_some() || fails), "{name}"),
    }
    assert!(world.journal.entries().iter().any(|entry| matches!(entry, ipvm_workflow::Entry::Finished { .. })));
    if stated.outcome().is_ok() {
        let expected: BTreeSet<String> =
            (0..case.tasks.len()).filter(|at| case.tasks[*at].mutates()).map(|at| format!("t{at}")).collect();
        assert_eq!(done, expected.iter().map(String::as_str).collect(), "all of it was done, and nothing undone");
        return;
    }
    // All that was done and can be undone was undone, in reverse order of what depends on each other.
    for (position, task) in case.tasks.iter().enumerate() {
        let was_done = done.contains(format!("t{position}").as_str());
        assert_eq!(task.undo && was_done, done.contains(format!("u{position}").as_str()), "t{position}: {names:?}");
        let place = |name: String| names.iter().position(|done| *done == name);
        for at in &task.awaits {
            if let (Some(earlier), Some(later)) = (place(format!("u{position}")), place(format!("u{at}"))) {
                assert!(earlier < later, "what came last is undone first: {names:?}");
            }
        }
    }
}

fn simulate(seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let case = Case::draw(seed);
        let mut random = Random(seed | 1);
        let mut deaths = 0;
        // At every write of the first life, and at random ones of the lives after it.
        for first in 0.. {
            let (world, report, died) = survive(&case, first, &mut random).await;
            check(&case, &world, &report).await;
            deaths += died;
            if died == 0 {
                break;
            }
        }
        deaths
    })
}

#[test]
fn whenever_the_process_dies_what_must_hold_holds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("IPVM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("IPVM_SIMULATIONS").unwrap_or(60),
    };
    let mut deaths = 0;
    for seed in seeds.clone() {
        let simulated = std::panic::catch_unwind(|| simulate(seed));
        deaths += simulated.unwrap_or_else(|_| panic!("the seed {seed} fails; IPVM_SEED={seed} tries it again"));
    }
    println!("{} workflows survived {deaths} deaths", seeds.end - seeds.start);
    assert!(seeds.end - seeds.start == 1 || deaths > 1_000, "only {deaths} deaths: nothing was tried");
}
