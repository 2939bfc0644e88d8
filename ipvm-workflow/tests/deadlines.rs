//! How long attempts may take, and until when others are begun.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Knows, World, step};
use ipvm_workflow::{Engine, Event, Parts, Paused, Resolution, RunError, RunOptions};
use ucan_core::{Command, Ipld};
use ucan_invocation::{
    Call, Completion, Config, EffectClass, Failure, Handler, Outcome, ReceiptStore, Task, TokioTimer,
};

/// Takes for ever the first times, and then no time at all.
#[derive(Debug)]
struct Slow {
    class: EffectClass,
    hangs: u32,
    asked: AtomicU32,
    /// Whether it takes the id of the task for an idempotency key.
    key: bool,
    /// Whether it sees to the time itself.
    own: bool,
}

#[async_trait]
impl Handler for Slow {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    fn is_idempotent(&self, _: &Command) -> bool {
        self.key
    }

    fn limits_time(&self) -> bool {
        self.own
    }

    async fn handle(&self, _: &Call) -> Completion {
        if self.asked.fetch_add(1, Ordering::Relaxed) < self.hangs {
            tokio::time::sleep(if self.own { Duration::from_millis(50) } else { Duration::from_secs(3_600) }).await;
        }
        Completion::new(Outcome::Ok(Ipld::Null))
    }
}

/// An engine on the world's stores, whose command below the one of a class is done slowly.
fn slow(world: &World, class: EffectClass, hangs: u32, key: bool, own: bool) -> (Engine, Arc<Slow>, &'static str) {
    let handler = Arc::new(Slow { class, hangs, asked: AtomicU32::new(0), key, own });
    let above = common::COMMANDS.iter().find(|(_, it)| *it == class).unwrap().0;
    let command = ["/ask/slowly", "/put/slowly", "/do/slowly"].into_iter().find(|it| it.starts_with(above)).unwrap();
    let mut parts = Parts { timer: Arc::new(TokioTimer), ..world.engine.parts().clone() };
    parts.router.insert(world.node.did().clone(), Command::parse(command).unwrap(), handler.clone());
    (Engine::new(parts), handler, command)
}

fn document(command: &str, config: &str) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{"slow": {{"cmd": "{command}", "args": {{}}, "config": {{{config}}}}}}}}}"#)
}

const LIMIT: &str = r#""time": [20, "milli", "seconds"]"#;
const AGAIN: &str = r#""time": [20, "milli", "seconds"], "retry": {"attempts": 4, "delay": [1, "milli", "seconds"]}"#;

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_one_that_failed() {
    for class in [EffectClass::Query, EffectClass::IdempotentWrite] {
        let world = World::new(Knows::Nothing);
        let (engine, handler, command) = slow(&world, class, 2, false, false);
        let attempts = Mutex::new(Vec::new());
        let observe = |event| {
            if let Event::Retrying { receipt, .. } = event {
                attempts.lock().unwrap().push(receipt);
            }
        };
        let report = engine.run(world.request(&document(command, AGAIN)).await, &observe).await.unwrap();
        assert!(report.succeeded());
        assert_eq!(handler.asked.load(Ordering::Relaxed), 3);
        let attempts = attempts.into_inner().unwrap();
        assert_eq!(attempts.len(), 2);
        for attempt in &attempts {
            let receipt = ReceiptStore::get(&*world.receipts, attempt).await.unwrap().unwrap();
            assert!(receipt.is_attempt());
            assert_eq!(receipt.outcome().failure_name(), Some("TimeLimit"));
            assert!(receipt.outcome().failure_message().unwrap().contains("20ms"));
        }
        // Without attempts left it fails, and that is no result: the next run does it.
        let (engine, _, command) = slow(&world, class, 1, false, false);
        for expected in [Some("TimeLimit"), None] {
            let report = engine.run(world.request(&document(command, LIMIT)).await, &|_| {}).await.unwrap();
            assert_eq!(step(&report, "slow").outcome.failure_name(), expected);
        }
    }
}

/// Whether something took effect that is no longer waited for is not guessed.
#[tokio::test]
async fn what_may_have_taken_effect_waits_for_a_person() {
    let world = World::new(Knows::Nothing);
    let (engine, handler, command) = slow(&world, EffectClass::Mutable, 1, false, false);
    let request = world.request(&document(command, AGAIN)).await;
    let paused = engine.run(request.clone(), &|_| {}).await.unwrap_err();
    let RunError::Paused(Paused::Uncertain { label, task }) = paused else { panic!("{paused:?}") };
    assert_eq!((label.as_str(), handler.asked.load(Ordering::Relaxed)), ("slow", 1));
    let options = RunOptions { resolutions: [(task, Resolution::NotDone)].into(), ..RunOptions::default() };
    assert!(engine.run_with(request, &options, &|_| {}).await.unwrap().succeeded());
    assert_eq!(handler.asked.load(Ordering::Relaxed), 2);

    // Where it is the same effect when it is done again, it is.
    let world = World::new(Knows::Nothing);
    let (engine, handler, command) = slow(&world, EffectClass::Mutable, 2, true, false);
    assert!(engine.run(world.request(&document(command, AGAIN)).await, &|_| {}).await.unwrap().succeeded());
    assert_eq!(handler.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_handler_that_sees_to_the_time_is_left_alone_and_nonsense_is_refused() {
    let world = World::new(Knows::Nothing);
    let (engine, _, command) = slow(&world, EffectClass::Query, 1, false, true);
    assert!(engine.run(world.request(&document(command, LIMIT)).await, &|_| {}).await.unwrap().succeeded());

    let (engine, handler, command) = slow(&world, EffectClass::Query, 0, false, false);
    for nonsense in [r#""time": "soon""#, r#""time": [1, "fortnights"]"#, r#""time": [-1, "seconds"]"#] {
        let refused = engine.run(world.request(&document(command, nonsense)).await, &|_| {}).await.unwrap_err();
        let RunError::BadTasks(bad) = &refused else { panic!("{refused:?}") };
        assert!(bad[0].failure.to_string().contains("config.time"), "{refused}");
    }
    assert_eq!(handler.asked.load(Ordering::Relaxed), 0, "nothing was started");
}

#[tokio::test]
async fn after_a_deadline_no_attempt_is_begun() {
    let asked = async |retry: &str| {
        let world = World::new(Knows::Nothing);
        let engine = Engine::new(Parts { timer: Arc::new(TokioTimer), ..world.engine.parts().clone() });
        let json = format!(
            r#"{{"v": "1.0.0", "tasks": {{"ask": {{"cmd": "/ask", "args": {{"name": "ask", "fails": -1}},
                "config": {{"retry": {{"attempts": 1000, {retry}}}}}}}}}}}"#
        );
        let paused = engine.run(world.request(&json).await, &|_| {}).await.unwrap_err();
        let RunError::Paused(Paused::Spent { attempts, .. }) = paused else { panic!("{paused:?}") };
        assert_eq!(world.outside.asked.lock().unwrap()["ask"], attempts);
        attempts
    };
    // Pauses are 10 to 20 milliseconds, so that there are at least 5 of them, and 10 at most.
    let short = r#""delay": [20, "milli", "seconds"], "longest": [20, "milli", "seconds"]"#;
    let attempts = asked(&format!(r#"{short}, "within": [100, "milli", "seconds"]"#)).await;
    assert!((2..=11).contains(&attempts), "{attempts}");
    // A pause that would end too late is not waited for.
    assert_eq!(asked(r#""delay": [1, "hours"], "longest": [1, "hours"], "within": [10, "minutes"]"#).await, 1);
}
