//! Laws that hold for every input, each a function of bytes that panics when it is broken.
//!
//! The fuzz targets look for such bytes; the tests of `ucan-invocation` include this module and replay what was found, and the
//! seeds, without any fuzzer.

mod chains;
mod choices;
mod containers;
mod data;
mod keys;
mod names;
mod policies;
mod reference;
mod signatures;
mod tokens;

pub use chains::chain;
pub use containers::{car, container};
pub use data::{dagcbor, dagjson};
pub use keys::{key, signature};
pub use names::{command, did, varsig};
pub use policies::{policy, selector};
pub use signatures::ed25519;
pub use tokens::token;

/// A law, by the name of its fuzz target, which is also that of its folders of seeds and regressions.
pub type Law = (&'static str, fn(&[u8]));

/// Every law.
pub const LAWS: [Law; 14] = [
    ("car", car),
    ("chain", chain),
    ("command", command),
    ("container", container),
    ("dagcbor", dagcbor),
    ("dagjson", dagjson),
    ("did", did),
    ("ed25519", ed25519),
    ("key", key),
    ("policy", policy),
    ("selector", selector),
    ("signature", signature),
    ("token", token),
    ("varsig", varsig),
];
