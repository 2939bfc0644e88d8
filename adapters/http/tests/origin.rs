//! Requests as effects, to a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use ipvm_http::{HTTP_COMMANDS, HeaderName, HeaderValue, Origin, OriginError, TransportOptions};
use tokio::net::TcpListener;
use ucan_core::{Command, Context, DidKeys, Ipld, Issuer, SystemClock, Timestamp};
use ucan_invocation::{Call, Completion, Config, EffectClass, Handler, Outcome, Task};
use varsig::ed25519::SigningKey;

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, Bytes)>>>;

/// A server that writes down what it is asked, and answers by the path.
async fn server() -> (String, Seen) {
    let seen = Seen::default();
    let writes = seen.clone();
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        writes.lock().unwrap().push((method, uri.to_string(), headers, body.clone()));
        match uri.path() {
            "/api/slow" => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                (StatusCode::OK, HeaderMap::new(), Bytes::new())
            }
            "/api/large" => (StatusCode::OK, HeaderMap::new(), Bytes::from(vec![7; 100_000])),
            "/api/away" => {
                let to = [(axum::http::header::LOCATION, "http://example.com/".parse().unwrap())];
                (StatusCode::FOUND, to.into_iter().collect(), Bytes::new())
            }
            "/api/missing" => (StatusCode::NOT_FOUND, HeaderMap::new(), Bytes::from_static(b"none")),
            _ => (StatusCode::OK, HeaderMap::new(), body),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

fn owner() -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[1; 32]))
}

fn origin(url: &str) -> Origin {
    let options = TransportOptions::default().with_timeout(Duration::from_secs(20)).with_max_answer(10_000);
    Origin::new(owner().did().clone(), &format!("{url}/api"), Arc::new(SystemClock), options).unwrap()
}

fn handlers(origin: Origin) -> BTreeMap<&'static str, Arc<dyn Handler>> {
    origin.handlers().into()
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn call<const N: usize>(command: &str, args: [(&str, Ipld); N]) -> Call {
    let args = args.map(|(key, value)| (key.to_owned(), value)).into();
    let task = Task::new(owner().did().clone(), Command::parse(command).unwrap(), args, vec![1]);
    let context = Context::new(Timestamp::from_secs(1_800_000_000).unwrap(), &DidKeys);
    Call::authorize(task, Config::new(), owner().did(), &[], &context).unwrap()
}

