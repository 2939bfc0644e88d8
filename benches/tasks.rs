//! What a task costs over its physical parts: instantiate and call, sign, write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use ipvm::{Node, NodeOptions};
use ipvm_benches::{best, row};
use ipvm_task::{Bounds, Runtime, WasmtimeOptions, WasmtimeRuntime};
use ipvm_workflow::{Document, How, RunReport};
use ucan_core::{DidKeys, Ipld, Issuer, block, verify};
use ucan_invocation::{Outcome, Receipt, TaskId};
use varsig::ed25519::SigningKey;

const TASKS: usize = 2_000;
const GUEST: &[u8] = include_bytes!("../examples/guests/words.wasm");

fn string(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

/// `TASKS` calls of one small function, each with arguments of its own.
fn workflow(round: usize) -> Document {
    let tasks = (0..TASKS).map(|task| {
        let args = BTreeMap::from([
            ("mod".to_owned(), Ipld::Link(block::raw_cid(GUEST))),
            ("fun".to_owned(), string("heading")),
            ("params".to_owned(), Ipld::List(vec![string(&format!("{round} {task}"))])),
        ]);
        let task_document =
            BTreeMap::from([("cmd".to_owned(), string("/wasm/run")), ("args".to_owned(), Ipld::Map(args))]);
        (format!("t{task}"), Ipld::Map(task_document))
    });
    let document =
        BTreeMap::from([("v".to_owned(), string("1.0.0")), ("tasks".to_owned(), Ipld::Map(tasks.collect()))]);
    Document::parse(&Ipld::Map(document)).unwrap()
}

/// One receipt, signed and read again.
fn receipt(executor: &Issuer, round: usize) -> Receipt {
    let ran = TaskId::new(block::dag_cbor_cid(&round.to_be_bytes()));
    Receipt::builder(ran, Outcome::Ok(Ipld::Integer(1))).sign(executor, [0; 16]).unwrap()
}

fn synced_append(folder: &std::path::Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("log")).unwrap();
    best(200, |_| {
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
    })
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");

    let key = SigningKey::from_seed(&[1; 32]);
    let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let message = [7; 400];
    let sign = best(500, |_| drop(black_box(varsig::Signer::try_sign(&key, black_box(&message)).unwrap())));
    row("sign 400 bytes, Ed25519", sign, None);
    row("make and sign a receipt", best(500, |round| drop(black_box(receipt(&executor, round)))), Some(sign));
    let signed = receipt(&executor, 0);
    let check = best(500, |_| {
        let read = Receipt::decode(black_box(signed.bytes())).unwrap();
        black_box(verify(read, &DidKeys).unwrap());
    });
    row("read and verify a receipt", check, None);
    row("append 600 bytes and sync", synced_append(folder.path()), None);

    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    let component = runtime.prepare(&block::raw_cid(GUEST), GUEST).unwrap();
    let (params, limits) = (Ipld::List(vec![string("0 1999")]), Bounds::default().default);
    let call = best(500, |_| drop(black_box(component.call("heading", &params, &limits).unwrap())));
    row("instantiate and call, all limits on", call, None);
    drop((component, runtime));

    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let node = Node::open(&NodeOptions::new(folder.path().join("state"))).unwrap();
    tokio.block_on(node.put(&block::raw_cid(GUEST), Bytes::from_static(GUEST))).unwrap();
    let documents: Vec<Document> = (0..5).map(workflow).collect();
    let run = |round: usize| -> RunReport {
        tokio.block_on(node.run(&documents[round], BTreeMap::new(), BTreeMap::new(), &|_| ())).unwrap()
    };
    let fresh = best(5, |round| assert!(run(round).steps.iter().all(|step| step.how == How::Ran)));
    let each = fresh / TASKS as u32;
    row(&format!("a task of a run of {TASKS}: planned, checked, run, signed, stored"), each, Some(call + sign));
    let again = best(5, |round| assert!(run(round).steps.iter().all(|step| step.how == How::Reused)));
    row(&format!("a task of the same run again: reused ({TASKS} tasks)"), again / TASKS as u32, Some(sign));
}
