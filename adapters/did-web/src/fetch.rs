//! Fetching a document: one connection to one address that was looked at, for each request.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::ring,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use ucan_core::Clock;

use crate::{Location, LocationError, Lookup, Options, location::Host, text::excerpt};

/// The most that the head of an answer may take up, in bytes.
const HEAD: usize = 16 << 10;
/// How many addresses of a host are tried.
const ADDRESSES: usize = 8;

/// Fetches documents over HTTPS, from public addresses.
#[derive(Debug)]
pub(crate) struct Fetcher {
    tls: Arc<ClientConfig>,
    lookup: Arc<dyn Lookup>,
    options: Options,
    places: Semaphore,
}

impl Fetcher {
    pub(crate) fn new(clock: Arc<dyn Clock>, lookup: Arc<dyn Lookup>, options: Options) -> Result<Self, FetchError> {
        let provider = Arc::new(ring::default_provider());
        let mut tls = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(clock)))
            .with_safe_default_protocol_versions()
            .map_err(|error| FetchError::Configuration { detail: error.to_string() })?
            .with_root_certificates(options.roots.clone())
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that could be resumed would be state that one request leaves for the next.
        tls.resumption = Resumption::disabled();
        let places = Semaphore::new(options.max_concurrent.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { tls: Arc::new(tls), lookup, options, places })
    }

    /// The document at a location, or where redirects lead from there.
    pub(crate) async fn fetch(&self, location: Location) -> Result<Vec<u8>, FetchError> {
        let deadline = self.options.deadline;
        let fetch = async {
            // Nobody closes the semaphore.
            let _place = self.places.acquire().await.ok();
            self.follow(location).await
        };
        timeout(deadline, fetch).await.unwrap_or(Err(FetchError::Deadline { deadline }))
    }

    async fn follow(&self, mut location: Location) -> Result<Vec<u8>, FetchError> {
        for _ in 0..=self.options.max_redirects {
            match self.request(&location).await? {
                Answer::Document(document) => return Ok(document),
                Answer::Redirect(to) => {
                    let redirected = |source| FetchError::Redirect { from: url(&location), source };
                    location = location.redirect(&to).map_err(redirected)?;
                }
            }
        }
        Err(FetchError::TooManyRedirects { limit: self.options.max_redirects })
    }

    async fn request(&self, location: &Location) -> Result<Answer, FetchError> {
        let failed = |error: hyper::Error| FetchError::http(location, &error);
        let request = Request::get(location.path())
            .header(header::HOST, location.authority())
            .header(header::ACCEPT, "application/did, application/did+ld+json, application/did+json, application/json")
            .header(header::USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| FetchError::http(location, &error))?;
        let stream = TokioIo::new(self.connect(location).await?);
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD).handshake(stream).await.map_err(failed)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            self.read(location, response).await
        };
        // The connection is driven here and not in a task of its own, so that it ends with the request.
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // The other side has closed it; what it sent before is still to be read.
            _ = connection => exchange.await,
        }
    }

    async fn read(&self, location: &Location, response: Response<Incoming>) -> Result<Answer, FetchError> {
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                return Ok(Answer::Redirect(to.unwrap_or_default().to_owned()));
            }
            _ => return Err(FetchError::Status { url: url(location), status: status.as_u16() }),
        }
        let mut body = response.into_body();
        let mut document = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| FetchError::http(location, &error))?;
            let Some(data) = frame.data_ref() else { continue };
            // What the head says about the length is never relied on: this is.
            if data.len() > self.options.max_body.saturating_sub(document.len()) {
                return Err(FetchError::TooLarge { limit: self.options.max_body });
            }
            document.extend_from_slice(data);
        }
        Ok(Answer::Document(document))
    }

    async fn connect(&self, location: &Location) -> Result<TlsStream<TcpStream>, FetchError> {
        let failed =
            |detail: String| FetchError::Connect { host: excerpt(location.authority()), detail: excerpt(detail) };
        let name = match location.host() {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| failed(error.to_string()))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let addresses = self.addresses(location).await?;
        let patience = self.options.deadline / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut detail = "it has no address".to_owned();
        let mut others = addresses.len();
        for address in addresses {
            let attempt = async {
                let stream = TcpStream::connect(SocketAddr::new(address, location.port())).await?;
                TlsConnector::from(self.tls.clone()).connect(name.clone(), stream).await
            };
            // A host that does not answer at one address leaves time for the others; the last one may take what is left.
            others -= 1;
            let patience = if others > 0 { patience } else { Duration::MAX };
            match timeout(patience, attempt).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => detail = error.to_string(),
                Err(_) => detail = format!("no answer within {patience:?}"),
            }
        }
        Err(failed(detail))
    }

    /// The addresses to connect to, all of them checked.
    ///
    /// One that is not allowed spoils the others: a name that is half public and half private is an attempt to get past.
    async fn addresses(&self, location: &Location) -> Result<Vec<IpAddr>, FetchError> {
        let mut addresses = match location.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self
                .lookup
                .lookup(name)
                .await
                .map_err(|error| FetchError::Lookup { host: excerpt(name), detail: excerpt(error.to_string()) })?,
        };
        if let Some(address) = addresses.iter().copied().find(|address| !self.options.permit(*address)) {
            return Err(FetchError::NotPublic { host: excerpt(location.host().to_string()), address });
        }
        addresses.truncate(ADDRESSES);
        Ok(addresses)
    }
}

enum Answer {
    Document(Vec<u8>),
    Redirect(String),
}

/// Certificates are judged by the clock that was handed in.
#[derive(Debug)]
struct CertificateTime(Arc<dyn Clock>);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().as_secs())))
    }
}

/// A location in an error.
fn url(location: &Location) -> String {
    excerpt(location.to_string())
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Why a document could not be fetched.
///
/// The details are for whoever operates the resolver, not for whoever sent the identifier: they tell what is reachable from here.
/// What hosts have said about themselves is cut after some 120 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The TLS library does not work with these options.
    #[error("TLS cannot be set up: {detail}")]
    Configuration {
        /// What it says.
        detail: String,
    },
    /// The host's addresses could not be found.
    #[error("the addresses of {host} could not be found: {detail}")]
    Lookup {
        /// The host.
        host: String,
        /// What went wrong.
        detail: String,
    },
    /// The host has an address that is not in the public Internet nor in an allowed network, or is in a refused one. The text of
    /// the error does not say which.
    #[error("{host} has an address that is not public")]
    NotPublic {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// There is no connection to the host, or it could not prove who it is.
    #[error("no connection to {host}: {detail}")]
    Connect {
        /// The host.
        host: String,
        /// What went wrong.
        detail: String,
    },
    /// The host does not speak HTTP as it should.
    #[error("{url} could not be read: {detail}")]
    Http {
        /// What was asked for.
        url: String,
        /// What went wrong.
        detail: String,
    },
    /// The host answered with another status than 200.
    #[error("{url} was answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status code.
        status: u16,
    },
    /// A redirect leads to where nobody goes.
    #[error("redirected by {from}: {source}")]
    Redirect {
        /// Where the redirect came from.
        from: String,
        /// What is wrong with where it leads.
        source: LocationError,
    },
    /// There are more redirects than are followed.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// How many are followed.
        limit: usize,
    },
    /// The document is larger than what is read.
    #[error("the document has more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It took too long.
    #[error("not done within {deadline:?}")]
    Deadline {
        /// The time that there was.
        deadline: Duration,
    },
}

impl FetchError {
    fn http(location: &Location, error: &dyn Error) -> Self {
        Self::Http { url: url(location), detail: excerpt(chain(error)) }
    }
}
