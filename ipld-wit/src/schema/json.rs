//! JSON Schema (2020-12) of the DAG-JSON form of values.

use ipld_core::ipld::Ipld;

use crate::{Signature, Type};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

impl Type {
    /// A JSON Schema (2020-12) of values of this type, as they are written in DAG-JSON: what is accepted is valid.
    ///
    /// The reverse does not hold for what a schema cannot say: whether a number is exact as `f32` or `f64`, the order of
    /// flags, and how deep a `node` is.
    pub fn json_schema(&self) -> Ipld {
        schema(self)
    }
}

impl Signature {
    /// A JSON Schema (2020-12) of an object with `params`, the arguments, and, if the function gives one, a `result`.
    pub fn json_schema(&self) -> Ipld {
        let list = tuple(self.params.iter().map(|(_, ty)| ty));
        let named = fields(self.params.iter().map(|(name, ty)| (name.as_str(), ty)));
        let params = map([("anyOf", Ipld::List(vec![list, named]))]);
        let result = self.result.as_ref().map_or_else(|| kind("null"), schema);
        map([
            ("$schema", text(DIALECT)),
            ("type", text("object")),
            ("properties", map([("params", params), ("result", result)])),
            ("required", Ipld::List(vec![text("params")])),
        ])
    }
}

fn text(it: &str) -> Ipld {
    Ipld::String(it.to_owned())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn kind(name: &str) -> Ipld {
    map([("type", text(name))])
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Ipld {
    map([("enum", Ipld::List(names.map(text).collect()))])
}

fn any(mut of: Vec<Ipld>) -> Ipld {
    match of.pop() {
        Some(only) if of.is_empty() => only,
        last => {
            of.extend(last);
            map([("anyOf", Ipld::List(of))])
        }
    }
}

/// An object with exactly this entry.
fn entry(key: &str, value: Ipld) -> Ipld {
    map([
        ("type", text("object")),
        ("properties", map([(key, value)])),
        ("required", Ipld::List(vec![text(key)])),
        ("additionalProperties", Ipld::Bool(false)),
    ])
}

fn fields<'a>(fields: impl Iterator<Item = (&'a str, &'a Type)> + Clone) -> Ipld {
    let required = fields.clone().filter(|(_, ty)| !matches!(ty, Type::Option(_)));
    map([
        ("type", text("object")),
        ("required", Ipld::List(required.map(|(name, _)| text(name)).collect())),
        ("properties", Ipld::Map(fields.map(|(name, ty)| (name.to_owned(), schema(ty))).collect())),
        ("additionalProperties", Ipld::Bool(false)),
    ])
}

fn tuple<'a>(types: impl Iterator<Item = &'a Type>) -> Ipld {
    let items: Vec<Ipld> = types.map(schema).collect();
    let len = Ipld::Integer(items.len() as i128);
    let mut schema = map([("type", text("array")), ("minItems", len.clone()), ("maxItems", len)]);
    // A list without items is no valid keyword.
    if let Ipld::Map(schema) = &mut schema
        && !items.is_empty()
    {
        schema.insert("prefixItems".to_owned(), Ipld::List(items));
    }
    schema
}

fn list(items: Ipld) -> Ipld {
    map([("type", text("array")), ("items", items)])
}

fn integer(min: i128, max: i128) -> Ipld {
    map([("type", text("integer")), ("minimum", Ipld::Integer(min)), ("maximum", Ipld::Integer(max))])
}

fn schema(ty: &Type) -> Ipld {
    match ty {
        Type::Bool => kind("boolean"),
        Type::S8 => integer(i8::MIN.into(), i8::MAX.into()),
        Type::U8 => integer(0, u8::MAX.into()),
        Type::S16 => integer(i16::MIN.into(), i16::MAX.into()),
        Type::U16 => integer(0, u16::MAX.into()),
        Type::S32 => integer(i32::MIN.into(), i32::MAX.into()),
        Type::U32 => integer(0, u32::MAX.into()),
        Type::S64 => integer(i64::MIN.into(), i64::MAX.into()),
        Type::U64 => integer(0, u64::MAX.into()),
        Type::F32 => map([
            ("type", text("number")),
            ("minimum", Ipld::Float(f32::MIN.into())),
            ("maximum", Ipld::Float(f32::MAX.into())),
        ]),
        Type::F64 => kind("number"),
        // Lengths are in code points.
        Type::Char => map([("type", text("string")), ("minLength", Ipld::Integer(1)), ("maxLength", Ipld::Integer(1))]),
        Type::String => kind("string"),
        Type::List(element) if **element == Type::U8 => entry("/", entry("bytes", kind("string"))),
        Type::List(element) => list(schema(element)),
        Type::Tuple(types) => tuple(types.iter()),
        Type::Record(members) => fields(members.iter().map(|field| (field.name.as_str(), &field.ty))),
        Type::Variant(cases) => {
            let bare: Vec<&str> = cases.iter().filter(|case| case.ty.is_none()).map(|case| &*case.name).collect();
            let bare = (!bare.is_empty()).then(|| names(bare.into_iter()));
            let loaded = cases.iter().filter_map(|case| Some(entry(&case.name, schema(case.ty.as_ref()?))));
            any(bare.into_iter().chain(loaded).collect())
        }
        Type::Enum(members) => names(members.names()),
        Type::Option(some) if some.may_be_null() => {
            map([("type", text("array")), ("items", schema(some)), ("maxItems", Ipld::Integer(1))])
        }
        Type::Option(some) => any(vec![kind("null"), schema(some)]),
        Type::Result { ok, err } => {
            let arm = |ty: Option<&Type>| ty.map_or_else(|| kind("null"), schema);
            any(vec![entry("ok", arm(ok.as_deref())), entry("error", arm(err.as_deref()))])
        }
        Type::Flags(members) => {
            map([("type", text("array")), ("items", names(members.names())), ("uniqueItems", Ipld::Bool(true))])
        }
        Type::Link => entry("/", kind("string")),
        // Any DAG-JSON.
        Type::Node => map([]),
    }
}
