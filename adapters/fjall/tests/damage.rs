//! Every file of a closed store is damaged in turn. The store then says so, or answers what was put: it never answers
//! something else, and never forgets in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::{delegation, files, filing, instruction, issuer, noise, receipt, task};
use ipvm_fjall::{Damage, FjallStore, OpenError};
use ipvm_workflow::{Entry, Journal};
use ucan_core::{DelegationStore, StoreError, block};
use ucan_invocation::{BlockStore, Cursor, Durability, Listing, Page, ReceiptId, ReceiptStore};

/// How many of each kind of thing are put.
const EACH: u64 = 40;

/// Puts some of everything, in rounds between which the store is closed, so that there is an order to lose.
async fn fill(path: &Path) {
    for round in 0..2 {
        let store = FjallStore::open(path).unwrap();
        for number in (round..EACH).step_by(2) {
            let bytes = Bytes::from(noise(number, 700));
            BlockStore::put(&store, &block::raw_cid(&bytes), bytes).await.unwrap();
            let receipt = receipt(number);
            let filing =
                filing(&[*receipt.ran(), task("all")], Some(instruction(&number.to_string())), Durability::Synced);
            store.file(&receipt, &filing).await.unwrap();
            let (run, workflow) = (*receipt.ran(), *task("workflow").cid());
            store.append(&Entry::Started { run, workflow, request: workflow, handover: None, at: None }).await.unwrap();
            store.append(&Entry::Intent { run, task: run }).await.unwrap();
            if number % 4 < 2 {
                store.append(&Entry::Finished { run, receipt: receipt.id() }).await.unwrap();
            }
        }
        for nonce in 0..4 {
            DelegationStore::put(&store, &delegation(2, nonce * 2 + round as u8)).await.unwrap();
        }
        let large = Bytes::from(noise(1000 + round, 300_000));
        BlockStore::put(&store, &block::raw_cid(&large), large).await.unwrap();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// All is there and right.
    Whole,
    /// Opening said that something is wrong.
    RefusedToOpen,
    /// A read said so.
    RefusedToRead,
}

/// Reads all that [`fill`] put.
///
/// # Panics
/// Where an answer is wrong, or something is missing and the store does not say so.
async fn look(path: &Path, what: &str) -> Found {
    let store = match FjallStore::open(path) {
        Ok(store) => store,
        Err(OpenError::Damaged { .. } | OpenError::Format { .. } | OpenError::Io { .. }) => {
            return Found::RefusedToOpen;
        }
        Err(other) => panic!("{what}: {other}"),
    };
    match read(&store, what).await {
        Ok(()) => Found::Whole,
        Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => Found::RefusedToRead,
        Err(other) => panic!("{what}: {other}"),
    }
}

async fn read(store: &FjallStore, what: &str) -> Result<(), StoreError> {
    let mut refused = None;
    // One refusal does not hide what the others answer.
    macro_rules! answer {
        ($result:expr) => {
            match $result {
                Ok(value) => Some(value),
                Err(error) => {
                    refused = Some(error);
                    None
                }
            }
        };
    }
    let ids = |receipts: &[ucan_invocation::Receipt]| -> Vec<ReceiptId> {
        receipts.iter().map(|receipt| receipt.id()).collect()
    };
    let unfinished = answer!(store.unfinished().await);
    for number in 0..EACH {
        let bytes = noise(number, 700);
        if let Some(block) = answer!(BlockStore::get(store, &block::raw_cid(&bytes)).await) {
            assert_eq!(block.as_deref(), Some(&*bytes), "{what}: block {number}");
        }
        let receipt = receipt(number);
        if let Some(read) = answer!(ReceiptStore::get(store, &receipt.id()).await) {
            assert_eq!(
                read.map(|read| read.bytes().to_vec()),
                Some(receipt.bytes().to_vec()),
                "{what}: receipt {number}"
            );
        }
        if let Some(listed) = answer!(store.by_task(receipt.ran()).await) {
            assert_eq!(ids(&listed), [receipt.id()], "{what}: by task {number}");
        }
        if let Some(listed) = answer!(store.by_instruction(&instruction(&number.to_string())).await) {
            assert_eq!(ids(&listed), [receipt.id()], "{what}: by instruction {number}");
        }
        for listing in [Listing::Input((*receipt.ran()).into()), Listing::Output(receipt.outputs()[0])] {
            if let Some(page) = answer!(store.list(&listing, Cursor::START, 10).await) {
                assert_eq!(page.receipts, [receipt.id()], "{what}: {listing:?} {number}");
            }
        }
        if let Some(intended) = answer!(store.intended(receipt.ran()).await) {
            assert!(intended, "{what}: intent {number}");
        }
        if let Some(unfinished) = &unfinished {
            assert_eq!(unfinished.contains(receipt.ran()), number % 4 >= 2, "{what}: run {number}");
        }
    }
    if let Some(all) = answer!(store.by_task(&task("all")).await) {
        let order: Vec<_> =
            (0..2).flat_map(|round| (round..EACH).step_by(2)).map(|number| receipt(number).id()).collect();
        assert_eq!(ids(&all), order, "{what}: the order of filing");
        for listing in [Listing::Input(task("all").into()), Listing::issuer(issuer(1).did())] {
            if let Some(page) = answer!(store.list(&listing, Cursor::START, Page::LIMIT).await) {
                assert_eq!(page.receipts, order, "{what}: {listing:?}");
            }
        }
    }
    if let Some(delegations) = answer!(store.for_audience(issuer(2).did()).await) {
        assert_eq!(delegations.len(), 8, "{what}: delegations");
    }
    for round in 0..2 {
        let large = noise(1000 + round, 300_000);
        if let Some(block) = answer!(BlockStore::get(store, &block::raw_cid(&large)).await) {
            assert_eq!(block.as_deref(), Some(&*large), "{what}: large block {round}");
        }
    }
    let report = store.check().await;
    if let Some(report) = answer!(report) {
        if refused.is_some() {
            assert!(!report.is_sound(), "{what}: reads were refused, and the check found nothing");
        } else if let Some(damage) = report.damage.first() {
            return Err(StoreError::corrupt("the check", damage));
        }
    }
    refused.map_or(Ok(()), Err)
}

/// A filled store, as the contents of its files.
struct Sample {
    root: tempfile::TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Sample {
    fn path(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// `flushed`: whether the rows are in tables or in the journal.
    async fn new(flushed: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        fill(&path).await;
        if flushed {
            // What the store itself does when its memtable is full.
            let database = fjall::Database::builder(path.join("fjall")).open().unwrap();
            let rows = database.keyspace("store", fjall::KeyspaceCreateOptions::default).unwrap();
            rows.rotate_memtable_and_wait().unwrap();
            rows.major_compact().unwrap();
        }
        let files = files(&path).into_iter().map(|(path, bytes)| (path, without_zeros(bytes))).collect();
        Self { root, files }
    }

    /// Puts the files back as they were.
    fn restore(&self) {
        let path = self.path();
        let _ = fs::remove_dir_all(&path);
        for (file, bytes) in &self.files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        fs::create_dir_all(path.join("fjall/keyspaces/1/tables")).unwrap();
        fs::create_dir_all(path.join("fjall/keyspaces/0/tables")).unwrap();
    }

    fn name(&self, file: &Path) -> String {
        file.strip_prefix(self.path()).unwrap().display().to_string()
    }

    /// Damages each file in each way that `ways` has for it, and looks.
    async fn damage(
        &self,
        ways: impl Fn(&str, &[u8]) -> Vec<(String, Option<Vec<u8>>)>,
    ) -> BTreeMap<String, Vec<(String, Found)>> {
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (file, bytes) in &self.files {
            let name = self.name(file);
            for (way, damaged) in ways(&name, bytes) {
                self.restore();
                match damaged {
                    Some(damaged) => fs::write(file, damaged).unwrap(),
                    None => fs::remove_file(file).unwrap(),
                }
                let what = format!("{name}, {way}");
                let first = look(&self.path(), &what).await;
                // fjall may have "repaired" its files: what it left must be refused again, or be right after all.
                if first == Found::RefusedToOpen {
                    look(&self.path(), &format!("{what}, again")).await;
                }
                found.entry(name.clone()).or_default().push((way, first));
            }
        }
        found
    }
}

/// fjall makes its journal 64 MiB long before it writes; the zeros at its end only take time here.
fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() > 1 << 20 {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end + 4096);
    }
    bytes
}

fn flip(bytes: &[u8], at: usize, mask: u8) -> (String, Option<Vec<u8>>) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= mask;
    (format!("byte {at} ^ {mask:#04x}"), Some(damaged))
}

