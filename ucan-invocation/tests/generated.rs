//! The vectors that `examples/vectors` writes are those in the repository.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../examples/vectors/keys.rs"]
mod keys;
#[path = "../examples/vectors/kit.rs"]
mod kit;
#[path = "../examples/vectors/receipts.rs"]
mod receipts;
#[path = "../examples/vectors/rules.rs"]
mod rules;
#[path = "../examples/vectors/search.rs"]
mod search;
#[path = "../examples/vectors/signatures.rs"]
mod signatures;
#[path = "../examples/vectors/tokens.rs"]
mod tokens;

#[test]
fn the_files_are_up_to_date() {
    for (name, content) in kit::files() {
        let path = kit::folder().join(name);
        let there = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        assert!(there == content, "{name} is not what `cargo run -p ucan-invocation --example vectors` writes");
    }
}
