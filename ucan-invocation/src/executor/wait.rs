//! What is awaited from other executors: who is asked, who waits, and who is told.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::lock::Mutex as AsyncMutex;
use ucan_core::{Cid, Container, Did, Ipld, Timestamp, Token, block};

use super::Executor;
use super::batch::{Settled, Shown};
use super::belief::{Hearing, bounded};
use crate::memory::lock;
use crate::slot::Slot;
use crate::{Elsewhere, Failure, Invocation, InvocationId, Patience, TaskId};

/// One task of another executor that is awaited, by one request or several that ask for it in the same way.
#[derive(Debug)]
pub(super) struct Wait {
    about: TaskId,
    to: Did,
    /// What is sent to whoever is asked.
    closure: Container,
    /// Whether receipts count that come by another way than in the answer.
    told: bool,
    hearing: Mutex<Hearing>,
    /// Why the last attempt to ask failed.
    last: Mutex<Option<String>>,
    /// Whose turn it is to ask. When they go away, the next one goes on.
    turn: AsyncMutex<()>,
    settled: Slot<Settled>,
    room: Option<Room>,
}

/// Room for a question and for what is sent with it, until it is dropped.
#[derive(Debug)]
struct Room(Arc<Asking>, usize);

/// What the questions that are open take.
#[derive(Debug, Default)]
struct Asking {
    questions: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    fn take(asking: &Arc<Asking>, bytes: usize, patience: &Patience) -> Option<Self> {
        let questions = asking.questions.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let held = asking.bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        let room = Self(Arc::clone(asking), bytes);
        (questions <= patience.questions && held <= patience.forwarded).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.questions.fetch_sub(1, Ordering::AcqRel);
        self.0.bytes.fetch_sub(self.1, Ordering::AcqRel);
    }
}

impl Wait {
    pub(super) fn new(about: TaskId, to: &Did, closure: Container, told: bool) -> Self {
        Self {
            about,
            to: to.clone(),
            closure,
            told,
            hearing: Mutex::new(Hearing::new(about, vec![to])),
            last: Mutex::default(),
            turn: AsyncMutex::default(),
            settled: Slot::default(),
            room: None,
        }
    }

    /// What tells waits apart: what is sent, and to whom.
    fn key(&self) -> Cid {
        let mut parts = self.to.principal().as_bytes().to_vec();
        for token in self.closure.tokens() {
            parts.extend(block::dag_cbor_cid(token).to_bytes());
        }
        parts.extend(self.about.cid().to_bytes());
        block::raw_cid(&parts)
    }

    /// Takes a receipt that came in an answer, or (`told`) by any other way.
    pub(super) fn hear(&self, executor: &Executor, receipt: &Invocation, told: bool) {
        if told && !self.told {
            return;
        }
        let mut hearing = lock(&self.hearing);
        if let Some(found) = hearing.hear(executor, receipt) {
            self.settled.set(Ok(Arc::new(found)));
        } else if !told && let Some(failure) = hearing.refused(executor, receipt) {
            // What was refused once may be done now: that counts in an answer only, never in what somebody passes on.
            self.settled.set(Err(failure));
        }
    }

    /// Asks, again and again, until something has settled it.
    async fn ask(&self, executor: &Executor, elsewhere: &Elsewhere) {
        let patience = &elsewhere.patience;
        // However it was set, it takes a moment.
        let least = Duration::from_millis(1);
        let mut pause = patience.pause.max(least);
        while self.settled.get().is_none() {
            let (sent, late) =
                (elsewhere.transport.send(&self.to, &self.closure), elsewhere.timer.sleep(patience.attempt));
            let why = match select(sent, late).await {
                Either::Left((Ok(answer), _)) => {
                    let others = answer.contents().others.into_iter();
                    for receipt in others.filter_map(|envelope| Invocation::from_envelope(envelope).ok()) {
                        self.hear(executor, &receipt, false);
                    }
                    if self.settled.get().is_some() {
                        return;
                    }
                    format!("{} answered without a receipt for it that can be believed", self.to)
                }
                Either::Left((Err(error), _)) => bounded(&error.to_string()),
                Either::Right(_) => format!("{} did not answer within {:?}", self.to, patience.attempt),
            };
            *lock(&self.last) = Some(why);
            elsewhere.timer.sleep(pause).await;
            pause = pause.saturating_mul(2).min(patience.longest_pause).max(least);
        }
    }

    /// The outcome, as soon as it is known, unless that takes longer than until the deadline.
    pub(super) async fn outcome(&self, executor: &Executor, elsewhere: &Elsewhere, until: Timestamp) -> Settled {
        let left = until.as_secs().saturating_sub(executor.parts.clock.now().as_secs());
        let ask = pin!(async {
            let _turn = self.turn.lock().await;
            self.ask(executor, elsewhere).await;
        });
        // The outcome comes first: what is there at the deadline is taken.
        let late = select(ask, elsewhere.timer.sleep(Duration::from_secs(left)));
        if let Either::Left((settled, _)) = select(pin!(self.settled.settled()), late).await {
            return settled;
        }
        self.settled.get().unwrap_or_else(|| Err(self.late(until)))
    }

