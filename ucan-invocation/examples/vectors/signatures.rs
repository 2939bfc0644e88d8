//! Signatures of every algorithm, on whole tokens.

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use multibase::Base;
use ucan_core::{Delegation, Did, Ipld, Issuer, Token, tag};
use varsig::{PayloadEncoding, SecretKey, SignatureAlgorithm as Algorithm, Varsig};

use super::kit::{Case, People, bytes, file as write, grant, invoke, payload, people, seal_with, text, with_signature};

pub(crate) fn file() -> String {
    let people = people();
    let mut cases = Vec::new();
    every_algorithm(&people, &mut cases);
    spellings(&people, &mut cases);
    headers(&people, &mut cases);
    write(
        "Delegations signed by each algorithm, signatures that must be refused although their numbers add up, and headers \
         that do not fit. The secret keys are one byte 32 times (48 of P-384, a zero and 65 of P-521), the byte being 7; the RSA key is in the example \
         that writes this file: `cargo run -p ucan-invocation --example vectors`.",
        cases,
    )
}

/// A key of RSA with 2048 bits, as multicodec and PKCS #1, made for these vectors.
const RSA: &str = "hSYwggSkAgEAAoIBAQDgNrg2sl2LieYfc2DUEb/q2UInFDC6x5m13SN0b62XrOH8I50AiiHyh5Dtv7Ioi+rRct2GQqX1+rkCSre3q72bJEnxF9le\
    5hw3F1ezDKbG1oj8KFxttT7Qw+BuVMXBYEaWwqGHWLmeg5Y8AQoBknUvzhAg1sMxjAy12QsWo9Xto0+XXb2V8evQ6Sl/+txEP9A6rZbix3H18pkA\
    e/ARx2+j+R2ox55pvixmKRJpYcnU+pm+c4Rh+lSHEuwUn+IbFcRdewH1goKlEgIjJcxeM5BcXuqYGMSnCtWa+jTH0qqx7vu4zMJQOCXbtZK6vVGU\
    XX+cYccizfD+oPBMoU4KB4tfAgMBAAECggEBAINmjj8/+SK2Bm+YJr8iR99SxDoy0vwjzimPGCA88vdZEne6R2Dxk0OXv5AWMEsi9NMbBkiQ9sJZ\
    1eNJ9rFlrREnC06IM5QyN4bx3yvH1lXhlRZycPi6p72hjf4bIGpcCgKAvjmb/eywIXO5CCwzsQn7MeiM9IgtE6XfNWhnTBCf9EJqFXw/osTb0Nd0\
    91v320s0b5KuTJ8ntpTx53ICnIAgkEo1scNP+WNs1QcXi/jKds8KA4ODA3A43xfgNwT+6cw2UEPMy0MEGLlmu5/V7zuxStWBYcP4BfhHZnfM49kb\
    ygnWiUzL/gjBu1nP1yF1XnM8Jeh7F/yXveugJ5TfAkECgYEA847ZRcPLQLuwsoDK/ohmNdMprN6+nK94P/5iwJ2yYedqWsOYUPdMF7cia83O2N3y\
    vJIKjbs6p/tJ7XjOS3i60QmKrfL4qYuZcIJ9fgGnsTw5Pd0+Du/CmiHvxxgbRzYUQ2iiayr0APAiEz+go56mGEplo61PU0QOtrwkL6AJ5BMCgYEA\
    66rlCQdHd89uY5DTF+bwiV/JDfX4vAR9S6WHG0WEqsCTjrpGGRPycwqXk92OcRiUsMyjR+5RJN9rQjddPyapV5stMTrQIguqL9nt26zJMsb9KN8+\
    zO3D+vNuygu6Z1YaytTvFBjp2c+VY+PDJS3+pIe3ZgcOvjRBGuG2GVCebQUCgYAULvdUb7hNQgCPmlq4IyeNOFWQzNiw9V2auAMJAUiCEoJeySy7\
    MPMuV+/TTTfiAuqVs+iJ/EUNHKbwtf0qhfO9VPQYHDV9H2N0zmuF4K874cjAlrAI3teanEtZjWbdTN77AxXKmcGkvkGkpLY0OPZ8ttWbbcZQGSi6\
    /fZlt/Z53wKBgQDhW6R1Q7619WgsUftqqe5uj2glr4dR1EE0q29NRuccmdcA72PE62w3UnOsdHuX7teRUb76NAzoY7Wftm22y/O30K4gm4sYY2s1\
    IwLvxIUJx3ujMAhP0zZLranOD/UKiC5Ks+CDqWdGX9kNkmm0Dg2prBZWvHz+qd1wJVMLViqJOQKBgEf7MfyXPG4n3aU0V9eN+EkhVrQ6neyqUBjL\
    UG1gPa+1+ZlKLpkIWsx0dBen6VQeiodl7sqKovd1Uoa1h/U40JbcMGaN9fXqLHlzpTZK3MWGwaGofZ7/Am+V8/ez0g1Btd9+p2b1CtXsaleXnESp\
    ZP45SulBPjf/ZP2DlfS2SsO/";

