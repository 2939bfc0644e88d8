use ucan_core::{
    Authority, ChainError, Cid, Context, Delegation, Did, Request, SignatureError, Token, Verified, in_time, validate,
    verify,
};

use crate::{Effects, Invocation, Outcome, ReceiptError, ReceiptId, TaskError, TaskId, receipt::statement};

/// A receipt from somebody else, checked in full: its signature, and that whoever issued it may speak for the executor.
///
/// It differs from a verified [`Receipt`](crate::Receipt) in that its issuer may be another than the executor, where proofs
/// let them issue receipts on the executor's behalf. Only [`attest`] makes it.
#[derive(Clone, Debug)]
pub struct Attested {
    invocation: Verified<Invocation>,
    authority: Authority,
    ran: TaskId,
    outcome: Outcome,
    effects: Effects,
    expired: bool,
}

impl Attested {
    /// The token: an invocation of [`RECEIPT_COMMAND`](crate::RECEIPT_COMMAND).
    #[must_use]
    pub fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// The id of the receipt: the hash of its bytes.
    #[must_use]
    pub fn id(&self) -> ReceiptId {
        ReceiptId::new(*self.invocation.envelope().cid())
    }

    /// Who executed the task: the subject of the receipt.
    #[must_use]
    pub fn executor(&self) -> &Did {
        self.invocation.subject()
    }

    /// By which chain of delegations the issuer speaks for the executor; without proofs where they are one.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The task that was run, as it was invoked.
    #[must_use]
    pub fn ran(&self) -> &TaskId {
        &self.ran
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What the task asks to have done next.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Whether the executor no longer stands by the result at the time that was given: a warning, since the statement stays
    /// signed.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.expired
    }
}

/// Checks a receipt in full (UCAN Receipt): its shape, its signature, and that its issuer is the executor or has proofs to
/// speak for it.
///
/// `request` is the invocation that it is to answer, if there is one: then the executor has to be the one that the request is
/// addressed to, and the task the one that it asks for. `proofs` finds a delegation by its CID. That the receipt itself has
/// expired is not an error; that a proof has is one.
///
/// ```
/// use ucan_core::{Context, DidKeys, Ipld, Issuer, Timestamp, block};
/// use ucan_invocation::{Invocation, Outcome, Receipt, TaskId, attest};
/// use varsig::ed25519::SigningKey;
///
/// let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let ran = TaskId::new(block::dag_cbor_cid(b"a task"));
/// let receipt = Receipt::builder(ran, Outcome::Ok(Ipld::Integer(42))).sign(&executor, [7; 16])?;
///
/// let context = Context::new(Timestamp::EPOCH, &DidKeys);
/// let attested = attest(Invocation::decode(receipt.bytes())?, None, &|_| None, &context)?;
/// assert_eq!((attested.executor(), attested.ran()), (executor.did(), &ran));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`AttestError`] with the first thing that is wrong.
pub fn attest(
    invocation: Invocation,
    request: Option<&Invocation>,
    proofs: &dyn Fn(&Cid) -> Option<Delegation>,
    context: &Context<'_>,
) -> Result<Attested, AttestError> {
    let (ran, outcome, effects) = statement(&invocation)?;
    let invocation = verify(invocation, context.keys)?;
    let issuer = invocation.issuer();
    if let Some(audience) = invocation.audience().filter(|audience| !audience.same_principal(issuer)) {
        return Err(AttestError::Audience { audience: audience.clone(), issuer: issuer.clone() });
    }
    let chain = invocation.proofs().iter().enumerate();
    let chain = chain
        .map(|(index, cid)| proofs(cid).ok_or(AttestError::UnavailableProof { proof: *cid, index }))
        .collect::<Result<Vec<_>, _>>()?;
    let asked = Request {
        invoker: issuer,
        subject: invocation.subject(),
        command: invocation.command(),
        args: invocation.task().args_value(),
    };
    let authority = validate(&asked, &chain, context)?;
    if let Some(request) = request {
        if !request.executor().same_principal(invocation.subject()) {
            let (asked, executor) = (request.executor().clone(), invocation.subject().clone());
            return Err(AttestError::Executor { asked, executor });
        }
        let asked = request.task().id()?;
        if asked != ran {
            return Err(AttestError::OtherTask { asked, ran });
        }
    }
    let expired = in_time(None, invocation.expiration(), context.now, context.skew).is_err();
    Ok(Attested { invocation, authority, ran, outcome, effects, expired })
}

/// Why a receipt is not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// It is not a receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The signature does not hold, or its key cannot be had.
    #[error("the receipt's signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// It is addressed to somebody else than its issuer.
    #[error("the receipt is addressed to {audience}, where only its issuer {issuer} may stand")]
    Audience {
        /// To whom it is addressed.
        audience: Did,
        /// Who issued it.
        issuer: Did,
    },
    /// A proof that it names is not at hand.
    #[error("the proof {proof} that the receipt names is not available")]
    UnavailableProof {
        /// The delegation that is missing.
        proof: Cid,
        /// Its place among the proofs, the root being 0.
        index: usize,
    },
    /// Its issuer is not the executor, and the proofs do not let it speak for the executor.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Somebody else was asked.
    #[error("{asked} was asked, and the receipt is about what {executor} did")]
    Executor {
        /// Who was asked.
        asked: Did,
        /// Who the receipt says executed the task.
        executor: Did,
    },
    /// It answers another request.
    #[error("the receipt is about the task {ran}, and {asked} was asked for")]
    OtherTask {
        /// The task of the request.
        asked: TaskId,
        /// The task of the receipt.
        ran: TaskId,
    },
    /// The request's task has no id.
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl AttestError {
    /// The name of the error in the conformance protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Receipt(error) => error.name(),
            Self::Signature(error) => error.name(),
            Self::Audience { .. } | Self::Executor { .. } => "InvalidAudience",
            Self::UnavailableProof { .. } => "UnavailableProof",
            Self::Chain(error) => error.class.name(),
            Self::OtherTask { .. } => "InvalidClaim",
            Self::Task(_) => "MalformedToken",
        }
    }

    /// Which proof it is about, the root being 0; none when it is about the receipt itself.
    #[must_use]
    pub fn proof(&self) -> Option<usize> {
        match self {
            Self::UnavailableProof { index, .. } => Some(*index),
            Self::Chain(error) => error.proof,
            _ => None,
        }
    }
}
