//! Runs that one process has under way, and another one pauses or cancels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use ipvm::State;
use serde_json::Value;
use shell::Shell;
use ucan_core::{Clock, Delegation, SystemClock, Timestamp};

/// A note, and a page that cannot be written while a folder has its name: it is tried again in an hour.
const NOTES: &str = r#"{"v": "1.0.0", "tasks": {
    "note": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "one\n"}, "undo": "strike"},
    "page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": "said"},
             "config": {"retry": {"attempts": 9, "delay": [1, "hours"], "longest": [1, "hours"]}}},
    "strike": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "not one\n"}}
}}"#;

/// A process, and what it says.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<Value>,
}

impl Running {
    fn start(shell: &Shell, arguments: &[&str]) -> Self {
        let mut command = shell.command(&[&["--json"], arguments].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, said: Vec::new() }
    }

    /// Waits until it says this.
    fn until(&mut self, event: &str) -> Value {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("it ended without {event}: {:?}", self.said));
            let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
            self.said.push(value.clone());
            if value["event"] == event {
                return value;
            }
        }
    }

    /// Waits until it ends: its status, and all that it said.
    fn end(mut self) -> (Option<i32>, Vec<Value>) {
        let rest = self.lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        self.said.extend(rest);
        (self.process.wait().unwrap().code(), self.said)
    }
}

fn event<'a>(said: &'a [Value], name: &str) -> &'a Value {
    said.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name}: {said:?}"))
}

/// A run that waits for an hour in a process of its own, and its id.
fn waiting() -> (Shell, Running, String) {
    let shell = Shell::new();
    shell.write("notes.json", NOTES);
    // The state folder is set up by whatever comes first.
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    let mut running = Running::start(&shell, &["run", "notes.json"]);
    let run = running.until("accepted")["run"].as_str().unwrap().to_owned();
    while fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap_or_default().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    running.until("retrying");
    (shell, running, run)
}

fn wishes(shell: &Shell) -> usize {
    fs::read_dir(shell.path(".ipvm/wishes")).map_or(0, Iterator::count)
}

#[test]
fn a_run_is_paused_by_another_process_and_goes_on() {
    let (shell, running, run) = waiting();
    let told = shell.json(&["pause", &run]);
    assert_eq!((&told[0]["event"], &told[0]["wish"]), (&"told".into(), &"pause".into()), "{told:?}");
    let (code, said) = running.end();
    assert_eq!(code, Some(5), "{said:?}");
    assert_eq!(event(&said, "paused")["run"], run.as_str());
    assert_eq!(wishes(&shell), 0);
    // Nobody runs it any more.
    let refused = shell.refused(&["pause", &run]);
    assert!(refused.contains("is not running") && refused.contains(&format!("ipvm resume {run}")), "{refused}");
    assert_eq!(wishes(&shell), 0);

    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    shell.ok(&["resume", &run]);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\n");
    assert!(shell.refused(&["pause", &run]).contains("there is no run"));
}

#[test]
fn a_run_is_cancelled_by_another_process_and_undone() {
    let (shell, running, run) = waiting();
    let said = shell.ok(&["cancel", &run]);
    assert!(said.contains("was told"), "{said}");
    let (code, said) = running.end();
    assert_eq!(code, Some(1), "{said:?}");
    assert_eq!(event(&said, "undoing")["by"], "strike");
    assert_eq!(event(&said, "done")["succeeded"], false);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\nnot one\n");
    assert_eq!((wishes(&shell), shell.json(&["list"]).len()), (0, 0));
}

#[test]
fn a_run_that_is_resumed_is_told_as_well_and_a_wish_of_nobody_is_not_heeded() {
    let (shell, running, run) = waiting();
    shell.ok(&["pause", &run]);
    running.end();
    // Whoever wished for this was killed.
    shell.write(&format!(".ipvm/wishes/{run}.0"), "cancel");
    let mut running = Running::start(&shell, &["resume", &run]);
    running.until("retrying");
    shell.ok(&["pause", &run]);
    let (code, said) = running.end();
    assert_eq!(code, Some(5), "it was paused, and not cancelled: {said:?}");
    assert_eq!(wishes(&shell), 0);
}

