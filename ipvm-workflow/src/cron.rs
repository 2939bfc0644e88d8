use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use ucan_core::Timestamp;

/// The most bytes that an expression may have.
const LONGEST: usize = 256;

/// A cron expression: minute, hour, day of the month, month and day of the week, in UTC, which has no daylight saving.
///
/// A field is `*`, or a list of numbers and ranges, each of which (and `*`) may have a step: `0,30`, `9-17`, `*/5`, `0-30/10`. Months and
/// days of the week also go by the first three letters of their English names; Sunday is 0 or 7. Where neither of the fields of the day is
/// `*`, a day matches when either does.
///
/// ```
/// use ipvm_workflow::Cron;
/// use ucan_core::Timestamp;
///
/// let cron = Cron::parse("30 9 * * mon-fri")?;
/// let new_year = Timestamp::parse_rfc3339("2027-01-01T12:00:00Z").unwrap();
/// assert_eq!(cron.after(new_year), Timestamp::parse_rfc3339("2027-01-04T09:30:00Z"));
/// let error = Cron::parse("30 25 * * *").unwrap_err();
/// assert!(error.to_string().starts_with("the hour \"25\""), "{error}");
/// # Ok::<(), ipvm_workflow::CronError>(())
/// ```
#[derive(Clone)]
pub struct Cron {
    text: String,
    pattern: Arc<croner::Cron>,
}

/// A field of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronField {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or `jan` to `dec`.
    Month,
    /// 0 to 7, or `sun` to `sat`.
    DayOfWeek,
}

const FIELDS: [CronField; 5] =
    [CronField::Minute, CronField::Hour, CronField::DayOfMonth, CronField::Month, CronField::DayOfWeek];

impl CronField {
    fn range(self) -> &'static str {
        match self {
            Self::Minute => "0 to 59",
            Self::Hour => "0 to 23",
            Self::DayOfMonth => "1 to 31",
            Self::Month => "1 to 12, or jan to dec",
            Self::DayOfWeek => "0 to 7, or sun to sat",
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// It has another number of fields.
    #[error(
        "a cron expression has five fields (minute, hour, day of the month, month, day of the week), and this one has {found}"
    )]
    Fields {
        /// How many it has.
        found: usize,
    },
    /// It is longer than anybody needs.
    #[error("a cron expression has at most {LONGEST} bytes")]
    TooLong,
    /// A field is wrong.
    #[error("the {field} {text:?} is none: take *, or numbers and ranges ({}), with steps as in */5", .field.range())]
    Field {
        /// Which one.
        field: CronField,
        /// What stands there.
        text: String,
    },
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`CronError`] names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > LONGEST {
            return Err(CronError::TooLong);
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(CronError::Fields { found: fields.len() });
        }
        // The library says what is wrong, and not where: each field is read by itself first.
        for (at, (field, text)) in FIELDS.iter().zip(&fields).enumerate() {
            let mut alone = ["*"; 5];
            alone.iter_mut().skip(at).take(1).for_each(|place| *place = text);
            if !is_plain(*field, text) || pattern(&alone.join(" ")).is_none() {
                return Err(CronError::Field { field: *field, text: (*text).to_owned() });
            }
        }
        let text = fields.join(" ");
        let pattern = pattern(&text).ok_or(CronError::Fields { found: fields.len() })?;
        Ok(Self { text, pattern: Arc::new(pattern) })
    }

    /// The expression, with one space between its fields.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment after this one at which it matches; `None` where there is none in the next thousands of years.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let found = self.pattern.find_next_occurrence(&date(moment)?, false).ok()?;
        timestamp(&found)
    }

    /// The last moment at which it matches that is not after this one; `None` where there is none since 1970.
    #[must_use]
    pub fn up_to(&self, moment: Timestamp) -> Option<Timestamp> {
        let found = self.pattern.find_previous_occurrence(&date(moment)?, true).ok()?;
        timestamp(&found)
    }
}

/// Whether a field keeps to what is written down of fields: the library knows more, and others need not.
fn is_plain(field: CronField, text: &str) -> bool {
    let named = matches!(field, CronField::Month | CronField::DayOfWeek);
    let item = |item: &str| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let end =
            |text: &str| number(text) || named && text.len() == 3 && text.bytes().all(|it| it.is_ascii_alphabetic());
        // A step of nothing is none, and a step from one number on means different things to different readers.
        let stepped = item.contains('/');
        let ranged = range == "*" || (range.contains('-') || !stepped) && end(from) && end(to);
        ranged && number(step) && step.bytes().any(|byte| byte != b'0')
    };
    text.split(',').all(item)
}

fn pattern(text: &str) -> Option<croner::Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).ok()
}

fn date(moment: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(moment.as_secs()).ok()?, 0)
}

