//! The contracts of the traits, and what holds for any store: reopening, locking, bad folders, many writers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use common::{cid, delegation, delegations_conform, filing, instruction, issuer, receipt, task};
use ipvm_fjall::{Damage, FjallStore, OpenError};
use proptest::prelude::*;
use ucan_core::{Cid, Context, Delegation, DelegationStore, DidKeys, Issuer, Timestamp, Token, block};
use ucan_invocation::{
    BlockStore, Claim, Cursor, Durability, Invocation, Listing, MemoryReplayGuard, MemoryRevocations, REVOKE_COMMAND,
    ReceiptStore, ReplayGuard, RequestStore, Revocation, RevocationStore, Revoked, contracts,
};

fn opened() -> (tempfile::TempDir, FjallStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = FjallStore::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[tokio::test]
async fn blocks() {
    contracts::blocks(&opened().1).await;
}

#[tokio::test]
async fn channels() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    ucan_chan::contracts::channels(&store, 1).await;
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    ucan_chan::contracts::channels(&store, 2).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.channels > 40, "{report:?}");
}

#[tokio::test]
async fn schedules() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    ipvm_workflow::contracts::schedules(&store, 1).await;
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    ipvm_workflow::contracts::schedules(&store, 2).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.schedules >= 8, "{report:?}");
}

#[tokio::test]
async fn journal() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    ipvm_workflow::contracts::journal(&store, 1).await;
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    ipvm_workflow::contracts::journal(&store, 2).await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.entries >= 18, "{report:?}");
}

#[tokio::test]
async fn receipts() {
    contracts::receipts(&opened().1).await;
}

proptest! {
    // Each case opens a store of its own.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn lists_are_those_of_a_naive_model(seed in 0_u64..u64::MAX - 3, count in 0_usize..60) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (folder, store) = opened();
            contracts::filings(&store, seed, count).await;
            // Names are those of the seed, so that what is there already is not in the way; nor is reopening.
            drop(store);
            let store = FjallStore::open(&folder.path().join("store")).unwrap();
            contracts::filings(&store, seed + 1, count).await;
            let report = store.check().await.unwrap();
            assert!(report.is_sound(), "{report:?}");
        });
    }
}