#[test]
fn one_run_of_a_schedule_is_cancelled_and_the_others_go_on() {
    let shell = Shell::new();
    shell.write("notes.json", NOTES);
    let other = NOTES.replace("notes\"", "others\"").replace("\"page\", \"content\"", "\"leaf\", \"content\"");
    shell.write("others.json", other);
    for name in ["notes.json", "others.json"] {
        shell.json(&["schedule", "add", name, "--after", "0s"]);
    }
    for name in ["page", "leaf"] {
        fs::create_dir_all(shell.path(".ipvm/output").join(name)).unwrap();
    }
    let mut running = Running::start(&shell, &["schedule", "run", "--until-idle"]);
    let runs = [running.until("began"), running.until("began")].map(|began| began["run"].as_str().unwrap().to_owned());
    let read = |name: &str| fs::read_to_string(shell.path(".ipvm/output").join(name)).unwrap_or_default();
    while read("notes").is_empty() || read("others").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    shell.ok(&["cancel", &runs[0]]);
    let ended = running.until("ended");
    assert_eq!((&ended["run"], &ended["outcome"]), (&runs[0].as_str().into(), &"failed".into()));
    let undone = ["notes", "others"].map(|name| read(name).contains("not one"));
    assert!(undone[0] != undone[1], "{undone:?}");
    // What this process does not run, it takes no notice of.
    let refused = shell.refused(&["pause", &runs[0]]);
    assert!(refused.contains("in use by process") && refused.contains("took no notice"), "{refused}");
    assert_eq!(wishes(&shell), 0);
    shell.ok(&["pause", &runs[1]]);
    let (code, said) = running.end();
    assert_eq!(code, Some(5), "{said:?}");
    let listed = shell.json(&["list"]);
    assert_eq!((listed.len(), &listed[0]["run"]), (1, &runs[1].as_str().into()));
}

#[test]
fn a_run_whose_authority_is_gone_is_ended_by_the_command() {
    let shell = Shell::new();
    shell.write("notes.json", NOTES);
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    // What lets the user append ends soon: it has expired by a clock that is a minute ahead, which is allowed for.
    let granted = shell.path(".ipvm/delegations/user-may-append-to-output.ucan");
    fs::remove_file(&granted).unwrap();
    let keys = State::open(&shell.path(".ipvm"), &mut |_| panic!("all keys are there")).unwrap();
    let end = Timestamp::from_secs(SystemClock.now().as_secs() - 60 + 15).unwrap();
    let (to, about) = (keys.user.did().clone(), Some(keys.owner.did().clone()));
    let grant = Delegation::builder(to, about, "/file/append".parse().unwrap()).expiration(end);
    fs::write(&granted, grant.sign(&keys.owner).unwrap().bytes()).unwrap();
    let mut running = Running::start(&shell, &["run", "notes.json"]);
    let run = running.until("accepted")["run"].as_str().unwrap().to_owned();
    running.until("retrying");
    shell.ok(&["pause", &run]);
    assert_eq!(running.end().0, Some(5));
    let began = std::time::Instant::now();
    // Until it has expired, it waits for another hour.
    let refused = loop {
        let output = shell.command(&["plan", "notes.json"]).output().unwrap();
        if output.status.code() == Some(2) {
            break shell.refused(&["resume", &run]);
        }
        assert!(began.elapsed().as_secs() < 60, "it does not expire");
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    assert!(refused.contains("expire") && refused.contains(&format!("`ipvm cancel {run}` ends it")), "{refused}");
    let output = shell.command(&["--json", "cancel", &run]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stays = event(&said, "not-undone");
    assert_eq!((&stays["label"], &stays["by"]), (&"note".into(), &"strike".into()));
    assert!(stays["reason"].as_str().unwrap().starts_with("NoAuthority: "), "{stays}");
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\n");
    assert!(shell.json(&["list"]).is_empty());
    let receipt = event(&said, "done")["receipt"].as_str().unwrap().to_owned();
    shell.ok(&["verify", &receipt]);
}
