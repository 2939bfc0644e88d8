//! `ipvm:ipld/blocks`: the blocks that arguments link to, read piece by piece.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ucan_core::{Cid, Ipld, block, dagcbor};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::{Host, Stop, charge};
use crate::Inputs;

pub(in super::super) const INTERFACE: &str = "ipvm:ipld/blocks@1.0.0";

/// The most bytes that one call gives. A longer piece is read in several.
const MOST_READ: u32 = 1 << 20;

/// Which blocks a guest may read, and which it has read.
///
/// It may read what its arguments link to, and what the blocks of the codec dag-cbor link to that it has read.
#[derive(Default)]
pub(in super::super) struct Blocks {
    inputs: Option<Arc<dyn Inputs>>,
    reachable: HashSet<Cid>,
    read: Vec<Cid>,
    /// The block that was read last: most are read from end to end.
    current: Option<(Cid, Bytes)>,
}

impl Blocks {
    /// The blocks that these arguments link to.
    pub(in super::super) fn new(inputs: Option<Arc<dyn Inputs>>, params: &Ipld) -> Self {
        let mut blocks = Self { inputs, ..Self::default() };
        blocks.reach(params);
        blocks
    }

    /// The blocks that were read, in the order in which they were read first.
    pub(in super::super) fn into_read(self) -> Vec<Cid> {
        self.read
    }

    fn reach(&mut self, value: &Ipld) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match value {
                Ipld::Link(cid) => drop(self.reachable.insert(*cid)),
                Ipld::List(items) => open.extend(items),
                Ipld::Map(map) => open.extend(map.values()),
                _ => {}
            }
        }
    }

    fn block(&mut self, cid: &[u8]) -> Result<&Bytes, Stop> {
        let cid = Cid::try_from(cid).map_err(|error| Stop::Trap(format!("{INTERFACE}: not a CID: {error}")))?;
        if !self.reachable.contains(&cid) {
            let message = format!("{INTERFACE}: nothing that was given to this function links to {cid}");
            return Err(Stop::Trap(message));
        }
        if self.current.as_ref().is_none_or(|(current, _)| *current != cid) {
            self.current = None;
            let bytes = self.fetch(&cid)?;
            self.current = Some((cid, bytes));
        }
        // It was put there just now.
        self.current.as_ref().map(|(_, bytes)| bytes).ok_or(Stop::MissingBlock(cid))
    }

    fn fetch(&mut self, cid: &Cid) -> Result<Bytes, Stop> {
        let inputs = self.inputs.as_ref().ok_or(Stop::MissingBlock(*cid))?;
        let found = inputs.block(cid).map_err(|error| Stop::Host(error.to_string()))?;
        let bytes = found.ok_or(Stop::MissingBlock(*cid))?;
        if !self.read.contains(cid) {
            if cid.codec() == block::DAG_CBOR
                && let Ok(value) = dagcbor::decode(&bytes)
            {
                self.reach(&value);
            }
            self.read.push(*cid);
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("read", &self.read).finish_non_exhaustive()
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut blocks = linker.instance(INTERFACE)?;
    blocks.func_wrap("size", |mut store: StoreContextMut<'_, Host>, (cid,): (Vec<u8>,)| {
        charge(&mut store, cid.len())?;
        Ok((store.data_mut().blocks.block(&cid)?.len() as u64,))
    })?;
    blocks.func_wrap("read", |mut store: StoreContextMut<'_, Host>, (cid, offset, length): (Vec<u8>, u64, u32)| {
        let length = length.min(MOST_READ) as usize;
        charge(&mut store, cid.len().saturating_add(length))?;
        let bytes = store.data_mut().blocks.block(&cid)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        // Not a copy of the block: the guest's memory takes it from here.
        Ok((bytes.slice(start..end).to_vec(),))
    })
}
