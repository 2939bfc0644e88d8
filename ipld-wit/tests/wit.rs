//! Functions as WIT text, read again by the reader that toolchains have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{name, types};
use ipld_wit::{Signature, Type, wit_text};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use wit_parser::{Function, Resolve, TypeDefKind, WorldItem};

/// A type of a parsed file, as ours.
fn of(resolve: &Resolve, ty: &wit_parser::Type) -> Type {
    use wit_parser::Type as Wit;
    let id = match ty {
        Wit::Bool => return Type::Bool,
        Wit::S8 => return Type::S8,
        Wit::U8 => return Type::U8,
        Wit::S16 => return Type::S16,
        Wit::U16 => return Type::U16,
        Wit::S32 => return Type::S32,
        Wit::U32 => return Type::U32,
        Wit::S64 => return Type::S64,
        Wit::U64 => return Type::U64,
        Wit::F32 => return Type::F32,
        Wit::F64 => return Type::F64,
        Wit::Char => return Type::Char,
        Wit::String => return Type::String,
        Wit::Id(id) => *id,
        other => panic!("{other:?}"),
    };
    let definition = &resolve.types[id];
    let nested = |ty: &Option<wit_parser::Type>| ty.as_ref().map(|ty| of(resolve, ty));
    match &definition.kind {
        TypeDefKind::Record(_) if definition.name.as_deref() == Some("link") => Type::Link,
        TypeDefKind::Record(_) if definition.name.as_deref() == Some("node") => Type::Node,
        TypeDefKind::Type(ty) => of(resolve, ty),
        TypeDefKind::Record(record) => {
            Type::record(record.fields.iter().map(|field| (field.name.clone(), of(resolve, &field.ty))))
        }
        TypeDefKind::Variant(variant) => {
            Type::variant(variant.cases.iter().map(|case| (case.name.clone(), nested(&case.ty))))
        }
        TypeDefKind::Enum(it) => Type::enumeration(it.cases.iter().map(|case| case.name.clone())),
        TypeDefKind::Flags(it) => Type::flags(it.flags.iter().map(|flag| flag.name.clone())),
        TypeDefKind::Tuple(tuple) => Type::tuple(tuple.types.iter().map(|ty| of(resolve, ty))),
        TypeDefKind::List(ty) => Type::list(of(resolve, ty)),
        TypeDefKind::Option(ty) => Type::option(of(resolve, ty)),
        TypeDefKind::Result(result) => Type::result(nested(&result.ok), nested(&result.err)),
        other => panic!("{other:?}"),
    }
}

fn signature(resolve: &Resolve, function: &Function) -> Signature {
    let params = function.params.iter().map(|param| (param.name.clone(), of(resolve, &param.ty))).collect();
    Signature { params, result: function.result.as_ref().map(|ty| of(resolve, ty)) }
}

/// The functions that the world of a text exports.
fn exports(text: &str) -> BTreeMap<String, Signature> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("component.wit", text).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    let world = resolve.select_world(&[package], Some("root")).unwrap();
    let mut found = BTreeMap::new();
    for (key, item) in &resolve.worlds[world].exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) => _ = found.insert(name, signature(&resolve, function)),
            WorldItem::Interface { id, .. } => {
                for (function, it) in &resolve.interfaces[*id].functions {
                    found.insert(format!("{name}#{function}"), signature(&resolve, it));
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    found
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => name(),
        1 => (name(), name()).prop_map(|(interface, name)| format!("{interface}#{name}")),
        2 => ("[a-c]:[a-c]/[a-c]", prop::option::of("@1\\.[01]\\.0"), name())
            .prop_map(|(interface, version, name)| format!("{interface}{}#{name}", version.unwrap_or_default())),
    ]
}

fn signatures() -> impl Strategy<Value = Signature> {
    let params = vec((name(), types()), 0..3).prop_map(|params| {
        // No two of one name.
        params.into_iter().enumerate().map(|(at, (name, ty))| (format!("{name}-p{at}"), ty)).collect()
    });
    (params, prop::option::of(types())).prop_map(|(params, result)| Signature { params, result })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_functions(functions in btree_map(names(), signatures(), 0..5)) {
        // A function and an interface of one name are two exports of one name, which no component has.
        let taken: Vec<String> = functions.keys().filter_map(|name| Some(name.split_once('#')?.0.to_owned())).collect();
        let functions: BTreeMap<_, _> = functions.into_iter().filter(|(name, _)| !taken.contains(name)).collect();
        let text = wit_text(functions.iter().map(|(name, signature)| (name.as_str(), signature)));
        prop_assert_eq!(exports(&text), functions, "{}", text);
    }
}

#[test]
fn names_that_mean_something_in_wit_are_marked() {
    let list = Type::record([("list", Type::U8), ("record", Type::option(Type::enumeration(["result", "string"])))]);
    let function = Signature { params: vec![("type".to_owned(), list.clone())], result: Some(list) };
    let functions = BTreeMap::from([("import".to_owned(), function)]);
    let text = wit_text(functions.iter().map(|(name, signature)| (name.as_str(), signature)));
    assert_eq!(exports(&text), functions, "{text}");
}
