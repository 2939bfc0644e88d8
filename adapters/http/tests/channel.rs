//! The example with two processes, as it is run by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// The provider is paid for what it computed, to the unit, and stops when the budget is gone.
#[test]
fn a_provider_computes_for_who_pays_and_stops() {
    // Cargo builds the examples of a package before its tests run, next to them.
    let tests = std::env::current_exe().unwrap();
    let example = tests.ancestors().nth(2).unwrap().join("examples/channel");
    let output = Command::new(example).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let costs: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split_once(" gas, signed for"))
        .map(|(before, _)| before.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    let due = text.lines().find_map(|line| line.strip_prefix("settled: ")?.split(' ').next()).unwrap();
    assert!(costs.len() >= 4, "{text}");
    assert_eq!(costs.iter().sum::<u64>(), due.parse::<u64>().unwrap(), "{text}");
    assert!(text.contains("the channel has") && text.contains("Unpaid"), "{text}");
}
