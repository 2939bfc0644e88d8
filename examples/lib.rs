//! Runnable examples of the IPVM crate family; this library holds the code of the project's README, so that it is tested.
#![doc = include_str!("../README.md")]
