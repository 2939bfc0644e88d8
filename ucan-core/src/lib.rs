#![doc = include_str!("../README.md")]

pub mod block;
mod cached_keys;
mod chain;
mod command;
pub mod dagcbor;
pub mod dagjson;
mod delegation;
mod did;
mod envelope;
mod fields;
mod issuer;
mod keys;
mod policy;
mod store;
mod text;
mod time;
mod token;

pub use cached_keys::CachedKeys;
pub use chain::{
    Authority, ChainError, ChainErrorClass, Context, NoChain, Request, check_attenuation, diagnose, search, validate,
};
pub use cid::Cid;
pub use command::{Command, CommandError};
pub use delegation::{Delegation, DelegationBuilder};
pub use did::{Did, DidError};
pub use envelope::{Envelope, SignError, tag};
pub use fields::Fields;
pub use ipld_core::ipld::Ipld;
pub use issuer::Issuer;
pub use keys::{CachedResolver, DidKeys, DidResolver, KeyError, KeySource, Purpose, ResolvedKeys, Resolvers};
pub use policy::{Policy, PolicyError, Selector, SelectorError, Verdict};
pub use store::{DelegationStore, MemoryDelegations, StoreError};
pub use time::{Clock, FixedClock, SystemClock, TimeError, Timestamp, in_time};
pub use token::{SignatureError, Token, TokenError, Verified, verify};
