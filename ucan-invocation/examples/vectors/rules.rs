//! Every rule of a chain: which error, and at which proof.

use ucan_core::{Delegation, Issuer, Token, tag};
use ucan_invocation::Invocation;

use super::kit::{
    Case, NOW, People, args_of, at, base64, bytes, file as write, grant, invoke, json, payload, people, policy, seal,
    tampered, text,
};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    order(&people, &mut cases);
    self_issued(&people, &mut cases);
    powerlines(&people, &mut cases);
    time(&people, &mut cases);
    commands(&people, &mut cases);
    policies(&people, &mut cases);
    signatures(&people, &mut cases);
    revocations(&people, &mut cases);
    addressees(&people, &mut cases);
    tags(&people, &mut cases);
    write(
        "Chains of delegations by the rules of UCAN 1.0: which error is reported, and at which proof, the root being 0. \
         Seeds of the Ed25519 keys are one byte 32 times: alice 1, bob 2, carol 3, dave 4, mallory 66. \
         Written by `cargo run -p ucan-invocation --example vectors`.",
        cases,
    )
}

fn check(name: &str, invocation: &Invocation) -> Case {
    Case::token("invocation", name, &bytes(invocation))
}

/// alice lets bob, and bob lets carol, use `/crypto` on what is alice's.
fn hops(People { alice, bob, carol, .. }: &People) -> (Delegation, Delegation) {
    let root = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let leaf = grant(carol, alice, "/crypto").sign(bob).unwrap();
    (root, leaf)
}

fn sign(by: &Issuer, subject: &Issuer, proofs: &[&Delegation]) -> Invocation {
    invoke(subject, "/crypto/sign", "{}", proofs).sign(by).unwrap()
}

fn order(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, dave, mallory } = people;
    let (root, leaf) = hops(people);
    let good = sign(carol, alice, &[&root, &leaf]);
    let stray = grant(dave, bob, "/").sign(bob).unwrap();
    let fields = || [("cid", text(good.envelope().cid())), ("executor", text(alice.did())), ("iss", text(carol.did()))];
    cases.push(check("one hop", &sign(bob, alice, &[&root])).proofs(&[&root]).ok([]));
    cases.push(check("two hops, root first", &good).proofs(&[&root, &leaf]).ok(fields()));
    cases.push(
        check("proofs at hand in any order, and more than are named", &good)
            .proofs(&[&leaf, &stray, &root])
            .ok(fields()),
    );
    let reversed = sign(carol, alice, &[&leaf, &root]);
    cases
        .push(check("proofs named in reverse order", &reversed).proofs(&[&root, &leaf]).error_at("InvalidAudience", 0));
    cases.push(check("no proofs, and not the subject", &sign(bob, alice, &[])).error_at("InvalidClaim", None));
    cases.push(check("the root is not at hand", &good).proofs(&[&leaf]).error_at("UnavailableProof", 0));
    cases.push(check("the leaf is not at hand", &good).proofs(&[&root]).error_at("UnavailableProof", 1));

    let foreign = grant(bob, alice, "/crypto").sign(mallory).unwrap();
    let by = sign(bob, alice, &[&foreign]);
    cases.push(check("a root that the subject did not issue", &by).proofs(&[&foreign]).error_at("InvalidAudience", 0));
    let broken = grant(carol, alice, "/crypto").sign(mallory).unwrap();
    let by = sign(carol, alice, &[&root, &broken]);
    cases.push(check("a hop that does not line up", &by).proofs(&[&root, &broken]).error_at("InvalidAudience", 1));
    let by = sign(dave, alice, &[&root, &leaf]);
    cases.push(
        check("the last audience is not the invoker", &by).proofs(&[&root, &leaf]).error_at("InvalidAudience", 1),
    );
    let other = grant(bob, mallory, "/crypto").sign(mallory).unwrap();
    let by = sign(bob, alice, &[&other]);
    cases.push(check("a root about another subject", &by).proofs(&[&other]).error_at("InvalidSubject", 0));
    let other = grant(carol, mallory, "/crypto").sign(bob).unwrap();
    let by = sign(carol, alice, &[&root, &other]);
    cases.push(check("a leaf about another subject", &by).proofs(&[&root, &other]).error_at("InvalidSubject", 1));

    let many = vec![&root; 64];
    let by = sign(bob, alice, &many);
    cases.push(check("64 proofs are looked at", &by).proofs(&[&root]).error_at("InvalidAudience", 1));
    let many = vec![&root; 65];
    let by = sign(bob, alice, &many);
    cases.push(check("65 proofs are too many", &by).proofs(&[&root]).error_at("LimitExceeded", None));
}

