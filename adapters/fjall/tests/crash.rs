//! A process that writes is killed at random moments; whatever it acknowledged has to be there afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use common::{filing, instruction, noise, receipt, task};
use ipvm_fjall::FjallStore;
use ipvm_workflow::{Entry, Journal};
use ucan_core::block;
use ucan_invocation::{BlockStore, Durability, ReceiptId, ReceiptStore};

const FOLDER: &str = "IPVM_FJALL_CRASH_FOLDER";
const FIRST: &str = "IPVM_FJALL_CRASH_FIRST";
const ROUNDS: u64 = 20;
const PER_ROUND: u64 = 1_000_000;

/// Not a test of its own: what the killed process runs. Without its folder it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_writes() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let first: u64 = env::var(FIRST).unwrap().parse().unwrap();
    let store = FjallStore::open(Path::new(&folder)).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (first + writer..).step_by(4) {
                    write(&store, number).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Writes something under `number`, and says so when it is acknowledged.
async fn write(store: &FjallStore, number: u64) {
    let receipt = receipt(number);
    let under = [*receipt.ran(), task("all")];
    match number % 5 {
        0 | 1 => {
            let filing = filing(&under, Some(instruction(&number.to_string())), Durability::Synced);
            store.file(&receipt, &filing).await.unwrap();
            acknowledge('r', number);
        }
        2 => {
            // Not acknowledged as durable: it may be lost, and must not be in the way.
            store.file(&receipt, &filing(&under, None, Durability::Buffered)).await.unwrap();
        }
        3 => {
            // What the workflow engine does. The block is durable because what comes after it is.
            let length = if number % 50 == 3 { 300_000 } else { 1_000 };
            let bytes = Bytes::from(noise(number, length));
            BlockStore::put(store, &block::raw_cid(&bytes), bytes).await.unwrap();
            let (run, workflow) = (*receipt.ran(), *task("workflow").cid());
            store.append(&Entry::Started { run, workflow, request: workflow, handover: None, at: None }).await.unwrap();
            acknowledge('s', number);
            store.append(&Entry::Intent { run, task: *receipt.ran() }).await.unwrap();
            acknowledge('i', number);
        }
        _ => {
            let (run, workflow) = (*receipt.ran(), *task("workflow").cid());
            store.append(&Entry::Started { run, workflow, request: workflow, handover: None, at: None }).await.unwrap();
            store.append(&Entry::Finished { run, receipt: receipt.id() }).await.unwrap();
            acknowledge('f', number);
        }
    }
}

fn acknowledge(kind: char, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {kind} {number}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged: BTreeSet<(char, u64)> = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_process_that_writes", "--nocapture"])
            .env(FOLDER, &path)
            .env(FIRST, (round * PER_ROUND).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            // A line that the kill cut off acknowledges nothing.
            out.split(b'\n')
                .map_while(Result::ok)
                .filter_map(|line| parse(&String::from_utf8(line).ok()?))
                .collect::<Vec<_>>()
        });
        // Some rounds end while the store is being opened or made.
        let wait = noise(round + std::process::id() as u64, 1)[0] as u64 * if round % 4 == 0 { 1 } else { 3 };
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last line may have been cut off within its number, which then reads as another.
        let mut lines = reader.join().unwrap();
        lines.pop();
        acknowledged.extend(lines);

        let store = FjallStore::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "round {round}: {report:?}");
        let unfinished: BTreeSet<_> = store.unfinished().await.unwrap().into_iter().collect();
        let all: BTreeSet<ReceiptId> =
            store.by_task(&task("all")).await.unwrap().iter().map(|receipt| receipt.id()).collect();
        for (kind, number) in &acknowledged {
            let receipt = receipt(*number);
            let there = match kind {
                'r' => {
                    let listed = store.by_instruction(&instruction(&number.to_string())).await.unwrap();
                    all.contains(&receipt.id()) && listed.len() == 1 && listed[0].bytes() == receipt.bytes()
                }
                's' => {
                    let bytes = noise(*number, if number % 50 == 3 { 300_000 } else { 1_000 });
                    let block = BlockStore::get(&store, &block::raw_cid(&bytes)).await.unwrap();
                    unfinished.contains(receipt.ran()) && block.is_some_and(|block| block == bytes)
                }
                'i' => store.intended(receipt.ran()).await.unwrap(),
                _ => !unfinished.contains(receipt.ran()),
            };
            assert!(there, "round {round}: {kind} {number} was acknowledged and is lost");
        }
    }
    assert!(acknowledged.len() > 100, "only {} writes were acknowledged", acknowledged.len());
}

/// The test harness may have written something before the first line.
fn parse(line: &str) -> Option<(char, u64)> {
    let (kind, number) = line.split_once("ack ")?.1.split_once(' ')?;
    Some((kind.chars().next()?, number.parse().ok()?))
}
