//! Any single change of a valid chain is refused, for the reason that it breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use ucan_core::{Cid, Context, Delegation, Did, DidKeys, Ipld, Issuer, Policy, Timestamp, Token, dagjson};
use ucan_invocation::{Invocation, InvocationError, authorize};
use varsig::ed25519::SigningKey;

const NOW: u64 = 1_767_225_600;

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

fn time(secs: u64) -> Option<Timestamp> {
    Some(Timestamp::from_secs(secs).unwrap())
}

fn policy(json: &str) -> Policy {
    Policy::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap()
}

/// One delegation before it is signed.
#[derive(Clone, Debug)]
struct Hop {
    from: u8,
    to: u8,
    /// The subject; a powerline has none.
    subject: Option<u8>,
    command: &'static str,
    policy: &'static str,
    expiration: Option<u64>,
    not_before: Option<u64>,
    /// Whose key signs, if not the issuer's.
    forger: Option<u8>,
}

impl Hop {
    fn sign(&self) -> Delegation {
        let subject = self.subject.map(|subject| issuer(subject).did().clone());
        let signer = match self.forger {
            Some(seed) => Issuer::new(issuer(self.from).did().clone(), Arc::new(SigningKey::from_seed(&[seed; 32]))),
            None => issuer(self.from),
        };
        Delegation::builder(issuer(self.to).did().clone(), subject, self.command.parse().unwrap())
            .policy(policy(self.policy))
            .expiration(self.expiration.and_then(time))
            .not_before(self.not_before.and_then(time))
            .nonce([self.to; 12])
            .sign(&signer)
            .unwrap()
    }
}

/// An invocation with its proofs, before anything is signed.
#[derive(Clone, Debug)]
struct Chain {
    hops: Vec<Hop>,
    invoker: u8,
    subject: u8,
    command: &'static str,
    to: &'static str,
    expiration: u64,
    executor: u8,
}

/// What a receiver has: the invocation, its proofs, and what was revoked.
struct Received {
    invocation: Invocation,
    proofs: Vec<Delegation>,
    executor: Did,
    revoked: Option<Cid>,
}

impl Chain {
    fn sign(&self) -> Received {
        let proofs: Vec<_> = self.hops.iter().map(Hop::sign).collect();
        let subject = issuer(self.subject).did().clone();
        let args = BTreeMap::from([("to".to_owned(), Ipld::String(self.to.to_owned()))]);
        let invocation = Invocation::builder(subject, self.command.parse().unwrap(), args)
            .proofs(proofs.iter().map(|proof| *proof.cid()).collect())
            .nonce(vec![1; 12])
            .expiration(Timestamp::from_secs(self.expiration).unwrap())
            .sign(&issuer(self.invoker))
            .unwrap();
        Received { invocation, proofs, executor: issuer(self.executor).did().clone(), revoked: None }
    }
}

impl Received {
    /// The error's name and the proof that it is about.
    fn judge(&self) -> Result<(), (&'static str, Option<usize>)> {
        let revoked = |cid: &Cid, _: &Did| self.revoked.as_ref() == Some(cid);
        let mut context = Context::new(time(NOW).unwrap(), &DidKeys);
        context.revoked = Some(&revoked);
        let at = |cid: &Cid| self.invocation.proofs().iter().position(|proof| proof == cid);
        let proofs = |cid: &Cid| at(cid).and_then(|at| self.proofs.get(at)).cloned();
        match authorize(self.invocation.clone(), &self.executor, &proofs, &context) {
            Ok(_) => Ok(()),
            Err(InvocationError::Chain(error)) => Err((error.class.name(), error.proof)),
            Err(error) => Err((error.name(), None)),
        }
    }
}

