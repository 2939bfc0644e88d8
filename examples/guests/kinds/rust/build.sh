#!/bin/sh
# Builds the component in Rust. Usage: ./build.sh [OUTPUT]   (default: ../kinds-rust.wasm)
#
# Needs cargo with the target wasm32-unknown-unknown, and wasm-tools.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../kinds-rust.wasm}
target=${CARGO_TARGET_DIR:-target}

# The default stack is 1 MiB, which every run would have to be given as memory.
RUSTFLAGS='-C link-arg=-zstack-size=65536' \
  cargo build --locked --release --target wasm32-unknown-unknown

core=$target/wasm32-unknown-unknown/release/ipvm_kinds_rust.wasm
wasm-tools component new "$core" -o "$target/component.wasm"
# What is left of custom sections names tools, not behaviour; it would only
# change the address of the file.
wasm-tools strip --all "$target/component.wasm" -o "$out"
