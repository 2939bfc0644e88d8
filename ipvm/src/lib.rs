#![doc = include_str!("../README.md")]

mod channels;
pub mod conformance;
mod fault;
pub mod file;
pub mod guest;
pub mod homestar;
mod keyfile;
mod keyring;
mod node;
mod secrets;
mod source;
mod state;
mod text;
mod wishes;

pub use channels::{Channels, ChannelsError};
pub use ipvm_task::Compat;
pub use keyring::Keyring;
pub use node::{Node, NodeError, NodeOptions, OUTPUT, SystemEntropy, VAULT};
pub use secrets::{GET_COMMAND, SecretError, SecretHandler, Secrets};
pub use source::{Source, SourceError};
pub use state::{State, StateError};
pub use text::{Format, Spot, Text, TextError, TextErrorKind};
pub use wishes::{Asked, Wish};
