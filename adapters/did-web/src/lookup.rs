//! From names to addresses.

use std::{collections::HashMap, fmt, io, net::IpAddr, sync::Arc};

use async_trait::async_trait;

/// Who knows the addresses of a name.
///
/// # Contract
///
/// The implementer returns what it found, in the order in which the addresses are to be tried. It need not look whether they
/// are public: the caller does, connects to exactly the addresses that it looked at, and asks again for each request.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of a name.
    ///
    /// # Errors
    ///
    /// When nobody could be asked, or nobody knows the name.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

#[async_trait]
impl<T: Lookup + ?Sized> Lookup for Arc<T> {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        (**self).lookup(name).await
    }
}

/// The resolver of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        // The port plays no part in the answer.
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A fixed table, for tests and for names that nobody else knows.
#[derive(Clone, Debug, Default)]
pub struct FixedLookup(pub HashMap<String, Vec<IpAddr>>);

#[async_trait]
impl Lookup for FixedLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.get(name).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name is not in the table"))
    }
}
