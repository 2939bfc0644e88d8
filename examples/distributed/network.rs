//! Executors on sockets, and who may ask them for what.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ipvm_http::{Endpoint, HttpTransport, ServerOptions, TransportOptions, serve};
use tokio::net::TcpListener;
use ucan_core::{CachedKeys, Container, Delegation, Did, DidKeys, Issuer, Policy, SystemClock, dagjson};
use ucan_invocation::{
    Elsewhere, Entropy, Executor, ExecutorParts, Handler, MemoryBlocks, MemoryReceipts, MemoryReplayGuard,
    MemoryRequests, MemoryRevocations, Patience, Router, TokioTimer, Transport, TransportError, Trust,
};
use ucan_pipeline::Promises;
use varsig::ed25519::SigningKey;

/// Random bytes of the operating system.
#[derive(Debug)]
struct Random;

impl Entropy for Random {
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key or nonce is safe: there is nothing to go on with"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    Random.fill(&mut bytes);
    bytes
}

/// Somebody with a new key.
pub(crate) fn principal() -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&random()))
}

/// A resource: who owns it, what can be done to it, and by which delegations the invoker may have that done.
pub(crate) struct Resource {
    pub(crate) owner: Did,
    pub(crate) command: &'static str,
    pub(crate) grants: [Delegation; 2],
}

impl Resource {
    /// A resource whose owner lets a team do something to it, and the team one of its people, within a policy.
    pub(crate) fn new(
        command: &'static str,
        policy: &str,
        team: &Issuer,
        member: &Did,
    ) -> Result<Self, Box<dyn Error>> {
        let owner = principal();
        let policy = Policy::parse(&dagjson::decode(policy.as_bytes())?)?;
        let grant = |to: &Did| -> Result<_, Box<dyn Error>> {
            Ok(Delegation::builder(to.clone(), Some(owner.did().clone()), command.parse()?).nonce(random::<12>()))
        };
        let grants = [grant(team.did())?.sign(&owner)?, grant(member)?.policy(policy).sign(team)?];
        Ok(Self { owner: owner.did().clone(), command, grants })
    }
}

/// An executor that does one thing to one resource. What it waits for, it asks other executors for, by way of
/// `transport`.
fn executor(
    executor: Issuer,
    resource: &Resource,
    handler: Arc<dyn Handler>,
    transport: Arc<HttpTransport>,
) -> Result<Executor, Box<dyn Error>> {
    let mut router = Router::default();
    router.insert(resource.owner.clone(), resource.command.parse()?, handler);
    Ok(Executor::new(ExecutorParts {
        executor,
        router,
        blocks: Arc::new(MemoryBlocks::default()),
        receipts: Arc::new(MemoryReceipts::default()),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(Promises),
        elsewhere: Some(Elsewhere {
            transport,
            timer: Arc::new(TokioTimer),
            requests: Arc::new(MemoryRequests::default()),
            patience: Patience::default(),
        }),
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Random),
    }))
}

/// Executors, each on a socket of its own, that know where the others are.
pub(crate) struct Network {
    transport: Arc<HttpTransport>,
}

impl Network {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self { transport: Arc::new(transport()?) })
    }

    /// Starts an executor, and gives its name and address.
    pub(crate) async fn start(
        &self,
        resource: &Resource,
        handler: impl Handler + 'static,
    ) -> Result<(Did, String), Box<dyn Error>> {
        let issuer = principal();
        let did = issuer.did().clone();
        let executor = executor(issuer, resource, Arc::new(handler), self.transport.clone())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/ucan", listener.local_addr()?);
        let endpoint = Endpoint::new(executor, ServerOptions::default());
        tokio::spawn(async move { serve(listener, "/ucan", endpoint, std::future::pending()).await });
        self.transport.insert(&did, &url)?;
        Ok((did, url))
    }
}

fn transport() -> Result<HttpTransport, Box<dyn Error>> {
    Ok(HttpTransport::new(Arc::new(SystemClock), TransportOptions::default())?)
}

/// The invoker's way to the executors, which counts what it sends.
#[derive(Debug)]
pub(crate) struct Counted {
    transport: HttpTransport,
    requests: AtomicUsize,
}

impl Counted {
    pub(crate) fn new(executors: &[(Did, String)]) -> Result<Self, Box<dyn Error>> {
        let transport = transport()?;
        for (did, url) in executors {
            transport.insert(did, url)?;
        }
        Ok(Self { transport, requests: AtomicUsize::new(0) })
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for Counted {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.transport.send(to, container).await
    }
}
