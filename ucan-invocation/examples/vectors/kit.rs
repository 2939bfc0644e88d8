//! Principals, tokens and cases to make vectors of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::BASE64_NOPAD;
use ucan_core::{Command, Delegation, DelegationBuilder, Did, Ipld, Issuer, Timestamp, Token, dagcbor, dagjson};
use ucan_invocation::{Invocation, InvocationBuilder};
use varsig::ed25519::SigningKey;

/// The time at which everything is checked unless a case says otherwise: the start of 2026.
pub(crate) const NOW: u64 = 1_767_225_600;

/// The header of an Ed25519 signature over DAG-CBOR.
pub(crate) const ED25519: [u8; 8] = [0x34, 0x01, 0xed, 0x01, 0xed, 0x01, 0x13, 0x71];

/// Where the files are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/invocation")
}

/// All files, by name.
pub(crate) fn files() -> Vec<(&'static str, String)> {
    vec![
        ("rules.json", super::rules::file()),
        ("tokens.json", super::tokens::file()),
        ("receipts.json", super::receipts::file()),
        ("search.json", super::search::file()),
        ("signatures.json", super::signatures::file()),
        ("keys.json", super::keys::file()),
    ]
}

/// A principal whose seed is one byte, 32 times.
pub(crate) fn principal(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

pub(crate) struct People {
    pub(crate) alice: Issuer,
    pub(crate) bob: Issuer,
    pub(crate) carol: Issuer,
    pub(crate) dave: Issuer,
    pub(crate) mallory: Issuer,
}

pub(crate) fn people() -> People {
    let [alice, bob, carol, dave, mallory] = [1, 2, 3, 4, 66].map(principal);
    People { alice, bob, carol, dave, mallory }
}

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

/// A delegation on `subject` that never expires; none is a powerline.
pub(crate) fn grant<'a>(to: &Issuer, subject: impl Into<Option<&'a Issuer>>, command: &str) -> DelegationBuilder {
    let subject = subject.into().map(|subject| subject.did().clone());
    Delegation::builder(to.did().clone(), subject, Command::parse(command).unwrap()).nonce(*b"twelve bytes")
}

/// An invocation on `subject` with arguments in DAG-JSON.
pub(crate) fn invoke(subject: &Issuer, command: &str, args: &str, proofs: &[&Delegation]) -> InvocationBuilder {
    Invocation::builder(subject.did().clone(), Command::parse(command).unwrap(), args_of(args))
        .proofs(proofs.iter().map(|proof| *proof.cid()).collect())
        .nonce(b"twelve bytes".to_vec())
}

pub(crate) fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

pub(crate) fn args_of(text: &str) -> BTreeMap<String, Ipld> {
    match json(text) {
        Ipld::Map(args) => args,
        _ => panic!("not a map: {text}"),
    }
}

pub(crate) fn policy(text: &str) -> ucan_core::Policy {
    ucan_core::Policy::parse(&json(text)).unwrap()
}

pub(crate) fn text(value: impl ToString) -> Ipld {
    Ipld::String(value.to_string())
}

pub(crate) fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub(crate) fn base64(bytes: &[u8]) -> Ipld {
    Ipld::String(BASE64_NOPAD.encode(bytes))
}

/// The bytes of a token.
pub(crate) fn bytes(token: &impl Token) -> Vec<u8> {
    token.envelope().bytes().to_vec()
}

/// Signs any payload under any tag, however wrong, with the header of Ed25519.
pub(crate) fn seal(tag: &str, payload: &Ipld, issuer: &Issuer) -> Vec<u8> {
    seal_with(&ED25519, tag, payload, issuer)
}

/// Signs any payload under any header and tag.
pub(crate) fn seal_with(header: &[u8], tag: &str, payload: &Ipld, issuer: &Issuer) -> Vec<u8> {
    let signed = map([("h", Ipld::Bytes(header.to_vec())), (tag, payload.clone())]);
    let signature = issuer.signer().try_sign(&dagcbor::encode(&signed).unwrap()).unwrap();
    enclose(signature.as_bytes(), &signed)
}

