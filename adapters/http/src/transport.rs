//! The client: containers to principals, by URL.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use ucan_core::{Clock, Container, ContainerEncoding, Did};
use ucan_invocation::{Transport, TransportError};

use crate::connector::Connector;
use crate::refusal::{self, Refusal, excerpt};
use crate::{CONTENT_TYPE, FOREVER, RouteError, route};

/// The most that the head of an answer may take up, in bytes.
const HEAD: usize = 64 << 10;

/// How long is waited, how much is read, and who is trusted.
///
/// ```
/// use std::time::Duration;
/// use ipvm_http::TransportOptions;
///
/// let options = TransportOptions::default()
///     .with_connect_timeout(Duration::from_secs(3))
///     .with_timeout(Duration::from_secs(60))
///     .with_max_answer(1 << 20);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct TransportOptions {
    connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_answer: usize,
    max_idle: usize,
    idle_timeout: Duration,
    roots: RootCertStore,
}

impl Default for TransportOptions {
    /// Ten seconds for a connection, ten minutes for an answer, 16 MiB of it, and per host eight idle connections for
    /// 20 seconds, which is less than servers here wait for a next request. Trusted are the certificate authorities
    /// that Mozilla trusts.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(600),
            max_answer: 16 << 20,
            max_idle: 8,
            idle_timeout: Duration::from_secs(20),
            roots: RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        }
    }
}

impl TransportOptions {
    /// How long a connection may take, the look-up of the name and TLS included.
    #[must_use]
    pub fn with_connect_timeout(mut self, patience: Duration) -> Self {
        self.connect_timeout = patience;
        self
    }

    /// How long all of it may take, from the connection to the last byte of the answer. Executors may hold an answer
    /// for minutes, until what was asked for is done.
    #[must_use]
    pub fn with_timeout(mut self, patience: Duration) -> Self {
        self.timeout = patience;
        self
    }

    /// The largest answer that is read, in bytes.
    #[must_use]
    pub fn with_max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// How many connections to one host are kept when nothing is asked for, and for how long.
    #[must_use]
    pub fn with_idle(mut self, connections: usize, patience: Duration) -> Self {
        (self.max_idle, self.idle_timeout) = (connections, patience.min(FOREVER));
        self
    }

    /// The certificate authorities that are trusted, instead of those that Mozilla trusts.
    #[must_use]
    pub fn with_roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }
}

/// A [`Transport`] over HTTP/1.1, to principals at URLs that the host names.
///
/// Connections are kept and used again. Redirects are not followed, and nothing is read from the environment: no proxy,
/// cookie or credential. Sending needs tokio.
pub struct HttpTransport {
    routes: RwLock<BTreeMap<Box<str>, Uri>>,
    client: Client<Connector, Full<Bytes>>,
    timeout: Duration,
    max_answer: usize,
}

impl HttpTransport {
    /// A transport that reaches nobody yet. Certificates are judged by the clock.
    ///
    /// # Errors
    /// [`TlsError`] where the TLS library does not work with these options.
    pub fn new(clock: Arc<dyn Clock>, options: TransportOptions) -> Result<Self, TlsError> {
        let (timeout, max_answer) = (options.timeout, options.max_answer);
        Ok(Self { routes: RwLock::default(), client: client(clock, options)?, timeout, max_answer })
    }

    /// Reaches a principal at a URL from now on, instead of where it was reached before.
    ///
    /// # Errors
    /// [`RouteError`] where the URL is none that containers can be sent to.
    pub fn insert(&self, principal: &Did, url: &str) -> Result<(), RouteError> {
        let uri = route::parse(url)?;
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(principal.principal().into(), uri);
        Ok(())
    }

    /// Reaches a principal no more. What is under way goes on.
    pub fn remove(&self, principal: &Did) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).remove(principal.principal());
    }

    fn route(&self, to: &Did) -> Option<Uri> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).get(to.principal()).cloned()
    }

    async fn post(&self, to: &Did, uri: Uri, body: Vec<u8>) -> Result<Container, TransportError> {
        let failed = |detail: String| TransportError::Failed { to: to.clone(), detail };
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(header::ACCEPT, CONTENT_TYPE)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| failed(chain(&error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            let answer = read(response, self.max_answer).await.map_err(failed)?;
            return Container::decode(&answer).map_err(|error| TransportError::Answer { to: to.clone(), error });
        }
        let said = match read(response, refusal::MOST).await {
            Ok(body) => Refusal::read(&body),
            Err(_) => None,
        };
        match said {
            // Nothing was begun. Of other statuses that is not known.
            Some(failure) if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE => {
                Err(TransportError::Rejected { to: to.clone(), failure })
            }
            Some(failure) => Err(failed(format!("status {status}, {failure}"))),
            None => Err(failed(format!("status {status}"))),
        }
    }
}

/// A client whose certificates are judged by the clock.
pub(crate) fn client(
    clock: Arc<dyn Clock>,
    options: TransportOptions,
) -> Result<Client<Connector, Full<Bytes>>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut tls = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .with_root_certificates(options.roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = Connector { tls: TlsConnector::from(Arc::new(tls)), patience: options.connect_timeout };
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.idle_timeout)
        .pool_max_idle_per_host(options.max_idle)
        .http1_max_buf_size(HEAD)
        .build(connector))
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        let uri = self.route(to).ok_or_else(|| TransportError::NoRoute(to.clone()))?;
        let exchange = self.post(to, uri, container.encode(ContainerEncoding::Raw));
        timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            Err(TransportError::Failed { to: to.clone(), detail: format!("no answer within {:?}", self.timeout) })
        })
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// A body of at most `most` bytes.
pub(crate) async fn read(response: Response<Incoming>, most: usize) -> Result<Vec<u8>, String> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| chain(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        // What the head says about the length is never relied on: this is.
        if data.len() > most.saturating_sub(bytes.len()) {
            return Err(format!("the answer has more than {most} bytes"));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    excerpt(&text)
}

/// Certificates are judged by the clock that was handed in.
#[derive(Debug)]
struct CertificateTime(Arc<dyn Clock>);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().as_secs())))
    }
}

/// The TLS library does not work with these options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(String);
