//! Which of several signed statements of one computation is taken for its result.

use std::collections::{BTreeMap, BTreeSet};

use ucan_core::{Cid, Did, Ipld, Timestamp, Token, Verified, block, dagcbor};
use ucan_invocation::meta::FUEL;
use ucan_invocation::{InstructionId, Receipt, Task, TaskError};

use crate::Verification;

/// The statements of executors about one deterministic instruction under one determinism profile, and what follows from them by
/// a [`Verification`].
///
/// Two receipts state the same if their outcome, their effects and their fuel are the same, byte for byte; what the message of a
/// failure says is not compared. Each principal has one voice, however many receipts it signed and however its signatures are
/// spelled; one that states two things has none. A verdict that is final stays, whatever is heard later.
///
/// It waits for nothing and asks nobody: whoever has a ballot hands receipts in and is told whose are still wanted. Where a strategy
/// does not name those whose statements count (`none`, `attestation`, and `optimistic` but for its referee), everybody who is
/// heard counts: hand in the receipts of executors alone that you trust, or strangers confirm their own lies.
#[derive(Clone, Debug)]
pub struct Ballot {
    strategy: Verification,
    instruction: InstructionId,
    profile: Option<Cid>,
    heard: Vec<Heard>,
    /// The first statement, and when it was heard.
    first: Option<(Cid, Timestamp)>,
    /// When somebody first stated something else within the window.
    challenged: bool,
    decided: Option<Verdict>,
}

#[derive(Clone, Debug)]
struct Heard {
    receipt: Verified<Receipt>,
    statement: Cid,
}

/// What follows from the statements so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// This is the result.
    Accepted {
        /// A receipt that states it.
        receipt: Box<Verified<Receipt>>,
        /// Who states the same.
        supporters: Vec<Did>,
        /// Until when it can be challenged; it is final where there is no such time.
        until: Option<Timestamp>,
    },
    /// It cannot be told yet.
    Waiting {
        /// Whose statements are wanted. Anybody's, where nobody is named.
        wanted: Vec<Did>,
    },
    /// It never can: those who count do not agree.
    Disagreement,
    /// What was accepted first was wrong, by the word of the referee.
    Overturned {
        /// The referee's receipt, which states the result.
        receipt: Box<Verified<Receipt>>,
    },
}

/// Why a receipt says nothing about the instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHeard {
    /// The task is not the one that the receipt says was run.
    #[error("the receipt is not about this task")]
    OtherTask,
    /// The task has another instruction.
    #[error("the receipt is about another instruction")]
    OtherInstruction,
    /// It was made under another determinism profile.
    #[error("the receipt was made under another determinism profile")]
    OtherProfile,
    /// It states what came of one attempt.
    #[error("the receipt states what came of an attempt, and no result")]
    Attempt,
    /// It has expired.
    #[error("the receipt has expired")]
    Expired,
    /// Its issuer has no voice.
    #[error("{issuer} is not among those whose statements count")]
    NoVoice {
        /// Who issued it.
        issuer: Did,
    },
    /// The task or the statement cannot be encoded.
    #[error("{detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
}

impl From<TaskError> for NotHeard {
    fn from(error: TaskError) -> Self {
        Self::Malformed { detail: error.to_string() }
    }
}

impl Ballot {
    /// A ballot about the deterministic `task`, whose promises are all resolved, under a profile.
    ///
    /// # Errors
    ///
    /// [`TaskError`] where the task has no instruction.
    pub fn new(strategy: Verification, task: &Task, profile: Option<Cid>) -> Result<Self, TaskError> {
        let instruction = task.instruction_id()?;
        let (heard, first) = (Vec::new(), None);
        Ok(Self { strategy, instruction, profile, heard, first, challenged: false, decided: None })
    }

    /// Takes a receipt into account. `task` is the one that it says was run, which need not have the subject of this ballot's.
    ///
    /// # Errors
    ///
    /// [`NotHeard`] where it says nothing about the instruction, or its issuer has no voice. The ballot is as it was before.
    pub fn hear(&mut self, receipt: Verified<Receipt>, task: &Task, now: Timestamp) -> Result<(), NotHeard> {
        if receipt.resolved() != task.id()? {
            return Err(NotHeard::OtherTask);
        }
        if task.instruction_id()? != self.instruction {
            return Err(NotHeard::OtherInstruction);
        }
        let profile = match receipt.profile() {
            Some(Ipld::Link(cid)) => Some(*cid),
            Some(_) => return Err(NotHeard::OtherProfile),
            None => None,
        };
        if profile != self.profile {
            return Err(NotHeard::OtherProfile);
        }
        if receipt.is_attempt() {
            return Err(NotHeard::Attempt);
        }
        if receipt.expiration().is_some_and(|end| end < now) {
            return Err(NotHeard::Expired);
        }
        if !self.has_voice(receipt.issuer()) {
            return Err(NotHeard::NoVoice { issuer: receipt.issuer().clone() });
        }
        let statement = statement(&receipt)?;
        // What time alone has settled is not up to what comes later.
        self.decide(now);
        // The same of the same says nothing new: nobody can fill the memory of a ballot with it.
        let known =
            |heard: &Heard| heard.statement == statement && heard.receipt.issuer().same_principal(receipt.issuer());
        if self.heard.iter().any(known) || self.statements(receipt.issuer()).len() > 1 {
            return Ok(());
        }
        let (first, since) = *self.first.get_or_insert((statement, now));
        if let Verification::Optimistic { window, .. } = self.strategy {
            self.challenged |= statement != first && now <= after(since, window);
        }
        self.heard.push(Heard { receipt, statement });
        self.decide(now);
        Ok(())
    }

