//! The mode for guests that were made for homestar, on a small guest that does all that they do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::{Arc, LazyLock};

use common::LIMITS;
use ipvm_task::{
    CallError, Compat, Component, Executed, Execution, Limits, Params, PrepareError, Runtime, WasmHandler,
    WasmtimeOptions, WasmtimeRuntime,
};
use ucan_core::{Command, Ipld, Issuer, block, dagcbor};
use ucan_invocation::{BlockStore, Handler, MemoryBlocks, Outcome, Task};
use varsig::ed25519::SigningKey;

/// - `say-often(text, n)` logs and prints a text so many times, and gives n.
/// - `say-and-fail(text)` logs and traps.
/// - `seconds()` asks for the time.
/// - `pass(result)` gives back what it takes.
/// - `flood()` logs 17 MiB at once.
const GUEST: &str = r#"(component
    (import "wasi:logging/logging" (instance $logging
        (type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
    (import "homestar:host/helpers@0.1.1" (instance $helpers
        (type $time' (record (field "seconds" u64) (field "milliseconds" u32) (field "nanoseconds" u32)))
        (export "time" (type $time (eq $time')))
        (export "get-current-time" (func (result $time)))
        (export "print" (func (param "msg" string)))))
    (core module $memory
        (memory (export "memory") 300)
        (data (i32.const 0) "context")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $m))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $log (canon lower (func $logging "log") (memory $m)))
    (core func $time (canon lower (func $helpers "get-current-time") (memory $m)))
    (core func $print (canon lower (func $helpers "print") (memory $m)))
    (core module $guest
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
        (import "host" "time" (func $time (param i32)))
        (import "host" "print" (func $print (param i32 i32)))
        (import "memory" "memory" (memory 1))
        (func $say (param i32 i32)
            (call $log (i32.const 3) (i32.const 0) (i32.const 7) (local.get 0) (local.get 1)))
        (func (export "say-often") (param i32 i32 i32) (result i32)
            (local $said i32)
            (loop $more
                (call $say (local.get 0) (local.get 1))
                (call $print (local.get 0) (local.get 1))
                (local.set $said (i32.add (local.get $said) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $said) (local.get 2))))
            (local.get $said))
        (func (export "say-and-fail") (param i32 i32) (call $say (local.get 0) (local.get 1)) unreachable)
        (func (export "seconds") (result i64)
            (i64.store (i32.const 16) (i64.const -1))
            (call $time (i32.const 16))
            (i64.load (i32.const 16)))
        (func (export "pass") (param i32 i32) (result i32)
            (i32.store8 (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "flood") (call $say (i32.const 0) (i32.const 0x1100000))))
    (core instance $guest (instantiate $guest
        (with "host" (instance
            (export "log" (func $log)) (export "time" (func $time)) (export "print" (func $print))))
        (with "memory" (instance $memory))))
    (func (export "say-often") (param "text" string) (param "n" u32) (result u32)
        (canon lift (core func $guest "say-often") (memory $m) (realloc $realloc)))
    (func (export "say-and-fail") (param "text" string)
        (canon lift (core func $guest "say-and-fail") (memory $m) (realloc $realloc)))
    (func (export "seconds") (result u64) (canon lift (core func $guest "seconds")))
    (func (export "pass") (param "what" (result u32 (error u32))) (result (result u32 (error u32)))
        (canon lift (core func $guest "pass") (memory $m) (realloc $realloc)))
    (func (export "flood") (canon lift (core func $guest "flood"))))"#;

/// Enough memory for the guest.
const ROOMY: Limits = Limits { memory: 1 << 25, ..LIMITS };

fn runtime(compat: Option<Compat>) -> WasmtimeRuntime {
    WasmtimeRuntime::new(&WasmtimeOptions { compat, ..WasmtimeOptions::default() }).unwrap()
}

fn prepare(runtime: &WasmtimeRuntime, text: &str) -> Result<Arc<dyn Component>, PrepareError> {
    common::prepare(runtime, text)
}

static LOOSE: LazyLock<Arc<dyn Component>> =
    LazyLock::new(|| prepare(&runtime(Some(Compat::Homestar)), GUEST).unwrap());

fn execute(fun: &str, params: &[Ipld]) -> Executed {
    let params = Ipld::List(params.to_vec());
    LOOSE.execute(&Execution::new(fun, Params::Ipld(&params), &ROOMY))
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

#[test]
fn its_interfaces_are_refused_unless_the_mode_is_asked_for() {
    let refused = prepare(&runtime(None), GUEST).unwrap_err();
    assert_eq!(refused, PrepareError::ForbiddenImport { name: "wasi:logging/logging".to_owned(), more: 1 });
    assert!(refused.hint().unwrap().contains("--compat homestar"));
    assert_eq!(LOOSE.imports(), ["wasi:logging/logging", "homestar:host/helpers@0.1.1"]);
    // It offers these and no more.
    let other = r#"(component (import "homestar:host/helpers@0.2.0" (instance (export "print" (func)))))"#;
    let refused = prepare(&runtime(Some(Compat::Homestar)), other).unwrap_err();
    assert!(matches!(refused, PrepareError::ForbiddenImport { .. }), "{refused}");
}

#[test]
fn the_mode_is_part_of_the_profile() {
    let (strict, loose) = (runtime(None), runtime(Some(Compat::Homestar)));
    assert_ne!(strict.profile(), loose.profile());
    let entry = |runtime: &WasmtimeRuntime| match runtime.profile().to_ipld() {
        Ipld::Map(map) => map.get("compat").cloned(),
        other => panic!("{other:?}"),
    };
    assert_eq!((entry(&strict), entry(&loose)), (None, Some(text("homestar"))));
}

#[test]
fn what_a_guest_says_goes_into_the_trace() {
    let executed = execute("say-often", &[text("word"), Ipld::Integer(2)]);
    let lines: Vec<_> = executed.trace.lines().iter().map(|line| (line.to, &*line.context, &*line.text)).collect();
    let (log, print) = (("warn", "context", "word"), ("stdout", "", "word"));
    assert_eq!(lines, [log, print, log, print]);
    assert_eq!(executed.result.unwrap().output, Ipld::Integer(2));
}

#[test]
fn a_trace_has_an_end_and_what_is_said_has_a_price() {
    let fuel = |n: i128| {
        let executed = execute("say-often", &[text("word"), Ipld::Integer(n)]);
        let said = 2 * usize::try_from(n).unwrap();
        assert_eq!(executed.trace.lines().len(), said.min(1_000));
        assert_eq!(executed.trace.dropped(), said.saturating_sub(1_000) as u64);
        executed.result.unwrap().fuel
    };
    // The same for each line, whether it is kept or dropped.
    let line = fuel(2) - fuel(1);
    assert_eq!(fuel(1_001) - fuel(1_000), line);
    // Two calls, and the bytes of a log message and of a printed one.
    assert!(line >= 2 * 100 + "contextword".len() as u64 + "word".len() as u64, "{line}");
    let params = Ipld::List(vec![text("word"), Ipld::Integer(u32::MAX.into())]);
    let limits = Limits { fuel: 1_000_000, ..ROOMY };
    let executed = LOOSE.execute(&Execution::new("say-often", Params::Ipld(&params), &limits));
    assert_eq!(executed.result.unwrap_err(), CallError::OutOfFuel { limit: 1_000_000 });
    assert_eq!(executed.trace.lines().len(), 1_000);
}

#[test]
fn what_was_said_before_a_failure_is_kept() {
    let executed = execute("say-and-fail", &[text("last words")]);
    assert!(matches!(executed.result, Err(CallError::Trap { .. })));
    assert_eq!(executed.trace.lines()[0].text, "last words");
}

#[test]
fn the_clock_stands_still() {
    assert_eq!(execute("seconds", &[]).result.unwrap().output, Ipld::Integer(0));
}

#[test]
fn a_guest_cannot_hand_over_more_than_the_host_takes_at_once() {
    let error = execute("flood", &[]).result.unwrap_err();
    assert_eq!(error.name(), "OutputLimit");
    assert!(!error.is_deterministic());
}

#[test]
fn arguments_results_and_names_have_its_forms_from_trees_and_from_bytes() {
    let (seven, null) = (Ipld::Integer(7), Ipld::Null);
    let pair = |one: &Ipld, other: &Ipld| Ipld::List(vec![one.clone(), other.clone()]);
    for (fun, given) in [("pass", pair(&seven, &null)), ("Pass", pair(&null, &seven)), ("%pass", pair(&seven, &null))] {
        let params = Ipld::List(vec![given.clone()]);
        let bytes = dagcbor::encode(&params).unwrap();
        for params in [Params::Ipld(&params), Params::DagCbor(&bytes)] {
            let executed = LOOSE.execute(&Execution::new(fun, params, &ROOMY));
            assert_eq!(executed.result.unwrap().output, given);
        }
    }
    let strict = Ipld::Map([("error".to_owned(), seven.clone())].into());
    assert_eq!(execute("pass", &[strict]).result.unwrap().output, pair(&null, &seven));
    // Bytes that are no arguments are refused as they are without the mode.
    let refused = LOOSE.execute(&Execution::new("pass", Params::DagCbor(&[0x81]), &ROOMY)).result.unwrap_err();
    assert!(matches!(refused, CallError::ArgumentBytes(_)), "{refused}");

    let plain = r#"(component
        (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
        (core instance $i (instantiate $m))
        (func (export "keep-it") (param "a" u32) (result u32) (canon lift (core func $i "f"))))"#;
    let (strict, loose) = (runtime(None), runtime(Some(Compat::Homestar)));
    let params = Ipld::List(vec![Ipld::List(vec![seven.clone()])]);
    let call = |runtime, fun| prepare(runtime, plain).unwrap().call(fun, &params, &LIMITS);
    assert_eq!(call(&loose, "keep_it").unwrap().output, seven);
    assert!(matches!(call(&strict, "keep_it"), Err(CallError::Export(_))));
    assert!(matches!(call(&strict, "keep-it"), Err(CallError::ArgumentMismatch(_))));
}

#[tokio::test]
async fn the_trace_is_in_the_metadata_of_the_receipt() {
    let store = Arc::new(MemoryBlocks::default());
    let wasm = wat::parse_str(GUEST).unwrap();
    let module = block::raw_cid(&wasm);
    store.put(&module, wasm.into()).await.unwrap();
    let handler = WasmHandler::new(Arc::new(runtime(Some(Compat::Homestar))), store);
    let done = async |fun: &str| {
        let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
        let args = [
            ("mod".to_owned(), Ipld::Link(module)),
            ("fun".to_owned(), text(fun)),
            ("params".to_owned(), Ipld::List(vec![text("word")])),
        ];
        let task = Task::new(executor.did().clone(), Command::parse("/wasm/run").unwrap(), args.into(), vec![]);
        handler.reexecutor().unwrap().reexecute(&task).await
    };
    let failed = done("say-and-fail").await;
    assert!(matches!(failed.outcome, Outcome::Error(_)) && failed.repeatable);
    let line = [("context", "context"), ("text", "word"), ("to", "warn")];
    let line = Ipld::Map(line.map(|(key, value)| (key.to_owned(), text(value))).into());
    assert_eq!(failed.meta["trace"], Ipld::List(vec![line]));
    assert!(!done("pass").await.meta.contains_key("trace"));
}
