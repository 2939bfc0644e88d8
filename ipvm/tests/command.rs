//! The command as people use it: real processes, a real state folder, the example workflow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const TEXT: &str = "It was the best of times, it was the worst of times.\n";

struct Shell {
    folder: TempDir,
}

impl Shell {
    fn new() -> Self {
        let shell = Self { folder: tempfile::tempdir().unwrap() };
        shell.write("text.txt", TEXT);
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn ipvm(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ipvm"))
            .current_dir(self.folder.path())
            .env_remove("IPVM_STATE")
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Runs the example on `text.txt` and gives what was printed.
    fn words(&self) -> Run {
        let workflow = example("words.json");
        Run::new(self.ipvm(&["--json", "run", workflow.to_str().unwrap(), "--input", "text=text.txt"]))
    }

    /// What is refused, with its message.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.ipvm(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn refused_document(&self, document: &str) -> String {
        self.write("bad.json", document);
        self.refused(&["run", "bad.json"])
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows").join(name)
}

struct Run {
    code: Option<i32>,
    events: Vec<Value>,
    errors: String,
}

impl Run {
    fn new(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).unwrap();
        Self {
            code: output.status.code(),
            events: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn statuses(&self) -> BTreeMap<&str, &str> {
        let finished = self.events.iter().filter(|event| event["event"] == "finished");
        finished.map(|event| (event["label"].as_str().unwrap(), event["status"].as_str().unwrap())).collect()
    }

    fn receipt(&self, label: &str) -> String {
        let event = self.events.iter().find(|event| event["event"] == "finished" && event["label"] == label).unwrap();
        event["receipt"].as_str().unwrap().to_owned()
    }
}

const PURE: [&str; 5] = ["count", "heading", "letters", "report", "shape"];

fn all(pure: &'static str, save: &'static str) -> BTreeMap<&'static str, &'static str> {
    PURE.into_iter().map(|label| (label, pure)).chain([("save", save)]).collect()
}

#[test]
fn what_is_known_is_reused_and_only_what_changed_runs() {
    let shell = Shell::new();
    let first = shell.words();
    assert_eq!(first.code, Some(0), "{}", first.errors);
    assert_eq!(first.statuses(), all("ran", "ran"));
    let report = fs::read_to_string(shell.path(".ipvm/output/words.md")).unwrap();
    assert!(report.contains("| times"), "{report}");

    let second = shell.words();
    assert_eq!(second.code, Some(0));
    assert_eq!(second.statuses(), all("reused", "unchanged"));
    for label in PURE {
        assert_eq!(second.receipt(label), first.receipt(label));
    }

    shell.write("text.txt", "Something else.");
    let third = shell.words();
    let mut expected = all("ran", "ran");
    expected.insert("heading", "reused");
    assert_eq!(third.statuses(), expected);
}

#[test]
fn the_same_words_give_the_same_tasks_everywhere() {
    // Two nodes with different keys: tasks differ by their subject, what they compute does not.
    let (one, two) = (Shell::new().words(), Shell::new().words());
    let out = |run: &Run| -> BTreeMap<String, (Value, Value)> {
        let finished = run.events.iter().filter(|event| event["event"] == "finished");
        finished
            .map(|event| (event["label"].as_str().unwrap().to_owned(), (event["out"].clone(), event["fuel"].clone())))
            .collect()
    };
    assert_eq!(out(&one), out(&two));
}

#[test]
fn genuine_receipts_hold_and_altered_ones_do_not() {
    let shell = Shell::new();
    let run = shell.words();
    for label in ["shape", "count", "report", "save"] {
        let output = shell.ipvm(&["verify", &run.receipt(label)]);
        assert_eq!(output.status.code(), Some(0), "{label}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("holds"));
    }
    let receipt = run.receipt("report");
    assert!(shell.ipvm(&["show", &receipt, "--save", "receipt.ucan"]).status.success());
    let genuine = fs::read(shell.path("receipt.ucan")).unwrap();
    assert!(shell.ipvm(&["verify", "receipt.ucan"]).status.success());

    let signature = 10;
    let result = genuine.windows(5).position(|window| window == b"Shape").unwrap();
    for position in [signature, result] {
        let mut altered = genuine.clone();
        altered[position] ^= 1;
        shell.write("altered.ucan", altered);
        let output = shell.ipvm(&["verify", "altered.ucan"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("does not hold: the signature"));
    }
}

#[test]
fn the_receipt_of_a_run_stands_for_all_of_its_tasks() {
    let shell = Shell::new();
    let run = shell.words();
    let done = run.events.iter().find(|event| event["event"] == "done").unwrap();
    let output = shell.ipvm(&["verify", done["receipt"].as_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().count(), 7, "{said}");
    assert!(said.contains("save: holds: the signature is genuine; tasks of the class"), "{said}");
    assert!(said.contains("of 6 receipts, 5 gave the same when their tasks were run again, 1 are attested"), "{said}");
    // So does all that the node has signed: these and the receipt of the run itself.
    let output = shell.ipvm(&["verify", "--all"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("of 7 receipts, 5 gave the same when their tasks were run again, 2 are attested"), "{said}");
}

#[test]
fn everything_that_a_run_prints_can_be_shown() {
    let shell = Shell::new();
    let run = shell.words();
    let accepted = &run.events[0];
    for cid in [accepted["workflow"].as_str().unwrap(), accepted["run"].as_str().unwrap(), &run.receipt("save")] {
        let output = shell.ipvm(&["show", cid]);
        assert!(output.status.success(), "{output:?}");
        let _json: Value = serde_json::from_slice(&output.stdout).unwrap();
    }
    let done = run.events.last().unwrap();
    let receipt = shell.ipvm(&["show", done["receipt"].as_str().unwrap()]);
    let receipt: Value = serde_json::from_slice(&receipt.stdout).unwrap();
    let invocation = receipt[1]["ucan/inv@1.0.0"]["meta"]["invocation"]["/"].as_str().unwrap();
    let invocation: Value = serde_json::from_slice(&shell.ipvm(&["show", invocation]).stdout).unwrap();
    let asked = &invocation[1]["ucan/inv@1.0.0"];
    assert_eq!(asked["cmd"], "/ipvm/run");
    let delegation = shell.ipvm(&["show", asked["prf"][0]["/"].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(&delegation.stdout).contains("ucan/dlg@1.0.0"));
    let workflow = shell.ipvm(&["show", accepted["workflow"].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(&workflow.stdout).contains("worst of times"));
}

#[test]
fn without_its_delegation_nothing_starts_and_it_is_not_made_again() {
    let shell = Shell::new();
    shell.words();
    shell.write("text.txt", "Something new.");
    for (file, command) in [
        ("user-may-run-workflows.ucan", "/ipvm/run"),
        ("user-may-compute.ucan", "/wasm/run"),
        ("user-may-write-output.ucan", "/file/write"),
    ] {
        let path = shell.path(".ipvm/delegations").join(file);
        let token = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let run = shell.words();
        assert_eq!(run.code, Some(2), "{file}");
        assert!(run.statuses().is_empty());
        assert!(run.events.iter().all(|event| event["event"] == "error"));
        assert!(run.errors.contains(&format!("no delegation of {command}")), "{}", run.errors);
        assert!(run.errors.contains("delegations"));
        assert!(!path.exists());
        fs::write(path, token).unwrap();
    }
    assert_eq!(shell.words().code, Some(0));
}

#[cfg(unix)]
#[test]
fn keys_are_made_once_and_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    shell.words();
    let keys = || -> Vec<Vec<u8>> {
        ["node.key", "user.key", "output.key"].map(|key| fs::read(shell.path(".ipvm/keys").join(key)).unwrap()).to_vec()
    };
    let made = keys();
    for key in fs::read_dir(shell.path(".ipvm/keys")).unwrap() {
        assert_eq!(key.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    shell.words();
    assert_eq!(keys(), made);

    let key = shell.path(".ipvm/keys/user.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(shell.words().errors.contains("chmod 600"));
    fs::remove_file(&key).unwrap();
    assert!(shell.words().errors.contains("not made again"));
}

#[test]
fn a_second_process_is_told_that_the_store_is_taken() {
    let shell = Shell::new();
    shell.words();
    let store = ipvm_fjall::FjallStore::open(&shell.path(".ipvm/store")).unwrap();
    let run = shell.words();
    assert_eq!(run.code, Some(2));
    assert!(run.errors.contains("store"), "{}", run.errors);
    drop(store);
    assert_eq!(shell.words().code, Some(0));
}

#[test]
fn a_damaged_store_is_reported() {
    let shell = Shell::new();
    shell.words();
    // The head of the log is kept outside of the database. Without the database, it says what is gone.
    fs::remove_dir_all(shell.path(".ipvm/store/fjall")).unwrap();
    let run = shell.words();
    assert_eq!(run.code, Some(2), "{}", run.errors);
    assert!(run.errors.contains("damaged"), "{}", run.errors);
}

#[test]
fn a_state_folder_that_cannot_be_used_is_named() {
    let shell = Shell::new();
    let workflow = example("words.json");
    let workflow = workflow.to_str().unwrap();
    let run = |state: &str| shell.refused(&["--state", state, "run", workflow, "--input", "text=text.txt"]);
    let error = run("text.txt/below");
    assert!(error.contains("text.txt/below") && error.contains("--state"), "{error}");
    shell.words();
    shell.write(".ipvm/FORMAT", "ipvm state 99\n");
    assert!(run(".ipvm").contains("99"));
}

#[test]
fn bad_documents_are_refused_with_what_and_where() {
    let shell = Shell::new();
    let guest = "bafkreigpcqnbbyuzbagfwyh5iknsgyhg6fh3wp2qy5sfapq4iwynxaowha";
    let call = |module: &str, fun: &str, params: &str| {
        format!(r#"{{"cmd": "/wasm/run", "args": {{"mod": {{"/": "{module}"}}, "fun": "{fun}", "params": {params}}}}}"#)
    };
    let tasks = |tasks: &str| {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/shape.wasm");
        fs::copy(guests, shell.path("shape.wasm")).unwrap();
        format!(r#"{{"v": "1.0.0", "meta": {{"blocks": ["shape.wasm", "text.txt"]}}, "tasks": {{{tasks}}}}}"#)
    };
    let task = |task: String| tasks(&format!(r#""a": {task}"#));

    assert!(shell.refused(&["run", "nowhere.json"]).contains("nowhere.json"));
    assert!(shell.refused_document("{\"v\": \"1.0.0\",\n  tasks}").contains("line 2"));
    assert!(shell.refused_document("[]").contains("expected a map"));
    let misspelt = shell.refused_document(&tasks(&format!(
        r#""letters": {}, "b": {}"#,
        call(guest, "letters", r#"["x"]"#),
        call(guest, "measure", r#"[{"await/ok": "lettres"}]"#)
    )));
    assert!(misspelt.contains("lettres") && misspelt.contains(r#"did you mean "letters""#), "{misspelt}");
    let cycle = shell.refused_document(&tasks(&format!(
        r#""a": {}, "b": {}"#,
        call(guest, "measure", r#"[{"await/ok": "b"}]"#),
        call(guest, "measure", r#"[{"await/ok": "a"}]"#)
    )));
    assert!(cycle.contains("a -> b -> a"), "{cycle}");

    let text = "bafkreifofd2qjgmwcgc2sdecbt4e6zmcfvgidqaeacklqxrqbxpwnbnqbq";
    let missing = shell.refused_document(&task(call(text, "measure", r#"["x"]"#)));
    assert!(missing.contains("MissingBlock") && missing.contains("text.txt has the CID"), "{missing}");
    let text = ucan_core::block::raw_cid(TEXT.as_bytes()).to_string();
    let no_component = shell.refused_document(&task(call(&text, "measure", r#"["x"]"#)));
    assert!(no_component.contains("NotAComponent"), "{no_component}");
    let no_export = shell.refused_document(&task(call(guest, "mesure", r#"["x"]"#)));
    assert!(no_export.contains("NoSuchExport") && no_export.contains("measure"), "{no_export}");
    let argument = shell.refused_document(&task(call(guest, "measure", r#"{"text": 7}"#)));
    assert!(argument.contains("params.text") && argument.contains("string"), "{argument}");

    // All arguments of a function may be a result that is not there yet; nothing can be said of them before.
    let later = tasks(&format!(
        r#""a": {}, "b": {}"#,
        call(guest, "measure", r#"["x"]"#),
        call(guest, "measure", r#"{"await/ok": "a"}"#)
    ));
    shell.write("later.json", later);
    let later = Run::new(shell.ipvm(&["--json", "run", "later.json"]));
    assert_eq!((later.code, later.statuses()["b"]), (Some(1), "failed"), "{}", later.errors);

    let workflow = example("words.json");
    let workflow = workflow.to_str().unwrap();
    assert!(shell.refused(&["run", workflow]).contains(r#""text""#));
    assert!(shell.refused(&["run", workflow, "--input", "text=nowhere"]).contains("nowhere"));
    assert!(shell.refused(&["run", workflow, "--input", "txt=text.txt"]).contains("txt"));
    shell.write("bytes", [0xff, 0xfe]);
    assert!(shell.refused(&["run", workflow, "--input", "text=bytes"]).contains("--input-bytes"));
}

#[test]
fn a_task_that_fails_is_reported_and_nothing_is_written() {
    let shell = Shell::new();
    let document = fs::read_to_string(example("words.json")).unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests");
    for guest in ["words.wasm", "shape.wasm"] {
        fs::copy(guests.join(guest), shell.path(guest)).unwrap();
    }
    let starved = document.replace("../guests/", "").replace(r#""gas": 2000000000"#, r#""gas": 5000"#);
    assert_ne!(starved, document);
    shell.write("starved.json", starved);
    let run = Run::new(shell.ipvm(&["--json", "run", "starved.json", "--input", "text=text.txt"]));
    assert_eq!(run.code, Some(1), "{}", run.errors);
    assert_eq!(run.statuses()["count"], "failed");
    assert!(!run.statuses().contains_key("save"));
    assert!(run.events.iter().any(|event| event["event"] == "not-started" && event["label"] == "save"));
    assert!(!shell.path(".ipvm/output/words.md").exists());
    // Running out of fuel is no result: with more of it, the same tasks run.
    assert_eq!(shell.words().code, Some(0));
}

#[test]
fn what_somebody_signed_is_forgotten_with_all_that_rests_on_it() {
    let shell = Shell::new();
    let first = shell.words();
    let sampled = shell.ipvm(&[
        "--json",
        "run",
        example("words.json").to_str().unwrap(),
        "--input",
        "text=text.txt",
        "--sample",
        "1",
    ]);
    assert!(sampled.status.success() && !String::from_utf8_lossy(&sampled.stdout).contains("refuted"), "{sampled:?}");
    let keys = shell.ipvm(&["--json", "key", "show", "node"]);
    let node: Value = serde_json::from_slice(&keys.stdout).unwrap();
    let node = node["did"].as_str().unwrap();
    let refused = shell.refused(&["forget", node, "--quarantine"]);
    assert!(refused.contains("without --quarantine"), "{refused}");
    let output = shell.ipvm(&["--json", "forget", node]);
    assert!(output.status.success(), "{output:?}");
    let forgotten: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(forgotten["receipts"].as_array().unwrap().len() >= first.statuses().len(), "{forgotten}");
    let again = shell.words();
    assert_eq!(again.statuses(), all("ran", "unchanged"), "it is computed again");
    assert!(
        shell
            .ipvm(&["forget", "did:key:z6MkmtWtY63GQVBrpMyRJWEzsnxfsGkemu6CtMDwGTv4RYj2", "--quarantine"])
            .status
            .success()
    );
}

#[test]
fn documents_of_another_runtime_are_run_on_its_terms_and_verified_so() {
    let shell = Shell::new();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/words.wasm"), shell.path("words.wasm"))
        .unwrap();
    let guest = ucan_core::block::raw_cid(&fs::read(shell.path("words.wasm")).unwrap());
    let call = |params: &str| {
        format!(
            r#"{{"cmd": "/wasm/run", "args": {{"mod": {{"/": "{guest}"}}, "fun": "HEADING", "params": {params}}}}}"#
        )
    };
    let (first, then) = (call(r#"[["title"]]"#), call(r#"[{"await/ok": "first"}]"#));
    let document = format!(
        r#"{{"v": "1.0.0", "meta": {{"blocks": ["words.wasm"]}}, "tasks": {{"first": {first}, "then": {then}}}}}"#
    );
    let refused = shell.refused_document(&document);
    assert!(refused.contains("NoSuchExport") && refused.contains("HEADING"), "{refused}");

    let run = Run::new(shell.ipvm(&["--json", "run", "bad.json", "--compat", "homestar"]));
    assert_eq!((run.code, run.statuses()["then"]), (Some(0), "ran"), "{}", run.errors);
    let receipt = run.receipt("then");
    assert_eq!(shell.ipvm(&["verify", &receipt, "--compat", "homestar"]).status.code(), Some(0));
    assert!(shell.refused(&["verify", &receipt]).contains("another determinism profile"));
    assert!(shell.refused(&["run", "bad.json", "--compat", "other"]).contains("homestar"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_report_is_lost_goes_on_and_says_so() {
    let shell = Shell::new();
    let workflow = example("words.json");
    let arguments = ["run", workflow.to_str().unwrap(), "--input", "text=text.txt", "--output", "results"];
    for json in [&[][..], &["--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipvm"));
        command.current_dir(shell.folder.path()).env_remove("IPVM_STATE").args(json).args(arguments);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written"), "{output:?}");
        assert!(shell.path("results/words.md").exists());
    }
}
