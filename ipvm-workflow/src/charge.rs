//! Being paid for what runs: what a task may use is set aside before it starts, and what it did use is charged.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ucan_chan::{Channel, ChannelError, Charge, Meter, Reservation, TillError, Unit, is_revoked};
use ucan_core::{Cid, Delegation, Did, Ipld};
use ucan_invocation::meta::{FUEL, FUEL_BOUND, INSTANTIATION};
use ucan_invocation::{Cursor, Listing, Receipt, Revoked, TaskId};

use crate::budget::{Budget, Line, Place, Share};
use crate::engine::Shared;
use crate::{Paused, RunError, RunOptions};

/// The unit of the channels by which engines are paid: one of it for each unit of fuel.
pub const GAS: &str = "gas";

/// By what an engine is paid, and by whom.
///
/// Who asks for a run names the channel that pays for it ([`RunRequest::paid_by`](crate::RunRequest::paid_by)): one of its own, in the
/// unit [`GAS`], whose chain of delegations is in the engine's block store. Before a task starts, the most that it may use is set
/// aside there; when it is over, what it used is charged, and stands in its receipt. What is known already costs nothing, and
/// neither do tasks whose handlers do not count.
#[derive(Clone, Debug)]
pub struct Charging {
    meter: Arc<dyn Meter>,
    exempt: Vec<Did>,
}

impl Charging {
    /// Runs have to be paid for by channels that `meter` knows.
    #[must_use]
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        Self { meter, exempt: Vec::new() }
    }

    /// The same, but who has one of these names may name no channel, and is not charged then.
    #[must_use]
    pub fn exempt(mut self, dids: impl IntoIterator<Item = Did>) -> Self {
        self.exempt.extend(dids);
        self
    }
}

/// What an engine needs to charge: the same for all of its runs.
#[derive(Debug)]
pub(crate) struct Toll {
    charging: Charging,
    lines: Mutex<HashMap<Cid, Weak<Line>>>,
}

impl Toll {
    pub(crate) fn new(charging: Charging) -> Self {
        Self { charging, lines: Mutex::default() }
    }

    fn line(&self, channel: Cid) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&channel).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::<Line>::default();
        lines.insert(channel, Arc::downgrade(&line));
        line
    }
}

/// What one run may use and cost, and who pays for it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What its tasks may use together, in all of its lives.
    gas: Option<Budget>,
    /// What it may cost in this life.
    cap: Option<Budget>,
    payer: Option<Payer>,
}

struct Payer {
    meter: Arc<dyn Meter>,
    channel: Cid,
    chain: Vec<Delegation>,
    line: Arc<Line>,
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payer").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Why a channel does not pay for a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// The meter does not do what it was asked.
    #[error(transparent)]
    Till(TillError),
    /// It is somebody else's.
    #[error("it is held by {holder}, and the run was asked for by another: name a channel of your own")]
    OtherHolder {
        /// Who holds it.
        holder: Did,
    },
    /// It counts something else.
    #[error("it counts {unit}, and what runs is paid in {GAS}")]
    OtherUnit {
        /// What it counts.
        unit: Unit,
    },
    /// Its chain is not at hand, so that nobody can tell whether it was revoked.
    #[error("its delegation {0} is not in the block store: put the channel's chain there")]
    NoChain(Cid),
    /// The engine knows of no channels.
    #[error("this engine is not paid by channels")]
    NotPaid,
}

fn refused(channel: Cid) -> impl Fn(TillError) -> RunError {
    move |error| match error {
        TillError::Store(error) => RunError::Store(error),
        error => RunError::Channel { channel, error: Box::new(PaymentError::Till(error)) },
    }
}