fn timestamp(date: &DateTime<Utc>) -> Option<Timestamp> {
    Timestamp::from_secs(u64::try_from(date.timestamp()).ok()?)
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(text: &str) -> Option<CronField> {
        match Cron::parse(text) {
            Err(CronError::Field { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, wrong) in [
            ("60 * * * *", CronField::Minute),
            ("*/0 * * * *", CronField::Minute),
            ("5/10 * * * *", CronField::Minute),
            ("@ * * * *", CronField::Minute),
            ("1,,2 * * * *", CronField::Minute),
            ("* 24 * * *", CronField::Hour),
            ("* 9-5 * * *", CronField::Hour),
            ("* * 0 * *", CronField::DayOfMonth),
            ("* * L * *", CronField::DayOfMonth),
            ("* * 15W * *", CronField::DayOfMonth),
            ("* * * 13 *", CronField::Month),
            ("* * * foo *", CronField::Month),
            ("* * * * 8", CronField::DayOfWeek),
            ("* * * * 5#2", CronField::DayOfWeek),
            ("* * * * +1", CronField::DayOfWeek),
            ("* * * * \u{e4}", CronField::DayOfWeek),
        ] {
            assert_eq!(field(text), Some(wrong), "{text}");
        }
        for (text, found) in [("", 0), ("* * * *", 4), ("0 * * * * *", 6), ("@daily", 1)] {
            assert_eq!(Cron::parse(text), Err(CronError::Fields { found }), "{text}");
        }
        assert_eq!(Cron::parse(&"*".repeat(257)), Err(CronError::TooLong));
        assert_eq!(Cron::parse(" 0\t9  * jan,MAR sun ").unwrap().as_str(), "0 9 * jan,MAR sun");
    }

    #[test]
    fn what_never_comes_is_not_waited_for() {
        let never = Cron::parse("0 0 30 2 *").unwrap();
        let now = Timestamp::from_secs(1_800_000_000).unwrap();
        assert_eq!((never.after(now), never.up_to(now)), (None, None));
        let always = Cron::parse("* * * * *").unwrap();
        assert_eq!((always.after(Timestamp::MAX), always.up_to(Timestamp::MAX)), (None, None));
        assert_eq!(always.up_to(Timestamp::EPOCH), Some(Timestamp::EPOCH));
        let leap = Cron::parse("0 0 29 2 *").unwrap().after(now).unwrap();
        assert_eq!(Some(leap), Timestamp::parse_rfc3339("2028-02-29T00:00:00Z"));
    }

    /// Numbers of a field, and what it says.
    fn numbers(from: u32, to: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
        let range = (from..=to, from..=to, 1..=to / 2).prop_map(move |(a, b, step)| {
            let (a, b) = (a.min(b), a.max(b));
            match step {
                1 => (format!("{a}-{b}"), (a..=b).collect::<Vec<_>>()),
                _ => (format!("{a}-{b}/{step}"), (a..=b).step_by(step as usize).collect()),
            }
        });
        prop_oneof![
            3 => Just(("*".to_owned(), (from..=to).collect::<Vec<_>>())),
            1 => (2..=to / 2).prop_map(move |step| (format!("*/{step}"), (from..=to).step_by(step as usize).collect())),
            1 => prop::collection::vec(from..=to, 1..4).prop_map(|list| {
                (list.iter().map(u32::to_string).collect::<Vec<_>>().join(","), list)
            }),
            1 => range,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever somebody writes is read or refused, and what is read comes back.
        #[test]
        fn any_text_is_read_or_refused(
            text in prop_oneof!["([0-9*,/a-z#LW?-]{1,5} ){4}[0-9*a-z,/+-]{1,5}", "[0-9*,/ @-]{0,40}", ".{0,300}"],
            moment in 0..=Timestamp::MAX.as_secs(),
        ) {
            if let Ok(cron) = Cron::parse(&text) {
                prop_assert_eq!(&Cron::parse(cron.as_str()), &Ok(cron.clone()));
                let moment = Timestamp::from_secs(moment).unwrap();
                prop_assert!(cron.after(moment).is_none_or(|next| next > moment));
                prop_assert!(cron.up_to(moment).is_none_or(|last| last <= moment));
            }
        }

        /// What the library finds is what the definition says, minute by minute.
        #[test]
        fn it_means_what_is_written_down(
            minute in numbers(0, 59),
            hour in numbers(0, 23),
            day in numbers(1, 31),
            month in numbers(1, 12),
            weekday in numbers(0, 7),
            start in 0_u64..4_000_000_000,
        ) {
            use chrono::{Datelike, Timelike};
            let text = [&minute, &hour, &day, &month, &weekday].map(|(text, _)| text.as_str()).join(" ");
            let cron = Cron::parse(&text).unwrap();
            let matches = |secs: u64| {
                let date = date(Timestamp::from_secs(secs).unwrap()).unwrap();
                let days = day.1.contains(&date.day());
                let of_week = date.weekday().num_days_from_sunday();
                let weekdays = weekday.1.iter().any(|number| number % 7 == of_week);
                let days = match (day.0 == "*", weekday.0 == "*") {
                    (false, false) => days || weekdays,
                    _ => days && weekdays,
                };
                secs.is_multiple_of(60) && days && minute.1.contains(&date.minute()) && hour.1.contains(&date.hour())
                    && month.1.contains(&date.month())
            };
            let start = Timestamp::from_secs(start).unwrap();
            let next = cron.after(start).map(Timestamp::as_secs);
            if let Some(next) = next {
                prop_assert!(matches(next) && next > start.as_secs());
                let found = cron.up_to(Timestamp::from_secs(next).unwrap()).map(Timestamp::as_secs);
                prop_assert_eq!(found, Some(next), "both ways lead there");
            }
            // Nothing is left out, as far as somebody looks.
            let first = (start.as_secs() / 60 + 1..).map(|minute| minute * 60).take(3_000).find(|secs| matches(*secs));
            if let Some(first) = first {
                prop_assert_eq!(next, Some(first));
            }
            if let Some(before) = cron.up_to(start).map(Timestamp::as_secs) {
                prop_assert!(matches(before) && before <= start.as_secs());
                let later = (before / 60 + 1..=start.as_secs() / 60).take(3_000).find(|minute| matches(minute * 60));
                prop_assert_eq!(later, None);
            }
        }
    }
}
