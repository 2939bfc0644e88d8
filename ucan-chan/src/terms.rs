use ucan_core::{Cid, Command, Delegation, DelegationBuilder, Did, Ipld, Policy, Timestamp, Token};
use ucan_invocation::Revoked;

use crate::amount::{MAX, Unit, amount};

/// The command of every delegation that is a channel.
pub const CHANNEL_COMMAND: &str = "/chan";
/// How many delegations the chain of a channel may have.
pub const DEPTH: usize = 8;
/// Under which key of its metadata a sub-channel names the channel above: a delegation does not say by itself on which it rests, and
/// whoever holds it could have it paid from any other channel of the same issuer.
const ABOVE: &str = "chan/above";
/// The fewest bytes of a nonce, which is what tells two channels apart.
const NONCE: usize = 12;

/// What a channel is: read from its chain of delegations.
///
/// Reading checks the shape of the chain and how its links fit, and no signature, revocation or time:
/// [`validate`](ucan_core::validate) does that, on a command of the channel.
///
/// ```
/// use ucan_chan::Terms;
/// use ucan_core::{Issuer, Timestamp};
/// use varsig::ed25519::SigningKey;
///
/// let [provider, funder, spender] = [1, 2, 3].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let until = Timestamp::EPOCH.saturating_add(1_000);
/// let offer = Terms::offer(provider.did(), funder.did().clone(), "gas".parse()?, 1_000, until)?;
/// let root = offer.nonce(b"a fresh one!".to_vec()).sign(&provider)?;
/// let part = Terms::read(&[root.clone()])?.share(spender.did().clone(), 300)?;
/// let part = part.nonce(b"another one!".to_vec()).sign(&funder)?;
/// let terms = Terms::read(&[root, part])?;
/// assert_eq!((terms.budget(), terms.holder(), terms.funder()), (300, spender.did(), funder.did()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub(crate) proofs: Vec<Cid>,
    pub(crate) id: Cid,
    pub(crate) provider: Did,
    pub(crate) funder: Did,
    pub(crate) holder: Did,
    pub(crate) unit: Unit,
    pub(crate) budget: u64,
    pub(crate) expiration: Timestamp,
}

impl Terms {
    /// The delegation by which `provider` offers a root channel to `funder`: it wants a nonce of at least 12 random bytes,
    /// and the signature of the provider.
    ///
    /// # Errors
    /// [`TermsError::Amount`] where the budget is more than [`MAX`].
    pub fn offer(
        provider: &Did,
        funder: Did,
        unit: Unit,
        budget: u64,
        until: Timestamp,
    ) -> Result<DelegationBuilder, TermsError> {
        delegation(provider, funder, &unit, budget, until)
    }

    /// The delegation by which the holder of this channel gives `to` a part of it as a sub-channel. It wants a nonce and the
    /// holder's signature, and must keep its metadata, which names this channel.
    ///
    /// # Errors
    /// [`TermsError::Wider`] where the part is more than the whole; [`TermsError::Length`] where the chain is as long as it may be.
    pub fn share(&self, to: Did, budget: u64) -> Result<DelegationBuilder, TermsError> {
        if budget > self.budget {
            return Err(TermsError::Wider { at: self.proofs.len(), budget, above: self.budget });
        }
        if self.proofs.len() >= DEPTH {
            return Err(TermsError::Length { length: self.proofs.len() + 1 });
        }
        let meta = [(ABOVE.to_owned(), Ipld::Link(self.id))].into();
        Ok(delegation(&self.provider, to, &self.unit, budget, self.expiration)?.meta(meta))
    }