impl Shared {
    /// Who pays for a run that `invoker` asked for.
    pub(crate) async fn account(
        &self,
        invoker: &Did,
        named: Option<Cid>,
        options: &RunOptions,
        handed: bool,
    ) -> Result<Account, RunError> {
        // Whoever takes a run over pays for it, unless somebody else is named: its own channel is one with the first executor.
        let named = named.filter(|_| !handed);
        let payer = match (&self.toll, options.channel.or(named)) {
            // Whoever would pay here has it for nothing, unless it was just told to take the payment.
            (None, _) if options.channel.is_none() => None,
            (None, None) => None,
            (None, Some(channel)) => {
                return Err(RunError::Channel { channel, error: Box::new(PaymentError::NotPaid) });
            }
            (Some(toll), None) if toll.charging.exempt.iter().any(|did| did.same_principal(invoker)) => None,
            (Some(_), None) if handed => None,
            (Some(_), None) => return Err(RunError::Unpaid),
            (Some(toll), Some(channel)) => Some(self.payer(toll, channel, invoker).await?),
        };
        Ok(Account { gas: None, cap: options.cap.map(Budget::new), payer })
    }

    async fn payer(&self, toll: &Toll, channel: Cid, invoker: &Did) -> Result<Payer, RunError> {
        let no = |error| RunError::Channel { channel, error: Box::new(error) };
        let meter = toll.charging.meter.clone();
        let kept = meter.channel(&channel).await.map_err(refused(channel))?;
        if !kept.terms().holder().same_principal(invoker) {
            return Err(no(PaymentError::OtherHolder { holder: kept.terms().holder().clone() }));
        }
        if kept.unit().as_str() != GAS {
            return Err(no(PaymentError::OtherUnit { unit: kept.unit().clone() }));
        }
        let mut chain = Vec::with_capacity(kept.terms().proofs().len());
        for cid in kept.terms().proofs() {
            let block = self.parts.blocks.get(cid).await?;
            let delegation = block.and_then(|bytes| Delegation::decode(bytes.to_vec()).ok());
            chain.push(delegation.ok_or_else(|| no(PaymentError::NoChain(*cid)))?);
        }
        self.reconcile(&*meter, &kept).await?;
        Ok(Payer { line: toll.line(channel), meter, channel, chain })
    }

    /// Tells the meter which of the charges have receipts that it does not know of: those of an earlier life.
    async fn reconcile(&self, meter: &dyn Meter, channel: &Channel) -> Result<(), RunError> {
        for (_, charge) in channel.unfiled() {
            if self.is_filed(&charge).await? {
                meter.filed(&charge);
            }
        }
        Ok(())
    }

    async fn is_filed(&self, charge: &Charge) -> Result<bool, RunError> {
        let listed = self.parts.receipts.list(&Listing::Input(charge.key()), Cursor::START, 1).await?;
        Ok(!listed.receipts.is_empty())
    }
}

/// What is set aside for one attempt at a task. What is dropped frees it for the others of this engine; what it was in the channel is
/// freed when the task is reserved for again, or by the next start.
#[derive(Debug, Default)]
pub(crate) struct Hold<'a> {
    gas: Option<Share<'a>>,
    cap: Option<Share<'a>>,
    channel: Option<(&'a Payer, Reservation, Place)>,
}

