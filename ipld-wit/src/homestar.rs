//! The looser forms of arguments and results that homestar takes and gives, for people who come from there.
//!
//! Nothing here is applied unless somebody asks for it. Arguments are rewritten into the strict forms before they are checked,
//! and results out of them afterwards; the conversion in between stays as strict as it is.
//!
//! | WIT | taken beside the strict form |
//! |---|---|
//! | `string` | null as `"null"`, bytes as their base64 without padding, a link as its text |
//! | `list<u8>` | a list of integers below 256 |
//! | `list<tuple<string, T>>` | a map |
//! | `result<T, E>` | `[value, null]` and `[null, value]`; `[null, null]` is a success |
//! | variants | `{case: null}` for a case without payload |
//! | flags | any order, repeated or not |
//! | numbers, `bool`, `char`, `string`, enums | a list of one, for its item |
//! | `f32` | a float that it cannot hold exactly, as the nearest one that it can |
//!
//! Results have these forms: `[value, null]` and `[null, value]` for `result`, with 1 in the place of a value that an arm does not
//! carry, `{case: null}`, and a map for a `list<tuple<string, T>>` in which no key comes twice.
//!
//! What homestar does and nobody should rely on is not imitated: floats are not cut off at the ends of integer types, `f32` is not
//! written with seven digits, surplus arguments and fields are refused, and no string is taken for null or for a link.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64_NOPAD;
use ipld_core::ipld::Ipld;

use crate::{Signature, Type};

/// Arguments of a function in the looser forms, as the strict conversion takes them. What has none of these forms stays as
/// it is, to be refused with a reason.
#[must_use]
pub fn arguments(params: Ipld, signature: &Signature) -> Ipld {
    known_arguments(params, signature, &|_| false)
}

/// The same for arguments of which some are not known yet: those for which `open` says so stay as they are, and can then be checked
/// with [`Signature::check_known`].
#[must_use]
pub fn known_arguments(params: Ipld, signature: &Signature, open: &dyn Fn(&Ipld) -> bool) -> Ipld {
    let known = |item: Ipld, ty: Option<&Type>| if open(&item) { item } else { optional(item, ty) };
    match params {
        Ipld::List(items) => {
            let types = signature.params.iter().map(|(_, ty)| Some(ty)).chain(std::iter::repeat(None));
            Ipld::List(items.into_iter().zip(types).map(|(item, ty)| known(item, ty)).collect())
        }
        Ipld::Map(map) => {
            let ty = |name: &str| signature.params.iter().find(|(param, _)| param == name).map(|(_, ty)| ty);
            Ipld::Map(map.into_iter().map(|(name, item)| (name.clone(), known(item, ty(&name)))).collect())
        }
        other => other,
    }
}

fn optional(item: Ipld, ty: Option<&Type>) -> Ipld {
    match ty {
        Some(ty) => argument(item, ty),
        None => item,
    }
}

/// One value in the looser forms, as the strict conversion takes it.
#[must_use]
pub fn argument(value: Ipld, ty: &Type) -> Ipld {
    match (ty, value) {
        (Type::F32, Ipld::Float(wide)) => Ipld::Float(nearest_single(wide)),
        (Type::String, Ipld::Null) => Ipld::String("null".to_owned()),
        (Type::String, Ipld::Bytes(bytes)) => Ipld::String(BASE64_NOPAD.encode(&bytes)),
        (Type::String, Ipld::Link(cid)) => Ipld::String(cid.to_string()),
        (ty, Ipld::List(mut items)) if is_scalar(ty) && items.len() == 1 => match items.pop() {
            Some(item) => argument(item, ty),
            None => Ipld::List(items),
        },
        (Type::List(element), Ipld::List(items)) if **element == Type::U8 => match bytes(&items) {
            Some(bytes) => Ipld::Bytes(bytes),
            None => Ipld::List(items),
        },
        (Type::List(element), Ipld::List(items)) => {
            Ipld::List(items.into_iter().map(|item| argument(item, element)).collect())
        }
        (Type::List(element), Ipld::Map(map)) => match pair(element) {
            Some(ty) => {
                let entry = |(key, item)| Ipld::List(vec![Ipld::String(key), argument(item, ty)]);
                Ipld::List(map.into_iter().map(entry).collect())
            }
            None => Ipld::Map(map),
        },
        (Type::Tuple(types), Ipld::List(items)) => {
            let types = types.iter().map(Some).chain(std::iter::repeat(None));
            Ipld::List(items.into_iter().zip(types).map(|(item, ty)| optional(item, ty)).collect())
        }
        (Type::Record(fields), Ipld::Map(map)) => {
            let ty = |name: &str| fields.iter().find(|field| field.name == name).map(|field| &field.ty);
            Ipld::Map(map.into_iter().map(|(name, item)| (name.clone(), optional(item, ty(&name)))).collect())
        }
        (Type::Variant(cases), Ipld::Map(map)) if map.len() == 1 => {
            let case = |name: &str| cases.iter().find(|case| case.name == name);
            match map.into_iter().next() {
                Some((name, Ipld::Null)) if case(&name).is_some_and(|case| case.ty.is_none()) => Ipld::String(name),
                Some((name, item)) => {
                    let ty = case(&name).and_then(|case| case.ty.as_ref());
                    let item = optional(item, ty);
                    Ipld::Map([(name, item)].into())
                }
                None => Ipld::Map(BTreeMap::new()),
            }
        }
        (Type::Option(_), Ipld::Null) => Ipld::Null,
        (Type::Option(some), value) => argument(value, some),
        (Type::Result { ok, err }, Ipld::List(items)) => match <[Ipld; 2]>::try_from(items) {
            Ok([value, Ipld::Null]) => arm("ok", value, ok.as_deref()),
            Ok([Ipld::Null, value]) => arm("error", value, err.as_deref()),
            Ok(others) => Ipld::List(others.into()),
            Err(items) => Ipld::List(items),
        },
        (Type::Result { ok, err }, Ipld::Map(map)) => {
            let ty = |name: &str| if name == "ok" { ok.as_deref() } else { err.as_deref() };
            Ipld::Map(map.into_iter().map(|(name, item)| (name.clone(), optional(item, ty(&name)))).collect())
        }
        (Type::Flags(_), Ipld::List(items)) => flags(items),
        (_, value) => value,
    }
}

