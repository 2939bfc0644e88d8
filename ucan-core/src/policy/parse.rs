//! From IPLD to statements.

use super::{Glob, Inequality, Policy, Selector, SelectorError, Statement};
use crate::{Ipld, text::excerpt};

/// How deep statements may be nested.
const DEPTH: usize = 64;
/// How many statements a policy may have, those inside others included.
const STATEMENTS: usize = 4096;

pub(super) fn policy(policy: &Ipld) -> Result<Policy, PolicyError> {
    let mut parser = Parser { statements: 0 };
    let Ipld::List(_) = policy else {
        return Err(PolicyError::NotAList);
    };
    parser.statements(policy, 0).map(|statements| Policy { statements })
}

struct Parser {
    statements: usize,
}

impl Parser {
    fn statements(&mut self, list: &Ipld, depth: usize) -> Result<Vec<Statement>, PolicyError> {
        match list {
            Ipld::List(list) => list.iter().map(|statement| self.statement(statement, depth)).collect(),
            _ => Err(PolicyError::Statement { statement: show(list), expected: "a list of statements" }),
        }
    }

    fn inner(&mut self, statement: &Ipld, depth: usize) -> Result<Box<Statement>, PolicyError> {
        self.statement(statement, depth + 1).map(Box::new)
    }

    fn statement(&mut self, statement: &Ipld, depth: usize) -> Result<Statement, PolicyError> {
        self.statements += 1;
        if depth >= DEPTH || self.statements > STATEMENTS {
            return Err(PolicyError::TooLarge);
        }
        let error = |expected| PolicyError::Statement { statement: show(statement), expected };
        let Ipld::List(parts) = statement else {
            return Err(error("a list that starts with an operator"));
        };
        let Some((Ipld::String(operator), rest)) = parts.split_first() else {
            return Err(error("an operator as the first item"));
        };
        match (operator.as_str(), rest) {
            ("and", [inner]) => Ok(Statement::And(self.statements(inner, depth + 1)?)),
            ("or", [inner]) => Ok(Statement::Or(self.statements(inner, depth + 1)?)),
            ("not", [inner]) => Ok(Statement::Not(self.inner(inner, depth)?)),
            ("and" | "or" | "not", _) => Err(error("one argument")),
            ("==" | "!=" | "<" | "<=" | ">" | ">=" | "like" | "all" | "any", [selector, argument]) => {
                let Ipld::String(selector) = selector else {
                    return Err(error("a selector as the second item"));
                };
                self.about(operator, Selector::parse(selector)?, argument, depth).and_then(|done| {
                    done.ok_or_else(|| {
                        error(if operator == "like" { "a string as the pattern" } else { "a number to compare with" })
                    })
                })
            }
            ("==" | "!=" | "<" | "<=" | ">" | ">=" | "like" | "all" | "any", _) => {
                Err(error("a selector and one argument"))
            }
            _ => Err(PolicyError::Operator { operator: excerpt(operator) }),
        }
    }

    /// A statement about what a selector finds; nothing, when the argument is of the wrong kind.
    fn about(
        &mut self,
        operator: &str,
        selector: Selector,
        argument: &Ipld,
        depth: usize,
    ) -> Result<Option<Statement>, PolicyError> {
        let compare = |which, selector| {
            matches!(argument, Ipld::Integer(_) | Ipld::Float(_))
                .then(|| Statement::Compare(which, selector, argument.clone()))
        };
        Ok(match (operator, argument) {
            ("==", _) => Some(Statement::Equal(selector, argument.clone())),
            ("!=", _) => Some(Statement::NotEqual(selector, argument.clone())),
            ("<", _) => compare(Inequality::Less, selector),
            ("<=", _) => compare(Inequality::LessOrEqual, selector),
            (">", _) => compare(Inequality::Greater, selector),
            (">=", _) => compare(Inequality::GreaterOrEqual, selector),
            ("like", Ipld::String(pattern)) => Some(Statement::Like(selector, Glob::new(pattern))),
            ("like", _) => None,
            ("all", _) => Some(Statement::All(selector, self.inner(argument, depth)?)),
            _ => Some(Statement::Any(selector, self.inner(argument, depth)?)),
        })
    }
}

/// A statement as text, for an error.
fn show(statement: &Ipld) -> String {
    excerpt(&crate::dagjson::encode(statement))
}

/// Why a value is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A policy is a list.
    #[error("a policy is a list of statements")]
    NotAList,
    /// A statement has another shape than its operator asks for.
    #[error("malformed statement {statement}: expected {expected}")]
    Statement {
        /// The statement as DAG-JSON, cut when long.
        statement: String,
        /// What should have been there.
        expected: &'static str,
    },
    /// There is no such operator.
    #[error("unknown operator {operator:?}")]
    Operator {
        /// The operator.
        operator: String,
    },
    /// A selector is malformed.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// Statements are nested deeper than 64, or are more than 4096.
    #[error("a policy nested deeper than {DEPTH}, or of more than {STATEMENTS} statements")]
    TooLarge,
}

impl PolicyError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Selector(error) => error.name(),
            Self::TooLarge => "LimitExceeded",
            _ => "MalformedPolicy",
        }
    }
}
