//! Keys and delegations as people use them: real processes, a real state folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs::{self, File};

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use shell::Shell;
use ucan_core::{Container, Delegation, Did, Ipld, Token};

#[test]
fn keys_of_every_algorithm_are_made_and_shown() {
    let shell = Shell::new();
    assert!(shell.ok(&["key", "show"]).contains("no keys yet"));
    let rsa = HEXLOWER.decode(include_str!("../../varsig/tests/rsa2048.hex").trim().as_bytes()).unwrap();
    shell.write("rsa", format!("m{}", BASE64_NOPAD.encode(&[&[0x85, 0x26], rsa.as_slice()].concat())));
    for (algorithm, name, start) in [
        ("ed25519", "Ed25519", "did:key:z6Mk"),
        ("p256", "ES256", "did:key:zDn"),
        ("p384", "ES384", "did:key:z82"),
        ("p521", "ES512", "did:key:z2J9"),
        ("secp256k1", "ES256K", "did:key:zQ3s"),
        ("rsa", "RS256", "did:key:z4MX"),
    ] {
        let called = format!("my-{algorithm}");
        // To make a key of RSA takes long.
        let made = match algorithm {
            "rsa" => shell.json(&["key", "import", &called, "rsa"]),
            _ => shell.json(&["key", "new", &called, "--algorithm", algorithm]),
        };
        let made = &made[0];
        assert_eq!(made["algorithm"], name);
        assert!(made["did"].as_str().unwrap().starts_with(start), "{made}");
        let file = format!("{algorithm}.ucan");
        shell.ok(&[
            "delegate",
            "--from",
            &called,
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
        assert!(
            text.contains(&format!("{name} over DAG-CBOR")) && text.contains("signature    valid: it is the issuer's"),
            "{text}"
        );
    }
    let shown = shell.json(&["key", "show"]);
    assert_eq!(shown.len(), 6);
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
    // As a subject it means something else.
    assert!(shell.refused(&["key", "new", "powerline"]).contains("--subject powerline"));
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
    // The file that is at fault is named, and not the one that would have been made.
    shell.write("from-afar", "nonsense");
    let error = shell.refused(&["key", "import", "bad", "from-afar"]);
    assert!(error.contains("from-afar") && !error.contains("bad.key"), "{error}");
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

#[cfg(unix)]
#[test]
fn a_key_that_cannot_be_used_hides_no_others() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    for name in ["alice", "bob", "carol"] {
        shell.ok(&["key", "new", name]);
    }
    fs::set_permissions(shell.path(".ipvm/keys/bob.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = shell.command(&["key", "show"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let names: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().map(|line| &line[..5]).collect();
    assert_eq!(names, ["alice", "carol"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("bob.key"));
}

#[cfg(unix)]
#[test]
fn a_secret_is_not_written_where_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    let export = |mode, more: &[&str]| {
        let path = shell.path("redirected");
        let file = File::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = shell.command(&[&["key", "export", "alice"], more].concat());
        let output = command.stdout(file).output().unwrap();
        (output.status.code(), fs::read(&path).unwrap().is_empty(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, is_empty, error) = export(0o644, &[]);
    assert_eq!((status, is_empty), (Some(2), true));
    assert!(error.contains("others can read") && error.contains("--print"), "{error}");
    assert_eq!(export(0o644, &["--print"]).0, Some(0));
    assert_eq!(export(0o600, &[]).0, Some(0));
}

#[test]
fn the_state_folder_is_kept_out_of_git() {
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/.gitignore")).unwrap(), "*\n");
    // Of a folder that was there, more may be wanted.
    fs::create_dir(shell.path("mine")).unwrap();
    shell.ok(&["--state", "mine", "key", "new", "alice"]);
    assert!(!shell.path("mine/.gitignore").exists());
}

#[test]
fn delegations_are_written_in_every_form() {
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    let base = ["delegate", "--issuer", "alice", "--audience", "did:web:example.com", "--command", "/a"];
    let delegate =
        |more: &[&str]| shell.command(&[&base[..], &["--expires", "never"], more].concat()).output().unwrap();
    let write = |more: &[&str]| {
        let output = delegate(&[&["--nonce", "00ffAB", "--output", "-"], more].concat());
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let raw = write(&[]);
    let token = Delegation::decode(raw.clone()).unwrap();
    assert_eq!(token.nonce(), [0, 0xff, 0xab]);
    let line = write(&["--format", "base64"]);
    assert_eq!(line, format!("{}\n", BASE64.encode(&raw)).into_bytes());
    let container = write(&["--format", "container"]);
    assert!(Container::decode(&container).unwrap().tokens().eq([raw.as_slice()]));
    for (name, content) in [("line", line), ("container", container)] {
        shell.write(name, content);
        let (status, text) = shell.inspect(&[name]);
        assert_eq!(status, 0, "{text}");
        assert!(text.contains(&format!("delegation {}", token.cid())), "{text}");
    }
    assert_eq!(delegate(&["--nonce", "abc"]).status.code(), Some(2));

    // What is kept twice is the same.
    for _ in 0..2 {
        assert!(delegate(&["--nonce", "01", "--save"]).status.success());
    }
    let kept = || fs::read_dir(shell.path(".ipvm/delegations")).unwrap().count();
    assert_eq!(kept(), 1);
    // Where the file cannot be made, nothing is kept either.
    shell.write("x", "mine");
    assert_eq!(delegate(&["--save", "--output", "x"]).status.code(), Some(2));
    assert_eq!(kept(), 1);

    let policy = r#"[["any", ".to", ["==", ".", 1]]]"#;
    let made = shell.json(&[&base[..], &["--expires", "never", "--policy", policy]].concat()).remove(0);
    assert_eq!(made["lints"][0]["path"], serde_json::json!([0]));
    assert!(made["lints"][0]["message"].as_str().unwrap().contains("empty"), "{made}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_reported() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let shell = Shell::new();
    shell.ok(&["key", "new", "alice"]);
    let delegate =
        ["delegate", "--from", "alice", "--to", "alice", "--command", "/a", "--expires", "1h", "--output", "-"];
    for (arguments, status) in [(&delegate[..], 2), (&["key", "export", "alice"], 2), (&["key", "show"], 3)] {
        let output = shell.command(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("written"), "{output:?}");
    }
    // That nobody can be told is no reason to panic.
    let output = shell.command(&["key", "show", "bob"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_output_folder_is_an_option_of_runs_alone() {
    let shell = Shell::new();
    assert!(shell.refused(&["--output", "x", "key", "show"]).contains("--output"));
    assert!(shell.refused(&["key", "show", "--output", "x"]).contains("--output"));
    assert!(shell.ok(&["run", "--help"]).contains("--output <FOLDER>"));
}
