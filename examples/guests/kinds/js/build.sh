#!/bin/sh
# Builds the component in JavaScript. Usage: ./build.sh [OUTPUT]   (default: build/kinds-js.wasm)
#
# Needs componentize-qjs 0.4.5, of npm. The component holds a snapshot of the
# interpreter: each build has other bytes, so keep the file, not the recipe,
# where its address matters.
set -eu
out=${1:-}
case $out in
  '' | /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
mkdir -p build
out=${out:-$PWD/build/kinds-js.wasm}

# Without --sync its functions would be asynchronous. Without --stub-wasi it asks for
# a clock and randomness, which it is given when it runs; that is the second one.
componentize-qjs --wit ../wit --world kinds --js kinds.js \
  --sync --opt-size --stub-wasi --output "$out"
componentize-qjs --wit ../wit --world kinds --js kinds.js \
  --sync --opt-size --output "${out%.wasm}-wasi.wasm"
