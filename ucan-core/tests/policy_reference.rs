//! Selectors and policies against an interpreter that is written from the text of the specification: slow, copying, and
//! without anything in common with the library but the data model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*};
use ucan_core::{Ipld, Policy, Selector, Verdict};

#[derive(Clone, Debug)]
enum Segment {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Values,
}

/// Segments, and whether they are optional.
type Path = Vec<(Segment, bool)>;

#[derive(Clone, Debug)]
enum Statement {
    Equal(Path, Ipld),
    NotEqual(Path, Ipld),
    Order(&'static str, Path, Ipld),
    Like(Path, String),
    And(Vec<Statement>),
    Or(Vec<Statement>),
    Not(Box<Statement>),
    All(Path, Box<Statement>),
    Any(Path, Box<Statement>),
}

// How they are written.

fn path_text(path: &Path) -> String {
    let mut text = ".".to_owned();
    for (segment, optional) in path {
        match segment {
            Segment::Key(key) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                text += if text == "." { "" } else { "." };
                text += key;
            }
            Segment::Key(key) => text += &format!("[{key:?}]"),
            Segment::Index(index) => text += &format!("[{index}]"),
            Segment::Slice(from, to) => {
                let bound = |bound: &Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
                text += &format!("[{}:{}]", bound(from), bound(to));
            }
            Segment::Values => text += "[]",
        }
        text += if *optional { "?" } else { "" };
    }
    text
}

fn written(statement: &Statement) -> Ipld {
    let text = |text: &str| Ipld::String(text.to_owned());
    let path = |path: &Path| Ipld::String(path_text(path));
    let list = |inner: &[Statement]| Ipld::List(inner.iter().map(written).collect());
    Ipld::List(match statement {
        Statement::Equal(it, value) => vec![text("=="), path(it), value.clone()],
        Statement::NotEqual(it, value) => vec![text("!="), path(it), value.clone()],
        Statement::Order(operator, it, value) => vec![text(operator), path(it), value.clone()],
        Statement::Like(it, pattern) => vec![text("like"), path(it), text(pattern)],
        Statement::And(inner) => vec![text("and"), list(inner)],
        Statement::Or(inner) => vec![text("or"), list(inner)],
        Statement::Not(inner) => vec![text("not"), written(inner)],
        Statement::All(it, inner) => vec![text("all"), path(it), written(inner)],
        Statement::Any(it, inner) => vec![text("any"), path(it), written(inner)],
    })
}

// What they mean.

/// The values of a map, shorter keys first and then bytewise.
fn map_values(map: &std::collections::BTreeMap<String, Ipld>) -> Vec<Ipld> {
    let mut entries: Vec<_> =
        map.iter().map(|(key, value)| (key.len(), key.clone().into_bytes(), value.clone())).collect();
    entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    entries.into_iter().map(|(_, _, value)| value).collect()
}

fn resolve(path: &Path, value: &Ipld) -> Option<Ipld> {
    let mut value = value.clone();
    for (segment, optional) in path {
        value = match resolve_one(segment, &value) {
            Some(found) => found,
            None if *optional => Ipld::Null,
            None => return None,
        };
    }
    Some(value)
}

fn resolve_one(segment: &Segment, value: &Ipld) -> Option<Ipld> {
    let index = |len: usize, index: i64| {
        let place = if index < 0 { len as i128 + i128::from(index) } else { i128::from(index) };
        (0..len as i128).contains(&place).then_some(place as usize)
    };
    let range = |len: usize, from: &Option<i64>, to: &Option<i64>| {
        let place = |index: i64| (if index < 0 { len as i128 } else { 0 } + i128::from(index)).clamp(0, len as i128);
        let (from, to) = (place(from.unwrap_or(0)) as usize, to.map_or(len, |to| place(to) as usize));
        from..to.max(from)
    };
    match (segment, value) {
        (Segment::Key(key), Ipld::Map(map)) => Some(map.get(key).cloned().unwrap_or(Ipld::Null)),
        (Segment::Values, Ipld::List(list)) => Some(Ipld::List(list.clone())),
        (Segment::Values, Ipld::Map(map)) => Some(Ipld::List(map_values(map))),
        (Segment::Index(at), Ipld::List(list)) => Some(list[index(list.len(), *at)?].clone()),
        (Segment::Index(at), Ipld::Bytes(bytes)) => Some(Ipld::Integer(bytes[index(bytes.len(), *at)?].into())),
        (Segment::Slice(from, to), Ipld::List(list)) => Some(Ipld::List(list[range(list.len(), from, to)].to_vec())),
        (Segment::Slice(from, to), Ipld::Bytes(bytes)) => {
            Some(Ipld::Bytes(bytes[range(bytes.len(), from, to)].to_vec()))
        }
        _ => None,
    }
}

