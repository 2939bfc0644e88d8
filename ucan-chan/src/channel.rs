use ucan_core::{Cid, Context, Timestamp, Token, Verified};
use ucan_invocation::TaskId;

use crate::amount::Unit;
use crate::charge::Charge;
use crate::command::Open;
use crate::proof::{Cheating, Proof};
use crate::refusal::{ChannelError, DrawError};
use crate::tasks::Known;
use crate::terms::Terms;
use crate::voucher::Voucher;

/// How far a channel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It can be drawn on.
    Open,
    /// It was closed, and can be disputed.
    Closing {
        /// Until when.
        until: Timestamp,
        /// Who closed it; none where it expired, or its delegation was revoked.
        by: Option<Side>,
    },
    /// It is over.
    Settled {
        /// What the funder owes for it, sub-channels apart.
        due: u64,
    },
}

/// One of the two who can close a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever draws.
    Holder,
    /// Whose work is used up.
    Provider,
}

/// What a provider knows of a channel. It computes only, waits for nothing, and does not grow with use.
///
/// Every change is one method, after whose error the channel is as it was. What has changed has to be made durable before
/// anybody is told: [`Till`](crate::Till) does that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub(crate) terms: Terms,
    /// The invocation that opened it.
    pub(crate) opened: Cid,
    pub(crate) window: u64,
    pub(crate) status: Status,
    /// Of the voucher that was stated on closing.
    pub(crate) closed_at: (u64, u64),
    pub(crate) sequence: u64,
    pub(crate) total: u64,
    /// The highest voucher; empty where there is none.
    pub(crate) voucher: Vec<u8>,
    pub(crate) allotted: u64,
    /// How many sub-channels are not settled.
    pub(crate) children: u64,
    pub(crate) charged: u64,
    pub(crate) charges: u64,
    /// What is under way, each task once, at most [`TASKS`](crate::TASKS).
    pub(crate) tasks: Vec<Known>,
    /// In which epoch of its provider the latest was reserved.
    pub(crate) epoch: u64,
}

/// A part of a channel's credit that is set aside for a task. [`Channel::charge`] takes it back; one that is dropped stays set
/// aside until the provider's next epoch.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is reserved has to be charged or let go of"]
pub struct Reservation {
    pub(crate) channel: Cid,
    pub(crate) task: TaskId,
    pub(crate) limit: u64,
    pub(crate) epoch: u64,
    pub(crate) earlier: Option<Charge>,
}

impl Reservation {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Cid {
        &self.channel
    }

    /// The task for which it is set aside.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// The most that can be charged for the task, in the unit of the channel.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What was charged for the task before, if nobody has said that there is a receipt which says so: then nothing more is charged.
    #[must_use]
    pub fn earlier(&self) -> Option<&Charge> {
        self.earlier.as_ref()
    }
}

impl Channel {
    /// A root channel that its holder opens. That the chain holds is for the caller to have checked:
    /// [`Till`](crate::Till) does.
    ///
    /// # Errors
    /// [`ChannelError`] where `open` does not accept exactly these terms, or they are those of a sub-channel.
    pub fn open(terms: Terms, open: &Verified<Open>) -> Result<Self, ChannelError> {
        if terms.parent().is_some() {
            return Err(ChannelError::OtherParent);
        }
        Self::new(terms, open)
    }

    /// A sub-channel of this one, whose budget is set aside here.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ChannelError::Exhausted`] where less than its budget is left here, and
    /// [`ChannelError::NotOpen`].
    pub fn open_below(&mut self, terms: Terms, open: &Verified<Open>, now: Timestamp) -> Result<Self, ChannelError> {
        self.usable(now)?;
        let above = terms.proofs.len().checked_sub(1).and_then(|length| terms.proofs.get(..length));
        if above != Some(self.terms.proofs()) {
            return Err(ChannelError::OtherParent);
        }
        let asked = terms.budget;
        if asked > self.left() {
            return Err(ChannelError::Exhausted { left: self.left(), asked });
        }
        let child = Self::new(terms, open)?;
        self.allotted += asked;
        self.children += 1;
        Ok(child)
    }

    fn new(terms: Terms, open: &Verified<Open>) -> Result<Self, ChannelError> {
        let same = *open.channel() == terms.id && *open.unit() == terms.unit && open.total() == terms.budget;
        if !same || open.invocation().proofs() != terms.proofs() {
            return Err(ChannelError::OtherTerms);
        }
        if !open.issuer().same_principal(&terms.holder) || !open.invocation().subject().same_principal(&terms.provider)
        {
            return Err(ChannelError::OtherParty);
        }
        Ok(Self {
            opened: *open.envelope().cid(),
            window: open.window(),
            status: Status::Open,
            closed_at: (0, 0),
            sequence: 0,
            total: 0,
            voucher: Vec::new(),
            allotted: 0,
            children: 0,
            charged: 0,
            charges: 0,
            tasks: Vec::new(),
            epoch: 0,
            terms,
        })
    }

