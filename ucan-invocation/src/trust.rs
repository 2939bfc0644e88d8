use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ucan_core::{Cid, Did, Ipld, Timestamp, Token, Verified};

use crate::{Outcome, Receipt, is_pending};

/// Whose receipts are reused without running the task again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Only those that this executor signed itself.
    #[default]
    Own,
    /// Its own, and those of any of the named executors.
    Executors(BTreeSet<Did>),
    /// Its own, and what so many of the named executors agree on.
    Agreement {
        /// Whose receipts count.
        executors: BTreeSet<Did>,
        /// How many different principals among them have to state the same outcome. Where they are fewer than that, nothing
        /// is reused but this executor's own.
        threshold: NonZeroUsize,
    },
}

/// On what terms a result is reused: who asks, when, and under which determinism profile.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The executor that is to reuse it.
    pub own: &'a Did,
    /// At what time: a receipt that has expired is not reused.
    pub now: Timestamp,
    /// The profile of the handler that would run the task, which the receipt has to state.
    pub profile: Option<&'a Cid>,
}

impl Trust {
    /// Whether `receipt` could be reused, or count towards an agreement, on these terms: its issuer is one who is
    /// trusted, it has not expired, it states a final outcome under the profile, and the result does not have the shape of a
    /// promise, which a later reader could take for one. Nothing is said about its signature.
    #[must_use]
    pub fn admits(&self, receipt: &Receipt, terms: &Terms<'_>) -> bool {
        let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
        let profile = match (receipt.profile(), terms.profile) {
            (Some(Ipld::Link(stated)), Some(own)) => stated == own,
            (None, None) => true,
            _ => false,
        };
        profile
            && self.covers(terms.own, receipt.issuer())
            && receipt.expiration().is_none_or(|end| terms.now <= end)
            && !receipt.is_attempt()
            && !is_pending(value)
    }

    /// Whether what `issuer` states is taken for true by itself, with nobody else to agree, by the executor `own`.
    #[must_use]
    pub fn believes(&self, own: &Did, issuer: &Did) -> bool {
        own.same_principal(issuer) || (!matches!(self, Self::Agreement { .. }) && self.covers(own, issuer))
    }

    /// The same without those of whom `doubted` says so. How many have to agree stays as it is.
    #[must_use]
    pub fn without(&self, doubted: &dyn Fn(&Did) -> bool) -> Self {
        let rest = |named: &BTreeSet<Did>| named.iter().filter(|named| !doubted(named)).cloned().collect();
        match self {
            Self::Own => Self::Own,
            Self::Executors(named) => Self::Executors(rest(named)),
            Self::Agreement { executors, threshold } => {
                Self::Agreement { executors: rest(executors), threshold: *threshold }
            }
        }
    }

    fn covers(&self, own: &Did, issuer: &Did) -> bool {
        own.same_principal(issuer)
            || match self {
                Self::Own => false,
                Self::Executors(named) | Self::Agreement { executors: named, .. } => {
                    named.iter().any(|named| named.same_principal(issuer))
                }
            }
    }

    /// Of receipts that answer one instruction, in the order in which they are preferred, the one to reuse.
    ///
    /// Own receipts come before all agreement. Each principal has one voice, however many receipts it signed and however
    /// its signatures are spelled; one that states two outcomes has none; and where two outcomes both have enough, there
    /// is no agreement.
    #[must_use]
    pub fn choose(&self, receipts: Vec<Verified<Receipt>>, terms: &Terms<'_>) -> Option<Verified<Receipt>> {
        let mut admitted = receipts.into_iter().filter(|receipt| self.admits(receipt, terms));
        let Self::Agreement { threshold, .. } = self else { return admitted.next() };
        let admitted: Vec<_> = admitted.collect();
        if let Some(own) = admitted.iter().find(|receipt| receipt.issuer().same_principal(terms.own)) {
            return Some(own.clone());
        }
        agreed(&admitted, *threshold).cloned()
    }
}

fn agreed(receipts: &[Verified<Receipt>], threshold: NonZeroUsize) -> Option<&Verified<Receipt>> {
    // What was read from a receipt can be encoded; should one not be, it has no voice.
    let stated: Vec<_> =
        receipts.iter().filter_map(|receipt| Some((receipt, receipt.outcome().digest().ok()?))).collect();
    let mut said: BTreeMap<&str, BTreeSet<Cid>> = BTreeMap::new();
    for (receipt, outcome) in &stated {
        said.entry(receipt.issuer().principal()).or_default().insert(*outcome);
    }
    let mut voices: BTreeMap<Cid, usize> = BTreeMap::new();
    for outcomes in said.values().filter(|outcomes| outcomes.len() == 1) {
        for outcome in outcomes {
            *voices.entry(*outcome).or_default() += 1;
        }
    }
    let mut enough = voices.into_iter().filter(|(_, voices)| *voices >= threshold.get());
    let (Some((outcome, _)), None) = (enough.next(), enough.next()) else { return None };
    // The receipt that is handed out is of one who was counted.
    let counted = |receipt: &Receipt| said.get(receipt.issuer().principal()).is_some_and(|said| said.len() == 1);
    stated.into_iter().find(|(receipt, stated)| *stated == outcome && counted(receipt)).map(|(receipt, _)| receipt)
}

/// Signed receipts that cannot all be true: they answer one deterministic instruction under one determinism profile, with
/// different outcomes. They are evidence that at least one of their issuers is wrong, to whoever has the task blocks too.
#[derive(Clone, Debug)]
pub struct Contradiction {
    /// The profile that all of them state, as the metadata has it.
    pub profile: Option<Ipld>,
    /// The receipts by what they state, two groups at least; each group in the order in which the receipts were given, the
    /// groups in that of their first receipts.
    pub sides: Vec<Vec<Receipt>>,
}

/// Finds what contradicts itself among receipts that answer one deterministic instruction, whoever issued them: a
/// contradiction for each profile under which different outcomes are stated. Receipts of attempts state no outcome of their
/// task; how a failure is worded for people is not compared ([`Outcome::digest`]).
#[must_use]
pub fn contradictions(receipts: &[Verified<Receipt>]) -> Vec<Contradiction> {
    let mut found: Vec<(Contradiction, BTreeMap<Cid, usize>)> = Vec::new();
    // Profiles by their bytes, so that many receipts are compared in one pass.
    let mut profiles: BTreeMap<Option<Cid>, usize> = BTreeMap::new();
    for receipt in receipts.iter().filter(|receipt| !receipt.is_attempt()) {
        let Ok(outcome) = receipt.outcome().digest() else { continue };
        let profile = match receipt.profile() {
            Some(Ipld::Link(cid)) => Some(*cid),
            None => None,
            // No profile that anybody could run under.
            Some(_) => continue,
        };
        let at = *profiles.entry(profile).or_insert(found.len());
        if at == found.len() {
            let contradiction = Contradiction { profile: receipt.profile().cloned(), sides: Vec::new() };
            found.push((contradiction, BTreeMap::new()));
        }
        let Some((contradiction, sides)) = found.get_mut(at) else { continue };
        let side = *sides.entry(outcome).or_insert(contradiction.sides.len());
        match contradiction.sides.get_mut(side) {
            Some(side) => side.push(Receipt::clone(receipt)),
            None => contradiction.sides.push(vec![Receipt::clone(receipt)]),
        }
    }
    found.into_iter().map(|(contradiction, _)| contradiction).filter(|found| found.sides.len() > 1).collect()
}
