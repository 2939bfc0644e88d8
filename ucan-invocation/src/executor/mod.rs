mod batch;
mod belief;
mod error;
mod gather;
mod run;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{TryFutureExt, future::try_join};
use ucan_core::{
    Cid, Clock, Container, Context, Delegation, Ipld, Issuer, KeySource, SignError, Timestamp, Token, verify,
};

use crate::flight::Flights;
use crate::meta::{ATTEMPT, AWAITED, FUEL, PROFILE, RESOLVED};
use crate::{
    Authorized, Await, BlockStore, Call, CallError, Claim, Completion, Config, Durability, EffectClass, Elsewhere,
    Entropy, Failure, Filing, Handler, InstructionId, Invocation, Memo, Outcome, REVOKE_COMMAND, Receipt,
    ReceiptBuilder, ReceiptId, ReceiptStore, ReplayGuard, Resolve, Revocation, RevocationStore, Revoked, Router, Task,
    TaskId, Terms, Trust, authorize,
};
use batch::{Batch, Read};
pub use error::ExecuteError;
use gather::{Awaited, named};
use wait::Waits;

/// What an executor is made of. Every part can be another.
#[derive(Clone, Debug)]
pub struct ExecutorParts {
    /// Who executes, and signs receipts.
    pub executor: Issuer,
    /// Who does the tasks of which command on which subject.
    pub router: Router,
    /// Where tasks and the tokens that asked for them are kept.
    pub blocks: Arc<dyn BlockStore>,
    /// Receipts, which are the memo table too.
    pub receipts: Arc<dyn ReceiptStore>,
    /// Whose results of deterministic commands are taken for one's own.
    pub trust: Trust,
    /// What was revoked.
    pub revocations: Arc<dyn RevocationStore>,
    /// What was begun.
    pub replays: Arc<dyn ReplayGuard>,
    /// What puts results in the place of promises: `Promises` of `ucan-pipeline`, or [`NoPromises`](crate::NoPromises).
    pub promises: Arc<dyn Resolve>,
    /// How results of other executors are waited for; none where nothing is awaited but what the same container asks for or
    /// brings.
    pub elsewhere: Option<Elsewhere>,
    /// The keys of principals.
    pub keys: Arc<dyn KeySource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for the nonces of receipts.
    pub entropy: Arc<dyn Entropy>,
}

/// Takes containers with signed invocations, checks all of each, does what they ask for, and answers with signed receipts.
///
/// What is done, and when, follows from the [`EffectClass`] that the handler declares:
/// - a deterministic instruction whose result is known is not run again: the receipt names the one that it rests on;
/// - a task that has a final receipt is answered with that receipt, whoever asks for it again with the same authority;
/// - a task of a mutable command is begun once, after a crash as well where the [`ReplayGuard`] survives one; the invocation has to
///   expire, so that the guard can forget it;
/// - every failure is a signed receipt whose error has a name. That a task was refused is not its outcome: such receipts say
///   `attempt: true` in their metadata, and are not filed.
///
/// Revocations (`/ucan/revoke`) of delegations on subjects that the router serves, and on the executor, are taken from anybody who
/// may make them, and count from then on.
///
/// Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Executor {
    parts: Arc<ExecutorParts>,
    /// What is being done, so that it is not done twice at once.
    flights: Arc<Flights>,
    waits: Arc<Waits>,
}

impl Executor {
    /// An executor of these parts.
    #[must_use]
    pub fn new(parts: ExecutorParts) -> Self {
        Self { parts: Arc::new(parts), flights: Arc::default(), waits: Arc::default() }
    }

    /// The parts that it was made of.
    #[must_use]
    pub fn parts(&self) -> &ExecutorParts {
        &self.parts
    }

    /// Answers a container in bytes with one in bytes, in the encoding `raw`: what a server does with a body.
    ///
    /// # Errors
    /// As [`Executor::execute`], and [`ExecuteError::Container`] where the bytes are no container.
    pub async fn answer(&self, bytes: &[u8]) -> Result<Vec<u8>, ExecuteError> {
        let answer = self.execute(&Container::decode(bytes)?).await?;
        Ok(answer.encode(ucan_core::ContainerEncoding::Raw))
    }

