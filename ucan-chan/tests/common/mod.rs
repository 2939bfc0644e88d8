//! A provider, a funder, spenders, and channels between them.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::sync::Arc;

use ucan_chan::{Channel, MemoryChannels, Open, Purse, Terms, Till, Voucher};
use ucan_core::{Context, Delegation, DidKeys, Issuer, Timestamp, Verified, block, verify};
use ucan_invocation::TaskId;
use varsig::ed25519::SigningKey;

pub const BUDGET: u64 = 1_000;
pub const WINDOW: u64 = 100;

pub fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

pub fn provider() -> Issuer {
    issuer(1)
}

pub fn funder() -> Issuer {
    issuer(2)
}

pub fn at(secs: u64) -> Timestamp {
    Timestamp::EPOCH.saturating_add(secs)
}

pub fn end() -> Timestamp {
    at(10_000)
}

pub fn now() -> Timestamp {
    at(1_000)
}

pub fn task(name: impl AsRef<[u8]>) -> TaskId {
    TaskId::new(block::dag_cbor_cid(name.as_ref()))
}

pub fn root(budget: u64) -> Vec<Delegation> {
    let offer = Terms::offer(provider().did(), funder().did().clone(), "gas".parse().unwrap(), budget, end()).unwrap();
    vec![offer.nonce(b"root channel".to_vec()).sign(&provider()).unwrap()]
}

/// The chain of a part of a channel, for the holder of seed `to`.
pub fn part(above: &[Delegation], by: &Issuer, to: &Issuer, budget: u64, nonce: u8) -> Vec<Delegation> {
    let share = Terms::read(above).unwrap().share(to.did().clone(), budget).unwrap();
    let mut chain = above.to_vec();
    chain.push(share.nonce(vec![nonce; 12]).sign(by).unwrap());
    chain
}

pub fn terms(chain: &[Delegation]) -> Terms {
    Terms::read(chain).unwrap()
}

pub fn opening(holder: &Issuer, chain: &[Delegation]) -> Verified<Open> {
    verify(Open::sign(holder, &terms(chain), WINDOW).unwrap(), &DidKeys).unwrap()
}

pub fn channel(budget: u64) -> Channel {
    let chain = root(budget);
    Channel::open(terms(&chain), &opening(&funder(), &chain)).unwrap()
}

/// A voucher of the funder on the root channel.
pub fn voucher(budget: u64, sequence: u64, total: u64, name: &str) -> Verified<Voucher> {
    let signed = Voucher::sign(&funder(), &terms(&root(budget)), sequence, total, task(name)).unwrap();
    checked(signed)
}

pub fn checked(voucher: Voucher) -> Verified<Voucher> {
    verify(Voucher::decode(voucher.bytes()).unwrap(), &DidKeys).unwrap()
}

pub fn till() -> Till {
    Till::new(Arc::new(MemoryChannels::default()), provider().did().clone(), 1)
}

pub async fn opened(till: &Till, holder: &Issuer, chain: &[Delegation]) -> Purse {
    let open = opening(holder, chain);
    till.open(open.bytes(), chain, &Context::new(now(), &DidKeys)).await.unwrap();
    Purse::new(terms(chain))
}
