use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ucan_core::{Cid, Context, Delegation, Did, Issuer, KeySource, SignatureError, StoreError, Timestamp, verify};
use ucan_invocation::{InvocationError, TaskId, authorize};

use crate::channel::{Channel, Reservation, Status};
use crate::charge::Charge;
use crate::command::{Close, Open, Settle};
use crate::error::{CommandError, IssueError};
use crate::meter::Meter;
use crate::proof::Proof;
use crate::refusal::{ChannelError, DrawError};
use crate::state::StateError;
use crate::store::{Change, ChannelStore, Commit};
use crate::terms::{Terms, TermsError};
use crate::voucher::Voucher;

/// How often a change is tried again because somebody else was faster. Each time one of the others has got on.
const TRIES: usize = 10_000;
/// How many channels are remembered, so that they need not be read again: some 4 MB.
const RECENT: usize = 4_096;

/// The provider's side over a store: whatever it answers is durable. Any number of them, and of callers, can share a store.
#[derive(Clone, Debug)]
pub struct Till {
    store: Arc<dyn ChannelStore>,
    provider: Did,
    epoch: u64,
    trust: u64,
    recent: Arc<Recent>,
    filed: Arc<Filed>,
}

/// What a voucher came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// How much more was drawn by it; 0 for one that was taken before.
    pub more: u64,
    /// What can be reserved now.
    pub credit: u64,
}

impl Till {
    /// The till of `provider`. `epoch` is a number that is higher each time the provider starts (the time will do): what an
    /// earlier one has set aside for tasks is free again. Nothing is done on trust.
    #[must_use]
    pub fn new(store: Arc<dyn ChannelStore>, provider: Did, epoch: u64) -> Self {
        Self { store, provider, epoch, trust: 0, recent: Arc::default(), filed: Arc::default() }
    }

    /// Lets every channel run up so much beyond what was signed for: what the provider may lose by each.
    #[must_use]
    pub fn with_trust(mut self, trust: u64) -> Self {
        self.trust = trust;
        self
    }

    /// A channel as it is kept.
    ///
    /// # Errors
    /// [`TillError::Unknown`] where it was not opened.
    pub async fn channel(&self, id: &Cid) -> Result<Channel, TillError> {
        self.read(id).await.map(|(_, channel)| channel)
    }

