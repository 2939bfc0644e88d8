//! IPLD to WIT: every rule of the ABI in this direction, once, for every representation of values.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;

use crate::error::{At as _, Failure, Mismatch, Segment, failure};
use crate::text::{describe, nearest, shorten};
use crate::value::{Build, Scalar};
use crate::{Case, ConvertError, Field, Type, Value};

/// Reads `ipld` as a value of type `ty`.
///
/// # Errors
///
/// What does not fit, where, and which type was expected there.
pub fn to_value(ipld: &Ipld, ty: &Type) -> Result<Value, ConvertError> {
    read(ipld, ty).map_err(|failure| *failure)
}

/// Checks that `ipld` is a value of type `ty`, without making the value.
///
/// # Errors
///
/// As [`to_value`].
pub fn check(ipld: &Ipld, ty: &Type) -> Result<(), ConvertError> {
    read(ipld, ty).map_err(|failure| *failure)
}

pub(crate) fn read<T: Build>(ipld: &Ipld, ty: &Type) -> Result<T, Failure> {
    match ty {
        Type::Bool => match ipld {
            Ipld::Bool(it) => Ok(T::scalar(Scalar::Bool(*it))),
            _ => Err(kind(ipld, ty)),
        },
        Type::S8 => integer(ipld, ty).map(|it| T::scalar(Scalar::S8(it))),
        Type::U8 => integer(ipld, ty).map(|it| T::scalar(Scalar::U8(it))),
        Type::S16 => integer(ipld, ty).map(|it| T::scalar(Scalar::S16(it))),
        Type::U16 => integer(ipld, ty).map(|it| T::scalar(Scalar::U16(it))),
        Type::S32 => integer(ipld, ty).map(|it| T::scalar(Scalar::S32(it))),
        Type::U32 => integer(ipld, ty).map(|it| T::scalar(Scalar::U32(it))),
        Type::S64 => integer(ipld, ty).map(|it| T::scalar(Scalar::S64(it))),
        Type::U64 => integer(ipld, ty).map(|it| T::scalar(Scalar::U64(it))),
        Type::F32 => single(ipld, ty).map(|it| T::scalar(Scalar::F32(it))),
        Type::F64 => double(ipld, ty).map(|it| T::scalar(Scalar::F64(it))),
        Type::Char => char(ipld, ty).map(|it| T::scalar(Scalar::Char(it))),
        Type::String => text(ipld, ty).map(|it| T::scalar(Scalar::String(it))),
        Type::Enum(names) => {
            let found = text(ipld, ty)?;
            let name = names.iter().find(|name| *name == found);
            let name = name.ok_or_else(|| unknown(ty, found, names.iter().map(String::as_str)))?;
            Ok(T::scalar(Scalar::Enum(name)))
        }
        Type::List(element) if **element == Type::U8 => match ipld {
            Ipld::Bytes(bytes) => Ok(T::bytes(bytes)),
            _ => Err(kind(ipld, ty)),
        },
        Type::List(element) => {
            let items = items(ipld, ty)?.iter().enumerate();
            let items = items.map(|(index, item)| read(item, element).at(|| Segment::Index(index)));
            Ok(T::list(items.collect::<Result<_, _>>()?))
        }
        Type::Tuple(types) => tuple(ipld, ty, types),
        Type::Record(fields) => record(ipld, ty, fields),
        Type::Variant(cases) => variant(ipld, ty, cases),
        Type::Option(some) => option(ipld, ty, some),
        Type::Result { ok, err } => match single_entry(ipld) {
            Some(("ok", payload)) => Ok(T::result(Ok(arm("ok", payload, ok.as_deref())?))),
            Some(("error", payload)) => Ok(T::result(Err(arm("error", payload, err.as_deref())?))),
            _ => Err(kind(ipld, ty)),
        },
        Type::Flags(names) => flags(ipld, ty, names),
    }
}

