//! HTTP as effects: requests to one origin, for whoever its owner lets make them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use tokio::time::timeout;
use ucan_core::{Clock, Command, Did, Ipld};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task, is_pending};

use crate::connector::Connector;
use crate::transport::{chain, client, read};
use crate::{RouteError, TlsError, TransportOptions, route};

/// The commands of [`Origin::handlers`]. Their arguments are `{url, headers?, body?}`, where a body, text or bytes, is for
/// `/http/put` and `/http/post`; they answer `{status, headers, body}`.
pub const HTTP_COMMANDS: [&str; 4] = ["/http/get", "/http/put", "/http/delete", "/http/post"];

/// How many bytes of an answer are kept that says that the request failed.
const EXCERPT: usize = 64 << 10;

/// Headers that are not for tasks to say: what the connection is made of, who is on whose behalf, and the key by which a server
/// tells repetitions.
const RESERVED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A place on the web, and how requests are made there: everything at a URL and below it.
pub struct Origin {
    owner: Did,
    base: Uri,
    headers: HeaderMap,
    keys: bool,
    client: Client<Connector, Full<Bytes>>,
    timeout: Duration,
    max_answer: usize,
}

/// Why an origin cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The URL is none that requests can be sent to.
    #[error(transparent)]
    Url(#[from] RouteError),
    /// It has a query, or dots that lead elsewhere.
    #[error("the URL of an origin is a scheme, a host and a plain path")]
    Path,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Origin {
    /// Everything at the URL `base` and below it, for tasks whose subject is `owner`. Redirects are answers as any other, and not
    /// followed; nothing is read from the environment.
    ///
    /// # Errors
    /// [`OriginError`] where the URL is none of an origin, or TLS does not work with these options.
    pub fn new(owner: Did, base: &str, clock: Arc<dyn Clock>, options: TransportOptions) -> Result<Self, OriginError> {
        let base = route::parse(base)?;
        if base.query().is_some() || !is_plain(base.path()) {
            return Err(OriginError::Path);
        }
        let (timeout, max_answer) = (options.timeout, options.max_answer);
        let client = client(clock, options)?;
        Ok(Self { owner, base, headers: HeaderMap::new(), keys: false, client, timeout, max_answer })
    }

    /// Sends this header with each request, such as credentials, which are nothing for tasks to carry. [`Debug`](fmt::Debug) does
    /// not show it.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Says that the server honours the header `Idempotency-Key`, which each `POST` has: the id of the task. Then one that was
    /// cut off may be made again.
    #[must_use]
    pub fn with_idempotency_keys(mut self) -> Self {
        self.keys = true;
        self
    }

    /// The handlers of the four commands, each with its command: `/http/get` is a query, `/http/put` and `/http/delete` are idempotent
    /// writes, and `/http/post` is mutable.
    #[must_use]
    pub fn handlers(self) -> [(&'static str, Arc<dyn Handler>); 4] {
        let origin = Arc::new(self);
        let [get, put, delete, post] = HTTP_COMMANDS;
        [(get, Method::GET), (put, Method::PUT), (delete, Method::DELETE), (post, Method::POST)].map(
            |(command, method)| {
                let handler = RequestHandler { origin: origin.clone(), command, method };
                (command, Arc::new(handler) as Arc<dyn Handler>)
            },
        )
    }

    /// The URL, if it is here.
    fn url(&self, url: &str) -> Result<Uri, String> {
        let uri = route::parse(url).map_err(|error| error.to_string())?;
        let origin = |uri: &Uri| {
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
            (uri.scheme_str().map(str::to_owned), uri.host().map(str::to_ascii_lowercase), port)
        };
        let base = self.base.path().trim_end_matches('/');
        let below = uri.path().strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if origin(&uri) != origin(&self.base) || !below || !is_plain(uri.path()) {
            return Err(format!("{url:?} is not at or below {}, for which requests are made here", self.base));
        }
        Ok(uri)
    }
}

/// Whether no part of a path leads upwards, however it is spelled.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part != "." && part != ".." && !part.contains("%2f") && !part.contains("%5c") && !part.contains('\\')
    })
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Origin")
            .field("owner", &self.owner)
            .field("base", &self.base)
            .field("headers", &headers)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Makes the requests of one method.
#[derive(Debug)]
struct RequestHandler {
    origin: Arc<Origin>,
    command: &'static str,
    method: Method,
}

impl RequestHandler {
    fn mismatch(&self, problem: impl fmt::Display) -> Failure {
        Failure::new("ArgumentMismatch", format!("{}: {problem}", self.command))
    }

    fn takes_body(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }

