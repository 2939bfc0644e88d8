//! Quantities with units, as workflow documents spell them: `[magnitude, prefix?, unit]`.

use std::time::Duration;

use ipld_wit::text::{describe, nearest};
use ucan_core::Ipld;

use crate::ConfigError;

/// SI prefixes by name, with their powers of ten.
const PREFIXES: [(&str, i32); 14] = [
    ("pico", -12),
    ("nano", -9),
    ("micro", -6),
    ("milli", -3),
    ("centi", -2),
    ("deci", -1),
    ("deca", 1),
    ("hecto", 2),
    ("kilo", 3),
    ("mega", 6),
    ("giga", 9),
    ("tera", 12),
    ("peta", 15),
    ("exa", 18),
];

/// Units of time in seconds. A year is 365 days.
const TIMES: [(&str, u64); 6] =
    [("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400), ("weeks", 604_800), ("years", 31_536_000)];

/// Units of information in bits.
const SIZES: [(&str, u64); 3] = [("bits", 1), ("nibbles", 4), ("bytes", 8)];

/// Reads a length of time; it must be a whole number of nanoseconds.
pub(crate) fn time(field: &'static str, ipld: &Ipld) -> Result<Duration, ConfigError> {
    let nanoseconds = measure(field, ipld, &TIMES, 9, 1)?;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).map_err(|_| ConfigError::OutOfRange { field })?;
    let rest = (nanoseconds % 1_000_000_000) as u32;
    Ok(Duration::new(seconds, rest))
}

/// Reads a size; it must be a whole number of bytes.
pub(crate) fn size(field: &'static str, ipld: &Ipld) -> Result<u64, ConfigError> {
    let bytes = measure(field, ipld, &SIZES, 0, 8)?;
    u64::try_from(bytes).map_err(|_| ConfigError::OutOfRange { field })
}

/// Writes a length of time as [`time`] reads it.
pub(crate) fn time_to_ipld(time: Duration) -> Ipld {
    let unit = Ipld::String("seconds".to_owned());
    if time.subsec_nanos() == 0 {
        Ipld::List(vec![Ipld::Integer(time.as_secs().into()), unit])
    } else {
        let nanoseconds = i128::from(time.as_secs()) * 1_000_000_000 + i128::from(time.subsec_nanos());
        Ipld::List(vec![Ipld::Integer(nanoseconds), Ipld::String("nano".to_owned()), unit])
    }
}

/// Writes a size as [`size`] reads it.
pub(crate) fn size_to_ipld(bytes: u64) -> Ipld {
    Ipld::List(vec![Ipld::Integer(bytes.into()), Ipld::String("bytes".to_owned())])
}

/// `magnitude * prefix * unit * 10^scale / divisor`, if that is a whole number.
fn measure(
    field: &'static str,
    ipld: &Ipld,
    units: &[(&'static str, u64)],
    scale: i32,
    divisor: u128,
) -> Result<u128, ConfigError> {
    let (magnitude, prefix, unit) = match ipld {
        Ipld::List(parts) => match parts.as_slice() {
            [Ipld::Integer(magnitude), Ipld::String(unit)] => (*magnitude, None, unit),
            [Ipld::Integer(magnitude), Ipld::String(prefix), Ipld::String(unit)] => (*magnitude, Some(prefix), unit),
            _ => return Err(shape(field, ipld)),
        },
        _ => return Err(shape(field, ipld)),
    };
    let magnitude = u128::try_from(magnitude).map_err(|_| ConfigError::OutOfRange { field })?;
    let unit = lookup(field, unit, units)?;
    let power = prefix.map_or(Ok(0), |prefix| lookup(field, prefix, &PREFIXES))? + scale;

    let too_large = ConfigError::OutOfRange { field };
    let amount = magnitude.checked_mul(unit.into()).ok_or(too_large.clone())?;
    let ten = 10_u128.checked_pow(power.unsigned_abs()).ok_or(too_large.clone())?;
    let (amount, divisor) =
        if power < 0 { (amount, divisor * ten) } else { (amount.checked_mul(ten).ok_or(too_large)?, divisor) };
    if amount % divisor == 0 { Ok(amount / divisor) } else { Err(ConfigError::TooFine { field }) }
}

fn shape(field: &'static str, found: &Ipld) -> ConfigError {
    ConfigError::Kind { field, expected: "[magnitude, prefix?, unit]", found: describe(found) }
}

fn lookup<T: Copy>(field: &'static str, name: &str, table: &[(&'static str, T)]) -> Result<T, ConfigError> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| ConfigError::UnknownUnit {
        field,
        nearest: nearest(name, table.iter().map(|(known, _)| *known)),
        name: ipld_wit::text::shorten(name, 40),
    })
}
