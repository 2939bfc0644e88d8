//! How the output of a task is to be verified, as workflow documents say it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use ipld_wit::text::{describe, nearest, shorten};
use ucan_core::{Did, Ipld};
use ucan_invocation::Receipt;
use ucan_invocation::meta::CHECK;

use crate::{ConfigError, units};

/// The names of all strategies, in the order of what they demand.
const NAMES: [&str; 6] = ["none", "attestation", "oracle", "consensus", "optimistic", "zkp"];
/// For how long an optimistic result can be challenged where nothing else is said.
const WINDOW: Duration = Duration::from_secs(3600);
/// How many executors can be named.
const MOST: usize = 1_000;

/// How the output of a task is verified: the field `check` of a configuration (IPVM Workflow draft 0.1, section 3.1.2).
///
/// [`Ballot`](crate::Ballot) decides by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// Not at all: `"none"`.
    None,
    /// By the executor's signature on the receipt: `"attestation"`.
    Attestation,
    /// By a third party, whose word alone counts: `{"oracle": DID}`.
    Oracle(Did),
    /// By so many of the named executors, who have to state the same: `{"consensus": {"executors": [DID], "agree": Int}}`.
    Consensus {
        /// Whose statements count.
        executors: BTreeSet<Did>,
        /// How many of them have to agree: more than half, so that no two statements can both have enough.
        agree: NonZeroUsize,
    },
    /// By the first executor, unless somebody says otherwise in time:
    /// `{"optimistic": {"confirmations": Int, "referee": DID, "window": TimeInterval}}`.
    Optimistic {
        /// How many others have to state the same for the result to be final before the window ends. With 0, none can.
        confirmations: u32,
        /// Whose word decides where two executors disagree.
        referee: Did,
        /// For how long it can be challenged: an hour unless it is said otherwise.
        window: Duration,
    },
}

impl Verification {
    /// The name in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Attestation => "attestation",
            Self::Oracle(_) => "oracle",
            Self::Consensus { .. } => "consensus",
            Self::Optimistic { .. } => "optimistic",
        }
    }

    /// Whether the statement of one executor is enough, so that nobody else has to be asked.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Self::None | Self::Attestation)
    }

    /// Whether a receipt says that its result was verified so. It is the word of whoever signed it.
    #[must_use]
    pub fn is_met_by(&self, receipt: &Receipt) -> bool {
        match receipt.meta().get(CHECK) {
            Some(Ipld::Map(check)) => check.get("by").is_some_and(|by| Self::parse(by).as_ref() == Ok(self)),
            _ => self.is_local(),
        }
    }

    /// Reads the field `check`.
    ///
    /// # Errors
    ///
    /// What is malformed or unknown; `zkp`, which is not supported.
    pub fn parse(ipld: &Ipld) -> Result<Self, ConfigError> {
        match ipld {
            Ipld::String(name) => match name.as_str() {
                "none" => Ok(Self::None),
                "attestation" => Ok(Self::Attestation),
                "oracle" | "consensus" | "optimistic" => Err(kind(format!("{{\"{name}\": ..}}"), describe(ipld))),
                name => Err(unknown(name)),
            },
            Ipld::Map(map) => match map.iter().next() {
                Some((name, value)) if map.len() == 1 => match name.as_str() {
                    "oracle" => did(value, "check.oracle").map(Self::Oracle),
                    "consensus" => consensus(value),
                    "optimistic" => optimistic(value),
                    name => Err(unknown(name)),
                },
                _ => Err(kind("a strategy", describe(ipld))),
            },
            other => Err(kind("a strategy", describe(other))),
        }
    }

    /// Writes the value that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let text = |did: &Did| Ipld::String(did.to_string());
        let map = |entries: Vec<(&str, Ipld)>| {
            Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        };
        let value = match self {
            Self::None | Self::Attestation => return Ipld::String(self.name().to_owned()),
            Self::Oracle(oracle) => text(oracle),
            Self::Consensus { executors, agree } => map(vec![
                ("executors", Ipld::List(executors.iter().map(text).collect())),
                ("agree", Ipld::Integer(agree.get() as i128)),
            ]),
            Self::Optimistic { confirmations, referee, window } => map(vec![
                ("confirmations", Ipld::Integer((*confirmations).into())),
                ("referee", text(referee)),
                ("window", units::time_to_ipld(*window)),
            ]),
        };
        map(vec![(self.name(), value)])
    }
}