/// Valid chains of one to five hops from principal 0, which may narrow the command and the policy, end, begin, and pass on
/// whatever was received.
fn chain() -> impl Strategy<Value = Chain> {
    let hop = (
        prop::sample::select(vec!["/", "/msg", "/msg/send"]),
        prop::sample::select(vec!["[]", r#"[["==",".to","bob"]]"#, r#"[["like",".to","b*"],["!=",".to",""]]"#]),
        prop::option::of(NOW - 60..NOW + 1000),
        prop::option::of(NOW - 1000..NOW + 61),
        any::<bool>(),
    );
    prop::collection::vec(hop, 1..=5).prop_map(|hops| {
        let hops: Vec<Hop> = hops
            .into_iter()
            .zip(0_u8..)
            .map(|((command, policy, expiration, not_before, powerline), from)| {
                let subject = (from == 0 || !powerline).then_some(0);
                Hop { from, to: from + 1, subject, command, policy, expiration, not_before, forger: None }
            })
            .collect();
        let invoker = hops.last().unwrap().to;
        Chain { hops, invoker, subject: 0, command: "/msg/send", to: "bob", expiration: NOW + 60, executor: 0 }
    })
}

/// A change of one thing, after which everybody signs again; and the error that has to come of it at a hop, or at the invocation.
type Change = (&'static str, fn(&mut Chain, usize), &'static str);

/// Changes of one hop. The error is about that hop.
const OF_A_HOP: [Change; 9] = [
    ("another subject", |chain, at| chain.hops[at].subject = Some(99), "InvalidSubject"),
    ("another issuer", |chain, at| chain.hops[at].from = 99, "InvalidAudience"),
    ("another signature", |chain, at| chain.hops[at].forger = Some(99), "InvalidSignature"),
    ("another command", |chain, at| chain.hops[at].command = "/file", "InvalidCommand"),
    ("a longer command", |chain, at| chain.hops[at].command = "/msg/send/now", "InvalidCommand"),
    ("a command that begins alike", |chain, at| chain.hops[at].command = "/msg/sen", "InvalidCommand"),
    ("another policy", |chain, at| chain.hops[at].policy = r#"[["==",".to","carol"]]"#, "MatchError"),
    ("it has ended", |chain, at| chain.hops[at].expiration = Some(NOW - 61), "Expired"),
    ("it has not begun", |chain, at| chain.hops[at].not_before = Some(NOW + 61), "TooEarly"),
];

/// Changes of the invocation. `None` stands for whichever hop is the first to see it.
const OF_THE_INVOCATION: [Change; 5] = [
    ("another subject", |chain, _| chain.subject = 99, "InvalidSubject"),
    ("another invoker", |chain, _| chain.invoker = 99, "InvalidAudience"),
    ("it has ended", |chain, _| chain.expiration = NOW - 61, "Expired"),
    ("for another executor", |chain, _| chain.executor = 99, "InvalidAudience"),
    (
        "wider than what was granted",
        |chain, _| {
            chain.command = "/";
            chain.hops[0].command = "/msg";
        },
        "InvalidCommand",
    ),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_single_change_is_refused(chain in chain(), at: prop::sample::Index) {
        prop_assert_eq!(chain.sign().judge(), Ok(()));
        let at = at.index(chain.hops.len());
        for (what, change, name) in OF_A_HOP {
            let mut changed = chain.clone();
            change(&mut changed, at);
            prop_assert_eq!(changed.sign().judge(), Err((name, Some(at))), "{} at {}", what, at);
        }
        for (what, change, name) in OF_THE_INVOCATION {
            let mut changed = chain.clone();
            change(&mut changed, at);
            prop_assert_eq!(changed.sign().judge().map_err(|(name, _)| name), Err(name), "{}", what);
        }
        // To somebody else: the next one has not received what it passes on.
        let mut changed = chain.clone();
        changed.hops[at].to = 99;
        prop_assert_eq!(changed.sign().judge().map_err(|(name, _)| name), Err("InvalidAudience"));
        // A powerline says nothing about whose authority it passes on, and is no root.
        let mut changed = chain.clone();
        changed.hops[0].subject = None;
        prop_assert_eq!(changed.sign().judge(), Err(("InvalidClaim", Some(0))));
    }

    #[test]
    fn proofs_left_out_doubled_swapped_or_revoked_are_refused(chain in chain(), at: prop::sample::Index) {
        let (last, at) = (chain.hops.len() - 1, at.index(chain.hops.len()));
        let mut shorter = chain.clone();
        shorter.hops.remove(at);
        let name = if shorter.hops.is_empty() { "InvalidClaim" } else { "InvalidAudience" };
        // Of a root that a powerline has taken the place of, its claim is looked at first.
        let powerline = at == 0 && shorter.hops.first().is_some_and(|hop| hop.subject.is_none());
        let name = if powerline { "InvalidClaim" } else { name };
        prop_assert_eq!(shorter.sign().judge().map_err(|(name, _)| name), Err(name));

        let mut longer = chain.clone();
        longer.hops.insert(at, chain.hops[at].clone());
        prop_assert_eq!(longer.sign().judge(), Err(("InvalidAudience", Some(at + 1))));

        if at < last {
            let mut swapped = chain.clone();
            swapped.hops.swap(at, at + 1);
            prop_assert!(swapped.sign().judge().is_err());
        }

        let mut received = chain.sign();
        received.revoked = Some(*received.proofs[at].cid());
        prop_assert_eq!(received.judge(), Err(("Revoked", Some(at))));

        // Named, and not there.
        let mut received = chain.sign();
        received.proofs.truncate(at);
        prop_assert_eq!(received.judge(), Err(("UnavailableProof", None)));
    }

    /// A store that has other bytes under a name is not believed, whichever byte it is.
    #[test]
    fn any_changed_byte_is_refused(chain in chain(), at: prop::sample::Index, byte: prop::sample::Index, change in 1..=255_u8) {
        let received = chain.sign();
        let change_one = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = byte.index(bytes.len());
            bytes[at] ^= change;
            bytes
        };
        let at = at.index(received.proofs.len());
        if let Ok(changed) = Delegation::decode(change_one(received.proofs[at].bytes())) {
            let mut received = chain.sign();
            received.proofs[at] = changed;
            prop_assert!(received.judge().is_err());
        }
        if let Ok(invocation) = Invocation::decode(change_one(received.invocation.envelope().bytes())) {
            let received = Received { invocation, ..received };
            prop_assert!(received.judge().is_err());
        }
    }
}