/// Why nothing is set aside.
pub(crate) enum Short {
    Paused(Paused),
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for Short {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Account {
    /// Has the tasks use no more than so much together.
    pub(crate) fn limit_gas(&mut self, most: Option<u64>) {
        self.gas = most.map(Budget::new);
    }

    /// Counts what a task used of which the result is known by now.
    pub(crate) fn count_known(&self, receipt: &Receipt) {
        if let Some(gas) = &self.gas {
            gas.count(used(receipt.meta()));
        }
    }

    /// Whether anything is counted at all.
    pub(crate) fn counts(&self) -> bool {
        self.gas.is_some() || self.cap.is_some() || self.payer.is_some()
    }

    /// Sets aside what a task may use, waiting for others of the run and of the channel to be over where there is too little
    /// before. With a limit of 0 nothing can be charged but what was charged before.
    pub(crate) async fn set_aside(
        &self,
        shared: &Shared,
        label: &str,
        task: TaskId,
        limit: u64,
    ) -> Result<Hold<'_>, Short> {
        let (mut hold, asked) = (Hold::default(), limit);
        // All in one order, so that nobody waits for somebody who waits for them.
        if let Some(budget) = &self.gas {
            let (label, gas) = (label.to_owned(), budget.most());
            let short = |used| Short::Paused(Paused::OutOfGas { label, gas, used, asked });
            hold.gas = Some(budget.set_aside(limit).await.map_err(short)?);
        }
        if let Some(budget) = &self.cap {
            let (label, cap) = (label.to_owned(), budget.most());
            let short = |spent| Short::Paused(Paused::Capped { label, cap, spent, asked });
            hold.cap = Some(budget.set_aside(limit).await.map_err(short)?);
        }
        if let Some(payer) = &self.payer {
            hold.channel = Some(payer.set_aside(shared, label, task, limit).await?);
        }
        Ok(hold)
    }
}

impl Payer {
    async fn set_aside(
        &self,
        shared: &Shared,
        label: &str,
        task: TaskId,
        limit: u64,
    ) -> Result<(&Self, Reservation, Place), Short> {
        let (meter, channel, label) = (&*self.meter, self.channel, label.to_owned());
        let revoked = Revoked::among(&*shared.parts.revocations, &self.chain).await?;
        if is_revoked(&self.chain, &revoked) {
            meter.revoke(&channel, shared.parts.clock.now()).await.map_err(refused(channel))?;
        }
        loop {
            let turn = self.line.turn().await;
            let error = match meter.reserve(&channel, task, limit, shared.parts.clock.now()).await {
                Ok(reservation) => {
                    let place = turn.taken();
                    match reservation.earlier() {
                        // A charge that has its receipt is that of another attempt.
                        Some(charge) if shared.is_filed(charge).await? => meter.filed(charge),
                        _ => return Ok((self, reservation, place)),
                    }
                    continue;
                }
                Err(error) => error,
            };
            let is_short = matches!(error, TillError::Channel(ChannelError::NoCredit { .. } | ChannelError::Busy));
            if is_short && turn.again().await {
                continue;
            }
            let paused = match error {
                TillError::Channel(ChannelError::NotOpen) => Paused::ChannelClosed { label, channel },
                TillError::Channel(ChannelError::NoCredit { credit, asked }) => {
                    Paused::Exhausted { label, channel, credit, asked }
                }
                error => return Err(Short::Failed(refused(channel)(error))),
            };
            return Err(Short::Paused(paused));
        }
    }
}

impl Hold<'_> {
    /// Charges what was used, and frees the rest. The charge stands in no receipt yet.
    pub(crate) async fn charge(self, used: u64) -> Result<Option<Charge>, RunError> {
        let Self { gas, cap, channel } = self;
        let charge = match channel {
            None => None,
            Some((payer, reservation, _place)) => {
                // Nobody is charged for what a handler says beyond its own limit.
                let used = used.min(reservation.limit());
                Some(payer.meter.charge(reservation, used).await.map_err(refused(payer.channel))?)
            }
        };
        if let Some(share) = gas {
            let used = used.min(share.limit());
            share.settle(used);
        }
        if let Some(share) = cap {
            let used = used.min(share.limit());
            share.settle(charge.as_ref().map_or(used, |charge| charge.cost));
        }
        Ok(charge)
    }
}

impl Account {
    /// Takes note that a charge stands in a receipt that is kept.
    pub(crate) fn filed(&self, charge: Option<&Charge>) {
        if let (Some(payer), Some(charge)) = (&self.payer, charge) {
            payer.meter.filed(charge);
        }
    }
}

/// What a receipt with this metadata says that its task has used: what it costs.
pub(crate) fn used(meta: &BTreeMap<String, Ipld>) -> u64 {
    let amount = |key: &str| match meta.get(key) {
        Some(Ipld::Integer(amount)) => u64::try_from(*amount).unwrap_or(0),
        _ => 0,
    };
    [FUEL, INSTANTIATION, FUEL_BOUND].into_iter().map(amount).fold(0, u64::saturating_add)
}

/// What a receipt says that was charged for its task.
pub(crate) fn charge_of(receipt: &Receipt) -> Option<Charge> {
    Charge::of(receipt).ok().flatten()
}
