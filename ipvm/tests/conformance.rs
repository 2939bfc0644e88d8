//! Every vector in the repository through the real command, and the protocol itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ucan_core::{Ipld, dagjson};

fn start() -> Child {
    Command::new(env!("CARGO_BIN_EXE_ipvm"))
        .arg("conformance")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Asks one process everything, and gives its answers once it has ended well.
fn ask(lines: Vec<String>) -> Vec<String> {
    let mut process = start();
    let mut input = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn part<'a>(value: &'a Ipld, key: &str) -> Option<&'a Ipld> {
    match value {
        Ipld::Map(map) => map.get(key),
        _ => None,
    }
}

/// All files with vectors, wherever they are under `fixtures`.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
}

/// Of an object, the keys that are expected have to be there and equal; anything else has to be equal.
fn agrees(expected: &Ipld, found: &Ipld) -> bool {
    match expected {
        Ipld::Map(expected) => expected.iter().all(|(key, value)| part(found, key) == Some(value)),
        expected => expected == found,
    }
}

/// The same for an answer that is not read: every entry that is expected stands in it.
fn agrees_as_text(key: &str, expected: &Ipld, answer: &str) -> bool {
    let Ipld::Map(expected) = expected else { return false };
    let stands = |(key, value): (&String, &Ipld)| answer.contains(&format!("\"{key}\":{}", dagjson::encode(value)));
    !expected.is_empty() && answer.contains(&format!(",\"{key}\":{{")) && expected.iter().all(stands)
}

