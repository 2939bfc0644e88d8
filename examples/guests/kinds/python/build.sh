#!/bin/sh
# Builds the component in Python. Usage: ./build.sh [OUTPUT]   (default: build/kinds-python.wasm)
#
# Needs componentize-py 0.25.1, of PyPI. The component holds a snapshot of the
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
out=${out:-$PWD/build/kinds-python.wasm}

# Without --stub-wasi it asks for files, a clock and randomness, and is given what
# there is of them when it runs; that is the second one.
componentize-py --wit-path ../wit --world kinds \
  componentize --stub-wasi kinds --output "$out"
componentize-py --wit-path ../wit --world kinds \
  componentize kinds --output "${out%.wasm}-wasi.wasm"