    /// Reads the terms of a channel from its chain, root first.
    ///
    /// # Errors
    /// [`TermsError`] names the first delegation that does not fit, by its place from 0.
    pub fn read(chain: &[Delegation]) -> Result<Self, TermsError> {
        let (Some(root), Some(last)) = (chain.first(), chain.last()) else {
            return Err(TermsError::Length { length: 0 });
        };
        if chain.len() > DEPTH {
            return Err(TermsError::Length { length: chain.len() });
        }
        let provider = root.subject().ok_or(TermsError::NotAChannel { at: 0, what: "sub" })?;
        let (mut issuer, mut upper, mut expiration) = (provider, None::<(Unit, u64)>, Timestamp::MAX);
        for (at, link) in chain.iter().enumerate() {
            let (unit, budget, until) = read_one(at, link)?;
            if link.subject().is_none_or(|subject| !subject.same_principal(provider)) {
                return Err(TermsError::NotAChannel { at, what: "sub" });
            }
            if !link.issuer().same_principal(issuer) {
                return Err(TermsError::NotAChannel { at, what: "iss" });
            }
            let named = above(link);
            let before = at.checked_sub(1).and_then(|before| chain.get(before)).map(|link| Ipld::Link(*link.cid()));
            if named != before.as_ref() {
                return Err(TermsError::OtherAbove { at });
            }
            if let Some((upper_unit, above)) = &upper {
                if *upper_unit != unit {
                    return Err(TermsError::OtherUnit { at });
                }
                if budget > *above {
                    return Err(TermsError::Wider { at, budget, above: *above });
                }
            }
            (issuer, upper, expiration) = (link.audience(), Some((unit, budget)), expiration.min(until));
        }
        let (unit, budget) = upper.ok_or(TermsError::Length { length: 0 })?;
        Ok(Self {
            proofs: chain.iter().map(|link| *link.cid()).collect(),
            id: *last.cid(),
            provider: provider.clone(),
            funder: root.audience().clone(),
            holder: last.audience().clone(),
            unit,
            budget,
            expiration,
        })
    }

    /// The id of the channel: the CID of its delegation.
    #[must_use]
    pub fn id(&self) -> &Cid {
        &self.id
    }

    /// The channel above; none for a root.
    #[must_use]
    pub fn parent(&self) -> Option<&Cid> {
        self.proofs.len().checked_sub(2).and_then(|at| self.proofs.get(at))
    }

    /// The chain, root first.
    #[must_use]
    pub fn proofs(&self) -> &[Cid] {
        &self.proofs
    }

    /// Whose work is used up.
    #[must_use]
    pub fn provider(&self) -> &Did {
        &self.provider
    }

    /// Who owes what is drawn: the holder of the root.
    #[must_use]
    pub fn funder(&self) -> &Did {
        &self.funder
    }

    /// Who draws.
    #[must_use]
    pub fn holder(&self) -> &Did {
        &self.holder
    }

    /// What is counted.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// How much there is, in the unit.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// When the first delegation of the chain expires, and with it the channel.
    #[must_use]
    pub fn expiration(&self) -> Timestamp {
        self.expiration
    }
}

fn delegation(
    provider: &Did,
    to: Did,
    unit: &Unit,
    budget: u64,
    until: Timestamp,
) -> Result<DelegationBuilder, TermsError> {
    if budget > MAX {
        return Err(TermsError::Amount { at: 0 });
    }
    let malformed = |what| move |_| TermsError::NotAChannel { at: 0, what };
    let command = Command::parse(CHANNEL_COMMAND).map_err(|_| TermsError::NotAChannel { at: 0, what: "cmd" })?;
    let policy = Policy::parse(&policy(unit, budget)).map_err(malformed("pol"))?;
    Ok(Delegation::builder(to, Some(provider.clone()), command).policy(policy).expiration(until))
}

fn policy(unit: &Unit, budget: u64) -> Ipld {
    let text = |text: &str| Ipld::String(text.to_owned());
    Ipld::List(vec![
        Ipld::List(vec![text("=="), text(".unit"), text(unit.as_str())]),
        Ipld::List(vec![text("<="), text(".total"), Ipld::Integer(budget.into())]),
    ])
}

