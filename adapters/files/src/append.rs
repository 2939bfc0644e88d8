use async_trait::async_trait;
use ucan_core::{Did, Ipld};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use crate::Folder;
use crate::arguments::{arguments, check_content, check_subject, octets, on_disk, text};

/// The command that adds content to the end of a file. Its arguments are `{path, content}`: names joined by slashes, and text or
/// bytes. It answers `{path, offset, bytes}`: the path, and where in the file how many bytes were put.
pub const APPEND_COMMAND: &str = "/file/append";

/// Adds to files under one folder, for whoever was given that authority by the folder's owner.
///
/// Its effect class is mutable: what is done twice is there twice. Content is durable before the receipt. When the process dies in
/// between, nobody can tell from the file alone whether all of it, a beginning or nothing was added: such a task is uncertain until a
/// person has looked.
#[derive(Clone, Debug)]
pub struct AppendHandler {
    owner: Did,
    folder: Folder,
}

impl AppendHandler {
    /// A handler for tasks whose subject is `owner`, the principal that controls `folder`.
    #[must_use]
    pub fn new(owner: Did, folder: Folder) -> Self {
        Self { owner, folder }
    }

    async fn append(&self, task: &Task) -> Result<Ipld, Failure> {
        check_subject(task, &self.owner)?;
        let [path, content] = arguments(task, APPEND_COMMAND, ["path", "content"])?;
        let path = text(path, APPEND_COMMAND)?.to_owned();
        let content = octets(content, APPEND_COMMAND)?.to_vec();
        let (folder, length) = (self.folder.clone(), content.len());
        let offset = {
            let path = path.clone();
            on_disk("AppendFailed", move || folder.append(&path, &content)).await?
        };
        let value = [
            ("path".to_owned(), Ipld::String(path)),
            ("offset".to_owned(), Ipld::Integer(offset.into())),
            ("bytes".to_owned(), Ipld::Integer(length as i128)),
        ];
        Ok(Ipld::Map(value.into()))
    }
}

#[async_trait]
impl Handler for AppendHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        check_subject(task, &self.owner)?;
        check_content(task, APPEND_COMMAND)
    }

    async fn handle(&self, call: &Call) -> Completion {
        let appended = self.append(call.task()).await;
        Completion::new(appended.map_or_else(Into::into, Outcome::Ok))
    }
}
