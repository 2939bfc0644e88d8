//! Prints what one draw on a channel costs (verify, update, make durable), against one signature verification and one durable append
//! to the same store, taking turns; and the same with many channels in the store.
//!
//! `cargo run --release -p ipvm-fjall --example channels -- [folder] [channels]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipvm_fjall::FjallStore;
use ucan_chan::{Change, ChannelStore, Commit, Open, Terms, Till, Voucher};
use ucan_core::{Cid, Context, DidKeys, Issuer, Timestamp, block, verify};
use ucan_invocation::{Claim, ReplayGuard, TaskId};
use varsig::ed25519::SigningKey;

/// How many channels the store holds, unless somebody says otherwise.
const CHANNELS: u64 = 100_000;
/// How many channels are drawn on.
const DRAWN: usize = 256;
const ROUNDS: u64 = 40;

struct Bench {
    till: Till,
    store: FjallStore,
    holder: Issuer,
    terms: Vec<Terms>,
    sequence: u64,
    claims: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let channels = std::env::args().nth(2).map_or(CHANNELS, |count| count.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let path = folder.path().join("store");
    let mut bench = Bench::new(FjallStore::open(&path).unwrap()).await;
    let state = bench.till.channel(bench.terms[0].id()).await.unwrap().encode().unwrap();
    println!("state of a channel that nobody has drawn on: {} bytes", state.len());
    bench.turns("256 channels", 1).await;
    bench.turns("256 channels", 64).await;
    let state = bench.till.channel(bench.terms[0].id()).await.unwrap().encode().unwrap();
    println!("state of a channel after {} draws: {} bytes", bench.sequence, state.len());

    let start = Instant::now();
    bench.fill(channels, state.len()).await;
    println!("{channels} more channels written in {:.1} s, eight in a commit", start.elapsed().as_secs_f64());
    bench.turns("all channels", 1).await;
    bench.turns("all channels", 64).await;
    bench.look_up(channels).await;
    let Bench { till, store, .. } = bench;
    drop((till, store));
    println!("on disk: {} MB", size(folder.path()) / 1_000_000);
    let start = Instant::now();
    let store = FjallStore::open(&path).unwrap();
    println!("reopened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    assert_eq!(store.get(&filler(channels - 1)).await.unwrap().unwrap().version, 1);
}

impl Bench {
    async fn new(store: FjallStore) -> Self {
        let [provider, holder] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
        let till = Till::new(Arc::new(store.clone()), provider.did().clone(), 1);
        let mut terms = Vec::new();
        for number in 0..DRAWN {
            let unit = "gas".parse().unwrap();
            let offer = Terms::offer(provider.did(), holder.did().clone(), unit, 1 << 40, Timestamp::MAX).unwrap();
            let chain = [offer.nonce(format!("channel {number:08}").into_bytes()).sign(&provider).unwrap()];
            terms.push(Terms::read(&chain).unwrap());
            let open = Open::sign(&holder, &terms[number], 60).unwrap();
            let ctx = Context::new(Timestamp::EPOCH, &DidKeys);
            till.open(open.bytes(), &chain, &ctx).await.unwrap();
        }
        Self { till, store, holder, terms, sequence: 0, claims: 0 }
    }

    /// Draws, and what they are compared with, in turns: so many at once, each on a channel of its own.
    async fn turns(&mut self, what: &str, at_once: usize) {
        let (mut draws, mut pairs, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let vouchers = self.sign();
            // Whoever comes first changes with each round.
            if round % 2 == 0 {
                draws.push(self.draw(&vouchers, at_once).await);
                pairs.push(self.pair(&vouchers, at_once).await);
            } else {
                pairs.push(self.pair(&vouchers, at_once).await);
                draws.push(self.draw(&vouchers, at_once).await);
            }
            let start = Instant::now();
            for voucher in &vouchers {
                verify(Voucher::decode(&voucher[..]).unwrap(), &DidKeys).unwrap();
            }
            parts.push(start.elapsed());
        }
        let [draw, pair, part] = [draws, pairs, parts].map(micros);
        println!(
            "{what}, {at_once:>2} at once: draw {draw:>8.1} us, verification and append {pair:>8.1} us, ratio {:.2} (decoding and \
             verification alone {part:.1} us)",
            draw / pair
        );
    }

    fn sign(&mut self) -> Vec<Vec<u8>> {
        self.sequence += 1;
        let task = TaskId::new(block::dag_cbor_cid(&self.sequence.to_be_bytes()));
        let sign = |terms| Voucher::sign(&self.holder, terms, self.sequence, self.sequence * 10, task).unwrap();
        self.terms.iter().map(|terms| sign(terms).bytes().to_vec()).collect()
    }

    async fn draw(&self, vouchers: &[Vec<u8>], at_once: usize) -> Duration {
        let start = Instant::now();
        let draw = async |token: Vec<u8>, till: Till| {
            let drawn = till.draw(&token, &DidKeys, Timestamp::EPOCH).await.unwrap();
            assert_eq!(drawn.more, 10);
        };
        for some in vouchers.chunks(at_once) {
            let all: Vec<_> = some.iter().map(|token| tokio::spawn(draw(token.clone(), self.till.clone()))).collect();
            for one in all {
                one.await.unwrap();
            }
        }
        start.elapsed()
    }

    async fn pair(&mut self, vouchers: &[Vec<u8>], at_once: usize) -> Duration {
        let start = Instant::now();
        let pair = async |token: Vec<u8>, name: Cid, store: FjallStore| {
            verify(Voucher::decode(token).unwrap(), &DidKeys).unwrap();
            let claim = store.claim(&name, Timestamp::MAX, Timestamp::EPOCH).await.unwrap();
            assert_eq!(claim, Claim::First);
        };
        for some in vouchers.chunks(at_once) {
            let mut all = Vec::with_capacity(some.len());
            for token in some {
                self.claims += 1;
                let name = block::raw_cid(&self.claims.to_be_bytes());
                all.push(tokio::spawn(pair(token.clone(), name, self.store.clone())));
            }
            for one in all {
                one.await.unwrap();
            }
        }
        start.elapsed()
    }

    /// Other channels, whose states are as large as those that are drawn on, and cannot be compressed.
    async fn fill(&self, channels: u64, length: usize) {
        let numbers: Vec<u64> = (0..channels).collect();
        for some in numbers.chunks(8 * 128) {
            let commits: Vec<_> = some
                .chunks(8)
                .map(|some| {
                    let change = |number: &u64| Change { id: filler(*number), from: 0, state: noise(*number, length) };
                    let (changes, store) = (some.iter().map(change).collect(), self.store.clone());
                    tokio::spawn(async move { store.commit(changes).await.unwrap() })
                })
                .collect();
            for commit in commits {
                assert_eq!(commit.await.unwrap(), Commit::Done);
            }
        }
    }

    async fn look_up(&self, channels: u64) {
        let mut times = Vec::new();
        for at in 0..20_000_u64 {
            let id = filler(at * 7_919 % channels);
            let start = Instant::now();
            assert!(self.store.get(&id).await.unwrap().is_some());
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let [median, late] = [50, 99].map(|percent| times[times.len() * percent / 100].as_secs_f64() * 1e6);
        println!("reading one of them: {median:.1} us, 99% {late:.1} us");
    }
}

fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

fn filler(number: u64) -> Cid {
    block::dag_cbor_cid(format!("filler {number}").as_bytes())
}

/// The median time for one.
fn micros(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6 / f64::from(u32::try_from(DRAWN).unwrap())
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}
