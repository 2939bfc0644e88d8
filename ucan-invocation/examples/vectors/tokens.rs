//! What a single token may say, and in which bytes.

use std::collections::BTreeMap;

use ucan_core::{Ipld, Issuer, tag};

use super::kit::{
    Case, NOW, People, at, bytes, file as write, grant, invoke, json, payload, people, seal, tampered, text,
};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    delegations(&people, &mut cases);
    invocations(&people, &mut cases);
    shapes(&people, &mut cases);
    write(
        "Single tokens: the fields that they may have, and the bytes that they may come in. \
         Seeds of the Ed25519 keys are one byte 32 times: alice 1, bob 2. \
         Written by `cargo run -p ucan-invocation --example vectors`.",
        cases,
    )
}

/// A payload with one field put in, or taken out.
fn altered(payload: &BTreeMap<String, Ipld>, field: &str, value: Option<Ipld>) -> Ipld {
    let mut fields = payload.clone();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    Ipld::Map(fields)
}

/// Cases of one field: a name, the field, its value, and the error if it is refused.
type Row<'a> = (&'a str, &'a str, Option<Ipld>, Option<&'a str>);

fn rows(op: &str, tag: &str, payload: &BTreeMap<String, Ipld>, by: &Issuer, rows: Vec<Row<'_>>, cases: &mut Vec<Case>) {
    for (name, field, value, error) in rows {
        let token = seal(tag, &altered(payload, field, value), by);
        let case = Case::token(op, &format!("{op}: {name}"), &token);
        cases.push(match error {
            None => case.ok([]),
            Some(error) => case.error(error),
        });
    }
}

