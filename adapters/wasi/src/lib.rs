#![doc = include_str!("../README.md")]

mod grants;
mod guest;
mod handler;
mod machine;

pub use grants::{Access, Grants};
pub use handler::{WASI_RUN_COMMAND, WasiError, WasiHandler};
