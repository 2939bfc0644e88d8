//! Containers to executors and back, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Server, ask, receipts, says, until};
use ipvm_http::{Endpoint, HttpTransport, RootCertStore, RouteError, ServerOptions, TransportOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use ucan_core::{Container, Ipld, Issuer, SystemClock, Token};
use ucan_invocation::{Outcome, Transport, TransportError};
use varsig::ed25519::SigningKey;

fn transport(options: TransportOptions) -> HttpTransport {
    HttpTransport::new(Arc::new(SystemClock), options).unwrap()
}

/// What comes of asking a server that says this.
async fn asked_of(bytes: impl Into<Vec<u8>>) -> TransportError {
    let address = says(bytes.into()).await;
    let someone = Issuer::ed25519(SigningKey::from_seed(&[9; 32]));
    let transport = transport(TransportOptions::default().with_max_answer(1 << 20));
    transport.insert(someone.did(), &format!("http://{address}/")).unwrap();
    transport.send(someone.did(), &ask(&someone, &[])).await.unwrap_err()
}

fn failed(error: TransportError) -> String {
    match error {
        TransportError::Failed { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_has_its_receipt() {
    let server = Server::start(ServerOptions::default()).await;
    let answer = server.transport(TransportOptions::default());
    let request = server.ask(&[("letters", Ipld::Integer(3))]);
    let answer = receipts(&answer.send(server.did(), &request).await.unwrap());
    let [receipt] = answer.as_slice() else { panic!("{answer:?}") };
    assert_eq!(receipt.outcome(), &Outcome::Ok(Ipld::String("xxx".to_owned())));
    assert!(receipt.issuer().same_principal(server.did()));
}

#[tokio::test]
async fn two_clients_of_two_servers_have_their_own_answers() {
    let servers = [1, 2].map(|seed| Server::with_seed(ServerOptions::default(), seed));
    let [one, two] = servers;
    let (one, two) = tokio::join!(one, two);
    let clients = [transport(TransportOptions::default()), transport(TransportOptions::default())];
    for client in &clients {
        for server in [&one, &two] {
            client.insert(server.did(), &server.url()).unwrap();
            let answer = client.send(server.did(), &server.ask(&[])).await.unwrap();
            assert!(receipts(&answer)[0].issuer().same_principal(server.did()));
        }
    }
    assert_eq!(one.act.done.load(Ordering::SeqCst), 2);
    // A container for one that arrives at the other is refused there.
    clients[0].insert(one.did(), &two.url()).unwrap();
    let error = clients[0].send(one.did(), &one.ask(&[])).await.unwrap_err();
    assert!(matches!(error, TransportError::Rejected { failure, .. } if failure.name == "NothingAsked"));
}

#[tokio::test]
async fn many_in_flight_are_all_answered() {
    let server = Arc::new(Server::start(ServerOptions::default()).await);
    let transport = Arc::new(server.transport(TransportOptions::default()));
    let tasks: Vec<_> = (0..200)
        .map(|letters| {
            let (server, transport) = (server.clone(), transport.clone());
            tokio::spawn(async move {
                let request = server.ask(&[("letters", Ipld::Integer(letters)), ("wait", Ipld::Null)]);
                let answer = transport.send(server.did(), &request).await.unwrap();
                let expected = "x".repeat(usize::try_from(letters).unwrap());
                assert_eq!(receipts(&answer)[0].outcome(), &Outcome::Ok(Ipld::String(expected)));
            })
        })
        .collect();
    until(|| server.act.begun.load(Ordering::SeqCst) == 200).await;
    server.act.gate.add_permits(200);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.act.done.load(Ordering::SeqCst), 200);
}

#[tokio::test]
async fn connections_are_used_again() {
    let options = ServerOptions::default().with_max_connections(1).with_head_timeout(Duration::MAX);
    let server = Server::start(options).await;
    let transport = server.transport(TransportOptions::default().with_timeout(Duration::from_secs(5)));
    // With one connection that is kept, a second one would wait for ever.
    for _ in 0..3 {
        transport.send(server.did(), &server.ask(&[])).await.unwrap();
    }
}

#[tokio::test]
async fn a_tls_server_is_reached_where_its_certificate_is_trusted() {
    let server = Server::start(ServerOptions::default()).await;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, behind) = (TlsAcceptor::from(Arc::new(tls)), server.address);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut to = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let trusting = transport(TransportOptions::default().with_roots(roots));
    let url = format!("https://localhost:{port}{}", common::PATH);
    trusting.insert(server.did(), &url).unwrap();
    let answer = trusting.send(server.did(), &server.ask(&[])).await.unwrap();
    assert!(receipts(&answer)[0].outcome().is_ok());

    let other = transport(TransportOptions::default());
    other.insert(server.did(), &url).unwrap();
    let detail = failed(other.send(server.did(), &server.ask(&[])).await.unwrap_err());
    assert!(detail.contains("certificate"), "{detail}");
}

#[tokio::test]
async fn routes_are_named_by_the_host_and_can_change() {
    let server = Server::start(ServerOptions::default()).await;
    let transport = transport(TransportOptions::default());
    let nowhere = transport.send(server.did(), &server.ask(&[])).await;
    assert!(matches!(nowhere, Err(TransportError::NoRoute(did)) if did == *server.did()));
    assert_eq!(transport.insert(server.did(), "/ucan"), Err(RouteError::Scheme(String::new())));
    transport.insert(server.did(), &server.url()).unwrap();
    transport.send(server.did(), &server.ask(&[])).await.unwrap();
    transport.remove(server.did());
    assert!(matches!(transport.send(server.did(), &server.ask(&[])).await, Err(TransportError::NoRoute(_))));
}

#[tokio::test]
async fn a_server_that_is_gone_did_not_answer() {
    let mut server = Server::start(ServerOptions::default()).await;
    let transport = server.transport(TransportOptions::default());
    transport.send(server.did(), &server.ask(&[])).await.unwrap();
    server.end().await;
    failed(transport.send(server.did(), &server.ask(&[])).await.unwrap_err());
}

#[tokio::test]
async fn waiting_has_an_end() {
    let server = Server::start(ServerOptions::default()).await;
    let patience = Duration::from_millis(200);
    let transport = server.transport(TransportOptions::default().with_timeout(patience));
    let begun = Instant::now();
    let detail = failed(transport.send(server.did(), &server.ask(&[("wait", Ipld::Null)])).await.unwrap_err());
    assert!(detail.contains("200ms"), "{detail}");
    assert!(begun.elapsed() >= patience && begun.elapsed() < Duration::from_secs(5));
    // The other side goes on.
    server.act.gate.add_permits(1);
    until(|| server.act.done.load(Ordering::SeqCst) == 1).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_has_an_end_of_its_own() {
    // A listener of Linux whose queue is full answers nothing to further connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue is never full here");
    }
    let someone = Issuer::ed25519(SigningKey::from_seed(&[9; 32]));
    let transport = transport(TransportOptions::default().with_connect_timeout(Duration::from_millis(200)));
    transport.insert(someone.did(), &format!("http://{address}/")).unwrap();
    let detail = failed(transport.send(someone.did(), &ask(&someone, &[])).await.unwrap_err());
    assert!(detail.contains("no connection within 200ms"), "{detail}");
}

#[tokio::test]
async fn answers_are_read_within_bounds() {
    let megabyte = "x".repeat(1 << 20);
    let declared = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{megabyte}xx", (1 << 20) + 2);
    assert!(failed(asked_of(declared).await).contains("more than 1048576 bytes"));
    let chunk = format!("{:x}\r\n{megabyte}\r\n", 1 << 20);
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    assert!(failed(asked_of(chunked).await).contains("more than 1048576 bytes"));
    let head = format!("HTTP/1.1 200 OK\r\nX: {megabyte}\r\nContent-Length: 0\r\n\r\n");
    failed(asked_of(head).await);

    let server = Server::start(ServerOptions::default()).await;
    let transport = server.transport(TransportOptions::default().with_max_answer(1000));
    let request = server.ask(&[("letters", Ipld::Integer(2000))]);
    let detail = failed(transport.send(server.did(), &request).await.unwrap_err());
    assert!(detail.contains("more than 1000 bytes"), "{detail}");
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let with = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(matches!(asked_of(with("200 OK", "hello")).await, TransportError::Answer { .. }));
    let said = r#"{"error":{"name":"Busy","message":"later\u001b"}}"#;
    for status in ["400 Bad Request", "415 Unsupported Media Type", "503 Service Unavailable"] {
        let error = asked_of(with(status, said)).await;
        let TransportError::Rejected { failure, .. } = error else { panic!("{error:?}") };
        assert_eq!((failure.name.as_str(), failure.message.as_str()), ("Busy", "later"));
    }
    // What was begun is not known of these.
    assert!(failed(asked_of(with("500 Internal Server Error", said)).await).contains("Busy"));
    for status in ["404 Not Found", "502 Bad Gateway", "503 Service Unavailable", "204 No Content"] {
        assert!(failed(asked_of(with(status, "<html>")).await).contains(&status[..3]));
    }
    failed(asked_of("").await);
    failed(asked_of("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await);
    // A refusal that is itself too much is no reason.
    let long = format!(r#"{{"error":{{"name":"x","message":"{}"}}}}"#, "x".repeat(1 << 16));
    assert!(failed(asked_of(with("400 Bad Request", &long)).await).contains("400"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(ServerOptions::default()).await;
    for status in ["301 Moved Permanently", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let to = server.url();
        let detail =
            failed(asked_of(format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")).await);
        assert!(detail.contains(&status[..3]), "{detail}");
    }
    assert_eq!(server.act.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_endpoint_fits_into_a_server_of_the_hosts() {
    let (executor, _) = common::executor(9);
    let issuer = executor.parts().executor.clone();
    let endpoint = Endpoint::new(executor, ServerOptions::default());
    let answer = move |request: axum::extract::Request| async move { endpoint.answer(request).await };
    let router = axum::Router::new().route("/api/ucan", axum::routing::any(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let transport = transport(TransportOptions::default());
    transport.insert(issuer.did(), &format!("http://{address}/api/ucan")).unwrap();
    let answer: Container = transport.send(issuer.did(), &ask(&issuer, &[])).await.unwrap();
    assert!(receipts(&answer)[0].outcome().is_ok());
}
