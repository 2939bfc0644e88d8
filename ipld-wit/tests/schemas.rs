//! What is accepted is valid under the JSON Schema; what schemas look like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{ipld, plain_types, typed_values, wit};
use ipld_wit::{Ipld, Signature, Type, to_ipld, to_value};
use proptest::prelude::*;
use ucan_core::dagjson;

/// Judges the keywords that our schemas have, and refuses schemas with others.
fn valid(schema: &Ipld, json: &Ipld) -> bool {
    let Ipld::Map(schema) = schema else { panic!("{schema:?} is no schema") };
    schema.iter().all(|(keyword, it)| match (keyword.as_str(), it, json) {
        ("$schema", Ipld::String(_), _) => true,
        ("type", Ipld::String(name), json) => match (name.as_str(), json) {
            ("null", Ipld::Null)
            | ("boolean", Ipld::Bool(_))
            | ("integer" | "number", Ipld::Integer(_))
            | ("number", Ipld::Float(_))
            | ("string", Ipld::String(_))
            | ("array", Ipld::List(_))
            | ("object", Ipld::Map(_)) => true,
            ("integer", Ipld::Float(it)) => it.fract() == 0.0,
            ("null" | "boolean" | "integer" | "number" | "string" | "array" | "object", _) => false,
            (other, _) => panic!("no type {other}"),
        },
        ("enum", Ipld::List(of), json) => of.contains(json),
        ("anyOf", Ipld::List(of), json) => of.iter().any(|schema| valid(schema, json)),
        ("minimum", least, Ipld::Integer(_) | Ipld::Float(_)) => number(json) >= number(least),
        ("maximum", most, Ipld::Integer(_) | Ipld::Float(_)) => number(json) <= number(most),
        ("minLength", Ipld::Integer(least), Ipld::String(it)) => it.chars().count() as i128 >= *least,
        ("maxLength", Ipld::Integer(most), Ipld::String(it)) => it.chars().count() as i128 <= *most,
        ("minItems", Ipld::Integer(least), Ipld::List(it)) => it.len() as i128 >= *least,
        ("maxItems", Ipld::Integer(most), Ipld::List(it)) => it.len() as i128 <= *most,
        ("uniqueItems", Ipld::Bool(true), Ipld::List(it)) => it.iter().enumerate().all(|(at, a)| !it[..at].contains(a)),
        ("items", schema, Ipld::List(it)) => it.iter().all(|it| valid(schema, it)),
        ("prefixItems", Ipld::List(of), Ipld::List(it)) => of.iter().zip(it).all(|(schema, it)| valid(schema, it)),
        ("properties", Ipld::Map(of), Ipld::Map(it)) => {
            it.iter().all(|(key, it)| of.get(key).is_none_or(|schema| valid(schema, it)))
        }
        ("required", Ipld::List(of), Ipld::Map(it)) => {
            of.iter().all(|key| matches!(key, Ipld::String(key) if it.contains_key(key)))
        }
        ("additionalProperties", Ipld::Bool(false), Ipld::Map(it)) => {
            let Some(Ipld::Map(of)) = schema.get("properties") else { panic!("no properties") };
            it.keys().all(|key| of.contains_key(key))
        }
        (
            "minimum"
            | "maximum"
            | "minLength"
            | "maxLength"
            | "minItems"
            | "maxItems"
            | "uniqueItems"
            | "items"
            | "prefixItems"
            | "properties"
            | "required"
            | "additionalProperties",
            ..,
        ) => true,
        (other, ..) => panic!("no keyword {other}"),
    })
}

/// Rounded, which is good enough for bounds that are far away or small.
fn number(it: &Ipld) -> f64 {
    match it {
        Ipld::Integer(it) => *it as f64,
        Ipld::Float(it) => *it,
        other => panic!("{other:?} is no number"),
    }
}

