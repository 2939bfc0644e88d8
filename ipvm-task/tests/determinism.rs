//! A thousand calls whose results and fuel are the same everywhere: `fixtures/ipvm-task/calls.json`.
//!
//! `cargo test -p ipvm-task --test determinism -- --ignored` writes the file and its component anew. What floats come to is
//! computed once more without the machine, by this computer's own arithmetic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipvm_task::{Artifacts, Component, Limits, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block, dagjson};

/// The guests that are called, by their files.
const GUESTS: [(&str, &str); 6] = [
    ("machine", "fixtures/ipvm-task/machine.wasm"),
    ("words", "examples/guests/words.wasm"),
    ("shape", "examples/guests/shape.wasm"),
    ("kinds-rust", "examples/guests/kinds/kinds-rust.wasm"),
    ("kinds-c", "examples/guests/kinds/kinds-c.wasm"),
    ("kinds-zig", "examples/guests/kinds/kinds-zig.wasm"),
];

const ABOUT: &str = "Calls of exported functions under the determinism `profile`. `components` has the files by name, each with its CID \
    as a raw block. Each of the `calls` has the `fun`, the `params`, and either what it gives, `ok`, with the `fuel` of the call, or the \
    name of its `error`. Bits of floats are integers.";

const BINARY: [&str; 7] = ["add", "sub", "mul", "div", "min", "max", "copysign"];
const UNARY: [&str; 7] = ["sqrt", "ceil", "floor", "trunc", "nearest", "abs", "neg"];
const INTEGERS: [&str; 14] =
    ["add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u", "and", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"];

/// Bits that matter: zeros, ones, the smallest, the largest, infinities, and NaNs of both signs with and without payload.
const F64: [u64; 14] = [
    0,
    0x8000_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff8_0000_0000_0000,
    1,
    0x000f_ffff_ffff_ffff,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    0x7ff8_0000_0000_1234,
    0x7ff0_0000_0000_0001,
    0x4059_0ccc_cccc_cccd,
];
const F32: [u32; 12] = [
    0,
    0x8000_0000,
    0x3f80_0000,
    0xbfc0_0000,
    1,
    0x7f7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_1234,
    0x7f80_0001,
    0x42c8_6666,
];
const I32: [i32; 7] = [0, 1, -1, 7, i32::MIN, i32::MAX, 0x1234_5678];

/// The guest of all that a machine could do otherwise. Its two memories keep it out of a pool of one slot.
fn guest() -> String {
    let (mut core, mut lifts) = (String::new(), String::new());
    let mut function = |name: &str, params: &[&str], result: &str, body: &str| {
        let core_type = |ty: &str| if ty == "u64" || ty == "s64" { "i64" } else { "i32" };
        let cores: Vec<&str> = params.iter().map(|ty| core_type(ty)).collect();
        let _ = writeln!(
            core,
            "(func (export \"{name}\") (param {}) (result {}) {body})",
            cores.join(" "),
            core_type(result)
        );
        let named: Vec<String> =
            params.iter().zip(["a", "b", "c"]).map(|(ty, name)| format!("(param \"{name}\" {ty})")).collect();
        let _ = writeln!(
            lifts,
            "(func (export \"{name}\") {} (result {result}) (canon lift (core func $i \"{name}\")))",
            named.join(" ")
        );
    };
    for (float, int, ty) in [("f64", "i64", "u64"), ("f32", "i32", "u32")] {
        let arg = |n: u8| format!("({float}.reinterpret_{int} (local.get {n}))");
        for op in BINARY {
            let body = format!("({int}.reinterpret_{float} ({float}.{op} {} {}))", arg(0), arg(1));
            function(&format!("{float}-{op}"), &[ty, ty], ty, &body);
        }
        for op in UNARY {
            function(
                &format!("{float}-{op}"),
                &[ty],
                ty,
                &format!("({int}.reinterpret_{float} ({float}.{op} {}))", arg(0)),
            );
        }
        let saturate = format!("(i64.trunc_sat_{float}_s {})", arg(0));
        function(&format!("{float}-to-s64"), &[ty], "s64", &saturate);
        let trap = format!("(i32.trunc_{float}_u {})", arg(0));
        function(&format!("{float}-to-u32"), &[ty], "u32", &trap);
    }
    function("demote", &["u64"], "u32", "(i32.reinterpret_f32 (f32.demote_f64 (f64.reinterpret_i64 (local.get 0))))");
    function("promote", &["u32"], "u64", "(i64.reinterpret_f64 (f64.promote_f32 (f32.reinterpret_i32 (local.get 0))))");
    function(
        "lanes",
        &["u64", "u64"],
        "u64",
        "(i64.reinterpret_f64 (f64x2.extract_lane 1 (f64x2.div
            (f64x2.splat (f64.reinterpret_i64 (local.get 0))) (f64x2.splat (f64.reinterpret_i64 (local.get 1))))))",
    );
    function(
        "swizzle",
        &["u64", "u64"],
        "u64",
        "(i64x2.extract_lane 0 (i8x16.swizzle (i64x2.splat (local.get 0)) (i64x2.splat (local.get 1))))",
    );
    for op in INTEGERS {
        let name = format!("i32-{}", op.replace('_', "-"));
        function(&name, &["s32", "s32"], "s32", &format!("(i32.{op} (local.get 0) (local.get 1))"));
    }
    // -1 beyond the maximum of 20 pages, under any limit.
    function("grow", &["u32"], "s32", "(memory.grow (local.get 0))");
    function("grow-table", &["u32"], "s32", "(table.grow $t (ref.null func) (local.get 0))");
    function("depth", &["u32"], "u32", "(call $depth (local.get 0))");
    function("loop-by-tail-calls", &["u32"], "u32", "(call $tail (local.get 0) (i32.const 0))");
    function("indirect", &["u32", "u32"], "u32", "(call_indirect $t (type $unary) (local.get 1) (local.get 0))");
    function(
        "fill-and-sum",
        &["u32", "u32"],
        "u32",
        "(local $sum i32) (local $at i32)
         (memory.fill (i32.const 0) (local.get 0) (local.get 1))
         (memory.copy (i32.const 7) (i32.const 0) (local.get 1))
         (loop $more
            (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load8_u (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $at) (local.get 1))))
         (local.get $sum)",
    );
    function("two-values", &["u32", "u32"], "u32", "(call $swap (local.get 0) (local.get 1)) i32.sub");
    format!(
        r#"(component
  (core module $m
    (memory 1 20) (memory $other 1 1)
    (table $t 4 10 funcref)
    (type $unary (func (param i32) (result i32)))
    (elem (table $t) (i32.const 0) func $double $depth)
    (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
    (func $depth (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $depth (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0))))
    (func $tail (param i32 i32) (result i32)
      (if (result i32) (local.get 0)
        (then (return_call $tail (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 3))))
        (else (local.get 1))))
    (func $swap (param i32 i32) (result i32 i32) (local.get 1) (local.get 0))
    {core})
  (core instance $i (instantiate $m))
  {lifts})"#
    )
}

