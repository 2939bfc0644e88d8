//! Containers whose invocations await each other, carried out by one executor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ucan_core::{
    CachedKeys, Container, Delegation, DidKeys, FixedClock, Ipld, Issuer, Policy, Timestamp, Token, dagjson, verify,
};
use ucan_invocation::{
    Await, Branch, Call, Completion, Config, EffectClass, Entropy, Executor, ExecutorParts, Failure, Handler,
    Invocation, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, Outcome, Receipt, ReceiptStore,
    Router, Task, TaskId, Trust,
};
use ucan_pipeline::Promises;
use varsig::ed25519::SigningKey;

const NOW: u64 = 1_767_225_600;

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

#[derive(Debug)]
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// Adds what is under `of`; fails where there is something else.
#[derive(Debug)]
struct Sum(EffectClass, Arc<AtomicUsize>);

#[async_trait]
impl Handler for Sum {
    fn effect_class(&self) -> EffectClass {
        self.0
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.1.fetch_add(1, Ordering::Relaxed);
        let Some(Ipld::List(of)) = call.task().args().get("of") else {
            return Completion::new(Failure::new("NoNumbers", "`of` is a list").into());
        };
        let number = |item: &Ipld| if let Ipld::Integer(number) = item { Some(*number) } else { None };
        Completion::new(match of.iter().map(number).sum::<Option<i128>>() {
            Some(sum) => Outcome::Ok(Ipld::Integer(sum)),
            None => Failure::new("NoNumbers", "not all are numbers").into(),
        })
    }
}

struct World {
    executor: Executor,
    receipts: Arc<MemoryReceipts>,
    calls: Arc<AtomicUsize>,
    alice: Issuer,
    bob: Issuer,
    grant: Delegation,
}

