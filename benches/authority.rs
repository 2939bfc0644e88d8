//! What authority costs: decoding, validating, judging and finding, against the bare primitives and against a peer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use ipvm_benches::{in_turn, row};
use pq_ucan::validate as peer;
use ucan_core::{
    CachedKeys, Cid, Command, Context, Delegation, DelegationStore, Did, DidKeys, Ipld, Issuer, KeySource,
    MemoryDelegations, Policy, Purpose, Request, Timestamp, block, dagjson, find, verify_ahead,
};
use ucan_invocation::{Authorized, Invocation, authorize};
use varsig::{SignatureAlgorithm, Verifier, ed25519::SigningKey};

const NOW: u64 = 1_800_000_000;

fn issuer(seed: u32) -> Issuer {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    Issuer::ed25519(SigningKey::from_seed(&bytes))
}

fn now() -> Timestamp {
    Timestamp::from_secs(NOW).unwrap()
}

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

/// A delegation from one to another, as short as they are.
fn grant(from: &Issuer, to: &Issuer, subject: &Issuer, nonce: u32) -> Delegation {
    Delegation::builder(to.did().clone(), Some(subject.did().clone()), command("/msg"))
        .nonce([&[0; 8], &nonce.to_be_bytes()[..]].concat())
        .expiration(Timestamp::from_secs(NOW + 1000))
        .sign(from)
        .unwrap()
}

/// An invocation with five proofs: its bytes last, the proofs' before it, root first.
fn tokens() -> Vec<Vec<u8>> {
    let people: Vec<Issuer> = (0..6).map(issuer).collect();
    let proofs: Vec<Delegation> = (0..5).map(|hop| grant(&people[hop], &people[hop + 1], &people[0], 0)).collect();
    let args = BTreeMap::from([("to".to_owned(), Ipld::String("bob@example.com".to_owned()))]);
    let invocation = Invocation::builder(people[0].did().clone(), command("/msg/send"), args)
        .proofs(proofs.iter().map(|proof| *proof.cid()).collect())
        .nonce(vec![1; 12])
        .expiration(Timestamp::from_secs(NOW + 60).unwrap())
        .sign(&people[5])
        .unwrap();
    let mut tokens: Vec<Vec<u8>> = proofs.iter().map(|proof| proof.bytes().to_vec()).collect();
    tokens.push(ucan_core::Token::envelope(&invocation).bytes().to_vec());
    tokens
}

/// Everything that a receiver does with six tokens. With `ahead`, the signatures are checked on all cores first.
fn receive(tokens: &[Vec<u8>], keys: &dyn KeySource, ahead: bool) -> Authorized {
    let (last, proofs) = tokens.split_last().unwrap();
    let proofs: Vec<Delegation> = proofs.iter().map(|bytes| Delegation::decode(&bytes[..]).unwrap()).collect();
    let invocation = Invocation::decode(&last[..]).unwrap();
    if ahead {
        let mut all: Vec<&(dyn ucan_core::Token + Sync)> = vec![&invocation];
        all.extend(proofs.iter().map(|proof| proof as &(dyn ucan_core::Token + Sync)));
        verify_ahead(&all, keys);
    }
    let executor = invocation.executor().clone();
    let find = |cid: &Cid| proofs.iter().find(|proof| proof.cid() == cid).cloned();
    authorize(invocation, &executor, &find, &Context::new(now(), keys)).unwrap()
}

/// The same by the peer.
fn receive_by_peer(tokens: &[Vec<u8>]) -> peer::Proof {
    let (last, proofs) = tokens.split_last().unwrap();
    let mut store = peer::MemoryStore::new();
    for bytes in proofs {
        store.insert(pq_ucan::delegation::Delegation::decode(bytes).unwrap());
    }
    let invocation = pq_ucan::invocation::Invocation::decode(last).unwrap();
    let executor = invocation.executor().clone();
    let now = pq_ucan::time::Timestamp::from_unix(i64::try_from(NOW).unwrap()).unwrap();
    peer::Validator::new(&store, now).executor(&executor).validate(&invocation).unwrap()
}

