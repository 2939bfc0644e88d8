use std::collections::BTreeMap;
use std::time::Duration;

use ucan_core::Ipld;

use crate::retry::duration;
use crate::shape::{Shape, ShapeError};

/// How a workflow is to be run as a whole: `config` of a document. It is no part of the identity of any task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// How long after its first start tasks of a run are started, in whole seconds; what is less is cut off, and 0 is never written.
    /// For ever, where nothing is said.
    pub time: Option<Duration>,
    /// The most fuel that the tasks of a run may use together.
    pub gas: Option<u64>,
    /// How many tasks of a run may run at once, at least 1; never more than the engine has places for.
    pub parallelism: Option<u32>,
    /// Whether what comes of every task is secret.
    pub secret: bool,
}

impl RunConfig {
    pub(crate) fn parse(shape: &Shape<'_>) -> Result<Self, ShapeError> {
        let fields = shape.fields(&["time", "gas", "parallelism", "secret"])?;
        let time = fields.optional("time").map(|time| whole_seconds(&time)).transpose()?;
        let gas = fields.optional("gas").map(|gas| {
            let amount = u64::try_from(gas.integer()?).ok().filter(|amount| i64::try_from(*amount).is_ok());
            amount.ok_or_else(|| gas.error("an amount of fuel is an integer from 0 to 2^63 - 1".to_owned()))
        });
        let parallelism = fields.optional("parallelism").map(|count| {
            let number = u32::try_from(count.integer()?).ok().filter(|number| *number > 0);
            number.ok_or_else(|| count.error(format!("1 to {} tasks can run at once", u32::MAX)))
        });
        let secret = fields.optional("secret").map(|secret| match secret.value() {
            Ipld::Bool(secret) => Ok(*secret),
            _ => Err(secret.error("it is true or false".to_owned())),
        });
        Ok(Self {
            time,
            gas: gas.transpose()?,
            parallelism: parallelism.transpose()?,
            secret: secret.transpose()?.unwrap_or_default(),
        })
    }

    /// As a document has it: without what is as it would be anyway.
    pub(crate) fn to_ipld(self) -> BTreeMap<String, Ipld> {
        let seconds = |time: Duration| Ipld::List(vec![integer(time.as_secs()), Ipld::String("seconds".to_owned())]);
        let fields = [
            ("time", self.time.filter(|time| time.as_secs() > 0).map(seconds)),
            ("gas", self.gas.map(integer)),
            ("parallelism", self.parallelism.map(integer)),
            ("secret", self.secret.then_some(Ipld::Bool(true))),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

fn integer(number: impl Into<i128>) -> Ipld {
    Ipld::Integer(number.into())
}

/// Clocks of tokens count whole seconds.
fn whole_seconds(shape: &Shape<'_>) -> Result<Duration, ShapeError> {
    let time = duration(shape)?;
    match time.subsec_nanos() == 0 && time.as_secs() > 0 {
        true => Ok(time),
        false => Err(shape.error("a run has whole seconds, at least one".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Ipld> {
        let text = prop::sample::select(vec!["seconds", "milli", "days", "years"]);
        let leaf = prop_oneof![
            any::<i64>().prop_map(integer),
            any::<bool>().prop_map(Ipld::Bool),
            text.prop_map(|text| Ipld::String(text.to_owned())),
            Just(Ipld::Null),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..4).prop_map(Ipld::List))
    }

    proptest! {
        #[test]
        fn what_is_accepted_survives(
            time in prop::option::of(1_u64..1 << 40),
            gas in prop::option::of(0_u64..1 << 63),
            parallelism in prop::option::of(1_u32..),
            secret in any::<bool>(),
        ) {
            let config = RunConfig { time: time.map(Duration::from_secs), gas, parallelism, secret };
            let written = Ipld::Map(config.to_ipld());
            prop_assert_eq!(RunConfig::parse(&Shape::root(&written)), Ok(config));
        }

        #[test]
        fn whatever_else_is_refused_or_means_the_same_when_it_is_written(
            fields in prop::collection::btree_map(
                prop::sample::select(vec!["time", "gas", "parallelism", "secret", "memory"]).prop_map(str::to_owned),
                value(),
                0..4,
            ),
        ) {
            let unknown = fields.contains_key("memory");
            let parsed = RunConfig::parse(&Shape::root(&Ipld::Map(fields)));
            prop_assert!(!(unknown && parsed.is_ok()));
            if let Ok(config) = parsed {
                prop_assert_eq!(RunConfig::parse(&Shape::root(&Ipld::Map(config.to_ipld()))), Ok(config));
            }
        }
    }
}
