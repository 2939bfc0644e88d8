//! Signed tokens: as they come, and changed.

use std::{collections::BTreeMap, sync::OnceLock};

use ucan_core::{
    CachedKeys, Delegation, DidKeys, Envelope, Ipld, Policy, Timestamp, Token, block, dagcbor, dagjson, tag, verify,
};
use ucan_invocation::{Failure, Invocation, Outcome, RECEIPT_COMMAND, Receipt, TaskId};
use varsig::PayloadEncoding;

use super::{
    choices::{Choices, issuer, same},
    keys::{Known, is_spelling_of, known, respell},
};

/// What is read keeps its bytes, means what was signed and nothing else, and is the same whichever way it is read. A token that
/// was changed does not verify.
pub fn token(data: &[u8]) {
    read(data);
    let mut choices = Choices::new(data);
    let changed = if choices.flag() { change_bytes(&mut choices) } else { change_values(&mut choices) };
    read(&changed);
    let signed = originals().iter().any(|original| is_spelling(original, &changed));
    assert_eq!(verifies(&changed), signed, "{changed:02x?}");
}

/// Whether a token is the one that was signed, but for another spelling of its signature where its algorithm has one.
fn is_spelling(original: &[u8], changed: &[u8]) -> bool {
    let Ok(original) = Envelope::decode(original) else { return false };
    Envelope::decode(changed).is_ok_and(|changed| {
        original.signed_bytes() == changed.signed_bytes()
            && is_spelling_of(original.header().algorithm(), original.signature(), changed.signature())
    })
}

/// Tokens of every kind, signed once.
fn originals() -> &'static [Vec<u8>] {
    static TOKENS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let [alice, bob] = [0, 1].map(issuer);
        let json = |json: &str| dagjson::decode(json.as_bytes()).expect("valid");
        let policy = json(r#"[["like",".to","*@example.com"],["or",[["<",".n",7],["==",".n",null]]]]"#);
        let meta = BTreeMap::from([("note".to_owned(), Ipld::List(vec![Ipld::Null, Ipld::Float(0.5)]))]);
        let delegation = |subject| {
            Delegation::builder(bob.did().clone(), subject, "/msg/send".parse().expect("valid")).nonce([7; 12])
        };
        let now = Timestamp::from_secs(1_767_225_600);
        let full = delegation(Some(alice.did().clone()))
            .policy(Policy::parse(&policy).expect("valid"))
            .not_before(Timestamp::EPOCH)
            .expiration(now)
            .meta(meta.clone())
            .sign(&alice)
            .expect("a software key signs");
        let powerline = delegation(None).release_candidate().sign(&alice).expect("a software key signs");
        let args = BTreeMap::from([("to".to_owned(), Ipld::String("x@example.com".to_owned()))]);
        let invocation = Invocation::builder(alice.did().clone(), "/msg/send".parse().expect("valid"), args)
            .proofs(vec![*full.cid(), *powerline.cid()])
            .audience("did:web:example.com#key".parse().expect("valid"))
            .nonce(vec![1, 2, 3])
            .expiration(Timestamp::MAX)
            .issued_at(Timestamp::EPOCH)
            .meta(meta)
            .sign(&bob)
            .expect("a software key signs");
        let receipt = |outcome| Receipt::builder(TaskId::new(*full.cid()), outcome).sign(&alice, [5; 16]);
        let done = receipt(Outcome::Ok(Ipld::Integer(1))).expect("a software key signs");
        let failed = receipt(Failure::new("OutOfFuel", "it took too long").into()).expect("a software key signs");
        let mut tokens: Vec<_> =
            [full.bytes(), powerline.bytes(), invocation.envelope().bytes(), done.bytes(), failed.bytes()]
                .map(<[u8]>::to_vec)
                .into();
        for Known { issuer, .. } in known() {
            let token = Delegation::builder(bob.did().clone(), None, "/a".parse().expect("valid")).sign(issuer);
            tokens.push(token.expect("a software key signs").bytes().to_vec());
        }
        tokens
    })
}

/// Whether bytes are a token of some kind that its issuer has signed.
fn verifies(bytes: &[u8]) -> bool {
    Delegation::decode(bytes).is_ok_and(|token| verify(&token, &DidKeys).is_ok())
        || Invocation::decode(bytes).is_ok_and(|token| verify(&token, &DidKeys).is_ok())
}

