//! The side of whoever draws on a channel.

use std::path::Path;

use ipvm::ChannelsError;
use ucan_chan::{Close, Open, Purse, Terms};
use ucan_core::Token;
use ucan_invocation::TaskId;

use super::{Here, Pay, Received, Refused, Share, Signed};
use crate::cli::random;

pub(super) fn open(here: &Here, file: &Path, window: u64, signed: &Signed) -> Result<(), Refused> {
    let received = Received::read(file)?;
    let (terms, holder) = (received.terms()?, here.issuer(signed)?);
    if !terms.holder().same_principal(holder.did()) {
        let key = &signed.from;
        return Err(format!(
            "the channel is offered to {}, and the key {key:?} is {}: --from says with which key to open it",
            terms.holder(),
            holder.did()
        )
        .into());
    }
    let _alone = here.channels.lock()?;
    here.channels.keep(&received.chain)?;
    // One that is there says what was signed already.
    if here.channels.purse(terms.id())?.is_none() {
        here.channels.save(&Purse::new(terms.clone()))?;
    }
    let open = Open::sign(&holder, &terms, window)?;
    let path = here.hand_over("open", &signed.output, &received.chain, Some(open.bytes()))?;
    let (id, unit, budget) = (terms.id(), terms.unit(), terms.budget());
    here.report(
        &format!("{id}\nopened with {budget} {unit}; {} is for {}, who takes it", path.display(), terms.provider()),
        serde_json::json!({
            "event": "opened", "channel": id.to_string(), "budget": budget, "unit": unit.as_str(), "window": window,
            "provider": terms.provider().as_str(), "file": path.display().to_string(),
        }),
    )
}

pub(super) fn pay(here: &Here, pay: &Pay) -> Result<(), Refused> {
    let holder = here.issuer(&pay.signed)?;
    let chain = here.channels.chain(&pay.channel)?;
    let _alone = here.channels.lock()?;
    let mut purse = purse(here, &pay.channel)?;
    check_holder(&purse, &holder, &pay.signed)?;
    let draft = match pay.amount {
        Some(amount) => {
            let draft = purse.reserve(TaskId::new(pay.task.unwrap_or(pay.channel)), amount)?;
            // Before anything is signed: one number never has two contents.
            here.channels.save(&purse)?;
            draft
        }
        None => purse.draft().ok_or("nothing was signed for this channel yet: --amount says for how much to sign")?,
    };
    let voucher = draft.sign(&holder, purse.terms())?;
    let path = here.hand_over("voucher", &pay.signed.output, &chain, Some(voucher.bytes()))?;
    let unit = purse.terms().unit();
    here.report(
        &format!(
            "voucher {}: {} {unit} signed for in all, {} left; {} is for {}, who takes it",
            draft.sequence,
            draft.total,
            purse.left(),
            path.display(),
            purse.terms().provider()
        ),
        serde_json::json!({
            "event": "paid", "channel": pay.channel.to_string(), "seq": draft.sequence, "total": draft.total,
            "left": purse.left(), "unit": unit.as_str(), "voucher": voucher.envelope().cid().to_string(),
            "file": path.display().to_string(),
        }),
    )
}

pub(super) fn share(here: &Here, share: &Share) -> Result<(), Refused> {
    let (holder, to) = (here.issuer(&share.signed)?, here.principal(&share.to)?);
    let mut chain = here.channels.chain(&share.channel)?;
    let _alone = here.channels.lock()?;
    let mut purse = purse(here, &share.channel)?;
    check_holder(&purse, &holder, &share.signed)?;
    let mut nonce = vec![0; 12];
    random(&mut nonce);
    let part = purse.terms().share(to.clone(), share.budget)?.nonce(nonce);
    // Set aside before anybody can open it.
    purse.allot(share.budget)?;
    here.channels.save(&purse)?;
    chain.push(part.sign(&holder)?);
    let terms = Terms::read(&chain)?;
    let path = here.hand_over("offer", &share.signed.output, &chain, None)?;
    let (id, unit, budget) = (terms.id(), terms.unit(), share.budget);
    here.report(
        &format!("{id}\n{budget} {unit} of {} are for {to}, who opens it with {}", share.channel, path.display()),
        serde_json::json!({
            "event": "shared", "channel": id.to_string(), "above": share.channel.to_string(), "budget": budget,
            "unit": unit.as_str(), "holder": to.as_str(), "left": purse.left(), "file": path.display().to_string(),
        }),
    )
}

pub(super) fn close(here: &Here, mut purse: Purse, signed: &Signed) -> Result<(), Refused> {
    let holder = here.issuer(signed)?;
    check_holder(&purse, &holder, signed)?;
    let id = *purse.terms().id();
    let chain = here.channels.chain(&id)?;
    let _alone = here.channels.lock()?;
    // As it is now that nobody else changes it.
    purse = self::purse(here, &id)?;
    let (sequence, total) = purse.close();
    here.channels.save(&purse)?;
    let close = Close::sign(&holder, purse.terms(), sequence, total)?;
    let path = here.hand_over("close", &signed.output, &chain, Some(close.bytes()))?;
    here.report(
        &format!(
            "closed at voucher {sequence}, {total} in all; {} is for {}, who takes it",
            path.display(),
            purse.terms().provider()
        ),
        serde_json::json!({
            "event": "closed", "channel": id.to_string(), "side": "holder", "seq": sequence, "total": total,
            "file": path.display().to_string(),
        }),
    )
}

fn purse(here: &Here, channel: &ucan_core::Cid) -> Result<Purse, Refused> {
    Ok(here.channels.purse(channel)?.ok_or(ChannelsError::NoPurse { channel: *channel })?)
}

fn check_holder(purse: &Purse, holder: &ucan_core::Issuer, signed: &Signed) -> Result<(), Refused> {
    if purse.terms().holder().same_principal(holder.did()) {
        return Ok(());
    }
    Err(format!(
        "the key {:?} does not hold the channel, {} does: --from says with which key to sign",
        signed.from,
        purse.terms().holder()
    )
    .into())
}
