//! The disk is full (in truth, where file systems can be mounted), a sync fails, or files are torn while nobody looks: what was acknowledged is there afterwards, or the command says
//! that it is not; nothing is done twice; and once there is room again, the run comes to its end.
//!
//! `IPVM_FAULTS` is how many faults of each kind are tried, 10 unless it is set; `IPVM_SEED` makes them others.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use shell::{Random, Shell, number};

fn random(salt: u64) -> Random {
    Random(number("IPVM_SEED").unwrap_or(3).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
}

fn faults() -> u64 {
    number("IPVM_FAULTS").unwrap_or(10)
}

const LINES: usize = 6;

/// Lines that are appended, and a page.
fn document() -> String {
    let append = |at: usize| {
        let args = format!(r#"{{"path": "log", "content": "line {at}\n"}}"#);
        format!(r#""line {at}": {{"cmd": "/file/append", "sub": "output", "args": {args}}}"#)
    };
    let mut tasks: Vec<String> = (0..LINES).map(append).collect();
    tasks.push(
        r#""page": {"cmd": "/file/write", "sub": "output", "args": {"path": "page", "content": "done"}}"#.to_owned(),
    );
    format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
}

/// The shim, compiled; nothing where there is no compiler.
fn shim(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, include_str!("storage/shim.c")).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
    match compiled {
        Ok(output) if output.status.success() => Some(library),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            println!("skipped: there is no C compiler to build the shim with ({error})");
            None
        }
    }
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What has a receipt, by what was said.
fn finished(events: &[Value]) -> BTreeSet<String> {
    let done = events.iter().filter(|event| event["event"] == "finished" && event["how"] != "not run");
    done.map(|event| event["label"].as_str().unwrap().to_owned()).collect()
}

fn log(shell: &Shell) -> String {
    fs::read_to_string(shell.path(".ipvm/output/log")).unwrap_or_default()
}

/// Goes on, without faults, until it is over; a person looks at the file where nobody knows. How many tasks were uncertain.
fn recover(shell: &Shell, acknowledged: &BTreeSet<String>, what: &str) -> usize {
    let (mut arguments, mut uncertain) = (Vec::new(), 0);
    loop {
        let open = shell.json(&["list"]);
        let mut command: Vec<String> = match open.first() {
            Some(run) => vec!["resume".to_owned(), run["run"].as_str().unwrap().to_owned()],
            None => {
                assert!(acknowledged.is_empty(), "{what}: the run is lost, and {acknowledged:?} was acknowledged");
                vec!["run".to_owned(), "log.json".to_owned()]
            }
        };
        command.append(&mut arguments);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = shell.command(&[&["--json"], command.as_slice()].concat()).output().unwrap();
        let said = events(&output);
        for event in said.iter().filter(|event| event["event"] == "finished") {
            let label = event["label"].as_str().unwrap();
            assert!(!acknowledged.contains(label) || event["how"] == "reused", "{what}: {label} was done again");
        }
        match said.iter().find(|event| event["event"] == "paused") {
            Some(paused) => {
                uncertain += 1;
                let (label, task) = (paused["label"].as_str().unwrap(), paused["uncertain"].as_str().unwrap());
                arguments = match log(shell).lines().any(|line| line == label) {
                    true => vec!["--done".to_owned(), format!("{task}={{\"ok\": null}}")],
                    false => vec!["--not-done".to_owned(), task.to_owned()],
                };
            }
            None => {
                assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
                break;
            }
        }
        assert!(uncertain <= LINES, "{what}: it does not come to an end");
    }
    let log = log(shell);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> = (0..LINES).map(|at| format!("line {at}")).collect();
    assert_eq!(lines, expected, "{what}");
    assert_eq!(fs::read_to_string(shell.path(".ipvm/output/page")).unwrap(), "done");
    shell.ok(&["verify", "--all"]);
    uncertain
}

/// Runs the command with a fault; whether it noticed one, and how many tasks were uncertain afterwards.
fn with_fault(library: &Path, variable: &str, value: u64) -> (bool, usize) {
    let shell = Shell::new();
    shell.write("log.json", document());
    // Setting up the folder is not what is tried.
    assert!(shell.json(&["list"]).is_empty());
    let mut command = shell.command(&["--json", "run", "log.json"]);
    command.env("LD_PRELOAD", library).env("FAULT_UNDER", "/.ipvm/store/").env(variable, value.to_string());
    let output = command.output().unwrap();
    survived(&shell, &output, &format!("{variable}={value}"), || ())
}

/// Looks at what the command said of a run that may have met a fault, has that `mended`, and goes on; whether it noticed one, and how many
/// tasks were uncertain.
fn survived(shell: &Shell, output: &Output, what: &str, mended: impl FnOnce()) -> (bool, usize) {
    let said = events(output);
    let acknowledged = finished(&said);
    mended();
    let done = said.iter().any(|event| event["event"] == "done");
    let noticed = output.status.code() != Some(0);
    if noticed {
        assert!(!done, "{what}: it is said to be done, and it failed");
        let message = String::from_utf8_lossy(&output.stderr);
        // Refused before anything had started, or given up after that.
        assert!(matches!(output.status.code(), Some(2 | 3)), "{what}: {output:?}");
        assert!(
            message.contains("store") || message.contains("No space left") || message.contains("os error"),
            "{message}"
        );
    } else {
        assert!(done);
    }
    if done {
        assert!(shell.json(&["list"]).is_empty());
        assert_eq!(log(shell).lines().count(), LINES);
        return (noticed, 0);
    }
    (noticed, recover(shell, &acknowledged, what))
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = shim(folder.path()) else { return };
    let (mut random, mut noticed, mut uncertain) = (random(1), 0, 0);
    for _ in 0..faults() {
        let (hit, unknown) = with_fault(&library, "FAULT_FULL_AFTER", random.below(24_000));
        (noticed, uncertain) = (noticed + u64::from(hit), uncertain + unknown);
    }
    println!("{} runs met a full disk, {noticed} of them under way; {uncertain} tasks were uncertain", faults());
    assert!(noticed > faults() / 3, "only {noticed} runs met a full disk");
}

/// Where the test is on its own in a namespace in which it can mount file systems.
const MOUNTS: &str = "IPVM_MOUNTS";
/// How large the file system is, in MiB.
const SMALL: usize = 80;

/// Runs the command on a store that has a file system of its own, with so many bytes left; as [`with_fault`].
fn with_room(room: u64) -> (bool, usize) {
    let shell = Shell::new();
    shell.write("log.json", document());
    assert!(shell.json(&["list"]).is_empty());
    let (small, store) = (shell.path("small"), shell.path(".ipvm/store"));
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    };
    fs::create_dir(&small).unwrap();
    run("mount", &["-t", "tmpfs", "-o", &format!("size={SMALL}m"), "tmpfs", small.to_str().unwrap()]);
    run("cp", &["-a", store.to_str().unwrap(), small.to_str().unwrap()]);
    run("mount", &["--bind", small.join("store").to_str().unwrap(), store.to_str().unwrap()]);
    // All of it is taken, and then some of that given back.
    let ballast = small.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(room)).unwrap();
    // What is open is not given back.
    drop(file);
    let output = shell.command(&["--json", "run", "log.json"]).output().unwrap();
    let survived = survived(&shell, &output, &format!("{room} bytes left"), || fs::remove_file(&ballast).unwrap());
    for mounted in [&store, &small] {
        run("umount", &[mounted.to_str().unwrap()]);
    }
    survived
}

