//! Operations on values: policies, selectors, DAG-CBOR, signature headers.

use ucan_core::{Ipld, Policy, Selector, TokenError, block, dagcbor};
use varsig::Varsig;

use super::{
    Answer, map,
    request::{Request, limits},
    text,
};

/// Whether arguments keep to a policy.
pub(super) fn policy(request: &Request<'_>) -> Answer {
    let (policy, args) = (request.data("policy")?, request.data("args")?);
    Ok(Ipld::Bool(Policy::parse(&policy)?.matches(&args)))
}

/// What a selector finds.
pub(super) fn selector(request: &Request<'_>) -> Answer {
    let (selector, data) = (request.text("selector")?, request.data("data")?);
    Ok(match Selector::parse(&selector)?.select(&data) {
        Some(value) => map([("value", value)]),
        None => map([("unresolved", Ipld::Bool(true))]),
    })
}

/// What canonical DAG-CBOR says.
pub(super) fn dagcbor(request: &Request<'_>) -> Answer {
    let bytes = request.bytes("bytes")?;
    let value = dagcbor::decode_with(&bytes, &limits())?;
    Ok(map([("cid", text(block::dag_cbor_cid(&bytes))), ("value", value)]))
}

/// What a signature header says.
pub(super) fn varsig(request: &Request<'_>) -> Answer {
    let header = Varsig::decode(&request.bytes("bytes")?).map_err(TokenError::from)?;
    Ok(map([("algorithm", text(header.algorithm())), ("encoding", text(header.encoding()))]))
}
