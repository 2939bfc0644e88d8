//! Each row of the table of rules, with its edges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipld_wit::{
    ArgumentError, ConvertError, Ipld, Mismatch, Signature, Type, Value, check, encoded_len, to_ipld, to_value,
};

fn text(it: &str) -> Ipld {
    Ipld::String(it.to_owned())
}

fn list(items: impl IntoIterator<Item = Ipld>) -> Ipld {
    Ipld::List(items.into_iter().collect())
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

fn some(value: Value) -> Value {
    Value::Option(Some(Box::new(value)))
}

/// Accepted, and written again as the same IPLD.
#[track_caller]
fn same(ipld: &Ipld, ty: &Type, value: &Value) {
    accepted(ipld, ty, value, ipld);
}

/// Accepted as `value`, which is written as `canonical`, which is `value` again.
#[track_caller]
fn accepted(ipld: &Ipld, ty: &Type, value: &Value, canonical: &Ipld) {
    assert_eq!(to_value(ipld, ty).as_ref(), Ok(value), "reading {ipld:?} as {ty}");
    assert_eq!(check(ipld, ty), Ok(()));
    assert_eq!(to_ipld(value, ty).as_ref(), Ok(canonical), "writing {value:?} as {ty}");
    assert_eq!(to_value(canonical, ty).as_ref(), Ok(value), "reading {canonical:?} as {ty}");
}

#[track_caller]
fn refused(ipld: &Ipld, ty: &Type) -> Mismatch {
    let error: ConvertError = to_value(ipld, ty).expect_err("must be refused");
    assert_eq!(check(ipld, ty), Err(error.clone()));
    error.mismatch
}

#[test]
fn bool_and_string_are_as_expected() {
    same(&Ipld::Bool(true), &Type::Bool, &Value::Bool(true));
    same(&text("null"), &Type::String, &Value::String("null".into()));
    same(&text(""), &Type::String, &Value::String(String::new()));
    for other in [Ipld::Null, Ipld::Integer(1), text("true"), Ipld::Bytes(vec![1])] {
        assert!(matches!(refused(&other, &Type::Bool), Mismatch::Kind { .. }));
    }
    for other in [Ipld::Null, Ipld::Integer(1), Ipld::Bytes(b"text".to_vec())] {
        assert!(matches!(refused(&other, &Type::String), Mismatch::Kind { .. }));
    }
}

#[test]
fn a_char_is_one_scalar_value() {
    same(&text("é"), &Type::Char, &Value::Char('é'));
    same(&text("🦀"), &Type::Char, &Value::Char('🦀'));
    assert_eq!(refused(&text(""), &Type::Char), Mismatch::NotOneChar { found: 0 });
    // One character to a reader, two scalar values.
    assert_eq!(refused(&text("e\u{301}"), &Type::Char), Mismatch::NotOneChar { found: 2 });
}

#[test]
fn integers_by_range() {
    let cases: [(Type, i128, i128); 8] = [
        (Type::S8, i8::MIN.into(), i8::MAX.into()),
        (Type::U8, 0, u8::MAX.into()),
        (Type::S16, i16::MIN.into(), i16::MAX.into()),
        (Type::U16, 0, u16::MAX.into()),
        (Type::S32, i32::MIN.into(), i32::MAX.into()),
        (Type::U32, 0, u32::MAX.into()),
        (Type::S64, i64::MIN.into(), i64::MAX.into()),
        (Type::U64, 0, u64::MAX.into()),
    ];
    for (ty, min, max) in cases {
        for good in [min, max, 0, 1] {
            let value = to_value(&Ipld::Integer(good), &ty).unwrap();
            assert_eq!(to_ipld(&value, &ty).unwrap(), Ipld::Integer(good));
        }
        for bad in [min - 1, max + 1, i128::MIN, i128::MAX] {
            assert!(matches!(refused(&Ipld::Integer(bad), &ty), Mismatch::OutOfRange { .. }), "{bad} as {ty}");
        }
    }
}

#[test]
fn a_float_stands_for_an_integer_if_it_is_one() {
    accepted(&Ipld::Float(1.0), &Type::U8, &Value::U8(1), &Ipld::Integer(1));
    accepted(&Ipld::Float(-0.0), &Type::U8, &Value::U8(0), &Ipld::Integer(0));
    let two_to_63 = 9_223_372_036_854_775_808.0;
    accepted(&Ipld::Float(-two_to_63), &Type::S64, &Value::S64(i64::MIN), &Ipld::Integer(i64::MIN.into()));
    assert!(matches!(refused(&Ipld::Float(two_to_63), &Type::S64), Mismatch::OutOfRange { .. }));
    assert!(matches!(refused(&Ipld::Float(2.0 * two_to_63), &Type::U64), Mismatch::OutOfRange { .. }));
    assert!(matches!(refused(&Ipld::Float(1e300), &Type::S64), Mismatch::OutOfRange { .. }));
    assert!(matches!(refused(&Ipld::Float(1.5), &Type::S64), Mismatch::Inexact { .. }));
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(refused(&Ipld::Float(odd), &Type::S64), Mismatch::Kind { .. }));
    }
}

