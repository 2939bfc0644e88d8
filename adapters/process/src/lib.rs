#![doc = include_str!("../README.md")]

mod arguments;
mod handler;

pub use handler::{ProcessHandler, RUN_COMMAND};
