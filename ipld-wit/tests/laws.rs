//! The law that is fuzzed, over its seeds and regressions, over changes of them, and over bytes at random.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../fuzz/laws/abi.rs"]
mod abi;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

fn seeds() -> Vec<Vec<u8>> {
    let folder = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name).join("abi");
    // What was never broken has no regressions.
    let folders = ["seeds", "regressions"].map(folder).into_iter().filter(|folder| folder.exists());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut seeds: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    seeds.sort();
    seeds
}

#[test]
fn seeds_and_regressions() {
    let seeds = seeds();
    assert!(seeds.len() > 10, "only {} seeds were found", seeds.len());
    seeds.iter().for_each(|seed| abi::abi(seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..40)) {
        abi::abi(&bytes);
    }

    #[test]
    fn changed_seeds(
        seed in prop::sample::select(seeds()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
        more in vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = [seed, more].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        abi::abi(&bytes);
    }
}
