//! Errors as the protocol carries them.

use ucan_core::{
    ChainError, Ipld, NoChain, PolicyError, SelectorError, SignatureError, TimeError, TokenError, dagcbor::DecodeError,
};
use ucan_invocation::{AttestError, ReceiptError};

use super::{map, text};

/// What is answered under `error`.
#[derive(Debug)]
pub(super) struct Failure {
    name: &'static str,
    message: String,
    /// The place in a chain that it is about, where it is about a chain; none in it is the invocation itself.
    proof: Option<Option<usize>>,
    more: Option<(&'static str, Ipld)>,
}

impl Failure {
    pub(super) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into(), proof: None, more: None }
    }

    /// A request that lacks something, or has it in another form than the operation asks for.
    pub(super) fn request(message: impl Into<String>) -> Self {
        Self::new("MalformedRequest", message)
    }

    /// The same failure, about a place in a chain.
    pub(super) fn at(self, proof: Option<usize>) -> Self {
        Self { proof: Some(proof), ..self }
    }

    /// The same failure with one more field.
    pub(super) fn with(self, key: &'static str, value: Ipld) -> Self {
        Self { more: Some((key, value)), ..self }
    }

    pub(super) fn into_ipld(self) -> Ipld {
        let mut error = map([("name", text(self.name)), ("message", text(self.message))]);
        if let Ipld::Map(fields) = &mut error {
            if let Some(proof) = self.proof {
                let place = proof.and_then(|index| i128::try_from(index).ok()).map_or(Ipld::Null, Ipld::Integer);
                fields.insert("proof".to_owned(), place);
            }
            fields.extend(self.more.map(|(key, value)| (key.to_owned(), value)));
        }
        error
    }
}

macro_rules! named {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.name(), error.to_string())
            }
        })*
    };
}

named!(TokenError, SignatureError, TimeError, PolicyError, SelectorError, DecodeError, ReceiptError);

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        Self::new(error.class.name(), error.to_string()).at(error.proof)
    }
}

impl From<AttestError> for Failure {
    fn from(error: AttestError) -> Self {
        Self::new(error.name(), error.to_string()).at(error.proof())
    }
}

impl From<NoChain> for Failure {
    fn from(error: NoChain) -> Self {
        let failure = Self::new(error.name(), error.to_string());
        match error.closest() {
            Some((cid, class)) => failure.with("closest", map([("cid", text(cid)), ("name", text(class.name()))])),
            None => failure,
        }
    }
}