fn integer<I: TryFrom<i128>>(ipld: &Ipld, ty: &Type) -> Result<I, Failure> {
    let number = match ipld {
        Ipld::Integer(it) => *it,
        // JavaScript writes 1.0 as 1 and reads it back as either. The cast saturates, which stays out of range.
        Ipld::Float(it) if it.fract() == 0.0 => *it as i128,
        Ipld::Float(it) if it.is_finite() => {
            return Err(failure(ty, Mismatch::Inexact { found: it.to_string() }));
        }
        _ => return Err(kind(ipld, ty)),
    };
    I::try_from(number).map_err(|_| failure(ty, Mismatch::OutOfRange { found: number.to_string() }))
}

fn double(ipld: &Ipld, ty: &Type) -> Result<f64, Failure> {
    match ipld {
        Ipld::Float(it) if it.is_finite() => Ok(*it),
        Ipld::Float(it) => Err(failure(ty, Mismatch::NotFinite { found: it.to_string() })),
        // Exact by the guard.
        Ipld::Integer(it) if significant_bits(*it) <= f64::MANTISSA_DIGITS => Ok(*it as f64),
        Ipld::Integer(it) => Err(failure(ty, Mismatch::Inexact { found: it.to_string() })),
        _ => Err(kind(ipld, ty)),
    }
}

fn single(ipld: &Ipld, ty: &Type) -> Result<f32, Failure> {
    let wide = double(ipld, ty)?;
    let narrow = wide as f32;
    // Exact if it widens to the same bits: the sign of zero counts.
    if f64::from(narrow).to_bits() == wide.to_bits() {
        Ok(narrow)
    } else {
        Err(failure(ty, Mismatch::Inexact { found: wide.to_string() }))
    }
}

/// How many binary digits a number needs between its first and its last one.
fn significant_bits(number: i128) -> u32 {
    let magnitude = number.unsigned_abs();
    if magnitude == 0 { 0 } else { u128::BITS - magnitude.leading_zeros() - magnitude.trailing_zeros() }
}

fn char(ipld: &Ipld, ty: &Type) -> Result<char, Failure> {
    let text = text(ipld, ty)?;
    let mut scalars = text.chars();
    match (scalars.next(), scalars.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(failure(ty, Mismatch::NotOneChar { found: text.chars().count() })),
    }
}

fn tuple<T: Build>(ipld: &Ipld, ty: &Type, types: &[Type]) -> Result<T, Failure> {
    let items = items(ipld, ty)?;
    if items.len() != types.len() {
        return Err(failure(ty, Mismatch::Length { expected: "one for each type", found: items.len() }));
    }
    let items = items.iter().zip(types).enumerate();
    let items = items.map(|(index, (item, ty))| read(item, ty).at(|| Segment::Index(index)));
    Ok(T::tuple(items.collect::<Result<_, _>>()?))
}

fn record<T: Build>(ipld: &Ipld, ty: &Type, fields: &[Field]) -> Result<T, Failure> {
    let Ipld::Map(map) = ipld else {
        return Err(kind(ipld, ty));
    };
    let mut present = 0;
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        values.push(match (map.get(&field.name), &field.ty) {
            (Some(value), ty) => {
                present += 1;
                read(value, ty).at(|| Segment::Key(field.name.clone()))?
            }
            (None, Type::Option(_)) => T::option(None),
            (None, _) => return Err(missing_or_misspelt(map, ty, fields, field)),
        });
    }
    if present == map.len() {
        Ok(T::record(fields, values))
    } else {
        Err(unknown_field(map, ty, fields).unwrap_or_else(|| kind(ipld, ty)))
    }
}

/// A misspelt field is both missing and unknown; the unknown one says more, if it looks like the missing one.
fn missing_or_misspelt(map: &BTreeMap<String, Ipld>, ty: &Type, fields: &[Field], missing: &Field) -> Failure {
    match unknown_field(map, ty, fields) {
        Some(failure) if matches!(&failure.mismatch, Mismatch::UnknownField { nearest: Some(it), .. } if *it == missing.name) => {
            failure
        }
        _ => failure(ty, Mismatch::MissingField { name: missing.name.clone() }),
    }
}

fn unknown_field(map: &BTreeMap<String, Ipld>, ty: &Type, fields: &[Field]) -> Option<Failure> {
    let name = map.keys().find(|key| fields.iter().all(|field| field.name != **key))?;
    let absent = fields.iter().map(|field| field.name.as_str()).filter(|name| !map.contains_key(*name));
    let nearest = nearest(name, absent);
    Some(failure(ty, Mismatch::UnknownField { name: shorten(name, 60), nearest }))
}

