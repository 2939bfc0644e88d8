//! Which statements about one selection cannot hold together.

use std::cmp::Ordering;

use crate::{
    Ipld,
    policy::{
        Inequality, Selector, Statement, Verdict, compare,
        evaluate::{Pending, Work},
        found::Found,
    },
};

/// The selector of a statement that has one.
pub(super) fn about(statement: &Statement) -> Option<&Selector> {
    match statement {
        Statement::Equal(selector, _)
        | Statement::NotEqual(selector, _)
        | Statement::Compare(_, selector, _)
        | Statement::Like(selector, _)
        | Statement::All(selector, _)
        | Statement::Any(selector, _) => Some(selector),
        Statement::And(_) | Statement::Or(_) | Statement::Not(_) => None,
    }
}

/// Whether two statements that are about one selection, or of which one is a negation, exclude each other.
pub(super) fn exclude<P: Pending + ?Sized>(a: &Statement, b: &Statement, work: &Work<'_, P>) -> bool {
    use Statement::{All, Any, Compare, Equal, Like, Not};
    match (a, b) {
        (Not(inner), other) | (other, Not(inner)) => **inner == *other,
        _ if about(a).map(Selector::segments) != about(b).map(Selector::segments) => false,
        (Equal(_, value), other) | (other, Equal(_, value)) => !may_hold(other, value, work),
        (Compare(first, _, left), Compare(second, _, right)) => {
            is_empty((*first, left), (*second, right)) || is_empty((*second, right), (*first, left))
        }
        (Compare(..), Like(..) | All(..) | Any(..)) | (Like(..) | All(..) | Any(..), Compare(..)) => true,
        (Like(..), All(..) | Any(..)) | (All(..) | Any(..), Like(..)) => true,
        _ => false,
    }
}

/// Whether a statement may hold when its selector selects a value.
fn may_hold<P: Pending + ?Sized>(statement: &Statement, value: &Ipld, work: &Work<'_, P>) -> bool {
    match statement {
        Statement::Equal(_, other) => compare::equal(Found::Node(value), other, work) == Verdict::Satisfied,
        Statement::NotEqual(_, other) => compare::equal(Found::Node(value), other, work) == Verdict::Violated,
        Statement::Compare(which, _, other) => compare::order(value, other).is_some_and(|order| which.holds(order)),
        Statement::Like(_, glob) => match value {
            // What is not looked at may match.
            Ipld::String(text) => !work.spend(glob.steps(text)) || glob.matches(text),
            _ => false,
        },
        Statement::All(..) | Statement::Any(..) => matches!(value, Ipld::List(_) | Ipld::Map(_)),
        Statement::And(_) | Statement::Or(_) | Statement::Not(_) => true,
    }
}

/// Whether no number is above one bound and below another.
fn is_empty(lower: (Inequality, &Ipld), upper: (Inequality, &Ipld)) -> bool {
    use Inequality::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let ((Greater | GreaterOrEqual, from), (Less | LessOrEqual, to)) = (lower, upper) else {
        return false;
    };
    match compare::order(from, to) {
        Some(Ordering::Less) => false,
        Some(Ordering::Equal) => (lower.0, upper.0) != (GreaterOrEqual, LessOrEqual),
        Some(Ordering::Greater) | None => true,
    }
}

/// About how much work it is to compare a statement with others.
pub(super) fn weight(statement: &Statement) -> usize {
    let text = |selector: &Selector| selector.as_str().len() / 16;
    1 + match statement {
        Statement::Equal(selector, value) | Statement::NotEqual(selector, value) => text(selector) + size(value),
        Statement::Compare(_, selector, _) => text(selector),
        Statement::Like(selector, glob) => text(selector) + glob.pattern().len() / 16,
        Statement::And(inner) | Statement::Or(inner) => inner.iter().map(weight).sum(),
        Statement::Not(inner) => weight(inner),
        Statement::All(selector, inner) | Statement::Any(selector, inner) => text(selector) + weight(inner),
    }
}

fn size(value: &Ipld) -> usize {
    1 + match value {
        Ipld::String(text) => text.len() / 16,
        Ipld::Bytes(bytes) => bytes.len() / 16,
        Ipld::List(list) => list.iter().map(size).sum(),
        Ipld::Map(map) => map.iter().map(|(key, value)| key.len() / 16 + size(value)).sum(),
        _ => 0,
    }
}
