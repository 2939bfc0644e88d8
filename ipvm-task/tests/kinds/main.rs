//! The guests of `examples/guests/kinds`: one world in five languages, which agree on every result.
//!
//! Those in JavaScript and Python carry an interpreter along and are too large to be kept: they are looked at where their
//! scripts have built them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod javascript;
mod random;
mod table;

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ipvm_task::{CallError, Component, Limits, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block, dagcbor, dagjson};

const KEPT: [(&str, &[u8]); 3] = [
    ("Rust", include_bytes!("../../../examples/guests/kinds/kinds-rust.wasm")),
    ("C", include_bytes!("../../../examples/guests/kinds/kinds-c.wasm")),
    ("Zig", include_bytes!("../../../examples/guests/kinds/kinds-zig.wasm")),
];

/// Language, file in `examples/guests/kinds`, and the script that makes it.
const BUILT: [(&str, &str, &str); 4] = [
    ("JavaScript", "js/build/kinds-js.wasm", "js/build.sh"),
    ("Python", "python/build/kinds-python.wasm", "python/build.sh"),
    // As their toolchains leave them, with imports of WASI.
    ("JavaScript on WASI", "js/build/kinds-js-wasi.wasm", "js/build.sh"),
    ("Python on WASI", "python/build/kinds-python-wasi.wasm", "python/build.sh"),
];

const JAVASCRIPT: &str = BUILT[0].0;

struct Guest {
    language: &'static str,
    component: Arc<dyn Component>,
}

static RUNTIME: LazyLock<WasmtimeRuntime> = LazyLock::new(runtime);

/// The guests that are there, the one in Rust first.
static GUESTS: LazyLock<Vec<Guest>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/kinds");
    let mut guests: Vec<_> = KEPT.into_iter().map(|(language, wasm)| guest(language, wasm)).collect();
    for (language, file, script) in BUILT {
        match std::fs::read(folder.join(file)) {
            Ok(wasm) => guests.push(guest(language, &wasm)),
            Err(_) => {
                let said = format!("SKIPPED: the guest in {language}; {script} builds it\n");
                // Written past the capture of tests, so that it is seen.
                std::io::stderr().write_all(said.as_bytes()).unwrap();
            }
        }
    }
    guests
});

fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap()
}

fn guest(language: &'static str, wasm: &[u8]) -> Guest {
    Guest { language, component: prepare(&RUNTIME, language, wasm) }
}

/// A component with imports is refused here.
fn prepare(runtime: &WasmtimeRuntime, language: &str, wasm: &[u8]) -> Arc<dyn Component> {
    let prepared = runtime.prepare(&block::raw_cid(wasm), wasm);
    prepared.unwrap_or_else(|error| panic!("the guest in {language}: {error}"))
}

fn export(fun: &str) -> String {
    format!("ipvm:kinds/api@1.0.0#{fun}")
}

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

impl Guest {
    fn call(&self, fun: &str, params: &Ipld) -> Result<Ipld, CallError> {
        self.component.call(&export(fun), params, &Limits::STANDARD).map(|done| done.output)
    }

    /// What came of a call, in a form in which 0.0 is not -0.0.
    fn outcome(&self, fun: &str, params: &Ipld) -> Result<Vec<u8>, CallError> {
        self.call(fun, params).map(|output| dagcbor::encode(&output).unwrap())
    }
}

/// Checks that all `guests` make the same of a call, and gives what that is.
fn agreed<'a>(guests: impl IntoIterator<Item = &'a Guest>, fun: &str, params: &Ipld) -> Result<Ipld, CallError> {
    let mut guests = guests.into_iter();
    let first = guests.next().expect("there is a guest");
    let outcome = first.outcome(fun, params);
    for other in guests {
        let found = other.outcome(fun, params);
        assert_eq!(found, outcome, "{fun} of {params:?} in {} and {}", other.language, first.language);
    }
    outcome.map(|bytes| dagcbor::decode(&bytes).unwrap())
}

#[test]
fn all_export_the_same_world() {
    let signatures = |guest: &Guest| -> Vec<(String, String)> {
        let exports = guest.component.exports();
        let ours = exports.into_iter().filter(|(name, _)| name.contains("kinds"));
        ours.map(|(name, signature)| (name.to_owned(), signature.to_string())).collect()
    };
    let first = signatures(&GUESTS[0]);
    assert_eq!(first.len(), 30);
    for guest in &GUESTS[1..] {
        assert_eq!(signatures(guest), first, "{}", guest.language);
    }
}

#[test]
fn fuel_is_the_same_in_every_run() {
    let other = runtime();
    let again = KEPT.map(|(language, wasm)| Guest { language, component: prepare(&other, language, wasm) });
    for guest in GUESTS.iter() {
        let again = again.iter().find(|it| it.language == guest.language).unwrap_or(guest);
        for &(fun, params, _) in table::RESULTS {
            let run = |guest: &Guest| guest.component.call(&export(fun), &json(params), &Limits::STANDARD);
            let first = run(guest);
            assert!(first.as_ref().is_ok_and(|done| done.fuel > 0), "{fun} in {}: {first:?}", guest.language);
            assert_eq!(run(guest), first, "{fun} in {}", guest.language);
            assert_eq!(run(again), first, "{fun} in {}, compiled again", guest.language);
        }
    }
}