#[test]
fn an_integer_stands_for_a_float_if_it_is_exact() {
    let exact = |integer: i128, float: f64| {
        accepted(&Ipld::Integer(integer), &Type::F64, &Value::F64(float), &Ipld::Float(float));
    };
    exact(1, 1.0);
    exact(1 << 53, 9_007_199_254_740_992.0);
    exact((1 << 53) + 2, 9_007_199_254_740_994.0);
    exact(i64::MIN.into(), -9_223_372_036_854_775_808.0);
    for inexact in [(1 << 53) + 1, i64::MAX.into(), u64::MAX.into(), i128::MAX] {
        assert!(matches!(refused(&Ipld::Integer(inexact), &Type::F64), Mismatch::Inexact { .. }));
    }
    accepted(&Ipld::Integer(1 << 24), &Type::F32, &Value::F32(16_777_216.0), &Ipld::Float(16_777_216.0));
    assert!(matches!(refused(&Ipld::Integer((1 << 24) + 1), &Type::F32), Mismatch::Inexact { .. }));
}

#[test]
fn floats_are_finite_and_never_rounded() {
    same(&Ipld::Float(0.1), &Type::F64, &Value::F64(0.1));
    same(&Ipld::Float(f64::from(0.1_f32)), &Type::F32, &Value::F32(0.1));
    same(&Ipld::Float(f64::from(f32::MIN_POSITIVE)), &Type::F32, &Value::F32(f32::MIN_POSITIVE));
    assert!(matches!(refused(&Ipld::Float(0.1), &Type::F32), Mismatch::Inexact { .. }));
    assert!(matches!(refused(&Ipld::Float(1e39), &Type::F32), Mismatch::Inexact { .. }));
    for ty in [Type::F32, Type::F64] {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(refused(&Ipld::Float(odd), &ty), Mismatch::NotFinite { .. }));
        }
    }
    let error = to_ipld(&Value::F32(f32::NAN), &Type::F32).unwrap_err();
    assert_eq!(error.mismatch, Mismatch::NotFinite { found: "NaN".into() });
    assert!(to_ipld(&Value::F64(f64::INFINITY), &Type::F64).is_err());
    // The sign of zero survives.
    let zero = to_value(&Ipld::Float(-0.0), &Type::F32).unwrap();
    assert!(matches!(zero, Value::F32(it) if it.is_sign_negative()));
}

#[test]
fn a_list_of_u8_is_bytes() {
    same(&Ipld::Bytes(vec![0, 255]), &Type::bytes(), &Value::Bytes(vec![0, 255]));
    same(&Ipld::Bytes(vec![]), &Type::bytes(), &Value::Bytes(vec![]));
    refused(&list([]), &Type::bytes());
    refused(&list([Ipld::Integer(1)]), &Type::bytes());
    refused(&text("AAA="), &Type::bytes());
    // No other list is.
    refused(&Ipld::Bytes(vec![]), &Type::list(Type::S8));
    same(&list([Ipld::Integer(1)]), &Type::list(Type::U16), &Value::List(vec![Value::U16(1)]));
    let nested = Type::list(Type::bytes());
    same(&list([Ipld::Bytes(vec![7])]), &nested, &Value::List(vec![Value::Bytes(vec![7])]));
    // A list of bytes that some other runtime spells out is written as bytes too.
    assert_eq!(to_ipld(&Value::List(vec![Value::U8(3)]), &Type::bytes()).unwrap(), Ipld::Bytes(vec![3]));
}