/// A receipt whose bytes were put as a block before, as those of others are, is listed all the same when it is filed.
#[tokio::test]
async fn a_receipt_that_is_a_block_already_is_filed() {
    let (_folder, store) = opened();
    let receipt = receipt(1);
    BlockStore::put(&store, receipt.id().cid(), receipt.bytes().to_vec().into()).await.unwrap();
    store.file(&receipt, &filing(&[task("t")], None, Durability::Synced)).await.unwrap();
    for listing in [Listing::Task(task("t")), Listing::issuer(issuer(1).did()), Listing::Output(receipt.outputs()[0])] {
        let page = ReceiptStore::list(&store, &listing, Cursor::START, 10).await.unwrap();
        assert_eq!(page.receipts, [receipt.id()], "{listing:?}");
    }
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn delegations() {
    delegations_conform(&ucan_core::MemoryDelegations::default()).await;
    delegations_conform(&opened().1).await;
}

/// What was asked about delegations before is asked again, although nobody waits for the revocation any more.
#[tokio::test]
async fn a_revocation_counts_although_whoever_asked_is_gone() {
    let (_folder, store) = opened();
    let (alice, proof) = (issuer(1), delegation(2, 1));
    let args = Revocation::args(proof.cid(), &[]);
    let asked = Invocation::builder(alice.did().clone(), REVOKE_COMMAND.parse().unwrap(), args).sign(&alice).unwrap();
    let context = Context::new(Timestamp::EPOCH, &DidKeys);
    let revocation = Revocation::check(asked, &|_| Some(proof.clone()), &context).unwrap();
    let before = store.revision();
    tokio::select! {
        biased;
        kept = RevocationStore::keep(&store, &revocation) => kept.unwrap(),
        () = std::future::ready(()) => {}
    }
    // Whatever was asked after it is answered after it.
    BlockStore::put(&store, &block::raw_cid(b"later"), Bytes::from_static(b"later")).await.unwrap();
    assert!(Revoked::among(&store, [&proof]).await.unwrap().by(proof.cid(), alice.did()));
    assert_ne!(store.revision(), before);
}

async fn revocations_conform(store: &dyn RevocationStore) {
    let [alice, bob] = [1, 2].map(issuer);
    let proofs = [delegation(2, 1), delegation(2, 2)];
    let revoke = |by: &Issuer, at: usize| {
        let args = Revocation::args(proofs[at].cid(), &proofs[..=at]);
        let asked = Invocation::builder(alice.did().clone(), REVOKE_COMMAND.parse().unwrap(), args).sign(by).unwrap();
        let find = |cid: &Cid| proofs.iter().find(|proof| proof.cid() == cid).cloned();
        Revocation::check(asked, &find, &Context::new(Timestamp::EPOCH, &DidKeys)).unwrap()
    };
    assert_eq!(Revoked::among(store, &proofs).await.unwrap(), Revoked::default());
    for round in 0..2 {
        let revision = store.revision();
        store.keep(&revoke(&alice, 0)).await.unwrap();
        assert!(round == 1 || revision.is_none() || revision != store.revision());
        let revoked = Revoked::among(store, &proofs).await.unwrap();
        let by = |proof: &Delegation, by: &Issuer| {
            let names = [*proof.cid(), proof.envelope().signed_cid()];
            names.map(|name| revoked.by(&name, by.did()))
        };
        assert_eq!(
            [by(&proofs[0], &alice), by(&proofs[0], &bob), by(&proofs[1], &alice)],
            [[true; 2], [false; 2], [false; 2]]
        );
    }
}

async fn claims_conform(guard: &dyn ReplayGuard) {
    let at = |secs| Timestamp::from_secs(secs).unwrap();
    let claim = async |name: &str, until, now| guard.claim(&cid(name), at(until), at(now)).await.unwrap();
    assert_eq!(claim("one", 20, 10).await, Claim::First);
    assert_eq!(claim("two", 20, 10).await, Claim::First);
    assert_eq!(claim("one", 30, 10).await, Claim::Repeated);
    assert_eq!(claim("one", 20, 30).await, Claim::Repeated);
}

#[tokio::test]
async fn revocations_and_claims() {
    revocations_conform(&MemoryRevocations::default()).await;
    claims_conform(&MemoryReplayGuard::default()).await;
    let (folder, store) = opened();
    let path = folder.path().join("store");
    revocations_conform(&store).await;
    claims_conform(&store).await;
    let before = store.check().await.unwrap();
    assert_eq!((before.revocations, before.claims, before.is_sound()), (2, 2, true), "{before:?}");
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    assert!(Revoked::among(&store, &[delegation(2, 1)]).await.unwrap().by(delegation(2, 1).cid(), issuer(1).did()));
    let at = |secs| Timestamp::from_secs(secs).unwrap();
    assert_eq!(store.claim(&cid("one"), at(20), at(10)).await.unwrap(), Claim::Repeated);
    assert_eq!(store.check().await.unwrap(), before);
}

#[tokio::test]
async fn requests() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    contracts::requests(&store).await;
    let at = |secs| Timestamp::from_secs(secs).unwrap();
    let kept = [("one", 5), ("two", 6), ("three", 7)].map(|(name, until)| (cid(name), name, at(until)));
    for (id, name, until) in &kept {
        RequestStore::keep(&store, id, Bytes::from_static(name.as_bytes()), *until).await.unwrap();
    }
    store.forget(&cid("two")).await.unwrap();
    let before = store.check().await.unwrap();
    assert!(before.is_sound(), "{before:?}");
    drop(store);
    let store = FjallStore::open(&path).unwrap();
    let mut expected = vec![(cid("one"), at(5)), (cid("three"), at(7))];
    expected.sort_unstable();
    assert_eq!(RequestStore::list(&store).await.unwrap(), expected);
    assert_eq!(RequestStore::get(&store, &cid("one")).await.unwrap(), Some(Bytes::from_static(b"one")));
    assert_eq!(RequestStore::get(&store, &cid("two")).await.unwrap(), None);
    assert_eq!(store.check().await.unwrap(), before);
    // What is not kept needs no record to be forgotten.
    store.forget(&cid("two")).await.unwrap();
    assert_eq!(store.check().await.unwrap(), before);
}