    fn late(&self, until: Timestamp) -> Failure {
        let (last, from) = (lock(&self.last).clone(), self.about);
        let last = last.unwrap_or_else(|| format!("{} has not answered yet", self.to));
        let message = format!("the result of the task {from} was waited for until {until}, and did not come: {last}");
        Failure::new("Unresolved", message)
            .with("from", Ipld::Link(from.into()))
            .with("until", Ipld::Integer(until.as_secs().into()))
            .with("last", Ipld::String(last))
    }
}

/// What is awaited by the requests of an executor.
#[derive(Debug, Default)]
pub(super) struct Waits {
    awaited: Mutex<HashMap<TaskId, BTreeMap<Cid, Weak<Wait>>>>,
    asking: Arc<Asking>,
    crowd: Mutex<Crowd>,
}

impl Waits {
    /// The wait that is equal to this one, if somebody waits so already; else this one, if there is room for what it sends.
    pub(super) fn join(&self, mut wait: Wait, patience: &Patience) -> Result<Arc<Wait>, Failure> {
        let key = wait.key();
        let mut awaited = lock(&self.awaited);
        let waits = awaited.entry(wait.about).or_default();
        let failed = |wait: &Arc<Wait>| matches!(wait.settled.get(), Some(Err(_)));
        if let Some(known) = waits.get(&key).and_then(Weak::upgrade).filter(|wait| !failed(wait)) {
            return Ok(known);
        }
        let bytes: usize = wait.closure.tokens().map(<[u8]>::len).sum();
        wait.room = Some(Room::take(&self.asking, bytes, patience).ok_or_else(crowded)?);
        let wait = Arc::new(wait);
        waits.insert(key, Arc::downgrade(&wait));
        Ok(wait)
    }

    /// Forgets what nobody waits for any longer.
    fn leave(&self, about: &TaskId) {
        let mut awaited = lock(&self.awaited);
        if let Some(waits) = awaited.get_mut(about) {
            waits.retain(|_, wait| wait.strong_count() > 0);
            if waits.is_empty() {
                awaited.remove(about);
            }
        }
    }

    /// Those who wait for a task.
    pub(super) fn of(&self, about: &TaskId) -> Vec<Arc<Wait>> {
        let awaited = lock(&self.awaited);
        awaited.get(about).into_iter().flat_map(BTreeMap::values).filter_map(Weak::upgrade).collect()
    }

    /// Takes a place among those who wait.
    pub(super) fn enter<'a>(&'a self, asked: &'a Shown, patience: &Patience) -> Result<Place<'a>, Failure> {
        let (id, mut crowd) = (asked.invocation.id(), lock(&self.crowd));
        let invoker: Box<str> = asked.invocation.issuer().principal().into();
        let is_new = !crowd.waiting.contains_key(&id);
        let of_one = crowd.of_one.get(&invoker).copied().unwrap_or_default();
        if of_one.places >= patience.places_of_one
            || is_new && (crowd.waiting.len() >= patience.waiting || of_one.invocations >= patience.waiting_of_one)
        {
            return Err(crowded());
        }
        let of_one = crowd.of_one.entry(invoker.clone()).or_default();
        of_one.places += 1;
        of_one.invocations += usize::from(is_new);
        *crowd.waiting.entry(id).or_default() += 1;
        Ok(Place { waits: self, asked, id, invoker })
    }
}

fn crowded() -> Failure {
    Failure::new("TooManyWaiting", "too much waits here already; ask again later")
}

/// The invocations that wait, each once, however many requests bring it.
#[derive(Debug, Default)]
struct Crowd {
    waiting: HashMap<InvocationId, usize>,
    of_one: HashMap<Box<str>, OfOne>,
}

/// What one invoker lets wait.
#[derive(Clone, Copy, Debug, Default)]
struct OfOne {
    invocations: usize,
    /// The same, each in as many requests as bring it.
    places: usize,
}

/// A place among those who wait, until it is dropped; what it awaits is dropped before.
pub(super) struct Place<'a> {
    waits: &'a Waits,
    asked: &'a Shown,
    id: InvocationId,
    invoker: Box<str>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.asked.awaits.iter().for_each(|id| self.waits.leave(id));
        let mut crowd = lock(&self.waits.crowd);
        let Some(requests) = crowd.waiting.get_mut(&self.id) else { return };
        *requests -= 1;
        let was_last = *requests == 0;
        if was_last {
            crowd.waiting.remove(&self.id);
        }
        if let Some(of_one) = crowd.of_one.get_mut(&self.invoker) {
            of_one.invocations -= usize::from(was_last);
            of_one.places -= 1;
            if of_one.places == 0 {
                crowd.of_one.remove(&self.invoker);
            }
        }
    }
}
