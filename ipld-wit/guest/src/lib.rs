#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod block;
mod node;
mod types;

pub use block::{BlockReader, Blocks};
pub use ipld_core::cid::Cid;
pub use ipld_core::ipld::Ipld;
pub use node::NodeError;
pub use types::{Item, Link, LinkError, Node};
