//! Documents in files: what is wrong in one is shown where it stands, in JSON and in YAML.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use serde_json::Value;
use shell::Shell;

/// Refuses a document, and says what, at which line and column, and what stands there under the mark.
fn refused(shell: &Shell, file: &str, document: &str) -> (String, u64, u64, String) {
    shell.write(file, document);
    let output = shell.command(&["--json", "plan", file]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{document}: {output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["event"], "error");
    let message = said["message"].as_str().unwrap().to_owned();
    let (line, column) = (said["line"].as_u64().expect(&message), said["column"].as_u64().unwrap());
    assert_eq!(said["file"], file);
    // For people: the file, the line, and a mark under what is meant.
    let shown = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|text| text.ends_with(&format!("--> {file}:{line}:{column}"))).expect(&shown);
    let mark = lines[at + 3].chars().position(|char| char == '^').expect(&shown);
    (message, line, column, lines[at + 2].chars().skip(mark).collect())
}

/// The documents, in which `@` stands before what is wrong, and what is said of it.
fn documents() -> Vec<(&'static str, &'static str)> {
    let mut documents = vec![
        // Shapes.
        ("v: 1.0.0\ntasks:\n  a:\n    cmd: /file/write\n    @argz: {}\n", "unknown field"),
        ("v: 1.0.0\n@task: {}\n", "unknown field"),
        ("@v: 1.0.0\n", "\"tasks\" is missing"),
        ("v: 1.0.0\ntasks: {a: @{cmd: /x}}\n", "\"args\" is missing"),
        ("v: 1.0.0\ntasks: {a: {cmd: /x, args: @[]}}\n", "expected a map, found a list"),
        ("v: @1\ntasks: {}\n", "expected a string, found an integer"),
        ("v: 1.0.0\ntasks: @{}\n", "at least one task"),
        ("v: 1.0.0\ntasks: {a: {cmd: @x/y, args: {}}}\n", "not a command"),
        ("v: 1.0.0\ntasks: {a: {cmd: /x, args: {}, allow: [b, @1]}}\n", "tasks.a.allow[1]"),
        ("v: 1.0.0\ntasks: {a: {cmd: /x, args: {}, aud: @b}}\n", "the audience \"b\""),
        ("v: 1.0.0\ntasks: {a: {cmd: /x, args: {}, config: {secret: @1}}}\n", "true or false"),
        (
            "v: 1.0.0\ntasks: {a: {cmd: /x, args: {}, config: {retry: {attempts: @0}}}}\n",
            "tasks.a.config.retry.attempts",
        ),
        ("v: 1.0.0\ntasks: {a: {cmd: /x, args: {}}, @'': {cmd: /x, args: {}}}\n", "1 to 256 bytes"),
        ("v: 1.0.0\nmeta: {blocks: [@1]}\ntasks: {a: {cmd: /x, args: {}}}\n", "meta.blocks"),
        // What is bound.
        ("v: 1.0.0\ntasks: {a: {cmd: /file/write, args: {path: [1, @{ipvm/input: p}]}}}\n", "needs the input \"p\""),
        ("v: 1.0.0\ntasks: {a: {cmd: /file/write, sub: @nobody, args: {}}}\n", "\"nobody\""),
        // What is planned.
        (
            "v: 1.0.0\ntasks:\n  a: {cmd: /file/write, sub: output, args: {path: p, content: @{await/ok: b}}}\n",
            "no task has that label",
        ),
        ("v: 1.0.0\ntasks:\n  a: {cmd: /file/write, sub: output, args: {}, undo: @b}\n", "\"b\""),
        ("v: 1.0.0\ntasks:\n  a: {cmd: /file/write, sub: output, args: {}, allow: [a, @b]}\n", "\"b\""),
        ("v: 1.0.0\ntasks:\n  a: {cmd: @/no/such, sub: output, args: {}}\n", "no handler"),
        (
            "v: 1.0.0\ntasks:\n  r: {cmd: /file/read, sub: output, args: {path: @{await/ok: w}}}\n  w: {cmd: /file/write, sub: output, args: {path: p, content: c}}\n",
            "mutations come last",
        ),
        (
            "v: 1.0.0\ntasks:\n  'x.y':\n    {cmd: /file/write, sub: output, args: {path: p, content: c}}\n  @x:\n    cmd: /file/write\n    sub: output\n    args: {path: 1, content: y}\n",
            "\"path\"",
        ),
    ];
    documents.push((
        "v: 1.0.0\ntasks:\n  @a: {cmd: /file/write, sub: output, args: {path: {await/ok: b}, content: c}}\n  b: {cmd: /file/write, sub: output, args: {path: {await/ok: a}, content: c}}\n",
        "a -> b -> a",
    ));
    documents
}

#[test]
fn what_is_wrong_is_shown_where_it_stands_in_yaml() {
    let shell = Shell::new();
    for (document, message) in documents() {
        let at = document.find('@').unwrap();
        let text = document.replacen('@', "", 1);
        let (said, line, column, marked) = refused(&shell, "bad.yaml", &text);
        assert!(said.contains(message), "{text}: {said}");
        let before = &document[..at];
        let expected = (1 + before.matches('\n').count(), 1 + before.rsplit('\n').next().unwrap().len());
        assert_eq!((line as usize, column as usize), expected, "{text}: {said}");
        assert!(text[at..].starts_with(marked.trim_end()), "{marked} in {text}");
    }
}