    /// Carries out the invocations in a container that are addressed to this executor, and gives their receipts. The
    /// container brings the delegations that they name.
    ///
    /// Each is accepted or refused by itself; all that do not wait for each other are carried out at once. One that awaits others
    /// is carried out after those, with their results in the place of its promises: where they were asked for by the same
    /// principal in this container, where the container has receipts for them that are believed, or, with
    /// [`Elsewhere`], once whoever else they are addressed to has been asked for them. Otherwise it is refused, and can be
    /// asked for again. The same task asked for twice at once is done once.
    ///
    /// A container that has receipts and asks for nothing is a delivery: those who wait for them go on, and the answer is empty.
    ///
    /// The answer comes when all is done or refused. Hosts should see it through even when whoever asked has gone away: what is
    /// dropped goes on no further, a handler that was at work may have done something that has no receipt then, and what waited
    /// is kept for [`resume`](Self::resume). Nothing stays locked.
    ///
    /// # Errors
    /// [`ExecuteError`] where nothing can be answered: no receipt is signed for what cannot be read.
    pub async fn execute(&self, request: &Container) -> Result<Container, ExecuteError> {
        let batch = match Batch::read(self, request)? {
            Read::Asked(batch) => batch,
            Read::Told(receipts) => return self.deliver(receipts).await.map(|()| Container::new()),
        };
        let answer = self.run(&batch).await?;
        if let (Some(elsewhere), Some(kept)) = (&self.parts.elsewhere, batch.kept.into_inner()) {
            elsewhere.requests.forget(&kept).await?;
        }
        Ok(answer)
    }

    /// Whether an invocation is for this executor.
    fn is_asked(&self, invocation: &Invocation) -> bool {
        invocation.executor().same_principal(self.parts.executor.did()) || self.is_revocation_here(invocation)
    }

    /// Revocations concern whoever serves their subject, to whomever they are addressed.
    fn is_revocation_here(&self, invocation: &Invocation) -> bool {
        let subject = invocation.subject();
        invocation.command().as_str() == REVOKE_COMMAND
            && (self.parts.router.serves(subject) || subject.same_principal(self.parts.executor.did()))
    }

    /// Carries out the invocation `at`, which was accepted at the time `accepted` if it is accepted at all. Says too whether
    /// something was done for it now.
    async fn carry_out(
        &self,
        batch: &Batch<'_>,
        at: usize,
        awaited: &Awaited,
        accepted: Timestamp,
    ) -> Result<(Receipt, bool), ExecuteError> {
        let parts = &*self.parts;
        let Some(asked) = batch.shown(at) else { return Err(ExecuteError::NothingAsked) };
        let (promised, find) = (asked.id, |cid: &Cid| batch.find(cid));
        let named: Vec<Delegation> = named(batch, &asked.invocation);
        let refuse = |failure| self.refuse(promised, failure).map(|receipt| (receipt, false));
        let mut flight = None;
        loop {
            let revoked = Revoked::among(&*parts.revocations, &named).await?;
            let is_revoked = revoked.as_fn();
            let now = parts.clock.now();
            let mut context = Context::new(now, &*parts.keys);
            context.revoked = Some(&is_revoked);
            context.pending = &|value| Await::recognise(value).is_some();
            let invocation = asked.invocation.clone();
            if self.is_revocation_here(&invocation) {
                return match Revocation::check(invocation, &find, &context) {
                    Ok(revocation) => {
                        parts.revocations.keep(&revocation).await?;
                        let done = Outcome::Ok(Ipld::Map(BTreeMap::new()));
                        self.sign(Receipt::builder(promised, done)).map(|receipt| (receipt, true))
                    }
                    Err(error) => refuse(Failure::new(error.name(), error.to_string())),
                };
            }
            // The expiry of the invocation gates its acceptance; what it waited for since then may have taken longer.
            let acceptance = Context { now: accepted, ..context };
            let authorized = match authorize(invocation, parts.executor.did(), &find, &acceptance) {
                Ok(authorized) => authorized,
                Err(error) => return refuse(Failure::new(error.name(), error.to_string())),
            };
            let call = match self.call(&authorized, &named, &context, accepted, awaited) {
                Ok(call) => call,
                Err(failure) => return refuse(failure),
            };
            let invocation = authorized.invocation();
            let work = Work::new(parts, invocation, &named, promised, call, awaited.receipts(&asked.awaits))?;
            if flight.is_none() {
                let entered = flight.insert(self.flights.enter(work.flights()).await);
                if entered.waited {
                    // Authority is checked when a task starts, and that is later now.
                    continue;
                }
            }
            // Whoever accepted another token for the same may start it as late as it may wait.
            let longest = parts.elsewhere.as_ref().map_or(0, |elsewhere| elsewhere.patience.longest.as_secs());
            let until = invocation.expiration().map(|end| end.max(now).saturating_add(context.skew + longest));
            self.keep_receipts(awaited).await?;
            let receipt = self.perform(&work, until, now).await?;
            let known = work.known.into_inner();
            return Ok((receipt, !known));
        }
    }

