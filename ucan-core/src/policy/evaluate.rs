//! From statements and arguments to a verdict.

use std::{cell::Cell, cmp::Ordering};

use super::{
    Inequality, Statement, Verdict, compare,
    selector::{Found, Selection},
};
use crate::Ipld;

/// How many steps one evaluation may take: statements, values that are looked at, and sixteenths of texts in bytes.
const STEPS: usize = 10_000_000;

/// One evaluation: what is pending in it, and how much of it is left.
///
/// A small policy about large arguments can ask for the product of both sizes. Whoever writes such a policy, or such arguments,
/// is denied before that takes long.
pub(super) struct Work<'a> {
    pending: &'a dyn Fn(&Ipld) -> bool,
    left: Cell<usize>,
}

impl<'a> Work<'a> {
    pub(super) fn new(pending: &'a dyn Fn(&Ipld) -> bool) -> Self {
        Self { pending, left: Cell::new(STEPS) }
    }

    pub(super) fn is_pending(&self, value: &Ipld) -> bool {
        (self.pending)(value)
    }

    /// Takes some steps; whether there were that many left.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The verdict on a policy. Violated, when there is too much to do.
pub(super) fn policy(statements: &[Statement], args: &Ipld, pending: &dyn Fn(&Ipld) -> bool) -> Verdict {
    let work = Work::new(pending);
    let verdict = all_of(statements, args, &work);
    if work.left.get() == 0 { Verdict::Violated } else { verdict }
}

/// The first statement that makes the verdict on a policy what it is, found with the same bound on work.
pub(super) fn first_violated<'s>(
    statements: &'s [Statement],
    args: &Ipld,
    pending: &dyn Fn(&Ipld) -> bool,
) -> Option<&'s Statement> {
    let work = Work::new(pending);
    statements.iter().find(|statement| evaluate(statement, args, &work) == Verdict::Violated)
}

fn all_of(statements: &[Statement], value: &Ipld, work: &Work<'_>) -> Verdict {
    compare::all(statements.iter().map(|statement| evaluate(statement, value, work)))
}

/// Whether at least one verdict is true; also when there are none, as the specification has it.
fn any(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut verdicts = verdicts.into_iter().peekable();
    if verdicts.peek().is_none() {
        return Verdict::Satisfied;
    }
    !compare::all(verdicts.map(|verdict| !verdict))
}

fn evaluate(statement: &Statement, value: &Ipld, work: &Work<'_>) -> Verdict {
    if !work.spend(1) {
        return Verdict::Violated;
    }
    // A selection that fails makes the statement false, one that waits leaves it open.
    let found = |selector: &super::Selector, test: &dyn Fn(Found<'_>) -> Verdict| match selector.resolve(value, work) {
        Selection::Found(found) => test(found),
        Selection::Failed => Verdict::Violated,
        Selection::Pending => Verdict::Undecided,
    };
    match statement {
        Statement::Equal(selector, other) => found(selector, &|it| compare::equal(&it, other, work)),
        Statement::NotEqual(selector, other) => !found(selector, &|it| compare::equal(&it, other, work)),
        Statement::Compare(which, selector, other) => found(selector, &|it| {
            let order = match it {
                Found::Node(node) => compare::order(node, other),
                Found::Integer(integer) => compare::order(&Ipld::Integer(integer), other),
                Found::Null | Found::Bytes(_) | Found::Items(_) => None,
            };
            order.is_some_and(|order| which.holds(order)).into()
        }),
        Statement::Like(selector, glob) => found(selector, &|it| match it {
            Found::Node(Ipld::String(text)) => (work.spend(text.len() / 16) && glob.matches(text)).into(),
            _ => Verdict::Violated,
        }),
        Statement::And(inner) => all_of(inner, value, work),
        Statement::Or(inner) => any(inner.iter().map(|statement| evaluate(statement, value, work))),
        Statement::Not(inner) => !evaluate(inner, value, work),
        Statement::All(selector, inner) => found(selector, &|it| {
            it.members(work).map_or(Verdict::Violated, |members| {
                compare::all(members.into_iter().map(|member| evaluate(inner, member, work)))
            })
        }),
        Statement::Any(selector, inner) => found(selector, &|it| {
            it.members(work).map_or(Verdict::Violated, |members| {
                any(members.into_iter().map(|member| evaluate(inner, member, work)))
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
