//! Keys that have to be fetched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use ucan_core::{
    CachedResolver, Clock, Command, Delegation, Did, DidKeys, DidResolver, Issuer, KeyError, KeySource, Purpose,
    ResolvedKeys, Resolvers, SignatureError, Timestamp, verify,
};
use varsig::{
    PublicKey, SecretKey,
    SignatureAlgorithm::{Ed25519, Es256, Es256K},
    VerifyError,
};

/// Runs a future that wakes itself whenever it waits.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes(Ed25519, &[seed; 32]).unwrap()
}

fn key(seed: u8) -> PublicKey {
    secret(seed).public_key()
}

/// A table of keys that takes two rounds to answer, and writes down what it was asked.
#[derive(Debug, Default)]
struct Table {
    keys: BTreeMap<String, Vec<PublicKey>>,
    asked: Mutex<Vec<(String, Purpose)>>,
    together: Mutex<Vec<usize>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Table {
    fn new(keys: &[(&str, &[PublicKey])]) -> Self {
        let keys = keys.iter().map(|(did, keys)| ((*did).to_owned(), keys.to_vec())).collect();
        Self { keys, ..Self::default() }
    }

    fn asked(&self) -> Vec<(String, Purpose)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl DidResolver for Table {
    async fn resolve(&self, did: &Did, purpose: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        self.asked.lock().unwrap().push((did.to_string(), purpose));
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let mut waited = false;
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        let keys = self.keys.get(did.as_str()).cloned();
        keys.ok_or_else(|| KeyError::Unresolved { did: did.clone(), detail: "not in the table".to_owned() })
    }

    async fn resolve_all(&self, questions: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        self.together.lock().unwrap().push(questions.len());
        let mut answers = Vec::new();
        for (did, purpose) in questions {
            answers.push(self.resolve(did, *purpose).await);
        }
        answers
    }
}

const DELEGATION: Purpose = Purpose::Delegation;
const INVOCATION: Purpose = Purpose::Invocation;

fn grant(issuer: &str, seed: u8) -> Delegation {
    let issuer = Issuer::new(did(issuer), secret(seed).into_signer());
    Delegation::builder(did("did:web:b"), Some(issuer.did().clone()), Command::top()).sign(&issuer).unwrap()
}

fn check(issuer: &str, seed: u8, keys: &ResolvedKeys) -> Result<(), SignatureError> {
    verify(grant(issuer, seed), keys).map(|_| ())
}

#[test]
fn each_principal_and_purpose_is_resolved_once() {
    let table = Table::new(&[("did:web:a", &[key(1)]), ("did:web:a#k", &[key(2)])]);
    let (a, fragment, own) = (did("did:web:a"), did("did:web:a#k"), Did::from_public_key(&key(3)));
    let account = did("did:pkh:eip155:1:0xde709f2102306220921060314715629080e2fb77");
    let principals = [
        (&a, DELEGATION),
        (&own, DELEGATION),
        (&a, DELEGATION),
        (&a, INVOCATION),
        (&fragment, DELEGATION),
        (&account, DELEGATION),
    ];
    let keys = wait(ResolvedKeys::fetch(&table, principals));
    let asked = |text: &str, purpose| (text.to_owned(), purpose);
    let expected = [asked("did:web:a", DELEGATION), asked("did:web:a", INVOCATION), asked("did:web:a#k", DELEGATION)];
    assert_eq!(table.asked(), expected, "what is its own key is asked of nobody");
    assert_eq!(keys.errors().count(), 0);

    assert_eq!(check("did:web:a", 1, &keys), Ok(()));
    assert_eq!(check("did:web:a", 2, &keys), Err(SignatureError::Signature(VerifyError::Mismatch)));
    assert_eq!(check("did:web:a#k", 2, &keys), Ok(()), "the fragment names another key");
    assert_eq!(check("did:web:a#k", 1, &keys), Err(SignatureError::Signature(VerifyError::Mismatch)));
    assert_eq!(check(own.as_str(), 3, &keys), Ok(()));
    for unknown in ["did:web:c", "did:web:a#other", "did:web:b"] {
        let error = check(unknown, 1, &keys).unwrap_err();
        assert!(matches!(error, SignatureError::Key(KeyError::Unresolved { .. })), "{unknown}: {error}");
        assert_eq!(error.name(), "InvalidSignature");
    }
    // For invocations, this one was not asked for.
    assert!(matches!(keys.verifier(&fragment, Ed25519, INVOCATION), Err(KeyError::Unresolved { .. })));
}

#[test]
fn errors_are_kept_with_their_principal() {
    let table = Table::new(&[("did:web:a", &[key(1)])]);
    let (a, b) = (did("did:web:a"), did("did:web:b"));
    let mut keys = wait(ResolvedKeys::fetch(&table, [(&a, DELEGATION), (&b, DELEGATION)]));
    let error = KeyError::Unresolved { did: b.clone(), detail: "not in the table".to_owned() };
    assert_eq!(keys.errors().collect::<Vec<_>>(), [(&b, DELEGATION, &error)]);
    assert_eq!(check("did:web:a", 1, &keys), Ok(()));
    assert_eq!(check("did:web:b", 1, &keys), Err(SignatureError::Key(error)));
    keys.insert(b, DELEGATION, Ok(vec![key(1)]));
    assert_eq!(check("did:web:b", 1, &keys), Ok(()));
}

#[test]
fn the_algorithm_chooses_among_keys() {
    let es256 = SecretKey::from_bytes(Es256, &[1; 32]).unwrap().public_key();
    let not_a_point = PublicKey::new(0xed, [&[2][..], &[0; 31]].concat()).unwrap();
    let off_curve = PublicKey::new(0xe7, [&[2][..], &[0xff; 32]].concat()).unwrap();
    let all = [key(1), es256.clone(), not_a_point, key(2), key(1), off_curve];
    let a = did("did:web:a");
    let keys = wait(ResolvedKeys::fetch(&Table::new(&[("did:web:a", &all)]), [(&a, DELEGATION)]));

    let mut both = [key(1), key(2)];
    both.sort();
    let verifier = keys.verifier(&a, Ed25519, DELEGATION).unwrap();
    assert_eq!(verifier.algorithm(), Ed25519);
    assert_eq!(verifier.public_key(), [both[0].as_bytes(), both[1].as_bytes()].concat());
    for (seed, good) in [(1, true), (2, true), (3, false)] {
        let signature = secret(seed).into_signer().try_sign(b"m").unwrap();
        assert_eq!(verifier.verify(b"m", signature.as_bytes()).is_ok(), good);
        assert_eq!(verifier.verify(b"n", signature.as_bytes()), Err(VerifyError::Mismatch));
    }
    assert_eq!(verifier.verify(b"m", &[]), Err(VerifyError::Length { expected: 64, got: 0 }));

    let verifier = keys.verifier(&a, Es256, DELEGATION).unwrap();
    assert_eq!((verifier.algorithm(), verifier.public_key()), (Es256, es256.as_bytes()), "the only one is itself");
    assert!(matches!(keys.verifier(&a, Es256K, DELEGATION), Err(KeyError::BadKey { .. })));
    let algorithm = varsig::SignatureAlgorithm::Es384;
    let error = KeyError::WrongAlgorithm { did: a.clone(), algorithm };
    assert_eq!(keys.verifier(&a, algorithm, DELEGATION).unwrap_err(), error);
}

#[test]
fn the_number_of_keys_is_bounded() {
    let a = did("did:web:a");
    let keys = |count: u8| {
        let all: Vec<PublicKey> = (0..count).map(key).collect();
        let keys = wait(ResolvedKeys::fetch(&Table::new(&[("did:web:a", &all)]), [(&a, DELEGATION)]));
        keys.verifier(&a, Ed25519, DELEGATION).map(|_| ())
    };
    assert_eq!(keys(16), Ok(()));
    assert!(matches!(keys(17), Err(KeyError::Unresolved { .. })));
    assert!(matches!(keys(0), Err(KeyError::WrongAlgorithm { .. })));
}

#[test]
fn the_number_of_principals_is_bounded() {
    let dids: Vec<Did> = (0..200).map(|number| did(&format!("did:web:a{number}"))).collect();
    let table = Table::default();
    let keys = wait(ResolvedKeys::fetch(&table, dids.iter().map(|did| (did, DELEGATION))));
    let asked: Vec<String> = table.asked().into_iter().map(|(did, _)| did).collect();
    let first: Vec<&str> = dids.iter().take(ResolvedKeys::MAX_PRINCIPALS).map(Did::as_str).collect();
    assert_eq!(asked, first, "who comes first is asked for first, whatever comes after");
    assert_eq!(keys.errors().count(), 200);
    assert_eq!(table.most.load(Ordering::SeqCst), 8, "a few at the same time");
}

#[test]
fn methods_have_their_resolvers() {
    let table: Arc<dyn DidResolver> = Arc::new(Table::new(&[("did:web:a", &[key(1)])]));
    let resolvers = Resolvers::new().with("web", table.clone()).with("key", table);
    assert_eq!(resolvers.methods().collect::<Vec<_>>(), ["web"], "nobody asks one for `key`");
    let own = Did::from_public_key(&key(3));
    let resolve = |did: &Did| wait(resolvers.resolve(did, DELEGATION));
    assert_eq!(resolve(&did("did:web:a")), Ok(vec![key(1)]));
    assert_eq!(resolve(&own), Ok(vec![key(3)]), "nobody says what the key of a did:key is");
    for unknown in ["did:plc:a", "did:webs:a", "did:pkh:eip155:1:0xde709f2102306220921060314715629080e2fb77"] {
        assert!(matches!(resolve(&did(unknown)), Err(KeyError::UnsupportedMethod { .. })), "{unknown}");
    }
    assert_eq!(wait(DidKeys.resolve(&own, INVOCATION)), Ok(vec![key(3)]));
}

#[test]
fn what_is_about_one_principal_is_asked_together() {
    let fragments: Vec<Did> = (0..100).map(|number| did(&format!("did:web:a#k{number}"))).collect();
    let rows: Vec<(&str, &[PublicKey])> = fragments.iter().map(|did| (did.as_str(), &[][..])).collect();
    let (b, table) = (did("did:web:b"), Arc::new(Table::new(&rows)));
    let questions = || fragments.iter().take(50).map(|did| (did, DELEGATION)).chain([(&b, DELEGATION)]);
    let more = fragments.iter().skip(50).map(|did| (did, INVOCATION));
    let resolvers: Arc<dyn DidResolver> = Arc::new(Resolvers::new().with("web", table.clone()));
    let cached = CachedResolver::new(resolvers, Arc::new(HandClock::default()), 60);
    let keys = wait(ResolvedKeys::fetch(&cached, questions().chain(more.clone())));
    let together = || std::mem::take(&mut *table.together.lock().unwrap());
    assert_eq!(together(), [100, 1]);
    assert_eq!(keys.errors().map(|(did, ..)| did).collect::<Vec<_>>(), [&b]);
    // Of what is remembered, nothing is asked again.
    table.asked();
    let once = did("did:web:a");
    wait(ResolvedKeys::fetch(&cached, more.chain([(&once, DELEGATION)])));
    assert_eq!(table.asked(), [("did:web:a".to_owned(), DELEGATION)]);
}

#[test]
fn each_question_has_its_own_answer() {
    let rows: [(&str, &[PublicKey]); 3] =
        [("did:web:a", &[key(1)]), ("did:web:a#x", &[key(2)]), ("did:web:a#y", &[key(3)])];
    let cached = CachedResolver::new(Table::new(&rows), Arc::new(HandClock::default()), 60);
    let dids = ["did:web:a#y", "did:web:a", "did:web:a#z", "did:web:a#x"].map(did);
    // The second time, some answers are remembered and others are not.
    wait(cached.resolve(&dids[1], DELEGATION)).unwrap();
    let questions = dids.each_ref().map(|did| (did, DELEGATION));
    let answers = wait(cached.resolve_all(&questions));
    let keys: Vec<Option<Vec<PublicKey>>> = answers.into_iter().map(Result::ok).collect();
    assert_eq!(keys, [Some(vec![key(3)]), Some(vec![key(1)]), None, Some(vec![key(2)])]);
}

/// Answers less than it is asked.
#[derive(Debug)]
struct Terse;

#[async_trait]
impl DidResolver for Terse {
    async fn resolve(&self, _: &Did, _: Purpose) -> Result<Vec<PublicKey>, KeyError> {
        Ok(vec![key(1)])
    }

    async fn resolve_all(&self, _: &[(&Did, Purpose)]) -> Vec<Result<Vec<PublicKey>, KeyError>> {
        vec![Ok(vec![key(1)])]
    }
}

#[test]
fn what_is_not_answered_is_an_error() {
    let (a, b) = (did("did:web:a#x"), did("did:web:a#y"));
    let cached = CachedResolver::new(Terse, Arc::new(HandClock::default()), 60);
    for resolver in [&Terse as &dyn DidResolver, &cached] {
        let keys = wait(ResolvedKeys::fetch(resolver, [(&a, DELEGATION), (&b, DELEGATION)]));
        assert_eq!(keys.errors().map(|(did, ..)| did).collect::<Vec<_>>(), [&b]);
    }
}

#[test]
fn accounts_that_are_no_key_have_a_resolver() {
    let solana = "did:pkh:solana:4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZ:CKg5d12Jhpej1JqtmxLJgaFqqeYjxgPqToJ4LBdvG9Ev";
    let ethereum = "did:pkh:eip155:1:0xde709f2102306220921060314715629080e2fb77";
    let table = Arc::new(Table::new(&[(solana, &[key(1)]), (ethereum, &[key(1)])]));
    let resolvers = Resolvers::new().with("pkh", table.clone());
    let (solana, ethereum) = (did(solana), did(ethereum));
    let keys = wait(ResolvedKeys::fetch(&resolvers, [(&solana, DELEGATION), (&ethereum, DELEGATION)]));
    assert_eq!(table.asked(), [(solana.to_string(), DELEGATION)]);
    assert!(keys.verifier(&solana, Ed25519, DELEGATION).is_ok());
    assert!(matches!(keys.verifier(&ethereum, Ed25519, DELEGATION), Err(KeyError::WrongAlgorithm { .. })));
    assert!(wait(resolvers.resolve(&ethereum, DELEGATION)).is_err(), "nobody else says what the key is");
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[test]
fn answers_are_remembered_for_a_while() {
    let (table, clock) = (Arc::new(Table::new(&[("did:web:a", &[key(1)])])), Arc::new(HandClock::default()));
    let cached = CachedResolver::new(table.clone(), clock.clone(), 60);
    let ask = |text: &str, purpose, at: u64| {
        clock.0.store(at, Ordering::SeqCst);
        let answer = wait(cached.resolve(&did(text), purpose));
        (answer.is_ok(), table.asked().len())
    };
    assert_eq!(ask("did:web:a", DELEGATION, 100), (true, 1));
    assert_eq!(ask("did:web:a", DELEGATION, 160), (true, 0));
    assert_eq!(ask("did:web:a", INVOCATION, 160), (true, 1), "another purpose");
    assert_eq!(ask("did:web:a", DELEGATION, 161), (true, 1), "too old");
    assert_eq!(ask("did:web:a", DELEGATION, 100), (true, 1), "from the future");
    assert_eq!(ask("did:web:a", DELEGATION, 101), (true, 0));
    assert_eq!(ask("did:web:c", DELEGATION, 101), (false, 1));
    assert_eq!(ask("did:web:c", DELEGATION, 101), (false, 1), "failures are not remembered");
}

#[test]
fn the_oldest_answer_makes_room() {
    let names: Vec<String> = (0..1025).map(|number| format!("did:web:a{number}")).collect();
    let one = [key(1)];
    let rows: Vec<(&str, &[PublicKey])> = names.iter().map(|name| (name.as_str(), &one[..])).collect();
    let (table, clock) = (Arc::new(Table::new(&rows)), Arc::new(HandClock::default()));
    let cached = CachedResolver::new(table.clone(), clock.clone(), 1 << 40);
    let ask = |name: &str| {
        clock.0.fetch_add(1, Ordering::SeqCst);
        wait(cached.resolve(&did(name), DELEGATION)).unwrap();
        table.asked().len()
    };
    assert_eq!(names.iter().map(|name| ask(name)).sum::<usize>(), 1025);
    assert_eq!(ask(&names[1]), 0);
    assert_eq!(ask(&names[0]), 1);
}

/// Fetching can be done by any task of a runtime with several threads.
#[test]
fn fetching_is_send() {
    fn is_send<T: Send>(_: T) {}
    let table = Table::default();
    let a = did("did:web:a");
    is_send(ResolvedKeys::fetch(&table, [(&a, DELEGATION)]));
}
