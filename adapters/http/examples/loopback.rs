//! Requests over a loopback socket, next to a bare hyper server that sends back the same bytes, in this process and by
//! turns.
//!
//!     cargo run --release -p ipvm-http --example loopback

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ipvm_http::{CONTENT_TYPE, Endpoint, HttpTransport, ServerOptions, TransportOptions, serve};
use tokio::net::TcpListener;
use ucan_core::{CachedKeys, Container, ContainerEncoding, DidKeys, Ipld, Issuer, SystemClock, Token};
use ucan_invocation::{
    Call, Completion, Config, EffectClass, Entropy, Executor, ExecutorParts, Failure, Handler, Invocation,
    MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, Router, Task, Transport,
    Trust,
};
use varsig::ed25519::SigningKey;

type Failed = Box<dyn Error + Send + Sync>;

/// Requests of each kind in each round.
const REQUESTS: usize = 2000;
const ROUNDS: usize = 5;

#[derive(Debug)]
struct Random;

impl Entropy for Random {
    #[expect(clippy::expect_used, reason = "an example without randomness has nothing to go on with")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// Does nothing. What is done once has its receipt from then on: the first request is carried out, the others are
/// looked up.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Handler for Nothing {
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::Null))
    }
}

fn executor(issuer: &Issuer) -> Result<Executor, Failed> {
    let mut router = Router::default();
    router.insert(issuer.did().clone(), "/nothing".parse()?, Arc::new(Nothing));
    Ok(Executor::new(ExecutorParts {
        executor: issuer.clone(),
        router,
        blocks: Arc::new(MemoryBlocks::default()),
        receipts: Arc::new(MemoryReceipts::default()),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Random),
    }))
}

async fn echo(listener: TcpListener) {
    let answer = |request: Request<Incoming>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    };
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_ok() {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    }
}

/// Makes `REQUESTS` requests, `at_once` of them at any time, and gives their durations and that of all together.
async fn run<F: Future<Output = Result<(), Failed>> + Send + 'static>(
    at_once: usize,
    request: impl Fn() -> F + Send + Sync + 'static,
) -> Result<(Vec<Duration>, Duration), Failed> {
    let (request, begun) = (Arc::new(request), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let request = request.clone();
        tasks.spawn(async move {
            let mut durations = Vec::new();
            for _ in 0..REQUESTS / at_once {
                let begun = Instant::now();
                request().await?;
                durations.push(begun.elapsed());
            }
            Ok::<_, Failed>(durations)
        });
    }
    let mut durations = Vec::new();
    while let Some(done) = tasks.join_next().await {
        durations.extend(done??);
    }
    Ok((durations, begun.elapsed()))
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let issuer = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let executor = executor(&issuer)?;
    let asked = Invocation::builder(issuer.did().clone(), "/nothing".parse()?, Default::default());
    let asked = asked.nonce(vec![1; 12]).sign(&issuer)?;
    let container = Arc::new(Container::from_iter([asked.envelope().bytes()]));
    let body = Bytes::from(container.encode(ContainerEncoding::Raw));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let endpoint = Endpoint::new(executor.clone(), ServerOptions::default());
    tokio::spawn(serve(listener, "/", endpoint, std::future::pending()));
    let transport =
        HttpTransport::new(Arc::new(SystemClock), TransportOptions::default().with_idle(64, Duration::MAX))?;
    transport.insert(issuer.did(), &url)?;
    let transport = Arc::new(transport);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bare_url: hyper::Uri = format!("http://{}/", listener.local_addr()?).parse()?;
    tokio::spawn(echo(listener));
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let bare: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);

    println!("a request of {} bytes; {REQUESTS} requests, {ROUNDS} rounds", body.len());
    for at_once in [1, 64] {
        let mut all = [const { (Vec::new(), Duration::ZERO) }; 3];
        for _ in 0..ROUNDS {
            let (client, url, bytes) = (bare.clone(), bare_url.clone(), body.clone());
            let echoed = run(at_once, move || {
                let request = Request::post(url.clone()).header("content-type", CONTENT_TYPE);
                let (client, request) = (client.clone(), request.body(Full::new(bytes.clone())));
                async move {
                    client.request(request?).await?.into_body().collect().await?;
                    Ok(())
                }
            });
            let echoed = echoed.await?;
            let (transport, container, to) = (transport.clone(), container.clone(), issuer.did().clone());
            let sent = run(at_once, move || {
                let (transport, container, to) = (transport.clone(), container.clone(), to.clone());
                async move {
                    transport.send(&to, &container).await?;
                    Ok(())
                }
            });
            let sent = sent.await?;
            let (direct, bytes) = (executor.clone(), body.clone());
            let alone = run(at_once, move || {
                let (direct, bytes) = (direct.clone(), bytes.clone());
                async move {
                    direct.answer(&bytes).await?;
                    Ok(())
                }
            });
            for (all, (durations, time)) in all.iter_mut().zip([echoed, sent, alone.await?]) {
                all.0.extend(durations);
                all.1 += time;
            }
        }
        let mut first = None;
        for (name, (mut durations, time)) in ["bare echo", "this crate", "executor alone"].into_iter().zip(all) {
            durations.sort_unstable();
            let middle = durations.get(durations.len() / 2).copied().unwrap_or_default();
            let rate = durations.len() as f64 / time.as_secs_f64();
            let ratio = rate / *first.get_or_insert(rate);
            println!(
                "{at_once:>2} at once  {name:<14} {rate:>8.0} requests/s  p50 {middle:>10.1?}  {ratio:.2} of the echo"
            );
        }
    }
    Ok(())
}
