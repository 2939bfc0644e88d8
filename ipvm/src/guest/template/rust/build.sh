#!/bin/sh
# Builds {{name}}.wasm.
#
# Needs cargo with the target wasm32-unknown-unknown: rustup target add wasm32-unknown-unknown
set -eu
cd "$(dirname "$0")"

# The default stack is 1 MiB, which every run would have to be given as memory.
RUSTFLAGS='-C link-arg=-zstack-size=65536' \
  cargo build --release --target wasm32-unknown-unknown

# It is a module that says what its types are. IPVM takes it as it is; for other
# hosts, `wasm-tools component new` makes a component of it.
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/guest.wasm" {{name}}.wasm
