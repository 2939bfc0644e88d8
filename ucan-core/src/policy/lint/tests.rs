use super::{
    LintKind::{self, *},
    walk,
};
use crate::{
    Ipld, Policy, dagjson,
    policy::evaluate::{Budget, Work},
};

/// Where remarks are and the names of their kinds.
fn lints(policy: &str) -> Vec<String> {
    let policy = Policy::parse(&dagjson::decode(policy.as_bytes()).unwrap()).unwrap();
    let name = |kind: &LintKind| match kind {
        EmptyAnd => "EmptyAnd",
        EmptyOr => "EmptyOr",
        AnyOfEmpty { .. } => "AnyOfEmpty",
        TrueWhenAbsent { .. } => "TrueWhenAbsent",
        FalseWhenAbsent { .. } => "FalseWhenAbsent",
        NullWhenAbsent { .. } => "NullWhenAbsent",
        NegativeIndex { .. } => "NegativeIndex",
        OptionalUnderNot { .. } => "OptionalUnderNot",
        SegmentAfterOptional { .. } => "SegmentAfterOptional",
        OtherSpelling { .. } => "OtherSpelling",
        OrderOfValues { .. } => "OrderOfValues",
        Backslash { .. } => "Backslash",
        GlobCharacter { .. } => "GlobCharacter",
        StarRun { .. } => "StarRun",
        SeveralSpellings { .. } => "SeveralSpellings",
        InexactNumber { .. } => "InexactNumber",
        NeverHolds { .. } => "NeverHolds",
        Contradiction { .. } => "Contradiction",
        Duplicate { .. } => "Duplicate",
    };
    policy.lint().iter().map(|lint| format!("{} {}", super::Path(&lint.path), name(&lint.kind))).collect()
}

#[track_caller]
fn check(statements: &str, expected: &[&str]) {
    assert_eq!(lints(&format!("[{statements}]")), expected, "{statements}");
}

#[test]
fn a_plain_policy_has_no_remarks() {
    check(
        r#"["==", ".from", "alice"], ["<", ".n", 6], [">=", ".n", 5.5], ["all", ".to", ["like", ".", "*\\*@example.com"]],
           ["not", ["==", ".", 1]], ["or", [["==", ".a[0].b", 1], ["like", ".[\"a b\"]", "*"]]], ["==", ".m[]", [1]]"#,
        &[],
    );
}

