//! Findings for people, and for programs.

use console::style;
use serde_json::{Value, json};
use ucan_core::{Envelope, Ipld, Timestamp, Token, dagjson};

use super::Item;
use super::check::{Finding, Findings, State, is_receipt};
use crate::cli::{moment::date, print::plain};

/// How wide the names of fields are.
const NAME: usize = 12;

/// The kind of a thing.
fn kind(item: &Item) -> &'static str {
    match item {
        Item::Delegation(_) => "delegation",
        Item::Invocation(invocation) if is_receipt(invocation) => "receipt",
        Item::Invocation(_) => "invocation",
        Item::Refused { .. } => "unreadable token",
        Item::Block { .. } => "block",
    }
}

fn envelope(item: &Item) -> Option<&Envelope> {
    match item {
        Item::Delegation(delegation) => Some(delegation.envelope()),
        Item::Invocation(invocation) => Some(invocation.envelope()),
        Item::Refused { .. } | Item::Block { .. } => None,
    }
}

/// The fields of a payload in the order in which people look for them, with their names in words.
const FIELDS: [(&str, &str); 13] = [
    ("iss", "issuer"),
    ("aud", "audience"),
    ("sub", "subject"),
    ("cmd", "command"),
    ("pol", "policy"),
    ("args", "arguments"),
    ("prf", "proofs"),
    ("cause", "cause"),
    ("iat", "issued at"),
    ("nbf", "not before"),
    ("exp", "expires"),
    ("nonce", "nonce"),
    ("meta", "metadata"),
];

/// A listing of several lines.
pub(super) fn as_text(item: &Item, findings: &Findings) -> String {
    let mut lines = vec![format!("{} {}", style(kind(item)).bold(), item.cid())];
    if let Item::Block { value, .. } | Item::Refused { value: Some(value), .. } = item {
        lines.extend(block(value));
    }
    if let Some(envelope) = envelope(item) {
        let payload = envelope.payload();
        for (key, name) in FIELDS {
            if let Some(value) = payload.get(key) {
                field(name, &lines_of(key, value), &mut lines);
            }
        }
        field("signed with", &[envelope.header().to_string()], &mut lines);
        field("version", &[envelope.tag().to_owned()], &mut lines);
    }
    for finding in &findings.0 {
        let mark = mark(finding);
        lines.push(format!("  {:<NAME$} {mark}: {}", finding.aspect, plain(&finding.detail)));
    }
    lines.join("\n")
}

fn mark(finding: &Finding) -> String {
    let text = match (finding.aspect, finding.state) {
        ("signature", State::Holds) => "valid",
        ("signature", State::Fails) => "invalid",
        (_, State::Holds) => "holds",
        (_, State::Warns) => "holds, with a warning",
        (_, State::Fails) => "does not hold",
        ("authority", State::Unknown) => "cannot be told",
        (_, State::Unknown) => "cannot be checked here",
    };
    let text = match (finding.state, finding.name) {
        (State::Fails, Some(name)) => format!("{text} ({name})"),
        _ => text.to_owned(),
    };
    match finding.state {
        State::Holds => style(text).green(),
        State::Fails => style(text).red().bold(),
        State::Warns | State::Unknown => style(text).yellow(),
    }
    .to_string()
}

/// A field, whose further lines are set below the first.
fn field(name: &str, values: &[String], lines: &mut Vec<String>) {
    for (index, value) in values.iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        lines.push(format!("  {name:<NAME$} {}", plain(value)));
    }
}

fn lines_of(key: &str, value: &Ipld) -> Vec<String> {
    match (key, value) {
        ("sub", Ipld::Null) => vec!["whatever the issuer is given (a powerline)".to_owned()],
        ("exp", Ipld::Null) => vec!["never".to_owned()],
        ("exp" | "nbf" | "iat", Ipld::Integer(secs)) => vec![time(*secs)],
        ("pol", Ipld::List(list)) if list.is_empty() => vec!["any arguments".to_owned()],
        // One statement a line.
        ("pol", Ipld::List(list)) => list.iter().map(dagjson::encode).collect(),
        ("prf", Ipld::List(list)) if list.is_empty() => vec!["none".to_owned()],
        ("prf", Ipld::List(list)) => {
            let proof = |(index, item): (usize, &Ipld)| match item {
                Ipld::Link(cid) => format!("{index}: {cid}"),
                other => format!("{index}: {}", dagjson::encode(other)),
            };
            list.iter().enumerate().map(proof).collect()
        }
        ("nonce", Ipld::Bytes(bytes)) if bytes.is_empty() => vec!["empty".to_owned()],
        ("nonce", Ipld::Bytes(bytes)) => {
            let hex: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            let more = if bytes.len() > 32 { format!(".. ({} bytes)", bytes.len()) } else { String::new() };
            vec![format!("{hex}{more}")]
        }
        (_, Ipld::String(text)) => vec![text.clone()],
        (_, Ipld::Link(cid)) => vec![cid.to_string()],
        (_, value) => dagjson::encode_pretty(value).lines().map(ToOwned::to_owned).collect(),
    }
}

/// A time in seconds and as a date.
fn time(secs: i128) -> String {
    match u64::try_from(secs).ok().and_then(Timestamp::from_secs) {
        Some(moment) => format!("{secs} ({})", date(moment)),
        None => secs.to_string(),
    }
}

fn block(value: &Ipld) -> Vec<String> {
    match value {
        Ipld::Bytes(bytes) => vec![format!("  {} bytes", bytes.len())],
        value => dagjson::encode_pretty(value).lines().map(|line| format!("  {}", plain(line))).collect(),
    }
}

/// What there is to say when it cannot be told whether something holds.
pub(super) fn unknown(findings: &Findings) -> String {
    let text = if findings.0.is_empty() {
        "not verified: nothing here is signed, so that there is nothing that could hold"
    } else {
        "cannot be told whether this holds: not all of it could be checked here"
    };
    style(text).yellow().to_string()
}

/// One JSON object on one line.
pub(super) fn as_json(item: &Item, findings: &Findings) -> String {
    let mut object = json!({
        "event": "inspected",
        "kind": kind(item),
        "cid": item.cid().to_string(),
        "holds": findings.verdict(),
        "checks": findings.0.iter().map(|finding| json!({
            "aspect": finding.aspect,
            "state": finding.state.name(),
            "error": finding.name,
            "detail": finding.detail,
        })).collect::<Vec<_>>(),
    });
    if let Some(envelope) = envelope(item) {
        object["tag"] = Value::from(envelope.tag());
        object["algorithm"] = Value::from(envelope.header().algorithm().to_string());
    }
    // Values are written by our own writer, which loses no integers; it is put in as it stands.
    let value = match item {
        Item::Block { value, .. } | Item::Refused { value: Some(value), .. } => Some(("value", dagjson::encode(value))),
        _ => envelope(item).map(|envelope| ("payload", dagjson::encode(&Ipld::Map(envelope.payload())))),
    };
    let mut text = object.to_string();
    if let Some((key, value)) = value {
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"{key}\":{value}}}"));
    }
    text
}
