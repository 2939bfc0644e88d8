//! What requests cost an executor: looking results up, and all that is around a command that does nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ipvm::SystemEntropy;
use ipvm_benches::{best, row};
use ipvm_fjall::FjallStore;
use ucan_core::{
    CachedKeys, Container, ContainerEncoding, Delegation, DidKeys, Ipld, Issuer, SystemClock, Token, block, verify,
};
use ucan_invocation::{
    Call, Completion, Config, Durability, EffectClass, Executor, ExecutorParts, Failure, Filing, Handler,
    InstructionId, Invocation, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, Receipt,
    ReceiptStore, Router, Task, TaskId, Trust,
};
use varsig::ed25519::SigningKey;

/// How many receipts are in a store when results are looked up: no more than the embedded one keeps decoded.
const RECEIPTS: usize = 5_000;
const REQUESTS: usize = 400;

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

fn instruction(number: usize) -> InstructionId {
    InstructionId::new(block::dag_cbor_cid(&number.to_be_bytes()))
}

async fn filled(store: &dyn ReceiptStore) {
    let executor = issuer(1);
    for number in 0..RECEIPTS {
        let ran = TaskId::new(block::raw_cid(&number.to_be_bytes()));
        let receipt = Receipt::builder(ran, Outcome::Ok(Ipld::Integer(1))).sign(&executor, [0; 16]).unwrap();
        let memo = Some(instruction(number));
        let filing = Filing { tasks: vec![ran], memo, inputs: Vec::new(), durability: Durability::Buffered };
        store.file(&receipt, &filing).await.unwrap();
    }
}

/// The middle one of many look-ups, each of another result.
async fn looked_up(store: &dyn ReceiptStore) -> Duration {
    let mut times = Vec::new();
    for round in 0..4 * RECEIPTS {
        let wanted = instruction(round * 7919 % RECEIPTS);
        let began = Instant::now();
        assert_eq!(black_box(store.by_instruction(&wanted).await.unwrap()).len(), 1);
        times.push(began.elapsed());
    }
    times.drain(..RECEIPTS);
    times.sort_unstable();
    times[times.len() / 2]
}

/// Leaves the world as it is.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Handler for Nothing {
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, _task: &Task, _config: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _call: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::Null))
    }
}

fn executor(store: &FjallStore, alice: &Issuer) -> Executor {
    let mut router = Router::default();
    router.insert(alice.did().clone(), "/nothing".parse().unwrap(), Arc::new(Nothing));
    Executor::new(ExecutorParts {
        executor: issuer(9),
        router,
        blocks: Arc::new(store.clone()),
        receipts: Arc::new(store.clone()),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    })
}

/// Containers with a request each, whose invoker has a delegation that is the same in all.
fn requests(alice: &Issuer, executor: &Executor) -> Vec<Vec<u8>> {
    let bob = issuer(2);
    let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/nothing".parse().unwrap());
    let grant = grant.sign(alice).unwrap();
    (0..2 * REQUESTS)
        .map(|number| {
            let asked = Invocation::builder(alice.did().clone(), "/nothing".parse().unwrap(), BTreeMap::new())
                .audience(executor.parts().executor.did().clone())
                .proofs(vec![*grant.cid()])
                .nonce(number.to_be_bytes().to_vec())
                .sign(&bob)
                .unwrap();
            Container::from_iter([grant.bytes(), asked.envelope().bytes()]).encode(ContainerEncoding::Raw)
        })
        .collect()
}

async fn timed<T, E: std::fmt::Debug>(work: impl Future<Output = Result<T, E>>) -> Duration {
    let began = Instant::now();
    black_box(work.await.unwrap());
    began.elapsed()
}

async fn shortest<R: Future>(rounds: usize, mut work: impl FnMut(usize) -> R) -> Duration {
    let mut shortest = Duration::MAX;
    for round in 0..rounds {
        let began = Instant::now();
        black_box(work(round).await);
        shortest = began.elapsed().min(shortest);
    }
    shortest
}

async fn executing(store: &FjallStore) {
    let (alice, me) = (issuer(1), issuer(9));
    let message = [7; 400];
    let sign = best(500, |_| drop(black_box(me.signer().try_sign(black_box(&message)).unwrap())));
    let hashes = best(500, |_| {
        for _ in 0..2 {
            black_box(block::dag_cbor_cid(black_box(&message)));
        }
    });
    let receipt = |number: usize| {
        let ran = TaskId::new(block::raw_cid(&number.to_be_bytes()));
        Receipt::builder(ran, Outcome::Ok(Ipld::Null)).sign(&me, [1; 16]).unwrap()
    };
    let receipts: Vec<Receipt> = (0..REQUESTS).map(receipt).collect();
    let executor = executor(store, &alice);
    let requests = requests(&alice, &executor);
    // Signatures that were verified before are not computed again: half of the requests have been seen, and not been answered.
    let (warm, cold) = requests.split_at(REQUESTS);
    for request in warm {
        for token in Container::decode(request).unwrap().tokens() {
            if let Ok(asked) = Invocation::decode(token) {
                verify(asked, &*executor.parts().keys).unwrap();
            }
        }
    }
    // They take turns: how long a sync takes changes from minute to minute.
    let mut times = [const { Vec::new() }; 3];
    for round in 0..REQUESTS {
        let receipt = &receipts[round];
        let tasks = vec![*receipt.ran()];
        let filing = Filing { tasks, memo: None, inputs: Vec::new(), durability: Durability::Synced };
        times[0].push(timed(store.file(receipt, &filing)).await);
        times[1].push(timed(executor.answer(&warm[round])).await);
        times[2].push(timed(executor.answer(&cold[round])).await);
    }
    let [append, warm_time, cold_time] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let parts = sign + hashes + append;
    row("one signature, two hashes and one durable append, middle time", parts, None);
    row("  a command that does nothing; at most 1.3 x", warm_time, Some(parts));
    row("  the same, whose own signature has to be computed", cold_time, Some(parts));
    // Again: what is known is answered with the receipt that there is.
    let known = shortest(REQUESTS, |round| {
        let (executor, request) = (&executor, &warm[round]);
        async move { executor.answer(request).await.unwrap() }
    })
    .await;
    row("  the first requests once more, best time", known, None);
}

fn main() {
    println!("{:<66} {:>13} {:>10}", "work", "time", "ratio");
    let folder = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let embedded = FjallStore::open(&folder.path().join("store")).unwrap();
        let memory = MemoryReceipts::default();
        filled(&memory).await;
        row("a result looked up in memory, middle time; at most 2 us", looked_up(&memory).await, None);
        filled(&embedded).await;
        row("  in the embedded store, middle time; at most 20 us", looked_up(&embedded).await, None);
        executing(&embedded).await;
    });
}
