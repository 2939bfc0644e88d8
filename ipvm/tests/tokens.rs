//! Keys, delegations and inspection as people use them: real processes, a real state folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use data_encoding::BASE64;
use serde_json::Value;
use tempfile::TempDir;
use ucan_core::{Container, ContainerEncoding, Delegation, Did, Ipld, Issuer, Token, block, car, dagcbor};
use ucan_invocation::{Invocation, Outcome, Receipt, TaskId};
use varsig::ed25519::SigningKey;

struct Shell {
    folder: TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipvm"));
        command.current_dir(self.folder.path()).env_remove("IPVM_STATE").args(arguments);
        command
    }

    fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // What is refused at once is not read.
        let _ = process.stdin.take().unwrap().write_all(input);
        process.wait_with_output().unwrap()
    }

    /// What is printed where all goes well.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["--json"], arguments].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What is refused, with its message.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The exit status and the listing of an inspection.
    fn inspect(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(&[&["inspect"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    fn did(&self, name: &str) -> Did {
        self.json(&["key", "show", name])[0]["did"].as_str().unwrap().parse().unwrap()
    }
}

fn person(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

fn grant(from: &Issuer, to: &Issuer, command: &str) -> Delegation {
    Delegation::builder(to.did().clone(), Some(from.did().clone()), command.parse().unwrap()).sign(from).unwrap()
}

/// An invocation of `/file/read` on what is `subject`'s.
fn invoke(by: &Issuer, subject: &Issuer, proofs: &[&Delegation]) -> Vec<u8> {
    let args = [("path".to_owned(), Ipld::String("a\u{1b}[2Jb".to_owned()))].into();
    let invocation = Invocation::builder(subject.did().clone(), "/file/read".parse().unwrap(), args)
        .proofs(proofs.iter().map(|proof| *proof.cid()).collect());
    invocation.sign(by).unwrap().envelope().bytes().to_vec()
}

#[test]
fn keys_of_every_algorithm_are_made_and_shown() {
    let shell = Shell::new();
    assert!(shell.ok(&["key", "show"]).contains("no keys yet"));
    for (algorithm, name, start) in [
        ("ed25519", "Ed25519", "did:key:z6Mk"),
        ("p256", "ES256", "did:key:zDn"),
        ("p384", "ES384", "did:key:z82"),
        ("p521", "ES512", "did:key:z2J9"),
        ("secp256k1", "ES256K", "did:key:zQ3s"),
    ] {
        let made = &shell.json(&["key", "new", &format!("my-{algorithm}"), "--algorithm", algorithm])[0];
        assert_eq!(made["algorithm"], name);
        assert!(made["did"].as_str().unwrap().starts_with(start), "{made}");
        let file = format!("{algorithm}.ucan");
        shell.ok(&[
            "delegate",
            "--from",
            &format!("my-{algorithm}"),
            "--to",
            "did:web:example.com",
            "--command",
            "/a",
            "--expires",
            "1d",
            "--output",
            &file,
        ]);
        let (status, text) = shell.inspect(&[&file]);
        assert_eq!(status, 0, "{text}");
        assert!(text.contains(&format!("{name} over DAG-CBOR")) && text.contains("valid"), "{text}");
    }
    let shown = shell.json(&["key", "show"]);
    assert_eq!(shown.len(), 5);
    // Who they are is shown, and nothing else of them.
    for key in fs::read_dir(shell.path(".ipvm/keys")).unwrap() {
        let secret = fs::read_to_string(key.unwrap().path()).unwrap();
        assert!(!shell.ok(&["key", "show"]).contains(secret.trim()));
    }
}

#[test]
fn keys_are_never_overwritten_and_their_names_stay_in_the_folder() {
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    let did = shell.did("alice");
    let error = shell.refused(&["key", "new", "alice"]);
    assert!(error.contains("alice.key") && error.contains("never overwritten"), "{error}");
    assert_eq!(shell.did("alice"), did);
    for name in ["../alice", "Alice", "", "a.b", "a b"] {
        assert!(shell.refused(&["key", "new", name]).contains("cannot be the name of a key"), "{name}");
    }
    let error = shell.refused(&["key", "show", "bob"]);
    assert!(error.contains("\"bob\"") && error.contains("alice") && error.contains("ipvm key new bob"), "{error}");
    // The node takes a key that is there for its own.
    shell.ok(&["key", "new", "user", "--algorithm", "p256"]);
    let user = shell.did("user");
    assert_eq!(ipvm::State::open(&shell.path(".ipvm"), &mut |buffer| buffer.fill(3)).unwrap().user.did(), &user);
    assert_eq!(shell.json(&["key", "show"]).len(), 4);
}

#[test]
fn keys_move_between_folders() {
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice", "--algorithm", "p521"]);
    shell.ok(&["key", "export", "alice", "--output", "secret"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for file in ["secret", ".ipvm/keys/alice.key"] {
            assert_eq!(fs::metadata(shell.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    assert!(shell.refused(&["key", "export", "alice", "--output", "secret"]).contains("secret"));
    let other = ["--state", "other"];
    shell.ok(&[&other[..], &["key", "import", "copy", "secret"]].concat());
    let copy = &shell.json(&[&other[..], &["key", "show", "copy"]].concat())[0];
    assert_eq!(copy["did"], shell.did("alice").as_str());

    // Where standard output is no terminal, a pipe takes the key.
    let secret = shell.ok(&["key", "export", "alice"]);
    let piped = shell.with_input(&["key", "import", "piped", "-"], secret.as_bytes());
    assert!(piped.status.success(), "{piped:?}");
    assert_eq!(shell.did("piped"), shell.did("alice"));

    // RFC 8410, sections 10.1 and 10.3.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    shell.write("openssl.pem", pem);
    shell.ok(&["key", "import", "openssl", "openssl.pem"]);
    let public = BASE64.decode(b"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap();
    let public = varsig::ed25519::VerifyingKey::from_bytes(public.as_slice().try_into().unwrap()).unwrap();
    assert_eq!(shell.did("openssl"), Did::from_ed25519(&public));
    for (text, problem) in
        [("nonsense", "multibase"), ("-----BEGIN EC PRIVATE KEY-----", "PKCS #8"), ("z6Mk", "key"), ("", "multibase")]
    {
        let output = shell.with_input(&["key", "import", "bad", "-"], text.as_bytes());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(problem), "{text}: {output:?}");
    }
}

#[test]
fn authority_is_passed_on() {
    let shell = Shell::new();
    for name in ["alice", "bob"] {
        shell.ok(&["key", "new", name]);
    }
    let delegate = |more: &[&str]| {
        let base = ["delegate", "--from", "alice", "--to", "bob", "--command", "/file/write"];
        shell.json(&[&base[..], more].concat()).remove(0)
    };
    let read = |file: &str| Delegation::decode(fs::read(shell.path(file)).unwrap()).unwrap();

    let made = delegate(&["--expires", "30d"]);
    let cid = made["cid"].as_str().unwrap();
    assert_eq!(made["files"], serde_json::json!([format!("{cid}.ucan")]));
    let plain = read(&format!("{cid}.ucan"));
    assert_eq!(
        (plain.issuer(), plain.audience(), plain.subject()),
        (&shell.did("alice"), &shell.did("bob"), Some(&shell.did("alice")))
    );
    assert_eq!((plain.cid().to_string().as_str(), plain.nonce().len()), (cid, 12));
    assert!(plain.expiration().is_some_and(|end| end.as_secs() > 1_700_000_000 + 30 * 86_400));

    shell.write("policy.json", r#"[["<", ".size", 1000]]"#);
    delegate(&[
        "--expires",
        "2100-01-01T00:00:00Z",
        "--not-before",
        "2099-01-01T00:00:00+01:00",
        "--policy",
        "@policy.json",
        "--subject",
        "powerline",
        "--meta",
        "why=a test",
        "--rc1",
        "--output",
        "all.ucan",
    ]);
    let all = read("all.ucan");
    assert_eq!(all.envelope().tag(), "ucan/dlg@1.0.0-rc.1");
    assert_eq!(
        (all.subject(), all.expiration().unwrap().as_secs(), all.not_before().unwrap().as_secs()),
        (None, 4_102_444_800, 4_070_905_200)
    );
    assert!(!all.policy().is_empty());
    assert_eq!(all.meta().unwrap()["why"], Ipld::String("a test".into()));

    let kept = delegate(&["--expires", "never", "--save"]);
    let file = kept["files"][0].as_str().unwrap();
    assert!(file.starts_with(".ipvm/delegations/"), "{file}");
    assert_eq!(read(file).expiration(), None);
    assert_ne!(read(file).nonce(), plain.nonce());

    let base = ["delegate", "--from", "alice", "--to", "bob", "--command", "/a"];
    let piped = shell.command(&[&base[..], &["--expires", "1h", "--output", "-"]].concat()).output().unwrap();
    let piped_cid = Delegation::decode(piped.stdout).unwrap().cid().to_string();
    assert!(String::from_utf8_lossy(&piped.stderr).contains(&piped_cid));
    let surprising =
        shell.command(&[&base[..], &["--expires", "1h", "--policy", r#"[["any", ".to", ["==", ".", 1]]]"#]].concat());
    let surprising = { surprising }.output().unwrap();
    assert!(surprising.status.success());
    assert!(String::from_utf8_lossy(&surprising.stderr).contains("warning"), "{surprising:?}");
}

#[test]
fn delegations_that_nobody_could_use_are_not_made() {
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    let refused = |more: &[&str]| {
        let base = ["delegate", "--from", "alice", "--to", "did:web:example.com", "--command", "/a", "--output", "x"];
        shell.refused(&[&base[..], more].concat())
    };
    assert!(refused(&[]).contains("--expires"));
    assert!(refused(&["--expires", "soon"]).contains("30d"));
    assert!(refused(&["--expires", "2001-01-01T00:00:00Z"]).contains("has passed"));
    assert!(refused(&["--expires", "1h", "--not-before", "2h"]).contains("--not-before is after"));
    assert!(refused(&["--expires", "1h", "--policy", "[[\"=\", \".a\", 1]]"]).contains("operator"));
    assert!(refused(&["--expires", "1h", "--policy", "{"]).contains("line 1"));
    assert!(refused(&["--expires", "1h", "--policy", "@nowhere"]).contains("nowhere"));
    assert!(refused(&["--expires", "1h", "--meta", "a=1", "--meta", "a=2"]).contains("twice"));
    assert!(refused(&["--expires", "1h", "--subject", "carol"]).contains("carol"));
    assert!(!shell.path("x").exists());
    let unknown =
        shell.refused(&["delegate", "--from", "bob", "--to", "did:web:e", "--command", "/a", "--expires", "1h"]);
    assert!(unknown.contains("ipvm key new bob"), "{unknown}");
    let command =
        shell.refused(&["delegate", "--from", "alice", "--to", "did:web:e", "--command", "a", "--expires", "1h"]);
    assert!(command.contains("--command a"), "{command}");
    // A file that is there is not written over.
    shell.write("x", "mine");
    assert!(refused(&["--expires", "1h"]).contains("cannot make x"));
    assert_eq!(fs::read(shell.path("x")).unwrap(), b"mine");
}

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
            text.contains(alice.did().as_str()) && text.contains("never") && text.contains("valid"),
            "{name}: {text}"
        );
    }
    let value = Ipld::Map([("a".to_owned(), Ipld::Integer(1))].into());
    shell.write("block", dagcbor::encode(&value).unwrap());
    let (status, text) = shell.inspect(&["block"]);
    assert_eq!((status, text.contains("\"a\": 1")), (0, true), "{text}");
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

    let (status, text) = inspect("part", &[&asked, root.bytes()], &[]);
    assert_eq!(status, 0);
    assert!(text.contains("cannot be checked here") && text.contains(&format!("proof 1, {}", leaf.cid())), "{text}");
    shell.write("leaf", leaf.bytes());
    let (status, text) = inspect("part", &[&asked, root.bytes()], &["--proofs", "leaf"]);
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
    assert_eq!(status, 0);
    assert!(text.contains("cannot be checked here: DIDs like did:web:example.com"), "{text}");

    let timed = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/a".parse().unwrap());
    let timed = timed.expiration(ucan_core::Timestamp::from_secs(1_767_225_600)).sign(&alice).unwrap();
    shell.write("timed", timed.bytes());
    let (status, text) = shell.inspect(&["timed", "--now", "1767225600"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("1767225600 (2026-01-01T00:00:00Z)"), "{text}");
    let (status, text) = shell.inspect(&["timed", "--now", "1767225661"]);
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
