//! The policy language once more, as plainly as it can be said: nothing is shared with what it is compared to, everything is
//! copied, and nothing is bounded.

use std::cmp::Ordering;

use ucan_core::Ipld;

use super::choices::Choices;

#[derive(Clone, Debug)]
pub(crate) struct Path {
    segments: Vec<(Segment, bool)>,
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
enum Segment {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Values,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Equal(Path, Ipld),
    NotEqual(Path, Ipld),
    Compare(&'static str, Path, Ipld),
    Like(Path, String),
    And(Vec<Statement>),
    Or(Vec<Statement>),
    Not(Box<Statement>),
    All(Path, Box<Statement>),
    Any(Path, Box<Statement>),
}

impl Path {
    /// A path that leads somewhere in a value more often than not.
    pub(crate) fn build(choices: &mut Choices<'_>, value: &Ipld) -> Self {
        let mut path = Self { segments: Vec::new(), text: String::new() };
        let mut at = value.clone();
        for _ in 0..choices.below(5) {
            let key = match &at {
                Ipld::Map(map) if !map.is_empty() => map.keys().nth(choices.below(map.len())),
                _ => None,
            };
            let segment = match choices.below(8) {
                0 => Segment::Index(choices.pick(&[0, 1, -1, 2, -2, 7, -7, i64::MAX, i64::MIN])),
                1 => {
                    let ends = [None, Some(0), Some(1), Some(-1), Some(2), Some(-3), Some(i64::MAX), Some(i64::MIN)];
                    let (from, to) = (choices.pick(&ends), choices.pick(&ends));
                    Segment::Slice(if to.is_none() { from.or(Some(0)) } else { from }, to)
                }
                2 => Segment::Values,
                3 => Segment::Key(choices.text()),
                _ => key.map_or(Segment::Index(0), |key| Segment::Key(key.clone())),
            };
            at = step(&segment, &at).unwrap_or(Ipld::Null);
            let dot = choices.flag() || path.text.is_empty();
            let optional = choices.flag();
            path.write(&segment, dot);
            if optional {
                path.text.push('?');
            }
            path.segments.push((segment, optional));
        }
        if path.text.is_empty() || choices.rarely(8) && !path.text.ends_with('.') {
            path.text.push('.');
        }
        path
    }

    fn write(&mut self, segment: &Segment, dot: bool) {
        let number = |bound: &Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let inside = match segment {
            Segment::Key(key) if is_name(key) => {
                self.text.push('.');
                self.text.push_str(key);
                return;
            }
            Segment::Key(key) => quoted(key),
            Segment::Index(index) => index.to_string(),
            Segment::Slice(from, to) => format!("{}:{}", number(from), number(to)),
            Segment::Values => String::new(),
        };
        if dot {
            self.text.push('.');
        }
        self.text.push_str(&format!("[{inside}]"));
    }