/// Numbers here are multiples of a half and far from the ends of what integers can be.
fn halves(value: &Ipld) -> Option<i128> {
    match value {
        Ipld::Integer(integer) => Some(integer * 2),
        Ipld::Float(float) => {
            assert!((float * 2.0).fract() == 0.0 && float.abs() < 1e18);
            Some((float * 2.0) as i128)
        }
        _ => None,
    }
}

fn equal(a: &Ipld, b: &Ipld) -> bool {
    match (a, b) {
        (Ipld::List(a), Ipld::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Ipld::Map(a), Ipld::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => match (halves(a), halves(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

/// Whether a text matches a pattern, by a table of which beginnings match which.
fn like(pattern: &str, text: &str) -> bool {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '\\' if chars.peek() == Some(&'*') => chars.next(),
            '*' => None,
            other => Some(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match token {
                None => row[at] || at > 0 && next[at - 1],
                Some(char) => at > 0 && row[at - 1] && text[at - 1] == char,
            };
        }
        row = next;
    }
    row[text.len()]
}

fn holds(statement: &Statement, value: &Ipld) -> bool {
    let members = |path: &Path| match resolve(path, value) {
        Some(Ipld::List(list)) => Some(list),
        Some(Ipld::Map(map)) => Some(map_values(&map)),
        _ => None,
    };
    match statement {
        Statement::Equal(path, other) => resolve(path, value).is_some_and(|it| equal(&it, other)),
        Statement::NotEqual(path, other) => !holds(&Statement::Equal(path.clone(), other.clone()), value),
        Statement::Order(operator, path, other) => {
            let found = resolve(path, value).as_ref().and_then(halves);
            found.is_some_and(|found| match (found.cmp(&halves(other).unwrap()), *operator) {
                (Ordering::Less, "<" | "<=") | (Ordering::Greater, ">" | ">=") => true,
                (Ordering::Equal, operator) => operator.ends_with('='),
                _ => false,
            })
        }
        Statement::Like(path, pattern) => {
            matches!(resolve(path, value), Some(Ipld::String(text)) if like(pattern, &text))
        }
        Statement::And(inner) => inner.iter().all(|statement| holds(statement, value)),
        Statement::Or(inner) => inner.is_empty() || inner.iter().any(|statement| holds(statement, value)),
        Statement::Not(inner) => !holds(inner, value),
        Statement::All(path, inner) => {
            members(path).is_some_and(|members| members.iter().all(|member| holds(inner, member)))
        }
        Statement::Any(path, inner) => {
            members(path).is_some_and(|members| members.is_empty() || members.iter().any(|member| holds(inner, member)))
        }
    }
}

// Arbitrary ones, of few names and values, so that many statements are about something.

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "bb", "c", "", "a b"]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = Ipld> {
    const EXACT: i128 = 1 << 53;
    prop_oneof![
        6 => (-2_i128..4).prop_map(Ipld::Integer),
        3 => (-4_i8..6).prop_map(|halves| Ipld::Float(f64::from(halves) / 2.0)),
        1 => (EXACT - 2..EXACT + 3).prop_map(Ipld::Integer),
        1 => prop::sample::select(vec![9_007_199_254_740_992.0, 9_007_199_254_740_994.0, -0.0]).prop_map(Ipld::Float),
    ]
}

fn leaf() -> impl Strategy<Value = Ipld> {
    prop_oneof![
        4 => number(),
        1 => Just(Ipld::Null),
        1 => any::<bool>().prop_map(Ipld::Bool),
        3 => r"[ab*\\]{0,5}".prop_map(Ipld::String),
        1 => vec(0_u8..4, 0..4).prop_map(Ipld::Bytes),
    ]
}

fn containers(leaf: impl Strategy<Value = Ipld> + 'static) -> impl Strategy<Value = Ipld> {
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Ipld::List),
            prop::collection::btree_map(key(), inner, 0..5).prop_map(Ipld::Map),
        ]
    })
}

