#![doc = include_str!("../README.md")]

mod arena;
#[cfg(feature = "wasmtime")]
mod call;
mod cbor;
mod error;
pub mod homestar;
mod members;
mod read;
mod schema;
mod signature;
mod source;
pub mod text;
mod types;
mod value;
#[cfg(feature = "wasmtime")]
mod wasmtime;
#[cfg(feature = "wave")]
pub mod wave;
mod write;

#[cfg(feature = "wasmtime")]
pub use call::{Arguments, Given};
pub use cbor::{ArgumentBytesError, DecodeError, DecodeErrorKind, FromBytesError, Limits, from_dag_cbor, to_dag_cbor};
pub use error::{ConvertError, Mismatch, Path, Segment};
pub use ipld_core::cid::Cid;
pub use ipld_core::ipld::Ipld;
pub use members::{Members, Named};
pub use read::{check, to_value};
pub use schema::wit_text;
pub use signature::{ArgumentError, Signature};
pub use types::{Case, Field, Type};
pub use value::Value;
#[cfg(feature = "wasmtime")]
pub use wasmtime::{Budget, Exhausted, Unsupported, result_to_ipld, to_val};
#[cfg(feature = "wave")]
pub use wave::{WaveError, from_wave, to_wave};
pub use write::{encoded_len, to_ipld};
