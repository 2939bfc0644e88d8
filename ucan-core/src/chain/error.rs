//! Why a chain does not authorise a request.

use std::fmt;

use crate::Cid;

/// A chain that does not authorise a request.
///
/// ```
/// use ucan_core::ChainErrorClass;
///
/// assert_eq!(ChainErrorClass::MatchError.name(), "MatchError");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainError {
    /// What kind of failure it is.
    pub class: ChainErrorClass,
    /// Which proof it is about, the root being 0; none when it is about the request itself.
    pub proof: Option<usize>,
    /// What clashes with what.
    pub detail: String,
}

impl ChainError {
    /// A failure of a proof, or of the request itself.
    pub fn new(class: ChainErrorClass, proof: Option<usize>, detail: impl Into<String>) -> Self {
        Self { class, proof, detail: detail.into() }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.class)?;
        if let Some(proof) = self.proof {
            write!(f, "proof {proof}: ")?;
        }
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ChainError {}

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident,)*) => {
        /// The kinds of failure of a chain, named as in the UCAN 1.0 fixtures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ChainErrorClass {
            $($(#[$doc])* $class,)*
        }

        impl ChainErrorClass {
            /// The name of the error in the conformance protocol.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$class => stringify!($class),)*
                }
            }
        }
    };
}

classes! {
    /// A signature is not its issuer's.
    InvalidSignature,
    /// A signature is of an algorithm that cannot be verified here.
    UnsupportedAlgorithm,
    /// An expiration has passed.
    Expired,
    /// A start has not come.
    TooEarly,
    /// A proof is not at hand.
    UnavailableProof,
    /// The root is a powerline, or there are no proofs and the invoker is not the subject.
    InvalidClaim,
    /// A proof is about another subject.
    InvalidSubject,
    /// A hop does not line up with the next, the root is not issued by the subject, or the last audience is not the invoker.
    InvalidAudience,
    /// A proof does not cover the command.
    InvalidCommand,
    /// The arguments violate a policy.
    MatchError,
    /// A proof has been revoked.
    Revoked,
    /// The invocation has been used before.
    Replayed,
    /// There are more proofs than are looked at.
    LimitExceeded,
}

impl fmt::Display for ChainErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No chain among the given delegations authorises a request.
///
/// Its text says what is missing, in words that somebody can act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NoChain {
    pub(super) closest: Option<Box<(Cid, ChainErrorClass)>>,
    pub(super) detail: String,
}

impl NoChain {
    /// The delegation that would have come closest, and the rule that it breaks; none when there is nothing to mend.
    pub fn closest(&self) -> Option<(&Cid, ChainErrorClass)> {
        self.closest.as_deref().map(|(cid, class)| (cid, *class))
    }

    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        "NoChain"
    }
}
