//! Principals of the did:key method as the issuers of tokens, after `fixtures/did/did-key.json`.

use data_encoding::HEXLOWER;
use ucan_core::{Ipld, Issuer, tag};
use varsig::{SecretKey, SignatureAlgorithm as Algorithm};

use super::kit::{Case, ED25519, file as write, grant, json, payload, people, seal_with, text};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    let Ipld::Map(published) = json(include_str!("../../../fixtures/did/did-key.json")) else { panic!("a map") };
    let Some(Ipld::List(published)) = published.get("cases") else { panic!("cases") };
    for case in published {
        let (name, did) = (member(case, "name").unwrap(), member(case, "did").unwrap());
        if let Some(secret) = member(case, "secret_key") {
            let algorithm: Algorithm = member(case, "algorithm").unwrap().parse().unwrap();
            let key = SecretKey::from_bytes(algorithm, &HEXLOWER.decode(secret.as_bytes()).unwrap()).unwrap();
            let issuer = Issuer::new(did.parse().unwrap(), key.into_signer());
            let token = grant(&people.bob, &issuer, "/crypto").sign(&issuer).unwrap();
            cases.push(Case::token("delegation", name, token.bytes()).ok([("iss", text(did)), ("sub", text(did))]));
        } else if member(case, "error").is_some() {
            let mut fields = payload(&grant(&people.bob, &people.alice, "/crypto").sign(&people.alice).unwrap());
            fields.extend([("iss".to_owned(), text(did)), ("sub".to_owned(), text(did))]);
            let token = seal_with(&ED25519, tag::DELEGATION, &Ipld::Map(fields), &people.alice);
            cases.push(Case::token("delegation", name, &token).error("InvalidSignature"));
        }
    }
    write(
        "Delegations by principals of the did:key method: those whose secret keys were published with the method's test vectors, \
         and issuers that look like one and are not.",
        cases,
    )
}

fn member<'a>(case: &'a Ipld, key: &str) -> Option<&'a str> {
    match case.get(key) {
        Ok(Some(Ipld::String(text))) => Some(text),
        _ => None,
    }
}
