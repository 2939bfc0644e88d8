//! That runs leave nothing behind. The memory of the whole process is looked at, so that no other test is in this file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{GUEST, LIMITS, ints, prepare, runtime};
use ipvm_task::Limits;
use ucan_core::Ipld;

#[test]
fn a_hundred_thousand_runs_of_all_kinds_leave_nothing_behind() {
    let component = prepare(&runtime(), GUEST).unwrap();
    let small = Limits { fuel: 20_000, memory: 1 << 20, ..LIMITS };
    let bytes = Ipld::List(vec![Ipld::Bytes(vec![1; 4_000])]);
    let run = |round: usize| match round % 8 {
        0 => assert!(component.call("nop", &ints([]), &small).is_ok()),
        5 => assert!(component.call("echo", &bytes, &small).is_ok()),
        6 => assert!(component.call("count", &ints([10]), &small).is_ok()),
        7 => assert!(component.call("grow", &ints([1 << 12]), &small).is_err()),
        1 => assert!(component.call("boom", &ints([]), &small).is_err()),
        2 => assert!(component.call("spin", &ints([]), &small).is_err()),
        3 => assert!(component.call("eat", &ints([]), &small).is_err()),
        _ => assert!(component.call("deep", &ints([0]), &small).is_err()),
    };
    (0..2_000).for_each(run);
    let before = resident();
    (0..100_000).for_each(run);
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert!(component.call("nop", &ints([]), &LIMITS).is_ok());
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
