//! The machine under every limit, with components in text form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use ipvm_task::{
    CallError, Completion, Component, ExportError, Limits, PrepareError, Runtime, WasmtimeOptions,
    WasmtimeRuntime,
};
use ucan_core::{Ipld, block};

const PAGE: u64 = 65_536;
const LIMITS: Limits = Limits {
    fuel: 50_000_000,
    memory: 1 << 24,
    time: Duration::from_secs(20),
    output: 1 << 16,
};

/// A guest for everything that a limit is for.
const GUEST: &str = r#"
(component
  (core module $m
    (memory (export "memory") 2)
    (memory $small 1 2)
    (table $t 1 funcref)
    (table $bounded 1 4 funcref)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7)) (i32.const -8)))
      (block $enough
        (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))))
      (local.get $at))
    (func (export "nop"))
    (func (export "spin") (loop (br 0)))
    (func (export "boom") unreachable)
    (func $deep (export "deep") (param i32) (result i32)
      (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "float-divide") (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1)))
    (func (export "count") (param $n i32) (result i32)
      (local $i i32)
      (loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
      (local.get $i))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow-small") (param i32) (result i32) (memory.grow $small (local.get 0)))
    (func (export "grow-table") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
    (func (export "grow-bounded") (param i32) (result i32) (table.grow $bounded (ref.null func) (local.get 0)))
    (func (export "eat") (loop (drop (memory.grow (i32.const 1))) (br 0)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0))
      (i32.store (i32.const 4) (local.get 1))
      (i32.const 0))
    ;; A list of `n` items, each of which is the same 64 KiB.
    (func (export "bomb") (param $n i32) (result i32)
      (local $i i32)
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (local.get $n))
      (loop $again
        (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 8))) (i32.const 0))
        (i32.store (i32.add (i32.const 65540) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
      (i32.const 0))
    ;; Text that is not UTF-8.
    (func (export "garbage") (result i32)
      (i32.store8 (i32.const 16) (i32.const 255))
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (i32.const 1))
      (i32.const 0))
    (func (export "fail") (result i32) (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 1) (i32.const 7)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "nop") (canon lift (core func $i "nop")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "boom") (canon lift (core func $i "boom")))
  (func (export "deep") (param "n" u32) (result u32) (canon lift (core func $i "deep")))
  (func (export "divide") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "divide")))
  (func (export "float-divide") (param "a" f64) (param "b" f64) (result f64) (canon lift (core func $i "float-divide")))
  (func (export "count") (param "n" u32) (result u32) (canon lift (core func $i "count")))
  (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "grow-small") (param "pages" u32) (result s32) (canon lift (core func $i "grow-small")))
  (func (export "grow-table") (param "elements" u32) (result s32) (canon lift (core func $i "grow-table")))
  (func (export "grow-bounded") (param "elements" u32) (result s32) (canon lift (core func $i "grow-bounded")))
  (func (export "eat") (canon lift (core func $i "eat")))
  (func (export "echo") (param "bytes" (list u8)) (result (list u8))
    (canon lift (core func $i "echo") (memory $memory) (realloc $realloc)))
  (func (export "bomb") (param "n" u32) (result (list (list u8))) (canon lift (core func $i "bomb") (memory $memory)))
  (func (export "text-bomb") (param "n" u32) (result (list string)) (canon lift (core func $i "bomb") (memory $memory)))
  (func (export "garbage") (result string) (canon lift (core func $i "garbage") (memory $memory)))
  (func (export "fail") (result (result u8 (error u8))) (canon lift (core func $i "fail") (memory $memory))))
"#;

fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap()
}

fn prepare(runtime: &WasmtimeRuntime, text: &str) -> Result<Arc<dyn Component>, PrepareError> {
    let wasm = wat::parse_str(text).expect("the text is well-formed");
    runtime.prepare(&block::raw_cid(&wasm), &wasm)
}

fn guest() -> Arc<dyn Component> {
    prepare(&runtime(), GUEST).unwrap()
}

