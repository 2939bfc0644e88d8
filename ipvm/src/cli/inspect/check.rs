//! What can be said of a token: whether its signature, its time and its chain hold.

use ucan_core::{
    ChainError, Cid, Context, Delegation, KeyError, Request, SignatureError, Timestamp, Token, TokenError, diagnose,
    in_time, validate, verify,
};
use ucan_invocation::{AttestError, Invocation, RECEIPT_COMMAND, attest};

use super::Item;
use super::authority::{Origins, Pool};
use crate::cli::moment::date;

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
    /// Which: `signature`, `time`, `chain`, `issuer`, `authority`, `shape`.
    pub(super) aspect: &'static str,
    pub(super) state: State,
    /// The name of the error in the conformance protocol, where there is one.
    pub(super) name: Option<&'static str>,
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn new(
        aspect: &'static str,
        state: State,
        name: Option<&'static str>,
        detail: impl Into<String>,
    ) -> Self {
        Self { aspect, state, name, detail: detail.into() }
    }
}

/// All that was found out about a token.
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// Whether all of it holds; none where that cannot be told, because something could not be checked or nothing was.
    pub(super) fn verdict(&self) -> Option<bool> {
        let states = || self.0.iter().map(|finding| finding.state);
        if states().any(|state| state == State::Fails) {
            return Some(false);
        }
        (!self.0.is_empty() && states().all(|state| state != State::Unknown)).then_some(true)
    }
}

/// How many chains are checked: an archive can ask for a great many, each of which may be long and have policies.
const CHAINS: usize = 1_000;

