#![doc = include_str!("../README.md")]

mod channel;
mod voucher;

pub use channel::{Channel, DrawError};
pub use voucher::{DRAW_COMMAND, Voucher, VoucherError};
