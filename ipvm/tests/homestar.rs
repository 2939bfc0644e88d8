//! Workflows that were written for homestar 0.2: carried over, planned, and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipvm::homestar::{Component, ImportError, ImportProblem, Imported, import};
use ipvm_workflow::Bindings;
use proptest::prelude::*;
use serde_json::{Value, json};
use shell::Shell;
use ucan_core::{Cid, Did, Ipld, Issuer, block, dagjson};
use varsig::ed25519::SigningKey;

/// A file of UnixFS that homestar's own workflows name, and instructions on it, with the CIDs that homestar gives them.
const UNIXFS: &str = "ipfs://bafybeibk42jwhq7w2zcpe6q3wgtleugp3ymfs3pa5gerjmnakqihhqx4zq";
const ADD_ONE: &str = "bafyrmihmxmsbt4n3g6dzmj7rho34mzfbaoqqbsfcq7etsogslqftbyj7du";
const ADD_ONE_WITH_NONCE: &str = "bafyrmigh2n5i4iyl6mcfssv7lzx6yalwyslszngacuo3iw3mr3fgl3sopa";
const ADD_ONE_WITH_BYTES: &str = "bafyrmiasmpmbcnvm2mgmk772wy2mmioxmlhu7zndmphy5rw2xssuh2fwle";
const CROP: &str = "bafyrmib46dl7oaksq4fo4oyvcqewe7ojybgchufmrpjovqto3wovsq5jjq";
const ROTATE: &str = "bafyrmiekrfvz5lglddmnkm2l2tia43tagziokpamjipleen7spxizchxbu";
const IMAGE: &str = "bafybeiejevluvtoevgk66plh5t6xiy3ikyuuxg3vgofuvpeckb6eadresm";

fn task(func: &str, args: Value) -> Value {
    with_nonce(func, args, json!(""))
}

fn with_nonce(func: &str, args: Value, nonce: Value) -> Value {
    let run = json!({"input": {"args": args, "func": func}, "nnc": nonce, "op": "wasm/run", "rsc": UNIXFS});
    json!({"cause": null, "meta": {"memory": 4_294_967_296_u64, "time": 100_000}, "prf": [], "run": run})
}

fn awaits(cid: &str) -> Value {
    json!({"await/ok": {"/": cid}})
}

fn read(tasks: &Value) -> Ipld {
    dagjson::decode(json!({ "tasks": tasks }).to_string().as_bytes()).unwrap()
}

