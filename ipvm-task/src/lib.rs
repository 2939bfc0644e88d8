//! IPVM tasks: a deterministic, metered Wasm machine and its limits.
