//! From statements and arguments to a verdict.

use std::cmp::Ordering;

use super::{
    Inequality, Statement, Verdict, compare,
    selector::{Found, Selection},
};
use crate::Ipld;

type Pending<'a> = &'a dyn Fn(&Ipld) -> bool;

pub(super) fn all_of(statements: &[Statement], value: &Ipld, pending: Pending<'_>) -> Verdict {
    compare::all(
        statements
            .iter()
            .map(|statement| evaluate(statement, value, pending)),
    )
}

/// Whether at least one verdict is true; also when there are none, as the specification has it.
fn any(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut verdicts = verdicts.into_iter().peekable();
    if verdicts.peek().is_none() {
        return Verdict::Satisfied;
    }
    !compare::all(verdicts.map(|verdict| !verdict))
}

fn evaluate(statement: &Statement, value: &Ipld, pending: Pending<'_>) -> Verdict {
    // A selection that fails makes the statement false, one that waits leaves it open.
    let found = |selector: &super::Selector, test: &dyn Fn(Found<'_>) -> Verdict| match selector
        .resolve(value, pending)
    {
        Selection::Found(found) => test(found),
        Selection::Failed => Verdict::Violated,
        Selection::Pending => Verdict::Undecided,
    };
    match statement {
        Statement::Equal(selector, other) => {
            found(selector, &|it| compare::equal(&it, other, pending))
        }
        Statement::NotEqual(selector, other) => {
            !found(selector, &|it| compare::equal(&it, other, pending))
        }
        Statement::Compare(which, selector, other) => found(selector, &|it| {
            let order = match it {
                Found::Node(node) => compare::order(node, other),
                Found::Integer(integer) => compare::order(&Ipld::Integer(integer), other),
                Found::Null | Found::Bytes(_) | Found::Items(_) => None,
            };
            order.is_some_and(|order| which.holds(order)).into()
        }),
        Statement::Like(selector, glob) => found(selector, &|it| match it {
            Found::Node(Ipld::String(text)) => glob.matches(text).into(),
            _ => Verdict::Violated,
        }),
        Statement::And(inner) => all_of(inner, value, pending),
        Statement::Or(inner) => any(inner
            .iter()
            .map(|statement| evaluate(statement, value, pending))),
        Statement::Not(inner) => !evaluate(inner, value, pending),
        Statement::All(selector, inner) => found(selector, &|it| {
            it.members().map_or(Verdict::Violated, |members| {
                compare::all(
                    members
                        .into_iter()
                        .map(|member| evaluate(inner, member, pending)),
                )
            })
        }),
        Statement::Any(selector, inner) => found(selector, &|it| {
            it.members().map_or(Verdict::Violated, |members| {
                any(members
                    .into_iter()
                    .map(|member| evaluate(inner, member, pending)))
            })
        }),
    }
}

impl Inequality {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
