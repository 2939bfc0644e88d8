//! From bytes to tokens.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use ucan_core::{Cid, Container, Delegation, Envelope, Ipld, TokenError, block, car, dagcbor, tag};
use ucan_invocation::Invocation;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content {
    /// What kind of file it is.
    pub(super) kind: &'static str,
    pub(super) items: Vec<Item>,
    /// The roots of an archive that are not in it.
    pub(super) missing_roots: Vec<Cid>,
}

/// One thing in it.
#[derive(Debug)]
pub(super) enum Item {
    Delegation(Delegation),
    /// An invocation, or a receipt, which is one of a certain command.
    Invocation(Invocation),
    /// A token that cannot be read, and what can be seen of it.
    Refused {
        cid: Cid,
        error: TokenError,
        value: Option<Ipld>,
    },
    /// A value that is no token.
    Block {
        cid: Cid,
        value: Ipld,
    },
}

impl Item {
    pub(super) fn cid(&self) -> &Cid {
        use ucan_core::Token;
        match self {
            Self::Delegation(delegation) => delegation.cid(),
            Self::Invocation(invocation) => invocation.envelope().cid(),
            Self::Refused { cid, .. } | Self::Block { cid, .. } => cid,
        }
    }
}

impl Content {
    fn one(kind: &'static str, item: Item) -> Self {
        Self { kind, items: vec![item], missing_roots: Vec::new() }
    }
}

/// Reads bytes, or base64 of them with white space around or in it.
pub(super) fn read(bytes: &[u8]) -> Result<Content, String> {
    let error = match plain(bytes) {
        Ok(content) => return Ok(content),
        Err(error) => error,
    };
    let Ok(text) = str::from_utf8(bytes) else { return Err(error) };
    let text: String = text.split_whitespace().collect();
    // A container that is text in itself has a letter in front that says so.
    if let Ok(content) = container(text.as_bytes()) {
        return Ok(content);
    }
    let decoded = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|base64| base64.decode(text.as_bytes()).ok());
    match decoded {
        // What decodes to nothing that can be read was no base64, but happened to look like it.
        Some(decoded) if !decoded.is_empty() => plain(&decoded).map_err(|_| error),
        _ => Err(error),
    }
}

fn plain(bytes: &[u8]) -> Result<Content, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    match token(bytes) {
        Ok(item) => return Ok(Content::one("token", item)),
        Err(error) if claims_to_be_a_token(bytes, &error) => return Ok(Content::one("token", refused(bytes, error))),
        Err(_) => {}
    }
    let not_a_container = match container(bytes) {
        Ok(content) => return Ok(content),
        Err(error) => error,
    };
    if let Ok(archive) = car::read(bytes, &car::CarLimits::default()) {
        let items = archive.blocks().map(|(cid, bytes)| in_archive(cid, bytes)).collect();
        let missing_roots = archive.roots().iter().filter(|root| archive.get(root).is_none()).copied().collect();
        return Ok(Content { kind: "archive", items, missing_roots });
    }
    match dagcbor::decode(bytes) {
        Ok(value) => Ok(Content::one("block", Item::Block { cid: block::dag_cbor_cid(bytes), value })),
        Err(error) => Err(format!("as DAG-CBOR, {error}; as a container, {not_a_container}")),
    }
}

fn container(bytes: &[u8]) -> Result<Content, String> {
    let container = Container::decode(bytes).map_err(|error| error.to_string())?;
    let items = container.tokens().map(token_or_refused).collect();
    Ok(Content { kind: "container", items, missing_roots: Vec::new() })
}

fn token(bytes: &[u8]) -> Result<Item, TokenError> {
    Ok(match Envelope::tag_of(bytes)? {
        tag::DELEGATION | tag::DELEGATION_RC1 => Item::Delegation(Delegation::decode(bytes)?),
        _ => Item::Invocation(Invocation::decode(bytes)?),
    })
}

/// Whether bytes that are no token say that they are one, so that the error is what is wrong with them.
fn claims_to_be_a_token(bytes: &[u8], error: &TokenError) -> bool {
    Envelope::tag_of(bytes).is_ok() || matches!(error, TokenError::UnknownTag { .. })
}

fn refused(bytes: &[u8], error: TokenError) -> Item {
    Item::Refused { cid: block::dag_cbor_cid(bytes), error, value: dagcbor::decode(bytes).ok() }
}

fn token_or_refused(bytes: &[u8]) -> Item {
    token(bytes).unwrap_or_else(|error| refused(bytes, error))
}

/// Archives hold whatever blocks there are. A token is one under whatever name it is kept.
fn in_archive(cid: &Cid, bytes: &[u8]) -> Item {
    match token(bytes) {
        Ok(item) => item,
        Err(error) if claims_to_be_a_token(bytes, &error) => refused(bytes, error),
        Err(_) => {
            let value = (cid.codec() == block::DAG_CBOR).then(|| dagcbor::decode(bytes).ok()).flatten();
            Item::Block { cid: *cid, value: value.unwrap_or_else(|| Ipld::Bytes(bytes.to_vec())) }
        }
    }
}