/// The unit, the budget and the expiry of one delegation.
fn read_one(at: usize, link: &Delegation) -> Result<(Unit, u64, Timestamp), TermsError> {
    let not = |what| TermsError::NotAChannel { at, what };
    if link.command().as_str() != CHANNEL_COMMAND {
        return Err(not("cmd"));
    }
    if link.nonce().len() < NONCE {
        return Err(not("nonce"));
    }
    let until = link.expiration().ok_or_else(|| not("exp"))?;
    let policy_of = link.policy().to_ipld();
    let Ipld::List(statements) = &policy_of else { return Err(not("pol")) };
    let (Some(Ipld::List(first)), Some(Ipld::List(second))) = (statements.first(), statements.get(1)) else {
        return Err(not("pol"));
    };
    let Some(Ipld::String(unit)) = first.get(2) else { return Err(not("pol")) };
    let unit: Unit = unit.parse().map_err(|_| not("pol"))?;
    let Some(bound @ Ipld::Integer(_)) = second.get(2) else { return Err(not("pol")) };
    let budget = amount(bound).ok_or(TermsError::Amount { at })?;
    // What was read has to be all there is: nothing in a policy may be overlooked.
    if policy_of == policy(&unit, budget) { Ok((unit, budget, until)) } else { Err(not("pol")) }
}

/// Why delegations are not the chain of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// There are none, or too many.
    #[error("a channel has a chain of 1 to 8 delegations, not of {length}")]
    Length {
        /// How many there are.
        length: usize,
    },
    /// A field is not as it is in channels.
    #[error("delegation {at} of the chain is no channel: its field {what:?} is not what a channel has there")]
    NotAChannel {
        /// Its place in the chain, from 0.
        at: usize,
        /// The field.
        what: &'static str,
    },
    /// It does not name the delegation before it as the channel above, or names one where there is none.
    #[error("delegation {at} of the chain does not name the one before it as the channel above")]
    OtherAbove {
        /// Its place in the chain, from 0.
        at: usize,
    },
    /// It counts something else than the channel above.
    #[error("delegation {at} of the chain has another unit than the one above it")]
    OtherUnit {
        /// Its place in the chain, from 0.
        at: usize,
    },
    /// It passes on more than there is.
    #[error("delegation {at} of the chain passes on {budget}, of a channel with a budget of {above}")]
    Wider {
        /// Its place in the chain, from 0.
        at: usize,
        /// What it passes on.
        budget: u64,
        /// The budget above.
        above: u64,
    },
    /// The budget is out of range.
    #[error("the budget of delegation {at} of the chain is not from 0 to 2^53 - 1")]
    Amount {
        /// Its place in the chain, from 0.
        at: usize,
    },
}

/// Puts the delegations of one channel, which came in any order, in the order of its chain: root first. [`Terms::read`] says whether they
/// are one.
///
/// # Errors
/// [`TermsError::Length`] where there are none or too many; [`TermsError::OtherAbove`] where they are not of one chain.
pub fn chain(delegations: Vec<Delegation>) -> Result<Vec<Delegation>, TermsError> {
    let length = delegations.len();
    if length == 0 || length > DEPTH {
        return Err(TermsError::Length { length });
    }
    let (mut left, mut chain) = (delegations, Vec::with_capacity(length));
    let mut next = None;
    while !left.is_empty() {
        let at = left.iter().position(|link| match above(link) {
            Some(Ipld::Link(named)) => Some(*named) == next,
            _ => next.is_none(),
        });
        let link = left.swap_remove(at.ok_or(TermsError::OtherAbove { at: chain.len() })?);
        next = Some(*link.cid());
        chain.push(link);
    }
    Ok(chain)
}

fn above(link: &Delegation) -> Option<&Ipld> {
    link.meta().and_then(|meta| meta.get(ABOVE))
}

/// Whether a delegation of a chain was revoked by somebody whose word counts: who issued it, or one above it.
#[must_use]
pub fn is_revoked(chain: &[Delegation], revoked: &Revoked) -> bool {
    let mut issuers = Vec::with_capacity(chain.len());
    chain.iter().any(|link| {
        issuers.push(link.issuer());
        let names = [*link.cid(), link.envelope().signed_cid()];
        names.iter().any(|name| issuers.iter().any(|issuer| revoked.by(name, issuer)))
    })
}
