//! The server: connections, and what they may cost.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::patient::Patient;
use crate::refusal::Refusal;
use crate::{Endpoint, FOREVER};

/// The most that the head of a request may take up, in bytes.
const HEAD: usize = 16 << 10;
/// How long nothing is accepted where the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What strangers may cost a server.
///
/// ```
/// use std::time::Duration;
/// use ipvm_http::ServerOptions;
///
/// let options = ServerOptions::default()
///     .with_max_body(1 << 20)
///     .with_max_requests(64)
///     .with_body_timeout(Duration::from_secs(10));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub(crate) max_body: usize,
    pub(crate) max_requests: usize,
    pub(crate) max_memory: usize,
    pub(crate) max_connections: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) drain_timeout: Duration,
}

impl Default for ServerOptions {
    /// 16 MiB of a body; 1024 requests at the same time, with 256 MiB in all; 2048 connections; 30 seconds each for the
    /// head, for the body, for a client to take some of an answer, and for what is under way when the server ends.
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self {
            max_body: 16 << 20,
            max_requests: 1024,
            max_memory: 256 << 20,
            max_connections: 2048,
            head_timeout: patience,
            body_timeout: patience,
            write_timeout: patience,
            drain_timeout: patience,
        }
    }
}

impl ServerOptions {
    /// The largest body that is read, in bytes. Beyond that the status is 413.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How many requests are read and carried out at the same time. Beyond that the status is 503.
    #[must_use]
    pub fn with_max_requests(mut self, requests: usize) -> Self {
        self.max_requests = requests.min(MOST);
        self
    }

    /// How many bytes the bodies of all these requests may have together. Beyond that the status is 503.
    #[must_use]
    pub fn with_max_memory(mut self, bytes: usize) -> Self {
        self.max_memory = bytes.min(MOST);
        self
    }

    /// How many connections are open at the same time. Beyond that they wait to be accepted.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(1, MOST);
        self
    }

    /// How long a connection may take over the head of a request, from the end of the one before.
    #[must_use]
    pub fn with_head_timeout(mut self, patience: Duration) -> Self {
        self.head_timeout = patience.min(FOREVER);
        self
    }

    /// How long the body of a request may take. Beyond that the status is 408.
    #[must_use]
    pub fn with_body_timeout(mut self, patience: Duration) -> Self {
        self.body_timeout = patience;
        self
    }

    /// How long a client may take nothing of its answer before the connection is closed.
    #[must_use]
    pub fn with_write_timeout(mut self, patience: Duration) -> Self {
        self.write_timeout = patience;
        self
    }

    /// How long a server that ends waits for what is under way.
    #[must_use]
    pub fn with_drain_timeout(mut self, patience: Duration) -> Self {
        self.drain_timeout = patience;
        self
    }
}

/// What a semaphore can count to, on every platform.
const MOST: usize = u32::MAX as usize >> 3;

/// Answers requests for `path` on a listener, until `shutdown` is done. Other paths have the status 404.
///
/// Then nothing more is accepted, connections without a request are closed, and what is under way is carried out and
/// answered, as long as [`ServerOptions::with_drain_timeout`] says; what takes longer goes on without a connection
/// while the runtime does. Where the future of this function is dropped, connections that were accepted go on.
pub async fn serve(listener: TcpListener, path: &str, endpoint: Endpoint, shutdown: impl Future<Output = ()>) {
    let path: Arc<str> = path.into();
    let connections = Arc::new(Semaphore::new(endpoint.options.max_connections));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(endpoint.options.head_timeout).max_buf_size(HEAD);
    let accept = async {
        loop {
            // Nobody closes the semaphore.
            let Ok(place) = connections.clone().acquire_owned().await else { return };
            let stream = accept(&listener).await;
            let (endpoint, path) = (endpoint.clone(), path.clone());
            let stream = TokioIo::new(Patient::new(stream, endpoint.options.write_timeout));
            let service = service_fn(move |request: Request<Incoming>| {
                let (endpoint, path) = (endpoint.clone(), path.clone());
                async move {
                    if request.uri().path() != &*path {
                        let refusal = Refusal::new(StatusCode::NOT_FOUND, "NotFound", "there is nothing at this path");
                        return Ok::<_, Infallible>(refusal.response());
                    }
                    Ok(endpoint.answer(request).await)
                }
            });
            let connection = graceful.watch(builder.serve_connection(stream, service));
            tokio::spawn(async move {
                // Whatever the other side did, it is its own affair.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    drop(listener);
    let ended = async {
        graceful.shutdown().await;
        endpoint.drain().await;
    };
    // What is still under way then has had its time.
    let _ = timeout(endpoint.options.drain_timeout, ended).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it answers are only later; the connection works.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // A connection that was given up already, or no room for another: the next attempt may go better.
            Err(_) => sleep(PAUSE).await,
        }
    }
}
