//! What a host answers to guests that ask: a closed set of interfaces, each of which gives the same on every machine.

mod blocks;
mod homestar;
mod wasi;

use std::collections::BTreeSet;
use std::fmt;

use ucan_core::Cid;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, StoreContextMut, Trap};

use super::limiter::MemoryLimiter;
use crate::trace::Trace;
use crate::{Compat, Execution, PrepareError, Seed};
use wasi::Wasi;

pub(super) use blocks::{Blocks, INTERFACE as BLOCKS};

/// Fuel for each call of the host.
pub(super) const CALL: u64 = 100;
/// Fuel for each byte that a call of the host moves in or out.
pub(super) const BYTE: u64 = 1;
/// How many bytes of values a guest may hand over in one call of the host.
pub(super) const MOST_AT_ONCE: usize = 16 << 20;

/// What the store of a run holds beside the guest.
pub(super) struct Host {
    pub(super) limiter: MemoryLimiter,
    pub(super) trace: Trace,
    pub(super) blocks: Blocks,
    seed: Seed,
    /// Made for guests that ask for it.
    wasi: Option<Box<Wasi>>,
}

impl Host {
    pub(super) fn new(execution: &Execution<'_>, blocks: Blocks) -> Self {
        Self {
            limiter: MemoryLimiter::new(execution.limits.memory),
            trace: Trace::default(),
            blocks,
            seed: execution.seed,
            wasi: None,
        }
    }

    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.seed)))
    }

    /// What is left when the run is over: what the guest said, and what it read.
    pub(super) fn into_observed(mut self) -> (Trace, Vec<Cid>) {
        self.end_lines();
        (self.trace, self.blocks.into_read())
    }
}

/// Why a call of the host ended the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// What the guest asked for breaks the rules of an interface: a trap like any other.
    Trap(String),
    /// A block that it may read is not to be had.
    MissingBlock(Cid),
    /// The host could not do its part.
    Host(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(message) | Self::Host(message) => f.write_str(message),
            Self::MissingBlock(cid) => write!(f, "the block {cid} is missing"),
        }
    }
}

impl std::error::Error for Stop {}

/// Takes the fuel for a call of the host that moves so many bytes.
fn charge(store: &mut StoreContextMut<'_, Host>, bytes: usize) -> wasmtime::Result<()> {
    let cost = CALL.saturating_add(BYTE.saturating_mul(bytes as u64));
    let left = store.get_fuel()?;
    match left.checked_sub(cost) {
        // With none left, the run is out of fuel, also if it ended here.
        Some(left) if left > 0 => store.set_fuel(left),
        _ => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// The names of the interfaces that a host answers, for people.
pub(super) fn offered(compat: Option<Compat>) -> Vec<String> {
    let mut names = vec![blocks::INTERFACE.to_owned()];
    names.extend(wasi::INTERFACES.map(|name| format!("{name}@0.2")));
    if compat == Some(Compat::Homestar) {
        names.extend(homestar::INTERFACES.map(str::to_owned));
    }
    names
}

/// Whether a host answers what is imported by this name.
fn is_offered(name: &str, compat: Option<Compat>) -> bool {
    name == blocks::INTERFACE
        || wasi::version(name).is_some()
        || (compat == Some(Compat::Homestar) && homestar::INTERFACES.contains(&name))
}

/// Refuses what is imported by other names than a host answers.
pub(super) fn check<'a>(imports: impl Iterator<Item = &'a str>, compat: Option<Compat>) -> Result<(), PrepareError> {
    let mut forbidden = imports.filter(|name| !is_offered(name, compat));
    match forbidden.next() {
        None => Ok(()),
        Some(name) => Err(PrepareError::forbidden_import(name, forbidden.count())),
    }
}

/// Gives a component what it imports, all of which is offered.
pub(super) fn link(linker: &Linker<Host>, component: &Component) -> wasmtime::Result<InstancePre<Host>> {
    let ty = component.component_type();
    let versions: BTreeSet<&str> = ty.imports(component.engine()).filter_map(|(name, _)| wasi::version(name)).collect();
    if versions.is_empty() {
        return linker.instantiate_pre(component);
    }
    // Under the names by which it asks, so that what is left over are functions that can never be called with anything.
    let mut linker = linker.clone();
    versions.iter().try_for_each(|version| wasi::link(&mut linker, version))?;
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

/// All that a host answers in one version. A component takes what it imports.
pub(super) fn linker(engine: &Engine, compat: Option<Compat>) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    blocks::link(&mut linker)?;
    if compat == Some(Compat::Homestar) {
        homestar::link(&mut linker)?;
    }
    Ok(linker)
}
