use ucan_core::{Timestamp, Token, Verified};

use crate::command::{Close, Open, Settle};
use crate::proof::{Cheating, Proof};
use crate::refusal::ChannelError;
use crate::terms::Terms;
use crate::voucher::Voucher;

/// A closing as a judge sees it, who knows nothing but what was signed. It computes only.
#[derive(Clone, Debug)]
pub struct Closing {
    terms: Terms,
    until: Timestamp,
    close: Verified<Close>,
    highest: Option<Verified<Voucher>>,
    proof: Option<Proof>,
}

impl Closing {
    /// A closing that arrived at `now`, of a channel that was opened by `open`.
    ///
    /// # Errors
    /// [`ChannelError`] where what was signed is not about this channel, or by nobody who has a part in it.
    pub fn begin(
        terms: Terms,
        open: &Verified<Open>,
        close: Verified<Close>,
        now: Timestamp,
    ) -> Result<Self, ChannelError> {
        if *open.channel() != terms.id || *close.channel() != terms.id || *close.unit() != terms.unit {
            return Err(ChannelError::OtherTerms);
        }
        if open.total() != terms.budget || *open.unit() != terms.unit {
            return Err(ChannelError::OtherTerms);
        }
        let by = close.issuer();
        if !open.issuer().same_principal(&terms.holder)
            || !(by.same_principal(&terms.holder) || by.same_principal(&terms.provider))
        {
            return Err(ChannelError::OtherParty);
        }
        Ok(Self { until: now.saturating_add(open.window()), terms, close, highest: None, proof: None })
    }

    /// Until when it can be disputed.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The highest voucher that was shown.
    #[must_use]
    pub fn highest(&self) -> Option<&Verified<Voucher>> {
        self.highest.as_ref()
    }

    /// The first proof of cheating that came up.
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Takes a voucher that either side shows, in any order, and says whether it is the highest so far.
    ///
    /// # Errors
    /// [`ChannelError::NotOpen`] where it comes too late; [`ChannelError`] where it is none of this channel, or for more than
    /// the budget.
    pub fn dispute(&mut self, voucher: Verified<Voucher>, now: Timestamp) -> Result<bool, ChannelError> {
        if now >= self.until {
            return Err(ChannelError::NotOpen);
        }
        if *voucher.channel() != self.terms.id || *voucher.unit() != self.terms.unit {
            return Err(ChannelError::OtherTerms);
        }
        if !voucher.issuer().same_principal(&self.terms.holder) {
            return Err(ChannelError::OtherParty);
        }
        if voucher.total() > self.terms.budget {
            self.note(Cheating::Overdraft, &[voucher.bytes()]);
            return Err(ChannelError::Exhausted { left: self.terms.budget, asked: voucher.total() });
        }
        if self.close.issuer().same_principal(&self.terms.holder) {
            let close = self.close.bytes().to_vec();
            if voucher.sequence() > self.close.sequence() {
                self.note(Cheating::StaleClose, &[&close, voucher.bytes()]);
            } else if voucher.sequence() == self.close.sequence() && voucher.total() != self.close.total() {
                self.note(Cheating::FalseClose, &[&close, voucher.bytes()]);
            }
        }
        let Some(highest) = &self.highest else {
            self.highest = Some(voucher);
            return Ok(true);
        };
        let (held, order) = (highest.bytes().to_vec(), voucher.sequence().cmp(&highest.sequence()));
        let (same, total, sequence) = (highest.same_statement(&voucher), highest.total(), highest.sequence());
        if order.is_eq() && !same {
            self.note(Cheating::Equivocation, &[&held, voucher.bytes()]);
        } else if order.is_gt() && voucher.total() < total || order.is_lt() && voucher.total() > total {
            self.note(Cheating::Rollback, &[&held, voucher.bytes()]);
        }
        // Whoever signed two things is held to the one that costs more: a lie must not pay.
        let higher = (voucher.total(), voucher.sequence()) > (total, sequence);
        if higher {
            self.highest = Some(voucher);
        }
        Ok(higher)
    }

    /// Judges what the provider claims, once the time for disputes is over.
    ///
    /// # Errors
    /// [`ChannelError::Unfinished`] before; [`ChannelError`] where the claim is about something else, or for more than the highest
    /// voucher that was shown says. Then nothing is due until there is a better claim.
    pub fn judge(&self, settle: &Verified<Settle>, now: Timestamp) -> Result<u64, ChannelError> {
        if now < self.until {
            return Err(ChannelError::Unfinished);
        }
        if *settle.channel() != self.terms.id || *settle.unit() != self.terms.unit {
            return Err(ChannelError::OtherTerms);
        }
        if !settle.issuer().same_principal(&self.terms.provider) {
            return Err(ChannelError::OtherParty);
        }
        if settle.voucher() != self.highest.as_ref().map(|voucher| voucher.envelope().cid()) {
            return Err(ChannelError::OtherTerms);
        }
        let most = self.highest.as_ref().map_or(0, |voucher| voucher.total());
        if settle.total() > most {
            return Err(ChannelError::Exhausted { left: most, asked: settle.total() });
        }
        Ok(settle.total())
    }

    fn note(&mut self, kind: Cheating, tokens: &[&[u8]]) {
        self.proof.get_or_insert_with(|| Proof::of(kind, tokens));
    }
}
