//! Whether the issuer of a delegation has what it passes on, as far as the delegations at hand say.

use std::collections::BTreeMap;

use ucan_core::{Cid, Context, Delegation, Found, Ipld, NoChain, ProofSearch, Request};

use super::Item;
use super::check::{Checker, Finding, State, proofs};

/// The delegations that are at hand.
#[derive(Default)]
pub(super) struct Pool {
    by_cid: BTreeMap<Cid, Delegation>,
    by_audience: BTreeMap<String, Vec<Cid>>,
}

impl Pool {
    pub(super) fn add(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Delegation(delegation) = item
                && self.by_cid.insert(*delegation.cid(), delegation.clone()).is_none()
            {
                let audience = delegation.audience().principal().to_owned();
                self.by_audience.entry(audience).or_default().push(*delegation.cid());
            }
        }
    }

    pub(super) fn get(&self, cid: &Cid) -> Option<Delegation> {
        self.by_cid.get(cid).cloned()
    }

    fn to(&self, audience: &str) -> Vec<Delegation> {
        self.by_audience.get(audience).into_iter().flatten().filter_map(|cid| self.get(cid)).collect()
    }
}

/// How many delegations are looked at for all searches together.
const CANDIDATES: usize = 10_000;

/// What a delegation can be passed on from.
#[derive(Default)]
pub(super) struct Origins {
    /// Delegations on which a chain rests that holds, and the token whose chain it is.
    relied_on: BTreeMap<Cid, Cid>,
    /// How many delegations were looked at.
    candidates: usize,
}

impl Origins {
    /// Remembers the proofs of a chain that holds.
    pub(super) fn rely_on(&mut self, proofs: &[Cid], token: &Cid) {
        for proof in proofs {
            self.relied_on.entry(*proof).or_insert(*token);
        }
    }
}

/// Why no chain was found.
enum Missing {
    NoChain(NoChain),
    TooMany,
}

impl Checker<'_> {
    pub(super) fn authority(&mut self, delegation: &Delegation) -> Finding {
        let finding = |state, detail: String| Finding::new("authority", state, None, detail);
        let issuer = delegation.issuer();
        if delegation.subject().is_some_and(|subject| subject.same_principal(issuer)) {
            return finding(State::Holds, "the subject itself is its issuer".to_owned());
        }
        if let Some(token) = self.origins.relied_on.get(delegation.cid()) {
            return finding(State::Holds, format!("a chain that holds rests on it, that of {token}"));
        }
        let Some(subject) = delegation.subject() else {
            let detail =
                "it is a powerline: it passes on what its issuer is given, and counts only behind a chain to there";
            return finding(State::Unknown, detail.to_owned());
        };
        if !self.may_check_chain() {
            return Finding { aspect: "authority", ..self.too_many() };
        }
        let args = Ipld::Map(BTreeMap::new());
        let request = Request { invoker: issuer, subject, command: delegation.command(), args: &args };
        match self.search(request) {
            Ok(found) => {
                let lead = proofs(found.proofs.len(), "leads", "lead");
                let policies = if found.authority.undecided() {
                    ", for arguments that keep to the policies on the way"
                } else {
                    ""
                };
                finding(State::Holds, format!("{lead} from the subject to the issuer{policies}"))
            }
            Err(Missing::NoChain(error)) => Finding::new(
                "authority",
                State::Unknown,
                Some(error.name()),
                format!(
                    "the issuer is not the subject, {subject}; it counts only behind a chain from there, which \
                     --proofs FILE may add: {error}"
                ),
            ),
            Err(Missing::TooMany) => Finding::new(
                "authority",
                State::Unknown,
                Some("LimitExceeded"),
                format!("more than {CANDIDATES} delegations would have to be looked at; look at fewer tokens at once"),
            ),
        }
    }

    /// Looks for a chain among the delegations at hand.
    fn search(&mut self, request: Request<'_>) -> Result<Found, Missing> {
        // Arguments come with an invocation: until then nothing can be said of what policies demand of them.
        let context = Context { pending: &|_| true, ..*self.context };
        let mut search = ProofSearch::new(request, context);
        while let Some(holder) = search.wanted() {
            let grants = self.pool.to(holder);
            self.origins.candidates += grants.len();
            if self.origins.candidates > CANDIDATES {
                return Err(Missing::TooMany);
            }
            search.supply(grants);
        }
        search.outcome().map_err(Missing::NoChain)
    }
}
