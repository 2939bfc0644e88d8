//! The IPLD <-> WIT ABI: strict, type-directed, total.
