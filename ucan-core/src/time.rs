//! Times as tokens write them, clocks, and the time bounds of a token.

use std::{fmt, time::SystemTime};

/// A moment: seconds since the Unix epoch, at most 2^53 - 1 (what every JSON reader can hold exactly).
///
/// ```
/// use ucan_core::Timestamp;
///
/// assert_eq!(Timestamp::from_secs(1_767_225_600).map(Timestamp::as_secs), Some(1_767_225_600));
/// assert_eq!(Timestamp::from_secs(1 << 53), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last moment that a token can name.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The moment so many seconds after the epoch, unless it is beyond [`MAX`](Self::MAX).
    pub const fn from_secs(secs: u64) -> Option<Self> {
        if secs <= Self::MAX.0 { Some(Self(secs)) } else { None }
    }

    /// Reads a date and a time as RFC 3339 has them, from 1970 on. What is less than a second is cut off.
    ///
    /// ```
    /// use ucan_core::Timestamp;
    ///
    /// let noon = Timestamp::from_secs(1_767_268_800);
    /// assert_eq!(Timestamp::parse_rfc3339("2026-01-01T12:00:00Z"), noon);
    /// assert_eq!(Timestamp::parse_rfc3339("2026-01-01T13:30:00.5+01:30"), noon);
    /// assert_eq!(Timestamp::parse_rfc3339("2026-01-01T12:00:00"), None);
    /// ```
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        rfc3339(text)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The moment so many seconds later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub const fn saturating_add(self, secs: u64) -> Self {
        let sum = self.0.saturating_add(secs);
        if sum <= Self::MAX.0 { Self(sum) } else { Self::MAX }
    }

    /// The moment so many seconds earlier, at least the epoch.
    #[must_use]
    pub const fn saturating_sub(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs))
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where the time comes from. Called whenever something is accepted, started or retried.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

impl<T: Clock + ?Sized> Clock for std::sync::Arc<T> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let secs = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
        Timestamp::EPOCH.saturating_add(secs)
    }
}

/// A clock that stands still, for tests and for asking about another time.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Whether a token is valid now: `not_before - skew <= now <= expiration + skew`, both ends included.
///
/// `skew` is in seconds. An expiration that has passed is reported before a start that has not come.
///
/// # Errors
///
/// [`TimeError::Expired`] after the expiration, [`TimeError::TooEarly`] before the start.
pub fn in_time(
    not_before: Option<Timestamp>,
    expiration: Option<Timestamp>,
    now: Timestamp,
    skew: u64,
) -> Result<(), TimeError> {
    if let Some(expiration) = expiration
        && now.0 > expiration.0.saturating_add(skew)
    {
        return Err(TimeError::Expired { expiration, now });
    }
    if let Some(not_before) = not_before
        && now.0 < not_before.0.saturating_sub(skew)
    {
        return Err(TimeError::TooEarly { not_before, now });
    }
    Ok(())
}

/// Why a token is not valid at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Its expiration has passed.
    #[error("expired at {expiration}, and it is {now}")]
    Expired {
        /// When it expired.
        expiration: Timestamp,
        /// The time it was checked at.
        now: Timestamp,
    },
    /// Its start has not come.
    #[error("not valid before {not_before}, and it is {now}")]
    TooEarly {
        /// When it becomes valid.
        not_before: Timestamp,
        /// The time it was checked at.
        now: Timestamp,
    },
}

impl TimeError {
    /// The name of the error in the conformance protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "Expired",
            Self::TooEarly { .. } => "TooEarly",
        }
    }
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let marked = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark));
    if !marked || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = match text.get(19..)?.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|char: char| !char.is_ascii_digit()).filter(|end| *end > 0)?;
            fraction.get(end..)?
        }
        None => text.get(19..)?,
    };
    let ahead = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let start = text.len() - rest.len();
            let (hours, minutes) = (number(start + 1, start + 3)?, number(start + 4, start + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) as i64 * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // Years that begin in March have their leap day at the end.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y / 400 * 146_097 + y % 400 * 365 + y % 400 / 4 - y % 400 / 100 + (153 * m + 2) / 5 + day - 1;
    let secs = days.checked_sub(719_468)? * 24 * 60 * 60 + hour * 3600 + minute * 60 + second;
    Timestamp::from_secs(secs.checked_add_signed(-ahead)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    #[test]
    fn both_bounds_are_inclusive_and_widened_by_the_skew() {
        let check = |now| in_time(Some(at(100)), Some(at(200)), at(now), 10);
        assert_eq!(check(89), Err(TimeError::TooEarly { not_before: at(100), now: at(89) }));
        assert_eq!(check(90), Ok(()));
        assert_eq!(check(210), Ok(()));
        assert_eq!(check(211), Err(TimeError::Expired { expiration: at(200), now: at(211) }));
        assert_eq!(in_time(None, None, at(0), 0), Ok(()));
        assert_eq!(in_time(Some(at(5)), Some(Timestamp::MAX), at(0), u64::MAX), Ok(()));
    }

    #[test]
    fn dates_are_read_strictly() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (1_767_225_600, "2026-01-01t01:00:00.999+01:00"),
            (1_767_225_600, "2025-12-31 22:30:00-01:30"),
            (1_767_225_600, "2026-01-01 00:00:00z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Some(at(secs)), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00++1:00",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "+026-01-01T00:00:00Z",
            "1969-12-31T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "\u{e4}\u{e4}",
            "2026-01-01T00:00:00+\u{e4}\u{e4}:0",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }
}
