#!/bin/sh
# Builds the guest as a core module that states its types and imports WASI preview 1.
# Usage: ./build.sh [OUTPUT]   (default: ../survey.wasm)
#
# Needs cargo with the target wasm32-wasip1, and wasm-tools. The machine makes a
# component of the module by itself.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../survey.wasm}
target=${CARGO_TARGET_DIR:-target}

# The default stack is 1 MiB, which every run would have to be given as memory. Where the sources lie is no part of the guest.
RUSTFLAGS="-C link-arg=-zstack-size=65536 --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
  cargo build --locked --release --target wasm32-wasip1

# What is left of custom sections names tools, not behaviour, but for the types.
wasm-tools strip --delete '^(name|producers|target_features)$' \
  "$target/wasm32-wasip1/release/ipvm_survey_rust.wasm" -o "$out"
