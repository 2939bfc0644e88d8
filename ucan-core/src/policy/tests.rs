use proptest::prelude::*;

use super::*;
use crate::dagjson;

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

fn policy(text: &str) -> Policy {
    Policy::parse(&json(text)).unwrap()
}

fn holds(statement: &str, args: &str) -> bool {
    policy(&format!("[{statement}]")).matches(&json(args))
}

/// The verdict of one statement, where every map with the one key `await` is pending.
fn verdict(statement: &str, args: &str) -> Verdict {
    let pending = |value: &Ipld| matches!(value, Ipld::Map(map) if map.len() == 1 && map.contains_key("await"));
    policy(&format!("[{statement}]")).evaluate(&json(args), &pending)
}

#[test]
fn selectors_of_the_specification() {
    let args = json(
        r#"{"from": "alice@example.com", "to": ["bob@example.com", "carol@not.example.com", "dan@example.com"],
            "cc": ["fraud@example.com"], "title": "Meeting Confirmation", "data": {"/": {"bytes": "1qnBjPjE"}}}"#,
    );
    let select = |text: &str| Selector::parse(text).unwrap().select(&args).map(|value| dagjson::encode(&value));
    let found = |text: &str| select(text).unwrap_or_else(|| panic!("{text} fails"));
    assert_eq!(select("."), Some(dagjson::encode(&args)));
    assert_eq!(found(".title"), r#""Meeting Confirmation""#);
    assert_eq!(found(".cc"), r#"["fraud@example.com"]"#);
    assert_eq!(found(".to[1]"), r#""carol@not.example.com""#);
    assert_eq!(found(".to[-1]"), r#""dan@example.com""#);
    assert_eq!(found(".to[99]?"), "null");
    assert_eq!(select(".to[99]"), None);
    assert_eq!(found(".data[3]"), "140");
    assert_eq!(found(".data[-1]"), "196");
    assert_eq!(found(".data[1:3]"), r#"{"/":{"bytes":"qcE"}}"#);
    assert_eq!(select(".data[6]"), None);
}

#[test]
fn selectors_find_fail_or_give_null() {
    let args =
        r#"{"l": [1, 2, 3], "m": {"bb": 2, "a": 1, "c": {"x": 1}}, "s": "text", "n": null, "": 7, "]": 8, "\"\\é": 9}"#;
    let args = json(args);
    let cases = [
        (".l[0:2]", Some("[1,2]")),
        (".l[1:]", Some("[2,3]")),
        (".l[:1]", Some("[1]")),
        (".l[:-1]", Some("[1,2]")),
        (".l[-2:]", Some("[2,3]")),
        (".l[-99:99]", Some("[1,2,3]")),
        (".l[2:1]", Some("[]")),
        (".l[9:]", Some("[]")),
        (".l[1:][0]", Some("2")),
        (".l[1:][:1]", Some("[2]")),
        (".l[]", Some("[1,2,3]")),
        (".m[]", Some(r#"[1,{"x":1},2]"#)),
        (".m[][-1]", Some("2")),
        (".missing", Some("null")),
        (".missing.more", None),
        (".missing.more?", Some("null")),
        (".missing?.more", None),
        (".missing?.more?", Some("null")),
        (".missing???", Some("null")),
        (".n", Some("null")),
        (".n.x", None),
        (".n[0]", None),
        (".n[]", None),
        (".n[]?", Some("null")),
        (".l.x", None),
        (".l.x?", Some("null")),
        (".l[-4]", None),
        (".l[9223372036854775807]", None),
        (".l[-9223372036854775808]", None),
        (".l[-9223372036854775808:]", Some("[1,2,3]")),
        (".s[0]", None),
        (".s[0:1]", None),
        (".s[]", None),
        (".s.length", None),
        (".m[0]", None),
        (".m[0:1]", None),
        (r#".["m"]["a"]"#, Some("1")),
        (r#".m.["a"]"#, Some("1")),
        (r#".[""]"#, Some("7")),
        (r#".["]"]"#, Some("8")),
        (r#".["\"\\\u00e9"]"#, Some("9")),
        (r#".["nope"]?"#, Some("null")),
        (".?", Some("all")),
        (".m.", Some(r#"{"a":1,"bb":2,"c":{"x":1}}"#)),
    ];
    for (text, expected) in cases {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.to_string(), text);
        let found = selector.select(&args).map(|value| dagjson::encode(&value));
        match expected {
            Some("all") => assert_eq!(found, Some(dagjson::encode(&args))),
            expected => assert_eq!(found.as_deref(), expected, "{text}"),
        }
    }
}

#[test]
fn malformed_selectors() {
    let cases = [
        "",
        "a",
        "a.b",
        "..",
        ".a..b",
        "...",
        ".1",
        ".a-b",
        ".é",
        ".a b",
        " .a",
        ".a ",
        ".[",
        ".[0",
        ".a]",
        ".[a]",
        ".[+1]",
        ".[1.0]",
        ".[:]",
        ".[1:2:3]",
        ".[--1]",
        ".[-]",
        ".[ 0 ]",
        ".[']']",
        r#".["a]"#,
        r#".["a"x]"#,
        r#".["\x"]"#,
        r#".["\ud800"]"#,
        ".[9223372036854775808]",
        ".a?b",
        "?",
        "[0]",
        r#"["a"]"#,
        ".a.?",
        ".$a",
        ".[0]x",
    ];
    for text in cases {
        let error = Selector::parse(text).unwrap_err();
        assert_eq!(error.name(), "MalformedSelector", "{text}");
    }
    let error = Selector::parse(".ab..c").unwrap_err();
    assert_eq!(error.to_string(), r#"malformed selector ".ab..c": expected a name or `[` at byte 4"#);
    assert_eq!(Selector::parse(&format!(".{}", "[]".repeat(257))), Err(SelectorError::TooLong));
    assert!(Selector::parse(&format!(".{}", "[]".repeat(256))).is_ok());
}

#[test]
fn malformed_policies() {
    let name = |text: &str| Policy::parse(&json(text)).unwrap_err().name();
    for text in [
        r"{}",
        r"null",
        r#"["==", ".a", 1]"#,
        r"[[]]",
        r"[[1, 2]]",
        r#"[["=", ".a", 1]]"#,
        r#"[["==", ".a"]]"#,
        r#"[["==", ".a", 1, 2]]"#,
        r#"[["==", 1, 1]]"#,
        r#"[["<", ".a", "1"]]"#,
        r#"[[">=", ".a", null]]"#,
        r#"[["like", ".a", 1]]"#,
        r#"[["and", ["==", ".a", 1]]]"#,
        r#"[["and", [["==", ".a", 1]], []]]"#,
        r#"[["or", 1]]"#,
        r#"[["not", [["==", ".a", 1]]]]"#,
        r#"[["all", ".a", [["==", ".b", 1]]]]"#,
        r#"[["any", ".a", 1]]"#,
        r#"[["not"]]"#,
        r#"[["AND", []]]"#,
    ] {
        assert_eq!(name(text), "MalformedPolicy", "{text}");
    }
    assert_eq!(name(r#"[["not", ["==", "a", 1]]]"#), "MalformedSelector");
    let nested = |depth: usize| format!("[{}[\"==\", \".\", 1]{}]", "[\"not\", ".repeat(depth), "]".repeat(depth));
    assert_eq!(policy(&nested(63)).statements.len(), 1);
    assert_eq!(name(&nested(64)), "LimitExceeded");
    assert_eq!(name(&format!("[{}[\"and\", []]]", "[\"or\", []],".repeat(4096))), "LimitExceeded");
}

#[test]
fn numbers_compare_exactly() {
    let order = |a: Ipld, b: Ipld| compare::order(&a, &b);
    let int = Ipld::Integer;
    let float = Ipld::Float;
    use std::cmp::Ordering::{Equal, Greater, Less};
    let cases = [
        (int(1), float(1.0), Equal),
        (int(0), float(-0.0), Equal),
        (int((1 << 53) + 1), float(9_007_199_254_740_992.0), Greater),
        (int(1 << 53), float(9_007_199_254_740_992.0), Equal),
        (int((1 << 53) - 1), float(9_007_199_254_740_992.0), Less),
        (int(1), float(1.5), Less),
        (int(2), float(1.5), Greater),
        (int(-1), float(-1.5), Greater),
        (int(-2), float(-1.5), Less),
        (int(i128::MAX), float(f64::MAX), Less),
        (int(i128::MIN), float(f64::MIN), Greater),
        (int(i128::MAX), float(170_141_183_460_469_231_731_687_303_715_884_105_728.0), Less),
        (int(i128::MIN), float(-170_141_183_460_469_231_731_687_303_715_884_105_728.0), Equal),
        (int(u64::MAX.into()), float(18_446_744_073_709_551_616.0), Less),
        (int(0), float(5e-324), Less),
        (int(0), float(f64::INFINITY), Less),
        (int(0), float(f64::NEG_INFINITY), Greater),
        (float(0.1), float(0.2), Less),
    ];
    for (a, b, expected) in cases {
        assert_eq!(order(a.clone(), b.clone()), Some(expected), "{a:?} {b:?}");
        assert_eq!(order(b.clone(), a.clone()), Some(expected.reverse()), "{b:?} {a:?}");
    }
    assert_eq!(order(int(1), float(f64::NAN)), None);
    assert_eq!(order(int(1), Ipld::Bool(true)), None);
    assert!(holds(r#"["==", ".", {"a": [1]}]"#, r#"{"a": [1.0]}"#));
    assert!(!holds(r#"["==", ".a", 9007199254740992.0]"#, r#"{"a": 9007199254740993}"#));
    assert!(!holds(r#"["==", ".a", true]"#, r#"{"a": 1}"#));
    assert!(!holds(r#"[">", ".a", 0]"#, r#"{"a": true}"#));
}

#[test]
fn what_cannot_be_resolved_or_compared_is_false() {
    assert!(!holds(r#"["==", ".a.b", null]"#, "{}"));
    assert!(holds(r#"["==", ".a", null]"#, "{}"));
    assert!(holds(r#"["!=", ".a.b", 1]"#, "{}"));
    assert!(holds(r#"["not", ["==", ".a.b", 1]]"#, "{}"));
    assert!(!holds(r#"["<", ".a", 1]"#, r#"{"a": "0"}"#));
    assert!(!holds(r#"["like", ".a", "*"]"#, r#"{"a": 1}"#));
    assert!(!holds(r#"["all", ".a", ["and", []]]"#, r#"{"a": "text"}"#));
    assert!(!holds(r#"["any", ".a", ["and", []]]"#, r#"{"a": {"/": {"bytes": "AQI"}}}"#));
    assert!(holds(r#"["==", ".a[0]", 1]"#, r#"{"a": {"/": {"bytes": "AQI"}}}"#));
    assert!(holds(r#"["<", ".a[0]", 1.5]"#, r#"{"a": {"/": {"bytes": "AQI"}}}"#));
    assert!(holds(r#"["==", ".a[1:]", {"/": {"bytes": "Ag"}}]"#, r#"{"a": {"/": {"bytes": "AQI"}}}"#));
    assert!(holds(r#"["==", ".a[1:]", [2, 3]]"#, r#"{"a": [1, 2, 3]}"#));
    assert!(!holds(r#"["==", ".a[1:]", [2]]"#, r#"{"a": [1, 2, 3]}"#));
}

#[test]
fn collections() {
    assert!(holds(r#"["all", ".a", ["==", ".", 1]]"#, r#"{"a": []}"#));
    assert!(holds(r#"["any", ".a", ["==", ".", 1]]"#, r#"{"a": []}"#));
    assert!(holds(r#"["any", ".a", ["==", ".", 1]]"#, r#"{"a": {"x": 0, "y": 1}}"#));
    assert!(!holds(r#"["all", ".a", ["==", ".", 1]]"#, r#"{"a": {"x": 0, "y": 1}}"#));
    assert!(holds(r#"["all", ".a[1:]", ["==", ".", 1]]"#, r#"{"a": [0, 1, 1]}"#));
}

#[test]
fn kleene() {
    use Verdict::{Satisfied, Undecided, Violated};
    let args = r#"{"x": {"await": 1}, "y": 2, "l": [1, {"await": 1}], "m": {"a": {"await": 1}, "b": 1}}"#;
    let cases = [
        (r#"["==", ".y", 2]"#, Satisfied),
        (r#"["==", ".x", 2]"#, Undecided),
        (r#"["!=", ".x", 2]"#, Undecided),
        (r#"[">", ".x.more", 2]"#, Undecided),
        (r#"["==", ".x?.more?", null]"#, Undecided),
        (r#"["like", ".x", "*"]"#, Undecided),
        (r#"["all", ".x", ["and", []]]"#, Undecided),
        (r#"["not", ["==", ".x", 2]]"#, Undecided),
        // False beats undecided in an `and`, true beats it in an `or`.
        (r#"["and", [["==", ".x", 1], ["==", ".y", 3]]]"#, Violated),
        (r#"["and", [["==", ".x", 1], ["==", ".y", 2]]]"#, Undecided),
        (r#"["or", [["==", ".x", 1], ["==", ".y", 2]]]"#, Satisfied),
        (r#"["or", [["==", ".x", 1], ["==", ".y", 3]]]"#, Undecided),
        (r#"["or", [["==", ".x", 1], ["not", ["==", ".y", 2]]]]"#, Undecided),
        (r#"["all", ".l", ["==", ".", 1]]"#, Undecided),
        (r#"["all", ".l", ["==", ".", 2]]"#, Violated),
        (r#"["any", ".l", ["==", ".", 1]]"#, Satisfied),
        (r#"["any", ".l", ["==", ".", 2]]"#, Undecided),
        (r#"["all", ".l", ["and", []]]"#, Satisfied),
        // Inside compared data: decided wherever another part differs.
        (r#"["==", ".l", [1, 2]]"#, Undecided),
        (r#"["==", ".l", [2, 2]]"#, Violated),
        (r#"["==", ".l", [1]]"#, Violated),
        (r#"["!=", ".l", [1]]"#, Satisfied),
        (r#"["==", ".l", {"a": 1}]"#, Violated),
        (r#"["==", ".m", {"a": 5, "b": 1}]"#, Undecided),
        (r#"["==", ".m", {"a": 5, "b": 2}]"#, Violated),
        (r#"["==", ".m", {"a": 5, "c": 1}]"#, Violated),
        (r#"["==", ".m[]", [5, 1]]"#, Undecided),
        (r#"["==", ".l[1:]", [5]]"#, Undecided),
        (r#"["==", ".l[1:]", [5, 6]]"#, Violated),
        (r#"["==", ".l[0]", 1]"#, Satisfied),
        (r#"["==", ".", {}]"#, Violated),
    ];
    for (statement, expected) in cases {
        assert_eq!(verdict(statement, args), expected, "{statement}");
    }
    let both = r#"["==", ".y", 2], ["==", ".x", 2]"#;
    assert_eq!(verdict(both, args), Undecided);
    assert_eq!(verdict(both, r#"{"y": 3, "x": {"await": 1}}"#), Violated);
    assert_eq!(verdict(both, r#"{"await": 3}"#), Undecided);
    assert_eq!(Policy::default().evaluate(&json(r#"{"await": 3}"#), &|_| true), Satisfied);
}

#[test]
fn too_much_to_do_is_a_violation_and_takes_no_time() {
    let list = Ipld::List(vec![Ipld::Integer(1); 100_000]);
    let map = (0..100_000).map(|key| (key.to_string(), Ipld::Integer(1))).collect();
    let args = Ipld::Map([("l".to_owned(), list), ("m".to_owned(), Ipld::Map(map))].into());
    for statement in [r#"["==", ".m[][0]", 1]"#, r#"["not", ["any", ".l", ["==", ".", 2]]]"#] {
        let whole = policy(&format!("[{}]", vec![statement; 1000].join(",")));
        assert!(!whole.matches(&args), "{statement}");
        let reason = whole.judge(&args, &|_| false, &Budget::default());
        assert_eq!(reason, Err("a policy that takes too long to judge".to_owned()), "{statement}");
    }
    assert!(holds(r#"["all", ".", ["<", ".", 2]]"#, &format!("[{}1]", "1,".repeat(999_999))));
}

/// How much of a new budget a policy takes.
fn work(statement: &str, args: &Ipld) -> usize {
    let (budget, fresh) = (Budget::default(), Budget::default());
    let _ = policy(&format!("[{statement}]")).judge(args, &|_| false, &budget);
    fresh.left() - budget.left()
}

#[test]
fn patterns_passes_and_long_names_are_paid_for() {
    let texts = |text: &str, count: usize| Ipld::List(vec![Ipld::String(text.to_owned()); count]);
    let stars = "*".repeat(1 << 20);
    // The pattern is as long for every text, though its stars come to one.
    let hostile = format!(r#"["all", ".", ["like", ".", "{stars}"]]"#);
    assert!(!policy(&format!("[{hostile}]")).matches(&texts("x", 1000)));
    assert!(work(&hostile, &texts("x", 10)) > 10 * (stars.len() / 16));
    // Each part is a search.
    let parts = format!(r#"["like", ".[0]", "{}"]"#, "*a".repeat(1600));
    assert!(work(&parts, &texts(&"a".repeat(1600), 1)) > 1600 + (3200 + 1600) / 16);
    // A slice is taken where it lies, but the order of a map is found out by one pass over its keys for each length.
    let cost = |selector: &str, args: &Ipld| work(&format!(r#"["==", "{selector}", 1]"#), args);
    assert!(cost(".[0:][0:]", &texts("x", 1000)) < 10);
    let map = Ipld::Map((0..1000).map(|key| (key.to_string(), Ipld::Null)).collect());
    assert!(cost(".[][0:]", &map) < 10);
    assert!((2000..2100).contains(&cost(".[][0]", &map)));
    assert!((4000..4100).contains(&cost(".[][-1]", &map)));
    assert!(work(r#"["any", ".[][1:]", ["==", ".", 1]]"#, &map) > 4000 + 3 * 999);
    // So do comparisons look at all that they compare, and look-ups at the name.
    let long = "x".repeat(1600);
    assert!(work(&format!(r#"["==", ".[0]", "{long}"]"#), &texts(&long, 1)) > 100);
    assert!(work(&format!(r#"["==", ".{long}", 1]"#), &json("{}")) > 100);
    let map = format!(r#"{{"{long}": 1}}"#);
    assert!(work(&format!(r#"["==", ".", {map}]"#), &json(&map)) > 100);
}

#[test]
fn policies_that_share_a_budget_share_its_end() {
    let args = Ipld::List(vec![Ipld::Integer(1); 1_000_000]);
    let costly = policy(r#"[["all", ".", ["==", ".", 1]]]"#);
    let budget = Budget::default();
    let verdicts: Vec<_> = (0..5).map(|_| costly.judge(&args, &|_| false, &budget).is_ok()).collect();
    assert_eq!(verdicts, [true, true, true, false, false]);
    // Nothing to judge takes no work.
    assert_eq!(Policy::default().judge(&args, &|_| false, &budget), Ok(false));
}

/// Whether a text matches a pattern, by trying everything.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['\\', '*', rest @ ..] => text.first() == Some(&'*') && naive(rest, &text[1..]),
        ['*', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
        [char, rest @ ..] => text.first() == Some(char) && naive(rest, &text[1..]),
    }
}

#[test]
fn patterns() {
    let matches = |pattern: &str, text: &str| Glob::new(pattern).matches(text);
    for (pattern, text) in [
        ("", ""),
        ("*", ""),
        ("**", "x"),
        (r"\*", "*"),
        (r"\\*", r"\*"),
        (r"a\b", r"a\b"),
        (r"\", r"\"),
        (r"a*\", r"ab\"),
        ("?", "?"),
        ("*é*", "caféteria"),
        ("a*a", "aa"),
        ("*ab*ab*", "abab"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("", "x"),
        ("a*a", "a"),
        (r"\*", "x"),
        (r"\\*", r"\x"),
        ("*ab*ab*", "aba"),
        ("?", "x"),
        ("[ab]", "a"),
        ("A", "a"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn stars_in_a_row_are_one() {
    assert_eq!(Glob::new(&"*".repeat(1 << 20)).stars(), 1);
    assert_eq!(Glob::new("**a***b**").stars(), 3);
    assert_eq!(Glob::new(r"*\**").stars(), 2);
    assert_eq!(Glob::new("**").pattern(), "**", "it is written back as it was read");
}

#[test]
fn a_hostile_pattern_takes_no_time() {
    let text = "a".repeat(200_000);
    assert!(!Glob::new(&"*a".repeat(10_000)).matches(&format!("{text}b")));
    assert!(!Glob::new(&format!("*{}b*", "a".repeat(50_000))).matches(&text));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn patterns_match_as_by_trying_everything(pattern in r"[ab*\\]{0,8}", text in r"[ab*\\]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(Glob::new(&pattern).matches(&text), naive(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn order_is_that_of_the_exact_values(integer: i64, float in any::<f64>()) {
        prop_assume!(float.is_finite());
        let order = compare::order(&Ipld::Integer(integer.into()), &Ipld::Float(float)).unwrap();
        // Where the float is whole and small, integers settle it; where it is large, rounding does no harm to the order.
        if float.abs() < 1e15 {
            let scaled = i128::from(integer) * 2 - (float * 2.0).floor() as i128;
            let exact = scaled.cmp(&0).then(if (float * 2.0).fract() == 0.0 { std::cmp::Ordering::Equal } else { std::cmp::Ordering::Less });
            prop_assert_eq!(order, exact);
        } else if float.abs() > 1e19 {
            prop_assert_eq!(order.is_lt(), float > 0.0);
        }
    }
}
