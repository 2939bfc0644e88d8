#![doc = include_str!("../README.md")]

mod arguments;
mod handler;

pub use handler::{MailHandler, SEND_COMMAND};
pub use lettre;
