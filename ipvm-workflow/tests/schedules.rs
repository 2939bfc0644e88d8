//! Schedules on an engine whose process dies and whose clock jumps: each time is run once, under the authority of its moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Crash, Knows, Mortal, Random, World};
use ipvm_workflow::{
    Ask, AskError, Bindings, Control, Cron, Document, Ending, Engine, LeftOut, MemorySchedules, Missed, Overlap, Parts,
    RunError, RunRequest, SCHEDULE_COMMAND, Schedule, ScheduleError, ScheduleEvent, Scheduler, Timing, Until, When,
};
use ucan_core::{Clock, Context, Delegation, DidKeys, Issuer, Timestamp, dagjson};
use ucan_invocation::{Invocation, ReceiptStore, Revocation, TaskId, Timer};

const START: u64 = 1_800_000_000;

/// A clock, and what lets its time pass.
#[derive(Debug)]
struct Time(AtomicU64);

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

#[async_trait]
impl Timer for Time {
    async fn sleep(&self, time: Duration) {
        // Whatever is under way gets somewhere meanwhile.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.0.fetch_add(time.as_secs().max(1), Ordering::Relaxed);
    }
}

struct Times {
    world: World,
    time: Arc<Time>,
    store: Arc<MemorySchedules>,
    scheduler: Scheduler,
    events: Arc<Mutex<Vec<ScheduleEvent>>>,
    asked: AtomicU64,
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn cron(text: &str) -> Timing {
    Timing::new(When::Cron(Cron::parse(text).unwrap()))
}

const NOTE: &str = r#"{"v": "1.0.0", "tasks": {
    "one": {"cmd": "/pure", "args": {"name": "one"}},
    "note": {"cmd": "/do", "args": {"name": "note", "of": [{"await/ok": "one"}]}}
}}"#;

impl Times {
    fn new(knows: Knows) -> Self {
        let world = World::new(knows);
        let (time, store) = (Arc::new(Time(AtomicU64::new(START))), Arc::new(MemorySchedules::default()));
        let scheduler = Scheduler::new(world.engine.clone(), store.clone(), world.user.clone());
        let mut times = Self { world, time, store, scheduler, events: Arc::default(), asked: AtomicU64::new(0) };
        times.open(&Crash::never());
        times
    }

    /// Another process takes over what is on the medium; it dies as `crash` says.
    fn open(&mut self, crash: &Arc<Crash>) {
        let revocations = self.world.engine.parts().revocations.clone();
        self.world.open(crash);
        let (clock, timer) = (self.time.clone(), self.time.clone());
        let engine = Engine::new(Parts { clock, timer, revocations, ..self.world.engine.parts().clone() });
        let store = Arc::new(Mortal(self.store.clone(), crash.clone()));
        self.scheduler = Scheduler::new(engine.clone(), store, self.world.user.clone());
        self.world.engine = engine;
    }

    async fn ask(&self, json: &str, timing: &Timing, by: &Issuer, end: Option<u64>) -> Result<Invocation, AskError> {
        let bindings = Bindings::new(self.world.node.did().clone(), self.world.user.did().clone());
        let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
        let workflow = document.bind(&bindings).unwrap();
        let blocks = &self.world.engine.parts().blocks;
        blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
        let ask = Ask {
            executor: self.world.node.did(),
            command: SCHEDULE_COMMAND.parse().unwrap(),
            args: Schedule::args(RunRequest::args(&workflow, &self.world.grants, &[]), timing),
            nonce: self.asked.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec(),
            expiration: end.map(at),
            meta: Default::default(),
        };
        ask.sign(by, &self.world.grants, &Context::new(self.time.now(), &DidKeys))
    }

    async fn add(&self, json: &str, timing: &Timing) -> Result<TaskId, ScheduleError> {
        let invocation = self.ask(json, timing, &self.world.user, None).await?;
        Ok(self.scheduler.add(invocation, self.world.grants.clone()).await?.id)
    }

    async fn run(&self, until: Until) -> Result<(), ScheduleError> {
        self.run_under(until, &Control::default()).await
    }

    async fn run_under(&self, until: Until, control: &Control) -> Result<(), ScheduleError> {
        let events = self.events.clone();
        let observe = Arc::new(move |event| events.lock().unwrap().push(event));
        self.scheduler.run(until, control, observe).await
    }

