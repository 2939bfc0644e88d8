//! What strangers send to a server, byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{PATH, Server, bytes, head, hear, status, until};
use ipvm_http::{CONTENT_TYPE, ServerOptions, TransportOptions};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ucan_core::{Container, ContainerEncoding, Ipld};
use ucan_invocation::{Transport, TransportError};

#[tokio::test]
async fn what_is_no_request_has_a_status() {
    let server = Server::start(ServerOptions::default()).await;
    let body = bytes(&server.ask(&[]));
    for content_type in [CONTENT_TYPE, "Application/vnd.ipld.DAG-CBOR", "application/vnd.ipld.dag-cbor; x=y"] {
        let said = server.post(content_type, &body).await;
        assert_eq!(status(&said), 200, "{said}");
        assert!(said.contains("content-type: application/vnd.ipld.dag-cbor"), "{said}");
    }
    for content_type in ["", "application/json", "application/cbor", "application/vnd.ipld.dag-cbor+x"] {
        let said = server.post(content_type, &body).await;
        assert_eq!(status(&said), 415, "{content_type}");
        assert!(said.contains(r#""name":"UnsupportedMediaType""#), "{said}");
    }
    let with = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    let typed = format!("Content-Type: {CONTENT_TYPE}\r\nContent-Length: 0\r\n");
    assert_eq!(status(&server.say(with(&format!("POST {PATH}"), "Content-Length: 0\r\n").as_bytes()).await), 415);
    let gzip = format!("{typed}Content-Encoding: gzip\r\n");
    assert_eq!(status(&server.say(with(&format!("POST {PATH}"), &gzip).as_bytes()).await), 415);
    for path in ["/", "/ucan/", "/ucan/x", "/UCAN", "/%75can"] {
        assert_eq!(status(&server.say(with(&format!("POST {path}"), &typed).as_bytes()).await), 404, "{path}");
    }
    for method in ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"] {
        let said = server.say(with(&format!("{method} {PATH}"), &typed).as_bytes()).await;
        assert_eq!(status(&said), 405, "{method}");
        assert!(said.contains("allow: POST"), "{said}");
    }
    assert_eq!(status(&server.say(b"hello\r\n\r\n").await), 400);
    assert_eq!(server.act.begun.load(Ordering::SeqCst), 1, "the same task was asked for three times");
}

#[tokio::test]
async fn bodies_are_refused_by_name() {
    let server = Server::start(ServerOptions::default()).await;
    let cases: [(&[u8], &str); 4] = [
        (b"", "MalformedContainer"),
        (b"garbage", "MalformedContainer"),
        (&bytes(&Container::new()), "NothingAsked"),
        (&bytes(&Container::from_iter([b"no token".as_slice()])), "MalformedToken"),
    ];
    for (body, name) in cases {
        let said = server.post(CONTENT_TYPE, body).await;
        assert_eq!(status(&said), 400);
        assert!(said.contains(&format!(r#""name":"{name}""#)), "{said}");
    }
    let refused = server.transport(TransportOptions::default()).send(server.did(), &Container::new()).await;
    assert!(matches!(refused, Err(TransportError::Rejected { failure, .. }) if failure.name == "NothingAsked"));
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let server = Server::start(ServerOptions::default().with_max_body(1000)).await;
    // Declared: the answer comes before any of the body.
    for length in ["1001", "9223372036854775807"] {
        let head = head(CONTENT_TYPE, 0).replace("Content-Length: 0", &format!("Content-Length: {length}"));
        assert_eq!(status(&server.say(head.as_bytes()).await), 413, "{length}");
    }
    // Undeclared: as soon as there is more.
    let chunked = head(CONTENT_TYPE, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let at_most = format!("{chunked}{chunk}{chunk}0\r\n\r\n");
    assert_eq!(status(&server.say(at_most.as_bytes()).await), 400, "a thousand bytes are read");
    let more = format!("{chunked}{chunk}{chunk}1\r\nx\r\n");
    assert_eq!(status(&server.say(more.as_bytes()).await), 413);
    // A head without an end.
    let endless = format!("POST {PATH} HTTP/1.1\r\nX: {}", "x".repeat(17 << 10));
    assert_eq!(status(&server.say(endless.as_bytes()).await), 431);
}

#[tokio::test]
async fn the_slow_are_not_waited_for() {
    let patience = Duration::from_millis(300);
    let server = Server::start(ServerOptions::default().with_head_timeout(patience).with_body_timeout(patience)).await;
    let begun = Instant::now();
    // One byte at a time does not buy more time.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head(CONTENT_TYPE, 1000).as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = vec![0; 1000];
    let length = from.read(&mut said).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&said[..length])), 408);
    trickle.abort();
    // Nor a head that never ends, nor a connection without a request.
    for start in ["POST /ucan HTTP/1.1\r\nHost", ""] {
        let said = server.say(start.as_bytes()).await;
        assert!(said.is_empty() || status(&said) == 408, "{said}");
    }
    assert!(begun.elapsed() >= 3 * patience && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_dropped() {
    let options = ServerOptions::default().with_write_timeout(Duration::from_millis(300)).with_max_connections(1);
    let server = Server::start(options).await;
    let body = bytes(&server.ask(&[("letters", Ipld::Integer(15 << 20))]));
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(&[head(CONTENT_TYPE, body.len()).as_bytes(), &body].concat()).await.unwrap();
    until(|| server.act.done.load(Ordering::SeqCst) == 1).await;
    // Its place is free again, although nothing was read and nothing closed.
    let said = server.post(CONTENT_TYPE, &bytes(&server.ask(&[]))).await;
    assert_eq!(status(&said), 200);
    drop(stuck);
}

#[tokio::test]
async fn there_are_so_many_places_and_no_more() {
    let server = Server::start(ServerOptions::default().with_max_requests(2)).await;
    let body = bytes(&server.ask(&[("wait", Ipld::Null)]));
    let other = bytes(&server.ask(&[("wait", Ipld::Null)]));
    let quick = bytes(&server.ask(&[]));
    let ((), one, two) = tokio::join!(
        async {
            until(|| server.act.begun.load(Ordering::SeqCst) == 2).await;
            let said = server.post(CONTENT_TYPE, &quick).await;
            assert_eq!(status(&said), 503);
            assert!(said.contains("retry-after: 1") && said.contains(r#""name":"Busy""#), "{said}");
            server.act.gate.add_permits(2);
        },
        server.post(CONTENT_TYPE, &body),
        server.post(CONTENT_TYPE, &other),
    );
    assert_eq!((status(&one), status(&two)), (200, 200));
    assert_eq!(status(&server.post(CONTENT_TYPE, &quick).await), 200, "places are given back");
}

#[tokio::test]
async fn bodies_have_a_bound_together() {
    let options = ServerOptions::default().with_max_memory(1500).with_body_timeout(Duration::from_millis(500));
    let server = Server::start(options).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(head(CONTENT_TYPE, 1200).as_bytes()).await.unwrap();
    first.write_all(&[b'x'; 1000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&server.post(CONTENT_TYPE, &[b'x'; 1000]).await), 503);
    assert_eq!(status(&hear(&mut first).await), 408);
    assert_eq!(status(&server.post(CONTENT_TYPE, &[b'x'; 1000]).await), 400, "memory is given back");
}

#[tokio::test]
async fn what_is_compressed_counts_as_large_as_it_is() {
    let server = Server::start(ServerOptions::default().with_max_memory(100_000)).await;
    let small = server.ask(&[("text", Ipld::String("a".repeat(1000)))]).encode(ContainerEncoding::RawGzip);
    let large = server.ask(&[("text", Ipld::String("a".repeat(200_000)))]).encode(ContainerEncoding::RawGzip);
    assert!(large.len() < 10_000);
    assert_eq!(status(&server.post(CONTENT_TYPE, &large).await), 503);
    assert_eq!(status(&server.post(CONTENT_TYPE, &small).await), 200, "memory is given back");
}

#[tokio::test]
async fn what_has_begun_is_done_once_although_the_client_hung_up() {
    let server = Server::start(ServerOptions::default()).await;
    let request = server.ask(&[("wait", Ipld::Null)]);
    let body = bytes(&request);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[head(CONTENT_TYPE, body.len()).as_bytes(), &body].concat()).await.unwrap();
    until(|| server.act.begun.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.act.gate.add_permits(1);
    until(|| server.act.done.load(Ordering::SeqCst) == 1).await;
    // Whoever asks again has the receipt of what was done.
    let transport = server.transport(TransportOptions::default());
    let again = async || transport.send(server.did(), &request).await.unwrap();
    let answer = again().await;
    assert!(common::receipts(&answer)[0].outcome().is_ok());
    assert_eq!(again().await, answer);
    assert_eq!(server.act.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_that_is_cut_off_asks_for_nothing() {
    let server = Server::start(ServerOptions::default()).await;
    let body = bytes(&server.ask(&[]));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[head(CONTENT_TYPE, body.len() + 1).as_bytes(), &body].concat()).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.act.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_of_a_handler_reaches_nobody() {
    let server = Server::start(ServerOptions::default().with_max_requests(1)).await;
    let said = server.post(CONTENT_TYPE, &bytes(&server.ask(&[("panic", Ipld::Null)]))).await;
    assert_eq!(status(&said), 500);
    assert!(said.contains("HostFailure") && !said.contains("secret"), "{said}");
    assert_eq!(status(&server.post(CONTENT_TYPE, &bytes(&server.ask(&[]))).await), 200);
}

#[tokio::test]
async fn a_server_that_ends_answers_what_is_under_way() {
    let mut server = Server::start(ServerOptions::default()).await;
    // One that waits, one whose client is gone, and one connection that says nothing.
    let body = bytes(&server.ask(&[("wait", Ipld::Null)]));
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(&[head(CONTENT_TYPE, body.len()).as_bytes(), &body].concat()).await.unwrap();
    let other = bytes(&server.ask(&[("wait", Ipld::Null)]));
    let mut gone = TcpStream::connect(server.address).await.unwrap();
    gone.write_all(&[head(CONTENT_TYPE, other.len()).as_bytes(), &other].concat()).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    until(|| server.act.begun.load(Ordering::SeqCst) == 2).await;
    drop(gone);
    server.tell_to_end();
    assert_eq!(hear(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.has_ended());
    server.act.gate.add_permits(1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!server.has_ended(), "the other one goes on");
    server.act.gate.add_permits(1);
    assert_eq!(status(&hear(&mut waiting).await), 200);
    until(|| server.has_ended()).await;
    assert_eq!(server.act.done.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_ends_does_not_wait_for_ever() {
    let mut server = Server::start(ServerOptions::default().with_drain_timeout(Duration::from_millis(200))).await;
    let body = bytes(&server.ask(&[("wait", Ipld::Null)]));
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(&[head(CONTENT_TYPE, body.len()).as_bytes(), &body].concat()).await.unwrap();
    until(|| server.act.begun.load(Ordering::SeqCst) == 1).await;
    server.end().await;
    server.act.gate.add_permits(1);
    until(|| server.act.done.load(Ordering::SeqCst) == 1).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No body makes the server fail: what cannot be carried out is the sender's fault.
    #[test]
    fn no_body_is_the_servers_fault(
        junk in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        shape in 0..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let server = Server::start(ServerOptions::default()).await;
            let mut body = match shape {
                0 => junk,
                1 => [b"@".as_slice(), &junk].concat(),
                2 => bytes(&Container::from_iter([junk])),
                _ => bytes(&server.ask(&[])),
            };
            for (index, byte) in flips {
                if !body.is_empty() {
                    let at = index.index(body.len());
                    body[at] = byte;
                }
            }
            server.post(CONTENT_TYPE, &body).await
        });
        prop_assert!(matches!(status(&answer), 200 | 400 | 413), "{}", answer);
    }
}
