//! Benchmarks of the IPVM crate family.
