//! Executors: what is asked, refused, repeated and revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use ucan_core::{
    CachedKeys, Container, Delegation, Did, DidKeys, FixedClock, Ipld, Issuer, Timestamp, Token, dagcbor, verify,
};
use ucan_invocation::{
    Call, Completion, Config, EffectClass, Effects, Entropy, ExecuteError, Executor, ExecutorParts, Failure, Handler,
    InProcess, Invocation, InvocationBuilder, MemoryBlocks, MemoryReceipts, MemoryReplayGuard, MemoryRevocations,
    NoPromises, Outcome, REVOKE_COMMAND, Receipt, ReceiptStore, Revocation, Router, Task, Transport, TransportError,
    Trust,
};
use varsig::{SecretKey, SignatureAlgorithm, ed25519::SigningKey};

const NOW: u64 = 1_767_225_600;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(next.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

/// Answers with its arguments, and counts how often it was called.
#[derive(Debug)]
struct Echo {
    class: EffectClass,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Handler for Echo {
    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        match task.args().get("bad") {
            Some(_) => Err(Failure::new("BadArguments", "`bad` is bad")),
            None => Ok(()),
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let args = call.task().args();
        let effects = Effects { fork: Vec::new(), join: args.contains_key("go on").then(|| *call.id()) };
        let completion = Completion::new(match args.get("promise") {
            Some(link) => Outcome::Ok(Ipld::List(vec![Ipld::Map([("await/*".to_owned(), link.clone())].into())])),
            None if args.contains_key("fail") => Failure::new("Failed", "as asked").into(),
            None => Outcome::Ok(call.task().args_value().clone()),
        });
        Completion { effects, ..completion }
    }
}

struct World {
    executor: Executor,
    network: InProcess,
    receipts: Arc<MemoryReceipts>,
    pure: Arc<AtomicUsize>,
    mail: Arc<AtomicUsize>,
    alice: Issuer,
    bob: Issuer,
    carol: Issuer,
}

/// An executor of Alice's that computes and sends mail in her name.
fn world_with(replays: MemoryReplayGuard) -> World {
    let [alice, bob, carol, me] = [1, 2, 3, 9].map(issuer);
    let (pure, mail, receipts) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
    let mut router = Router::default();
    let handler = |class, calls: &Arc<AtomicUsize>| Arc::new(Echo { class, calls: calls.clone() });
    let command = |text: &str| text.parse().unwrap();
    router.insert(alice.did().clone(), command("/compute"), handler(EffectClass::Deterministic, &pure));
    router.insert(alice.did().clone(), command("/mail"), handler(EffectClass::Mutable, &mail));
    let executor = Executor::new(ExecutorParts {
        executor: me,
        router,
        blocks: Arc::new(MemoryBlocks::default()),
        receipts: Arc::<MemoryReceipts>::clone(&receipts),
        trust: Trust::Own,
        revocations: Arc::new(MemoryRevocations::default()),
        replays: Arc::new(replays),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(FixedClock(at(NOW))),
        entropy: Arc::new(Counter::default()),
    });
    let network = InProcess::default();
    network.add(executor.clone());
    World { executor, network, receipts, pure, mail, alice, bob, carol }
}

fn world() -> World {
    world_with(MemoryReplayGuard::default())
}

impl World {
    /// Alice lets Bob do everything, and Bob lets Carol.
    fn grants(&self) -> [Delegation; 2] {
        let grant = |from: &Issuer, to: &Issuer| {
            let grant = Delegation::builder(to.did().clone(), Some(self.alice.did().clone()), "/".parse().unwrap());
            grant.expiration(Timestamp::from_secs(NOW + 500)).sign(from).unwrap()
        };
        [grant(&self.alice, &self.bob), grant(&self.bob, &self.carol)]
    }

    fn ask(&self, command: &str, args: &[(&str, Ipld)], proofs: &[Delegation]) -> InvocationBuilder {
        let args = args.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Invocation::builder(self.alice.did().clone(), command.parse().unwrap(), args)
            .audience(self.executor.parts().executor.did().clone())
            .proofs(proofs.iter().map(|proof| *proof.cid()).collect())
            .expiration(at(NOW + 100))
    }

    /// Sends tokens, and gives the verified receipts.
    fn send_all(&self, tokens: &[&dyn Token]) -> Result<Vec<Receipt>, ExecuteError> {
        let container: Container = tokens.iter().map(|token| token.envelope().bytes()).collect();
        let to = self.executor.parts().executor.did();
        match pollster::block_on(self.network.send(to, &container)) {
            Ok(answer) => Ok(answer
                .tokens()
                .map(|token| verify(Receipt::decode(token).unwrap(), &DidKeys).unwrap().into_inner())
                .inspect(|receipt| assert!(receipt.issuer().same_principal(to)))
                .collect()),
            Err(TransportError::Refused { error, .. }) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn send(&self, invocation: &Invocation, proofs: &[Delegation]) -> Receipt {
        let mut tokens: Vec<&dyn Token> = vec![invocation];
        tokens.extend(proofs.iter().map(|proof| proof as &dyn Token));
        let mut receipts = self.send_all(&tokens).unwrap();
        assert_eq!(receipts.len(), 1);
        let receipt = receipts.pop().unwrap();
        assert_eq!(*receipt.ran(), invocation.task().id().unwrap());
        receipt
    }

    fn name(&self, invocation: &Invocation, proofs: &[Delegation]) -> String {
        self.send(invocation, proofs).outcome().failure_name().unwrap_or("ok").to_owned()
    }
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

#[test]
fn what_is_known_is_not_computed_again() {
    let world = world();
    let grants = world.grants();
    let ask = |nonce: u8, invoker: &Issuer, grants: &[Delegation]| {
        world.ask("/compute/it", &[("n", text("1"))], grants).nonce(vec![nonce; 12]).sign(invoker).unwrap()
    };
    let first = world.send(&ask(1, &world.carol, &grants), &grants);
    assert_eq!(first.outcome(), &Outcome::Ok(Ipld::Map([("n".to_owned(), text("1"))].into())));
    // The same task, by a new token of somebody else: the same receipt.
    let again = world.send(&ask(1, &world.alice, &[]), &[]);
    assert_eq!(again.id(), first.id());
    // Another task with the same instruction: a receipt that names the first.
    let another = world.send(&ask(2, &world.bob, &grants[..1]), &grants[..1]);
    assert_eq!((another.cause(), another.outcome()), (Some(first.id()), first.outcome()));
    assert_eq!(world.pure.load(Ordering::Relaxed), 1);
    // Not even what is known is told to those who may not ask.
    assert_eq!(world.name(&ask(1, &issuer(66), &[]), &[]), "InvalidClaim");
}

#[test]
fn an_effect_happens_once_however_often_it_is_asked_for() {
    let world = world();
    let grants = world.grants();
    let mail = |nonce: u8| world.ask("/mail/send", &[("to", text("dave"))], &grants).nonce(vec![nonce; 12]);
    let first = mail(1).sign(&world.carol).unwrap();
    let receipt = world.send(&first, &grants);
    assert!(receipt.outcome().is_ok());
    assert_eq!(world.send(&first, &grants).id(), receipt.id());
    // Another token for the same task.
    let later = mail(1).expiration(at(NOW + 200)).sign(&world.carol).unwrap();
    assert_ne!(later.id(), first.id());
    assert_eq!(world.send(&later, &grants).id(), receipt.id());
    assert_eq!(world.mail.load(Ordering::Relaxed), 1);
    // Another task.
    assert!(world.send(&mail(2).sign(&world.carol).unwrap(), &grants).outcome().is_ok());
    assert_eq!(world.mail.load(Ordering::Relaxed), 2);
    // Two in one container, one of them twice.
    let (third, fourth) = (mail(3).sign(&world.carol).unwrap(), mail(4).sign(&world.carol).unwrap());
    let receipts = world.send_all(&[&grants[0], &grants[1], &third, &fourth, &third]).unwrap();
    assert_eq!((receipts.len(), world.mail.load(Ordering::Relaxed)), (2, 4));
    // A failure of an effect is its outcome, too.
    let failing = world.ask("/mail/send", &[("fail", Ipld::Null)], &grants).nonce(vec![5]).sign(&world.carol).unwrap();
    let failed = world.send(&failing, &grants);
    assert_eq!((failed.outcome().failure_name(), world.send(&failing, &grants).id()), (Some("Failed"), failed.id()));
    assert_eq!(world.mail.load(Ordering::Relaxed), 5);
}

#[test]
fn what_was_begun_and_has_no_receipt_is_not_begun_again() {
    let world = world_with(MemoryReplayGuard::new(1));
    let mail = |nonce: u8| world.ask("/mail/send", &[], &[]).nonce(vec![nonce; 12]).sign(&world.alice).unwrap();
    let claimed = mail(1).task().id().unwrap();
    let guard = &world.executor.parts().replays;
    pollster::block_on(guard.claim(claimed.cid(), at(NOW + 100), at(NOW))).unwrap();
    assert_eq!(world.name(&mail(1), &[]), "Replayed");
    assert_eq!(world.name(&mail(2), &[]), "Busy");
    let for_ever = Invocation::builder(world.alice.did().clone(), "/mail/send".parse().unwrap(), BTreeMap::new())
        .audience(world.executor.parts().executor.did().clone())
        .sign(&world.alice)
        .unwrap();
    assert_eq!(world.name(&for_ever, &[]), "Unbounded");
    assert_eq!(world.mail.load(Ordering::Relaxed), 0);
    // What only computes needs no guard.
    assert_eq!(world.name(&world.ask("/compute", &[], &[]).sign(&world.alice).unwrap(), &[]), "ok");
}

#[test]
fn every_refusal_is_a_signed_receipt_with_a_name_and_is_not_filed() {
    let world = world();
    let grants = world.grants();
    let good = || world.ask("/compute/it", &[], &grants);
    let by_stranger = good().sign(&issuer(66)).unwrap();
    let link = Ipld::Link(*grants[0].cid());
    let promise = Ipld::Map([("await/ok".to_owned(), link)].into());
    for (invocation, proofs, name) in [
        (good().sign(&world.carol).unwrap(), &grants[..1], "UnavailableProof"),
        (good().proofs(vec![]).sign(&world.carol).unwrap(), &grants[..], "InvalidClaim"),
        (by_stranger, &grants[..], "InvalidAudience"),
        (good().expiration(at(NOW - 61)).sign(&world.carol).unwrap(), &grants[..], "Expired"),
        (forged(&good().sign(&world.carol).unwrap()), &grants[..], "InvalidSignature"),
        (world.ask("/nothing", &[], &grants).sign(&world.carol).unwrap(), &grants[..], "NoHandler"),
        (
            world.ask("/compute", &[("bad", Ipld::Null)], &grants).sign(&world.carol).unwrap(),
            &grants[..],
            "BadArguments",
        ),
        (
            world.ask("/compute", &[("n", promise.clone())], &grants).sign(&world.carol).unwrap(),
            &grants[..],
            "Unresolved",
        ),
    ] {
        let receipt = world.send(&invocation, proofs);
        assert_eq!(receipt.outcome().failure_name(), Some(name));
        assert_eq!(receipt.meta().get("attempt"), Some(&Ipld::Bool(true)));
        let filed = pollster::block_on(world.receipts.by_task(receipt.ran())).unwrap();
        assert!(filed.is_empty(), "{name}");
    }
    assert_eq!(world.pure.load(Ordering::Relaxed), 0);
}

/// The token with another signature.
fn forged(invocation: &Invocation) -> Invocation {
    let Ok(Ipld::List(mut parts)) = dagcbor::decode(invocation.envelope().bytes()) else { panic!("a list") };
    parts[0] = Ipld::Bytes(vec![7; 64]);
    Invocation::decode(dagcbor::encode(&Ipld::List(parts)).unwrap()).unwrap()
}

#[test]
fn what_is_not_asked_here_has_no_receipt() {
    let world = world();
    let for_another = world.ask("/compute", &[], &[]).audience(issuer(8).did().clone()).sign(&world.alice).unwrap();
    assert!(matches!(world.send_all(&[&for_another]), Err(ExecuteError::NothingAsked)));
    assert!(matches!(world.send_all(&[]), Err(ExecuteError::NothingAsked)));
    // A receipt of its own that is sent back is no request.
    let receipt = world.send(&world.ask("/compute", &[], &[]).sign(&world.alice).unwrap(), &[]);
    assert!(matches!(world.send_all(&[&receipt]), Err(ExecuteError::NothingAsked)));
    // Nor is what cannot be read.
    let answer = |bytes: &[u8]| pollster::block_on(world.executor.answer(bytes)).map_err(|error| error.name());
    assert_eq!(answer(b"nothing"), Err("MalformedContainer"));
    let junk: Container = [&b"\x80"[..]].into_iter().collect();
    assert_eq!(answer(&junk.encode(ucan_core::ContainerEncoding::Raw)), Err("MalformedToken"));
    let nowhere = pollster::block_on(world.network.send(issuer(8).did(), &junk));
    assert!(matches!(nowhere, Err(TransportError::NoRoute(_))));
}

#[test]
fn a_result_that_looks_like_a_promise_is_refused() {
    let world = world();
    let link = Ipld::Link(*world.grants()[0].cid());
    let asked = world.ask("/compute", &[("promise", link)], &[]).sign(&world.alice).unwrap();
    assert_eq!(world.name(&asked, &[]), "PromiseInResult");
}

/// A revocation, and the delegations that it needs.
fn revoke(world: &World, by: &Issuer, revoked: &Delegation, path: &[Delegation]) -> Invocation {
    let args = Revocation::args(revoked.cid(), path);
    let asked = Invocation::builder(world.alice.did().clone(), REVOKE_COMMAND.parse().unwrap(), args);
    asked.sign(by).unwrap()
}

#[test]
fn effects_ask_for_more_and_computations_do_not() {
    let world = world();
    let ask = |command: &str| {
        let more = [("go on", Ipld::Bool(true))];
        world.ask(command, &more, &[]).nonce(vec![1; 12]).sign(&world.alice).unwrap()
    };
    let mail = ask("/mail/send");
    let receipt = world.send(&mail, &[]);
    assert_eq!(receipt.effects(), &Effects { fork: Vec::new(), join: Some(mail.task().id().unwrap()) });
    let pure = world.send(&ask("/compute/it"), &[]);
    assert_eq!(pure.outcome().failure_name(), Some("EffectsRefused"));
    assert!(pure.effects().is_empty());
}

#[test]
fn an_answer_is_no_larger_than_its_reader_takes() {
    let world = world();
    let large = Ipld::Bytes(vec![7; 6 << 20]);
    let ask = |nonce: u8| {
        let ask = world.ask("/compute/it", &[("large", large.clone())], &[]).nonce(vec![nonce; 12]);
        ask.sign(&world.alice).unwrap()
    };
    let [one, two, three] = [1, 2, 3].map(ask);
    let receipts: Vec<Receipt> = [&one, &two].map(|asked| world.send(asked, &[])).into();
    // What is asked for fits into a container; all that comes of it does not.
    let size = |receipt: &Receipt| receipt.bytes().len();
    assert!(receipts.iter().map(size).sum::<usize>() > 12 << 20);
    let container: Container = [&one, &two, &three].map(|asked| asked.envelope().bytes()).into_iter().collect();
    let answer = pollster::block_on(world.executor.execute(&container)).unwrap();
    let answer: Vec<Receipt> = answer.tokens().map(|token| Receipt::decode(token).unwrap()).collect();
    let left_out: Vec<_> = answer.iter().filter(|receipt| receipt.is_attempt()).collect();
    assert_eq!((answer.len(), left_out.len()), (3, 1));
    assert_eq!(left_out[0].outcome().failure_name(), Some("AnswerTooLarge"));
    assert!(answer.iter().map(size).sum::<usize>() < 16 << 20);
    // By itself it is there.
    let by_itself = [&one, &two, &three].into_iter().find(|asked| asked.task().id().unwrap() == *left_out[0].ran());
    assert!(world.send(by_itself.unwrap(), &[]).outcome().is_ok());
}

#[test]
fn issuers_at_or_above_a_delegation_may_revoke_it_and_nobody_else() {
    for (revoker, place, expected) in [
        (1, 0, "ok"),
        (1, 1, "ok"),
        (2, 1, "ok"),
        (2, 0, "InvalidClaim"),
        (3, 1, "InvalidClaim"),
        (66, 1, "InvalidClaim"),
    ] {
        let world = world();
        let grants = world.grants();
        let mail = world.ask("/compute", &[], &grants).sign(&world.carol).unwrap();
        let path = if revoker == 1 { &[][..] } else { &grants[..=place] };
        let revocation = revoke(&world, &issuer(revoker), &grants[place], path);
        assert_eq!(world.name(&revocation, &grants), expected, "{revoker} of {place}");
        // Twice is once.
        assert_eq!(world.name(&revocation, &grants), expected);
        let after = if expected == "ok" { "Revoked" } else { "ok" };
        assert_eq!(world.name(&mail, &grants), after, "{revoker} of {place}");
    }
}

#[test]
fn a_path_has_to_be_one() {
    let world = world();
    let grants = world.grants();
    let mallory = issuer(66);
    // Mallory has authority of her own, and hands it to Carol, who never asked for it.
    let grant = |from: &Issuer, to: &Issuer| {
        let grant = Delegation::builder(to.did().clone(), Some(world.alice.did().clone()), "/".parse().unwrap());
        grant.sign(from).unwrap()
    };
    let (hers, handed) = (grant(&world.alice, &mallory), grant(&mallory, &world.bob));
    for path in [
        vec![],
        vec![grants[1].clone()],
        vec![grants[0].clone()],
        vec![grants[1].clone(), grants[0].clone()],
        vec![handed.clone(), grants[1].clone()],
        vec![hers.clone(), grants[1].clone()],
    ] {
        let revocation = revoke(&world, &mallory, &grants[1], &path);
        let at_hand = [&grants[..], &[hers.clone(), handed.clone()]].concat();
        assert_eq!(world.name(&revocation, &at_hand), "InvalidClaim", "{path:?}");
    }
    let unknown = revoke(&world, &world.bob, &grants[1], &grants);
    assert_eq!(world.name(&unknown, &grants[..1]), "UnavailableProof");
    // This is a path to what Bob gave Carol, and Mallory is on it. It is kept, and has no force where she has no part.
    let path = [hers.clone(), handed.clone(), grants[1].clone()];
    let revocation = revoke(&world, &mallory, &grants[1], &path);
    assert_eq!(world.name(&revocation, &path), "ok");
    let asked = |proofs: &[Delegation]| world.ask("/compute", &[], proofs).sign(&world.carol).unwrap();
    assert_eq!(world.name(&asked(&grants), &grants), "ok");
    assert_eq!(world.name(&asked(&path), &path), "Revoked");
}

#[test]
fn revoking_can_be_delegated() {
    let world = world();
    let grants = world.grants();
    let zelda = issuer(26);
    let lent = |command: &str| {
        let lent = Delegation::builder(zelda.did().clone(), Some(world.alice.did().clone()), command.parse().unwrap());
        lent.sign(&world.alice).unwrap()
    };
    let by_proofs = |proof: &Delegation| {
        let args = Revocation::args(grants[1].cid(), &[]);
        let asked = Invocation::builder(world.alice.did().clone(), REVOKE_COMMAND.parse().unwrap(), args);
        asked.proofs(vec![*proof.cid()]).sign(&zelda).unwrap()
    };
    let (other, right) = (lent("/mail"), lent(REVOKE_COMMAND));
    let asked = world.ask("/compute", &[], &grants).sign(&world.carol).unwrap();
    assert_eq!(world.name(&by_proofs(&other), std::slice::from_ref(&other)), "InvalidCommand");
    assert_eq!(world.name(&asked, &grants), "ok");
    assert_eq!(world.name(&by_proofs(&right), std::slice::from_ref(&right)), "ok");
    assert_eq!(world.name(&asked, &grants), "Revoked");
}

#[test]
fn another_spelling_of_a_signature_does_not_undo_a_revocation() {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let world = world();
    // Alice lets Paul, who has a P-256 key, and he lets Bob.
    let paul = Issuer::from_key(SecretKey::from_bytes(SignatureAlgorithm::Es256, &[7; 32]).unwrap());
    let grant = |from: &Issuer, to: &Did| {
        let grant = Delegation::builder(to.clone(), Some(world.alice.did().clone()), "/".parse().unwrap());
        grant.sign(from).unwrap()
    };
    let chain = [grant(&world.alice, paul.did()), grant(&paul, world.bob.did())];
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    let Ok(Ipld::List(mut parts)) = dagcbor::decode(chain[1].bytes()) else { panic!("a list") };
    let Ipld::Bytes(signature) = &mut parts[0] else { panic!("a signature") };
    let mut borrow = 0;
    for (s, order) in signature[32..].iter_mut().zip(&order).rev() {
        let difference = i16::from(*order) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let respelled = Delegation::decode(dagcbor::encode(&Ipld::List(parts)).unwrap()).unwrap();
    let other = [chain[0].clone(), respelled];
    assert_ne!(other[1].cid(), chain[1].cid());
    let asked = |proofs: &[Delegation]| world.ask("/compute", &[], proofs).sign(&world.bob).unwrap();
    assert_eq!(world.name(&asked(&other), &other), "ok", "either spelling is one");
    assert_eq!(world.name(&revoke(&world, &paul, &chain[1], &chain), &chain), "ok");
    assert_eq!(world.name(&asked(&chain), &chain), "Revoked");
    assert_eq!(world.name(&asked(&other), &other), "Revoked");
}

#[test]
fn revocations_that_are_none() {
    let world = world();
    let grants = world.grants();
    let link = || Ipld::Link(*grants[1].cid());
    let ask = |args: Vec<(&str, Ipld)>| {
        let args = args.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let asked = Invocation::builder(world.alice.did().clone(), REVOKE_COMMAND.parse().unwrap(), args);
        asked.sign(&world.alice).unwrap()
    };
    for args in [
        vec![],
        vec![("revoke", text("bafy"))],
        vec![("revoke", link()), ("more", Ipld::Null)],
        vec![("revoke", link()), ("path", link())],
        vec![("revoke", link()), ("path", Ipld::List(vec![Ipld::Null]))],
        vec![("revoke", link()), ("path", Ipld::List(vec![link(); 65]))],
    ] {
        assert_eq!(world.name(&ask(args), &grants), "MalformedRevocation");
    }
    assert_eq!(world.name(&forged(&ask(vec![("revoke", link())])), &grants), "InvalidSignature");
    // About somebody whom nobody serves here: not this executor's affair.
    let other = Invocation::builder(
        issuer(66).did().clone(),
        REVOKE_COMMAND.parse().unwrap(),
        Revocation::args(grants[1].cid(), &[]),
    );
    let other = other.sign(&issuer(66)).unwrap();
    assert!(matches!(world.send_all(&[&other]), Err(ExecuteError::NothingAsked)));
}

#[test]
fn what_has_ended_is_forgotten() {
    let world = world();
    let grants = world.grants();
    assert_eq!(world.name(&revoke(&world, &world.alice, &grants[1], &[]), &grants), "ok");
    let store = &world.executor.parts().revocations;
    let names = [*grants[1].cid(), grants[1].envelope().signed_cid()];
    let known = || {
        let revoked = pollster::block_on(store.revoked(&names)).unwrap();
        names.iter().filter(|name| revoked.by(name, world.alice.did())).count()
    };
    assert_eq!(known(), 2);
    assert_eq!(pollster::block_on(store.evict(at(NOW + 500))).unwrap(), 0);
    assert_eq!(known(), 2);
    assert_eq!(pollster::block_on(store.evict(at(NOW + 501))).unwrap(), 2);
    assert_eq!(known(), 0);
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn layers_go_around_an_executor() {
    use std::time::Duration;

    use tower::{Service, ServiceBuilder, ServiceExt};

    let world = world();
    let container: Container =
        [world.ask("/compute", &[], &[]).sign(&world.alice).unwrap().envelope().bytes()].into_iter().collect();
    let mut service =
        ServiceBuilder::new().concurrency_limit(2).timeout(Duration::from_secs(60)).service(world.executor.clone());
    let answer = service.ready().await.unwrap().call(container.clone()).await.unwrap();
    let receipt = Receipt::decode(answer.tokens().next().unwrap()).unwrap();
    assert!(receipt.outcome().is_ok());
    let mut hurried = ServiceBuilder::new().timeout(Duration::ZERO).service(tower::service_fn(|_: Container| async {
        std::future::pending::<Result<Container, ExecuteError>>().await
    }));
    assert!(hurried.ready().await.unwrap().call(container).await.is_err());
}

#[cfg(feature = "typed")]
mod typed {
    use super::*;
    use serde::{Deserialize, Serialize};
    use ucan_invocation::{OutputError, TypedCommand, TypedHandler};

    struct Divide;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Numbers {
        dividend: i64,
        divisor: i64,
    }

    impl TypedCommand for Divide {
        const COMMAND: &'static str = "/math/divide";
        type Args = Numbers;
        type Output = i64;
    }

    #[test]
    fn arguments_and_results_have_types() {
        let world = world();
        let mut parts = world.executor.parts().clone();
        let divide = |Numbers { dividend, divisor }, call: Call| async move {
            assert_eq!(call.authority().invoker(), issuer(1).did());
            dividend.checked_div(divisor).ok_or_else(|| Failure::new("DivisionByZero", "the divisor is 0"))
        };
        let handler = TypedHandler::<Divide, _>::new(EffectClass::Deterministic, divide);
        assert_eq!(format!("{handler:?}"), "TypedHandler { command: \"/math/divide\", class: Deterministic, .. }");
        parts.router.insert(world.alice.did().clone(), "/math".parse().unwrap(), Arc::new(handler));
        world.network.add(Executor::new(parts));
        let ask = |dividend, divisor| {
            let asked = Divide::invoke(world.alice.did().clone(), &Numbers { dividend, divisor }).unwrap();
            let asked = asked.audience(world.executor.parts().executor.did().clone());
            world.send(&asked.sign(&world.alice).unwrap(), &[])
        };
        assert_eq!(Divide::output(ask(84, 2).outcome()), Ok(42));
        let Err(OutputError::Failed { name, .. }) = Divide::output(ask(1, 0).outcome()) else { panic!("it divided") };
        assert_eq!(name, "DivisionByZero");
        for args in [&[("dividend", text("1"))][..], &[], &[("dividend", text("1")), ("divisor", text("2"))]] {
            let asked = world.ask(Divide::COMMAND, args, &[]).sign(&world.alice).unwrap();
            assert_eq!(world.name(&asked, &[]), "ArgumentMismatch");
        }
        let other = Divide::output(&Outcome::Ok(text("42")));
        assert!(matches!(other, Err(OutputError::Mismatch(_))), "{other:?}");
        let grant = Divide::delegate(world.bob.did().clone(), None).unwrap().sign(&world.alice).unwrap();
        assert_eq!(grant.command().as_str(), Divide::COMMAND);
    }
}
