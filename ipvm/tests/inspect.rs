//! Inspection as people use it: real processes, tokens in files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::Value;
use shell::{Shell, grant, invoke, person};
use ucan_core::{
    Container, ContainerEncoding, Delegation, Envelope, Ipld, Issuer, Token, block, car, dagcbor, dagjson, tag,
};
use ucan_invocation::{Invocation, Outcome, Receipt, TaskId};
use varsig::ed25519::SigningKey;

#[test]
fn tokens_are_inspected_in_every_wrapping() {
    let shell = Shell::new();
    let [alice, bob] = [1, 2].map(person);
    let token = grant(&alice, &bob, "/file");
    let container = Container::from_iter([token.bytes()]);
    let line = BASE64.encode(token.bytes());
    let (first, second) = line.split_at(60);
    let raw = block::raw_cid(b"else");
    let archive = car::write(&[*token.cid()], [(token.cid(), token.bytes()), (&raw, &b"else"[..])]);
    for (name, content) in [
        ("token", token.bytes().to_vec()),
        ("base64", format!("\n  {first}\r\n  {second}\n").into_bytes()),
        ("raw", container.encode(ContainerEncoding::Raw)),
        ("url", [b" ".to_vec(), container.encode(ContainerEncoding::Base64Url), b"\n".to_vec()].concat()),
        ("gzip", container.encode(ContainerEncoding::Base64Gzip)),
        ("archive", archive),
    ] {
        shell.write(name, content);
        let (status, text) = shell.inspect(&[name]);
        assert_eq!(status, 0, "{name}: {text}");
        assert!(text.contains(&format!("delegation {}", token.cid())), "{name}: {text}");
        assert!(
            text.contains(alice.did().as_str())
                && text.contains("never")
                && text.contains("signature    valid: it is the issuer's"),
            "{name}: {text}"
        );
    }
    let value = Ipld::Map([("a".to_owned(), Ipld::Integer(1))].into());
    shell.write("block", dagcbor::encode(&value).unwrap());
    let (status, text) = shell.inspect(&["block"]);
    assert_eq!((status, text.contains("\"a\": 1")), (4, true), "{text}");
    assert!(text.contains("not verified"), "{text}");
    assert_eq!(shell.inspected("block")[0]["holds"], Value::Null);
    shell.write("nothing", Container::default().encode(ContainerEncoding::Raw));
    let (status, text) = shell.inspect(&["nothing"]);
    assert_eq!((status, text.contains("container of 0") && text.contains("not verified")), (4, true), "{text}");
    for (name, content) in [("empty", &b""[..]), ("text", b"something else"), ("bytes", &[0xff, 0xfe])] {
        shell.write(name, content);
        assert!(shell.refused(&["inspect", name]).contains(name));
    }
    assert!(shell.refused(&["inspect", "nowhere"]).contains("cannot read nowhere"));
}

