//! The life of a delegation: it is passed on twice, used, revoked by somebody in the middle, and refused from then on.
//!
//!     cargo run --release -p ipvm-examples --example revocation

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use ipvm::SystemEntropy;
use ucan_core::{CachedKeys, Container, Delegation, DidKeys, Ipld, Issuer, SystemClock, Token};
use ucan_invocation::{
    Call, Completion, Config, EffectClass, Entropy, Executor, ExecutorParts, Failure, Handler, InProcess, Invocation,
    MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, REVOKE_COMMAND, Receipt,
    Revocation, Router, Task, Transport, Trust,
};
use varsig::ed25519::SigningKey;

/// `/db/read`: what Alice's database has.
#[derive(Debug)]
struct Read;

#[async_trait]
impl Handler for Read {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Query
    }

    async fn check(&self, _task: &Task, _config: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _call: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::String("forty-two rows".to_owned())))
    }
}

/// Sends an invocation with delegations to the database, and gives what came of it.
async fn send(
    network: &InProcess,
    invocation: &Invocation,
    delegations: &[&Delegation],
) -> Result<Outcome, Box<dyn Error>> {
    let mut container = Container::from_iter(delegations.iter().map(|delegation| delegation.bytes()));
    container.insert(invocation.envelope().bytes());
    let answer = network.send(invocation.executor(), &container).await?;
    let receipt = answer.tokens().next().ok_or("there is no receipt")?;
    let receipt = ucan_core::verify(Receipt::decode(receipt)?, &DidKeys)?;
    Ok(receipt.outcome().clone())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let [alice, bob, carol, dan] = [1, 2, 3, 4].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));

    // Alice is her database, and it executes what is asked of it.
    let mut router = Router::default();
    router.insert(alice.did().clone(), "/db/read".parse()?, Arc::new(Read));
    let network = InProcess::default();
    network.add(Executor::new(ExecutorParts {
        executor: alice.clone(),
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
        entropy: Arc::new(SystemEntropy),
    }));

    // Alice lets Bob use it, he lets Carol, and she lets Dan.
    let grant = |from: &Issuer, to: &Issuer, command: &str| -> Result<Delegation, Box<dyn Error>> {
        let mut nonce = [0; 12];
        SystemEntropy.fill(&mut nonce);
        let grant = Delegation::builder(to.did().clone(), Some(alice.did().clone()), command.parse()?);
        Ok(grant.nonce(nonce).sign(from)?)
    };
    let to_bob = grant(&alice, &bob, "/db")?;
    let to_carol = grant(&bob, &carol, "/db")?;
    let to_dan = grant(&carol, &dan, "/db/read")?;
    let path = [to_bob, to_carol, to_dan];
    let proofs: Vec<&Delegation> = path.iter().collect();

    // Dan reads. Each request is a task of its own, by its nonce.
    let read = |nonce: u8| {
        Invocation::builder(alice.did().clone(), "/db/read".parse()?, Default::default())
            .nonce(vec![nonce; 12])
            .proofs(path.iter().map(|proof| *proof.cid()).collect())
            .sign(&dan)
            .map_err(Box::<dyn Error>::from)
    };
    let outcome = send(&network, &read(1)?, &proofs).await?;
    println!("Dan reads: {outcome:?}");
    assert!(outcome.is_ok());

    // Bob finds that Dan is not to be trusted. He did not give Dan anything, but what Dan has rests on what he gave Carol.
    let asked = Revocation::args(path[2].cid(), &path);
    let revocation = Invocation::builder(alice.did().clone(), REVOKE_COMMAND.parse()?, asked).sign(&bob)?;
    let outcome = send(&network, &revocation, &proofs).await?;
    println!("Bob revokes: {outcome:?}");
    assert!(outcome.is_ok());

    let outcome = send(&network, &read(2)?, &proofs).await?;
    println!("Dan reads again: {}", outcome.failure_message().unwrap_or_default());
    assert_eq!(outcome.failure_name(), Some("Revoked"));

    // Carol's own authority is as it was.
    let hers = Invocation::builder(alice.did().clone(), "/db/read".parse()?, Default::default());
    let hers = hers.proofs(vec![*path[0].cid(), *path[1].cid()]).nonce(vec![3; 12]).sign(&carol)?;
    let outcome = send(&network, &hers, &proofs[..2]).await?;
    println!("Carol reads: {outcome:?}");
    assert!(outcome.is_ok());
    Ok(())
}
