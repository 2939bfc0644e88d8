use std::collections::BTreeMap;
use std::sync::Arc;

use ucan_core::{
    Authority, ChainError, ChainErrorClass, Cid, Command, Context, Delegation, Did, Envelope, Fields, Ipld, Issuer,
    Purpose, Request, Shape, SignError, SignatureError, TimeError, Timestamp, Token, TokenError, Unsigned, Verified,
    in_time, tag, validate, verify,
};

use crate::{InvocationId, Task};

/// A signed request, with proofs, that somebody do a Task (UCAN Invocation 1.0). Cloning it is cheap.
///
/// Decoding checks the shape alone. [`authorize`] checks everything, and gives the proof of it that executors demand.
#[derive(Clone, Debug)]
pub struct Invocation {
    envelope: Envelope,
    fields: Arc<Parsed>,
}

/// The fields of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) issuer: Did,
    audience: Option<Did>,
    pub(crate) task: Task,
    proofs: Vec<Cid>,
    pub(crate) expiration: Option<Timestamp>,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) cause: Option<Cid>,
    pub(crate) meta: BTreeMap<String, Ipld>,
}

/// An invocation on the wire (UCAN Invocation 1.0, "Invocation Payload").
const SHAPE: Shape = Shape {
    kind: "an invocation",
    tags: &[tag::INVOCATION, tag::INVOCATION_RC1],
    required: &["iss", "sub", "cmd", "args", "prf", "nonce", "exp"],
    optional: &["aud", "iat", "cause", "meta"],
};

impl Parsed {
    fn read(fields: &mut Fields<'_>) -> Result<Self, TokenError> {
        let (subject, args) = (fields.did("sub")?, fields.map("args")?);
        Ok(Self {
            issuer: fields.did("iss")?,
            audience: fields.optional_did("aud")?,
            task: Task::new(subject, fields.command("cmd")?, args, fields.nonce("nonce")?.to_vec()),
            proofs: fields.links("prf")?,
            expiration: fields.nullable_time("exp")?,
            issued_at: fields.optional_time("iat")?,
            cause: fields.optional_link("cause")?,
            meta: fields.optional_map("meta")?.unwrap_or_default(),
        })
    }
}

impl Invocation {
    /// Starts an invocation of `command` on `subject`.
    pub fn builder(subject: Did, command: Command, args: BTreeMap<String, Ipld>) -> InvocationBuilder {
        InvocationBuilder {
            subject,
            command,
            args,
            audience: None,
            proofs: Vec::new(),
            nonce: Vec::new(),
            expiration: None,
            issued_at: None,
            cause: None,
            meta: BTreeMap::new(),
        }
    }