    fn endings(&self) -> Vec<(u64, Ending)> {
        let ended = |event: &ScheduleEvent| match event {
            ScheduleEvent::Ended { due, ending, .. } => Some((due.as_secs(), ending.clone())),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(ended).collect()
    }

    fn left_out(&self) -> Vec<(u64, LeftOut)> {
        let left_out = |event: &ScheduleEvent| match event {
            ScheduleEvent::LeftOut { due, why, .. } => Some((due.as_secs(), *why)),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(left_out).collect()
    }

    fn refusal(&self) -> String {
        match self.endings().pop() {
            Some((_, Ending::Refused(reason))) => reason,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_due_is_run_at_its_time_and_once() {
    let times = Times::new(Knows::Nothing);
    times.add(NOTE, &Timing::new(When::At(at(START + 90)))).await.unwrap();
    let every = Timing { end: Some(at(START + 1_500)), ..cron("*/10 * * * *") };
    let id = times.add(NOTE, &every).await.unwrap();
    times.run(Until::NothingDue).await.unwrap();
    assert!(times.endings().is_empty(), "nothing is due yet");
    times.run(Until::Idle).await.unwrap();
    let due: Vec<u64> = times.endings().iter().map(|(due, _)| *due).collect();
    assert_eq!(due, [START + 90, START + 600, START + 1_200]);
    assert!(times.endings().iter().all(|(_, ending)| matches!(ending, Ending::Succeeded(_))), "{:?}", times.endings());
    assert_eq!(times.world.outside.names(), ["note"; 3], "each has its own tasks");
    // Nothing comes again, whoever looks, and wherever the clock stands.
    times.time.0.store(START, Ordering::Relaxed);
    times.run(Until::Idle).await.unwrap();
    assert_eq!(times.endings().len(), 3);
    // What is told of it is in the receipts, and in the store.
    let scheduled = times.scheduler.get(&id).await.unwrap().unwrap();
    assert_eq!((scheduled.progress.fired, scheduled.progress.open.len()), (2, 0));
    let run = scheduled.run(at(START + 600)).unwrap();
    let receipt = times.world.receipts.by_task(&run).await.unwrap().remove(0);
    assert_eq!(scheduled.progress.recent[0].ending, Ending::Succeeded(receipt.id()));
}

#[tokio::test]
async fn what_was_missed_is_run_late_or_not() {
    for (missed, due) in
        [(Missed::Once, vec![3_000]), (Missed::Skip, vec![]), (Missed::All, vec![600, 1_200, 1_800, 2_400, 3_000])]
    {
        let times = Times::new(Knows::Nothing);
        let timing = Timing { missed, ..cron("*/10 * * * *") };
        times.add(NOTE, &timing).await.unwrap();
        times.time.0.store(START + 3_100, Ordering::Relaxed);
        times.run(Until::NothingDue).await.unwrap();
        let ran: Vec<u64> = times.endings().iter().map(|(due, _)| *due - START).collect();
        assert_eq!(ran, due, "{missed:?}");
        assert_eq!(times.world.outside.names().len(), due.len());
        let left_out = times.left_out().iter().map(|(due, why)| (*due - START, *why)).collect::<Vec<_>>();
        let expected = match missed {
            Missed::Once => vec![(2_400, LeftOut::Missed)],
            Missed::Skip => vec![(3_000, LeftOut::Missed)],
            Missed::All => vec![],
        };
        assert_eq!(left_out, expected, "{missed:?}");
    }
}

/// A run that waits for somebody holds back those that must not overlap with it, until a person has gone on with it.
#[tokio::test]
async fn a_run_that_is_paused_is_not_over() {
    let mut times = Times::new(Knows::Nothing);
    let json = r#"{"v": "1.0.0", "tasks": {"ask": {"cmd": "/ask", "args": {"name": "ask", "fails": 2},
        "config": {"retry": {"attempts": 2, "delay": [1, "seconds"]}}}}}"#;
    let timing = Timing { end: Some(at(START + 3_000)), ..cron("*/10 * * * *") };
    let id = times.add(json, &timing).await.unwrap();
    times.run(Until::Idle).await.unwrap();
    let paused = times.events.lock().unwrap().iter().any(|event| {
        matches!(event, ScheduleEvent::Paused { due, reason, .. } if *due == at(START + 600) && reason.contains("failed 2 times"))
    });
    assert!(paused, "{:?}", times.events.lock().unwrap());
    let open = |due| (START + due, LeftOut::Open);
    assert_eq!(times.left_out(), [open(1_200), open(1_800), open(2_400), open(3_000)]);
    assert!(times.endings().is_empty());
    // Another process goes on with it.
    times.open(&Crash::never());
    times.run(Until::Idle).await.unwrap();
    assert!(
        matches!(times.endings()[..], [(due, Ending::Succeeded(_))] if due == START + 600),
        "{:?}",
        times.endings()
    );
    assert!(times.scheduler.get(&id).await.unwrap().unwrap().progress.open.is_empty());
}

#[tokio::test]
async fn it_stops_when_it_is_told_to_and_goes_on_later() {
    let times = Times::new(Knows::Nothing);
    times.add(NOTE, &Timing { count: Some(3), ..cron("* * * * *") }).await.unwrap();
    let control = Control::default();
    control.pause();
    times.time.0.store(START + 60, Ordering::Relaxed);
    times.run_under(Until::Stopped, &control).await.unwrap();
    assert!(times.world.outside.names().is_empty() && times.endings().is_empty());
    times.run(Until::Idle).await.unwrap();
    assert_eq!(times.world.outside.names(), ["note"; 3]);
    assert_eq!(times.endings().len(), 3);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_honoured_is_refused_when_it_is_asked_for() {
    let times = Times::new(Knows::Nothing);
    let (user, grants) = (times.world.user.clone(), times.world.grants.clone());
    let timing = cron("* * * * *");
    // Somebody whom the executor does not know.
    let stranger = Issuer::ed25519(varsig::ed25519::SigningKey::from_seed(&[9; 32]));
    assert!(matches!(times.ask(NOTE, &timing, &stranger, None).await, Err(AskError::NoChain(_))));
    // Somebody who has the authority, and for whom nobody signs here.
    let node = times.world.node.clone();
    let by_node = times.ask(NOTE, &timing, &node, None).await.unwrap();
    assert!(matches!(times.scheduler.add(by_node, grants.clone()).await, Err(ScheduleError::OtherInvoker { .. })));
    // What none of its grants covers.
    let json = r#"{"v": "1.0.0", "tasks": {"t": {"cmd": "/do", "sub": "invoker", "args": {}}}}"#;
    let refused = times.add(json, &timing).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Refused(RunError::Plan(_) | RunError::NoAuthority(_))), "{refused}");
    // What is never due.
    for never in [
        Timing { end: Some(at(START)), ..timing.clone() },
        Timing { missed: Missed::Skip, ..Timing::new(When::At(at(START - 500))) },
        cron("0 0 31 2 *"),
    ] {
        assert!(matches!(times.add(NOTE, &never).await, Err(ScheduleError::Never)), "{never:?}");
    }
    // A request that has expired, and one that was made before.
    let expired = times.ask(NOTE, &timing, &user, Some(START - 301)).await.unwrap();
    let refused = times.scheduler.add(expired, grants.clone()).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Refused(RunError::Request(_))), "{refused}");
    let asked = times.ask(NOTE, &timing, &user, None).await.unwrap();
    let id = times.scheduler.add(asked.clone(), grants.clone()).await.unwrap().id;
    assert!(matches!(times.scheduler.add(asked.clone(), grants.clone()).await, Err(ScheduleError::Known(_))));
    times.scheduler.remove(&id).await.unwrap();
    assert!(matches!(times.scheduler.add(asked, grants).await, Err(ScheduleError::Known(_))), "it was removed");
    assert!(matches!(times.scheduler.remove(&id).await, Err(ScheduleError::Unknown(_))));
    times.run(Until::Idle).await.unwrap();
    assert!(times.events.lock().unwrap().iter().all(|event| matches!(event, ScheduleEvent::Waiting { until: None })));
}