fn kind(expected: impl Into<String>, found: String) -> ConfigError {
    ConfigError::Check { detail: format!("expected {}, found {found}", expected.into()) }
}

fn unknown(name: &str) -> ConfigError {
    if name == "zkp" {
        return ConfigError::NotSupported { field: "check", what: "verification by zero-knowledge proofs".to_owned() };
    }
    let like = nearest(name, NAMES).map_or_else(String::new, |nearest| format!(" (did you mean `{nearest}`?)"));
    ConfigError::Check { detail: format!("there is no strategy `{}`{like}", shorten(name, 40)) }
}

/// The fields of a strategy, of which there are no others.
fn fields<'a>(ipld: &'a Ipld, strategy: &str, known: &[&str]) -> Result<&'a BTreeMap<String, Ipld>, ConfigError> {
    let Ipld::Map(map) = ipld else { return Err(kind(format!("the fields of `{strategy}`"), describe(ipld))) };
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let detail = format!("`{strategy}` has no field `{}`", shorten(key, 40));
            Err(ConfigError::Check { detail })
        }
        None => Ok(map),
    }
}

fn field<'a>(map: &'a BTreeMap<String, Ipld>, strategy: &str, name: &str) -> Result<&'a Ipld, ConfigError> {
    let missing = || ConfigError::Check { detail: format!("`{strategy}` needs `{name}`") };
    map.get(name).ok_or_else(missing)
}

fn did(ipld: &Ipld, place: &str) -> Result<Did, ConfigError> {
    let Ipld::String(text) = ipld else { return Err(kind("a DID", describe(ipld))) };
    text.parse().map_err(|error| ConfigError::Check { detail: format!("{place}: {error}") })
}

fn count<T: TryFrom<i128>>(ipld: &Ipld, name: &str) -> Result<T, ConfigError> {
    let Ipld::Integer(number) = ipld else { return Err(kind(format!("`{name}` to be an integer"), describe(ipld))) };
    T::try_from(*number).map_err(|_| ConfigError::Check { detail: format!("`{name}` is out of range") })
}

fn consensus(ipld: &Ipld) -> Result<Verification, ConfigError> {
    let map = fields(ipld, "consensus", &["executors", "agree"])?;
    let named = match field(map, "consensus", "executors")? {
        Ipld::List(named) if named.len() <= MOST => named,
        Ipld::List(_) => return Err(ConfigError::Check { detail: format!("more than {MOST} executors") }),
        other => return Err(kind("`executors` to be a list of DIDs", describe(other))),
    };
    let executors: BTreeSet<Did> = named.iter().map(|it| did(it, "check.consensus")).collect::<Result<_, _>>()?;
    let principals: BTreeSet<&str> = executors.iter().map(Did::principal).collect();
    if principals.len() != named.len() {
        return Err(ConfigError::Check { detail: "an executor is named twice, and has one voice".to_owned() });
    }
    let agree: usize = count(field(map, "consensus", "agree")?, "agree")?;
    if agree > executors.len() || agree * 2 <= executors.len() {
        let of = executors.len();
        let detail = format!("`agree` is {agree} of {of}; it is to be more than half, and no more than there are");
        return Err(ConfigError::Check { detail });
    }
    let none = || ConfigError::Check { detail: "no executors are named".to_owned() };
    Ok(Verification::Consensus { executors, agree: NonZeroUsize::new(agree).ok_or_else(none)? })
}

fn optimistic(ipld: &Ipld) -> Result<Verification, ConfigError> {
    let map = fields(ipld, "optimistic", &["confirmations", "referee", "window"])?;
    Ok(Verification::Optimistic {
        confirmations: count(field(map, "optimistic", "confirmations")?, "confirmations")?,
        referee: did(field(map, "optimistic", "referee")?, "check.optimistic.referee")?,
        window: map.get("window").map_or(Ok(WINDOW), |window| units::time("check", window))?,
    })
}
