//! Words and reports: a guest without imports, so that its results depend on
//! its arguments alone.
//!
//! Without imports a panic message has nowhere to go, so the standard library
//! would only add its panic machinery and the paths of its source files, which
//! differ between distributors of the same compiler, to the bytes and thereby to
//! the address of the component.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

wit_bindgen::generate!({ path: "wit", world: "words" });

/// The longest bar of the chart, in characters.
const BAR: u128 = 40;

struct Words;

impl Guest for Words {
    fn heading(title: String) -> String {
        let mut out = String::from("#");
        for word in title.split_whitespace() {
            out.push(' ');
            out.push_str(word);
        }
        out.push('\n');
        out
    }

    fn count(text: String, limit: u32) -> Vec<WordCount> {
        if limit == 0 {
            return Vec::new();
        }
        // An ordered map: the seed of a hash map would need an import, and its
        // order would leak into the result.
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for_each_word(&text, |word| match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        });
        let mut list: Vec<WordCount> = counts
            .into_iter()
            .map(|(word, count)| WordCount { word, count })
            .collect();
        // The map hands the words over in ascending order and the sort is
        // stable, so equal counts stay in that order.
        list.sort_by(|a, b| b.count.cmp(&a.count));
        list.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        list
    }

    fn report(
        heading: String,
        frequent: Vec<WordCount>,
        shape: TextShape,
        letters: Vec<LetterCount>,
    ) -> String {
        let mut out = String::new();
        let heading = heading.trim_end();
        if !heading.is_empty() {
            out.push_str(heading);
            out.push_str("\n\n");
        }

        out.push_str("## Shape\n\n");
        let rows = [
            ("Bytes", shape.bytes),
            ("Characters", shape.chars),
            ("Lines", shape.lines),
            ("Words", shape.words),
            ("Longest line", shape.longest_line),
        ];
        let rows: Vec<(String, u64)> = rows.map(|(name, n)| (name.to_owned(), n)).into();
        table(&mut out, "Measure", "Value", &rows);

        out.push_str("\n## Frequent words\n\n");
        if frequent.is_empty() {
            out.push_str("None.\n");
        } else {
            let rows: Vec<(String, u64)> = frequent
                .iter()
                .map(|entry| (cell(&entry.word), entry.count))
                .collect();
            table(&mut out, "Word", "Count", &rows);
        }

        out.push_str("\n## Letters\n\n");
        if letters.is_empty() {
            out.push_str("None.\n");
        } else {
            out.push_str("```text\n");
            chart(&mut out, &letters);
            out.push_str("```\n");
        }
        out
    }
}

/// Calls `visit` with every word of the text, lower-cased.
fn for_each_word(text: &str, mut visit: impl FnMut(&str)) {
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        let inside = !word.is_empty() && chars.peek().is_some_and(|next| next.is_alphanumeric());
        if matches!(c, '\'' | '\u{2019}') && inside {
            word.push('\'');
        } else if !word.is_empty() {
            flush(&mut word, &mut visit);
        }
    }
    if !word.is_empty() {
        flush(&mut word, &mut visit);
    }
}

fn flush(word: &mut String, visit: &mut impl FnMut(&str)) {
    if word.is_ascii() {
        word.make_ascii_lowercase();
        visit(word);
    } else {
        // Of the whole word rather than of each character: the lower case of
        // sigma depends on whether it ends the word.
        visit(&word.to_lowercase());
    }
    word.clear();
}

/// Text that cannot end the table cell it is put into.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' => out.push_str("\\|"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A table of a left-aligned and a right-aligned column, padded so that it reads
/// well without being rendered too.
fn table(out: &mut String, left: &str, right: &str, rows: &[(String, u64)]) {
    let rows: Vec<(&str, String)> = rows
        .iter()
        .map(|(name, n)| (name.as_str(), n.to_string()))
        .collect();
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let numbers = rows.iter().map(|(_, n)| n.len());
    let name_width = names.fold(left.len(), usize::max);
    let number_width = numbers.fold(right.len(), usize::max);

    let line = |out: &mut String, name: &str, number: &str| {
        out.push_str("| ");
        out.push_str(name);
        fill(out, ' ', name_width - name.chars().count());
        out.push_str(" | ");
        fill(out, ' ', number_width - number.len());
        out.push_str(number);
        out.push_str(" |\n");
    };
    line(out, left, right);
    out.push_str("|:");
    fill(out, '-', name_width + 1);
    out.push('|');
    fill(out, '-', number_width + 1);
    out.push_str(":|\n");
    for (name, number) in &rows {
        line(out, name, number);
    }
}

fn chart(out: &mut String, letters: &[LetterCount]) {
    let most = letters.iter().map(|entry| entry.count).fold(1, u64::max);
    for entry in letters {
        if entry.letter.is_control() {
            out.extend(entry.letter.escape_unicode());
        } else {
            out.push(entry.letter);
        }
        out.push(' ');
        // Wide integers instead of floating point: exact for every count, and
        // at most BAR, so the conversion back always succeeds.
        let length = (u128::from(entry.count) * BAR).div_ceil(u128::from(most));
        fill(out, '█', usize::try_from(length).unwrap_or(0));
        out.push(' ');
        out.push_str(&entry.count.to_string());
        out.push('\n');
    }
}

fn fill(out: &mut String, c: char, times: usize) {
    out.extend(core::iter::repeat_n(c, times));
}

export!(Words);