fn answer(done: &Completion) -> &BTreeMap<String, Ipld> {
    match &done.outcome {
        Outcome::Ok(Ipld::Map(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_method_is_what_it_is_to_the_world() {
    let (url, seen) = server().await;
    let handlers = handlers(origin(&url));
    let classes = HTTP_COMMANDS.map(|command| handlers[command].effect_class());
    use EffectClass::{IdempotentWrite, Mutable, Query};
    assert_eq!(classes, [Query, IdempotentWrite, IdempotentWrite, Mutable]);

    let item = text(&format!("{url}/api/items/1?all=true"));
    let headers = Ipld::Map([("accept".to_owned(), text("text/plain"))].into());
    for command in HTTP_COMMANDS {
        let call = match command {
            "/http/put" | "/http/post" => {
                call(command, [("url", item.clone()), ("headers", headers.clone()), ("body", text("content"))])
            }
            _ => call(command, [("url", item.clone()), ("headers", headers.clone())]),
        };
        handlers[command].check(call.task(), call.config()).await.unwrap();
        let done = handlers[command].handle(&call).await;
        assert_eq!(answer(&done)["status"], Ipld::Integer(200));
        let (method, uri, headers, body) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(format!("/http/{}", method.as_str().to_lowercase()), command);
        assert_eq!((uri.as_str(), headers["accept"].to_str().unwrap()), ("/api/items/1?all=true", "text/plain"));
        assert_eq!(answer(&done)["body"], Ipld::Bytes(body.to_vec()));
        // A server that honours it does what it is asked once.
        let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
        assert_eq!(key, (command == "/http/post").then(|| call.id().to_string()));
    }
    let post = Command::parse("/http/post").unwrap();
    assert!(!handlers["/http/post"].is_idempotent(&post));
    assert!(self::handlers(origin(&url).with_idempotency_keys())["/http/post"].is_idempotent(&post));
}

#[tokio::test]
async fn credentials_are_the_operators_and_are_not_shown() {
    let (url, seen) = server().await;
    let secret = HeaderValue::from_static("Bearer of great value");
    let origin = origin(&url).with_header(HeaderName::from_static("authorization"), secret);
    assert!(!format!("{origin:?}").contains("great value"));
    let handlers = handlers(origin);
    let get = call("/http/get", [("url", text(&format!("{url}/api")))]);
    assert!(handlers["/http/get"].handle(&get).await.outcome.is_ok());
    assert_eq!(seen.lock().unwrap()[0].2["authorization"], "Bearer of great value");
    assert!(!format!("{:?}", handlers["/http/get"]).contains("great value"));
    for header in
        ["Authorization", "host", "Content-Length", "Proxy-Authorization", "Idempotency-Key", "no name", "x\r\ny"]
    {
        let headers = Ipld::Map([(header.to_owned(), text("mine"))].into());
        let call = call("/http/get", [("url", text(&format!("{url}/api"))), ("headers", headers)]);
        let refused = handlers["/http/get"].check(call.task(), call.config()).await.unwrap_err();
        assert_eq!(refused.name, "ArgumentMismatch", "{header}");
    }
}

#[tokio::test]
async fn nothing_outside_of_the_origin_is_asked() {
    let (url, seen) = server().await;
    let handlers = handlers(origin(&url));
    let other = url.replace("127.0.0.1", "localhost");
    for outside in [
        format!("{url}/"),
        format!("{url}/apis"),
        format!("{url}/api/../admin"),
        format!("{url}/api/%2e%2E/admin"),
        format!("{url}/api/.%2e/admin"),
        format!("{url}/api/%2e./admin"),
        format!("{url}/api/..%2fadmin"),
        format!("{url}/api/a%5c..%5cadmin"),
        format!("{other}/api/items"),
        url.replace("http://", "http://me@") + "/api",
        url.replace("http://", "https://") + "/api",
        format!("{url}/api#part"),
        "/api".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let call = call("/http/get", [("url", text(&outside))]);
        assert!(handlers["/http/get"].check(call.task(), call.config()).await.is_err(), "{outside}");
        let done = handlers["/http/get"].handle(&call).await;
        assert_eq!(done.outcome.failure_name(), Some("ArgumentMismatch"), "{outside}");
    }
    assert!(seen.lock().unwrap().is_empty());
    let wrong = Origin::new(owner().did().clone(), "http://x/a?b", Arc::new(SystemClock), TransportOptions::default());
    assert_eq!(wrong.unwrap_err(), OriginError::Path);
}

#[tokio::test]
async fn what_is_no_success_is_a_failure_that_says_what_came() {
    let (url, seen) = server().await;
    let handlers = handlers(origin(&url));
    let get = async |path: &str| {
        let call = call("/http/get", [("url", text(&format!("{url}/api/{path}")))]);
        handlers["/http/get"].handle(&call).await.outcome
    };
    for (path, status, body) in [("missing", 404, "none"), ("away", 302, "")] {
        let Outcome::Error(Ipld::Map(error)) = get(path).await else { panic!("{path}") };
        assert_eq!((&error["name"], &error["status"]), (&text("HttpStatus"), &Ipld::Integer(status)));
        assert_eq!(error["body"], Ipld::Bytes(body.into()));
    }
    assert_eq!(seen.lock().unwrap().len(), 2, "a redirect is not followed");
    let large = get("large").await;
    assert_eq!(large.failure_name(), Some("NoAnswer"));
    assert!(large.failure_message().unwrap().contains("more than 10000 bytes"), "{large:?}");

    let options = TransportOptions::default().with_timeout(Duration::from_millis(200));
    let hasty = Origin::new(owner().did().clone(), &url, Arc::new(SystemClock), options).unwrap();
    let slow = call("/http/post", [("url", text(&format!("{url}/api/slow")))]);
    let done = self::handlers(hasty)["/http/post"].handle(&slow).await.outcome;
    assert_eq!(done.failure_name(), Some("NoAnswer"));
    assert!(done.failure_message().unwrap().contains("not known"));

    // Nobody is there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}/api", listener.local_addr().unwrap());
    drop(listener);
    let origin = Origin::new(owner().did().clone(), &nowhere, Arc::new(SystemClock), TransportOptions::default());
    let gone = call("/http/get", [("url", text(&nowhere))]);
    let done = self::handlers(origin.unwrap())["/http/get"].handle(&gone).await.outcome;
    assert_eq!(done.failure_name(), Some("Unreachable"));
}
