//! What becomes of a component before its first call: recognised, verified, compiled once, kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::{Barrier, LazyLock};
use std::time::Duration;

use common::{GUEST, LIMITS, ints, prepare, runtime};
use ipvm_task::{CallError, ExportError, Limits, PrepareError, Runtime, WasmtimeOptions, WasmtimeRuntime};
use proptest::prelude::*;
use ucan_core::{Ipld, block};

static RUNTIME: LazyLock<WasmtimeRuntime> = LazyLock::new(runtime);

#[test]
fn imports_are_refused_by_name() {
    let runtime = runtime();
    let error = prepare(
        &runtime,
        r#"(component
            (import "ipvm:demo/only-types" (instance (type $u u32) (export "size" (type (eq $u)))))
            (import "wasi:http/types@0.2.0" (instance (export "now" (func (result u64)))))
            (import "log" (func (param "text" string))))"#,
    );
    let error = error.unwrap_err();
    assert_eq!(error, PrepareError::ForbiddenImport { name: "wasi:http/types@0.2.0".to_owned(), more: 1 });
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
fn what_no_value_of_ipld_can_stand_for_is_refused_before_anything_runs() {
    let refusal = |ty: &str| {
        let text = format!(
            r#"(component
                (core module $m (func (export "f") (param i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "a" {ty}) (canon lift (core func $i "f"))))"#
        );
        match prepare(&RUNTIME, &text) {
            Ok(component) => component.signature("f").unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    for (ty, expected) in [
        ("(future u8)", "`future` requires"),
        ("(stream u8)", "`stream` requires"),
        ("error-context", "`error-context` requires"),
        ("(list u8 4)", "Fixed-length lists require"),
        ("(map string u8)", "Maps require"),
    ] {
        let refusal = refusal(ty);
        assert!(refusal.contains(expected), "{ty}: {refusal}");
    }
}

/// A core module with the types of `wit`'s world in a custom section, as compilers leave it.
fn typed_module(wat: &str, wit: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("world.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    module
}

#[test]
fn core_modules_that_state_their_types_become_components() {
    let runtime = runtime();
    let wat = r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;
    let wit = "package a:b; world w { export add: func(a: s32, b: s32) -> s32; }";
    let module = typed_module(wat, wit);
    let component = runtime.prepare(&block::raw_cid(&module), &module).unwrap();
    assert_eq!(component.signature("add").unwrap().to_string(), "func(a: s32, b: s32) -> s32");
    assert_eq!(component.call("add", &ints([40, 2]), &LIMITS).unwrap().output, Ipld::Integer(42));

    let refused = |wat, wit| {
        let module = typed_module(wat, wit);
        runtime.prepare(&block::raw_cid(&module), &module).unwrap_err()
    };
    // The types speak of functions that the module has not, or has otherwise.
    let error = refused("(module)", wit);
    assert!(matches!(&error, PrepareError::NotEncoded { detail } if detail.contains("add")), "{error}");
    assert_eq!(error.name(), "NotAComponent");
    let error = refused(r#"(module (func (export "add") (param i64)))"#, wit);
    assert!(matches!(error, PrepareError::NotEncoded { .. }), "{error}");
    // It asks for WASI without the memory that this works on, and for a host's function by its types.
    let wasi = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#;
    let error = refused(wasi, "package a:b; world w { }");
    assert!(matches!(&error, PrepareError::NotEncoded { .. }), "{error}");
    assert!(error.hint().unwrap().contains("preview 1"));
    let log = r#"(module (import "$root" "log" (func (param i32))) (func (export "go") (call 0 (i32.const 1))))"#;
    let error = refused(log, "package a:b; world w { import log: func(a: u32); export go: func(); }");
    assert!(matches!(&error, PrepareError::ForbiddenImport { name, .. } if name == "log"), "{error}");
}

proptest! {
    #[test]
    fn altered_modules_are_refused_or_run(at in any::<prop::sample::Index>(), byte: u8, cut in any::<Option<prop::sample::Index>>()) {
        let wat = r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "turn") (param i32 i32) (result i32) (i32.const 8)))"#;
        let wit = "package a:b; world w { record p { s: string } export turn: func(p: p) -> list<u8>; }";
        let mut module = typed_module(wat, wit);
        let index = at.index(module.len());
        module[index] = byte;
        if let Some(cut) = cut {
            module.truncate(cut.index(module.len()));
        }
        // It neither panics nor hangs.
        drop(RUNTIME.prepare(&block::raw_cid(&module), &module));
    }
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

fn too_complex(error: PrepareError) -> String {
    assert!(matches!(error, PrepareError::TooComplex { .. }), "{error:?}");
    assert_eq!(error.name(), "LimitExceeded");
    assert!(!error.is_deterministic());
    error.to_string()
}

#[test]
fn instances_that_multiply_are_refused_before_they_are_compiled() {
    // Ten instances of a component with ten instances of one, nine times: 10^9 modules.
    let mut text = "(component (core module $m) (core instance (instantiate $m)))".to_owned();
    for _ in 0..9 {
        let inner = text.replacen("(component", "(component $c", 1);
        text = format!("(component {inner} {})", "(instance (instantiate $c)) ".repeat(10));
    }
    let error = too_complex(prepare(&runtime(), &text).unwrap_err());
    assert_eq!(error, "the component is too complex: it has more than 1000 instances");
    // Named from outside.
    let outer = r#"(component $top
        (component $a (core module $m) (core instance (instantiate $m)))
        (component $b (alias outer $top $a (component $x)) INSTANCES)
        (instance (instantiate $b)))"#;
    let with = |n: usize| prepare(&runtime(), &outer.replace("INSTANCES", &"(instance (instantiate $x)) ".repeat(n)));
    with(3).unwrap();
    too_complex(with(500).unwrap_err());
    // What is given from outside is not followed.
    let given = r#"(component
        (component $a)
        (component $b (import "x" (component $x)) (instance (instantiate $x)))
        (instance (instantiate $b (with "x" (component $a)))))"#;
    too_complex(prepare(&runtime(), given).unwrap_err());
}

