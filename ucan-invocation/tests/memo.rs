//! What a reader of the memo table believes, whatever a store lists and whoever signed it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use pollster::block_on;
use ucan_core::{Cid, Command, DidKeys, Ipld, Issuer, Timestamp, Token, block, verify};
use ucan_invocation::*;
use varsig::ed25519::SigningKey;

fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

fn task_on(subject: u8, argument: i128) -> Task {
    let args = BTreeMap::from([("params".to_owned(), Ipld::Integer(argument))]);
    Task::new(issuer(subject).did().clone(), Command::parse("/wasm/run").unwrap(), args, vec![])
}

fn profile() -> Cid {
    block::raw_cid(b"profile")
}

fn ok(value: i128) -> Outcome {
    Outcome::Ok(Ipld::Integer(value))
}

/// A receipt of this issuer for a task, under the profile.
fn receipt(by: &Issuer, task: &Task, outcome: Outcome, nonce: u8) -> Receipt {
    let meta = [(meta::PROFILE.to_owned(), Ipld::Link(profile()))].into();
    Receipt::builder(task.id().unwrap(), outcome).meta(meta).sign(by, [nonce; 16]).unwrap()
}

/// Stores, and the executor 1 that reads them.
#[derive(Default)]
struct World {
    blocks: MemoryBlocks,
    receipts: MemoryReceipts,
}

impl World {
    /// Keeps a task, and files a receipt under the instruction of `asked`, as a careless or hostile store would.
    fn file(&self, receipt: &Receipt, ran: &Task, asked: &Task) {
        let bytes = ran.to_block().unwrap();
        block_on(self.blocks.put(&block::dag_cbor_cid(&bytes), bytes.into())).unwrap();
        let filing = Filing {
            tasks: vec![*receipt.ran()],
            memo: Some(asked.instruction_id().unwrap()),
            inputs: vec![],
            durability: Durability::Buffered,
        };
        block_on(self.receipts.file(receipt, &filing)).unwrap();
    }

    fn memo(&self) -> Memo<'_> {
        Memo::new(&self.receipts, &self.blocks, &DidKeys)
    }

    fn known(&self, task: &Task, trust: &Trust) -> Option<ReceiptId> {
        self.known_under(task, trust, Some(&profile()))
    }

    fn known_under(&self, task: &Task, trust: &Trust, profile: Option<&Cid>) -> Option<ReceiptId> {
        let own = issuer(1);
        let now = Timestamp::from_secs(1_767_225_600).unwrap();
        let terms = Terms { own: own.did(), now, profile };
        block_on(self.memo().known(task, trust, &terms)).unwrap().map(|receipt| receipt.id())
    }
}

fn named(seeds: &[u8]) -> Trust {
    Trust::Executors(seeds.iter().map(|seed| issuer(*seed).did().clone()).collect())
}

fn agreement(seeds: &[u8], threshold: usize) -> Trust {
    let executors = seeds.iter().map(|seed| issuer(*seed).did().clone()).collect();
    Trust::Agreement { executors, threshold: NonZeroUsize::new(threshold).unwrap() }
}

#[test]
fn own_and_named_executors_are_believed_and_nobody_else() {
    let (world, task) = (World::default(), task_on(1, 5));
    let [own, second, third] = [1, 2, 3].map(|seed| receipt(&issuer(seed), &task, ok(seed.into()), 0));
    world.file(&third, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), None);
    assert_eq!(world.known(&task, &named(&[2])), None);
    world.file(&second, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), None);
    assert_eq!(world.known(&task, &named(&[2])), Some(second.id()));
    world.file(&own, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), Some(own.id()));
    assert_eq!(world.known(&task, &agreement(&[2, 3], 3)), Some(own.id()), "its own needs no agreement");
    // Somebody else's profile, or none, is another machine.
    assert_eq!(world.known_under(&task, &Trust::Own, None), None);
    assert_eq!(world.known_under(&task, &Trust::Own, Some(&block::raw_cid(b"other"))), None);
}

