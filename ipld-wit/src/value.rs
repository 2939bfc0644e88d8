//! Values of WIT types, and the two faces that every representation of them shows to the rules.

use std::collections::BTreeSet;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::Field;

/// A value of a WIT type.
///
/// A value does not know its type: `Value::Enum("red")` belongs to every enum that has that name.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<u8>`
    Bytes(Vec<u8>),
    /// Any other list.
    List(Vec<Self>),
    /// `tuple<..>`
    Tuple(Vec<Self>),
    /// A record: every field, in declared order.
    Record(Vec<(String, Self)>),
    /// A variant: the case, and what it carries.
    Variant(String, Option<Box<Self>>),
    /// An enum: the name of the case.
    Enum(String),
    /// `option<T>`
    Option(Option<Box<Self>>),
    /// `result<T, E>`
    Result(Result<Option<Box<Self>>, Option<Box<Self>>>),
    /// Flags: the names of those that are set.
    Flags(BTreeSet<String>),
    /// `link` of the package `ipvm:ipld`.
    Link(Cid),
    /// `node` of the package `ipvm:ipld`: any IPLD at all.
    Node(Ipld),
}

/// A value without parts, as both faces spell it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Char(char),
    String(&'a str),
    Enum(&'a str),
}

/// What the rules make when they read IPLD. `()` makes nothing: a check without a copy.
pub(crate) trait Build: Sized {
    /// A record that is being filled.
    type Fields;

    fn scalar(scalar: Scalar<'_>) -> Self;
    fn bytes(bytes: &[u8]) -> Self;
    fn list(items: Vec<Self>) -> Self;
    fn tuple(items: Vec<Self>) -> Self;
    /// A record of which no field is set: options are none.
    fn absent(fields: &[Field]) -> Self::Fields;
    fn set(record: &mut Self::Fields, place: usize, value: Self);
    fn record(record: Self::Fields) -> Self;
    fn variant(case: &str, payload: Option<Self>) -> Self;
    fn option(some: Option<Self>) -> Self;
    fn result(arm: Result<Option<Self>, Option<Self>>) -> Self;
    /// `names` are distinct and in bytewise order.
    fn flags(names: &[&str]) -> Self;
    fn link(cid: Cid) -> Self;
    /// `ipld` is one that `arena::check` accepts.
    fn node(ipld: Ipld) -> Self;
}

/// What the rules look at when they write IPLD.
pub(crate) trait View: Sized {
    fn view(&self) -> Seen<'_, Self>;
}

/// One level of a value.
pub(crate) enum Seen<'a, T> {
    Scalar(Scalar<'a>),
    Bytes(&'a [u8]),
    List(&'a [T]),
    Tuple(&'a [T]),
    Record(&'a [(String, T)]),
    Variant(&'a str, Option<&'a T>),
    Option(Option<&'a T>),
    Result(Result<Option<&'a T>, Option<&'a T>>),
    Flags(Vec<&'a str>),
    Link(&'a Cid),
    Node(&'a Ipld),
    /// Something that no supported type has: a handle, a stream, ..
    #[cfg_attr(not(feature = "wasmtime"), expect(dead_code, reason = "only foreign values have such parts"))]
    Foreign,
}

impl Build for () {
    type Fields = ();

    fn scalar(_: Scalar<'_>) -> Self {}
    fn bytes(_: &[u8]) -> Self {}
    fn list(_: Vec<Self>) -> Self {}
    fn tuple(_: Vec<Self>) -> Self {}
    fn absent(_: &[Field]) -> Self::Fields {}
    fn set((): &mut (), _: usize, (): Self) {}
    fn record((): ()) -> Self {}
    fn variant(_: &str, _: Option<Self>) -> Self {}
    fn option(_: Option<Self>) -> Self {}
    fn result(_: Result<Option<Self>, Option<Self>>) -> Self {}
    fn flags(_: &[&str]) -> Self {}
    fn link(_: Cid) -> Self {}
    fn node(_: Ipld) -> Self {}
}

impl Build for Value {
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
            Scalar::F32(it) => Self::F32(it),
            Scalar::F64(it) => Self::F64(it),
            Scalar::Char(it) => Self::Char(it),
            Scalar::String(it) => Self::String(it.to_owned()),
            Scalar::Enum(it) => Self::Enum(it.to_owned()),
        }
    }

    fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
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
        Self::Link(cid)
    }

    fn node(ipld: Ipld) -> Self {
        Self::Node(ipld)
    }
}

impl View for Value {
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
            Self::F32(it) => Scalar::F32(*it),
            Self::F64(it) => Scalar::F64(*it),
            Self::Char(it) => Scalar::Char(*it),
            Self::String(it) => Scalar::String(it),
            Self::Enum(it) => Scalar::Enum(it),
            Self::Bytes(bytes) => return Seen::Bytes(bytes),
            Self::List(items) => return Seen::List(items),
            Self::Tuple(items) => return Seen::Tuple(items),
            Self::Record(fields) => return Seen::Record(fields),
            Self::Variant(case, payload) => return Seen::Variant(case, payload.as_deref()),
            Self::Option(some) => return Seen::Option(some.as_deref()),
            Self::Result(Ok(ok)) => return Seen::Result(Ok(ok.as_deref())),
            Self::Result(Err(err)) => return Seen::Result(Err(err.as_deref())),
            Self::Flags(names) => return Seen::Flags(names.iter().map(String::as_str).collect()),
            Self::Link(cid) => return Seen::Link(cid),
            Self::Node(ipld) => return Seen::Node(ipld),
        })
    }
}