fn int(number: impl Into<i128>) -> Ipld {
    Ipld::Integer(number.into())
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

struct Call {
    component: &'static str,
    fun: String,
    params: Vec<Ipld>,
}

fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    let mut add = |component, fun: &str, params: Vec<Ipld>| calls.push(Call { component, fun: fun.to_owned(), params });
    let mut machine = |fun: &str, params: Vec<Ipld>| add("machine", fun, params);
    for (a, first) in F64.iter().enumerate() {
        for second in F64.iter().cycle().skip(a).step_by(3).take(5) {
            for op in BINARY {
                machine(&format!("f64-{op}"), vec![int(*first), int(*second)]);
            }
            machine("lanes", vec![int(*first), int(*second)]);
        }
        for op in UNARY {
            machine(&format!("f64-{op}"), vec![int(*first)]);
        }
        for fun in ["demote", "f64-to-s64", "f64-to-u32"] {
            machine(fun, vec![int(*first)]);
        }
        machine("swizzle", vec![int(*first), int(0x0f00_0102_0304_80ff_u64)]);
    }
    for (a, first) in F32.iter().enumerate() {
        for second in F32.iter().cycle().skip(a).step_by(5).take(3) {
            for op in BINARY {
                machine(&format!("f32-{op}"), vec![int(*first), int(*second)]);
            }
        }
        for fun in ["f32-sqrt", "f32-nearest", "f32-neg", "promote", "f32-to-s64", "f32-to-u32"] {
            machine(fun, vec![int(*first)]);
        }
    }
    for (a, first) in I32.iter().enumerate() {
        for op in INTEGERS {
            let second = I32[(a * 3 + op.len()) % I32.len()];
            machine(&format!("i32-{}", op.replace('_', "-")), vec![int(*first), int(second)]);
        }
    }
    for pages in [0_u32, 1, 19, 20, 65_536, u32::MAX] {
        machine("grow", vec![int(pages)]);
        machine("grow-table", vec![int(pages)]);
    }
    for n in [0_u32, 1, 2, 10, 1_000] {
        machine("depth", vec![int(n)]);
        machine("loop-by-tail-calls", vec![int(n * 1_000)]);
        machine("fill-and-sum", vec![int(n % 256), int(n * 60 + 1)]);
        machine("two-values", vec![int(n), int(n / 2)]);
        machine("indirect", vec![int(n % 12), int(n % 100)]);
    }
    let long = "Content makes the address. ".repeat(40);
    for it in ["", "one", "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich", "a\n\nb\n", &long] {
        add("words", "heading", vec![text(it)]);
        add("words", "count", vec![text(it), int(5_u32)]);
        add("shape", "measure", vec![text(it)]);
        add("shape", "letters", vec![text(it)]);
    }
    calls
}