#[test]
fn connectives_and_collections_that_may_be_empty() {
    check(r#"["and", []], ["or", []]"#, &["[0] EmptyAnd", "[1] EmptyOr"]);
    check(r#"["and", [["and", []]]], ["not", ["or", []]]"#, &["[0][1][0] EmptyAnd", "[1][1] EmptyOr"]);
    check(r#"["any", ".a", ["==", ".", 1]]"#, &["[0] AnyOfEmpty"]);
    check(r#"["any", ".a", ["==", ".", 1]], ["!=", ".a[0]?", null]"#, &[]);
    check(r#"["any", ".a", ["==", ".", 1]], ["and", [["==", ".a[0]", 1]]]"#, &[]);
    check(r#"["any", ".a", ["==", ".", 1]], ["==", ".b[0]", 1]"#, &["[0] AnyOfEmpty"]);
    check(
        r#"["all", ".a", ["and", [["any", ".b", ["==", ".", 1]], ["!=", ".b[0]?", null]]]]"#,
        &["[0][2][1][1] TrueWhenAbsent"],
    );
    check(r#"["all", ".a", ["any", ".b", ["==", ".", 1]]]"#, &["[0][2] AnyOfEmpty"]);
    // What is empty is refused then.
    check(r#"["not", ["any", ".a.b", ["==", ".", 1]]]"#, &["[0][1] TrueWhenAbsent"]);
    check(r#"["not", ["not", ["any", ".a", ["==", ".", 1]]]]"#, &["[0][1][1] AnyOfEmpty"]);
}

#[test]
fn what_is_absent() {
    check(r#"["!=", ".a", 1]"#, &["[0] TrueWhenAbsent"]);
    check(r#"["!=", ".a", null]"#, &[]);
    check(r#"["!=", ".a.b", null]"#, &["[0] TrueWhenAbsent"]);
    check(r#"["!=", ".a", 1], ["!=", ".a", null]"#, &[]);
    check(r#"["!=", ".a", 1], ["<", ".a", 9]"#, &[]);
    check(r#"["!=", ".a", 1], ["==", ".a.b", 9]"#, &[]);
    check(r#"["!=", ".a.b", 1], ["==", ".a", 9]"#, &["[0] TrueWhenAbsent"]);
    check(r#"["not", ["==", ".a", 1]]"#, &["[0][1] TrueWhenAbsent"]);
    check(r#"["not", ["like", ".a[0]", "x"]]"#, &["[0][1] TrueWhenAbsent"]);
    check(r#"["not", ["!=", ".a", 1]]"#, &[]);
    check(r#"["not", ["not", ["!=", ".a", 1]]]"#, &["[0][1][1] TrueWhenAbsent"]);
    check(r#"["==", ".a", null]"#, &["[0] NullWhenAbsent"]);
    check(r#"["not", ["!=", ".a", null]]"#, &["[0][1] NullWhenAbsent"]);
    check(r#"["not", ["==", ".a", null]]"#, &[]);
    check(r#"["==", ".a[0]", null]"#, &[]);
    check(r#"["all", ".l", ["!=", ".", 1]]"#, &[]);
    check(r#"["all", ".l", ["!=", ".x", null]]"#, &["[0][2] TrueWhenAbsent"]);
    // Leaving one out is not enough here, and is there.
    check(
        r#"["not", ["or", [["==", ".a", 1], ["and", [["==", ".b", 2]]]]]]"#,
        &["[0][1][1][0] FalseWhenAbsent", "[0][1][1][1][1][0] FalseWhenAbsent"],
    );
    check(
        r#"["not", ["and", [["==", ".a", 1], ["==", ".b", 2]]]]"#,
        &["[0][1][1][0] TrueWhenAbsent", "[0][1][1][1] TrueWhenAbsent"],
    );
    check(r#"["not", ["or", [["==", ".a", 1]]]]"#, &["[0][1][1][0] TrueWhenAbsent"]);
    check(r#"["not", ["or", [["not", ["!=", ".a", 1]], ["==", ".", 2]]]]"#, &["[0][1][1][0][1] TrueWhenAbsent"]);
}

#[test]
fn selectors_that_others_read_differently() {
    check(r#"["==", ".a[-1]", 1]"#, &["[0] NegativeIndex"]);
    check(r#"["==", ".a[:-1]", [1]]"#, &["[0] NegativeIndex"]);
    check(r#"["==", ".a?.b", 1]"#, &["[0] SegmentAfterOptional"]);
    check(r#"["not", ["==", ".a[0]?", 1]]"#, &["[0][1] OptionalUnderNot", "[0][1] TrueWhenAbsent"]);
    for selector in [".a.", ".a???", ".?", ".a.[0]", r#".[\"a\"]"#, ".a[00]", ".a[-0]", r#".[\"\\u0020\"]"#] {
        check(&format!(r#"["==", "{selector}", 1]"#), &["[0] OtherSpelling"]);
    }
    check(r#"["==", ".[\"a b\"].c[0][1:][:2][]?", [1]]"#, &[]);
    check(r#"["==", ".a[][0]", 1]"#, &["[0] OrderOfValues"]);
    check(r#"["==", ".a[]", [1, 2]]"#, &["[0] OrderOfValues"]);
    check(r#"["==", ".a[][1:][]", [1, 2]]"#, &["[0] OrderOfValues"]);
    check(r#"["==", ".[\"caf\u00e9\"]", 1]"#, &["[0] SeveralSpellings"]);
}

#[test]
fn patterns_texts_and_numbers() {
    check(r#"["like", ".a", "a\\b"]"#, &["[0] Backslash"]);
    check(r#"["like", ".a", "a\\*b"]"#, &[]);
    check(r#"["like", ".a", "a\\\\*b"]"#, &["[0] Backslash"]);
    check(r#"["like", ".a", "a?"]"#, &["[0] GlobCharacter"]);
    check(r#"["like", ".a", "[ab]{c}"]"#, &["[0] GlobCharacter"]);
    check(r#"["like", ".a", "a**"]"#, &["[0] StarRun"]);
    check(r#"["like", ".a", "\\**"]"#, &[]);
    check(r#"["like", ".a", "caf\u00e9*"]"#, &["[0] SeveralSpellings"]);
    check(r#"["==", ".a", ["cafe\u0301"]]"#, &["[0] SeveralSpellings"]);
    check(r#"["==", ".a", "\u6c34"]"#, &[]);
    check(r#"["<", ".a", 9007199254740993]"#, &["[0] InexactNumber"]);
    check(r#"["<", ".a", -9007199254740992]"#, &["[0] InexactNumber"]);
    check(r#"["<", ".a", 9007199254740991]"#, &[]);
    check(r#"["<", ".a", 9007199254740992.0]"#, &["[0] InexactNumber"]);
    check(r#"["==", ".a", {"b": [18446744073709551615, "\u00e9"]}]"#, &["[0] InexactNumber", "[0] SeveralSpellings"]);
}

#[test]
fn what_cannot_hold() {
    check(r#"["<", ".a[1:]", 1]"#, &["[0] NeverHolds"]);
    check(r#"["like", ".a[]", "*"]"#, &["[0] NeverHolds"]);
    check(r#"["==", ".a[1:]", "text"]"#, &["[0] NeverHolds"]);
    check(r#"["==", ".a[]", {"/": {"bytes": "AQ"}}]"#, &["[0] NeverHolds"]);
    check(r#"["==", ".a[].b", 1]"#, &["[0] NeverHolds"]);
    check(r#"["==", ".a[1:]?", null]"#, &["[0] NullWhenAbsent"]);
    check(r#"["==", ".a[].b", null]"#, &["[0] NeverHolds"]);
    check(r#"["==", ".a", 1], ["==", ".a", 1.0], ["==", ".a", 2]"#, &["[2] Contradiction"]);
    check(r#"["==", ".a", 1], ["==", ".a", 1]"#, &["[1] Duplicate"]);
    check(r#"["==", ".a", 1], ["==", ".b", 2]"#, &[]);
    check(r#"["or", [["==", ".a", 1], ["==", ".a", 2]]]"#, &[]);
    for (one, other) in [
        (r#"["==", ".a", 1]"#, r#"["!=", ".a", 1.0]"#),
        (r#"["==", ".a", 1]"#, r#"[">", ".a", 1]"#),
        (r#"["==", ".a", 1]"#, r#"["like", ".a", "*"]"#),
        (r#"["==", ".a", "b"]"#, r#"["like", ".a", "c*"]"#),
        (r#"["==", ".a", "b"]"#, r#"["<", ".a", 5]"#),
        (r#"["==", ".a", "b"]"#, r#"["all", ".a", ["==", ".", 1]]"#),
        (r#"[">", ".a", 5]"#, r#"["<", ".a", 4]"#),
        (r#"[">", ".a", 5]"#, r#"["<=", ".a", 5.0]"#),
        (r#"["<", ".a", 5]"#, r#"["like", ".a", "*"]"#),
        (r#"["like", ".a", "*"]"#, r#"["all", ".a", ["==", ".", 1]]"#),
    ] {
        check(&format!("{one}, {other}"), &["[1] Contradiction"]);
        check(&format!("{other}, [\"and\", [{one}]]"), &["[1][1][0] Contradiction"]);
    }
    check(r#"["==", ".a", 1], ["not", ["==", ".a", 1]]"#, &["[1] Contradiction", "[1][1] TrueWhenAbsent"]);
    check(r#"[">=", ".a", 5], ["<=", ".a", 5.0]"#, &[]);
}

#[test]
fn a_large_policy_is_read_in_little_time() {
    let long = "x".repeat(1000);
    let statements: Vec<_> = (0..4000).map(|n| format!(r#"["!=", ".{long}", [{n}, "{long}"]]"#)).collect();
    assert_eq!(lints(&format!("[{}]", statements.join(","))).len(), 4000);
}

/// The remarks about a policy for which there are so many steps, and how many of them were taken.
fn lints_within(steps: usize, policy: &str) -> (usize, usize) {
    let policy = Policy::parse(&dagjson::decode(policy.as_bytes()).unwrap()).unwrap();
    let budget = Budget::default();
    assert!(Work::new(&|_: &Ipld| false, &budget).spend(budget.left() - steps));
    let lints = walk::lint(&policy.statements, &budget);
    (lints.len(), steps - budget.left())
}

#[test]
fn every_look_at_another_statement_is_counted() {
    const MANY: usize = 300;
    for (statement, scans) in
        [(r#"["!=", ".a", N]"#, true), (r#"["any", ".aN", ["==", ".", 1]]"#, true), (r#"["==", ".aN", 1]"#, false)]
    {
        let statements: Vec<_> = (0..MANY).map(|n| statement.replace('N', &n.to_string())).collect();
        let (remarks, steps) = lints_within(1_000_000, &format!("[{}]", statements.join(",")));
        assert_eq!(remarks, if scans { MANY } else { 0 }, "{statement}");
        let pairs = MANY * (MANY - 1) / 2 + if scans { MANY * MANY } else { 0 };
        assert!((pairs..=5 * pairs).contains(&steps), "{statement}: {steps}");
    }
    // Where it takes too long to look, the remark stays.
    for policy in
        [r#"[["!=", ".a", 1], ["!=", ".a", null]]"#, r#"[["any", ".a", ["==", ".", 1]], ["!=", ".a[0]?", null]]"#]
    {
        assert_eq!(lints_within(100, policy).0, 0);
        assert_eq!(lints_within(0, policy).0, 1);
    }
}

#[test]
fn remarks_are_sentences() {
    let policy = r#"[["==", ".a", 1], ["not", ["like", ".b", "x?"]], ["==", ".a", 2], ["not", ["or", [["==", ".b", 1], ["==", ".", 0]]]]]"#;
    let policy = Policy::parse(&dagjson::decode(policy.as_bytes()).unwrap()).unwrap();
    assert_eq!(
        policy.lint().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            r#"[1][1]: in the pattern "x?" '?' stands for itself"#,
            r#"[1][1]: the negation of this is true when ".b" is absent"#,
            "[2]: this cannot hold together with [0]",
            r#"[3][1][1][0]: this is false when ".b" is absent, and then only the rest of the negated `or` counts"#,
        ]
    );
}