/// Who signs by an algorithm.
fn signer(algorithm: Algorithm) -> Issuer {
    let key = match algorithm {
        Algorithm::Rs256 { .. } => SecretKey::from_multicodec(&BASE64_NOPAD.decode(RSA.as_bytes()).unwrap()),
        Algorithm::Es384 => SecretKey::from_bytes(algorithm, &[7; 48]),
        Algorithm::Es512 => SecretKey::from_bytes(algorithm, &[&[0][..], &[7; 65]].concat()),
        algorithm => SecretKey::from_bytes(algorithm, &[7; 32]),
    };
    let key = key.unwrap();
    Issuer::new(did(&key.public_key().to_multicodec()), key.into_signer())
}

fn did(multicodec: &[u8]) -> Did {
    format!("did:key:{}", multibase::encode(Base::Base58Btc, multicodec)).parse().unwrap()
}

fn check(name: &str, token: &[u8]) -> Case {
    Case::token("delegation", name, token)
}

fn by(issuer: &Issuer, People { bob, .. }: &People) -> Delegation {
    grant(bob, issuer, "/crypto").sign(issuer).unwrap()
}

const EVERY: [Algorithm; 7] = [
    Algorithm::Ed25519,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Es256K,
    Algorithm::Rs256 { key_length: 256 },
    Algorithm::Eip191,
];

fn every_algorithm(people: &People, cases: &mut Vec<Case>) {
    for algorithm in EVERY {
        let issuer = signer(algorithm);
        let token = by(&issuer, people);
        assert_eq!(token.envelope().header().algorithm(), algorithm);
        cases.push(check(&format!("{algorithm}"), token.bytes()).ok([("iss", text(issuer.did()))]));
        let mut signature = token.envelope().signature().to_vec();
        signature[20] ^= 1;
        let altered = with_signature(&token, &signature);
        cases
            .push(check(&format!("{algorithm}: one bit of the signature differs"), &altered).error("InvalidSignature"));
        let short = with_signature(&token, &[1, 2, 3]);
        cases.push(check(&format!("{algorithm}: a signature of three bytes"), &short).error("InvalidSignature"));
        let none = with_signature(&token, &[]);
        cases.push(check(&format!("{algorithm}: a signature of none"), &none).error("InvalidSignature"));
        let long = with_signature(&token, &[token.envelope().signature(), &[0]].concat());
        cases.push(check(&format!("{algorithm}: a byte after the signature"), &long).error("InvalidSignature"));
        let zeros = with_signature(&token, &vec![0; token.envelope().signature().len()]);
        cases.push(check(&format!("{algorithm}: a signature of zeros"), &zeros).error("InvalidSignature"));
    }
    let People { bob, carol, .. } = people;
    let (phone, wallet) = (signer(Algorithm::Es256), signer(Algorithm::Es256K));
    let root = grant(&wallet, &phone, "/crypto").sign(&phone).unwrap();
    let middle = grant(bob, &phone, "/crypto").sign(&wallet).unwrap();
    let leaf = grant(carol, &phone, "/crypto").sign(bob).unwrap();
    let proofs = [&root, &middle, &leaf];
    let asked = invoke(&phone, "/crypto/sign", "{}", &proofs).sign(carol).unwrap();
    cases.push(Case::token("invocation", "a chain of three algorithms", &bytes(&asked)).proofs(&proofs).ok([]));
}

