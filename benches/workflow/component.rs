//! What durable execution adds to a call of a component.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipvm_benches::{best, row};
use ipvm_fjall::FjallStore;
use ipvm_task::{Bounds, Runtime, WasmHandler, WasmtimeOptions, WasmtimeRuntime};
use ipvm_workflow::{How, Workflow};
use ucan_core::{Cid, Ipld, Issuer, block, dagcbor};
use ucan_invocation::{BlockStore, Durability, Filing, Outcome, Receipt, ReceiptStore, TaskId};

use crate::host::{Host, command};

const TASKS: usize = 4_000;
const GUEST: &[u8] = include_bytes!("../../examples/guests/words.wasm");
/// It gives back its argument in capitals.
const FUN: &str = "heading";

fn string(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn params(round: usize, number: usize) -> Ipld {
    Ipld::List(vec![string(&format!("{round} {number}"))])
}

fn task(module: Cid, round: usize, number: usize) -> Ipld {
    let args = [
        ("mod".to_owned(), Ipld::Link(module)),
        ("fun".to_owned(), string(FUN)),
        ("params".to_owned(), params(round, number)),
    ];
    Ipld::Map([("cmd".to_owned(), string("/wasm/run")), ("args".to_owned(), Ipld::Map(args.into()))].into())
}

/// A call, a signature, two hashes and a group-committed append of what a task leaves, for all of them at once, each by itself.
fn parts(
    tokio: &tokio::runtime::Runtime,
    store: &Arc<FjallStore>,
    executor: &Issuer,
    runtime: &Arc<WasmtimeRuntime>,
) -> Duration {
    let module = block::raw_cid(GUEST);
    let component = Arc::new(runtime.prepare(&module, GUEST).unwrap());
    let began = Instant::now();
    tokio.block_on(async {
        let mut filed = tokio::task::JoinSet::new();
        for number in 0..TASKS {
            let (store, executor, component) = (store.clone(), executor.clone(), component.clone());
            filed.spawn(async move {
                let called = component.call(FUN, &params(9, number), &Bounds::default().default).unwrap();
                std::hint::black_box(called);
                let id = TaskId::new(block::dag_cbor_cid(&dagcbor::encode(&task(module, 9, number)).unwrap()));
                let receipt = Receipt::builder(id, Outcome::Ok(Ipld::Integer(1))).sign(&executor, [0; 16]).unwrap();
                let durability = Durability::Buffered;
                let filing = Filing { tasks: vec![id], memo: None, inputs: vec![], durability };
                store.file(&receipt, &filing).await.unwrap();
            });
        }
        filed.join_all().await;
    });
    began.elapsed() / u32::try_from(TASKS).unwrap()
}

/// Calls of one small function of a component.
pub(crate) fn wasm(tokio: &tokio::runtime::Runtime, folder: &Path) {
    let runtime = Arc::new(WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap());
    let host = Host::open_with(folder, |router, node, store| {
        let handler = WasmHandler::new(runtime.clone(), store.clone());
        router.insert(node.clone(), command("/wasm/run"), Arc::new(handler));
    });
    let module = block::raw_cid(GUEST);
    tokio.block_on(BlockStore::put(&*host.store, &module, Bytes::from_static(GUEST))).unwrap();
    let physical = (0..3).map(|_| parts(tokio, &host.store, &host.node, &runtime)).min().unwrap();
    row("call a component, sign a receipt and file it, one of 4,000 at once", physical, None);
    let fresh: Vec<Workflow> = (0..5)
        .map(|round| {
            host.bind((0..TASKS).map(|at| (format!("t{at}"), task(module, round, at))).collect::<BTreeMap<_, _>>())
        })
        .collect();
    let took = best(5, |round| {
        assert!(tokio.block_on(host.run(&fresh[round])).steps.iter().all(|step| step.how == How::Ran));
    });
    row("a small Wasm task of 4,000, durable", took / TASKS as u32, Some(physical));
}