    /// Reads an invocation from its token, strictly: canonical bytes, known tag, no unknown fields.
    ///
    /// # Errors
    /// [`TokenError`] names what is wrong and where.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Self, TokenError> {
        let (envelope, parsed) = Envelope::decode_as(bytes, &SHAPE, Parsed::read)?;
        Ok(Self { envelope, fields: Arc::new(parsed) })
    }

    /// Reads an invocation whose envelope has been read.
    ///
    /// # Errors
    /// [`TokenError`] where it is an envelope of something else, or a field is missing, malformed or not defined.
    pub fn from_envelope(envelope: Envelope) -> Result<Self, TokenError> {
        let parsed = envelope.parse_as(&SHAPE, Parsed::read)?;
        Ok(Self { envelope, fields: Arc::new(parsed) })
    }

    /// What it is made of, without copying anything where there is no other clone of it.
    pub(crate) fn into_parts(self) -> (Envelope, Parsed) {
        (self.envelope, Arc::unwrap_or_clone(self.fields))
    }

    /// The id of the invocation: the hash of its bytes.
    #[must_use]
    pub fn id(&self) -> InvocationId {
        InvocationId::new(*self.envelope.cid())
    }

    /// The task that it asks for.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.fields.task
    }

    /// Whose resource it concerns (`sub`).
    #[must_use]
    pub fn subject(&self) -> &Did {
        self.fields.task.subject()
    }

    /// What it asks for (`cmd`).
    #[must_use]
    pub fn command(&self) -> &Command {
        self.fields.task.command()
    }

    /// The arguments (`args`).
    #[must_use]
    pub fn args(&self) -> &BTreeMap<String, Ipld> {
        self.fields.task.args()
    }

    /// To whom it is addressed, where that is not the subject (`aud`).
    #[must_use]
    pub fn audience(&self) -> Option<&Did> {
        self.fields.audience.as_ref()
    }

    /// Who is to execute it: the audience, else the subject.
    #[must_use]
    pub fn executor(&self) -> &Did {
        self.fields.audience.as_ref().unwrap_or_else(|| self.subject())
    }

    /// The delegations that prove the authority, root first (`prf`).
    #[must_use]
    pub fn proofs(&self) -> &[Cid] {
        &self.fields.proofs
    }

    /// Until when it is valid; `None` is for ever (`exp`).
    #[must_use]
    pub fn expiration(&self) -> Option<Timestamp> {
        self.fields.expiration
    }

    /// When the issuer says that it was made (`iat`).
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.fields.issued_at
    }

    /// The receipt that asked for it (`cause`).
    #[must_use]
    pub fn cause(&self) -> Option<&Cid> {
        self.fields.cause.as_ref()
    }

    /// Metadata (`meta`), empty where there is none.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, Ipld> {
        &self.fields.meta
    }
}

impl Token for Invocation {
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

/// An invocation that was checked in full: signature, time, addressee and chain of delegations.
#[derive(Clone, Debug)]
pub struct Authorized {
    invocation: Verified<Invocation>,
    authority: Authority,
}

impl Authorized {
    /// The invocation.
    #[must_use]
    pub fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// The chain that covers it.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// Checks all of `invocation`: signature, time, proofs, chain, and that it is addressed to `executor`.
///
/// `proofs` finds a delegation by its CID. Checks run in the order that the UCAN 1.0 fixtures expect.
///
/// # Errors
/// [`InvocationError`] with the first thing that is wrong.
pub fn authorize(
    invocation: Invocation,
    executor: &Did,
    proofs: &dyn Fn(&Cid) -> Option<Delegation>,
    context: &Context<'_>,
) -> Result<Authorized, InvocationError> {
    let invocation = verify(invocation, context.keys)?;
    in_time(None, invocation.expiration(), context.now, context.skew)?;
    let chain = invocation
        .proofs()
        .iter()
        .map(|cid| proofs(cid).ok_or(InvocationError::UnavailableProof { proof: *cid }))
        .collect::<Result<Vec<_>, _>>()?;
    let request = Request {
        invoker: invocation.issuer(),
        subject: invocation.subject(),
        command: invocation.command(),
        args: invocation.task().args_value(),
    };
    let addressed = invocation.executor().same_principal(executor);
    let misaddressed =
        || InvocationError::Misaddressed { to: invocation.executor().clone(), receiver: executor.clone() };
    let authority = match validate(&request, &chain, context) {
        // Revocation is looked at after everything else has passed.
        Err(error) if error.class == ChainErrorClass::Revoked && !addressed => return Err(misaddressed()),
        result => result?,
    };
    if !addressed {
        return Err(misaddressed());
    }
    Ok(Authorized { invocation, authority })
}

/// Why an invocation is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvocationError {
    /// The signature does not hold, or its key cannot be had.
    #[error("the invocation's signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// It is not yet, or no longer, valid.
    #[error("the invocation is not valid now: {0}")]
    Time(#[from] TimeError),
    /// A proof that it names is not at hand.
    #[error("the proof {proof} that the invocation names is not available")]
    UnavailableProof {
        /// The delegation that is missing.
        proof: Cid,
    },
    /// The chain of delegations does not cover it.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It is addressed to somebody else.
    #[error("the invocation is addressed to {to}, not to {receiver}")]
    Misaddressed {
        /// To whom it is addressed.
        to: Did,
        /// Who received it.
        receiver: Did,
    },
}

impl InvocationError {
    /// The name of the error class in the conformance protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Signature(error) => error.name(),
            Self::Time(error) => error.name(),
            Self::UnavailableProof { .. } => "UnavailableProof",
            Self::Chain(error) => error.class.name(),
            Self::Misaddressed { .. } => "InvalidAudience",
        }
    }
}

