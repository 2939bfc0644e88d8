//! The stores in memory keep the contracts of their traits.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use ucan_invocation::{MemoryBlocks, MemoryReceipts, MemoryRequests, contracts};

#[test]
fn blocks() {
    pollster::block_on(contracts::blocks(&MemoryBlocks::default()));
}

#[test]
fn receipts() {
    pollster::block_on(contracts::receipts(&MemoryReceipts::default()));
}

#[test]
fn requests() {
    pollster::block_on(contracts::requests(&MemoryRequests::default()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// How many filings there are is what is made smaller where one fails.
    #[test]
    fn lists_are_those_of_a_naive_model(seed: u64, count in 0_usize..80) {
        pollster::block_on(contracts::filings(&MemoryReceipts::default(), seed, count));
    }
}
