use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ucan_core::Ipld;

use crate::shape::{Shape, ShapeError};

/// The most attempts that can be asked for.
const MOST: u32 = 1_000;

/// How often a task is tried, and how long it is waited in between: `config.retry` of a document. A pause is twice as long as the
/// one before it, and a random part of its second half is left out, so that many who failed together do not come back together.
///
/// What counts as an attempt that can be repeated follows from the effect class: a final failure of a deterministic task never, and
/// that of a mutable one only where its handler is idempotent ([`Handler::is_idempotent`](ucan_invocation::Handler::is_idempotent)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts are made in all, at least 1.
    pub attempts: u32,
    /// The pause after the first attempt: a second, unless it is said otherwise.
    pub delay: Duration,
    /// The longest pause: a minute, unless it is said otherwise.
    pub longest: Duration,
    /// No attempt is begun later than so long after the first one; as late as it comes, where that is not said.
    pub within: Option<Duration>,
    /// The names of the failures after which it is tried again; all, where none are named.
    pub on: BTreeSet<String>,
}

impl Retry {
    pub(crate) fn parse(shape: &Shape<'_>) -> Result<Self, ShapeError> {
        let fields = shape.fields(&["attempts", "delay", "longest", "within", "on"])?;
        let attempts = fields.required("attempts")?;
        let in_range = |count: &u32| (1..=MOST).contains(count);
        let counted = u32::try_from(attempts.integer()?).ok().filter(in_range);
        let attempts = counted.ok_or_else(|| attempts.error(format!("a task is tried 1 to {MOST} times")))?;
        let pause =
            |key, otherwise| fields.optional(key).map_or(Ok(Duration::from_secs(otherwise)), |it| duration(&it));
        let (delay, longest) = (pause("delay", 1)?, pause("longest", 60)?);
        let within = fields.optional("within").map(|it| duration(&it)).transpose()?;
        let on = match fields.optional("on") {
            Some(names) => {
                names.items()?.iter().map(|name| name.string().map(str::to_owned)).collect::<Result<_, _>>()?
            }
            None => BTreeSet::new(),
        };
        Ok(Self { attempts, delay, longest, within, on })
    }

    /// As a document has it. Times are in milliseconds.
    pub(crate) fn to_ipld(&self) -> Ipld {
        let text = |text: &str| Ipld::String(text.to_owned());
        let time =
            |time: Duration| Ipld::List(vec![Ipld::Integer(time.as_millis() as i128), text("milli"), text("seconds")]);
        let mut map = BTreeMap::from([
            ("attempts".to_owned(), Ipld::Integer(self.attempts.into())),
            ("delay".to_owned(), time(self.delay)),
            ("longest".to_owned(), time(self.longest)),
        ]);
        map.extend(self.within.map(|within| ("within".to_owned(), time(within))));
        if !self.on.is_empty() {
            map.insert("on".to_owned(), Ipld::List(self.on.iter().map(|name| text(name)).collect()));
        }
        Ipld::Map(map)
    }

    /// How long to wait after the attempt with this number, from 1, or `None` where it was the last, or the failure of that name is not one after
    /// which it is tried again. `chance` is a random number.
    #[must_use]
    pub fn pause(&self, attempt: u32, failure: &str, chance: u32) -> Option<Duration> {
        if attempt >= self.attempts || !(self.on.is_empty() || self.on.contains(failure)) {
            return None;
        }
        let doubled = self.delay.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(self.longest);
        let spread = (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        Some(pause.saturating_sub(spread))
    }
}

/// A time as documents have it: `[magnitude, prefix?, unit]`.
pub(crate) fn duration(shape: &Shape<'_>) -> Result<Duration, ShapeError> {
    let items = shape.items()?;
    let (magnitude, scale) = match items.as_slice() {
        [magnitude, unit] => (magnitude, unit_millis(unit.string()?)),
        [magnitude, prefix, unit] if matches!(prefix.value(), Ipld::String(prefix) if prefix == "milli") => {
            (magnitude, unit_millis(unit.string()?).filter(|millis| *millis == 1_000).map(|_| 1))
        }
        _ => {
            return Err(shape.error("expected a time, as [5, \"seconds\"] or [100, \"milli\", \"seconds\"]".to_owned()));
        }
    };
    let scale = scale.ok_or_else(|| shape.error("a time is in seconds, minutes, hours or days".to_owned()))?;
    let millis = u64::try_from(magnitude.integer()?).ok().and_then(|count| count.checked_mul(scale));
    millis.map(Duration::from_millis).ok_or_else(|| magnitude.error("the time is out of range".to_owned()))
}

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "second" | "seconds" => 1_000,
        "minute" | "minutes" => 60_000,
        "hour" | "hours" => 3_600_000,
        "day" | "days" => 86_400_000,
        _ => return None,
    })
}