fn ints<const N: usize>(ints: [i128; N]) -> Ipld {
    Ipld::List(ints.map(Ipld::Integer).to_vec())
}

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
    assert_eq!(
        done.output,
        Ipld::Map([("error".to_owned(), Ipld::Integer(7))].into())
    );
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
    assert_eq!(
        with(needed - 1),
        Err(CallError::OutOfFuel { limit: needed - 1 })
    );
    assert_eq!(with(u64::MAX).unwrap().fuel, needed);
    // Nothing in between: a run either completes with the fuel that it needs, or not at all.
    for fuel in (0..needed).rev().take(30).chain([0, 1, 2]) {
        assert_eq!(with(fuel), Err(CallError::OutOfFuel { limit: fuel }));
    }
}

#[test]
fn time_ends_an_endless_loop() {
    let limits = Limits {
        fuel: u64::MAX,
        time: Duration::from_millis(100),
        ..LIMITS
    };
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
    let limits = Limits {
        fuel: u64::MAX,
        time: Duration::from_millis(50),
        ..LIMITS
    };
    assert_eq!(
        guest.call("spin", &ints([]), &limits),
        Err(CallError::TimeLimit { limit: limits.time })
    );
}

#[test]
fn memory_beyond_the_limit_ends_the_run() {
    // Two memories of two pages and one, and two tables of one element.
    let limits = Limits {
        memory: 10 * PAGE,
        ..LIMITS
    };
    assert_eq!(
        call("grow", &ints([6]), &limits).unwrap().output,
        Ipld::Integer(2)
    );
    let error = call("grow", &ints([7]), &limits).unwrap_err();
    assert_eq!(
        error,
        CallError::OutOfMemory {
            limit: 10 * PAGE,
            wanted: 10 * PAGE + 16
        }
    );
    assert!(!error.is_deterministic());
    let error = call("eat", &ints([]), &LIMITS).unwrap_err();
    assert!(
        matches!(error, CallError::OutOfMemory { limit, .. } if limit == LIMITS.memory),
        "{error:?}"
    );
    // What the guest begins with counts, too.
    let error = call(
        "nop",
        &ints([]),
        &Limits {
            memory: PAGE,
            ..LIMITS
        },
    )
    .unwrap_err();
    assert!(matches!(error, CallError::OutOfMemory { .. }), "{error:?}");
}

#[test]
fn a_growth_that_types_rule_out_is_seen_by_the_guest_under_any_limit() {
    for memory in [4 * PAGE, 1 << 34] {
        let limits = Limits { memory, ..LIMITS };
        assert_eq!(
            call("grow-small", &ints([2]), &limits).unwrap().output,
            Ipld::Integer(-1)
        );
        assert_eq!(
            call("grow", &ints([65_535]), &limits).unwrap().output,
            Ipld::Integer(-1)
        );
        assert_eq!(
            call("grow-bounded", &ints([4]), &limits).unwrap().output,
            Ipld::Integer(-1)
        );
    }
}

#[test]
fn tables_count_as_memory_and_have_a_largest_size() {
    assert_eq!(
        call("grow-table", &ints([1000]), &LIMITS).unwrap().output,
        Ipld::Integer(1)
    );
    let tight = Limits {
        memory: 3 * PAGE + 1000,
        ..LIMITS
    };
    assert!(matches!(
        call("grow-table", &ints([1000]), &tight),
        Err(CallError::OutOfMemory { .. })
    ));
    let wide = Limits {
        memory: 1 << 34,
        fuel: u64::MAX,
        ..LIMITS
    };
    for elements in [1 << 20, i128::from(u32::MAX)] {
        assert!(matches!(
            call("grow-table", &ints([elements]), &wide),
            Err(CallError::OutOfMemory { .. })
        ));
    }
}

#[test]
fn an_output_is_measured_as_it_is_encoded() {
    let guest = guest();
    let limits = Limits {
        output: 1003,
        ..LIMITS
    };
    let bytes = |len| Ipld::List(vec![Ipld::Bytes(vec![7; len])]);
    let done = guest.call("echo", &bytes(1000), &limits).unwrap();
    assert_eq!(done.output, Ipld::Bytes(vec![7; 1000]));
    let error = guest.call("echo", &bytes(1001), &limits).unwrap_err();
    assert_eq!(
        error,
        CallError::OutputLimit {
            limit: 1003,
            amount: Some(1004)
        }
    );
    // Far beyond the limit, it is not copied out at all.
    let error = guest.call("echo", &bytes(100_000), &limits).unwrap_err();
    assert_eq!(
        error,
        CallError::OutputLimit {
            limit: 1003,
            amount: None
        }
    );
    assert!(!error.is_deterministic());
}

