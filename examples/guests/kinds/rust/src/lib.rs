//! Every kind of value, in ordinary Rust. `../wit/kinds.wit` says what the functions do.

use std::collections::BTreeMap;

use exports::ipvm::kinds::api::*;

wit_bindgen::generate!({ path: "../wit", world: "kinds" });

/// `result` in all its arms.
type Outcomes = (Result<(), ()>, Result<u32, ()>, Result<(), String>, Result<Vec<u8>, String>);

struct Kinds;

impl Guest for Kinds {
    fn echo_bool(value: bool) -> bool {
        value
    }

    fn echo_char(value: char) -> char {
        value
    }

    fn echo_string(value: String) -> String {
        value
    }

    fn echo_integers(value: (i8, u8, i16, u16, i32, u32)) -> (i8, u8, i16, u16, i32, u32) {
        value
    }

    fn echo_s64(value: i64) -> i64 {
        value
    }

    fn echo_u64(value: u64) -> u64 {
        value
    }

    fn echo_floats(value: (f32, f64)) -> (f32, f64) {
        value
    }

    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn echo_numbers(value: Vec<i64>) -> Vec<i64> {
        value
    }

    fn echo_blobs(value: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        value
    }

    fn echo_person(value: Person) -> Person {
        value
    }

    fn echo_shape(value: Shape) -> Shape {
        value
    }

    fn echo_color(value: Color) -> Color {
        value
    }

    fn echo_permissions(value: Permissions) -> Permissions {
        value
    }

    fn echo_nested(value: Option<Option<i32>>) -> Option<Option<i32>> {
        value
    }

    fn echo_outcomes(value: Outcomes) -> Outcomes {
        value
    }

    fn nothing() {}

    fn sum(numbers: Vec<i64>) -> i64 {
        numbers.into_iter().fold(0, i64::wrapping_add)
    }

    fn sum_decimal(numbers: Vec<String>) -> Result<String, String> {
        let mut sum = 0_i64;
        for text in numbers {
            let digits = text.strip_prefix('-').unwrap_or(&text);
            // `parse` alone takes a plus and any number of leading zeros.
            let short = (1..=19).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let Some(number) = short.then(|| text.parse::<i64>().ok()).flatten() else { return Err(text) };
            sum = sum.wrapping_add(number);
        }
        Ok(sum.to_string())
    }

    fn sum_halves(numbers: Vec<Halves>) -> Halves {
        let whole = |it: Halves| i64::from(it.high) << 32 | i64::from(it.low);
        let sum = numbers.into_iter().map(whole).fold(0, i64::wrapping_add);
        Halves { high: (sum >> 32) as i32, low: sum as u32 }
    }

    fn mean(numbers: Vec<f64>) -> Option<f64> {
        // `Iterator::sum` starts at -0.0.
        let sum = numbers.iter().fold(0.0, |sum, number| sum + number);
        (!numbers.is_empty()).then(|| sum / numbers.len() as f64)
    }

    fn scale(numbers: Vec<f32>, factor: f32) -> Vec<f32> {
        numbers.into_iter().map(|number| number * factor).collect()
    }

    fn reverse(text: String) -> String {
        text.chars().rev().collect()
    }

    fn crc32(bytes: Vec<u8>) -> u32 {
        !bytes.into_iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    }

    fn sort(mut texts: Vec<String>) -> Vec<String> {
        texts.sort_unstable();
        texts
    }

    fn count_words(text: String) -> Vec<(String, u64)> {
        // An ordered map: the order of a hash map would depend on its seed.
        let mut counts = BTreeMap::<&str, u64>::new();
        let words = text.split(|c| matches!(c, '\t'..='\r' | ' ')).filter(|word| !word.is_empty());
        words.for_each(|word| *counts.entry(word).or_default() += 1);
        counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
    }

    fn describe(shape: Shape) -> String {
        match shape {
            Shape::Dot => "dot".to_owned(),
            Shape::Circle(radius) => format!("circle of radius {radius}"),
            Shape::Rectangle((width, height)) => format!("rectangle of {width} by {height}"),
            Shape::Polygon(points) => format!("polygon of {} points", points.len()),
            Shape::Label(text) => format!("label with {text}"),
        }
    }

    fn unite(left: Permissions, right: Permissions) -> Permissions {
        left | right
    }

    fn divide(dividend: i32, divisor: i32) -> Result<i32, DivisionError> {
        if divisor == 0 {
            return Err(DivisionError::ByZero);
        }
        dividend.checked_div(divisor).ok_or(DivisionError::Overflow)
    }

    fn find(people: Vec<Person>, name: String) -> Option<Person> {
        people.into_iter().find(|person| person.name == name)
    }
}

export!(Kinds);
