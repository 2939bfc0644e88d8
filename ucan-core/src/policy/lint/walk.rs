//! From statements to remarks.

use super::{
    Lint, LintKind,
    conflict::{about, exclude, weight},
    selector, text,
};
use crate::{
    Ipld,
    policy::{
        Inequality, Selector, Statement,
        evaluate::{Budget, Work},
        selector::Segment,
    },
    text::excerpt,
};

/// All remarks. The work of looking from one statement at others is taken from the budget.
pub(super) fn lint(statements: &[Statement], budget: &Budget) -> Vec<Lint> {
    let mut walk = Walk { lints: Vec::new(), budget };
    let mut together = Vec::new();
    walk.flatten(statements, &[], &mut together);
    walk.conjunction(&together, Scope { negated: false, one_of_several: false, of_arguments: true });
    walk.lints.sort_by(|a, b| a.path.cmp(&b.path));
    walk.lints
}

struct Walk<'b> {
    lints: Vec<Lint>,
    /// For comparing statements with each other.
    budget: &'b Budget,
}

/// Where a statement stands.
#[derive(Clone, Copy)]
struct Scope {
    /// Under an odd number of negations.
    negated: bool,
    /// In an `or` of several statements that is under an odd number of negations.
    one_of_several: bool,
    /// About the arguments themselves, not about the members of a collection in them.
    of_arguments: bool,
}

/// A statement and where it is.
struct Place<'p> {
    statement: &'p Statement,
    path: Vec<usize>,
}

impl Walk<'_> {
    fn push(&mut self, path: &[usize], kind: LintKind) {
        self.lints.push(Lint { path: path.to_vec(), kind });
    }

    /// The statements that have to hold together: those of a list, and of every `and` in it.
    fn flatten<'p>(&mut self, statements: &'p [Statement], path: &[usize], together: &mut Vec<Place<'p>>) {
        for (at, statement) in statements.iter().enumerate() {
            self.flatten_one(statement, below(path, &[at]), together);
        }
    }

    fn flatten_one<'p>(&mut self, statement: &'p Statement, path: Vec<usize>, together: &mut Vec<Place<'p>>) {
        match statement {
            Statement::And(inner) if inner.is_empty() => self.push(&path, LintKind::EmptyAnd),
            Statement::And(inner) => self.flatten(inner, &below(&path, &[1]), together),
            _ => together.push(Place { statement, path }),
        }
    }

    fn conjunction(&mut self, together: &[Place<'_>], scope: Scope) {
        self.compare(together);
        for place in together {
            self.statement(place, together, scope);
        }
    }

    fn one(&mut self, statement: &Statement, path: Vec<usize>, scope: Scope) {
        let mut together = Vec::new();
        self.flatten_one(statement, path, &mut together);
        self.conjunction(&together, scope);
    }

    /// Looks for the first statement that each statement repeats or excludes.
    fn compare(&mut self, together: &[Place<'_>]) {
        let nothing = |_: &Ipld| false;
        let weights: Vec<_> = together.iter().map(|place| weight(place.statement)).collect();
        for (at, later) in together.iter().enumerate() {
            let mut found = None;
            for (earlier, other) in together.iter().zip(&weights).take(at) {
                let work = Work::new(&nothing, self.budget);
                if !work.spend((*other).min(weights.get(at).copied().unwrap_or(1))) {
                    return;
                }
                if earlier.statement == later.statement {
                    found = Some(LintKind::Duplicate { of: earlier.path.clone() });
                } else if exclude(earlier.statement, later.statement, &work) && !work.is_spent() {
                    found = Some(LintKind::Contradiction { with: earlier.path.clone() });
                }
                if found.is_some() {
                    break;
                }
            }
            if let Some(kind) = found {
                self.push(&later.path, kind);
            }
        }
    }

    fn statement(&mut self, place: &Place<'_>, together: &[Place<'_>], scope: Scope) {
        let path = &place.path;
        match place.statement {
            // These were taken apart before.
            Statement::And(_) => {}
            Statement::Or(inner) => {
                if inner.is_empty() {
                    self.push(path, LintKind::EmptyOr);
                }
                let scope = Scope { one_of_several: scope.one_of_several || scope.negated && inner.len() > 1, ..scope };
                for (at, statement) in inner.iter().enumerate() {
                    self.one(statement, below(path, &[1, at]), scope);
                }
            }
            Statement::Not(inner) => {
                self.one(inner, below(path, &[1]), Scope { negated: !scope.negated, ..scope });
            }
            Statement::All(_, inner) | Statement::Any(_, inner) => {
                self.leaf(place, together, scope);
                self.one(inner, below(path, &[2]), Scope { of_arguments: false, ..scope });
            }
            Statement::Equal(..) | Statement::NotEqual(..) | Statement::Compare(..) | Statement::Like(..) => {
                self.leaf(place, together, scope);
            }
        }
    }

    /// What there is to say about a statement with a selector.
    fn leaf(&mut self, place: &Place<'_>, together: &[Place<'_>], scope: Scope) {
        let Some(selector) = about(place.statement) else {
            return;
        };
        let shown = || excerpt(selector.as_str());
        let mut kinds = Vec::new();
        selector::selector(selector, scope.negated, &mut kinds);
        match place.statement {
            Statement::Equal(_, value) | Statement::NotEqual(_, value) => {
                text::value(value, &mut kinds);
                if matches!(value, Ipld::List(list) if list.len() > 1) && selector::ends_with_values(selector) {
                    kinds.retain(|kind| !matches!(kind, LintKind::OrderOfValues { .. }));
                    kinds.push(LintKind::OrderOfValues { selector: shown() });
                }
            }
            Statement::Compare(_, _, value) => text::value(value, &mut kinds),
            Statement::Like(_, glob) => text::pattern(glob.pattern(), &mut kinds),
            _ => {}
        }
        let never_holds = never_holds(place.statement, selector);
        if never_holds {
            kinds.push(LintKind::NeverHolds { selector: shown() });
        }
        let asks_for_difference = matches!(place.statement, Statement::NotEqual(..)) != scope.negated;
        let with_null = matches!(place.statement, Statement::Equal(_, Ipld::Null) | Statement::NotEqual(_, Ipld::Null));
        let fails = selector::may_fail(selector, scope.of_arguments);
        let null = selector::may_be_null(selector);
        if asks_for_difference && (fails || null && !with_null) {
            if scope.one_of_several && scope.negated {
                kinds.push(LintKind::FalseWhenAbsent { selector: shown() });
            } else if scope.negated || !self.one_of(together, selector, |other| shows_presence(other, selector, scope))
            {
                kinds.push(LintKind::TrueWhenAbsent { selector: shown(), negated: scope.negated });
            }
        } else if !asks_for_difference && with_null && null && !never_holds {
            kinds.push(LintKind::NullWhenAbsent { selector: shown() });
        }
        // Under a negation, what is empty is refused, which surprises nobody to their harm.
        if matches!(place.statement, Statement::Any(..))
            && !scope.negated
            && !self.one_of(together, selector, |other| shows_member(other, selector, scope))
        {
            kinds.push(LintKind::AnyOfEmpty { selector: shown() });
        }
        for kind in kinds {
            self.push(&place.path, kind);
        }
    }

    /// Whether one of the statements shows something about a selector, as far as there are steps left to look.
    fn one_of(&self, together: &[Place<'_>], selector: &Selector, shows: impl Fn(&Statement) -> bool) -> bool {
        let nothing = |_: &Ipld| false;
        let work = Work::new(&nothing, self.budget);
        let steps = 1 + selector.as_str().len() / 16;
        together.iter().map_while(|other| work.spend(steps).then_some(other)).any(|other| shows(other.statement))
    }
}

