//! Verifying results by what others state of them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use ucan_core::{
    Cid, Clock, Did, Ipld, Issuer, KeySource, SignError, SignatureError, StoreError, Token, Verified, verify,
};
use ucan_invocation::meta::{CHECK, FUEL, PROFILE};
use ucan_invocation::{
    BlockStore, Completion, Durability, EffectClass, Entropy, Failure, Filing, Memo, Receipt, ReceiptStore, Task,
    TaskError, Timer, Trust,
};

use crate::{Ballot, ConfigError, NotHeard, Verdict, Verification, Witness, WitnessError, Witnesses};

/// What it takes to have results verified by others: `oracle`, `consensus` and `optimistic`.
///
/// What others state is filed under the instruction, whatever comes of it: it is evidence. That nothing of it is reused unless its
/// signer is trusted is for [`Trust`] to see to.
#[derive(Clone, Debug)]
pub struct Witnessing {
    /// Who runs tasks here. Where a strategy names it, it has a voice as any other.
    pub executor: Issuer,
    /// How others are asked.
    pub witnesses: Arc<dyn Witnesses>,
    /// Where the tasks of others are kept.
    pub blocks: Arc<dyn BlockStore>,
    /// Where the receipts of others are kept.
    pub receipts: Arc<dyn ReceiptStore>,
    /// The keys of principals.
    pub keys: Arc<dyn KeySource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for nonces.
    pub entropy: Arc<dyn Entropy>,
    /// What lets time pass.
    pub timer: Arc<dyn Timer>,
    /// For how long others are waited for.
    pub patience: Duration,
}

/// Running the task here.
pub(crate) type Run<'a> = Pin<Box<dyn Future<Output = Completion> + Send + 'a>>;
type Voice<'a> = Pin<Box<dyn Future<Output = (Did, Said)> + Send + 'a>>;

/// What came of asking somebody.
enum Said {
    Here(Box<Completion>),
    There(Result<Box<Witness>, WitnessError>),
}