#[test]
fn a_small_file_system_that_is_full_stops_the_run_and_loses_nothing() {
    if std::env::var_os(MOUNTS).is_none() {
        let alone = |program: &str, arguments: &[&str]| {
            let apart = ["--user", "--map-root-user", "--mount", program];
            Command::new("unshare").args(apart).args(arguments).env(MOUNTS, "1").output()
        };
        if !alone("mount", &["-t", "tmpfs", "tmpfs", "/mnt"]).is_ok_and(|output| output.status.success()) {
            println!("skipped: this machine lets nobody mount file systems in a namespace of their own");
            return;
        }
        let test = std::env::current_exe().unwrap();
        let name = "a_small_file_system_that_is_full_stops_the_run_and_loses_nothing";
        let output = alone(test.to_str().unwrap(), &["--exact", name, "--nocapture"]).unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let (mut random, mut noticed, mut uncertain) = (random(4), 0, 0);
    for _ in 0..faults() {
        let (hit, unknown) = with_room(random.below(28_000));
        (noticed, uncertain) = (noticed + u64::from(hit), uncertain + unknown);
    }
    println!("{} runs on a small file system, {noticed} met its end; {uncertain} tasks were uncertain", faults());
    assert!(noticed > faults() / 3, "only {noticed} runs met the end of the file system");
}

#[test]
fn a_sync_that_fails_stops_the_run_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = shim(folder.path()) else { return };
    let (mut random, mut noticed, mut uncertain) = (random(2), 0, 0);
    for _ in 0..faults() {
        let (hit, unknown) = with_fault(&library, "FAULT_SYNC_AT", 1 + random.below(24));
        (noticed, uncertain) = (noticed + u64::from(hit), uncertain + unknown);
    }
    println!("{} runs with a sync that fails, {noticed} noticed; {uncertain} tasks were uncertain", faults());
    assert!(noticed > faults() / 3, "only {noticed} runs had a sync that fails");
}

