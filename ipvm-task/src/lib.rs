#![doc = include_str!("../README.md")]

mod call;
mod config;
mod error;
mod handler;
mod limits;
mod machine;
mod profile;
mod runtime;
mod units;

pub use call::{ArgsError, Module, WasmCall};
pub use config::{ConfigError, TaskConfig, Verification};
pub use error::{CallError, ExportError, PrepareError};
pub use handler::{WASM_RUN_COMMAND, WasmHandler};
pub use ipld_wit::{ArgumentError, ConvertError, Signature, Type, Unsupported};
pub use limits::{Bounds, Limits};
pub use machine::{RuntimeError, Stats, WasmtimeOptions, WasmtimeRuntime};
pub use profile::{DeterminismProfile, ProfileError};
pub use runtime::{Completion, Component, Runtime};