/// Why nothing can be said of a challenge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The signature of the receipt does not hold.
    #[error("the signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// The result was not accepted optimistically, or not here.
    #[error("the receipt is not that of a result which was accepted here until it is challenged")]
    NotOptimistic,
    /// Its strategy cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The task is not in the store.
    #[error("the task {0} of the receipt is not in the store")]
    MissingTask(Cid),
    /// The block is not a task, or has no instruction.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The receipt says nothing of its task.
    #[error(transparent)]
    NotHeard(#[from] NotHeard),
    /// The referee could not be asked.
    #[error("the referee says nothing: {0}")]
    Referee(#[from] WitnessError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Witnessing {
    /// Comes to a result of `task` by `strategy`; `run` runs it here.
    pub(crate) async fn settle(
        &self,
        strategy: &Verification,
        task: &Task,
        profile: Cid,
        run: Run<'_>,
    ) -> Result<Completion, Failure> {
        let invalid = |error: TaskError| Failure::new("ArgumentMismatch", error.to_string());
        let mut ballot = Ballot::new(strategy.clone(), task, Some(profile)).map_err(invalid)?;
        let own = self.executor.did();
        let mut here = Some(run);
        let mut voices: FuturesUnordered<Voice<'_>> = FuturesUnordered::new();
        if matches!(strategy, Verification::Optimistic { .. }) {
            voices.extend(here.take().map(|run| self.here(run)));
        }
        let mut asked: BTreeMap<String, Option<String>> = BTreeMap::new();
        let (mut done, mut mine) = (None, None);
        let mut patience = self.timer.sleep(self.patience);
        loop {
            let accepted = match ballot.verdict(self.clock.now()) {
                Verdict::Accepted { receipt, supporters, until } => Some((receipt, supporters, until)),
                Verdict::Overturned { receipt } => Some((receipt.clone(), vec![receipt.issuer().clone()], None)),
                Verdict::Disagreement => {
                    self.keep_own(mine.as_ref()).await?;
                    let message = format!("those who verify by {} do not agree on the result", strategy.name());
                    return Err(Failure::new("Disagreement", message).with("evidence", evidence(&ballot)));
                }
                Verdict::Waiting { wanted } => {
                    for executor in wanted {
                        if asked.contains_key(executor.principal()) {
                            continue;
                        }
                        asked.insert(executor.principal().to_owned(), None);
                        if executor.same_principal(own) {
                            voices.extend(here.take().map(|run| self.here(run)));
                        } else {
                            voices.push(self.there(executor, task));
                        }
                    }
                    None
                }
            };
            if let Some((receipt, supporters, until)) = accepted {
                if !ballot.evidence().is_empty() {
                    self.keep_own(mine.as_ref()).await?;
                }
                let links = self.supporting(&ballot, &supporters);
                let mut check = BTreeMap::from([
                    ("by".to_owned(), strategy.to_ipld()),
                    ("supporters".to_owned(), Ipld::List(links)),
                ]);
                check.extend(until.map(|until| ("until".to_owned(), Ipld::Integer(until.as_secs().into()))));
                return Ok(accept(&receipt, done.filter(|_| receipt.issuer().same_principal(own)), check));
            }
            let said = match select(voices.next(), &mut patience).await {
                Either::Left((said, _)) => said,
                Either::Right(_) => None,
            };
            let Some((executor, said)) = said else {
                self.keep_own(mine.as_ref()).await?;
                return Err(unverified(strategy, &asked).with("evidence", evidence(&ballot)));
            };
            let heard = match said {
                // What hit a limit states nothing.
                Said::Here(completion) if !completion.repeatable => {
                    if matches!(strategy, Verification::Optimistic { .. }) {
                        return Ok(*completion);
                    }
                    Err("a limit was hit here".to_owned())
                }
                Said::Here(completion) => {
                    let statement = self.state(task, profile, &completion);
                    let statement = statement.map_err(|error| Failure::new("HostFailure", error.to_string()))?;
                    let heard = ballot.hear(statement.clone(), task, self.clock.now());
                    (done, mine) = (Some(*completion), Some(statement));
                    heard.map_err(|error| error.to_string())
                }
                Said::There(Ok(witness)) => {
                    let heard = ballot.hear(witness.receipt.clone(), &witness.task, self.clock.now());
                    self.keep(&witness).await.map_err(|error| store_failed(&error))?;
                    heard.map_err(|error| error.to_string())
                }
                Said::There(Err(error)) => Err(error.to_string()),
            };
            if let Err(reason) = heard {
                asked.insert(executor.principal().to_owned(), Some(reason));
            }
        }
    }

    /// Looks again at a result that was accepted here optimistically, with all that the store has from those who are trusted and
    /// from the referee, who is asked where they disagree. What [`Verdict::Overturned`] takes back is for the caller to take out of
    /// the store, with all that rests on it.
    ///
    /// # Errors
    /// [`ChallengeError`] where there is nothing to look at, or the referee says nothing.
    pub async fn challenge(&self, receipt: Receipt, trust: &Trust) -> Result<Verdict, ChallengeError> {
        let (own, now) = (self.executor.did(), self.clock.now());
        let receipt = verify(receipt, &*self.keys)?;
        let strategy = match receipt.meta().get(CHECK) {
            Some(Ipld::Map(check)) => check.get("by").map(Verification::parse).transpose()?,
            _ => None,
        };
        let Some(strategy @ Verification::Optimistic { .. }) = strategy else {
            return Err(ChallengeError::NotOptimistic);
        };
        let Verification::Optimistic { referee, .. } = &strategy else { return Err(ChallengeError::NotOptimistic) };
        let (referee, since) = (referee.clone(), receipt.issued_at());
        let (Some(since), true) = (since, receipt.issuer().same_principal(own)) else {
            return Err(ChallengeError::NotOptimistic);
        };
        let task = self.task(&receipt.resolved().into()).await?;
        let profile = match receipt.meta().get(PROFILE) {
            Some(Ipld::Link(profile)) => Some(*profile),
            _ => None,
        };
        let instruction = task.instruction_id()?;
        let mut ballot = Ballot::new(strategy, &task, profile)?;
        ballot.hear(receipt, &task, since)?;
        let memo = Memo::new(&*self.receipts, &*self.blocks, &*self.keys);
        for other in memo.answers(&instruction).await? {
            let counts = trust.believes(own, other.issuer()) || other.issuer().same_principal(&referee);
            if counts && !other.issuer().same_principal(own) {
                let ran = self.task(&other.resolved().into()).await?;
                // What says nothing changes nothing.
                let _unheard = ballot.hear(other, &ran, now);
            }
        }
        if let Verdict::Waiting { wanted } = ballot.verdict(now)
            && wanted.iter().any(|wanted| wanted.same_principal(&referee))
        {
            let witness = self.witnesses.ask(&referee, &task).await?;
            self.keep(&witness).await?;
            ballot.hear(witness.receipt, &witness.task, self.clock.now())?;
        }
        Ok(ballot.verdict(self.clock.now()))
    }

    async fn task(&self, cid: &Cid) -> Result<Task, ChallengeError> {
        let block = self.blocks.get(cid).await?.ok_or(ChallengeError::MissingTask(*cid))?;
        Ok(Task::from_block(&block)?)
    }

    fn here<'a>(&'a self, run: Run<'a>) -> Voice<'a> {
        let own = self.executor.did().clone();
        // What others refuse to state of a result, this one does, too.
        Box::pin(async move { (own, Said::Here(Box::new(run.await.for_receipt(EffectClass::Deterministic)))) })
    }

    fn there<'a>(&'a self, executor: Did, task: &'a Task) -> Voice<'a> {
        Box::pin(async move {
            let witness = self.witnesses.ask(&executor, task).await;
            (executor, Said::There(witness.map(Box::new)))
        })
    }

    /// What this executor states, as a receipt that is comparable with those of others.
    fn state(&self, task: &Task, profile: Cid, done: &Completion) -> Result<Verified<Receipt>, StateError> {
        let mut meta = BTreeMap::from([(PROFILE.to_owned(), Ipld::Link(profile))]);
        meta.extend(done.meta.get(FUEL).map(|fuel| (FUEL.to_owned(), fuel.clone())));
        let mut nonce = [0; 16];
        self.entropy.fill(&mut nonce);
        let receipt = Receipt::builder(task.id()?, done.outcome.clone())
            .effects(done.effects.clone())
            .meta(meta)
            .issued_at(self.clock.now())
            .sign(&self.executor, nonce)?;
        Ok(verify(receipt, &*self.keys)?)
    }

    /// Keeps what this executor stated, where that is part of the evidence. It is in no list but that of its issuer: the receipt of
    /// the task says what came of it.
    async fn keep_own(&self, mine: Option<&Verified<Receipt>>) -> Result<(), Failure> {
        let Some(mine) = mine else { return Ok(()) };
        let filing = Filing { tasks: Vec::new(), memo: None, inputs: Vec::new(), durability: Durability::Buffered };
        self.receipts.file(mine, &filing).await.map_err(|error| store_failed(&error))
    }

    /// Keeps what another states, and of what.
    async fn keep(&self, witness: &Witness) -> Result<(), StoreError> {
        let Witness { receipt, task } = witness;
        // It was addressed when it was asked for.
        let (Ok(id), Ok(block), Ok(instruction)) = (task.id(), task.to_block(), task.instruction_id()) else {
            return Ok(());
        };
        self.blocks.put(id.cid(), block.into()).await?;
        let filing = Filing {
            tasks: vec![id],
            memo: Some(instruction).filter(|_| !receipt.is_attempt()),
            inputs: task.links(),
            durability: Durability::Buffered,
        };
        self.receipts.file(receipt, &filing).await
    }

    /// Links to the receipts of others by which a result is supported.
    fn supporting(&self, ballot: &Ballot, supporters: &[Did]) -> Vec<Ipld> {
        let own = self.executor.did();
        let by_others = supporters.iter().filter(|did| !did.same_principal(own));
        by_others.filter_map(|did| ballot.receipt_of(did)).map(|receipt| Ipld::Link(receipt.id().into())).collect()
    }
}

/// Why this executor's own statement could not be made.
#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The result that was accepted: with all that is known of it where it was computed here.
fn accept(receipt: &Receipt, own: Option<Completion>, check: BTreeMap<String, Ipld>) -> Completion {
    let mut completion = own.unwrap_or_else(|| {
        let fuel = receipt.meta().get(FUEL).map(|fuel| (FUEL.to_owned(), fuel.clone()));
        let completion = Completion::new(receipt.outcome().clone());
        Completion { effects: receipt.effects().clone(), meta: fuel.into_iter().collect(), ..completion }
    });
    completion.meta.insert(CHECK.to_owned(), Ipld::Map(check));
    completion
}

/// That not enough of those who count said anything.
fn unverified(strategy: &Verification, asked: &BTreeMap<String, Option<String>>) -> Failure {
    let silent = asked.iter().filter_map(|(executor, reason)| Some((executor, reason.as_ref()?)));
    let silent: BTreeMap<String, Ipld> = silent.map(|(who, why)| (who.clone(), Ipld::String(why.clone()))).collect();
    let reasons: Vec<String> =
        asked.iter().filter_map(|(who, why)| Some(format!("{who}: {}", why.as_ref()?))).collect();
    let reasons = if reasons.is_empty() { "they did not answer in time".to_owned() } else { reasons.join("; ") };
    let message = format!("too few of those who verify by {} said what the result is: {reasons}", strategy.name());
    Failure::new("Unverified", message).with("silent", Ipld::Map(silent))
}

fn evidence(ballot: &Ballot) -> Ipld {
    let side =
        |side: Vec<&Receipt>| Ipld::List(side.into_iter().map(|receipt| Ipld::Link(receipt.id().into())).collect());
    Ipld::List(ballot.evidence().into_iter().map(side).collect())
}

fn store_failed(error: &StoreError) -> Failure {
    Failure::new("StoreFailed", error.to_string())
}
