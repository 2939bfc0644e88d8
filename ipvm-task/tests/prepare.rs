//! What becomes of a component before its first call: recognised, verified, compiled once, kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Barrier;
use std::time::Duration;

use common::{GUEST, LIMITS, ints, prepare, runtime};
use ipvm_task::{CallError, ExportError, Limits, PrepareError, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block};

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
    assert_eq!(error, PrepareError::ForbiddenImport { name: "wasi:clocks/wall-clock@0.2.0".to_owned(), more: 1 });
    assert_eq!(error.name(), "ForbiddenImport");
    let types =
        r#"(component (import "ipvm:demo/only-types" (instance (type $u u32) (export "size" (type (eq $u))))))"#;
    assert!(prepare(&runtime, types).is_ok());
    let resource = r#"(component (import "handle" (type (sub resource))))"#;
    assert!(matches!(prepare(&runtime, resource), Err(PrepareError::ForbiddenImport { .. })));
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
    let names: Vec<&str> = component.exports().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["demo:text/api@0.1.0#five", "five"]);
    for name in names {
        assert_eq!(component.call(name, &ints([]), &LIMITS).unwrap().output, Ipld::Integer(5));
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
    assert!(matches!(component.signature("open"), Err(ExportError::Unsupported { .. })));
    assert_eq!(component.call("five", &ints([]), &LIMITS).unwrap().output, Ipld::Integer(5));
}

#[test]
fn other_bytes_are_named() {
    let runtime = runtime();
    let refused = |bytes: &[u8]| runtime.prepare(&block::raw_cid(bytes), bytes).unwrap_err();
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&core), PrepareError::CoreModule);
    assert!(refused(&core).hint().unwrap().contains("wasm-tools component new"));
    for (bytes, found) in [
        (&b""[..], "nothing"),
        (b"(component)", "WebAssembly in its text form"),
        (b"\x1f\x8b\x08", "data compressed with gzip"),
        (b"hello there", "11 bytes of text that start with \"hello there\""),
        (b"\xff\xfe", "2 bytes that start with [ff, fe]"),
    ] {
        assert_eq!(refused(bytes), PrepareError::NotAComponent { found: found.to_owned() });
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
        assert!(matches!(result, Err(PrepareError::Invalid { .. })), "{module}: {result:?}");
    }
}

#[test]
fn bytes_are_verified() {
    let runtime = runtime();
    let wasm = wat::parse_str(GUEST).unwrap();
    let error = runtime.prepare(&block::raw_cid(b"another block"), &wasm).unwrap_err();
    assert!(matches!(error, PrepareError::Block(_)), "{error:?}");
    let small = WasmtimeRuntime::new(&WasmtimeOptions { max_component: 100, ..WasmtimeOptions::default() }).unwrap();
    let error = small.prepare(&block::raw_cid(&wasm), &wasm).unwrap_err();
    assert_eq!(error, PrepareError::TooLarge { size: wasm.len(), limit: 100 });
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
    runtime.prepared(&cid).unwrap().call("nop", &ints([]), &LIMITS).unwrap();
    assert_eq!(runtime.stats().compiled, 1);
}

#[test]
fn the_cache_is_bounded() {
    let options = WasmtimeOptions { cached_components: 2, ..WasmtimeOptions::default() };
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

    let none = WasmtimeRuntime::new(&WasmtimeOptions { cached_bytes: 1, ..WasmtimeOptions::default() }).unwrap();
    let component = prepare(&none, GUEST).unwrap();
    assert_eq!((none.stats().cached, none.stats().cached_bytes), (0, 0));
    assert!(component.call("nop", &ints([]), &LIMITS).is_ok());
}

#[test]
fn components_outlive_their_runtime() {
    let runtime = runtime();
    let component = prepare(&runtime, GUEST).unwrap();
    drop(runtime);
    let limits = Limits { fuel: u64::MAX, time: Duration::from_millis(30), ..LIMITS };
    assert!(matches!(component.call("spin", &ints([]), &limits), Err(CallError::TimeLimit { .. })));
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
