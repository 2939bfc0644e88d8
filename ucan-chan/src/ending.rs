//! How a channel comes to its end: closed by either side or by expiry, disputed, settled.

use ucan_core::{Did, Timestamp, Token, Verified};

use crate::channel::{Channel, Side, Status};
use crate::charge::Charge;
use crate::command::Close;
use crate::proof::{Cheating, Proof};
use crate::refusal::ChannelError;
use crate::tasks::Stage;

impl Channel {
    /// Takes a closing by either side, and the proof that it is not the truth where that is so. The second side ends the wait if
    /// it states the same voucher.
    ///
    /// # Errors
    /// [`ChannelError::OtherTerms`] and [`ChannelError::OtherParty`] where it is about another channel or by somebody else,
    /// [`ChannelError::NotOpen`] where the channel is settled.
    pub fn close(&mut self, close: &Verified<Close>, now: Timestamp) -> Result<Option<Proof>, ChannelError> {
        if *close.channel() != self.terms.id || *close.unit() != self.terms.unit {
            return Err(ChannelError::OtherTerms);
        }
        let side = self.side(close.issuer()).ok_or(ChannelError::OtherParty)?;
        if side == Side::Holder && close.invocation().proofs() != self.terms.proofs() {
            return Err(ChannelError::OtherTerms);
        }
        let stated = (close.sequence(), close.total());
        self.status = match self.status {
            Status::Settled { .. } => return Err(ChannelError::NotOpen),
            Status::Closing { by: Some(by), .. } if by != side && stated == self.closed_at => {
                Status::Closing { until: now, by: Some(by) }
            }
            Status::Closing { until, by } => Status::Closing { until, by },
            Status::Open => {
                self.closed_at = stated;
                Status::Closing { until: now.saturating_add(self.window), by: Some(side) }
            }
        };
        // What a provider says of a voucher proves nothing: the holder may have signed two.
        let kind = match close.sequence() {
            _ if side == Side::Provider => None,
            at if at == self.sequence && close.total() != self.total => Some(Cheating::FalseClose),
            at if at < self.sequence => Some(Cheating::StaleClose),
            _ => None,
        };
        Ok(kind.map(|kind| Proof::of(kind, &[close.bytes(), &self.voucher])))
    }

    fn side(&self, who: &Did) -> Option<Side> {
        if who.same_principal(&self.terms.provider) {
            return Some(Side::Provider);
        }
        who.same_principal(&self.terms.holder).then_some(Side::Holder)
    }

    /// Closes the channel if it has expired, and says whether it has.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let expired = self.status == Status::Open && now > self.ends();
        if expired {
            self.closed_at = (self.sequence, self.total);
            self.status = Status::Closing { until: self.ends().saturating_add(self.window), by: None };
        }
        expired
    }

    /// Closes the channel because its delegation, or one above it, was revoked; says whether it was open.
    pub fn revoke(&mut self, now: Timestamp) -> bool {
        let open = self.status == Status::Open;
        if open {
            self.closed_at = (self.sequence, self.total);
            self.status = Status::Closing { until: now.saturating_add(self.window), by: None };
        }
        open
    }

    /// The last charge, for the receipt of the closing.
    ///
    /// # Errors
    /// [`ChannelError::Unfinished`] unless the channel is settled: until then more may be charged.
    pub fn last_charge(&self) -> Result<Charge, ChannelError> {
        match self.status {
            Status::Settled { .. } => Ok(Charge { number: self.charges + 1, ..self.stated(0, true) }),
            _ => Err(ChannelError::Unfinished),
        }
    }

    /// Settles the channel, and says what is due. Again, it says the same.
    ///
    /// # Errors
    /// [`ChannelError::Unfinished`] while it is open or can be disputed, has sub-channels that are not settled, or tasks of
    /// this epoch are under way.
    pub fn settle(&mut self, epoch: u64, now: Timestamp) -> Result<u64, ChannelError> {
        match self.status {
            Status::Settled { due } => Ok(due),
            Status::Closing { until, .. }
                if now >= until && self.children == 0 && (self.reserved() == 0 || epoch > self.epoch) =>
            {
                let due = self.charged.min(self.total);
                self.tasks.retain(|known| matches!(known.stage, Stage::Charged { .. }));
                self.status = Status::Settled { due };
                Ok(due)
            }
            _ => Err(ChannelError::Unfinished),
        }
    }

    /// Takes back what a sub-channel that has just been settled has not used up.
    ///
    /// # Errors
    /// [`ChannelError::Unfinished`] where it is not settled, [`ChannelError::OtherParent`] where it is none of this channel.
    pub fn take_back(&mut self, child: &Self) -> Result<u64, ChannelError> {
        let Status::Settled { due } = child.status else { return Err(ChannelError::Unfinished) };
        if child.terms.parent() != Some(&self.terms.id) {
            return Err(ChannelError::OtherParent);
        }
        let back = child.terms.budget.saturating_sub(due).saturating_sub(child.allotted);
        self.children = self.children.checked_sub(1).ok_or(ChannelError::OtherParent)?;
        self.allotted = self.allotted.saturating_sub(back);
        Ok(back)
    }
}
