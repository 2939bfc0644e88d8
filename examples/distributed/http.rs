//! A web site that can be written to, and `/http/put`, which does so.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::put;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use ucan_core::Ipld;
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use super::{Argument, argument, field, map, only, refused, text, unreachable};

const PATIENCE: Duration = Duration::from_secs(10);

/// The documents of the site, by path.
type Pages = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// An HTTP server on loopback that gives what was put there.
pub(crate) struct Site {
    address: SocketAddr,
}

impl Site {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let write = async |State(pages): State<Pages>, uri: Uri, body: Bytes| {
            let before = pages.lock().unwrap_or_else(PoisonError::into_inner).insert(uri.path().to_owned(), body);
            if before.is_some() { StatusCode::NO_CONTENT } else { StatusCode::CREATED }
        };
        let read = async |State(pages): State<Pages>, uri: Uri| {
            pages.lock().unwrap_or_else(PoisonError::into_inner).get(uri.path()).cloned().ok_or(StatusCode::NOT_FOUND)
        };
        let router = Router::new().route("/{*path}", put(write).get(read)).with_state(Pages::default());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address })
    }

    /// The URL of a document.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What acts on the site.
    pub(crate) fn handler(&self) -> PutReport {
        PutReport { origin: self.address }
    }

    /// A document as it is now: fetched like anybody else would.
    pub(crate) async fn get(&self, path: &str) -> Result<String, Box<dyn Error>> {
        let request = Request::get(path).header("host", self.address.to_string()).body(Empty::<Bytes>::new())?;
        let (status, body) = exchange(self.address, request).await.map_err(|error| -> Box<dyn Error> { error })?;
        if status == StatusCode::OK { Ok(String::from_utf8(body.to_vec())?) } else { Err(status.to_string().into()) }
    }
}

/// One request on a connection of its own.
async fn exchange<B>(to: SocketAddr, request: Request<B>) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>>
where
    B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(to).await?)).await?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, http_body_util::Limited::new(answer.into_body(), 1 << 20).collect().await?.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}

/// `/http/put`, with `{url, title, mails}`: writes a report of mails, each `{to, id}`, which is what sending it gave.
/// Gives `{url}`.
#[derive(Debug)]
pub(crate) struct PutReport {
    origin: SocketAddr,
}

impl PutReport {
    /// The path on the site and the report, unless something waits for other tasks.
    ///
    /// A policy has seen the URL as a text. Whatever could make another resource of it on the way is refused: another
    /// origin, a user, dots, escapes, a query.
    fn read(&self, task: &Task) -> Result<Option<(String, String)>, Failure> {
        only(task, &["url", "title", "mails"])?;
        let path = match text(task, "url")? {
            None => None,
            Some(url) => {
                let path = url.strip_prefix(&format!("http://{}/", self.origin));
                let plain = |part: &str| {
                    let known = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
                    !matches!(part, "" | "." | "..") && part.bytes().all(known)
                };
                let path = path.filter(|path| path.split('/').all(plain));
                Some(path.ok_or_else(|| refused(format!("`url` is a plain path below http://{}/", self.origin)))?)
            }
        };
        let title = text(task, "title")?;
        if title.is_some_and(|title| title.len() > 200 || title.chars().any(char::is_control)) {
            return Err(refused("`title` is one line of at most 200 bytes"));
        }
        let mails = match argument(task, "mails")? {
            Argument::Pending => return Ok(None),
            Argument::Known(Ipld::List(mails)) if mails.len() <= 100 => mails,
            Argument::Known(_) => return Err(refused("`mails` is a list of at most 100")),
        };
        let (Some(path), Some(title)) = (path, title) else { return Ok(None) };
        let mut report = format!("{title}\n\n");
        for mail in mails {
            report += &format!("- told {} ({})\n", field(mail, "to")?, field(mail, "id")?);
        }
        Ok(Some((format!("/{path}"), report)))
    }

    async fn put(&self, task: &Task) -> Result<Ipld, Failure> {
        let Some((path, report)) = self.read(task)? else { return Err(refused("something is still awaited")) };
        let request = Request::put(&path)
            .header("host", self.origin.to_string())
            .header("content-type", "text/plain; charset=utf-8")
            .body(Full::new(Bytes::from(report)))
            .map_err(|error| refused(error.to_string()))?;
        match exchange(self.origin, request).await.map_err(unreachable)? {
            (status, _) if status.is_success() => Ok(map([("url", format!("http://{}{path}", self.origin))])),
            (status, _) => Err(Failure::new("ServerRefused", format!("the web server says {status}"))),
        }
    }
}

#[async_trait]
impl Handler for PutReport {
    /// Writing the same document twice is the same as writing it once.
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        self.read(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(self.put(call.task()).await.map_or_else(Outcome::from, Outcome::Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{task, with};
    use super::*;

    #[test]
    fn urls_of_other_resources_are_refused() -> Result<(), Box<dyn Error>> {
        let text = |text: &str| Ipld::String(text.to_owned());
        let handler = PutReport { origin: "127.0.0.1:80".parse()? };
        let mails = Ipld::List(vec![map([("to", "bob@example.com".to_owned()), ("id", "<1>".to_owned())])]);
        let good = [("url", text("http://127.0.0.1:80/reports/a.txt")), ("title", text("Done")), ("mails", mails)];
        let (path, report) = handler.read(&task(&good)?)?.ok_or("nothing is awaited")?;
        assert_eq!((path.as_str(), report.as_str()), ("/reports/a.txt", "Done\n\n- told bob@example.com (<1>)\n"));
        for (name, value) in [
            ("url", "/reports/a.txt"),
            ("url", "https://127.0.0.1:80/reports/a.txt"),
            ("url", "http://127.0.0.1:81/reports/a.txt"),
            ("url", "http://127.0.0.1:80@example.net/reports/a.txt"),
            ("url", "http://127.0.0.1:80/reports/../a.txt"),
            ("url", "http://127.0.0.1:80/reports/%2e%2e/a.txt"),
            ("url", "http://127.0.0.1:80/reports//a.txt"),
            ("url", "http://127.0.0.1:80/reports/a.txt?b"),
            ("url", "http://127.0.0.1:80/reports/a.txt#b"),
            ("url", "http://127.0.0.1:80/reports/a b"),
            ("url", "http://127.0.0.1:80/reports/a\r\nX: y"),
            ("url", "http://127.0.0.1:80/"),
            ("title", "a\nb"),
            ("mails", "none"),
            ("method", "DELETE"),
        ] {
            assert!(handler.read(&task(&with(&good, name, text(value)))?).is_err(), "{name}: {value:?}");
        }
        Ok(())
    }
}
