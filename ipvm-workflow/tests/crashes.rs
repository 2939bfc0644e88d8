//! Random workflows on a process that dies at every write, again and again, until they are over. What DESIGN calls virtual
//! resiliency has to hold in each: nothing that is finished is lost, no mutation is had twice, pure failures keep mutations from
//! starting, what was done is undone in reverse order, and the receipt of the run adds up.
//!
//! Tasks fail for ever or for a while, hit limits, are tried again, and are answered for by a handler of failures; they end in any
//! order; people pause, cancel, and find out what nobody else knows.
//!
//! `IPVM_SIMULATIONS` is how many workflows are tried, 150 unless it is set; `IPVM_SEED` tries one again, or as many from
//! there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use common::{Crash, Knows, Random, World, texts};
use ipvm_workflow::{Control, Entry, Event, Paused, Resolution, RunError, RunOptions, RunRequest, Workflow};
use ucan_core::Ipld;
use ucan_invocation::{BlockStore, Outcome, Receipt, ReceiptId, ReceiptStore};

/// A task of a random workflow.
struct Drawn {
    command: &'static str,
    /// How often it fails before it succeeds; for ever, where it is negative.
    fails: i64,
    attempts: Option<u64>,
    undo: bool,
    awaits: Vec<usize>,
}

impl Drawn {
    fn mutates(&self) -> bool {
        matches!(self.command, "/put" | "/do")
    }