#[test]
fn an_output_bomb_does_not_reach_the_host() {
    let guest = guest();
    let limits = Limits {
        memory: 1 << 26,
        output: 1 << 20,
        ..LIMITS
    };
    for fun in ["bomb", "text-bomb"] {
        // 7,000 times 64 KiB, out of two pages.
        let start = Instant::now();
        let error = guest.call(fun, &ints([7_000]), &limits).unwrap_err();
        assert_eq!(
            error,
            CallError::OutputLimit {
                limit: 1 << 20,
                amount: None
            },
            "{fun}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(guest.call(fun, &ints([1]), &limits).is_ok(), "{fun}");
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
    assert_eq!(
        trap("boom", ints([])),
        "wasm trap: wasm `unreachable` instruction executed"
    );
    assert_eq!(
        trap("divide", ints([1, 0])),
        "wasm trap: integer divide by zero"
    );
    assert_eq!(
        trap("divide", ints([i32::MIN.into(), -1])),
        "wasm trap: integer overflow"
    );
    assert!(trap("garbage", ints([])).contains("utf-8"));
    let nan = trap(
        "float-divide",
        Ipld::List(vec![Ipld::Float(0.0), Ipld::Float(0.0)]),
    );
    assert_eq!(
        nan,
        "result: expected f64, found NaN, which IPLD cannot carry"
    );
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
    assert_eq!(
        error.to_string(),
        "there is no export `cuont` (did you mean `count`?)"
    );
    assert_eq!(error.name(), "NoSuchExport");
    let error = call("count", &ints([-1]), &LIMITS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "params[0]: expected u32, found -1, which is out of range"
    );
    assert_eq!(error.name(), "ArgumentMismatch");
    let by_name = Ipld::Map([("n".to_owned(), Ipld::Float(3.0))].into());
    assert_eq!(
        call("count", &by_name, &LIMITS).unwrap().output,
        Ipld::Integer(3)
    );
}

#[test]
fn imports_are_refused_by_name() {
    let runtime = runtime();
    let error = prepare(
        &runtime,
        r#"(component
            (import "ipvm:demo/only-types" (instance (type $u u32) (export "size" (type (eq $u)))))
            (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
            (import "log" (func (param "text" string))))"#,
    );
    let error = error.unwrap_err();
    assert_eq!(
        error,
        PrepareError::ForbiddenImport {
            name: "wasi:clocks/wall-clock@0.2.0".to_owned(),
            more: 1
        }
    );
    assert_eq!(error.name(), "ForbiddenImport");
    let types = r#"(component (import "ipvm:demo/only-types" (instance (type $u u32) (export "size" (type (eq $u))))))"#;
    assert!(prepare(&runtime, types).is_ok());
    let resource = r#"(component (import "handle" (type (sub resource))))"#;
    assert!(matches!(
        prepare(&runtime, resource),
        Err(PrepareError::ForbiddenImport { .. })
    ));
}

#[test]
fn functions_of_interfaces_are_called_by_both_names() {
    let component = prepare(
        &runtime(),
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 5)))
            (core instance $i (instantiate $m))
            (func $f (result u8) (canon lift (core func $i "f")))
            (instance $api (export "five" (func $f)))
            (export "demo:text/api@0.1.0" (instance $api))
            (export "five" (func $f)))"#,
    )
    .unwrap();
    let names: Vec<&str> = component
        .exports()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["demo:text/api@0.1.0#five", "five"]);
    for name in names {
        assert_eq!(
            component.call(name, &ints([]), &LIMITS).unwrap().output,
            Ipld::Integer(5)
        );
    }
}

#[test]
fn functions_with_handles_cannot_be_called_but_their_neighbours_can() {
    let component = prepare(
        &runtime(),
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 5)))
            (core instance $i (instantiate $m))
            (type $handle' (resource (rep i32)))
            (export $handle "handle" (type $handle'))
            (func (export "open") (result (own $handle)) (canon lift (core func $i "f")))
            (func (export "five") (result u8) (canon lift (core func $i "f"))))"#,
    )
    .unwrap();
    assert_eq!(component.exports().len(), 1);
    assert!(matches!(
        component.signature("open"),
        Err(ExportError::Unsupported { .. })
    ));
    assert_eq!(
        component.call("five", &ints([]), &LIMITS).unwrap().output,
        Ipld::Integer(5)
    );
}

