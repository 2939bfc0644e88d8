//! What the machine costs over wasmtime used by hand, with the same limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ipvm_benches::{best, in_turn, row};
use ipvm_task::{Artifacts, Component, Limits, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block};
use wasmtime::component::{ComponentExportIndex, InstancePre, Linker, Val};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, ResourceLimiter, Store};

const GUEST: &str = r#"(component
  (core module $m
    (memory (export "memory") 2)
    (func (export "nop"))
    (func (export "count") (param $n i32) (result i32)
      (local $i i32) (local $sum i32)
      (loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $i)))
        (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
      (local.get $sum)))
  (core instance $i (instantiate $m))
  (func (export "nop") (canon lift (core func $i "nop")))
  (func (export "count") (param "n" u32) (result u32) (canon lift (core func $i "count"))))"#;

const LIMITS: Limits = Limits { time: Duration::from_secs(600), ..Limits::STANDARD };
/// How far a task counts that keeps a processor busy.
const FAR: u32 = 10_000_000;
/// How many tasks there are at once, on as many processors as the machine has.
const AT_ONCE: usize = 64;

/// What a careful user of wasmtime has in a store.
struct Memory(usize);

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.0)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1 << 20)
    }
}

/// Wasmtime, used by hand.
struct ByHand {
    engine: Engine,
    instance: InstancePre<Memory>,
}

impl ByHand {
    fn new(wasm: &[u8], fuel: bool, epochs: bool) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(32).total_core_instances(256).total_memories(32).total_tables(256);
        let mut config = Config::new();
        config
            .consume_fuel(fuel)
            .epoch_interruption(epochs)
            .cranelift_nan_canonicalization(true)
            .cranelift_opt_level(OptLevel::Speed)
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let component = wasmtime::component::Component::from_binary(&engine, wasm).unwrap();
        let instance = Linker::new(&engine).instantiate_pre(&component).unwrap();
        Self { engine, instance }
    }

    fn export(&self, name: &str) -> ComponentExportIndex {
        self.instance.component().get_export_index(None, name).unwrap()
    }

    fn call(&self, fun: &ComponentExportIndex, params: &[Val], results: &mut [Val], fuel: bool, epochs: bool) {
        let mut store = Store::new(&self.engine, Memory(256 << 20));
        store.limiter(|memory| memory);
        store.set_hostcall_fuel(1 << 20);
        if epochs {
            store.set_epoch_deadline(1_000_000);
        }
        if fuel {
            store.set_fuel(LIMITS.fuel).unwrap();
        }
        let instance = self.instance.instantiate(&mut store).unwrap();
        let fun = instance.get_func(&mut store, fun).unwrap();
        fun.call(&mut store, params, results).unwrap();
    }
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn prepare(runtime: &WasmtimeRuntime, wasm: &[u8]) -> Arc<dyn Component> {
    runtime.prepare(&block::raw_cid(wasm), wasm).unwrap()
}

/// A component of about so many bytes of code, which is all different.
fn large(bytes: usize) -> Vec<u8> {
    let mut functions = String::new();
    let mut n = 0;
    while functions.len() < bytes * 9 {
        n += 1;
        let _ = write!(
            functions,
            "(func (param i32 i32) (result i32) (local i32)
              (loop $l
                (local.set 2 (i32.add (i32.mul (local.get 2) (i32.const {n})) (i32.xor (local.get 0) (local.get 1))))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (if (i32.gt_s (local.get 2) (i32.const {})) (then (local.set 1 (i32.rotl (local.get 2) (i32.const 3)))))
                (br_if $l (local.get 0)))
              (i32.load offset={} (i32.and (local.get 2) (i32.const 65532))))",
            n * 7,
            n % 100
        );
    }
    let text = format!(
        r#"(component (core module $m (memory 2) (func (export "nop")) {functions}) (core instance $i (instantiate $m))
            (func (export "nop") (canon lift (core func $i "nop"))))"#
    );
    wat::parse_str(text).unwrap()
}

fn noop(wasm: &[u8]) {
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    let component = prepare(&runtime, wasm);
    let (params, hand) = (Ipld::List(vec![]), ByHand::new(wasm, true, true));
    let nop = hand.export("nop");
    let [by_hand, ours] = in_turn(
        20_000,
        [&mut || hand.call(&nop, &[], &mut [], true, true), &mut || {
            drop(component.call("nop", &params, &LIMITS).unwrap())
        }],
    );
    row("a no-op, instantiated and called: wasmtime by hand", by_hand, None);
    row("  by the machine, all limits on (at most 1.25 x)", ours, Some(by_hand));
}

