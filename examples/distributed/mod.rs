//! What `distributed_invocation` is about: three services, what acts on each of them, and the executors in front.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod mail;
pub(crate) mod network;

use ucan_core::Ipld;
use ucan_invocation::{Failure, Task, is_pending};

/// What an argument is, as far as it is known: one that waits for another task is not.
enum Argument<'a> {
    Known(&'a Ipld),
    Pending,
}

fn argument<'a>(task: &'a Task, name: &str) -> Result<Argument<'a>, Failure> {
    match task.args().get(name) {
        None => Err(refused(format!("`{name}` is missing"))),
        Some(value) if is_pending(value) => Ok(Argument::Pending),
        Some(value) => Ok(Argument::Known(value)),
    }
}

/// A text among the arguments; none where it waits for another task.
fn text<'a>(task: &'a Task, name: &str) -> Result<Option<&'a str>, Failure> {
    match argument(task, name)? {
        Argument::Pending => Ok(None),
        Argument::Known(Ipld::String(text)) => Ok(Some(text)),
        Argument::Known(_) => Err(refused(format!("`{name}` is no text"))),
    }
}

/// Refuses arguments that are not looked at.
fn only(task: &Task, names: &[&str]) -> Result<(), Failure> {
    match task.args().keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(refused(format!("`{name}` is not known"))),
        None => Ok(()),
    }
}

/// A field of a value that came of another task.
fn field<'a>(value: &'a Ipld, name: &str) -> Result<&'a str, Failure> {
    match value {
        Ipld::Map(map) => match map.get(name) {
            Some(Ipld::String(text)) => Ok(text),
            _ => Err(refused(format!("what was awaited has no text `{name}`"))),
        },
        _ => Err(refused("what was awaited is no map")),
    }
}

/// A map of texts.
fn map<const N: usize>(entries: [(&str, String); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, text)| (key.to_owned(), Ipld::String(text))).collect())
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new("ArgumentMismatch", message)
}

/// What is said where a service did not do what it was asked for.
fn unreachable(error: impl std::fmt::Display) -> Failure {
    Failure::new("Unreachable", error.to_string())
}

/// A task with these arguments, for tests of what is refused.
#[cfg(test)]
fn task(args: &[(&str, Ipld)]) -> Result<Task, Box<dyn std::error::Error>> {
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Ok(Task::new(network::principal().did().clone(), "/x".parse()?, args, Vec::new()))
}

/// The arguments with one of them replaced, or added.
#[cfg(test)]
fn with<'a>(args: &[(&'a str, Ipld)], name: &'a str, value: Ipld) -> Vec<(&'a str, Ipld)> {
    args.iter().filter(|(known, _)| *known != name).cloned().chain([(name, value)]).collect()
}
