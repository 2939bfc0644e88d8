//! A server that answers as badly as a test needs it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipvm_did_web::{FixedLookup, RootCertStore};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use ucan_core::{Did, FixedClock, Timestamp};
use varsig::PublicKey;

/// Some time in 2026.
pub(crate) fn clock() -> FixedClock {
    FixedClock(Timestamp::from_secs(1_767_225_600).unwrap())
}

pub(crate) fn fixed(table: &[(&str, &[&str])]) -> FixedLookup {
    let parse = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    FixedLookup(table.iter().map(|(name, addresses)| ((*name).to_owned(), parse(addresses))).collect::<HashMap<_, _>>())
}

/// A document with one key.
pub(crate) fn document(did: &str, key: &PublicKey, relationships: &[&str]) -> String {
    let text = Did::from_public_key(key).id().to_owned();
    let method = json!({"id": "#key", "type": "Multikey", "controller": did, "publicKeyMultibase": text});
    let mut document = json!({"id": did, "verificationMethod": [method]});
    for name in relationships {
        document[name] = json!(["#key"]);
    }
    document.to_string()
}

#[derive(Clone)]
pub(crate) enum Reply {
    Whole(Vec<u8>),
    Redirect(String),
    Status(u16),
    /// A body in chunks, for ever.
    Endless,
    /// A header line that never ends.
    EndlessHead,
    /// An empty document, after a header line of so many bytes.
    LongHead(usize),
    /// A body of so many bytes, which ends where the connection does.
    WithoutLength(usize),
    /// Half of the body that its head promises.
    CutShort,
    /// One byte now and then.
    Slow,
    /// Nothing.
    Silent,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(body.into())
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::Redirect(to.to_owned())
    }

    async fn write(self, stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
        match self {
            Self::Whole(body) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&body).await?;
            }
            Self::Redirect(to) => {
                let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Self::Status(status) => {
                let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Self::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"40\r\n").await?;
                    stream.write_all(&[b' '; 64]).await?;
                    stream.write_all(b"\r\n").await?;
                    stream.flush().await?;
                }
            }
            Self::EndlessHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-more: ").await?;
                loop {
                    stream.write_all(b"and more, ").await?;
                }
            }
            Self::LongHead(size) => {
                let head = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 2\r\n\r\n{{}}", "x".repeat(size));
                stream.write_all(head.as_bytes()).await?;
            }
            Self::WithoutLength(size) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                stream.write_all(&vec![b' '; size]).await?;
            }
            Self::CutShort => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{}").await?,
            Self::Slow => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Self::Silent => std::future::pending().await,
        }
        stream.shutdown().await
    }
}

/// A server on 127.0.0.1, with a certificate for `a.test`, `b.test` and `localhost`. It stops when it is dropped.
pub(crate) struct Server {
    port: u16,
    certificate: CertificateDer<'static>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers requests: given the `Host` header and the path.
    pub(crate) async fn start(handler: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        let names = ["a.test", "b.test", "localhost"].map(str::to_owned).to_vec();
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = signed.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let (counter, handler) = (requests.clone(), Arc::new(handler));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counter, handler) = (acceptor.clone(), counter.clone(), handler.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some((host, path)) = request(&mut stream).await else { return };
                    counter.fetch_add(1, Ordering::SeqCst);
                    // Readers that have had enough close the connection.
                    let _ = handler(&host, &path).write(&mut stream).await;
                });
            }
        });
        Self { port, certificate, requests, task }
    }

    /// The `did:web` of a host here, with a path.
    pub(crate) fn did(&self, host_and_path: &str) -> Did {
        let (host, path) = host_and_path.split_once(':').unwrap_or((host_and_path, ""));
        let colon = if path.is_empty() { "" } else { ":" };
        format!("did:web:{host}%3A{}{colon}{path}", self.port).parse().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The host and the path of a request.
async fn request(stream: &mut TlsStream<TcpStream>) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let host = head.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned();
    Some((host, path))
}
