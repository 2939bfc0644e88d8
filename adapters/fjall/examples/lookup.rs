//! Prints how long it takes to look up what is known about an instruction that one receipt answers, in memory and in the
//! embedded store: the median of single look-ups, all over the store and of one instruction again and again.
//!
//! `cargo run --release -p ipvm-fjall --example lookup -- [folder] [receipts]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipvm_fjall::FjallStore;
use ucan_core::{Ipld, Issuer, block};
use ucan_invocation::{Durability, Filing, InstructionId, MemoryReceipts, Outcome, Receipt, ReceiptStore, TaskId};
use varsig::ed25519::SigningKey;

/// How many receipts the store holds, unless somebody says otherwise.
const RECEIPTS: u64 = 10_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let receipts = std::env::args().nth(2).map_or(RECEIPTS, |count| count.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let path = folder.path().join("store");
    let memory = MemoryReceipts::default();
    let store = FjallStore::open(&path).unwrap();
    let mut instructions = Vec::new();
    for number in 0..receipts {
        let (receipt, filing) = receipt(number);
        memory.file(&receipt, &filing).await.unwrap();
        store.file(&receipt, &filing).await.unwrap();
        instructions.extend(filing.memo);
    }
    measure("in memory", &memory, &instructions).await;
    measure("embedded, after filing", &store, &instructions).await;
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    measure("embedded, reopened, first time", &store, &instructions).await;
    measure("embedded, reopened, second time", &store, &instructions).await;
}

async fn measure(what: &str, store: &dyn ReceiptStore, instructions: &[InstructionId]) {
    let mut all = Vec::with_capacity(instructions.len());
    // A stride that comes by every instruction, in no order that a store has.
    for at in 0..instructions.len() {
        all.push(look_up(store, &instructions[at * 7919 % instructions.len()]).await);
    }
    let mut one = Vec::with_capacity(instructions.len());
    for _ in instructions {
        one.push(look_up(store, &instructions[0]).await);
    }
    let [(all, all_late), (one, one_late)] = [all, one].map(median);
    println!("{what:<32} all: {all:>7.2} us (99%: {all_late:>7.2})   one: {one:>7.2} us (99%: {one_late:>7.2})");
}

async fn look_up(store: &dyn ReceiptStore, instruction: &InstructionId) -> Duration {
    let start = Instant::now();
    let found = store.by_instruction(instruction).await.unwrap();
    let took = start.elapsed();
    assert_eq!(found.len(), 1);
    took
}

/// The median and the 99th percentile, in microseconds.
fn median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    (at(0.5), at(0.99))
}

/// A receipt of the size that a small result has.
fn receipt(number: u64) -> (Receipt, Filing) {
    let issuer = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let task = TaskId::new(block::raw_cid(&number.to_le_bytes()));
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    let meta = [
        ("fuel".to_owned(), Ipld::Integer(12_345)),
        ("profile".to_owned(), Ipld::Link(block::raw_cid(b"profile"))),
        ("time".to_owned(), Ipld::Integer(678)),
    ];
    let value = Ipld::Map([("words".to_owned(), Ipld::List((0..20).map(Ipld::Integer).collect()))].into());
    let receipt = Receipt::builder(task, Outcome::Ok(value)).meta(meta.into()).sign(&issuer, nonce).unwrap();
    let memo = Some(InstructionId::new(block::dag_cbor_cid(&number.to_le_bytes())));
    (receipt, Filing { tasks: vec![task], memo, inputs: vec![], durability: Durability::Buffered })
}