/// What a function gave, in the forms of homestar.
#[must_use]
pub fn result(value: Ipld, ty: &Type) -> Ipld {
    match (ty, value) {
        (Type::List(element), Ipld::List(items)) => {
            let ty = pair(element);
            let items: Vec<Ipld> = items.into_iter().map(|item| result(item, element)).collect();
            match ty.and_then(|_| map(&items)) {
                Some(map) => Ipld::Map(map),
                None => Ipld::List(items),
            }
        }
        (Type::Tuple(types), Ipld::List(items)) => {
            Ipld::List(items.into_iter().zip(types.iter()).map(|(item, ty)| result(item, ty)).collect())
        }
        (Type::Record(fields), Ipld::Map(mut map)) => {
            for field in fields.iter() {
                if let Some(item) = map.remove(&field.name) {
                    map.insert(field.name.clone(), result(item, &field.ty));
                }
            }
            Ipld::Map(map)
        }
        (Type::Variant(_), Ipld::String(name)) => Ipld::Map([(name, Ipld::Null)].into()),
        (Type::Variant(cases), Ipld::Map(map)) => {
            let ty = |name: &str| cases.iter().find(|case| case.name == name).and_then(|case| case.ty.as_ref());
            let loosened = |(name, item): (String, Ipld)| {
                let item = match ty(&name) {
                    Some(ty) => result(item, ty),
                    None => item,
                };
                (name, item)
            };
            Ipld::Map(map.into_iter().map(loosened).collect())
        }
        (Type::Option(_), Ipld::Null) => Ipld::Null,
        // Options of what may be null keep their lists, which are all that tells them apart.
        (Type::Option(some), value) if !matches!(**some, Type::Option(_)) => result(value, some),
        (Type::Result { ok, err }, Ipld::Map(map)) => {
            let stated = |value: Ipld, ty: Option<&Type>| ty.map_or(Ipld::Integer(1), |ty| result(value, ty));
            match map.into_iter().next() {
                Some((name, value)) if name == "ok" => Ipld::List(vec![stated(value, ok.as_deref()), Ipld::Null]),
                Some((_, value)) => Ipld::List(vec![Ipld::Null, stated(value, err.as_deref())]),
                None => Ipld::Null,
            }
        }
        (_, value) => value,
    }
}

/// The one of a component's own functions (not those of its interfaces) that `name` stands for in any of homestar's spellings:
/// `add-one`, `add_one`, `addOne`, `AddOne`, `ADD_ONE`, `%add-one`. The exact name comes first; a spelling that could stand for
/// two functions stands for none.
#[must_use]
pub fn function<'a>(name: &str, exports: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if let Some(exact) = exports.clone().find(|export| *export == name) {
        return Some(exact);
    }
    let mut alike = exports.filter(|export| !export.contains('#') && letters(export).eq(letters(name)));
    match (alike.next(), alike.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    let name = name.strip_prefix('%').unwrap_or(name);
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase)
}

