#!/bin/sh
# Builds the component in C. Usage: ./build.sh [OUTPUT]   (default: ../kinds-c.wasm)
#
# Needs wit-bindgen, wasm-tools and a C compiler for wasm32-wasi, named by CC.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../kinds-c.wasm}
mkdir -p build

# `exports_api` is shorter than `exports_ipvm_kinds_api`.
wit-bindgen c ../wit --world kinds --rename ipvm:kinds/api@1.0.0=api --out-dir build

# The default stack of zig is 16 MiB, which every run would have to be given as
# memory. zig puts the stack first, where overflowing it traps instead of
# overwriting data; with another compiler add -Wl,--stack-first to CC.
# CC is split into words on purpose: it may carry arguments.
${CC:-python3 -m ziglang cc} --target=wasm32-wasi -mexec-model=reactor \
  -std=c11 -Wall -Wextra -Os -s -I build \
  -Wl,-z,stack-size=65536 \
  kinds.c build/kinds.c build/kinds_component_type.o -o build/core.wasm

wasm-tools component new build/core.wasm -o build/component.wasm
# What is left of custom sections names tools, not behaviour; it would only
# change the address of the file.
wasm-tools strip --all build/component.wasm -o "$out"