#[test]
fn tuples_have_an_exact_length() {
    let pair = Type::tuple([Type::U8, Type::String]);
    same(&list([Ipld::Integer(1), text("a")]), &pair, &Value::Tuple(vec![Value::U8(1), Value::String("a".into())]));
    for found in [0, 1, 3] {
        let error = refused(&list(vec![Ipld::Integer(1); found]), &pair);
        assert!(matches!(error, Mismatch::Length { found: it, .. } if it == found));
    }
}

#[test]
fn records_are_maps_by_field_name() {
    let ty = Type::record([("name", Type::String), ("age", Type::option(Type::U8))]);
    let value =
        |age| Value::Record(vec![("name".into(), Value::String("Ada".into())), ("age".into(), Value::Option(age))]);
    same(&map([("name", text("Ada")), ("age", Ipld::Integer(36))]), &ty, &value(Some(Box::new(Value::U8(36)))));
    let canonical = map([("name", text("Ada")), ("age", Ipld::Null)]);
    same(&canonical, &ty, &value(None));
    accepted(&map([("name", text("Ada"))]), &ty, &value(None), &canonical);
    assert_eq!(refused(&map([]), &ty), Mismatch::MissingField { name: "name".into() });
    let error = refused(&map([("name", text("Ada")), ("agee", Ipld::Null)]), &ty);
    assert_eq!(error, Mismatch::UnknownField { name: "agee".into(), nearest: Some("age".into()) });
    // A slip of the pen is reported as such, not as a missing field.
    let error = refused(&map([("nmae", text("Ada"))]), &ty);
    assert_eq!(error, Mismatch::UnknownField { name: "nmae".into(), nearest: Some("name".into()) });
    refused(&list([text("Ada"), Ipld::Null]), &ty);
}

#[test]
fn variants_are_single_key_maps_or_names() {
    let ty = Type::variant([("dot", None), ("circle", Some(Type::F64)), ("maybe", Some(Type::option(Type::U8)))]);
    same(&text("dot"), &ty, &Value::Variant("dot".into(), None));
    same(&map([("circle", Ipld::Float(0.5))]), &ty, &Value::Variant("circle".into(), Some(Box::new(Value::F64(0.5)))));
    same(&map([("maybe", Ipld::Null)]), &ty, &Value::Variant("maybe".into(), Some(Box::new(Value::Option(None)))));
    assert_eq!(refused(&map([("dot", Ipld::Null)]), &ty), Mismatch::UnexpectedPayload { name: "dot".into() });
    assert_eq!(refused(&text("circle"), &ty), Mismatch::MissingPayload { name: "circle".into() });
    let error = refused(&map([("cirle", Ipld::Float(1.0))]), &ty);
    assert_eq!(error, Mismatch::UnknownName { name: "cirle".into(), nearest: vec!["circle".into()] });
    refused(&map([]), &ty);
    refused(&map([("circle", Ipld::Float(1.0)), ("maybe", Ipld::Null)]), &ty);
    refused(&Ipld::Null, &ty);
}

#[test]
fn enums_are_names() {
    let ty = Type::enumeration(["hearts", "spades"]);
    same(&text("spades"), &ty, &Value::Enum("spades".into()));
    let error = refused(&text("heart"), &ty);
    assert_eq!(error, Mismatch::UnknownName { name: "heart".into(), nearest: vec!["hearts".into()] });
    assert_eq!(refused(&text("Q"), &ty), Mismatch::UnknownName { name: "Q".into(), nearest: vec![] });
    refused(&Ipld::Integer(0), &ty);
    assert!(to_ipld(&Value::Enum("clubs".into()), &ty).is_err());
}

