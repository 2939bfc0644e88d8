//! Runnable examples of the IPVM crate family.

/// The code of the project's README, so that it is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