    /// What the path leads to, unless something on the way is not there.
    pub(crate) fn select(&self, value: &Ipld) -> Option<Ipld> {
        let mut found = value.clone();
        for (segment, optional) in &self.segments {
            found = match step(segment, &found) {
                Some(next) => next,
                None if *optional => Ipld::Null,
                None => return None,
            };
        }
        Some(found)
    }
}

fn is_name(key: &str) -> bool {
    let mut chars = key.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn quoted(key: &str) -> String {
    let mut text = String::from('"');
    for unit in key.encode_utf16() {
        match char::from_u32(unit.into()).filter(char::is_ascii_alphanumeric) {
            Some(plain) => text.push(plain),
            None => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text + "\""
}

fn step(segment: &Segment, value: &Ipld) -> Option<Ipld> {
    match (segment, value) {
        (Segment::Key(key), Ipld::Map(map)) => Some(map.get(key).cloned().unwrap_or(Ipld::Null)),
        (Segment::Values, Ipld::List(_) | Ipld::Map(_)) => members(value).map(Ipld::List),
        (Segment::Index(index), Ipld::List(list)) => list.get(place(*index, list.len())?).cloned(),
        (Segment::Index(index), Ipld::Bytes(bytes)) => {
            bytes.get(place(*index, bytes.len())?).map(|byte| Ipld::Integer((*byte).into()))
        }
        (Segment::Slice(from, to), Ipld::List(list)) => {
            let kept = list.iter().enumerate().filter(|(at, _)| within(*from, *to, *at, list.len()));
            Some(Ipld::List(kept.map(|(_, item)| item.clone()).collect()))
        }
        (Segment::Slice(from, to), Ipld::Bytes(bytes)) => {
            let kept = bytes.iter().enumerate().filter(|(at, _)| within(*from, *to, *at, bytes.len()));
            Some(Ipld::Bytes(kept.map(|(_, byte)| *byte).collect()))
        }
        _ => None,
    }
}

fn place(index: i64, length: usize) -> Option<usize> {
    let index = i128::from(index);
    usize::try_from(if index < 0 { index + length as i128 } else { index }).ok()
}

fn within(from: Option<i64>, to: Option<i64>, at: usize, length: usize) -> bool {
    let (at, length) = (at as i128, length as i128);
    let end = |bound: i64| if bound < 0 { i128::from(bound) + length } else { i128::from(bound) };
    from.is_none_or(|from| end(from) <= at) && to.is_none_or(|to| at < end(to))
}

/// The members of a list; the values of a map, those of shorter keys first.
fn members(value: &Ipld) -> Option<Vec<Ipld>> {
    match value {
        Ipld::List(list) => Some(list.clone()),
        Ipld::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            Some(entries.into_iter().map(|(_, value)| value.clone()).collect())
        }
        _ => None,
    }
}

impl Statement {
    /// A statement that is near to the truth about a value.
    pub(crate) fn build(choices: &mut Choices<'_>, value: &Ipld, depth: usize) -> Self {
        let kinds = if depth == 0 { 5 } else { 10 };
        let kind = choices.below(kinds);
        if let 5..=7 = kind {
            let inner = |choices: &mut Choices<'_>| Self::build(choices, value, depth - 1);
            let count = choices.below(4);
            return match kind {
                5 => Self::And((0..count).map(|_| inner(choices)).collect()),
                6 => Self::Or((0..count).map(|_| inner(choices)).collect()),
                _ => Self::Not(Box::new(inner(choices))),
            };
        }
        let path = Path::build(choices, value);
        let found = path.select(value);
        let member = found.as_ref().and_then(members).and_then(|members| members.into_iter().last());
        let inner =
            |choices: &mut Choices<'_>| Box::new(Self::build(choices, member.as_ref().unwrap_or(value), depth - 1));
        match kind {
            0 | 1 => Self::Equal(path, near(found, choices)),
            2 => Self::NotEqual(path, near(found, choices)),
            3 => {
                let number = match near(found, choices) {
                    number @ (Ipld::Integer(_) | Ipld::Float(_)) => number,
                    _ => Ipld::Integer(choices.integer()),
                };
                Self::Compare(choices.pick(&["<", "<=", ">", ">="]), path, number)
            }
            4 => {
                let pattern = match found {
                    // The text itself, some of it as a star.
                    Some(Ipld::String(text)) if choices.flag() => {
                        let part = |char: char| if choices.rarely(3) { "*".to_owned() } else { char.to_string() };
                        text.chars().map(part).collect()
                    }
                    _ => {
                        let parts = choices.below(6);
                        (0..parts).map(|_| choices.pick(&["*", "\\*", "a", "b", "\\", "ab", "é"])).collect()
                    }
                };
                Self::Like(path, pattern)
            }
            8 => Self::All(path, inner(choices)),
            _ => Self::Any(path, inner(choices)),
        }
    }

    pub(crate) fn to_ipld(&self) -> Ipld {
        let text = |text: &str| Ipld::String(text.to_owned());
        let list = |inner: &[Self]| Ipld::List(inner.iter().map(Self::to_ipld).collect());
        Ipld::List(match self {
            Self::Equal(path, value) => vec![text("=="), text(&path.text), value.clone()],
            Self::NotEqual(path, value) => vec![text("!="), text(&path.text), value.clone()],
            Self::Compare(operator, path, value) => vec![text(operator), text(&path.text), value.clone()],
            Self::Like(path, pattern) => vec![text("like"), text(&path.text), text(pattern)],
            Self::And(inner) => vec![text("and"), list(inner)],
            Self::Or(inner) => vec![text("or"), list(inner)],
            Self::Not(inner) => vec![text("not"), inner.to_ipld()],
            Self::All(path, inner) => vec![text("all"), text(&path.text), inner.to_ipld()],
            Self::Any(path, inner) => vec![text("any"), text(&path.text), inner.to_ipld()],
        })
    }

    pub(crate) fn holds(&self, value: &Ipld) -> bool {
        match self {
            Self::Equal(path, other) => path.select(value).is_some_and(|found| equal(&found, other)),
            Self::NotEqual(path, other) => !path.select(value).is_some_and(|found| equal(&found, other)),
            Self::Compare(operator, path, other) => {
                let order = path.select(value).and_then(|found| order(&found, other));
                order.is_some_and(|order| match *operator {
                    "<" => order == Ordering::Less,
                    "<=" => order != Ordering::Greater,
                    ">" => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })
            }
            Self::Like(path, pattern) => match path.select(value) {
                Some(Ipld::String(text)) => like(pattern, &text),
                _ => false,
            },
            Self::And(inner) => inner.iter().all(|statement| statement.holds(value)),
            Self::Or(inner) => inner.is_empty() || inner.iter().any(|statement| statement.holds(value)),
            Self::Not(inner) => !inner.holds(value),
            Self::All(path, inner) => match path.select(value).and_then(|found| members(&found)) {
                Some(members) => members.iter().all(|member| inner.holds(member)),
                None => false,
            },
            Self::Any(path, inner) => match path.select(value).and_then(|found| members(&found)) {
                Some(members) => members.is_empty() || members.iter().any(|member| inner.holds(member)),
                None => false,
            },
        }
    }
}

/// The value that was found, as it is or with another number in its place; or any other.
fn near(found: Option<Ipld>, choices: &mut Choices<'_>) -> Ipld {
    match (choices.below(4), found) {
        (0, Some(found)) => found,
        (1 | 2, Some(found)) => shift(&found, choices),
        _ => choices.value(2),
    }
}

/// Numbers as the other kind of number, or beside themselves.
fn shift(value: &Ipld, choices: &mut Choices<'_>) -> Ipld {
    match value {
        Ipld::Integer(integer) if choices.flag() => Ipld::Float(*integer as f64),
        Ipld::Integer(integer) => Ipld::Integer((integer + 1).min(u64::MAX.into())),
        Ipld::Float(float) if choices.flag() && float.abs() < 1e19 => {
            Ipld::Integer((*float as i128).clamp(-(1 << 64), u64::MAX.into()))
        }
        Ipld::Float(float) => Ipld::Float(Some(float.next_up()).filter(|next| next.is_finite()).unwrap_or(*float)),
        Ipld::List(list) => Ipld::List(list.iter().map(|item| shift(item, choices)).collect()),
        Ipld::Map(map) => Ipld::Map(map.iter().map(|(key, value)| (key.clone(), shift(value, choices))).collect()),
        other => other.clone(),
    }
}

fn equal(a: &Ipld, b: &Ipld) -> bool {
    match (a, b) {
        (Ipld::Integer(_) | Ipld::Float(_), Ipld::Integer(_) | Ipld::Float(_)) => order(a, b) == Some(Ordering::Equal),
        (Ipld::List(a), Ipld::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Ipld::Map(a), Ipld::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// By exact value: an integer and a float are compared by the whole part of the float, then by what is left of it.
fn order(a: &Ipld, b: &Ipld) -> Option<Ordering> {
    match (a, b) {
        (Ipld::Integer(a), Ipld::Integer(b)) => Some(a.cmp(b)),
        (Ipld::Float(a), Ipld::Float(b)) => a.partial_cmp(b),
        // Integers have at most 65 bits here, and a cast that is out of range saturates.
        (Ipld::Integer(a), Ipld::Float(b)) => Some(a.cmp(&(b.trunc() as i128)).then(0.0_f64.partial_cmp(&b.fract())?)),
        (Ipld::Float(_), Ipld::Integer(_)) => order(b, a).map(Ordering::reverse),
        _ => None,
    }
}

fn like(pattern: &str, text: &str) -> bool {
    // Which beginnings of the text are matched by what has been read of the pattern.
    let text: Vec<char> = text.chars().collect();
    let mut matched: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    let mut pattern = pattern.chars().peekable();
    while let Some(char) = pattern.next() {
        let literal = if char == '\\' && pattern.peek() == Some(&'*') { pattern.next() } else { Some(char) };
        if char == '*' {
            for length in 1..matched.len() {
                matched[length] |= matched[length - 1];
            }
        } else {
            for length in (1..matched.len()).rev() {
                matched[length] = matched[length - 1] && Some(text[length - 1]) == literal;
            }
            matched[0] = false;
        }
    }
    matched[text.len()]
}
