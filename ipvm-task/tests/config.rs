//! The configuration of tasks: the vectors `fixtures/ipvm-task/config.json`, and laws.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipvm_task::{ConfigError, TaskConfig, Verification};
use proptest::prelude::*;
use ucan_core::{Did, Ipld, dagjson};

const FILE: &str = include_str!("../../fixtures/ipvm-task/config.json");

fn field<'a>(map: &'a Ipld, key: &str) -> Option<&'a Ipld> {
    match map {
        Ipld::Map(map) => map.get(key),
        other => panic!("{other:?} is no map"),
    }
}

fn kind(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::NotAMap { .. } => "NotAMap",
        ConfigError::UnknownField { .. } => "UnknownField",
        ConfigError::Kind { .. } => "Kind",
        ConfigError::UnknownUnit { .. } => "UnknownUnit",
        ConfigError::OutOfRange { .. } => "OutOfRange",
        ConfigError::TooFine { .. } => "TooFine",
        ConfigError::NotSupported { .. } => "NotSupported",
        ConfigError::Check { .. } => "Check",
        other => panic!("{other:?}"),
    }
}

#[test]
fn vectors() {
    let file = dagjson::decode(FILE.as_bytes()).unwrap();
    let Some(Ipld::List(cases)) = field(&file, "cases") else { panic!("no cases") };
    assert!(cases.len() > 50);
    for case in cases {
        let shown = dagjson::encode(case);
        let parsed = TaskConfig::parse(field(case, "config").unwrap());
        match field(case, "error") {
            None => {
                let config = parsed.unwrap_or_else(|error| panic!("{shown}: {error}"));
                assert_eq!(Some(&config.to_ipld()), field(case, "ok"), "{shown}");
                assert_eq!(TaskConfig::parse(&config.to_ipld()).unwrap(), config, "{shown}");
            }
            Some(expected) => {
                let error = parsed.err().unwrap_or_else(|| panic!("{shown} was taken"));
                let place = error.field().map_or(Ipld::Null, |field| Ipld::String(field.to_owned()));
                assert_eq!(field(expected, "field"), Some(&place), "{shown}: {error}");
                assert_eq!(field(expected, "kind"), Some(&Ipld::String(kind(&error).to_owned())), "{shown}: {error}");
            }
        }
    }
}

fn dids(count: std::ops::Range<usize>) -> impl Strategy<Value = BTreeSet<Did>> {
    prop::collection::btree_set("[a-z]{3}\\.example", count)
        .prop_map(|names| names.into_iter().map(|name| format!("did:web:{name}").parse().unwrap()).collect())
}

fn checks() -> impl Strategy<Value = Verification> {
    let one = || dids(1..2).prop_map(|dids| dids.into_iter().next().unwrap());
    prop_oneof![
        Just(Verification::None),
        Just(Verification::Attestation),
        one().prop_map(Verification::Oracle),
        (dids(1..6), 0_usize..3).prop_map(|(executors, more)| {
            let agree = (executors.len() / 2 + 1 + more).min(executors.len());
            Verification::Consensus { executors, agree: NonZeroUsize::new(agree).unwrap() }
        }),
        (any::<u32>(), one(), 0_u64..1 << 40).prop_map(|(confirmations, referee, window)| {
            Verification::Optimistic { confirmations, referee, window: Duration::from_nanos(window) }
        }),
    ]
}

fn configs() -> impl Strategy<Value = TaskConfig> {
    let optional = |most: u64| prop::option::of(0..most);
    let fields = (prop::option::of(any::<bool>()), prop::option::of(checks()), optional(1 << 50), optional(1 << 50));
    (fields, optional(1 << 50), optional(u64::MAX)).prop_map(|((secret, check, time, memory), disk, gas)| TaskConfig {
        secret,
        check,
        time: time.map(Duration::from_nanos),
        memory,
        disk,
        gas,
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(config in configs()) {
        prop_assert_eq!(TaskConfig::parse(&config.to_ipld()).unwrap(), config);
    }

    #[test]
    fn configurations_are_laid_over_each_other_in_any_grouping(a in configs(), b in configs(), c in configs()) {
        prop_assert_eq!(a.over(&b).over(&c), a.over(&b.over(&c)));
        prop_assert_eq!(a.over(&TaskConfig::default()), a.clone());
        prop_assert_eq!(TaskConfig::default().over(&a), a);
    }
}
