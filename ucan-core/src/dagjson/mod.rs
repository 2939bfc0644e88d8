//! DAG-JSON, for people and for test vectors: a strict, bounded reader and a writer.
//!
//! Links are `{"/": "<cid>"}` and bytes `{"/": {"bytes": "<base64, not padded>"}}`. Numbers with a fraction or an exponent are
//! floats, all others integers of up to 128 bits, so that `1.0` and `1` stay apart on both ways. Keys may come in any order but
//! not twice.
//!
//! ```
//! use ucan_core::{Ipld, dagjson};
//!
//! let value = dagjson::decode(r#"{"n": 1.0, "b": {"/": {"bytes": "AQI"}}}"#.as_bytes())?;
//! assert!(matches!(value.get("b"), Ok(Some(Ipld::Bytes(bytes))) if bytes == &[1, 2]));
//! assert_eq!(dagjson::encode(&value), r#"{"b":{"/":{"bytes":"AQI"}},"n":1.0}"#);
//!
//! let error = dagjson::decode(b"{\"a\": 1,\n \"a\": 2}").unwrap_err();
//! assert_eq!(error.to_string(), "the key \"a\" occurs twice at line 2, column 2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod reader;
mod writer;

pub use error::{JsonError, JsonErrorKind};
pub use reader::{decode, locate, meaning};
pub use writer::{encode, encode_pretty};

#[cfg(test)]
mod tests;
