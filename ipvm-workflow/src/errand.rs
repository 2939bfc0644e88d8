//! Asking another executor for a task, so that whatever happens it is done there once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use ucan_core::{Container, Delegation, Did, Ipld, Token, verify};
use ucan_invocation::{
    Completion, Durability, EffectClass, Failure, Filing, Handler, Invocation, Probe, Receipt, Task, TaskId,
    TransportError,
};

use crate::elsewhere::Elsewhere;
use crate::stating::{TIME, is_unrepresentable};
use crate::step::{Attempt, Begun, Stated, Work};
use crate::time_limit::time_of;
use crate::{Entry, How, Paused, RunError};

/// The metadata field that names the executor who did the task, where that is another than the one who says so.
pub(crate) const EXECUTOR: &str = "executor";

/// How many receipts of one answer are looked at.
const LOOKED_AT: usize = 16;
/// How many characters of what somebody else says are passed on.
const MESSAGE: usize = 500;

/// Who does the task of a step.
pub(crate) enum Doer<'a> {
    Here(&'a dyn Handler),
    There(Errand<'a>),
}

impl<'a> Doer<'a> {
    /// What does it, where it is done here.
    pub(crate) fn handler(&self) -> Option<&'a dyn Handler> {
        match self {
            Self::Here(handler) => Some(*handler),
            Self::There(_) => None,
        }
    }
}

/// What is asked of another executor.
pub(crate) struct Errand<'a> {
    to: &'a Did,
    elsewhere: &'a Elsewhere,
    /// Whether it was asked in this life.
    asked: AtomicBool,
    /// Whether somebody was asked who did not answer, and may have done it.
    doubtful: AtomicBool,
}

/// An invocation with all that it names.
struct Request {
    invocation: Invocation,
    proofs: Vec<Delegation>,
}

/// What came back.
enum Answer {
    Receipt(Box<Receipt>),
    /// Nothing that says what came of the task.
    None {
        why: String,
        /// Whether the request may have been carried out.
        sent: bool,
    },
}

