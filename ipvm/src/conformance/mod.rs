//! The conformance protocol: JSON lines in, JSON lines out, so that implementations can be held against the same vectors.
//!
//! A request is `{"id": any, "op": name, ..}` on one line; its answer has the same `id` and either `ok` or
//! `error: {name, message, ..}`. [`docs/conformance.md`] tells what the operations take and give. Nothing here reads a clock
//! or the network, and a file only where `wasm` names a component: a request holds all else that its answer depends on.
//!
//! ```
//! use ipvm::conformance::answer;
//!
//! let policy = answer(br#"{"id": 1, "op": "policy", "policy": [["==", ".a", 1]], "args": {"a": 1}}"#);
//! assert_eq!(policy, r#"{"id":1,"ok":true}"#);
//! let header = answer(br#"{"id": "b", "op": "varsig", "bytes": "NAHtAe0BE3E"}"#);
//! assert_eq!(header, r#"{"id":"b","ok":{"algorithm":"Ed25519","encoding":"DAG-CBOR"}}"#);
//! let unknown = answer(br#"{"id": [2], "op": "juggle"}"#);
//! assert!(unknown.starts_with(r#"{"id":[2],"error":{"message":"there is no operation"#));
//! ```
//!
//! [`docs/conformance.md`]: https://github.com/ipvm-wg/ipvm/blob/main/docs/conformance.md

mod chains;
mod failure;
mod line;
mod request;
mod tokens;
mod values;
mod wasm;

use std::io::{self, BufRead, Write};

use ucan_core::{Ipld, dagjson};

use failure::Failure;
use line::{Line, next_line};
use request::Request;

/// How many bytes a request may have: 64 MiB.
pub const LONGEST_LINE: usize = 64 << 20;

/// What an operation gives.
type Answer = Result<Ipld, Failure>;

/// Answers requests, one a line, in order, until the input ends. Every line gets exactly one answer, which is written out
/// before the next line is read.
///
/// # Errors
///
/// When the input cannot be read, or the answers cannot be written. A reader of the answers that has gone away ends the
/// conversation like the end of the input.
pub fn serve(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    while let Some(line) = next_line(&mut input, LONGEST_LINE)? {
        let text = match line {
            Line::Whole(line) => answer(&line),
            Line::TooLong => {
                let message = format!("a request has at most {LONGEST_LINE} bytes; this line was passed over");
                write("null", Err(Failure::new("LimitExceeded", message)))
            }
        };
        let written = writeln!(output, "{text}").and_then(|()| output.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

/// Answers one request: a line without its end.
pub fn answer(line: &[u8]) -> String {
    match Request::parse(line) {
        Err((id, failure)) => write(&id, Err(failure)),
        Ok(request) => write(request.id(), carry_out(&request)),
    }
}

fn carry_out(request: &Request<'_>) -> Answer {
    let operation = request.text("op")?;
    match operation.as_str() {
        "delegation" => tokens::delegation(request),
        "invocation" => tokens::invocation(request),
        "receipt" => tokens::receipt(request),
        "chain" => chains::chain(request),
        "task" => chains::task(request),
        "policy" => values::policy(request),
        "selector" => values::selector(request),
        "dagcbor" => values::dagcbor(request),
        "varsig" => values::varsig(request),
        "container" => values::container(request),
        "wasm" => wasm::wasm(request),
        other => Err(Failure::new("UnknownOperation", format!("there is no operation {:?}", excerpt(other)))),
    }
}

/// The answer as one line. `id` is JSON already.
fn write(id: &str, answer: Answer) -> String {
    match answer {
        Ok(value) => format!(r#"{{"id":{id},"ok":{}}}"#, dagjson::encode(&value)),
        Err(failure) => format!(r#"{{"id":{id},"error":{}}}"#, dagjson::encode(&failure.into_ipld())),
    }
}

/// The start of a text that may be long.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A map.
fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A string, such as a CID or a DID.
fn text(value: impl ToString) -> Ipld {
    Ipld::String(value.to_string())
}

#[cfg(test)]
mod tests;
