//! Runs that go on in another state folder, and workflows that are run again otherwise, by the command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;

use serde_json::Value;
use shell::Shell;

/// The words of a text are counted, a note goes to the end of a file, and the page cannot be written while a folder has its name.
const WORKFLOW: &str = r#"{"v": "1.0.0", "meta": {"blocks": ["words.wasm"]}, "tasks": {
    "heading": {"cmd": "/wasm/run", "args": {
        "mod": {"/": "bafkreigri4sewtaf7di2swrwkxxr3civkvl33jnkcjynitmrg3ifjg6hbm"},
        "fun": "heading", "params": {"title": {"ipvm/input": "title"}}}},
    "count": {"cmd": "/wasm/run", "args": {
        "mod": {"/": "bafkreigri4sewtaf7di2swrwkxxr3civkvl33jnkcjynitmrg3ifjg6hbm"},
        "fun": "count", "params": {"text": "one two two", "limit": 2}}},
    "note": {"cmd": "/file/append", "sub": "output", "args": {"path": "notes", "content": "one\n"}},
    "page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": {"await/ok": "heading"}},
             "config": {"retry": {"attempts": 2, "delay": [1, "milli", "seconds"]}}}
}}"#;

fn shell() -> Shell {
    let shell = Shell::new();
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests/words.wasm");
    fs::copy(guest, shell.path("words.wasm")).unwrap();
    shell.write("workflow.json", WORKFLOW);
    // The state folder is set up by whatever comes first.
    assert!(shell.json(&["list"]).is_empty());
    shell
}

fn events(shell: &Shell, status: i32, arguments: &[&str]) -> Vec<Value> {
    let output = shell.command(&[&["--json"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn event<'a>(events: &'a [Value], name: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name}: {events:?}"))
}

fn how(events: &[Value], label: &str) -> String {
    let mut finished = events.iter().filter(|event| event["event"] == "finished");
    finished.rfind(|event| event["label"] == label).unwrap()["how"].as_str().unwrap().to_owned()
}

#[test]
fn a_paused_run_goes_on_in_another_state_folder() {
    let (here, there) = (shell(), shell());
    fs::create_dir(here.path(".ipvm/output/page")).unwrap();
    let paused = events(&here, 5, &["run", "workflow.json", "--input-json", "title=\"A page\""]);
    let run = event(&paused, "paused")["run"].as_str().unwrap().to_owned();
    let status = here.json(&["status", &run]);
    assert_eq!(event(&status, "status")["state"], "not over");
    let state = |label: &str| {
        let steps = status.iter().find(|event| event["label"] == label).unwrap();
        steps["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        ["heading", "note", "page"].map(state),
        ["succeeded", "succeeded", "begun, and it is not known what came of it"]
    );

    let (first, second) = (here.did("node").to_string(), there.did("node").to_string());
    here.json(&["checkpoint", &run, "--to", &second, "-o", "run.car"]);
    assert!(here.json(&["list"]).is_empty());
    assert_eq!(here.json(&["status", &run])[0]["state"], "handed over to another executor");
    assert!(here.refused(&["checkpoint", &run, "--to", &second, "-o", "run.car"]).contains("is there already"));
    here.json(&["checkpoint", &run, "--to", &second, "-o", "again.car"]);
    assert_eq!(fs::read(here.path("run.car")).unwrap(), fs::read(here.path("again.car")).unwrap());
    assert!(here.refused(&["resume", "run.car"]).contains("is refused"), "it is for somebody else");

    fs::copy(here.path("run.car"), there.path("run.car")).unwrap();
    // Nobody here does what is asked of the other's folder.
    assert!(there.refused(&["--trust", &first, "resume", "run.car"]).contains("no handler for /file/"));
    let owner = here.did("output").to_string();
    let resumed = events(&there, 0, &["--trust", &first, "--output-for", &owner, "resume", "run.car"]);
    assert_eq!(event(&resumed, "taken over")["run"], run.as_str());
    let done = ["heading", "count", "note", "page"].map(|label| how(&resumed, label));
    assert_eq!(done, ["reused", "reused", "reused", "ran"]);
    assert!(!there.path(".ipvm/output/notes").exists(), "it was noted there");
    assert!(fs::read_to_string(there.path(".ipvm/output/page")).unwrap().contains("A page"));
    assert_eq!(there.json(&["--output-for", &owner, "status", &run])[0]["state"], "succeeded");
    let again = there.refused(&["--trust", &first, "--output-for", &owner, "resume", "run.car"]);
    assert!(again.contains("was taken over by this handover before"), "{again}");
}

#[test]
fn a_fork_computes_what_hangs_on_the_change_alone() {
    let shell = shell();
    let first = events(&shell, 0, &["run", "workflow.json", "--input-json", "title=\"A page\""]);
    let run = event(&first, "accepted")["run"].as_str().unwrap().to_owned();
    let fork = events(&shell, 0, &["fork", &run, "--set", "heading.params.title=\"Another\""]);
    assert_eq!(["heading", "count"].map(|label| how(&fork, label)), ["ran", "reused"]);
    assert!(fs::read_to_string(shell.path(".ipvm/output/page")).unwrap().contains("Another"));
    // A run of its own has its effects.
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/notes")).unwrap(), "one\none\n");
    let workflow = event(&fork, "accepted")["workflow"].as_str().unwrap().to_owned();
    let back = events(&shell, 0, &["fork", &workflow, "--set", "heading.params.title=\"A page\""]);
    assert_eq!(how(&back, "heading"), "reused");

    for (change, says) in [
        ("heading.params.titel=1", "there is no \"params.titel\""),
        ("headings.params=1", "no task has the label"),
        ("page.content=1", "promise"),
        ("heading.params.title=?", "not DAG-JSON"),
        ("heading", "is not LABEL.PATH=JSON"),
    ] {
        assert!(shell.refused(&["fork", &run, "--set", change]).contains(says), "{change}");
    }
}
