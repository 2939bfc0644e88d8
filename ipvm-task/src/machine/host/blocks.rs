//! `ipvm:ipld/blocks`: the blocks that arguments link to, read piece by piece.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ucan_core::{Cid, Ipld, block, dagcbor};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::{Host, Stop, charge};
use crate::{Inputs, Params};

pub(in super::super) const INTERFACE: &str = "ipvm:ipld/blocks@1.0.0";

/// The most bytes that one call gives. A longer piece is read in several.
const MOST_READ: u32 = 1 << 20;
/// The most blocks that one run reads: each stands in its receipt.
const MOST_BLOCKS: usize = 10_000;
/// What a block counts for, in bytes of the memory that a run may take, from when it can be read because another links to it.
const REACHED: u64 = 256;

/// Which blocks a guest may read, and which it has read.
///
/// It may read what its arguments link to, and what the blocks of the codec dag-cbor link to that it has read.
#[derive(Default)]
pub(in super::super) struct Blocks {
    inputs: Option<Arc<dyn Inputs>>,
    /// Those that it may read, and whether it has.
    reached: HashMap<Cid, bool>,
    read: Vec<Cid>,
    /// The block that was read last: most are read from end to end.
    current: Option<(Cid, Bytes)>,
}

impl Blocks {
    /// The blocks that these arguments link to.
    pub(in super::super) fn new(inputs: Option<Arc<dyn Inputs>>, params: Params<'_>) -> Self {
        let mut blocks = Self { inputs, ..Self::default() };
        match params {
            Params::Ipld(params) => blocks.reach_tree(params),
            // What cannot be read is refused as arguments.
            Params::DagCbor(bytes) => {
                blocks.reach(dagcbor::links(bytes).unwrap_or_default());
            }
        }
        blocks
    }

    /// The blocks that were read, in the order in which they were read first.
    pub(in super::super) fn into_read(self) -> Vec<Cid> {
        self.read
    }

    fn reach_tree(&mut self, value: &Ipld) {
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match value {
                Ipld::Link(cid) => drop(self.reached.insert(*cid, false)),
                Ipld::List(items) => open.extend(items),
                Ipld::Map(map) => open.extend(map.values()),
                _ => {}
            }
        }
    }

    /// How many of these could not be read before.
    fn reach(&mut self, links: Vec<Cid>) -> u64 {
        let before = self.reached.len();
        for cid in links {
            self.reached.entry(cid).or_insert(false);
        }
        (self.reached.len() - before) as u64
    }

    /// The block by this name, if it is one that may be read.
    fn named(&self, name: &[u8]) -> Result<Cid, Stop> {
        let cid = block::cid_from_bytes(name).ok_or_else(|| trap("not exactly one CID"))?;
        match self.reached.get(&cid) {
            Some(false) if self.read.len() == MOST_BLOCKS => Err(trap(&format!("more than {MOST_BLOCKS} blocks"))),
            Some(_) => Ok(cid),
            None => Err(trap(&format!("nothing that was given to this function links to {cid}"))),
        }
    }

    fn fetch(&self, cid: Cid) -> Result<Bytes, Stop> {
        let inputs = self.inputs.as_ref().ok_or(Stop::MissingBlock(cid))?;
        let found = inputs.block(&cid).map_err(|error| Stop::Host(error.to_string()))?;
        found.ok_or(Stop::MissingBlock(cid))
    }

    /// Notes that a block is read. Gives the number of those that can be read now because it links to them.
    fn note(&mut self, cid: Cid, bytes: &Bytes) -> u64 {
        if self.reached.insert(cid, true) == Some(true) {
            return 0;
        }
        self.read.push(cid);
        let follows = cid.codec() == block::DAG_CBOR;
        if follows { self.reach(dagcbor::links(bytes).unwrap_or_default()) } else { 0 }
    }
}

fn trap(what: &str) -> Stop {
    Stop::Trap(format!("{INTERFACE}: {what}"))
}

/// The bytes of a block that the guest names. Another one than the last is paid for by its length, whatever is read of it.
fn open(store: &mut StoreContextMut<'_, Host>, name: &[u8]) -> wasmtime::Result<Bytes> {
    let blocks = &store.data().blocks;
    let cid = blocks.named(name)?;
    if let Some((current, bytes)) = &blocks.current
        && *current == cid
    {
        return Ok(bytes.clone());
    }
    let bytes = blocks.fetch(cid)?;
    charge(store, bytes.len())?;
    let Host { blocks, limiter, .. } = store.data_mut();
    let more = blocks.note(cid, &bytes);
    limiter.hold(more.saturating_mul(REACHED))?;
    blocks.current = Some((cid, bytes.clone()));
    Ok(bytes)
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut blocks = linker.instance(INTERFACE)?;
    blocks.func_wrap("size", |mut store: StoreContextMut<'_, Host>, (name,): (Vec<u8>,)| {
        charge(&mut store, name.len())?;
        Ok((open(&mut store, &name)?.len() as u64,))
    })?;
    blocks.func_wrap("read", |mut store: StoreContextMut<'_, Host>, (name, offset, length): (Vec<u8>, u64, u32)| {
        let length = length.min(MOST_READ) as usize;
        charge(&mut store, name.len().saturating_add(length))?;
        let bytes = open(&mut store, &name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok((bytes.slice(start..end).to_vec(),))
    })
}
