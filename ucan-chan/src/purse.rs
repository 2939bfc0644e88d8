use ucan_core::Issuer;
use ucan_invocation::TaskId;

use crate::amount::sum;
use crate::charge::Charge;
use crate::error::IssueError;
use crate::terms::Terms;
use crate::voucher::Voucher;

/// What a holder knows of its channel: what it has signed, what was charged, and what is under way. It computes only.
///
/// The one thing that a holder must not do is to sign one number twice with different contents: that is proof of cheating,
/// whatever the reason. So [`reserve`](Self::reserve) fixes the contents of the next voucher in the purse. **The purse has to be
/// durable ([`encode`](Self::encode)) before [`Draft::sign`] is called**; after a crash, [`draft`](Self::draft) has the same
/// contents to be signed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    pub(crate) terms: Terms,
    pub(crate) sequence: u64,
    pub(crate) total: u64,
    pub(crate) paid_for: Option<TaskId>,
    pub(crate) charged: u64,
    /// The number of the latest charge.
    pub(crate) charges: u64,
    pub(crate) under_way: u64,
    pub(crate) allotted: u64,
    pub(crate) closed: bool,
}

/// The contents of a voucher that is about to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The place of the voucher, from 1.
    pub sequence: u64,
    /// What it states as total.
    pub total: u64,
    /// The task that it pays for.
    pub paid_for: TaskId,
}

impl Draft {
    /// Signs it as the holder. The purse that it came from has to be durable by now.
    ///
    /// # Errors
    /// [`IssueError`] where the signer fails.
    pub fn sign(&self, holder: &Issuer, terms: &Terms) -> Result<Voucher, IssueError> {
        Voucher::sign(holder, terms, self.sequence, self.total, self.paid_for)
    }
}

impl Purse {
    /// The purse of a channel on which nothing was drawn.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            sequence: 0,
            total: 0,
            paid_for: None,
            charged: 0,
            charges: 0,
            under_way: 0,
            allotted: 0,
            closed: false,
        }
    }

    /// What the channel is.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The place of the last voucher; 0 where there is none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How much was signed for.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much the provider has said that it charged.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// What can still be spent or given to sub-channels.
    #[must_use]
    pub fn left(&self) -> u64 {
        let spoken_for = self.total.max(self.charged.saturating_add(self.under_way));
        self.terms.budget.saturating_sub(spoken_for).saturating_sub(self.allotted)
    }

    /// Whether nothing more is signed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The contents of the last voucher, to be signed again; none before the first.
    #[must_use]
    pub fn draft(&self) -> Option<Draft> {
        self.paid_for.map(|paid_for| Draft { sequence: self.sequence, total: self.total, paid_for })
    }

    /// Sets the limit of a task aside, and gives the next voucher. What was signed for and not used pays first: the total
    /// grows by what is missing.
    ///
    /// # Errors
    /// [`PurseError::Exhausted`] where the budget does not suffice, [`PurseError::Closed`]; the purse is as it was.
    pub fn reserve(&mut self, task: TaskId, limit: u64) -> Result<Draft, PurseError> {
        if self.closed {
            return Err(PurseError::Closed);
        }
        let needs = sum(self.charged, self.under_way).and_then(|used| sum(used, limit));
        let total = needs.map(|needs| needs.max(self.total));
        let most = self.terms.budget.saturating_sub(self.allotted);
        let exhausted =
            PurseError::Exhausted { left: most.saturating_sub(self.charged + self.under_way), asked: limit };
        let total = total.filter(|total| *total <= most).ok_or(exhausted)?;
        let sequence = sum(self.sequence, 1).ok_or(PurseError::Closed)?;
        (self.sequence, self.total, self.paid_for) = (sequence, total, Some(task));
        self.under_way += limit;
        Ok(Draft { sequence, total, paid_for: task })
    }

    /// Takes what a provider has charged for a task for which `limit` was set aside. The rest pays for the next task. Receipts may
    /// come in any order.
    ///
    /// # Errors
    /// [`PurseError::Overcharged`] where it is more than the limit, or more in all than was signed for: the receipt
    /// is not worth another voucher. [`PurseError::OtherChannel`] where it is about another one.
    pub fn settled(&mut self, limit: u64, charge: &Charge) -> Result<(), PurseError> {
        if charge.channel != self.terms.id || charge.unit != self.terms.unit {
            return Err(PurseError::OtherChannel);
        }
        if charge.cost > limit || charge.charged > self.total {
            return Err(PurseError::Overcharged {
                cost: charge.cost,
                limit,
                charged: charge.charged,
                total: self.total,
            });
        }
        self.let_go(limit)?;
        self.charged = self.charged.max(charge.charged);
        self.charges = self.charges.max(charge.number);
        Ok(())
    }

    /// Lets go of what was set aside for a task that did not run.
    ///
    /// # Errors
    /// [`PurseError::NotSetAside`] where less is set aside.
    pub fn let_go(&mut self, limit: u64) -> Result<(), PurseError> {
        self.under_way = self.under_way.checked_sub(limit).ok_or(PurseError::NotSetAside)?;
        Ok(())
    }

    /// Sets the budget of a sub-channel aside: to be done before its delegation is signed.
    ///
    /// # Errors
    /// [`PurseError::Exhausted`] and [`PurseError::Closed`]; the purse is as it was.
    pub fn allot(&mut self, budget: u64) -> Result<(), PurseError> {
        if self.closed {
            return Err(PurseError::Closed);
        }
        if budget > self.left() {
            return Err(PurseError::Exhausted { left: self.left(), asked: budget });
        }
        self.allotted += budget;
        Ok(())
    }

    /// Takes back what a sub-channel that is settled has not used up.
    ///
    /// # Errors
    /// [`PurseError::NotSetAside`] where less is set aside.
    pub fn take_back(&mut self, unused: u64) -> Result<(), PurseError> {
        self.allotted = self.allotted.checked_sub(unused).ok_or(PurseError::NotSetAside)?;
        Ok(())
    }

    /// Signs nothing more, and says with what to close: the place and the total of the last voucher.
    pub fn close(&mut self) -> (u64, u64) {
        self.closed = true;
        (self.sequence, self.total)
    }
}

/// Why a purse does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PurseError {
    /// The budget does not suffice.
    #[error("the channel has {left} left, and {asked} is needed: open another one, or take back a sub-channel")]
    Exhausted {
        /// What is left.
        left: u64,
        /// What was asked for.
        asked: u64,
    },
    /// It was closed.
    #[error("the channel was closed, so that nothing more may be signed for it")]
    Closed,
    /// A charge is about another channel.
    #[error("the charge is about another channel, or in another unit")]
    OtherChannel,
    /// The provider charges more than was agreed.
    #[error("the provider charges {cost} for a task with a limit of {limit}, {charged} of {total} in all: pay no more")]
    Overcharged {
        /// What it charges for the task.
        cost: u64,
        /// What was set aside for the task.
        limit: u64,
        /// What it charges in all.
        charged: u64,
        /// What was signed for.
        total: u64,
    },
    /// So much was not set aside.
    #[error("so much is not set aside")]
    NotSetAside,
}
