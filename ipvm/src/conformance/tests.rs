use super::*;

fn lines(input: &[u8]) -> Vec<String> {
    let mut output = Vec::new();
    serve(input, &mut output).unwrap();
    String::from_utf8(output).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn every_line_gets_one_answer_in_order() {
    let answers = lines(b"{\"id\":1,\"op\":\"policy\",\"policy\":[],\"args\":{}}\nno\n\n{\"id\":\"x\",\"op\":7}");
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0], r#"{"id":1,"ok":true}"#);
    for (answer, id) in answers[1..].iter().zip(["null", "null", "\"x\""]) {
        assert!(answer.starts_with(&format!(r#"{{"id":{id},"error":{{"message":"#)), "{answer}");
        assert!(answer.ends_with(r#""name":"MalformedRequest"}}"#), "{answer}");
    }
}

#[test]
fn ids_come_back_as_they_were_written() {
    for id in [
        "null",
        "1.50",
        "1e400",
        "\"\\u00e4\"",
        "{\"/\": \"not a CID\", \"a\": [1, 1]}",
        "123456789012345678901234567890",
    ] {
        let answer = answer(format!(r#"{{"op":"policy","policy":[],"args":{{}},"id": {id} }}"#).as_bytes());
        match id {
            // JSON, and beyond what its readers can hold.
            "1e400" => assert!(answer.starts_with(r#"{"id":null,"error""#), "{answer}"),
            _ => assert_eq!(answer, format!(r#"{{"id":{id},"ok":true}}"#)),
        }
    }
}

#[test]
fn what_is_not_an_object_is_refused() {
    for bad in [
        "",
        "[]",
        "1",
        "{",
        "{}x",
        "{\"id\"}",
        "{\"id\":1,}",
        "{\"id\":}",
        "{\"id\":[1}",
        "{\"id\":1]",
        "{\"a\":\"}",
        "\u{feff}{}",
        "{\"id\":1 2}",
    ] {
        let answer = answer(bad.as_bytes());
        assert!(answer.starts_with(r#"{"id":null,"error":"#) && answer.contains("MalformedRequest"), "{bad}: {answer}");
    }
    assert!(answer(&[b'{', 0xff]).contains("not UTF-8 at byte 1"));
    assert!(answer(br#"{"id":1,"op":"policy","op":"policy"}"#).contains("occurs twice"));
    assert!(answer(br#"{"id":1}"#).contains("`op` is missing"));
    assert!(answer(br#"{"id":1,"op":"juggle"}"#).contains("UnknownOperation"));
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let mut input = &b"12345\n123456\n1\n\n123456"[..];
    let mut lengths = Vec::new();
    while let Some(line) = next_line(&mut input, 5).unwrap() {
        lengths.push(match line {
            Line::Whole(line) => Some(line.len()),
            Line::TooLong => None,
        });
    }
    assert_eq!(lengths, [Some(5), None, Some(1), Some(0), None]);
}

#[test]
fn values_that_would_take_too_much_memory_are_refused_before_they_are_read() {
    let many = format!(r#"{{"id":1,"op":"selector","selector":".","data":[{}{{}}]}}"#, "{},".repeat(500_000));
    let answer = answer(many.as_bytes());
    assert!(answer.contains("LimitExceeded"), "{}", &answer[..100]);
    let deep = format!(r#"{{"id":1,"op":"selector","selector":".","data":{}{}}}"#, "[".repeat(9999), "]".repeat(9999));
    assert!(super::answer(deep.as_bytes()).contains("nested deeper"));
}

#[test]
fn numbers_are_exact_and_values_come_in_both_forms() {
    let select = |data: &str| answer(format!(r#"{{"id":0,"op":"selector","selector":".","data":{data}}}"#).as_bytes());
    for data in ["18446744073709551615", "1.0", "null", r#"{"/":{"bytes":"AQI"}}"#] {
        assert_eq!(select(data), format!(r#"{{"id":0,"ok":{{"value":{data}}}}}"#));
    }
    assert_eq!(select("\"gwECAw==\""), r#"{"id":0,"ok":{"value":[1,2,3]}}"#);
    assert_eq!(select("\"gwECAw\""), r#"{"id":0,"ok":{"value":[1,2,3]}}"#);
    assert!(select("\"gwECA\"").contains("MalformedRequest"));
    assert!(select("\"GAE\"").contains("NonCanonical"));
    assert!(select("{\"/\":\"x\"}").contains("MalformedRequest"));
}

#[test]
fn time_is_asked_for_where_it_matters() {
    let token = |rest: &str| answer(format!(r#"{{"id":4,"op":"delegation","token":"AAAA"{rest}}}"#).as_bytes());
    assert!(token("").contains("`now` is missing"));
    assert!(token(",\"now\":\"soon\"").contains("MalformedRequest"));
    assert!(token(",\"now\":1,\"skew\":-1").contains("MalformedRequest"));
    assert_eq!(
        token(",\"now\":1767225600"),
        r#"{"id":4,"error":{"message":"expected an array of two items at byte 0","name":"MalformedToken"}}"#
    );
}

#[test]
fn components_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/guests/shape.wasm");
    let ask = |component: &str, rest: &str| {
        answer(format!(r#"{{"id":1,"op":"wasm","component":{component:?},{rest}}}"#).as_bytes())
    };
    let text = folder.path().join("text.wasm");
    std::fs::write(&text, "(component)").unwrap();
    let text = text.to_str().unwrap();
    for (component, rest, expected) in [
        (guest, r#""fun":"nothing","params":[]"#, "NoSuchExport"),
        (guest, r#""fun":"measure","params":[]"#, "ArgumentMismatch"),
        (guest, r#""params":[]"#, "`fun` is missing"),
        (guest, r#""fun":"measure""#, "`params` is missing"),
        (guest, r#""fun":"measure","params":["a"],"fuel":1"#, "OutOfFuel"),
        (guest, r#""fun":"measure","params":["a"],"fuel":-1"#, "`fuel` is not a whole number"),
        (guest, r#""fun":"measure","params":["a"],"compat":"other"#, "MalformedRequest"),
        (text, r#""fun":"a","params":[]"#, "NotAComponent"),
        ("/nowhere/at/all", r#""fun":"a","params":[]"#, "HostFailure"),
    ] {
        let answer = ask(component, rest);
        assert!(answer.contains(expected), "{rest}: {answer}");
    }
    let strict = ask(guest, r#""fun":"measure","params":["a"]"#);
    assert!(strict.contains(r#""value":"#) && strict.contains(r#""fuel":"#), "{strict}");
    // A looser spelling and a looser argument, where they are asked for.
    let loose = r#""fun":"Measure","params":[["a"]]"#;
    assert!(ask(guest, loose).contains("NoSuchExport"));
    assert_eq!(ask(guest, &format!(r#"{loose},"compat":"homestar""#)), strict);
}