fn value() -> impl Strategy<Value = Ipld> {
    containers(leaf())
}

/// A value with places in it whose values are not known yet.
fn with_pending() -> impl Strategy<Value = Ipld> {
    let awaited = Just(Ipld::Map([("await".to_owned(), Ipld::Null)].into()));
    containers(prop_oneof![3 => leaf(), 1 => awaited])
}

fn is_pending(value: &Ipld) -> bool {
    matches!(value, Ipld::Map(map) if map.len() == 1 && map.contains_key("await"))
}

/// A value with what was pending in it filled in.
fn filled(value: &Ipld, fillings: &mut impl Iterator<Item = Ipld>) -> Ipld {
    match value {
        _ if is_pending(value) => fillings.next().unwrap(),
        Ipld::List(list) => Ipld::List(list.iter().map(|value| filled(value, fillings)).collect()),
        Ipld::Map(map) => Ipld::Map(map.iter().map(|(key, value)| (key.clone(), filled(value, fillings))).collect()),
        other => other.clone(),
    }
}

fn path() -> impl Strategy<Value = Path> {
    let bound = || prop::option::of(prop_oneof![5 => -4_i64..5, 1 => any::<i64>()]);
    let segment = prop_oneof![
        5 => key().prop_map(Segment::Key),
        2 => prop_oneof![9 => -3_i64..4, 1 => any::<i64>()].prop_map(Segment::Index),
        2 => (bound(), bound())
            .prop_map(|(from, to)| Segment::Slice(from.or(to.is_none().then_some(0)), to)),
        2 => Just(Segment::Values),
    ];
    vec((segment, prop::bool::weighted(0.2)), 0..4)
}

fn statement() -> impl Strategy<Value = Statement> {
    let order = prop::sample::select(vec!["<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        3 => (path(), value()).prop_map(|(path, value)| Statement::Equal(path, value)),
        1 => (path(), value()).prop_map(|(path, value)| Statement::NotEqual(path, value)),
        2 => (order, path(), number()).prop_map(|(operator, path, value)| Statement::Order(operator, path, value)),
        2 => (path(), r"[ab*\\]{0,4}").prop_map(|(path, pattern)| Statement::Like(path, pattern)),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let quantified = || (path(), inner.clone());
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Statement::And),
            vec(inner.clone(), 0..4).prop_map(Statement::Or),
            inner.clone().prop_map(|inner| Statement::Not(inner.into())),
            quantified().prop_map(|(path, inner)| Statement::All(path, inner.into())),
            quantified().prop_map(|(path, inner)| Statement::Any(path, inner.into())),
        ]
    })
}

/// A statement and a value, where the statement often asks for what a selector finds in the value.
fn statement_and_value(value: impl Strategy<Value = Ipld>) -> impl Strategy<Value = (Statement, Ipld)> {
    (statement(), path(), any::<bool>(), value).prop_map(|(statement, path, hit, value)| match resolve(&path, &value) {
        Some(found) if hit => (Statement::And(vec![Statement::Equal(path, found), statement]), value),
        _ => (statement, value),
    })
}

fn policy(statement: &Statement) -> Policy {
    let written = Ipld::List(vec![written(statement)]);
    let policy = Policy::parse(&written).unwrap_or_else(|error| panic!("{error}: {written:?}"));
    assert_eq!(policy.to_ipld(), written);
    policy
}

