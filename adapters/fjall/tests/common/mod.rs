//! What the tests share: things to store, and the contract of delegation stores as a function over any implementation.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;

use ucan_core::{Cid, Command, Delegation, DelegationStore, Ipld, Issuer, block};
use ucan_invocation::{Durability, Filing, InstructionId, Outcome, Receipt, TaskId};
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

/// A filing whose inputs have the CIDs of its tasks.
pub(crate) fn filing(tasks: &[TaskId], memo: Option<InstructionId>, durability: Durability) -> Filing {
    Filing { tasks: tasks.to_vec(), memo, inputs: tasks.iter().copied().map(Cid::from).collect(), durability }
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
