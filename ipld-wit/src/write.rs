//! WIT to IPLD: every rule of the ABI in this direction, once, for every representation and every form of output.

use std::borrow::Cow;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::error::{At as _, Failure, Mismatch, Segment, failure};
use crate::text::{nearest_few, shorten};
use crate::value::{Scalar, Seen, View};
use crate::{Case, ConvertError, Field, Members, Type, Value};
use crate::{arena, cbor};

/// Writes `value`, which is of type `ty`, as IPLD.
///
/// Every field of a record is written, an absent option as null; flags are sorted. What comes out is accepted by
/// [`to_value`](crate::to_value) and gives an equal value.
///
/// # Errors
///
/// A float that is not finite, or a value that is not of this type: what, where, and what was expected.
pub fn to_ipld(value: &Value, ty: &Type) -> Result<Ipld, ConvertError> {
    write(value, ty, &mut Grow).map_err(|failure| *failure)
}

/// How many bytes the canonical DAG-CBOR of [`to_ipld`]'s output has, found without making it.
///
/// # Errors
///
/// As [`to_ipld`].
pub fn encoded_len(value: &Value, ty: &Type) -> Result<u64, ConvertError> {
    cbor::encoded_len(value, ty).map_err(|failure| *failure)
}

/// What the rules make when they look at a value: a tree, bytes, or only a measure of them.
pub(crate) trait Form {
    /// What stands for a value that was written.
    type Out;

