//! Where the document of a principal is.

use std::{fmt, net::IpAddr};

use hyper::Uri;
use rustls::pki_types::ServerName;
use ucan_core::Did;

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// An `https` URL.
///
/// ```
/// use ipvm_did_web::Location;
///
/// let of = |did: &str| Location::of(&did.parse().unwrap()).map(|location| location.to_string());
/// assert_eq!(of("did:web:example.com")?, "https://example.com/.well-known/did.json");
/// assert_eq!(of("did:web:example.com%3A8443:users:alice")?, "https://example.com:8443/users/alice/did.json");
/// assert!(of("did:web:127.0.0.1").is_err());
/// assert!(of("did:web:example.com:..:admin").is_err());
/// # Ok::<(), ipvm_did_web::LocationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    host: Host,
    port: u16,
    path: String,
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// A name to look up, in lowercase.
    Name(String),
    /// An address, which only redirects can give.
    Address(IpAddr),
}

impl Location {
    /// Where the document of a `did:web` principal is (did:web method, "Read"). Fragments are ignored.
    ///
    /// # Errors
    ///
    /// When it is not a `did:web`, names no host in the domain name system, or a path that servers could take for another one.
    pub fn of(did: &Did) -> Result<Self, LocationError> {
        let Some(id) = Some(did.id()).filter(|_| did.method() == "web") else {
            return Err(LocationError::Method);
        };
        let mut segments = id.split(':');
        let authority = segments.next().unwrap_or_default();
        let (host, port) = match authority.split_once('%') {
            None => (authority, HTTPS),
            Some((host, port)) => {
                let port = port.strip_prefix("3A").or_else(|| port.strip_prefix("3a")).ok_or(LocationError::Host)?;
                (host, read_port(port)?)
            }
        };
        let Host::Name(host) = Host::read(host)? else {
            return Err(LocationError::Host);
        };
        let mut path = String::new();
        for segment in segments {
            if !is_plain(segment) {
                return Err(LocationError::Path);
            }
            path.push('/');
            path.push_str(segment);
        }
        if path.is_empty() {
            path.push_str("/.well-known");
        }
        path.push_str("/did.json");
        Ok(Self { host: Host::Name(host), port, path })
    }