/// Calls of the guests that stand for a world of all kinds of values: each with the same arguments in three languages.
fn calls_of_kinds(exports: &BTreeMap<&str, Arc<dyn Component>>) -> Vec<Call> {
    let api = exports["kinds-rust"].exports().first().unwrap().0.split_once('#').unwrap().0.to_owned();
    let mut calls = Vec::new();
    for component in ["kinds-rust", "kinds-c", "kinds-zig"] {
        for (name, signature) in exports["kinds-rust"].exports() {
            let [(_, ty)] = signature.params.as_slice() else { continue };
            let values: Vec<Ipld> = match ty.to_string().as_str() {
                "bool" => vec![Ipld::Bool(true), Ipld::Bool(false)],
                "s64" => [0, -1, i64::MAX, i64::MIN].map(int).to_vec(),
                "u64" => [0, u64::MAX].map(int).to_vec(),
                "u8" => [0_u8, 255].map(int).to_vec(),
                "s32" => [i32::MIN, -7].map(int).to_vec(),
                "f64" => [0.1, -0.0, f64::MAX].map(Ipld::Float).to_vec(),
                "f32" => vec![Ipld::Float(0.5)],
                "char" => vec![text("\u{1F980}")],
                "string" => vec![text(""), text("Zwölf")],
                "list<u8>" => vec![Ipld::Bytes(vec![]), Ipld::Bytes((0..=255).collect())],
                _ => continue,
            };
            assert!(name.starts_with(&api));
            calls.extend(values.into_iter().map(|value| Call { component, fun: name.to_owned(), params: vec![value] }));
        }
    }
    calls
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn components(runtime: &WasmtimeRuntime) -> BTreeMap<&'static str, Arc<dyn Component>> {
    let prepare = |(name, path): (&'static str, &str)| {
        let wasm = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (name, runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap())
    };
    GUESTS.into_iter().map(prepare).collect()
}

/// What a call comes to, as the file has it.
fn outcome(components: &BTreeMap<&str, Arc<dyn Component>>, component: &str, fun: &str, params: &Ipld) -> Ipld {
    let map = |entries: Vec<(&str, Ipld)>| {
        Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    match components[component].call(fun, params, &Limits::STANDARD) {
        Ok(completion) => map(vec![("ok", completion.output), ("fuel", int(completion.fuel))]),
        Err(error) => {
            assert!(error.is_deterministic(), "{component} {fun}: {error}");
            map(vec![("error", text(error.name()))])
        }
    }
}

#[test]
#[ignore = "writes the file and its component anew"]
fn write() {
    let folder = root().join("fixtures/ipvm-task");
    fs::write(folder.join("machine.wasm"), wat::parse_str(guest()).unwrap()).unwrap();
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    let components = components(&runtime);
    let lines: Vec<String> = calls()
        .into_iter()
        .chain(calls_of_kinds(&components))
        .map(|Call { component, fun, params }| {
            let params = Ipld::List(params);
            let outcome = dagjson::encode(&outcome(&components, component, &fun, &params));
            let (fun, params) = (dagjson::encode(&text(&fun)), dagjson::encode(&params));
            format!("    {{\"component\": \"{component}\", \"fun\": {fun}, \"params\": {params}, {}", &outcome[1..])
        })
        .collect();
    let files = GUESTS.map(|(name, path)| {
        let cid = block::raw_cid(&fs::read(root().join(path)).unwrap());
        format!("    \"{name}\": {{\"path\": \"{path}\", \"cid\": \"{cid}\"}}")
    });
    let file = format!(
        "{{\n  \"about\": {},\n  \"profile\": \"{}\",\n  \"components\": {{\n{}\n  }},\n  \"calls\": [\n{}\n  ]\n}}\n",
        dagjson::encode(&text(ABOUT)),
        runtime.profile().cid(),
        files.join(",\n"),
        lines.join(",\n")
    );
    fs::write(folder.join("calls.json"), file).unwrap();
}

fn field<'a>(map: &'a Ipld, key: &str) -> Option<&'a Ipld> {
    match map {
        Ipld::Map(map) => map.get(key),
        other => panic!("{other:?} is no map"),
    }
}

