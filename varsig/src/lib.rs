#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod algorithm;
mod async_signer;
mod ecdsa;
#[cfg(feature = "ed25519")]
pub mod ed25519;
#[cfg(feature = "eip191")]
pub mod eip191;
mod encoding;
mod header;
#[cfg(feature = "p256")]
pub mod p256;
#[cfg(feature = "p384")]
pub mod p384;
#[cfg(feature = "p521")]
pub mod p521;
mod public_key;
#[cfg(feature = "rsa")]
pub mod rsa;
mod rsa_der;
#[cfg(feature = "secp256k1")]
pub mod secp256k1;
mod secret_key;
mod signature;
mod text;

pub use algorithm::SignatureAlgorithm;
pub use async_signer::{AsyncSigner, SignFuture};
pub use encoding::PayloadEncoding;
pub use header::{HeaderError, Varsig};
pub use public_key::{PublicKey, PublicKeyError, verifier};
pub use secret_key::{SecretKey, SecretKeyError};
pub use signature::{SignError, Signature, Signer, Verifier, VerifyError};
pub use text::UnknownName;
