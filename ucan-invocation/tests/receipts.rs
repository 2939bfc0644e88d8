//! Receipts and invocations from outside: what has the right shape, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use ucan_core::{ChainErrorClass, Command, Context, Delegation, DidKeys, Ipld, Issuer, Timestamp, block, verify};
use ucan_invocation::{
    AttestError, Failure, Invocation, Outcome, RECEIPT_COMMAND, Receipt, ReceiptError, TaskId, attest,
};
use varsig::ed25519::SigningKey;

fn issuer(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

fn ran() -> TaskId {
    TaskId::new(block::dag_cbor_cid(b"a task"))
}

fn receipt() -> Receipt {
    let meta = BTreeMap::from([("fuel".to_owned(), Ipld::Integer(3))]);
    Receipt::builder(ran(), Outcome::Ok(Ipld::Integer(1))).meta(meta).sign(&issuer(1), [5; 16]).unwrap()
}

#[test]
fn a_receipt_is_an_invocation_of_the_executor_on_itself() {
    let receipt = receipt();
    let read = verify(Receipt::decode(receipt.bytes()).unwrap(), &DidKeys).unwrap();
    assert_eq!((read.ran(), read.outcome(), read.id()), (&ran(), &Outcome::Ok(Ipld::Integer(1)), receipt.id()));
    let invocation = Invocation::decode(receipt.bytes()).unwrap();
    assert_eq!(invocation.command().as_str(), RECEIPT_COMMAND);
    assert_eq!((invocation.audience(), invocation.expiration(), invocation.proofs().len()), (None, None, 0));
    assert_eq!(invocation.task().nonce().len(), 16);
}

#[test]
fn other_shapes_are_refused() {
    let out = |key: &str| Ipld::Map([(key.to_owned(), Ipld::Null)].into());
    let both = Ipld::Map([("ok".to_owned(), Ipld::Null), ("error".to_owned(), Ipld::Null)].into());
    let ran = Ipld::Link(ran().into());
    let decode = |command: &str, args: &[(&str, &Ipld)]| {
        let args = args.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect();
        let command = Command::parse(command).unwrap();
        let token = Invocation::builder(issuer(1).did().clone(), command, args).sign(&issuer(1)).unwrap();
        Receipt::decode(ucan_core::Token::envelope(&token).bytes()).map(|receipt| receipt.outcome().clone())
    };
    assert_eq!(decode(RECEIPT_COMMAND, &[("out", &out("ok")), ("ran", &ran)]), Ok(Outcome::Ok(Ipld::Null)));
    assert_eq!(decode(RECEIPT_COMMAND, &[("out", &out("error")), ("ran", &ran)]), Ok(Outcome::Error(Ipld::Null)));
    for malformed in [&out("okay"), &both, &Ipld::Null] {
        let found = decode(RECEIPT_COMMAND, &[("out", malformed), ("ran", &ran)]);
        assert_eq!(found, Err(ReceiptError::Argument("out")));
    }
    assert_eq!(decode(RECEIPT_COMMAND, &[("out", &out("ok"))]), Err(ReceiptError::Argument("ran")));
    let more = decode(RECEIPT_COMMAND, &[("out", &out("ok")), ("ran", &ran), ("more", &ran)]);
    assert_eq!(more, Err(ReceiptError::UnknownArgument("more".to_owned())));
    assert!(matches!(decode("/msg/send", &[]), Err(ReceiptError::NotAReceipt { .. })));
    let args = BTreeMap::from([("out".to_owned(), out("ok")), ("ran".to_owned(), ran)]);
    let command = Command::parse(RECEIPT_COMMAND).unwrap();
    let foreign = Invocation::builder(issuer(2).did().clone(), command, args).sign(&issuer(1)).unwrap();
    let foreign = Receipt::decode(ucan_core::Token::envelope(&foreign).bytes());
    assert!(matches!(foreign, Err(ReceiptError::Issuer)));
}

#[test]
fn failures_are_named() {
    let outcome: Outcome = Failure::new("OutOfFuel", "too little").with("limit", Ipld::Integer(5)).into();
    let receipt = Receipt::builder(ran(), outcome.clone()).sign(&issuer(1), [0; 16]).unwrap();
    let read = Receipt::decode(receipt.bytes()).unwrap();
    assert_eq!(read.outcome(), &outcome);
    assert_eq!(read.outcome().failure_name(), Some("OutOfFuel"));
    assert_eq!(read.outcome().failure_message(), Some("too little"));
}

#[test]
fn somebody_else_issues_a_receipt_only_with_proofs() {
    let [executor, worker] = [1, 2].map(issuer);
    let command = Command::parse(RECEIPT_COMMAND).unwrap();
    let args = BTreeMap::from([
        ("out".to_owned(), Outcome::Ok(Ipld::Null).to_ipld()),
        ("ran".to_owned(), Ipld::Link(ran().into())),
    ]);
    let sign = |proofs| {
        Invocation::builder(executor.did().clone(), command.clone(), args.clone()).proofs(proofs).sign(&worker).unwrap()
    };
    let may = Delegation::builder(worker.did().clone(), Some(executor.did().clone()), command.clone());
    let may = may.sign(&executor).unwrap();
    let context = Context::new(Timestamp::EPOCH, &DidKeys);
    let check = |token: &Invocation| attest(token.clone(), None, &|_| Some(may.clone()), &context);

    let (alone, proven) = (sign(vec![]), sign(vec![*may.cid()]));
    match check(&alone).unwrap_err() {
        AttestError::Chain(error) => assert_eq!((error.class, error.proof), (ChainErrorClass::InvalidClaim, None)),
        other => panic!("{other}"),
    }
    let attested = check(&proven).unwrap();
    assert_eq!((attested.executor(), attested.ran(), attested.expired()), (executor.did(), &ran(), false));
    assert_eq!(attested.authority().proofs(), [*may.cid()]);
    // What is stored and trusted as a receipt is still the executor's own.
    let stored = Receipt::decode(ucan_core::Token::envelope(&proven).bytes());
    assert!(matches!(stored, Err(ReceiptError::Issuer)));
}

proptest! {
    #[test]
    fn any_change_to_a_receipt_is_found(position in 0_usize..4096, change in 1_u8..=255) {
        let genuine = receipt();
        let mut bytes = genuine.bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] ^= change;
        if let Ok(altered) = Receipt::decode(bytes) {
            prop_assert!(verify(altered, &DidKeys).is_err());
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Receipt::decode(bytes.clone());
        let _ = ucan_invocation::Task::from_block(&bytes);
    }
}