    fn null(&mut self) -> Self::Out;
    fn bool(&mut self, it: bool) -> Self::Out;
    fn integer(&mut self, it: i128) -> Self::Out;
    fn float(&mut self, it: f64) -> Self::Out;
    fn string(&mut self, it: &str) -> Self::Out;
    fn bytes(&mut self, it: Cow<'_, [u8]>) -> Self::Out;
    fn link(&mut self, cid: &Cid) -> Self::Out;
    /// A whole value, which was checked.
    fn ipld(&mut self, it: Cow<'_, Ipld>) -> Self::Out;
    fn list<E>(
        &mut self,
        len: usize,
        item: impl FnMut(&mut Self, usize) -> Result<Self::Out, E>,
    ) -> Result<Self::Out, E>;
    /// A map with a key for each of the `fields`, whose values may be asked for in any order.
    fn record<E>(
        &mut self,
        fields: &Members<Field>,
        value: impl FnMut(&mut Self, usize) -> Result<Self::Out, E>,
    ) -> Result<Self::Out, E>;
    fn entry<E>(&mut self, key: &str, value: impl FnOnce(&mut Self) -> Result<Self::Out, E>) -> Result<Self::Out, E>;
}

/// Makes a tree.
pub(crate) struct Grow;

impl Form for Grow {
    type Out = Ipld;

    fn null(&mut self) -> Ipld {
        Ipld::Null
    }

    fn bool(&mut self, it: bool) -> Ipld {
        Ipld::Bool(it)
    }

    fn integer(&mut self, it: i128) -> Ipld {
        Ipld::Integer(it)
    }

    fn float(&mut self, it: f64) -> Ipld {
        Ipld::Float(it)
    }

    fn string(&mut self, it: &str) -> Ipld {
        Ipld::String(it.to_owned())
    }

    fn bytes(&mut self, it: Cow<'_, [u8]>) -> Ipld {
        Ipld::Bytes(it.into_owned())
    }

    fn link(&mut self, cid: &Cid) -> Ipld {
        Ipld::Link(*cid)
    }

    fn ipld(&mut self, it: Cow<'_, Ipld>) -> Ipld {
        it.into_owned()
    }

    fn list<E>(&mut self, len: usize, mut item: impl FnMut(&mut Self, usize) -> Result<Ipld, E>) -> Result<Ipld, E> {
        (0..len).map(|index| item(self, index)).collect::<Result<_, _>>().map(Ipld::List)
    }

    fn record<E>(
        &mut self,
        fields: &Members<Field>,
        mut value: impl FnMut(&mut Self, usize) -> Result<Ipld, E>,
    ) -> Result<Ipld, E> {
        let entries = fields.iter().enumerate().map(|(place, field)| Ok((field.name.clone(), value(self, place)?)));
        entries.collect::<Result<_, _>>().map(Ipld::Map)
    }

    fn entry<E>(&mut self, key: &str, value: impl FnOnce(&mut Self) -> Result<Ipld, E>) -> Result<Ipld, E> {
        Ok(Ipld::Map([(key.to_owned(), value(self)?)].into()))
    }
}

pub(crate) fn write<V: View, F: Form>(value: &V, ty: &Type, form: &mut F) -> Result<F::Out, Failure> {
    match (ty, value.view()) {
        (_, Seen::Scalar(scalar)) => self::scalar(scalar, ty, form),
        (Type::List(element), Seen::Bytes(bytes)) if **element == Type::U8 => Ok(form.bytes(bytes.into())),
        (Type::List(element), Seen::List(items)) if **element == Type::U8 => {
            let bytes = items.iter().enumerate().map(|(index, item)| match item.view() {
                Seen::Scalar(Scalar::U8(byte)) => Ok(byte),
                other => Err(kind(&other, &Type::U8)).at(|| Segment::Index(index)),
            });
            let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
            Ok(form.bytes(bytes.into()))
        }
        (Type::List(element), Seen::List(items)) => form.list(items.len(), |form, index| match items.get(index) {
            Some(item) => write(item, element, form).at(|| Segment::Index(index)),
            None => Err(length(ty, items.len())),
        }),
        (Type::Tuple(types), Seen::Tuple(items)) if types.len() == items.len() => {
            form.list(items.len(), |form, index| match (items.get(index), types.get(index)) {
                (Some(item), Some(ty)) => write(item, ty, form).at(|| Segment::Index(index)),
                _ => Err(length(ty, items.len())),
            })
        }
        (Type::Tuple(_), Seen::Tuple(items)) => Err(length(ty, items.len())),
        (Type::Record(fields), Seen::Record(values)) => record(values, ty, fields, form),
        (Type::Variant(cases), Seen::Variant(name, payload)) => variant(name, payload, ty, cases, form),
        (Type::Option(some), Seen::Option(value)) if some.may_be_null() => {
            form.list(value.iter().len(), |form, index| match value {
                Some(value) => write(value, some, form).at(|| Segment::Index(index)),
                None => Err(length(ty, 0)),
            })
        }
        (Type::Option(_), Seen::Option(None)) => Ok(form.null()),
        (Type::Option(some), Seen::Option(Some(value))) => write(value, some, form),
        (Type::Result { ok, .. }, Seen::Result(Ok(payload))) => arm("ok", payload, ty, ok.as_deref(), form),
        (Type::Result { err, .. }, Seen::Result(Err(payload))) => arm("error", payload, ty, err.as_deref(), form),
        (Type::Flags(declared), Seen::Flags(names)) => flags(names, ty, declared, form),
        (Type::Link, seen @ (Seen::Link(_) | Seen::Record(_))) => arena::link_of(&seen).map(|cid| form.link(&cid)),
        (Type::Node, Seen::Node(ipld)) => {
            arena::check(ipld)?;
            Ok(form.ipld(Cow::Borrowed(ipld)))
        }
        (Type::Node, Seen::Record([(_, items)])) => arena::value(items).map(|ipld| form.ipld(Cow::Owned(ipld))),
        (_, other) => Err(kind(&other, ty)),
    }
}

fn length(ty: &Type, found: usize) -> Failure {
    failure(ty, Mismatch::Length { expected: "one for each type", found })
}

pub(crate) fn scalar<F: Form>(scalar: Scalar<'_>, ty: &Type, form: &mut F) -> Result<F::Out, Failure> {
    match (ty, scalar) {
        (Type::Bool, Scalar::Bool(it)) => Ok(form.bool(it)),
        (Type::S8, Scalar::S8(it)) => Ok(form.integer(it.into())),
        (Type::U8, Scalar::U8(it)) => Ok(form.integer(it.into())),
        (Type::S16, Scalar::S16(it)) => Ok(form.integer(it.into())),
        (Type::U16, Scalar::U16(it)) => Ok(form.integer(it.into())),
        (Type::S32, Scalar::S32(it)) => Ok(form.integer(it.into())),
        (Type::U32, Scalar::U32(it)) => Ok(form.integer(it.into())),
        (Type::S64, Scalar::S64(it)) => Ok(form.integer(it.into())),
        (Type::U64, Scalar::U64(it)) => Ok(form.integer(it.into())),
        (Type::F32, Scalar::F32(it)) => float(it.into(), ty, form),
        (Type::F64, Scalar::F64(it)) => float(it, ty, form),
        (Type::Char, Scalar::Char(it)) => Ok(form.string(it.encode_utf8(&mut [0; 4]))),
        (Type::String, Scalar::String(it)) => Ok(form.string(it)),
        (Type::Enum(names), Scalar::Enum(it)) if names.position(it).is_some() => Ok(form.string(it)),
        (Type::Enum(names), Scalar::Enum(it)) => Err(unknown(ty, it, names.names())),
        _ => Err(failure(ty, Mismatch::Kind { found: format!("{scalar:?}") })),
    }
}

fn float<F: Form>(it: f64, ty: &Type, form: &mut F) -> Result<F::Out, Failure> {
    if it.is_finite() { Ok(form.float(it)) } else { Err(failure(ty, Mismatch::NotFinite { found: it.to_string() })) }
}

fn record<V: View, F: Form>(
    values: &[(String, V)],
    ty: &Type,
    fields: &Members<Field>,
    form: &mut F,
) -> Result<F::Out, Failure> {
    // Both are in declared order.
    let mut given = values.iter().map(|(name, _)| name);
    if let Some(lacking) = fields.iter().find(|field| given.next() != Some(&field.name)) {
        return Err(failure(ty, Mismatch::MissingField { name: lacking.name.clone() }));
    }
    if let Some(extra) = given.next() {
        return Err(failure(ty, Mismatch::UnknownField { name: extra.clone(), nearest: None }));
    }
    form.record(fields, |form, place| match (values.get(place), fields.get(place)) {
        (Some((name, value)), Some(field)) => write(value, &field.ty, form).at(|| Segment::Key(name.clone())),
        _ => Err(length(ty, values.len())),
    })
}

fn variant<V: View, F: Form>(
    name: &str,
    payload: Option<&V>,
    ty: &Type,
    cases: &Members<Case>,
    form: &mut F,
) -> Result<F::Out, Failure> {
    let Some(case) = cases.position(name).and_then(|place| cases.get(place)) else {
        return Err(unknown(ty, name, cases.names()));
    };
    match (&case.ty, payload) {
        (None, None) => Ok(form.string(name)),
        (Some(ty), Some(payload)) => entry(name, form, |form| write(payload, ty, form)),
        (Some(_), None) => Err(failure(ty, Mismatch::MissingPayload { name: name.to_owned() })),
        (None, Some(_)) => Err(failure(ty, Mismatch::UnexpectedPayload { name: name.to_owned() })),
    }
}

fn arm<V: View, F: Form>(
    name: &str,
    payload: Option<&V>,
    ty: &Type,
    arm: Option<&Type>,
    form: &mut F,
) -> Result<F::Out, Failure> {
    match (arm, payload) {
        (None, None) => entry(name, form, |form| Ok(form.null())),
        (Some(ty), Some(payload)) => entry(name, form, |form| write(payload, ty, form)),
        (Some(_), None) => Err(failure(ty, Mismatch::MissingPayload { name: name.to_owned() })),
        (None, Some(_)) => Err(failure(ty, Mismatch::UnexpectedPayload { name: name.to_owned() })),
    }
}

fn entry<F: Form>(
    name: &str,
    form: &mut F,
    value: impl FnOnce(&mut F) -> Result<F::Out, Failure>,
) -> Result<F::Out, Failure> {
    form.entry(name, |form| value(form).at(|| Segment::Key(name.to_owned())))
}

fn flags<F: Form>(
    mut names: Vec<&str>,
    ty: &Type,
    declared: &Members<String>,
    form: &mut F,
) -> Result<F::Out, Failure> {
    names.sort_unstable();
    names.dedup();
    form.list(names.len(), |form, index| match names.get(index) {
        Some(name) if declared.position(name).is_some() => Ok(form.string(name)),
        name => Err(unknown(ty, name.copied().unwrap_or_default(), declared.names())),
    })
}

fn unknown<'a>(ty: &Type, name: &str, declared: impl IntoIterator<Item = &'a str>) -> Failure {
    failure(ty, Mismatch::UnknownName { name: shorten(name, 60), nearest: nearest_few(name, declared) })
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
        Seen::Link(_) => "a link",
        Seen::Node(_) => "a whole IPLD value",
        Seen::Foreign => "a handle, which IPLD cannot carry",
    };
    failure(ty, Mismatch::Kind { found: found.to_owned() })
}
