#!/bin/sh
# Builds the component in Rust. Usage: ./build.sh [OUTPUT]   (default: ../dag.wasm)
#
# Needs cargo with the target wasm32-unknown-unknown, and wasm-tools.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../dag.wasm}
target=${CARGO_TARGET_DIR:-target}

# The default stack is 1 MiB, which every run would have to be given as memory. Where the sources lie is no part of the guest.
root=$(cd ../../.. && pwd)
RUSTFLAGS="-C link-arg=-zstack-size=65536 --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$root=/ipvm" \
  cargo build --locked --release --target wasm32-unknown-unknown

core=$target/wasm32-unknown-unknown/release/ipvm_dag_rust.wasm
wasm-tools component new "$core" -o "$target/component.wasm"
# What is left of custom sections names tools, not behaviour; it would only
# change the address of the file.
wasm-tools strip --all "$target/component.wasm" -o "$out"