/// Rows that both kinds of token have.
fn common<'a>() -> Vec<Row<'a>> {
    let malformed = Some("MalformedToken");
    let int = |integer: i128| Some(Ipld::Integer(integer));
    let string = |text: &str| Some(Ipld::String(text.to_owned()));
    let mut rows = vec![
        ("exp is the last time that there is", "exp", int((1 << 53) - 1), None),
        ("exp is beyond 53 bits", "exp", int(1 << 53), malformed),
        ("exp is the largest integer", "exp", int(u64::MAX.into()), malformed),
        ("exp is before 1970", "exp", int(-1), malformed),
        ("exp is a float", "exp", Some(Ipld::Float(2e9)), malformed),
        ("exp is a string", "exp", string("2030-01-01T00:00:00Z"), malformed),
        ("exp is missing", "exp", None, malformed),
        ("exp is null", "exp", Some(Ipld::Null), None),
        ("iss is missing", "iss", None, malformed),
        ("iss is no DID", "iss", string("alice"), malformed),
        ("iss is null", "iss", Some(Ipld::Null), malformed),
        ("sub is missing", "sub", None, malformed),
        ("meta is empty", "meta", Some(Ipld::Map(BTreeMap::new())), None),
        ("meta has something in it", "meta", Some(json(r#"{"note": [1, "two", null]}"#)), None),
        ("meta is null", "meta", Some(Ipld::Null), malformed),
        ("meta is a list", "meta", Some(Ipld::List(vec![])), malformed),
        ("a field that is not defined", "fct", Some(json("{}")), malformed),
        ("the nonce is empty", "nonce", Some(Ipld::Bytes(vec![])), None),
        ("the nonce has one byte", "nonce", Some(Ipld::Bytes(vec![0])), None),
        ("the nonce is a string", "nonce", string("nonce"), malformed),
        ("the nonce is missing", "nonce", None, malformed),
    ];
    for (name, command) in [
        ("a command without a slash in front", "crypto"),
        ("a command with a slash at the end", "/crypto/"),
        ("a command with an empty segment", "/crypto//sign"),
        ("a command in capitals", "/Crypto"),
        ("a command of nothing", ""),
    ] {
        rows.push((name, "cmd", string(command), malformed));
    }
    rows.push(("the command is missing", "cmd", None, malformed));
    rows
}

fn delegations(People { alice, bob, .. }: &People, cases: &mut Vec<Case>) {
    let malformed = Some("MalformedToken");
    let plain = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let fields = payload(&plain);
    cases.push(Case::token("delegation", "delegation: as it should be", plain.bytes()).ok([
        ("cid", text(plain.cid())),
        ("iss", text(alice.did())),
        ("aud", text(bob.did())),
        ("sub", text(alice.did())),
        ("cmd", text("/crypto")),
        ("pol", Ipld::List(vec![])),
        ("nonce", Ipld::Bytes(b"twelve bytes".to_vec())),
        ("exp", Ipld::Null),
    ]));
    let mut all = common();
    all.extend([
        ("the nonce has 64 KiB", "nonce", Some(Ipld::Bytes(vec![0; 64 << 10])), None),
        ("the nonce is longer", "nonce", Some(Ipld::Bytes(vec![0; (64 << 10) + 1])), Some("LimitExceeded")),
        ("a powerline", "sub", Some(Ipld::Null), None),
        ("aud is missing", "aud", None, malformed),
        ("aud is null", "aud", Some(Ipld::Null), malformed),
        ("pol is missing", "pol", None, malformed),
        ("pol is a map", "pol", Some(json("{}")), Some("MalformedPolicy")),
        ("pol has an unknown operator", "pol", Some(json(r#"[["=~", ".a", 1]]"#)), Some("MalformedPolicy")),
        ("pol has a malformed selector", "pol", Some(json(r#"[["==", "a", 1]]"#)), Some("MalformedSelector")),
        ("nbf is null", "nbf", Some(Ipld::Null), malformed),
        ("nbf is beyond 53 bits", "nbf", Some(Ipld::Integer(1 << 53)), malformed),
        ("nbf has come", "nbf", Some(Ipld::Integer(NOW.into())), None),
        ("nbf has not come", "nbf", Some(Ipld::Integer((NOW + 61).into())), Some("TooEarly")),
        ("exp has passed", "exp", Some(Ipld::Integer((NOW - 61).into())), Some("Expired")),
        ("exp passed within the skew", "exp", Some(Ipld::Integer((NOW - 60).into())), None),
        ("iat is for invocations", "iat", Some(Ipld::Integer(NOW.into())), malformed),
        ("prf is for invocations", "prf", Some(Ipld::List(vec![])), malformed),
        ("args is for invocations", "args", Some(json("{}")), malformed),
        ("a fragment in iss", "iss", Some(text(format!("{}#key", alice.did()))), None),
        ("a fragment in aud", "aud", Some(text(format!("{}#key", bob.did()))), None),
        ("an audience by any method", "aud", Some(text("did:web:example.com:users:bob")), None),
    ]);
    rows("delegation", tag::DELEGATION, &fields, alice, all, cases);
    let forged = tampered(&plain);
    cases.push(
        Case::token("delegation", "delegation: a signature that does not match", &forged).error("InvalidSignature"),
    );
    let old = grant(bob, alice, "/crypto").release_candidate().sign(alice).unwrap();
    cases.push(Case::token("delegation", "delegation: of the release candidate", old.bytes()).ok([]));
}

fn invocations(People { alice, bob, .. }: &People, cases: &mut Vec<Case>) {
    let malformed = Some("MalformedToken");
    let plain =
        invoke(alice, "/crypto/sign", r#"{"n": 18446744073709551615}"#, &[]).issued_at(at(NOW)).sign(alice).unwrap();
    cases.push(Case::token("invocation", "invocation: as it should be", &bytes(&plain)).ok([
        ("iss", text(alice.did())),
        ("cmd", text("/crypto/sign")),
        ("args", json(r#"{"n": 18446744073709551615}"#)),
        ("prf", Ipld::List(vec![])),
        ("iat", Ipld::Integer(NOW.into())),
        ("task", text(plain.task().id().unwrap())),
    ]));
    let mut all = common();
    let link = json(r#"{"/": "bafyreifozcvbcxd6354qvr2rm2hcww62hyr6x7vm4rpfhmovp73kfjw27e"}"#);
    all.extend([
        ("sub is null", "sub", Some(Ipld::Null), malformed),
        ("args is missing", "args", None, malformed),
        ("args is a list", "args", Some(Ipld::List(vec![])), malformed),
        ("prf is missing", "prf", None, malformed),
        ("prf is null", "prf", Some(Ipld::Null), malformed),
        (
            "prf holds what is no link",
            "prf",
            Some(json(r#"["bafyreifozcvbcxd6354qvr2rm2hcww62hyr6x7vm4rpfhmovp73kfjw27e"]"#)),
            malformed,
        ),
        ("nbf is for delegations", "nbf", Some(Ipld::Integer(NOW.into())), malformed),
        ("pol is for delegations", "pol", Some(Ipld::List(vec![])), malformed),
        ("aud is null", "aud", Some(Ipld::Null), malformed),
        ("iat is null", "iat", Some(Ipld::Null), malformed),
        ("iat is to come, which is no bound", "iat", Some(Ipld::Integer((NOW + 9999).into())), None),
        ("cause is a link", "cause", Some(link), None),
        ("cause is null", "cause", Some(Ipld::Null), malformed),
        ("somebody else's DID as aud", "aud", Some(text(bob.did())), None),
    ]);
    rows("invocation", tag::INVOCATION, &payload(&plain), alice, all, cases);
}

fn shapes(People { alice, bob, .. }: &People, cases: &mut Vec<Case>) {
    let plain = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let fields = Ipld::Map(payload(&plain));
    for (name, tag, error) in [
        ("a later version", "ucan/dlg@1.1.0", "UnsupportedVersion"),
        ("an earlier version", "ucan/dlg@0.9.1", "UnsupportedVersion"),
        ("another release candidate", "ucan/dlg@1.0.0-rc.2", "UnsupportedVersion"),
        ("a later version of the other kind", "ucan/inv@2.0.0", "UnsupportedVersion"),
        ("an unknown kind", "ucan/xyz@1.0.0", "MalformedToken"),
        ("an invocation's tag", tag::INVOCATION, "MalformedToken"),
    ] {
        let token = seal(tag, &fields, alice);
        cases.push(Case::token("delegation", &format!("tag: {name}"), &token).error(error));
    }
    let token = plain.bytes();
    let followed = [token, &[0]].concat();
    let long_form = [&[0x98, 0x02], &token[1..]].concat();
    let indefinite = [&[0x9f], &token[1..], &[0xff]].concat();
    for (name, token, error) in [
        ("nothing", &[][..], "MalformedToken"),
        ("the end is missing", &token[..token.len() - 1], "MalformedToken"),
        ("a byte follows", &followed, "MalformedToken"),
        ("a length that could be shorter", &long_form, "NonCanonical"),
        ("a list of indefinite length", &indefinite, "NonCanonical"),
        ("a map", &[0xa0], "MalformedToken"),
        ("a list of one", &[0x81, 0x40], "MalformedToken"),
    ] {
        cases.push(Case::token("delegation", &format!("bytes: {name}"), token).error(error));
    }
}
