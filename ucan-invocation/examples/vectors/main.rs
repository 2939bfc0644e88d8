//! Writes the vectors under `fixtures/invocation` anew: `cargo run -p ucan-invocation --example vectors`.
//!
//! Keys, nonces and times are fixed, so that the same files come out every time. What each case expects is written down
//! here by hand, and not taken from what the code answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "whoever runs it wants to see what is wrong"
)]

mod keys;
mod kit;
mod receipts;
mod rules;
mod search;
mod signatures;
mod tokens;

fn main() {
    for (name, content) in kit::files() {
        let path = kit::folder().join(name);
        std::fs::write(&path, content).unwrap();
        println!("wrote {}", path.display());
    }
}
