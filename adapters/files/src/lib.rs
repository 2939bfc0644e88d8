#![doc = include_str!("../README.md")]

mod append;
mod arguments;
mod folder;
mod read;
mod write;

pub use append::{APPEND_COMMAND, AppendHandler};
pub use folder::{Folder, FolderError};
pub use read::{READ_COMMAND, ReadHandler};
pub use write::{WRITE_COMMAND, WriteHandler};
