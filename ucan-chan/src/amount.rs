use std::fmt;
use std::str::FromStr;

use ucan_core::Ipld;

/// The highest amount and sequence number: 2^53 - 1, the highest integer that every implementation of UCAN carries.
pub const MAX: u64 = (1 << 53) - 1;

/// What a channel counts: `gas`, `requests`, `bytes`, or money by reference.
///
/// 1 to 64 of the characters `a-z 0-9 . : / _ -`, of which the first is a letter or a digit.
///
/// ```
/// use ucan_chan::Unit;
///
/// assert_eq!("iso4217:eur/cents".parse::<Unit>()?.as_str(), "iso4217:eur/cents");
/// assert!("Gas".parse::<Unit>().is_err());
/// # Ok::<(), ucan_chan::UnitError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(String);

impl Unit {
    /// The unit as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(plain);
        let all = text.bytes().all(|byte| plain(byte) || b".:/_-".contains(&byte));
        if begins && all && text.len() <= 64 { Ok(Self(text.to_owned())) } else { Err(UnitError) }
    }
}

/// Why a text is not a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a unit: 1 to 64 of the characters a-z 0-9 . : / _ -, beginning with a letter or a digit")]
pub struct UnitError;

/// An amount, as it stands in a token; none for what is no integer from 0 to [`MAX`].
pub(crate) fn amount(value: &Ipld) -> Option<u64> {
    match value {
        Ipld::Integer(number) => u64::try_from(*number).ok().filter(|number| *number <= MAX),
        _ => None,
    }
}

/// `a + b`, unless that is more than [`MAX`].
pub(crate) fn sum(a: u64, b: u64) -> Option<u64> {
    a.checked_add(b).filter(|sum| *sum <= MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_strict() {
        for good in ["gas", "a", "9", "iso4217:eur/cents", &"a".repeat(64)] {
            assert_eq!(good.parse::<Unit>().unwrap().to_string(), good);
        }
        for bad in ["", "-gas", "Gas", "gäs", "a b", "gas\n", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Unit>(), Err(UnitError), "{bad:?}");
        }
    }

    #[test]
    fn amounts_stay_in_their_range() {
        assert_eq!(sum(MAX, 0), Some(MAX));
        assert_eq!([sum(MAX, 1), sum(u64::MAX, 1)], [None, None]);
        assert_eq!(amount(&Ipld::Integer(i128::from(MAX))), Some(MAX));
        for bad in [Ipld::Integer(-1), Ipld::Integer(i128::from(MAX) + 1), Ipld::Null, Ipld::Float(1.0)] {
            assert_eq!(amount(&bad), None);
        }
    }
}
