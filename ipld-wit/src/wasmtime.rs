//! Types and values of wasmtime's component model.
//!
//! The rules are those of [`to_value`](crate::to_value) and [`to_ipld`](crate::to_ipld): they read IPLD straight into
//! wasmtime's own values, and write IPLD straight from them.

use std::sync::Arc;

use ::wasmtime::component::Val;
use ::wasmtime::component::types::{self, ComponentFunc};
use ipld_core::ipld::Ipld;

use crate::error::At as _;
use crate::read::read;
use crate::value::{Build, Scalar, Seen, View};
use crate::write::{CborLength, write};
use crate::{ArgumentError, Case, ConvertError, Field, Signature, Type};

/// How deep a type may be nested, and how many parts all types of a function may have together.
const MAX_DEPTH: usize = 64;
const MAX_PARTS: usize = 10_000;

/// A function uses something that IPLD cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A type that stands for no plain value, or that has no IPLD form yet.
    #[error("{place}: `{found}` cannot be carried as IPLD")]
    Type {
        /// The parameter, or `the result`.
        place: String,
        /// The type, as WIT calls it.
        found: &'static str,
    },
    /// Types that are nested too deeply, or have too many parts.
    #[error(
        "{place}: a type may be nested {MAX_DEPTH} deep, and those of a function may have {MAX_PARTS} parts in all"
    )]
    TooLarge {
        /// The parameter, or `the result`.
        place: String,
    },
    /// A function of the asynchronous ABI.
    #[error("asynchronous functions are not supported: build the component with the synchronous ABI")]
    Async,
    /// A function with more than one result.
    #[error("a function with {count} results is not supported")]
    ManyResults {
        /// How many results it has.
        count: usize,
    },
}

impl Signature {
    /// The type of a component's function.
    ///
    /// # Errors
    ///
    /// Types that cannot be carried as IPLD (handles, futures, streams, maps, lists of fixed length), and functions of
    /// the asynchronous ABI.
    pub fn of(function: &ComponentFunc) -> Result<Self, Unsupported> {
        if function.async_() {
            return Err(Unsupported::Async);
        }
        let mut parts = MAX_PARTS;
        let mut inspect = |ty: &types::Type, place: &str| {
            inspect(ty, &mut parts, MAX_DEPTH).map_err(|refused| match refused {
                Some(found) => Unsupported::Type { place: place.to_owned(), found },
                None => Unsupported::TooLarge { place: place.to_owned() },
            })
        };
        let params =
            function.params().map(|(name, ty)| Ok((name.to_owned(), inspect(&ty, &format!("parameter `{name}`"))?)));
        let params = params.collect::<Result<_, _>>()?;
        let mut results = function.results();
        let result = match (results.next(), results.len()) {
            (None, _) => None,
            (Some(only), 0) => Some(inspect(&only, "the result")?),
            (Some(_), more) => return Err(Unsupported::ManyResults { count: more + 1 }),
        };
        Ok(Self { params, result })
    }

    /// The arguments as wasmtime's values, in declared order.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn vals(&self, params: &Ipld) -> Result<Vec<Val>, ArgumentError> {
        self.bind(params)
    }
}

/// Reads `ipld` as a wasmtime value of type `ty`.
///
/// # Errors
///
/// As [`to_value`](crate::to_value).
pub fn to_val(ipld: &Ipld, ty: &Type) -> Result<Val, ConvertError> {
    read(ipld, ty).map_err(|failure| *failure)
}

/// Writes what a function gave as IPLD; a function without a result gives null.
///
/// # Errors
///
/// As [`to_ipld`](crate::to_ipld), with paths that start at `result`.
pub fn result_to_ipld(result: Option<&Val>, signature: &Signature) -> Result<Ipld, ConvertError> {
    match (result, &signature.result) {
        (Some(value), Some(ty)) => write(value, ty).rooted("result").map_err(|failure| *failure),
        _ => Ok(Ipld::Null),
    }
}

/// How many bytes the canonical DAG-CBOR of [`result_to_ipld`]'s output has, found without making it.
///
/// # Errors
///
/// As [`result_to_ipld`].
pub fn result_encoded_len(result: Option<&Val>, signature: &Signature) -> Result<u64, ConvertError> {
    match (result, &signature.result) {
        (Some(value), Some(ty)) => {
            write::<_, CborLength>(value, ty).rooted("result").map(|len| len.0).map_err(|failure| *failure)
        }
        _ => Ok(1),
    }
}

/// The WIT name of a type without an IPLD form, or nothing for one that is too large.
type Refusal = Option<&'static str>;