fn self_issued(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, .. } = people;
    cases.push(
        check("the subject itself needs no proofs", &sign(alice, alice, &[])).ok([("executor", text(alice.did()))]),
    );
    let there = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let back = grant(alice, alice, "/crypto").sign(bob).unwrap();
    let by = sign(alice, alice, &[&there, &back]);
    cases.push(check("the subject itself, with proofs that hold", &by).proofs(&[&there, &back]).ok([]));
    let late = grant(alice, alice, "/crypto").expiration(at(NOW - 100)).sign(bob).unwrap();
    let by = sign(alice, alice, &[&there, &late]);
    cases.push(
        check("the subject itself, with a proof that has expired", &by).proofs(&[&there, &late]).error_at("Expired", 1),
    );
    let by = sign(alice, alice, &[&there]);
    cases.push(
        check("the subject itself, with proofs for another", &by).proofs(&[&there]).error_at("InvalidAudience", 0),
    );
    cases.push(check("the subject itself, with a proof that is not at hand", &by).error_at("UnavailableProof", 0));
}

fn powerlines(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, dave, mallory } = people;
    let (root, _) = hops(people);
    let line = grant(carol, None, "/").sign(bob).unwrap();
    let second = grant(dave, None, "/").sign(carol).unwrap();
    let named = grant(dave, alice, "/crypto").sign(carol).unwrap();
    let by = sign(carol, alice, &[&root, &line]);
    cases.push(check("a powerline at the end", &by).proofs(&[&root, &line]).ok([]));
    let by = sign(dave, alice, &[&root, &line, &named]);
    cases.push(check("a powerline in the middle", &by).proofs(&[&root, &line, &named]).ok([]));
    let by = sign(dave, alice, &[&root, &line, &second]);
    cases.push(check("two powerlines in a row", &by).proofs(&[&root, &line, &second]).ok([]));
    let first = grant(bob, None, "/crypto").sign(alice).unwrap();
    let by = sign(bob, alice, &[&first]);
    cases.push(check("a powerline as the root", &by).proofs(&[&first]).error_at("InvalidClaim", 0));
    let by = sign(carol, mallory, &[&root, &line]);
    cases.push(
        check("a powerline passes on no other subject than the root's", &by)
            .proofs(&[&root, &line])
            .error_at("InvalidSubject", 0),
    );
}

fn time(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, .. } = people;
    let (end, start) = (NOW, NOW);
    let by = invoke(alice, "/crypto/sign", "{}", &[]).expiration(at(end)).sign(alice).unwrap();
    for (name, now, skew, holds) in [
        ("an invocation, at its expiration and the skew", end + 60, None, true),
        ("an invocation, a second later", end + 61, None, false),
        ("an invocation, at its expiration without skew", end, Some(0), true),
        ("an invocation, a second after its expiration without skew", end + 1, Some(0), false),
        ("an invocation, with another skew", end + 300, Some(300), true),
    ] {
        let case = skew.into_iter().fold(check(name, &by).now(now), Case::skew);
        cases.push(if holds { case.ok([]) } else { case.error_at("Expired", None) });
    }
    let (root, _) = hops(people);
    let timed = grant(carol, alice, "/crypto").not_before(at(start)).expiration(at(end + 1000)).sign(bob).unwrap();
    let by = sign(carol, alice, &[&root, &timed]);
    for (name, now, skew, error) in [
        ("a proof, at its start less the skew", start - 60, None, None),
        ("a proof, a second earlier", start - 61, None, Some("TooEarly")),
        ("a proof, at its start without skew", start, Some(0), None),
        ("a proof, a second before its start without skew", start - 1, Some(0), Some("TooEarly")),
        ("a proof, at its expiration and the skew", end + 1060, None, None),
        ("a proof, a second after that", end + 1061, None, Some("Expired")),
        ("a proof, at its expiration without skew", end + 1000, Some(0), None),
        ("a proof, a second after its expiration without skew", end + 1001, Some(0), Some("Expired")),
    ] {
        let case = skew.into_iter().fold(check(name, &by).now(now).proofs(&[&root, &timed]), Case::skew);
        cases.push(match error {
            None => case.ok([]),
            Some(error) => case.error_at(error, 1),
        });
    }
    let late = grant(bob, alice, "/crypto").expiration(at(NOW - 61)).sign(alice).unwrap();
    let by = sign(bob, alice, &[&late]);
    cases.push(check("a root that has expired", &by).proofs(&[&late]).error_at("Expired", 0));
    let early = grant(bob, alice, "/crypto").not_before(at(NOW + 61)).sign(alice).unwrap();
    let by = sign(bob, alice, &[&early]);
    cases.push(check("a root whose time has not come", &by).proofs(&[&early]).error_at("TooEarly", 0));
    let last = grant(bob, alice, "/crypto").expiration(at((1 << 53) - 1)).sign(alice).unwrap();
    let by = sign(bob, alice, &[&last]);
    cases.push(check("the last time that there is", &by).now((1 << 53) - 1).proofs(&[&last]).ok([]));
    let by = invoke(alice, "/crypto/sign", "{}", &[]).expiration(at(NOW - 61)).sign(alice).unwrap();
    let by = seal(tag::INVOCATION, &with_issuer(&by, bob), bob);
    cases.push(
        Case::token("invocation", "an expired invocation is reported before the lack of proofs", &by)
            .error_at("Expired", None),
    );
}

