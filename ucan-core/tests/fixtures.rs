//! The published vectors of UCAN 1.0.0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use data_encoding::BASE64_NOPAD;
use std::sync::Arc;
use ucan_core::{
    ChainErrorClass, Cid, Command, Context, Delegation, Did, DidKeys, Envelope, Fields, Ipld, Issuer, Policy, Purpose,
    Request, Shape, SignatureError, Timestamp, Token, dagjson, diagnose, in_time, search, tag, validate, verify,
};
use varsig::ed25519::SigningKey;

fn cases(json: &str) -> (Ipld, Vec<Ipld>) {
    let file = dagjson::decode(json.as_bytes()).unwrap();
    let Ok(Some(Ipld::List(cases))) = file.get("cases") else { panic!("no cases") };
    let cases = cases.clone();
    (file, cases)
}

fn text<'a>(value: &'a Ipld, key: &str) -> &'a str {
    match value.get(key) {
        Ok(Some(Ipld::String(text))) => text,
        _ => panic!("no string {key}"),
    }
}

fn bytes(base64: &str) -> Vec<u8> {
    BASE64_NOPAD.decode(base64.as_bytes()).unwrap()
}

/// As much of an invocation as a chain asks for.
struct Invocation {
    envelope: Envelope,
    issuer: Did,
    subject: Did,
    command: Command,
    args: Ipld,
    proofs: Vec<Cid>,
    expiration: Option<Timestamp>,
}

const SHAPE: Shape = Shape {
    kind: "an invocation",
    tags: &[tag::INVOCATION],
    required: &["iss", "sub", "cmd", "args", "prf", "nonce", "exp"],
    optional: &["aud", "iat", "cause", "meta"],
};

impl Token for Invocation {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn issuer(&self) -> &Did {
        &self.issuer
    }

    fn purpose(&self) -> Purpose {
        Purpose::Invocation
    }
}

impl Invocation {
    fn decode(bytes: Vec<u8>) -> Self {
        let envelope = Envelope::decode(bytes).unwrap();
        assert_eq!(envelope.tag(), tag::INVOCATION);
        let read = |fields: &mut Fields<'_>| {
            Ok(Self {
                issuer: fields.did("iss")?,
                subject: fields.did("sub")?,
                command: fields.command("cmd")?,
                args: Ipld::Map(fields.map("args")?),
                proofs: fields.links("prf")?,
                expiration: fields.nullable_time("exp")?,
                envelope: envelope.clone(),
            })
        };
        envelope.parse_as(&SHAPE, read).unwrap()
    }

    fn request(&self) -> Request<'_> {
        Request { invoker: &self.issuer, subject: &self.subject, command: &self.command, args: &self.args }
    }

    fn check(&self, at_hand: &[Delegation], ctx: &Context<'_>) -> Result<(), &'static str> {
        verify(self, ctx.keys).map_err(|error: SignatureError| error.name())?;
        in_time(None, self.expiration, ctx.now, ctx.skew).map_err(|error| error.name())?;
        let proofs: Option<Vec<_>> =
            self.proofs.iter().map(|cid| at_hand.iter().find(|proof| proof.cid() == cid).cloned()).collect();
        let proofs = proofs.ok_or(ChainErrorClass::UnavailableProof.name())?;
        let result = validate(&self.request(), &proofs, ctx);
        let diagnosis = diagnose(&self.request(), &proofs, ctx);
        assert_eq!(result.as_ref().err(), diagnosis.first());
        assert_eq!(search(&self.request(), &proofs, ctx).is_ok(), result.is_ok());
        result.map_err(|error| error.class.name()).map(|authority| {
            assert_eq!(authority.proofs(), self.proofs);
            assert!(!authority.undecided());
        })
    }
}

/// The time that a request names.
fn now(request: &Ipld) -> Timestamp {
    match request.get("now") {
        Ok(Some(Ipld::Integer(now))) => Timestamp::from_secs(u64::try_from(*now).unwrap()).unwrap(),
        _ => panic!("no time"),
    }
}

