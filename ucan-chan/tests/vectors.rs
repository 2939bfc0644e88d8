//! The vectors under `fixtures/ucan-chan`, which other implementations can use.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use ucan_chan::{Channel, Cheating, Close, CommandError, Dispute, DrawError, Open, Proof, Settle, Terms, Voucher};
use ucan_core::{Cid, Context, Delegation, DidKeys, Ipld, Issuer, Timestamp, dagjson, verify};
use ucan_invocation::{Invocation, authorize};
use varsig::ed25519::SigningKey;

struct Vectors {
    cases: Vec<BTreeMap<String, Ipld>>,
    chains: BTreeMap<String, Vec<Delegation>>,
}

fn read(json: &str) -> Vectors {
    let all = dagjson::decode(json.as_bytes()).unwrap();
    let all = map(&all);
    let chain = |chain: &Ipld| list(chain).iter().map(|link| Delegation::decode(bytes(link)).unwrap()).collect();
    Vectors {
        cases: list(&all["cases"]).iter().map(|case| map(case).clone()).collect(),
        chains: map(&all["chains"]).iter().map(|(name, links)| (name.clone(), chain(links))).collect(),
    }
}

fn map(value: &Ipld) -> &BTreeMap<String, Ipld> {
    let Ipld::Map(map) = value else { panic!("no map: {value:?}") };
    map
}

fn list(value: &Ipld) -> &[Ipld] {
    let Ipld::List(list) = value else { panic!("no list: {value:?}") };
    list
}

fn text(value: &Ipld) -> &str {
    let Ipld::String(text) = value else { panic!("no string: {value:?}") };
    text
}

fn bytes(value: &Ipld) -> &[u8] {
    let Ipld::Bytes(bytes) = value else { panic!("no bytes: {value:?}") };
    bytes
}

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

type Read = (Invocation, Cid, String, Option<u64>, u64);

fn command(name: &str, token: &[u8]) -> Result<Read, CommandError> {
    macro_rules! read {
        ($it:expr, $seq:expr) => {{
            let it = $it;
            Ok((it.invocation().clone(), *it.channel(), it.unit().to_string(), $seq(&it), it.total()))
        }};
    }
    match name {
        "/chan/open" => read!(Open::decode(token)?, |_: &Open| None),
        "/chan/draw" => read!(Voucher::decode(token)?, |it: &Voucher| Some(it.sequence())),
        "/chan/close" => read!(Close::decode(token)?, |it: &Close| Some(it.sequence())),
        "/chan/settle" => read!(Settle::decode(token)?, |it: &Settle| Some(it.sequence())),
        "/chan/dispute" => read!(Dispute::decode(token)?, |it: &Dispute| Some(it.sequence())),
        other => panic!("unknown command {other}"),
    }
}

#[test]
fn commands() {
    let vectors = read(include_str!("../../fixtures/ucan-chan/commands.json"));
    let mut refused = 0;
    for case in &vectors.cases {
        let (name, chain) = (text(&case["command"]), &vectors.chains[text(&case["chain"])]);
        let result = command(name, bytes(&case["token"]));
        if let Some(error) = case.get("error") {
            assert!(result.is_err(), "{}: {result:?}", text(error));
            refused += 1;
            continue;
        }
        let (invocation, channel, unit, seq, total) = result.unwrap();
        assert_eq!(Ipld::Link(channel), case["channel"]);
        assert_eq!(Ipld::String(unit), case["unit"]);
        assert_eq!(seq.map(|seq| Ipld::Integer(seq.into())).as_ref(), case.get("seq"));
        assert_eq!(Ipld::Integer(total.into()), case["total"]);
        // Whoever executes it finds that it is authorised.
        let find = |cid: &Cid| chain.iter().find(|link| link.cid() == cid).cloned();
        let executor = invocation.executor().clone();
        authorize(invocation, &executor, &find, &Context::new(Timestamp::EPOCH, &DidKeys)).unwrap();
    }
    assert!(refused >= 9 && vectors.cases.len() - refused >= 14);
}

#[test]
fn draws() {
    let vectors = read(include_str!("../../fixtures/ucan-chan/draws.json"));
    assert!(vectors.cases.len() >= 10);
    for case in &vectors.cases {
        let terms = Terms::read(&vectors.chains[text(&case["chain"])]).unwrap();
        let open = verify(Open::sign(&issuer(2), &terms, 60).unwrap(), &DidKeys).unwrap();
        let mut channel = Channel::open(terms, &open).unwrap();
        let (tokens, drawn) = (list(&case["tokens"]), list(&case["drawn"]));
        assert_eq!(tokens.len(), drawn.len());
        for (token, drawn) in tokens.iter().zip(drawn) {
            let voucher = verify(Voucher::decode(bytes(token)).unwrap(), &DidKeys).unwrap();
            let found = match channel.draw(&voucher, Timestamp::EPOCH) {
                Ok(more) => Ipld::Integer(more.into()),
                Err(DrawError::Cheating { kind, .. }) => Ipld::String(kind.name().to_owned()),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, *drawn, "{}", text(&case["name"]));
        }
    }
}

#[test]
fn proofs() {
    let vectors = read(include_str!("../../fixtures/ucan-chan/proofs.json"));
    for kind in Cheating::ALL {
        assert!(vectors.cases.iter().any(|case| text(&case["kind"]) == kind.name()), "no vector of {kind}");
    }
    for case in &vectors.cases {
        let kind = Cheating::ALL.into_iter().find(|kind| kind.name() == text(&case["kind"])).unwrap();
        let tokens = list(&case["tokens"]).iter().map(|token| bytes(token).to_vec()).collect();
        let found = Proof::new(kind, tokens).unwrap().check(&vectors.chains[text(&case["chain"])], &DidKeys);
        let expected = match &case["convicts"] {
            Ipld::Null => None,
            who if text(who) == "provider" => Some(issuer(1).did().clone()),
            who => {
                assert_eq!(text(who), "holder");
                Some(issuer(2).did().clone())
            }
        };
        assert_eq!(found.ok(), expected, "{kind}");
    }
}
