#![doc = include_str!("../README.md")]

mod channels;
pub mod conformance;
pub mod file;
pub mod guest;
mod keyfile;
mod keyring;
mod node;
mod source;
mod state;

pub use channels::{Channels, ChannelsError};
pub use ipvm_task::Compat;
pub use keyring::Keyring;
pub use node::{Node, NodeError, NodeOptions, OUTPUT, SystemEntropy};
pub use source::{Source, SourceError};
pub use state::{State, StateError};
