#![doc = include_str!("../README.md")]

mod ballot;
mod call;
mod config;
mod error;
mod execution;
mod handler;
mod limits;
mod machine;
mod profile;
mod runtime;
mod trace;
mod units;
mod verification;
mod witness;
mod witnessing;

pub use ballot::{Ballot, NotHeard, Verdict};
pub use call::{ArgsError, Module, WasmCall};
pub use config::{ConfigError, TaskConfig};
pub use error::{CallError, ExportError, PrepareError};
pub use execution::{Executed, Execution, Inputs, Params, Seed};
pub use handler::{WASM_RUN_COMMAND, WasmHandler};
pub use ipld_wit::{ArgumentError, ConvertError, Signature, Type, Unsupported};
pub use limits::{Bounds, Limits};
pub use machine::{
    Artifacts, ArtifactsError, Compat, RuntimeError, Stats, UnknownCompat, WasmtimeOptions, WasmtimeRuntime,
    encode_component,
};
pub use profile::{DeterminismProfile, ProfileError};
pub use runtime::{Completion, Component, Runtime};
pub use trace::{Trace, TraceLine};
pub use verification::Verification;
pub use witness::{Peers, Witness, WitnessError, Witnesses};
pub use witnessing::{ChallengeError, Witnessing};