const fn is_scalar(ty: &Type) -> bool {
    use Type::{Bool, Char, Enum, F32, F64, S8, S16, S32, S64, String, U8, U16, U32, U64};
    matches!(ty, Bool | S8 | S16 | S32 | S64 | U8 | U16 | U32 | U64 | F32 | F64 | Char | String | Enum(_))
}

/// What is too large stays as it is, to be refused.
fn nearest_single(wide: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "it is rounded")]
    let single = wide as f32;
    if single.is_finite() { f64::from(single) } else { wide }
}

/// The type of the values of what can be written as a map: `tuple<string, T>`.
fn pair(element: &Type) -> Option<&Type> {
    match element {
        Type::Tuple(types) => match &**types {
            [Type::String, ty] => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

/// A map of pairs of which no key comes twice.
fn map(pairs: &[Ipld]) -> Option<BTreeMap<String, Ipld>> {
    let mut map = BTreeMap::new();
    for item in pairs {
        let Ipld::List(item) = item else { return None };
        let [Ipld::String(key), value] = item.as_slice() else { return None };
        if map.insert(key.clone(), value.clone()).is_some() {
            return None;
        }
    }
    Some(map)
}

fn arm(name: &str, value: Ipld, ty: Option<&Type>) -> Ipld {
    let value = ty.map_or(Ipld::Null, |ty| argument(value, ty));
    Ipld::Map([(name.to_owned(), value)].into())
}

fn bytes(items: &[Ipld]) -> Option<Vec<u8>> {
    let byte = |item: &Ipld| match item {
        Ipld::Integer(n) => u8::try_from(*n).ok(),
        _ => None,
    };
    items.iter().map(byte).collect()
}

fn flags(items: Vec<Ipld>) -> Ipld {
    let name = |item: &Ipld| match item {
        Ipld::String(name) => Some(name.clone()),
        _ => None,
    };
    match items.iter().map(name).collect::<Option<BTreeSet<String>>>() {
        Some(names) => Ipld::List(names.into_iter().map(Ipld::String).collect()),
        None => Ipld::List(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{to_ipld, to_value};

    fn text(text: &str) -> Ipld {
        Ipld::String(text.to_owned())
    }

    fn list<const N: usize>(items: [Ipld; N]) -> Ipld {
        Ipld::List(items.to_vec())
    }

    fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
        Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    const ONE: Ipld = Ipld::Integer(1);

    #[test]
    fn looser_forms_are_refused_as_they_are_and_taken_here() {
        let link =
            ipld_core::cid::Cid::try_from("bafkreie7q3iidccmpvszul7kudcvvuavuo7u6gzlbobczuk5nqk3b4akba").unwrap();
        let result = || Type::result(Some(Type::U32), Some(Type::String));
        let bare = || Type::result(None, None);
        let variant = || Type::variant([("none", None), ("some", Some(Type::String))]);
        for (ty, loose, strict) in [
            (Type::String, Ipld::Null, text("null")),
            (Type::String, Ipld::Bytes(vec![1, 2]), text("AQI")),
            (Type::String, Ipld::Link(link), text(&link.to_string())),
            (Type::bytes(), list([ONE, Ipld::Integer(255)]), Ipld::Bytes(vec![1, 255])),
            (
                Type::list(Type::tuple([Type::String, Type::bytes()])),
                map([("b", list([ONE]))]),
                list([list([text("b"), Ipld::Bytes(vec![1])])]),
            ),
            (result(), list([ONE, Ipld::Null]), map([("ok", ONE)])),
            (result(), list([Ipld::Null, Ipld::Bytes(vec![])]), map([("error", text(""))])),
            (bare(), list([Ipld::Integer(47), Ipld::Null]), map([("ok", Ipld::Null)])),
            (bare(), list([Ipld::Null, text("what")]), map([("error", Ipld::Null)])),
            (bare(), list([Ipld::Null, Ipld::Null]), map([("ok", Ipld::Null)])),
            (variant(), map([("none", Ipld::Null)]), text("none")),
            (variant(), map([("some", Ipld::Null)]), map([("some", text("null"))])),
            (Type::flags(["b", "a"]), list([text("b"), text("a"), text("b")]), list([text("a"), text("b")])),
            (Type::S32, list([ONE]), ONE),
            (Type::F32, Ipld::Float(0.3), Ipld::Float(f64::from(0.3_f32))),
            (Type::option(result()), list([ONE, Ipld::Null]), map([("ok", ONE)])),
            (Type::record([("r", result())]), map([("r", list([ONE, Ipld::Null]))]), map([("r", map([("ok", ONE)]))])),
            (Type::tuple([Type::String]), list([Ipld::Null]), list([text("null")])),
        ] {
            assert!(to_value(&loose, &ty).is_err(), "{loose:?} for {ty}");
            let taken = argument(loose, &ty);
            assert_eq!(taken, strict, "for {ty}");
            let value = to_value(&taken, &ty).unwrap();
            // What is strict stays as it is.
            assert_eq!(to_ipld(&value, &ty).unwrap(), argument(strict.clone(), &ty));
            assert_eq!(argument(strict.clone(), &ty), strict);
        }
    }

    #[test]
    fn what_loses_something_is_not_taken() {
        for (ty, value) in [
            (Type::U8, Ipld::Float(300.5)),
            (Type::F32, Ipld::Float(1e300)),
            (Type::U8, list([ONE, ONE])),
            (Type::bytes(), list([ONE, Ipld::Integer(256)])),
            (Type::record([("a", Type::U8)]), map([("a", ONE), ("b", ONE)])),
            (Type::tuple([Type::U8]), list([ONE, ONE])),
            (Type::result(None, None), list([ONE, ONE])),
        ] {
            let taken = argument(value.clone(), &ty);
            assert!(to_value(&taken, &ty).is_err(), "{value:?} for {ty}");
        }
        let add = Signature { params: vec![("a".to_owned(), Type::String)], result: None };
        assert_eq!(arguments(list([Ipld::Null, ONE]), &add), list([text("null"), ONE]));
        assert_eq!(arguments(map([("a", Ipld::Null), ("b", ONE)]), &add), map([("a", text("null")), ("b", ONE)]));
    }

    #[test]
    fn what_is_not_known_yet_stays_as_it_is() {
        let pairs = || Type::list(Type::tuple([Type::String, Type::U8]));
        let signature = Signature { params: vec![("a".to_owned(), pairs()), ("b".to_owned(), pairs())], result: None };
        let (known, open) = (map([("x", ONE)]), map([("later", ONE)]));
        let is_open = |item: &Ipld| *item == open;
        let rewritten = list([list([text("x"), ONE])]);
        let params = known_arguments(list([known.clone(), open.clone()]), &signature, &is_open);
        assert_eq!(params, list([rewritten.clone(), open.clone()]));
        assert_eq!(signature.check_known(&params, &is_open), Ok(()));
        let params = known_arguments(map([("a", open.clone()), ("b", known)]), &signature, &is_open);
        assert_eq!(params, map([("a", open.clone()), ("b", rewritten)]));
    }

    #[test]
    fn results_have_its_forms() {
        let pairs = Type::list(Type::tuple([Type::String, Type::result(Some(Type::U8), None)]));
        let twice = [("a", ONE), ("a", Ipld::Integer(2))].map(|(key, n)| list([text(key), map([("ok", n)])]));
        for (ty, strict, loose) in [
            (Type::result(Some(Type::U8), None), map([("ok", ONE)]), list([ONE, Ipld::Null])),
            (Type::result(Some(Type::U8), None), map([("error", Ipld::Null)]), list([Ipld::Null, ONE])),
            (Type::result(None, Some(Type::String)), map([("ok", Ipld::Null)]), list([ONE, Ipld::Null])),
            (pairs.clone(), list([twice[0].clone()]), map([("a", list([ONE, Ipld::Null]))])),
            (
                pairs,
                list(twice.clone()),
                list([
                    list([text("a"), list([ONE, Ipld::Null])]),
                    list([text("a"), list([Ipld::Integer(2), Ipld::Null])]),
                ]),
            ),
            (Type::variant([("none", None)]), text("none"), map([("none", Ipld::Null)])),
            (Type::enumeration(["none"]), text("none"), text("none")),
            (Type::String, text("null"), text("null")),
            (Type::option(Type::option(Type::U8)), list([Ipld::Null]), list([Ipld::Null])),
        ] {
            assert_eq!(result(strict, &ty), loose, "of {ty}");
        }
    }

    #[test]
    fn functions_are_found_in_all_spellings() {
        let exports = ["add-one", "ADD", "a-b", "ab", "x:y/z#only-inside"];
        let found = |name: &str| function(name, exports.into_iter());
        for name in ["add-one", "add_one", "addOne", "AddOne", "ADD_ONE", "%add-one"] {
            assert_eq!(found(name), Some("add-one"), "{name}");
        }
        assert_eq!(found("add"), Some("ADD"));
        // Exactly one of two that are alike, and neither by a spelling that fits both.
        assert_eq!((found("ab"), found("aB")), (Some("ab"), None));
        assert_eq!((found("only-inside"), found("add-two")), (None, None));
    }
}
