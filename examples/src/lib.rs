//! Runnable examples of the IPVM crate family.
