//! `ipvm wasm`: components inspected and called, without keys or a store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::path::Path;

use shell::Shell;

fn guest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests").join(name).display().to_string()
}

#[test]
fn a_component_is_shown_with_its_functions_and_what_it_asks_for() {
    let shell = Shell::new();
    let shape = shell.ok(&["wasm", "inspect", &guest("shape.wasm")]);
    for expected in [
        "component  bafkreigpcqnbbyuzbagfwyh5iknsgyhg6fh3wp2qy5sfapq4iwynxaowha",
        "imports    nothing: it is pure",
        "export measure: func(text: string) -> measure-result;",
        "    longest-line: u64,",
    ] {
        assert!(shape.contains(expected), "{shape}");
    }
    let dag = &shell.json(&["wasm", "inspect", &guest("dag.wasm")])[0];
    assert_eq!(dag["pure"], false);
    assert_eq!(dag["imports"][0], "ipvm:ipld/blocks@1.0.0");
    assert_eq!(dag["exports"][1]["name"], "links");
    assert_eq!(dag["exports"][1]["type"], "func(value: node) -> list<link>");
    assert_eq!(dag["exports"][0]["schema"]["properties"]["result"]["type"], "integer");
    // All of it is a file that tools read.
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_str("dag.wit", dag["wit"].as_str().unwrap()).unwrap();
    // Nothing was set up for that.
    assert!(!shell.path(".ipvm").exists());
}

#[test]
fn schemas_are_shown_for_each_function() {
    let shell = Shell::new();
    let ipld = shell.ok(&["wasm", "inspect", "--schema", "ipld", &guest("shape.wasm")]);
    assert!(ipld.contains("# measure\ntype MeasureParams union {"), "{ipld}");
    let json = shell.ok(&["wasm", "inspect", "--schema", "json", &guest("shape.wasm")]);
    assert!(json.contains("https://json-schema.org/draft/2020-12/schema"), "{json}");
}

#[test]
fn functions_are_called_with_wave_or_with_dag_json() {
    let shell = Shell::new();
    let shape = guest("shape.wasm");
    let said = shell.ok(&["wasm", "call", &shape, "measure", r#""a b""#]);
    assert_eq!(said.trim_end(), "{bytes: 3, chars: 3, lines: 1, words: 2, longest-line: 3}");
    let said = shell.ok(&["wasm", "call", &shape, "measure", "--params", r#"{"text": "a b"}"#]);
    assert_eq!(said.trim_end(), r#"{"bytes":3,"chars":3,"lines":1,"longest-line":3,"words":2}"#);
    let done = &shell.json(&["wasm", "call", &shape, "letters", r#""Abba""#])[0];
    assert_eq!(done["event"], "result");
    assert_eq!(done["value"], serde_json::json!([{"letter": "a", "count": 2}, {"letter": "b", "count": 2}]));
    assert!(done["fuel"].as_u64().unwrap() > 100);

    fs::write(shell.path("text"), "one\ntwo\nthree").unwrap();
    let cid = ucan_core::block::raw_cid(b"one\ntwo\nthree");
    let lines = ["wasm", "call", "--block", "text", &guest("dag.wasm"), "lines", &format!("\"{cid}\"")];
    assert_eq!(shell.ok(&lines).trim_end(), "3");
}

#[test]
fn functions_are_called_in_the_forms_of_another_runtime_where_it_is_asked_for() {
    let shell = Shell::new();
    let shape = guest("shape.wasm");
    let loose = ["wasm", "call", &shape, "MEASURE", "--params", r#"[["a b"]]"#];
    assert!(shell.refused(&loose).contains("there is no export `MEASURE`"));
    let said = shell.ok(&[&loose[..], &["--compat", "homestar"]].concat());
    assert_eq!(said.trim_end(), r#"{"bytes":3,"chars":3,"lines":1,"longest-line":3,"words":2}"#);
    assert!(shell.refused(&[&loose[..], &["--compat", "other"]].concat()).contains("homestar"));
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let shell = Shell::new();
    let shape = guest("shape.wasm");
    fs::write(shell.path("text"), "# not Wasm").unwrap();
    for (args, expected) in [
        (&["call", &shape, "measur", "\"a\""][..], "did you mean `measure`?"),
        (&["call", &shape, "measure"], "measure takes 1 arguments, and 0 were given: func(text: string)"),
        (&["call", &shape, "measure", "a b"], "a string is written with quotes"),
        (&["call", &shape, "measure", "3"], "the argument text: at byte 0: expected string, found a number"),
        (&["call", &shape, "measure", "--params", "[3]"], "params[0]: expected string, found the integer 3"),
        (&["call", &shape, "measure", "--params", "{"], "--params: "),
        (&["inspect", "text"], "expected a WebAssembly component, found 10 bytes of text"),
        (&["inspect", "nothing"], "nothing: "),
    ] {
        let said = shell.refused(&[&["wasm"], args].concat());
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_call_that_fails_has_a_status_of_its_own() {
    let shell = Shell::new();
    let output = shell.command(&["wasm", "call", "--fuel", "100", &guest("shape.wasm"), "measure", "\"a\""]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("out of fuel: the limit is 100"), "{said}");
}