fn decoding() {
    let token = grant(&issuer(1), &issuer(2), &issuer(1), 0).bytes().to_vec();
    let [peer, ours] = in_turn(
        20_000,
        [&mut || drop(black_box(pq_ucan::delegation::Delegation::decode(black_box(&token)).unwrap())), &mut || {
            drop(black_box(Delegation::decode(black_box(&token[..])).unwrap()))
        }],
    );
    row(&format!("decode a delegation of {} bytes: pq-ucan", token.len()), peer, None);
    row("  ours; at most 0.7 x pq-ucan", ours, Some(peer));
}

fn chains() {
    let tokens = tokens();
    let decoded: Vec<Delegation> = tokens[..5].iter().map(|token| Delegation::decode(&token[..]).unwrap()).collect();
    let last = Invocation::decode(&tokens[5][..]).unwrap();
    let mut parts: Vec<(&dyn ucan_core::Token, std::sync::Arc<dyn Verifier>)> = Vec::new();
    let verifier = |did: &Did| DidKeys.verifier(did, SignatureAlgorithm::Ed25519, Purpose::Delegation).unwrap();
    for token in decoded.iter().map(|token| token as &dyn ucan_core::Token).chain([&last as &dyn ucan_core::Token]) {
        parts.push((token, verifier(token.issuer())));
    }
    // The primitive by itself: it is given the bytes of a key, a message and a signature.
    type Check = dyn Fn(&ed25519_dalek::VerifyingKey, &[u8], &ed25519_dalek::Signature) -> bool;
    let primitive = |check: &Check| {
        for ((token, verifier), bytes) in parts.iter().zip(&tokens) {
            let (envelope, key) = (token.envelope(), verifier.public_key().try_into().unwrap());
            let key = ed25519_dalek::VerifyingKey::from_bytes(black_box(key)).unwrap();
            let signature = ed25519_dalek::Signature::from_slice(envelope.signature()).unwrap();
            assert!(check(&key, black_box(envelope.signed_bytes()), &signature));
            black_box(block::dag_cbor_cid(black_box(bytes)));
        }
    };
    let with_keys = || {
        for ((token, verifier), bytes) in parts.iter().zip(&tokens) {
            let envelope = token.envelope();
            verifier.verify(black_box(envelope.signed_bytes()), envelope.signature()).unwrap();
            black_box(block::dag_cbor_cid(black_box(bytes)));
        }
    };
    let [bare, strict, decoded, peer, cold, both] = in_turn(
        4_000,
        [
            &mut || {
                primitive(&|key, message, signature| ed25519_dalek::Verifier::verify(key, message, signature).is_ok())
            },
            &mut || primitive(&|key, message, signature| key.verify_strict(message, signature).is_ok()),
            &mut || with_keys(),
            &mut || drop(black_box(receive_by_peer(black_box(&tokens)))),
            &mut || drop(black_box(receive(black_box(&tokens), &DidKeys, false))),
            &mut || drop(black_box(receive(black_box(&tokens), &CachedKeys::new(DidKeys), true))),
        ],
    );
    row("six signatures verified by ed25519-dalek, six tokens hashed", bare, None);
    row("  the same by its `verify_strict`", strict, Some(bare));
    row("  the same by varsig, with keys that were decoded before", decoded, Some(bare));
    row("decode and validate an invocation with 5 proofs, cold: pq-ucan", peer, Some(bare));
    row("  ours; at most 1.15 x the bare signatures and hashes", cold, Some(bare));
    row("  ours, against keys that were decoded before", cold, Some(decoded));
    row("  ours, against pq-ucan", cold, Some(peer));
    row("  ours, signatures on all cores", both, Some(bare));

    let keys = CachedKeys::new(DidKeys);
    receive(&tokens, &keys, false);
    let decode = || {
        for bytes in &tokens[..5] {
            black_box(Delegation::decode(black_box(&bytes[..])).unwrap());
        }
        black_box(Invocation::decode(black_box(&tokens[5][..])).unwrap());
    };
    let [decode, warm] =
        in_turn(4_000, [&mut || decode(), &mut || drop(black_box(receive(black_box(&tokens), &keys, false)))]);
    row("six tokens decoded and hashed", decode, None);
    row("  the same invocation, signatures known; at most 1.3 x decoding", warm, Some(decode));
}