/// About `count` places all over a file, both ends among them.
fn places(length: usize, count: usize) -> impl Iterator<Item = usize> {
    let step = (length / count).max(1);
    (0..length).step_by(step).chain(length.checked_sub(1))
}

fn every_way(name: &str, bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut ways = vec![("removed".to_owned(), None)];
    for place in places(used, if name.starts_with("blocks") { 3 } else { 60 }) {
        ways.push(flip(bytes, place, 1 << (place % 8)));
    }
    for length in places(used, 12) {
        ways.push((format!("cut to {length}"), Some(bytes[..length].to_vec())));
    }
    for at in places(used, 6) {
        let mut damaged = bytes.to_vec();
        damaged[at..(at + 512).min(bytes.len())].fill(0);
        if damaged != bytes {
            ways.push((format!("a sector of zeros at {at}"), Some(damaged)));
        }
    }
    ways
}

/// That every answer was right, or a refusal, [`look`] has seen. Damage that has no effect may go unnoticed; in the file of
/// a block, every byte is part of what was put.
fn assert_noticed(found: &BTreeMap<String, Vec<(String, Found)>>) {
    for (name, results) in found {
        let whole = results.iter().filter(|(_, found)| *found == Found::Whole).count();
        println!("{name}: {} ways, {whole} without effect", results.len());
        assert!(!name.starts_with("blocks") || whole == 0, "{name}: {results:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_while_rows_are_in_the_journal() {
    let sample = Sample::new(false).await;
    sample.restore();
    assert_eq!(look(&sample.path(), "undamaged").await, Found::Whole);
    assert_noticed(&sample.damage(every_way).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_while_rows_are_in_tables() {
    let sample = Sample::new(true).await;
    sample.restore();
    assert_eq!(look(&sample.path(), "undamaged").await, Found::Whole);
    assert_noticed(&sample.damage(every_way).await);
}

/// fjall does not protect the heads of batches with its checksum: their numbers decide what is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_the_heads_of_batches() {
    let sample = Sample::new(false).await;
    let found = sample
        .damage(|name, bytes| {
            if !name.ends_with(".jnl") {
                return Vec::new();
            }
            // Tag 1, the number of items, and the sequence number of 8 bytes; the end of a batch is before it.
            let heads =
                bytes.windows(5).enumerate().filter(|(_, window)| window == b"FJL\x03\x01").map(|(at, _)| at + 4);
            let places = heads.step_by(17).flat_map(|at| at..at + 13);
            places.flat_map(|at| [flip(bytes, at, 1), flip(bytes, at, 0x40)]).collect()
        })
        .await;
    let ways: usize = found.values().map(Vec::len).sum();
    assert!(ways > 100, "the heads were not found");
    assert_noticed(&found);
}

/// An older copy of the database next to a newer `HEAD`, as a careless restore leaves it.
#[tokio::test]
async fn an_older_database_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = FjallStore::open(&path).unwrap();
    store.file(&receipt(1), &filing(&[task("all")], None, Durability::Synced)).await.unwrap();
    drop(store);
    let old = files(&path.join("fjall"));
    let store = FjallStore::open(&path).unwrap();
    store.file(&receipt(2), &filing(&[task("all")], None, Durability::Synced)).await.unwrap();
    drop(store);
    for (file, bytes) in old {
        fs::write(file, bytes).unwrap();
    }
    let error = FjallStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("the last 1 are lost"), "{error}");
}

/// Rows that the log does not list, and rows that it lists and that are gone: written past the store, by whatever.
#[tokio::test]
async fn lists_that_are_not_those_of_the_log_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let filed = receipt(1);
    let store = FjallStore::open(&path).unwrap();
    store.file(&filed, &filing(&[task("all")], Some(instruction("i")), Durability::Synced)).await.unwrap();
    drop(store);
    let whole = files(&path);
    let restore = || {
        fs::remove_dir_all(&path).unwrap();
        for (file, bytes) in &whole {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        fs::create_dir_all(path.join("fjall/keyspaces/1/tables")).unwrap();
        fs::create_dir_all(path.join("fjall/keyspaces/0/tables")).unwrap();
    };
    let alter = |alter: &dyn Fn(&fjall::Keyspace)| {
        let database = fjall::Database::builder(path.join("fjall")).open().unwrap();
        alter(&database.keyspace("store", fjall::KeyspaceCreateOptions::default).unwrap());
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    };
    for kind in *b"fmnrst" {
        restore();
        let keys = std::cell::RefCell::new(Vec::new());
        alter(&|rows| {
            for row in rows.prefix([kind]) {
                let key = row.key().unwrap();
                rows.remove(key.clone()).unwrap();
                keys.borrow_mut().push(key);
            }
        });
        let keys = keys.into_inner();
        assert_eq!(keys.len(), 1, "a receipt has a row of each kind");
        let error = FjallStore::open(&path).unwrap_err();
        assert!(error.to_string().contains("an index row"), "{error}");

        restore();
        let mut stray = keys[0].to_vec();
        let at = stray.len() - if kind == b'f' { 1 } else { filed.id().cid().to_bytes().len() + 1 };
        stray[at] += 1;
        alter(&|rows| rows.insert(stray.clone(), "").unwrap());
        let report = FjallStore::open(&path).unwrap().check().await.unwrap();
        assert_eq!(report.damage, [Damage::Unlisted { found: 7, listed: 6 }], "kind {kind}");
    }
}
