#!/bin/sh
# Builds the component in Zig. Usage: ./build.sh [OUTPUT]   (default: ../kinds-zig.wasm)
#
# Needs wit-bindgen, wasm-tools and zig, named by ZIG.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
out=${out:-$PWD/../kinds-zig.wasm}
mkdir -p build

# Zig reads the header that is made for C. `exports_api` is shorter than
# `exports_ipvm_kinds_api`.
wit-bindgen c ../wit --world kinds --rename ipvm:kinds/api@1.0.0=api --out-dir build

# The default stack is 16 MiB, which every run would have to be given as memory.
# ZIG is split into words on purpose: it may carry arguments.
${ZIG:-python3 -m ziglang} build-exe -target wasm32-wasi -lc -mexec-model=reactor \
  -O ReleaseSmall -fstrip -I build --stack 65536 \
  kinds.zig build/kinds.c build/kinds_component_type.o \
  -fno-entry -rdynamic -femit-bin=build/core.wasm

wasm-tools component new build/core.wasm -o build/component.wasm
# What is left of custom sections names tools, not behaviour; it would only
# change the address of the file.
wasm-tools strip --all build/component.wasm -o "$out"
