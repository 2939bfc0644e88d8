//! `ipvm:ipld/blocks`: the blocks that arguments link to, read piece by piece.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ucan_core::{Cid, Ipld, block as codec, dagcbor};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::{Host, Stop, charge};
use crate::Inputs;

pub(in super::super) const INTERFACE: &str = "ipvm:ipld/blocks@1.0.0";

/// The most bytes that one call gives. A longer piece is read in several.
const MOST_READ: u32 = 1 << 20;
/// How many blocks one call of a function may read, and how many may be known to it.
const MOST_BLOCKS: usize = 10_000;
const MOST_LINKS: usize = 500_000;

/// Which blocks a guest may read, and which it has read.
///
/// It may read what its arguments link to, and what the blocks of the codec dag-cbor link to that it has read.
#[derive(Default)]
pub(in super::super) struct Blocks {
    inputs: Option<Arc<dyn Inputs>>,
    /// Whether each was read before.
    reachable: HashMap<Cid, bool>,
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
                Ipld::Link(cid) => _ = self.reachable.entry(*cid).or_default(),
                Ipld::List(items) => open.extend(items),
                Ipld::Map(map) => open.extend(map.values()),
                _ => {}
            }
        }
    }

    /// The block that was read last, if it is this one.
    fn current(&self, cid: &Cid) -> Option<Bytes> {
        self.current.as_ref().filter(|(current, _)| current == cid).map(|(_, bytes)| bytes.clone())
    }

    /// A block that was not read last.
    fn fetch(&mut self, cid: &Cid) -> Result<Bytes, Stop> {
        let trap = |problem: String| Err(Stop::Trap(format!("{INTERFACE}: {problem}")));
        let Some(seen) = self.reachable.get_mut(cid) else {
            return trap(format!("nothing that was given to this function links to {cid}"));
        };
        let is_new = !std::mem::replace(seen, true);
        if is_new && self.read.len() == MOST_BLOCKS {
            return trap(format!("more than {MOST_BLOCKS} blocks"));
        }
        self.current = None;
        let inputs = self.inputs.as_ref().ok_or(Stop::MissingBlock(*cid))?;
        let found = inputs.block(cid).map_err(|error| Stop::Host(error.to_string()))?;
        let bytes = found.ok_or(Stop::MissingBlock(*cid))?;
        if is_new {
            self.read.push(*cid);
            if cid.codec() == codec::DAG_CBOR
                && let Ok(value) = dagcbor::decode(&bytes)
            {
                self.reach(&value);
            }
            if self.reachable.len() > MOST_LINKS {
                return trap(format!("more than {MOST_LINKS} links"));
            }
        }
        self.current = Some((*cid, bytes.clone()));
        Ok(bytes)
    }
}

/// A block that the guest names. Another one than the last is paid for by its length, whatever is read of it.
fn block(store: &mut StoreContextMut<'_, Host>, cid: &[u8]) -> wasmtime::Result<Bytes> {
    let cid = Cid::try_from(cid).map_err(|error| Stop::Trap(format!("{INTERFACE}: not a CID: {error}")))?;
    let blocks = &mut store.data_mut().blocks;
    if let Some(bytes) = blocks.current(&cid) {
        return Ok(bytes);
    }
    let bytes = blocks.fetch(&cid)?;
    charge(store, bytes.len())?;
    Ok(bytes)
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("read", &self.read).finish_non_exhaustive()
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("size", |mut store: StoreContextMut<'_, Host>, (cid,): (Vec<u8>,)| {
        charge(&mut store, cid.len())?;
        Ok((block(&mut store, &cid)?.len() as u64,))
    })?;
    interface.func_wrap("read", |mut store: StoreContextMut<'_, Host>, (cid, offset, length): (Vec<u8>, u64, u32)| {
        let length = length.min(MOST_READ) as usize;
        charge(&mut store, cid.len().saturating_add(length))?;
        let bytes = block(&mut store, &cid)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok((bytes.slice(start..end).to_vec(),))
    })
}
