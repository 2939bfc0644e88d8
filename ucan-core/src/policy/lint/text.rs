//! Remarks about patterns, texts and numbers.

use super::LintKind;
use crate::{Ipld, text::excerpt};

/// What there is to say about a pattern of `like`.
pub(super) fn pattern(pattern: &str, lints: &mut Vec<LintKind>) {
    let (mut backslash, mut run, mut special) = (false, false, None);
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if chars.peek() == Some(&'*') => {
                chars.next();
            }
            '\\' => backslash = true,
            '*' => run |= chars.peek() == Some(&'*'),
            '?' | '[' | ']' | '{' | '}' => special = special.or(Some(char)),
            _ => {}
        }
    }
    if backslash {
        lints.push(LintKind::Backslash { pattern: excerpt(pattern) });
    }
    if run {
        lints.push(LintKind::StarRun { pattern: excerpt(pattern) });
    }
    if let Some(character) = special {
        lints.push(LintKind::GlobCharacter { pattern: excerpt(pattern), character });
    }
    text(pattern, lints);
}

/// What there is to say about a text that is compared.
pub(super) fn text(text: &str, lints: &mut Vec<LintKind>) {
    if text.chars().any(has_several_spellings) {
        lints.push(LintKind::SeveralSpellings { text: excerpt(text) });
    }
}

/// What there is to say about a value that is compared: the first text and the first number in it that are worth a remark.
pub(super) fn value(value: &Ipld, lints: &mut Vec<LintKind>) {
    let (mut left, mut number, mut spelled) = (vec![value], None, None);
    while let Some(value) = left.pop() {
        match value {
            Ipld::List(list) => left.extend(list.iter().rev()),
            Ipld::Map(map) => {
                spelled = spelled.or(map.keys().find(|key| key.chars().any(has_several_spellings)));
                left.extend(map.values().rev());
            }
            Ipld::String(text) if spelled.is_none() && text.chars().any(has_several_spellings) => spelled = Some(text),
            Ipld::Integer(_) | Ipld::Float(_) if number.is_none() && is_inexact(value) => number = Some(value),
            _ => {}
        }
    }
    lints.extend(number.map(|number| LintKind::InexactNumber { number: crate::dagjson::encode(number) }));
    lints.extend(spelled.map(|text| LintKind::SeveralSpellings { text: excerpt(text) }));
}

/// Whether neighbours of a number are equal to it as floats.
fn is_inexact(number: &Ipld) -> bool {
    const LIMIT: u64 = 1 << 53;
    match number {
        Ipld::Integer(integer) => integer.unsigned_abs() >= LIMIT.into(),
        #[allow(clippy::cast_precision_loss, reason = "a power of two")]
        Ipld::Float(float) => float.abs() >= LIMIT as f64,
        _ => false,
    }
}

/// Whether a character is of a block whose characters, for the most part, are made of others or join with others.
fn has_several_spellings(char: char) -> bool {
    matches!(
        char,
        '\u{c0}'..='\u{24f}'          // Latin letters with marks
            | '\u{300}'..='\u{36f}'   // marks
            | '\u{386}'..='\u{390}' | '\u{3aa}'..='\u{3b0}' | '\u{3ca}'..='\u{3ce}' // Greek
            | '\u{400}'..='\u{40f}' | '\u{439}' | '\u{419}' | '\u{450}'..='\u{45f}' // Cyrillic
            | '\u{900}'..='\u{dff}'   // scripts of India
            | '\u{1100}'..='\u{11ff}' // parts of Korean syllables
            | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' // more marks
            | '\u{1e00}'..='\u{1fff}' // Latin and Greek letters with more marks
            | '\u{2126}' | '\u{212a}' | '\u{212b}' // Ohm, Kelvin, Angstrom
            | '\u{3041}'..='\u{30ff}' // Japanese syllables
            | '\u{ac00}'..='\u{d7a3}' // Korean syllables
            | '\u{f900}'..='\u{faff}' // characters that others replace
            | '\u{fe20}'..='\u{fe2f}'
    )
}