    /// The call that an invocation asks for, with results in the place of promises. What was left undecided when it was accepted
    /// is decided now, on the arguments as they are.
    fn call(
        &self,
        authorized: &Authorized,
        proofs: &[Delegation],
        context: &Context<'_>,
        accepted: Timestamp,
        awaited: &Awaited,
    ) -> Result<Call, Failure> {
        let (task, issuer) = (authorized.invocation().task(), authorized.invocation().issuer());
        let again = |task| Call::authorize(task, Config::new(), issuer, proofs, context);
        let call = match awaited {
            Awaited::Missing(failure) => return Err(failure.clone()),
            Awaited::Known(_) if task.is_pending() => {
                again(self.parts.promises.resolve(task, &|id| awaited.outcome(id))?)
            }
            Awaited::Known(_) if context.now > accepted => again(task.clone()),
            Awaited::Known(_) => Call::of(authorized, Config::new()),
        };
        call.map_err(|error| match error {
            CallError::NoChain(error) => Failure::new(error.name(), error.to_string()),
            CallError::Task(error) => Failure::new("Unresolved", error.to_string()),
        })
    }

    /// Does what was asked, unless it is known or was done.
    async fn perform(
        &self,
        work: &Work<'_>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Receipt, ExecuteError> {
        let Work { invocation, promised, call, .. } = work;
        let (parts, promised, task) = (&*self.parts, *promised, call.task());
        let Some(handler) = parts.router.find(task.subject(), task.command()) else {
            return self.refuse(promised, no_handler(task));
        };
        let class = handler.effect_class();
        let ids = work.ids();
        let memo = work.memo;
        let mut own = Vec::new();
        for id in &ids {
            own.extend(self.own(parts.receipts.by_task(id).await?, &**handler));
        }
        // A receipt of the same task with other results in the place of its promises rests on what somebody else believes.
        let (mut same, others): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|receipt| receipt.resolved() == *call.id());
        same.sort_by_key(|receipt| *receipt.ran() != promised);
        if let Some(known) = same.into_iter().next() {
            return self.reuse(known, work).await;
        }
        if memo.is_some() {
            let (table, profile) = (Memo::new(&*parts.receipts, &*parts.blocks, &*parts.keys), handler.profile());
            let terms = Terms { own: parts.executor.did(), now, profile: profile.as_ref() };
            if let Some(known) = table.known(task, &parts.trust, &terms).await? {
                return self.reuse(known.into_inner(), work).await;
            }
        }
        if handler.is_secret() {
            let message = "what comes of this task is secret, and its receipt would tell it; workflows can use it";
            return self.refuse(promised, Failure::new("Secret", message));
        }
        if let Err(failure) = handler.check(task, call.config()).await {
            return self.refuse(promised, failure);
        }
        if class == EffectClass::Mutable {
            if !others.is_empty() {
                let message = "this task was carried out before, with other results in the place of its promises";
                return self.refuse(promised, Failure::new("Replayed", message));
            }
            let Some(until) = until else {
                let message =
                    format!("{} alters the world each time, so that a request for it has to expire", task.command());
                return self.refuse(promised, Failure::new("Unbounded", message));
            };
            for id in &ids {
                let failure = match parts.replays.claim(id.cid(), until, now).await? {
                    Claim::First => continue,
                    Claim::Repeated => Failure::new(
                        "Replayed",
                        "this task was begun before and has no receipt: it was cut off, and nobody knows what it did",
                    ),
                    Claim::Full => {
                        Failure::new("Busy", "too many requests are under way to tell a repeated one; ask again later")
                    }
                };
                return self.refuse(promised, failure);
            }
        }
        if class.is_mutation() {
            // So that an effect can be accounted for, whatever happens while the handler runs.
            let token = invocation.envelope();
            let token = parts.blocks.put(token.cid(), token.bytes().to_vec().into());
            try_join(token.map_err(ExecuteError::from), self.keep(work)).await?;
        }
        let completion = handler.handle(call).await;
        self.conclude(&**handler, work, completion, memo).await
    }

    /// Answers a task with a result that is known: by a receipt that it has already, or by one that names the receipt that it rests
    /// on.
    async fn reuse(&self, known: Receipt, work: &Work<'_>) -> Result<Receipt, ExecuteError> {
        work.known.store(true, Ordering::Relaxed);
        if known.issuer().same_principal(self.parts.executor.did()) && *known.ran() == work.promised {
            return Ok(known);
        }
        let about_the_run = |key: &str| known.meta().get(key).map(|value| (key.to_owned(), value.clone()));
        let mut meta: BTreeMap<String, Ipld> = [PROFILE, FUEL].into_iter().filter_map(about_the_run).collect();
        meta.extend(work.resolved());
        let receipt = Receipt::builder(work.promised, known.outcome().clone()).meta(meta).cause(known.id());
        let receipt = self.sign(receipt)?;
        let (tasks, mut inputs) = (work.ids(), work.inputs());
        inputs.push(known.id().into());
        let filing = Filing { tasks, memo: None, inputs, durability: Durability::Buffered };
        let file = self.parts.receipts.file(&receipt, &filing);
        try_join(self.keep(work), file.map_err(ExecuteError::from)).await?;
        Ok(receipt)
    }

    /// Signs and files what came of a call.
    async fn conclude(
        &self,
        handler: &dyn Handler,
        work: &Work<'_>,
        completion: Completion,
        memo: Option<InstructionId>,
    ) -> Result<Receipt, ExecuteError> {
        let (class, promised) = (handler.effect_class(), work.promised);
        let Completion { outcome, effects, mut meta, repeatable, .. } = completion.for_receipt(class);
        let is_final = match class {
            EffectClass::Deterministic => repeatable,
            EffectClass::Mutable => true,
            // What failed can be tried again without harm.
            EffectClass::Query | EffectClass::IdempotentWrite => outcome.is_ok(),
        };
        meta.extend(work.resolved());
        if let Some(profile) = handler.profile() {
            meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
        }
        if !is_final {
            meta.insert(ATTEMPT.to_owned(), Ipld::Bool(true));
        }
        let receipt = |outcome, meta| Receipt::builder(promised, outcome).effects(effects.clone()).meta(meta);
        let receipt = match self.sign(receipt(outcome, meta.clone())) {
            Err(ExecuteError::Sign(error @ (SignError::Encode(_) | SignError::Unreadable(_)))) => {
                let message = format!("the result cannot be carried in a receipt: {error}");
                self.sign(receipt(Failure::new("UnrepresentableResult", message).into(), meta))?
            }
            signed => signed?,
        };
        let durability = if class.is_mutation() { Durability::Synced } else { Durability::Buffered };
        let (tasks, inputs) = if is_final { (work.ids(), work.inputs()) } else { (Vec::new(), Vec::new()) };
        let filing = Filing { tasks, memo: memo.filter(|_| is_final), inputs, durability };
        let file = self.parts.receipts.file(&receipt, &filing);
        if class.is_mutation() {
            file.await?;
        } else {
            try_join(self.keep(work), file.map_err(ExecuteError::from)).await?;
        }
        Ok(receipt)
    }

    /// Keeps what receipts link to: the task as it was asked for and as it was resolved.
    async fn keep(&self, Work { invocation, promised, call, .. }: &Work<'_>) -> Result<(), ExecuteError> {
        let put = async |id: &TaskId, task: &Task| -> Result<(), ExecuteError> {
            Ok(self.parts.blocks.put(id.cid(), task.to_block()?.into()).await?)
        };
        if promised == call.id() {
            return put(promised, invocation.task()).await;
        }
        try_join(put(promised, invocation.task()), put(call.id(), call.task())).await.map(drop)
    }

    /// The receipts of this executor among those of a store, as far as it still stands by them: a deterministic result counts
    /// under the profile of its handler only.
    fn own(&self, receipts: Vec<Receipt>, handler: &dyn Handler) -> impl Iterator<Item = Receipt> {
        let (own, now) = (self.parts.executor.did(), self.parts.clock.now());
        let profile = handler.profile().map(Ipld::Link);
        // What an effect did is done, however the handler would do it today.
        let any_profile = handler.effect_class() != EffectClass::Deterministic;
        receipts.into_iter().filter(move |receipt| {
            receipt.issuer().same_principal(own)
                && receipt.expiration().is_none_or(|end| now <= end)
                && (any_profile || receipt.meta().get(PROFILE) == profile.as_ref())
                && verify(receipt, &*self.parts.keys).is_ok()
        })
    }

    /// A receipt that says why nothing was done. It is not filed.
    fn refuse(&self, id: TaskId, failure: Failure) -> Result<Receipt, ExecuteError> {
        self.sign(Receipt::builder(id, failure.into()).meta(BTreeMap::from([(ATTEMPT.to_owned(), Ipld::Bool(true))])))
    }

    fn sign(&self, receipt: ReceiptBuilder) -> Result<Receipt, ExecuteError> {
        let mut nonce = [0; 16];
        self.parts.entropy.fill(&mut nonce);
        Ok(receipt.issued_at(self.parts.clock.now()).sign(&self.parts.executor, nonce)?)
    }
}

