//! The policy language: what a delegation demands of the arguments of an invocation.

mod compare;
mod evaluate;
mod found;
mod glob;
mod lint;
mod parse;
mod selector;

pub use lint::{Lint, LintKind};
pub use parse::PolicyError;
pub use selector::{Selector, SelectorError};

pub(crate) use evaluate::Budget;
use evaluate::{Violation, Work};
use glob::Glob;

use crate::Ipld;

/// A list of statements about the arguments of an invocation, all of which have to hold (UCAN Delegation 1.0, "Policy").
///
/// What is malformed is refused when it is read. Evaluation never fails: a statement about what is not there, or what cannot be
/// compared, is false.
///
/// ```
/// use ucan_core::{Policy, dagjson};
///
/// let policy = Policy::parse(&dagjson::decode(
///     br#"[["==", ".from", "alice@example.com"], ["any", ".to", ["like", ".", "*@example.com"]]]"#,
/// )?)?;
/// let args = dagjson::decode(br#"{"from": "alice@example.com", "to": ["bob@example.com", "eve@example.org"]}"#)?;
/// assert!(policy.matches(&args));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// Whether arguments keep to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They do.
    Satisfied,
    /// They do not, whatever the pending values turn out to be.
    Violated,
    /// It depends on values that are still pending.
    Undecided,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// When it is not a list of well-formed statements, nests deeper than 64, or has more than 4096 statements in all.
    pub fn parse(policy: &Ipld) -> Result<Self, PolicyError> {
        parse::policy(policy)
    }

    /// The policy as it stands in a token.
    pub fn to_ipld(&self) -> Ipld {
        Ipld::List(self.statements.iter().map(Statement::to_ipld).collect())
    }

    /// Whether there are no statements, so that every argument is allowed.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether arguments keep to the policy. Nothing in them is pending.
    pub fn matches(&self, args: &Ipld) -> bool {
        matches!(evaluate::policy(&self.statements, args, &Work::new(&|_: &Ipld| false, &Budget::default())), Ok(false))
    }

    /// Whether arguments keep to the policy when some of the values in them are not known yet.
    ///
    /// `pending` says of a value whether it stands for one that is not known. A statement that depends on such a value is
    /// undecided, and the connectives follow Kleene's logic: one false statement makes an `and` false whatever the others are.
    ///
    /// Arguments that would take more than ten million steps to judge violate the policy.
    pub fn evaluate(&self, args: &Ipld, pending: &dyn Fn(&Ipld) -> bool) -> Verdict {
        match evaluate::policy(&self.statements, args, &Work::new(pending, &Budget::default())) {
            Ok(false) => Verdict::Satisfied,
            Ok(true) => Verdict::Undecided,
            Err(_) => Verdict::Violated,
        }
    }

    /// Whether the policy is undecided, unless arguments violate it: then, for an error, the first statement that they violate
    /// as DAG-JSON, or that it is too much work to say. The work is taken from a budget that several policies may share.
    pub(crate) fn judge(&self, args: &Ipld, pending: &dyn Fn(&Ipld) -> bool, budget: &Budget) -> Result<bool, String> {
        evaluate::policy(&self.statements, args, &Work::new(pending, budget)).map_err(|violation| match violation {
            Violation::Statement(statement) => crate::dagjson::encode(&statement.to_ipld()),
            Violation::TooMuchWork => "a policy that takes too long to judge".to_owned(),
        })
    }
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
enum Statement {
    Equal(Selector, Ipld),
    NotEqual(Selector, Ipld),
    /// The right side is an integer or a float.
    Compare(Inequality, Selector, Ipld),
    Like(Selector, Glob),
    And(Vec<Statement>),
    Or(Vec<Statement>),
    Not(Box<Statement>),
    All(Selector, Box<Statement>),
    Any(Selector, Box<Statement>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inequality {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Inequality {
    fn operator(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Statement {
    fn to_ipld(&self) -> Ipld {
        let operator = |text: &str| Ipld::String(text.to_owned());
        let select = |selector: &Selector| Ipld::String(selector.to_string());
        let list = |inner: &[Self]| Ipld::List(inner.iter().map(Self::to_ipld).collect());
        Ipld::List(match self {
            Self::Equal(selector, value) => vec![operator("=="), select(selector), value.clone()],
            Self::NotEqual(selector, value) => {
                vec![operator("!="), select(selector), value.clone()]
            }
            Self::Compare(which, selector, value) => {
                vec![operator(which.operator()), select(selector), value.clone()]
            }
            Self::Like(selector, glob) => {
                vec![operator("like"), select(selector), Ipld::String(glob.pattern().to_owned())]
            }
            Self::And(inner) => vec![operator("and"), list(inner)],
            Self::Or(inner) => vec![operator("or"), list(inner)],
            Self::Not(inner) => vec![operator("not"), inner.to_ipld()],
            Self::All(selector, inner) => vec![operator("all"), select(selector), inner.to_ipld()],
            Self::Any(selector, inner) => vec![operator("any"), select(selector), inner.to_ipld()],
        })
    }
}

#[cfg(test)]
mod tests;
