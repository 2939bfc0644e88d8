//! Types and values of wasmtime's component model.
//!
//! The rules are those of [`to_value`](crate::to_value) and [`to_ipld`](crate::to_ipld): they read IPLD straight into
//! wasmtime's own values, and write IPLD straight from them.

use ::wasmtime::component::Val;
use ::wasmtime::component::types::{self, ComponentFunc};
use ipld_core::ipld::Ipld;

use crate::error::At as _;
use crate::read::read;
use crate::source::Tree;
use crate::text::shorten;
use crate::value::{Build, Scalar, Seen, View};
use crate::write::{Grow, write};
use crate::{ArgumentError, Case, Cid, ConvertError, Field, Members, Signature, Type, arena};

/// How deep a type may be nested.
const MAX_DEPTH: usize = 64;
/// How large all types of a function may be together, in units of [`Budget`].
const MAX_SIZE: usize = 10_000;
/// How many bytes of a name count as one unit.
const NAME_UNIT: usize = 16;

/// What may be spent on describing the functions of one component, which are shared in a component and are not in its
/// description: a few bytes of a component can stand for gigabytes.
///
/// One unit is a part of a type, or 16 bytes of a name. It stands for about a hundred bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: usize,
    left: usize,
}

impl Budget {
    /// The bytes of memory that a unit stands for.
    const UNIT_BYTES: usize = 100;

    /// As many units.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self { limit: units, left: units }
    }

    /// How many units there were to spend.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// About how many bytes of memory the units take that were spent.
    pub fn spent_bytes(&self) -> usize {
        (self.limit - self.left).saturating_mul(Self::UNIT_BYTES)
    }

    /// Spends what a name costs.
    ///
    /// # Errors
    ///
    /// When that is more than what is left.
    pub fn name(&mut self, name: &str) -> Result<(), Exhausted> {
        self.spend(name_units(name))
    }

    fn spend(&mut self, units: usize) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(units).ok_or(Exhausted { limit: self.limit })?;
        Ok(())
    }
}

fn name_units(name: &str) -> usize {
    1 + name.len() / NAME_UNIT
}

