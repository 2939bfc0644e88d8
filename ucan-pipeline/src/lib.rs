#![doc = include_str!("../README.md")]

mod graph;
mod measure;
mod parts;
mod resolve;

pub use graph::{CriticalPath, Graph, GraphError, dataflow};
pub use parts::awaits;
pub use resolve::{
    Bounds, Promises, Quantity, ResolveError, Resolved, resolve, resolve_args, resolve_task, substitute,
};
pub use ucan_invocation::{Await, Branch, is_pending, promises};
