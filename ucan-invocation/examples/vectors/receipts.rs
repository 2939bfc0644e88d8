//! Receipts: who may issue them, and in which shape.

use ucan_core::{Ipld, Issuer, Token, tag};
use ucan_invocation::{Failure, Invocation, Outcome, RECEIPT_COMMAND, Receipt, ReceiptBuilder, TaskId};

use super::kit::{
    Case, NOW, People, at, base64, bytes, file as write, grant, invoke, json, payload, people, seal, tampered, text,
};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    shapes(&people, &mut cases);
    issuers(&people, &mut cases);
    requests(&people, &mut cases);
    write(
        "Receipts: the shape that is in production, those that are accepted beside it, and who may issue them. \
         Seeds of the Ed25519 keys are one byte 32 times: alice 1, bob 2, carol 3, dave 4. \
         Written by `cargo run -p ucan-invocation --example vectors`.",
        cases,
    )
}

/// What alice asks bob to do.
fn request(People { alice, bob, .. }: &People) -> Invocation {
    invoke(alice, "/crypto/sign", r#"{"text": "hello"}"#, &[]).audience(bob.did().clone()).sign(alice).unwrap()
}

fn ran(people: &People) -> TaskId {
    request(people).task().id().unwrap()
}

fn receipt(people: &People) -> ReceiptBuilder {
    Receipt::builder(ran(people), Outcome::Ok(json(r#"{"signed": true}"#))).issued_at(at(NOW))
}

fn check(name: &str, receipt: &[u8]) -> Case {
    Case::token("receipt", name, receipt)
}

fn shapes(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, .. } = people;
    let plain = receipt(people).sign(bob, [7; 16]).unwrap();
    cases.push(check("a success", plain.bytes()).ok([
        ("cid", text(plain.id())),
        ("ran", text(ran(people))),
        ("iss", text(bob.did())),
        ("out", json(r#"{"ok": {"signed": true}}"#)),
    ]));
    let failure = Receipt::builder(ran(people), Failure::new("OutOfFuel", "5000 units were too few").into());
    let failure = failure.sign(bob, [7; 16]).unwrap();
    let error = json(r#"{"error": {"name": "OutOfFuel", "message": "5000 units were too few"}}"#);
    cases.push(check("a failure", failure.bytes()).ok([("out", error)]));
    let meta = json(r#"{"fuel": 1234}"#);
    let Ipld::Map(facts) = meta.clone() else { unreachable!("it is a map") };
    let with_meta = receipt(people).meta(facts).sign(bob, [7; 16]).unwrap();
    cases.push(check("metadata", with_meta.bytes()).ok([("meta", meta)]));
    cases.push(check("a signature that does not match", &tampered(&plain)).error_at("InvalidSignature", None));

    let base = payload(&plain);
    let sealed = |tag: &str, alter: &dyn Fn(&mut std::collections::BTreeMap<String, Ipld>)| {
        let mut fields = base.clone();
        alter(&mut fields);
        seal(tag, &Ipld::Map(fields), bob)
    };
    let set = |field: &'static str, value: Ipld| {
        sealed(tag::INVOCATION, &move |fields| {
            fields.insert(field.to_owned(), value.clone());
        })
    };
    cases.push(check("of the release candidate", &sealed(tag::INVOCATION_RC1, &|_| {})).ok([]));
    cases.push(check("an audience that is the issuer", &set("aud", text(bob.did()))).ok([("aud", text(bob.did()))]));
    cases.push(
        check("an audience that is not the issuer", &set("aud", text(alice.did()))).error_at("InvalidAudience", None),
    );
    let expired = set("exp", Ipld::Integer((NOW - 61).into()));
    cases.push(
        check("one that has expired is still true, with a warning", &expired)
            .ok([("warnings", json(r#"["Expired"]"#))]),
    );
    let mut altered = base.clone();
    altered.insert("cmd".to_owned(), text("/msg/send"));
    cases.push(
        check("an invocation of something else", &seal(tag::INVOCATION, &Ipld::Map(altered), bob))
            .error("MalformedToken"),
    );

    let link = Ipld::Link(ran(people).into());
    let args = |entries: &[(&str, &Ipld)]| {
        set("args", Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect()))
    };
    let ok = json(r#"{"ok": null}"#);
    let with_run = |run: &Ipld| args(&[("out", &ok), ("ran", &link), ("run", run)]);
    let next = Ipld::List(vec![link.clone(), link.clone()]);
    let map = |entries: &[(&str, &Ipld)]| {
        Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect())
    };
    let one = Ipld::List(vec![link.clone()]);
    for (name, run) in [
        ("effects", map(&[("fork", &next), ("join", &link)])),
        ("effects side by side", map(&[("fork", &one)])),
        ("an effect that goes on", map(&[("join", &link)])),
        ("no effects, stated", json(r#"{"fork": [], "join": []}"#)),
        ("effects that join in a list", map(&[("fork", &next), ("join", &one)])),
    ] {
        cases.push(check(name, &with_run(&run)).ok([("run", run)]));
    }
    for (name, run) in [
        ("effects in a list", next.clone()),
        ("an effect that is no link", json(r#"{"fork": ["next"]}"#)),
        ("two effects that go on", map(&[("join", &next)])),
        ("effects of another kind", map(&[("then", &link)])),
        ("effects that are null", Ipld::Null),
    ] {
        cases.push(check(name, &with_run(&run)).error("MalformedToken"));
    }
    cases.push(
        check("an argument that is not defined", &args(&[("out", &ok), ("ran", &link), ("more", &ok)]))
            .error("MalformedToken"),
    );
    cases.push(check("no task", &args(&[("out", &ok)])).error("MalformedToken"));
    cases.push(
        check("a task that is no link", &args(&[("out", &ok), ("ran", &text(ran(people)))])).error("MalformedToken"),
    );
    cases.push(check("no result", &args(&[("ran", &link)])).error("MalformedToken"));
    for (name, out) in
        [("both results", r#"{"ok": 1, "error": 2}"#), ("another result", r#"{"okay": 1}"#), ("a bare result", "1")]
    {
        cases.push(check(name, &args(&[("out", &json(out)), ("ran", &link)])).error("MalformedToken"));
    }
}

/// A receipt on what `executor` did, issued by somebody else.
fn on_behalf(people: &People, executor: &Issuer, by: &Issuer, proofs: &[&ucan_core::Delegation]) -> Invocation {
    let mut args = super::kit::args_of(r#"{"out": {"ok": 1}}"#);
    args.insert("ran".to_owned(), Ipld::Link(ran(people).into()));
    let builder = Invocation::builder(executor.did().clone(), RECEIPT_COMMAND.parse().unwrap(), args);
    builder.proofs(proofs.iter().map(|proof| *proof.cid()).collect()).nonce(vec![7; 16]).sign(by).unwrap()
}

fn issuers(people: &People, cases: &mut Vec<Case>) {
    let People { bob, carol, dave, .. } = people;
    let alone = on_behalf(people, bob, carol, &[]);
    cases.push(check("somebody else's, without proofs", &bytes(&alone)).error_at("InvalidClaim", None));
    let may = grant(carol, bob, RECEIPT_COMMAND).sign(bob).unwrap();
    let may_pass = grant(dave, bob, "/ucan/assert").sign(carol).unwrap();
    let proven = on_behalf(people, bob, carol, &[&may]);
    cases.push(check("somebody else's, with proofs", &bytes(&proven)).proofs(&[&may]).ok([("iss", text(carol.did()))]));
    let proven_twice = on_behalf(people, bob, dave, &[&may, &may_pass]);
    cases.push(
        check("two hops away, with proofs", &bytes(&proven_twice))
            .proofs(&[&may, &may_pass])
            .ok([("iss", text(dave.did()))]),
    );
    cases.push(
        check("a proof that is not at hand", &bytes(&proven_twice)).proofs(&[&may]).error_at("UnavailableProof", 1),
    );
    let other = grant(carol, bob, "/crypto").sign(bob).unwrap();
    let by = on_behalf(people, bob, carol, &[&other]);
    cases.push(check("a proof of something else", &bytes(&by)).proofs(&[&other]).error_at("InvalidCommand", 0));
    let late = grant(carol, bob, RECEIPT_COMMAND).expiration(at(NOW - 61)).sign(bob).unwrap();
    let by = on_behalf(people, bob, carol, &[&late]);
    cases.push(check("a proof that has expired", &bytes(&by)).proofs(&[&late]).error_at("Expired", 0));
    let by = on_behalf(people, bob, dave, &[&may]);
    cases.push(check("a proof for another", &bytes(&by)).proofs(&[&may]).error_at("InvalidAudience", 0));
}

fn requests(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, .. } = people;
    let asked = request(people);
    let answers =
        |name: &str, receipt: &[u8]| check(name, receipt).with("invocation", base64(asked.envelope().bytes()));
    let by_bob = receipt(people).sign(bob, [7; 16]).unwrap();
    cases.push(answers("the answer of whom was asked", by_bob.bytes()).ok([("ran", text(ran(people)))]));
    let by_carol = receipt(people).sign(carol, [7; 16]).unwrap();
    cases.push(answers("the answer of somebody else", by_carol.bytes()).error_at("InvalidAudience", None));
    let by_alice = receipt(people).sign(alice, [7; 16]).unwrap();
    cases.push(
        answers("the answer of the subject, when another was asked", by_alice.bytes())
            .error_at("InvalidAudience", None),
    );
    let may = grant(carol, bob, RECEIPT_COMMAND).sign(bob).unwrap();
    let on_behalf = on_behalf(people, bob, carol, &[&may]);
    cases.push(
        answers("the answer on behalf of whom was asked", &bytes(&on_behalf))
            .proofs(&[&may])
            .ok([("iss", text(carol.did()))]),
    );
    let other = TaskId::new(ucan_core::block::dag_cbor_cid(b"another task"));
    let other = Receipt::builder(other, Outcome::Ok(Ipld::Null)).sign(bob, [7; 16]).unwrap();
    cases.push(answers("the answer to something else", other.bytes()).error_at("InvalidClaim", None));
}