#[test]
fn what_is_wrong_is_shown_where_it_stands_in_json() {
    let shell = Shell::new();
    let call = r#"{"cmd": "/file/write", "sub": "output", "args": {"path": "p", "content": "c"}}"#;
    for (document, message) in [
        (r#"{"v": "1.0.0", "tasks": {"a": CALL, "b": {@"x": CALL}}}"#, "unknown field"),
        ("{\"v\": \"1.0.0\",\n\t\"tasks\": {\"é\": {\"cmd\": @\"x\", \"args\": {}}}}", "not a command"),
        (r#"{"v": "1.0.0", "tasks": {"a": @{"cmd": "/x"}}}"#, "\"args\" is missing"),
        (r#"@{"v": "1.0.0"}"#, "\"tasks\" is missing"),
        (r#"@[]"#, "expected a map"),
        ("{\"v\": \"1.0.0\",\n  @tasks}", "not JSON"),
        ("{\"a\": 1,\n  @\"a\": 2}", "occurs twice"),
    ] {
        let document = document.replace("CALL", call);
        let at = document.find('@').unwrap();
        let text = document.replacen('@', "", 1);
        let (said, line, column, _) = refused(&shell, "bad.json", &text);
        assert!(said.contains(message), "{text}: {said}");
        let before = &document[..at];
        let expected = (1 + before.matches('\n').count(), 1 + before.rsplit('\n').next().unwrap().chars().count());
        assert_eq!((line as usize, column as usize), expected, "{text}: {said}");
    }
}

#[test]
fn yaml_itself_is_refused_where_it_is_wrong() {
    let shell = Shell::new();
    for (document, message, at) in [
        ("v: 1.0.0\nv: 2\n", "occurs twice", (2, 1)),
        ("v: &a 1.0.0\n", "an anchor", (1, 4)),
        ("v: !!binary x\n", "!!binary", (1, 4)),
        ("v: 1.0.0\n---\nv: 1.0.0\n", "a second document", (2, 1)),
        ("v: [.nan]\n", "not finite", (1, 5)),
        ("1: x\n", "no string", (1, 1)),
        ("v: [1,\ntasks: 2\n", "not YAML", (2, 1)),
    ] {
        let (said, line, column, _) = refused(&shell, "bad.yml", document);
        assert!(said.contains(message) && said.starts_with("bad.yml is not YAML"), "{document}: {said}");
        assert_eq!((line, column), at, "{document}: {said}");
    }
}

#[test]
fn several_tasks_without_authority_are_all_shown() {
    let shell = Shell::new();
    let plan = ["--json", "plan", "two.yaml"];
    let task = "{cmd: /file/write, sub: output, args: {path: p, content: c}}";
    shell.write("two.yaml", format!("v: 1.0.0\ntasks:\n  a: {task}\n\n  b: {task}\n"));
    assert!(shell.command(&plan).output().unwrap().status.success());
    std::fs::remove_file(shell.path(".ipvm/delegations/user-may-write-output.ucan")).unwrap();
    let output = shell.command(&plan).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["message"].as_str().unwrap().contains("no authority for a, b"), "{said}");
    let lines: Vec<u64> =
        said["places"].as_array().unwrap().iter().map(|place| place["line"].as_u64().unwrap()).collect();
    assert_eq!((said["line"].as_u64(), lines), (Some(3), vec![3, 5]));
    // What is not in the file has no place in it.
    let output = shell.command(&["--json", "plan", "two.yaml", "--input-json", "x=1"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["message"].as_str().unwrap().contains("no task asks") && said["line"].is_null(), "{said}");
}

#[test]
fn a_document_is_the_same_workflow_in_json_and_in_yaml() {
    let shell = Shell::new();
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests");
    for guest in ["words", "shape"] {
        std::fs::copy(format!("{guests}/{guest}.wasm"), shell.path(&format!("{guest}.wasm"))).unwrap();
    }
    let workflow = std::fs::read_to_string(format!("{guests}/../workflows/words.json")).unwrap();
    let workflow = workflow.replace("../guests/", "");
    let document = ucan_core::dagjson::decode(workflow.as_bytes()).unwrap();
    shell.write("words.json", &workflow);
    shell.write("words.yaml", ipvm_workflow::yaml::encode(&document));
    shell.write("text.txt", "to be or not to be");
    let planned = |file: &str| shell.json(&["plan", file, "--input", "text=text.txt"]);
    let by_label = |events: Vec<Value>| {
        let tasks = events.into_iter().filter(|event| event["class"] == "deterministic");
        tasks.map(|event| (event["label"].clone(), event["task"].clone())).collect::<Vec<_>>()
    };
    let (json, yaml) = (by_label(planned("words.json")), by_label(planned("words.yaml")));
    assert_eq!((json.len(), &json), (5, &yaml));
    let run = |file: &str| shell.json(&["run", file, "--input", "text=text.txt"]);
    let (first, second) = (run("words.json"), run("words.yaml"));
    assert_eq!(first[0]["workflow"], second[0]["workflow"]);
    let reused = second.iter().filter(|event| event["event"] == "finished" && event["status"] == "reused");
    assert_eq!(reused.count(), 5);
}
