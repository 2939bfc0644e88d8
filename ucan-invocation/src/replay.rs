use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use ucan_core::{Cid, StoreError, Timestamp};

use crate::memory::lock;

/// What became of a [claim](ReplayGuard::claim).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has claimed it before: whoever asked may go on, once.
    First,
    /// It was claimed before.
    Repeated,
    /// There is no room to remember it, so that nobody may go on.
    Full,
}

/// What has been begun and must not be begun again: tasks of commands that alter the world each time.
///
/// # Contract
/// Of all who claim the same name, at the same time as well, one at most is answered [`Claim::First`] until `until` has
/// passed; after a crash too, if the guard says that it survives one. What has not passed is never forgotten to make room.
#[async_trait]
pub trait ReplayGuard: fmt::Debug + Send + Sync {
    /// Claims what has this name until the request for it ends by itself; a repeated claim that lasts longer prolongs the
    /// first. Names whose end lies before `now` may be forgotten; whoever calls it leaves room in `until` for clocks that differ.
    ///
    /// The name is the id of the task: neither another spelling of the signature nor another token that asks for the same
    /// changes it.
    ///
    /// # Errors
    /// [`StoreError`] where the claim cannot be written: then nobody may go on.
    async fn claim(&self, name: &Cid, until: Timestamp, now: Timestamp) -> Result<Claim, StoreError>;
}

/// A replay guard in memory, bounded. It does not survive its process.
#[derive(Debug)]
pub struct MemoryReplayGuard {
    capacity: usize,
    claimed: Mutex<Claimed>,
}

#[derive(Debug, Default)]
struct Claimed {
    until: HashMap<Cid, Timestamp>,
    ends: BTreeSet<(Timestamp, Cid)>,
}

impl MemoryReplayGuard {
    /// How many claims are remembered unless somebody says otherwise: some 30 MB.
    pub const CAPACITY: usize = 100_000;

    /// A guard that remembers so many claims at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, claimed: Mutex::default() }
    }
}

impl Default for MemoryReplayGuard {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

#[async_trait]
impl ReplayGuard for MemoryReplayGuard {
    async fn claim(&self, name: &Cid, until: Timestamp, now: Timestamp) -> Result<Claim, StoreError> {
        let mut claimed = lock(&self.claimed);
        let Claimed { until: untils, ends } = &mut *claimed;
        while let Some((end, ended)) = ends.first().copied().filter(|(end, _)| *end < now) {
            ends.remove(&(end, ended));
            untils.remove(&ended);
        }
        if let Some(end) = untils.get_mut(name) {
            if until > *end {
                ends.remove(&(*end, *name));
                ends.insert((until, *name));
                *end = until;
            }
            return Ok(Claim::Repeated);
        }
        if untils.len() >= self.capacity {
            return Ok(Claim::Full);
        }
        untils.insert(*name, until);
        ends.insert((until, *name));
        Ok(Claim::First)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ucan_core::block;

    proptest! {
        #[test]
        fn one_claim_is_the_first_until_it_ends(
            claims in prop::collection::vec((0_u8..12, 1_u64..20, 0_u64..4), 1..200),
            capacity in 1_usize..10,
        ) {
            let guard = MemoryReplayGuard::new(capacity);
            let (mut now, mut model) = (100, HashMap::<u8, u64>::new());
            for (name, lasts, passes) in claims {
                now += passes;
                model.retain(|_, until| *until >= now);
                let expected = match model.contains_key(&name) {
                    true => Claim::Repeated,
                    false if model.len() >= capacity => Claim::Full,
                    false => Claim::First,
                };
                if expected != Claim::Full {
                    let end = model.entry(name).or_default();
                    *end = (*end).max(now + lasts);
                }
                let at = |secs| Timestamp::from_secs(secs).unwrap();
                let name = block::raw_cid(&[name]);
                let claim = guard.claim(&name, at(now + lasts), at(now));
                prop_assert_eq!(pollster::block_on(claim).unwrap(), expected);
            }
        }
    }
}
