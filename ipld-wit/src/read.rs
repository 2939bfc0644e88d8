//! IPLD to WIT: every rule of the ABI in this direction, once, for every source and every representation of values.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;

use crate::arena;
use crate::error::{Failure, Mismatch, Segment, failure};
use crate::source::{Node, Place, Source, Tree};
use crate::text::{nearest, nearest_few, shorten};
use crate::value::{Build, Scalar};
use crate::{Case, ConvertError, Field, Members, Type, Value};

/// Reads `ipld` as a value of type `ty`.
///
/// # Errors
///
/// What does not fit, where, and which type was expected there.
pub fn to_value(ipld: &Ipld, ty: &Type) -> Result<Value, ConvertError> {
    read(&mut Tree, ipld, ty).map_err(|failure| *failure)
}

/// Checks that `ipld` is a value of type `ty`, without making the value.
///
/// # Errors
///
/// As [`to_value`].
pub fn check(ipld: &Ipld, ty: &Type) -> Result<(), ConvertError> {
    read(&mut Tree, ipld, ty).map_err(|failure| *failure)
}

pub(crate) fn read<'a, T: Build, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<T, S::Fail> {
    match ty {
        Type::Bool => match source.look(at)? {
            Node::Bool(it) => Ok(T::scalar(Scalar::Bool(it))),
            _ => Err(S::kind(at, ty)),
        },
        Type::S8 => integer(source, at, ty).map(|it| T::scalar(Scalar::S8(it))),
        Type::U8 => integer(source, at, ty).map(|it| T::scalar(Scalar::U8(it))),
        Type::S16 => integer(source, at, ty).map(|it| T::scalar(Scalar::S16(it))),
        Type::U16 => integer(source, at, ty).map(|it| T::scalar(Scalar::U16(it))),
        Type::S32 => integer(source, at, ty).map(|it| T::scalar(Scalar::S32(it))),
        Type::U32 => integer(source, at, ty).map(|it| T::scalar(Scalar::U32(it))),
        Type::S64 => integer(source, at, ty).map(|it| T::scalar(Scalar::S64(it))),
        Type::U64 => integer(source, at, ty).map(|it| T::scalar(Scalar::U64(it))),
        Type::F32 => single(source, at, ty).map(|it| T::scalar(Scalar::F32(it))),
        Type::F64 => double(source, at, ty).map(|it| T::scalar(Scalar::F64(it))),
        Type::Char => char(source, at, ty).map(|it| T::scalar(Scalar::Char(it))),
        Type::String => text(source, at, ty).map(|it| T::scalar(Scalar::String(it))),
        Type::Enum(names) => {
            let found = text(source, at, ty)?;
            match names.position(found) {
                Some(_) => Ok(T::scalar(Scalar::Enum(found))),
                None => Err(unknown::<S>(ty, found, names.names())),
            }
        }
        Type::List(element) if **element == Type::U8 => bytes(source, at, ty).map(T::bytes),
        Type::List(element) => {
            let (len, mut items) = items(source, at, ty)?;
            let mut values = Vec::with_capacity(len);
            while let Some(at) = source.item(&mut items) {
                let value = read(source, at, element);
                values.push(value.map_err(|fail| S::step(fail, || Segment::Index(values.len())))?);
            }
            Ok(T::list(values))
        }
        Type::Tuple(types) => tuple(source, at, ty, types),
        Type::Record(fields) => record(source, at, ty, fields),
        Type::Variant(cases) => variant(source, at, ty, cases),
        Type::Option(some) => option(source, at, ty, some),
        Type::Result { ok, err } => match single_entry(source, at, ty)? {
            ("ok", at) => arm(source, "ok", at, ok.as_deref()).map(|payload| T::result(Ok(payload))),
            ("error", at) => arm(source, "error", at, err.as_deref()).map(|payload| T::result(Err(payload))),
            _ => Err(S::kind(at, ty)),
        },
        Type::Flags(names) => flags(source, at, ty, names),
        Type::Link => match source.look(at)? {
            Node::Link(link) => Ok(T::link(source.cid(link))),
            _ => Err(S::kind(at, ty)),
        },
        Type::Node => {
            let ipld = source.whole(at)?;
            arena::check(&ipld).map_err(S::failed)?;
            Ok(T::node(ipld))
        }
    }
}

pub(crate) fn integer<'a, I: TryFrom<i128>, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<I, S::Fail> {
    let number = match source.look(at)? {
        Node::Integer(it) => it,
        // JavaScript writes 1.0 as 1 and reads it back as either. The cast saturates, which stays out of range.
        Node::Float(it) if it.fract() == 0.0 => it as i128,
        Node::Float(it) if it.is_finite() => {
            return Err(S::refuse(ty, || Mismatch::Inexact { found: it.to_string() }));
        }
        _ => return Err(S::kind(at, ty)),
    };
    I::try_from(number).map_err(|_| S::refuse(ty, || Mismatch::OutOfRange { found: number.to_string() }))
}