#[test]
fn what_does_not_hold_is_said_with_its_place() {
    let shell = Shell::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let root = grant(&alice, &bob, "/file");
    let leaf = Delegation::builder(carol.did().clone(), None, "/".parse().unwrap()).sign(&bob).unwrap();
    let asked = invoke(&carol, &alice, &[&root, &leaf]);
    let inspect = |name: &str, tokens: &[&[u8]], more: &[&str]| {
        let container = Container::from_iter(tokens.iter().map(|token| token.to_vec()));
        shell.write(name, container.encode(ContainerEncoding::Raw));
        shell.inspect(&[&[name], more].concat())
    };

    let (status, text) = inspect("good", &[&asked, root.bytes(), leaf.bytes()], &[]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("2 proofs lead from the subject"), "{text}");
    // What a stranger wrote does not steer the terminal.
    assert!(!text.contains("\u{1b}[2J"), "{text}");

    assert!(text.contains("a chain that holds rests on it"), "{text}");

    let direct = invoke(&bob, &alice, &[&root]);
    let (status, text) = inspect("direct", &[&direct, root.bytes()], &[]);
    assert_eq!((status, text.contains("1 proof leads from the subject")), (0, true), "{text}");

    let (status, text) = inspect("part", &[&asked, root.bytes()], &[]);
    assert_eq!(status, 4);
    assert!(text.contains("cannot be told whether this holds"), "{text}");
    assert!(text.contains("cannot be checked here") && text.contains(&format!("proof 1, {}", leaf.cid())), "{text}");
    shell.write("leaf", leaf.bytes());
    // The option takes one file, so that what follows is the file to inspect.
    let (status, text) = shell.inspect(&["--proofs", "leaf", "part"]);
    assert_eq!(status, 0);
    assert!(text.contains("2 proofs lead"), "{text}");

    let reversed = invoke(&carol, &alice, &[&leaf, &root]);
    let (status, text) = inspect("reversed", &[&reversed, root.bytes(), leaf.bytes()], &[]);
    assert_eq!(status, 1);
    assert!(text.contains("proof 0") && text.contains("does not hold"), "{text}");

    let mut altered = root.bytes().to_vec();
    altered[20] ^= 1;
    shell.write("altered", &altered);
    let (status, text) = shell.inspect(&["altered"]);
    assert_eq!(status, 1);
    assert!(text.contains("invalid (InvalidSignature)"), "{text}");

    let unknown = Delegation::builder(bob.did().clone(), None, "/a".parse().unwrap());
    let web = Issuer::new("did:web:example.com".parse().unwrap(), std::sync::Arc::new(SigningKey::from_seed(&[9; 32])));
    shell.write("web", unknown.sign(&web).unwrap().bytes());
    let (status, text) = shell.inspect(&["web"]);
    assert_eq!(status, 4);
    assert!(text.contains("cannot be checked here: DIDs like did:web:example.com"), "{text}");

    let timed = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/a".parse().unwrap());
    let timed = timed.expiration(ucan_core::Timestamp::from_secs(1_767_225_600)).sign(&alice).unwrap();
    shell.write("timed", timed.bytes());
    let (status, text) = shell.inspect(&["timed", "--now", "1767225600"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("1767225600 (2026-01-01T00:00:00Z)"), "{text}");
    assert_eq!(shell.inspect(&["timed", "--now", "2026-01-01T00:01:00Z"]).0, 0);
    assert!(shell.refused(&["inspect", "timed", "--now", "9007199254740992"]).contains("--now"));
    assert!(shell.refused(&["inspect", "timed", "--now", "soon"]).contains("--now"));
    let (status, text) = shell.inspect(&["timed", "--now", "2026-01-01T00:01:01Z"]);
    assert_eq!(status, 1);
    assert!(text.contains("expired at 2026-01-01T00:00:00Z"), "{text}");

    let (status, text) = inspect("broken", &[b"\x82\x40\xa0", root.bytes()], &[]);
    assert_eq!(status, 1);
    assert!(text.contains("unreadable token") && text.contains("delegation "), "{text}");
}

#[test]
fn receipts_and_programs() {
    let shell = Shell::new();
    let [alice, bob] = [1, 2].map(person);
    let ran = TaskId::new(block::dag_cbor_cid(b"a task"));
    let receipt =
        Receipt::builder(ran, Outcome::Ok(Ipld::Integer(9_007_199_254_740_993))).sign(&alice, [7; 16]).unwrap();
    shell.write("receipt", receipt.bytes());
    let (status, text) = shell.inspect(&["receipt"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(&format!("receipt {}", receipt.id())) && text.contains("it is the executor"), "{text}");
    let line = shell.ok(&["--json", "inspect", "receipt"]);
    assert!(line.contains("9007199254740993"), "{line}");
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["kind"], &object["holds"]), (&Value::from("receipt"), &Value::from(true)));
    assert_eq!(object["payload"]["args"]["ran"]["/"], ran.to_string());

    shell.write("asked", invoke(&bob, &alice, &[]));
    let output = shell.command(&["--json", "inspect", "asked"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let chain = object["checks"].as_array().unwrap().iter().find(|check| check["aspect"] == "chain").unwrap();
    assert_eq!((&chain["state"], &chain["error"]), (&Value::from("fails"), &Value::from("InvalidClaim")));
}

/// Somebody whose key cannot be had here.
fn stranger() -> Issuer {
    Issuer::new("did:web:example.com".parse().unwrap(), Arc::new(SigningKey::from_seed(&[9; 32])))
}

fn contained(tokens: &[&[u8]]) -> Vec<u8> {
    Container::from_iter(tokens.iter().map(|token| token.to_vec())).encode(ContainerEncoding::Raw)
}

/// What was found out about one aspect of the first item: its state, error and detail.
fn finding(items: &[Value], aspect: &str) -> (String, Value, String) {
    let checks = items[0]["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["aspect"] == aspect).unwrap_or_else(|| panic!("{items:?}"));
    let text = |key: &str| check[key].as_str().unwrap().to_owned();
    (text("state"), check["error"].clone(), text("detail"))
}

#[test]
fn a_delegation_counts_behind_its_subject() {
    let shell = Shell::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let policy = dagjson::decode(br#"[["like", ".path", "shared/*"]]"#).unwrap();
    let root = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/file".parse().unwrap())
        .policy(ucan_core::Policy::parse(&policy).unwrap())
        .sign(&alice)
        .unwrap();
    let passed_on = |command: &str| {
        let builder = Delegation::builder(carol.did().clone(), Some(alice.did().clone()), command.parse().unwrap());
        builder.sign(&bob).unwrap()
    };
    let leaf = passed_on("/file/read");
    shell.write("root", root.bytes());
    shell.write("leaf", leaf.bytes());

    assert_eq!(shell.inspect(&["root"]).0, 0);
    let (status, text) = shell.inspect(&["leaf"]);
    assert_eq!(status, 4);
    assert!(text.contains("valid: it is the issuer's"), "{text}");
    assert!(text.contains(&format!("the issuer is not the subject, {}", alice.did())), "{text}");
    assert_eq!(shell.inspected("leaf")[0]["holds"], Value::Null);

    let (status, text) = shell.inspect(&["leaf", "--proofs", "root"]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("1 proof leads from the subject to the issuer, for arguments that keep to the policies"),
        "{text}"
    );
    shell.write("both", contained(&[leaf.bytes(), root.bytes()]));
    assert_eq!(shell.inspect(&["both"]).0, 0);
    // Bob was given nothing of this.
    shell.write("more", contained(&[passed_on("/mail").bytes(), root.bytes()]));
    let (status, text) = shell.inspect(&["more"]);
    assert_eq!((status, text.contains("is for /file only")), (4, true), "{text}");

    let powerline = Delegation::builder(carol.did().clone(), None, "/".parse().unwrap()).sign(&alice).unwrap();
    shell.write("powerline", powerline.bytes());
    let (status, text) = shell.inspect(&["powerline"]);
    assert_eq!((status, text.contains("it is a powerline")), (4, true), "{text}");
}

#[test]
fn broken_tokens_are_no_harmless_blocks() {
    let shell = Shell::new();
    let alice = person(1);
    let payload = [("iss".to_owned(), Ipld::String(alice.did().to_string()))].into();
    let broken = Envelope::sign(tag::DELEGATION, payload, &alice).unwrap().bytes().to_vec();
    // The same with an algorithm that nobody knows.
    let Ipld::List(mut parts) = dagcbor::decode(&broken).unwrap() else { panic!() };
    let Ipld::Map(signed) = &mut parts[1] else { panic!() };
    signed.insert("h".to_owned(), Ipld::Bytes(vec![0x34, 0x01, 0x7f, 0x12, 0x71]));
    let unknown = dagcbor::encode(&Ipld::List(parts)).unwrap();
    for (content, status, verdict, error) in
        [(&broken, 1, Value::from(false), "MalformedToken"), (&unknown, 4, Value::Null, "UnsupportedAlgorithm")]
    {
        let archive = car::write(&[], [(&block::dag_cbor_cid(content), content.as_slice())]);
        for (name, bytes) in [("alone", content.clone()), ("archive", archive), ("container", contained(&[content]))] {
            shell.write(name, bytes);
            let (found, text) = shell.inspect(&[name]);
            assert_eq!(found, status, "{name}: {text}");
            assert!(text.contains("unreadable token") && text.contains(alice.did().as_str()), "{name}: {text}");
            let items = shell.inspected(name);
            assert_eq!((&items[0]["holds"], finding(&items, "shape").1), (&verdict, Value::from(error)), "{name}");
            assert_eq!(items[0]["value"][1]["ucan/dlg@1.0.0"]["iss"], alice.did().as_str());
        }
    }
}

#[test]
fn what_cannot_be_judged_is_no_failure_unless_something_else_is() {
    let shell = Shell::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let web = stranger();
    let root = grant(&alice, &web, "/file");
    let leaf = |command: &str| {
        let builder = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), command.parse().unwrap());
        builder.sign(&web).unwrap()
    };
    for (command, by, state, error) in [
        ("/file", &bob, "unknown", "InvalidSignature"),
        ("/mail", &bob, "fails", "InvalidCommand"),
        ("/file", &carol, "fails", "InvalidAudience"),
    ] {
        let leaf = leaf(command);
        shell.write("asked", contained(&[&invoke(by, &alice, &[&root, &leaf]), root.bytes(), leaf.bytes()]));
        let items = shell.inspected("asked");
        let items: Vec<_> = items.into_iter().filter(|item| item["kind"] == "invocation").collect();
        let (found, name, detail) = finding(&items, "chain");
        assert_eq!((found.as_str(), name), (state, Value::from(error)), "{detail}");
        assert_eq!(shell.inspect(&["asked"]).0, if state == "fails" { 1 } else { 4 });
    }

    // Nor is a receipt by somebody who may or may not speak for the executor.
    let ran = TaskId::new(block::dag_cbor_cid(b"a task"));
    let by_alice = Receipt::builder(ran, Outcome::Ok(Ipld::Null)).sign(&alice, [7; 16]).unwrap();
    let statement = Invocation::decode(by_alice.bytes()).unwrap();
    let (root, leaf) = (grant(&alice, &web, "/"), leaf("/"));
    let builder = Invocation::builder(alice.did().clone(), statement.command().clone(), statement.args().clone())
        .nonce(vec![7; 16]);
    let by_bob = builder.proofs(vec![*root.cid(), *leaf.cid()]).sign(&bob).unwrap();
    shell.write("receipt", contained(&[by_bob.envelope().bytes(), root.bytes(), leaf.bytes()]));
    let items = shell.inspected("receipt");
    let receipts: Vec<_> = items.into_iter().filter(|item| item["kind"] == "receipt").collect();
    assert_eq!(finding(&receipts, "issuer").0, "unknown", "{receipts:?}");

    // A policy about what a promise will give.
    let policy = ucan_core::Policy::parse(&dagjson::decode(br#"[["==", ".path", "a"]]"#).unwrap()).unwrap();
    let root = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/file".parse().unwrap());
    let root = root.policy(policy).sign(&alice).unwrap();
    let promise = Ipld::Map([("await/ok".to_owned(), Ipld::Link(block::dag_cbor_cid(b"a task")))].into());
    let asked =
        Invocation::builder(alice.did().clone(), "/file".parse().unwrap(), [("path".to_owned(), promise)].into());
    let asked = asked.proofs(vec![*root.cid()]).sign(&bob).unwrap();
    shell.write("pending", contained(&[asked.envelope().bytes(), root.bytes()]));
    let items = shell.inspected("pending");
    let asked = items.iter().find(|item| item["kind"] == "invocation").unwrap();
    assert_eq!(finding(std::slice::from_ref(asked), "chain").0, "unknown");
    assert_eq!((&asked["holds"], shell.inspect(&["pending"]).0), (&Value::Null, 4));
}

#[test]
fn chains_are_checked_up_to_a_number_and_the_rest_is_left_open() {
    let shell = Shell::new();
    let [alice, bob] = [1, 2].map(person);
    let root = grant(&alice, &bob, "/file");
    let ask = |number: u16| {
        let builder = Invocation::builder(alice.did().clone(), "/file".parse().unwrap(), Default::default());
        let builder = builder.proofs(vec![*root.cid()]).nonce(number.to_be_bytes().to_vec());
        builder.sign(&bob).unwrap().envelope().bytes().to_vec()
    };
    let mut tokens: Vec<_> = (0..1001).map(ask).collect();
    tokens.push(root.bytes().to_vec());
    shell.write("many", Container::from_iter(tokens).encode(ContainerEncoding::Raw));
    let items = shell.inspected("many");
    let count = |holds: Value| items.iter().filter(|item| item["holds"] == holds).count();
    assert_eq!((count(true.into()), count(Value::Null)), (1001, 1));
    assert_eq!(shell.inspect(&["many"]).0, 4);
}

#[test]
fn nothing_that_strangers_wrote_steers_a_terminal() {
    let shell = Shell::new();
    let [alice, bob] = [1, 2].map(person);
    let hostile = "a\u{1b}[2J\u{7}\u{7f}\u{9b}\u{61c}\u{202e}b";
    let args = [("path".to_owned(), Ipld::String(hostile.to_owned()))].into();
    let asked = Invocation::builder(alice.did().clone(), "/file/read".parse().unwrap(), args).sign(&bob).unwrap();
    shell.write("asked", asked.envelope().bytes());
    let steers = |c: char| c != '\n' && (c.is_control() || "\u{61c}\u{202e}".contains(c));
    let said = |arguments: &[&str]| {
        let output = shell.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!text.contains(steers), "{text:?}");
        text
    };
    assert!(said(&["inspect", "asked"]).contains("\u{fffd}"));
    // For programs, it says what it said.
    let line = said(&["--json", "inspect", "asked"]);
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["payload"]["args"]["path"], hostile);
    let missing = "no\u{1b}[2J\u{202e}file";
    assert!(said(&["inspect", missing]).contains("cannot read no"));
    assert!(said(&["--json", "inspect", missing]).contains("\\u202e"));
    assert!(said(&["run", missing]).contains("cannot read no"));
    // Errors quote what strangers wrote, too.
    let mut payload = asked.envelope().payload();
    payload.insert(hostile.to_owned(), Ipld::Null);
    shell.write("broken", Envelope::sign(tag::INVOCATION, payload, &bob).unwrap().bytes());
    for command in ["inspect", "verify"] {
        let text = said(&[command, "broken"]);
        assert!(text.contains("is not defined"), "{text}");
        assert!(said(&["--json", command, "broken"]).contains("\\u202e"));
    }
}