/// Alice's executor; Bob may do everything but add up to a single number above 1000.
fn world() -> World {
    let [alice, bob, me] = [1, 2, 9].map(issuer);
    let (calls, receipts) = (Arc::<AtomicUsize>::default(), Arc::<MemoryReceipts>::default());
    let mut router = Router::default();
    for (command, class) in [("/sum", EffectClass::Deterministic), ("/log", EffectClass::Mutable)] {
        router.insert(alice.did().clone(), command.parse().unwrap(), Arc::new(Sum(class, calls.clone())));
    }
    let policy = dagjson::decode(br#"[["all", ".of", ["<", ".", 1000]]]"#).unwrap();
    let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/".parse().unwrap());
    let grant = grant.policy(Policy::parse(&policy).unwrap()).sign(&alice).unwrap();
    let executor = Executor::new(ExecutorParts {
        executor: me,
        router,
        blocks: Arc::new(MemoryBlocks::default()),
        receipts: Arc::<MemoryReceipts>::clone(&receipts),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(Promises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(FixedClock(Timestamp::from_secs(NOW).unwrap())),
        entropy: Arc::new(Zeros),
    });
    World { executor, receipts, calls, alice, bob, grant }
}

impl World {
    fn ask(&self, command: &str, of: Vec<Ipld>, by: &Issuer) -> Invocation {
        let args = BTreeMap::from([("of".to_owned(), Ipld::List(of))]);
        let proofs = if by.did() == self.alice.did() { vec![] } else { vec![*self.grant.cid()] };
        Invocation::builder(self.alice.did().clone(), command.parse().unwrap(), args)
            .audience(self.executor.parts().executor.did().clone())
            .proofs(proofs)
            .expiration(Timestamp::from_secs(NOW + 100).unwrap())
            .sign(by)
            .unwrap()
    }

    /// The receipts by the task that they are about.
    fn send(&self, tokens: &[&dyn Token]) -> BTreeMap<TaskId, Receipt> {
        let grant: &dyn Token = &self.grant;
        let container: Container = tokens.iter().chain([&grant]).map(|token| token.envelope().bytes()).collect();
        let answer = pollster::block_on(self.executor.execute(&container)).unwrap();
        let receipt = |token| verify(Receipt::decode(token).unwrap(), &DidKeys).unwrap().into_inner();
        answer.tokens().map(receipt).map(|receipt| (*receipt.ran(), receipt)).collect()
    }
}

fn id(invocation: &Invocation) -> TaskId {
    invocation.task().id().unwrap()
}

fn promise(branch: Branch, of: &Invocation) -> Ipld {
    Await { branch, target: id(of) }.to_ipld()
}

fn number(number: i128) -> Ipld {
    Ipld::Integer(number)
}

#[test]
fn one_container_is_one_round_trip() {
    let world = world();
    let first = world.ask("/sum", vec![number(1), number(2)], &world.bob);
    let second = world.ask("/sum", vec![promise(Branch::Ok, &first), number(10)], &world.bob);
    let third = world.ask("/log", vec![promise(Branch::Ok, &first), promise(Branch::Ok, &second)], &world.bob);
    // However they are put in, a container has an order of its own.
    let receipts = world.send(&[&third, &second, &first]);
    let outcome = |of: &Invocation| receipts[&id(of)].outcome().clone();
    assert_eq!(outcome(&first), Outcome::Ok(number(3)));
    assert_eq!(outcome(&second), Outcome::Ok(number(13)));
    assert_eq!(outcome(&third), Outcome::Ok(number(16)));
    assert_eq!(world.calls.load(Ordering::Relaxed), 3);
    // The receipt is found under the task as it was asked for and as it was resolved.
    let Some(Ipld::Link(resolved)) = receipts[&id(&third)].meta().get("resolved") else { panic!("it links to it") };
    for task in [id(&third), TaskId::new(*resolved)] {
        let found = pollster::block_on(world.receipts.by_task(&task)).unwrap();
        assert_eq!(found.iter().map(Receipt::id).collect::<Vec<_>>(), [receipts[&id(&third)].id()]);
    }
    // All of it again: nothing is done.
    let again = world.send(&[&first, &second, &third]);
    assert!(again.iter().all(|(task, receipt)| receipt.id() == receipts[task].id()));
    assert_eq!(world.calls.load(Ordering::Relaxed), 3);
    // The effect asked for with the numbers themselves is the same task, and has happened.
    let plain = world.ask("/log", vec![number(3), number(13)], &world.bob);
    let receipt = &world.send(&[&plain])[&id(&plain)];
    assert_eq!((receipt.cause(), world.calls.load(Ordering::Relaxed)), (Some(receipts[&id(&third)].id()), 3));
}

#[test]
fn authority_is_checked_on_what_the_promise_gave() {
    let world = world();
    // Alice may add up to anything; Bob may not go on from that.
    let large = world.ask("/sum", vec![number(600), number(600)], &world.bob);
    let more = world.ask("/sum", vec![promise(Branch::Ok, &large)], &world.bob);
    let receipts = world.send(&[&large, &more]);
    assert_eq!(receipts[&id(&large)].outcome(), &Outcome::Ok(number(1200)));
    assert_eq!(receipts[&id(&more)].outcome().failure_name(), Some("NoChain"));
    assert_eq!(world.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn failures_go_along_promises() {
    let world = world();
    let failing = world.ask("/sum", vec![Ipld::Null], &world.alice);
    let next = world.ask("/sum", vec![promise(Branch::Ok, &failing)], &world.alice);
    let last = world.ask("/sum", vec![promise(Branch::Ok, &next)], &world.alice);
    let either = world.ask("/sum", vec![promise(Branch::Any, &failing)], &world.alice);
    let receipts = world.send(&[&last, &failing, &either, &next]);
    let name = |of: &Invocation| receipts[&id(of)].outcome().failure_name().map(ToOwned::to_owned);
    assert_eq!(name(&failing).as_deref(), Some("NoNumbers"));
    // That a task could not be resolved is no outcome that others go on from.
    for (waiting, why) in [(&next, "BranchMismatch"), (&last, "Unresolved")] {
        assert_eq!(name(waiting).as_deref(), Some(why));
        assert_eq!(receipts[&id(waiting)].meta().get("attempt"), Some(&Ipld::Bool(true)));
        assert!(pollster::block_on(world.receipts.by_task(&id(waiting))).unwrap().is_empty());
    }
    assert!(pollster::block_on(world.receipts.by_task(&id(&failing))).unwrap().len() == 1);
    // The whole outcome is a map, which is no number either.
    assert_eq!(name(&either).as_deref(), Some("NoNumbers"));
    assert_eq!(world.calls.load(Ordering::Relaxed), 2);
}

#[test]
fn results_are_for_those_who_asked_or_have_the_receipt() {
    let world = world();
    let secret = world.ask("/sum", vec![number(40), number(2)], &world.alice);
    let curious = world.ask("/sum", vec![promise(Branch::Ok, &secret)], &world.bob);
    let receipts = world.send(&[&secret, &curious]);
    assert!(receipts[&id(&secret)].outcome().is_ok());
    let refused = receipts[&id(&curious)].outcome();
    assert_eq!(refused.failure_name(), Some("Unresolved"));
    // With the receipt in hand there is nothing left to hide.
    let receipts = world.send(&[&curious, &receipts[&id(&secret)]]);
    assert_eq!(receipts[&id(&curious)].outcome(), &Outcome::Ok(number(42)));
    // Nobody else's receipt will do.
    let told = Receipt::builder(id(&secret), Outcome::Ok(number(7))).sign(&issuer(66), [0; 16]).unwrap();
    let other = world.ask("/sum", vec![promise(Branch::Ok, &secret), number(1)], &world.bob);
    assert_eq!(world.send(&[&other, &told])[&id(&other)].outcome().failure_name(), Some("Unresolved"));
    // Nor is one of this executor that says what came of an attempt.
    let attempt = BTreeMap::from([("attempt".to_owned(), Ipld::Bool(true))]);
    let attempt =
        Receipt::builder(id(&secret), Outcome::Ok(number(7))).meta(attempt).sign(&issuer(9), [0; 16]).unwrap();
    assert_eq!(world.send(&[&other, &attempt])[&id(&other)].outcome().failure_name(), Some("Unresolved"));
}

#[test]
fn who_is_refused_learns_nothing() {
    let world = world();
    let secret = world.ask("/sum", vec![number(1)], &issuer(66));
    let waiting = world.ask("/sum", vec![promise(Branch::Any, &secret)], &issuer(66));
    let receipts = world.send(&[&secret, &waiting]);
    for invocation in [&secret, &waiting] {
        assert_eq!(receipts[&id(invocation)].outcome().failure_name(), Some("InvalidAudience"));
    }
    assert_eq!(world.calls.load(Ordering::Relaxed), 0);
}
