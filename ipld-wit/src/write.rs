//! WIT to IPLD: every rule of the ABI in this direction, once, for every representation and every form of output.

use ipld_core::ipld::Ipld;

use crate::error::{At as _, Failure, Mismatch, Segment, failure};
use crate::text::{nearest, shorten};
use crate::value::{Scalar, Seen, View};
use crate::{Case, ConvertError, Field, Type, Value};

/// Writes `value`, which is of type `ty`, as IPLD.
///
/// Every field of a record is written, an absent option as null; flags are sorted. What comes out is accepted by
/// [`to_value`](crate::to_value) and gives an equal value.
///
/// # Errors
///
/// A float that is not finite, or a value that is not of this type: what, where, and what was expected.
pub fn to_ipld(value: &Value, ty: &Type) -> Result<Ipld, ConvertError> {
    write(value, ty).map_err(|failure| *failure)
}

/// How many bytes the canonical DAG-CBOR of [`to_ipld`]'s output has, found without making it.
///
/// # Errors
///
/// As [`to_ipld`].
pub fn encoded_len(value: &Value, ty: &Type) -> Result<u64, ConvertError> {
    write::<_, CborLength>(value, ty).map(|length| length.0).map_err(|failure| *failure)
}

/// What the rules make when they look at a value: a tree, or only a measure of it.
pub(crate) trait Form: Sized {
    fn null() -> Self;
    fn bool(it: bool) -> Self;
    fn integer(it: i128) -> Self;
    fn float(it: f64) -> Self;
    fn string(it: &str) -> Self;
    fn bytes(it: Vec<u8>) -> Self;
    fn list<E>(items: impl ExactSizeIterator<Item = Result<Self, E>>) -> Result<Self, E>;
    fn map<'a, E>(entries: impl ExactSizeIterator<Item = Result<(&'a str, Self), E>>) -> Result<Self, E>;
}

impl Form for Ipld {
    fn null() -> Self {
        Self::Null
    }

    fn bool(it: bool) -> Self {
        Self::Bool(it)
    }

    fn integer(it: i128) -> Self {
        Self::Integer(it)
    }

    fn float(it: f64) -> Self {
        Self::Float(it)
    }

    fn string(it: &str) -> Self {
        Self::String(it.to_owned())
    }

    fn bytes(it: Vec<u8>) -> Self {
        Self::Bytes(it)
    }

    fn list<E>(items: impl ExactSizeIterator<Item = Result<Self, E>>) -> Result<Self, E> {
        items.collect::<Result<_, _>>().map(Self::List)
    }

    fn map<'a, E>(entries: impl ExactSizeIterator<Item = Result<(&'a str, Self), E>>) -> Result<Self, E> {
        entries.map(|entry| entry.map(|(key, value)| (key.to_owned(), value))).collect::<Result<_, _>>().map(Self::Map)
    }
}

/// The length of a value in canonical DAG-CBOR.
pub(crate) struct CborLength(pub(crate) u64);

impl CborLength {
    /// The length of an item's head, which holds its argument in as few bytes as it can.
    fn head(argument: u128) -> u64 {
        match argument {
            0..24 => 1,
            24..0x100 => 2,
            0x100..0x1_0000 => 3,
            0x1_0000..0x1_0000_0000 => 5,
            _ => 9,
        }
    }

    fn with_content(len: usize) -> u64 {
        Self::head(len as u128).saturating_add(len as u64)
    }
}

impl Form for CborLength {
    fn null() -> Self {
        Self(1)
    }

    fn bool(_: bool) -> Self {
        Self(1)
    }

    fn integer(it: i128) -> Self {
        // A negative number n is written as -1 - n.
        Self(Self::head(if it < 0 { it.unsigned_abs() - 1 } else { it.unsigned_abs() }))
    }

    fn float(_: f64) -> Self {
        Self(9)
    }

    fn string(it: &str) -> Self {
        Self(Self::with_content(it.len()))
    }

    fn bytes(it: Vec<u8>) -> Self {
        Self(Self::with_content(it.len()))
    }

    fn list<E>(mut items: impl ExactSizeIterator<Item = Result<Self, E>>) -> Result<Self, E> {
        let head = Self::head(items.len() as u128);
        items.try_fold(head, |sum, item| Ok(sum.saturating_add(item?.0))).map(Self)
    }

