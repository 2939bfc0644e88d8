#![doc = include_str!("../README.md")]

mod folder;
mod write;

pub use folder::{Folder, FolderError};
pub use write::{WRITE_COMMAND, WriteHandler};
