//! What guests and files do to harm: none of it ends the host, hangs it, or stays behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{LIMITS, ints, prepare, runtime};
use ipvm_task::{
    CallError, Compat, Execution, Inputs, Limits, Params, PrepareError, Runtime, WasmtimeOptions, WasmtimeRuntime,
};
use ucan_core::{Cid, Ipld, StoreError, block};

/// Calls the host, with a block that a test makes up.
const ASKING: &str = r#"(component
    (import "ipvm:ipld/blocks@1.0.0" (instance $blocks
        (export "size" (func (param "block" (list u8)) (result u64)))
        (export "read" (func (param "block" (list u8)) (param "offset" u64) (param "length" u32) (result (list u8))))))
    (core module $memory
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            ;; The first call makes room for the argument; what the host gives has none.
            (if (i32.gt_u (local.get 3) (i32.const 1000)) (then (loop (br 0))))
            (if (i32.gt_u (local.get 3) (i32.const 500)) (then unreachable))
            (i32.const 1024)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $m))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $read (canon lower (func $blocks "read") (memory $m) (realloc $realloc)))
    (core module $guest
        (import "host" "read" (func $read (param i32 i32 i64 i32 i32)))
        (func (export "read") (param i32 i32 i32)
            (call $read (local.get 0) (local.get 1) (i64.const 0) (local.get 2) (i32.const 16))))
    (core instance $guest (instantiate $guest (with "host" (instance (export "read" (func $read))))))
    (type $link' (record (field "ipld-link" (list u8))))
    (export $link "link" (type $link'))
    (func (export "read") (param "block" $link) (param "length" u32)
        (canon lift (core func $guest "read") (memory $m) (realloc $realloc))))"#;

#[derive(Debug)]
enum Store {
    Holds(Bytes),
    Fails,
}

impl Inputs for Store {
    fn block(&self, _cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Holds(bytes) => Ok(Some(bytes.clone())),
            Self::Fails => Err(StoreError::Corrupt { what: "a block".to_owned(), detail: "it burns".to_owned() }),
        }
    }
}

#[test]
fn a_guest_that_fails_in_the_middle_of_a_call_of_the_host_ends_as_any_other() {
    let component = prepare(&runtime(), ASKING).unwrap();
    let bytes = vec![7; 4_000];
    let read = |length: u32, store: Store| {
        let params = Ipld::List(vec![Ipld::Link(block::raw_cid(&bytes)), Ipld::Integer(length.into())]);
        component.execute(&Execution::new("read", Params::Ipld(&params), &LIMITS).with_inputs(Arc::new(store))).result
    };
    let holds = || Store::Holds(bytes.clone().into());
    assert!(read(100, holds()).is_ok());
    // The guest's own function, which the host calls to make room, traps.
    assert!(matches!(read(600, holds()), Err(CallError::Trap { .. })));
    // It never comes back.
    assert!(matches!(read(2_000, holds()), Err(CallError::OutOfFuel { .. })));
    let endless = Limits { fuel: u64::MAX / 2, time: Duration::from_millis(50), ..LIMITS };
    let params = Ipld::List(vec![Ipld::Link(block::raw_cid(&bytes)), Ipld::Integer(2_000)]);
    let execution = Execution::new("read", Params::Ipld(&params), &endless).with_inputs(Arc::new(holds()));
    assert!(matches!(component.execute(&execution).result, Err(CallError::TimeLimit { .. })));
    let failed = read(100, Store::Fails).unwrap_err();
    assert!(matches!(failed, CallError::Host { .. }) && !failed.is_deterministic(), "{failed}");
    assert!(read(100, holds()).is_ok());
}

/// A component with so many bytes of data, and functions besides.
fn heavy(bytes: usize) -> Vec<u8> {
    let data = "a".repeat(1 << 20);
    let segments: String = (0..bytes >> 20).map(|_| format!("(data \"{data}\")")).collect();
    let functions = "(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))".repeat(20_000);
    wat::parse_str(format!(
        r#"(component
            (core module $m (memory 1) {segments} {functions} (func (export "f") (result i32) (i32.const 42)))
            (core instance $i (instantiate $m))
            (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
    ))
    .unwrap()
}

#[test]
fn a_component_of_fifty_megabytes_is_taken_and_one_beyond_the_limit_is_not() {
    let runtime = runtime();
    let wasm = heavy(50 << 20);
    assert!(wasm.len() > 50 << 20);
    let component = runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap();
    assert_eq!(component.call("f", &ints([]), &LIMITS).unwrap().output, Ipld::Integer(42));
    let wasm = vec![0; (64 << 20) + 1];
    let refused = runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap_err();
    assert_eq!(refused, PrepareError::TooLarge { size: wasm.len(), limit: 64 << 20 });
}

#[test]
fn a_log_without_end_is_cut_off_and_paid_for() {
    let text = r#"(component
        (import "homestar:host/helpers@0.1.1" (instance $host (export "print" (func (param "msg" string)))))
        (core module $memory (memory (export "memory") 1) (data (i32.const 0) "again and again"))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $m))
        (core func $print (canon lower (func $host "print") (memory $m)))
        (core module $guest
            (import "host" "print" (func $print (param i32 i32)))
            (func (export "talk") (param $n i32)
                (loop $more
                    (call $print (i32.const 0) (i32.const 15))
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (br_if $more (local.get $n)))))
        (core instance $guest (instantiate $guest (with "host" (instance (export "print" (func $print))))))
        (func (export "talk") (param "n" u32) (canon lift (core func $guest "talk"))))"#;
    let options = WasmtimeOptions { compat: Some(Compat::Homestar), ..WasmtimeOptions::default() };
    let component = prepare(&WasmtimeRuntime::new(&options).unwrap(), text).unwrap();
    let talk = |n: i128| {
        let params = ints([n]);
        component.execute(&Execution::new("talk", Params::Ipld(&params), &LIMITS))
    };
    let executed = talk(100_000);
    assert!(executed.result.is_ok());
    assert_eq!((executed.trace.lines().len(), executed.trace.dropped()), (1_000, 99_000));
    let executed = talk(i128::from(u32::MAX));
    assert!(matches!(executed.result, Err(CallError::OutOfFuel { .. })));
    // What it had said is not lost: it may say why.
    assert_eq!(executed.trace.lines().len(), 1_000);
}
