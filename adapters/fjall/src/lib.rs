#![doc = include_str!("../README.md")]

mod blocks;
mod channels;
mod committer;
mod db;
mod error;
mod files;
mod folder;
mod head;
mod journal;
mod recent;
mod record;
mod requests;
mod revocations;
mod rows;
mod schedules;
mod store;
mod traits;
mod verify;

pub use error::{Damage, OpenError};
pub use store::FjallStore;
pub use verify::Report;
