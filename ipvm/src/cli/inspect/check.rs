//! What can be said of a token: whether its signature, its time and its chain hold.

use std::collections::BTreeMap;

use ucan_core::{
    ChainError, ChainErrorClass, Cid, Context, Delegation, KeyError, Request, SignatureError, Timestamp, Token,
    in_time, validate, verify,
};
use ucan_invocation::{AttestError, Invocation, RECEIPT_COMMAND, attest};

use super::Item;
use crate::cli::moment::date;

/// The delegations that are at hand.
#[derive(Default)]
pub(super) struct Pool(BTreeMap<Cid, Delegation>);

impl Pool {
    pub(super) fn add(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Delegation(delegation) = item {
                self.0.insert(*delegation.cid(), delegation.clone());
            }
        }
    }

    fn get(&self, cid: &Cid) -> Option<Delegation> {
        self.0.get(cid).cloned()
    }
}

/// Whether something holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Holds,
    /// It holds, and there is something to know about it.
    Warns,
    Fails,
    /// It cannot be said here.
    Unknown,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Warns => "warning",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }
}

/// What was found out about one aspect of a token.
pub(super) struct Finding {
    /// Which: `signature`, `time`, `chain`, `shape`.
    pub(super) aspect: &'static str,
    pub(super) state: State,
    /// The name of the error in the conformance protocol, where there is one.
    pub(super) name: Option<&'static str>,
    pub(super) detail: String,
}

impl Finding {
    fn new(aspect: &'static str, state: State, name: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self { aspect, state, name, detail: detail.into() }
    }
}

/// All that was found out about a token.
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// Whether all that could be checked holds.
    pub(super) fn hold(&self) -> bool {
        self.0.iter().all(|finding| finding.state != State::Fails)
    }
}

pub(super) fn check(item: &Item, pool: &Pool, context: &Context<'_>) -> Findings {
    Findings(match item {
        Item::Delegation(delegation) => vec![
            signature(delegation, context),
            time(delegation.not_before(), delegation.expiration(), context, State::Fails),
        ],
        Item::Invocation(invocation) if is_receipt(invocation) => receipt(invocation, pool, context),
        Item::Invocation(invocation) => vec![
            signature(invocation, context),
            time(None, invocation.expiration(), context, State::Fails),
            chain(invocation, pool, context),
        ],
        Item::Refused { error, .. } => {
            vec![Finding::new("shape", State::Fails, Some(error.name()), error.to_string())]
        }
        Item::Block { .. } => Vec::new(),
    })
}

/// Whether an invocation is a receipt, by its command.
pub(super) fn is_receipt(invocation: &Invocation) -> bool {
    invocation.command().as_str() == RECEIPT_COMMAND
}

fn signature(token: &impl Token, context: &Context<'_>) -> Finding {
    match verify(token, context.keys) {
        Ok(_) => Finding::new("signature", State::Holds, None, "it is the issuer's"),
        Err(error) => Finding::new("signature", unless_unknown(&error), Some(error.name()), error.to_string()),
    }
}

/// Whether a signature is bad, or cannot be judged here.
fn unless_unknown(error: &SignatureError) -> State {
    let unresolved =
        matches!(error, SignatureError::Key(KeyError::UnsupportedMethod { .. } | KeyError::Unresolved { .. }));
    if unresolved || error.name() == "UnsupportedAlgorithm" { State::Unknown } else { State::Fails }
}

fn time(start: Option<Timestamp>, end: Option<Timestamp>, context: &Context<'_>, late: State) -> Finding {
    let now = date(context.now);
    match in_time(start, end, context.now, context.skew) {
        Ok(()) => Finding::new("time", State::Holds, None, format!("valid at {now}")),
        Err(error) => {
            let detail = match (error.name(), start, end) {
                ("Expired", _, Some(end)) => format!("expired at {}, and it is {now}", date(end)),
                (_, Some(start), _) => format!("not valid before {}, and it is {now}", date(start)),
                _ => error.to_string(),
            };
            Finding::new("time", late, Some(error.name()), detail)
        }
    }
}

fn chain(invocation: &Invocation, pool: &Pool, context: &Context<'_>) -> Finding {
    let mut chain = Vec::new();
    for (index, cid) in invocation.proofs().iter().enumerate() {
        match pool.get(cid) {
            Some(proof) => chain.push(proof),
            None => return missing(index, cid),
        }
    }
    let request = Request {
        invoker: invocation.issuer(),
        subject: invocation.subject(),
        command: invocation.command(),
        args: invocation.task().args_value(),
    };
    match validate(&request, &chain, context) {
        Err(error) => broken(&error),
        Ok(authority) if authority.undecided() => Finding::new(
            "chain",
            State::Warns,
            Some("Undecided"),
            "it holds, but for policies about what promises will give",
        ),
        Ok(_) if chain.is_empty() => {
            Finding::new("chain", State::Holds, None, "none is needed: the subject itself asks")
        }
        Ok(_) => Finding::new(
            "chain",
            State::Holds,
            None,
            format!("{} lead from the subject to the issuer", proofs(chain.len())),
        ),
    }
}

fn missing(index: usize, cid: &Cid) -> Finding {
    let detail = format!("proof {index}, {cid}, is not at hand; --proofs FILE says where it is");
    Finding::new("chain", State::Unknown, Some("UnavailableProof"), detail)
}

fn broken(error: &ChainError) -> Finding {
    let state = if error.class == ChainErrorClass::UnsupportedAlgorithm { State::Unknown } else { State::Fails };
    let detail = match error.proof {
        Some(proof) => format!("proof {proof} {}", error.detail),
        None => error.detail.clone(),
    };
    Finding::new("chain", state, Some(error.class.name()), detail)
}

fn proofs(count: usize) -> String {
    if count == 1 { "1 proof".to_owned() } else { format!("{count} proofs") }
}

/// A receipt outlives its expiration, with a warning, and its chain is about who may issue it.
fn receipt(invocation: &Invocation, pool: &Pool, context: &Context<'_>) -> Vec<Finding> {
    let mut findings = vec![signature(invocation, context), time(None, invocation.expiration(), context, State::Warns)];
    let issuer = match attest(invocation.clone(), None, &|cid| pool.get(cid), context) {
        Ok(attested) if attested.authority().proofs().is_empty() => {
            Finding::new("issuer", State::Holds, None, "it is the executor")
        }
        Ok(attested) => {
            let count = proofs(attested.authority().proofs().len());
            Finding::new("issuer", State::Holds, None, format!("{count} let it speak for the executor"))
        }
        // Said already.
        Err(AttestError::Signature(_)) => return findings,
        Err(AttestError::UnavailableProof { proof, index }) => Finding { aspect: "issuer", ..missing(index, &proof) },
        Err(AttestError::Chain(error)) => Finding { aspect: "issuer", ..broken(&error) },
        Err(error @ AttestError::Receipt(_)) => {
            Finding::new("shape", State::Fails, Some(error.name()), error.to_string())
        }
        Err(error) => Finding::new("issuer", State::Fails, Some(error.name()), error.to_string()),
    };
    findings.push(issuer);
    findings
}
