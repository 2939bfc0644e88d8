//! The law that is fuzzed, over what is well-formed, changes of it, and bytes at random.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../fuzz/laws/channels.rs"]
mod channels;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn what_is_well_formed() {
    assert_eq!(channels::originals().len(), 8);
    channels::originals().iter().for_each(|original| channels::channel(original));
    channels::channel(&[]);
}

/// `IPVM_LAWS` is how many inputs are tried, 50,000 unless it is set; `IPVM_SEED` makes them others. Every input is what is
/// well-formed with up to eight bytes changed, most of them near each other.
#[test]
fn many_changes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let mut state = number("IPVM_SEED").unwrap_or(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    };
    for _ in 0..number("IPVM_LAWS").unwrap_or(50_000) {
        let mut input = vec![next() as u8];
        let first = next();
        for at in 0..1 + next() % 8 {
            let place = if next() % 4 == 0 { next() } else { first + at } as u16;
            // Small numbers and the heads of items are where readers go wrong.
            let byte =
                [next() as u8, 0, 0xff, 0x18 + (next() % 4) as u8, 0x80, 0xa0, 0x1b, 0x3b][(next() % 8) as usize];
            input.extend(place.to_be_bytes().into_iter().chain([byte]));
        }
        channels::channel(&input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changes_and_any_bytes(bytes in vec(any::<u8>(), 0..20)) {
        channels::channel(&bytes);
    }
}
