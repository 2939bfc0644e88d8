//! The provider's side of channels as a service: commands that come to an executor as invocations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{BUDGET, WINDOW, funder, issuer, now, part, provider, root, task, terms};
use ucan_chan::{
    CHANNEL_COMMAND, ChannelHandler, Charge, Close, MemoryChannels, Meter, Open, Proof, Settle, Till, Voucher,
};
use ucan_core::{Container, Delegation, DidKeys, FixedClock, Ipld, Token};
use ucan_invocation::{
    Entropy, Executor, ExecutorParts, Invocation, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations,
    NoPromises, Outcome, Receipt, Revocation, Router, Trust,
};

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(byte, next)| *byte = *next);
    }
}

struct World {
    executor: Executor,
    till: Till,
    blocks: Arc<MemoryBlocks>,
}

fn world() -> World {
    let (clock, blocks) = (Arc::new(FixedClock(now())), Arc::new(MemoryBlocks::default()));
    let till = Till::new(Arc::new(MemoryChannels::default()), provider().did().clone(), 1);
    let handler = ChannelHandler::new(till.clone(), provider(), blocks.clone(), Arc::new(DidKeys), clock.clone());
    let mut router = Router::default();
    router.insert(provider().did().clone(), CHANNEL_COMMAND.parse().unwrap(), Arc::new(handler));
    let executor = Executor::new(ExecutorParts {
        executor: provider(),
        router,
        blocks: blocks.clone(),
        receipts: Arc::new(MemoryReceipts::default()),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(DidKeys),
        clock,
        entropy: Arc::new(Counter::default()),
    });
    World { executor, till, blocks }
}

impl World {
    /// Sends a token with its chain, as bytes go over HTTP, and gives the receipt.
    async fn ask(&self, token: &[u8], chain: &[Delegation]) -> Receipt {
        let request = Container::from_iter(chain.iter().map(Delegation::bytes).chain([token]));
        let request = request.encode(ucan_core::ContainerEncoding::Raw);
        let answer = Container::decode(&self.executor.answer(&request).await.unwrap()).unwrap();
        Receipt::decode(answer.tokens().next().unwrap()).unwrap()
    }
}

fn field(receipt: &Receipt, key: &str) -> Ipld {
    let (Outcome::Ok(Ipld::Map(map)) | Outcome::Error(Ipld::Map(map))) = receipt.outcome() else { panic!() };
    map.get(key).unwrap_or_else(|| panic!("no {key} in {map:?}")).clone()
}

