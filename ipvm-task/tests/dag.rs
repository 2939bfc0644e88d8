//! A guest that works on IPLD: values of any shape, links, and blocks that it reads by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::runtime;
use ipvm_task::{Component, Execution, Inputs, Limits, Params, Runtime};
use ucan_core::{Cid, Ipld, StoreError, block};

const GUEST: &[u8] = include_bytes!("../../examples/guests/dag.wasm");

fn guest() -> Arc<dyn Component> {
    runtime().prepare(&block::raw_cid(GUEST), GUEST).unwrap()
}

fn call<const N: usize>(fun: &str, params: [Ipld; N]) -> Ipld {
    guest().call(fun, &Ipld::List(params.to_vec()), &Limits::STANDARD).unwrap().output
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

#[test]
fn its_types_are_links_and_nodes() {
    let guest = guest();
    let exports: Vec<String> = guest.exports().iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    assert_eq!(
        exports,
        [
            "lines: func(text: link) -> u64",
            "links: func(value: node) -> list<link>",
            "merge: func(first: node, second: node) -> result<node, string>",
        ]
    );
    assert_eq!(guest.imports(), ["ipvm:ipld/blocks@1.0.0"]);
}

#[test]
fn the_package_of_its_types_is_the_one_in_the_repository() {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("ipld.wit", include_str!("../../ipld-wit/wit/ipld.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("imports")).unwrap();
    let imports: Vec<String> = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
    assert_eq!(imports, ["ipvm:ipld/blocks@1.0.0"]);
}

#[test]
fn values_of_any_shape_go_in_and_come_out() {
    let [one, other] = [b"one", b"two"].map(|bytes| Ipld::Link(block::raw_cid(bytes)));
    let value = map([("a", Ipld::List(vec![one.clone(), Ipld::Null, other.clone()])), ("b", one.clone())]);
    assert_eq!(call("links", [value.clone()]), Ipld::List(vec![one.clone(), other]));
    assert_eq!(call("links", [Ipld::Float(0.5)]), Ipld::List(vec![]));

    let second = map([("a", Ipld::Integer(-(1 << 64))), ("c", map([("x", Ipld::Bytes(vec![0, 255]))]))]);
    let both = map([("a", Ipld::Integer(-(1 << 64))), ("b", one), ("c", map([("x", Ipld::Bytes(vec![0, 255]))]))]);
    assert_eq!(call("merge", [value, second.clone()]), map([("ok", both)]));
    let deeper = map([("c", map([("y", text("new"))]))]);
    let merged = call("merge", [second, deeper]);
    let Ipld::Map(merged) = merged else { panic!("{merged:?}") };
    let Ipld::Map(merged) = &merged["ok"] else { panic!("{merged:?}") };
    assert_eq!(merged["c"], map([("x", Ipld::Bytes(vec![0, 255])), ("y", text("new"))]));
}

#[derive(Debug)]
struct One(Cid, Bytes);

impl Inputs for One {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok((*cid == self.0).then(|| self.1.clone()))
    }
}

#[test]
fn a_block_that_is_too_large_to_be_an_argument_is_read_in_pieces() {
    let guest = guest();
    for (text, lines) in [("", 0), ("one", 1), ("one\ntwo\n", 2), (&*"a line\n".repeat(100_000), 100_000)] {
        let cid = block::raw_cid(text.as_bytes());
        let inputs = Arc::new(One(cid, Bytes::copy_from_slice(text.as_bytes())));
        let params = Ipld::List(vec![Ipld::Link(cid)]);
        // Less memory than the text has.
        let limits = Limits { memory: 1 << 20, ..Limits::STANDARD };
        let executed = guest.execute(&Execution::new("lines", Params::Ipld(&params), &limits).with_inputs(inputs));
        assert_eq!(executed.result.unwrap().output, Ipld::Integer(lines));
        assert_eq!(executed.reads, [cid]);
    }
}
