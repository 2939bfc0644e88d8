//! An executor on a real socket, and what is asked of it.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ipvm_http::{Endpoint, HttpTransport, ServerOptions, TransportOptions, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use ucan_core::{CachedKeys, Container, ContainerEncoding, Did, DidKeys, Ipld, Issuer, SystemClock, Token, verify};
use ucan_invocation::{
    Call, Completion, Config, EffectClass, Entropy, Executor, ExecutorParts, Failure, Handler, Invocation,
    MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, Receipt, Router, Task,
    Trust,
};
use varsig::ed25519::SigningKey;

/// Where the server answers.
pub(crate) const PATH: &str = "/ucan";

#[derive(Debug)]
pub(crate) struct Random;

impl Entropy for Random {
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).unwrap();
    }
}

/// `/act`: waits where it is asked to, and answers with as many letters as it is asked for.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) begun: AtomicUsize,
    pub(crate) done: AtomicUsize,
    pub(crate) gate: Semaphore,
}

#[async_trait]
impl Handler for Act {
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let args = call.task().args();
        assert!(!args.contains_key("panic"), "a secret");
        if args.contains_key("wait") {
            self.gate.acquire().await.unwrap().forget();
        }
        let letters = match args.get("letters") {
            Some(Ipld::Integer(letters)) => usize::try_from(*letters).unwrap(),
            _ => 0,
        };
        self.done.fetch_add(1, Ordering::SeqCst);
        Completion::new(Outcome::Ok(Ipld::String("x".repeat(letters))))
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) act: Arc<Act>,
    pub(crate) issuer: Issuer,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// An executor, and what does its tasks.
pub(crate) fn executor(seed: u8) -> (Executor, Arc<Act>) {
    let issuer = Issuer::ed25519(SigningKey::from_seed(&[seed; 32]));
    let act = Arc::new(Act { begun: AtomicUsize::new(0), done: AtomicUsize::new(0), gate: Semaphore::new(0) });
    let mut router = Router::default();
    router.insert(issuer.did().clone(), "/act".parse().unwrap(), Arc::<Act>::clone(&act));
    let executor = Executor::new(ExecutorParts {
        executor: issuer,
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
    });
    (executor, act)
}

impl Server {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        Self::with_seed(options, 9).await
    }

    pub(crate) async fn with_seed(options: ServerOptions, seed: u8) -> Self {
        let (executor, act) = executor(seed);
        let issuer = executor.parts().executor.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let endpoint = Endpoint::new(executor, options);
        let task = tokio::spawn(async move {
            serve(listener, PATH, endpoint, async { drop(ended.await) }).await;
        });
        Self { address, act, issuer, end: Some(end), task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    pub(crate) fn did(&self) -> &Did {
        self.issuer.did()
    }

    /// A transport that reaches this server.
    pub(crate) fn transport(&self, options: TransportOptions) -> HttpTransport {
        let transport = HttpTransport::new(Arc::new(SystemClock), options).unwrap();
        transport.insert(self.did(), &self.url()).unwrap();
        transport
    }

    /// A container that asks for `/act` once, signed by the executor itself.
    pub(crate) fn ask(&self, args: &[(&str, Ipld)]) -> Container {
        ask(&self.issuer, args)
    }

    /// Tells the server to end, and waits until it has.
    pub(crate) async fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap();
    }

    pub(crate) fn tell_to_end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// What the server says to bytes on a connection, until it closes it.
    pub(crate) async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        hear(&mut stream).await
    }

    /// Posts a body with a type, and gives what the server says.
    pub(crate) async fn post(&self, content_type: &str, body: &[u8]) -> String {
        self.say(&[head(content_type, body.len()).as_bytes(), body].concat()).await
    }
}

/// The head of a request that is the last on its connection.
pub(crate) fn head(content_type: &str, length: usize) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// What comes on a connection until it is closed.
pub(crate) async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset after the answer is no concern of these tests.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

pub(crate) fn ask(issuer: &Issuer, args: &[(&str, Ipld)]) -> Container {
    let args = args.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut nonce = [0; 12];
    Random.fill(&mut nonce);
    let invocation = Invocation::builder(issuer.did().clone(), "/act".parse().unwrap(), args).nonce(nonce.to_vec());
    Container::from_iter([invocation.sign(issuer).unwrap().envelope().bytes()])
}

/// The bytes of a container, as they are sent.
pub(crate) fn bytes(container: &Container) -> Vec<u8> {
    container.encode(ContainerEncoding::Raw)
}

/// The verified receipts in an answer.
pub(crate) fn receipts(answer: &Container) -> Vec<Receipt> {
    let verified = |token| verify(Receipt::decode(token).unwrap(), &DidKeys).unwrap().into_inner();
    answer.tokens().map(verified).collect()
}

/// Waits for something to be so.
pub(crate) async fn until(so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never was so");
}

/// A server that says the same to whatever it is asked, once it has read the head.
pub(crate) async fn says(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&bytes).await;
                // What was not read yet would turn the end into a reset.
                let _ = stream.shutdown().await;
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    address
}