/// Whether a path into a policy leads through `and`s alone, so that the statement there has to hold for the policy to hold.
fn has_to_hold(policy: &Ipld, path: &[usize]) -> bool {
    let at = |value: &Ipld, index: usize| match value {
        Ipld::List(list) => list[index].clone(),
        other => panic!("no list: {other:?}"),
    };
    let (first, rest) = path.split_first().unwrap();
    let mut statement = at(policy, *first);
    rest.chunks(2).all(|step| {
        let is_and = at(&statement, 0) == Ipld::String("and".to_owned());
        if is_and {
            statement = step.iter().fold(statement.clone(), |value, index| at(&value, *index));
        }
        is_and
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn selectors_find_what_the_specification_says(path in path(), value in value()) {
        let selector = Selector::parse(&path_text(&path)).unwrap();
        prop_assert_eq!(selector.select(&value), resolve(&path, &value), "{}", selector);
    }

    #[test]
    fn policies_hold_when_the_specification_says((statement, value) in statement_and_value(value())) {
        prop_assert_eq!(policy(&statement).matches(&value), holds(&statement, &value));
    }

    #[test]
    fn a_verdict_is_the_same_whatever_was_pending(
        (statement, value) in statement_and_value(with_pending()),
        fillings in vec(vec(value(), 6), 4),
    ) {
        let policy = policy(&statement);
        let verdict = policy.evaluate(&value, &is_pending);
        let results: Vec<_> = fillings
            .into_iter()
            .map(|fillings| filled(&value, &mut fillings.into_iter().cycle()))
            .map(|value| holds(&statement, &value))
            .collect();
        match verdict {
            Verdict::Satisfied => prop_assert_eq!(results, [true; 4]),
            Verdict::Violated => prop_assert_eq!(results, [false; 4]),
            Verdict::Undecided => prop_assert!(filled(&value, &mut std::iter::repeat(Ipld::Null)) != value),
        }
        // What is not pending is decided, and in the same way whoever asks.
        let decided = policy.evaluate(&value, &|_| false);
        prop_assert_eq!(decided, if holds(&statement, &value) { Verdict::Satisfied } else { Verdict::Violated });
    }

    #[test]
    fn every_policy_can_be_linted(statement in statement()) {
        let policy = policy(&statement);
        for lint in policy.lint() {
            // The path leads to a statement.
            let found = lint.path.iter().try_fold(policy.to_ipld(), |value, at| match value {
                Ipld::List(list) => list.into_iter().nth(*at),
                _ => None,
            });
            prop_assert!(matches!(&found, Some(Ipld::List(list)) if matches!(list[0], Ipld::String(_))), "{lint:?}");
            prop_assert!(!lint.to_string().is_empty());
        }
    }

    #[test]
    fn contradictions_and_what_never_holds_are_false(
        (statement, value) in statement_and_value(value()),
        other in statement(),
    ) {
        use ucan_core::LintKind::{Contradiction, NeverHolds};
        let source = Ipld::List(vec![written(&statement), written(&other)]);
        let whole = Policy::parse(&source).unwrap();
        let top = |path: &[usize]| has_to_hold(&source, path);
        let impossible = whole.lint().iter().any(|lint| match &lint.kind {
            NeverHolds { .. } => top(&lint.path),
            Contradiction { with } => top(&lint.path) && top(with),
            _ => false,
        });
        prop_assert!(!impossible || !whole.matches(&value));
    }

    #[test]
    fn long_texts_match_as_by_a_table(pattern in r"[ab]{0,3}(\*[ab]{0,5}){0,4}", text in "[ab]{0,40}", times in 1..6_usize) {
        let text = text.repeat(times);
        let args = Ipld::String(text.clone());
        let statement = Statement::Like(Vec::new(), pattern.clone());
        prop_assert_eq!(policy(&statement).matches(&args), like(&pattern, &text));
    }
}