    /// Opens a channel for its holder: checks the invocation and the whole chain, in full. Again, it changes nothing.
    ///
    /// # Errors
    /// [`TillError`].
    pub async fn open(&self, token: &[u8], chain: &[Delegation], ctx: &Context<'_>) -> Result<Channel, TillError> {
        let open = Open::decode(token)?;
        let terms = Terms::read(chain)?;
        let find = |cid: &Cid| chain.iter().find(|link| link.cid() == cid).cloned();
        drop(authorize(open.invocation().clone(), &self.provider, &find, ctx)?);
        let (open, now) = (verify(open, ctx.keys)?, ctx.now);
        for _ in 0..TRIES {
            match self.read(terms.id()).await {
                Ok((_, there)) if there.opened() == open.invocation().id().cid() => return Ok(there),
                Ok(_) => return Err(ChannelError::OtherTerms.into()),
                Err(TillError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
            let (channel, changes) = match terms.parent().copied() {
                None => {
                    let channel = Channel::open(terms.clone(), &open)?;
                    let changes = vec![change(&channel, 0)?];
                    (channel, changes)
                }
                Some(parent) => {
                    let (version, mut above) = self.read(&parent).await?;
                    let channel = above.open_below(terms.clone(), &open, now)?;
                    let changes = vec![change(&channel, 0)?, change(&above, version)?];
                    (channel, changes)
                }
            };
            if self.store.commit(changes).await? == Commit::Done {
                return Ok(channel);
            }
        }
        Err(TillError::Contended)
    }

    /// Takes a voucher. Of its chain nothing is checked again: it is the one with which the channel was opened. Whether that was
    /// revoked meanwhile is for the caller to know, who closes the channel then.
    ///
    /// # Errors
    /// [`TillError::Draw`] and others, where nothing was taken.
    pub async fn draw(&self, token: &[u8], keys: &dyn KeySource, now: Timestamp) -> Result<Drawn, TillError> {
        let voucher = verify(Voucher::decode(token)?, keys)?;
        self.update(voucher.channel(), |channel| {
            let more = channel.draw(&voucher, now)?;
            Ok(Drawn { more, credit: channel.credit() })
        })
        .await
    }

    /// Closes a channel, at the wish of either side. The proof that it was closed with a lie is answered where it was.
    ///
    /// # Errors
    /// [`TillError`].
    pub async fn close(
        &self,
        token: &[u8],
        keys: &dyn KeySource,
        now: Timestamp,
    ) -> Result<(Status, Option<Proof>), TillError> {
        let close = verify(Close::decode(token)?, keys)?;
        self.update(close.channel(), |channel| {
            let proof = channel.close(&close, now)?;
            Ok((channel.status(), proof))
        })
        .await
    }

    /// Closes a channel that has expired; says how far it has come.
    ///
    /// # Errors
    /// [`TillError`].
    pub async fn expire(&self, id: &Cid, now: Timestamp) -> Result<Status, TillError> {
        self.update(id, |channel| {
            channel.expire(now);
            Ok(channel.status())
        })
        .await
    }

    /// Closes a channel because its delegation, or one above it, was revoked; says how far it has come.
    ///
    /// # Errors
    /// [`TillError`].
    pub async fn revoke(&self, id: &Cid, now: Timestamp) -> Result<Status, TillError> {
        self.update(id, |channel| {
            channel.revoke(now);
            Ok(channel.status())
        })
        .await
    }

    /// Settles a channel that is closed and cannot be disputed any more, and gives the channel above back what was not used
    /// up. The claim is signed by the provider's key; again, it is the same.
    ///
    /// # Errors
    /// [`ChannelError::Unfinished`] while it cannot be settled yet.
    pub async fn settle(&self, id: &Cid, issuer: &Issuer, now: Timestamp) -> Result<Settle, TillError> {
        for _ in 0..TRIES {
            let (version, mut channel) = self.read(id).await?;
            let settled = matches!(channel.status(), Status::Settled { .. });
            let due = channel.settle(self.epoch, now)?;
            let mut changes = if settled { Vec::new() } else { vec![change(&channel, version)?] };
            if let Some(parent) = channel.terms().parent().filter(|_| !settled) {
                let (version, mut above) = self.read(parent).await?;
                above.take_back(&channel)?;
                changes.push(change(&above, version)?);
            }
            if self.store.commit(changes).await? == Commit::Done {
                let voucher = channel.voucher().map(Voucher::decode).transpose()?;
                return Ok(Settle::sign(issuer, channel.terms(), voucher.as_ref(), due)?);
            }
        }
        Err(TillError::Contended)
    }

    async fn read(&self, id: &Cid) -> Result<(u64, Channel), TillError> {
        let kept = self.store.get(id).await?.ok_or(TillError::Unknown { channel: *id })?;
        Ok((kept.version, Channel::decode(&kept.state)?))
    }

    /// Changes a channel, from its latest state, and makes that durable.
    ///
    /// What is remembered may be old. It is good enough to be changed, since the store compares versions; nobody is refused, and
    /// nothing is answered, on the ground of it alone.
    async fn update<T>(
        &self,
        id: &Cid,
        mut alter: impl FnMut(&mut Channel) -> Result<T, TillError> + Send,
    ) -> Result<T, TillError>
    where
        T: Send,
    {
        let mut remembered = self.recent.get(id);
        for _ in 0..TRIES {
            let (is_latest, (version, before)) = match remembered.take() {
                Some(kept) => (false, kept),
                None => (true, self.read(id).await?),
            };
            let mut channel = before.clone();
            let filed = self.filed.of(id);
            filed.iter().for_each(|number| channel.filed(*number));
            match alter(&mut channel) {
                Ok(answer) if channel != before => {
                    let commit = self.store.commit(vec![change(&channel, version)?]).await?;
                    if commit == Commit::Done {
                        self.filed.forget(id, &filed);
                        self.recent.put(version.saturating_add(1), channel);
                        return Ok(answer);
                    }
                }
                answer if is_latest => return answer,
                _ => {}
            }
        }
        Err(TillError::Contended)
    }
}

/// Charges that have receipts, by channel, of which the channels are not told yet.
#[derive(Debug, Default)]
struct Filed(Mutex<HashMap<Cid, Vec<u64>>>);

impl Filed {
    fn of(&self, id: &Cid) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    fn add(&self, id: Cid, number: u64) {
        let mut filed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = filed.entry(id).or_default();
        // What is there already was said twice.
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }

    fn forget(&self, id: &Cid, told: &[u64]) {
        let mut filed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(numbers) = filed.get_mut(id) else { return };
        numbers.retain(|number| !told.contains(number));
        if numbers.is_empty() {
            filed.remove(id);
        }
    }
}

/// Channels that were changed lately, as they were then.
#[derive(Debug, Default)]
struct Recent(Mutex<HashMap<Cid, (u64, Channel)>>);

impl Recent {
    fn get(&self, id: &Cid) -> Option<(u64, Channel)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn put(&self, version: u64, channel: Channel) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are in use are back soon.
        if recent.len() >= RECENT {
            recent.clear();
        }
        recent.insert(*channel.terms().id(), (version, channel));
    }
}

#[async_trait]
impl Meter for Till {
    async fn channel(&self, channel: &Cid) -> Result<Channel, TillError> {
        Till::channel(self, channel).await
    }

    async fn reserve(&self, channel: &Cid, task: TaskId, limit: u64, now: Timestamp) -> Result<Reservation, TillError> {
        let reserve = |channel: &mut Channel| Ok(channel.reserve(task, limit, self.trust, self.epoch, now)?);
        self.update(channel, reserve).await
    }

    async fn charge(&self, reservation: Reservation, used: u64) -> Result<Charge, TillError> {
        self.update(&reservation.channel, |channel| Ok(channel.charge(&reservation, used)?)).await
    }

    fn filed(&self, charge: &Charge) {
        self.filed.add(charge.channel, charge.number);
    }

    async fn revoke(&self, channel: &Cid, now: Timestamp) -> Result<Status, TillError> {
        Till::revoke(self, channel, now).await
    }
}

fn change(channel: &Channel, from: u64) -> Result<Change, TillError> {
    Ok(Change { id: *channel.terms().id(), from, state: Bytes::from(channel.encode()?) })
}

/// Why a till does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TillError {
    /// The channel was not opened here.
    #[error("the channel {channel} was not opened here: send /chan/open with its chain first")]
    Unknown {
        /// The channel.
        channel: Cid,
    },
    /// A voucher is not taken.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The channel does not allow it.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The token is not the command that was expected.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The delegations are not the chain of a channel.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The invocation or its chain does not hold.
    #[error(transparent)]
    Authority(#[from] InvocationError),
    /// The claim could not be signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What is kept is not the state of a channel.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many others change the same channel.
    #[error("too many others change the channel at the same time: try again")]
    Contended,
}
