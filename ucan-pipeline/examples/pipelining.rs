//! How long a chain of tasks takes that two executors do in turn, over links that take a while:
//! `cargo run --release -p ucan-pipeline --example pipelining`.
//!
//! Once the invoker sends all of it to both at the start, and they ask each other; once the invoker asks for one task after the
//! other, each with the result of the one before. The time is real, and the links are timers: what is measured is how often
//! somebody waits for whom.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "whoever runs it wants to see what is wrong"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{Network, Weather, id, issuer, network, number, promise, receipts};
use ucan_core::{Container, ContainerEncoding, Did, Token};
use ucan_invocation::{Invocation, Outcome, Patience, Timer, TokioTimer, Transport, TransportError, Trust};

const DEPTH: usize = 10;
const TIMES: usize = 20;

/// A link that takes so long for a round trip, and nothing gets lost on.
#[derive(Debug)]
struct Wire {
    network: Weak<Network>,
    round_trip: Duration,
    requests: AtomicUsize,
}

impl Wire {
    fn new(network: &Arc<Network>, round_trip: Duration) -> Arc<Self> {
        Arc::new(Self { network: Arc::downgrade(network), round_trip, requests: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let network = self.network.upgrade().unwrap();
        let executor = network.nodes[to.principal()].executor.lock().unwrap().clone().unwrap();
        let bytes = container.encode(ContainerEncoding::Raw);
        TokioTimer.sleep(self.round_trip / 2).await;
        let answer = tokio::spawn(async move { executor.answer(&bytes).await }).await.unwrap();
        TokioTimer.sleep(self.round_trip / 2).await;
        let answer = answer.map_err(|error| TransportError::Refused { to: to.clone(), error })?;
        Container::decode(&answer).map_err(|error| TransportError::Answer { to: to.clone(), error })
    }
}

struct Measured {
    time: Duration,
    /// How often the invoker waited for an answer before it could go on.
    round_trips: usize,
    by_invoker: usize,
    between: usize,
}

fn world(between: Duration) -> (Arc<Network>, Arc<Wire>) {
    let network = network(0, 2, Weather::default(), &Trust::Own, Patience::default());
    let wire = Wire::new(&network, between);
    for key in [100, 101] {
        let transport = Arc::<Wire>::clone(&wire);
        network.node(key).alter(|parts| parts.elsewhere.as_mut().unwrap().transport = transport);
    }
    (network, wire)
}

fn to(at: usize) -> u8 {
    100 + (at % 2) as u8
}

async fn up_front(invoker: Duration, between: Duration) -> Measured {
    let (network, wire) = world(between);
    let own = Wire::new(&network, invoker);
    let mut chain: Vec<Invocation> = Vec::new();
    for at in 0..DEPTH {
        let of = chain.last().map(promise).into_iter().chain([number(1)]).collect();
        chain.push(network.ask(to(at), "/sum", of));
    }
    let tokens: Vec<&dyn Token> = chain.iter().map(|task| task as &dyn Token).collect();
    let container = network.container(&tokens);
    let start = Instant::now();
    let [first, second] = [100, 101].map(|key| issuer(key).did().clone());
    let (one, other) = tokio::join!(own.send(&first, &container), own.send(&second, &container));
    let time = start.elapsed();
    let mut answers = receipts(&one.unwrap());
    answers.extend(receipts(&other.unwrap()));
    assert_eq!(answers[&id(&chain[DEPTH - 1])].outcome(), &Outcome::Ok(number(DEPTH as i128)));
    Measured {
        time,
        round_trips: 1,
        by_invoker: own.requests.load(Ordering::Relaxed),
        between: wire.requests.load(Ordering::Relaxed),
    }
}

async fn one_by_one(invoker: Duration, between: Duration) -> Measured {
    let (network, wire) = world(between);
    let own = Wire::new(&network, invoker);
    let start = Instant::now();
    for at in 0..DEPTH {
        let sum = at as i128;
        let invocation = network.ask(to(at), "/sum", vec![number(sum), number(1)]);
        let answer = own.send(issuer(to(at)).did(), &network.container(&[&invocation])).await.unwrap();
        assert_eq!(receipts(&answer)[&id(&invocation)].outcome(), &Outcome::Ok(number(sum + 1)));
    }
    Measured {
        time: start.elapsed(),
        round_trips: DEPTH,
        by_invoker: own.requests.load(Ordering::Relaxed),
        between: wire.requests.load(Ordering::Relaxed),
    }
}

#[tokio::main]
async fn main() {
    println!("a chain of {DEPTH} tasks between two executors, each task taking 3 ms; median (least, most) of {TIMES}");
    println!("round trips of the links in ms: invoker to executor / executor to executor");
    for (invoker, between) in [(20_000, 20_000), (20_000, 200)] {
        let [invoker, between] = [invoker, between].map(Duration::from_micros);
        println!("{} / {}", invoker.as_secs_f64() * 1e3, between.as_secs_f64() * 1e3);
        let (mut pipelined, mut sequential) = (Vec::new(), Vec::new());
        // What is compared takes turns.
        for _ in 0..TIMES {
            pipelined.push(up_front(invoker, between).await);
            sequential.push(one_by_one(invoker, between).await);
        }
        report("sent up front to both", pipelined);
        report("one after the other", sequential);
    }
}

fn report(name: &str, mut measured: Vec<Measured>) {
    measured.sort_by_key(|measured| measured.time);
    let millis = |at: usize| measured[at].time.as_secs_f64() * 1e3;
    let Measured { round_trips, by_invoker, .. } = measured[TIMES / 2];
    let between = measured.iter().map(|measured| measured.between).max().unwrap();
    println!(
        "  {name:<22} {:>6.1} ms ({:.1}, {:.1}); the invoker waits {round_trips} times, sends {by_invoker} requests; at most \
         {between} between executors",
        millis(TIMES / 2),
        millis(0),
        millis(TIMES - 1),
    );
}
