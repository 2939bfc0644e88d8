//! Calls whose results are known, and arguments that are refused.

use ipvm_task::{CallError, Limits};

use crate::{GUESTS, agreed, export, json};

/// Function, arguments and result, in DAG-JSON.
pub(crate) const RESULTS: &[(&str, &str, &str)] = &[
    ("echo-bool", "[true]", "true"),
    ("echo-bool", "[false]", "false"),
    ("echo-char", r#"["\u0000"]"#, r#""\u0000""#),
    ("echo-char", r#"["\uffff"]"#, r#""\uffff""#),
    ("echo-char", r#"["🦀"]"#, r#""🦀""#),
    ("echo-string", r#"[""]"#, r#""""#),
    ("echo-string", r#"["a\u0000b — 🦀\ud7ff\ue000"]"#, r#""a\u0000b — 🦀\ud7ff\ue000""#),
    (
        "echo-integers",
        "[[-128, 255, -32768, 65535, -2147483648, 4294967295]]",
        "[-128, 255, -32768, 65535, -2147483648, 4294967295]",
    ),
    ("echo-integers", "[[127, 0, 32767, 0, 2147483647, 0]]", "[127, 0, 32767, 0, 2147483647, 0]"),
    ("echo-s64", "[-9007199254740991]", "-9007199254740991"),
    ("echo-u64", "[9007199254740991]", "9007199254740991"),
    ("echo-floats", "[[0.5, 0.1]]", "[0.5, 0.1]"),
    ("echo-floats", "[[-0.0, -0.0]]", "[-0.0, -0.0]"),
    (
        "echo-floats",
        "[[3.4028234663852886e38, 1.7976931348623157e308]]",
        "[3.4028234663852886e38, 1.7976931348623157e308]",
    ),
    ("echo-floats", "[[1.401298464324817e-45, 5e-324]]", "[1.401298464324817e-45, 5e-324]"),
    ("echo-floats", "[[1, 2]]", "[1.0, 2.0]"),
    ("echo-bytes", r#"[{"/": {"bytes": ""}}]"#, r#"{"/": {"bytes": ""}}"#),
    ("echo-bytes", r#"[{"/": {"bytes": "AP+A"}}]"#, r#"{"/": {"bytes": "AP+A"}}"#),
    ("echo-numbers", "[[]]", "[]"),
    ("echo-numbers", "[[-1, 0, 4294967296]]", "[-1, 0, 4294967296]"),
    ("echo-blobs", r#"[[]]"#, r#"[]"#),
    (
        "echo-blobs",
        r#"[[{"/": {"bytes": ""}}, {"/": {"bytes": "AAE"}}]]"#,
        r#"[{"/": {"bytes": ""}}, {"/": {"bytes": "AAE"}}]"#,
    ),
    (
        "echo-person",
        r#"[{"name": "Ada", "age": 36, "home": {"street": "St James's Square", "number": 12}, "tags": ["a", ""],
             "favourite": "dark-blue"}]"#,
        r#"{"name": "Ada", "age": 36, "home": {"street": "St James's Square", "number": 12}, "tags": ["a", ""],
            "favourite": "dark-blue"}"#,
    ),
    (
        "echo-person",
        r#"[{"name": "", "age": 0, "home": {"street": ""}, "tags": []}]"#,
        r#"{"name": "", "age": 0, "home": {"street": "", "number": null}, "tags": [], "favourite": null}"#,
    ),
    ("echo-shape", r#"["dot"]"#, r#""dot""#),
    ("echo-shape", r#"[{"circle": 4294967295}]"#, r#"{"circle": 4294967295}"#),
    ("echo-shape", r#"[{"rectangle": [1, 2]}]"#, r#"{"rectangle": [1, 2]}"#),
    ("echo-shape", r#"[{"polygon": [{"x": -1, "y": 1}]}]"#, r#"{"polygon": [{"x": -1, "y": 1}]}"#),
    ("echo-shape", r#"[{"label": "dot"}]"#, r#"{"label": "dot"}"#),
    ("echo-color", r#"["dark-blue"]"#, r#""dark-blue""#),
    ("echo-permissions", "[[]]", "[]"),
    (
        "echo-permissions",
        r#"[["append", "create", "delete", "link-to", "list-all", "lock", "move-to", "read", "unlock", "write"]]"#,
        r#"["append", "create", "delete", "link-to", "list-all", "lock", "move-to", "read", "unlock", "write"]"#,
    ),
    ("echo-permissions", r#"[["read", "unlock"]]"#, r#"["read", "unlock"]"#),
    ("echo-nested", "[[]]", "[]"),
    ("echo-nested", "[[null]]", "[null]"),
    ("echo-nested", "[[-7]]", "[-7]"),
    (
        "echo-outcomes",
        r#"[[{"ok": null}, {"ok": 7}, {"ok": null}, {"ok": {"/": {"bytes": "AA"}}}]]"#,
        r#"[{"ok": null}, {"ok": 7}, {"ok": null}, {"ok": {"/": {"bytes": "AA"}}}]"#,
    ),
    (
        "echo-outcomes",
        r#"[[{"error": null}, {"error": null}, {"error": "no"}, {"error": ""}]]"#,
        r#"[{"error": null}, {"error": null}, {"error": "no"}, {"error": ""}]"#,
    ),
    ("nothing", "[]", "null"),
    ("sum", "[[]]", "0"),
    ("sum", "[[1, 2, -4]]", "-1"),
    ("sum-decimal", "[[]]", r#"{"ok": "0"}"#),
    ("sum-decimal", r#"[["9223372036854775807", "1"]]"#, r#"{"ok": "-9223372036854775808"}"#),
    ("sum-decimal", r#"[["-9223372036854775808", "-1"]]"#, r#"{"ok": "9223372036854775807"}"#),
    ("sum-decimal", r#"[["-9223372036854775808", "0"]]"#, r#"{"ok": "-9223372036854775808"}"#),
    ("sum-decimal", r#"[["9007199254740993"]]"#, r#"{"ok": "9007199254740993"}"#),
    ("sum-decimal", r#"[["-0", "007"]]"#, r#"{"ok": "7"}"#),
    ("sum-decimal", r#"[["1", "9223372036854775808", "x"]]"#, r#"{"error": "9223372036854775808"}"#),
    ("sum-decimal", r#"[["-9223372036854775809"]]"#, r#"{"error": "-9223372036854775809"}"#),
    ("sum-decimal", r#"[["00000000000000000001"]]"#, r#"{"error": "00000000000000000001"}"#),
    ("sum-decimal", r#"[["-"]]"#, r#"{"error": "-"}"#),
    ("sum-decimal", r#"[[""]]"#, r#"{"error": ""}"#),
    ("sum-decimal", r#"[["+1"]]"#, r#"{"error": "+1"}"#),
    ("sum-decimal", r#"[["--1"]]"#, r#"{"error": "--1"}"#),
    ("sum-decimal", r#"[["1_0"]]"#, r#"{"error": "1_0"}"#),
    ("sum-decimal", r#"[["0x1"]]"#, r#"{"error": "0x1"}"#),
    ("sum-decimal", r#"[[" 1"]]"#, r#"{"error": " 1"}"#),
    ("sum-decimal", r#"[["1\n"]]"#, r#"{"error": "1\n"}"#),
    ("sum-decimal", r#"[["٣"]]"#, r#"{"error": "٣"}"#),
    (
        "sum-halves",
        r#"[[{"high": 2147483647, "low": 4294967295}, {"high": 0, "low": 1}]]"#,
        r#"{"high": -2147483648, "low": 0}"#,
    ),
    ("sum-halves", r#"[[{"high": 2097152, "low": 0}, {"high": 0, "low": 1}]]"#, r#"{"high": 2097152, "low": 1}"#),
    ("sum-halves", r#"[[{"high": -1, "low": 4294967295}]]"#, r#"{"high": -1, "low": 4294967295}"#),
    ("mean", "[[]]", "null"),
    ("mean", "[[-0.0]]", "0.0"),
    ("mean", "[[0.1, 0.2, 0.3]]", "0.20000000000000004"),
    // A sum that compensates for rounding would give 0.5.
    ("mean", "[[1e16, 1.0, 1.0, -1e16]]", "0.0"),
    ("scale", "[[0.10000000149011612, 16777216], 3]", "[0.30000001192092896, 50331648.0]"),
    ("scale", "[[1.401298464324817e-45], 0.5]", "[0.0]"),
    ("scale", "[[-1.0], 0.0]", "[-0.0]"),
    ("reverse", r#"[""]"#, r#""""#),
    ("reverse", r#"["aé🦀e\u0301z"]"#, r#""z\u0301e🦀éa""#),
    ("crc32", r#"[{"/": {"bytes": ""}}]"#, "0"),
    ("crc32", r#"[{"/": {"bytes": "MTIzNDU2Nzg5"}}]"#, "3421780262"),
    ("sort", "[[]]", "[]"),
    // In UTF-16 the crab, a pair of surrogates, comes before U+FFFD.
    (
        "sort",
        r#"[["\ufffd", "🦀", "b", "", "ab", "a", "b", "Z", "é"]]"#,
        r#"["", "Z", "a", "ab", "b", "b", "é", "\ufffd", "🦀"]"#,
    ),
    ("count-words", r#"[""]"#, "[]"),
    ("count-words", r#"[" \t\n\u000b\f\r"]"#, "[]"),
    // Neither the separator of files nor a space that does not break is white space here.
    ("count-words", r#"["b a\tb\u001cb a\u00a0a"]"#, r#"[["a", 1], ["a\u00a0a", 1], ["b", 1], ["b\u001cb", 1]]"#),
    (
        "count-words",
        r#"["🦀 \ufffd toString 🦀 __proto__"]"#,
        r#"[["__proto__", 1], ["toString", 1], ["\ufffd", 1], ["🦀", 2]]"#,
    ),
    ("describe", r#"["dot"]"#, r#""dot""#),
    ("describe", r#"[{"circle": 4294967295}]"#, r#""circle of radius 4294967295""#),
    ("describe", r#"[{"rectangle": [0, 10]}]"#, r#""rectangle of 0 by 10""#),
    ("describe", r#"[{"polygon": [{"x": 0, "y": 0}]}]"#, r#""polygon of 1 points""#),
    ("describe", r#"[{"label": ""}]"#, r#""label with ""#),
    ("unite", r#"[["read", "write"], ["unlock", "write"]]"#, r#"["read", "unlock", "write"]"#),
    ("divide", "[-7, 2]", r#"{"ok": -3}"#),
    ("divide", "[7, -2]", r#"{"ok": -3}"#),
    ("divide", "[-1, 2]", r#"{"ok": 0}"#),
    ("divide", "[1, 0]", r#"{"error": "by-zero"}"#),
    ("divide", "[-2147483648, -1]", r#"{"error": "overflow"}"#),
    ("divide", "[-2147483648, 1]", r#"{"ok": -2147483648}"#),
    ("find", r#"[[], ""]"#, "null"),
    (
        "find",
        r#"[[{"name": "a", "age": 1, "tags": []}, {"name": "b", "age": 2, "tags": ["x"], "favourite": "red"},
             {"name": "b", "age": 3, "tags": []}], "b"]"#,
        r#"{"name": "b", "age": 2, "home": null, "tags": ["x"], "favourite": "red"}"#,
    ),
];

/// Function, arguments, and which of them are refused.
const REFUSED: &[(&str, &str, &str)] = &[
    ("echo-bool", "[0]", "params[0]"),
    ("echo-char", r#"["ab"]"#, "params[0]"),
    ("echo-string", "[null]", "params[0]"),
    ("echo-integers", "[[128, 0, 0, 0, 0, 0]]", "params[0][0]"),
    ("echo-integers", "[[0, 0, 0, 0, 0]]", "params[0]"),
    ("echo-s64", "[9223372036854775808]", "params[0]"),
    ("echo-u64", "[-1]", "params[0]"),
    ("echo-floats", "[[0.1, 0.1]]", "params[0][0]"),
    ("echo-bytes", "[[1, 2]]", "params[0]"),
    ("echo-numbers", r#"[["1"]]"#, "params[0][0]"),
    ("echo-blobs", "[[[1]]]", "params[0][0]"),
    ("echo-person", r#"[{"name": "a", "age": 256, "tags": []}]"#, "params[0].age"),
    ("echo-person", r#"[{"name": "a", "age": 1, "tags": [], "email": ""}]"#, "params[0]"),
    ("echo-shape", r#"["circle"]"#, "params[0]"),
    ("echo-color", r#"["blue"]"#, "params[0]"),
    ("echo-permissions", r#"[["write", "read"]]"#, "params[0][1]"),
    ("echo-nested", "[1]", "params[0]"),
    ("echo-outcomes", r#"[[{"ok": 1}, {"ok": 7}, {"ok": null}, {"error": ""}]]"#, "params[0][0].ok"),
    ("nothing", "[1]", "params"),
    ("divide", "[1]", "params"),
    ("divide", r#"{"dividend": 1, "divider": 1}"#, "params"),
];

#[test]
fn every_guest_gives_the_known_results() {
    for &(fun, params, expected) in RESULTS {
        let found = agreed(GUESTS.iter(), fun, &json(params));
        let found = found.unwrap_or_else(|error| panic!("{fun} of {params}: {error}"));
        assert_eq!(
            ucan_core::dagcbor::encode(&found),
            ucan_core::dagcbor::encode(&json(expected)),
            "{fun} of {params}: {found:?}"
        );
    }
}

#[test]
fn every_function_is_in_the_table() {
    for (name, _) in GUESTS[0].component.exports() {
        assert!(RESULTS.iter().any(|(fun, ..)| export(fun) == name), "{name}");
    }
}

#[test]
fn infinities_are_refused_of_every_guest() {
    for (fun, params) in
        [("mean", "[[1.7976931348623157e308, 1.7976931348623157e308]]"), ("scale", "[[3.4028234663852886e38], 2.0]")]
    {
        let error = agreed(GUESTS.iter(), fun, &json(params)).unwrap_err();
        assert!(matches!(error, CallError::ResultMismatch(_)), "{fun}: {error:?}");
    }
}

#[test]
fn arguments_of_the_wrong_kind_are_refused_before_a_guest_starts() {
    // A guest that started would run out of it.
    let limits = Limits { fuel: 0, ..Limits::STANDARD };
    for guest in GUESTS.iter() {
        for &(fun, params, place) in REFUSED {
            let error = guest.component.call(&export(fun), &json(params), &limits).unwrap_err();
            assert!(matches!(error, CallError::ArgumentMismatch(_)), "{fun} of {params}: {error:?}");
            let error = error.to_string();
            assert_eq!(error.split(": ").next(), Some(place), "{fun} of {params} in {}: {error}", guest.language);
        }
        let started = guest.component.call(&export("echo-u64"), &json("[1]"), &limits);
        assert_eq!(started, Err(CallError::OutOfFuel { limit: 0 }), "{}", guest.language);
    }
}
