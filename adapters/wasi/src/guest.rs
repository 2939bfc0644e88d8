//! What one run of a guest has.

use ucan_core::Ipld;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use ipvm_task::Limits;

use crate::Grants;

/// How many bytes of each output are kept.
const OUTPUT: usize = 64 << 10;
/// How many core instances, memories and tables a guest may have.
const INSTANCES: usize = 64;

/// What an element of a table counts for, in bytes.
const ELEMENT: u64 = 8;

/// The memories and tables of a guest, and how many bytes they may take together.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) limit: u64,
    taken: u64,
    /// How many bytes the guest would have had, where that was too much.
    pub(crate) refused: Option<u64>,
}

impl Memory {
    fn grow(&mut self, current: usize, desired: usize, each: u64) -> wasmtime::Result<bool> {
        let wanted = self.taken.saturating_add((desired.saturating_sub(current) as u64).saturating_mul(each));
        if wanted > self.limit {
            self.refused = Some(wanted);
            // A guest that was told would go on in another way.
            return Err(wasmtime::Error::msg("out of memory"));
        }
        self.taken = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(current, desired, 1)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(current, desired, ELEMENT)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}

/// The state of a run.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) memory: Memory,
    outputs: [(&'static str, MemoryOutputPipe); 2],
}

impl Guest {
    pub(crate) fn new(grants: &Grants, limits: &Limits) -> wasmtime::Result<Self> {
        let outputs = ["stdout", "stderr"].map(|name| (name, MemoryOutputPipe::new(OUTPUT)));
        let mut builder = grants.builder()?;
        builder.stdout(outputs[0].1.clone()).stderr(outputs[1].1.clone());
        let memory = Memory { limit: limits.memory, taken: 0, refused: None };
        Ok(Self { wasi: builder.build(), table: ResourceTable::new(), memory, outputs })
    }

    /// What the guest printed, as it stands in receipts: a list of `{to, text}`; none where it printed nothing.
    pub(crate) fn printed(&self) -> Option<Ipld> {
        let mut lines = Vec::new();
        for (to, pipe) in &self.outputs {
            for line in String::from_utf8_lossy(&pipe.contents()).lines() {
                let line =
                    [("to", *to), ("text", line)].map(|(key, text)| (key.to_owned(), Ipld::String(text.to_owned())));
                lines.push(Ipld::Map(line.into()));
            }
        }
        (!lines.is_empty()).then_some(Ipld::List(lines))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