/// All files under a folder and what is in them, without the zeros at their ends.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(bytes.len().min(end + 4096));
            found.insert(path, bytes);
        }
    }
}

#[test]
fn files_that_were_torn_are_noticed_or_nothing_is_missing() {
    let shell = Shell::new();
    shell.write(
        "log.json",
        document().replace(
            r#""args": {"path": "page", "content": "done"}"#,
            r#""args": {"path": "page", "content": "done"},
           "config": {"retry": {"attempts": 2, "delay": [1, "milli", "seconds"]}}"#,
        ),
    );
    assert!(shell.json(&["list"]).is_empty());
    // A run that is over, and one that is paused, since its page cannot be written.
    let over = events(&shell.command(&["--json", "run", "log.json"]).output().unwrap());
    assert!(over.iter().any(|event| event["event"] == "done"));
    fs::remove_file(shell.path(".ipvm/output/page")).unwrap();
    fs::create_dir(shell.path(".ipvm/output/page")).unwrap();
    let paused = events(&shell.command(&["--json", "run", "log.json"]).output().unwrap());
    let run = paused.iter().find(|event| event["event"] == "paused").unwrap()["run"].as_str().unwrap().to_owned();
    fs::remove_dir(shell.path(".ipvm/output/page")).unwrap();
    assert_eq!(log(&shell).lines().count(), 2 * LINES);
    let receipts: Vec<String> = over
        .iter()
        .chain(&paused)
        .filter(|event| event["event"] == "finished" || event["event"] == "done")
        .map(|event| event["receipt"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(receipts.len(), 2 * LINES + 2);

    let (store, output) = (shell.path(".ipvm/store"), shell.path(".ipvm/output"));
    let mut whole = BTreeMap::new();
    files(&shell.path(".ipvm"), &mut whole);
    let restore = || {
        fs::remove_dir_all(&store).unwrap();
        fs::remove_dir_all(&output).unwrap();
        for (file, bytes) in &whole {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            // Keys are readable by nobody else, and stay as they are.
            if file.starts_with(&store) || file.starts_with(&output) {
                fs::write(file, bytes).unwrap();
            }
        }
        for keyspace in ["0", "1"] {
            fs::create_dir_all(store.join("fjall/keyspaces").join(keyspace).join("tables")).unwrap();
        }
    };
    let torn: Vec<&PathBuf> = whole
        .iter()
        .filter(|(file, bytes)| file.starts_with(&store) && !bytes.is_empty())
        .map(|(file, _)| file)
        .collect();
    let (mut random, mut refused, mut unharmed) = (random(3), 0, 0);
    for _ in 0..faults() * 3 {
        restore();
        let file = torn[random.below(torn.len() as u64) as usize];
        let mut bytes = whole[file].clone();
        let at = random.below(bytes.len() as u64) as usize;
        let length = 1 + random.below(700) as usize;
        let end = (at + length).min(bytes.len());
        let way = match random.below(3) {
            0 => {
                bytes.truncate(at);
                "cut off"
            }
            1 => {
                bytes[at..end].fill(0);
                "zeros"
            }
            _ => {
                bytes[at..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
                "noise"
            }
        };
        fs::write(file, &bytes).unwrap();
        let what = format!("{way} at {at} of {} in {}", whole[file].len(), file.display());
        let listed = shell.command(&["--json", "list"]).output().unwrap();
        if listed.status.code() != Some(0) {
            let message = String::from_utf8_lossy(&listed.stderr);
            assert!(message.contains(".ipvm/store"), "{what}: it does not say what is affected: {message}");
            refused += 1;
            continue;
        }
        let open = events(&listed);
        assert_eq!(open.iter().map(|open| open["run"].as_str().unwrap()).collect::<Vec<_>>(), [&run], "{what}");
        let mut missing = false;
        for receipt in &receipts {
            let shown = shell.command(&["show", receipt]).output().unwrap();
            if shown.status.code() != Some(0) {
                let message = String::from_utf8_lossy(&shown.stderr);
                assert!(message.contains("damaged") || message.contains("not what was"), "{what}: {message}");
                missing = true;
            }
        }
        if missing {
            refused += 1;
            continue;
        }
        unharmed += 1;
        let resumed = shell.command(&["--json", "resume", &run]).output().unwrap();
        if resumed.status.code() == Some(0) {
            assert_eq!(finished(&events(&resumed)).len(), LINES + 1, "{what}");
        }
        assert_eq!(log(&shell).lines().count(), 2 * LINES, "{what}: nothing is done twice");
    }
    println!("{} files were torn: {refused} refused, {unharmed} without harm", faults() * 3);
    assert!(refused > 0 && unharmed > 0);
}
