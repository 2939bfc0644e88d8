use std::fmt;

use ucan_core::{Cid, Delegation, Did, KeySource, SignatureError, Token, verify};
use ucan_invocation::{Receipt, ReceiptError};

use crate::charge::Charge;
use crate::command::{Close, Settle};
use crate::error::CommandError;
use crate::terms::{Terms, TermsError};
use crate::voucher::Voucher;

/// What can be proved of somebody who cheats, by nothing but what it has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cheating {
    /// The holder signed two vouchers with one number and different contents.
    Equivocation,
    /// The holder signed a later voucher with a lower total.
    Rollback,
    /// The holder signed a voucher for more than the budget.
    Overdraft,
    /// The holder closed with a voucher that was not its last.
    StaleClose,
    /// The holder closed with another total than its voucher has.
    FalseClose,
    /// The provider claims what its voucher does not say.
    Overclaim,
    /// The provider stated two charges with one number and different contents.
    DoubleCharge,
    /// The provider stated a later charge with a lower sum.
    ChargeRollback,
    /// The provider claims more than it said that it had charged in all.
    Overcharge,
}

impl Cheating {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Equivocation,
        Self::Rollback,
        Self::Overdraft,
        Self::StaleClose,
        Self::FalseClose,
        Self::Overclaim,
        Self::DoubleCharge,
        Self::ChargeRollback,
        Self::Overcharge,
    ];

    /// Its name in the specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equivocation => "equivocation",
            Self::Rollback => "rollback",
            Self::Overdraft => "overdraft",
            Self::StaleClose => "staleClose",
            Self::FalseClose => "falseClose",
            Self::Overclaim => "overclaim",
            Self::DoubleCharge => "doubleCharge",
            Self::ChargeRollback => "chargeRollback",
            Self::Overcharge => "overcharge",
        }
    }

    /// How many tokens show it.
    fn tokens(self) -> usize {
        if self == Self::Overdraft { 1 } else { 2 }
    }
}

impl fmt::Display for Cheating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tokens of which it is claimed that they prove something of somebody. [`check`](Self::check) says whether they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    kind: Cheating,
    tokens: Vec<Vec<u8>>,
}

impl Proof {
    /// A claim of this kind, to be checked. The tokens are in the order of the specification's table: a closing, a claim
    /// or a receipt with a charge before what contradicts it.
    ///
    /// # Errors
    /// [`ProofError::Tokens`] where the kind has another number of tokens.
    pub fn new(kind: Cheating, tokens: Vec<Vec<u8>>) -> Result<Self, ProofError> {
        if tokens.len() == kind.tokens() { Ok(Self { kind, tokens }) } else { Err(ProofError::Tokens) }
    }

    pub(crate) fn of(kind: Cheating, tokens: &[&[u8]]) -> Self {
        Self { kind, tokens: tokens.iter().map(|token| token.to_vec()).collect() }
    }

    /// What it claims.
    #[must_use]
    pub fn kind(&self) -> Cheating {
        self.kind
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &[Vec<u8>] {
        &self.tokens
    }

    /// Checks it against the chain of its channel, and says who cheated. Nothing else has to be known or believed.
    ///
    /// # Errors
    /// [`ProofError`] where it proves nothing.
    pub fn check(&self, chain: &[Delegation], keys: &dyn KeySource) -> Result<Did, ProofError> {
        for link in chain {
            verify(link, keys)?;
        }
        let case = Case { terms: Terms::read(chain)?, keys };
        let (first, second) = match &self.tokens[..] {
            [one] => (one, one),
            [one, two] => (one, two),
            _ => return Err(ProofError::Tokens),
        };
        let holds = match self.kind {
            Cheating::Equivocation => {
                let (one, two) = (case.voucher(first)?, case.voucher(second)?);
                one.sequence() == two.sequence() && !one.same_statement(&two)
            }
            Cheating::Rollback => {
                let (one, two) = (case.voucher(first)?, case.voucher(second)?);
                (one.sequence() > two.sequence() && one.total() < two.total())
                    || (one.sequence() < two.sequence() && one.total() > two.total())
            }
            Cheating::Overdraft => case.voucher(first)?.total() > case.terms.budget,
            Cheating::StaleClose => case.close(first)?.sequence() < case.voucher(second)?.sequence(),
            Cheating::FalseClose => {
                let (close, voucher) = (case.close(first)?, case.voucher(second)?);
                close.sequence() == voucher.sequence() && close.total() != voucher.total()
            }
            Cheating::Overclaim => case.overclaims(first, second)?,
            Cheating::DoubleCharge => {
                let (one, two) = (case.charge(first)?, case.charge(second)?);
                one.0.number == two.0.number && one != two
            }
            Cheating::ChargeRollback => {
                let (one, two) = (case.charge(first)?.0, case.charge(second)?.0);
                (one.number > two.number && one.charged < two.charged)
                    || (one.number < two.number && one.charged > two.charged)
            }
            Cheating::Overcharge => {
                let (charge, settle) = (case.charge(first)?.0, case.settle(second)?);
                charge.last && settle.total() > charge.charged
            }
        };
        if !holds {
            return Err(ProofError::Consistent { kind: self.kind });
        }
        Ok(match self.kind {
            Cheating::Overclaim | Cheating::DoubleCharge | Cheating::ChargeRollback | Cheating::Overcharge => {
                case.terms.provider
            }
            _ => case.terms.holder,
        })
    }
}

/// A channel, and tokens about it by those whose part it is.
struct Case<'a> {
    terms: Terms,
    keys: &'a dyn KeySource,
}