pub(crate) fn double<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<f64, S::Fail> {
    match source.look(at)? {
        Node::Float(it) if it.is_finite() => Ok(it),
        Node::Float(it) => Err(S::refuse(ty, || Mismatch::NotFinite { found: it.to_string() })),
        // Exact by the guard.
        Node::Integer(it) if significant_bits(it) <= f64::MANTISSA_DIGITS => Ok(it as f64),
        Node::Integer(it) => Err(S::refuse(ty, || Mismatch::Inexact { found: it.to_string() })),
        _ => Err(S::kind(at, ty)),
    }
}

pub(crate) fn single<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<f32, S::Fail> {
    let wide = double(source, at, ty)?;
    let narrow = wide as f32;
    // Exact if it widens to the same bits: the sign of zero counts.
    if f64::from(narrow).to_bits() == wide.to_bits() {
        Ok(narrow)
    } else {
        Err(S::refuse(ty, || Mismatch::Inexact { found: wide.to_string() }))
    }
}

/// How many binary digits a number needs between its first and its last one.
fn significant_bits(number: i128) -> u32 {
    let magnitude = number.unsigned_abs();
    if magnitude == 0 { 0 } else { u128::BITS - magnitude.leading_zeros() - magnitude.trailing_zeros() }
}

fn char<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<char, S::Fail> {
    let text = text(source, at, ty)?;
    let mut scalars = text.chars();
    match (scalars.next(), scalars.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(S::refuse(ty, || Mismatch::NotOneChar { found: text.chars().count() })),
    }
}

fn tuple<'a, T: Build, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type, types: &[Type]) -> Result<T, S::Fail> {
    let (len, mut items) = items(source, at, ty)?;
    if len != types.len() {
        return Err(S::refuse(ty, || Mismatch::Length { expected: "one for each type", found: len }));
    }
    let mut values = Vec::with_capacity(len);
    for ty in types {
        let Some(at) = source.item(&mut items) else { break };
        let value = read(source, at, ty);
        values.push(value.map_err(|fail| S::step(fail, || Segment::Index(values.len())))?);
    }
    Ok(T::tuple(values))
}

fn record<'a, T: Build, S: Source<'a>>(
    source: &mut S,
    at: S::At,
    ty: &Type,
    fields: &Members<Field>,
) -> Result<T, S::Fail> {
    let Node::Map(len, mut entries) = source.look(at)? else {
        return Err(S::kind(at, ty));
    };
    let mut record = T::absent(fields);
    let mut present = Present::of(fields.len());
    let mut nth = 0;
    while let Some(Place { field, at: value }) = source.field(&mut entries, fields, nth)? {
        let Some((place, field)) = field.and_then(|place| Some((place, fields.get(place)?))) else {
            return Err(S::misfit(at, ty, fields));
        };
        nth += 1;
        let value = read(source, value, &field.ty);
        T::set(&mut record, place, value.map_err(|fail| S::step(fail, || Segment::Key(field.name.clone())))?);
        present.add(place);
    }
    // Keys are distinct.
    let absent = |(place, field): (usize, &Field)| !present.has(place) && !matches!(field.ty, Type::Option(_));
    if len < fields.len() && fields.iter().enumerate().any(absent) {
        return Err(S::misfit(at, ty, fields));
    }
    Ok(T::record(record))
}

/// Which fields of a record were there. Up to 64 of them take no memory of their own.
struct Present {
    few: u64,
    many: Vec<bool>,
}

impl Present {
    fn of(fields: usize) -> Self {
        Self { few: 0, many: if fields > 64 { vec![false; fields] } else { Vec::new() } }
    }

    fn add(&mut self, place: usize) {
        match self.many.get_mut(place) {
            Some(there) => *there = true,
            None => self.few |= 1 << (place % 64),
        }
    }

    fn has(&self, place: usize) -> bool {
        self.many.get(place).copied().unwrap_or(self.few & (1 << (place % 64)) != 0)
    }
}

fn variant<'a, T: Build, S: Source<'a>>(
    source: &mut S,
    at: S::At,
    ty: &Type,
    cases: &Members<Case>,
) -> Result<T, S::Fail> {
    let (name, payload) = match source.look(at)? {
        Node::String(name) => (name, None),
        Node::Map(1, mut entries) => match source.entry(&mut entries)? {
            Some((name, payload)) => (name, Some(payload)),
            None => return Err(S::kind(at, ty)),
        },
        _ => return Err(S::kind(at, ty)),
    };
    let Some(case) = cases.position(name).and_then(|place| cases.get(place)) else {
        return Err(unknown::<S>(ty, name, cases.names()));
    };
    match (&case.ty, payload) {
        (None, None) => Ok(T::variant(&case.name, None)),
        (Some(ty), Some(payload)) => {
            let payload = read(source, payload, ty);
            let payload = payload.map_err(|fail| S::step(fail, || Segment::Key(case.name.clone())))?;
            Ok(T::variant(&case.name, Some(payload)))
        }
        (Some(_), None) => Err(S::refuse(ty, || Mismatch::MissingPayload { name: case.name.clone() })),
        (None, Some(_)) => Err(S::refuse(ty, || Mismatch::UnexpectedPayload { name: case.name.clone() })),
    }
}

