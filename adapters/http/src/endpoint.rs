//! One request: checked, read, carried out, answered.

use std::error::Error;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE as TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use ucan_core::{Container, ContainerEncoding};
use ucan_invocation::Executor;

use crate::refusal::Refusal;
use crate::{CONTENT_TYPE, ServerOptions};

/// An [`Executor`] that answers HTTP requests, within bounds. [`serve`](crate::serve) puts it on a socket; a host with
/// a server of its own hands it requests, from whatever path it likes.
///
/// Clones share their bounds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    executor: Executor,
    pub(crate) options: Arc<ServerOptions>,
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// What a request takes of the bounds, given back when it is dropped.
struct Held {
    _place: OwnedSemaphorePermit,
    memory: Option<OwnedSemaphorePermit>,
}

impl Endpoint {
    /// An endpoint of this executor.
    #[must_use]
    pub fn new(executor: Executor, options: ServerOptions) -> Self {
        let places = Arc::new(Semaphore::new(options.max_requests));
        let memory = Arc::new(Semaphore::new(options.max_memory));
        Self { executor, options: Arc::new(options), places, memory }
    }

    /// Answers a request: with a container, or with a status that says what is wrong and a JSON body
    /// `{"error": {"name": .., "message": ..}}`.
    ///
    /// What was asked for is carried out to its end in a task of its own, also where this future is dropped because the
    /// client hung up: a mutation that has begun has its receipt. Needs tokio.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match self.exchange(request).await {
            Ok(answer) => {
                let mut response = Response::new(Full::new(answer));
                response.headers_mut().insert(TYPE, HeaderValue::from_static(CONTENT_TYPE));
                response
            }
            Err(refusal) => {
                let status = refusal.status;
                let mut response = refusal.response();
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                } else if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
        }
    }

    /// Waits until nothing is under way any more.
    pub(crate) async fn drain(&self) {
        let all = u32::try_from(self.options.max_requests).unwrap_or(u32::MAX);
        // Nobody closes the semaphore.
        let _ = self.places.acquire_many(all).await;
    }

    async fn exchange<B>(&self, request: Request<B>) -> Result<Bytes, Refusal>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if request.method() != Method::POST {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "containers are sent by POST",
            ));
        }
        self.check(request.headers())?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let mut held = Held { _place: place, memory: None };
        let patience = self.options.body_timeout;
        let body = timeout(patience, self.read(request.into_body(), &mut held)).await.unwrap_or_else(|_| {
            let message = format!("the body did not arrive within {patience:?}");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message))
        })?;
        let request = Container::decode(&body).map_err(|error| Refusal::of(&error.into()))?;
        // What was compressed takes more than what came.
        let size: usize = request.tokens().map(<[u8]>::len).sum();
        self.hold(&mut held, size.saturating_sub(body.len()))?;
        drop(body);
        let executor = self.executor.clone();
        let task = tokio::spawn(async move {
            let answer = executor.execute(&request).await;
            drop(held);
            answer.map(|answer| answer.encode(ContainerEncoding::Raw))
        });
        match task.await {
            Ok(Ok(answer)) => Ok(Bytes::from(answer)),
            Ok(Err(error)) => Err(Refusal::of(&error)),
            // A handler of the host's panicked, or the runtime ends.
            Err(_) => Err(Refusal::host()),
        }
    }

    /// What the head says of the body.
    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let unsupported =
            |message: String| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message);
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
        // Parameters after the type say nothing about DAG-CBOR.
        let essence = text(TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(unsupported(format!("the body has to be {CONTENT_TYPE}")));
        }
        if text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(unsupported("the body may not be encoded; a container can be compressed by itself".to_owned()));
        }
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
        if usize::try_from(length).is_ok_and(|length| length <= self.options.max_body) {
            Ok(())
        } else {
            Err(self.too_large())
        }
    }

    async fn read<B>(&self, body: B, held: &mut Held) -> Result<Vec<u8>, Refusal>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut body = std::pin::pin!(body);
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let cut = |_| Refusal::new(StatusCode::BAD_REQUEST, "IncompleteBody", "the body did not arrive in full");
            let Ok(mut data) = frame.map_err(cut).map(Frame::into_data)? else { continue };
            let length = data.remaining();
            if length > self.options.max_body.saturating_sub(bytes.len()) {
                return Err(self.too_large());
            }
            self.hold(held, length)?;
            while data.has_remaining() {
                let chunk = data.chunk();
                bytes.extend_from_slice(chunk);
                let length = chunk.len();
                data.advance(length);
            }
        }
        Ok(bytes)
    }

    /// Takes so many bytes of what all requests may have.
    fn hold(&self, held: &mut Held, bytes: usize) -> Result<(), Refusal> {
        let permits = u32::try_from(bytes).map_err(|_| self.too_large())?;
        let taken = self.memory.clone().try_acquire_many_owned(permits).map_err(|_| busy())?;
        match &mut held.memory {
            Some(memory) => memory.merge(taken),
            memory => *memory = Some(taken),
        }
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        let message = format!("the body has more than {} bytes", self.options.max_body);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "LimitExceeded", message)
    }
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", "too many requests are under way; ask again later")
}
