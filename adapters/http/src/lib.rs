#![doc = include_str!("../README.md")]

mod connector;
mod endpoint;
mod patient;
mod refusal;
mod route;
mod server;
mod transport;

pub use endpoint::Endpoint;
pub use route::RouteError;
pub use rustls::RootCertStore;
pub use server::{ServerOptions, serve};
pub use transport::{HttpTransport, TlsError, TransportOptions};

/// What containers are sent as, in both directions: `application/vnd.ipld.dag-cbor`.
pub const CONTENT_TYPE: &str = "application/vnd.ipld.dag-cbor";
