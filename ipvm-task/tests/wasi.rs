//! Guests that need a system: what they see of it is the same everywhere, and nothing of the machine that they run on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use common::{LIMITS, prepare, runtime};
use ipvm_task::{CallError, Component, Executed, Execution, Limits, Params, PrepareError, Runtime, Seed};
use ucan_core::{Ipld, block};

const SURVEY: &[u8] = include_bytes!("../../examples/guests/survey.wasm");

static GUEST: LazyLock<Arc<dyn Component>> =
    LazyLock::new(|| runtime().prepare(&block::raw_cid(SURVEY), SURVEY).unwrap());

fn execute(fun: &str, params: Vec<Ipld>, seed: Seed) -> Executed {
    let params = Ipld::List(params);
    GUEST.execute(&Execution::new(fun, Params::Ipld(&params), &Limits::STANDARD).with_seed(seed))
}

fn survey(sleep: u64, seed: Seed) -> (BTreeMap<String, Ipld>, u64) {
    let completion = execute("survey", vec![Ipld::Integer(sleep.into())], seed).result.unwrap();
    match completion.output {
        Ipld::Map(report) => (report, completion.fuel),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

#[test]
fn it_asks_for_a_system_and_says_so() {
    assert!(!GUEST.imports().is_empty());
    assert!(GUEST.imports().iter().all(|import| import.starts_with("wasi:") && import.contains("@0.2.")));
}

#[test]
fn a_program_finds_a_world_with_nothing_in_it() {
    let (report, _) = survey(0, [0; 32]);
    // 2000-01-01T00:00:00Z.
    assert_eq!(report["began"], Ipld::Integer(946_684_800));
    assert_eq!(report["arguments"], Ipld::List(vec![]));
    assert_eq!(report["variables"], Ipld::Integer(0));
    assert_eq!(report["input"], text(""));
    assert_ne!(report["file"], text("it was read"));
    assert_ne!(report["folder"], text("it was listed"));
}

#[test]
fn two_calls_see_the_same_and_cost_the_same() {
    assert_eq!(survey(1, [1; 32]), survey(1, [1; 32]));
    let ours = |(mut report, _): (BTreeMap<String, Ipld>, u64)| (report.remove("hash").unwrap(), report);
    let ((one, first), (other, second)) = (ours(survey(1, [1; 32])), ours(survey(1, [2; 32])));
    // Chance is all that a seed changes.
    assert_ne!(one, other);
    assert_eq!(first, second);
}

#[test]
fn whoever_sleeps_wakes_up_at_once_and_later() {
    let took = |sleep: u64| match survey(sleep, [0; 32]).0["took"] {
        Ipld::Integer(took) => u64::try_from(took).unwrap(),
        ref other => panic!("{other:?}"),
    };
    let hour = 3_600_000_000_000;
    let began = std::time::Instant::now();
    assert!(took(3_600) >= hour && took(3_600) < hour + 1_000_000_000, "{}", took(3_600));
    assert!(took(0) < 1_000_000_000);
    assert!(began.elapsed().as_secs() < 3_000);
}

#[test]
fn what_a_guest_prints_is_in_the_trace() {
    let lines = Ipld::List(["one", "two", "three"].map(text).to_vec());
    let executed = execute("say", vec![lines], [0; 32]);
    assert_eq!(executed.result.unwrap().output, Ipld::Null);
    let said: Vec<(&str, &str)> = executed.trace.lines().iter().map(|line| (line.to, line.text.as_str())).collect();
    assert_eq!(said, [("stdout", "one"), ("stderr", "two"), ("stdout", "three"), ("stdout", "and no more")]);
}

#[test]
fn whoever_prints_without_end_is_cut_off() {
    let lines = Ipld::List(vec![text(&"x".repeat(1_000)); 2_000]);
    let executed = execute("say", vec![lines], [0; 32]);
    assert!(executed.result.is_ok());
    assert_eq!(executed.trace.lines().len(), 65);
    assert_eq!(executed.trace.dropped(), 1_936);
}

#[test]
fn whoever_leaves_gives_nothing_and_the_reason_is_kept() {
    let executed = execute("leave", vec![Ipld::Bool(false)], [0; 32]);
    let error = executed.result.unwrap_err();
    assert!(matches!(&error, CallError::Trap { message } if message.contains("ended itself")), "{error}");
    assert!(error.is_deterministic());

    let executed = execute("leave", vec![Ipld::Bool(true)], [0; 32]);
    assert!(matches!(executed.result, Err(CallError::Trap { .. })));
    let said: Vec<&str> = executed.trace.lines().iter().map(|line| line.text.as_str()).collect();
    assert!(said.iter().any(|line| line.contains("on purpose")), "{said:?}");
}

#[test]
fn what_is_no_part_of_it_is_refused_by_name() {
    for (name, refused) in [
        ("wasi:clocks/wall-clock@0.2.0", false),
        ("wasi:clocks/wall-clock@0.2.99", false),
        ("wasi:clocks/wall-clock@0.2.0-rc-2023-11-10", true),
        ("wasi:clocks/wall-clock@0.3.0", true),
        ("wasi:clocks/wall-clock", true),
        ("wasi:clocks/timezone@0.2.0", true),
        ("wasi:http/outgoing-handler@0.2.0", true),
    ] {
        let text = format!(r#"(component (import "{name}" (instance (export "now" (func)))))"#);
        let expected = PrepareError::ForbiddenImport { name: name.to_owned(), more: 0 };
        match prepare(&runtime(), &text) {
            Err(error) if refused => assert_eq!(error, expected),
            // Its type is not what the function has.
            Err(PrepareError::Invalid { .. }) if !refused => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A component with some of `wasi:io/poll` and the clock, and a core function over them.
fn waiting(body: &str) -> Result<i128, CallError> {
    let text = format!(
        r#"(component
            (import "wasi:io/poll@0.2.3" (instance $poll
                (export "pollable" (type $pollable (sub resource)))
                (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
                (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
                (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
                (alias outer 1 $pollable (type $pollable'))
                (export "pollable" (type $pollable (eq $pollable')))
                (export "now" (func (result u64)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
            (core module $memory (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $m))
            (alias core export $memory "realloc" (core func $realloc))
            (core func $ready (canon lower (func $poll "[method]pollable.ready")))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core func $all (canon lower (func $poll "poll") (memory $m) (realloc $realloc)))
            (core func $drop (canon resource.drop $pollable))
            (core func $now (canon lower (func $clock "now")))
            (core func $wait (canon lower (func $clock "subscribe-duration")))
            (core module $guest
                (import "host" "ready" (func $ready (param i32) (result i32)))
                (import "host" "block" (func $block (param i32)))
                (import "host" "poll" (func $poll (param i32 i32 i32)))
                (import "host" "drop" (func $drop (param i32)))
                (import "host" "now" (func $now (result i64)))
                (import "host" "wait" (func $wait (param i64) (result i32)))
                (import "memory" "memory" (memory 1))
                (func (export "f") (result i64) (local $a i32) (local $b i32) {body}))
            (core instance $guest (instantiate $guest
                (with "host" (instance
                    (export "ready" (func $ready)) (export "block" (func $block)) (export "poll" (func $all))
                    (export "drop" (func $drop)) (export "now" (func $now)) (export "wait" (func $wait))))
                (with "memory" (instance $memory))))
            (func (export "f") (result u64) (canon lift (core func $guest "f"))))"#
    );
    let component = prepare(&runtime(), &text).unwrap();
    let completion = component.call("f", &Ipld::List(vec![]), &LIMITS)?;
    match completion.output {
        Ipld::Integer(number) => Ok(number),
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_passes_by_being_looked_at_and_waited_for() {
    // Each reading is a millisecond on.
    assert_eq!(waiting("(drop (call $now)) (drop (call $now)) (call $now)").unwrap(), 2_000_000);
    // Of two, the earlier one is ready, and time is there.
    let two = r"
        (local.set $a (call $wait (i64.const 5000000000))) (local.set $b (call $wait (i64.const 7000000000)))
        (i32.store (i32.const 0) (local.get $b)) (i32.store (i32.const 4) (local.get $a))
        (call $poll (i32.const 0) (i32.const 2) (i32.const 16))
        ;; The number of those that are ready, the first of them, and the time.
        (i64.add (i64.mul (i64.extend_i32_u (i32.load (i32.const 20))) (i64.const 1000000000000000))
            (i64.add (i64.mul (i64.extend_i32_u (i32.load (i32.load (i32.const 16)))) (i64.const 100000000000000)) (call $now)))";
    assert_eq!(waiting(two).unwrap(), 1_000_000_000_000_000 + 100_000_000_000_000 + 5_000_000_000);
    let not_yet = "(i64.extend_i32_u (call $ready (call $wait (i64.const 1))))";
    assert_eq!(waiting(not_yet).unwrap(), 0);
    let after = "(local.set $a (call $wait (i64.const 9))) (call $block (local.get $a)) (i64.extend_i32_u (call $ready (local.get $a)))";
    assert_eq!(waiting(after).unwrap(), 1);
}

#[test]
fn what_breaks_the_rules_is_a_trap_and_what_has_no_end_is_ended() {
    for wrong in [
        // Nothing to wait for.
        "(call $poll (i32.const 0) (i32.const 0) (i32.const 16)) (i64.const 0)",
        // Dropped twice.
        "(local.set $a (call $wait (i64.const 1))) (call $drop (local.get $a)) (call $drop (local.get $a)) (i64.const 0)",
        // Never had.
        "(call $block (i32.const 77)) (i64.const 0)",
        // More than a guest can have.
        "(loop $more (drop (call $wait (i64.const 1))) (br $more)) (i64.const 0)",
    ] {
        let error = waiting(wrong).unwrap_err();
        assert!(matches!(error, CallError::Trap { .. }), "{wrong}: {error}");
    }
    // Those that are given back are had again.
    let again = r"
        (loop $more
            (call $drop (call $wait (i64.const 1)))
            (local.set $a (i32.add (local.get $a) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $a) (i32.const 50000))))
        (i64.const 5)";
    assert_eq!(waiting(again).unwrap(), 5);
    let endless = waiting("(loop $more (drop (call $now)) (br $more)) (i64.const 0)").unwrap_err();
    assert!(matches!(endless, CallError::OutOfFuel { .. }), "{endless}");
}
