//! What every implementation of [`BlockStore`], [`ReceiptStore`] and [`RequestStore`] has to do, as functions for its tests to call.
//!
//! Each panics, with a message, where the contract is broken. They put what they need under names of their own: the store
//! may hold other things, but a function is called once for a store, or with another seed.
//!
//! ```
//! use ucan_invocation::{MemoryBlocks, MemoryReceipts, MemoryRequests, contracts};
//!
//! # pollster::block_on(async {
//! contracts::blocks(&MemoryBlocks::default()).await;
//! let receipts = MemoryReceipts::default();
//! contracts::receipts(&receipts).await;
//! contracts::filings(&receipts, 1, 50).await;
//! contracts::requests(&MemoryRequests::default()).await;
//! # });
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a contract that is broken is a panic in somebody's test"
)]

use bytes::Bytes;
use ucan_core::{Cid, Ipld, Issuer, StoreError, Timestamp, Token, block, dagcbor};
use varsig::ed25519::SigningKey;

use crate::{
    BlockStore, Cursor, Durability, Filing, InstructionId, Listing, Outcome, Page, Receipt, ReceiptId, ReceiptStore,
    RequestStore, TaskId,
};

/// The contract of [`BlockStore`]: blocks of all sizes come back as they were put, and only under their own CIDs.
pub async fn blocks(store: &dyn BlockStore) {
    for length in [0, 1, 600, 256 * 1024 - 1, 256 * 1024, 1_000_000] {
        let bytes = Bytes::from(noise(length as u64, length));
        for cid in [block::raw_cid(&bytes), block::dag_cbor_cid(&bytes)] {
            assert_eq!(store.get(&cid).await.unwrap(), None, "a block that was not put");
            store.put(&cid, bytes.clone()).await.unwrap();
            assert_eq!(store.get(&cid).await.unwrap().as_ref(), Some(&bytes), "a block of {length} bytes");
            store.put(&cid, bytes.clone()).await.unwrap();
            assert_eq!(store.get(&cid).await.unwrap().as_ref(), Some(&bytes), "a block that was put again");
        }
    }
    let wrong = store.put(&cid("one thing"), Bytes::from_static(b"another")).await;
    assert!(matches!(wrong, Err(StoreError::Corrupt { .. })), "bytes under another CID: {wrong:?}");
    assert_eq!(store.get(&cid("one thing")).await.unwrap(), None, "what was refused is there");
}

/// The contract of [`ReceiptStore`]: what was filed is listed under all that it was filed under, once, in the order of
/// filing, in pages; and nothing else is.
pub async fn receipts(store: &dyn ReceiptStore) {
    let [a, b] = [1, 2].map(|number| receipt(number, 0, Ipld::Integer(number.into())));
    assert!(store.get(&a.id()).await.unwrap().is_none(), "a receipt that was not filed");
    assert!(store.by_task(&task("t")).await.unwrap().is_empty());
    assert_eq!(store.list(&Listing::Input(cid("i")), Cursor::START, 10).await.unwrap(), Page::default());

    // In this order, which is that of their ids in one case and not in the other.
    for (first, second, name) in [(&a, &b, "ab"), (&b, &a, "ba")] {
        let under = [task(name), task(&format!("{name} resolved"))];
        let filing = Filing {
            tasks: under.to_vec(),
            memo: Some(instruction(name)),
            inputs: vec![cid(name), cid("both"), cid(name)],
            durability: Durability::Buffered,
        };
        for receipt in [first, second] {
            store.file(receipt, &filing).await.unwrap();
        }
        let expected = [first.id(), second.id()];
        for of in &under {
            assert_eq!(ids(&store.by_task(of).await.unwrap()), expected, "the receipts of a task");
            assert_eq!(all(store, &Listing::Task(*of), 1).await, expected, "the list of a task");
        }
        assert_eq!(ids(&store.by_instruction(&instruction(name)).await.unwrap()), expected);
        assert_eq!(all(store, &Listing::Instruction(instruction(name)), 10).await, expected);
        assert_eq!(all(store, &Listing::Input(cid(name)), 10).await, expected);
    }
    assert_eq!(
        all(store, &Listing::Input(cid("both")), 10).await,
        [a.id(), b.id()],
        "the first filing decides the place"
    );
    let read = store.get(&a.id()).await.unwrap().unwrap();
    assert_eq!(read.bytes(), a.bytes());

    // Filing again adds what is new, and changes no order.
    let filing = Filing {
        tasks: vec![task("ba"), task("new"), task("new")],
        memo: None,
        inputs: vec![cid("new")],
        durability: Durability::Synced,
    };
    store.file(&a, &filing).await.unwrap();
    assert_eq!(ids(&store.by_task(&task("ba")).await.unwrap()), [b.id(), a.id()]);
    assert_eq!(ids(&store.by_task(&task("new")).await.unwrap()), [a.id()]);
    assert_eq!(all(store, &Listing::Input(cid("new")), 10).await, [a.id()]);
    assert!(store.by_instruction(&instruction("new")).await.unwrap().is_empty());
    assert_eq!(all(store, &Listing::issuer(a.issuer()), 1).await, [a.id(), b.id()], "the receipts of an issuer");
    outputs(store).await;
    pages(store).await;

    taken_out(store).await;

    // Under nothing at all, and large.
    let large = receipt(9, 0, Ipld::Bytes(noise(9, 300_000)));
    store.file(&large, &nothing()).await.unwrap();
    let read = store.get(&large.id()).await.unwrap().unwrap();
    assert_eq!(read.bytes(), large.bytes());
}

