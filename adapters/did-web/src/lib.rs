#![doc = include_str!("../README.md")]

mod address;
mod fetch;
mod location;
mod lookup;
mod options;

pub use address::{Network, NetworkError};
pub use fetch::FetchError;
pub use location::{Location, LocationError};
pub use lookup::{FixedLookup, Lookup, SystemLookup};
pub use options::Options;
pub use rustls::RootCertStore;
