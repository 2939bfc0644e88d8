use std::collections::BTreeMap;
use std::sync::Arc;

use ucan_core::{Cid, Command, Did, Envelope, Ipld, Issuer, Purpose, SignError, Timestamp, Token, TokenError};

use crate::invocation::Parsed;
use crate::{Effects, Invocation, InvocationBuilder, Outcome, ReceiptId, TaskId, meta};

/// The command of every receipt.
pub const RECEIPT_COMMAND: &str = "/ucan/assert/receipt";

/// A signed statement of what came of a Task (UCAN Receipt).
///
/// On the wire it is an invocation of `/ucan/assert/receipt` whose issuer and subject are the executor, with arguments
/// `{out: {ok: ..} | {error: ..}, ran: &Task}`. Decoding checks that shape; only
/// [`verify`](ucan_core::verify) checks the signature. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Receipt {
    envelope: Envelope,
    fields: Arc<Stated>,
}

#[derive(Debug)]
struct Stated {
    issuer: Did,
    ran: TaskId,
    outcome: Outcome,
    effects: Effects,
    meta: BTreeMap<String, Ipld>,
    cause: Option<ReceiptId>,
    issued_at: Option<Timestamp>,
    expiration: Option<Timestamp>,
}

impl Receipt {
    /// Starts a receipt for the task `ran`.
    pub fn builder(ran: TaskId, outcome: Outcome) -> ReceiptBuilder {
        ReceiptBuilder {
            ran,
            outcome,
            effects: Effects::default(),
            meta: BTreeMap::new(),
            cause: None,
            issued_at: None,
            expiration: None,
        }
    }

    /// Reads a receipt from its token.
    ///
    /// # Errors
    /// [`ReceiptError`] where the bytes are not an invocation token, or not one of the shape of a receipt.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, ReceiptError> {
        Self::from_invocation(Invocation::decode(bytes)?)
    }

    fn from_invocation(invocation: Invocation) -> Result<Self, ReceiptError> {
        let (ran, _, effects) = check(&invocation)?;
        let issuer = invocation.issuer();
        if !issuer.same_principal(invocation.subject())
            || invocation.audience().is_some_and(|aud| !aud.same_principal(issuer))
        {
            return Err(ReceiptError::Issuer);
        }
        let (envelope, Parsed { issuer, task, meta, cause, issued_at, expiration, .. }) = invocation.into_parts();
        let outcome = task.into_args().remove("out").and_then(Outcome::take).ok_or(ReceiptError::Argument("out"))?;
        let cause = cause.map(ReceiptId::new);
        Ok(Self {
            envelope,
            fields: Arc::new(Stated { issuer, ran, outcome, effects, meta, cause, issued_at, expiration }),
        })
    }

    /// The id of the receipt: the hash of its bytes.
    #[must_use]
    pub fn id(&self) -> ReceiptId {
        ReceiptId::new(*self.envelope.cid())
    }

    /// The token as it was received or signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.envelope.bytes()
    }

    /// The task that was run, as it was invoked.
    #[must_use]
    pub fn ran(&self) -> &TaskId {
        &self.fields.ran
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.fields.outcome
    }

    /// What the task asks to have done next.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.fields.effects
    }

    /// Metadata: fuel, determinism profile and the like.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, Ipld> {
        &self.fields.meta
    }

    /// The determinism profile under which the result was computed, as the metadata has it.
    #[must_use]
    pub fn profile(&self) -> Option<&Ipld> {
        self.meta().get(meta::PROFILE)
    }

    /// The task that was really run: the one with its promises resolved, where the metadata links one.
    #[must_use]
    pub fn resolved(&self) -> TaskId {
        match self.meta().get(meta::RESOLVED) {
            Some(Ipld::Link(cid)) => TaskId::new(*cid),
            _ => self.fields.ran,
        }
    }

    /// Whether it states what came of an attempt only, and not the final outcome of its task.
    #[must_use]
    pub fn is_attempt(&self) -> bool {
        self.meta().get(meta::ATTEMPT) == Some(&Ipld::Bool(true))
    }

    /// Whether `other` is the same statement of the same issuer: the signed bytes are equal. A signature can sometimes be
    /// spelled in another way (ECDSA), which makes another token and another [id](Self::id), but no second statement.
    #[must_use]
    pub fn same_statement(&self, other: &Self) -> bool {
        self.envelope.signed_bytes() == other.envelope.signed_bytes()
    }

    /// The receipt that this one rests on.
    #[must_use]
    pub fn cause(&self) -> Option<ReceiptId> {
        self.fields.cause
    }

    /// When the executor says that it signed the receipt.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.fields.issued_at
    }

    /// Until when the executor stands by the result; `None` is for ever.
    #[must_use]
    pub fn expiration(&self) -> Option<Timestamp> {
        self.fields.expiration
    }
}