/// What an outcome gave is part of the receipt: nobody has to say so.
async fn outputs(store: &dyn ReceiptStore) {
    let value = Ipld::List(vec![Ipld::Map([("deep".to_owned(), Ipld::Link(cid("given")))].into()), Ipld::Null]);
    let whole = block::dag_cbor_cid(&dagcbor::encode(&value).unwrap());
    let (linking, failed) = (receipt(3, 0, value), failure(4, 0, Ipld::Link(cid("given"))));
    for receipt in [&linking, &failed] {
        store.file(receipt, &nothing()).await.unwrap();
    }
    assert_eq!(all(store, &Listing::Output(cid("given")), 10).await, [linking.id(), failed.id()]);
    assert_eq!(all(store, &Listing::Output(whole), 10).await, [linking.id()], "the result itself");
    assert!(all(store, &Listing::Input(cid("given")), 10).await.is_empty(), "a result is no input");
}

/// What was taken out of its lists is there by its id alone, until it is filed again.
async fn taken_out(store: &dyn ReceiptStore) {
    let filing = |inputs: &[&str]| Filing {
        tasks: vec![task("of some")],
        memo: Some(instruction("of some")),
        inputs: inputs.iter().map(|name| cid(name)).collect(),
        durability: Durability::Buffered,
    };
    let receipts: Vec<Receipt> = (200..203).map(|number| receipt(number, 2, Ipld::Link(cid("out")))).collect();
    for receipt in &receipts {
        store.file(receipt, &filing(&["one"])).await.unwrap();
        store.file(receipt, &filing(&["other"])).await.unwrap();
    }
    let [a, b, c] = [receipts[0].id(), receipts[1].id(), receipts[2].id()];
    let lists = [
        Listing::Task(task("of some")),
        Listing::Instruction(instruction("of some")),
        Listing::Input(cid("one")),
        Listing::Input(cid("other")),
        Listing::Output(cid("out")),
        Listing::issuer(receipts[0].issuer()),
    ];
    // Going on after something that is taken out meanwhile.
    let first = store.list(&lists[0], Cursor::START, 2).await.unwrap();
    assert_eq!(first.receipts, [a, b]);
    for _ in 0..2 {
        store.unlist(&b).await.unwrap();
        for list in &lists {
            assert_eq!(all(store, list, 1).await, [a, c], "{list:?}");
        }
        assert_eq!(ids(&store.by_task(&task("of some")).await.unwrap()), [a, c]);
        assert_eq!(ids(&store.by_instruction(&instruction("of some")).await.unwrap()), [a, c]);
        assert_eq!(store.get(&b).await.unwrap().unwrap().bytes(), receipts[1].bytes(), "it is kept");
    }
    let rest = store.list(&lists[0], first.next.unwrap(), 2).await.unwrap();
    assert_eq!(rest, Page { receipts: vec![c], next: None });
    store.file(&receipts[1], &filing(&["one"])).await.unwrap();
    assert_eq!(all(store, &lists[0], 1).await, [a, c, b], "filed again");
    assert_eq!(all(store, &lists[3], 1).await, [a, c], "under what it was filed again under, and no more");
    store.unlist(&ReceiptId::new(cid("no receipt at all"))).await.unwrap();
}

