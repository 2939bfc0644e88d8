//! Every rule that was applied to a chain, and what came of it.

use std::{collections::BTreeMap, fmt};

use super::{ChainError, Context, Request, validate::Report};
use crate::{Cid, Command, Delegation, Did, Ipld, Timestamp};

/// What [`validate`](super::validate) does, told step by step: for people who wonder why, and for logs.
///
/// It goes through all proofs and all rules, whatever fails on the way.
///
/// ```
/// use ucan_core::{Context, Delegation, DidKeys, Ipld, Issuer, Request, Timestamp, explain};
/// use varsig::ed25519::SigningKey;
///
/// let [alice, bob] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/file/read".parse()?).sign(&alice)?;
///
/// let (command, args) = ("/file/write".parse()?, Ipld::Map(Default::default()));
/// let request = Request { invoker: bob.did(), subject: alice.did(), command: &command, args: &args };
/// let explanation = explain(&request, &[grant], &Context::new(Timestamp::EPOCH, &DidKeys));
/// assert!(!explanation.authorised());
/// assert!(explanation.to_string().contains("command: InvalidCommand: /file/read does not cover /file/write"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn explain(request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>) -> Explanation {
    let report = Report::of(request, proofs, ctx, Some(Vec::new()));
    let mut links: Vec<Link> = proofs.iter().take(super::LENGTH).map(Link::new).collect();
    for (proof, rule, outcome) in report.trail.into_iter().flatten() {
        if let Some(link) = proof.and_then(|proof| links.get_mut(proof)) {
            link.checks.push(Check { rule, outcome });
        }
    }
    Explanation {
        invoker: request.invoker.clone(),
        subject: request.subject.clone(),
        command: request.command.clone(),
        now: ctx.now,
        links,
        errors: report.errors,
        undecided: report.undecided,
    }
}

/// What [`explain`] found. `Display` is a text of several lines for people, [`to_ipld`](Self::to_ipld) the same as data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Who wants to do something.
    pub invoker: Did,
    /// What it is done to.
    pub subject: Did,
    /// What is to be done.
    pub command: Command,
    /// The time that proofs were checked at.
    pub now: Timestamp,
    /// The proofs, root first: at most 64, which is how many a chain may have.
    pub links: Vec<Link>,
    /// All that is wrong, in the order in which it was found.
    pub errors: Vec<ChainError>,
    /// Whether a policy waits for values that are pending.
    pub undecided: bool,
}

/// One proof of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The delegation.
    pub cid: Cid,
    /// Who passes authority on.
    pub issuer: Did,
    /// Who receives it.
    pub audience: Did,
    /// What it is about; none for a powerline.
    pub subject: Option<Did>,
    /// What may be done.
    pub command: Command,
    /// The rules, in the order in which they were applied. Revocation is looked at when all else holds.
    pub checks: Vec<Check>,
}

impl Link {
    fn new(proof: &Delegation) -> Self {
        Self {
            cid: *proof.cid(),
            issuer: crate::Token::issuer(proof).clone(),
            audience: proof.audience().clone(),
            subject: proof.subject().cloned(),
            command: proof.command().clone(),
            checks: Vec::new(),
        }
    }
}

/// One rule, and whether a proof keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The rule.
    pub rule: Rule,
    /// What came of it.
    pub outcome: CheckOutcome,
}

/// The rules for a proof (UCAN Delegation 1.0, "Validation").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Its signature is its issuer's.
    Signature,
    /// It is valid now.
    Time,
    /// The first proof names its subject.
    Root,
    /// It is about the subject of the request.
    Subject,
    /// It is issued by whom the one before it was given to, the first by the subject, and the last is for the invoker.
    Principals,
    /// Its command covers the one that is asked for.
    Command,
    /// Its policy holds for the arguments.
    Policy,
    /// It has not been revoked.
    Revocation,
}

impl Rule {
    /// The rule in a word: `signature`, `time`, ..
    pub fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Root => "root",
            Self::Subject => "subject",
            Self::Principals => "principals",
            Self::Command => "command",
            Self::Policy => "policy",
            Self::Revocation => "revocation",
        }
    }
}

/// What came of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// It is kept.
    Passed,
    /// That depends on values that are pending.
    Undecided,
    /// It is broken, and how.
    Failed(ChainError),
}

impl Explanation {
    /// Whether the chain authorises the request, as far as that is decided.
    pub fn authorised(&self) -> bool {
        self.errors.is_empty()
    }

    /// The same as data.
    pub fn to_ipld(&self) -> Ipld {
        let text = |text: &dyn fmt::Display| Ipld::String(text.to_string());
        let outcome = |outcome: &CheckOutcome| match outcome {
            CheckOutcome::Passed => Ipld::String("passed".to_owned()),
            CheckOutcome::Undecided => Ipld::String("undecided".to_owned()),
            CheckOutcome::Failed(error) => failure(error),
        };
        let link = |link: &Link| {
            let checks = link.checks.iter().map(|check| (check.rule.name().to_owned(), outcome(&check.outcome)));
            map([
                ("cid", text(&link.cid)),
                ("iss", text(&link.issuer)),
                ("aud", text(&link.audience)),
                ("sub", link.subject.as_ref().map_or(Ipld::Null, |subject| text(subject))),
                ("cmd", text(&link.command)),
                ("checks", Ipld::Map(checks.collect())),
            ])
        };
        map([
            ("invoker", text(&self.invoker)),
            ("sub", text(&self.subject)),
            ("cmd", text(&self.command)),
            ("now", Ipld::Integer(self.now.as_secs().into())),
            ("authorised", Ipld::Bool(self.authorised())),
            ("undecided", Ipld::Bool(self.undecided)),
            ("proofs", Ipld::List(self.links.iter().map(link).collect())),
            ("errors", Ipld::List(self.errors.iter().map(failure).collect())),
        ])
    }
}

fn failure(error: &ChainError) -> Ipld {
    let proof = error.proof.map_or(Ipld::Null, |proof| Ipld::Integer(proof as i128));
    let text = |text: &str| Ipld::String(text.to_owned());
    map([("name", text(error.class.name())), ("proof", proof), ("message", text(&error.detail))])
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(BTreeMap::from(entries.map(|(key, value)| (key.to_owned(), value))))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.authorised(), self.undecided) {
            (true, false) => "may",
            (true, true) => "may, if the pending arguments keep to the policies,",
            (false, _) => "may not",
        };
        write!(f, "{} {verdict} do {} on {}", self.invoker, self.command, self.subject)?;
        for error in self.errors.iter().filter(|error| error.proof.is_none()) {
            write!(f, "\n  {error}")?;
        }
        for (index, link) in self.links.iter().enumerate() {
            write!(f, "\n  proof {index}: {} from {} to {}", link.command, link.issuer, link.audience)?;
            match &link.subject {
                Some(subject) => write!(f, " on {subject}")?,
                None => f.write_str(", whatever the subject")?,
            }
            write!(f, " ({})", link.cid)?;
            for check in &link.checks {
                write!(f, "\n    {}: ", check.rule.name())?;
                match &check.outcome {
                    CheckOutcome::Passed => f.write_str("holds")?,
                    CheckOutcome::Undecided => f.write_str("depends on pending arguments")?,
                    CheckOutcome::Failed(error) => write!(f, "{}: {}", error.class, error.detail)?,
                }
            }
        }
        Ok(())
    }
}