fn inspect(ty: &types::Type, parts: &mut usize, depth: usize) -> Result<Type, Refusal> {
    let depth = depth.checked_sub(1).ok_or(None)?;
    *parts = parts.checked_sub(1).ok_or(None)?;
    Ok(match ty {
        types::Type::Bool => Type::Bool,
        types::Type::S8 => Type::S8,
        types::Type::U8 => Type::U8,
        types::Type::S16 => Type::S16,
        types::Type::U16 => Type::U16,
        types::Type::S32 => Type::S32,
        types::Type::U32 => Type::U32,
        types::Type::S64 => Type::S64,
        types::Type::U64 => Type::U64,
        types::Type::Float32 => Type::F32,
        types::Type::Float64 => Type::F64,
        types::Type::Char => Type::Char,
        types::Type::String => Type::String,
        types::Type::List(list) => Type::list(inspect(&list.ty(), parts, depth)?),
        types::Type::Option(option) => Type::option(inspect(&option.ty(), parts, depth)?),
        types::Type::Tuple(tuple) => {
            Type::Tuple(tuple.types().map(|ty| inspect(&ty, parts, depth)).collect::<Result<_, _>>()?)
        }
        types::Type::Record(record) => {
            let field = |field: types::Field<'_>| -> Result<_, Refusal> {
                Ok(Field { name: field.name.to_owned(), ty: inspect(&field.ty, parts, depth)? })
            };
            Type::Record(record.fields().map(field).collect::<Result<_, _>>()?)
        }
        types::Type::Variant(variant) => {
            let case = |case: types::Case<'_>| -> Result<_, Refusal> {
                let ty = case.ty.map(|ty| inspect(&ty, parts, depth)).transpose()?;
                Ok(Case { name: case.name.to_owned(), ty })
            };
            Type::Variant(variant.cases().map(case).collect::<Result<_, _>>()?)
        }
        types::Type::Result(result) => {
            let ok = result.ok().map(|ty| inspect(&ty, parts, depth)).transpose()?;
            let err = result.err().map(|ty| inspect(&ty, parts, depth)).transpose()?;
            Type::result(ok, err)
        }
        types::Type::Enum(names) => names_within(parts, names.names()).map(Type::Enum)?,
        types::Type::Flags(names) => names_within(parts, names.names()).map(Type::Flags)?,
        types::Type::Map(_) => return Err(Some("map")),
        types::Type::Own(_) => return Err(Some("own")),
        types::Type::Borrow(_) => return Err(Some("borrow")),
        types::Type::Future(_) => return Err(Some("future")),
        types::Type::Stream(_) => return Err(Some("stream")),
        types::Type::ErrorContext => return Err(Some("error-context")),
        types::Type::FixedLengthList(_) => return Err(Some("list of fixed length")),
    })
}

fn names_within<'a>(
    parts: &mut usize,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Arc<[String]>, Refusal> {
    *parts = parts.checked_sub(names.len()).ok_or(None)?;
    Ok(names.map(str::to_owned).collect())
}

impl Build for Val {
    fn scalar(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Bool(it) => Self::Bool(it),
            Scalar::S8(it) => Self::S8(it),
            Scalar::U8(it) => Self::U8(it),
            Scalar::S16(it) => Self::S16(it),
            Scalar::U16(it) => Self::U16(it),
            Scalar::S32(it) => Self::S32(it),
            Scalar::U32(it) => Self::U32(it),
            Scalar::S64(it) => Self::S64(it),
            Scalar::U64(it) => Self::U64(it),
            Scalar::F32(it) => Self::Float32(it),
            Scalar::F64(it) => Self::Float64(it),
            Scalar::Char(it) => Self::Char(it),
            Scalar::String(it) => Self::String(it.to_owned()),
            Scalar::Enum(it) => Self::Enum(it.to_owned()),
        }
    }

    fn bytes(bytes: &[u8]) -> Self {
        Self::List(bytes.iter().map(|&byte| Self::U8(byte)).collect())
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(items)
    }

    fn record(fields: &[Field], values: Vec<Self>) -> Self {
        Self::Record(fields.iter().map(|field| field.name.clone()).zip(values).collect())
    }

    fn variant(case: &str, payload: Option<Self>) -> Self {
        Self::Variant(case.to_owned(), payload.map(Box::new))
    }

    fn option(some: Option<Self>) -> Self {
        Self::Option(some.map(Box::new))
    }

    fn result(arm: Result<Option<Self>, Option<Self>>) -> Self {
        Self::Result(arm.map(|ok| ok.map(Box::new)).map_err(|err| err.map(Box::new)))
    }

    fn flags(names: &[&str]) -> Self {
        Self::Flags(names.iter().map(|&name| name.to_owned()).collect())
    }
}

impl View for Val {
    fn view(&self) -> Seen<'_, Self> {
        Seen::Scalar(match self {
            Self::Bool(it) => Scalar::Bool(*it),
            Self::S8(it) => Scalar::S8(*it),
            Self::U8(it) => Scalar::U8(*it),
            Self::S16(it) => Scalar::S16(*it),
            Self::U16(it) => Scalar::U16(*it),
            Self::S32(it) => Scalar::S32(*it),
            Self::U32(it) => Scalar::U32(*it),
            Self::S64(it) => Scalar::S64(*it),
            Self::U64(it) => Scalar::U64(*it),
            Self::Float32(it) => Scalar::F32(*it),
            Self::Float64(it) => Scalar::F64(*it),
            Self::Char(it) => Scalar::Char(*it),
            Self::String(it) => Scalar::String(it),
            Self::Enum(it) => Scalar::Enum(it),
            Self::List(items) => return Seen::List(items),
            Self::Tuple(items) => return Seen::Tuple(items),
            Self::Record(fields) => return Seen::Record(fields),
            Self::Variant(case, payload) => return Seen::Variant(case, payload.as_deref()),
            Self::Option(some) => return Seen::Option(some.as_deref()),
            Self::Result(Ok(ok)) => return Seen::Result(Ok(ok.as_deref())),
            Self::Result(Err(err)) => return Seen::Result(Err(err.as_deref())),
            Self::Flags(names) => return Seen::Flags(names.iter().map(String::as_str).collect()),
            Self::Map(_)
            | Self::Resource(_)
            | Self::Future(_)
            | Self::Stream(_)
            | Self::ErrorContext(_)
            | Self::FixedLengthList(_) => return Seen::Foreign,
        })
    }
}
