//! The configuration of wasmtime, and the profile that describes it, from one table.

use std::collections::BTreeMap;

use ucan_core::{Cid, Ipld};
use wasmparser::Validator;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures};

use super::artifacts::{Artifacts, Purpose};
use super::componentize::ENCODER;
use super::gate::Gate;
use super::host::{self, Host};
use super::limiter::MAX_TABLE_ELEMENTS;
use super::ticker::Ticker;
use crate::{Compat, DeterminismProfile, ProfileError};

/// The release line of wasmtime: its fuel schedule and its compiler's semantics are part of the profile.
const WASMTIME: &str = "48";

/// Bytes of stack for a guest. All guests that were tried are content with it, interpreters included.
const STACK: usize = 512 << 10;

/// The WebAssembly proposals that a guest may use; all others are off. None of these depends on the machine.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// How many components are compiled at once. The compiler takes all processors for one, and much memory for each.
const COMPILERS: u32 = 2;

/// Core instances that a component in the pool may have for each of its slots.
const INSTANCES_PER_SLOT: u32 = 64;
/// Tables that a component in the pool may have for each of its slots.
pub(super) const TABLES_PER_SLOT: u32 = 8;

/// A runtime could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The compiler does not support this machine.
    #[error("wasmtime cannot run here: {detail}")]
    Engine {
        /// What it says.
        detail: String,
    },
    /// The watch over the time limits has no thread.
    #[error("no thread for the time limits: {detail}")]
    Thread {
        /// What the operating system says.
        detail: String,
    },
    /// The profile cannot be described.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// The compilers and what all components share. They differ only in where instances live, which no guest can see.
pub(super) struct Engines {
    /// Instances live in slots that are reserved beforehand: the fast way. Absent where address space is scarce.
    pooled: Option<Linker<Host>>,
    /// Each instance gets memory of its own: for components that do not fit into the slots.
    frugal: Linker<Host>,
    pub(super) compat: Option<Compat>,
    pub(super) gate: Gate,
    compilers: Gate,
    pub(super) ticker: Ticker,
    profile: DeterminismProfile,
}

impl Engines {
    pub(super) fn new(concurrency: u32, compat: Option<Compat>) -> Result<Self, RuntimeError> {
        let concurrency = concurrency.clamp(1, 4096);
        let failed = |error: wasmtime::Error| RuntimeError::Engine { detail: format!("{error:#}") };
        let mut frugal = config();
        // Nothing is reserved beyond what a guest asks for; its memories move as they grow.
        frugal.memory_reservation(0).memory_reservation_for_growth(1 << 20);
        let frugal = Engine::new(&frugal).map_err(failed)?;

        let mut pooled = config();
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(concurrency)));
        let pooled = Engine::new(&pooled)
            .inspect_err(|error| tracing::warn!("instances get memory of their own, which is slower: {error:#}"))
            .ok();

        let engines: Vec<Engine> = pooled.iter().chain([&frugal]).cloned().collect();
        let ticker = Ticker::start(engines).map_err(|error| RuntimeError::Thread { detail: error.to_string() })?;
        let profile = DeterminismProfile::new(description(compat))?;
        let linker = |engine: &Engine| host::linker(engine, compat).map_err(failed);
        let (pooled, frugal) = (pooled.as_ref().map(linker).transpose()?, linker(&frugal)?);
        let (gate, compilers) = (Gate::new(concurrency), Gate::new(COMPILERS));
        Ok(Self { pooled, frugal, compat, gate, compilers, ticker, profile })
    }

    pub(super) fn profile(&self) -> &DeterminismProfile {
        &self.profile
    }

    /// Compiles for the pool, and once more without it what does not fit there. Waits for its turn.
    pub(super) fn compile(&self, wasm: &[u8]) -> Result<Component, wasmtime::Error> {
        let _pass = self.compilers.enter(1);
        let compile = |linker: &Linker<Host>| Component::from_binary(linker.engine(), wasm);
        match self.pooled.as_ref().map(compile) {
            Some(Ok(component)) if self.slots(&component) <= self.gate.slots() => Ok(component),
            // Elsewhere it is invalid, too.
            Some(Err(error)) if !is_valid(wasm) => Err(error),
            _ => compile(&self.frugal),
        }
    }

    /// The component from an artifact, if there is one for either way in which instances live.
    pub(super) fn load(&self, artifacts: &Artifacts, cid: &Cid) -> Option<Component> {
        let load = |linker: &Linker<Host>| artifacts.load(&self.purpose(cid, linker.engine()), linker.engine());
        let pooled = self.pooled.as_ref().and_then(load);
        pooled.filter(|component| self.slots(component) <= self.gate.slots()).or_else(|| load(&self.frugal))
    }

    /// What the artifact of a component is for.
    pub(super) fn purpose(&self, cid: &Cid, engine: &Engine) -> Purpose {
        Purpose::new(cid, self.profile.cid(), engine)
    }

    /// Gives a component that was compiled here what it imports.
    pub(super) fn link(&self, component: &Component) -> Result<InstancePre<Host>, wasmtime::Error> {
        let home = |linker: &&Linker<Host>| Engine::same(linker.engine(), component.engine());
        host::link(self.pooled.as_ref().filter(home).unwrap_or(&self.frugal), component)
    }

    /// How many slots of the pool an instance takes: one for each memory.
    pub(super) fn slots(&self, component: &Component) -> u32 {
        component.resources_required().map_or(u32::MAX, |required| {
            required.num_memories.max(required.num_tables.div_ceil(TABLES_PER_SLOT)).max(1)
        })
    }
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines")
            .field("pooled", &self.pooled.is_some())
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