#[tokio::test]
async fn authority_is_looked_at_when_a_run_is_due() {
    // The schedule itself ends.
    let times = Times::new(Knows::Nothing);
    let asked = times.ask(NOTE, &cron("*/10 * * * *"), &times.world.user, Some(START + 700)).await.unwrap();
    times.scheduler.add(asked, times.world.grants.clone()).await.unwrap();
    for now in [600, 1_200] {
        times.time.0.store(START + now, Ordering::Relaxed);
        times.run(Until::NothingDue).await.unwrap();
    }
    assert!(matches!(times.endings()[0].1, Ending::Succeeded(_)));
    assert!(times.refusal().contains("expired"), "{}", times.refusal());

    // What lets the invoker run anything, or what lets a run do something, is revoked.
    for revoked in [0, 4] {
        let times = Times::new(Knows::Nothing);
        times.add(NOTE, &cron("*/10 * * * *")).await.unwrap();
        times.time.0.store(START + 600, Ordering::Relaxed);
        times.run(Until::NothingDue).await.unwrap();
        let grant: &Delegation = &times.world.grants[revoked];
        let args = Revocation::args(grant.cid(), &[]);
        let node = &times.world.node;
        let asked = Invocation::builder(node.did().clone(), "/ucan/revoke".parse().unwrap(), args).sign(node).unwrap();
        let find = |cid: &ucan_core::Cid| times.world.grants.iter().find(|grant| grant.cid() == cid).cloned();
        let revocation = Revocation::check(asked, &find, &Context::new(times.time.now(), &DidKeys)).unwrap();
        times.world.engine.parts().revocations.keep(&revocation).await.unwrap();
        times.time.0.store(START + 1_200, Ordering::Relaxed);
        times.run(Until::NothingDue).await.unwrap();
        assert_eq!(times.endings().len(), 2);
        assert!(times.refusal().contains("revoked"), "{}", times.refusal());
        assert_eq!(times.world.outside.names(), ["note"], "nothing was done without authority");
    }
}