async fn pages(store: &dyn ReceiptStore) {
    let listing = Listing::Input(cid("in pages"));
    let mut expected = Vec::new();
    for number in 100..107 {
        let receipt = receipt(number, 1, Ipld::Null);
        store.file(&receipt, &Filing { inputs: vec![cid("in pages")], ..nothing() }).await.unwrap();
        expected.push(receipt.id());
    }
    let (before, after) = expected.split_at(3);
    let first = store.list(&listing, Cursor::START, 3).await.unwrap();
    assert_eq!(first.receipts, before, "a page is as long as was asked for");
    let next = first.next.unwrap();
    assert_eq!(store.list(&listing, next, 4).await.unwrap(), Page { receipts: after.to_vec(), next: None });
    // What is filed meanwhile is at the end.
    let late = receipt(107, 1, Ipld::Null);
    store.file(&late, &Filing { inputs: vec![cid("in pages")], ..nothing() }).await.unwrap();
    let more = store.list(&listing, next, 4).await.unwrap();
    assert_eq!(more.receipts, after);
    let last = store.list(&listing, more.next.unwrap(), usize::MAX).await.unwrap();
    assert_eq!(last, Page { receipts: vec![late.id()], next: None });
    assert_eq!(
        store.list(&listing, Cursor::START, 0).await.unwrap().receipts.len(),
        1,
        "a page is never empty for nothing"
    );
    let past = store.list(&listing, Cursor::after(u64::MAX), 1).await.unwrap();
    assert_eq!(past, Page::default(), "past the end");
}

/// Files `count` receipts at random, many of them again and under something else, takes some out of their lists, and compares every list with what a
/// naive model has; `seed` decides all of it, also the names. What was compared is the same for every page size.
pub async fn filings(store: &dyn ReceiptStore, seed: u64, count: usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut model = Model(Vec::new());
    // Few names, so that filings meet.
    let name = |kind: &str, number: u64| cid(&format!("{seed} {kind} {number}"));
    let keys = [2, 3].map(|key| seed.wrapping_mul(2).wrapping_add(key));
    for _ in 0..count {
        let value = match random.below(4) {
            0 => Ipld::Integer(random.below(3).into()),
            1 => Ipld::Link(name("cid", random.below(4))),
            2 => Ipld::List((0..random.below(4)).map(|_| Ipld::Link(name("cid", random.below(4)))).collect()),
            _ => Ipld::Map([("a".to_owned(), Ipld::List(vec![Ipld::Link(name("cid", random.below(4)))]))].into()),
        };
        // The number is the nonce: equal ones with equal values are the same receipt.
        let number = seed.wrapping_mul(1000).wrapping_add(random.below(4));
        let key = keys[random.below(2) as usize];
        let receipt = if random.below(4) == 0 { failure(number, key, value) } else { receipt(number, key, value) };
        let mut some = |kind: &str| -> Vec<Cid> { (0..random.below(4)).map(|_| name(kind, random.below(4))).collect() };
        let filing = Filing {
            tasks: some("task").into_iter().map(TaskId::new).collect(),
            memo: some("instruction").first().copied().map(InstructionId::new),
            inputs: some("cid"),
            durability: Durability::Buffered,
        };
        store.file(&receipt, &filing).await.unwrap();
        model.0.push((receipt, filing));
        if random.below(8) == 0 {
            let id = model.0[random.below(model.0.len() as u64) as usize].0.id();
            store.unlist(&id).await.unwrap();
            model.0.retain(|(receipt, _)| receipt.id() != id);
        }
    }
    for number in 0..4 {
        let cid = name("cid", number);
        let task = TaskId::new(name("task", number));
        let instruction = InstructionId::new(name("instruction", number));
        for listing in
            [Listing::Task(task), Listing::Instruction(instruction), Listing::Input(cid), Listing::Output(cid)]
        {
            model.compare(store, &listing).await;
        }
        assert_eq!(ids(&store.by_task(&task).await.unwrap()), model.list(&Listing::Task(task)), "by task");
        let by_instruction = ids(&store.by_instruction(&instruction).await.unwrap());
        assert_eq!(by_instruction, model.list(&Listing::Instruction(instruction)), "by instruction");
    }
    for (receipt, _) in &model.0 {
        model.compare(store, &Listing::issuer(receipt.issuer())).await;
        let read = store.get(&receipt.id()).await.unwrap().unwrap();
        assert_eq!(read.bytes(), receipt.bytes());
    }
}

