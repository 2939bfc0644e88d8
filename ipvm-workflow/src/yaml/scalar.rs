//! What scalars mean under the core schema of YAML 1.2 (10.3.2).

use ucan_core::Ipld;

use super::YamlErrorKind as Kind;

/// What a plain scalar without a tag means.
pub(super) fn plain(text: &str) -> Result<Ipld, Kind> {
    if is_null(text) {
        return Ok(Ipld::Null);
    }
    if let Some(bool) = bool(text) {
        return Ok(Ipld::Bool(bool));
    }
    match integer(text) {
        Some(integer) => integer,
        None => float(text).unwrap_or_else(|| Ok(Ipld::String(text.to_owned()))),
    }
}

/// What a scalar means whose tag of the core schema has this name, if the tag is one for scalars.
pub(super) fn tagged(name: &str, text: &str) -> Option<Result<Ipld, Kind>> {
    let mistagged = || Kind::Mistagged(format!("!!{name}"));
    Some(match name {
        "str" => Ok(Ipld::String(text.to_owned())),
        "null" => is_null(text).then_some(Ipld::Null).ok_or_else(mistagged),
        "bool" => bool(text).map(Ipld::Bool).ok_or_else(mistagged),
        "int" => integer(text).unwrap_or_else(|| Err(mistagged())),
        "float" => float(text).unwrap_or_else(|| Err(mistagged())),
        _ => return None,
    })
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// `None` where it is not spelled like an integer.
fn integer(text: &str) -> Option<Result<Ipld, Kind>> {
    let (digits, radix) = match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(octal), _) => (octal, 8),
        (_, Some(hexadecimal)) => (hexadecimal, 16),
        _ => (text.strip_prefix(['-', '+']).unwrap_or(text), 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // The sign is part of the number, so that the least one fits, too.
    let signed = if radix == 10 { text } else { digits };
    Some(i128::from_str_radix(signed, radix).map(Ipld::Integer).map_err(|_| Kind::Number))
}

/// `None` where it is not spelled like a float.
fn float(text: &str) -> Option<Result<Ipld, Kind>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(Kind::NotFinite));
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if mantissa.trim_matches('.').is_empty()
        || exponent.is_empty()
        || ![whole, fraction, exponent].into_iter().all(are_digits)
    {
        return None;
    }
    let float = text.parse().ok().filter(|float: &f64| float.is_finite());
    Some(float.map(Ipld::Float).ok_or(Kind::Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema() {
        let string = |text: &str| Ipld::String(text.to_owned());
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(plain(text), Ok(Ipld::Null), "{text:?}");
        }
        for (text, value) in [("true", true), ("True", true), ("TRUE", true), ("false", false), ("False", false)] {
            assert_eq!(plain(text), Ok(Ipld::Bool(value)), "{text:?}");
        }
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("+12", 12),
            ("007", 7),
            ("0o17", 15),
            ("0xFf", 255),
            ("-9223372036854775809", -9_223_372_036_854_775_809),
            ("18446744073709551616", 18_446_744_073_709_551_616),
            ("-170141183460469231731687303715884105728", i128::MIN),
        ] {
            assert_eq!(plain(text), Ok(Ipld::Integer(value)), "{text:?}");
        }
        for (text, value) in
            [("1.0", 1.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1e3), ("-1.5E-1", -0.15), ("+.5e+1", 5.0), ("0.", 0.0)]
        {
            assert_eq!(plain(text), Ok(Ipld::Float(value)), "{text:?}");
        }
        // These have a meaning in YAML 1.1, or look like numbers.
        for text in [
            "yes",
            "No",
            "on",
            "off",
            "y",
            "nUll",
            "tRue",
            "0b1",
            "1_000",
            "12:30:45",
            "0o8",
            "0x",
            "-0x1",
            "0xg",
            "+",
            "-",
            ".",
            "1e",
            "e1",
            "1.e",
            "--1",
            "+-1",
            "1.2.3",
            "..5",
            "inf",
            "nan",
            "NaN",
            "Infinity",
            ".infinity",
            "2026-01-01",
            "<<",
            "=",
            "１",
        ] {
            assert_eq!(plain(text), Ok(string(text)), "{text:?}");
        }
        for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN", ".NAN"] {
            assert_eq!(plain(text), Err(Kind::NotFinite), "{text:?}");
        }
        for text in ["170141183460469231731687303715884105728", "0xffffffffffffffffffffffffffffffff", "1e999"] {
            assert_eq!(plain(text), Err(Kind::Number), "{text:?}");
        }
        assert_eq!(tagged("str", "1"), Some(Ok(string("1"))));
        assert_eq!(tagged("int", "1"), Some(Ok(Ipld::Integer(1))));
        assert_eq!(tagged("float", "1"), Some(Ok(Ipld::Float(1.0))));
        assert_eq!(tagged("int", "1.0"), Some(Err(Kind::Mistagged("!!int".to_owned()))));
        assert_eq!(tagged("bool", "yes"), Some(Err(Kind::Mistagged("!!bool".to_owned()))));
        assert_eq!(tagged("binary", "AQI="), None);
    }
}