#[test]
fn every_vector() {
    let (mut paths, mut total, mut wrong) = (Vec::new(), 0, Vec::new());
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures"), &mut paths);
    for path in paths {
        let file = dagjson::decode(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let Some(Ipld::List(cases)) = part(&file, "cases") else { continue };
        // Files of blocks or documents have cases of another kind.
        if cases.first().is_some_and(|case| !matches!(part(case, "request"), Some(Ipld::Map(_)))) {
            continue;
        }
        assert!(!cases.is_empty(), "{path:?} has no cases");
        let requests = cases.iter().enumerate().map(|(index, case)| {
            let Some(Ipld::Map(request)) = part(case, "request") else { panic!("{path:?}, {index}: no request") };
            let mut request = request.clone();
            request.insert("id".to_owned(), Ipld::Integer(i128::try_from(index).unwrap()));
            dagjson::encode(&Ipld::Map(request))
        });
        let answers = ask(requests.collect());
        assert_eq!(answers.len(), cases.len(), "{path:?}");
        for (index, (case, answer)) in cases.iter().zip(&answers).enumerate() {
            assert!(answer.starts_with(&format!(r#"{{"id":{index},"#)), "{path:?}, {index}: {answer}");
            let expected = ["ok", "error"].into_iter().find_map(|key| Some((key, part(case, key)?)));
            let (key, expected) = expected.unwrap_or_else(|| panic!("{path:?}, {index}: nothing is expected"));
            assert!(key == "ok" || part(expected, "name").is_some(), "{path:?}, {index}: an error without a name");
            let agrees = match dagjson::decode(answer.as_bytes()) {
                Ok(found) => part(&found, key).is_some_and(|found| agrees(expected, found)),
                // A value may be as deep as our reader goes, and in an answer it is deeper by two.
                Err(error) if matches!(error.kind(), dagjson::JsonErrorKind::TooDeep(_)) => {
                    agrees_as_text(key, expected, answer)
                }
                Err(error) => panic!("{path:?}, {index}: {error}"),
            };
            if !agrees {
                let name = part(case, "name").map(dagjson::encode).unwrap_or_default();
                wrong.push(format!(
                    "{}: {name}\n  expected {key} {}\n  got {answer}",
                    path.display(),
                    dagjson::encode(expected)
                ));
            }
            total += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {total} vectors:\n{}", wrong.len(), wrong.join("\n"));
    assert!(total > 250, "only {total} vectors were found");
}

/// DAG-JSON has no operation of its own: what is read of it is what a selector finds in it.
#[test]
fn every_vector_of_dag_json() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ipld/dag-json.json");
    let Some(Ipld::List(cases)) = part(&dagjson::decode(&fs::read(path).unwrap()).unwrap(), "cases").cloned() else {
        panic!("a file has cases")
    };
    let text = |case: &Ipld, key| match part(case, key) {
        Some(Ipld::String(text)) => Some(text.replace('\n', " ")),
        _ => None,
    };
    let requests = cases.iter().map(|case| {
        let json = text(case, "json").unwrap();
        format!(r#"{{"op":"selector","selector":".[1]","data":[null,{json}]}}"#)
    });
    let bytes = cases.iter().filter_map(|case| Some((text(case, "dagcbor")?, text(case, "json")?)));
    let (bytes, texts): (Vec<_>, Vec<_>) = bytes.unzip();
    let encoded = bytes.iter().map(|bytes| format!(r#"{{"op":"dagcbor","bytes":"{bytes}"}}"#));
    let answers = ask(requests.chain(encoded).collect());
    assert_eq!((cases.len() + bytes.len(), answers.len()), (285, 285));
    let (read, decoded) = answers.split_at(cases.len());
    for (case, answer) in cases.iter().zip(read) {
        let value = text(case, "json").filter(|_| part(case, "error").is_none());
        let holds = match &value {
            Some(value) => *answer == format!(r#"{{"id":null,"ok":{{"value":{value}}}}}"#),
            None => answer.starts_with(r#"{"id":null,"error":{"#) && answer.ends_with(r#""name":"MalformedRequest"}}"#),
        };
        assert!(holds, "{:?}: {answer}", text(case, "name"));
    }
    for (json, answer) in texts.iter().zip(decoded) {
        assert!(answer.ends_with(&format!(r#""value":{json}}}}}"#)), "{json}: {answer}");
    }
}

#[test]
fn a_conversation_goes_line_by_line() {
    let mut process = start();
    let mut input = process.stdin.take().unwrap();
    let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
    for (request, answer) in [
        (r#"{"id":1,"op":"policy","policy":[["==",".a",1]],"args":{"a":1}}"#, r#"{"id":1,"ok":true}"#),
        (
            r#"{"id":2,"op":"selector","selector":".to[99]","data":{"to":["a"]}}"#,
            r#"{"id":2,"ok":{"unresolved":true}}"#,
        ),
        (
            r#"{"op":"varsig","bytes":"NAHtAe0BE3E","id":{"a":[1.0,null]}}"#,
            r#"{"id":{"a":[1.0,null]},"ok":{"algorithm":"Ed25519","encoding":"DAG-CBOR"}}"#,
        ),
        (
            "{\"id\":3,",
            r#"{"id":null,"error":{"message":"the line is not a JSON object: expected a string at byte 8","name":"MalformedRequest"}}"#,
        ),
        (
            r#"{"id":"x","op":"fly"}"#,
            r#"{"id":"x","error":{"message":"there is no operation \"fly\"","name":"UnknownOperation"}}"#,
        ),
        (
            r#"{"id":4,"op":"delegation","token":"AAAA","now":1767225600}"#,
            r#"{"id":4,"error":{"message":"expected an array of two items at byte 0","name":"MalformedToken"}}"#,
        ),
        (r#"{"id":5,"op":"policy","policy":[],"args":{}}"#, r#"{"id":5,"ok":true}"#),
    ] {
        // The answer comes before anything more is asked.
        writeln!(input, "{request}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), answer);
    }
    drop(input);
    assert!(answers.next().is_none());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn nothing_breaks_the_conversation() {
    let long = format!(r#"{{"id":1,"op":"selector","selector":".","data":"{}"}}"#, "A".repeat(64 << 20));
    let answers = ask(vec![
        "\u{0}\u{7f}".to_owned(),
        long,
        format!(r#"{{"id":2,"op":"policy","policy":{}{},"args":{{}}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
        r#"{"id":3,"op":"dagcbor","bytes":"m5///////////w"}"#.to_owned(),
        r#"{"id":4,"op":"task","sub":"did:a:b","cmd":"/a","args":{"n":340282366920938463463374607431768211455},"nonce":""}"#.to_owned(),
        r#"{"id":5,"op":"policy","policy":[],"args":{}}"#.to_owned(),
    ]);
    let names = ["MalformedRequest", "LimitExceeded", "MalformedRequest", "", "MalformedRequest", r#""ok":true"#];
    assert_eq!(answers.len(), names.len());
    for (answer, name) in answers.iter().zip(names) {
        assert!(answer.contains(name), "{answer}");
    }
    assert!(answers[1].starts_with(r#"{"id":null"#));
    assert!(answers[3].contains("error"), "{}", answers[3]);
}
