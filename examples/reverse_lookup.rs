//! What has been computed about something, found by the thing itself.
//!
//! A classifier judges content, and its verdicts are found by the CID of the content. Then two services share the validation of a
//! token: what the one has computed, the other takes over, because it trusts it.
//!
//!     cargo run --release -p ipvm-examples --example reverse_lookup

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ipvm::SystemEntropy;
use ucan_core::{CachedKeys, Cid, Container, DidKeys, Ipld, Issuer, SystemClock, Token, block};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Cursor, EffectClass, Executor, ExecutorParts, Failure, Handler, Invocation,
    Listing, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations, NoPromises, Outcome, Receipt,
    ReceiptStore, Router, Task, Trust,
};
use varsig::ed25519::SigningKey;

/// `/text/judge` on `{text: &Raw}`: whether a text shouts. A function of the text, so that its verdicts can be shared.
#[derive(Debug)]
struct Judge {
    blocks: Arc<MemoryBlocks>,
    calls: Arc<AtomicUsize>,
}

fn link(task: &Task) -> Result<Cid, Failure> {
    match task.args().get("text") {
        Some(Ipld::Link(cid)) => Ok(*cid),
        _ => Err(Failure::new("ArgumentMismatch", "the argument \"text\" is to be a link")),
    }
}

#[async_trait]
impl Handler for Judge {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        link(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let judged = async {
            let text = self.blocks.get(&link(call.task())?).await;
            let text = text.map_err(|error| Failure::new("HostFailure", error.to_string()))?;
            let text = text.ok_or_else(|| Failure::new("NoSuchText", "the text is not here"))?;
            Ok::<_, Failure>(Ipld::Bool(
                text.iter().any(u8::is_ascii_uppercase) && !text.iter().any(u8::is_ascii_lowercase),
            ))
        };
        match judged.await {
            Ok(shouts) => Completion::new(Outcome::Ok(shouts)),
            Err(failure) => Completion { repeatable: false, ..Completion::new(failure.into()) },
        }
    }
}

/// A service that judges for whoever may have things judged on `desk`.
fn service(
    seed: u8,
    desk: &Issuer,
    stores: &(Arc<MemoryBlocks>, Arc<MemoryReceipts>),
    trust: Trust,
) -> Result<(Executor, Arc<AtomicUsize>), Box<dyn Error>> {
    let ((blocks, receipts), calls) = (stores.clone(), Arc::<AtomicUsize>::default());
    let mut router = Router::default();
    let judge = Judge { blocks: blocks.clone(), calls: calls.clone() };
    router.insert(desk.did().clone(), "/text/judge".parse()?, Arc::new(judge));
    let executor = Executor::new(ExecutorParts {
        executor: Issuer::ed25519(SigningKey::from_seed(&[seed; 32])),
        router,
        blocks,
        receipts,
        trust,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(MemoryReplayGuard::default()),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    });
    Ok((executor, calls))
}

/// Asks a service about a text.
async fn judge(executor: &Executor, desk: &Issuer, text: &Cid, nonce: u8) -> Result<Receipt, Box<dyn Error>> {
    let args = BTreeMap::from([("text".to_owned(), Ipld::Link(*text))]);
    let asked = Invocation::builder(desk.did().clone(), "/text/judge".parse()?, args)
        .audience(executor.parts().executor.did().clone())
        .nonce(vec![nonce; 12])
        .sign(desk)?;
    let answer = executor.execute(&Container::from_iter([asked.envelope().bytes()])).await?;
    Ok(Receipt::decode(answer.tokens().next().ok_or("there is no receipt")?)?)
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let desk = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let stores = (Arc::new(MemoryBlocks::default()), Arc::new(MemoryReceipts::default()));
    let (first, calls_of_first) = service(2, &desk, &stores, Trust::Own)?;

    let (loud, calm) = (&b"BUY NOW"[..], &b"how are you?"[..]);
    let texts = [loud, calm].map(block::raw_cid);
    for (cid, text) in texts.iter().zip([loud, calm]) {
        stores.0.put(cid, text.to_vec().into()).await?;
    }
    let verdict = judge(&first, &desk, &texts[0], 1).await?;
    judge(&first, &desk, &texts[1], 2).await?;

    // Somebody else comes across the text, and knows nothing but its CID.
    let about = stores.1.list(&Listing::Input(texts[0]), Cursor::START, 10).await?;
    println!("what is known of {}: {:?}", texts[0], about.receipts);
    assert_eq!(about.receipts, [verdict.id()]);
    let found = stores.1.get(&about.receipts[0]).await?.ok_or("it is listed")?;
    assert_eq!(found.outcome(), &Outcome::Ok(Ipld::Bool(true)));

    // A second service trusts the first one: the same question, as a task of its own, is answered without judging again.
    let named = [first.parts().executor.did().clone()].into();
    let (second, calls_of_second) = service(3, &desk, &stores, Trust::Executors(named))?;
    let taken_over = judge(&second, &desk, &texts[0], 3).await?;
    println!("{} rests on {:?}", taken_over.id(), taken_over.cause());
    assert!(taken_over.issuer().same_principal(second.parts().executor.did()));
    assert_eq!((taken_over.cause(), taken_over.outcome()), (Some(verdict.id()), verdict.outcome()));

    // A third one trusts nobody but itself.
    let (third, calls_of_third) = service(4, &desk, &stores, Trust::Own)?;
    assert_eq!(judge(&third, &desk, &texts[0], 4).await?.cause(), None);

    let calls = [calls_of_first, calls_of_second, calls_of_third].map(|calls| calls.load(Ordering::Relaxed));
    println!("judged: {calls:?}");
    assert_eq!(calls, [2, 0, 1]);
    Ok(())
}
