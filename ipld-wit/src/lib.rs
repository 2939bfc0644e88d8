#![doc = include_str!("../README.md")]

mod error;
pub mod homestar;
mod read;
mod signature;
pub mod text;
mod types;
mod value;
#[cfg(feature = "wasmtime")]
mod wasmtime;
mod write;

pub use error::{ConvertError, Mismatch, Path, Segment};
pub use ipld_core::ipld::Ipld;
pub use read::{check, to_value};
pub use signature::{ArgumentError, Signature};
pub use types::{Case, Field, Type};
pub use value::Value;
#[cfg(feature = "wasmtime")]
pub use wasmtime::{Budget, Exhausted, Unsupported, result_encoded_len, result_to_ipld, to_val};
pub use write::{encoded_len, to_ipld};
