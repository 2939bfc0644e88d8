//! Remarks about selectors, and what can be said about their selections without arguments.

use std::fmt::Write;

use super::{LintKind, text};
use crate::{
    Ipld,
    policy::{Selector, selector::Segment},
    text::excerpt,
};

/// What there is to say about a selector, wherever it stands.
pub(super) fn selector(selector: &Selector, negated: bool, lints: &mut Vec<LintKind>) {
    let shown = || excerpt(selector.as_str());
    let segments = selector.segments();
    let usual = usual(selector);
    if usual != selector.as_str() {
        lints.push(LintKind::OtherSpelling { selector: shown(), usual: excerpt(&usual) });
    }
    let from_end = |index: &Option<i64>| index.is_some_and(i64::is_negative);
    if segments.iter().any(|(segment, _)| match segment {
        Segment::Index(index) => index.is_negative(),
        Segment::Slice(from, to) => from_end(from) || from_end(to),
        Segment::Key(_) | Segment::Values => false,
    }) {
        lints.push(LintKind::NegativeIndex { selector: shown() });
    }
    if segments.iter().rev().skip(1).any(|(_, optional)| *optional) {
        lints.push(LintKind::SegmentAfterOptional { selector: shown() });
    }
    if negated && segments.iter().any(|(_, optional)| *optional) {
        lints.push(LintKind::OptionalUnderNot { selector: shown() });
    }
    let mut after_values = segments.iter().skip_while(|(segment, _)| *segment != Segment::Values);
    if after_values.any(|(segment, _)| matches!(segment, Segment::Index(_) | Segment::Slice(..))) {
        lints.push(LintKind::OrderOfValues { selector: shown() });
    }
    for (segment, _) in segments {
        if let Segment::Key(name) = segment {
            text::text(name, lints);
        }
    }
}

/// Whether the value that a selector selects depends on the order of a map in its last segment.
pub(super) fn ends_with_values(selector: &Selector) -> bool {
    matches!(selector.segments().last(), Some((Segment::Values, _)))
}

/// Whether there may be nothing at all to select, for which there is not even a null.
pub(super) fn may_fail(selector: &Selector, of_arguments: bool) -> bool {
    // Arguments are a map, which gives null for whatever key.
    let is_safe = |at: usize, segment: &Segment| at == 0 && of_arguments && matches!(segment, Segment::Key(_));
    selector.segments().iter().enumerate().any(|(at, (segment, optional))| !optional && !is_safe(at, segment))
}

/// Whether what is not there may be selected as null.
pub(super) fn may_be_null(selector: &Selector) -> bool {
    matches!(selector.segments().last(), Some((Segment::Key(_), _) | (_, true)))
}

/// Whether no arguments have what a selector asks for: parts of lists and of bytes have no keys.
pub(super) fn always_fails(selector: &Selector) -> bool {
    let mut pairs = selector.segments().windows(2);
    pairs.any(|pair| matches!(pair, [(Segment::Slice(..) | Segment::Values, _), (Segment::Key(_), false)]))
}

/// Whether a selection can be equal to a value, as far as the last segment says.
pub(super) fn can_equal(selector: &Selector, value: &Ipld) -> bool {
    match (selector.segments().last(), value) {
        (Some((_, true)), Ipld::Null) => true,
        (Some((Segment::Slice(..), _)), _) => matches!(value, Ipld::List(_) | Ipld::Bytes(_)),
        (Some((Segment::Values, _)), _) => matches!(value, Ipld::List(_)),
        _ => true,
    }
}

/// Whether a selection can be a number or a text, as far as the last segment says.
pub(super) fn can_be_scalar(selector: &Selector) -> bool {
    !matches!(selector.segments().last(), Some((Segment::Slice(..) | Segment::Values, _)))
}

/// The spelling that the specification uses in its examples.
fn usual(selector: &Selector) -> String {
    let mut usual = String::new();
    for (segment, optional) in selector.segments() {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match segment {
            Segment::Key(name) if is_name(name) => {
                usual.push('.');
                usual.push_str(name);
            }
            other => {
                if usual.is_empty() {
                    usual.push('.');
                }
                bracket(other, &mut usual);
            }
        }
        if *optional {
            usual.push('?');
        }
    }
    if usual.is_empty() { ".".to_owned() } else { usual }
}

fn bracket(segment: &Segment, text: &mut String) {
    let bound = |bound: &Option<i64>| bound.map(|index| index.to_string()).unwrap_or_default();
    let _infallible = match segment {
        Segment::Key(name) => write!(text, "[{}]", crate::dagjson::encode(&Ipld::String(name.clone()))),
        Segment::Index(index) => write!(text, "[{index}]"),
        Segment::Slice(from, to) => write!(text, "[{}:{}]", bound(from), bound(to)),
        Segment::Values => write!(text, "[]"),
    };
}