#[test]
fn options_are_null_or_the_value_and_lists_where_null_is_taken() {
    let one = Type::option(Type::U8);
    let two = Type::option(one.clone());
    let three = Type::option(two.clone());
    let four = Type::option(three.clone());
    let null = || Ipld::Null;
    let none = || Value::Option(None);
    let int = || Ipld::Integer(1);
    let byte = || Value::U8(1);

    same(&null(), &one, &none());
    same(&int(), &one, &some(byte()));

    same(&list([]), &two, &none());
    same(&list([null()]), &two, &some(none()));
    same(&list([int()]), &two, &some(some(byte())));
    refused(&null(), &two);
    refused(&int(), &two);
    assert!(matches!(refused(&list([int(), int()]), &two), Mismatch::Length { found: 2, .. }));

    same(&null(), &three, &none());
    same(&list([]), &three, &some(none()));
    same(&list([null()]), &three, &some(some(none())));
    same(&list([int()]), &three, &some(some(some(byte()))));

    same(&list([]), &four, &none());
    same(&list([null()]), &four, &some(none()));
    same(&list([list([])]), &four, &some(some(none())));

    // A list of options needs no list form of its own, and bytes stay bytes.
    same(&list([null(), int()]), &Type::list(one), &Value::List(vec![none(), some(byte())]));
    same(&Ipld::Bytes(vec![]), &Type::option(Type::bytes()), &some(Value::Bytes(vec![])));
    // A missing field of a nested option is none.
    let record = Type::record([("deep", two)]);
    accepted(&map([]), &record, &Value::Record(vec![("deep".into(), none())]), &map([("deep", list([]))]));
}

#[test]
fn results_are_as_in_receipts() {
    let ok = |payload: Option<Value>| Value::Result(Ok(payload.map(Box::new)));
    let err = |payload: Option<Value>| Value::Result(Err(payload.map(Box::new)));

    let both = Type::result(Some(Type::U8), Some(Type::String));
    same(&map([("ok", Ipld::Integer(1))]), &both, &ok(Some(Value::U8(1))));
    same(&map([("error", text("no"))]), &both, &err(Some(Value::String("no".into()))));
    refused(&map([("err", text("no"))]), &both);
    refused(&map([("ok", Ipld::Integer(1)), ("error", text("no"))]), &both);
    refused(&Ipld::Integer(1), &both);

    let neither = Type::result(None, None);
    same(&map([("ok", Ipld::Null)]), &neither, &ok(None));
    same(&map([("error", Ipld::Null)]), &neither, &err(None));
    refused(&map([("ok", Ipld::Integer(0))]), &neither);
    refused(&text("ok"), &neither);

    // An absent payload and an absent option look alike, but never at the same place.
    let maybe = Type::result(Some(Type::option(Type::U8)), None);
    same(&map([("ok", Ipld::Null)]), &maybe, &ok(Some(Value::Option(None))));
    same(&map([("error", Ipld::Null)]), &maybe, &err(None));
}

#[test]
fn flags_are_names_in_bytewise_order() {
    let ty = Type::flags(["write", "read", "exec"]);
    let set = |names: &[&str]| Value::Flags(names.iter().map(|&it| it.to_owned()).collect());
    same(&list([]), &ty, &set(&[]));
    same(&list([text("exec"), text("read"), text("write")]), &ty, &set(&["write", "read", "exec"]));
    let error = refused(&list([text("write"), text("read")]), &ty);
    assert_eq!(error, Mismatch::FlagOrder { name: "read".into() });
    assert!(matches!(refused(&list([text("read"), text("read")]), &ty), Mismatch::FlagOrder { .. }));
    let error = refused(&list([text("reed")]), &ty);
    assert_eq!(error, Mismatch::UnknownName { name: "reed".into(), nearest: vec!["read".into()] });
    refused(&text("read"), &ty);
}

#[test]
fn links_stand_for_nothing_else() {
    let cid = "bafkreicgincymfzzumcqcrpmquyildzqppa3s2gv3scfy2csaqpgqpp7ke";
    let link = Ipld::Link(cid.parse().unwrap());
    refused(&link, &Type::String);
    refused(&link, &Type::bytes());
    same(&text(cid), &Type::String, &Value::String(cid.into()));
}