    fn map<'a, E>(mut entries: impl ExactSizeIterator<Item = Result<(&'a str, Self), E>>) -> Result<Self, E> {
        let head = Self::head(entries.len() as u128);
        entries
            .try_fold(head, |sum, entry| {
                let (key, value) = entry?;
                Ok(sum.saturating_add(Self::with_content(key.len())).saturating_add(value.0))
            })
            .map(Self)
    }
}

pub(crate) fn write<V: View, F: Form>(value: &V, ty: &Type) -> Result<F, Failure> {
    match (ty, value.view()) {
        (_, Seen::Scalar(scalar)) => self::scalar(scalar, ty),
        (Type::List(element), Seen::Bytes(bytes)) if **element == Type::U8 => Ok(F::bytes(bytes.to_vec())),
        (Type::List(element), Seen::List(items)) if **element == Type::U8 => {
            let bytes = items.iter().enumerate().map(|(index, item)| match item.view() {
                Seen::Scalar(Scalar::U8(byte)) => Ok(byte),
                other => Err(kind(&other, &Type::U8)).at(|| Segment::Index(index)),
            });
            Ok(F::bytes(bytes.collect::<Result<_, _>>()?))
        }
        (Type::List(element), Seen::List(items)) => {
            F::list(items.iter().enumerate().map(|(index, item)| write(item, element).at(|| Segment::Index(index))))
        }
        (Type::Tuple(types), Seen::Tuple(items)) if types.len() == items.len() => {
            let items = items.iter().zip(types.iter()).enumerate();
            F::list(items.map(|(index, (item, ty))| write(item, ty).at(|| Segment::Index(index))))
        }
        (Type::Tuple(_), Seen::Tuple(items)) => {
            Err(failure(ty, Mismatch::Length { expected: "one for each type", found: items.len() }))
        }
        (Type::Record(fields), Seen::Record(values)) => record(values, ty, fields),
        (Type::Variant(cases), Seen::Variant(name, payload)) => variant(name, payload, ty, cases),
        (Type::Option(some), Seen::Option(value)) if some.may_be_null() => {
            F::list(value.into_iter().map(|value| write(value, some).at(|| Segment::Index(0))))
        }
        (Type::Option(some), Seen::Option(value)) => value.map_or_else(|| Ok(F::null()), |value| write(value, some)),
        (Type::Result { ok, .. }, Seen::Result(Ok(payload))) => arm("ok", payload, ty, ok.as_deref()),
        (Type::Result { err, .. }, Seen::Result(Err(payload))) => arm("error", payload, ty, err.as_deref()),
        (Type::Flags(declared), Seen::Flags(names)) => flags(names, ty, declared),
        (_, other) => Err(kind(&other, ty)),
    }
}

fn scalar<F: Form>(scalar: Scalar<'_>, ty: &Type) -> Result<F, Failure> {
    match (ty, scalar) {
        (Type::Bool, Scalar::Bool(it)) => Ok(F::bool(it)),
        (Type::S8, Scalar::S8(it)) => Ok(F::integer(it.into())),
        (Type::U8, Scalar::U8(it)) => Ok(F::integer(it.into())),
        (Type::S16, Scalar::S16(it)) => Ok(F::integer(it.into())),
        (Type::U16, Scalar::U16(it)) => Ok(F::integer(it.into())),
        (Type::S32, Scalar::S32(it)) => Ok(F::integer(it.into())),
        (Type::U32, Scalar::U32(it)) => Ok(F::integer(it.into())),
        (Type::S64, Scalar::S64(it)) => Ok(F::integer(it.into())),
        (Type::U64, Scalar::U64(it)) => Ok(F::integer(it.into())),
        (Type::F32, Scalar::F32(it)) => float(it.into(), ty),
        (Type::F64, Scalar::F64(it)) => float(it, ty),
        (Type::Char, Scalar::Char(it)) => Ok(F::string(it.encode_utf8(&mut [0; 4]))),
        (Type::String, Scalar::String(it)) => Ok(F::string(it)),
        (Type::Enum(names), Scalar::Enum(it)) if names.iter().any(|name| name == it) => Ok(F::string(it)),
        (Type::Enum(names), Scalar::Enum(it)) => Err(unknown(ty, it, names.iter().map(String::as_str))),
        _ => Err(failure(ty, Mismatch::Kind { found: format!("{scalar:?}") })),
    }
}

