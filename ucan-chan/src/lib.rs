#![doc = include_str!("../README.md")]

mod amount;
mod args;
mod channel;
mod charge;
mod closing;
mod command;
#[cfg(feature = "contracts")]
pub mod contracts;
mod ending;
mod error;
mod handler;
mod meter;
mod metered;
mod proof;
mod purse;
mod refusal;
mod state;
mod store;
mod tasks;
mod terms;
mod till;
mod voucher;

pub use amount::{MAX, Unit, UnitError};
pub use args::TOKEN;
pub use channel::{Channel, Reservation, Side, Status};
pub use charge::{CHARGE, Charge};
pub use closing::Closing;
pub use command::{CLOSE_COMMAND, Close, DISPUTE_COMMAND, Dispute, OPEN_COMMAND, Open, SETTLE_COMMAND, Settle};
pub use error::{CommandError, IssueError};
pub use handler::ChannelHandler;
pub use meter::Meter;
pub use metered::{Metered, MeteredError, Paid, authorize_metered};
pub use proof::{Cheating, Proof, ProofError};
pub use purse::{Draft, Purse, PurseError};
pub use refusal::{ChannelError, DrawError};
pub use state::{STATE, StateError};
pub use store::{CHANGES, Change, ChannelStore, Commit, Kept, MemoryChannels, check_changes};
pub use tasks::TASKS;
pub use terms::{CHANNEL_COMMAND, DEPTH, Terms, TermsError, chain, is_revoked};
pub use till::{Drawn, Till, TillError};
pub use voucher::{DRAW_COMMAND, Voucher};