#[test]
fn so_many_have_to_agree() {
    let (world, task) = (World::default(), task_on(1, 5));
    let file = |seed: u8, value: i128, nonce: u8| {
        let receipt = receipt(&issuer(seed), &task, ok(value), nonce);
        world.file(&receipt, &task, &task);
        receipt.id()
    };
    let first = file(2, 7, 0);
    let two_of_four = agreement(&[2, 3, 4, 5], 2);
    // The same voice again, and one of a stranger, are no second voice.
    file(2, 7, 1);
    file(9, 7, 0);
    assert_eq!(world.known(&task, &two_of_four), None);
    file(3, 7, 0);
    assert_eq!(world.known(&task, &two_of_four), Some(first));
    assert_eq!(world.known(&task, &agreement(&[2, 3, 4, 5], 3)), None);
    // Two against two: nothing is known.
    file(4, 8, 0);
    assert_eq!(world.known(&task, &two_of_four), Some(first));
    file(5, 8, 0);
    assert_eq!(world.known(&task, &two_of_four), None);
    // Who states two things has no voice, so that one side falls.
    file(5, 7, 0);
    assert_eq!(world.known(&task, &two_of_four), Some(first));
}

#[test]
fn how_a_failure_is_worded_is_no_disagreement() {
    let (world, task) = (World::default(), task_on(1, 5));
    let failed = |seed: u8, name: &str, message: &str| {
        let receipt = receipt(&issuer(seed), &task, Failure::new(name, message).into(), 0);
        world.file(&receipt, &task, &task);
        receipt.id()
    };
    let first = failed(2, "Trap", "unreachable");
    failed(3, "Trap", "wasm trap: unreachable was executed");
    assert_eq!(world.known(&task, &agreement(&[2, 3], 2)), Some(first));
    let instruction = task.instruction_id().unwrap();
    assert!(block_on(world.memo().contradictions(&instruction)).unwrap().is_empty());
    failed(4, "Other", "unreachable");
    assert_eq!(block_on(world.memo().contradictions(&instruction)).unwrap().len(), 1);
}

#[test]
fn a_receipt_under_an_instruction_that_is_not_its_own_is_not_believed() {
    let (world, asked, other) = (World::default(), task_on(1, 5), task_on(1, 6));
    let misfiled = receipt(&issuer(1), &other, ok(36), 0);
    world.file(&misfiled, &other, &asked);
    assert_eq!(world.known(&asked, &Trust::Own), None);
    let instruction = asked.instruction_id().unwrap();
    assert!(block_on(world.memo().answers(&instruction)).unwrap().is_empty());

    // Of a task that nobody has, it cannot be told what it is about.
    let unknown = Receipt::builder(TaskId::new(block::dag_cbor_cid(b"?")), ok(1));
    let unknown =
        unknown.meta([(meta::PROFILE.to_owned(), Ipld::Link(profile()))].into()).sign(&issuer(1), [1; 16]).unwrap();
    world.file(&unknown, &other, &asked);
    assert_eq!(world.known(&asked, &Trust::Own), None);

    // The same instruction by another task, on another subject: this is what the memo table is for.
    let elsewhere = task_on(2, 5);
    let shared = receipt(&issuer(1), &elsewhere, ok(25), 2);
    world.file(&shared, &elsewhere, &asked);
    assert_eq!(world.known(&asked, &Trust::Own), Some(shared.id()));
}

#[test]
fn what_is_no_final_result_is_not_reused() {
    let (world, task) = (World::default(), task_on(1, 5));
    let promise = Await { branch: Branch::Ok, target: task.id().unwrap() }.to_ipld();
    let nested = Ipld::List(vec![Ipld::Map([("x".to_owned(), promise.clone())].into())]);
    for (nonce, outcome) in (0..).zip([Outcome::Ok(promise.clone()), Outcome::Ok(nested), Outcome::Error(promise)]) {
        world.file(&receipt(&issuer(1), &task, outcome, nonce), &task, &task);
        assert_eq!(world.known(&task, &Trust::Own), None, "the shape of a promise");
    }
    let meta = |attempt| {
        let profile = (meta::PROFILE.to_owned(), Ipld::Link(profile()));
        BTreeMap::from([profile, (meta::ATTEMPT.to_owned(), Ipld::Bool(attempt))])
    };
    let attempt = Receipt::builder(task.id().unwrap(), ok(25)).meta(meta(true)).sign(&issuer(1), [10; 16]).unwrap();
    world.file(&attempt, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), None, "an attempt");

    let last = Receipt::builder(task.id().unwrap(), ok(25)).meta(meta(false)).sign(&issuer(1), [11; 16]).unwrap();
    world.file(&last, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), Some(last.id()));
}

