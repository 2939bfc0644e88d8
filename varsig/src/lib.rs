#![doc = include_str!("../README.md")]

mod algorithm;
pub mod ed25519;
mod encoding;
mod header;
mod key;
mod signature;

pub use algorithm::SignatureAlgorithm;
pub use encoding::PayloadEncoding;
pub use header::{HeaderError, Varsig};
pub use key::{PublicKeyError, verifier};
pub use signature::{SignError, Signature, Signer, Verifier, VerifyError};
