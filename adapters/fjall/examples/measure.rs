//! Prints how many durable receipts are filed a second by 1 and by 64 writers, and how many are read again.
//!
//! `cargo run --release -p ipvm-fjall --example measure -- [folder]`; the folder decides which disk is measured.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::PathBuf;
use std::time::Instant;

use ipvm_fjall::FjallStore;
use ucan_core::{Ipld, Issuer, block};
use ucan_invocation::{Durability, Filing, InstructionId, Outcome, Receipt, ReceiptStore, TaskId};
use varsig::ed25519::SigningKey;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let path = folder.path().join("store");
    let store = FjallStore::open(&path).unwrap();

    let mut next = 0;
    for (writers, each) in [(1_usize, 4_000_usize), (64, 600), (256, 300)] {
        // Signing is not what is measured.
        let receipts: Vec<_> = (0..writers)
            .map(|_| {
                (0..each)
                    .map(|_| {
                        next += 1;
                        receipt(next)
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        let ids: Vec<_> = receipts.iter().flatten().map(|(receipt, _)| receipt.id()).collect();
        let size = receipts[0][0].0.bytes().len();
        let start = Instant::now();
        let tasks: Vec<_> = receipts
            .into_iter()
            .map(|receipts| {
                let store = store.clone();
                tokio::spawn(async move {
                    for (receipt, filing) in receipts {
                        store.file(&receipt, &filing).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = ids.len() as f64 / start.elapsed().as_secs_f64();
        println!("durable receipts of {size} B, {writers:>3} writers: {rate:>9.0} puts/s");

        let start = Instant::now();
        for id in &ids {
            store.get(id).await.unwrap().unwrap();
        }
        let rate = ids.len() as f64 / start.elapsed().as_secs_f64();
        println!("warm gets, verified and decoded:            {rate:>9.0} gets/s");
        let start = Instant::now();
        for id in &ids {
            ucan_invocation::BlockStore::get(&store, id.cid()).await.unwrap().unwrap();
        }
        let rate = ids.len() as f64 / start.elapsed().as_secs_f64();
        println!("warm gets, verified bytes:                  {rate:>9.0} gets/s");
    }
    drop(store);
    let start = Instant::now();
    let store = FjallStore::open(&path).unwrap();
    println!("reopen: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let report = store.check().await.unwrap();
    println!("full check of {} records: {:.0} ms", report.records, start.elapsed().as_secs_f64() * 1e3);
}

fn receipt(number: u64) -> (Receipt, Filing) {
    let issuer = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let task = TaskId::new(block::raw_cid(&number.to_le_bytes()));
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    let receipt =
        Receipt::builder(task, Outcome::Ok(Ipld::Bytes(vec![number as u8; 180]))).sign(&issuer, nonce).unwrap();
    let filing = Filing {
        tasks: vec![task],
        memo: Some(InstructionId::new(*task.cid())),
        inputs: vec![],
        durability: Durability::Synced,
    };
    (receipt, filing)
}
