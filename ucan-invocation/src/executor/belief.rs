//! Which receipts are believed.

use std::collections::BTreeSet;

use ucan_core::{Context, Did, Ipld, Token, Verified, verify};

use super::Executor;
use super::batch::ran;
use crate::meta::ATTEMPT;
use crate::{Attested, Failure, Invocation, Outcome, Receipt, ReceiptId, TaskId, Terms, Trust, attest};

/// How many receipts that are not believed by themselves are counted for one task.
const HEARD: usize = 256;
/// How many characters of a message of somebody else's are passed on.
const MESSAGE: usize = 500;

/// What came of a task, and by which receipt that is known.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) outcome: Outcome,
    pub(super) by: ReceiptId,
    /// The receipt itself, where another executor issued it.
    pub(super) receipt: Option<Receipt>,
}

impl Found {
    /// By a receipt of this executor's own.
    pub(super) fn own(receipt: &Receipt) -> Self {
        Self { outcome: receipt.outcome().clone(), by: receipt.id(), receipt: None }
    }
}

/// The receipts about one task that have come so far, one after the other.
#[derive(Debug)]
pub(super) struct Hearing {
    about: TaskId,
    /// Who was asked for the task, and is believed about it.
    asked: Vec<Did>,
    /// What has not been believed yet, and may be once others say the same.
    heard: Vec<Verified<Receipt>>,
    seen: BTreeSet<ReceiptId>,
}

impl Hearing {
    pub(super) fn new(about: TaskId, asked: Vec<&Did>) -> Self {
        Self { about, asked: asked.into_iter().cloned().collect(), heard: Vec::new(), seen: BTreeSet::new() }
    }

    /// What came of the task, if it can be believed now that this receipt is there: one of this executor's own, of whoever was
    /// asked, of those who are trusted; or so many as the trust policy demands agree.
    pub(super) fn hear(&mut self, executor: &Executor, receipt: &Invocation) -> Option<Found> {
        if is_attempt(receipt) {
            return None;
        }
        let (own, trust, by) = (executor.parts.executor.did(), &executor.parts.trust, receipt.subject());
        // What strangers say costs no signature, and does not fill the room.
        let alone = self.asked.iter().any(|asked| asked.same_principal(by)) || trust.believes(own, by);
        let counted = match trust {
            Trust::Agreement { executors, .. } => executors.iter().any(|named| named.same_principal(by)),
            _ => false,
        };
        if !alone && (!counted || self.heard.len() >= HEARD) {
            return None;
        }
        standing(executor, receipt, &self.about)?;
        if alone {
            return found(receipt, own);
        }
        let receipt = Receipt::decode(receipt.envelope().bytes()).ok()?;
        let receipt = verify(receipt, &*executor.parts.keys).ok()?;
        let profile = match receipt.profile() {
            Some(Ipld::Link(profile)) => Some(*profile),
            _ => None,
        };
        if self.seen.insert(receipt.id()) {
            self.heard.push(receipt);
        }
        let terms = Terms { own, now: executor.parts.clock.now(), profile: profile.as_ref() };
        let chosen = trust.choose(self.heard.clone(), &terms)?.into_inner();
        Some(Found { outcome: chosen.outcome().clone(), by: chosen.id(), receipt: Some(chosen) })
    }

    /// Why whoever was asked did not do the task, if this receipt of theirs says so.
    pub(super) fn refused(&self, executor: &Executor, receipt: &Invocation) -> Option<Failure> {
        if !is_attempt(receipt) {
            return None;
        }
        let attested = standing(executor, receipt, &self.about)?;
        let by = attested.executor();
        self.asked.iter().any(|asked| asked.same_principal(by)).then(|| refusal(&self.about, by, attested.outcome()))
    }
}

fn is_attempt(receipt: &Invocation) -> bool {
    receipt.meta().get(ATTEMPT) == Some(&Ipld::Bool(true))
}

/// The receipt, if it is about this task, its executor signed it, and still stands by it.
pub(super) fn standing(executor: &Executor, receipt: &Invocation, about: &TaskId) -> Option<Attested> {
    // What is not about the task costs no signature.
    ran(receipt).filter(|ran| ran == about)?;
    let context = Context::new(executor.parts.clock.now(), &*executor.parts.keys);
    attest(receipt.clone(), None, &|_| None, &context).ok().filter(|attested| !attested.expired())
}

fn found(receipt: &Invocation, own: &Did) -> Option<Found> {
    let receipt = Receipt::decode(receipt.envelope().bytes()).ok()?;
    let (outcome, by) = (receipt.outcome().clone(), receipt.id());
    let receipt = (!receipt.issuer().same_principal(own)).then_some(receipt);
    Some(Found { outcome, by, receipt })
}

/// Why a task that awaits another is not carried out: the other was refused by whoever was asked.
pub(super) fn refusal(from: &TaskId, by: &Did, outcome: &Outcome) -> Failure {
    let text = |text: Option<&str>| bounded(text.unwrap_or_default());
    let (name, message) = (text(outcome.failure_name()), text(outcome.failure_message()));
    let because = [("name", &name), ("message", &message)];
    let because = because.map(|(key, text)| (key.to_owned(), Ipld::String(text.clone()))).into();
    Failure::new("Unresolved", format!("{by} did not do the task {from}: {name}: {message}"))
        .with("from", Ipld::Link((*from).into()))
        .with("because", Ipld::Map(because))
}

/// The beginning of a text that comes from somebody else.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}