    fn json(&self, position: usize) -> String {
        // Each has a number of its own, so that what came of it is told from what came of others.
        let mut of = vec![(position + 1).to_string()];
        of.extend(self.awaits.iter().map(|at| format!(r#"{{"await/ok": "t{at}"}}"#)));
        let fails = match (self.fails, self.command) {
            (0, _) => String::new(),
            (times @ 1.., "/pure") => format!(r#", "limit": {times}"#),
            (times, _) => format!(r#", "fails": {times}"#),
        };
        let undo = if self.undo { format!(r#", "undo": "u{position}""#) } else { String::new() };
        let attempts = self.attempts.map(|attempts| format!(r#", "config": {{"retry": {{"attempts": {attempts}}}}}"#));
        let args = format!(r#"{{"name": "t{position}", "of": [{}]{fails}}}"#, of.join(", "));
        format!(r#""t{position}": {{"cmd": "{}", "args": {args}{undo}{}}}"#, self.command, attempts.unwrap_or_default())
    }
}

struct Case {
    tasks: Vec<Drawn>,
    knows: Knows,
    /// What the handler of failures answers, where there is one.
    catch: Option<String>,
    /// After how many events somebody cancels the run, in each life.
    cancel: Option<usize>,
    /// After how many events somebody pauses the run, in its first lives.
    pause: Option<usize>,
    /// How often it is resumed after its attempts were spent, before it is cancelled.
    patience: u64,
    parallelism: usize,
    pace: u64,
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let knows = [Knows::Nothing, Knows::Probe, Knows::Key][random.below(3) as usize];
        let mut tasks: Vec<Drawn> = Vec::new();
        for position in 0..1 + random.below(6) as usize {
            let command = ["/pure", "/ask", "/put", "/do", "/do"][random.below(5) as usize];
            let mutates = matches!(command, "/put" | "/do");
            let awaits = (0..position).filter(|at| (mutates || !tasks[*at].mutates()) && random.one_in(3)).collect();
            let fails = [-1, 1, 2, 0, 0, 0, 0, 0, 0][random.below(9) as usize];
            let attempts = random.one_in(3).then(|| 1 + random.below(3));
            let undo = mutates && random.one_in(2);
            tasks.push(Drawn { command, fails, attempts, undo, awaits });
        }
        let catch = random.one_in(3).then(|| match random.below(5) {
            0 | 1 => r#"{"ok": 100}"#.to_owned(),
            2 => format!(r#"{{"rewire": "t{}"}}"#, random.below(tasks.len() as u64)),
            3 => r#"{"msg": "no wonder"}"#.to_owned(),
            _ => "7".to_owned(),
        });
        let event = |random: &mut Random| Some(random.below(14) as usize);
        let cancel = if random.one_in(4) { event(&mut random) } else { None };
        let pause = if random.one_in(4) { event(&mut random) } else { None };
        let (patience, parallelism) = (random.below(4), 1 + random.below(4) as usize);
        Self { tasks, knows, catch, cancel, pause, patience, parallelism, pace: random.below(u64::MAX) }
    }

    fn json(&self) -> String {
        let mut tasks: Vec<String> = self.tasks.iter().enumerate().map(|(at, task)| task.json(at)).collect();
        for (position, _) in self.tasks.iter().enumerate().filter(|(_, task)| task.undo) {
            tasks.push(format!(r#""u{position}": {{"cmd": "/do", "args": {{"name": "u{position}"}}}}"#));
        }
        let catch = self.catch.as_ref().map(|answer| {
            let args = format!(r#"{{"name": "catch", "told": {{"ipvm/failure": null}}, "answer": {answer}}}"#);
            format!(r#", "catch": {{"cmd": "/pure", "args": {args}}}"#)
        });
        format!(r#"{{"v": "1.0.0", "tasks": {{{}}}{}}}"#, tasks.join(", "), catch.unwrap_or_default())
    }
}

/// The request to run a case, and its workflow.
type Asked = (RunRequest, Workflow);

/// What became of a case.
struct Survived {
    world: World,
    receipt: ReceiptId,
    deaths: usize,
    cancelled: bool,
}

/// Runs a case on a process that dies after `first` writes, and then after as many as `random` says, until it is over.
async fn survive(case: &Case, asked: &Asked, first: i64, random: &mut Random) -> Survived {
    let mut world = World::new(case.knows);
    (world.parallelism, world.pace) = (case.parallelism, Some(case.pace));
    let (request, workflow) = asked;
    world.blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
    let run = request.invocation.task().id().unwrap();
    let (mut writes, mut deaths, mut lives, mut spent, mut cancelled) = (first, 0, 0, 0, false);
    let mut options = RunOptions::default();
    loop {
        // It dies ever later: in the end it lives.
        let crash = if deaths < 12 { Crash::after(writes) } else { Crash::never() };
        world.open(&crash);
        options.control = Control::default();
        let events = AtomicUsize::new(0);
        lives += 1;
        let (control, pauses) = (options.control.clone(), lives <= 3);
        let wished = AtomicUsize::new(0);
        let observe = |_: Event| {
            let event = Some(events.fetch_add(1, Ordering::Relaxed));
            if case.cancel == event {
                wished.store(1, Ordering::Relaxed);
                control.cancel();
            } else if case.pause == event && pauses {
                control.pause();
            }
        };
        let engine = &world.engine;
        let known = engine.parts().journal.open(&run).await.unwrap().is_some();
        let ended = if known && spent > case.patience {
            cancelled = true;
            engine.cancel(&run, &options, &observe).await
        } else if known && random.one_in(2) {
            engine.resume(&run, &options, &observe).await
        } else {
            engine.run_with(request.clone(), &options, &observe).await
        };
        cancelled |= wished.load(Ordering::Relaxed) > 0;
        match ended {
            Ok(report) => return Survived { world, receipt: report.receipt, deaths, cancelled },
            // It died when all was done.
            Err(RunError::AlreadyRun { receipt }) => return Survived { world, receipt, deaths, cancelled },
            Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                // Where a task went on from the failure of another that succeeds now, what was begun is not what is asked for.
                assert!(case.knows == Knows::Nothing || case.catch.is_some() || cancelled, "somebody knows of {label}");
                options.resolutions.insert(task, find_out(&world, &label));
            }
            Err(RunError::Paused(Paused::Spent { .. })) => {
                assert!(case.catch.is_none(), "the handler of failures is asked");
                spent += 1;
            }
            Err(RunError::Paused(Paused::Asked)) => assert!(case.pause.is_some()),
            Err(error) => {
                assert!(crash.died(), "{error:?}");
                deaths += 1;
                // What was found out was true of the life before.
                options.resolutions.clear();
                writes = random.below(24) as i64;
            }
        }
        assert!(lives < 100, "it does not come to an end");
    }
}

/// A person looks whether it was done.
fn find_out(world: &World, label: &str) -> Resolution {
    match world.outside.came.lock().unwrap().get(label) {
        Some(outcome) => Resolution::Done(outcome.clone()),
        None => Resolution::NotDone,
    }
}

async fn receipt(world: &World, link: &Ipld) -> Receipt {
    let Ipld::Link(cid) = link else { panic!("{link:?}") };
    ReceiptStore::get(&*world.receipts, &ReceiptId::new(*cid)).await.unwrap().expect("what a receipt links to is there")
}

/// What must be true of a run that is over.
async fn check(case: &Case, survived: &Survived) {
    let world = &survived.world;
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
    let entries = world.journal.entries();
    let finished = entries.iter().filter(|entry| matches!(entry, Entry::Finished { .. })).count();
    assert_eq!(finished, 1);
    // Pure work that does not fail, or is made good, is a condition of all mutations.
    let pure_fails = case.tasks.iter().any(|task| !task.mutates() && task.fails < 0);
    assert!(!pure_fails || case.catch.is_some() || names.is_empty(), "mutations after pure work failed: {names:?}");

    let stated = ReceiptStore::get(&*world.receipts, &survived.receipt).await.unwrap().unwrap();
    assert_eq!(world.receipts.by_task(stated.ran()).await.unwrap().len(), 1, "a run has one receipt");
    let all_well = adds_up(case, survived, &stated).await;
    match stated.outcome().failure_name() {
        None => assert!(all_well && !was_cancelled(world)),
        Some("TaskFailed") => assert!(!all_well),
        // What failed and was being undone when it died is gone on with as if it had been cancelled.
        Some(name) => assert!(name == "Cancelled" && (survived.cancelled || !never_fails(case)), "{name}"),
    }
    if stated.outcome().is_ok() {
        assert!(done.iter().all(|name| !name.starts_with('u')), "nothing is undone: {names:?}");
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

/// Whether it was written down that the run is cancelled, or being undone: that somebody wishes so may come too late.
fn was_cancelled(world: &World) -> bool {
    world.journal.entries().iter().any(|entry| matches!(entry, Entry::Cancelled { .. }))
}

fn never_fails(case: &Case) -> bool {
    case.tasks.iter().all(|task| task.fails == 0)
}

/// Compares what the receipt of a run says of each task with what its arguments and the world say; whether all of them succeeded or
/// were made good.
async fn adds_up(case: &Case, survived: &Survived, stated: &Receipt) -> bool {
    let world = &survived.world;
    let (Outcome::Ok(Ipld::Map(told)) | Outcome::Error(Ipld::Map(told))) = stated.outcome() else {
        panic!("{stated:?}")
    };
    let Some(Ipld::Map(listed)) = told.get("tasks") else { panic!("{told:?}") };
    let was_cancelled = stated.outcome().failure_name() == Some("Cancelled");
    let labels = |key: &str| told.get(key).map(texts).unwrap_or_default();
    let (failed, not_started) = (labels("failed"), labels("notStarted"));
    // What those who wait for a task go on from.
    let mut effective: BTreeMap<usize, Outcome> = BTreeMap::new();
    let done: BTreeSet<String> = world.outside.names().into_iter().collect();
    for (position, task) in case.tasks.iter().enumerate() {
        let label = format!("t{position}");
        let Some(link) = listed.get(&label) else {
            assert!(was_cancelled || not_started.contains(&label), "{label} is nowhere: {told:?}");
            continue;
        };
        let own = receipt(world, link).await;
        // Functions and queries go on from what a handler of failures answers in one life, and from what the task comes to in another: a
        // task has one receipt for its final outcome, and that is what it comes to by itself.
        let all = world.receipts.by_task(own.ran()).await.unwrap();
        let by_itself = task.mutates() || !own.meta().contains_key("instead");
        match by_itself && !own.is_attempt() {
            true => assert_eq!(all.iter().map(Receipt::id).collect::<Vec<_>>(), [own.id()], "{label}"),
            false => assert!(all.len() <= 1 && all.iter().all(|receipt| receipt.id() != own.id()), "{label}"),
        }
        let outcome = own.outcome();
        let awaited: Option<Vec<&Outcome>> = task.awaits.iter().map(|at| effective.get(at)).collect();
        let sum = awaited.iter().flatten().try_fold((position + 1) as i128, |sum, awaited| match awaited {
            Outcome::Ok(Ipld::Integer(number)) => Some(sum + number),
            _ => None,
        });
        let came = world.outside.came.lock().unwrap().get(&label).cloned();
        match (outcome, sum) {
            // What was found out of it stands, also where it went on from something else at that time.
            (Outcome::Ok(_), _) if task.mutates() && (case.catch.is_some() || was_cancelled) => {
                assert_eq!(came.as_ref(), Some(outcome), "{label} is as it was done");
            }
            (Outcome::Ok(Ipld::Integer(value)), Some(sum)) => assert_eq!((*value, task.fails >= 0), (sum, true)),
            (Outcome::Ok(_), _) => panic!("{label} succeeded on what failed: {told:?}"),
            (Outcome::Error(_), _) => {
                let name = outcome.failure_name().unwrap();
                let (follows, alone) = (sum.is_none(), sum.is_some());
                let expected = match (name, task.command) {
                    ("BranchMismatch", _) => follows,
                    ("Told", "/pure") => alone && task.fails < 0,
                    ("OutOfFuel", "/pure") => alone && task.fails > 0,
                    ("Unavailable", "/ask" | "/put" | "/do") => alone && task.fails != 0,
                    ("Cancelled", "/do" | "/put") => was_cancelled,
                    _ => false,
                };
                assert!(expected, "{label}: {name}, and {sum:?}");
                // What failed for ever did nothing.
                assert!(own.is_attempt() || !done.contains(&label), "{label} failed and was done");
            }
        }
        assert_eq!(done.contains(&label), task.mutates() && came.is_some());
        if task.mutates() && outcome.is_ok() {
            assert!(done.contains(&label), "{label} is said to be done");
        }
        let instead = if outcome.is_ok() { None } else { instead(world, told, &label).await };
        effective.insert(position, instead.unwrap_or_else(|| outcome.clone()));
        assert_eq!(failed.contains(&label), !effective[&position].is_ok(), "{label}: {failed:?}");
    }
    effective.len() == case.tasks.len() && effective.values().all(Outcome::is_ok)
}

/// What a failed task came to instead.
async fn instead(world: &World, told: &BTreeMap<String, Ipld>, label: &str) -> Option<Outcome> {
    let Some(Ipld::Map(caught)) = told.get("caught") else { return None };
    let Some(Ipld::Map(caught)) = caught.get(label) else { return None };
    assert!(receipt(world, &caught["by"]).await.outcome().is_ok());
    Some(receipt(world, caught.get("instead")?).await.outcome().clone())
}

fn simulate(seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let case = Case::draw(seed);
        if number("IPVM_SEED").is_some() && number("IPVM_SIMULATIONS").is_none() {
            println!("{}", case.json());
        }
        let mut random = Random(seed | 1);
        let mut deaths = 0;
        let asked = World::new(case.knows).ask(&case.json()).await;
        // At every write of the first life, and at random ones of the lives after it. The seven blocks of the request come first, and
        // nothing is begun before they are kept: the first and the last of them stand for all.
        for first in (0..2).chain(12..) {
            let survived = survive(&case, &asked, first, &mut random).await;
            check(&case, &survived).await;
            deaths += survived.deaths;
            if survived.deaths == 0 {
                break;
            }
        }
        deaths
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whenever_the_process_dies_what_must_hold_holds() {
    let seeds = match number("IPVM_SEED") {
        Some(seed) => seed..seed + number("IPVM_SIMULATIONS").unwrap_or(1),
        None => 0..number("IPVM_SIMULATIONS").unwrap_or(150),
    };
    let (next, deaths, failed) = (AtomicU64::new(seeds.start), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    match std::panic::catch_unwind(|| simulate(seed)) {
                        Ok(survived) => drop(deaths.fetch_add(survived, Ordering::Relaxed)),
                        Err(_) => {
                            println!("the seed {seed} fails");
                            failed.lock().unwrap().push(seed);
                        }
                    }
                    if (seed + 1) % 1_000 == 0 {
                        let (deaths, failed) = (deaths.load(Ordering::Relaxed), failed.lock().unwrap().len());
                        println!("{} workflows, {deaths} deaths, {failed} failures, {:?}", seed + 1, began.elapsed());
                    }
                }
            });
        }
    });
    let (failed, deaths) = (failed.into_inner().unwrap(), deaths.into_inner());
    println!("{} workflows survived {deaths} deaths in {:?}", seeds.end - seeds.start, began.elapsed());
    assert!(failed.is_empty(), "seeds that fail: {failed:?}; IPVM_SEED={} tries the first again", failed[0]);
    assert!(seeds.end - seeds.start == 1 || deaths > 1_000, "only {deaths} deaths: nothing was tried");
}