/// Checks tokens against each other.
pub(super) struct Checker<'a> {
    pub(super) pool: &'a Pool,
    pub(super) context: &'a Context<'a>,
    pub(super) origins: Origins,
    chains: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(pool: &'a Pool, context: &'a Context<'a>) -> Self {
        Self { pool, context, origins: Origins::default(), chains: 0 }
    }

    /// What there is to say of each item.
    pub(super) fn check(mut self, items: &[Item]) -> Vec<Findings> {
        // Delegations come last: a chain that holds says something about those in it.
        let others: Vec<_> = items.iter().map(|item| self.other(item)).collect();
        let each = items.iter().zip(others);
        each.map(|(item, others)| Findings(others.unwrap_or_else(|| self.delegation(item)))).collect()
    }

    fn delegation(&mut self, item: &Item) -> Vec<Finding> {
        let Item::Delegation(delegation) = item else { return Vec::new() };
        vec![
            signature(delegation, self.context),
            time(delegation.not_before(), delegation.expiration(), self.context, State::Fails),
            self.authority(delegation),
        ]
    }

    fn other(&mut self, item: &Item) -> Option<Vec<Finding>> {
        Some(match item {
            Item::Delegation(_) => return None,
            Item::Invocation(invocation) if is_receipt(invocation) => self.receipt(invocation),
            Item::Invocation(invocation) => vec![
                signature(invocation, self.context),
                time(None, invocation.expiration(), self.context, State::Fails),
                self.chain(invocation),
            ],
            Item::Refused { error, .. } => {
                vec![Finding::new("shape", unless_unsupported(error), Some(error.name()), error.to_string())]
            }
            Item::Block { .. } => Vec::new(),
        })
    }

    /// Whether one more chain is checked.
    pub(super) fn may_check_chain(&mut self) -> bool {
        self.chains += 1;
        self.chains <= CHAINS
    }

    pub(super) fn too_many(&self) -> Finding {
        let detail = format!("{CHAINS} chains were checked before, and no more are; look at fewer tokens at once");
        Finding::new("chain", State::Unknown, Some("LimitExceeded"), detail)
    }

    fn chain(&mut self, invocation: &Invocation) -> Finding {
        if !self.may_check_chain() {
            return self.too_many();
        }
        let chain = match self.proofs_of(invocation) {
            Ok(chain) => chain,
            Err(missing) => return missing,
        };
        match validate(&request(invocation), &chain, self.context) {
            Err(error) => self.broken(invocation, &chain, error),
            Ok(authority) if authority.undecided() => Finding::new(
                "chain",
                State::Unknown,
                Some("Undecided"),
                "it holds, if what promises will give keeps to its policies",
            ),
            Ok(_) if chain.is_empty() => {
                Finding::new("chain", State::Holds, None, "none is needed: the subject itself asks")
            }
            Ok(authority) => {
                self.origins.rely_on(authority.proofs(), invocation.envelope().cid());
                let lead = proofs(chain.len(), "leads", "lead");
                Finding::new("chain", State::Holds, None, format!("{lead} from the subject to the issuer"))
            }
        }
    }

    fn proofs_of(&self, invocation: &Invocation) -> Result<Vec<Delegation>, Finding> {
        let proofs = invocation.proofs().iter().enumerate();
        proofs.map(|(index, cid)| self.pool.get(cid).ok_or_else(|| missing(index, cid))).collect()
    }

    /// A chain that does not hold, or of which that cannot be said: what is certain comes first.
    fn broken(&self, invocation: &Invocation, chain: &[Delegation], first: ChainError) -> Finding {
        let errors = diagnose(&request(invocation), chain, self.context);
        let certain = errors.into_iter().find(|error| !is_unknown(error, chain, self.context));
        let (state, error) = match certain {
            Some(error) => (State::Fails, error),
            None => (State::Unknown, first),
        };
        let detail = match error.proof {
            Some(proof) => format!("proof {proof}: {}", error.detail),
            None => error.detail,
        };
        Finding::new("chain", state, Some(error.class.name()), detail)
    }

    /// A receipt outlives its expiration, with a warning, and its chain is about who may issue it.
    fn receipt(&mut self, invocation: &Invocation) -> Vec<Finding> {
        let (pool, context) = (self.pool, self.context);
        let mut findings =
            vec![signature(invocation, context), time(None, invocation.expiration(), context, State::Warns)];
        if !self.may_check_chain() {
            findings.push(Finding { aspect: "issuer", ..self.too_many() });
            return findings;
        }
        let issuer = match attest(invocation.clone(), None, &|cid| pool.get(cid), context) {
            Ok(attested) if attested.authority().proofs().is_empty() => {
                Finding::new("issuer", State::Holds, None, "it is the executor")
            }
            Ok(attested) => {
                self.origins.rely_on(attested.authority().proofs(), invocation.envelope().cid());
                let lets = proofs(attested.authority().proofs().len(), "lets", "let");
                Finding::new("issuer", State::Holds, None, format!("{lets} it speak for the executor"))
            }
            // Said already.
            Err(AttestError::Signature(_)) => return findings,
            Err(AttestError::UnavailableProof { proof, index }) => {
                Finding { aspect: "issuer", ..missing(index, &proof) }
            }
            Err(AttestError::Chain(error)) => {
                let chain = self.proofs_of(invocation);
                let finding = chain.map_or_else(|missing| missing, |chain| self.broken(invocation, &chain, error));
                Finding { aspect: "issuer", ..finding }
            }
            Err(error @ AttestError::Receipt(_)) => {
                Finding::new("shape", State::Fails, Some(error.name()), error.to_string())
            }
            Err(error) => Finding::new("issuer", State::Fails, Some(error.name()), error.to_string()),
        };
        findings.push(issuer);
        findings
    }
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

/// Whether a token is broken, or of a kind that is not known here: then nothing can be said of it.
fn unless_unsupported(error: &TokenError) -> State {
    if error.name().starts_with("Unsupported") { State::Unknown } else { State::Fails }
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

fn request(invocation: &Invocation) -> Request<'_> {
    Request {
        invoker: invocation.issuer(),
        subject: invocation.subject(),
        command: invocation.command(),
        args: invocation.task().args_value(),
    }
}

fn missing(index: usize, cid: &Cid) -> Finding {
    let detail = format!("proof {index}, {cid}, is not at hand; --proofs FILE says where it is");
    Finding::new("chain", State::Unknown, Some("UnavailableProof"), detail)
}

/// Whether what is wrong with a chain is only that the key of a proof cannot be had or used here.
fn is_unknown(error: &ChainError, chain: &[Delegation], context: &Context<'_>) -> bool {
    let proof = error.proof.and_then(|proof| chain.get(proof));
    let signature = proof.and_then(|proof| verify(proof, context.keys).err());
    signature.is_some_and(|signature| {
        let is_about_it = matches!(error.class.name(), "InvalidSignature" | "UnsupportedAlgorithm");
        is_about_it && unless_unknown(&signature) == State::Unknown
    })
}

/// A number of proofs, and what they do.
pub(super) fn proofs(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 proof {one}") } else { format!("{count} proofs {many}") }
}
