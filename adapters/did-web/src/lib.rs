#![doc = include_str!("../README.md")]

mod address;
mod document;
mod fetch;
mod jwk;
mod location;
mod lookup;
mod options;
mod resolver;
mod text;

pub use address::{Network, NetworkError};
pub use document::{Document, DocumentError, MethodError};
pub use fetch::FetchError;
pub use jwk::JwkError;
pub use location::{Location, LocationError};
pub use lookup::{FixedLookup, Lookup, SystemLookup};
pub use options::Options;
pub use resolver::{DidWeb, DidWebError};
pub use rustls::RootCertStore;
