//! The tokens of a container, read.

use std::sync::Arc;

use super::Container;
use crate::{Cid, Delegation, Envelope, TokenError, block, tag};

/// The tokens of a container by kind, each kind in bytewise order. No signature has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerContents {
    /// The delegations.
    pub delegations: Vec<Delegation>,
    /// All other tokens whose tag is known: invocations, receipts and revocations, which are invocations of their own kind.
    pub others: Vec<Envelope>,
    /// What could not be read.
    pub refused: Vec<RefusedToken>,
}

/// A token in a container that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedToken {
    /// Which token it is: the hash of its bytes, with which [`Container::get`] finds it.
    pub cid: Cid,
    /// Why.
    pub error: TokenError,
}

impl Container {
    /// Reads all tokens. One that cannot be read does not keep the others from being read.
    ///
    /// ```
    /// use ucan_core::{Command, Container, Delegation, Issuer};
    /// use varsig::ed25519::SigningKey;
    ///
    /// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    /// let grant = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
    /// let container = Container::from_iter([grant.bytes(), b"something else"]);
    ///
    /// let contents = container.contents();
    /// assert_eq!(contents.delegations, [grant]);
    /// assert_eq!(contents.refused[0].error.name(), "MalformedToken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contents(&self) -> ContainerContents {
        let mut contents = ContainerContents::default();
        for token in &self.tokens {
            let read = match Envelope::tag_of(token) {
                Ok(tag::DELEGATION | tag::DELEGATION_RC1) => {
                    Delegation::decode(Arc::clone(token)).map(|delegation| contents.delegations.push(delegation))
                }
                Ok(_) => Envelope::decode(Arc::clone(token)).map(|envelope| contents.others.push(envelope)),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                contents.refused.push(RefusedToken { cid: block::dag_cbor_cid(token), error });
            }
        }
        contents
    }
}
