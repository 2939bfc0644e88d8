use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ucan_core::{
    Cid, Clock, Container, ContainerError, Context, Delegation, Ipld, Issuer, KeySource, SignError, StoreError,
    Timestamp, Token, TokenError, block, verify,
};

use crate::{
    Authorized, Await, BlockStore, Call, Claim, Completion, Config, Durability, EffectClass, Entropy, Failure, Filing,
    Handler, InstructionId, Invocation, Outcome, RECEIPT_COMMAND, REVOKE_COMMAND, Receipt, ReceiptStore, ReplayGuard,
    Revocation, RevocationStore, Revoked, Router, TaskError, TaskId, authorize, is_pending,
};

/// The metadata field that links the determinism profile under which a result was computed.
const PROFILE: &str = "profile";
/// The metadata field with the fuel that a computation used.
const FUEL: &str = "fuel";
/// The metadata field, `true`, of a receipt that states what came of an attempt and is not the final outcome of its task.
const ATTEMPT: &str = "attempt";
/// How many invocations one container may have for one executor.
const INVOCATIONS: usize = 1024;

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
    /// What was revoked.
    pub revocations: Arc<dyn RevocationStore>,
    /// What was begun.
    pub replays: Arc<dyn ReplayGuard>,
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
}

impl Executor {
    /// An executor of these parts.
    #[must_use]
    pub fn new(parts: ExecutorParts) -> Self {
        Self { parts: Arc::new(parts) }
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

    /// Carries out the invocations in a container that are addressed to this executor, one after the other, and gives
    /// their receipts. The container brings the delegations that they name. Invocations that are addressed to others, and
    /// receipts, are passed over.
    ///
    /// # Errors
    /// [`ExecuteError`] where nothing can be answered: no receipt is signed for what cannot be read.
    pub async fn execute(&self, request: &Container) -> Result<Container, ExecuteError> {
        let contents = request.contents();
        if let Some(refused) = contents.refused.into_iter().next() {
            return Err(ExecuteError::Token { cid: refused.cid, error: refused.error });
        }
        let delegations: HashMap<Cid, Delegation> =
            contents.delegations.into_iter().map(|delegation| (*delegation.cid(), delegation)).collect();
        let mut asked = Vec::new();
        for envelope in contents.others {
            let cid = *envelope.cid();
            let invocation = Invocation::from_envelope(envelope).map_err(|error| ExecuteError::Token { cid, error })?;
            let here =
                invocation.executor().same_principal(self.parts.executor.did()) || self.is_revocation_here(&invocation);
            if here && invocation.command().as_str() != RECEIPT_COMMAND {
                asked.push(invocation);
            }
        }
        match asked.len() {
            0 => return Err(ExecuteError::NothingAsked),
            1..=INVOCATIONS => {}
            asked => return Err(ExecuteError::TooMany { asked, most: INVOCATIONS }),
        }
        let mut answer = Container::new();
        for invocation in asked {
            let receipt = self.carry_out(invocation, &delegations).await?;
            answer.insert(receipt.bytes());
        }
        Ok(answer)
    }

    /// Revocations concern whoever serves their subject, to whomever they are addressed.
    fn is_revocation_here(&self, invocation: &Invocation) -> bool {
        let subject = invocation.subject();
        invocation.command().as_str() == REVOKE_COMMAND
            && (self.parts.router.serves(subject) || subject.same_principal(self.parts.executor.did()))
    }

    async fn carry_out(
        &self,
        invocation: Invocation,
        delegations: &HashMap<Cid, Delegation>,
    ) -> Result<Receipt, ExecuteError> {
        let parts = &*self.parts;
        let id = invocation.task().id()?;
        let find = |cid: &Cid| delegations.get(cid).cloned();
        let named = invocation.proofs().iter().filter_map(|cid| delegations.get(cid));
        let revoked = Revoked::among(&*parts.revocations, named).await?;
        let is_revoked = revoked.as_fn();
        let now = parts.clock.now();
        let mut context = Context::new(now, &*parts.keys);
        context.revoked = Some(&is_revoked);
        context.pending = &|value| Await::recognise(value).is_some();
        if self.is_revocation_here(&invocation) {
            let checked = Revocation::check(invocation, &find, &context);
            return self.revoke(id, checked.map_err(|error| Failure::new(error.name(), error.to_string()))).await;
        }
        let authorized = match authorize(invocation, parts.executor.did(), &find, &context) {
            Ok(authorized) => authorized,
            Err(error) => return self.refuse(id, Failure::new(error.name(), error.to_string())),
        };
        let until = authorized.invocation().expiration().map(|end| end.saturating_add(context.skew));
        self.perform(&authorized, id, until, now).await
    }

    async fn revoke(&self, id: TaskId, revocation: Result<Revocation, Failure>) -> Result<Receipt, ExecuteError> {
        let revocation = match revocation {
            Ok(revocation) => revocation,
            Err(failure) => return self.refuse(id, failure),
        };
        self.parts.revocations.keep(&revocation).await?;
        self.sign(id, Outcome::Ok(Ipld::Map(BTreeMap::new())), BTreeMap::new(), None)
    }

    async fn perform(
        &self,
        authorized: &Authorized,
        id: TaskId,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Receipt, ExecuteError> {
        let (parts, invocation) = (&*self.parts, authorized.invocation());
        let call = match Call::of(authorized, Config::new()) {
            Ok(call) => call,
            Err(error) => return self.refuse(id, Failure::new("Pending", error.to_string())),
        };
        let task = call.task();
        let Some(handler) = parts.router.find(task.subject(), task.command()) else {
            let message = format!("nothing here does {} on {}", task.command(), task.subject());
            return self.refuse(id, Failure::new("NoHandler", message));
        };
        let class = handler.effect_class();
        let memo = if class == EffectClass::Deterministic { Some(task.instruction()?.id()?) } else { None };
        if let Some(receipt) = self.own(parts.receipts.by_task(&id).await?, &**handler) {
            return Ok(receipt);
        }
        if let Some(instruction) = memo
            && let Some(known) = self.own(parts.receipts.by_instruction(&instruction).await?, &**handler)
        {
            let about_the_run = |key: &str| known.meta().get(key).map(|value| (key.to_owned(), value.clone()));
            let meta = [PROFILE, FUEL].into_iter().filter_map(about_the_run).collect();
            let receipt = self.sign(id, known.outcome().clone(), meta, Some(&known))?;
            return self
                .file(receipt, task, Filing { tasks: vec![id], memo: None, durability: Durability::Buffered })
                .await;
        }
        if let Err(failure) = handler.check(task, call.config()).await {
            return self.refuse(id, failure);
        }
        if class == EffectClass::Mutable {
            let Some(until) = until else {
                let message =
                    format!("{} alters the world each time, so that a request for it has to expire", task.command());
                return self.refuse(id, Failure::new("Unbounded", message));
            };
            match parts.replays.claim(id.cid(), until, now).await? {
                Claim::First => {}
                Claim::Repeated => {
                    let message = "this task was begun before and has no receipt: it is under way, or was cut off";
                    return self.refuse(id, Failure::new("Replayed", message));
                }
                Claim::Full => {
                    let message = "too many requests are under way to tell a repeated one; ask again later";
                    return self.refuse(id, Failure::new("Busy", message));
                }
            }
        }
        if class.is_mutation() {
            // So that a receipt can be accounted for, whatever happens while the handler runs.
            let token = invocation.envelope();
            parts.blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        }
        let completion = handler.handle(&call).await;
        self.conclude(&**handler, &call, completion, memo).await
    }

    /// Signs and files what came of a call.
    async fn conclude(
        &self,
        handler: &dyn Handler,
        call: &Call,
        completion: Completion,
        memo: Option<InstructionId>,
    ) -> Result<Receipt, ExecuteError> {
        let class = handler.effect_class();
        let outcome = refuse_promises(completion.outcome);
        let is_final = match class {
            EffectClass::Deterministic => completion.repeatable,
            EffectClass::Mutable => true,
            // What failed can be tried again without harm.
            EffectClass::Query | EffectClass::IdempotentWrite => outcome.is_ok(),
        };
        let mut meta = completion.meta;
        if let Some(profile) = handler.profile() {
            meta.insert(PROFILE.to_owned(), Ipld::Link(profile));
        }
        if !is_final {
            meta.insert(ATTEMPT.to_owned(), Ipld::Bool(true));
        }
        let receipt = match self.sign(*call.id(), outcome, meta.clone(), None) {
            Err(ExecuteError::Sign(error @ (SignError::Encode(_) | SignError::Unreadable(_)))) => {
                let message = format!("the result cannot be carried in a receipt: {error}");
                self.sign(*call.id(), Failure::new("UnrepresentableResult", message).into(), meta, None)?
            }
            signed => signed?,
        };
        let durability = if class.is_mutation() { Durability::Synced } else { Durability::Buffered };
        let tasks = if is_final { vec![*call.id()] } else { Vec::new() };
        self.file(receipt, call.task(), Filing { tasks, memo: memo.filter(|_| is_final), durability }).await
    }

    async fn file(&self, receipt: Receipt, task: &crate::Task, filing: Filing) -> Result<Receipt, ExecuteError> {
        let bytes = task.to_block()?;
        self.parts.blocks.put(&block::dag_cbor_cid(&bytes), bytes.into()).await?;
        self.parts.receipts.file(&receipt, &filing).await?;
        Ok(receipt)
    }

    /// The receipt of this executor among those of a store, if it still stands by one: a deterministic result counts under the
    /// profile of its handler only.
    fn own(&self, receipts: Vec<Receipt>, handler: &dyn Handler) -> Option<Receipt> {
        let (own, now) = (self.parts.executor.did(), self.parts.clock.now());
        let profile = handler.profile().map(Ipld::Link);
        // What an effect did is done, however the handler would do it today.
        let any_profile = handler.effect_class() != EffectClass::Deterministic;
        receipts.into_iter().find(|receipt| {
            receipt.issuer().same_principal(own)
                && receipt.expiration().is_none_or(|end| now <= end)
                && (any_profile || receipt.meta().get(PROFILE) == profile.as_ref())
                && verify(receipt, &*self.parts.keys).is_ok()
        })
    }

    /// A receipt that says why nothing was done. It is not filed.
    fn refuse(&self, id: TaskId, failure: Failure) -> Result<Receipt, ExecuteError> {
        self.sign(id, failure.into(), BTreeMap::from([(ATTEMPT.to_owned(), Ipld::Bool(true))]), None)
    }

    fn sign(
        &self,
        id: TaskId,
        outcome: Outcome,
        meta: BTreeMap<String, Ipld>,
        cause: Option<&Receipt>,
    ) -> Result<Receipt, ExecuteError> {
        let mut nonce = [0; 16];
        self.parts.entropy.fill(&mut nonce);
        let mut receipt = Receipt::builder(id, outcome).meta(meta).issued_at(self.parts.clock.now());
        if let Some(cause) = cause {
            receipt = receipt.cause(cause.id());
        }
        Ok(receipt.sign(&self.parts.executor, nonce)?)
    }
}

/// A result that looks like a promise could make a later reader wait for something else: it is refused.
fn refuse_promises(outcome: Outcome) -> Outcome {
    let (Outcome::Ok(value) | Outcome::Error(value)) = &outcome;
    if is_pending(value) {
        return Failure::new("PromiseInResult", "the result holds the shape of a promise, which is refused").into();
    }
    outcome
}

/// Why a container has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The bytes are no container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A token in it cannot be read.
    #[error("the token {cid} in the container cannot be read: {error}")]
    Token {
        /// Which token.
        cid: Cid,
        /// What is wrong with it.
        error: TokenError,
    },
    /// Nothing in it asks this executor for anything: its invocations, if it has any, are addressed to others or are
    /// receipts.
    #[error("nothing in the container is asked of this executor")]
    NothingAsked,
    /// It asks for too much at once.
    #[error("the container has {asked} invocations for this executor, more than {most}")]
    TooMany {
        /// How many there are.
        asked: usize,
        /// How many there may be.
        most: usize,
    },
    /// A task has no id.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A store failed. What was begun may have been done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receipt could not be signed.
    #[error("a receipt could not be signed: {0}")]
    Sign(#[from] SignError),
}

impl ExecuteError {
    /// The name of the error, for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Container(error) => error.name(),
            Self::Token { error, .. } => error.name(),
            Self::NothingAsked => "NothingAsked",
            Self::TooMany { .. } => "LimitExceeded",
            Self::Task(_) => "MalformedToken",
            Self::Store(_) | Self::Sign(_) => "HostFailure",
        }
    }
}