impl Case<'_> {
    fn signed(&self, token: &dyn TokenOf, by: &Did, channel: &Cid) -> Result<(), ProofError> {
        if *channel != self.terms.id {
            return Err(ProofError::OtherChannel { named: *channel });
        }
        if !token.by().same_principal(by) {
            return Err(ProofError::OtherParty);
        }
        Ok(token.holds(self.keys)?)
    }

    fn voucher(&self, bytes: &[u8]) -> Result<Voucher, ProofError> {
        let voucher = Voucher::decode(bytes)?;
        self.signed(&voucher, &self.terms.holder, voucher.channel())?;
        Ok(voucher)
    }

    fn close(&self, bytes: &[u8]) -> Result<Close, ProofError> {
        let close = Close::decode(bytes)?;
        self.signed(&close, &self.terms.holder, close.channel())?;
        Ok(close)
    }

    fn settle(&self, bytes: &[u8]) -> Result<Settle, ProofError> {
        let settle = Settle::decode(bytes)?;
        self.signed(&settle, &self.terms.provider, settle.channel())?;
        Ok(settle)
    }

    /// The charge in a receipt, with the task that it is for.
    fn charge(&self, bytes: &[u8]) -> Result<(Charge, ucan_invocation::TaskId), ProofError> {
        let receipt = Receipt::decode(bytes)?;
        let charge = Charge::of(&receipt)?.ok_or(ProofError::NoCharge)?;
        self.signed(&receipt, &self.terms.provider, &charge.channel)?;
        Ok((charge, *receipt.ran()))
    }

    /// Whether a claim says what its voucher does not. The claim names the voucher by its hash, so that whatever has that
    /// hash is what the provider meant.
    fn overclaims(&self, claim: &[u8], voucher: &[u8]) -> Result<bool, ProofError> {
        let settle = self.settle(claim)?;
        let voucher = Voucher::decode(voucher)?;
        if settle.voucher() != Some(voucher.envelope().cid()) {
            return Err(ProofError::Consistent { kind: Cheating::Overclaim });
        }
        let meant = settle.channel() == voucher.channel()
            && settle.sequence() == voucher.sequence()
            && settle.unit() == voucher.unit()
            && voucher.issuer().same_principal(&self.terms.holder)
            && verify(&voucher, self.keys).is_ok();
        Ok(!meant || settle.total() > voucher.total())
    }
}

/// A token of any kind.
trait TokenOf {
    fn by(&self) -> &Did;
    fn holds(&self, keys: &dyn KeySource) -> Result<(), SignatureError>;
}

impl<T: Token> TokenOf for T {
    fn by(&self) -> &Did {
        self.issuer()
    }

    fn holds(&self, keys: &dyn KeySource) -> Result<(), SignatureError> {
        verify(self, keys).map(drop)
    }
}

/// Why tokens prove nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There are more or fewer tokens than such a proof has.
    #[error("a proof of this kind has another number of tokens")]
    Tokens,
    /// The delegations are not the chain of a channel.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// A token is not what it should be.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A token is no receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A receipt charges nothing.
    #[error("the receipt has no charge")]
    NoCharge,
    /// A signature does not hold.
    #[error("a signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// A token is about another channel.
    #[error("a token is about the channel {named}, which is not the one of the chain")]
    OtherChannel {
        /// The channel that it names.
        named: Cid,
    },
    /// A token is by somebody else than who is accused.
    #[error("a token is not by the one whom it is said to convict")]
    OtherParty,
    /// The tokens do not contradict each other.
    #[error("the tokens are no proof of {kind}: there is no contradiction in them")]
    Consistent {
        /// What they were said to prove.
        kind: Cheating,
    },
}
