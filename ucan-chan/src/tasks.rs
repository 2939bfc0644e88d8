//! The tasks that a channel knows of: those for which something is set aside, and those whose charges have no receipt yet.

use ucan_core::Timestamp;
use ucan_invocation::TaskId;

use crate::amount::sum;
use crate::channel::{Channel, Reservation, Status};
use crate::charge::Charge;
use crate::refusal::ChannelError;

/// How many tasks a channel knows of at once.
pub const TASKS: usize = 64;

/// A task that is under way, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) task: TaskId,
    pub(crate) stage: Stage,
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// So much is set aside for it.
    Reserved { limit: u64 },
    /// It was charged for, and nobody has said that there is a receipt which says so.
    Charged { number: u64, cost: u64, charged: u64 },
}

impl Channel {
    /// How much is set aside for tasks that are under way.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        let limits = self.tasks.iter().map(|known| match known.stage {
            Stage::Reserved { limit } => limit,
            Stage::Charged { .. } => 0,
        });
        limits.fold(0, u64::saturating_add)
    }

    /// The charges of which nobody has said that they stand in a receipt which is kept, with their tasks: after a crash, those
    /// between which and their receipts it came.
    pub fn unfiled(&self) -> impl Iterator<Item = (TaskId, Charge)> + '_ {
        self.tasks.iter().filter_map(|known| Some((known.task, self.charge_of(known)?)))
    }

    fn charge_of(&self, known: &Known) -> Option<Charge> {
        match known.stage {
            Stage::Charged { number, cost, charged } => Some(Charge { number, charged, ..self.stated(cost, false) }),
            Stage::Reserved { .. } => None,
        }
    }

    fn known(&self, task: &TaskId) -> Option<&Known> {
        self.tasks.iter().find(|known| known.task == *task)
    }

    /// Sets the limit of a task aside. `trust` is how much more the provider does than was signed for; `epoch` is a number that
    /// grows each time the provider starts: what was set aside in an earlier one is free again. For one task something is set
    /// aside once: again, the new limit takes the place of the other. A task that was charged for, and whose charge has no receipt, is
    /// not paid for twice: nothing is set aside for it, and [`charge`](Self::charge) comes to the same charge.
    ///
    /// # Errors
    /// [`ChannelError::NoCredit`] where too little was signed for, [`ChannelError::NotOpen`],
    /// [`ChannelError::Busy`] where as many tasks are under way as can be, and [`ChannelError::Epoch`] where a later one has begun.
    pub fn reserve(
        &mut self,
        task: TaskId,
        limit: u64,
        trust: u64,
        epoch: u64,
        now: Timestamp,
    ) -> Result<Reservation, ChannelError> {
        if epoch < self.epoch {
            return Err(ChannelError::Epoch { own: epoch, found: self.epoch });
        }
        let channel = self.terms.id;
        if let Some(earlier) = self.known(&task).and_then(|known| self.charge_of(known)) {
            return Ok(Reservation { channel, task, limit: 0, epoch, earlier: Some(earlier) });
        }
        self.usable(now)?;
        let is_kept = |known: &Known| match known.stage {
            Stage::Reserved { .. } => epoch == self.epoch && known.task != task,
            Stage::Charged { .. } => true,
        };
        let mut tasks: Vec<Known> = self.tasks.iter().filter(|known| is_kept(known)).copied().collect();
        if tasks.len() >= TASKS {
            return Err(ChannelError::Busy);
        }
        tasks.push(Known { task, stage: Stage::Reserved { limit } });
        let before = std::mem::replace(&mut self.tasks, tasks);
        let most = self.total.saturating_add(trust);
        let kept = self.reserved().saturating_sub(limit);
        let needs = sum(self.charged, kept).and_then(|used| sum(used, limit));
        match needs {
            Some(needs) if needs <= most => {
                self.epoch = epoch;
                Ok(Reservation { channel, task, limit, epoch, earlier: None })
            }
            needs => {
                self.tasks = before;
                let credit = most.saturating_sub(self.charged).saturating_sub(kept);
                Err(needs.map_or(ChannelError::Overflow, |_| ChannelError::NoCredit { credit, asked: limit }))
            }
        }
    }

    /// Charges what a task has used of what was set aside for it, and frees the rest. Again, it comes to the same charge, until
    /// somebody says that there is a receipt for it ([`filed`](Self::filed)).
    ///
    /// # Errors
    /// [`ChannelError::OverLimit`] where that is more than was set aside; [`ChannelError::Epoch`] where a later epoch has begun, in
    /// which it is not set aside any more; [`ChannelError::NotReserved`]; [`ChannelError::NotOpen`] where the channel is settled.
    pub fn charge(&mut self, reservation: &Reservation, used: u64) -> Result<Charge, ChannelError> {
        if reservation.channel != self.terms.id {
            return Err(ChannelError::OtherTerms);
        }
        let known = self.known(&reservation.task).copied();
        if let Some(charge) = known.as_ref().and_then(|known| self.charge_of(known)) {
            return Ok(charge);
        }
        if reservation.epoch != self.epoch {
            return Err(ChannelError::Epoch { own: reservation.epoch, found: self.epoch });
        }
        if matches!(self.status, Status::Settled { .. }) {
            return Err(ChannelError::NotOpen);
        }
        let Some(Stage::Reserved { limit }) = known.map(|known| known.stage) else {
            return Err(ChannelError::NotReserved);
        };
        if used > limit {
            return Err(ChannelError::OverLimit { limit, used });
        }
        let charged = sum(self.charged, used).ok_or(ChannelError::Overflow)?;
        let number = sum(self.charges, 1).ok_or(ChannelError::Overflow)?;
        (self.charged, self.charges) = (charged, number);
        for known in self.tasks.iter_mut().filter(|known| known.task == reservation.task) {
            known.stage = Stage::Charged { number, cost: used, charged };
        }
        Ok(self.stated(used, false))
    }

    /// Takes note that the charge of this number stands in a receipt that is kept. If the task is run once more, that is charged for.
    pub fn filed(&mut self, number: u64) {
        self.tasks.retain(|known| !matches!(known.stage, Stage::Charged { number: filed, .. } if filed == number));
    }
}
