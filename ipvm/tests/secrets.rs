//! Secrets by the command: workflows use them, and the state folder does not tell them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::path::Path;

use serde_json::Value;
use shell::Shell;

const WORKFLOW: &str = r#"{"v": "1.0.0", "tasks": {
    "token": {"cmd": "/secret/get", "sub": "vault", "args": {"name": "api.token"}},
    "save": {"cmd": "/file/write", "sub": "output", "args": {"path": "used", "content": {"await/ok": "token"}}}
}}"#;

fn events(shell: &Shell, status: i32, arguments: &[&str]) -> Vec<Value> {
    let output = shell.command(&[&["--json"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files in a folder that hold a text.
fn holding(folder: &Path, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|part| part == text) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_workflow_uses_a_secret_and_nothing_tells_it() {
    let shell = Shell::new();
    shell.write("workflow.json", WORKFLOW);
    let kept = shell.with_input(&["secret", "set", "api.token"], b"hunter2, they say");
    assert_eq!(kept.status.code(), Some(0), "{kept:?}");
    assert_eq!(shell.json(&["secret", "list"])[0]["name"], "api.token");
    for lent in [&["run", "workflow.json"][..], &["run", "workflow.json", "--secret", "another"]] {
        let refused = shell.refused(lent);
        assert!(refused.contains("/secret/get") && refused.contains("--secret NAME"), "{refused}");
    }
    const LENT: &[&str] = &["run", "workflow.json", "--secret", "api.token", "--secret", "another"];
    let done = events(&shell, 0, LENT);
    let run = done.iter().find(|event| event["event"] == "accepted").unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/used")).unwrap(), "hunter2, they say");
    // What it was used for has it, and nothing else.
    assert_eq!(holding(&shell.path(".ipvm"), b"hunter2"), ["used"]);
    let receipt = done.iter().find(|event| event["event"] == "done").unwrap()["receipt"].as_str().unwrap();
    events(&shell, 0, &["verify", receipt]);
    events(&shell, 0, &["status", &run]);

    // Another takes its place; a removed one is gone.
    shell.with_input(&["secret", "set", "api.token"], b"another");
    events(&shell, 0, LENT);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/used")).unwrap(), "another");
    shell.ok(&["secret", "remove", "api.token"]);
    assert!(shell.refused(&["secret", "remove", "api.token"]).contains("there is no secret"));
    assert!(shell.json(&["secret", "list"]).is_empty());
    assert!(shell.refused(LENT).contains("ipvm secret set api.token"));
    for name in ["", ".hidden", "UP", "a/b", "-"] {
        let refused = shell.with_input(&["secret", "set", "--", name], b"x");
        assert_eq!(refused.status.code(), Some(2), "{name}");
    }
    let long = shell.with_input(&["secret", "set", "long"], &[b'x'; (64 << 10) + 1]);
    assert_eq!(long.status.code(), Some(2));
}

#[test]
fn what_was_kept_with_another_key_is_named() {
    let shell = Shell::new();
    shell.write("workflow.json", WORKFLOW);
    shell.with_input(&["secret", "set", "api.token"], b"hunter2");
    fs::remove_file(shell.path(".ipvm/vault.key")).unwrap();
    assert!(shell.refused(&["run", "workflow.json", "--secret", "api.token"]).contains("another key"));
}
