//! A policy that has been read is judged without taking any memory.
#![allow(clippy::unwrap_used, reason = "tests")]

use allocation_counter::measure;
use ucan_core::{Ipld, Policy, Verdict, dagjson};

/// Every operator, segment and kind of value. All statements hold, so that none hides another.
const POLICY: &str = r#"[
    ["==", ".name", "Katie"], ["==", ".", {"deep": {"/": {"bytes": "AQID"}}}],
    ["==", ".deep", {"list": [1, 2.0, {"x": [null, true]}], "map": {"a": {"b": {"c": "text"}}}}],
    ["!=", ".deep", {"list": []}], ["!=", ".missing.more", 1], ["==", ".missing?.more?", null],
    ["<", ".age", 36], ["<=", ".age", 35.0], [">", ".age", 34.5], [">=", ".age", 35],
    ["like", ".name", "K*t*"], ["like", ".title", "*\\**c*d*"], ["like", ".long", "*needle*in*haystack*"],
    ["and", [["==", ".list[-1]", 4], ["==", ".list[1:3]", [2, 3]], ["==", ".list[][-2:][0]", 3]]],
    ["or", [["==", ".name", "Bob"], ["like", ".name", "*ie"]]],
    ["not", ["==", ".bytes[0]", 2]], ["==", ".bytes[-1]", 3], ["==", ".bytes[1:]", {"/": {"bytes": "AgM"}}],
    ["==", ".bytes[1:][0]", 2], ["==", ".map[]", [1, 2, 3, 4]], ["==", ".map[][1:3]", [2, 3]], ["==", ".map[][-1]", 4],
    ["all", ".map[][1:]", [">", ".", 1]], ["all", ".map", [">", ".", 0]], ["any", ".map[]", ["==", ".", 4]],
    ["all", ".teams", ["any", ".members[1:]", ["all", ".mails[]", ["like", ".", "*@example.com"]]]],
    ["==", ".[\"any name\"][\"\"]", 1], ["and", []], ["or", []]
]"#;

const ARGS: &str = r#"{
    "name": "Katie", "age": 35, "title": "a * b cde d", "list": [1, 2, 3, 4], "bytes": {"/": {"bytes": "AQID"}},
    "long": "..............................a needle ........................ in a ................. haystack ........",
    "deep": {"list": [1, 2, {"x": [null, true]}], "map": {"a": {"b": {"c": "text"}}}},
    "map": {"a": 1, "dddd": 4, "ccc": 3, "bb": 2}, "any name": {"": 1},
    "teams": [
        {"members": [{"mails": {}}, {"mails": {"x": "a@example.com", "yy": "b@example.com"}}]},
        {"members": [{"mails": ["c@example.org"]}, {"mails": ["c@example.com"]}, {"mails": ["d@example.org"]}]}
    ]
}"#;

fn policy(text: &str) -> Policy {
    Policy::parse(&dagjson::decode(text.as_bytes()).unwrap()).unwrap()
}

/// A policy that holds, statement by statement, but for the one in it that cannot.
fn statements() -> (Policy, Vec<Policy>, Ipld) {
    let Ipld::List(statements) = dagjson::decode(POLICY.as_bytes()).unwrap() else { unreachable!("a list") };
    let args = dagjson::decode(ARGS.as_bytes()).unwrap();
    let single = |statement: &Ipld| Policy::parse(&Ipld::List(vec![statement.clone()])).unwrap();
    (policy(POLICY), statements.iter().map(single).collect(), args)
}

#[test]
fn no_statement_takes_memory() {
    let (whole, single, args) = statements();
    let mut failed = 0;
    for statement in &single {
        let mut holds = false;
        let memory = measure(|| holds = statement.matches(&args));
        assert_eq!(memory.count_total, 0, "{:?}", statement.to_ipld());
        failed += usize::from(!holds);
    }
    // The whole arguments are not what one statement compares them with.
    assert_eq!(failed, 1);
    assert_eq!(measure(|| assert!(!whole.matches(&args))).count_total, 0);
}

#[test]
fn neither_do_pending_values() {
    let (_, single, args) = statements();
    let pending = |value: &Ipld| matches!(value, Ipld::Integer(3));
    let mut undecided = 0;
    for statement in &single {
        let memory = measure(|| undecided += usize::from(statement.evaluate(&args, &pending) == Verdict::Undecided));
        assert_eq!(memory.count_total, 0, "{:?}", statement.to_ipld());
    }
    assert!(undecided > 3, "{undecided}");
}

#[test]
fn nor_do_arguments_that_take_too_long() {
    let costly = policy(r#"[["all", ".[][1:]", ["any", ".", ["==", ".", 2]]]]"#);
    let list = Ipld::List(vec![Ipld::Integer(1); 10_000]);
    let args = Ipld::Map((0..500).map(|key: u32| (key.to_string(), list.clone())).collect());
    assert_eq!(measure(|| assert!(!costly.matches(&args))).count_total, 0);
}

#[test]
fn the_counter_counts() {
    let memory = measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(memory.count_total, 1);
}