fn start(what: &str, wasm: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let start = |folder: &std::path::Path| {
        let artifacts = Artifacts::open(folder, [7; 32]).unwrap();
        let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap().with_artifacts(artifacts);
        let began = Instant::now();
        prepare(&runtime, wasm);
        (began.elapsed(), runtime.stats())
    };
    let mut cold = Duration::MAX;
    for round in 0..3 {
        let (took, stats) = start(&folder.path().join(round.to_string()));
        assert_eq!(stats.compiled, 1);
        cold = cold.min(took);
    }
    let mut warm = Duration::MAX;
    for _ in 0..20 {
        let (took, stats) = start(&folder.path().join("0"));
        assert_eq!(stats.loaded, 1);
        warm = warm.min(took);
    }
    row(&format!("{what}, {} kB, prepared from disk", wasm.len() / 1000), warm, None);
    row("  compiled and kept (at least 50 x)", cold, Some(warm));
}

fn busy(wasm: &[u8]) {
    let processors = thread::available_parallelism().unwrap().get();
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    let component = prepare(&runtime, wasm);
    let hand = ByHand::new(wasm, true, true);
    let count = hand.export("count");
    let by_hand = || {
        thread::scope(|scope| {
            for _ in 0..processors {
                scope.spawn(|| {
                    for _ in 0..AT_ONCE / processors {
                        hand.call(&count, &[Val::U32(FAR)], &mut [Val::Bool(false)], true, true);
                    }
                });
            }
        });
    };
    let params = Ipld::List(vec![Ipld::Integer(FAR.into())]);
    let ours = || {
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| drop(component.call("count", &params, &LIMITS).unwrap()));
            }
        });
    };
    let (mut hand_took, mut ours_took) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        hand_took = hand_took.min(best(1, |_| by_hand()));
        ours_took = ours_took.min(best(1, |_| ours()));
    }
    row(&format!("{AT_ONCE} busy tasks in turn on {processors} threads: wasmtime by hand"), hand_took, None);
    row("  all at once by the machine (at most 1 / 0.95 = 1.05 x)", ours_took, Some(hand_took));
}

fn metering(wasm: &[u8]) {
    let mut bare = Duration::ZERO;
    for (what, fuel, epochs) in [
        ("a busy loop: nothing checked", false, false),
        ("  deadline checked", false, true),
        ("  fuel counted", true, false),
        ("  both, as the machine has it", true, true),
    ] {
        let hand = ByHand::new(wasm, fuel, epochs);
        let count = hand.export("count");
        let took = best(10, |_| hand.call(&count, &[Val::U32(FAR)], &mut [Val::Bool(false)], fuel, epochs));
        row(what, took, (!bare.is_zero()).then_some(bare));
        if bare.is_zero() {
            bare = took;
        }
    }
}

fn memory(wasm: &[u8]) {
    const MANY: usize = 100;
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    // Each is another one, by a custom section of its own.
    let components: Vec<Vec<u8>> =
        (0..MANY).map(|n| [wasm, &[0, 5, 1, b'n', (n >> 8) as u8, n as u8, 0]].concat()).collect();
    let before = resident();
    let kept: Vec<_> = components.iter().map(|wasm| prepare(&runtime, wasm)).collect();
    let each = resident().saturating_sub(before) / MANY as u64;
    println!("an idle prepared component of {} bytes: {each} bytes resident", wasm.len());

    let instances = WasmtimeOptions::default().concurrency as usize;
    let params = Ipld::List(vec![Ipld::Integer((u32::MAX / 8).into())]);
    let before = resident();
    let during = thread::scope(|scope| {
        for component in kept.iter().take(instances) {
            scope.spawn(|| drop(component.call("count", &params, &LIMITS)));
        }
        thread::sleep(Duration::from_secs(1));
        resident()
    });
    let each = during.saturating_sub(before) / instances as u64;
    println!("a running instance, with its thread and 128 KiB of untouched memory: {each} bytes resident");
}

fn main() {
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");
    let wasm = wat::parse_str(GUEST).unwrap();
    noop(&wasm);
    println!();
    start("a component of simple functions", &large(286_000));
    start("the guest of all kinds of values in Rust", include_bytes!("../examples/guests/kinds/kinds-rust.wasm"));
    println!();
    busy(&wasm);
    println!();
    metering(&wasm);
    println!();
    memory(&wasm);
}
