#![doc = include_str!("../README.md")]

pub mod conformance;
mod keyfile;
mod node;
mod source;
mod state;

pub use node::{Node, NodeError, NodeOptions, OUTPUT};
pub use source::{Source, SourceError};
pub use state::{State, StateError};