/// The contract of [`RequestStore`]: what is kept is there until it is forgotten, once, with the latest time.
pub async fn requests(store: &dyn RequestStore) {
    let at = |secs| Timestamp::EPOCH.saturating_add(secs);
    let mut ids = Vec::new();
    for length in [3, 600, 300_000] {
        let bytes = Bytes::from(noise(length as u64, length));
        let id = block::raw_cid(&bytes);
        assert_eq!(store.get(&id).await.unwrap(), None, "a request that was not kept");
        for (until, expected) in [(20, 20), (30, 30), (10, 30)] {
            store.keep(&id, bytes.clone(), at(until)).await.unwrap();
            assert!(store.list().await.unwrap().contains(&(id, at(expected))), "the latest time counts");
        }
        assert_eq!(store.get(&id).await.unwrap().as_ref(), Some(&bytes));
        ids.push(id);
    }
    ids.sort_unstable();
    let listed = async || store.list().await.unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(listed().await, ids, "each is listed once, in the order of the ids");
    let forgotten = ids.remove(1);
    for _ in 0..2 {
        store.forget(&forgotten).await.unwrap();
        assert_eq!(listed().await, ids);
        assert_eq!(store.get(&forgotten).await.unwrap(), None, "a request that was forgotten");
    }
    let bytes = Bytes::from(noise(600, 600));
    store.keep(&block::raw_cid(&bytes), bytes.clone(), at(5)).await.unwrap();
    let wrong = store.keep(&cid("one thing"), bytes, at(5)).await;
    assert!(matches!(wrong, Err(StoreError::Corrupt { .. })), "bytes under another id: {wrong:?}");
    for (id, _) in store.list().await.unwrap() {
        store.forget(&id).await.unwrap();
    }
    assert_eq!(store.list().await.unwrap(), [], "all was forgotten");
}

/// All filings, as they came.
struct Model(Vec<(Receipt, Filing)>);

impl Model {
    fn list(&self, listing: &Listing) -> Vec<ReceiptId> {
        let mut list = Vec::new();
        for (receipt, filing) in &self.0 {
            let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
            let listed = match listing {
                Listing::Task(task) => filing.tasks.contains(task),
                Listing::Instruction(instruction) => filing.memo == Some(*instruction),
                Listing::Input(cid) => filing.inputs.contains(cid),
                Listing::Output(cid) => {
                    *cid == block::dag_cbor_cid(&dagcbor::encode(value).unwrap()) || links_to(value, cid)
                }
                Listing::Issuer(issuer) => receipt.issuer().principal() == &**issuer,
            };
            if listed && !list.contains(&receipt.id()) {
                list.push(receipt.id());
            }
        }
        list
    }

    async fn compare(&self, store: &dyn ReceiptStore, listing: &Listing) {
        let expected = self.list(listing);
        for limit in [1, 3, Page::LIMIT] {
            assert_eq!(all(store, listing, limit).await, expected, "{listing:?} in pages of {limit}");
        }
    }
}

fn links_to(value: &Ipld, cid: &Cid) -> bool {
    match value {
        Ipld::Link(link) => link == cid,
        Ipld::List(items) => items.iter().any(|item| links_to(item, cid)),
        Ipld::Map(map) => map.values().any(|item| links_to(item, cid)),
        _ => false,
    }
}

/// A list, read to its end.
async fn all(store: &dyn ReceiptStore, listing: &Listing, limit: usize) -> Vec<ReceiptId> {
    let (mut found, mut after) = (Vec::new(), Cursor::START);
    loop {
        let page = store.list(listing, after, limit).await.unwrap();
        assert!(page.receipts.len() <= limit, "a page of {} where {limit} were asked for", page.receipts.len());
        found.extend(page.receipts);
        match page.next {
            Some(next) => assert!(next > after, "a cursor goes on"),
            None => return found,
        }
        after = page.next.unwrap_or_default();
    }
}

fn ids(receipts: &[Receipt]) -> Vec<ReceiptId> {
    receipts.iter().map(Receipt::id).collect()
}

fn cid(name: &str) -> Cid {
    block::raw_cid(name.as_bytes())
}

fn task(name: &str) -> TaskId {
    TaskId::new(cid(name))
}

fn instruction(name: &str) -> InstructionId {
    InstructionId::new(cid(name))
}

fn nothing() -> Filing {
    Filing { tasks: Vec::new(), memo: None, inputs: Vec::new(), durability: Durability::Synced }
}

fn receipt(number: u64, key: u64, value: Ipld) -> Receipt {
    signed(number, key, Outcome::Ok(value))
}

fn failure(number: u64, key: u64, value: Ipld) -> Receipt {
    signed(number, key, Outcome::Error(value))
}

fn signed(number: u64, key: u64, outcome: Outcome) -> Receipt {
    let mut secret = [200; 32];
    secret[..8].copy_from_slice(&key.to_le_bytes());
    let issuer = Issuer::ed25519(SigningKey::from_seed(&secret));
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Receipt::builder(task(&format!("the task {number}")), outcome).sign(&issuer, nonce).unwrap()
}

/// Bytes that compress badly, so that no store can make them small.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    std::iter::repeat_with(|| random.next() as u8).take(length).collect()
}

/// xorshift: anybody can repeat what it chose.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
