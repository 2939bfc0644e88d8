//! What in a policy may mean something else than its author thinks, or something else to another implementation.

mod conflict;
mod selector;
mod text;
mod walk;

use std::fmt;

use super::{Budget, Policy};

/// One remark about a policy that is well formed.
///
/// ```
/// use ucan_core::{LintKind, Policy, dagjson};
///
/// let policy = br#"[["==", ".from", "alice"], ["or", [["any", ".to", ["like", ".", "*@example.com"]]]]]"#;
/// let policy = Policy::parse(&dagjson::decode(policy)?)?;
/// let lints = policy.lint();
/// assert_eq!(lints[0].path, [1, 1, 0]);
/// assert!(matches!(&lints[0].kind, LintKind::AnyOfEmpty { selector } if selector == ".to"));
/// assert_eq!(
///     lints[0].to_string(),
///     r#"[1][1][0]: `any` is true when ".to" is empty; to ask for a member of a list, add ["!=", ".to[0]?", null]"#
/// );
///
/// let better = br#"[["any", ".to", ["like", ".", "*@example.com"]], ["!=", ".to[0]?", null]]"#;
/// assert_eq!(Policy::parse(&dagjson::decode(better)?)?.lint(), []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lint {
    /// Where the statement is: indices into the policy as it is written. The second of the statements in an `or` that is the
    /// third of the policy is at `[2, 1, 1]`, as the first item of an `or` is its operator.
    pub path: Vec<usize>,
    /// What there is to say about it.
    pub kind: LintKind,
}

/// What there is to say about a statement. Selectors and patterns are as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LintKind {
    /// An `and` without statements. It is true, and so of no use.
    EmptyAnd,
    /// An `or` without statements. It is true by the specification, though no statement in it holds; other languages say false.
    EmptyOr,
    /// An `any` about what may be empty. By the specification it is an `or` over the members, and an empty `or` is true: whoever
    /// sends an empty list, or an empty map, is not asked for anything.
    AnyOfEmpty {
        /// What may be empty.
        selector: String,
    },
    /// A `!=` or a negated statement about what may be absent. A statement about what is not there is false, and its negation
    /// true, so that leaving the value out passes.
    TrueWhenAbsent {
        /// What may be absent.
        selector: String,
        /// Whether it is the negation of the statement that is true, and not the statement itself.
        negated: bool,
    },
    /// One of several statements in a negated `or`, about what may be absent. Then it is false, so that it is the others alone
    /// that can refuse.
    FalseWhenAbsent {
        /// What may be absent.
        selector: String,
    },
    /// A comparison with null. A missing key selects null, so that it holds both for a null and for nothing at all.
    NullWhenAbsent {
        /// What may be absent.
        selector: String,
    },
    /// An index or slice that counts from the end. What it selects depends on what was appended, and older implementations know
    /// no such indices.
    NegativeIndex {
        /// The selector.
        selector: String,
    },
    /// An optional segment in a negated statement. What would fail becomes null, about which the statement is false and its
    /// negation true; the `?` changes little but hides that.
    OptionalUnderNot {
        /// The selector.
        selector: String,
    },
    /// A segment after an optional one. Here it is looked for in the null that a failure became, and fails unless it is optional
    /// itself; other implementations end the selection with null.
    SegmentAfterOptional {
        /// The selector.
        selector: String,
    },
    /// A selector that is usually written in another way. Some implementations know one spelling only.
    OtherSpelling {
        /// The selector.
        selector: String,
        /// The usual spelling.
        usual: String,
    },
    /// The order of the values of a map. It is the canonical one here, shorter keys first; others go through their keys bytewise
    /// or as they arrived.
    OrderOfValues {
        /// The selector.
        selector: String,
    },
    /// A backslash that does not escape a star. It stands for itself here; others take the next character literally, or refuse
    /// the pattern. JSON wants backslashes doubled, too.
    Backslash {
        /// The pattern.
        pattern: String,
    },
    /// A character that means something in the patterns of shells: `?`, brackets or braces. It stands for itself.
    GlobCharacter {
        /// The pattern.
        pattern: String,
        /// The first such character.
        character: char,
    },
    /// Stars in a row. They are one; in the patterns of shells `**` also goes into folders.
    StarRun {
        /// The pattern.
        pattern: String,
    },
    /// Text with letters that Unicode can spell in more than one way, as `é` is one character or two. Texts are compared byte by
    /// byte, so that the other spelling is another text. Such letters are recognised by their block, which is a rule of thumb.
    SeveralSpellings {
        /// The text.
        text: String,
    },
    /// A number of 2^53 or beyond. It is compared exactly here; others round integers to floats, for which neighbours are equal.
    InexactNumber {
        /// The number.
        number: String,
    },
    /// A statement that no arguments fulfil, such as the order of what cannot be a number, or equality with what cannot be
    /// selected. Its negation is always true.
    NeverHolds {
        /// The selector.
        selector: String,
    },
    /// Two statements about one selection that have to hold together and cannot.
    Contradiction {
        /// Where the other statement is.
        with: Vec<usize>,
    },
    /// A statement that is there already.
    Duplicate {
        /// Where the other statement is.
        of: Vec<usize>,
    },
}