/// Schedules on a process that dies at every write of its first life, and at random ones of those after it, while time goes on
/// between its lives: each time that is to be run is run once.
#[test]
fn whenever_the_process_dies_each_time_is_run_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (mut deaths, mut runs) = (0, 0);
    for seed in 0..4_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for first in 0.. {
            let died = runtime.block_on(survive(seed, first, &mut random, &mut runs));
            deaths += died;
            if died == 0 {
                break;
            }
        }
    }
    println!("{runs} runs survived {deaths} deaths");
    assert!(deaths > 300 && runs > 300, "{deaths} deaths, {runs} runs: not enough was tried");
}

async fn survive(seed: u64, first: i64, random: &mut Random, runs: &mut usize) -> usize {
    let mut times = Times::new(if seed.is_multiple_of(2) { Knows::Key } else { Knows::Probe });
    let overlap = if seed < 2 { Overlap::Skip } else { Overlap::Allow };
    let (missed, end) = (Missed::All, Some(at(START + 1_300)));
    let every = times.add(NOTE, &Timing { missed, end, overlap, ..cron("*/5 * * * *") }).await.unwrap();
    let once = times.add(NOTE, &Timing::new(When::At(at(START + 400)))).await.unwrap();
    let mut deaths = 0;
    let mut writes = first;
    loop {
        // It dies ever later: in the end it lives.
        times.open(&if deaths < 8 { Crash::after(writes) } else { Crash::never() });
        let ran = times.run(Until::Idle).await;
        let open = |scheduled: &ipvm_workflow::Scheduled| {
            !scheduled.progress.open.is_empty() || scheduled.progress.next(&scheduled.schedule.timing).is_some()
        };
        if ran.is_ok() && !times.scheduler.list().await.unwrap().iter().any(open) {
            break;
        }
        deaths += 1;
        writes = random.below(40) as i64;
        times.time.0.fetch_add(random.below(500), Ordering::Relaxed);
    }
    // Every run of it has one receipt, and has done once what it is to do.
    let mut tasks = BTreeSet::new();
    for (id, due) in [(every, vec![300, 600, 900, 1_200]), (once, vec![400])] {
        let scheduled = times.scheduler.get(&id).await.unwrap().unwrap();
        assert_eq!(scheduled.progress.fired as usize, due.len());
        let past = scheduled.progress.recent.iter().map(|past| past.due.as_secs() - START).collect::<BTreeSet<_>>();
        assert_eq!(past, due.iter().copied().collect());
        for past in &scheduled.progress.recent {
            let run = scheduled.run(past.due).unwrap();
            let receipts = times.world.receipts.by_task(&run).await.unwrap();
            assert_eq!(receipts.len(), 1, "a run has one receipt");
            assert_eq!(past.ending, Ending::Succeeded(receipts[0].id()));
            tasks.insert(run);
        }
    }
    assert_eq!(tasks.len(), 5);
    assert_eq!(times.world.outside.names(), ["note"; 5], "each was done once");
    let done: BTreeSet<TaskId> = times.world.outside.done.lock().unwrap().iter().map(|(_, task)| *task).collect();
    assert_eq!(done.len(), 5);
    *runs += 5;
    deaths
}
