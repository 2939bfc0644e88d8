#![doc = include_str!("../README.md")]

mod graph;
mod resolve;

pub use graph::{Graph, GraphError};
pub use resolve::{ResolveError, resolve, substitute};
pub use ucan_invocation::{Await, Branch, is_pending, promises};