/// An invocation that waits for its signature.
#[derive(Clone, Debug)]
#[must_use]
pub struct InvocationBuilder {
    subject: Did,
    command: Command,
    args: BTreeMap<String, Ipld>,
    audience: Option<Did>,
    proofs: Vec<Cid>,
    nonce: Vec<u8>,
    expiration: Option<Timestamp>,
    issued_at: Option<Timestamp>,
    cause: Option<Cid>,
    meta: BTreeMap<String, Ipld>,
}

impl InvocationBuilder {
    /// Addresses it to somebody other than the subject (`aud`); the subject itself is never written.
    pub fn audience(mut self, audience: Did) -> Self {
        self.audience = Some(audience).filter(|audience| *audience != self.subject);
        self
    }

    /// The delegations that prove the authority, root first (`prf`).
    pub fn proofs(mut self, proofs: Vec<Cid>) -> Self {
        self.proofs = proofs;
        self
    }

    /// What tells repeated requests apart. Empty, unless set: right for idempotent commands only.
    pub fn nonce(mut self, nonce: Vec<u8>) -> Self {
        self.nonce = nonce;
        self
    }

    /// Until when it is valid (`exp`). For ever, unless set.
    pub fn expiration(mut self, at: Timestamp) -> Self {
        self.expiration = Some(at);
        self
    }

    /// When it was made (`iat`).
    pub fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// The receipt that asked for it (`cause`).
    pub fn cause(mut self, receipt: Cid) -> Self {
        self.cause = Some(receipt);
        self
    }

    /// Metadata (`meta`).
    pub fn meta(mut self, meta: BTreeMap<String, Ipld>) -> Self {
        self.meta = meta;
        self
    }

    /// Signs it as `issuer`.
    ///
    /// # Errors
    /// [`SignError`] where a value cannot be carried, a bound is passed, or the signer fails.
    pub fn sign(self, issuer: &Issuer) -> Result<Invocation, SignError> {
        let mut payload: BTreeMap<String, Ipld> = [
            ("iss".to_owned(), Ipld::String(issuer.did().to_string())),
            ("sub".to_owned(), Ipld::String(self.subject.to_string())),
            ("cmd".to_owned(), Ipld::String(self.command.to_string())),
            ("args".to_owned(), Ipld::Map(self.args)),
            ("prf".to_owned(), Ipld::List(self.proofs.into_iter().map(Ipld::Link).collect())),
            ("nonce".to_owned(), Ipld::Bytes(self.nonce)),
            ("exp".to_owned(), self.expiration.map_or(Ipld::Null, time)),
        ]
        .into();
        let mut optional = |key: &str, value: Option<Ipld>| value.map(|value| payload.insert(key.to_owned(), value));
        optional("aud", self.audience.map(|audience| Ipld::String(audience.to_string())));
        optional("iat", self.issued_at.map(time));
        optional("cause", self.cause.map(Ipld::Link));
        optional("meta", Some(self.meta).filter(|meta| !meta.is_empty()).map(Ipld::Map));
        let unsigned = Unsigned::new(tag::INVOCATION, payload, issuer.signer().algorithm())?;
        let signature = issuer.signer().try_sign(unsigned.bytes())?;
        // What is written is read like any other, so that nothing is issued that others would refuse.
        Ok(Invocation::decode(unsigned.assemble(&signature))?)
    }
}

fn time(at: Timestamp) -> Ipld {
    Ipld::Integer(i128::from(at.as_secs()))
}
