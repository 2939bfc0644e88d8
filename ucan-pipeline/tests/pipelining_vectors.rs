//! The vectors for pipelining between executors: whom an executor asks with what, and which receipts it believes.
//!
//! `cargo test -p ucan-pipeline --test pipelining_vectors -- --ignored` writes the files anew. What each case expects is written
//! down here by hand, and not taken from what the code answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{NOW, Network, Weather, at, id, issuer, network, number, paused, promise};
use tokio::time::sleep;
use ucan_core::{Container, Delegation, Did, Ipld, Token, block, dagjson};
use ucan_invocation::{Failure, Invocation, Outcome, Patience, Receipt, Transport, TransportError, Trust};

const CLOSURES: &str = "closures.json";
const BELIEVED: &str = "believed.json";

fn text(text: impl ToString) -> Ipld {
    Ipld::String(text.to_string())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn texts(names: &[&str]) -> Ipld {
    Ipld::List(names.iter().map(text).collect())
}

fn file(about: &str, cases: Vec<Ipld>) -> String {
    let keys = "Seeds of the Ed25519 keys are one byte 32 times: alice, whose resources are served, 1; bob 2; the invoker 3; the \
                executors 100, 101 and so on. The one that is tested is 100, and the time is 1767225600. Tokens are DAG-JSON \
                bytes by name. Written by `cargo test -p ucan-pipeline --test pipelining_vectors -- --ignored`.";
    let mut text =
        dagjson::encode_pretty(&map([("about", text(format!("{about} {keys}"))), ("cases", Ipld::List(cases))]));
    text.push('\n');
    text
}

/// Tokens by name.
#[derive(Default)]
struct Tokens(BTreeMap<String, Ipld>);

impl Tokens {
    fn of(network: &Network) -> Self {
        let mut tokens = Self::default();
        tokens.add("alice lets bob", &network.grants[0]);
        tokens.add("bob lets the invoker", &network.grants[1]);
        tokens
    }

    fn add(&mut self, name: &str, token: &dyn Token) {
        self.0.insert(name.to_owned(), Ipld::Bytes(token.envelope().bytes().to_vec()));
    }
}

const GRANTS: [&str; 2] = ["alice lets bob", "bob lets the invoker"];

/// A case: the names of the tokens of the request, and who has to be asked with which.
fn closure(name: &str, tokens: Tokens, request: &[&str], asks: &[(u8, &[&str])]) -> Ipld {
    let ask = |(to, names): &(u8, &[&str])| map([("to", text(issuer(*to).did())), ("tokens", texts(names))]);
    map([
        ("name", text(name)),
        ("tokens", Ipld::Map(tokens.0)),
        ("request", texts(request)),
        ("asks", Ipld::List(asks.iter().map(ask).collect())),
    ])
}

fn closures() -> String {
    let network = network(0, 2, Weather::default(), &Trust::Own, Patience::default());
    let ask = |to: u8, of: Vec<Ipld>| network.ask(to, "/sum", of);
    let [alice_to_bob, bob_to_invoker] = GRANTS;
    let mut cases = Vec::new();
    let one = ask(101, vec![number(1)]);
    let two = ask(100, vec![promise(&one), number(2)]);

    let mut tokens = Tokens::of(&network);
    tokens.add("x", &one);
    tokens.add("y", &two);
    cases.push(closure(
        "the awaited task and its proofs",
        tokens,
        &["x", "y", alice_to_bob, bob_to_invoker],
        &[(101, &["x", alice_to_bob, bob_to_invoker])],
    ));

    let mut tokens = Tokens::of(&network);
    let (w, v) = (ask(102, vec![number(3)]), ask(100, vec![number(4)]));
    let x = ask(101, vec![promise(&w), promise(&v)]);
    let y = ask(100, vec![promise(&x), number(5)]);
    let sibling = ask(100, vec![promise(&x), number(6)]);
    let after = ask(101, vec![promise(&y)]);
    let unrelated = ask(101, vec![number(7)]);
    let stray = Delegation::builder(issuer(5).did().clone(), None, "/".parse().unwrap()).nonce(vec![1; 12]);
    let stray = stray.sign(&issuer(4)).unwrap();
    for (name, token) in [
        ("w", &w),
        ("v", &v),
        ("x", &x),
        ("y", &y),
        ("sibling", &sibling),
        ("after y", &after),
        ("unrelated", &unrelated),
    ] {
        tokens.add(name, token);
    }
    tokens.add("stray", &stray);
    cases.push(closure(
        "what the awaited task awaits goes along, whoever does it; what awaits it, and what is unrelated, does not",
        tokens,
        &["w", "v", "x", "y", "sibling", "after y", "unrelated", "stray", alice_to_bob, bob_to_invoker],
        &[(101, &["w", "v", "x", alice_to_bob, bob_to_invoker])],
    ));

    let mut tokens = Tokens::of(&network);
    let told = Receipt::builder(id(&w), Outcome::Ok(number(3))).sign(&issuer(102), [1; 16]).unwrap();
    let other = Receipt::builder(id(&unrelated), Outcome::Ok(number(7))).sign(&issuer(101), [2; 16]).unwrap();
    for (name, token) in [("w", &w), ("v", &v), ("x", &x), ("y", &y)] {
        tokens.add(name, token);
    }
    tokens.add("receipt of w", &told);
    tokens.add("receipt of something else", &other);
    cases.push(closure(
        "receipts go along where what goes along awaits their tasks",
        tokens,
        &["w", "v", "x", "y", "receipt of w", "receipt of something else", alice_to_bob, bob_to_invoker],
        &[(101, &["w", "v", "x", "receipt of w", alice_to_bob, bob_to_invoker])],
    ));

    let mut tokens = Tokens::of(&network);
    let bobs = Invocation::builder(network.alice.did().clone(), "/sum".parse().unwrap(), w.args().clone())
        .audience(issuer(102).did().clone())
        .proofs(vec![*network.grants[0].cid()])
        .sign(&issuer(2))
        .unwrap();
    let x = ask(101, vec![promise(&bobs), number(1)]);
    let y = ask(100, vec![promise(&x)]);
    tokens.add("bob's", &bobs);
    tokens.add("x", &x);
    tokens.add("y", &y);
    cases.push(closure(
        "what another invoker has signed does not go along",
        tokens,
        &["bob's", "x", "y", alice_to_bob, bob_to_invoker],
        &[(101, &["x", alice_to_bob, bob_to_invoker])],
    ));

    let mut tokens = Tokens::of(&network);
    let y = ask(100, vec![promise(&bobs), number(2)]);
    tokens.add("bob's", &bobs);
    tokens.add("y", &y);
    cases.push(closure(
        "a hint by another invoker is none",
        tokens,
        &["bob's", "y", alice_to_bob, bob_to_invoker],
        &[],
    ));

    let mut tokens = Tokens::of(&network);
    let x = |end: u64, proofs: Vec<ucan_core::Cid>| {
        Invocation::builder(network.alice.did().clone(), "/sum".parse().unwrap(), one.args().clone())
            .audience(issuer(101).did().clone())
            .proofs(proofs)
            .expiration(at(end))
            .sign(&network.invoker)
            .unwrap()
    };
    let proofs: Vec<ucan_core::Cid> = network.grants.iter().map(|grant| *grant.cid()).collect();
    tokens.add("expired", &x(NOW - 61, proofs));
    tokens.add("without proofs", &x(NOW + 100, vec![]));
    tokens.add("y", &two);
    cases.push(closure(
        "hints that have expired, or whose invoker may not ask, are none",
        tokens,
        &["expired", "without proofs", "y", alice_to_bob, bob_to_invoker],
        &[],
    ));

    let mut tokens = Tokens::of(&network);
    let mallory = issuer(66);
    let x = network.ask_by(&mallory, 101, "/sum", vec![number(9)]);
    let y = network.ask_by(&mallory, 100, "/sum", vec![promise(&x)]);
    tokens.add("x", &x);
    tokens.add("y", &y);
    cases.push(closure(
        "nobody is asked for what awaits without being accepted",
        tokens,
        &["x", "y", alice_to_bob, bob_to_invoker],
        &[],
    ));

    let mut tokens = Tokens::of(&network);
    let x2 = ask(102, vec![number(2)]);
    let y = ask(100, vec![promise(&one), promise(&x2)]);
    for (name, token) in [("x1", &one), ("x2", &x2), ("y", &y)] {
        tokens.add(name, token);
    }
    cases.push(closure(
        "each awaited task is asked for by itself",
        tokens,
        &["x1", "x2", "y", alice_to_bob, bob_to_invoker],
        &[(101, &["x1", alice_to_bob, bob_to_invoker]), (102, &["x2", alice_to_bob, bob_to_invoker])],
    ));
    file(
        "Whom an executor asks for what is awaited, and with what (docs/specs/ucan-pipeline.md, section 9.2). `request` is the \
         container that it is sent, and `asks` are all the containers that it sends, each to one other executor, while nobody \
         answers.",
        cases,
    )
}

fn believed() -> String {
    let network = network(0, 2, Weather::default(), &Trust::Own, Patience::default());
    let x = network.ask(101, "/log", vec![number(1)]);
    let y = network.ask(100, "/log", vec![promise(&x), number(2)]);
    let mut tokens = Tokens::of(&network);
    tokens.add("x", &x);
    tokens.add("y", &y);
    let sign = |by: u8, value: i128, expires: Option<u64>, attempt: bool| {
        let meta = if attempt { [("attempt".to_owned(), Ipld::Bool(true))].into() } else { BTreeMap::new() };
        let receipt = Receipt::builder(id(&x), Outcome::Ok(number(value))).meta(meta);
        let receipt = if let Some(end) = expires { receipt.expiration(at(end)) } else { receipt };
        receipt.sign(&issuer(by), [value as u8; 16]).unwrap()
    };
    for (name, receipt) in [
        ("101: 1", sign(101, 1, None, false)),
        ("101: 2", sign(101, 2, None, false)),
        ("101: 1, an attempt", sign(101, 1, None, true)),
        ("101: 1, expired", sign(101, 1, Some(NOW - 61), false)),
        ("101: 1, expires later", sign(101, 1, Some(NOW + 1000), false)),
        ("100: 1", sign(100, 1, None, false)),
        ("104: 1", sign(104, 1, None, false)),
        ("104: 2", sign(104, 2, None, false)),
        ("105: 1", sign(105, 1, None, false)),
        ("105: 2", sign(105, 2, None, false)),
        ("106: 2", sign(106, 2, None, false)),
        ("the invoker: 1", sign(3, 1, None, false)),
        ("a stranger: 1", sign(66, 1, None, false)),
    ] {
        tokens.add(name, &receipt);
    }
    let failed = Receipt::builder(id(&x), Failure::new("Failed", "for good").into()).sign(&issuer(101), [9; 16]);
    tokens.add("101: a failure", &failed.unwrap());
    let other = Receipt::builder(id(&network.ask(101, "/log", vec![number(7)])), Outcome::Ok(number(1)));
    tokens.add("101: another task", &other.sign(&issuer(101), [9; 16]).unwrap());

    let named = |keys: &[u8]| Ipld::List(keys.iter().map(|key| text(issuer(*key).did())).collect());
    let own = || text("own");
    let executors = || map([("executors", named(&[104, 105]))]);
    let agreement = |threshold| map([("executors", named(&[104, 105, 106])), ("threshold", number(threshold))]);
    let case = |name: &str, trust: Ipld, receipts: &[&str], believed: Option<&str>| {
        map([
            ("name", text(name)),
            ("trust", trust),
            ("receipts", texts(receipts)),
            ("believed", believed.map_or(Ipld::Null, text)),
        ])
    };
    let cases = vec![
        case("of whoever was asked", own(), &["101: 1"], Some("101: 1")),
        case("a failure is an outcome too", own(), &["101: a failure"], Some("101: a failure")),
        case("of the executor itself", own(), &["100: 1"], Some("100: 1")),
        case("of a stranger", own(), &["a stranger: 1"], None),
        case("of the invoker", own(), &["the invoker: 1"], None),
        case("of somebody who is not named", own(), &["104: 1"], None),
        case("of an attempt", own(), &["101: 1, an attempt"], None),
        case("one that has expired", own(), &["101: 1, expired"], None),
        case("one that will expire", own(), &["101: 1, expires later"], Some("101: 1, expires later")),
        case("about another task", own(), &["101: another task"], None),
        case("the first of two that contradict each other", own(), &["101: 2", "101: 1"], Some("101: 2")),
        case(
            "what is not believed is not in the way",
            own(),
            &["a stranger: 1", "101: 1, an attempt", "101: 2"],
            Some("101: 2"),
        ),
        case("of somebody who is named", executors(), &["104: 2"], Some("104: 2")),
        case("whoever was asked counts beside the named", executors(), &["101: 1"], Some("101: 1")),
        case("a stranger beside the named", executors(), &["106: 2"], None),
        case("one of two that have to agree", agreement(2), &["104: 1"], None),
        case("two that agree", agreement(2), &["104: 1", "105: 1"], Some("104: 1")),
        case("two that do not agree", agreement(2), &["104: 1", "105: 2"], None),
        case("two of three", agreement(2), &["104: 1", "105: 2", "106: 2"], Some("105: 2")),
        case("one voice each", agreement(2), &["104: 1", "104: 2", "105: 1"], None),
        case("a stranger has no voice", agreement(2), &["104: 1", "a stranger: 1"], None),
        case("whoever was asked needs nobody to agree", agreement(3), &["101: 1"], Some("101: 1")),
    ];
    let about = "Which receipts for an awaited task an executor believes (docs/specs/ucan-pipeline.md, section 9.4). The container \
                 with the invocation `y`, which awaits the task of the invocation `x`, and their proofs is sent to the executor; \
                 then each of `receipts` in a container of its own. `believed` is the one on which the receipt of y rests \
                 (`awaited`), or null where y waits on. `trust` is whom the executor trusts for any task: only itself (own), \
                 executors by name, or so many of them (threshold) as state the same.";
    let mut file = dagjson::decode(file(about, cases).as_bytes()).unwrap();
    let Ipld::Map(fields) = &mut file else { unreachable!("it is a map") };
    fields.insert("tokens".to_owned(), Ipld::Map(tokens.0));
    let mut text = dagjson::encode_pretty(&file);
    text.push('\n');
    text
}

fn files() -> [(&'static str, String); 2] {
    [(CLOSURES, closures()), (BELIEVED, believed())]
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pipeline")
}

#[test]
#[ignore = "writes the files"]
fn write_the_files() {
    for (name, content) in files() {
        std::fs::write(folder().join(name), content).unwrap();
    }
}

#[test]
fn the_files_are_up_to_date() {
    for (name, content) in files() {
        let there = std::fs::read_to_string(folder().join(name)).unwrap().replace("\r\n", "\n");
        assert!(there == content, "{name} is not what this test writes");
    }
}

/// Answers nobody, and remembers what was sent.
#[derive(Default)]
struct Silent(Mutex<Vec<(String, BTreeSet<Vec<u8>>)>>);

impl fmt::Debug for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Silent").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Silent {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        // Results that are pushed are no questions.
        if container.len() > 1 {
            self.0.lock().unwrap().push((to.to_string(), container.tokens().map(<[u8]>::to_vec).collect()));
        }
        pending().await
    }
}