#[tokio::test]
async fn of_many_who_claim_a_task_at_once_one_is_the_first() {
    let (_folder, store) = opened();
    let at = |secs| Timestamp::from_secs(secs).unwrap();
    let claims: Vec<_> = (0..64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.claim(&cid(&format!("{}", number % 4)), at(20), at(10)).await.unwrap() })
        })
        .collect();
    let mut first = 0;
    for claim in claims {
        first += usize::from(claim.await.unwrap() == Claim::First);
    }
    assert_eq!(first, 4);
}

#[tokio::test]
async fn all_is_there_after_reopening() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    contracts::blocks(&store).await;
    contracts::receipts(&store).await;
    delegations_conform(&store).await;
    for number in [2, 1] {
        let filing = filing(&[task("all"), task("both")], Some(instruction("i")), Durability::Buffered);
        store.file(&receipt(number), &filing).await.unwrap();
    }
    let before = store.check().await.unwrap();
    assert!(before.is_sound(), "{before:?}");
    drop(store);
    for _ in 0..3 {
        let store = FjallStore::open(&path).unwrap();
        assert_eq!(store.check().await.unwrap(), before);
        let listed = store.by_task(&task("both")).await.unwrap();
        assert_eq!(listed.iter().map(|receipt| receipt.id()).collect::<Vec<_>>(), [receipt(2).id(), receipt(1).id()]);
        assert_eq!(store.for_audience(issuer(2).did()).await.unwrap().len(), 3);
        // Nothing of this is new, so nothing is written.
        DelegationStore::put(&store, &delegation(2, 1)).await.unwrap();
        store.file(&receipt(1), &filing(&[task("both")], Some(instruction("i")), Durability::Synced)).await.unwrap();
        assert_eq!(store.check().await.unwrap().records, before.records);
    }
}

#[tokio::test]
async fn a_block_that_is_no_receipt_is_no_receipt() {
    let (_folder, store) = opened();
    BlockStore::put(&store, &cid("text"), Bytes::from_static(b"text")).await.unwrap();
    assert!(ReceiptStore::get(&store, &ucan_invocation::ReceiptId::new(cid("text"))).await.unwrap().is_none());
    assert!(DelegationStore::get(&store, &cid("text")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_commits() {
    let (folder, store) = opened();
    let writers: Vec<_> = (0..64_u64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    let receipt = receipt(writer * 100 + number);
                    let durability = if number % 3 == 0 { Durability::Buffered } else { Durability::Synced };
                    // All writers file under one task, which has to list them all.
                    store.file(&receipt, &filing(&[task("shared"), *receipt.ran()], None, durability)).await.unwrap();
                    assert_eq!(store.by_task(receipt.ran()).await.unwrap().len(), 1);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.by_task(&task("shared")).await.unwrap().len(), 1280);
    drop(store);
    let store = FjallStore::open(&folder.path().join("store")).unwrap();
    assert_eq!(store.by_task(&task("shared")).await.unwrap().len(), 1280);
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.records, report.receipts), (1280, 1280));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_writes_at_the_same_time_are_one() {
    let (_folder, store) = opened();
    let store = Arc::new(store);
    let writers: Vec<_> = (0..32)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.file(&receipt(1), &filing(&[task("t")], None, Durability::Synced)).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.by_task(&task("t")).await.unwrap().len(), 1);
    assert_eq!(store.check().await.unwrap().records, 1);
}

#[tokio::test]
async fn checking_goes_on_while_others_write() {
    let (_folder, store) = opened();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                store.file(&receipt(number), &filing(&[task("t")], None, Durability::Synced)).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
    writer.await.unwrap();
}

#[test]
fn only_one_can_have_it_open() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    let error = FjallStore::open(&path).unwrap_err();
    assert_eq!(error, OpenError::Locked { path: path.clone(), holder: Some(std::process::id()) });
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains(&std::process::id().to_string()), "{text}");
    drop(store);
    FjallStore::open(&path).unwrap();
}

