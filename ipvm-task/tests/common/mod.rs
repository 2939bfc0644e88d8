//! What the tests of the machine share.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::Arc;
use std::time::Duration;

use ipvm_task::{Component, Limits, PrepareError, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block};

/// A guest for everything that a limit is for.
pub(crate) const GUEST: &str = include_str!("guest.wat");

pub(crate) const LIMITS: Limits =
    Limits { fuel: 50_000_000, memory: 1 << 24, time: Duration::from_secs(20), output: 1 << 16 };

pub(crate) fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap()
}

pub(crate) fn prepare(runtime: &WasmtimeRuntime, text: &str) -> Result<Arc<dyn Component>, PrepareError> {
    let wasm = wat::parse_str(text).expect("the text is well-formed");
    runtime.prepare(&block::raw_cid(&wasm), &wasm)
}

pub(crate) fn guest() -> Arc<dyn Component> {
    prepare(&runtime(), GUEST).unwrap()
}

pub(crate) fn ints<const N: usize>(ints: [i128; N]) -> Ipld {
    Ipld::List(ints.map(Ipld::Integer).to_vec())
}
