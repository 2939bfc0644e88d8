//! The side of whoever is paid.

use std::path::Path;

use ipvm::Node;
use ucan_chan::{ChannelError, Close, Open, Settle, Status, Terms, TillError, Voucher, is_revoked};
use ucan_core::{Cid, Clock, Context, DidKeys, SystemClock, Timestamp, Token, verify};
use ucan_invocation::{BlockStore, Invocation, REVOKE_COMMAND, Revocation, RevocationStore, Revoked};

use super::{Here, Offer, Output, Received, Refused, words};
use crate::cli::moment::{self, date};
use crate::cli::random;

pub(super) fn offer(here: &Here, offer: &Offer) -> Result<(), Refused> {
    let (provider, to) = (here.keyring.issuer("node")?, here.principal(&offer.to)?);
    let now = SystemClock.now();
    let until = moment::parse(&offer.expires, now).map_err(|error| format!("--expires: {error}"))?;
    if until <= now {
        return Err(format!("--expires: {} has passed, so that nobody could use it", date(until)).into());
    }
    let mut nonce = vec![0; 12];
    random(&mut nonce);
    let terms = Terms::offer(provider.did(), to.clone(), offer.unit.clone(), offer.budget, until)?;
    let chain = [terms.nonce(nonce).sign(&provider)?];
    here.channels.keep(&chain)?;
    let id = *Terms::read(&chain)?.id();
    let path = here.hand_over("offer", &offer.output, &chain, None)?;
    let (budget, unit) = (offer.budget, &offer.unit);
    here.report(
        &format!(
            "{id}\n{budget} {unit} are offered to {to} until {}, who opens it with {}",
            date(until),
            path.display()
        ),
        serde_json::json!({
            "event": "offered", "channel": id.to_string(), "budget": budget, "unit": unit.as_str(),
            "holder": to.as_str(), "expires": until.as_secs(), "file": path.display().to_string(),
        }),
    )
}

/// Takes the one token that came with a chain.
pub(super) async fn take(here: &Here, node: &Node, file: &Path) -> Result<(), Refused> {
    let received = Received::read(file)?;
    let terms = received.terms()?;
    let [token] = &received.rest[..] else {
        return Err(format!("{} tokens came with the channel, where one is expected", received.rest.len()).into());
    };
    let now = SystemClock.now();
    let invocation = Invocation::decode(token.clone())?;
    match invocation.command().as_str() {
        ucan_chan::OPEN_COMMAND => opened(here, node, &received, token, now).await,
        ucan_chan::DRAW_COMMAND => drawn(here, node, &terms, token, now).await,
        ucan_chan::CLOSE_COMMAND => closed(here, node, &terms, token, now).await,
        ucan_chan::SETTLE_COMMAND => claimed(here, &received, token),
        REVOKE_COMMAND => revoked(here, node, &received, invocation, now).await,
        other => Err(format!("{other} is none of the commands of channels that can be taken").into()),
    }
}