fn policies() {
    let entries: Vec<String> =
        (0..200).map(|key| format!(r#""key{key}": {{"n": {key}, "s": "value {key}"}}"#)).collect();
    let args = json(&format!("{{{}}}", entries.join(",")));
    let statements: Vec<String> = (0..50)
        .map(|number| {
            let key = number * 4;
            match number % 5 {
                0 => format!(r#"["==", ".key{key}.n", {key}]"#),
                1 => format!(r#"[">=", ".key{key}.n", 0]"#),
                2 => format!(r#"["like", ".key{key}.s", "val*{key}"]"#),
                3 => format!(r#"["!=", ".key{key}.s", "other"]"#),
                _ => format!(r#"["or", [["==", ".key{key}.n", -1], ["<", ".key{key}.n", 1000]]]"#),
            }
        })
        .collect();
    let policy = json(&format!("[{}]", statements.join(",")));
    let theirs = pq_ucan::policy::Policy::from_ipld(&policy).unwrap();
    let ours = Policy::parse(&policy).unwrap();
    let [peer, time] = in_turn(
        20_000,
        [&mut || black_box(theirs.check(black_box(&args))).unwrap(), &mut || {
            assert!(black_box(ours.matches(black_box(&args))))
        }],
    );
    row("policy of 50 statements over a map of 200 keys: pq-ucan", peer, None);
    row("  ours; at most 1 x pq-ucan", time, Some(peer));
    let counted = allocation_counter::measure(|| assert!(ours.matches(&args)));
    println!("  allocations: {}", counted.count_total);
}

/// 100,000 delegations: 1,000 subjects, each with a tree of 100 people below it, ten to each, two hops deep.
fn crowd() -> (Vec<Delegation>, Issuer, Issuer) {
    let mut grants = Vec::with_capacity(100_000);
    for subject in 0..1000 {
        let root = issuer(subject * 1000);
        let people: Vec<Issuer> = (1..=100).map(|person| issuer(subject * 1000 + person)).collect();
        for (index, person) in people.iter().enumerate() {
            let from = if index < 10 { &root } else { &people[index / 10 - 1] };
            grants.push(grant(from, person, &root, subject));
        }
    }
    (grants, issuer(500 * 1000), issuer(500 * 1000 + 100))
}

async fn searching(runtime: &tokio::runtime::Handle) {
    let (grants, subject, invoker) = crowd();
    let folder = tempfile::tempdir().unwrap();
    let embedded = ipvm_fjall::FjallStore::open(&folder.path().join("store")).unwrap();
    let memory = MemoryDelegations::new();
    let embedded = std::sync::Arc::new(embedded);
    for some in grants.chunks(1000) {
        let puts = some.iter().cloned().map(|grant| {
            let store = embedded.clone();
            runtime.spawn(async move { store.put(&grant).await.unwrap() })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        for grant in some {
            memory.put(grant).await.unwrap();
        }
    }
    let (command, args) = (command("/msg/send"), Ipld::Map(BTreeMap::new()));
    let request = Request { invoker: invoker.did(), subject: subject.did(), command: &command, args: &args };
    let stores: [(&str, &dyn DelegationStore); 2] = [("in memory", &memory), ("embedded", &*embedded)];
    for (name, store) in stores {
        let keys = CachedKeys::new(DidKeys);
        let (mut cold, mut warm) = (Duration::MAX, Duration::MAX);
        for _ in 0..50 {
            for (time, keys) in [(&mut cold, &DidKeys as &dyn KeySource), (&mut warm, &keys)] {
                let began = std::time::Instant::now();
                let found = find(store, &request, &Context::new(now(), keys)).await.unwrap();
                *time = began.elapsed().min(*time);
                assert_eq!(found.proofs.len(), 2);
            }
        }
        row(&format!("a chain of 2 found among {} delegations, {name}; under 1 ms", grants.len()), cold, None);
        row("  the same, signatures known", warm, None);
    }
}

fn main() {
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");
    decoding();
    chains();
    policies();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let handle = tokio.handle().clone();
    tokio.block_on(searching(&handle));
}
