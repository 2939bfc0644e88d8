//! The machine: wasmtime, held to what is the same everywhere.

mod artifacts;
mod cache;
mod component;
mod componentize;
mod engine;
mod gate;
mod host;
mod lift;
mod limiter;
mod scan;
mod ticker;
mod trusted;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipld_wit::text::shorten;
use ucan_core::{Cid, block};

use crate::{Component, DeterminismProfile, PrepareError, Runtime};
use cache::Cache;
use component::WasmtimeComponent;
use engine::Engines;

pub use artifacts::{Artifacts, ArtifactsError};
pub use componentize::component as encode_component;
pub use engine::RuntimeError;

/// What a [`WasmtimeRuntime`] keeps at hand. Nothing here can influence a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasmtimeOptions {
    /// How many calls can run at once; more wait for their turn. About 4 GiB of address space, not memory, are reserved
    /// for each.
    pub concurrency: u32,
    /// How many compiled components are kept.
    pub cached_components: usize,
    /// How many bytes of compiled code and of types are kept.
    pub cached_bytes: usize,
    /// The largest component that is taken, in bytes.
    pub max_component: usize,
    /// Whose guests are served on their own terms, beside those that keep to ours. This is part of the profile.
    pub compat: Option<Compat>,
}

/// Another runtime, from which people bring their guests and workflows along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compat {
    /// homestar: its looser forms of arguments and its forms of results ([`ipld_wit::homestar`]), its spellings of function
    /// names, and the interfaces `wasi:logging/logging`, which goes into the trace, and `homestar:host/helpers@0.1.1`, whose
    /// clock stands still.
    Homestar,
}

impl Compat {
    /// Its name: `homestar`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Homestar => "homestar",
        }
    }
}

impl FromStr for Compat {
    type Err = UnknownCompat;

    fn from_str(name: &str) -> Result<Self, UnknownCompat> {
        match name {
            "homestar" => Ok(Self::Homestar),
            _ => Err(UnknownCompat(shorten(name, 80))),
        }
    }
}

/// There is no compatibility mode of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no guests are taken on the terms of {0:?}, only on those of \"homestar\"")]
pub struct UnknownCompat(String);

impl Default for WasmtimeOptions {
    /// 32 calls, 256 components, 1 GiB of code, components of up to 64 MiB.
    fn default() -> Self {
        Self { concurrency: 32, cached_components: 256, cached_bytes: 1 << 30, max_component: 64 << 20, compat: None }
    }
}

/// What a runtime has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many components were compiled since the runtime was made.
    pub compiled: u64,
    /// How many were loaded that had been compiled before, by another runtime or by this one.
    pub loaded: u64,
    /// How many compiled components are at hand.
    pub cached: usize,
    /// About how many bytes those take: their code, and the types of their functions.
    pub cached_bytes: usize,
}

/// A [`Runtime`] on wasmtime's optimising compiler.
///
/// Guests have no imports but those that give the same everywhere, no threads, no relaxed arithmetic and one bit pattern for NaN; each call has a fresh
/// instance. Dropping the runtime and all of its components ends its one thread, which watches over the time limits.
#[derive(Debug)]
pub struct WasmtimeRuntime {
    engines: Arc<Engines>,
    cache: Cache,
    artifacts: Option<Artifacts>,
    compiled: AtomicU64,
    loaded: AtomicU64,
    max_component: usize,
}

impl WasmtimeRuntime {
    /// Makes a runtime.
    ///
    /// # Errors
    ///
    /// When the compiler does not support this machine.
    pub fn new(options: &WasmtimeOptions) -> Result<Self, RuntimeError> {
        Ok(Self {
            engines: Arc::new(Engines::new(options.concurrency, options.compat)?),
            cache: Cache::new(options.cached_components, options.cached_bytes),
            artifacts: None,
            compiled: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
            max_component: options.max_component,
        })
    }

    /// The same runtime, which keeps what it compiles, and takes it from there the next time.
    #[must_use]
    pub fn with_artifacts(mut self, artifacts: Artifacts) -> Self {
        self.artifacts = Some(artifacts);
        self
    }

    /// What the runtime has done and holds.
    pub fn stats(&self) -> Stats {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Stats { compiled: count(&self.compiled), loaded: count(&self.loaded), ..self.cache.stats() }
    }

    fn make(&self, cid: &Cid, wasm: &[u8]) -> Result<Arc<WasmtimeComponent>, PrepareError> {
        if let Some(code) = self.artifacts.as_ref().and_then(|artifacts| self.engines.load(artifacts, cid)) {
            let component = WasmtimeComponent::of(&self.engines, code)?;
            self.loaded.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%cid, code = component.code_size(), "loaded a compiled component");
            return Ok(Arc::new(component));
        }
        let component = WasmtimeComponent::compile(&self.engines, wasm)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%cid, bytes = wasm.len(), code = component.code_size(), "compiled a component");
        if let Some(artifacts) = &self.artifacts {
            artifacts.keep(&self.engines.purpose(cid, component.code().engine()), component.code());
        }
        Ok(Arc::new(component))
    }
}

impl Runtime for WasmtimeRuntime {
    fn profile(&self) -> &DeterminismProfile {
        self.engines.profile()
    }

    fn prepared(&self, cid: &Cid) -> Option<Arc<dyn Component>> {
        self.cache.get(cid).map(|component| component as Arc<dyn Component>)
    }

    fn prepare(&self, cid: &Cid, wasm: &[u8]) -> Result<Arc<dyn Component>, PrepareError> {
        if let Some(component) = self.prepared(cid) {
            return Ok(component);
        }
        if wasm.len() > self.max_component {
            return Err(PrepareError::TooLarge { size: wasm.len(), limit: self.max_component });
        }
        // Verified before others can come to wait for this compilation: wrong bytes are this caller's fault alone.
        block::verify(cid, wasm)?;
        let component = self.cache.get_or_make(cid, || self.make(cid, wasm))?;
        Ok(component)
    }
}
