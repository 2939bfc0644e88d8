//! Operations on tokens: delegations, invocations with their chains, receipts.

use std::collections::BTreeMap;

use ucan_core::{Cid, Context, Delegation, DidKeys, Envelope, Ipld, Token, block, in_time, verify};
use ucan_invocation::{Await, Invocation, InvocationError, attest, authorize};

use super::{Answer, Failure, request::Request, text};

/// What a delegation says, if it is signed by its issuer and in time.
pub(super) fn delegation(request: &Request<'_>) -> Answer {
    let (token, now, skew) = (request.bytes("token")?, request.now()?, request.skew()?);
    let delegation = verify(Delegation::decode(token)?, &DidKeys)?;
    in_time(delegation.not_before(), delegation.expiration(), now, skew)?;
    Ok(fields(delegation.envelope(), []))
}

/// What an invocation says, if a whole chain authorises it.
pub(super) fn invocation(request: &Request<'_>) -> Answer {
    let (token, proofs, audience) =
        (request.bytes("token")?, request.tokens("proofs")?, request.optional_did("audience")?);
    let (now, skew, revoked) = (request.now()?, request.skew()?, request.cids("revoked")?);
    let about_itself = |failure: Failure| failure.at(None);
    let invocation = Invocation::decode(token).map_err(|error| about_itself(error.into()))?;
    let named = invocation.proofs().to_vec();
    let proofs = at_hand(&named, proofs)?;
    let context = Context {
        skew,
        revoked: Some(&|cid, _| revoked.contains(cid)),
        pending: &|value| Await::recognise(value).is_some(),
        ..Context::new(now, &DidKeys)
    };
    // Without a receiver, the invocation is checked as a relay would.
    let executor = audience.unwrap_or_else(|| invocation.executor().clone());
    let authorized = authorize(invocation, &executor, &|cid| proofs.get(cid).cloned(), &context);
    let authorized = authorized.map_err(|error| refusal(error, &named))?;
    let invocation = authorized.invocation();
    let task = invocation.task().id().map_err(|error| Failure::request(error.to_string()))?;
    let mut more = vec![("task", text(task)), ("executor", text(invocation.executor()))];
    if authorized.authority().undecided() {
        more.push(("warnings", Ipld::List(vec![text("Undecided")])));
    }
    Ok(fields(invocation.envelope(), more))
}

/// What a receipt states, if whoever issued it may.
pub(super) fn receipt(request: &Request<'_>) -> Answer {
    let (token, proofs, asked) =
        (request.bytes("token")?, request.tokens("proofs")?, request.optional_bytes("invocation")?);
    let context = Context { skew: request.skew()?, ..Context::new(request.now()?, &DidKeys) };
    let asked = asked.map(Invocation::decode).transpose()?;
    let receipt = Invocation::decode(token)?;
    let proofs = at_hand(receipt.proofs(), proofs)?;
    let attested = attest(receipt, asked.as_ref(), &|cid| proofs.get(cid).cloned(), &context)?;
    let mut more = vec![("ran", text(attested.ran())), ("out", attested.outcome().to_ipld())];
    more.extend(attested.invocation().args().get("run").map(|run| ("run", run.clone())));
    if attested.expired() {
        more.push(("warnings", Ipld::List(vec![text("Expired")])));
    }
    Ok(fields(attested.invocation().envelope(), more))
}

/// The fields of a token's payload, with its CID and what else is said about it.
fn fields<'a>(envelope: &Envelope, more: impl IntoIterator<Item = (&'a str, Ipld)>) -> Ipld {
    let mut fields = envelope.payload();
    fields.insert("cid".to_owned(), text(envelope.cid()));
    fields.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Ipld::Map(fields)
}

/// The delegations that a token names, of those that were given. What is given and not named does not matter.
fn at_hand(named: &[Cid], given: Vec<Vec<u8>>) -> Result<BTreeMap<Cid, Delegation>, Failure> {
    let given: BTreeMap<Cid, Vec<u8>> = given.into_iter().map(|token| (block::dag_cbor_cid(&token), token)).collect();
    let mut at_hand = BTreeMap::new();
    for (index, cid) in named.iter().enumerate() {
        let Some(token) = given.get(cid).filter(|_| !at_hand.contains_key(cid)) else { continue };
        let delegation = Delegation::decode(token.as_slice()).map_err(|error| Failure::from(error).at(Some(index)))?;
        at_hand.insert(*cid, delegation);
    }
    Ok(at_hand)
}

fn refusal(error: InvocationError, named: &[Cid]) -> Failure {
    let failure = Failure::new(error.name(), error.to_string());
    match error {
        InvocationError::Chain(error) => error.into(),
        InvocationError::UnavailableProof { proof } => failure.at(named.iter().position(|cid| *cid == proof)),
        _ => failure.at(None),
    }
}