impl Work {
    /// Who does the task; `None` where nobody does.
    pub(crate) fn doer(&self, task: &Task) -> Option<Doer<'_>> {
        let Some(to) = &self.step.audience else {
            let handler = self.shared.handler(&self.grants.home, task.subject(), task.command())?;
            return Some(Doer::Here(&**handler));
        };
        let elsewhere = self.shared.elsewhere.as_ref()?;
        let (asked, doubtful) = (AtomicBool::new(false), AtomicBool::new(false));
        Some(Doer::There(Errand { to, elsewhere, asked, doubtful }))
    }

    /// Asks for the task once, or once more.
    pub(crate) async fn ask(&self, errand: &Errand<'_>, task: &Task, resolved: &TaskId) -> Result<Attempt, RunError> {
        let _turn = self.turn().await;
        if let Some(late) = self.too_late() {
            return Ok(Attempt::Paused(late));
        }
        // Waiting for its turn may have taken long.
        if let Err(failure) = self.authorize(task).await? {
            return match errand.doubtful.load(Ordering::Relaxed) {
                true => self.unanswered(errand, format!("it may not be asked for any more: {failure}")).await,
                // What came of the attempts before is known.
                false if errand.asked.load(Ordering::Relaxed) => self.fail(failure).await.map(Into::into),
                false => self.hold_back(failure, None, task, resolved).await,
            };
        }
        let mut kept = None;
        if self.step.class.is_mutation() {
            let is_first = !errand.asked.swap(true, Ordering::Relaxed);
            match (self.begun_before(resolved).await?, self.told().filter(|_| is_first)) {
                (Begun::Not, _) | (_, Some(Probe::NotDone)) => {}
                (_, Some(Probe::Done(completion))) => return self.resolve(task, resolved, *completion).await,
                (Begun::Otherwise, _) | (_, Some(Probe::Unknown)) => return Ok(self.uncertain()),
                (Begun::As, None) => {
                    kept = self.asked_before(errand, resolved).await?;
                    if kept.is_none() {
                        // It was begun by another way, which nobody can go again.
                        return Ok(self.uncertain());
                    }
                    errand.doubtful.fetch_or(is_first, Ordering::Relaxed);
                }
            }
        }
        let now = self.shared.parts.clock.now();
        let alive = |request: &Request| request.invocation.expiration().is_none_or(|end| now < end);
        let request = match kept {
            Some(request) if alive(&request) => request,
            // The other executor need not remember it any more, so that it could do it again.
            Some(_) if self.step.class == EffectClass::Mutable && errand.doubtful.load(Ordering::Relaxed) => {
                return Ok(self.uncertain());
            }
            _ => {
                let request = match self.sign_request(errand, task).await? {
                    Ok(request) => request,
                    Err(failure) => return self.fail(failure).await.map(Into::into),
                };
                if self.step.class.is_mutation() {
                    self.announce_sending(&request, task, resolved).await?;
                }
                request
            }
        };
        let began = Instant::now();
        match self.send(errand, &request).await? {
            Answer::Receipt(receipt) if !receipt.is_attempt() => {
                self.accept(errand, task, resolved, &receipt, began.elapsed()).await.map(Into::into)
            }
            Answer::Receipt(refusal) => self.refused(errand, &refusal).await,
            Answer::None { why, sent } => {
                errand.doubtful.fetch_or(sent, Ordering::Relaxed);
                self.unanswered(errand, why).await
            }
        }
    }

    /// The invocation by which the task was asked for before, of the same executor, if it can be sent again.
    async fn asked_before(&self, errand: &Errand<'_>, resolved: &TaskId) -> Result<Option<Request>, RunError> {
        let parts = &self.shared.parts;
        let Some(cid) = parts.journal.sent(resolved).await? else { return Ok(None) };
        let block = parts.blocks.get(&cid).await?;
        let invocation = block.and_then(|bytes| Invocation::decode(bytes.to_vec()).ok());
        let invocation = invocation.filter(|invocation| invocation.executor().same_principal(errand.to));
        let Some(invocation) = invocation else { return Ok(None) };
        let mut proofs = Vec::with_capacity(invocation.proofs().len());
        for proof in invocation.proofs() {
            // Those of a run are kept when it is accepted.
            let block = parts.blocks.get(proof).await?;
            let Some(proof) = block.and_then(|bytes| Delegation::decode(bytes.to_vec()).ok()) else { return Ok(None) };
            proofs.push(proof);
        }
        Ok(Some(Request { invocation, proofs }))
    }

    /// Signs an invocation of the task, under the delegations that let this executor ask for it.
    async fn sign_request(&self, errand: &Errand<'_>, task: &Task) -> Result<Result<Request, Failure>, RunError> {
        let (shared, grants) = (&self.shared, &self.grants);
        let (_, revoked) = shared.revoked_of(grants).await?;
        let authority = match shared.onward(task, grants, &revoked) {
            Ok(authority) => authority,
            Err(error) => return Ok(Err(Failure::new("NoAuthority", error.to_string()))),
        };
        let now = shared.parts.clock.now();
        let end = now.saturating_add(errand.elsewhere.lifetime.as_secs());
        let end = authority.expiration().map_or(end, |of_proofs| of_proofs.min(end));
        let invocation = Invocation::builder(task.subject().clone(), task.command().clone(), task.args().clone())
            .audience(errand.to.clone())
            .proofs(authority.proofs().to_vec())
            .nonce(task.nonce().to_vec())
            .expiration(end)
            .issued_at(now)
            .sign(&shared.parts.executor);
        let proofs = authority.proofs().iter();
        let proofs = proofs.filter_map(|proof| grants.delegations.iter().find(|grant| grant.cid() == proof).cloned());
        Ok(match invocation {
            Ok(invocation) => Ok(Request { invocation, proofs: proofs.collect() }),
            Err(error) => Err(Failure::new("Unsendable", format!("the task cannot be asked for: {error}"))),
        })
    }

    /// Keeps what is about to be sent, and writes down that it is. What is sent comes first: what was begun and never sent was begun by
    /// another way.
    async fn announce_sending(&self, request: &Request, task: &Task, resolved: &TaskId) -> Result<(), RunError> {
        let parts = &self.shared.parts;
        let token = request.invocation.envelope();
        self.keep(Some(task)).await?;
        parts.blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        parts.journal.append(&Entry::Sent { run: self.run, task: *resolved, invocation: *token.cid() }).await?;
        self.announce(resolved).await
    }

    /// Sends a request, and looks in the answer for a receipt by whom it was sent to, of this very task.
    async fn send(&self, errand: &Errand<'_>, request: &Request) -> Result<Answer, RunError> {
        let (parts, to) = (&self.shared.parts, errand.to);
        let none = |why: String, sent| Ok(Answer::None { why: bounded(&why), sent });
        let tokens = request.proofs.iter().map(Token::envelope).chain([request.invocation.envelope()]);
        let container: Container = tokens.map(|token| token.bytes().to_vec()).collect();
        // That it is a time was checked before the run started.
        let patience = time_of(&self.step.config).ok().flatten().unwrap_or(errand.elsewhere.patience);
        let answer = tokio::select! {
            biased;
            answer = errand.elsewhere.transport.send(to, &container) => answer,
            () = parts.timer.sleep(patience) => return none(format!("{to} did not answer within {patience:?}"), true),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error @ TransportError::NoRoute(_)) => return none(error.to_string(), false),
            // Even that nothing was begun is said by nobody who signs it.
            Err(error) => return none(error.to_string(), true),
        };
        let asked = request.invocation.task().id()?;
        let about = |receipt: &Receipt| *receipt.ran() == asked && receipt.issuer().same_principal(to);
        let others = answer.contents().others.into_iter();
        let receipts = others.filter_map(|envelope| Receipt::decode(envelope.bytes().to_vec()).ok()).filter(about);
        let signed = receipts.take(LOOKED_AT).filter_map(|receipt| verify(receipt, &*parts.keys).ok());
        // One that says what came of it counts before one that says that it was refused.
        let receipt = signed.min_by_key(|receipt| receipt.is_attempt());
        match receipt {
            Some(receipt) => Ok(Answer::Receipt(Box::new(receipt.into_inner()))),
            None => none(format!("{to} answered without a receipt of its own for the task"), true),
        }
    }

    /// States what came of the task by a receipt of this executor, which rests on that of the other.
    async fn accept(
        &self,
        errand: &Errand<'_>,
        task: &Task,
        resolved: &TaskId,
        theirs: &Receipt,
        took: Duration,
    ) -> Result<Stated, RunError> {
        let synced = self.step.class.is_mutation();
        let durability = if synced { Durability::Synced } else { Durability::Buffered };
        let filing = Filing { tasks: vec![*theirs.ran()], memo: None, inputs: task.links(), durability };
        self.shared.parts.receipts.file(theirs, &filing).await?;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let meta = [
            (EXECUTOR.to_owned(), Ipld::String(errand.to.to_string())),
            (TIME.to_owned(), Ipld::Integer(micros.into())),
        ];
        let receipt = |outcome| self.receipt(outcome, meta.clone().into(), resolved, true).cause(theirs.id());
        let stated = receipt(theirs.outcome().clone().without_promises());
        match self.state(How::Ran, task, resolved, stated).await {
            Err(RunError::Receipt(error)) if is_unrepresentable(&error) => {
                let message = format!("the result cannot be carried in a receipt: {error}");
                let failure = Failure::new("UnrepresentableResult", message);
                self.state(How::Ran, task, resolved, receipt(failure.into())).await
            }
            stated => stated,
        }
    }

    /// States what a person found out of the task.
    pub(crate) async fn resolve(&self, task: &Task, resolved: &TaskId, found: Completion) -> Result<Attempt, RunError> {
        let Completion { outcome, meta, .. } = found.for_receipt(self.step.class);
        let receipt = self.receipt(outcome, meta, resolved, true);
        self.state(How::Ran, task, resolved, receipt).await.map(Into::into)
    }

    /// What it comes to that the other executor refuses the task.
    async fn refused(&self, errand: &Errand<'_>, refusal: &Receipt) -> Result<Attempt, RunError> {
        let outcome = refusal.outcome();
        let name = bounded(outcome.failure_name().unwrap_or("Refused"));
        let message = bounded(outcome.failure_message().unwrap_or_default());
        if name == "Replayed" {
            // It was begun there and cut off, and they do not know either.
            return Ok(self.uncertain());
        }
        if self.step.class == EffectClass::Mutable && errand.doubtful.load(Ordering::Relaxed) {
            let why = format!("{} refuses it now, and may have done it before: {name}: {message}", errand.to);
            return self.unanswered(errand, why).await;
        }
        let failure = Failure::new(&name, format!("{} did not do it: {message}", errand.to));
        Ok(Attempt::Failed(self.fail(failure).await?))
    }

    /// What it comes to that nobody says what came of the task. It can be asked for again.
    async fn unanswered(&self, errand: &Errand<'_>, why: String) -> Result<Attempt, RunError> {
        let stated = self.fail(Failure::new("Unanswered", why.as_str())).await?;
        let (label, task, to) = (self.step.label.clone(), self.step.id, errand.to.clone());
        Ok(Attempt::Unanswered(stated, Paused::Unanswered { label, task, to, why }))
    }
}

/// The beginning of what somebody else says.
fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

/// Whether a receipt says that another executor did its task.
pub(crate) fn executor(receipt: &Receipt) -> Option<&str> {
    match receipt.meta().get(EXECUTOR) {
        Some(Ipld::String(did)) => Some(did),
        _ => None,
    }
}

/// Whether `receipt` states what came of a task by `theirs`, the receipt of the executor that it names.
pub(crate) fn rests_on(receipt: &Receipt, theirs: &Receipt) -> bool {
    let by_them = executor(receipt).and_then(|did| Did::parse(did).ok());
    by_them.is_some_and(|did| did.same_principal(theirs.issuer()))
        && *theirs.ran() == receipt.resolved()
        && !theirs.is_attempt()
        && theirs.outcome().clone().without_promises() == *receipt.outcome()
}
