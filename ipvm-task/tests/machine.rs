//! The machine under every limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{GUEST, LIMITS, guest, ints, prepare, runtime};
use ipvm_task::{CallError, Completion, Limits, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::Ipld;

const PAGE: u64 = 65_536;

fn call(fun: &str, params: &Ipld, limits: &Limits) -> Result<Completion, CallError> {
    guest().call(fun, params, limits)
}

#[test]
fn a_function_without_a_result_gives_null() {
    let done = call("nop", &ints([]), &LIMITS).unwrap();
    assert_eq!(done.output, Ipld::Null);
    assert!(done.fuel < 10, "{done:?}");
}

#[test]
fn the_error_arm_of_a_result_is_an_output() {
    let done = call("fail", &ints([]), &LIMITS).unwrap();
    assert_eq!(done.output, Ipld::Map([("error".to_owned(), Ipld::Integer(7))].into()));
}

#[test]
fn fuel_ends_an_endless_loop() {
    let error = call("spin", &ints([]), &LIMITS).unwrap_err();
    assert_eq!(error, CallError::OutOfFuel { limit: LIMITS.fuel });
    assert_eq!(error.name(), "OutOfFuel");
    assert!(!error.is_deterministic());
}

#[test]
fn the_edge_of_fuel_is_exact() {
    let guest = guest();
    let needed = guest.call("count", &ints([1000]), &LIMITS).unwrap().fuel;
    assert_eq!(needed, 8002, "the fuel schedule is part of the profile");
    let with = |fuel| guest.call("count", &ints([1000]), &Limits { fuel, ..LIMITS });
    assert_eq!(with(needed).unwrap().fuel, needed);
    assert_eq!(with(needed - 1), Err(CallError::OutOfFuel { limit: needed - 1 }));
    assert_eq!(with(u64::MAX).unwrap().fuel, needed);
    // Nothing in between: a run either completes with the fuel that it needs, or not at all.
    for fuel in (0..needed).rev().take(30).chain([0, 1, 2]) {
        assert_eq!(with(fuel), Err(CallError::OutOfFuel { limit: fuel }));
    }
}

#[test]
fn time_ends_an_endless_loop() {
    let limits = Limits { fuel: u64::MAX, time: Duration::from_millis(100), ..LIMITS };
    let start = Instant::now();
    let error = call("spin", &ints([]), &limits).unwrap_err();
    assert_eq!(error, CallError::TimeLimit { limit: limits.time });
    assert!(start.elapsed() >= limits.time);
    assert!(!error.is_deterministic());
}

#[test]
fn time_still_passes_after_a_long_rest() {
    let guest = guest();
    // Long enough for the watch to fall asleep.
    std::thread::sleep(Duration::from_millis(1_500));
    let limits = Limits { fuel: u64::MAX, time: Duration::from_millis(50), ..LIMITS };
    assert_eq!(guest.call("spin", &ints([]), &limits), Err(CallError::TimeLimit { limit: limits.time }));
}

#[test]
fn memory_beyond_the_limit_ends_the_run() {
    // Two memories of two pages and one, and two tables of one element.
    let limits = Limits { memory: 10 * PAGE, ..LIMITS };
    assert_eq!(call("grow", &ints([6]), &limits).unwrap().output, Ipld::Integer(2));
    let error = call("grow", &ints([7]), &limits).unwrap_err();
    assert_eq!(error, CallError::OutOfMemory { limit: 10 * PAGE, wanted: 10 * PAGE + 16 });
    assert!(!error.is_deterministic());
    let error = call("eat", &ints([]), &LIMITS).unwrap_err();
    assert!(matches!(error, CallError::OutOfMemory { limit, .. } if limit == LIMITS.memory), "{error:?}");
    // What the guest begins with counts, too.
    let error = call("nop", &ints([]), &Limits { memory: PAGE, ..LIMITS }).unwrap_err();
    assert!(matches!(error, CallError::OutOfMemory { .. }), "{error:?}");
}

#[test]
fn a_growth_that_types_rule_out_is_seen_by_the_guest_under_any_limit() {
    for memory in [4 * PAGE, 1 << 34] {
        let limits = Limits { memory, ..LIMITS };
        assert_eq!(call("grow-small", &ints([2]), &limits).unwrap().output, Ipld::Integer(-1));
        assert_eq!(call("grow", &ints([65_535]), &limits).unwrap().output, Ipld::Integer(-1));
        assert_eq!(call("grow-bounded", &ints([4]), &limits).unwrap().output, Ipld::Integer(-1));
    }
}

#[test]
fn tables_count_as_memory_and_have_a_largest_size() {
    assert_eq!(call("grow-table", &ints([1000]), &LIMITS).unwrap().output, Ipld::Integer(1));
    let tight = Limits { memory: 3 * PAGE + 1000, ..LIMITS };
    assert!(matches!(call("grow-table", &ints([1000]), &tight), Err(CallError::OutOfMemory { .. })));
    let wide = Limits { memory: 1 << 34, fuel: u64::MAX, ..LIMITS };
    for elements in [1 << 20, i128::from(u32::MAX)] {
        assert!(matches!(call("grow-table", &ints([elements]), &wide), Err(CallError::OutOfMemory { .. })));
    }
}

#[test]
fn an_output_is_measured_as_it_is_encoded() {
    let guest = guest();
    let limits = Limits { output: 1003, ..LIMITS };
    let bytes = |len| Ipld::List(vec![Ipld::Bytes(vec![7; len])]);
    let done = guest.call("echo", &bytes(1000), &limits).unwrap();
    assert_eq!(done.output, Ipld::Bytes(vec![7; 1000]));
    let error = guest.call("echo", &bytes(1001), &limits).unwrap_err();
    assert_eq!(error, CallError::OutputLimit { limit: 1003, amount: Some(1004) });
    // Far beyond the limit, it is not copied out at all.
    let error = guest.call("echo", &bytes(100_000), &limits).unwrap_err();
    assert_eq!(error, CallError::OutputLimit { limit: 1003, amount: None });
    assert!(!error.is_deterministic());
}

#[test]
fn an_output_bomb_does_not_reach_the_host() {
    let guest = guest();
    let limits = Limits { memory: 1 << 26, output: 1 << 20, ..LIMITS };
    for fun in ["bomb", "text-bomb"] {
        // 7,000 times 64 KiB, out of two pages.
        let start = Instant::now();
        let error = guest.call(fun, &ints([7_000]), &limits).unwrap_err();
        assert_eq!(error, CallError::OutputLimit { limit: 1 << 20, amount: None }, "{fun}");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(guest.call(fun, &ints([1]), &limits).is_ok(), "{fun}");
    }
}

#[test]
fn an_output_bomb_made_of_names_or_wide_types_does_not_reach_the_host() {
    // A list of `n` items out of memory that is all zeros.
    let component = |types: &str, item: &str| {
        let text = format!(
            r#"(component
                (core module $m
                    (memory (export "memory") 16)
                    (func (export "f") (param i32) (result i32)
                        (i32.store (i32.const 0) (i32.const 8))
                        (i32.store (i32.const 4) (local.get 0))
                        (i32.const 0)))
                (core instance $i (instantiate $m))
                {types}
                (func (export "f") (param "n" u32) (result (list {item}))
                    (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#
        );
        prepare(&runtime(), &text).unwrap()
    };
    let long = "a".repeat(90_000);
    let names = component(&format!(r#"(type $e' (enum "{long}")) (export $e "e" (type $e'))"#), "$e");
    let wide = component(&format!("(type $t (tuple {}))", "u8 ".repeat(9_000)), "$t");
    for (component, encoded) in [(names, 90_005_u64), (wide, 9_003)] {
        let limits = Limits { output: 40 * encoded, ..LIMITS };
        let error = component.call("f", &ints([100]), &limits);
        if encoded == 9_003 {
            assert_eq!(error, Err(CallError::OutputLimit { limit: limits.output, amount: None }));
        } else {
            assert!(matches!(error, Err(CallError::OutputLimit { amount: Some(_), .. })), "{error:?}");
            let error = component.call("f", &ints([100_000]), &limits);
            assert_eq!(error, Err(CallError::OutputLimit { limit: limits.output, amount: None }));
        }
        let done = component.call("f", &ints([39]), &limits).unwrap();
        assert!(matches!(done.output, Ipld::List(items) if items.len() == 39));
    }
}

#[test]
fn traps_are_results() {
    let trap = |fun: &str, params: Ipld| {
        let error = call(fun, &params, &LIMITS).unwrap_err();
        assert!(error.is_deterministic(), "{error:?}");
        assert_eq!(error.name(), "Trap");
        error.to_string()
    };
    assert_eq!(trap("boom", ints([])), "wasm trap: wasm `unreachable` instruction executed");
    assert_eq!(trap("divide", ints([1, 0])), "wasm trap: integer divide by zero");
    assert_eq!(trap("divide", ints([i32::MIN.into(), -1])), "wasm trap: integer overflow");
    assert!(trap("garbage", ints([])).contains("utf-8"));
    let nan = trap("float-divide", Ipld::List(vec![Ipld::Float(0.0), Ipld::Float(0.0)]));
    assert_eq!(nan, "result: expected f64, found NaN, which IPLD cannot carry");
}

#[test]
fn a_stack_overflow_is_a_limit() {
    let error = call("deep", &ints([0]), &LIMITS).unwrap_err();
    assert_eq!(error, CallError::StackOverflow);
    assert!(!error.is_deterministic());
}

#[test]
fn wrong_calls_are_refused_before_anything_runs() {
    let error = call("cuont", &ints([1]), &LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "there is no export `cuont` (did you mean `count`?)");
    assert_eq!(error.name(), "NoSuchExport");
    let error = call("count", &ints([-1]), &LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "params[0]: expected u32, found -1, which is out of range");
    assert_eq!(error.name(), "ArgumentMismatch");
    let by_name = Ipld::Map([("n".to_owned(), Ipld::Float(3.0))].into());
    assert_eq!(call("count", &by_name, &LIMITS).unwrap().output, Ipld::Integer(3));
}

#[test]
fn the_same_call_gives_the_same_output_and_fuel_on_all_threads_and_in_all_runtimes() {
    let calls = [("count", ints([12_345])), ("echo", Ipld::List(vec![Ipld::Bytes(vec![9; 5_000])])), ("nop", ints([]))];
    let one = guest();
    // A single slot, for which the guest has too many memories: it gets memory of its own.
    let frugal = WasmtimeRuntime::new(&WasmtimeOptions { concurrency: 1, ..WasmtimeOptions::default() }).unwrap();
    let other = prepare(&frugal, GUEST).unwrap();
    for (fun, params) in &calls {
        let expected = one.call(fun, params, &LIMITS).unwrap();
        std::thread::scope(|scope| {
            for component in [&one, &other, &one, &other] {
                let expected = &expected;
                scope.spawn(move || {
                    for _ in 0..50 {
                        assert_eq!(component.call(fun, params, &LIMITS).as_ref(), Ok(expected), "{fun}");
                    }
                });
            }
        });
    }
    // Limits are seen alike, too.
    for (fun, params) in [("grow", ints([7])), ("grow-table", ints([1 << 20])), ("grow-small", ints([9]))] {
        let limits = Limits { memory: 10 * PAGE, ..LIMITS };
        assert_eq!(one.call(fun, &params, &limits), other.call(fun, &params, &limits), "{fun}");
    }
}

#[test]
fn each_call_has_a_fresh_instance() {
    let component = prepare(
        &runtime(),
        r#"(component
            (core module $m
                (global $n (mut i32) (i32.const 0))
                (memory 1)
                (func (export "next") (result i32)
                    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
                    (global.set $n (i32.add (global.get $n) (i32.const 1)))
                    (i32.add (global.get $n) (i32.load (i32.const 8)))))
            (core instance $i (instantiate $m))
            (func (export "next") (result u32) (canon lift (core func $i "next"))))"#,
    )
    .unwrap();
    for _ in 0..100 {
        assert_eq!(component.call("next", &ints([]), &LIMITS).unwrap().output, Ipld::Integer(2));
    }
}

#[test]
fn more_calls_than_slots_wait_for_their_turn() {
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions { concurrency: 2, ..WasmtimeOptions::default() }).unwrap();
    let guest = prepare(&runtime, GUEST).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(guest.call("count", &ints([10_000]), &LIMITS).unwrap().output, Ipld::Integer(10_000));
                }
            });
        }
    });
}

#[test]
fn a_start_function_is_held_to_the_limits() {
    let start = |body: &str| {
        let text = format!(
            r#"(component
                (core module $m (func $start {body}) (start $start) (func (export "nop")))
                (core instance $i (instantiate $m))
                (func (export "nop") (canon lift (core func $i "nop"))))"#
        );
        prepare(&runtime(), &text).unwrap().call("nop", &ints([]), &LIMITS)
    };
    assert_eq!(start("(loop (br 0))"), Err(CallError::OutOfFuel { limit: LIMITS.fuel }));
    assert!(matches!(start("unreachable"), Err(CallError::Trap { .. })));
    let done = start("(drop (i32.const 1))").unwrap();
    assert!(done.instantiation_fuel > 0);
    assert_eq!(done.fuel, call("nop", &ints([]), &LIMITS).unwrap().fuel);
}
