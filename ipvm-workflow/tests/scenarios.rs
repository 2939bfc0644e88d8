//! Whole stories, of the kind that the documentation of workflow engines tells: orders that are taken back, fan-out and fan-in, counting
//! words in parts, storms of failures, approvals that take days, and workflows that share their work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{Crash, Knows, World, by_label, field, step, texts};
use ipvm_workflow::{Event, How, Paused, Resolution, RunError, RunOptions, RunReport, VerifyError};
use ucan_core::{Delegation, Ipld, Timestamp, block, dagcbor};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Receipt, Task};

fn workflow(tasks: &[String]) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
}

fn integer(number: i128) -> Outcome {
    Outcome::Ok(Ipld::Integer(number))
}

/// A trip: each booking has another that takes it back, and the car is not to be had.
const TRIP: &str = r#"{"v": "1.0.0", "tasks": {
    "fare": {"cmd": "/ask", "args": {"name": "fare", "of": [300]}},
    "flight": {"cmd": "/do", "args": {"name": "flight", "of": [{"await/ok": "fare"}]}, "undo": "no flight"},
    "hotel": {"cmd": "/do", "args": {"name": "hotel", "of": [{"await/ok": "flight"}]}, "undo": "no hotel"},
    "car": {"cmd": "/do", "args": {"name": "car", "of": [{"await/ok": "hotel"}], "fails": -1}, "undo": "no car"},
    "ticket": {"cmd": "/do", "args": {"name": "ticket", "of": [{"await/ok": "car"}]}},
    "no flight": {"cmd": "/do", "args": {"name": "no flight", "of": [{"await/ok": "flight"}]}},
    "no hotel": {"cmd": "/do", "args": {"name": "no hotel", "of": [{"await/ok": "hotel"}]}},
    "no car": {"cmd": "/do", "args": {"name": "no car"}}
}}"#;