fn imported(tasks: Value) -> Imported {
    import(&read(&tasks), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(tasks: Value) -> ImportError {
    import(&read(&tasks), &BTreeMap::new()).unwrap_err()
}

/// What a task of the document has for parameters.
fn params(imported: &Imported, label: &str) -> Value {
    serde_json::from_str(&dagjson::encode(&imported.document.tasks()[label].args["params"])).unwrap()
}

fn notes(imported: &Imported) -> Vec<String> {
    imported.notes.iter().map(|note| format!("{}: {}", note.place, note.text)).collect()
}

#[test]
fn promises_name_instructions_as_homestar_does() {
    let chain = imported(json!([
        with_nonce("add_one", json!([1]), json!("1sod60ml6g26mfhsrsa0")),
        with_nonce("add_one", json!([awaits(ADD_ONE_WITH_NONCE)]), json!({"/": {"bytes": "oVI8XiFiec+c2XHS"}})),
        task("add_one", json!([awaits(ADD_ONE_WITH_BYTES)])),
        task("add_one", json!([1])),
        task("double", json!([awaits(ADD_ONE)])),
    ]));
    let labels: Vec<&str> = chain.document.tasks().keys().map(String::as_str).collect();
    assert_eq!(labels, ["add_one-1", "add_one-2", "add_one-3", "add_one-4", "double"]);
    assert_eq!(params(&chain, "add_one-2"), json!([{"await/ok": "add_one-1"}]));
    assert_eq!(params(&chain, "add_one-3"), json!([{"await/ok": "add_one-2"}]));
    assert_eq!(params(&chain, "double"), json!([{"await/ok": "add_one-4"}]));
    let nonces: Vec<usize> =
        chain.document.tasks().values().map(|task| task.nonce.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(nonces, [12, 12, 0, 0, 0]);
    assert!(matches!(&chain.document.meta()["homestar"], Ipld::Map(ids)
        if ids["add_one-1"] == Ipld::String(ADD_ONE_WITH_NONCE.to_owned()) && ids["add_one-4"] == Ipld::String(ADD_ONE.to_owned())));
}

#[test]
fn content_by_link_becomes_an_input() {
    let pipeline = imported(json!([
        task("crop", json!([{"/": IMAGE}, 150, 350, 500, 500])),
        task("rotate90", json!([awaits(CROP)])),
        task("grayscale", json!([awaits(ROTATE)])),
    ]));
    assert_eq!(params(&pipeline, "crop"), json!([{"ipvm/input": IMAGE}, 150, 350, 500, 500]));
    assert_eq!(params(&pipeline, "grayscale"), json!([{"await/ok": "rotate90"}]));
    assert_eq!(pipeline.document.inputs().into_iter().collect::<Vec<_>>(), [IMAGE]);
    let notes = notes(&pipeline);
    assert!(
        notes.iter().any(|note| note.starts_with("tasks[0].run.input.args[0]: ") && note.contains("--input-bytes")),
        "{notes:?}"
    );
    assert!(notes.iter().any(|note| note.starts_with("tasks[0].run.rsc: ") && note.contains("UnixFS")), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("tasks[0].meta: ") && note.contains("defaults")), "{notes:?}");
    // Each of the three says so of all three tasks.
    assert_eq!(pipeline.notes.iter().map(|note| note.times).max(), Some(3));
}

#[test]
fn it_is_bound_and_has_an_id() {
    let someone: Did = Issuer::ed25519(SigningKey::from_seed(&[1; 32])).did().clone();
    let mut bindings = Bindings::new(someone.clone(), someone.clone());
    let pipeline =
        imported(json!([task("crop", json!([{"/": IMAGE}])), task("flip", json!([{"/": IMAGE}, {"a": 1.5}]))]));
    bindings.inputs.insert(IMAGE.to_owned(), Ipld::Bytes(vec![1, 2]));
    let workflow = pipeline.document.bind(&bindings).unwrap();
    assert!(workflow.tasks().all(|(_, subject, task)| *subject == someone && task.command.as_str() == "/wasm/run"));
    let cid: Cid = UNIXFS.strip_prefix("ipfs://").unwrap().parse().unwrap();
    assert!(workflow.tasks().all(|(_, _, task)| task.args["mod"] == Ipld::Link(cid)));
}

#[test]
fn the_forms_of_promises() {
    let first = task("first", json!([]));
    let cid = match &imported(json!([first])).document.meta()["homestar"] {
        Ipld::Map(ids) => match &ids["first"] {
            Ipld::String(cid) => cid.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let link = json!({"/": cid});
    for (argument, expected, note) in [
        (json!({"await/ok": link}), json!({"await/ok": "first"}), None),
        (json!({"await/error": link}), json!({"await/error": "first"}), None),
        (json!({"await/*": link}), json!({"await/ok": "first"}), Some("hands over the value")),
        (json!({"await/ok": cid}), json!({"await/ok": "first"}), None),
        (link.clone(), json!({"await/ok": "first"}), Some("became await/ok")),
        (json!([[{"await/ok": link}]]), json!([[{"await/ok": "first"}]]), Some("leaves the key")),
        (json!({"a": link, "b": 1}), json!({"a": {"await/ok": "first"}, "b": 1}), Some("became await/ok")),
        (json!(["ok", 7]), json!(7), Some("for the value")),
        (json!(["ok", 7, 8]), json!(["ok", 7, 8]), None),
        (json!({"await/ok": 5}), json!({"await/ok": 5}), None),
        (json!(18_446_744_073_709_551_616_f64), json!(18_446_744_073_709_551_616_f64), None),
    ] {
        let both = imported(json!([first, task("second", json!([argument]))]));
        assert_eq!(params(&both, "second"), json!([expected]), "{argument}");
        let said: Vec<String> = notes(&both).into_iter().filter(|note| note.contains(".args")).collect();
        assert_eq!(said.len(), usize::from(note.is_some()), "{argument}: {said:?}");
        assert!(note.is_none_or(|note| said[0].contains(note)), "{argument}: {said:?}");
    }
    for (argument, place) in [
        (awaits(CROP), "tasks[1].run.input.args[0]"),
        (json!([{"await/*": {"/": CROP}}]), "tasks[1].run.input.args[0][0]"),
        (json!({"a": [1, {"await/ok": CROP}], "b": 1}), "tasks[1].run.input.args[0].a[1]"),
    ] {
        let error = refused(json!([first, task("second", json!([argument]))]));
        assert_eq!(error.place.to_string(), place);
        assert!(matches!(&error.problem, ImportProblem::Awaited { awaited, .. } if awaited == CROP), "{error}");
        assert!(error.to_string().contains(&cid), "{error}");
    }
    for argument in [json!({"await/ok": "a label"}), json!([{"ipvm/input": "x"}])] {
        let error = refused(json!([first, task("second", json!([argument]))]));
        assert!(matches!(&error.problem, ImportProblem::Reserved(_)), "{error}");
    }
    let error = refused(json!([task("second", json!([{"photo": {"/": IMAGE}}]))]));
    assert!(matches!(&error.problem, ImportProblem::AmbiguousPromise(key) if key == "photo"), "{error}");
}

#[test]
fn what_cannot_be_carried_over_is_refused_or_noted_where_it_stands() {
    let with = |path: &[&str], value: Value| {
        let mut task = task("f", json!([]));
        let (last, way) = path.split_last().unwrap();
        let parent = way.iter().fold(&mut task, |task, key| &mut task[*key]);
        parent[*last] = value;
        task
    };
    for (path, value, said) in [
        (&["run", "op"][..], json!("crud/read"), "tasks[0].run.op: the operation \"crud/read\""),
        (&["run", "rsc"], json!("https://example.com/a.wasm"), "tasks[0].run.rsc: the resource"),
        (&["run", "rsc"], json!(format!("{UNIXFS}/a.wasm")), "tasks[0].run.rsc: the resource"),
        (&["run", "rsc"], json!(1), "tasks[0].run.rsc: expected"),
        (&["run", "nnc"], json!("abc"), "tasks[0].run.nnc: a nonce"),
        (&["run", "nnc"], json!({"/": {"bytes": "AQI"}}), "tasks[0].run.nnc: a nonce"),
        (&["run", "input"], json!([]), "tasks[0].run.input: expected a map"),
        (&["run", "input", "args"], json!({}), "tasks[0].run.input.args: expected a list"),
        (&["run", "input", "func"], json!(null), "tasks[0].run.input.func: expected a string"),
        (&["run"], json!({"/": CROP}), "tasks[0].run: the instruction"),
        (&["run"], json!({}), "tasks[0].run: the field \"op\" is missing"),
        (&["meta"], json!([]), "tasks[0].meta: expected a map"),
        (&["meta", "fuel"], json!("all"), "tasks[0].meta.fuel: expected an integer"),
        (&["meta", "memory"], json!(-1), "tasks[0].meta.memory: expected an integer"),
    ] {
        let error = refused(json!([with(path, value)])).to_string();
        assert!(error.starts_with(said), "{error}");
    }
    assert_eq!(import(&Ipld::Null, &BTreeMap::new()).unwrap_err().problem, ImportProblem::Expected("a map"));
    assert!(matches!(refused(json!([])).problem, ImportProblem::Document(_)));
    for (path, value, said) in [
        (&["cause"][..], json!({"/": CROP}), "tasks[0].cause: the receipt"),
        (&["prf"], json!([{"/": CROP}]), "tasks[0].prf: proofs"),
        (&["meta", "fuel"], json!(18_446_744_073_709_552_000_f64 as u64), "tasks[0].meta: limits"),
        (&["meta", "about"], json!("me"), "tasks[0].meta.about: metadata"),
        (&["run", "also"], json!(1), "tasks[0].run.also: a field that homestar does not know"),
    ] {
        let notes = notes(&imported(json!([with(path, value)])));
        assert!(notes.iter().any(|note| note.starts_with(said)), "{said}: {notes:?}");
    }
    let twice = imported(json!([task("f", json!([1])), task("f", json!([1]))]));
    assert_eq!(twice.document.tasks().len(), 1);
    assert!(notes(&twice).iter().any(|note| note.starts_with("tasks[1]: the same instruction as tasks[0]")));
    let named = imported(json!([with(&["meta", "name"], json!("mine")), task("f", json!([1]))]));
    assert_eq!(named.document.tasks().keys().collect::<Vec<_>>(), ["f", "mine"]);
    let limits = with(&["meta"], json!({"fuel": 5, "memory": 6, "time": 7}));
    let limits = &imported(json!([limits])).document.tasks()["f"].config.clone();
    let limits = dagjson::encode(&Ipld::Map(limits.clone()));
    assert_eq!(limits, r#"{"gas":5,"memory":[6,"bytes"],"time":[7,"milli","seconds"]}"#);
}

#[test]
fn components_at_hand_take_the_place_of_resources() {
    let cid = block::raw_cid(b"component");
    let unixfs: Cid = UNIXFS.strip_prefix("ipfs://").unwrap().parse().unwrap();
    let components = [(unixfs, Component { cid, file: "a.wasm".to_owned() })].into();
    let imported = import(&read(&json!([task("f", json!([]))])), &components).unwrap();
    assert_eq!(imported.document.tasks()["f"].args["mod"], Ipld::Link(cid));
    assert_eq!(imported.document.meta()["blocks"], Ipld::List(vec![Ipld::String("a.wasm".to_owned())]));
    assert!(imported.notes.iter().all(|note| !note.text.contains("--module")));
}

proptest! {
    /// Whatever the arguments are, they are carried over or refused, and nothing in them becomes a promise or an input by itself.
    #[test]
    fn any_data_is_carried_over_as_it_is(numbers in prop::collection::vec(any::<i64>(), 0..5), texts in prop::collection::vec(any::<String>(), 0..5), key in any::<String>()) {
        prop_assume!(key != "/");
        let args = json!([numbers, texts, {key: {"x": [null, true, 1.5]}}]);
        let imported = imported(json!([task("f", args.clone())]));
        prop_assert_eq!(params(&imported, "f"), args);
        prop_assert!(imported.document.inputs().is_empty());
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn example(name: &str) -> String {
    root().join("examples/workflows/homestar").join(name).to_str().unwrap().to_owned()
}

fn guest(name: &str) -> String {
    root().join("examples/guests").join(name).to_str().unwrap().to_owned()
}

fn outcome(events: &[Value], label: &str) -> Value {
    let finished = events.iter().find(|event| event["event"] == "finished" && event["label"] == label);
    finished.unwrap_or_else(|| panic!("{label}: {events:?}"))["out"].clone()
}

#[test]
fn a_report_is_imported_planned_and_run() {
    let shell = Shell::new();
    for (output, yaml) in [("report.json", false), ("report.yaml", false), ("report.txt", true)] {
        let (example, words, shape) = (example("report.json"), guest("words.wasm"), guest("shape.wasm"));
        let mut arguments = vec!["import", &example, "--module", &words, "--module", &shape, "-o", output];
        arguments.extend(yaml.then_some("--yaml"));
        let said = shell.ok(&arguments);
        assert!(said.contains("5 tasks"), "{said}");
    }
    let read = |name: &str| std::fs::read(shell.path(name)).unwrap();
    assert_eq!(read("report.yaml"), read("report.txt"));
    assert_eq!(
        ipvm_workflow::yaml::decode(&read("report.yaml")).unwrap(),
        dagjson::decode(&read("report.json")).unwrap()
    );
    let planned = shell.json(&["plan", "report.json"]);
    assert_eq!(planned, shell.json(&["plan", "report.yaml"]));
    assert_eq!(planned.len(), 5);
    let events = shell.json(&["run", "report.yaml"]);
    let report = outcome(&events, "report").to_string();
    assert!(report.contains("What the text is made of") && report.contains("| be"), "{report}");
    // A file is never written over.
    let (example, words) = (example("report.json"), guest("words.wasm"));
    assert!(shell.refused(&["import", &example, "--module", &words, "-o", "report.json"]).contains("report.json"));
}

#[test]
fn a_chain_with_nonces_limits_and_homestars_spellings_is_run_on_its_terms() {
    let shell = Shell::new();
    let unixfs = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    let (example, words) = (example("chain.json"), guest("words.wasm"));
    let module = format!("{unixfs}={words}");
    std::fs::create_dir(shell.path("made")).unwrap();
    let said = shell.json(&["import", &example, "--module", &module, "-o", "made/chain.yaml"]);
    let note = said.iter().find(|event| event["event"] == "note").unwrap();
    assert_eq!((&note["place"], &note["line"], &note["column"]), (&json!("tasks[0].meta"), &json!(5), &json!(15)));
    let done = said.last().unwrap();
    assert_eq!((&done["event"], &done["tasks"]), (&json!("imported"), &json!(3)));
    assert_eq!(done["document"]["tasks"]["last"]["config"]["gas"], json!(500_000_000));
    assert_eq!(shell.json(&["--compat", "homestar", "plan", "made/chain.yaml"]).len(), 3);
    let events = shell.json(&["--compat", "homestar", "run", "made/chain.yaml"]);
    assert!(outcome(&events, "last").to_string().contains("# # # one"), "{events:?}");
}

#[test]
fn what_the_command_refuses_it_points_at() {
    let shell = Shell::new();
    let chain = std::fs::read_to_string(example("chain.json")).unwrap();
    shell.write("changed.json", chain.replace("\"one\"", "\"two\""));
    let error = shell.refused(&["import", "changed.json"]);
    assert!(error.contains("--> changed.json:34:13"), "{error}");
    assert!(error.contains("tasks[1].run.input.args[0]: it awaits the instruction bafyrmiebkep3yomo6cnjvi7iaisfy754vhrpveyl64ix2ss3k5dou4a4jy"), "{error}");
    shell.write("bad.json", "{\"tasks\": [\n}");
    assert!(shell.refused(&["import", "bad.json"]).contains("--> bad.json:2:1"));
    let (example, shape) = (example("chain.json"), guest("shape.wasm"));
    assert!(shell.refused(&["import", &example, "--module", &shape]).contains("no task"));
    let wrong = format!("bafkreigri4sewtaf7di2swrwkxxr3civkvl33jnkcjynitmrg3ifjg6hbm={shape}");
    assert!(shell.refused(&["import", &example, "--module", &wrong]).contains("has the CID"));
}

#[test]
fn content_is_given_when_it_is_run() {
    let shell = Shell::new();
    let kinds = guest("kinds/kinds-rust.wasm");
    let component = block::raw_cid(&std::fs::read(&kinds).unwrap());
    let content = block::raw_cid(b"some bytes");
    let run = json!({
        "rsc": {"/": component.to_string()}, "op": "wasm/run", "nnc": "",
        "input": {"func": "ipvm:kinds/api@1.0.0#crc32", "args": [{"/": content.to_string()}]},
    });
    shell.write("sum.json", json!({"tasks": [{"run": run, "cause": null, "meta": {}, "prf": []}]}).to_string());
    shell.write("content", b"some bytes");
    shell.ok(&["import", "sum.json", "--module", &kinds, "-o", "sum.yaml"]);
    assert!(shell.refused(&["plan", "sum.yaml"]).contains(&format!("needs the input \"{content}\"")));
    let events = shell.json(&["run", "sum.yaml", "--input-bytes", &format!("{content}=content")]);
    assert!(outcome(&events, "ipvm:kinds/api@1.0.0#crc32").to_string().contains("2673442645"), "{events:?}");
}
