//! Carrying out what a container asks for: all at once, as far as one does not wait for another.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use futures_util::stream::FuturesUnordered;
use ucan_core::{Cid, Container, Did, Ipld, StoreError, Token};

use super::batch::{Batch, ran};
use super::belief::{Found, refusal, standing};
use super::gather::Awaited;
use super::{ExecuteError, Executor};
use crate::meta::ATTEMPT;
use crate::{Durability, Elsewhere, Failure, Filing, Invocation, Receipt, TaskId};

/// How many invocations of one container are carried out at once.
const AT_ONCE: usize = 64;
/// How many bytes of receipts an answer has at most, if it has more than one: a reader takes 16 MiB.
const ANSWER: usize = 15 << 20;
/// How many receipts of one executor that contradict each other are kept for one task.
const EVIDENCE: usize = 8;

enum Event {
    Ready(usize, Result<Awaited, ExecuteError>),
    Done(usize, Result<(Receipt, bool), ExecuteError>),
}

impl Executor {
    /// Everything happens within this future: nothing goes on when it is dropped.
    pub(super) async fn run(&self, batch: &Batch<'_>) -> Result<Container, ExecuteError> {
        let accepted = self.parts.clock.now();
        let gather = async |at: usize| Event::Ready(at, self.gather(batch, at, accepted).await);
        let mut gathering: FuturesUnordered<_> = batch.asked.iter().map(|at| gather(*at)).collect();
        let (mut running, mut telling) = (FuturesUnordered::new(), FuturesUnordered::new());
        let (mut ready, mut told, mut answer, mut answered) = (VecDeque::new(), 0, Container::new(), 0_usize);
        loop {
            while running.len() < AT_ONCE
                && let Some((at, awaited)) = ready.pop_front()
            {
                running.push(async move { Event::Done(at, self.carry_out(batch, at, &awaited, accepted).await) });
            }
            let event = poll_fn(|context| {
                while let Poll::Ready(Some(())) = telling.poll_next_unpin(context) {}
                if let Poll::Ready(Some(event)) = running.poll_next_unpin(context) {
                    return Poll::Ready(Some(event));
                }
                match gathering.poll_next_unpin(context) {
                    Poll::Ready(None) if !running.is_empty() => Poll::Pending,
                    event => event,
                }
            });
            match event.await {
                None => return Ok(answer),
                Some(Event::Ready(at, awaited)) => ready.push_back((at, awaited?)),
                Some(Event::Done(at, done)) => {
                    let (receipt, is_new) = done?;
                    let Some(shown) = batch.shown(at) else { continue };
                    let own = self.parts.executor.did();
                    // What came of an attempt is no outcome for others to go on from, and what was refused tells them nothing.
                    batch.note(
                        at,
                        match receipt.is_attempt() {
                            true => Err(refusal(&shown.id, own, receipt.outcome())),
                            false => Ok(Arc::new(Found::own(&receipt))),
                        },
                    );
                    let is_final = !receipt.is_attempt();
                    let fits = answered == 0 || receipt.bytes().len() <= ANSWER.saturating_sub(answered);
                    let left_out = match fits {
                        true => None,
                        false => Some(self.refuse(shown.id, too_large())?),
                    };
                    let given = left_out.as_ref().unwrap_or(&receipt).bytes();
                    answered = answered.saturating_add(given.len());
                    answer.insert(given);
                    // Whoever awaits what was done before asks, and is told at once; of what awaited others itself nobody is told
                    // who did not ask.
                    let Some(elsewhere) =
                        self.parts.elsewhere.as_ref().filter(|_| is_new && is_final && shown.awaits.is_empty())
                    else {
                        continue;
                    };
                    for to in batch.interested(self, &shown.id, shown.invocation.issuer()) {
                        if told < elsewhere.patience.pushes {
                            told += 1;
                            telling.push(tell(elsewhere, to, receipt.bytes().to_vec()));
                        }
                    }
                }
            }
        }
    }

    /// Takes receipts that somebody sends, for those who wait for them.
    pub(super) async fn deliver(&self, receipts: Vec<Invocation>) -> Result<(), ExecuteError> {
        for receipt in receipts {
            let Some(ran) = ran(&receipt) else { continue };
            for wait in self.waits.of(&ran) {
                wait.hear(self, &receipt, true);
            }
            self.keep_evidence(&receipt, &ran).await?;
        }
        Ok(())
    }

    /// Keeps a receipt that contradicts one on which something was made to rest, by the same executor or by one who is trusted.
    async fn keep_evidence(&self, receipt: &Invocation, ran: &TaskId) -> Result<(), ExecuteError> {
        let known = self.parts.receipts.by_task(ran).await?;
        let by = receipt.subject();
        let concerns = |known: &Receipt| {
            known.issuer().same_principal(by) || self.parts.trust.believes(self.parts.executor.did(), by)
        };
        let is_attempt = receipt.meta().get(ATTEMPT) == Some(&Ipld::Bool(true));
        let by_them = known.iter().filter(|known| known.issuer().same_principal(by)).count();
        if is_attempt || by_them >= EVIDENCE || !known.iter().any(concerns) {
            return Ok(());
        }
        let Some(attested) = standing(self, receipt, ran) else { return Ok(()) };
        let Ok(states) = attested.outcome().digest() else { return Ok(()) };
        if known.iter().any(|known| known.outcome().digest() == Ok(states)) {
            return Ok(());
        }
        if let Ok(receipt) = Receipt::decode(receipt.envelope().bytes()) {
            let filing = Filing { tasks: vec![*ran], memo: None, inputs: Vec::new(), durability: Durability::Buffered };
            self.parts.receipts.file(&receipt, &filing).await?;
        }
        Ok(())
    }

    /// Carries out the requests that waited when the process ended, as if they had just arrived, all at once; and forgets those
    /// whose time is up. Gives the answers by the ids of the requests, the CIDs (raw) of their bytes in the encoding `Raw`.
    ///
    /// Whoever sent them is not there any more: they ask again, and find the receipts. Call it once, when the executor can be
    /// reached by others.
    ///
    /// # Errors
    /// [`StoreError`] where the store of requests cannot be read.
    pub async fn resume(&self) -> Result<Vec<(Cid, Result<Container, ExecuteError>)>, StoreError> {
        let Some(elsewhere) = &self.parts.elsewhere else { return Ok(Vec::new()) };
        let (now, mut kept) = (self.parts.clock.now(), Vec::new());
        for (id, until) in elsewhere.requests.list().await? {
            if until < now {
                elsewhere.requests.forget(&id).await?;
            } else if let Some(bytes) = elsewhere.requests.get(&id).await? {
                kept.push((id, bytes));
            }
        }
        let resumed = kept.into_iter().map(|(id, bytes)| async move {
            let answer = match Container::decode(&bytes) {
                Ok(request) => self.execute(&request).await,
                Err(error) => Err(error.into()),
            };
            // It may not have waited this time.
            elsewhere.requests.forget(&id).await?;
            Ok((id, answer))
        });
        join_all(resumed).await.into_iter().collect()
    }
}

/// Tells another executor what came of a task, once: it can ask.
async fn tell(elsewhere: &Elsewhere, to: Did, receipt: Vec<u8>) {
    let container = Container::from_iter([receipt]);
    let sent = elsewhere.transport.send(&to, &container);
    let _ = select(sent, elsewhere.timer.sleep(elsewhere.patience.attempt)).await;
}

fn too_large() -> Failure {
    Failure::new("AnswerTooLarge", "with this receipt the answer would be too large; ask for the task by itself")
}
