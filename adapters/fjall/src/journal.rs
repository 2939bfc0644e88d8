//! The journal of the workflow engine.

use async_trait::async_trait;
use ipvm_workflow::{Entry, Journal, OpenRun};
use ucan_core::{Cid, StoreError, Timestamp};
use ucan_invocation::TaskId;

use crate::record::Record;
use crate::rows;
use crate::store::FjallStore;

#[async_trait]
impl Journal for FjallStore {
    async fn append(&self, entry: &Entry) -> Result<(), StoreError> {
        let record = match entry {
            Entry::Started { run, workflow, request, handover, at } => {
                let (run, at) = ((*run).into(), at.map(Timestamp::as_secs));
                Record::Started { run, workflow: *workflow, request: *request, handover: *handover, at }
            }
            Entry::Cancelled { run } => Record::Cancelled((*run).into()),
            Entry::Intent { run, task } => Record::Intent { run: (*run).into(), task: (*task).into() },
            Entry::Finished { run, receipt } => Record::Finished { run: (*run).into(), receipt: (*receipt).into() },
            Entry::Sent { run, task, invocation } => {
                Record::Sent { run: (*run).into(), task: (*task).into(), invocation: *invocation }
            }
            Entry::HandedOver { run, handover } => Record::HandedOver { run: (*run).into(), handover: *handover },
        };
        self.write(record, None, entry.is_vital()).await
    }

    async fn intended(&self, task: &TaskId) -> Result<bool, StoreError> {
        self.db()?.contains("the index of intents", &rows::intent(task.cid()))
    }

    async fn sent(&self, task: &TaskId) -> Result<Option<Cid>, StoreError> {
        self.last("the index of what was sent", &rows::sent(task.cid()))
    }

    async fn unfinished(&self) -> Result<Vec<TaskId>, StoreError> {
        const WHAT: &str = "the index of open runs";
        let run = |key: &[u8]| rows::only_cid(key).ok_or_else(|| StoreError::corrupt(WHAT, "a row is malformed"));
        let open = self.db()?.prefix(WHAT, &rows::open_runs())?;
        open.iter().map(|(key, _)| run(key).map(TaskId::new)).collect()
    }

    async fn open(&self, run: &TaskId) -> Result<Option<OpenRun>, StoreError> {
        const WHAT: &str = "the record of an open run";
        let malformed = || StoreError::corrupt(WHAT, "a row is missing or malformed");
        let db = self.db()?;
        let Some(number) = db.get(WHAT, &rows::open(run.cid()))? else { return Ok(None) };
        let log = db.get(WHAT, &rows::log(rows::number(&number).ok_or_else(malformed)?))?.ok_or_else(malformed)?;
        let record = rows::split_log_value(&log).and_then(|(_, record)| Record::decode(record));
        let Some(Record::Started { workflow, request, handover, at, .. }) = record else { return Err(malformed()) };
        let cancelled = db.contains(WHAT, &rows::cancelled(run.cid()))?;
        let at = at.map(|at| Timestamp::from_secs(at).ok_or_else(malformed)).transpose()?;
        Ok(Some(OpenRun { workflow, request, handover, cancelled, at }))
    }

    async fn handed_over(&self, run: &TaskId) -> Result<Option<Cid>, StoreError> {
        self.last("the index of runs that were handed over", &rows::handed_over(run.cid()))
    }
}

impl FjallStore {
    /// The CID after `prefix` in the key of the row that was written last.
    fn last(&self, what: &str, prefix: &[u8]) -> Result<Option<Cid>, StoreError> {
        Ok(self.listed(what, prefix, 0)?.pop())
    }
}