#[tokio::test]
async fn a_channel_is_opened_drawn_on_and_closed_by_invocations() {
    let (world, chain) = (world(), root(BUDGET));
    let terms = terms(&chain);
    let voucher = Voucher::sign(&funder(), &terms, 1, 100, task("a")).unwrap();
    assert_eq!(world.ask(voucher.bytes(), &chain).await.outcome().failure_name(), Some("Unknown"));

    let open = Open::sign(&funder(), &terms, WINDOW).unwrap();
    let opened = world.ask(open.bytes(), &chain).await;
    assert_eq!(field(&opened, "channel"), Ipld::Link(*terms.id()));
    // Whoever looks for the chain finds it.
    let kept = ucan_invocation::BlockStore::get(&*world.blocks, terms.id()).await.unwrap();
    assert_eq!(kept.as_deref(), Some(chain[0].bytes()));

    let drawn = world.ask(voucher.bytes(), &chain).await;
    assert_eq!((field(&drawn, "more"), field(&drawn, "credit")), (Ipld::Integer(100), Ipld::Integer(100)));
    assert_eq!(world.ask(voucher.bytes(), &chain).await.id(), drawn.id(), "again, it is the same receipt");
    let other = Voucher::sign(&funder(), &terms, 1, 90, task("a")).unwrap();
    let cheating = world.ask(other.bytes(), &chain).await;
    assert_eq!(cheating.outcome().failure_name(), Some("Cheating"));
    let Ipld::List(tokens) = field(&cheating, "proof") else { panic!() };
    let token = |token: Ipld| if let Ipld::Bytes(bytes) = token { bytes } else { panic!() };
    let proof = Proof::new(ucan_chan::Cheating::Equivocation, tokens.into_iter().map(token).collect()).unwrap();
    assert_eq!(&proof.check(&chain, &DidKeys).unwrap(), funder().did(), "the answer is proof for anybody");

    // While something is under way it cannot be settled, and is asked for again.
    let reserved = world.till.reserve(terms.id(), task("a"), 60, now()).await.unwrap();
    let close = Close::sign(&funder(), &terms, 1, 100).unwrap();
    let early = world.ask(close.bytes(), &chain).await;
    assert_eq!((early.outcome().failure_name(), early.is_attempt()), (Some("Unsettled"), true));
    world.till.charge(reserved, 42).await.unwrap();
    let closed = world.ask(close.bytes(), &chain).await;
    let Ipld::Bytes(settle) = field(&closed, "settle") else { panic!() };
    let settle = ucan_core::verify(Settle::decode(settle).unwrap(), &DidKeys).unwrap();
    assert_eq!((settle.total(), settle.sequence()), (42, 1));
    let last = Charge::of(&closed).unwrap().unwrap();
    assert_eq!((last.cost, last.charged, last.last), (0, 42, true));
    let late = Voucher::sign(&funder(), &terms, 2, 200, task("b")).unwrap();
    assert_eq!(world.ask(late.bytes(), &chain).await.outcome().failure_name(), Some("NotOpen"));
}

#[tokio::test]
async fn who_may_not_is_refused_before_the_till_is_asked() {
    let (world, above) = (world(), root(BUDGET));
    let chain = part(&above, &funder(), &issuer(3), 300, 7);
    let open = |by, chain: &[Delegation]| Open::sign(&by, &terms(chain), WINDOW).unwrap();
    // Somebody else's channel; one whose chain does not come along; one that is below nothing.
    assert!(!world.ask(open(issuer(9), &chain).bytes(), &chain).await.outcome().is_ok());
    assert!(!world.ask(open(issuer(3), &chain).bytes(), &chain[1..]).await.outcome().is_ok());
    assert_eq!(world.ask(open(issuer(3), &chain).bytes(), &chain).await.outcome().failure_name(), Some("Unknown"));
    assert!(world.ask(open(funder(), &above).bytes(), &above).await.outcome().is_ok());
    assert!(world.ask(open(issuer(3), &chain).bytes(), &chain).await.outcome().is_ok());
    // What a chain of delegations refuses by itself, nothing that knows of channels has to.
    let over = Voucher::sign(&issuer(3), &terms(&chain), 1, 301, task("a")).unwrap();
    assert_eq!(world.ask(over.bytes(), &chain).await.outcome().failure_name(), Some("MatchError"));
    // The funder takes its delegation back: nothing can be drawn from then on, and nothing was.
    let revoke = Invocation::builder(
        provider().did().clone(),
        "/ucan/revoke".parse().unwrap(),
        Revocation::args(chain[1].cid(), &chain),
    );
    let revoke = revoke.sign(&funder()).unwrap();
    assert!(world.ask(revoke.envelope().bytes(), &chain).await.outcome().is_ok());
    let voucher = Voucher::sign(&issuer(3), &terms(&chain), 1, 10, task("a")).unwrap();
    let refused = world.ask(voucher.bytes(), &chain).await;
    assert!(refused.outcome().failure_name().is_some_and(|name| name.contains("Revoked")), "{refused:?}");
    assert_eq!(world.till.channel(terms(&chain).id()).await.unwrap().total(), 0);
    // The provider settles with what was drawn by then.
    let status = world.till.revoke(terms(&chain).id(), now()).await.unwrap();
    assert!(matches!(status, ucan_chan::Status::Closing { by: None, .. }));
}