fn silent(trust: &Trust) -> (Arc<Network>, Arc<Silent>) {
    let (network, silent) = (network(0, 2, Weather::default(), trust, Patience::default()), Arc::<Silent>::default());
    let transport = Arc::<Silent>::clone(&silent);
    network.node(100).alter(|parts| parts.elsewhere.as_mut().unwrap().transport = transport);
    (network, silent)
}

fn read(name: &str) -> BTreeMap<String, Ipld> {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    fields(&dagjson::decode(&bytes).unwrap())
}

fn fields(value: &Ipld) -> BTreeMap<String, Ipld> {
    let Ipld::Map(map) = value else { panic!("no map") };
    map.clone()
}

fn list(value: &Ipld) -> Vec<Ipld> {
    let Ipld::List(list) = value else { panic!("no list") };
    list.clone()
}

fn string(value: &Ipld) -> String {
    let Ipld::String(text) = value else { panic!("no text") };
    text.clone()
}

fn token(tokens: &Ipld, name: &Ipld) -> Vec<u8> {
    let Ipld::Bytes(token) = &fields(tokens)[&string(name)] else { panic!("no token") };
    token.clone()
}

#[test]
fn closures_are_sent() {
    for case in list(&read(CLOSURES)["cases"]).iter().map(fields) {
        paused(async {
            let (network, silent) = silent(&Trust::Own);
            let tokens = |names: &Ipld| list(names).iter().map(|name| token(&case["tokens"], name)).collect::<Vec<_>>();
            let request: Container = tokens(&case["request"]).into_iter().collect();
            let executor = network.node(100).executor.lock().unwrap().clone().unwrap();
            let asking = tokio::spawn(async move { executor.execute(&request).await });
            sleep(Duration::from_secs(1)).await;
            asking.abort();
            let expected: Vec<_> = list(&case["asks"])
                .iter()
                .map(fields)
                .map(|ask| (string(&ask["to"]), tokens(&ask["tokens"]).into_iter().collect::<BTreeSet<_>>()))
                .collect();
            let sent = silent.0.lock().unwrap();
            assert!(*sent == expected, "{}: {} sent, {} expected", string(&case["name"]), sent.len(), expected.len());
        });
    }
}

