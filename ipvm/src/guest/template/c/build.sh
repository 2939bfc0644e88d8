#!/bin/sh
# Builds {{name}}.wasm.
#
# Needs wit-bindgen: cargo install wit-bindgen-cli --locked
# and a C compiler for wasm32-wasi, named by CC: python3 -m pip install ziglang
set -eu
cd "$(dirname "$0")"
mkdir -p build

wit-bindgen c wit --world guest --out-dir build

# The default stack of zig is 16 MiB, which every run would have to be given as
# memory. zig puts the stack first, where overflowing it traps instead of
# overwriting data; with another compiler add -Wl,--stack-first to CC.
# CC is split into words on purpose: it may carry arguments.
#
# The output is a module that says what its types are. IPVM takes it as it is;
# for other hosts, `wasm-tools component new` makes a component of it.
${CC:-python3 -m ziglang cc} --target=wasm32-wasi -mexec-model=reactor \
  -std=c11 -Wall -Wextra -Os -s -I build \
  -Wl,-z,stack-size=65536 \
  guest.c build/guest.c build/guest_component_type.o -o {{name}}.wasm
