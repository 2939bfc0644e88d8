//! What all handlers here have in common: the folder's owner, and arguments that are paths and content.

use ucan_core::{Did, Ipld};
use ucan_invocation::{Failure, Task, is_pending};

use crate::FolderError;

/// The arguments of a task, which are `names` and no others.
pub(crate) fn arguments<'a, const N: usize>(
    task: &'a Task,
    command: &str,
    names: [&str; N],
) -> Result<[&'a Ipld; N], Failure> {
    let mismatch = |problem: String| Failure::new("ArgumentMismatch", format!("{command}: {problem}"));
    if let Some(key) = task.args().keys().find(|key| !names.contains(&key.as_str())) {
        return Err(mismatch(format!("unknown argument {key:?}; the arguments are {}", names.join(", "))));
    }
    if let Some(missing) = names.iter().find(|name| !task.args().contains_key(**name)) {
        return Err(mismatch(format!("the argument {missing:?} is missing")));
    }
    Ok(names.map(|name| task.args().get(name).unwrap_or(&Ipld::Null)))
}

/// A path, as text.
pub(crate) fn text<'a>(path: &'a Ipld, command: &str) -> Result<&'a str, Failure> {
    match path {
        Ipld::String(path) => Ok(path),
        _ => Err(Failure::new("ArgumentMismatch", format!("{command}: the argument \"path\" is to be a string"))),
    }
}

/// Content: text or bytes.
pub(crate) fn octets<'a>(content: &'a Ipld, command: &str) -> Result<&'a [u8], Failure> {
    match content {
        Ipld::String(text) => Ok(text.as_bytes()),
        Ipld::Bytes(bytes) => Ok(bytes),
        _ => Err(Failure::new(
            "ArgumentMismatch",
            format!("{command}: the argument \"content\" is to be a string or bytes"),
        )),
    }
}

/// Checks what can be known of a task with a path and content before anything runs.
pub(crate) fn check_content(task: &Task, command: &str) -> Result<(), Failure> {
    let [path, content] = arguments(task, command, ["path", "content"])?;
    if !is_pending(path) {
        text(path, command)?;
    }
    if !is_pending(content) {
        octets(content, command)?;
    }
    Ok(())
}

/// The owner alone decides about the folder, however a handler is registered.
pub(crate) fn check_subject(task: &Task, owner: &Did) -> Result<(), Failure> {
    if task.subject().same_principal(owner) {
        return Ok(());
    }
    let message = format!("the folder belongs to {owner}, and the task's subject is {}", task.subject());
    Err(Failure::new("WrongSubject", message))
}

/// Works with files on a thread that may wait for the disk. `failed` is the name of a failure that is no fault of the path.
pub(crate) async fn on_disk<T: Send + 'static>(
    failed: &str,
    work: impl FnOnce() -> Result<T, FolderError> + Send + 'static,
) -> Result<T, Failure> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Failure::new("Interrupted", error.to_string()))?.map_err(|error| {
        let name = match &error {
            FolderError::Path { .. } => "InvalidPath",
            FolderError::TooLarge { .. } => "TooLarge",
            FolderError::Io { .. } => failed,
        };
        Failure::new(name, error.to_string())
    })
}