/// The payload as another's.
fn with_issuer(token: &Invocation, issuer: &Issuer) -> ucan_core::Ipld {
    let mut fields = payload(token);
    fields.insert("iss".to_owned(), text(issuer.did()));
    ucan_core::Ipld::Map(fields)
}

fn commands(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, .. } = people;
    for (name, granted, invoked, covers) in [
        ("the very command", "/crypto", "/crypto", true),
        ("a command below", "/crypto", "/crypto/sign", true),
        ("two commands below", "/crypto", "/crypto/sign/ed25519", true),
        ("any command", "/", "/crypto/sign", true),
        ("everything, by everything", "/", "/", true),
        ("a command that only begins with the same letters", "/crypto", "/cryptocurrency", false),
        ("a command above", "/crypto/sign", "/crypto", false),
        ("a command beside", "/crypto/sign", "/crypto/verify", false),
        ("everything, by less", "/crypto", "/", false),
    ] {
        let root = grant(bob, alice, granted).sign(alice).unwrap();
        let by = invoke(alice, invoked, "{}", &[&root]).sign(bob).unwrap();
        let case = check(&format!("{name}: {granted} for {invoked}"), &by).proofs(&[&root]);
        cases.push(if covers { case.ok([]) } else { case.error_at("InvalidCommand", 0) });
    }
    let root = grant(bob, alice, "/").sign(alice).unwrap();
    let narrow = grant(carol, alice, "/crypto/sign").sign(bob).unwrap();
    let by = invoke(alice, "/crypto", "{}", &[&root, &narrow]).sign(carol).unwrap();
    cases.push(check("a leaf that narrows the command", &by).proofs(&[&root, &narrow]).error_at("InvalidCommand", 1));
    let (root, _) = hops(people);
    let wide = grant(carol, alice, "/").sign(bob).unwrap();
    let by = sign(carol, alice, &[&root, &wide]);
    cases.push(check("a leaf that claims more, for what the root covers", &by).proofs(&[&root, &wide]).ok([]));
    let by = invoke(alice, "/msg/send", "{}", &[&root, &wide]).sign(carol).unwrap();
    cases.push(
        check("a leaf that claims more, for what the root does not cover", &by)
            .proofs(&[&root, &wide])
            .error_at("InvalidCommand", 0),
    );
}