#[test]
fn what_has_expired_is_not_reused() {
    let (world, task) = (World::default(), task_on(1, 5));
    let args = BTreeMap::from([
        ("out".to_owned(), ok(25).to_ipld()),
        ("ran".to_owned(), Ipld::Link(task.id().unwrap().into())),
    ]);
    let until = |secs: u64| {
        let token =
            Invocation::builder(issuer(1).did().clone(), Command::parse(RECEIPT_COMMAND).unwrap(), args.clone())
                .meta([(meta::PROFILE.to_owned(), Ipld::Link(profile()))].into())
                .expiration(Timestamp::from_secs(secs).unwrap())
                .sign(&issuer(1))
                .unwrap();
        Receipt::decode(token.envelope().bytes()).unwrap()
    };
    world.file(&until(1_767_225_599), &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), None);
    let fresh = until(1_767_225_600);
    world.file(&fresh, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), Some(fresh.id()));
}

#[test]
fn a_forged_receipt_is_no_voice_and_no_accusation() {
    let (world, task) = (World::default(), task_on(1, 5));
    let forger = Issuer::new(issuer(1).did().clone(), Arc::new(SigningKey::from_seed(&[9; 32])));
    world.file(&receipt(&forger, &task, ok(26), 0), &task, &task);
    let genuine = receipt(&issuer(1), &task, ok(25), 0);
    world.file(&genuine, &task, &task);
    assert_eq!(world.known(&task, &Trust::Own), Some(genuine.id()));
    let instruction = task.instruction_id().unwrap();
    assert!(block_on(world.memo().contradictions(&instruction)).unwrap().is_empty());
}

#[test]
fn contradictions_are_found_and_kept() {
    let (world, task) = (World::default(), task_on(1, 5));
    let elsewhere = task_on(2, 5);
    let [one, two, three] = [
        receipt(&issuer(2), &task, ok(25), 0),
        receipt(&issuer(3), &elsewhere, ok(26), 0),
        receipt(&issuer(4), &task, ok(25), 0),
    ];
    for (receipt, ran) in [(&one, &task), (&two, &elsewhere), (&three, &task)] {
        world.file(receipt, ran, &task);
    }
    // Another profile may well give something else.
    let other = Receipt::builder(task.id().unwrap(), ok(27)).sign(&issuer(2), [3; 16]).unwrap();
    world.file(&other, &task, &task);

    let instruction = task.instruction_id().unwrap();
    let found = block_on(world.memo().contradictions(&instruction)).unwrap();
    let sides = |found: &Contradiction| -> Vec<Vec<ReceiptId>> {
        found.sides.iter().map(|side| side.iter().map(|receipt| receipt.id()).collect()).collect()
    };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].profile, Some(Ipld::Link(profile())));
    assert_eq!(sides(&found[0]), [vec![one.id(), three.id()], vec![two.id()]]);
    for receipt in [&one, &two, &three] {
        assert!(block_on(ReceiptStore::get(&world.receipts, &receipt.id())).unwrap().is_some());
    }
}

/// The order of the group of P-256, big-endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature that an ECDSA signature can be turned into without the key: `(r, n - s)`.
fn respelled(receipt: &Receipt) -> Receipt {
    let signature = receipt.envelope().signature();
    let at = receipt.bytes().windows(64).position(|window| window == signature).unwrap();
    let mut bytes = receipt.bytes().to_vec();
    let mut borrow = 0_i16;
    for index in (0..32).rev() {
        let digit = i16::from(P256_ORDER[index]) - i16::from(signature[32 + index]) - borrow;
        borrow = i16::from(digit < 0);
        bytes[at + 32 + index] = (digit + 256 * borrow) as u8;
    }
    Receipt::decode(bytes).unwrap()
}

#[test]
fn a_respelled_signature_is_the_same_statement() {
    let (world, task) = (World::default(), task_on(1, 5));
    let key = varsig::SecretKey::from_bytes(varsig::SignatureAlgorithm::Es256, &[7; 32]).unwrap();
    let p256 = Issuer::from_key(key);
    let receipt = receipt(&p256, &task, ok(25), 0);
    let again = respelled(&receipt);
    assert!(verify(&again, &DidKeys).is_ok(), "both spellings are signatures");
    assert_ne!(again.id(), receipt.id());
    assert!(again.same_statement(&receipt));

    for spelling in [&receipt, &again] {
        world.file(spelling, &task, &task);
    }
    // One voice, and nothing that contradicts itself.
    let executors = [p256.did().clone(), issuer(2).did().clone()].into();
    let two = Trust::Agreement { executors, threshold: NonZeroUsize::new(2).unwrap() };
    assert_eq!(world.known(&task, &two), None);
    let instruction = task.instruction_id().unwrap();
    let answers = block_on(world.memo().answers(&instruction)).unwrap();
    assert_eq!(answers.len(), 2);
    assert!(contradictions(&answers).is_empty());
}