/// A token of a signature and what it is said to sign.
pub(crate) fn enclose(signature: &[u8], signed: &Ipld) -> Vec<u8> {
    dagcbor::encode(&Ipld::List(vec![Ipld::Bytes(signature.to_vec()), signed.clone()])).unwrap()
}

/// The token with another signature.
pub(crate) fn with_signature(token: &impl Token, signature: &[u8]) -> Vec<u8> {
    enclose(signature, &dagcbor::decode(token.envelope().signed_bytes()).unwrap())
}

/// The token with one bit of its signature changed.
pub(crate) fn tampered(token: &impl Token) -> Vec<u8> {
    let mut signature = token.envelope().signature().to_vec();
    signature[40] ^= 1;
    with_signature(token, &signature)
}

/// The payload of a token, to be altered and sealed again.
pub(crate) fn payload(token: &impl Token) -> BTreeMap<String, Ipld> {
    token.envelope().payload()
}

/// What an invocation is checked with, and what is expected.
pub(crate) struct Case {
    name: String,
    request: BTreeMap<String, Ipld>,
    expected: (&'static str, Ipld),
}

impl Case {
    /// A case about a token, at [`NOW`].
    pub(crate) fn token(op: &str, name: &str, token: &[u8]) -> Self {
        let request = [("op", text(op)), ("token", base64(token)), ("now", Ipld::Integer(NOW.into()))];
        Self::new(name, request)
    }

    pub(crate) fn new<const N: usize>(name: &str, request: [(&str, Ipld); N]) -> Self {
        let Ipld::Map(request) = map(request) else { unreachable!("it is a map") };
        Self { name: name.to_owned(), request, expected: ("ok", map([])) }
    }

    pub(crate) fn with(mut self, key: &str, value: Ipld) -> Self {
        self.request.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn now(self, secs: u64) -> Self {
        self.with("now", Ipld::Integer(secs.into()))
    }

    pub(crate) fn skew(self, secs: u64) -> Self {
        self.with("skew", Ipld::Integer(secs.into()))
    }

    pub(crate) fn proofs(self, proofs: &[&Delegation]) -> Self {
        self.with("proofs", Ipld::List(proofs.iter().map(|proof| base64(proof.bytes())).collect()))
    }

    pub(crate) fn receiver(self, receiver: &Did) -> Self {
        self.with("audience", text(receiver))
    }

    pub(crate) fn revoked(self, revoked: &[&Delegation]) -> Self {
        self.with("revoked", Ipld::List(revoked.iter().map(|proof| text(proof.cid())).collect()))
    }

    /// It holds, with these fields in the answer.
    pub(crate) fn ok<const N: usize>(mut self, fields: [(&str, Ipld); N]) -> Self {
        self.expected = ("ok", map(fields));
        self
    }

    /// It is refused.
    pub(crate) fn error(mut self, name: &str) -> Self {
        self.expected = ("error", map([("name", text(name))]));
        self
    }

    /// It is refused because of a proof, or of the invocation itself.
    pub(crate) fn error_at(mut self, name: &str, proof: impl Into<Option<u8>>) -> Self {
        let place = proof.into().map_or(Ipld::Null, |index| Ipld::Integer(index.into()));
        self.expected = ("error", map([("name", text(name)), ("proof", place)]));
        self
    }

    fn into_ipld(self) -> Ipld {
        let (key, expected) = self.expected;
        map([("name", Ipld::String(self.name)), ("request", Ipld::Map(self.request)), (key, expected)])
    }
}

/// A file of cases.
pub(crate) fn file(about: &str, cases: Vec<Case>) -> String {
    let cases = cases.into_iter().map(Case::into_ipld).collect();
    let mut text = dagjson::encode_pretty(&map([("about", text(about)), ("cases", Ipld::List(cases))]));
    text.push('\n');
    text
}
