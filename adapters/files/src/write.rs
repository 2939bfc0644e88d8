use async_trait::async_trait;
use ucan_core::{Did, Ipld, block};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task, is_pending};

use crate::folder::Written;
use crate::{Folder, FolderError};

/// The command that makes a file hold some content. Its arguments are `{path, content}`: names joined by slashes, and
/// text or bytes. It answers `{path, cid, bytes}`: the path, the CID of the content, and its length.
pub const WRITE_COMMAND: &str = "/file/write";

/// Writes files under one folder, for whoever was given that authority by the folder's owner.
///
/// Its effect class is idempotent write: what is done twice is as good as done once, and where the file holds the
/// content already, nothing is written.
#[derive(Clone, Debug)]
pub struct WriteHandler {
    owner: Did,
    folder: Folder,
}

impl WriteHandler {
    /// A handler for tasks whose subject is `owner`, the principal that controls `folder`.
    #[must_use]
    pub fn new(owner: Did, folder: Folder) -> Self {
        Self { owner, folder }
    }

    /// Whose folder it is: the subject of the tasks that it does.
    #[must_use]
    pub fn owner(&self) -> &Did {
        &self.owner
    }

    /// The owner alone decides about the folder, however the handler is registered.
    fn check_subject(&self, task: &Task) -> Result<(), Failure> {
        if task.subject().same_principal(&self.owner) {
            return Ok(());
        }
        let message = format!("the folder belongs to {}, and the task's subject is {}", self.owner, task.subject());
        Err(Failure::new("WrongSubject", message))
    }
}

#[async_trait]
impl Handler for WriteHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        self.check_subject(task)?;
        let (path, content) = arguments(task)?;
        if !is_pending(path) {
            text(path)?;
        }
        if !is_pending(content) {
            octets(content)?;
        }
        Ok(())
    }

    async fn handle(&self, call: &Call) -> Completion {
        match self.write(call).await {
            Ok(completion) => completion,
            Err(failure) => Completion::new(failure.into()),
        }
    }
}

impl WriteHandler {
    async fn write(&self, call: &Call) -> Result<Completion, Failure> {
        self.check_subject(call.task())?;
        let (path, content) = arguments(call.task())?;
        let (path, content) = (text(path)?.to_owned(), octets(content)?.to_vec());
        let temporary = format!(".{}.part", call.id());
        let folder = self.folder.clone();
        let write = move || {
            let written = folder.write(&path, &content, &temporary)?;
            let value = Ipld::Map(
                [
                    ("path".to_owned(), Ipld::String(path)),
                    ("cid".to_owned(), Ipld::Link(block::raw_cid(&content))),
                    ("bytes".to_owned(), Ipld::Integer(content.len() as i128)),
                ]
                .into(),
            );
            Ok::<_, FolderError>((written, value))
        };
        let joined = tokio::task::spawn_blocking(write).await;
        let (written, value) =
            joined.map_err(|error| Failure::new("Interrupted", error.to_string()))?.map_err(|error| {
                let name = match &error {
                    FolderError::Path { .. } => "InvalidPath",
                    FolderError::Io { .. } => "WriteFailed",
                };
                Failure::new(name, error.to_string())
            })?;
        Ok(Completion { unchanged: written == Written::Unchanged, ..Completion::new(Outcome::Ok(value)) })
    }
}

/// The two arguments as they stand.
fn arguments(task: &Task) -> Result<(&Ipld, &Ipld), Failure> {
    if let Some(key) = task.args().keys().find(|key| !matches!(key.as_str(), "path" | "content")) {
        return Err(mismatch(&format!("unknown argument {key:?}; the arguments are \"path\" and \"content\"")));
    }
    let argument = |key| task.args().get(key).ok_or_else(|| mismatch(&format!("the argument {key:?} is missing")));
    Ok((argument("path")?, argument("content")?))
}

fn text(path: &Ipld) -> Result<&str, Failure> {
    match path {
        Ipld::String(path) => Ok(path),
        _ => Err(mismatch("the argument \"path\" is to be a string")),
    }
}

fn octets(content: &Ipld) -> Result<&[u8], Failure> {
    match content {
        Ipld::String(text) => Ok(text.as_bytes()),
        Ipld::Bytes(bytes) => Ok(bytes),
        _ => Err(mismatch("the argument \"content\" is to be a string or bytes")),
    }
}

fn mismatch(problem: &str) -> Failure {
    Failure::new("ArgumentMismatch", format!("{WRITE_COMMAND}: {problem}"))
}