/// What is done for an invocation: the task that it asks for, and the call that this became.
struct Work<'a> {
    invocation: &'a Invocation,
    promised: TaskId,
    call: Call,
    /// The input address, if the command is deterministic.
    memo: Option<InstructionId>,
    /// The receipts by which it is known what it awaited.
    awaited: Vec<ReceiptId>,
    /// Whether the result was known before.
    known: AtomicBool,
}

impl<'a> Work<'a> {
    fn new(
        parts: &ExecutorParts,
        invocation: &'a Invocation,
        proofs: &[Delegation],
        promised: TaskId,
        mut call: Call,
        awaited: Vec<ReceiptId>,
    ) -> Result<Self, ExecuteError> {
        let class = {
            let task = call.task();
            parts.router.find(task.subject(), task.command()).map(|handler| handler.effect_class())
        };
        if class.is_some_and(EffectClass::is_mutation) {
            call = call.asked_by(invocation, proofs);
        }
        let task = call.task();
        let memo = if class == Some(EffectClass::Deterministic) { Some(task.instruction_id()?) } else { None };
        Ok(Self { invocation, promised, call, memo, awaited, known: AtomicBool::new(false) })
    }

    /// What must not be done by two at once.
    fn flights(&self) -> BTreeSet<Cid> {
        self.ids().into_iter().map(Cid::from).chain(self.memo.map(Cid::from)).collect()
    }

