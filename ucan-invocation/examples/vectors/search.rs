//! Finding a chain among delegations.

use ucan_core::{Delegation, Ipld, Issuer};

use super::kit::{Case, NOW, People, at, base64, file as write, grant, json, people, policy, tampered, text};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    found(&people, &mut cases);
    not_found(&people, &mut cases);
    write(
        "Finding the proofs of a request in a store of delegations: the shortest chain, and of those the one that lasts longest. \
         Seeds of the Ed25519 keys are one byte 32 times: alice 1, bob 2, carol 3, dave 4, mallory 66. \
         Written by `cargo run -p ucan-invocation --example vectors`.",
        cases,
    )
}

fn seek(name: &str, store: &[&Delegation], invoker: &Issuer, subject: &Issuer) -> Case {
    Case::new(
        name,
        [
            ("op", text("chain")),
            ("store", Ipld::List(store.iter().map(|grant| base64(grant.bytes())).collect())),
            ("invoker", text(invoker.did())),
            ("subject", text(subject.did())),
            ("cmd", text("/crypto/sign")),
            ("args", json(r#"{"amount": 5}"#)),
            ("now", Ipld::Integer(NOW.into())),
        ],
    )
}

fn proofs(proofs: &[&Delegation]) -> [(&'static str, Ipld); 1] {
    [("proofs", Ipld::List(proofs.iter().map(|proof| text(proof.cid())).collect()))]
}

fn found(People { alice, bob, carol, dave, mallory }: &People, cases: &mut Vec<Case>) {
    let root = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let middle = grant(carol, alice, "/crypto").sign(bob).unwrap();
    let line = grant(carol, None, "/").sign(bob).unwrap();
    let leaf = grant(dave, alice, "/crypto").sign(carol).unwrap();
    let direct = grant(dave, alice, "/crypto/sign").sign(alice).unwrap();
    cases.push(seek("the subject itself", &[], alice, alice).ok(proofs(&[])));
    cases.push(seek("one hop", &[&root], bob, alice).ok(proofs(&[&root])));
    cases.push(
        seek("three hops, from last to first", &[&leaf, &middle, &root], dave, alice)
            .ok(proofs(&[&root, &middle, &leaf])),
    );
    cases.push(
        seek("a powerline in the middle", &[&leaf, &line, &root], dave, alice).ok(proofs(&[&root, &line, &leaf])),
    );
    cases.push(seek("the shortest", &[&leaf, &middle, &root, &direct], dave, alice).ok(proofs(&[&direct])));
    cases.push(seek("the same one twice", &[&root, &root], bob, alice).ok(proofs(&[&root])));
    let short = grant(bob, alice, "/crypto").expiration(at(NOW + 100)).sign(alice).unwrap();
    let long = grant(bob, alice, "/crypto").expiration(at(NOW + 1000)).sign(alice).unwrap();
    cases.push(seek("the one that lasts longest", &[&short, &long], bob, alice).ok(proofs(&[&long])));
    cases.push(seek("one that never ends", &[&short, &root, &long], bob, alice).ok(proofs(&[&root])));
    let past = grant(dave, alice, "/crypto").expiration(at(NOW - 61)).sign(alice).unwrap();
    let strict = grant(dave, alice, "/crypto").policy(policy(r#"[["<", ".amount", 5]]"#)).sign(alice).unwrap();
    let other = grant(dave, alice, "/msg").sign(alice).unwrap();
    let foreign = grant(dave, mallory, "/crypto").sign(mallory).unwrap();
    let forged = Delegation::decode(tampered(&direct)).unwrap();
    cases.push(
        seek(
            "what does not serve is passed over",
            &[&past, &strict, &other, &foreign, &forged, &leaf, &middle, &root],
            dave,
            alice,
        )
        .ok(proofs(&[&root, &middle, &leaf])),
    );
    let back = grant(bob, alice, "/crypto").sign(carol).unwrap();
    cases.push(seek("a cycle", &[&back, &middle, &root], carol, alice).ok(proofs(&[&root, &middle])));
    let unread = Ipld::List(vec![base64(b"not a token"), base64(root.bytes())]);
    let [chain] = proofs(&[&root]);
    cases.push(
        seek("what cannot be read is passed over, with a warning", &[], bob, alice)
            .with("store", unread)
            .ok([chain, ("warnings", json(r#"["MalformedToken"]"#))]),
    );
}

fn not_found(People { alice, bob, carol, dave, .. }: &People, cases: &mut Vec<Case>) {
    let root = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let gap = grant(dave, alice, "/crypto").sign(carol).unwrap();
    let line = grant(bob, None, "/crypto").sign(alice).unwrap();
    let narrow = grant(bob, alice, "/crypto/verify").sign(alice).unwrap();
    let strict = grant(bob, alice, "/crypto").policy(policy(r#"[["<", ".amount", 5]]"#)).sign(alice).unwrap();
    let early = grant(bob, alice, "/crypto").not_before(at(NOW + 61)).sign(alice).unwrap();
    for (name, store, invoker) in [
        ("an empty store", &[][..], bob),
        ("nothing for the invoker", &[&root], carol),
        ("a gap in the middle", &[&root, &gap], dave),
        ("a powerline of the subject's alone", &[&line], bob),
        ("a command that does not cover it", &[&narrow], bob),
        ("a policy that refuses it", &[&strict], bob),
        ("a time that has not come", &[&early], bob),
    ] {
        cases.push(seek(name, store, invoker, alice).error("NoChain"));
    }
    cases.push(seek("another subject", &[&root], bob, carol).error("NoChain"));
}