/// The functions of a component are too large to be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the functions have more than {limit} names and parts of types in all")]
pub struct Exhausted {
    /// The budget that they had, in units of [`Budget`].
    pub limit: usize,
}

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
        "{place}: a type may be nested {MAX_DEPTH} deep, and those of a function may have {MAX_SIZE} names and parts \
         in all"
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
    /// The type of a component's function, paid for from the `budget` for all functions of the component.
    ///
    /// # Errors
    ///
    /// When the budget is exhausted. Within it, for types that cannot be carried as IPLD (handles, futures, streams,
    /// maps, lists of fixed length, and types that are too large), and functions of the asynchronous ABI.
    pub fn of(function: &ComponentFunc, budget: &mut Budget) -> Result<Result<Self, Unsupported>, Exhausted> {
        let mut parts = Parts { left: MAX_SIZE, budget };
        match Self::inspect(function, &mut parts) {
            Ok(signature) => Ok(Ok(signature)),
            Err(Refusal::Exhausted(exhausted)) => Err(exhausted),
            Err(Refusal::Unsupported(unsupported)) => Ok(Err(unsupported)),
        }
    }

    fn inspect(function: &ComponentFunc, parts: &mut Parts<'_>) -> Result<Self, Refusal> {
        if function.async_() {
            return Err(Unsupported::Async.into());
        }
        let mut params = Vec::new();
        for (name, ty) in function.params() {
            let place = || format!("parameter `{}`", shorten(name, 80));
            let ty = parts.name(name).and_then(|()| inspect(&ty, parts, MAX_DEPTH));
            params.push((name.to_owned(), ty.map_err(|reason| reason.at(place()))?));
        }
        let mut results = function.results();
        let result = match (results.next(), results.len()) {
            (None, _) => None,
            (Some(only), 0) => {
                let ty = inspect(&only, parts, MAX_DEPTH);
                Some(ty.map_err(|reason| reason.at("the result".to_owned()))?)
            }
            (Some(_), more) => return Err(Unsupported::ManyResults { count: more + 1 }.into()),
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
    read(&mut Tree, ipld, ty).map_err(|failure| *failure)
}

/// Writes what a function gave as IPLD; a function without a result gives null.
///
/// # Errors
///
/// As [`to_ipld`](crate::to_ipld), with paths that start at `result`.
pub fn result_to_ipld(result: Option<&Val>, signature: &Signature) -> Result<Ipld, ConvertError> {
    match (result, &signature.result) {
        (Some(value), Some(ty)) => write(value, ty, &mut Grow).rooted("result").map_err(|failure| *failure),
        _ => Ok(Ipld::Null),
    }
}

/// Why a function has no signature.
enum Refusal {
    Unsupported(Unsupported),
    Exhausted(Exhausted),
}

impl From<Unsupported> for Refusal {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

/// Why a type was not taken, wherever it stands.
enum Reason {
    /// It has no IPLD form. This is its WIT name.
    Foreign(&'static str),
    TooLarge,
    Exhausted(Exhausted),
}

impl Reason {
    fn at(self, place: String) -> Refusal {
        match self {
            Self::Foreign(found) => Unsupported::Type { place, found }.into(),
            Self::TooLarge => Unsupported::TooLarge { place }.into(),
            Self::Exhausted(exhausted) => Refusal::Exhausted(exhausted),
        }
    }
}

/// What is left for one function, and for the component.
struct Parts<'a> {
    left: usize,
    budget: &'a mut Budget,
}

impl Parts<'_> {
    fn spend(&mut self, units: usize) -> Result<(), Reason> {
        self.budget.spend(units).map_err(Reason::Exhausted)?;
        self.left = self.left.checked_sub(units).ok_or(Reason::TooLarge)?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), Reason> {
        self.spend(name_units(name))
    }

    fn named(&mut self, name: &str) -> Result<String, Reason> {
        self.name(name).map(|()| name.to_owned())
    }
}

fn inspect(ty: &types::Type, parts: &mut Parts<'_>, depth: usize) -> Result<Type, Reason> {
    let depth = depth.checked_sub(1).ok_or(Reason::TooLarge)?;
    parts.spend(1)?;
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
            let field = |field: types::Field<'_>| -> Result<_, Reason> {
                Ok(Field { name: parts.named(field.name)?, ty: inspect(&field.ty, parts, depth)? })
            };
            Type::Record(record.fields().map(field).collect::<Result<_, _>>()?).recognise()
        }
        types::Type::Variant(variant) => {
            let case = |case: types::Case<'_>| -> Result<_, Reason> {
                let name = parts.named(case.name)?;
                let ty = case.ty.map(|ty| inspect(&ty, parts, depth)).transpose()?;
                Ok(Case { name, ty })
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
        types::Type::Map(_) => return Err(Reason::Foreign("map")),
        types::Type::Own(_) => return Err(Reason::Foreign("own")),
        types::Type::Borrow(_) => return Err(Reason::Foreign("borrow")),
        types::Type::Future(_) => return Err(Reason::Foreign("future")),
        types::Type::Stream(_) => return Err(Reason::Foreign("stream")),
        types::Type::ErrorContext => return Err(Reason::Foreign("error-context")),
        types::Type::FixedLengthList(_) => return Err(Reason::Foreign("list of fixed length")),
    })
}

fn names_within<'a>(parts: &mut Parts<'_>, names: impl Iterator<Item = &'a str>) -> Result<Members<String>, Reason> {
    names.map(|name| parts.named(name)).collect()
}

impl Build for Val {
    type Fields = Vec<(String, Self)>;

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

    fn absent(fields: &[Field]) -> Self::Fields {
        fields.iter().map(|field| (field.name.clone(), Self::Option(None))).collect()
    }

    fn set(record: &mut Self::Fields, place: usize, value: Self) {
        if let Some((_, field)) = record.get_mut(place) {
            *field = value;
        }
    }

    fn record(record: Self::Fields) -> Self {
        Self::Record(record)
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

    fn link(cid: Cid) -> Self {
        Self::Record(vec![(arena::LINK.to_owned(), Self::bytes(&cid.to_bytes()))])
    }

    fn node(ipld: Ipld) -> Self {
        Self::Record(vec![(arena::NODE.to_owned(), arena::items(&ipld))])
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
