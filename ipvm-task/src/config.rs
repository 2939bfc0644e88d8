//! The resource configuration of tasks in workflow documents.

use std::collections::BTreeMap;
use std::time::Duration;

use ipld_wit::text::{describe, nearest, shorten};
use ucan_core::Ipld;

use crate::{Bounds, Limits, Verification, units};

const FIELDS: [&str; 6] = ["secret", "check", "time", "memory", "disk", "gas"];

/// What a workflow document asks for a task, or for all of its tasks; each field may be unset.
///
/// The fields are those of the IPVM workflow draft 0.1. Nothing of this is part of a task's identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskConfig {
    /// Whether the output is unsafe to publish. Unset is a soft no: what is computed from secrets is secret anyway.
    pub secret: Option<bool>,
    /// How the output is to be verified.
    pub check: Option<Verification>,
    /// The most wall-clock time.
    pub time: Option<Duration>,
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The most disk space, in bytes. The guests of this machine have no disk, so that each quota is kept.
    pub disk: Option<u64>,
    /// The most fuel.
    pub gas: Option<u64>,
}

impl TaskConfig {
    /// Reads a `config` or `defaults` map.
    ///
    /// # Errors
    ///
    /// What is malformed or unknown, and verification by zero-knowledge proofs, which is not supported. The error names the
    /// field.
    pub fn parse(config: &Ipld) -> Result<Self, ConfigError> {
        let Ipld::Map(map) = config else {
            return Err(ConfigError::NotAMap { found: describe(config) });
        };
        if let Some(name) = map.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(ConfigError::UnknownField { nearest: nearest(name, FIELDS), name: shorten(name, 40) });
        }
        Ok(Self {
            secret: secret(map)?,
            check: map.get("check").map(Verification::parse).transpose()?,
            time: map.get("time").map(|ipld| units::time("time", ipld)).transpose()?,
            memory: map.get("memory").map(|ipld| units::size("memory", ipld)).transpose()?,
            disk: map.get("disk").map(|ipld| units::size("disk", ipld)).transpose()?,
            gas: map.get("gas").map(gas).transpose()?,
        })
    }

    /// Writes the map that [`parse`](Self::parse) reads. Times and sizes are written in seconds and bytes.
    pub fn to_ipld(&self) -> Ipld {
        let fields = [
            ("secret", self.secret.map(Ipld::Bool)),
            ("check", self.check.as_ref().map(Verification::to_ipld)),
            ("time", self.time.map(units::time_to_ipld)),
            ("memory", self.memory.map(units::size_to_ipld)),
            ("disk", self.disk.map(units::size_to_ipld)),
            ("gas", self.gas.map(|gas| Ipld::Integer(gas.into()))),
        ];
        Ipld::Map(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// This configuration, with what it leaves unset taken from `defaults`.
    #[must_use]
    pub fn over(&self, defaults: &Self) -> Self {
        Self {
            secret: self.secret.or(defaults.secret),
            check: self.check.clone().or_else(|| defaults.check.clone()),
            time: self.time.or(defaults.time),
            memory: self.memory.or(defaults.memory),
            disk: self.disk.or(defaults.disk),
            gas: self.gas.or(defaults.gas),
        }
    }

    /// The limits of a run: what is set here, within the engine's ceiling, and the engine's defaults for the rest.
    ///
    /// # Errors
    ///
    /// A field that asks for more than the ceiling. It is refused rather than cut down, so that nobody pays for a run
    /// that is bound to be ended half-way.
    pub fn limits(&self, bounds: &Bounds) -> Result<Limits, ConfigError> {
        let mut limits = bounds.default.min(&bounds.ceiling);
        let ceiling = &bounds.ceiling;
        if let Some(fuel) = self.gas {
            limits.fuel = within("gas", fuel, ceiling.fuel, |fuel| fuel.to_string())?;
        }
        if let Some(memory) = self.memory {
            limits.memory = within("memory", memory, ceiling.memory, |memory| format!("{memory} bytes"))?;
        }
        if let Some(time) = self.time {
            limits.time = within("time", time, ceiling.time, |time| format!("{time:?}"))?;
        }
        Ok(limits)
    }
}

fn within<T: Copy + Ord>(
    field: &'static str,
    asked: T,
    ceiling: T,
    show: impl Fn(T) -> String,
) -> Result<T, ConfigError> {
    if asked <= ceiling {
        Ok(asked)
    } else {
        Err(ConfigError::AboveCeiling { field, asked: show(asked), ceiling: show(ceiling) })
    }
}

fn secret(map: &BTreeMap<String, Ipld>) -> Result<Option<bool>, ConfigError> {
    match map.get("secret") {
        None | Some(Ipld::Null) => Ok(None),
        Some(Ipld::Bool(secret)) => Ok(Some(*secret)),
        Some(other) => {
            Err(ConfigError::Kind { field: "secret", expected: "a boolean or null", found: describe(other) })
        }
    }
}

fn gas(ipld: &Ipld) -> Result<u64, ConfigError> {
    match ipld {
        Ipld::Integer(gas) => u64::try_from(*gas).map_err(|_| ConfigError::OutOfRange { field: "gas" }),
        other => Err(ConfigError::Kind { field: "gas", expected: "an integer", found: describe(other) }),
    }
}

/// A resource configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is no map.
    #[error("a configuration is a map, found {found}")]
    NotAMap {
        /// What stands there, in a few words.
        found: String,
    },
    /// A key that has no meaning.
    #[error("there is no field `{name}`{}", suggestion(nearest.as_deref()))]
    UnknownField {
        /// The key.
        name: String,
        /// The field that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("{field}: expected {expected}, found {found}")]
    Kind {
        /// The field.
        field: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What stands there, in a few words.
        found: String,
    },
    /// A prefix or unit that is not known, or not for this field.
    #[error("{field}: there is no unit or prefix `{name}` here{}", suggestion(nearest.as_deref()))]
    UnknownUnit {
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
        /// The known name that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// A negative quantity, or one that is too large for any machine.
    #[error("{field}: the quantity is out of range")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// A quantity that is no whole number of nanoseconds or bytes.
    #[error("{field}: the quantity is no whole number of nanoseconds or bytes")]
    TooFine {
        /// The field.
        field: &'static str,
    },
    /// A strategy of verification that is malformed or unknown.
    #[error("check: {detail}")]
    Check {
        /// What is wrong with it.
        detail: String,
    },
    /// Something that the draft defines and this family cannot honour.
    #[error("{field}: {what} is not supported")]
    NotSupported {
        /// The field.
        field: &'static str,
        /// What was asked for.
        what: String,
    },
    /// More than the engine gives.
    #[error("{field}: {asked} is more than this engine's ceiling of {ceiling}")]
    AboveCeiling {
        /// The field.
        field: &'static str,
        /// What was asked for.
        asked: String,
        /// The most that there is.
        ceiling: String,
    },
}

impl ConfigError {
    /// The field that is at fault, if it is a known one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::NotAMap { .. } | Self::UnknownField { .. } => None,
            Self::Check { .. } => Some("check"),
            Self::Kind { field, .. }
            | Self::UnknownUnit { field, .. }
            | Self::OutOfRange { field }
            | Self::TooFine { field }
            | Self::NotSupported { field, .. }
            | Self::AboveCeiling { field, .. } => Some(field),
        }
    }
}

pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean `{nearest}`?)"))
}
