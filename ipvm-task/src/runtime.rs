//! The seam between tasks and the machine that runs them.

use std::fmt::Debug;
use std::sync::Arc;

use ipld_wit::{Signature, Unsupported};
use ucan_core::{Cid, Ipld};

use crate::{CallError, DeterminismProfile, Executed, Execution, ExportError, Limits, Params, PrepareError};

/// A machine for WebAssembly components.
///
/// # Contract
///
/// - What [`prepare`](Self::prepare) gives is the component that the CID names: the bytes are verified.
/// - A component that imports anything but what the profile says the host offers is refused before anything of it runs.
/// - Each call sees a fresh instance, under its own limits.
/// - Equal profiles mean equal outputs and equal fuel, on every machine.
///
/// Everything here computes and blocks: async callers use a blocking thread.
pub trait Runtime: Debug + Send + Sync {
    /// What can influence a result.
    fn profile(&self) -> &DeterminismProfile;

    /// The component, if it is at hand already, so that its bytes need not be fetched.
    fn prepared(&self, cid: &Cid) -> Option<Arc<dyn Component>>;

    /// Makes a component ready to run. Several threads that ask for one CID at once share the work.
    ///
    /// # Errors
    ///
    /// When `wasm` is not what `cid` names, is no component, or is one that asks for more than the host offers.
    fn prepare(&self, cid: &Cid, wasm: &[u8]) -> Result<Arc<dyn Component>, PrepareError>;
}

/// A component that is ready to run.
pub trait Component: Debug + Send + Sync {
    /// The functions that can be called, by name: `name`, or `interface#name` for a function of an exported interface.
    fn exports(&self) -> Vec<(&str, &Signature)>;

    /// Exported functions that cannot be called, by name, each with what stands in the way.
    fn uncallable(&self) -> Vec<(&str, &Unsupported)>;

    /// The interfaces of the host that it asks for, by the names by which it imports them. A component that asks for
    /// nothing is *pure*.
    fn imports(&self) -> &[String];

    /// The type of an exported function.
    ///
    /// # Errors
    ///
    /// When there is no such function, or it uses types that IPLD cannot carry.
    fn signature(&self, fun: &str) -> Result<&Signature, ExportError>;

    /// Checks arguments without running anything. Those for which `open` says that they are not known yet are taken to fit.
    ///
    /// # Errors
    ///
    /// When there is no such function, or the arguments do not fit it.
    fn check(&self, fun: &str, params: &Ipld, open: &dyn Fn(&Ipld) -> bool) -> Result<(), CallError> {
        Ok(self.signature(fun)?.check_known(params, open)?)
    }

    /// Runs a function in a fresh instance.
    ///
    /// A function that gives the error arm of a `result` has completed: its output is `{error: ..}`.
    fn execute(&self, execution: &Execution<'_>) -> Executed;

    /// Runs a function in a fresh instance, for its result alone.
    ///
    /// # Errors
    ///
    /// When the function cannot be called with these arguments, fails, or exceeds a limit.
    fn call(&self, fun: &str, params: &Ipld, limits: &Limits) -> Result<Completion, CallError> {
        self.execute(&Execution::new(fun, Params::Ipld(params), limits)).result
    }
}

/// A call that came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What the function gave; null if it gives nothing.
    pub output: Ipld,
    /// Fuel used by the call: the same on every machine.
    pub fuel: u64,
    /// Fuel used before the call, to instantiate the component. It can differ between operating systems.
    pub instantiation_fuel: u64,
}