    /// The request that a task asks for, as far as its arguments are known.
    fn request(&self, task: &Task) -> Result<Option<Request<Full<Bytes>>>, Failure> {
        if !task.subject().same_principal(&self.origin.owner) {
            let message =
                format!("{} belongs to {}, and not to {}", self.origin.base, self.origin.owner, task.subject());
            return Err(Failure::new("WrongSubject", message));
        }
        let known: &[&str] = if self.takes_body() { &["url", "headers", "body"] } else { &["url", "headers"] };
        if let Some(key) = task.args().keys().find(|key| !known.contains(&key.as_str())) {
            return Err(self.mismatch(format!("unknown argument {key:?}; the arguments are {}", known.join(", "))));
        }
        let url = match task.args().get("url") {
            Some(url) if is_pending(url) => None,
            Some(Ipld::String(url)) => Some(self.origin.url(url).map_err(|problem| self.mismatch(problem))?),
            _ => return Err(self.mismatch("the argument \"url\" is to be a string")),
        };
        let headers = match task.args().get("headers") {
            Some(headers) if is_pending(headers) => None,
            headers => Some(self.headers(headers)?),
        };
        let body = match task.args().get("body") {
            None => Some(Bytes::new()),
            Some(body) if is_pending(body) => None,
            Some(Ipld::String(text)) => Some(Bytes::copy_from_slice(text.as_bytes())),
            Some(Ipld::Bytes(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            Some(_) => return Err(self.mismatch("the argument \"body\" is to be a string or bytes")),
        };
        let (Some(url), Some(headers), Some(body)) = (url, headers, body) else { return Ok(None) };
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (self.method.clone(), url, headers);
        request.headers_mut().extend(self.origin.headers.clone());
        Ok(Some(request))
    }

    fn headers(&self, headers: Option<&Ipld>) -> Result<HeaderMap, Failure> {
        let mut read = HeaderMap::new();
        let headers = match headers {
            None => return Ok(read),
            Some(Ipld::Map(headers)) => headers,
            Some(_) => return Err(self.mismatch("the argument \"headers\" is to be a map of strings")),
        };
        for (name, value) in headers {
            let value = match value {
                Ipld::String(value) => HeaderValue::from_str(value).ok(),
                _ => None,
            };
            let name_read = HeaderName::from_bytes(name.as_bytes()).ok();
            let (Some(name_read), Some(value)) = (name_read, value) else {
                return Err(self.mismatch(format!("{name:?} is no header with a text for its value")));
            };
            if RESERVED.contains(&name_read.as_str()) || name_read.as_str().starts_with("proxy-") {
                return Err(self.mismatch(format!("the header {name:?} is not for tasks to say")));
            }
            read.insert(name_read, value);
        }
        Ok(read)
    }

    async fn send(&self, call: &Call) -> Result<Ipld, Failure> {
        let pending = || self.mismatch("an argument is a promise");
        let mut request = self.request(call.task())?.ok_or_else(pending)?;
        if self.method == Method::POST
            && let Ok(key) = HeaderValue::from_str(&call.id().to_string())
        {
            request.headers_mut().insert("idempotency-key", key);
        }
        let exchange = async {
            let response = self.origin.client.request(request).await.map_err(|error| {
                let name = if error.is_connect() { "Unreachable" } else { "NoAnswer" };
                Failure::new(name, chain(&error))
            })?;
            let (status, headers) = (response.status(), headers(response.headers()));
            let most = if status.is_success() { self.origin.max_answer } else { EXCERPT.min(self.origin.max_answer) };
            let body = read(response, most).await;
            if !status.is_success() {
                let body = Ipld::Bytes(body.unwrap_or_default());
                let failure = Failure::new("HttpStatus", format!("the answer has the status {status}"));
                let status = Ipld::Integer(status.as_u16().into());
                return Err(failure.with("status", status).with("headers", headers).with("body", body));
            }
            let body = body.map_err(|detail| Failure::new("NoAnswer", detail))?;
            let answer =
                [("status", Ipld::Integer(status.as_u16().into())), ("headers", headers), ("body", Ipld::Bytes(body))];
            Ok(Ipld::Map(answer.map(|(key, value)| (key.to_owned(), value)).into()))
        };
        timeout(self.origin.timeout, exchange).await.unwrap_or_else(|_| {
            let message =
                format!("no answer within {:?}: whether the request took effect is not known", self.origin.timeout);
            Err(Failure::new("NoAnswer", message))
        })
    }
}

/// The headers of an answer, those of one name in one text; what is no text is left out.
fn headers(headers: &HeaderMap) -> Ipld {
    let mut read: BTreeMap<String, Ipld> = BTreeMap::new();
    for name in headers.keys() {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        read.insert(name.as_str().to_owned(), Ipld::String(values.join(", ")));
    }
    Ipld::Map(read)
}

#[async_trait]
impl Handler for RequestHandler {
    fn effect_class(&self) -> EffectClass {
        match self.method {
            Method::GET => EffectClass::Query,
            Method::POST => EffectClass::Mutable,
            _ => EffectClass::IdempotentWrite,
        }
    }

    fn is_idempotent(&self, _: &Command) -> bool {
        self.method == Method::POST && self.origin.keys
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        self.request(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        let sent = self.send(call).await;
        Completion::new(sent.map_or_else(Into::into, Outcome::Ok))
    }
}
