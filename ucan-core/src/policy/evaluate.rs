//! From statements and arguments to a verdict.

use std::{cell::Cell, cmp::Ordering};

use super::{
    Inequality, Selector, Statement, Verdict, compare,
    found::{Found, Selection},
};
use crate::Ipld;

/// How many steps one budget allows: statements, values that are looked at, keys that are passed, parts of patterns, and
/// sixteenths of texts in bytes.
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

/// What says of a value whether it is pending. Where nothing is, the compiler sees that and leaves the question out.
pub(super) trait Pending: Fn(&Ipld) -> bool {}

impl<T: Fn(&Ipld) -> bool + ?Sized> Pending for T {}

/// One evaluation: what is pending in it, and what its work is taken from.
pub(super) struct Work<'a, P: ?Sized> {
    pending: &'a P,
    budget: &'a Budget,
}

impl<'a, P: Pending + ?Sized> Work<'a, P> {
    pub(super) fn new(pending: &'a P, budget: &'a Budget) -> Self {
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

    pub(super) fn is_spent(&self) -> bool {
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
pub(super) fn policy<'s, P: Pending + ?Sized>(
    statements: &'s [Statement],
    args: &Ipld,
    work: &Work<'_, P>,
) -> Result<bool, Violation<'s>> {
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

/// Whether at least one verdict is true.
fn any(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    !compare::all(verdicts.into_iter().map(|verdict| !verdict))
}

fn evaluate<P: Pending + ?Sized>(statement: &Statement, value: &Ipld, work: &Work<'_, P>) -> Verdict {
    if !work.spend(1) {
        return Verdict::Violated;
    }
    match statement {
        Statement::Equal(selector, other) => about(selector, value, work, |it| compare::equal(it, other, work)),
        Statement::NotEqual(selector, other) => !about(selector, value, work, |it| compare::equal(it, other, work)),
        Statement::Compare(which, selector, other) => about(selector, value, work, |it| {
            let order = match it {
                Found::Node(node) => compare::order(node, other),
                Found::Byte(byte) => compare::order(&Ipld::Integer(byte.into()), other),
                Found::Null | Found::Bytes(_) | Found::Slice(_) | Found::Values(_) => None,
            };
            order.is_some_and(|order| which.holds(order)).into()
        }),
        Statement::Like(selector, glob) => about(selector, value, work, |it| match it {
            Found::Node(Ipld::String(text)) => (work.spend(glob.steps(text)) && glob.matches(text)).into(),
            _ => Verdict::Violated,
        }),
        Statement::And(inner) => compare::all(inner.iter().map(|statement| evaluate(statement, value, work))),
        // As the specification has it.
        Statement::Or(inner) if inner.is_empty() => Verdict::Satisfied,
        Statement::Or(inner) => any(inner.iter().map(|statement| evaluate(statement, value, work))),
        Statement::Not(inner) => !evaluate(inner, value, work),
        Statement::All(selector, inner) => {
            about(selector, value, work, |it| quantified(Quantifier::All, it, inner, work))
        }
        Statement::Any(selector, inner) => {
            about(selector, value, work, |it| quantified(Quantifier::Any, it, inner, work))
        }
    }
}

/// The verdict about what a selector finds: a selection that fails makes the statement false, one that waits leaves it open.
fn about<'a, P: Pending + ?Sized>(
    selector: &Selector,
    value: &'a Ipld,
    work: &Work<'_, P>,
    test: impl FnOnce(Found<'a>) -> Verdict,
) -> Verdict {
    match selector.resolve(value, work) {
        Selection::Found(found) => test(found),
        Selection::Failed => Verdict::Violated,
        Selection::Pending => Verdict::Undecided,
    }
}

#[derive(Clone, Copy)]
enum Quantifier {
    All,
    Any,
}

/// The verdict about the members of a collection. Which of them comes first makes no difference, unless only some are meant.
fn quantified<P: Pending + ?Sized>(
    which: Quantifier,
    found: Found<'_>,
    inner: &Statement,
    work: &Work<'_, P>,
) -> Verdict {
    match found {
        Found::Node(Ipld::List(list)) => members(which, list.iter(), list.len(), inner, work),
        Found::Node(Ipld::Map(map)) => members(which, map.values(), map.len(), inner, work),
        Found::Slice(items) => members(which, items.iter(), items.len(), inner, work),
        Found::Values(values) => match values.whole() {
            Some(map) => members(which, map.values(), map.len(), inner, work),
            None => members(which, values.in_order(work), values.len(), inner, work),
        },
        Found::Node(_) | Found::Null | Found::Byte(_) | Found::Bytes(_) => Verdict::Violated,
    }
}

fn members<'a, P: Pending + ?Sized>(
    which: Quantifier,
    members: impl Iterator<Item = &'a Ipld>,
    len: usize,
    inner: &Statement,
    work: &Work<'_, P>,
) -> Verdict {
    if !work.spend(len) {
        return Verdict::Violated;
    }
    let verdicts = members.map(|member| evaluate(inner, member, work));
    match which {
        Quantifier::All => compare::all(verdicts),
        // `any` is defined as an `or` over the members, and an empty `or` is true.
        Quantifier::Any if len == 0 => Verdict::Satisfied,
        Quantifier::Any => any(verdicts),
    }
}

impl Inequality {
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