/// Whether the chain still counts; a channel whose chain was revoked is closed.
async fn refuse_revoked(node: &Node, received: &Received, now: Timestamp) -> Result<(), Refused> {
    let revoked = Revoked::among(&**node.store(), &received.chain).await?;
    if !is_revoked(&received.chain, &revoked) {
        return Ok(());
    }
    match node.till().revoke(received.terms()?.id(), now).await {
        Ok(_) | Err(TillError::Unknown { .. }) => {
            Err("a delegation of the channel was revoked, which closes it".into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn opened(here: &Here, node: &Node, received: &Received, token: &[u8], now: Timestamp) -> Result<(), Refused> {
    refuse_revoked(node, received, now).await?;
    let open = Open::decode(token)?;
    let channel = node.till().open(token, &received.chain, &Context::new(now, &DidKeys)).await?;
    for link in &received.chain {
        // Where the engine looks, to know whether it was revoked.
        node.store().put(link.cid(), link.bytes().to_vec().into()).await?;
    }
    here.channels.keep(&received.chain)?;
    let terms = channel.terms();
    let (id, unit, budget) = (terms.id(), terms.unit(), terms.budget());
    here.report(
        &format!(
            "{id} is open with {budget} {unit}, held by {}; a closing may be disputed for {} s",
            terms.holder(),
            open.window()
        ),
        serde_json::json!({
            "event": "taken", "what": "open", "channel": id.to_string(), "budget": budget, "unit": unit.as_str(),
            "holder": terms.holder().as_str(), "window": open.window(),
        }),
    )
}

async fn drawn(here: &Here, node: &Node, terms: &Terms, token: &[u8], now: Timestamp) -> Result<(), Refused> {
    let received = Received { chain: here.channels.chain(terms.id())?, rest: Vec::new() };
    // What was signed before it was revoked still counts, and is settled; it can be sent as an answer to the closing.
    if let Err(error) = refuse_revoked(node, &received, now).await
        && node.till().channel(terms.id()).await?.status() == Status::Open
    {
        return Err(error);
    }
    let voucher = Voucher::decode(token)?;
    let drawn = node.till().draw(token, &DidKeys, now).await?;
    let (id, unit) = (terms.id(), terms.unit());
    here.report(
        &format!("voucher {} draws {} {unit} more; {} can be used now", voucher.sequence(), drawn.more, drawn.credit),
        serde_json::json!({
            "event": "taken", "what": "voucher", "channel": id.to_string(), "seq": voucher.sequence(),
            "total": voucher.total(), "more": drawn.more, "credit": drawn.credit, "unit": unit.as_str(),
        }),
    )
}

async fn closed(here: &Here, node: &Node, terms: &Terms, token: &[u8], now: Timestamp) -> Result<(), Refused> {
    let close = Close::decode(token)?;
    match node.till().close(token, &DidKeys, now).await {
        Ok((status, proof)) => {
            let (_, until, _) = words(status);
            let cheating = proof.as_ref().map(|proof| proof.kind().name());
            let more = cheating.map_or_else(String::new, |kind| format!("; it is no truth that it states ({kind})"));
            here.report(
                &format!("{} is closed at voucher {}, {} in all{more}", terms.id(), close.sequence(), close.total()),
                serde_json::json!({
                    "event": "taken", "what": "close", "channel": terms.id().to_string(), "seq": close.sequence(),
                    "total": close.total(), "until": until, "cheating": cheating,
                }),
            )
        }
        // The holder hears from the provider that it has closed, and signs no more.
        Err(TillError::Unknown { .. }) => {
            let _alone = here.channels.lock()?;
            let purse = here.channels.purse(terms.id())?;
            let mut purse =
                purse.ok_or_else(|| Refused::from(format!("the channel {} was not opened here", terms.id())))?;
            let close = verify(close, &DidKeys)?;
            if !close.issuer().same_principal(terms.provider()) {
                return Err(format!("it is signed by {}, and not by the provider", close.issuer()).into());
            }
            let (sequence, total) = purse.close();
            here.channels.save(&purse)?;
            let short = close.sequence() < sequence;
            let more = if short { "; that is not the last one: send it again (ipvm chan pay --again)" } else { "" };
            here.report(
                &format!(
                    "the provider has closed {} at voucher {}, {} in all{more}",
                    terms.id(),
                    close.sequence(),
                    close.total()
                ),
                serde_json::json!({
                    "event": "taken", "what": "close", "channel": terms.id().to_string(), "seq": close.sequence(),
                    "total": close.total(), "signed": total, "short": short,
                }),
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// Checks what a provider says is due, against what this side knows.
fn claimed(here: &Here, received: &Received, token: &[u8]) -> Result<(), Refused> {
    let terms = received.terms()?;
    let settle = verify(Settle::decode(token)?, &DidKeys)?;
    if *settle.channel() != *terms.id() || !settle.issuer().same_principal(terms.provider()) {
        return Err("it is about another channel, or not signed by its provider".into());
    }
    for link in &received.chain {
        verify(link, &DidKeys)?;
    }
    if let Some(purse) = here.channels.purse(terms.id())?
        && (settle.sequence() > purse.sequence() || settle.total() > purse.total())
    {
        return Err(format!(
            "the provider claims {} by voucher {}, and {} were signed for by voucher {}: nothing is owed for that; keep the claim, \
             which is proof with the voucher that it names",
            settle.total(),
            settle.sequence(),
            purse.total(),
            purse.sequence()
        )
        .into());
    }
    let (due, unit, funder) = (settle.total(), terms.unit(), terms.funder());
    here.report(
        &format!(
            "{due} {unit} are due for {}, by voucher {}: {funder} owes it to {}",
            terms.id(),
            settle.sequence(),
            terms.provider()
        ),
        serde_json::json!({
            "event": "taken", "what": "settle", "channel": terms.id().to_string(), "due": due, "seq": settle.sequence(),
            "unit": unit.as_str(), "funder": funder.as_str(),
        }),
    )
}

async fn revoked(
    here: &Here,
    node: &Node,
    received: &Received,
    invocation: Invocation,
    now: Timestamp,
) -> Result<(), Refused> {
    let find = |cid: &Cid| received.chain.iter().find(|link| link.cid() == cid).cloned();
    let revocation = Revocation::check(invocation, &find, &Context::new(now, &DidKeys))?;
    node.store().keep(&revocation).await?;
    let by_now = Revoked::among(&**node.store(), &received.chain).await?;
    let id = *received.terms()?.id();
    if !is_revoked(&received.chain, &by_now) {
        return Err("it revokes nothing on which the channel rests".into());
    }
    let (status, until, _) = words(node.till().revoke(&id, now).await?);
    here.report(
        &format!("{id} is {status}: its delegation was revoked by {}", revocation.by()),
        serde_json::json!({
            "event": "taken", "what": "revocation", "channel": id.to_string(), "by": revocation.by().as_str(),
            "status": status, "until": until,
        }),
    )
}

pub(super) async fn close(here: &Here, node: &Node, channel: &Cid, output: &Output) -> Result<(), Refused> {
    let chain = here.channels.chain(channel)?;
    let known = node.till().channel(channel).await?;
    let (sequence, total) = (known.sequence(), known.total());
    let close = Close::sign(&node.state().node, known.terms(), sequence, total)?;
    let (status, _) = node.till().close(close.bytes(), &DidKeys, SystemClock.now()).await?;
    let path = here.hand_over("close", output, &chain, Some(close.bytes()))?;
    let (_, until, _) = words(status);
    here.report(
        &format!(
            "closed at voucher {sequence}, {total} in all; {} is for {}, who takes it",
            path.display(),
            known.terms().holder()
        ),
        serde_json::json!({
            "event": "closed", "channel": channel.to_string(), "side": "provider", "seq": sequence, "total": total,
            "until": until, "file": path.display().to_string(),
        }),
    )
}

pub(super) async fn settle(here: &Here, node: &Node, channel: &Cid, output: &Output) -> Result<(), Refused> {
    let (chain, now) = (here.channels.chain(channel)?, SystemClock.now());
    let before = node.till().expire(channel, now).await?;
    let settle = match node.till().settle(channel, &node.state().node, now).await {
        Err(TillError::Channel(ChannelError::Unfinished)) => {
            return Err(match before {
                Status::Open => format!("the channel is open: `ipvm chan close {channel}` first").into(),
                Status::Closing { until, .. } if now < until => format!(
                    "the closing can be disputed until {}, unless both sides close with the same voucher",
                    date(until)
                )
                .into(),
                _ => Refused::from("a part of the channel is not settled yet, or a task is under way"),
            });
        }
        settle => settle?,
    };
    let path = here.hand_over("settle", output, &chain, Some(settle.bytes()))?;
    let (due, unit) = (settle.total(), settle.unit());
    let funder = Terms::read(&chain)?.funder().clone();
    here.report(
        &format!(
            "{due} {unit} are due, by voucher {}; {} is for {funder}, who owes it",
            settle.sequence(),
            path.display()
        ),
        serde_json::json!({
            "event": "settled", "channel": channel.to_string(), "due": due, "seq": settle.sequence(),
            "voucher": settle.voucher().map(ToString::to_string), "unit": unit.as_str(), "funder": funder.as_str(),
            "file": path.display().to_string(),
        }),
    )
}