    /// What the channel is.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The invocation that opened it.
    #[must_use]
    pub fn opened(&self) -> &Cid {
        &self.opened
    }

    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The place of the highest voucher; 0 where there is none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How much has been signed for.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much was charged.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// How much is set aside for sub-channels, and was used up by those that are settled.
    #[must_use]
    pub fn allotted(&self) -> u64 {
        self.allotted
    }

    /// What can still be drawn or given to sub-channels.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.terms.budget.saturating_sub(self.total).saturating_sub(self.allotted)
    }

    /// What was signed for and neither charged nor set aside.
    #[must_use]
    pub fn credit(&self) -> u64 {
        self.total.saturating_sub(self.charged).saturating_sub(self.reserved())
    }

    /// The token of the highest voucher, which is all that is needed to settle.
    #[must_use]
    pub fn voucher(&self) -> Option<&[u8]> {
        Some(&self.voucher[..]).filter(|voucher| !voucher.is_empty())
    }

    /// Takes a voucher, and says how much more it draws. One that was taken, or is older, draws nothing.
    ///
    /// # Errors
    /// [`DrawError`]; [`DrawError::Cheating`] has the proof that the holder signed what it must not.
    pub fn draw(&mut self, voucher: &Verified<Voucher>, now: Timestamp) -> Result<u64, DrawError> {
        if *voucher.channel() != self.terms.id {
            return Err(DrawError::OtherChannel { named: *voucher.channel(), own: self.terms.id });
        }
        if !voucher.issuer().same_principal(&self.terms.holder)
            || !voucher.provider().same_principal(&self.terms.provider)
        {
            return Err(DrawError::OtherParty);
        }
        if voucher.proofs() != self.terms.proofs() {
            return Err(DrawError::OtherChain);
        }
        if *voucher.unit() != self.terms.unit && voucher.sequence() != self.sequence {
            return Err(DrawError::OtherUnit { unit: voucher.unit().clone() });
        }
        let cheating =
            |kind, tokens: &[&[u8]]| Err(DrawError::Cheating { kind, proof: Box::new(Proof::of(kind, tokens)) });
        let pair = [&self.voucher[..], voucher.bytes()];
        if voucher.sequence() == self.sequence {
            let same = Voucher::decode(&self.voucher[..]).is_ok_and(|held| held.same_statement(voucher));
            return if same { Ok(0) } else { cheating(Cheating::Equivocation, &pair) };
        }
        if voucher.total() > self.terms.budget {
            return cheating(Cheating::Overdraft, &[voucher.bytes()]);
        }
        let newer = voucher.sequence() > self.sequence;
        if newer && voucher.total() < self.total || !newer && voucher.total() > self.total {
            return cheating(Cheating::Rollback, &pair);
        }
        if !newer {
            return Ok(0);
        }
        self.drawable(now)?;
        let more = voucher.total() - self.total;
        if more > self.left() {
            return Err(DrawError::Exhausted { left: self.left(), asked: more });
        }
        self.total = voucher.total();
        self.sequence = voucher.sequence();
        self.voucher = voucher.bytes().to_vec();
        Ok(more)
    }

    /// Vouchers may also come while a closing can be disputed, if they were signed before.
    fn drawable(&self, now: Timestamp) -> Result<(), DrawError> {
        match self.status {
            Status::Open if now > self.ends() => Err(DrawError::Expired { at: self.terms.expiration }),
            Status::Open => Ok(()),
            Status::Closing { until, .. } if now < until => Ok(()),
            Status::Closing { .. } | Status::Settled { .. } => Err(DrawError::Over),
        }
    }

    /// When the channel expires, with what clocks may be apart.
    pub(crate) fn ends(&self) -> Timestamp {
        self.terms.expiration.saturating_add(Context::SKEW)
    }

    pub(crate) fn usable(&self, now: Timestamp) -> Result<(), ChannelError> {
        if self.status != Status::Open || now > self.ends() {
            return Err(ChannelError::NotOpen);
        }
        Ok(())
    }

    pub(crate) fn stated(&self, cost: u64, last: bool) -> Charge {
        Charge {
            channel: self.terms.id,
            unit: self.terms.unit.clone(),
            number: self.charges,
            cost,
            charged: self.charged,
            last,
        }
    }

    /// The unit of the channel.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.terms.unit
    }
}