#[test]
fn instances_with_much_state_are_refused() {
    let state = |globals: usize, instances: usize| {
        let globals = "(global (mut i64) (i64.const 0)) ".repeat(globals);
        let instances = "(core instance (instantiate $m)) ".repeat(instances);
        prepare(&runtime(), &format!("(component (core module $m {globals}) {instances})"))
    };
    assert!(state(1_000, 9).is_ok());
    let error = too_complex(state(20_000, 60).unwrap_err());
    assert!(error.contains("1000000 functions, globals"), "{error}");
    // The module is given from outside: it counts as the largest that there is.
    let globals = "(global (mut i64) (i64.const 0)) ".repeat(20_000);
    let given = format!(
        r#"(component
            (core module $m {globals})
            (component $b (import "m" (core module $m)) {})
            (instance (instantiate $b (with "m" (core module $m)))))"#,
        "(core instance (instantiate $m)) ".repeat(60)
    );
    too_complex(prepare(&runtime(), &given).unwrap_err());
}

#[test]
fn names_and_types_of_all_functions_are_bounded_together() {
    // One type with a long name in it, shared by many functions.
    let text = |name: usize, functions: usize| {
        let exports: String = (0..functions).map(|n| format!(r#"(export "f{n}" (func $f)) "#)).collect();
        format!(
            r#"(component
                (core module $m (func (export "f") (result i32) (i32.const 0)))
                (core instance $i (instantiate $m))
                (type $e' (enum "{}" "b")) (export $e "e" (type $e'))
                (func $f (result $e) (canon lift (core func $i "f")))
                {exports})"#,
            "a".repeat(name)
        )
    };
    let runtime = runtime();
    prepare(&runtime, &text(90_000, 30)).unwrap();
    let stats = runtime.stats();
    assert!(stats.cached_bytes > 30 * 90_000, "the cache knows what types take: {stats:?}");
    let error = too_complex(prepare(&runtime, &text(90_000, 900)).unwrap_err());
    assert!(error.contains("names and types in its functions"), "{error}");
    assert_eq!(runtime.stats(), stats);
}

#[test]
fn a_refusal_is_remembered() {
    let runtime = runtime();
    let body = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(20_000);
    let text = format!("(component (core module (func (param i32) {body})) (core module (func (result i32))))");
    let wasm = wat::parse_str(text).unwrap();
    let cid = block::raw_cid(&wasm);
    let first = runtime.prepare(&cid, &wasm).unwrap_err();
    assert!(matches!(first, PrepareError::Invalid { .. }), "{first:?}");
    assert_eq!(runtime.prepare(&cid, &wasm).unwrap_err(), first);
    // Other bytes are still told from them.
    assert!(matches!(runtime.prepare(&cid, b"other").unwrap_err(), PrepareError::Block(_)));
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
const PROFILE: &str = "bafyreiawxb54drow77aocutiipf34mwge6p2ffjjh4dhqnlu3xdh6uqbh4";

#[test]
fn types_that_are_nested_without_end_are_refused() {
    let leb = |mut n: usize| {
        let mut out = vec![];
        while n >= 128 {
            out.push((n & 127) as u8 | 128);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    for depth in [490, 2_000_000] {
        let mut body = vec![1_u8];
        (0..depth).for_each(|_| body.extend([0x42, 1, 1]));
        body.extend([0x42, 0]);
        let mut wasm = b"\0asm\x0d\0\x01\0\x07".to_vec();
        wasm.extend(leb(body.len()));
        wasm.extend(body);
        assert_eq!(runtime().prepare(&block::raw_cid(&wasm), &wasm).is_err(), depth > 500);
    }
}
