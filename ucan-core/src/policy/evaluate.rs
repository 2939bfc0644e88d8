//! From statements and arguments to a verdict.

use std::{cell::Cell, cmp::Ordering};

use super::{
    Inequality, Statement, Verdict, compare,
    selector::{Found, Selection},
};
use crate::Ipld;

/// How many steps one budget allows: statements, values that are looked at or copied, parts of patterns, and sixteenths of texts
/// in bytes.
const STEPS: usize = 10_000_000;

/// How much work is left to those who share it.
///
/// A small policy about large arguments can ask for the product of both sizes. Whoever writes such a policy, or such arguments,
/// is denied before that takes long.
#[derive(Debug)]
pub(crate) struct Budget(Cell<usize>);

#[cfg(test)]
impl Budget {
    pub(super) fn left(&self) -> usize {
        self.0.get()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(STEPS))
    }
}

/// One evaluation: what is pending in it, and what its work is taken from.
pub(super) struct Work<'a> {
    pending: &'a dyn Fn(&Ipld) -> bool,
    budget: &'a Budget,
}

impl<'a> Work<'a> {
    pub(super) fn new(pending: &'a dyn Fn(&Ipld) -> bool, budget: &'a Budget) -> Self {
        Self { pending, budget }
    }

    pub(super) fn is_pending(&self, value: &Ipld) -> bool {
        (self.pending)(value)
    }

    /// Takes some steps; whether there were that many left.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.budget.0.get().checked_sub(steps);
        self.budget.0.set(left.unwrap_or(0));
        left.is_some()
    }

    fn is_spent(&self) -> bool {
        self.budget.0.get() == 0
    }
}

/// Why a policy does not hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Violation<'s> {
    /// The first statement that is violated.
    Statement(&'s Statement),
    /// The budget was spent before that could be said.
    TooMuchWork,
}

/// Whether a policy is undecided, unless it is violated. One pass finds both the verdict and the reason, so that errors cost
/// nothing more.
pub(super) fn policy<'s>(statements: &'s [Statement], args: &Ipld, work: &Work<'_>) -> Result<bool, Violation<'s>> {
    let mut undecided = false;
    for statement in statements {
        let verdict = evaluate(statement, args, work);
        // A verdict that was reached without looking at everything may be wrong either way.
        if work.is_spent() {
            return Err(Violation::TooMuchWork);
        }
        match verdict {
            Verdict::Violated => return Err(Violation::Statement(statement)),
            Verdict::Undecided => undecided = true,
            Verdict::Satisfied => {}
        }
    }
    Ok(undecided)
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
            Found::Node(Ipld::String(text)) => (work.spend(glob.steps(text)) && glob.matches(text)).into(),
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
