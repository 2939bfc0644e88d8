//! A time that passes by being looked at.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource};

use super::super::{Host, charge};
use super::io::Pollable;
use super::{state, versioned};

/// By how many nanoseconds the clock moves with each reading.
const STEP: u64 = 1_000_000;
/// What the clock on the wall shows when a run begins: 2000-01-01T00:00:00Z.
const EPOCH: u64 = 946_684_800;
const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the run began.
#[derive(Debug, Default)]
pub(super) struct Clock(u64);

impl Clock {
    /// What it shows, and a step on.
    fn read(&mut self) -> u64 {
        let now = self.0;
        self.0 = now.saturating_add(STEP);
        now
    }

    pub(super) fn now(&self) -> u64 {
        self.0
    }

    /// Nobody waits: what is waited for is there.
    pub(super) fn pass(&mut self, until: u64) {
        self.0 = self.0.max(until);
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn of(nanoseconds: u64, since: u64) -> Self {
        let rest = nanoseconds % SECOND;
        // Less than a second.
        Self { seconds: since + nanoseconds / SECOND, nanoseconds: u32::try_from(rest).unwrap_or_default() }
    }
}

pub(super) fn link(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    let mut monotonic = linker.instance(&versioned("wasi:clocks/monotonic-clock", version))?;
    monotonic.func_wrap("now", |mut store: StoreContextMut<'_, Host>, (): ()| {
        charge(&mut store, 8)?;
        Ok((state(&mut store).clock.read(),))
    })?;
    monotonic.func_wrap("resolution", |mut store: StoreContextMut<'_, Host>, (): ()| {
        charge(&mut store, 8)?;
        Ok((STEP,))
    })?;
    monotonic.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, Host>, (when,): (u64,)| {
        charge(&mut store, 8)?;
        pollable(&mut store, when)
    })?;
    monotonic.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, Host>, (wait,): (u64,)| {
        charge(&mut store, 8)?;
        let when = state(&mut store).clock.now().saturating_add(wait);
        pollable(&mut store, when)
    })?;
    let mut wall = linker.instance(&versioned("wasi:clocks/wall-clock", version))?;
    wall.func_wrap("now", |mut store: StoreContextMut<'_, Host>, (): ()| {
        charge(&mut store, size_of::<Datetime>())?;
        Ok((Datetime::of(state(&mut store).clock.read(), EPOCH),))
    })?;
    wall.func_wrap("resolution", |mut store: StoreContextMut<'_, Host>, (): ()| {
        charge(&mut store, size_of::<Datetime>())?;
        Ok((Datetime::of(STEP, 0),))
    })
}

fn pollable(store: &mut StoreContextMut<'_, Host>, when: u64) -> wasmtime::Result<(Resource<Pollable>,)> {
    Ok((state(store).pollables.add(when)?,))
}