fn float<F: Form>(it: f64, ty: &Type) -> Result<F, Failure> {
    if it.is_finite() { Ok(F::float(it)) } else { Err(failure(ty, Mismatch::NotFinite { found: it.to_string() })) }
}

fn record<V: View, F: Form>(values: &[(String, V)], ty: &Type, fields: &[Field]) -> Result<F, Failure> {
    // Both are in declared order.
    let mut given = values.iter().map(|(name, _)| name);
    if let Some(lacking) = fields.iter().find(|field| given.next() != Some(&field.name)) {
        return Err(failure(ty, Mismatch::MissingField { name: lacking.name.clone() }));
    }
    if let Some(extra) = given.next() {
        return Err(failure(ty, Mismatch::UnknownField { name: extra.clone(), nearest: None }));
    }
    F::map(values.iter().zip(fields).map(|((name, value), field)| {
        write(value, &field.ty).at(|| Segment::Key(name.clone())).map(|value| (name.as_str(), value))
    }))
}

fn variant<V: View, F: Form>(name: &str, payload: Option<&V>, ty: &Type, cases: &[Case]) -> Result<F, Failure> {
    let case = cases.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| unknown(ty, name, cases.iter().map(|case| case.name.as_str())))?;
    match (&case.ty, payload) {
        (None, None) => Ok(F::string(name)),
        (Some(ty), Some(payload)) => entry(name, || write(payload, ty)),
        (Some(_), None) => Err(failure(ty, Mismatch::MissingPayload { name: name.to_owned() })),
        (None, Some(_)) => Err(failure(ty, Mismatch::UnexpectedPayload { name: name.to_owned() })),
    }
}

fn arm<V: View, F: Form>(name: &str, payload: Option<&V>, ty: &Type, arm: Option<&Type>) -> Result<F, Failure> {
    match (arm, payload) {
        (None, None) => entry(name, || Ok(F::null())),
        (Some(ty), Some(payload)) => entry(name, || write(payload, ty)),
        (Some(_), None) => Err(failure(ty, Mismatch::MissingPayload { name: name.to_owned() })),
        (None, Some(_)) => Err(failure(ty, Mismatch::UnexpectedPayload { name: name.to_owned() })),
    }
}

fn entry<F: Form>(name: &str, value: impl Fn() -> Result<F, Failure>) -> Result<F, Failure> {
    F::map(std::iter::once(name).map(|name| value().at(|| Segment::Key(name.to_owned())).map(|value| (name, value))))
}

fn flags<F: Form>(mut names: Vec<&str>, ty: &Type, declared: &[String]) -> Result<F, Failure> {
    names.sort_unstable();
    names.dedup();
    F::list(names.iter().map(|name| {
        if declared.iter().any(|it| it == name) {
            Ok(F::string(name))
        } else {
            Err(unknown(ty, name, declared.iter().map(String::as_str)))
        }
    }))
}

fn unknown<'a>(ty: &Type, name: &str, declared: impl IntoIterator<Item = &'a str>) -> Failure {
    let nearest = nearest(name, declared);
    failure(ty, Mismatch::UnknownName { name: shorten(name, 60), nearest })
}

fn kind<V>(found: &Seen<'_, V>, ty: &Type) -> Failure {
    let found = match found {
        Seen::Scalar(scalar) => {
            return failure(ty, Mismatch::Kind { found: format!("{scalar:?}") });
        }
        Seen::Bytes(_) => "bytes",
        Seen::List(_) => "a list",
        Seen::Tuple(_) => "a tuple",
        Seen::Record(_) => "a record",
        Seen::Variant(..) => "a variant",
        Seen::Option(_) => "an option",
        Seen::Result(_) => "a result",
        Seen::Flags(_) => "flags",
        Seen::Foreign => "a handle, which IPLD cannot carry",
    };
    failure(ty, Mismatch::Kind { found: found.to_owned() })
}
