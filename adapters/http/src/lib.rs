#![doc = include_str!("../README.md")]

mod connector;
mod endpoint;
mod origin;
mod patient;
mod refusal;
mod route;
mod server;
mod transport;

pub use endpoint::Endpoint;
pub use hyper::header::{HeaderName, HeaderValue};
pub use origin::{HTTP_COMMANDS, Origin, OriginError};
pub use route::RouteError;
pub use rustls::RootCertStore;
pub use server::{ServerOptions, serve};
pub use transport::{HttpTransport, TlsError, TransportOptions};

/// What containers are sent as, in both directions: `application/vnd.ipld.dag-cbor`.
pub const CONTENT_TYPE: &str = "application/vnd.ipld.dag-cbor";

/// As long as anybody waits. What is longer, such as `Duration::MAX`, would overflow the clock within hyper.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);