/// What is left when big-endian numbers are subtracted.
fn minus(whole: &[u8], part: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut rest = vec![0; whole.len()];
    for place in (0..whole.len()).rev() {
        let difference = i16::from(whole[place]) - i16::from(part[place]) - borrow;
        borrow = i16::from(difference < 0);
        rest[place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert_eq!(borrow, 0);
    rest
}

/// The token with the other `s` of its ECDSA signature, `n - s`.
fn other_s(token: &Delegation, order: &str) -> Vec<u8> {
    let order = HEXLOWER.decode(order.as_bytes()).unwrap();
    let signature = token.envelope().signature();
    let (r, s) = signature.split_at(order.len());
    with_signature(token, &[r, &minus(&order, s)].concat())
}

fn spellings(people: &People, cases: &mut Vec<Case>) {
    const P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    const SECP256K1: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    /// The order of the group of Ed25519, the last byte first.
    const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let token = by(&signer(Algorithm::Es256), people);
    cases.push(check("ES256: the upper s is accepted", &other_s(&token, P256)).ok([]));
    let token = by(&signer(Algorithm::Es256K), people);
    cases.push(check("ES256K: the upper s is refused", &other_s(&token, SECP256K1)).error("InvalidSignature"));
    let token = by(&signer(Algorithm::Ed25519), people);
    let (r, s) = token.envelope().signature().split_at(32);
    let mut carry = 0;
    let order = HEXLOWER.decode(L.as_bytes()).unwrap();
    let beyond = s.iter().zip(&order).map(|(s, order)| {
        let sum = u16::from(*s) + u16::from(*order) + carry;
        carry = sum >> 8;
        u8::try_from(sum & 0xff).unwrap()
    });
    let beyond: Vec<u8> = beyond.collect();
    let token = with_signature(&token, &[r, &beyond].concat());
    cases.push(check("Ed25519: an s beyond the order of the group is refused", &token).error("InvalidSignature"));
    // The neutral point as the key: every message has the signature of the neutral point and zero.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = did(&[&[0xed, 0x01][..], &neutral].concat());
    let People { alice, bob, .. } = people;
    let mut fields = payload(&grant(bob, alice, "/").sign(alice).unwrap());
    fields.extend([("iss".to_owned(), text(&weak)), ("sub".to_owned(), text(&weak))]);
    let token =
        Delegation::decode(seal_with(&super::kit::ED25519, tag::DELEGATION, &Ipld::Map(fields), alice)).unwrap();
    let token = with_signature(&token, &[&neutral[..], &[0; 32]].concat());
    cases.push(check("Ed25519: a key of small order is refused", &token).error("InvalidSignature"));
}

fn headers(people: &People, cases: &mut Vec<Case>) {
    let People { alice, bob, .. } = people;
    let plain = grant(bob, alice, "/crypto").sign(alice).unwrap();
    let sealed = |header: &[u8], issuer: &Issuer| {
        let mut fields = payload(&plain);
        fields.extend([("iss".to_owned(), text(issuer.did())), ("sub".to_owned(), text(issuer.did()))]);
        seal_with(header, tag::DELEGATION, &Ipld::Map(fields), issuer)
    };
    let header = |algorithm| Varsig::new(algorithm, PayloadEncoding::DagCbor).encode();
    let p256 = signer(Algorithm::Es256);
    let rsa = signer(EVERY[5]);
    for (name, header, issuer) in [
        ("ES256, by an Ed25519 key", header(Algorithm::Es256), alice),
        ("Ed25519, by a P-256 key", header(Algorithm::Ed25519), &p256),
        ("ES256K, by a P-256 key", header(Algorithm::Es256K), &p256),
        ("ES384, by a P-256 key", header(Algorithm::Es384), &p256),
        ("RS256 of 3072 bits, by a key of 2048", header(Algorithm::Rs256 { key_length: 384 }), &rsa),
        ("RS512, by a key that signed as RS256", header(Algorithm::Rs512 { key_length: 256 }), &rsa),
    ] {
        cases.push(check(&format!("the header says {name}"), &sealed(&header, issuer)).error("InvalidSignature"));
    }
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    for (name, header, error) in [
        ("BLS, by an Ed25519 key", hex("3401b101ea011271"), "InvalidSignature"),
        ("an algorithm that nobody has registered", hex("3401ed81ed011371"), "UnsupportedAlgorithm"),
        ("Ed25519 with another hash", hex("3401ed01ed011271"), "UnsupportedAlgorithm"),
        ("an unknown encoding of the payload", hex("3401ed01ed01137f"), "UnsupportedAlgorithm"),
        ("Ed25519 over DAG-JSON", hex("3401ed01ed0113a902"), "UnsupportedAlgorithm"),
        ("Ed25519 over bare bytes", hex("3401ed01ed01135f"), "UnsupportedAlgorithm"),
        ("Ed25519 over what EIP-191 wraps", hex("3401ed01ed011391c30371"), "UnsupportedAlgorithm"),
        ("EIP-191 signing over what it does not wrap", hex("3401ec01e7011b71"), "UnsupportedAlgorithm"),
        ("a varint that could be shorter", hex("348100ed01ed011371"), "NonCanonical"),
        ("a byte after the end", hex("3401ed01ed01137100"), "MalformedToken"),
        ("no encoding", hex("3401ed01ed0113"), "MalformedToken"),
        ("nothing", vec![], "MalformedToken"),
        ("another prefix", hex("3501ed01ed011371"), "MalformedToken"),
    ] {
        cases.push(check(&format!("the header says {name}"), &sealed(&header, alice)).error(error));
    }
    let ed448 = did(&[&[0x83, 0x24][..], &[9; 57]].concat());
    let mut fields = payload(&plain);
    fields.extend([("iss".to_owned(), text(&ed448)), ("sub".to_owned(), text(&ed448))]);
    let token = seal_with(&header(Algorithm::Ed448), tag::DELEGATION, &Ipld::Map(fields), alice);
    cases.push(check("Ed448, which is known and cannot be verified", &token).error("UnsupportedAlgorithm"));
    for (name, iss) in [
        ("an issuer that is not a key", "did:key:zABC".to_owned()),
        ("an issuer of a kind that has no keys", "did:key:z".to_owned() + &"2".repeat(60)),
        ("an issuer in another base", alice.did().as_str().replacen(":z", ":u", 1)),
    ] {
        let mut fields = payload(&plain);
        fields.insert("iss".to_owned(), text(iss));
        let token = seal_with(&super::kit::ED25519, tag::DELEGATION, &Ipld::Map(fields), alice);
        cases.push(check(name, &token).error("InvalidSignature"));
    }
}
