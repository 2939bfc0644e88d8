//! Runs that are planned, paused, resumed and cancelled, by the command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;

use serde_json::Value;
use shell::Shell;

/// Notes go to the end of a file; the page cannot be written while a folder has its name.
const NOTES: &str = r#"{"v": "1.0.0", "tasks": {
    "note": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "one\n"}, "undo": "strike"},
    "strike": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "not one\n"}},
    "page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": {"await/ok": "told"}},
             "config": {"retry": {"attempts": 2, "delay": [1, "milli", "seconds"]}}},
    "told": {"cmd": "/file/read", "sub": "output", "args": {"path": "told"}}
}}"#;

struct Output {
    code: Option<i32>,
    events: Vec<Value>,
}

impl Output {
    fn of(shell: &Shell, arguments: &[&str]) -> Self {
        let output = shell.command(&[&["--json"], arguments].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { code: output.status.code(), events }
    }

    fn event(&self, name: &str) -> &Value {
        self.events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name}: {:?}", self.events))
    }

    fn status(&self, label: &str) -> &str {
        let mut finished = self.events.iter().filter(|event| event["event"] == "finished");
        finished.rfind(|event| event["label"] == label).unwrap()["how"].as_str().unwrap()
    }
}

/// A run that is paused, since its page cannot be written.
fn paused() -> (Shell, String) {
    let shell = Shell::new();
    shell.write("notes.json", NOTES.replace(r#"{"await/ok": "told"}"#, "\"said\""));
    // The state folder is set up by whatever comes first.
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    fs::write(shell.path(".ipvm/output/told"), "said").unwrap();
    let run = Output::of(&shell, &["run", "notes.json"]);
    assert_eq!(run.code, Some(5), "{:?}", run.events);
    assert_eq!(run.event("retrying")["label"], "page");
    let paused = run.event("paused");
    assert!(paused["reason"].as_str().unwrap().contains("failed 2 times"), "{paused}");
    let id = paused["run"].as_str().unwrap().to_owned();
    let listed = shell.json(&["list"]);
    assert_eq!((listed.len(), listed[0]["run"].as_str().unwrap()), (1, id.as_str()));
    (shell, id)
}

#[test]
fn a_paused_run_is_resumed_and_does_nothing_twice() {
    let (shell, id) = paused();
    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    let resumed = Output::of(&shell, &["resume", &id]);
    assert_eq!(resumed.code, Some(0), "{:?}", resumed.events);
    assert_eq!((resumed.status("note"), resumed.status("page")), ("reused", "ran"));
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/page")).unwrap(), "said");
    assert!(shell.json(&["list"]).is_empty());
    assert!(shell.refused(&["resume", &id]).contains("that is not over"));
}

#[test]
fn a_paused_run_is_cancelled_and_undone() {
    let (shell, id) = paused();
    let cancelled = Output::of(&shell, &["cancel", &id]);
    assert_eq!(cancelled.code, Some(1), "{:?}", cancelled.events);
    assert_eq!(cancelled.event("undoing")["by"], "strike");
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\nnot one\n");
    assert!(shell.json(&["list"]).is_empty());
}

#[test]
fn a_plan_shows_the_phases_and_what_is_refused() {
    let shell = Shell::new();
    shell.write("notes.json", NOTES);
    let plan = shell.json(&["plan", "notes.json"]);
    let phases: Vec<(&str, &str)> =
        plan.iter().map(|step| (step["label"].as_str().unwrap(), step["phase"].as_str().unwrap())).collect();
    assert_eq!(phases, [("told", "1 query"), ("note", "3 alter"), ("page", "3 alter"), ("strike", "undo")]);
    assert!(shell.json(&["list"]).is_empty(), "nothing was started");
    shell.write("bad.json", NOTES.replace("\"strike\": {", "\"strikes\": {"));
    assert!(shell.refused(&["plan", "bad.json"]).contains("did you mean"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_paused_and_goes_on() {
    let shell = Shell::new();
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    shell.write(
        "page.json",
        r#"{"v": "1.0.0", "tasks": {
            "note": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "one"}},
            "page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": "said"},
                     "config": {"retry": {"attempts": 9, "delay": [1, "hours"], "longest": [1, "hours"]}}}
        }}"#,
    );
    let mut command = shell.command(&["--json", "run", "page.json"]);
    let mut process = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It waits for an hour before it tries again: long enough to be interrupted.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
    let retrying = lines.by_ref().map(Result::unwrap).find(|line| line.contains("retrying"));
    assert!(retrying.is_some());
    let interrupted = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(process.wait().unwrap().code(), Some(5), "{rest:?}");
    let paused: Value = serde_json::from_str(rest.iter().find(|line| line.contains("\"paused\"")).unwrap()).unwrap();
    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    let resumed = Output::of(&shell, &["resume", paused["run"].as_str().unwrap()]);
    assert_eq!(resumed.code, Some(0));
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one");
}

#[test]
fn a_run_whose_time_is_over_goes_on_when_it_is_given_more() {
    let shell = Shell::new();
    let limited = NOTES.replace(r#""v": "1.0.0","#, r#""v": "1.0.0", "config": {"time": [3, "seconds"], "gas": 10},"#);
    shell.write("notes.json", limited.replace(r#"{"await/ok": "told"}"#, "\"said\""));
    assert!(shell.json(&["list"]).is_empty());
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    fs::write(shell.path(".ipvm/output/told"), "said").unwrap();
    let run = Output::of(&shell, &["run", "notes.json"]);
    assert_eq!(run.code, Some(5), "{:?}", run.events);
    let id = run.event("paused")["run"].as_str().unwrap().to_owned();
    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(4_100));
    let late = Output::of(&shell, &["resume", &id]);
    assert_eq!(late.code, Some(5), "{:?}", late.events);
    let paused = late.event("paused");
    assert_eq!(paused["label"], "page");
    assert!(paused["reason"].as_str().unwrap().contains("had time until"), "{paused}");
    assert!(paused["next"].as_str().unwrap().contains("--time PERIOD"), "{paused}");
    let nonsense = shell.command(&["resume", &id, "--time", "soon"]).output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2), "{nonsense:?}");
    let done = Output::of(&shell, &["resume", &id, "--time", "1h", "--gas", "20"]);
    assert_eq!(done.code, Some(0), "{:?}", done.events);
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\n");
}