#[test]
fn other_bytes_are_named() {
    let runtime = runtime();
    let refused = |bytes: &[u8]| runtime.prepare(&block::raw_cid(bytes), bytes).unwrap_err();
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&core), PrepareError::CoreModule);
    assert!(
        refused(&core)
            .hint()
            .unwrap()
            .contains("wasm-tools component new")
    );
    for (bytes, found) in [
        (&b""[..], "nothing"),
        (b"(component)", "WebAssembly in its text form"),
        (b"\x1f\x8b\x08", "data compressed with gzip"),
        (
            b"hello there",
            "11 bytes of text that start with \"hello there\"",
        ),
        (b"\xff\xfe", "2 bytes that start with [ff, fe]"),
    ] {
        assert_eq!(
            refused(bytes),
            PrepareError::NotAComponent {
                found: found.to_owned()
            }
        );
    }
    let mut broken = wat::parse_str(GUEST).unwrap();
    broken.truncate(200);
    assert!(matches!(refused(&broken), PrepareError::Invalid { .. }));
    assert_eq!(refused(&broken).name(), "NotAComponent");
    assert_eq!(runtime.stats().cached, 0);
}

#[test]
fn features_outside_the_profile_are_refused() {
    let runtime = runtime();
    for module in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(type (struct))",
        "(tag)",
        "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
    ] {
        let result = prepare(&runtime, &format!("(component (core module {module}))"));
        assert!(
            matches!(result, Err(PrepareError::Invalid { .. })),
            "{module}: {result:?}"
        );
    }
}

#[test]
fn bytes_are_verified() {
    let runtime = runtime();
    let wasm = wat::parse_str(GUEST).unwrap();
    let error = runtime
        .prepare(&block::raw_cid(b"another block"), &wasm)
        .unwrap_err();
    assert!(matches!(error, PrepareError::Block(_)), "{error:?}");
    let small = WasmtimeRuntime::new(&WasmtimeOptions {
        max_component: 100,
        ..WasmtimeOptions::default()
    })
    .unwrap();
    let error = small.prepare(&block::raw_cid(&wasm), &wasm).unwrap_err();
    assert_eq!(
        error,
        PrepareError::TooLarge {
            size: wasm.len(),
            limit: 100
        }
    );
}

#[test]
fn a_component_is_compiled_once() {
    let runtime = runtime();
    let wasm = wat::parse_str(GUEST).unwrap();
    let cid = block::raw_cid(&wasm);
    assert!(runtime.prepared(&cid).is_none());
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                runtime.prepare(&cid, &wasm).unwrap();
            });
        }
    });
    assert_eq!(runtime.stats().compiled, 1);
    runtime
        .prepared(&cid)
        .unwrap()
        .call("nop", &ints([]), &LIMITS)
        .unwrap();
    assert_eq!(runtime.stats().compiled, 1);
}

