use std::collections::BTreeMap;
use std::fmt;

use ucan_core::{Cid, Ipld, block, dagcbor};

use crate::is_pending;

/// Why a task failed, or may not start: a machine-readable name, a message for people, and what else helps.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What programs branch on, in the spelling of an error type: `OutOfFuel`, `BranchMismatch`.
    pub name: String,
    /// What went wrong, where, and what to do.
    pub message: String,
    /// Further fields of the error. `name` and `message` take precedence over fields of these names.
    pub details: BTreeMap<String, Ipld>,
}

impl Failure {
    /// A failure without further fields.
    #[must_use]
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), details: BTreeMap::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: &str, value: Ipld) -> Self {
        self.details.insert(key.to_owned(), value);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let Failure { name, message, mut details } = failure;
        details.insert("name".to_owned(), Ipld::String(name));
        details.insert("message".to_owned(), Ipld::String(message));
        Self::Error(Ipld::Map(details))
    }
}

/// What came of a task: `{ok: ..}` or `{error: ..}` (UCAN Receipt, "Result").
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It succeeded, with this value.
    Ok(Ipld),
    /// It failed. Failures made here are maps with at least `name` and `message`.
    Error(Ipld),
}

impl Outcome {
    /// Whether it is a success.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }

    /// The outcome, unless it holds the shape of a promise, which could make a later reader wait for something else: that is
    /// refused, and becomes a failure named `PromiseInResult`.
    #[must_use]
    pub fn without_promises(self) -> Self {
        let (Self::Ok(value) | Self::Error(value)) = &self;
        if is_pending(value) {
            return Failure::new("PromiseInResult", "the result holds the shape of a promise, which is refused").into();
        }
        self
    }

    /// The name of a failure, where it has one.
    #[must_use]
    pub fn failure_name(&self) -> Option<&str> {
        self.failure_field("name")
    }

    /// The message of a failure, where it has one.
    #[must_use]
    pub fn failure_message(&self) -> Option<&str> {
        self.failure_field("message")
    }

    fn failure_field(&self, field: &str) -> Option<&str> {
        match self {
            Self::Error(Ipld::Map(map)) => match map.get(field) {
                Some(Ipld::String(text)) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// The outcome as data.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let (key, value) = match self {
            Self::Ok(value) => ("ok", value),
            Self::Error(value) => ("error", value),
        };
        Ipld::Map([(key.to_owned(), value.clone())].into())
    }

    /// What two executors must agree on: the CID of the outcome as DAG-CBOR, without the message of a failure that has a
    /// name. Programs branch on the name and the other fields; the message is for people, and may be worded differently.
    ///
    /// # Errors
    /// [`dagcbor::EncodeError`] where a value cannot be carried (NaN, infinity, an integer beyond 64 bits). An outcome
    /// that was read from a receipt can.
    pub fn digest(&self) -> Result<Cid, dagcbor::EncodeError> {
        let mut value = self.to_ipld();
        if let Ipld::Map(arms) = &mut value
            && let Some(Ipld::Map(error)) = arms.get_mut("error")
            && error.contains_key("name")
        {
            error.remove("message");
        }
        Ok(block::dag_cbor_cid(&dagcbor::encode(&value)?))
    }

    /// Reads an outcome: a map with exactly one key, `ok` or `error`.
    #[must_use]
    pub fn from_ipld(value: &Ipld) -> Option<Self> {
        Self::is_outcome(value).then(|| Self::take(value.clone())).flatten()
    }

    /// Whether `value` can be read as an outcome.
    pub(crate) fn is_outcome(value: &Ipld) -> bool {
        match value {
            Ipld::Map(map) => map.len() == 1 && map.keys().all(|key| key == "ok" || key == "error"),
            _ => false,
        }
    }

    /// Reads an outcome out of a value that is not needed any more.
    pub(crate) fn take(value: Ipld) -> Option<Self> {
        let Ipld::Map(map) = value else { return None };
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((key, value)), None) if key == "ok" => Some(Self::Ok(value)),
            (Some((key, value)), None) if key == "error" => Some(Self::Error(value)),
            _ => None,
        }
    }
}
