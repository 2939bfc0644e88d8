//! `ipvm task run`: a single task, with all that a workflow has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::path::Path;

use serde_json::json;
use shell::Shell;

fn guest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests").join(name).display().to_string()
}

#[test]
fn a_function_is_called_once_and_reused_by_its_cid() {
    let shell = Shell::new();
    let (shape, params) = (guest("shape.wasm"), r#"["a b"]"#);
    let run = ["task", "run", "--mod", &shape, "--fun", "measure", "--params", params];
    let said = shell.ok(&run);
    assert!(said.contains("\"words\": 2"), "{said}");
    let cid = ucan_core::block::raw_cid(&fs::read(&shape).unwrap()).to_string();
    let again = shell.json(&["task", "run", "--mod", &cid, "--fun", "measure", "--params", params]);
    let finished = again.iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!(finished["out"]["ok"]["words"], json!(2));
    assert_eq!(finished["how"], "reused");
    // Its receipt is one as any other.
    assert!(shell.ok(&["verify", finished["receipt"].as_str().unwrap()]).starts_with("holds"));
}

#[test]
fn any_command_can_be_run_on_what_somebody_controls() {
    let shell = Shell::new();
    let args = r#"{"path": "hello.txt", "content": "hello"}"#;
    shell.ok(&["task", "run", "--cmd", "/file/write", "--sub", "output", "--args", args]);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/hello.txt")).unwrap(), "hello");
    // Authority is checked on this way, too.
    let said = shell.refused(&["task", "run", "--cmd", "/file/write", "--sub", "did:web:example.com", "--args", args]);
    assert!(said.contains("/file/write"), "{said}");
}

#[test]
fn what_fails_has_a_receipt_and_what_is_wrong_is_said_before() {
    let shell = Shell::new();
    let shape = guest("shape.wasm");
    let run =
        ["task", "run", "--mod", &shape, "--fun", "measure", "--params", r#"["a"]"#, "--config", r#"{"gas": 10}"#];
    let output = shell.command(&run).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("OutOfFuel"), "{output:?}");
    for (args, expected) in [
        (&["--mod", "nothing.wasm", "--fun", "f"][..], "neither a CID nor a file"),
        (&["--mod", &shape, "--fun", "measure", "--params", "[3]"], "expected string, found the integer 3"),
        (&["--mod", &shape, "--fun", "measure", "--params", "{"], "--params is not DAG-JSON"),
        (&["--mod", &shape, "--fun", "measure", "--config", r#"{"tiem": 3}"#], "did you mean `time`?"),
        (
            &[
                "--mod",
                &shape,
                "--fun",
                "measure",
                "--params",
                "[\"a\"]",
                "--config",
                r#"{"check": {"oracle": "did:web:a.example"}}"#,
            ],
            "verification by oracle",
        ),
        (&["--mod", &shape], "--fun"),
        (&[], "--cmd"),
    ] {
        let said = shell.refused(&[&["task", "run"], args].concat());
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