#[tokio::test]
async fn a_trip_is_taken_back_whole_whenever_the_process_dies() {
    let expected = ["flight", "hotel", "no hotel", "no flight"];
    let mut deaths = 0;
    for writes in 0.. {
        let mut world = World::new(Knows::Key);
        let request = world.request(TRIP).await;
        let crash = Crash::after(writes);
        world.open(&crash);
        let first = world.engine.run(request.clone(), &|_| {}).await;
        let survived = first.is_ok();
        let receipt = match first {
            Ok(report) => {
                assert!(!report.succeeded() && !report.cancelled);
                let failed: Vec<(&str, &str)> = report
                    .steps
                    .iter()
                    .filter_map(|step| Some((step.label.as_str(), step.outcome.failure_name()?)))
                    .collect();
                assert_eq!(failed, [("car", "Unavailable"), ("ticket", "BranchMismatch")]);
                let undone: Vec<&str> = report.undone.iter().map(|step| step.label.as_str()).collect();
                assert_eq!(undone, ["no hotel", "no flight"]);
                assert_eq!(texts(field(&world.stated(&report).await, "failed")), ["car", "ticket"]);
                report.receipt
            }
            Err(_) => {
                assert!(crash.died());
                deaths += 1;
                world.open(&Crash::never());
                match world.engine.run(request.clone(), &|_| {}).await {
                    Ok(report) => report.receipt,
                    Err(RunError::AlreadyRun { receipt }) => receipt,
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(world.outside.names(), expected, "after {writes} writes");
        let again = world.engine.run(request, &|_| {}).await;
        assert!(matches!(again, Err(RunError::AlreadyRun { receipt: known }) if known == receipt));
        if survived {
            break;
        }
    }
    assert!(deaths > 50, "it died {deaths} times");
}

#[tokio::test]
async fn ten_thousand_fan_out_and_come_together() {
    const MANY: usize = 10_000;
    let mut tasks: Vec<String> = (0..MANY)
        .map(|at| format!(r#""p{at}": {{"cmd": "/pure", "args": {{"name": "p{at}", "of": [{at}]}}}}"#))
        .collect();
    let all: Vec<String> = (0..MANY).map(|at| format!(r#"{{"await/ok": "p{at}"}}"#)).collect();
    tasks.push(format!(r#""sum": {{"cmd": "/pure", "args": {{"name": "sum", "of": [{}]}}}}"#, all.join(", ")));
    tasks.push(r#""log": {"cmd": "/do", "args": {"name": "log", "of": [{"await/ok": "sum"}]}}"#.to_owned());
    let mut world = World::new(Knows::Nothing);
    (world.parallelism, world.pace) = (8, Some(5));
    world.open(&Crash::never());
    let report = world.run(&workflow(&tasks)).await;
    assert!(report.succeeded());
    assert_eq!((report.steps.len(), report.not_started.len()), (MANY + 2, 0));
    assert_eq!(step(&report, "log").outcome, integer(49_995_000));
    assert_eq!(world.outside.names(), ["log"]);
    assert!(world.outside.asked.lock().unwrap().values().all(|times| *times == 1), "each is done once");
    // They are more than a receipt lists itself.
    let stated = world.stated(&report).await;
    let Ipld::List(pages) = field(&stated, "tasks") else { panic!("{stated:?}") };
    let mut listed = 0;
    for page in pages {
        let Ipld::Link(cid) = page else { panic!("{page:?}") };
        let bytes = world.engine.parts().blocks.get(cid).await.unwrap().unwrap();
        let Ipld::Map(page) = dagcbor::decode(&bytes).unwrap() else { panic!("{bytes:?}") };
        assert!(page.len() <= 10_000 && page.values().all(|link| matches!(link, Ipld::Link(_))));
        listed += page.len();
    }
    assert_eq!((pages.len(), listed), (2, MANY + 2));
    let receipt = world.engine.parts().receipts.get(&report.receipt).await.unwrap().unwrap();
    let verified = world.engine.verify_run(receipt.clone(), &|_, _| {}).await.unwrap();
    assert_eq!((verified.steps.len(), verified.tally().refuted), (MANY + 2, 0));

    // A page that is named twice, or is nowhere, is no list.
    for page in [pages[0].clone(), Ipld::Link(block::dag_cbor_cid(b"nowhere"))] {
        let outcome = Ipld::Map([("tasks".to_owned(), Ipld::List(vec![pages[0].clone(), page]))].into());
        let receipt = Receipt::builder(*receipt.ran(), Outcome::Ok(outcome)).sign(&world.node, [0; 16]).unwrap();
        let refused = world.engine.verify_run(receipt, &|_, _| {}).await;
        assert!(matches!(refused, Err(VerifyError::NotARun)));
    }
}

/// Counts words of a text (`/pure/count`), or adds up counts (`/pure/merge`).
#[derive(Debug)]
struct Words {
    merges: bool,
    ran: Arc<AtomicUsize>,
}

impl Words {
    fn count(&self, task: &Task) -> Option<BTreeMap<String, i128>> {
        let mut counts = BTreeMap::new();
        match (self.merges, task.args().get("text"), task.args().get("parts")) {
            (false, Some(Ipld::String(text)), None) => {
                text.split_whitespace().for_each(|word| *counts.entry(word.to_lowercase()).or_default() += 1);
            }
            (true, None, Some(Ipld::List(parts))) => {
                for part in parts {
                    let Ipld::Map(part) = part else { return None };
                    for (word, count) in part {
                        let Ipld::Integer(count) = count else { return None };
                        *counts.entry(word.clone()).or_default() += count;
                    }
                }
            }
            _ => return None,
        }
        Some(counts)
    }
}

#[async_trait]
impl Handler for Words {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.ran.fetch_add(1, Ordering::Relaxed);
        Completion::new(match self.count(call.task()) {
            Some(counts) => {
                let counts = counts.into_iter().map(|(word, count)| (word, Ipld::Integer(count)));
                Outcome::Ok(Ipld::Map(counts.collect()))
            }
            None => Failure::new("ArgumentMismatch", "neither a text nor parts").into(),
        })
    }
}

/// A workflow that counts words of each part by itself, and adds up pairs until one is left.
fn count_words(parts: &[String]) -> String {
    let mut tasks = Vec::new();
    let mut level = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        tasks.push(format!(r#""map {at}": {{"cmd": "/pure/count", "args": {{"text": "{part}"}}}}"#));
        level.push(format!("map {at}"));
    }
    let mut round = 0;
    while level.len() > 1 {
        round += 1;
        let mut next = Vec::new();
        for (at, pair) in level.chunks(2).enumerate() {
            let label = if level.len() <= 2 { "all".to_owned() } else { format!("reduce {round}.{at}") };
            let of: Vec<String> = pair.iter().map(|label| format!(r#"{{"await/ok": "{label}"}}"#)).collect();
            tasks.push(format!(r#""{label}": {{"cmd": "/pure/merge", "args": {{"parts": [{}]}}}}"#, of.join(", ")));
            next.push(label);
        }
        level = next;
    }
    workflow(&tasks)
}

#[tokio::test]
async fn words_are_counted_in_parts_and_only_changed_parts_again() {
    let ran = Arc::new(AtomicUsize::new(0));
    let mut world = World::new(Knows::Nothing);
    for (command, merges) in [("/pure/count", false), ("/pure/merge", true)] {
        world.handlers.push((command, Arc::new(Words { merges, ran: ran.clone() })));
    }
    world.open(&Crash::never());
    let mut parts: Vec<String> = (0..64).map(|at| format!("the part {at} of the whole")).collect();
    let report = world.run(&count_words(&parts)).await;
    let counted = |report: &RunReport, word: &str| match &step(report, "all").outcome {
        Outcome::Ok(counts) => field(counts, word).clone(),
        Outcome::Error(error) => panic!("{error:?}"),
    };
    assert_eq!(["the", "whole", "63"].map(|word| counted(&report, word)), [128, 64, 1].map(Ipld::Integer));
    assert_eq!(ran.swap(0, Ordering::Relaxed), 64 + 63);

    // One part has changed: it is counted again, and what rests on it is added up again.
    parts[40] = "a part of the whole".to_owned();
    let report = world.run(&count_words(&parts)).await;
    assert_eq!(["the", "whole", "a"].map(|word| counted(&report, word)), [127, 64, 1].map(Ipld::Integer));
    assert_eq!(ran.load(Ordering::Relaxed), 1 + 6, "the part, and one sum on each of six levels");
    assert_eq!(report.steps.iter().filter(|step| step.how == How::Ran).count(), 7);
}

#[tokio::test]
async fn a_storm_of_failures_passes_and_nobody_comes_back_at_once() {
    const MANY: usize = 400;
    let retry = r#""config": {"retry": {"attempts": 5, "delay": [2, "seconds"], "longest": [5, "seconds"]}}"#;
    let mut tasks: Vec<String> = (0..MANY)
        .map(|at| {
            let fails = at % 4;
            format!(r#""q{at}": {{"cmd": "/ask", "args": {{"name": "q{at}", "of": [1], "fails": {fails}}}, {retry}}}"#)
        })
        .collect();
    let all: Vec<String> = (0..MANY).map(|at| format!(r#"{{"await/ok": "q{at}"}}"#)).collect();
    tasks.push(format!(r#""log": {{"cmd": "/do", "args": {{"name": "log", "of": [{}]}}}}"#, all.join(", ")));
    let world = World::new(Knows::Nothing);
    let retries = std::sync::Mutex::new(Vec::new());
    let observe = |event| {
        if let Event::Retrying { label, attempt, pause, .. } = event {
            retries.lock().unwrap().push((label, attempt, pause));
        }
    };
    let report = world.engine.run(world.request(&workflow(&tasks)).await, &observe).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(step(&report, "log").outcome, integer(400));
    let retries = retries.into_inner().unwrap();
    assert_eq!(retries.len(), 100 * (1 + 2 + 3));
    let asked = world.outside.asked.lock().unwrap().clone();
    for at in 0..MANY {
        assert_eq!(asked[&format!("q{at}")] as usize, at % 4 + 1, "q{at}");
        let of_this: Vec<u32> =
            retries.iter().filter(|(label, ..)| *label == format!("q{at}")).map(|(_, attempt, _)| *attempt).collect();
        assert_eq!(of_this, (1..=(at % 4) as u32).collect::<Vec<_>>());
    }
    for (attempt, whole) in [(1, 2_000), (2, 4_000), (3, 5_000)] {
        let whole = Duration::from_millis(whole);
        let pauses: Vec<Duration> =
            retries.iter().filter(|(_, number, _)| *number == attempt).map(|(_, _, pause)| *pause).collect();
        assert!(pauses.iter().all(|pause| *pause <= whole && *pause >= whole / 2), "{pauses:?}");
        let distinct: BTreeSet<&Duration> = pauses.iter().collect();
        assert!(distinct.len() * 2 > pauses.len(), "{} of {} pauses are the same", distinct.len(), pauses.len());
    }
    assert_eq!(world.waits.0.lock().unwrap().len(), retries.len());
}

/// Something is asked of a person by a message; nobody but the person knows what came of it.
const APPROVAL: &str = r#"{"v": "1.0.0", "tasks": {
    "offer": {"cmd": "/ask", "args": {"name": "offer", "of": [1000]}},
    "approval": {"cmd": "/do", "args": {"name": "approval", "of": [{"await/ok": "offer"}]}},
    "order": {"cmd": "/do", "args": {"name": "order", "of": [{"await/ok": "approval"}]}, "undo": "no order"},
    "bill": {"cmd": "/put", "args": {"name": "bill", "of": [{"await/ok": "order"}]}},
    "no order": {"cmd": "/do", "args": {"name": "no order"}}
}}"#;
const DAY: u64 = 86_400;

/// A run that waits for a person, in a world with grants that end on some day; the task that waits.
async fn waiting(grants_end: Option<u64>) -> (World, ucan_invocation::TaskId, ucan_invocation::TaskId) {
    for writes in 0.. {
        let mut world = World::new(Knows::Nothing);
        if let Some(days) = grants_end {
            let end = Timestamp::from_secs(world.now + days * DAY).unwrap();
            world.grants = world
                .grants
                .iter()
                .map(|grant| {
                    let (to, about) = (grant.audience().clone(), grant.subject().cloned());
                    let grant = Delegation::builder(to, about, grant.command().clone());
                    grant.expiration(end).sign(&world.node).unwrap()
                })
                .collect();
        }
        let request = world.request(APPROVAL).await;
        let run = request.invocation.task().id().unwrap();
        world.open(&Crash::after(writes));
        // The message is out, and the process is gone before it knows.
        assert!(world.engine.run(request, &|_| {}).await.is_err());
        if world.outside.names() == ["approval"] {
            world.open(&Crash::never());
            let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
            let Err(RunError::Paused(Paused::Uncertain { label, task })) = paused else { panic!("{paused:?}") };
            assert_eq!(label, "approval");
            return (world, run, task);
        }
    }
    unreachable!("some write comes after the message")
}

#[tokio::test]
async fn an_approval_takes_days() {
    for approved in [true, false] {
        let (mut world, run, task) = waiting(None).await;
        for _ in 0..9 {
            world.now += DAY;
            world.open(&Crash::never());
            let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
            assert!(matches!(paused, Err(RunError::Paused(Paused::Uncertain { .. }))), "it is never guessed");
            assert_eq!(world.outside.names(), ["approval"]);
        }
        let answer = if approved { integer(900) } else { Failure::new("Declined", "not this year").into() };
        let options = RunOptions { resolutions: [(task, Resolution::Done(answer))].into(), ..RunOptions::default() };
        let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
        assert_eq!(report.succeeded(), approved);
        let outcomes = by_label(&report.steps);
        if approved {
            assert_eq!(world.outside.names(), ["approval", "order", "bill"]);
            assert_eq!(outcomes["bill"], &integer(900), "what was approved is what is billed");
        } else {
            assert_eq!(world.outside.names(), ["approval"]);
            let names = ["approval", "order", "bill"].map(|label| outcomes[label].failure_name().unwrap());
            assert_eq!(names, ["Declined", "BranchMismatch", "BranchMismatch"]);
        }
    }
}

#[tokio::test]
async fn authority_that_ends_while_a_run_waits_is_missed() {
    let (mut world, run, task) = waiting(Some(5)).await;
    world.now += 4 * DAY;
    world.open(&Crash::never());
    let paused = world.engine.resume(&run, &RunOptions::default(), &|_| {}).await;
    assert!(matches!(paused, Err(RunError::Paused(_))), "{paused:?}");

    // The answer comes a day too late.
    world.now += 2 * DAY;
    world.open(&Crash::never());
    let options = RunOptions { resolutions: [(task, Resolution::Done(integer(900)))].into(), ..RunOptions::default() };
    let refused = world.engine.resume(&run, &options, &|_| {}).await;
    let Err(RunError::NoAuthority(missing)) = refused else { panic!("{refused:?}") };
    let labels: BTreeSet<&str> = missing.iter().map(|missing| missing.label.as_str()).collect();
    assert_eq!(labels, ["approval", "bill", "no order", "offer", "order"].into());
    assert!(missing[0].to_string().contains("expire"), "{}", missing[0]);
    assert_eq!(world.outside.names(), ["approval"], "nothing is done without authority");

    // It can be ended: what a person found out stands, and nothing more is done.
    let waits = world.engine.cancel(&run, &RunOptions::default(), &|_| {}).await;
    assert!(matches!(waits, Err(RunError::Paused(Paused::Uncertain { .. }))), "{waits:?}");
    let report = world.engine.cancel(&run, &options, &|_| {}).await.unwrap();
    assert!(report.cancelled);
    assert_eq!(by_label(&report.steps)["approval"], &integer(900));
    assert_eq!(report.not_started, ["order", "bill"]);
    assert_eq!(world.outside.names(), ["approval"]);
    assert_eq!(world.engine.parts().journal.unfinished().await.unwrap(), []);
}

#[tokio::test]
async fn two_workflows_at_once_share_what_they_have_in_common() {
    let shared: Vec<String> = (0..20)
        .map(|at| format!(r#""s{at}": {{"cmd": "/pure", "args": {{"name": "s{at}", "of": [{at}]}}}}"#))
        .collect();
    let all: Vec<String> = (0..20).map(|at| format!(r#"{{"await/ok": "s{at}"}}"#)).collect();
    let of = |extra: i128, name: &str| {
        let own = [
            format!(
                r#""own": {{"cmd": "/pure", "args": {{"name": "own {name}", "of": [{extra}, {}]}}}}"#,
                all.join(", ")
            ),
            format!(r#""log": {{"cmd": "/do", "args": {{"name": "log {name}", "of": [{{"await/ok": "own"}}]}}}}"#),
        ];
        workflow(&[shared.clone(), own.into()].concat())
    };
    let mut world = World::new(Knows::Nothing);
    (world.parallelism, world.pace) = (4, Some(9));
    world.open(&Crash::never());
    let (one, two) = (of(1, "one"), of(2, "two"));
    let (one, two) = tokio::join!(world.run(&one), world.run(&two));
    assert_eq!((&step(&one, "log").outcome, &step(&two, "log").outcome), (&integer(191), &integer(192)));
    assert!(one.succeeded() && two.succeeded() && one.run != two.run);
    let asked = world.outside.asked.lock().unwrap().clone();
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    assert_eq!(asked.len(), 20 + 4);
    let ran = |report: &RunReport| report.steps.iter().filter(|step| step.how == How::Ran).count();
    assert_eq!(ran(&one) + ran(&two), 24, "each is run by one of them");
    let both = [step(&one, "s7"), step(&two, "s7")];
    assert_eq!((both[0].task, both[0].receipt), (both[1].task, both[1].receipt), "it has one receipt");
    let mut names = world.outside.names();
    names.sort_unstable();
    assert_eq!(names, ["log one", "log two"]);
}

/// Takes as long as its task says, and notes when it was begun.
#[derive(Debug, Default)]
struct Slow(std::sync::Mutex<Vec<String>>);

#[async_trait]
impl Handler for Slow {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    fn workload(&self, task: &Task) -> Option<String> {
        Some(format!("{:?}", task.args().get("millis")?))
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        let args = call.task().args();
        let (Ipld::Integer(millis), Ipld::String(name)) = (&args["millis"], &args["name"]) else {
            return Completion::new(Failure::new("Malformed", "millis and name").into());
        };
        self.0.lock().unwrap().push(name.clone());
        tokio::time::sleep(Duration::from_millis(u64::try_from(*millis).unwrap())).await;
        Completion::new(integer(*millis))
    }
}

#[tokio::test(start_paused = true)]
async fn what_took_long_before_is_begun_first() {
    let slow = Arc::new(Slow::default());
    let mut world = World::new(Knows::Nothing);
    world.parallelism = 1;
    world.handlers.push(("/pure/slow", slow.clone()));
    world.open(&Crash::never());
    let task = |label: &str, millis: u64, round: u64| {
        let args = format!(r#"{{"name": "{label}", "millis": {millis}, "round": {round}}}"#);
        format!(r#""{label}": {{"cmd": "/pure/slow", "args": {args}}}"#)
    };
    // Nobody knows better than the order of the labels; then the long one is known, and what is unknown comes in between.
    let known = |round: u64| [task("a", 10, round), task("b", 1_000, round)];
    assert!(world.run(&workflow(&known(0))).await.succeeded());
    assert_eq!(std::mem::take(&mut *slow.0.lock().unwrap()), ["a", "b"]);
    let [short, long] = known(1);
    assert!(world.run(&workflow(&[short, long, task("c", 500, 1)])).await.succeeded());
    assert_eq!(*slow.0.lock().unwrap(), ["b", "c", "a"]);
}
