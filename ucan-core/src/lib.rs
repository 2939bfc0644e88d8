#![doc = include_str!("../README.md")]

pub mod block;
pub mod car;
mod chain;
mod command;
mod container;
pub mod dagcbor;
pub mod dagjson;
mod delegation;
mod did;
mod envelope;
mod fields;
mod issuer;
mod keys;
mod memo;
mod place;
mod policy;
mod store;
mod text;
mod time;
mod token;
mod unsigned;

pub use chain::{
    Authority, ChainError, ChainErrorClass, Check, CheckOutcome, Context, Explanation, FindError, Found, IsRevoked,
    Link, NoChain, ProofSearch, Request, Rule, check_attenuation, diagnose, explain, find, search, validate,
};
pub use cid::Cid;
pub use command::{Command, CommandError};
pub use container::{
    Container, ContainerContents, ContainerEncoding, ContainerError, ContainerLimits, GzipError, RefusedToken,
};
pub use delegation::{Delegation, DelegationBuilder};
pub use did::{Did, DidError};
pub use envelope::{Envelope, SignError, tag};
pub use fields::{Fields, Shape};
pub use ipld_core::ipld::Ipld;
pub use issuer::Issuer;
pub use keys::{CachedResolver, DidKeys, DidResolver, KeyError, KeySource, Purpose, ResolvedKeys, Resolvers};
pub use memo::{CachedKeys, SignatureMemo};
pub use place::{Place, Position, Segment};
pub use policy::{Lint, LintKind, Policy, PolicyError, Selector, SelectorError, Verdict};
pub use store::{DelegationStore, MemoryDelegations, StoreError};
pub use time::{Clock, FixedClock, SystemClock, TimeError, Timestamp, in_time};
#[cfg(feature = "parallel")]
pub use token::verify_ahead;
pub use token::{SignatureError, Token, TokenError, Verified, verify};
pub use unsigned::Unsigned;