fn policies(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, dave, .. } = people;
    let small = r#"[["<", ".amount", 100]]"#;
    let chain = |which: usize| {
        let rule = |place: usize| policy(if place == which { small } else { r#"[["==", ".to", "bob"]]"# });
        let root = grant(bob, alice, "/pay").policy(rule(0)).sign(alice).unwrap();
        let middle = grant(carol, alice, "/pay").policy(rule(1)).sign(bob).unwrap();
        let leaf = grant(dave, alice, "/pay").policy(rule(2)).sign(carol).unwrap();
        [root, middle, leaf]
    };
    for (place, name) in ["the root", "the middle", "the leaf"].into_iter().enumerate() {
        let proofs = chain(place);
        let proofs = [&proofs[0], &proofs[1], &proofs[2]];
        let by = |args| invoke(alice, "/pay", args, &proofs).sign(dave).unwrap();
        let within = by(r#"{"amount": 99, "to": "bob"}"#);
        cases.push(check(&format!("a policy of {name} that holds"), &within).proofs(&proofs).ok([]));
        let beyond = by(r#"{"amount": 100, "to": "bob"}"#);
        let place = u8::try_from(place).unwrap();
        cases.push(
            check(&format!("a policy of {name} that is violated"), &beyond)
                .proofs(&proofs)
                .error_at("MatchError", place),
        );
        let without = by(r#"{"to": "bob"}"#);
        cases.push(
            check(&format!("a policy of {name} about what is not there"), &without)
                .proofs(&proofs)
                .error_at("MatchError", place),
        );
    }
    let root = grant(bob, alice, "/pay").policy(policy(small)).sign(alice).unwrap();
    let by = invoke(alice, "/msg", r#"{"amount": 100}"#, &[&root]).sign(bob).unwrap();
    cases.push(check("a command comes before a policy", &by).proofs(&[&root]).error_at("InvalidCommand", 0));
    let late = grant(carol, alice, "/pay").expiration(at(NOW - 100)).sign(bob).unwrap();
    let by = invoke(alice, "/pay", r#"{"amount": 100}"#, &[&root, &late]).sign(carol).unwrap();
    cases.push(check("all of one proof comes before the next", &by).proofs(&[&root, &late]).error_at("MatchError", 0));
    let awaiting = r#"{"amount": {"await/ok": {"/": "bafyreifozcvbcxd6354qvr2rm2hcww62hyr6x7vm4rpfhmovp73kfjw27e"}}}"#;
    let by = invoke(alice, "/pay", awaiting, &[&root]).sign(bob).unwrap();
    cases.push(
        check("a policy about what a promise will give is undecided", &by)
            .proofs(&[&root])
            .ok([("warnings", json(r#"["Undecided"]"#))]),
    );
}

fn signatures(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, mallory, .. } = people;
    let (root, leaf) = hops(people);
    let good = sign(carol, alice, &[&root, &leaf]);
    let altered = tampered(&good);
    cases.push(
        Case::token("invocation", "a signature of the invocation that does not match", &altered)
            .proofs(&[&root, &leaf])
            .error_at("InvalidSignature", None),
    );
    let forged = seal(tag::INVOCATION, &ucan_core::Ipld::Map(payload(&good)), mallory);
    cases.push(
        Case::token("invocation", "an invocation that somebody else signed", &forged)
            .proofs(&[&root, &leaf])
            .error_at("InvalidSignature", None),
    );
    // The proofs are named by the CIDs of their bytes, so that the altered ones have to be named.
    let bad_root = Delegation::decode(tampered(&root)).unwrap();
    let by = sign(bob, alice, &[&bad_root]);
    cases.push(
        check("a signature of the root that does not match", &by).proofs(&[&bad_root]).error_at("InvalidSignature", 0),
    );
    let bad_leaf = Delegation::decode(tampered(&leaf)).unwrap();
    let by = sign(carol, alice, &[&root, &bad_leaf]);
    cases.push(
        check("a signature of the leaf that does not match", &by)
            .proofs(&[&root, &bad_leaf])
            .error_at("InvalidSignature", 1),
    );
    let mut fields = payload(&leaf);
    fields.insert("exp".to_owned(), ucan_core::Ipld::Integer((NOW - 100).into()));
    let both = Delegation::decode(seal(tag::DELEGATION, &ucan_core::Ipld::Map(fields), mallory)).unwrap();
    let by = sign(carol, alice, &[&root, &both]);
    cases.push(check("a signature comes before the time", &by).proofs(&[&root, &both]).error_at("InvalidSignature", 1));
}

fn revocations(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, dave, .. } = people;
    let (root, middle) = hops(people);
    let leaf = grant(dave, None, "/").policy(policy(r#"[["==", ".a", 1]]"#)).sign(carol).unwrap();
    let proofs = [&root, &middle, &leaf];
    let by = |args| invoke(alice, "/crypto/sign", args, &proofs).sign(dave).unwrap();
    let good = by(r#"{"a": 1}"#);
    for (name, revoked, place) in [("the root", &root, 0), ("the middle", &middle, 1), ("the leaf", &leaf, 2)] {
        cases.push(
            check(&format!("{name} is revoked"), &good).proofs(&proofs).revoked(&[revoked]).error_at("Revoked", place),
        );
    }
    let other = grant(bob, alice, "/other").sign(alice).unwrap();
    cases.push(check("something else is revoked", &good).proofs(&proofs).revoked(&[&other]).ok([]));
    cases.push(
        check("revocation is looked at last", &by(r#"{"a": 2}"#))
            .proofs(&proofs)
            .revoked(&[&root])
            .error_at("MatchError", 2),
    );
    cases.push(
        check("revocation is looked at after the addressee", &good)
            .proofs(&proofs)
            .revoked(&[&root])
            .receiver(bob.did())
            .error_at("InvalidAudience", None),
    );
}

fn addressees(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, dave, .. } = people;
    let (root, _) = hops(people);
    let plain = sign(bob, alice, &[&root]);
    let check = |name: &str, token: &[u8]| Case::token("invocation", name, token).proofs(&[&root]);
    let executor = |who: &Issuer| [("executor", text(who.did()))];
    cases.push(
        check("without an audience the subject executes", &bytes(&plain)).receiver(alice.did()).ok(executor(alice)),
    );
    cases.push(
        check("without an audience nobody else does", &bytes(&plain))
            .receiver(dave.did())
            .error_at("InvalidAudience", None),
    );
    let sent = invoke(alice, "/crypto/sign", "{}", &[&root]).audience(dave.did().clone()).sign(bob).unwrap();
    let sent = bytes(&sent);
    cases.push(check("the audience executes", &sent).receiver(dave.did()).ok(executor(dave)));
    cases.push(
        check("the subject does not, when there is an audience", &sent)
            .receiver(alice.did())
            .error_at("InvalidAudience", None),
    );
    cases.push(check("a relay passes on what is for others", &sent).ok(executor(dave)));
    let key = format!("{}#key", dave.did()).parse().unwrap();
    cases.push(check("a fragment makes no other receiver", &sent).receiver(&key).ok(executor(dave)));
    let mut fields = payload(&plain);
    fields.insert("aud".to_owned(), text(alice.did()));
    let spelled_out = seal(tag::INVOCATION, &ucan_core::Ipld::Map(fields), bob);
    cases.push(
        check("an audience that is the subject is accepted", &spelled_out).receiver(alice.did()).ok(executor(alice)),
    );
}

fn tags(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, carol, .. } = people;
    let old = grant(bob, alice, "/crypto").release_candidate().sign(alice).unwrap();
    let new = grant(carol, alice, "/crypto").sign(bob).unwrap();
    let by = sign(carol, alice, &[&old, &new]);
    cases.push(check("a proof of the release candidate", &by).proofs(&[&old, &new]).ok([]));
    let older = seal(tag::INVOCATION_RC1, &ucan_core::Ipld::Map(payload(&by)), carol);
    cases
        .push(Case::token("invocation", "an invocation of the release candidate", &older).proofs(&[&old, &new]).ok([]));
    // What is signed as one kind of token must not pass as the other.
    let args = args_of("{}");
    let mut fields = payload(&new);
    fields.extend([("args".to_owned(), ucan_core::Ipld::Map(args)), ("prf".to_owned(), ucan_core::Ipld::List(vec![]))]);
    let mixed = seal(tag::INVOCATION, &ucan_core::Ipld::Map(fields), bob);
    cases
        .push(Case::token("invocation", "a delegation under the tag of an invocation", &mixed).error("MalformedToken"));
    let as_proof = seal(tag::INVOCATION, &ucan_core::Ipld::Map(payload(&new)), bob);
    let named = Case::token(
        "invocation",
        "a proof under the tag of an invocation",
        &bytes(&{
            let cid = ucan_core::block::dag_cbor_cid(&as_proof);
            invoke(alice, "/crypto/sign", "{}", &[]).proofs(vec![*old.cid(), cid]).sign(carol).unwrap()
        }),
    );
    let proofs = ucan_core::Ipld::List(vec![base64(old.bytes()), base64(&as_proof)]);
    cases.push(named.with("proofs", proofs).error_at("MalformedToken", 1));
}