fn below(path: &[usize], more: &[usize]) -> Vec<usize> {
    [path, more].concat()
}

/// Whether no selection fulfils a statement.
fn never_holds(statement: &Statement, selector: &Selector) -> bool {
    match statement {
        // It is true of what is not there.
        Statement::NotEqual(..) => false,
        _ if selector::always_fails(selector) => true,
        Statement::Equal(_, value) => !selector::can_equal(selector, value),
        Statement::Compare(which, _, value) => {
            !selector::can_be_scalar(selector) || matches!(value, Ipld::Float(float) if is_beyond(*which, *float))
        }
        Statement::Like(..) => !selector::can_be_scalar(selector),
        _ => false,
    }
}

/// Whether no finite number is on that side of a float.
fn is_beyond(which: Inequality, float: f64) -> bool {
    float.is_nan()
        || match which {
            Inequality::Less | Inequality::LessOrEqual => float == f64::NEG_INFINITY,
            Inequality::Greater | Inequality::GreaterOrEqual => float == f64::INFINITY,
        }
}

/// Whether a statement holds only where something is there.
fn asks_for_presence(statement: &Statement, selector: &Selector, scope: Scope) -> bool {
    match statement {
        Statement::Equal(_, value) => *value != Ipld::Null,
        Statement::NotEqual(_, value) => *value == Ipld::Null && !selector::may_fail(selector, scope.of_arguments),
        Statement::Compare(..) | Statement::Like(..) | Statement::All(..) | Statement::Any(..) => true,
        Statement::And(_) | Statement::Or(_) | Statement::Not(_) => false,
    }
}

/// Whether a statement holds only where a selector finds something.
fn shows_presence(statement: &Statement, wanted: &Selector, scope: Scope) -> bool {
    about(statement).is_some_and(|selector| {
        starts_with(selector, wanted).is_some() && asks_for_presence(statement, selector, scope)
    })
}

/// Whether a statement holds only where what a selector finds has members.
fn shows_member(statement: &Statement, wanted: &Selector, scope: Scope) -> bool {
    about(statement).is_some_and(|selector| match (starts_with(selector, wanted), statement) {
        // Where the beginning fails, so does what is wanted.
        (Some(rest @ [(Segment::Index(_), _), ..]), Statement::NotEqual(_, Ipld::Null)) => {
            rest.iter().all(|(_, optional)| *optional)
        }
        (Some([(Segment::Index(_), _), ..]), _) => asks_for_presence(statement, selector, scope),
        _ => false,
    })
}

/// What a selector has after all segments of another.
fn starts_with<'a>(selector: &'a Selector, other: &Selector) -> Option<&'a [(Segment, bool)]> {
    let (mut segments, mut others) = (selector.segments().iter(), other.segments().iter());
    loop {
        match others.next() {
            None => return Some(segments.as_slice()),
            // What is optional there has to be optional here or to fail, which is the same for a statement that has to hold.
            Some((wanted, _)) if segments.next().is_some_and(|(segment, _)| segment == wanted) => {}
            Some(_) => return None,
        }
    }
}