#[test]
fn an_error_says_where_what_was_expected_and_what_was_found() {
    let post = Type::record([("title", Type::String), ("tags", Type::list(Type::enumeration(["red", "green"])))]);
    let signature = Signature { params: vec![("id".into(), Type::U32), ("post".into(), post)], result: None };
    let post = map([("title", text("t")), ("tags", list([text("red"), text("gren")]))]);

    let error = signature.check(&list([Ipld::Integer(1), post.clone()])).unwrap_err();
    let expected = "params[1].tags[1]: expected enum { red, green }, there is no `gren` (did you mean `green`?)";
    assert_eq!(error.to_string(), expected);
    let error = signature.check(&map([("id", Ipld::Integer(1)), ("post", post)])).unwrap_err();
    assert!(error.to_string().starts_with("params.post.tags[1]: "), "{error}");

    let odd = Type::record([("a b", Type::U8)]);
    let error = to_value(&map([("a b", text("x"))]), &odd).unwrap_err();
    assert_eq!(error.to_string(), "value[\"a b\"]: expected u8, found the string \"x\"");
}

#[test]
fn arguments_are_a_list_or_a_map_by_name() {
    let params = vec![("text".to_owned(), Type::String), ("limit".to_owned(), Type::option(Type::U8))];
    let signature = Signature { params, result: Some(Type::list(Type::String)) };
    let values = vec![Value::String("a".into()), Value::Option(None)];
    assert_eq!(signature.values(&list([text("a"), Ipld::Null])).as_ref(), Ok(&values));
    assert_eq!(signature.values(&map([("text", text("a")), ("limit", Ipld::Null)])).as_ref(), Ok(&values));
    assert_eq!(signature.values(&map([("text", text("a"))])).as_ref(), Ok(&values));

    // Positions cannot be left out, names of required parameters neither.
    let error = signature.check(&list([text("a")])).unwrap_err();
    let expected = "params: expected 2 arguments, found 1, for func(text: string, limit: option<u8>) -> list<string>";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(signature.check(&map([])), Err(ArgumentError::Missing { name, .. }) if name == "text"));
    let unknown = signature.check(&map([("text", text("a")), ("limits", Ipld::Null)]));
    assert_eq!(unknown, Err(ArgumentError::Unknown { name: "limits".into(), nearest: Some("limit".into()) }));
    assert!(matches!(signature.check(&text("a")), Err(ArgumentError::NotArguments { .. })));

    let nothing = Signature { params: vec![], result: None };
    assert_eq!(nothing.check(&list([])), Ok(()));
    assert_eq!(nothing.check(&map([])), Ok(()));
    assert_eq!(nothing.to_string(), "func()");
}

#[test]
fn a_value_of_another_type_is_refused_when_it_is_written() {
    let record = Type::record([("a", Type::U8)]);
    let field = |name: &str| (name.to_owned(), Value::U8(1));
    assert!(to_ipld(&Value::Record(vec![field("a")]), &record).is_ok());
    for wrong in [vec![], vec![field("b")], vec![field("a"), field("b")], vec![field("a"), field("a")]] {
        assert!(to_ipld(&Value::Record(wrong), &record).is_err());
    }
    for wrong in [Value::U16(1), Value::Bool(true), Value::List(vec![]), Value::Option(None)] {
        assert!(to_ipld(&wrong, &Type::U8).is_err());
    }
    let error = to_ipld(&Value::List(vec![Value::U16(1), Value::U8(1)]), &Type::list(Type::U16)).unwrap_err();
    assert_eq!(error.to_string(), "value[1]: expected u16, found U8(1)");
}

#[test]
fn the_encoded_length_is_known_beforehand() {
    let len = |value: Value, ty: &Type| encoded_len(&value, ty).unwrap();
    assert_eq!(len(Value::U64(23), &Type::U64), 1);
    assert_eq!(len(Value::U64(24), &Type::U64), 2);
    assert_eq!(len(Value::U64(u64::MAX), &Type::U64), 9);
    assert_eq!(len(Value::S64(-24), &Type::S64), 1);
    assert_eq!(len(Value::S64(-256), &Type::S64), 2);
    assert_eq!(len(Value::S64(-257), &Type::S64), 3);
    assert_eq!(len(Value::F32(1.0), &Type::F32), 9);
    assert_eq!(len(Value::Bytes(vec![0; 300]), &Type::bytes()), 303);
    assert_eq!(len(Value::Result(Ok(None)), &Type::result(None, None)), 1 + 3 + 1);
}