impl Policy {
    /// What in the policy may surprise, in the order of the statements. Nothing said here makes a policy invalid.
    ///
    /// A policy so large that looking from its statements at each other takes more than ten million steps is not searched to the
    /// end for contradictions and duplicates, and what another statement rules out may be remarked on nevertheless.
    pub fn lint(&self) -> Vec<Lint> {
        walk::lint(&self.statements, &Budget::default())
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Path(&self.path), self.kind)
    }
}

impl fmt::Display for LintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyAnd => write!(f, "an empty `and` is true"),
            Self::EmptyOr => write!(f, "an empty `or` is true"),
            Self::AnyOfEmpty { selector } => {
                write!(
                    f,
                    "`any` is true when {selector:?} is empty; to ask for a member of a list, add [\"!=\", {:?}, null]",
                    format!("{}[0]?", selector.strip_suffix('?').unwrap_or(selector))
                )
            }
            Self::TrueWhenAbsent { selector, negated: false } => {
                write!(f, "this is true when {selector:?} is absent")
            }
            Self::TrueWhenAbsent { selector, negated: true } => {
                write!(f, "the negation of this is true when {selector:?} is absent")
            }
            Self::FalseWhenAbsent { selector } => {
                write!(
                    f,
                    "this is false when {selector:?} is absent, and then only the rest of the negated `or` counts"
                )
            }
            Self::NullWhenAbsent { selector } => write!(f, "{selector:?} is null when it is absent, too"),
            Self::NegativeIndex { selector } => {
                write!(f, "{selector:?} counts from the end, which depends on what is appended")
            }
            Self::OptionalUnderNot { selector } => {
                write!(f, "what {selector:?} fails to find becomes null, about which a negation is usually true")
            }
            Self::SegmentAfterOptional { selector } => {
                write!(f, "{selector:?} goes on after an optional segment, where others may stop with null")
            }
            Self::OtherSpelling { selector, usual } => {
                write!(f, "{selector:?} is usually written {usual:?}")
            }
            Self::OrderOfValues { selector } => {
                write!(f, "{selector:?} depends on the order of a map, about which implementations differ")
            }
            Self::Backslash { pattern } => {
                write!(f, "in the pattern {pattern:?} a backslash that is not before a star stands for itself")
            }
            Self::GlobCharacter { pattern, character } => {
                write!(f, "in the pattern {pattern:?} {character:?} stands for itself")
            }
            Self::StarRun { pattern } => write!(f, "in the pattern {pattern:?} several stars in a row are one"),
            Self::SeveralSpellings { text } => {
                write!(
                    f,
                    "{text:?} may have letters that can be spelled in more than one way, of which only this one is equal"
                )
            }
            Self::InexactNumber { number } => write!(f, "{number} is 2^53 or beyond, where others may round"),
            Self::NeverHolds { selector } => write!(f, "nothing that {selector:?} can select fulfils this"),
            Self::Contradiction { with } => write!(f, "this cannot hold together with {}", Path(with)),
            Self::Duplicate { of } => write!(f, "this says the same as {}", Path(of)),
        }
    }
}

/// Indices in brackets.
struct Path<'a>(&'a [usize]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|index| write!(f, "[{index}]"))
    }
}

#[cfg(test)]
mod tests;
