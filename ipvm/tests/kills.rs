//! The command, killed with SIGKILL at random moments, again and again, until its run is over: whatever was appended to files was
//! appended once, or is reported as uncertain.
//!
//! `IPVM_KILLS` is how often it is killed at least, 40 unless it is set; `IPVM_SEED` makes the moments others.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use shell::{Random, Shell, number};

/// Lines that are appended, and a page.
fn document() -> String {
    let append = |label: String| {
        let args = format!(r#"{{"path": "log", "content": "{label}\n"}}"#);
        format!(r#""{label}": {{"cmd": "/file/append", "sub": "output", "args": {args}}}"#)
    };
    let mut tasks: Vec<String> = (0..8).map(|at| append(format!("line {at}"))).collect();
    tasks.push(
        r#""page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": "done"}}"#.to_owned(),
    );
    format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
}

/// Starts the command and kills it after a while; what it said, if it came to its end before.
fn killed(shell: &Shell, arguments: &[&str], after: Duration) -> Option<Vec<Value>> {
    let mut command = shell.command(&[&["--json"], arguments].concat());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let ended = process.try_wait().unwrap().is_some();
    // SIGKILL: nothing of it gets to say anything.
    let _already_over = process.kill();
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    ended.then(|| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What a person says of an uncertain line, having looked at the file.
fn resolution(shell: &Shell, paused: &Value) -> [String; 2] {
    let (label, task) = (paused["label"].as_str().unwrap(), paused["uncertain"].as_str().unwrap().to_owned());
    let log = fs::read_to_string(shell.path(".ipvm/output/log")).unwrap_or_default();
    match log.lines().any(|line| line == label) {
        true => ["--done".to_owned(), format!("{task}={{\"ok\": null}}")],
        false => ["--not-done".to_owned(), task],
    }
}

#[test]
fn however_often_it_is_killed_each_line_is_there_once() {
    let mut random = Random(number("IPVM_SEED").unwrap_or(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (wanted, mut kills, mut runs, mut uncertain) = (number("IPVM_KILLS").unwrap_or(40), 0, 0, 0);
    while kills < wanted {
        let shell = Shell::new();
        shell.write("log.json", document());
        // Setting up the folder is not what is tried.
        assert!(shell.json(&["list"]).is_empty());
        runs += 1;
        let mut said = None;
        // It lives ever longer: on a machine that is busy, too, it comes to its end.
        let mut longest = 40_000;
        let mut resolved: Vec<String> = Vec::new();
        let mut open = String::new();
        while said.is_none() {
            let after = Duration::from_micros(2_000 + random.below(longest));
            let arguments: Vec<&str> = match open.as_str() {
                "" => vec!["run", "log.json"],
                open => ["resume", open].into_iter().chain(resolved.iter().map(String::as_str)).collect(),
            };
            let ended = killed(&shell, &arguments, after);
            longest = if longest == 40_000 { 25_000 } else { longest + 1_000 };
            resolved.clear();
            kills += u64::from(ended.is_none());
            let paused = ended.iter().flatten().find(|event| event["event"] == "paused").cloned();
            match (&ended, paused) {
                (Some(_), Some(paused)) => {
                    uncertain += 1;
                    open = paused["run"].as_str().unwrap().to_owned();
                    resolved = resolution(&shell, &paused).into();
                    continue;
                }
                (Some(events), None) => {
                    assert!(events.iter().any(|event| event["event"] == "done"), "{events:?}");
                    said = ended;
                    continue;
                }
                (None, _) => {}
            }
            let listed = shell.json(&["list"]);
            match listed.first() {
                Some(run) => open = run["run"].as_str().unwrap().to_owned(),
                // Killed before it began, or when all was done and nothing had been said.
                None if open.is_empty() && !shell.path(".ipvm/output/page").exists() => {}
                None => said = Some(Vec::new()),
            }
        }
        let log = fs::read_to_string(shell.path(".ipvm/output/log")).unwrap();
        let mut lines: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> = (0..8).map(|at| format!("line {at}")).collect();
        assert_eq!(lines, expected, "after {kills} kills");
        assert_eq!(fs::read_to_string(shell.path(".ipvm/output/page")).unwrap(), "done");
        assert!(shell.json(&["list"]).is_empty());
        shell.ok(&["verify", "--all"]);
    }
    println!("{runs} runs, killed {kills} times; {uncertain} tasks were uncertain");
}
