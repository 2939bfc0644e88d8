//! What the tests share: things to store, and the contract of each trait as a function over any implementation.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;

use bytes::Bytes;
use ucan_core::{Cid, Command, Delegation, DelegationStore, Ipld, Issuer, StoreError, block};
use ucan_invocation::{BlockStore, Durability, Filing, InstructionId, Outcome, Receipt, ReceiptStore, TaskId};
use varsig::ed25519::SigningKey;

pub(crate) fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

pub(crate) fn cid(name: &str) -> Cid {
    block::raw_cid(name.as_bytes())
}

pub(crate) fn task(name: &str) -> TaskId {
    TaskId::new(cid(name))
}

pub(crate) fn instruction(name: &str) -> InstructionId {
    InstructionId::new(cid(name))
}

pub(crate) fn receipt(number: u64) -> Receipt {
    receipt_of(number, Ipld::Integer(number.into()))
}

pub(crate) fn receipt_of(number: u64, value: Ipld) -> Receipt {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Receipt::builder(task(&format!("task {number}")), Outcome::Ok(value)).sign(&issuer(1), nonce).unwrap()
}

pub(crate) fn filing(tasks: &[TaskId], memo: Option<InstructionId>, durability: Durability) -> Filing {
    Filing { tasks: tasks.to_vec(), memo, durability }
}

/// A block of so many bytes that compress badly, so that the database cannot make them small.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

pub(crate) fn delegation(to: u8, nonce: u8) -> Delegation {
    let from = issuer(1);
    Delegation::builder(issuer(to).did().clone(), Some(from.did().clone()), Command::parse("/msg").unwrap())
        .nonce(vec![nonce; 12])
        .sign(&from)
        .unwrap()
}

pub(crate) async fn blocks_conform(store: &dyn BlockStore) {
    for length in [0, 1, 600, 256 * 1024 - 1, 256 * 1024, 1_000_000] {
        let bytes = Bytes::from(noise(length as u64, length));
        let cid = block::raw_cid(&bytes);
        assert_eq!(store.get(&cid).await.unwrap(), None);
        store.put(&cid, bytes.clone()).await.unwrap();
        assert_eq!(store.get(&cid).await.unwrap(), Some(bytes.clone()));
        store.put(&cid, bytes.clone()).await.unwrap();
        assert_eq!(store.get(&cid).await.unwrap(), Some(bytes));
    }
    let wrong = store.put(&cid("one thing"), Bytes::from_static(b"another")).await;
    assert!(matches!(wrong, Err(StoreError::Corrupt { .. })));
    assert_eq!(store.get(&cid("one thing")).await.unwrap(), None);
}

pub(crate) async fn receipts_conform(store: &dyn ReceiptStore) {
    let ids = |receipts: Vec<Receipt>| -> Vec<_> { receipts.iter().map(|receipt| receipt.id()).collect() };
    let [a, b] = [receipt(1), receipt(2)];
    assert!(store.get(&a.id()).await.unwrap().is_none());
    assert!(store.by_task(&task("t")).await.unwrap().is_empty());

    // Filed in this order, which is that of their ids in one case and not in the other.
    for (first, second, name) in [(&a, &b, "ab"), (&b, &a, "ba")] {
        let under = [task(name), task(&format!("{name} resolved"))];
        for receipt in [first, second] {
            store.file(receipt, &filing(&under, Some(instruction(name)), Durability::Buffered)).await.unwrap();
        }
        let expected = vec![first.id(), second.id()];
        for of in &under {
            assert_eq!(ids(store.by_task(of).await.unwrap()), expected);
        }
        assert_eq!(ids(store.by_instruction(&instruction(name)).await.unwrap()), expected);
    }
    let read = store.get(&a.id()).await.unwrap().unwrap();
    assert_eq!(read.bytes(), a.bytes());

    // Filing again adds what is new, and changes no order.
    store.file(&a, &filing(&[task("ba"), task("new"), task("new")], None, Durability::Synced)).await.unwrap();
    assert_eq!(ids(store.by_task(&task("ba")).await.unwrap()), [b.id(), a.id()]);
    assert_eq!(ids(store.by_task(&task("new")).await.unwrap()), [a.id()]);
    assert!(store.by_instruction(&instruction("new")).await.unwrap().is_empty());

    // Under nothing at all, and large.
    let large = receipt_of(9, Ipld::Bytes(noise(9, 300_000)));
    store.file(&large, &filing(&[], None, Durability::Synced)).await.unwrap();
    let read = store.get(&large.id()).await.unwrap().unwrap();
    assert_eq!(read.bytes(), large.bytes());
}

pub(crate) async fn delegations_conform(store: &dyn DelegationStore) {
    let mut of_two = [delegation(2, 1), delegation(2, 2), delegation(2, 3)];
    let of_three = delegation(3, 1);
    assert!(store.get(of_three.cid()).await.unwrap().is_none());
    for delegation in of_two.iter().chain([&of_three, &of_two[0]]) {
        store.put(delegation).await.unwrap();
    }
    of_two.sort_by_key(|delegation| *delegation.cid());
    let found = store.for_audience(issuer(2).did()).await.unwrap();
    let cids: Vec<_> = found.iter().map(|delegation| *delegation.cid()).collect();
    assert_eq!(cids, of_two.map(|delegation| *delegation.cid()));
    let read = store.get(of_three.cid()).await.unwrap().unwrap();
    assert_eq!(read.bytes(), of_three.bytes());
    assert!(store.for_audience(issuer(4).did()).await.unwrap().is_empty());

    // By subject too: those about it, and powerlines.
    let (alice, bob) = (issuer(10), issuer(11));
    let about = |subject: Option<&Issuer>, nonce: u8| {
        let subject = subject.map(|subject| subject.did().clone());
        Delegation::builder(bob.did().clone(), subject, Command::top()).nonce([nonce]).sign(&alice).unwrap()
    };
    let (mine, powerline, other) = (about(Some(&alice), 1), about(None, 2), about(Some(&bob), 3));
    for delegation in [&mine, &powerline, &other] {
        store.put(delegation).await.unwrap();
    }
    let mut expected = [&mine, &powerline];
    expected.sort_by_key(|delegation| *delegation.cid());
    let found = store.granted(bob.did(), alice.did()).await.unwrap();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    assert_eq!(store.granted(bob.did(), issuer(12).did()).await.unwrap(), [powerline]);
    assert!(store.granted(alice.did(), bob.did()).await.unwrap().is_empty());
    assert_eq!(store.for_audience(bob.did()).await.unwrap().len(), 3);
}

/// All files under a folder and their contents.
pub(crate) fn files(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}
