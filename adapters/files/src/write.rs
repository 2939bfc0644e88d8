use async_trait::async_trait;
use ucan_core::{Did, Ipld, block};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use crate::Folder;
use crate::arguments::{arguments, check_content, check_subject, octets, on_disk, text};
use crate::folder::Written;

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
}

#[async_trait]
impl Handler for WriteHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::IdempotentWrite
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        check_subject(task, &self.owner)?;
        check_content(task, WRITE_COMMAND)
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
        check_subject(call.task(), &self.owner)?;
        let [path, content] = arguments(call.task(), WRITE_COMMAND, ["path", "content"])?;
        let path = text(path, WRITE_COMMAND)?.to_owned();
        let content = octets(content, WRITE_COMMAND)?.to_vec();
        let temporary = format!(".{}.part", call.id());
        let folder = self.folder.clone();
        let write = move || {
            let written = folder.write(&path, &content, &temporary)?;
            let value = [
                ("path".to_owned(), Ipld::String(path)),
                ("cid".to_owned(), Ipld::Link(block::raw_cid(&content))),
                ("bytes".to_owned(), Ipld::Integer(content.len() as i128)),
            ];
            Ok((written, Ipld::Map(value.into())))
        };
        let (written, value) = on_disk("WriteFailed", write).await?;
        Ok(Completion { unchanged: written == Written::Unchanged, ..Completion::new(Outcome::Ok(value)) })
    }
}