/// What a receipt states, whoever issued it: the task, what came of it, and what it asks for.
pub(crate) fn statement(invocation: &Invocation) -> Result<(TaskId, Outcome, Effects), ReceiptError> {
    let (ran, outcome, effects) = check(invocation)?;
    Ok((ran, Outcome::from_ipld(outcome).ok_or(ReceiptError::Argument("out"))?, effects))
}

/// Checks that an invocation has the shape of a receipt, whoever issued it: the task, what can be read as an outcome, and the
/// effects.
fn check(invocation: &Invocation) -> Result<(TaskId, &Ipld, Effects), ReceiptError> {
    if invocation.command().as_str() != RECEIPT_COMMAND {
        return Err(ReceiptError::NotAReceipt { command: invocation.command().to_string() });
    }
    let args = invocation.args();
    if let Some(key) = args.keys().find(|key| !matches!(key.as_str(), "out" | "ran" | "run")) {
        return Err(ReceiptError::UnknownArgument(key.clone()));
    }
    let Some(Ipld::Link(ran)) = args.get("ran") else { return Err(ReceiptError::Argument("ran")) };
    let outcome = args.get("out").filter(|out| Outcome::is_outcome(out)).ok_or(ReceiptError::Argument("out"))?;
    let effects = args.get("run").map_or(Some(Effects::default()), Effects::from_ipld);
    Ok((TaskId::new(*ran), outcome, effects.ok_or(ReceiptError::Argument("run"))?))
}

impl Token for Receipt {
    fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn issuer(&self) -> &Did {
        &self.fields.issuer
    }

    fn purpose(&self) -> Purpose {
        Purpose::Invocation
    }
}

/// A receipt that waits for its signature.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReceiptBuilder {
    ran: TaskId,
    outcome: Outcome,
    effects: Effects,
    meta: BTreeMap<String, Ipld>,
    cause: Option<ReceiptId>,
    issued_at: Option<Timestamp>,
    expiration: Option<Timestamp>,
}

impl ReceiptBuilder {
    /// Names what the task asks to have done next (`run`).
    pub fn effects(mut self, effects: Effects) -> Self {
        self.effects = effects;
        self
    }

    /// Says until when the executor stands by the result (`exp`), where it does not for ever.
    pub fn expiration(mut self, end: Timestamp) -> Self {
        self.expiration = Some(end);
        self
    }

    /// Adds metadata (`meta`).
    pub fn meta(mut self, meta: BTreeMap<String, Ipld>) -> Self {
        self.meta = meta;
        self
    }

    /// Names the receipt that this one rests on (`cause`).
    pub fn cause(mut self, cause: ReceiptId) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Says when the receipt is signed (`iat`).
    pub fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Signs the receipt as `executor`. The nonce is 16 random bytes.
    ///
    /// # Errors
    /// [`SignError`] where a value cannot be carried, or the signer fails.
    pub fn sign(self, executor: &Issuer, nonce: [u8; 16]) -> Result<Receipt, SignError> {
        let Self { ran, outcome, effects, meta, cause, issued_at, expiration } = self;
        let mut args: BTreeMap<String, Ipld> =
            [("out".to_owned(), outcome.to_ipld()), ("ran".to_owned(), Ipld::Link(Cid::from(ran)))].into();
        if !effects.is_empty() {
            args.insert("run".to_owned(), effects.to_ipld());
        }
        let command = Command::parse(RECEIPT_COMMAND)
            .map_err(|error| TokenError::InvalidField { field: "cmd", reason: error.to_string() })?;
        let mut builder: InvocationBuilder =
            Invocation::builder(executor.did().clone(), command, args).nonce(nonce.to_vec()).meta(meta);
        if let Some(cause) = cause {
            builder = builder.cause(Cid::from(cause));
        }
        if let Some(at) = issued_at {
            builder = builder.issued_at(at);
        }
        if let Some(end) = expiration {
            builder = builder.expiration(end);
        }
        let (envelope, Parsed { issuer, meta, cause, issued_at, expiration, .. }) =
            builder.sign(executor)?.into_parts();
        let cause = cause.map(ReceiptId::new);
        Ok(Receipt {
            envelope,
            fields: Arc::new(Stated { issuer, ran, outcome, effects, meta, cause, issued_at, expiration }),
        })
    }
}

/// Why a token is not a receipt.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The token itself cannot be read or made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is an invocation of something else.
    #[error("not a receipt: an invocation of {command}, where receipts invoke /ucan/assert/receipt")]
    NotAReceipt {
        /// The command that the token invokes.
        command: String,
    },
    /// Issuer, subject and audience of a receipt are one principal.
    #[error("a receipt is issued by its executor, who is its subject and its only audience")]
    Issuer,
    /// A required argument is missing or malformed.
    #[error("the receipt's argument {0:?} is missing or malformed")]
    Argument(&'static str),
    /// An argument that receipts do not have.
    #[error("the receipt has an unknown argument {0:?}")]
    UnknownArgument(String),
}

impl ReceiptError {
    /// The name of the error in the conformance protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token(error) => error.name(),
            _ => "MalformedToken",
        }
    }
}