fn option<'a, T: Build, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type, some: &Type) -> Result<T, S::Fail> {
    if !some.may_be_null() {
        return match source.is_null(at) {
            true => source.look(at).map(|_| T::option(None)),
            false => Ok(T::option(Some(read(source, at, some)?))),
        };
    }
    let (len, mut items) = items(source, at, ty)?;
    if len > 1 {
        return Err(S::refuse(ty, || Mismatch::Length { expected: "none or one", found: len }));
    }
    let Some(only) = source.item(&mut items) else { return Ok(T::option(None)) };
    let value = read(source, only, some).map_err(|fail| S::step(fail, || Segment::Index(0)))?;
    Ok(T::option(Some(value)))
}

fn arm<'a, T: Build, S: Source<'a>>(
    source: &mut S,
    name: &str,
    at: S::At,
    ty: Option<&Type>,
) -> Result<Option<T>, S::Fail> {
    match ty {
        None if source.is_null(at) => source.look(at).map(|_| None),
        None => Err(S::no_payload(at)),
        Some(ty) => read(source, at, ty).map(Some),
    }
    .map_err(|fail| S::step(fail, || Segment::Key(name.to_owned())))
}

fn flags<'a, T: Build, S: Source<'a>>(
    source: &mut S,
    at: S::At,
    ty: &Type,
    declared: &Members<String>,
) -> Result<T, S::Fail> {
    let mut names: Vec<&str> = Vec::new();
    let (_, mut items) = items(source, at, ty)?;
    while let Some(at) = source.item(&mut items) {
        let step = |fail| S::step(fail, || Segment::Index(names.len()));
        let name = text(source, at, ty).map_err(step)?;
        if declared.position(name).is_none() {
            return Err(step(unknown::<S>(ty, name, declared.names())));
        }
        if names.last().is_some_and(|last| *last >= name) {
            return Err(step(S::refuse(ty, || Mismatch::FlagOrder { name: name.to_owned() })));
        }
        names.push(name);
    }
    Ok(T::flags(&names))
}

fn items<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<(usize, S::Items), S::Fail> {
    match source.look(at)? {
        Node::List(len, items) => Ok((len, items)),
        _ => Err(S::kind(at, ty)),
    }
}

pub(crate) fn text<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<&'a str, S::Fail> {
    match source.look(at)? {
        Node::String(text) => Ok(text),
        _ => Err(S::kind(at, ty)),
    }
}

pub(crate) fn bytes<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<&'a [u8], S::Fail> {
    match source.look(at)? {
        Node::Bytes(bytes) => Ok(bytes),
        _ => Err(S::kind(at, ty)),
    }
}

fn single_entry<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<(&'a str, S::At), S::Fail> {
    let entry = match source.look(at)? {
        Node::Map(1, mut entries) => source.entry(&mut entries)?,
        _ => None,
    };
    entry.ok_or_else(|| S::kind(at, ty))
}

fn unknown<'a, 'n, S: Source<'a>>(ty: &Type, name: &str, declared: impl IntoIterator<Item = &'n str>) -> S::Fail {
    S::refuse(ty, || Mismatch::UnknownName { name: shorten(name, 60), nearest: nearest_few(name, declared) })
}

/// What is wrong with a map that has other keys than a record has fields. A misspelt field is both missing and unknown;
/// the unknown one says more, if it looks like the missing one.
pub(crate) fn misfit(map: &BTreeMap<String, Ipld>, ty: &Type, fields: &Members<Field>) -> Failure {
    let unknown = map.keys().find(|key| fields.position(key).is_none()).map(|name| {
        let absent = fields.names().filter(|name| !map.contains_key(*name));
        (name, nearest(name, absent))
    });
    let required = |field: &&Field| !map.contains_key(&field.name) && !matches!(field.ty, Type::Option(_));
    match (unknown, fields.iter().find(required)) {
        (Some((name, nearest)), missing) if missing.is_none_or(|it| nearest.as_ref() == Some(&it.name)) => {
            failure(ty, Mismatch::UnknownField { name: shorten(name, 60), nearest })
        }
        (_, Some(missing)) => failure(ty, Mismatch::MissingField { name: missing.name.clone() }),
        (_, None) => failure(ty, Mismatch::Kind { found: "a map".to_owned() }),
    }
}