/// Bytes overwritten, put in, left out, and taken from other tokens.
fn change_bytes(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = choices.pick_ref(originals()).clone();
    for _ in 0..=choices.below(4) {
        let at = choices.below(bytes.len() + 1);
        let end = (at + choices.below(40)).min(bytes.len());
        match choices.below(6) {
            5 => bytes = other_sign(&bytes).unwrap_or(bytes),
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << choices.below(8);
                }
            }
            1 => {
                for (byte, other) in bytes.iter_mut().skip(at).zip(choices.bytes(8)) {
                    *byte = other;
                }
            }
            2 => drop(bytes.splice(at..at, choices.bytes(40))),
            3 => drop(bytes.drain(at..end)),
            _ => {
                let other = choices.pick_ref(originals());
                let from = choices.below(other.len() + 1);
                let to = (from + choices.below(200)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

/// The same with an ECDSA signature of the other sign.
fn other_sign(token: &[u8]) -> Option<Vec<u8>> {
    let envelope = Envelope::decode(token).ok()?;
    let signature = respell(envelope.header().algorithm(), envelope.signature())?;
    let Ok(Ipld::List(mut parts)) = dagcbor::decode(token) else { return None };
    *parts.first_mut()? = Ipld::Bytes(signature);
    dagcbor::encode(&Ipld::List(parts)).ok()
}

/// Well-formed tokens with other values in some places, under signatures of what was there before.
fn change_values(choices: &mut Choices<'_>) -> Vec<u8> {
    let whole = |bytes: &Vec<u8>| dagcbor::decode(bytes).expect("a token is DAG-CBOR");
    let mut token = whole(choices.pick_ref(originals()));
    let other = whole(choices.pick_ref(originals()));
    for _ in 0..=choices.below(3) {
        let place = somewhere(&mut token, choices);
        match (choices.below(6), &mut *place) {
            (0, Ipld::Map(map)) => {
                let key = map.keys().nth(choices.below(map.len().max(1))).cloned().unwrap_or_default();
                let value = map.remove(&key);
                if choices.flag() {
                    map.insert(choices.text(), value.unwrap_or(Ipld::Null));
                }
            }
            (1, Ipld::Map(map)) => drop(map.insert(choices.pick_ref(&FIELDS).to_string(), choices.value(2))),
            (1 | 2, Ipld::String(text)) => match choices.below(3) {
                0 => text.push_str(&choices.text()),
                1 => *text = choices.pick_ref(&NAMES).to_string(),
                _ => drop(text.pop()),
            },
            (2, Ipld::List(list)) => list.push(choices.value(2)),
            (3, Ipld::Bytes(bytes)) => {
                if let Some(byte) = bytes.last_mut() {
                    *byte = byte.wrapping_add(choices.byte());
                }
            }
            (3, place) => *place = choices.value(3),
            (_, place) => *place = somewhere(&mut other.clone(), choices).clone(),
        }
    }
    dagcbor::encode(&token).expect("all of it can be said")
}

/// What the fields of tokens are called, and what stands in them.
const FIELDS: [&str; 16] = [
    "iss", "aud", "sub", "cmd", "pol", "nonce", "exp", "nbf", "meta", "args", "prf", "iat", "cause", "h", "out", "run",
];
const NAMES: [&str; 10] = [
    "did:web:example.com",
    "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
    "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#a",
    "/",
    "/msg",
    RECEIPT_COMMAND,
    tag::DELEGATION,
    tag::DELEGATION_RC1,
    tag::INVOCATION,
    tag::INVOCATION_RC1,
];

/// A place in a value, the value itself included.
fn somewhere<'v>(value: &'v mut Ipld, choices: &mut Choices<'_>) -> &'v mut Ipld {
    let inside = match value {
        Ipld::List(list) => list.len(),
        Ipld::Map(map) => map.len(),
        _ => 0,
    };
    if inside == 0 || choices.rarely(6) {
        return value;
    }
    let at = choices.below(inside);
    match value {
        Ipld::List(list) => somewhere(&mut list[at], choices),
        Ipld::Map(map) => somewhere(map.values_mut().nth(at).expect("there are that many"), choices),
        other => other,
    }
}

fn read(bytes: &[u8]) {
    let envelope = Envelope::decode(bytes);
    if let Ok(envelope) = &envelope {
        shell(envelope, bytes);
    }
    let delegation = Delegation::decode(bytes);
    let again = envelope.clone().ok().and_then(|envelope| Delegation::from_envelope(envelope).ok());
    assert_eq!(delegation.as_ref().ok(), again.as_ref(), "decode and from_envelope agree");
    if let Ok(delegation) = delegation {
        let again = again.expect("as decode");
        let fields = |it: &Delegation| {
            let subject = it.subject().cloned();
            (
                it.audience().clone(),
                subject,
                it.command().clone(),
                it.policy().clone(),
                it.nonce().to_vec(),
                it.not_before(),
            )
        };
        assert_eq!(fields(&delegation), fields(&again));
        shell(delegation.envelope(), bytes);
        signature(&delegation);
        nothing_more(&delegation);
    }
    let invocation = Invocation::decode(bytes);
    let again = envelope.ok().and_then(|envelope| Invocation::from_envelope(envelope).ok());
    assert_eq!(invocation.is_ok(), again.is_some(), "decode and from_envelope agree");
    let receipt = Receipt::decode(bytes);
    if let Ok(invocation) = &invocation {
        assert_eq!(invocation.task(), again.expect("as decode").task());
        shell(invocation.envelope(), bytes);
        signature(invocation);
        let _ = (invocation.task().id(), invocation.executor(), invocation.cause());
    }
    if let Ok(receipt) = receipt {
        let invocation = invocation.expect("a receipt is an invocation");
        assert_eq!(invocation.command().as_str(), RECEIPT_COMMAND);
        assert!(invocation.issuer().same_principal(invocation.subject()));
        assert_eq!(receipt.bytes(), bytes);
        assert_eq!(invocation.args().get("out"), Some(&receipt.outcome().to_ipld()));
        signature(&receipt);
    }
}

/// The bytes are kept, the CID is their hash, and what is signed is the end of them.
fn shell(envelope: &Envelope, bytes: &[u8]) {
    assert_eq!(envelope.bytes(), bytes);
    assert_eq!(*envelope.cid(), block::dag_cbor_cid(bytes));
    assert!(bytes.ends_with(envelope.signed_bytes()));
    assert_eq!(envelope.signed_cid(), block::dag_cbor_cid(envelope.signed_bytes()));
    assert_eq!(Envelope::tag_of(bytes), Ok(envelope.tag()));
    let Ok(Ipld::List(whole)) = dagcbor::decode(bytes) else { panic!("a token is a list in DAG-CBOR") };
    let [Ipld::Bytes(signature), signed @ Ipld::Map(map)] = &whole[..] else { panic!("a signature and a map") };
    assert_eq!(signature, envelope.signature());
    assert_eq!(dagcbor::encode(signed).as_deref(), Ok(envelope.signed_bytes()));
    assert_eq!(map.len(), 2);
    assert_eq!(map.get("h"), Some(&Ipld::Bytes(envelope.header().encode())));
    assert!(map.get(envelope.tag()).is_some_and(|payload| same(payload, &Ipld::Map(envelope.payload()))));
}

/// Memory makes no difference to what verifies.
fn signature(token: &dyn DynToken) {
    let keys = CachedKeys::new(DidKeys);
    let result = token.verifies(&DidKeys);
    for _ in 0..2 {
        assert_eq!(token.verifies(&keys), result);
    }
}

trait DynToken {
    fn verifies(&self, keys: &dyn ucan_core::KeySource) -> Result<(), ucan_core::SignatureError>;
}

impl<T: Token> DynToken for T {
    fn verifies(&self, keys: &dyn ucan_core::KeySource) -> Result<(), ucan_core::SignatureError> {
        verify(self, keys).map(drop)
    }
}

/// What was read of a delegation is all that was signed: written again from its fields, it is the same bytes.
fn nothing_more(delegation: &Delegation) {
    let header = delegation.envelope().header();
    // Metadata that is there but empty is read and never written.
    if header.encoding() != PayloadEncoding::DagCbor || delegation.meta().is_some_and(BTreeMap::is_empty) {
        return;
    }
    let (audience, subject) = (delegation.audience().clone(), delegation.subject().cloned());
    let mut builder = Delegation::builder(audience, subject, delegation.command().clone())
        .policy(delegation.policy().clone())
        .expiration(delegation.expiration())
        .not_before(delegation.not_before())
        .meta(delegation.meta().cloned().unwrap_or_default())
        .nonce(delegation.nonce());
    if delegation.envelope().tag() == tag::DELEGATION_RC1 {
        builder = builder.release_candidate();
    }
    let unsigned = builder.prepare(delegation.issuer(), header.algorithm()).expect("what was read can be written");
    assert_eq!(unsigned.bytes(), delegation.envelope().signed_bytes());
}
