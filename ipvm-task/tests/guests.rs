//! The example guests, built from Rust and from C.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Instant;

use ipvm_task::{Component, Limits, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block, dagjson};

const WORDS: &[u8] = include_bytes!("../../examples/guests/words.wasm");
const SHAPE: &[u8] = include_bytes!("../../examples/guests/shape.wasm");

fn prepare(runtime: &dyn Runtime, wasm: &[u8]) -> Arc<dyn Component> {
    runtime.prepare(&block::raw_cid(wasm), wasm).unwrap()
}

fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap()
}

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

#[test]
fn words_are_counted() {
    let words = prepare(&runtime(), WORDS);
    let count = words.signature("count").unwrap().to_string();
    assert_eq!(count, "func(text: string, limit: u32) -> list<record { word: string, count: u64 }>");
    let params = json(r#"{"text": "the cat and the hat", "limit": 2}"#);
    let done = words.call("count", &params, &Limits::STANDARD).unwrap();
    assert_eq!(done.output, json(r#"[{"word": "the", "count": 2}, {"word": "and", "count": 1}]"#));
    let params = json(r#"["a\nb"]"#);
    assert_eq!(words.call("heading", &params, &Limits::STANDARD).unwrap().output, json(r##""# a b\n""##));
}

#[test]
fn what_one_guest_measures_another_one_takes() {
    let runtime = runtime();
    let (words, shape) = (prepare(&runtime, WORDS), prepare(&runtime, SHAPE));
    let text = Ipld::List(vec![Ipld::String("One line,\nand another.\n".to_owned())]);
    let call = |component: &Arc<dyn Component>, fun: &str, params: &Ipld| {
        component.call(fun, params, &Limits::STANDARD).unwrap().output
    };
    let measure = call(&shape, "measure", &text);
    assert_eq!(measure, json(r#"{"bytes": 23, "chars": 23, "lines": 2, "words": 4, "longest-line": 12}"#));
    let letters = call(&shape, "letters", &text);
    let frequent = call(&words, "count", &json(r#"["One line,\nand another.\n", 3]"#));
    let entries = [
        ("heading", Ipld::String("Report".to_owned())),
        ("frequent", frequent),
        ("shape", measure),
        ("letters", letters),
    ];
    let report = call(&words, "report", &Ipld::Map(entries.map(|(name, value)| (name.to_owned(), value)).into()));
    assert!(matches!(report, Ipld::String(report) if report.contains("Report")));
}

#[test]
fn fuel_and_output_are_the_same_in_every_run() {
    let params = json(r#"["the cat and the hat", 5]"#);
    let run = || prepare(&runtime(), WORDS).call("count", &params, &Limits::STANDARD).unwrap();
    let first = run();
    for _ in 0..3 {
        assert_eq!(run(), first);
    }
}

/// Figures, not a check: `cargo nextest run --run-ignored only --no-capture figures`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    let wat = r#"(component (core module $m (func (export "nop"))) (core instance $i (instantiate $m))
        (func (export "nop") (canon lift (core func $i "nop"))))"#;
    let time = |name: &str, times: u32, run: &mut dyn FnMut()| {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            (0..times).for_each(|_| run());
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(times));
        }
        println!("{name:50} {best:10.2} us");
    };
    time("make a runtime", 1, &mut || drop(runtime()));
    let runtime = runtime();
    time("compile words.wasm, fresh runtime", 1, &mut || drop(prepare(&self::runtime(), WORDS)));
    let nop = prepare(&runtime, &wat::parse_str(wat).unwrap());
    let words = prepare(&runtime, WORDS);
    let shape = prepare(&runtime, SHAPE);
    let none = Ipld::List(vec![]);
    let cid = block::raw_cid(WORDS);
    time("find words.wasm in the cache", 1000, &mut || drop(runtime.prepared(&cid)));
    time("instantiate and call a no-op, all limits", 1000, &mut || drop(nop.call("nop", &none, &Limits::STANDARD)));
    let count = json(r#"["the cat and the hat", 5]"#);
    time("words: count of five words", 1000, &mut || drop(words.call("count", &count, &Limits::STANDARD)));
    let text = Ipld::List(vec![Ipld::String("the cat and the hat ".repeat(3_277))]);
    time("shape: measure 64 KiB", 10, &mut || drop(shape.call("measure", &text, &Limits::STANDARD)));
}
