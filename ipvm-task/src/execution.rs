//! One call of a function, with all that it depends on and all that bounds it.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use ucan_core::{Cid, Ipld, StoreError};

use crate::trace::Trace;
use crate::{CallError, Completion, Limits};

/// What everything that looks random to a guest derives from.
pub type Seed = [u8; 32];

/// A call of an exported function.
///
/// What a guest gives depends on the function, its arguments, the seed, and the blocks that the arguments link to; the
/// limits cannot be observed.
#[derive(Clone, Debug)]
pub struct Execution<'a> {
    /// The function: `name`, or `interface#name` for a function of an exported interface.
    pub fun: &'a str,
    /// Its arguments.
    pub params: Params<'a>,
    /// What it may spend.
    pub limits: &'a Limits,
    /// What its random numbers derive from. All zeros unless it is said otherwise.
    pub seed: Seed,
    /// Where the blocks come from that it may read. Without this there are none.
    pub inputs: Option<Arc<dyn Inputs>>,
}

impl<'a> Execution<'a> {
    /// A call with these arguments, which bring no blocks along.
    #[must_use]
    pub fn new(fun: &'a str, params: Params<'a>, limits: &'a Limits) -> Self {
        Self { fun, params, limits, seed: [0; 32], inputs: None }
    }

    /// The same call with random numbers that derive from `seed`.
    #[must_use]
    pub fn with_seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// The same call, which may read the blocks that its arguments link to.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Arc<dyn Inputs>) -> Self {
        self.inputs = Some(inputs);
        self
    }
}

/// The arguments of a call: a list, or a map by parameter name.
#[derive(Clone, Copy, Debug)]
pub enum Params<'a> {
    /// As a tree.
    Ipld(&'a Ipld),
    /// As canonical DAG-CBOR, from which no tree is made.
    DagCbor(&'a [u8]),
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Executed {
    /// What the function gave, or why there is nothing.
    pub result: Result<Completion, CallError>,
    /// What the guest said on the side, also where it came to nothing.
    pub trace: Trace,
    /// The blocks that the guest has read, each once, in the order in which it read them first.
    pub reads: Vec<Cid>,
    /// The fuel that it took, instantiation included. Where the guest was cut off at a place where the machine does not count to
    /// the unit, it is the most that it may have taken, which depends on the limit.
    pub spent: u64,
}

impl From<CallError> for Executed {
    /// A call that never started.
    fn from(error: CallError) -> Self {
        Self { result: Err(error), trace: Trace::default(), reads: Vec::new(), spent: 0 }
    }
}

/// The blocks that a guest may read while it runs.
///
/// # Contract
///
/// What is given hashes to the CID that was asked for. The guest waits for it: implementations block.
pub trait Inputs: Debug + Send + Sync {
    /// The bytes of `cid`, or `None` where they are not to be had.
    ///
    /// # Errors
    ///
    /// When a store cannot be read, or holds other bytes under this CID.
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError>;
}
