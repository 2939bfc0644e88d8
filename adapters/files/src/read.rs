use async_trait::async_trait;
use ucan_core::{Did, Ipld, block};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task, is_pending};

use crate::Folder;
use crate::arguments::{arguments, check_subject, on_disk, text};

/// The command that reads a file. Its arguments are `{path}`; it answers `{path, cid, content}`: the path, the CID of the content,
/// and the content in bytes.
pub const READ_COMMAND: &str = "/file/read";

/// How many bytes a file may have that is read, unless it is said otherwise.
const LARGEST: u64 = 4 << 20;

/// Reads files under one folder, for whoever was given that authority by the folder's owner.
///
/// Its effect class is query: what it answers may be another thing tomorrow. Content that is to be reused is put into the block
/// store and linked to.
#[derive(Clone, Debug)]
pub struct ReadHandler {
    owner: Did,
    folder: Folder,
    largest: u64,
}

impl ReadHandler {
    /// A handler for tasks whose subject is `owner`, the principal that controls `folder`. Files of more than 4 MiB are refused.
    #[must_use]
    pub fn new(owner: Did, folder: Folder) -> Self {
        Self { owner, folder, largest: LARGEST }
    }

    /// The same with another bound on the size of files, in bytes.
    #[must_use]
    pub fn with_largest(mut self, largest: u64) -> Self {
        self.largest = largest;
        self
    }

    async fn read(&self, task: &Task) -> Result<Ipld, Failure> {
        check_subject(task, &self.owner)?;
        let [path] = arguments(task, READ_COMMAND, ["path"])?;
        let (path, folder, largest) = (text(path, READ_COMMAND)?.to_owned(), self.folder.clone(), self.largest);
        let read = {
            let path = path.clone();
            on_disk("ReadFailed", move || folder.read(&path, largest)).await?
        };
        let value = [
            ("path".to_owned(), Ipld::String(path)),
            ("cid".to_owned(), Ipld::Link(block::raw_cid(&read))),
            ("content".to_owned(), Ipld::Bytes(read)),
        ];
        Ok(Ipld::Map(value.into()))
    }
}

#[async_trait]
impl Handler for ReadHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Query
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        check_subject(task, &self.owner)?;
        let [path] = arguments(task, READ_COMMAND, ["path"])?;
        if is_pending(path) { Ok(()) } else { text(path, READ_COMMAND).map(drop) }
    }

    async fn handle(&self, call: &Call) -> Completion {
        let read = self.read(call.task()).await;
        Completion::new(read.map_or_else(Into::into, Outcome::Ok))
    }
}
