//! The law that is fuzzed, over what is well-formed, changes of it, and bytes at random.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../fuzz/laws/channels.rs"]
mod channels;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn what_is_well_formed() {
    assert_eq!(channels::originals().len(), 7);
    channels::originals().iter().for_each(|original| channels::channel(original));
    channels::channel(&[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changes_and_any_bytes(bytes in vec(any::<u8>(), 0..20)) {
        channels::channel(&bytes);
    }
}
