use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use ucan_core::{Cid, Clock, Context, Delegation, Ipld, Issuer, KeySource, Token};
use ucan_invocation::{Asked, BlockStore, Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use crate::args::integer;
use crate::channel::Status;
use crate::command::{CLOSE_COMMAND, Close, OPEN_COMMAND};
use crate::proof::Proof;
use crate::refusal::{ChannelError, DrawError};
use crate::terms::CHANNEL_COMMAND;
use crate::till::{Till, TillError};
use crate::voucher::DRAW_COMMAND;

/// Takes `/chan/open`, `/chan/draw` and `/chan/close` from whoever sends them to an [`Executor`](ucan_invocation::Executor): the provider's side of
/// channels as a service. Its route is [`CHANNEL_COMMAND`] on the provider.
///
/// What is answered:
/// - `/chan/open`: `{channel, total}`. The chain is kept in the block store, where an engine looks for it;
/// - `/chan/draw`: `{more, credit}`, what the voucher draws and what can be set aside now;
/// - `/chan/close`: `{settle, due}`, the token of the `/chan/settle`, with the last charge in the receipt's metadata. The provider agrees to what
///   the holder states if that is what it knows. Until it can be settled, the answer is the failure `Unsettled`, with `until` where that
///   is a matter of time: to be asked for again.
///
/// What is refused is a failure with a name: `Unknown`, `Exhausted`, `NotOpen`, `Cheating` with the `proof`, and the like. Late vouchers of a dispute
/// come by `/chan/draw`.
#[derive(Clone, Debug)]
pub struct ChannelHandler {
    till: Till,
    provider: Issuer,
    blocks: Arc<dyn BlockStore>,
    keys: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
}

impl ChannelHandler {
    /// Takes commands for `till`, whose provider is `provider`.
    #[must_use]
    pub fn new(
        till: Till,
        provider: Issuer,
        blocks: Arc<dyn BlockStore>,
        keys: Arc<dyn KeySource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { till, provider, blocks, keys, clock }
    }

    async fn open(&self, asked: &Asked) -> Result<Completion, Failure> {
        let token = asked.invocation.envelope().bytes();
        let find = |cid: &Cid| asked.proofs.iter().find(|proof| proof.cid() == cid).cloned();
        // The executor has found all of them to check the chain.
        let chain: Vec<Delegation> = asked.invocation.proofs().iter().filter_map(find).collect();
        let context = Context::new(self.clock.now(), &*self.keys);
        let channel = self.till.open(token, &chain, &context).await.map_err(failure)?;
        for link in &chain {
            let kept = self.blocks.put(link.cid(), link.bytes().to_vec().into()).await;
            kept.map_err(|error| failure(error.into()))?;
        }
        let terms = channel.terms();
        Ok(done([("channel", Ipld::Link(*terms.id())), ("total", integer(terms.budget()))]))
    }

    async fn draw(&self, asked: &Asked) -> Result<Completion, Failure> {
        let token = asked.invocation.envelope().bytes();
        let drawn = self.till.draw(token, &*self.keys, self.clock.now()).await.map_err(failure)?;
        Ok(done([("more", integer(drawn.more)), ("credit", integer(drawn.credit))]))
    }

    async fn close(&self, asked: &Asked) -> Result<Completion, Failure> {
        let (token, now) = (asked.invocation.envelope().bytes(), self.clock.now());
        let id = *Close::decode(token).map_err(|error| failure(error.into()))?.channel();
        let mut channel = self.till.channel(&id).await.map_err(failure)?;
        let mut found = None;
        if !matches!(channel.status(), Status::Settled { .. }) {
            (_, found) = self.till.close(token, &*self.keys, now).await.map_err(failure)?;
            channel = self.till.channel(&id).await.map_err(failure)?;
            let (sequence, total) = (channel.sequence(), channel.total());
            let agreed = Close::sign(&self.provider, channel.terms(), sequence, total);
            let agreed = agreed.map_err(|error| failure(error.into()))?;
            self.till.close(agreed.bytes(), &*self.keys, now).await.map_err(failure)?;
        }
        let settle = match self.till.settle(&id, &self.provider, now).await {
            Err(TillError::Channel(ChannelError::Unfinished)) => return Err(self.unsettled(&id, found.as_ref()).await),
            settle => settle.map_err(failure)?,
        };
        channel = self.till.channel(&id).await.map_err(failure)?;
        let mut completion = done([("settle", Ipld::Bytes(settle.bytes().to_vec())), ("due", integer(settle.total()))]);
        channel.last_charge().map_err(|error| failure(error.into()))?.put(&mut completion.meta);
        Ok(completion)
    }

    /// The channel is closed, and is not settled yet.
    async fn unsettled(&self, id: &Cid, found: Option<&Proof>) -> Failure {
        let message = "the channel is closed, and cannot be settled yet: ask again once it can";
        let mut failure = Failure::new("Unsettled", message);
        if let Ok(Status::Closing { until, .. }) = self.till.channel(id).await.map(|channel| channel.status()) {
            failure = failure.with("until", integer(until.as_secs()));
        }
        match found {
            Some(proof) => with_proof(failure, proof),
            None => failure,
        }
    }
}

#[async_trait]
impl Handler for ChannelHandler {
    /// What was done already is not done again.
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        match task.command().as_str() {
            OPEN_COMMAND | DRAW_COMMAND | CLOSE_COMMAND => Ok(()),
            other => Err(Failure::new("NoHandler", format!("{other} is not done here"))),
        }
    }

    async fn handle(&self, call: &Call) -> Completion {
        let Some(asked) = call.asked() else {
            let message =
                format!("what {CHANNEL_COMMAND} states has to be signed: send it as an invocation of its own");
            return Completion::new(Failure::new("Unsigned", message).into());
        };
        let done = match call.task().command().as_str() {
            OPEN_COMMAND => self.open(asked).await,
            DRAW_COMMAND => self.draw(asked).await,
            CLOSE_COMMAND => self.close(asked).await,
            other => Err(Failure::new("NoHandler", format!("{other} is not done here"))),
        };
        done.unwrap_or_else(|failure| Completion::new(failure.into()))
    }
}

fn done<const N: usize>(fields: [(&str, Ipld); N]) -> Completion {
    let fields: BTreeMap<String, Ipld> = fields.map(|(key, value)| (key.to_owned(), value)).into();
    Completion::new(Outcome::Ok(Ipld::Map(fields)))
}

fn failure(error: TillError) -> Failure {
    let name = match &error {
        TillError::Unknown { .. } => "Unknown",
        TillError::Draw(DrawError::Cheating { .. }) => "Cheating",
        TillError::Draw(DrawError::Exhausted { .. }) | TillError::Channel(ChannelError::Exhausted { .. }) => {
            "Exhausted"
        }
        TillError::Draw(DrawError::Expired { .. } | DrawError::Over) | TillError::Channel(ChannelError::NotOpen) => {
            "NotOpen"
        }
        TillError::Store(_) | TillError::State(_) => "StoreFailed",
        TillError::Contended => "Busy",
        _ => "Refused",
    };
    let failure = Failure::new(name, error.to_string());
    match &error {
        TillError::Draw(DrawError::Cheating { proof, .. }) => with_proof(failure, proof),
        _ => failure,
    }
}

fn with_proof(failure: Failure, proof: &Proof) -> Failure {
    let tokens = proof.tokens().iter().cloned().map(Ipld::Bytes).collect();
    failure.with("cheating", Ipld::String(proof.kind().name().to_owned())).with("proof", Ipld::List(tokens))
}