fn is_valid(wasm: &[u8]) -> bool {
    Validator::new_with_features(FEATURES).validate_all(wasm).is_ok()
}

/// What all engines have in common: all that can influence a result.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        // The fuel of instantiation depends on it.
        .memory_init_cow(true)
        .concurrency_support(false)
        // A trap's message is a result, and must not hold addresses.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let tables = slots.saturating_mul(TABLES_PER_SLOT);
    let instances = slots.saturating_mul(INSTANCES_PER_SLOT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(instances)
        .max_core_instances_per_component(INSTANCES_PER_SLOT)
        .total_memories(slots)
        .max_memories_per_component(slots)
        .max_memories_per_module(slots)
        .total_tables(tables)
        .max_tables_per_component(tables)
        .max_tables_per_module(tables)
        .table_elements(MAX_TABLE_ELEMENTS);
    pool
}

/// The profile in words, for people and for machines that compare.
fn description(compat: Option<Compat>) -> BTreeMap<String, Ipld> {
    let text = |it: &str| Ipld::String(it.to_owned());
    let map = |entries: Vec<(&str, Ipld)>| Ipld::Map(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
    let mut features: Vec<String> =
        FEATURES.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    features.sort_unstable();
    let compatible = compat.map(|compat| ("compat", text(compat.name())));
    let entries = vec![
        ("abi", text("ipld-wit 1")),
        ("runtime", text("wasmtime")),
        ("version", text(WASMTIME)),
        ("compiler", text("cranelift")),
        ("core-modules", text(ENCODER)),
        ("features", Ipld::List(features.into_iter().map(Ipld::String).collect())),
        (
            "imports",
            map(vec![
                ("interfaces", Ipld::List(host::offered(compat).into_iter().map(Ipld::String).collect())),
                (
                    "fuel",
                    map(vec![("call", Ipld::Integer(host::CALL.into())), ("byte", Ipld::Integer(host::BYTE.into()))]),
                ),
            ]),
        ),
        ("instance", text("one for each call")),
        ("nan", text("canonical")),
        ("stack", Ipld::Integer(STACK as i128)),
        (
            "fuel",
            map(vec![("schedule", text("wasmtime 48 default")), ("counts", text("the call, without instantiation"))]),
        ),
        (
            "memory",
            map(vec![
                ("beyond-limit", text("trap")),
                ("initialisation", text("copy-on-write")),
                ("table-elements", Ipld::Integer(MAX_TABLE_ELEMENTS as i128)),
            ]),
        ),
    ];
    entries.into_iter().chain(compatible).map(|(key, value)| (key.to_owned(), value)).collect()
}
