//! What a resolver may do.

use std::{net::IpAddr, time::Duration};

use rustls::RootCertStore;

use crate::{
    Network,
    address::{is_public, stands_for},
};

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
///     .with_max_concurrent(8)
///     .with_allowed_network("10.1.0.0/16".parse()?)
///     .with_refused_network("168.63.129.16/32".parse()?);
/// # Ok::<(), ipvm_did_web::NetworkError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) deadline: Duration,
    pub(crate) max_body: usize,
    pub(crate) max_redirects: usize,
    pub(crate) max_concurrent: usize,
    allowed: Vec<Network>,
    refused: Vec<Network>,
    pub(crate) roots: RootCertStore,
}

impl Default for Options {
    /// Ten seconds, 64 KiB, three redirects, 32 documents at the same time, public addresses only, and the certificate authorities that Mozilla trusts.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            max_body: 64 << 10,
            max_redirects: 3,
            max_concurrent: 32,
            allowed: Vec::new(),
            refused: Vec::new(),
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

    /// How many documents are fetched at the same time, at least one. Whoever comes later waits for a place, and the waiting is a
    /// part of the deadline.
    #[must_use]
    pub fn with_max_concurrent(mut self, fetches: usize) -> Self {
        self.max_concurrent = fetches;
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

    /// Lets no connections go to these addresses, although they are public or allowed. IPv6 addresses that stand for one of
    /// them are refused as well, where that can be seen: mapped, NAT64 with the well-known prefix, and 6to4.
    ///
    /// For what looks public and is not: the prefix of the site's own NAT64, the addresses of its own services, those where a
    /// cloud talks to its machines (`168.63.129.16`).
    #[must_use]
    pub fn with_refused_network(mut self, network: Network) -> Self {
        self.refused.push(network);
        self
    }

    /// Whether connections may go to an address.
    pub(crate) fn permit(&self, address: IpAddr) -> bool {
        let within = |networks: &[Network], address| networks.iter().any(|network| network.contains(address));
        let refused = within(&self.refused, address) || within(&self.refused, stands_for(address));
        !refused && (is_public(address) || within(&self.allowed, address))
    }

    /// The certificate authorities that are trusted, instead of those that Mozilla trusts.
    #[must_use]
    pub fn with_roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_neither_public_nor_allowed() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let options = Options::default()
            .with_allowed_network(network("10.0.0.0/8"))
            .with_refused_network(network("10.1.0.0/16"))
            .with_refused_network(network("168.63.129.16/32"))
            .with_refused_network(network("2606:4700:64::/96"));
        for (address, expected) in [
            ("10.2.0.1", true),
            ("10.1.0.1", false),
            ("::ffff:10.1.0.1", false),
            ("192.168.0.1", false),
            ("168.63.129.15", true),
            ("168.63.129.16", false),
            ("::ffff:168.63.129.16", false),
            ("64:ff9b::168.63.129.16", false),
            ("64:ff9b::168.63.129.15", true),
            ("2002:a83f:8110::1", false),
            ("2606:4700:64::10.0.0.1", false),
            ("2606:4700:65::10.0.0.1", true),
        ] {
            assert_eq!(options.permit(address.parse().unwrap()), expected, "{address}");
        }
    }
}
