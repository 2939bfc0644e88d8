use ucan_core::{Cid, Did, Token, Verified};

use crate::Voucher;

/// What the provider knows of a channel: who may spend how much, and the highest voucher. It computes only, and its size
/// does not grow with use.
#[derive(Clone, Debug)]
pub struct Channel {
    id: Cid,
    spender: Did,
    provider: Did,
    budget: u64,
    highest: Option<Verified<Voucher>>,
}

impl Channel {
    /// A channel that the delegation `id` opened, with a budget in its unit, of which nothing is used up.
    #[must_use]
    pub fn new(id: Cid, spender: Did, provider: Did, budget: u64) -> Self {
        Self { id, spender, provider, budget, highest: None }
    }

    /// How much has been used up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.highest.as_ref().map_or(0, |voucher| voucher.total())
    }

    /// How much is left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.budget - self.used()
    }

    /// The voucher that states how much has been used up: all that is needed to settle.
    #[must_use]
    pub fn highest(&self) -> Option<&Verified<Voucher>> {
        self.highest.as_ref()
    }

    /// Takes a voucher, and says how much more it draws. The same voucher again draws nothing.
    ///
    /// # Errors
    /// [`DrawError`] where it is not the next voucher of this channel, or asks for more than is left; the channel is as it
    /// was. [`DrawError::Conflict`] holds the proof that the spender signed two vouchers for one place.
    pub fn draw(&mut self, voucher: Verified<Voucher>) -> Result<u64, DrawError> {
        if *voucher.channel() != self.id {
            return Err(DrawError::OtherChannel { named: *voucher.channel(), own: self.id });
        }
        if !voucher.issuer().same_principal(&self.spender) || !voucher.provider().same_principal(&self.provider) {
            return Err(DrawError::OtherParty);
        }
        let (sequence, used) = (self.highest.as_ref().map_or(0, |voucher| voucher.sequence()), self.used());
        if let Some(highest) = self.highest.as_ref().filter(|highest| highest.sequence() == voucher.sequence()) {
            if highest.total() == voucher.total() && highest.paid_for() == voucher.paid_for() {
                return Ok(0);
            }
            return Err(DrawError::Conflict(Box::new([highest.clone(), voucher])));
        }
        if voucher.sequence() != sequence + 1 {
            return Err(DrawError::OutOfSequence { expected: sequence + 1, found: voucher.sequence() });
        }
        let drawn = voucher.total().checked_sub(used).ok_or(DrawError::Backwards { used, stated: voucher.total() })?;
        if voucher.total() > self.budget {
            return Err(DrawError::OverBudget { budget: self.budget, stated: voucher.total() });
        }
        self.highest = Some(voucher);
        Ok(drawn)
    }
}

/// Why a voucher is not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrawError {
    /// It belongs to another channel.
    #[error("the voucher draws on the channel {named}, not on {own}")]
    OtherChannel {
        /// The channel that it names.
        named: Cid,
        /// This channel.
        own: Cid,
    },
    /// It is not from the spender to the provider of this channel.
    #[error("the voucher is not from the channel's spender to its provider")]
    OtherParty,
    /// A voucher before it is missing, or it comes again too late.
    #[error("expected voucher {expected} of the channel, found {found}")]
    OutOfSequence {
        /// The next place.
        expected: u64,
        /// The place that the voucher states.
        found: u64,
    },
    /// It states less than was used up already.
    #[error("the voucher states a total of {stated}, and {used} is used up already")]
    Backwards {
        /// What is used up.
        used: u64,
        /// What the voucher states.
        stated: u64,
    },
    /// It states more than was funded.
    #[error("the voucher states a total of {stated}, and the budget is {budget}")]
    OverBudget {
        /// What was funded.
        budget: u64,
        /// What the voucher states.
        stated: u64,
    },
    /// The spender signed two vouchers for one place. Both signatures hold: they are proof for anybody.
    #[error("the spender signed two vouchers for place {}", .0[0].sequence())]
    Conflict(Box<[Verified<Voucher>; 2]>),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ucan_core::{DidKeys, Issuer, block, verify};
    use ucan_invocation::TaskId;
    use varsig::ed25519::SigningKey;

    use super::*;

    fn issuer(byte: u8) -> Issuer {
        Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
    }

    fn voucher(sequence: u64, total: u64) -> Verified<Voucher> {
        let task = TaskId::new(block::dag_cbor_cid(&total.to_be_bytes()));
        let channel = block::dag_cbor_cid(b"channel");
        let signed = Voucher::sign(&issuer(1), issuer(2).did().clone(), channel, sequence, total, task).unwrap();
        verify(Voucher::decode(signed.bytes()).unwrap(), &DidKeys).unwrap()
    }

    fn channel(budget: u64) -> Channel {
        Channel::new(block::dag_cbor_cid(b"channel"), issuer(1).did().clone(), issuer(2).did().clone(), budget)
    }

    #[test]
    fn totals_only_grow_and_never_pass_the_budget() {
        let mut channel = channel(100);
        assert_eq!(channel.draw(voucher(1, 40)).unwrap(), 40);
        assert_eq!(channel.draw(voucher(1, 40)).unwrap(), 0);
        assert!(matches!(channel.draw(voucher(3, 60)), Err(DrawError::OutOfSequence { expected: 2, found: 3 })));
        assert!(matches!(channel.draw(voucher(2, 39)), Err(DrawError::Backwards { used: 40, stated: 39 })));
        assert!(matches!(channel.draw(voucher(2, 101)), Err(DrawError::OverBudget { budget: 100, stated: 101 })));
        assert_eq!(channel.draw(voucher(2, 100)).unwrap(), 60);
        assert_eq!((channel.used(), channel.left()), (100, 0));
    }

    #[test]
    fn two_vouchers_for_one_place_are_proof() {
        let mut channel = channel(100);
        channel.draw(voucher(1, 40)).unwrap();
        let Err(DrawError::Conflict(proof)) = channel.draw(voucher(1, 30)) else { panic!("it was taken") };
        assert_eq!(proof.map(|voucher| voucher.total()), [40, 30]);
        assert_eq!(channel.used(), 40);
    }

    proptest! {
        #[test]
        fn whatever_comes_what_is_drawn_adds_up(steps in prop::collection::vec((0_u64..6, 0_u64..150), 0..12)) {
            let mut channel = channel(100);
            let mut drawn = 0;
            for (sequence, total) in steps {
                let before = channel.used();
                match channel.draw(voucher(sequence, total)) {
                    Ok(more) => drawn += more,
                    Err(_) => prop_assert_eq!(channel.used(), before),
                }
                prop_assert_eq!(channel.used(), drawn);
                prop_assert!(channel.used() <= 100);
            }
        }
    }
}
