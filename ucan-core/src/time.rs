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
}
