//! The WIT types that can be carried as IPLD.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::{Members, arena};

/// A WIT value type. Cloning is cheap: what is nested is shared.
///
/// The names within one record, variant, enum or flags type are distinct, as WIT requires; who builds a type by hand
/// keeps that rule.
///
/// `Display` writes WIT syntax. Records, variants, enums and flags are written with their members, since the names that
/// a WIT file gives to such types are not part of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`: one Unicode scalar value.
    Char,
    /// `string`
    String,
    /// `list<T>`; `list<u8>` stands for bytes.
    List(Arc<Type>),
    /// `tuple<A, B, ..>`
    Tuple(Arc<[Type]>),
    /// `record { .. }`, fields in declared order.
    Record(Members<Field>),
    /// `variant { .. }`, cases in declared order.
    Variant(Members<Case>),
    /// `enum { .. }`, names in declared order.
    Enum(Members<String>),
    /// `option<T>`
    Option(Arc<Type>),
    /// `result<T, E>`; either payload may be absent.
    Result {
        /// What a success carries.
        ok: Option<Arc<Type>>,
        /// What a failure carries.
        err: Option<Arc<Type>>,
    },
    /// `flags { .. }`, names in declared order.
    Flags(Members<String>),
    /// `link` of the package `ipvm:ipld`: the record `{ ipld-link: list<u8> }`, which holds a CID.
    Link,
    /// `node` of the package `ipvm:ipld`: a record with the one field `ipld-node`, which holds any IPLD at all.
    Node,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The WIT name, in kebab case.
    pub name: String,
    /// The type of the field.
    pub ty: Type,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The WIT name, in kebab case.
    pub name: String,
    /// What the case carries, if anything.
    pub ty: Option<Type>,
}

impl Type {
    /// `list<element>`
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// `list<u8>`, which is carried as bytes.
    pub fn bytes() -> Self {
        Self::list(Self::U8)
    }

    /// `option<some>`
    pub fn option(some: Self) -> Self {
        Self::Option(Arc::new(some))
    }

    /// `tuple<..>`
    pub fn tuple(items: impl IntoIterator<Item = Self>) -> Self {
        Self::Tuple(items.into_iter().collect())
    }

    /// `record { name: type, .. }`
    pub fn record<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        let field = |(name, ty): (N, Self)| Field { name: name.into(), ty };
        Self::Record(fields.into_iter().map(field).collect())
    }

    /// `variant { name, name(type), .. }`
    pub fn variant<N: Into<String>>(cases: impl IntoIterator<Item = (N, Option<Self>)>) -> Self {
        let case = |(name, ty): (N, Option<Self>)| Case { name: name.into(), ty };
        Self::Variant(cases.into_iter().map(case).collect())
    }

    /// `enum { name, .. }`
    pub fn enumeration<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Enum(names.into_iter().map(Into::into).collect())
    }

    /// `flags { name, .. }`
    pub fn flags<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Flags(names.into_iter().map(Into::into).collect())
    }

    /// `result<ok, err>`
    pub fn result(ok: Option<Self>, err: Option<Self>) -> Self {
        Self::Result { ok: ok.map(Arc::new), err: err.map(Arc::new) }
    }

    /// The record that stands for a link in WIT. A component's types have no names of their own, so it is told by its one
    /// field, which no other record has by accident.
    pub(crate) fn link_record() -> &'static Self {
        static LINK: LazyLock<Type> = LazyLock::new(|| Type::record([(arena::LINK, Type::bytes())]));
        &LINK
    }

    /// The record that stands for a whole IPLD node in WIT.
    pub(crate) fn node_record() -> &'static Self {
        static NODE: LazyLock<Type> = LazyLock::new(|| Type::record([(arena::NODE, Type::list(arena::item_type()))]));
        &NODE
    }

    /// `link` or `node` for a record that has the fields of one, any other type as it is. A runtime that makes types from a
    /// component's calls this for each record.
    #[must_use]
    pub fn recognise(self) -> Self {
        match self {
            _ if self == *Self::link_record() => Self::Link,
            _ if self == *Self::node_record() => Self::Node,
            other => other,
        }
    }

    /// Whether some value of this type is carried as null, so that an `option` around it needs the list form.
    pub(crate) fn may_be_null(&self) -> bool {
        match self {
            Self::Option(some) => !some.may_be_null(),
            Self::Node => true,
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Link => f.write_str("link"),
            Self::Node => f.write_str("node"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Tuple(items) => {
                f.write_str("tuple<")?;
                separated(f, items, |f, item| write!(f, "{item}"))?;
                f.write_str(">")
            }
            Self::Record(fields) => braced(f, "record", fields, |f, field| write!(f, "{}: {}", field.name, field.ty)),
            Self::Variant(cases) => braced(f, "variant", cases, |f, case| match &case.ty {
                Some(ty) => write!(f, "{}({ty})", case.name),
                None => f.write_str(&case.name),
            }),
            Self::Enum(names) => braced(f, "enum", names, |f, name| f.write_str(name)),
            Self::Flags(names) => braced(f, "flags", names, |f, name| f.write_str(name)),
            Self::Result { ok, err } => match (ok, err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
        }
    }
}

fn braced<T>(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{keyword} {{ ")?;
    separated(f, items, write)?;
    f.write_str(" }")
}

pub(crate) fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_wit() {
        let shape = Type::variant([("dot", None), ("circle", Some(Type::F64))]);
        let record = Type::record([("name", Type::String), ("shapes", Type::list(shape))]);
        assert_eq!(record.to_string(), "record { name: string, shapes: list<variant { dot, circle(f64) }> }");
        assert_eq!(Type::result(None, Some(Type::String)).to_string(), "result<_, string>");
        assert_eq!(Type::result(Some(Type::bytes()), None).to_string(), "result<list<u8>>");
        assert_eq!(Type::result(None, None).to_string(), "result");
        assert_eq!(Type::tuple([Type::S8, Type::option(Type::Char)]).to_string(), "tuple<s8, option<char>>");
        assert_eq!(Type::flags(["read", "write"]).to_string(), "flags { read, write }");
    }

    #[test]
    fn every_second_option_needs_the_list_form() {
        let one = Type::option(Type::U8);
        let two = Type::option(one.clone());
        let three = Type::option(two.clone());
        assert!(!Type::U8.may_be_null());
        assert!(one.may_be_null());
        assert!(!two.may_be_null());
        assert!(three.may_be_null());
        assert!(Type::Node.may_be_null());
        assert!(!Type::option(Type::Node).may_be_null());
    }

    #[test]
    fn only_the_records_of_the_package_are_recognised() {
        assert_eq!(Type::link_record().clone().recognise(), Type::Link);
        let item = Type::variant([
            ("null", None),
            ("boolean", Some(Type::Bool)),
            ("unsigned", Some(Type::U64)),
            ("negative", Some(Type::U64)),
            ("float", Some(Type::F64)),
            ("text", Some(Type::String)),
            ("bytes", Some(Type::bytes())),
            ("items", Some(Type::list(Type::U32))),
            ("entries", Some(Type::list(Type::tuple([Type::String, Type::U32])))),
            ("link", Some(Type::Link)),
        ]);
        assert_eq!(Type::record([("ipld-node", Type::list(item))]).recognise(), Type::Node);
        for other in [
            Type::record([("ipld-link", Type::String)]),
            Type::record([("link", Type::bytes())]),
            Type::record([("ipld-link", Type::bytes()), ("more", Type::Bool)]),
            Type::record([("ipld-node", Type::list(Type::U8))]),
        ] {
            assert_eq!(other.clone().recognise(), other);
        }
    }
}