    /// Where a redirect from here leads: to an absolute `https` URL, or an absolute path on the same host.
    ///
    /// # Errors
    ///
    /// When it leads to another scheme, to a host that is not one, or is written in another form.
    pub(crate) fn redirect(&self, to: &str) -> Result<Self, LocationError> {
        // A fragment is for those who read the document; it is never sent.
        let to = to.split('#').next().unwrap_or_default();
        let uri: Uri = to.parse().map_err(|_| LocationError::Redirect)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        if !path.starts_with('/') {
            return Err(LocationError::Redirect);
        }
        let path = path.to_owned();
        match (uri.scheme_str(), uri.authority()) {
            // `//host/path` would be another host: nobody needs it, and readers disagree about it.
            (None, None) if !path.starts_with("//") => Ok(Self { path, ..self.clone() }),
            (Some("https"), Some(authority)) => {
                // Names and passwords in URLs are only ever there to mislead.
                if authority.as_str().contains('@') {
                    return Err(LocationError::Host);
                }
                let port = match authority.as_str().strip_prefix(authority.host()) {
                    Some("") => HTTPS,
                    Some(port) => read_port(port.strip_prefix(':').ok_or(LocationError::Host)?)?,
                    None => return Err(LocationError::Host),
                };
                Ok(Self { host: Host::read(authority.host())?, port, path })
            }
            (Some(_), _) => Err(LocationError::Insecure),
            _ => Err(LocationError::Redirect),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The host, with the port where it is not the usual one: what the `Host` header says.
    pub(crate) fn authority(&self) -> String {
        match self.port {
            HTTPS => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

impl Host {
    fn read(text: &str) -> Result<Self, LocationError> {
        let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = literal.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.to_ascii_lowercase();
        // `127.1` and `0x7f000001` are addresses to some readers and names to others.
        let last = name.rsplit('.').next().unwrap_or_default();
        // A last label that is empty, after a dot at the end, is none of them: certificates and documents write names without it.
        let numeric = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
        if numeric || !matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_))) {
            return Err(LocationError::Host);
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A port has one spelling.
fn read_port(text: &str) -> Result<u16, LocationError> {
    let port = text.parse().ok().filter(|port: &u16| *port > 0 && port.to_string() == text);
    port.ok_or(LocationError::Port)
}

/// Whether a segment of a path stays one, and the same, whoever reads it.
fn is_plain(segment: &str) -> bool {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(first) = rest.chars().next() {
        let escaped = rest.get(1..3).filter(|_| first == '%');
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            // The syntax of DIDs leaves no `%` that is not an escape.
            None => {
                decoded.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    let separates = |byte: &u8| matches!(byte, b'/' | b'\\' | b'%' | b'?' | b'#') || byte.is_ascii_control();
    !decoded.is_empty() && decoded != b"." && decoded != b".." && !decoded.iter().any(separates)
}

/// Why there is no place to look for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The principal has another DID method.
    #[error("not a did:web")]
    Method,
    /// The host is not a name in the domain name system.
    #[error("the host is not a domain name")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A segment of the path is empty, `.` or `..`, or hides a separator in an escape.
    #[error("the path does not consist of plain names")]
    Path,
    /// A redirect leads to something else than `https`.
    #[error("the redirect does not lead to https")]
    Insecure,
    /// A redirect is neither an absolute URL nor an absolute path.
    #[error("the redirect is neither an absolute URL nor an absolute path")]
    Redirect,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(did: &str) -> Result<String, LocationError> {
        Location::of(&did.parse().unwrap()).map(|location| location.to_string())
    }

    #[test]
    fn the_examples_of_the_method() {
        for (did, url) in [
            ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
            ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
            ("did:web:example.com%3A3000:user:alice", "https://example.com:3000/user/alice/did.json"),
            ("did:web:EXAMPLE.com%3a443#key", "https://example.com/.well-known/did.json"),
            ("did:web:example.com:a%20b", "https://example.com/a%20b/did.json"),
            ("did:web:localhost", "https://localhost/.well-known/did.json"),
        ] {
            assert_eq!(of(did).as_deref(), Ok(url), "{did}");
        }
    }

    #[test]
    fn what_has_no_location() {
        use LocationError::{Host, Method, Path, Port};
        for (did, error) in [
            ("did:key:z6Mk", Method),
            ("did:webs:example.com", Method),
            ("did:web:127.0.0.1", Host),
            ("did:web:127.1", Host),
            ("did:web:0x7f000001", Host),
            ("did:web:2130706433", Host),
            ("did:web:example.0x1", Host),
            ("did:web:a..b", Host),
            ("did:web:a.b.", Host),
            ("did:web:-a.b", Host),
            ("did:web:a%2Fb", Host),
            ("did:web:a%40b", Host),
            ("did:web:%5B%3A%3A1%5D", Host),
            ("did:web:%C3%A9.com", Host),
            ("did:web:a%3A", Port),
            ("did:web:a%3A0", Port),
            ("did:web:a%3A080", Port),
            ("did:web:a%3A65536", Port),
            ("did:web:a%3A80%3A80", Port),
            ("did:web:a%3A%2B80", Port),
            ("did:web:a::b", Path),
            ("did:web:a:.:b", Path),
            ("did:web:a:..:b", Path),
            ("did:web:a:%2e%2E:b", Path),
            ("did:web:a:b%2Fc", Path),
            ("did:web:a:b%5Cc", Path),
            ("did:web:a:b%00", Path),
            ("did:web:a:b%0Ac", Path),
            ("did:web:a:%252e", Path),
            ("did:web:a:b%3Fc", Path),
            ("did:web:a:b%23", Path),
        ] {
            assert_eq!(of(did), Err(error), "{did}");
        }
    }

    #[test]
    fn redirects() {
        use LocationError::{Host, Insecure, Port, Redirect};
        let from = Location::of(&"did:web:a.example%3A8443:x".parse().unwrap()).unwrap();
        let to = |to: &str| from.redirect(to).map(|location| location.to_string());
        for (text, url) in [
            ("/y.json?z=1#f", "https://a.example:8443/y.json?z=1"),
            ("https://b.example", "https://b.example/"),
            ("https://B.example:8443/c", "https://b.example:8443/c"),
            ("https://1.2.3.4/", "https://1.2.3.4/"),
            ("https://[::1]:9/", "https://[::1]:9/"),
        ] {
            assert_eq!(to(text).as_deref(), Ok(url), "{text}");
        }
        for (text, error) in [
            ("http://b.example/", Insecure),
            ("ftp://b.example/", Insecure),
            ("//b.example/", Redirect),
            ("y.json", Redirect),
            ("", Redirect),
            ("*", Redirect),
            ("https://user:pass@b.example/", Host),
            ("https://127.1/", Host),
            ("https://0x7f.1/", Host),
            ("https://b.example:/", Port),
            ("https://b.example:099999/", Port),
        ] {
            assert_eq!(to(text), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        /// What a redirect leads to is an `https` URL that means the same when it is read again.
        #[test]
        fn redirects_have_one_meaning(
            text in "(https?:)?(//)?([a-z0-9.:@\\[\\]%-]{0,12}|1\\.2\\.3\\.4|\\[::1\\])(:[0-9]{0,5})?(/[ -~ä]{0,12})?",
        ) {
            let from = Location::of(&"did:web:a.example:x".parse().unwrap()).unwrap();
            if let Ok(location) = from.redirect(&text) {
                let url = location.to_string();
                proptest::prop_assert!(url.starts_with("https://"));
                proptest::prop_assert!(!location.authority().contains('@'));
                proptest::prop_assert_eq!(from.redirect(&url), Ok(location));
            }
        }
    }
}