fn string<'a>(map: &'a Ipld, key: &str) -> &'a str {
    match field(map, key) {
        Some(Ipld::String(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn file() -> Ipld {
    dagjson::decode(&fs::read(root().join("fixtures/ipvm-task/calls.json")).unwrap()).unwrap()
}

fn vectors(file: &Ipld) -> &[Ipld] {
    let Some(Ipld::List(calls)) = field(file, "calls") else { panic!("no calls") };
    assert!(calls.len() >= 1_000, "{}", calls.len());
    calls
}

fn check(components: &BTreeMap<&str, Arc<dyn Component>>, call: &Ipld) {
    let found = outcome(components, string(call, "component"), string(call, "fun"), field(call, "params").unwrap());
    for key in ["ok", "fuel", "error"] {
        assert_eq!(field(&found, key), field(call, key), "{}", dagjson::encode(call));
    }
}

#[test]
fn a_thousand_calls_give_the_same_on_any_number_of_threads_wherever_instances_live() {
    let file = file();
    let calls = vectors(&file);
    // With one slot, the guest with two memories lives outside of the pool.
    for (threads, concurrency) in [(1, 32), (8, 32), (8, 1)] {
        let runtime = WasmtimeRuntime::new(&WasmtimeOptions { concurrency, ..WasmtimeOptions::default() }).unwrap();
        assert_eq!(runtime.profile().cid().to_string(), string(&file, "profile"));
        let components = components(&runtime);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let components = &components;
                scope
                    .spawn(move || calls.iter().skip(thread).step_by(threads).for_each(|call| check(components, call)));
            }
        });
    }
}

#[test]
fn a_thousand_calls_give_the_same_from_warm_caches() {
    let file = file();
    let folder = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let artifacts = Artifacts::open(&folder.path().join("artifacts"), [1; 32]).unwrap();
        let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap().with_artifacts(artifacts);
        let components = components(&runtime);
        for _ in 0..2 {
            vectors(&file).iter().for_each(|call| check(&components, call));
        }
        assert_eq!(runtime.stats().loaded, start * GUESTS.len() as u64);
    }
}

#[test]
fn the_components_are_those_that_were_called() {
    let file = file();
    let Some(Ipld::Map(components)) = field(&file, "components") else { panic!("no components") };
    assert_eq!(components.len(), GUESTS.len());
    for component in components.values() {
        let bytes = fs::read(root().join(string(component, "path"))).unwrap();
        assert_eq!(block::raw_cid(&bytes).to_string(), string(component, "cid"));
    }
    assert_eq!(fs::read(root().join("fixtures/ipvm-task/machine.wasm")).unwrap(), wat::parse_str(guest()).unwrap());
}

/// What the arithmetic of this computer says, with the one NaN that there is for a guest.
fn native(fun: &str, params: &[i128]) -> Option<i128> {
    let canonical = |it: f64| if it.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { it.to_bits() };
    let (op, [a, b]) = (fun.strip_prefix("f64-")?, params) else { return None };
    let (a, b) = (f64::from_bits(*a as u64), f64::from_bits(*b as u64));
    let result = match op {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        _ => return None,
    };
    Some(canonical(result).into())
}

#[test]
fn floats_are_what_any_other_computer_makes_of_them() {
    let mut compared = 0;
    for call in vectors(&file()) {
        let Some(Ipld::List(params)) = field(call, "params") else { panic!("no params") };
        let numbers: Option<Vec<i128>> =
            params.iter().map(|it| if let Ipld::Integer(it) = it { Some(*it) } else { None }).collect();
        let Some(expected) = numbers.and_then(|numbers| native(string(call, "fun"), &numbers)) else { continue };
        assert_eq!(field(call, "ok"), Some(&Ipld::Integer(expected)), "{}", dagjson::encode(call));
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}
