//! Policies and selectors.

use ucan_core::{Ipld, Policy, Selector, Verdict, dagcbor};

use super::{
    choices::{Choices, same},
    reference::{Path, Statement},
};

/// Up to how many bytes of policy and arguments evaluation cannot come near the end of its budget, so that what one policy
/// says of another holds to the letter.
const SMALL: usize = 1024;

/// What is read is written back unchanged, is judged alike every time, and as the plainest reading of the specification says;
/// `not` inverts; a verdict that was reached while values were pending stands whatever they turn out to be.
pub fn policy(data: &[u8]) {
    if let Some((policy, args)) = split(data)
        && let (Ok(policy), Ok(args)) = (dagcbor::decode(policy), dagcbor::decode(args))
    {
        judge(&policy, &args, &mut Choices::new(data), data.len() <= SMALL);
    }
    let mut choices = Choices::new(data);
    let args = Ipld::Map(choices.map(3));
    let statements: Vec<_> = (0..choices.below(3)).map(|_| Statement::build(&mut choices, &args, 3)).collect();
    let source = Ipld::List(statements.iter().map(Statement::to_ipld).collect());
    let policy = Policy::parse(&source).expect("a well-formed policy is read");
    let expected = statements.iter().all(|statement| statement.holds(&args));
    assert_eq!(policy.matches(&args), expected, "{source:?} of {args:?}");
    judge(&source, &args, &mut choices, true);
}

fn judge(source: &Ipld, args: &Ipld, choices: &mut Choices<'_>, small: bool) {
    let Ok(policy) = Policy::parse(source) else { return };
    assert!(same(&policy.to_ipld(), source), "what was read is written back");
    let matches = policy.matches(args);
    assert_eq!(matches, policy.matches(args));
    assert_eq!(policy.evaluate(args, &|_| false), if matches { Verdict::Satisfied } else { Verdict::Violated });
    assert!(!policy.is_empty() || matches);
    for lint in policy.lint() {
        assert!(!lint.to_string().is_empty());
    }
    if !small {
        return;
    }
    let operator = |operator: &str, inner: Ipld| Ipld::List(vec![Ipld::String(operator.to_owned()), inner]);
    let inverted = Ipld::List(vec![operator("not", operator("and", source.clone()))]);
    if let Ok(inverted) = Policy::parse(&inverted) {
        assert_eq!(inverted.matches(args), !matches, "not {source:?} of {args:?}");
    }
    // Every link stands for a value that is not known yet.
    let pending = |value: &Ipld| matches!(value, Ipld::Link(_));
    let before = policy.evaluate(args, &pending);
    let after = policy.matches(&resolve(args, choices));
    match before {
        Verdict::Satisfied => assert!(after, "satisfied, whatever was pending: {source:?} of {args:?}"),
        Verdict::Violated => assert!(!after, "violated, whatever was pending: {source:?} of {args:?}"),
        Verdict::Undecided => {}
    }
}

/// Values in the place of links.
fn resolve(value: &Ipld, choices: &mut Choices<'_>) -> Ipld {
    match value {
        Ipld::Link(_) => choices.value(2),
        Ipld::List(list) => Ipld::List(list.iter().map(|item| resolve(item, choices)).collect()),
        Ipld::Map(map) => Ipld::Map(map.iter().map(|(key, value)| (key.clone(), resolve(value, choices))).collect()),
        other => other.clone(),
    }
}

/// What is read is shown as it was written, and selects what the plainest reading of the specification says.
pub fn selector(data: &[u8]) {
    if let Some((text, value)) = split(data)
        && let Ok(text) = str::from_utf8(text)
        && let Ok(selector) = Selector::parse(text)
    {
        assert_eq!(selector.as_str(), text);
        assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
        let value = dagcbor::decode(value).unwrap_or_else(|_| Choices::new(value).value(4));
        selects(&selector, &value);
        // A further dot or question mark changes nothing but whether it can fail.
        if let Ok(optional) = Selector::parse(&format!("{text}?")) {
            let (found, or_null) = (selector.select(&value), optional.select(&value));
            assert!(or_null == found || found.is_none() && or_null == Some(Ipld::Null));
        }
    }
    let mut choices = Choices::new(data);
    let value = choices.value(4);
    let path = Path::build(&mut choices, &value);
    let selector = Selector::parse(&path.text).expect("a well-formed selector is read");
    assert_eq!(selector.select(&value), path.select(&value), "{selector} of {value:?}");
    selects(&selector, &value);
}

/// Selecting is a function, and agrees with policies about it.
fn selects(selector: &Selector, value: &Ipld) {
    let found = selector.select(value);
    assert_eq!(found, selector.select(value));
    let statement =
        vec![Ipld::String("==".to_owned()), Ipld::String(selector.to_string()), found.clone().unwrap_or(Ipld::Null)];
    let policy = Policy::parse(&Ipld::List(vec![Ipld::List(statement)])).expect("a well-formed policy is read");
    assert_eq!(policy.matches(value), found.is_some());
}

/// Two parts: the first two bytes say how long the first one is.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