#[test]
fn other_formats_are_refused() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    drop(store);
    for found in ["ipvm-fjall 1", "ipvm-fjall 2", "ipvm-fjall 3", "ipvm-fjall 5"] {
        fs::write(path.join("FORMAT"), format!("{found}\n")).unwrap();
        let error = FjallStore::open(&path).unwrap_err();
        let supported = "ipvm-fjall 4".into();
        assert_eq!(error, OpenError::Format { path: path.clone(), found: found.into(), supported });
    }
}

#[test]
fn bad_places_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(matches!(FjallStore::open(&file), Err(OpenError::NotAFolder { .. })));
    assert!(matches!(FjallStore::open(&file.join("store")), Err(OpenError::MissingParent { .. })));
    assert!(matches!(FjallStore::open(&folder.path().join("a/b")), Err(OpenError::MissingParent { .. })));
    let error = FjallStore::open(folder.path()).unwrap_err();
    assert_eq!(error, OpenError::Alien { path: folder.path().to_owned(), found: "file".into() });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write anyway.
    if fs::write(folder.path().join("try"), "").is_err() {
        let error = FjallStore::open(&folder.path().join("store")).unwrap_err();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
        let error = FjallStore::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_store_that_was_not_finished_is_finished() {
    let (folder, store) = opened();
    let path = folder.path().join("store");
    drop(store);
    for name in ["FORMAT", "HEAD"] {
        // As a crash between the steps of creation leaves it.
        fs::remove_file(path.join(name)).unwrap();
        if name == "HEAD" {
            fs::remove_file(path.join("FORMAT")).unwrap();
        }
        FjallStore::open(&path).unwrap();
    }
    let store = FjallStore::open(&path).unwrap();
    store.file(&receipt(1), &filing(&[], None, Durability::Synced)).await.unwrap();
    drop(store);
    // A store that holds something was finished: what is missing now was taken away.
    fs::remove_file(path.join("FORMAT")).unwrap();
    let error = FjallStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { damage: Damage::File { .. }, .. }), "{error}");
    fs::remove_file(path.join("HEAD")).unwrap();
    let error = FjallStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { damage: Damage::File { .. }, .. }), "{error}");
}

#[tokio::test]
async fn putting_a_block_again_mends_its_file() {
    let (folder, store) = opened();
    let bytes = Bytes::from(common::noise(1, 300_000));
    let cid = block::raw_cid(&bytes);
    BlockStore::put(&store, &cid, bytes.clone()).await.unwrap();
    let blocks = folder.path().join("store/blocks");
    let file = common::files(&blocks).into_keys().next().unwrap();
    fs::remove_file(&file).unwrap();
    assert!(BlockStore::get(&store, &cid).await.is_err());
    BlockStore::put(&store, &cid, bytes.clone()).await.unwrap();
    assert_eq!(BlockStore::get(&store, &cid).await.unwrap(), Some(bytes));
}

/// That a receipt was taken out of its lists is in the log like all else.
#[tokio::test]
async fn what_was_taken_out_stays_out_after_reopening() {
    let (folder, store) = opened();
    let [out, back] = [receipt(1), receipt(2)];
    for receipt in [&out, &back] {
        store.file(receipt, &filing(&[task("t")], None, Durability::Buffered)).await.unwrap();
        store.unlist(&receipt.id()).await.unwrap();
    }
    store.file(&back, &filing(&[task("t")], None, Durability::Buffered)).await.unwrap();
    drop(store);
    let store = FjallStore::open(&folder.path().join("store")).unwrap();
    let listed = store.by_task(&task("t")).await.unwrap();
    assert_eq!(listed.iter().map(|receipt| receipt.id()).collect::<Vec<_>>(), [back.id()]);
    assert_eq!(ReceiptStore::get(&store, &out.id()).await.unwrap().unwrap().bytes(), out.bytes());
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.receipts, report.unlisted), (3, 2));
}