#[test]
fn chains() {
    let (_, cases) = cases(include_str!("../../fixtures/ucan/chains.json"));
    let (mut good, mut bad) = (0, 0);
    for case in &cases {
        let name = text(case, "name");
        let request = case.get("request").unwrap().unwrap();
        let Ok(Some(Ipld::List(proofs))) = request.get("proofs") else { panic!("{name}") };
        let proofs: Vec<_> = proofs
            .iter()
            .map(|proof| match proof {
                Ipld::String(proof) => Delegation::decode(bytes(proof)).unwrap(),
                _ => panic!("{name}"),
            })
            .collect();
        let invocation = Invocation::decode(bytes(text(request, "token")));
        let result = invocation.check(&proofs, &Context::new(now(request), &DidKeys));
        match case.get("error") {
            Ok(Some(error)) => {
                assert_eq!(result, Err(text(error, "name")), "{name}");
                bad += 1;
            }
            _ => {
                assert_eq!(result, Ok(()), "{name}");
                good += 1;
            }
        }
    }
    assert_eq!((good, bad), (7, 13));
}

#[test]
fn delegations() {
    let (file, cases) = cases(include_str!("../../fixtures/ucan/delegations.json"));
    let Ok(Some(Ipld::Map(seeds))) = file.get("seeds") else { panic!("no seeds") };
    let issuers: Vec<_> = seeds
        .values()
        .map(|seed| match seed {
            Ipld::String(seed) => Issuer::ed25519(SigningKey::from_seed(&bytes(seed).try_into().unwrap())),
            _ => panic!("a seed is a string"),
        })
        .collect();
    assert_eq!(cases.len(), 2);
    for case in &cases {
        let request = case.get("request").unwrap().unwrap();
        let received = bytes(text(request, "token"));
        let delegation = Delegation::decode(received.clone()).unwrap();
        let envelope = delegation.envelope();
        assert_eq!(
            (envelope.tag(), envelope.header().to_string()),
            (tag::DELEGATION, "Ed25519 over DAG-CBOR".to_owned())
        );
        let in_time = in_time(delegation.not_before(), delegation.expiration(), now(request), Context::SKEW);
        match (case.get("ok"), in_time) {
            (Ok(Some(Ipld::Map(expected))), Ok(())) => {
                let mut found = envelope.payload();
                found.insert("cid".to_owned(), Ipld::String(delegation.cid().to_string()));
                assert_eq!(&found, expected);
            }
            (_, in_time) => {
                assert_eq!(in_time.unwrap_err().name(), text(case.get("error").unwrap().unwrap(), "name"));
            }
        }
        verify(&delegation, &DidKeys).unwrap();

        // Whoever has the issuer's key makes the same bytes.
        let issuer = issuers.iter().find(|issuer| issuer.did() == delegation.issuer()).unwrap();
        let again = Delegation::builder(
            delegation.audience().clone(),
            delegation.subject().cloned(),
            delegation.command().clone(),
        )
        .policy(delegation.policy().clone())
        .expiration(delegation.expiration())
        .not_before(delegation.not_before())
        .nonce(delegation.nonce())
        .sign(issuer)
        .unwrap();
        assert_eq!(again.bytes(), received);
    }
}

#[test]
fn policies() {
    let (_, cases) = cases(include_str!("../../fixtures/ucan/policies.json"));
    for case in &cases {
        let policy = Policy::parse(case.get("policy").unwrap().unwrap()).unwrap();
        let holds = policy.matches(case.get("args").unwrap().unwrap());
        assert_eq!(Some(&Ipld::Bool(holds)), case.get("holds").unwrap(), "{case:?}");
        assert_eq!(Some(&policy.to_ipld()), case.get("policy").unwrap());
    }
    assert_eq!(cases.len(), 25);
}

#[test]
fn a_token_is_shared_not_copied() {
    let (_, cases) = cases(include_str!("../../fixtures/ucan/delegations.json"));
    let received: Arc<[u8]> = bytes(text(cases[0].get("request").unwrap().unwrap(), "token")).into();
    let delegation = Delegation::decode(Arc::clone(&received)).unwrap();
    assert!(std::ptr::eq(delegation.bytes(), &*received));
    assert!(std::ptr::eq(delegation.clone().bytes(), &*received));
}