#[test]
fn receipts_are_believed() {
    let file = read(BELIEVED);
    for case in list(&file["cases"]).iter().map(fields) {
        let trust = match &case["trust"] {
            Ipld::String(own) if own == "own" => Trust::Own,
            trust => {
                let trust = fields(trust);
                let executors = list(&trust["executors"]).iter().map(|did| string(did).parse().unwrap()).collect();
                match trust.get("threshold") {
                    Some(Ipld::Integer(threshold)) => Trust::Agreement {
                        executors,
                        threshold: usize::try_from(*threshold).unwrap().try_into().unwrap(),
                    },
                    _ => Trust::Executors(executors),
                }
            }
        };
        paused(async {
            let (network, _) = silent(&trust);
            let executor = network.node(100).executor.lock().unwrap().clone().unwrap();
            let names = ["x", "y", GRANTS[0], GRANTS[1]];
            let request: Container = names.iter().map(|name| token(&file["tokens"], &text(name))).collect();
            let asking = {
                let executor = executor.clone();
                tokio::spawn(async move { executor.execute(&request).await.unwrap() })
            };
            sleep(Duration::from_secs(1)).await;
            for name in list(&case["receipts"]) {
                let told: Container = [token(&file["tokens"], &name)].into_iter().collect();
                assert!(executor.execute(&told).await.unwrap().is_empty());
            }
            let answer = asking.await.unwrap();
            let receipt = Receipt::decode(answer.tokens().next().unwrap()).unwrap();
            let rests_on = receipt.meta().get("awaited").cloned();
            let waits_on = || {
                assert_eq!(receipt.outcome().failure_name(), Some("Unresolved"), "{}", string(&case["name"]));
                None
            };
            let believed = match &case["believed"] {
                Ipld::Null => waits_on(),
                // A failure is believed, and does not fit the promise.
                name if string(name).contains("failure") => {
                    assert_eq!(receipt.outcome().failure_name(), Some("BranchMismatch"));
                    None
                }
                name => {
                    let link = Ipld::Link(block::dag_cbor_cid(&token(&file["tokens"], name)));
                    Some(Ipld::List(vec![link]))
                }
            };
            assert_eq!(rests_on, believed, "{}", string(&case["name"]));
        });
    }
}
