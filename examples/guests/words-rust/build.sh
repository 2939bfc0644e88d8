#!/bin/sh
# Builds the words component. Usage: ./build.sh [OUTPUT]   (default: ../words.wasm)
#
# Needs cargo with the target wasm32-unknown-unknown, and wasm-tools.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../words.wasm}
target=${CARGO_TARGET_DIR:-target}

# The default stack is 1 MiB, which every run would have to be given as memory.
RUSTFLAGS='-C link-arg=-zstack-size=65536' \
  cargo build --locked --release --target wasm32-unknown-unknown

core=$target/wasm32-unknown-unknown/release/ipvm_example_words.wasm
wasm-tools component new "$core" -o "$target/words.component.wasm"
# What is left of custom sections names tools, not behaviour; it would only
# change the address of the file.
wasm-tools strip --all "$target/words.component.wasm" -o "$out"