#[test]
fn the_cache_is_bounded() {
    let options = WasmtimeOptions {
        cached_components: 2,
        ..WasmtimeOptions::default()
    };
    let runtime = WasmtimeRuntime::new(&options).unwrap();
    let text = |n: u32| format!(r#"(component (core module (func (export "f{n}"))))"#);
    let first = prepare(&runtime, &text(0)).unwrap();
    for n in 1..5 {
        prepare(&runtime, &text(n)).unwrap();
        // Used again, so it is not the one to go.
        prepare(&runtime, &text(0)).unwrap();
    }
    assert_eq!(runtime.stats().cached, 2);
    assert_eq!(runtime.stats().compiled, 5);
    drop(first);

    let none = WasmtimeRuntime::new(&WasmtimeOptions {
        cached_bytes: 1,
        ..WasmtimeOptions::default()
    })
    .unwrap();
    let component = prepare(&none, GUEST).unwrap();
    assert_eq!((none.stats().cached, none.stats().cached_bytes), (0, 0));
    assert!(component.call("nop", &ints([]), &LIMITS).is_ok());
}

#[test]
fn the_same_call_gives_the_same_output_and_fuel_on_all_threads_and_in_all_runtimes() {
    let calls = [
        ("count", ints([12_345])),
        ("echo", Ipld::List(vec![Ipld::Bytes(vec![9; 5_000])])),
        ("nop", ints([])),
    ];
    let one = guest();
    // A single slot, for which the guest has too many memories: it gets memory of its own.
    let frugal = WasmtimeRuntime::new(&WasmtimeOptions {
        concurrency: 1,
        ..WasmtimeOptions::default()
    })
    .unwrap();
    let other = prepare(&frugal, GUEST).unwrap();
    for (fun, params) in &calls {
        let expected = one.call(fun, params, &LIMITS).unwrap();
        std::thread::scope(|scope| {
            for component in [&one, &other, &one, &other] {
                let expected = &expected;
                scope.spawn(move || {
                    for _ in 0..50 {
                        assert_eq!(
                            component.call(fun, params, &LIMITS).as_ref(),
                            Ok(expected),
                            "{fun}"
                        );
                    }
                });
            }
        });
    }
    // Limits are seen alike, too.
    for (fun, params) in [
        ("grow", ints([7])),
        ("grow-table", ints([1 << 20])),
        ("grow-small", ints([9])),
    ] {
        let limits = Limits {
            memory: 10 * PAGE,
            ..LIMITS
        };
        assert_eq!(
            one.call(fun, &params, &limits),
            other.call(fun, &params, &limits),
            "{fun}"
        );
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
        assert_eq!(
            component.call("next", &ints([]), &LIMITS).unwrap().output,
            Ipld::Integer(2)
        );
    }
}

#[test]
fn more_calls_than_slots_wait_for_their_turn() {
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions {
        concurrency: 2,
        ..WasmtimeOptions::default()
    })
    .unwrap();
    let guest = prepare(&runtime, GUEST).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(
                        guest
                            .call("count", &ints([10_000]), &LIMITS)
                            .unwrap()
                            .output,
                        Ipld::Integer(10_000)
                    );
                }
            });
        }
    });
}

#[test]
fn components_outlive_their_runtime() {
    let runtime = runtime();
    let component = prepare(&runtime, GUEST).unwrap();
    drop(runtime);
    let limits = Limits {
        fuel: u64::MAX,
        time: Duration::from_millis(30),
        ..LIMITS
    };
    assert!(matches!(
        component.call("spin", &ints([]), &limits),
        Err(CallError::TimeLimit { .. })
    ));
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
        prepare(&runtime(), &text)
            .unwrap()
            .call("nop", &ints([]), &LIMITS)
    };
    assert_eq!(
        start("(loop (br 0))"),
        Err(CallError::OutOfFuel { limit: LIMITS.fuel })
    );
    assert!(matches!(start("unreachable"), Err(CallError::Trap { .. })));
    let done = start("(drop (i32.const 1))").unwrap();
    assert!(done.instantiation_fuel > 0);
    assert_eq!(done.fuel, call("nop", &ints([]), &LIMITS).unwrap().fuel);
}

#[test]
fn ten_thousand_runs_leave_nothing_behind() {
    let guest = guest();
    let run = |times: u32| {
        for n in 0..times {
            let (fun, params) = match n % 4 {
                0 => ("echo", Ipld::List(vec![Ipld::Bytes(vec![1; 4_000])])),
                1 => ("boom", ints([])),
                2 => ("grow", ints([1 << 12])),
                _ => ("count", ints([10])),
            };
            let _ = guest.call(fun, &params, &LIMITS);
        }
    };
    run(2_000);
    let before = resident();
    run(10_000);
    let after = resident();
    assert!(
        after < before + (16 << 20),
        "{before} bytes resident before, {after} after"
    );
}

/// Resident bytes of this process; nothing where that is not told.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

#[test]
fn the_profile_has_an_address_that_only_changes_on_purpose() {
    let runtime = runtime();
    let profile = runtime.profile();
    assert_eq!(profile.cid(), &block::dag_cbor_cid(profile.bytes()));
    assert_eq!(profile, self::runtime().profile());
    assert_eq!(profile.cid().to_string(), PROFILE, "{profile}");
}

/// Changes whenever results of before may no longer be compared with those of now.
const PROFILE: &str = "bafyreiclzmdhoqfscxx47muchmwzsrli2k2lxmygdtbynhpq52k7ompbh4";
