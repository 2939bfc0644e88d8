//! Schedules by the command: added, shown, removed, run when they are due, interrupted, and killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use shell::Shell;

fn note(line: &str) -> String {
    let args = format!(r#"{{"path": "log", "content": "{line}\n"}}"#);
    format!(r#"{{"v": "1.0.0", "tasks": {{"note": {{"cmd": "/file/append", "sub": "output", "args": {args}}}}}}}"#)
}

fn events(shell: &Shell, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = shell.command(&[&["--json"], arguments].concat()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn log(shell: &Shell) -> Vec<String> {
    let log = fs::read_to_string(shell.path(".ipvm/output/log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

fn id(added: &[Value]) -> &str {
    added[0]["schedule"].as_str().unwrap()
}

#[test]
fn what_is_due_is_run_once() {
    let shell = Shell::new();
    shell.write("note.json", note("said"));
    let added = shell.json(&["schedule", "add", "note.json", "--after", "0s"]);
    let later = shell.json(&["schedule", "add", "note.json", "--after", "12h"]);
    let listed = shell.json(&["schedule", "list"]);
    assert_eq!(listed.len(), 2);
    let (code, ran) = events(&shell, &["schedule", "run", "--once"]);
    assert_eq!(code, Some(0), "{ran:?}");
    let ended: Vec<&Value> = ran.iter().filter(|event| event["event"] == "ended").collect();
    assert_eq!(
        (ended.len(), &ended[0]["outcome"], &ended[0]["schedule"]),
        (1, &"succeeded".into(), &added[0]["schedule"])
    );
    assert_eq!(log(&shell), ["said"]);
    // The run is one as any other: it has a receipt, and can be verified.
    shell.ok(&["verify", ended[0]["receipt"].as_str().unwrap()]);
    let (code, again) = events(&shell, &["schedule", "run", "--once"]);
    assert_eq!((code, again.len()), (Some(0), 0), "{again:?}");
    assert_eq!(log(&shell), ["said"]);

    let shown = shell.json(&["schedule", "show", id(&added)]);
    assert_eq!((&shown[0]["over"], &shown[0]["fired"]), (&true.into(), &1.into()));
    assert_eq!(shown[0]["recent"][0]["run"], ended[0]["run"]);
    let listed = shell.json(&["schedule", "list"]);
    assert_eq!((listed.len(), id(&listed)), (1, id(&later)), "what is over is not listed");
    assert_eq!(shell.json(&["schedule", "list", "--all"]).len(), 2);
    shell.ok(&["schedule", "remove", id(&later)]);
    assert!(shell.json(&["schedule", "list"]).is_empty());
    let (code, idle) = events(&shell, &["schedule", "run", "--until-idle"]);
    assert_eq!((code, idle.len()), (Some(0), 0), "{idle:?}");
    assert!(shell.refused(&["schedule", "remove", id(&later)]).contains("there is no schedule"));
}

#[test]
fn expressions_are_shown_in_utc_and_refused_with_the_field_that_is_wrong() {
    let shell = Shell::new();
    shell.write("note.json", note("said"));
    let cron = |text: &str| ["schedule", "add", "note.json", "--cron", text].map(str::to_owned);
    let refused = |text: &str| shell.refused(&cron(text).each_ref().map(String::as_str));
    assert!(refused("0 24 * * *").contains("the hour \"24\""));
    assert!(refused("0 9 * * noday").contains("the day of the week \"noday\""));
    assert!(refused("0 9 * *").contains("five fields"));
    assert!(refused("0 0 30 2 *").contains("never due"));
    assert!(shell.refused(&["schedule", "add", "note.json"]).contains("--cron"), "it has to be said when");
    assert!(shell.refused(&["schedule", "add", "note.json", "--after", "soon"]).contains("not a period"));
    let day = ["schedule", "add", "note.json", "--at", "2020-01-01T00:00:00Z", "--missed", "skip"];
    assert!(shell.refused(&day).contains("never due"));

    let added = shell.json(&["schedule", "add", "note.json", "--cron", "30 9 29 2 *", "--count", "2"]);
    let next: Vec<&str> = added[0]["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    assert_eq!(next.len(), 2);
    assert!(next.iter().all(|next| next.ends_with("-02-29T09:30:00Z")), "{next:?}");
    let text = shell.ok(&["schedule", "show", id(&added)]);
    assert!(text.contains(next[0]) && text.contains("(UTC)") && text.contains("0 of 2 times"), "{text}");
    // What the workflow asks for is looked at when it is added.
    shell.write("other.json", note("x").replace("/file/append", "/file/erase"));
    assert!(!shell.refused(&["schedule", "add", "other.json", "--after", "1h"]).is_empty());
    assert_eq!(shell.json(&["schedule", "list", "--all"]).len(), 1);
}

#[test]
fn a_workflow_that_fails_is_told_by_the_status() {
    let shell = Shell::new();
    shell.write(
        "read.json",
        r#"{"v": "1.0.0", "tasks": {
        "read": {"cmd": "/file/read", "sub": "output", "args": {"path": "missing"}}}}"#,
    );
    shell.json(&["schedule", "add", "read.json", "--after", "0s"]);
    let (code, ran) = events(&shell, &["schedule", "run", "--until-idle"]);
    assert_eq!(code, Some(1), "{ran:?}");
    assert!(ran.iter().any(|event| event["event"] == "ended" && event["outcome"] == "failed"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_it_gently() {
    let shell = Shell::new();
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    shell.write(
        "page.json",
        r#"{"v": "1.0.0", "tasks": {
        "page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": "said"},
                 "config": {"retry": {"attempts": 9, "delay": [1, "hours"], "longest": [1, "hours"]}}}}}"#,
    );
    let added = shell.json(&["schedule", "add", "page.json", "--after", "0s"]);
    let mut process = shell.command(&["--json", "schedule", "run"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("\"began\"")));
    // It waits for an hour before it tries again: long enough to be interrupted, once it has begun to.
    std::thread::sleep(Duration::from_millis(700));
    let interrupted = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(process.wait().unwrap().code(), Some(5), "{rest:?}");
    let shown = shell.json(&["schedule", "show", id(&added)]);
    assert_eq!(shown[0]["open"].as_array().unwrap().len(), 1);
    // The same run goes on.
    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    let (code, ran) = events(&shell, &["schedule", "run", "--once"]);
    assert_eq!(code, Some(0), "{ran:?}");
    assert_eq!((&ran[0]["again"], &ran[0]["run"]), (&true.into(), &shown[0]["open"][0]["run"]));
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/page")).unwrap(), "said");
}

/// A person looks whether a line is there of which it is uncertain whether it was appended.
#[cfg(unix)]
fn find_out(shell: &Shell, lines: &BTreeMap<String, String>, paused: &Value) {
    let run = paused["run"].as_str().unwrap();
    let (code, resumed) = events(shell, &["resume", run]);
    let Some(uncertain) = resumed.iter().find_map(|event| event["uncertain"].as_str()) else {
        return assert_eq!(code, Some(0), "{resumed:?}");
    };
    let (schedule, done) = (paused["schedule"].as_str().unwrap(), format!("{uncertain}={{\"ok\": null}}"));
    let found = if log(shell).contains(&lines[schedule]) { ["--done", &done] } else { ["--not-done", uncertain] };
    assert_eq!(events(shell, &["resume", run, found[0], found[1]]).0, Some(0));
}

/// Lines that are due one after the other, by a process that is killed with SIGKILL again and again: before they are due, while they are
/// run, and after.
#[cfg(unix)]
#[test]
fn however_often_it_is_killed_each_time_is_run_once() {
    let shell = Shell::new();
    assert!(shell.json(&["list"]).is_empty());
    let mut expected = BTreeMap::new();
    for number in 0..16 {
        let line = format!("line {number:02}");
        shell.write("note.json", note(&line));
        let added = shell.json(&["schedule", "add", "note.json", "--after", &format!("{}s", 2 + number / 2)]);
        expected.insert(id(&added).to_owned(), line);
    }
    let begin = Instant::now();
    let (mut kills, mut again, mut uncertain, mut chance) = (0, 0, 0, 0x9E37_79B9_7F4A_7C15_u64);
    loop {
        let mut command = shell.command(&["--json", "schedule", "run", "--until-idle"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (say, lines) = mpsc::channel();
        let listener = std::thread::spawn(move || {
            // The last line may have been cut off.
            for said in out.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
                let _nobody_listens = say.send(said);
            }
        });
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        // It is killed while a run is under way, or whenever; in the end it lives.
        let lives = begin.elapsed() > Duration::from_secs(15);
        let until = Instant::now() + Duration::from_millis(if lives { 60_000 } else { chance % 1_500 });
        let mut said: Vec<Value> = Vec::new();
        while let Ok(event) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let began = event["event"] == "began";
            said.push(event);
            if began && !lives {
                std::thread::sleep(Duration::from_micros((chance >> 20) % 12_000));
                break;
            }
        }
        let ended = process.try_wait().unwrap();
        // SIGKILL: nothing of it gets to say anything.
        let _already_over = process.kill();
        let status = process.wait().unwrap();
        listener.join().unwrap();
        said.extend(lines.try_iter());
        again += said.iter().filter(|event| event["again"] == true).count();
        if ended.is_none() && status.code().is_none() {
            kills += 1;
            continue;
        }
        let paused: Vec<&Value> = said.iter().filter(|event| event["event"] == "paused").collect();
        if paused.is_empty() {
            assert_eq!(status.code(), Some(0), "{said:?}");
            break;
        }
        uncertain += paused.len();
        paused.iter().for_each(|paused| find_out(&shell, &expected, paused));
    }
    let mut lines = log(&shell);
    lines.sort();
    assert_eq!(
        lines,
        expected.into_values().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        "after {kills} kills"
    );
    assert!(shell.json(&["schedule", "list"]).is_empty() && shell.json(&["list"]).is_empty());
    shell.ok(&["verify", "--all"]);
    println!("killed {kills} times, {again} runs were gone on with, and {uncertain} lines were uncertain");
    assert!(kills > 10 && again > 0, "{kills} kills, {again} runs were gone on with: too little was tried");
}
