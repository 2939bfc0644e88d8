//! Documents that are written in Rust.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipvm_workflow::{BuildError, Document, DocumentBuilder, Retry, TaskHandle};
use proptest::prelude::*;
use ucan_core::{Command, Ipld, dagjson};

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

#[test]
fn what_is_built_is_what_would_have_been_written() {
    let mut builder = DocumentBuilder::new();
    let a = builder.task("a", command("/ask")).arg("n", DocumentBuilder::input("n")).add().unwrap();
    let b = builder.task("b", command("/do")).arg("of", Ipld::List(vec![a.ok(), a.outcome()])).subject("box");
    let b = b.retry(Retry {
        attempts: 3,
        delay: Duration::from_millis(50),
        longest: Duration::from_secs(1),
        within: Some(Duration::from_secs(60)),
        on: BTreeSet::new(),
    });
    let b = b.add().unwrap();
    builder.task("c", command("/ask")).arg("of", b.error()).allow(&b).add().unwrap();
    builder.task("undo b", command("/do")).arg("of", b.ok()).undoes(&b).add().unwrap();
    builder.meta("title", Ipld::String("an example".to_owned()));
    builder.catch(command("/pure"), [("told".to_owned(), DocumentBuilder::failure())].into());
    let written = r#"{"v": "1.0.0", "meta": {"title": "an example"}, "tasks": {
        "a": {"cmd": "/ask", "args": {"n": {"ipvm/input": "n"}}},
        "b": {"cmd": "/do", "args": {"of": [{"await/ok": "a"}, {"await/*": "a"}]}, "sub": "box", "undo": "undo b",
              "config": {"retry": {"attempts": 3, "delay": [50, "milli", "seconds"], "longest": [1, "seconds"], "within": [1, "minutes"]}}},
        "c": {"cmd": "/ask", "args": {"of": {"await/error": "b"}}, "allow": ["b"]},
        "undo b": {"cmd": "/do", "args": {"of": {"await/ok": "b"}}}
    }, "catch": {"cmd": "/pure", "args": {"told": {"ipvm/failure": null}}}}"#;
    assert_eq!(builder.build().unwrap(), Document::parse(&dagjson::decode(written.as_bytes()).unwrap()).unwrap());
}

#[test]
fn what_makes_no_sense_is_refused_where_it_is_written() {
    let mut other = DocumentBuilder::new();
    let stranger = other.task("stranger", command("/do")).add().unwrap();

    let mut builder = DocumentBuilder::new();
    let a = builder.task("a", command("/do")).add().unwrap();
    let same = builder.task("a", command("/do")).add().unwrap_err();
    assert_eq!(same, BuildError::SameLabel { label: "a".to_owned() });
    builder.task("b", command("/do")).undoes(&a).add().unwrap();
    let twice = builder.task("c", command("/do")).undoes(&a).add().unwrap_err();
    assert_eq!(twice, BuildError::UndoneTwice { label: "a".to_owned(), by: "b".to_owned() });
    let nobody = builder.task("d", command("/do")).undoes(&stranger).add().unwrap_err();
    assert!(matches!(nobody, BuildError::UnknownTask { awaited, .. } if awaited == "stranger"));
    builder.task("e", command("/ask")).arg("of", stranger.ok()).add().unwrap();
    let error = builder.build().unwrap_err();
    assert_eq!(error, BuildError::UnknownTask { label: "e".to_owned(), awaited: "stranger".to_owned() });
    assert!(matches!(DocumentBuilder::new().build(), Err(BuildError::Document(_))), "no tasks");
}

proptest! {
    /// Whatever is built of handles is a document without circles, and survives being written down.
    #[test]
    fn handles_make_good_graphs(edges in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..12)) {
        let mut builder = DocumentBuilder::new();
        let mut handles: Vec<TaskHandle> = Vec::new();
        for (number, awaits) in edges.iter().enumerate() {
            let promises = awaits.iter().filter(|_| number > 0).map(|at| at.get(&handles[..number]).ok()).collect();
            let task = builder.task(format!("t{number}"), command("/pure")).arg("of", Ipld::List(promises));
            handles.push(task.add().unwrap());
        }
        let document = builder.build().unwrap();
        prop_assert_eq!(&Document::parse(&document.to_ipld()).unwrap(), &document);
        let order: BTreeMap<&str, usize> = handles.iter().enumerate().map(|(at, handle)| (handle.label(), at)).collect();
        prop_assert_eq!(document.tasks().len(), order.len());
    }
}