    /// What follows at this time.
    #[must_use]
    pub fn verdict(&mut self, now: Timestamp) -> Verdict {
        self.decide(now);
        self.decided.clone().unwrap_or_else(|| self.open(now))
    }

    /// The receipts that cannot all be true, by what they state; empty where there are none. Each is signed, so that anybody who
    /// has the task can tell that one of their issuers is wrong, or has contradicted itself.
    #[must_use]
    pub fn evidence(&self) -> Vec<Vec<&Receipt>> {
        let mut sides: BTreeMap<&Cid, Vec<&Receipt>> = BTreeMap::new();
        for heard in &self.heard {
            sides.entry(&heard.statement).or_default().push(&heard.receipt);
        }
        if sides.len() > 1 { sides.into_values().collect() } else { Vec::new() }
    }

    /// What a principal stated first.
    pub(crate) fn receipt_of(&self, principal: &Did) -> Option<&Receipt> {
        let heard = self.heard.iter().find(|heard| heard.receipt.issuer().same_principal(principal))?;
        Some(&heard.receipt)
    }

    fn has_voice(&self, issuer: &Did) -> bool {
        match &self.strategy {
            Verification::Oracle(oracle) => oracle.same_principal(issuer),
            Verification::Consensus { executors, .. } => executors.iter().any(|named| named.same_principal(issuer)),
            _ => true,
        }
    }

    /// What a principal has stated.
    fn statements(&self, principal: &Did) -> BTreeSet<&Cid> {
        let of = self.heard.iter().filter(|heard| heard.receipt.issuer().same_principal(principal));
        of.map(|heard| &heard.statement).collect()
    }

    /// Those who state this and nothing else.
    fn supporters(&self, statement: &Cid) -> Vec<Did> {
        let stating = self.heard.iter().filter(|heard| heard.statement == *statement);
        let honest = stating.filter(|heard| self.statements(heard.receipt.issuer()).len() == 1);
        honest.map(|heard| heard.receipt.issuer().clone()).collect()
    }

    fn accepted(&self, statement: &Cid, until: Option<Timestamp>) -> Option<Verdict> {
        let supporters = self.supporters(statement);
        // The receipt that is handed out is of one who counts.
        let stating = self.heard.iter().find(|heard| {
            heard.statement == *statement && supporters.iter().any(|it| it.same_principal(heard.receipt.issuer()))
        })?;
        Some(Verdict::Accepted { receipt: Box::new(stating.receipt.clone()), supporters, until })
    }

    /// Settles what can be settled for good.
    fn decide(&mut self, now: Timestamp) {
        if self.decided.is_some() {
            return;
        }
        let Some((first, since)) = self.first else { return };
        self.decided = match &self.strategy {
            Verification::Consensus { executors, agree } => self.counted(executors, agree.get()),
            Verification::Optimistic { confirmations, referee, window } => {
                // Its first word decides, whether somebody asked for it or not.
                let word = self.heard.iter().find(|heard| heard.receipt.issuer().same_principal(referee));
                // The first one does not confirm itself.
                let confirmed = self.supporters(&first).len().saturating_sub(1);
                let early = *confirmations > 0 && confirmed >= *confirmations as usize;
                match word {
                    Some(word) if word.statement == first => self.accepted(&first, None),
                    Some(word) => Some(Verdict::Overturned { receipt: Box::new(word.receipt.clone()) }),
                    None if self.challenged => None,
                    None if early || now > after(since, *window) => self.accepted(&first, None),
                    None => None,
                }
            }
            _ => self.accepted(&first, None),
        };
    }

    fn counted(&self, executors: &BTreeSet<Did>, agree: usize) -> Option<Verdict> {
        let statements: BTreeSet<&Cid> = self.heard.iter().map(|heard| &heard.statement).collect();
        let silent = executors.iter().filter(|named| self.statements(named).is_empty()).count();
        let mut most = 0;
        for statement in statements {
            let voices = self.supporters(statement).len();
            if voices >= agree {
                return self.accepted(statement, None);
            }
            most = most.max(voices);
        }
        (most + silent < agree).then_some(Verdict::Disagreement)
    }

    /// What is to be said while nothing is settled.
    fn open(&self, now: Timestamp) -> Verdict {
        let wanted = match &self.strategy {
            Verification::Oracle(oracle) => vec![oracle.clone()],
            Verification::Consensus { executors, .. } => {
                executors.iter().filter(|named| self.statements(named).is_empty()).cloned().collect()
            }
            Verification::Optimistic { referee, .. } if self.challenged => vec![referee.clone()],
            Verification::Optimistic { window, .. } => {
                let until = self.first.map(|(first, since)| (first, after(since, *window)));
                let provisional = until.filter(|(_, until)| now <= *until);
                match provisional.and_then(|(first, until)| self.accepted(&first, Some(until))) {
                    Some(verdict) => return verdict,
                    None => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        Verdict::Waiting { wanted }
    }
}

fn after(since: Timestamp, window: std::time::Duration) -> Timestamp {
    since.saturating_add(window.as_secs().saturating_add(u64::from(window.subsec_nanos() > 0)))
}

/// What a receipt states: its outcome, its effects and its fuel.
fn statement(receipt: &Receipt) -> Result<Cid, NotHeard> {
    let malformed = |detail: String| NotHeard::Malformed { detail };
    let outcome = receipt.outcome().digest().map_err(|error| malformed(error.to_string()))?;
    let fuel = receipt.meta().get(FUEL).cloned().unwrap_or(Ipld::Null);
    let parts = Ipld::List(vec![Ipld::Link(outcome), receipt.effects().to_ipld(), fuel]);
    let bytes = dagcbor::encode(&parts).map_err(|error| malformed(error.to_string()))?;
    Ok(block::dag_cbor_cid(&bytes))
}