fn variant<T: Build>(ipld: &Ipld, ty: &Type, cases: &[Case]) -> Result<T, Failure> {
    let (name, payload) = match (ipld, single_entry(ipld)) {
        (Ipld::String(name), _) => (name.as_str(), None),
        (_, Some((name, payload))) => (name, Some(payload)),
        _ => return Err(kind(ipld, ty)),
    };
    let case = cases.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| unknown(ty, name, cases.iter().map(|case| case.name.as_str())))?;
    match (&case.ty, payload) {
        (None, None) => Ok(T::variant(&case.name, None)),
        (Some(ty), Some(payload)) => {
            let payload = read(payload, ty).at(|| Segment::Key(case.name.clone()))?;
            Ok(T::variant(&case.name, Some(payload)))
        }
        (Some(_), None) => Err(failure(ty, Mismatch::MissingPayload { name: case.name.clone() })),
        (None, Some(_)) => Err(failure(ty, Mismatch::UnexpectedPayload { name: case.name.clone() })),
    }
}

fn option<T: Build>(ipld: &Ipld, ty: &Type, some: &Type) -> Result<T, Failure> {
    if !some.may_be_null() {
        return match ipld {
            Ipld::Null => Ok(T::option(None)),
            _ => Ok(T::option(Some(read(ipld, some)?))),
        };
    }
    match items(ipld, ty)? {
        [] => Ok(T::option(None)),
        [only] => Ok(T::option(Some(read(only, some).at(|| Segment::Index(0))?))),
        more => Err(failure(ty, Mismatch::Length { expected: "none or one", found: more.len() })),
    }
}

fn arm<T: Build>(name: &str, payload: &Ipld, ty: Option<&Type>) -> Result<Option<T>, Failure> {
    match (ty, payload) {
        (None, Ipld::Null) => Ok(None),
        (None, _) => Err(failure(
            &Type::result(None, None),
            Mismatch::Kind { found: format!("{} where null stands for no payload", describe(payload)) },
        )),
        (Some(ty), _) => read(payload, ty).map(Some),
    }
    .at(|| Segment::Key(name.to_owned()))
}

fn flags<T: Build>(ipld: &Ipld, ty: &Type, declared: &[String]) -> Result<T, Failure> {
    let mut names: Vec<&str> = Vec::new();
    for (index, item) in items(ipld, ty)?.iter().enumerate() {
        let name = text(item, ty).at(|| Segment::Index(index))?;
        if !declared.iter().any(|it| it == name) {
            return Err(unknown(ty, name, declared.iter().map(String::as_str))).at(|| Segment::Index(index));
        }
        if names.last().is_some_and(|last| *last >= name) {
            return Err(failure(ty, Mismatch::FlagOrder { name: name.to_owned() })).at(|| Segment::Index(index));
        }
        names.push(name);
    }
    Ok(T::flags(&names))
}

fn items<'a>(ipld: &'a Ipld, ty: &Type) -> Result<&'a [Ipld], Failure> {
    match ipld {
        Ipld::List(items) => Ok(items),
        _ => Err(kind(ipld, ty)),
    }
}

fn text<'a>(ipld: &'a Ipld, ty: &Type) -> Result<&'a str, Failure> {
    match ipld {
        Ipld::String(text) => Ok(text),
        _ => Err(kind(ipld, ty)),
    }
}

fn single_entry(ipld: &Ipld) -> Option<(&str, &Ipld)> {
    match ipld {
        Ipld::Map(map) if map.len() == 1 => map.iter().next().map(|(key, value)| (key.as_str(), value)),
        _ => None,
    }
}

fn kind(found: &Ipld, expected: &Type) -> Failure {
    failure(expected, Mismatch::Kind { found: describe(found) })
}

fn unknown<'a>(ty: &Type, name: &str, declared: impl IntoIterator<Item = &'a str>) -> Failure {
    let nearest = nearest(name, declared);
    failure(ty, Mismatch::UnknownName { name: shorten(name, 60), nearest })
}