    /// The ids of the task: as it was asked for and, where that is another, as it was resolved.
    fn ids(&self) -> Vec<TaskId> {
        let resolved = Some(*self.call.id()).filter(|id| *id != self.promised);
        [self.promised].into_iter().chain(resolved).collect()
    }

    /// What the task links to, as it was asked for and as it was resolved.
    fn inputs(&self) -> Vec<Cid> {
        let mut inputs = self.invocation.task().links();
        if self.promised != *self.call.id() {
            inputs.extend(self.call.task().links());
        }
        inputs
    }

    /// The metadata of a task that awaited others: the task as it was resolved, and the receipts on which that rests.
    fn resolved(&self) -> impl Iterator<Item = (String, Ipld)> {
        let resolved = (self.promised != *self.call.id()).then(|| Ipld::Link((*self.call.id()).into()));
        let links = self.awaited.iter().map(|receipt| Ipld::Link((*receipt).into())).collect();
        let awaited = (!self.awaited.is_empty()).then_some(Ipld::List(links));
        let field = |key: &str, value: Option<Ipld>| value.map(|value| (key.to_owned(), value));
        [field(RESOLVED, resolved), field(AWAITED, awaited)].into_iter().flatten()
    }
}

fn no_handler(task: &Task) -> Failure {
    Failure::new("NoHandler", format!("nothing here does {} on {}", task.command(), task.subject()))
}
