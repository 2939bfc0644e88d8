//! What a resolver may do.

use std::time::Duration;

use rustls::RootCertStore;

use crate::Network;

/// Limits, and who is trusted.
///
/// ```
/// use std::time::Duration;
/// use ipvm_did_web::Options;
///
/// let options = Options::default()
///     .with_deadline(Duration::from_secs(3))
///     .with_max_body(16 << 10)
///     .with_max_redirects(0)
///     .with_allowed_network("10.1.0.0/16".parse()?);
/// # Ok::<(), ipvm_did_web::NetworkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) deadline: Duration,
    pub(crate) max_body: usize,
    pub(crate) max_redirects: usize,
    pub(crate) allowed: Vec<Network>,
    pub(crate) roots: RootCertStore,
}

impl Default for Options {
    /// Ten seconds, 64 KiB, three redirects, public addresses only, and the certificate authorities that Mozilla trusts.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            max_body: 64 << 10,
            max_redirects: 3,
            allowed: Vec::new(),
            roots: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        }
    }
}

impl Options {
    /// How long resolving a principal may take altogether: names, connections, redirects and the document.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The largest document that is read, in bytes.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How many redirects are followed.
    #[must_use]
    pub fn with_max_redirects(mut self, redirects: usize) -> Self {
        self.max_redirects = redirects;
        self
    }

    /// Lets connections go to these addresses too, although they are not public.
    ///
    /// Whoever can have a token looked at can then have the servers in this range asked for documents.
    #[must_use]
    pub fn with_allowed_network(mut self, network: Network) -> Self {
        self.allowed.push(network);
        self
    }

    /// The certificate authorities that are trusted, instead of those that Mozilla trusts.
    #[must_use]
    pub fn with_roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }
}