/// The JSON that a value is in DAG-JSON, as it looks to a JSON Schema.
fn json(value: &Ipld) -> Ipld {
    let one = |key: &str, value| Ipld::Map([(key.to_owned(), value)].into());
    match value {
        Ipld::Bytes(_) => one("/", one("bytes", Ipld::String("..".into()))),
        Ipld::Link(cid) => one("/", Ipld::String(cid.to_string())),
        Ipld::List(items) => Ipld::List(items.iter().map(json).collect()),
        Ipld::Map(map) => Ipld::Map(map.iter().map(|(key, value)| (key.clone(), json(value))).collect()),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn canonical_values_are_valid((ty, value) in typed_values()) {
        let ipld = to_ipld(&value, &ty).unwrap();
        prop_assert!(valid(&ty.json_schema(), &json(&ipld)), "{:?} under {}", ipld, ty);
    }

    #[test]
    fn what_is_accepted_is_valid(ty in plain_types(), ipld in ipld()) {
        if to_value(&ipld, &ty).is_ok() {
            prop_assert!(valid(&ty.json_schema(), &json(&ipld)), "{:?} under {}", ipld, ty);
        }
    }

    #[test]
    fn ipld_schemas_declare_each_name_once((ty, _) in typed_values()) {
        let schema = ty.ipld_schema("Top");
        let mut names: Vec<&str> = schema.lines().filter_map(|line| line.strip_prefix("type ")?.split(' ').next()).collect();
        prop_assert!(names.first() == Some(&"Top"), "{}", schema);
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        prop_assert_eq!(names.len(), all, "{}", schema);
    }
}

/// The published vectors: what is accepted is valid, and most of what is refused is not.
#[test]
fn vectors() {
    let (mut refused, mut invalid) = (0, 0);
    for file in
        [include_str!("../../fixtures/ipld-wit/numbers.json"), include_str!("../../fixtures/ipld-wit/values.json")]
    {
        let file = dagjson::decode(file.as_bytes()).unwrap();
        let Ok(Some(Ipld::List(cases))) = file.take("cases") else { panic!("a file has cases") };
        for case in cases {
            let part = |key| case.get(key).unwrap();
            let (Some(Ipld::String(ty)), Some(value)) = (part("type"), part("ipld")) else { panic!("{case:?}") };
            let valid = valid(&wit::parse(ty).json_schema(), &json(value));
            if part("ok").is_some() {
                assert!(valid, "{value:?} under {ty}");
            } else {
                refused += 1;
                invalid += usize::from(!valid);
            }
        }
    }
    assert!(invalid * 10 > refused * 8, "only {invalid} of {refused} are invalid");
}

#[test]
fn of_a_function() {
    let shape = Type::variant([("dot", None), ("circle", Some(Type::F64))]);
    let params = vec![("file-name".to_owned(), Type::String), ("shape".to_owned(), Type::option(shape))];
    let signature = Signature { params, result: Some(Type::result(Some(Type::bytes()), None)) };
    let expected = r#"type DrawParams union {
  | DrawParamsList list
  | DrawParamsMap map
} representation kinded

type DrawParamsList struct {
  fileName String (rename "file-name")
  shape nullable DrawParamsList_Shape
} representation tuple

type DrawParamsList_Shape union {
  | DrawParamsList_Shape_Name string
  | DrawParamsList_Shape_Case map
} representation kinded

type DrawParamsList_Shape_Name enum {
  | Dot ("dot")
}

type DrawParamsList_Shape_Case union {
  | Float "circle"
} representation keyed

"#;
    let schema = signature.ipld_schema("Draw");
    assert!(schema.starts_with(expected), "{schema}");
    let end = "type DrawResult union {\n  | Bytes \"ok\"\n  | DrawResult_Error \"error\"\n} representation keyed\n\n\
        type DrawResult_Error unit representation null\n";
    assert!(schema.ends_with(end), "{schema}");

    let json_schema = signature.json_schema();
    let parse = |text: &str| json(&dagjson::decode(text.as_bytes()).unwrap());
    for good in [
        r#"{"params": ["a", null]}"#,
        r#"{"params": {"file-name": "a"}}"#,
        r#"{"params": ["a", "dot"], "result": {"ok": {"/": {"bytes": "AQ"}}}}"#,
        r#"{"params": ["a", {"circle": 1}], "result": {"error": null}}"#,
    ] {
        assert!(valid(&json_schema, &parse(good)), "{good}");
    }
    for bad in [
        r#"{"result": null}"#,
        r#"{"params": ["a"]}"#,
        r#"{"params": {"shape": null}}"#,
        r#"{"params": {"file-name": "a", "more": 1}}"#,
        r#"{"params": ["a", "circle"]}"#,
        r#"{"params": ["a", null], "result": {"ok": "AQ"}}"#,
    ] {
        assert!(!valid(&json_schema, &parse(bad)), "{bad}");
    }
}
