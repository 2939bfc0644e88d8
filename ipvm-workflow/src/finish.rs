//! The receipt of a whole run, and what it lists.

use std::collections::{BTreeMap, BTreeSet};

use ucan_core::{Cid, Ipld, StoreError, block, dagcbor};
use ucan_invocation::{Durability, Failure, Filing, InvocationId, Outcome, Receipt, ReceiptId, TaskId};

use crate::engine::Shared;
use crate::perform::Performed;
use crate::stating::is_unrepresentable;
use crate::{Entry, RunError, StepReport};

/// How many labels a receipt lists itself, and a page of a longer list.
const PAGE: usize = 10_000;

impl Shared {
    /// Signs and files the receipt of a run that is over.
    pub(crate) async fn finish(
        &self,
        run: TaskId,
        asked: InvocationId,
        inputs: Vec<Cid>,
        performed: &Performed,
        not_started: &[String],
    ) -> Result<Receipt, RunError> {
        let failed: Vec<&str> = performed.failed().map(|step| step.label.as_str()).collect();
        let message = format!("{} tasks failed, and {} were not started", failed.len(), not_started.len());
        let mut told = BTreeMap::from([("tasks".to_owned(), receipts(&performed.reports))]);
        if !performed.continued.is_empty() {
            told.insert("continued".to_owned(), receipts(&performed.continued));
        }
        if !performed.caught.is_empty() {
            let caught = performed.caught.iter().map(|(label, caught)| (label.clone(), caught.to_ipld()));
            told.insert("caught".to_owned(), Ipld::Map(caught.collect()));
        }
        if !performed.undone.is_empty() {
            told.insert("undone".to_owned(), receipts(&performed.undone));
        }
        if !performed.not_undone.is_empty() {
            let stays = performed.not_undone.iter().map(|stays| (stays.by.clone(), stays.to_ipld()));
            told.insert("notUndone".to_owned(), Ipld::Map(stays.collect()));
        }
        let succeeded = failed.is_empty() && not_started.is_empty() && !performed.cancelled;
        if !succeeded {
            told.insert("failed".to_owned(), strings(failed.into_iter()));
            told.insert("notStarted".to_owned(), strings(not_started.iter().map(String::as_str)));
        }
        for list in told.values_mut() {
            self.page(list).await?;
        }
        let outcome = if succeeded {
            Outcome::Ok(Ipld::Map(told))
        } else {
            let name = if performed.cancelled { "Cancelled" } else { "TaskFailed" };
            let failure = Failure::new(name, message.as_str());
            told.into_iter().fold(failure, |failure, (key, value)| failure.with(&key, value)).into()
        };
        let receipt = |outcome| {
            let meta = [("invocation".to_owned(), Ipld::Link(asked.into()))].into();
            Receipt::builder(run, outcome).meta(meta)
        };
        let receipt = match self.sign(receipt(outcome)) {
            // What handlers of failures answered can be long.
            Err(error) if is_unrepresentable(&error) => {
                let all = performed.reports.len() + performed.continued.len();
                let counts = format!("{message}; what came of {all} tasks is too much to list");
                self.sign(receipt(Failure::new("TooManyTasks", counts).into()))?
            }
            signed => signed?,
        };
        let filing = Filing { tasks: vec![run], memo: None, inputs, durability: Durability::Synced };
        self.parts.receipts.file(&receipt, &filing).await?;
        self.parts.journal.append(&Entry::Finished { run, receipt: receipt.id() }).await?;
        Ok(receipt)
    }

    /// Puts a list that is too long for a receipt into blocks, to which it then links.
    async fn page(&self, list: &mut Ipld) -> Result<(), RunError> {
        let pages: Vec<Ipld> = match list {
            Ipld::Map(map) if map.len() > PAGE => {
                let mut entries = std::mem::take(map).into_iter();
                let pages = std::iter::from_fn(|| Some(entries.by_ref().take(PAGE).collect::<BTreeMap<_, _>>()));
                pages.take_while(|page| !page.is_empty()).map(Ipld::Map).collect()
            }
            Ipld::List(items) if items.len() > PAGE => {
                items.chunks(PAGE).map(|page| Ipld::List(page.to_vec())).collect()
            }
            _ => return Ok(()),
        };
        let mut links = Vec::with_capacity(pages.len());
        for page in pages {
            let bytes = dagcbor::encode(&page).map_err(ucan_core::SignError::from)?;
            let cid = block::dag_cbor_cid(&bytes);
            self.parts.blocks.put(&cid, bytes.into()).await?;
            links.push(Ipld::Link(cid));
        }
        *list = Ipld::List(links);
        Ok(())
    }

    /// The receipts by label that the outcome of a run lists under `key`: links, or maps that have them under the key `within`. `None`
    /// where it has no such list.
    pub(crate) async fn links_of(
        &self,
        outcome: &Outcome,
        key: &str,
        within: Option<&str>,
    ) -> Result<Option<BTreeMap<String, ReceiptId>>, StoreError> {
        let listed = self.entries_of(outcome, key).await?;
        Ok(listed.and_then(|listed| links(&listed, within)))
    }

    /// What the outcome of a run says by label under `key`, whether it succeeded or failed. `None` where it has no such map.
    pub(crate) async fn entries_of(
        &self,
        outcome: &Outcome,
        key: &str,
    ) -> Result<Option<BTreeMap<String, Ipld>>, StoreError> {
        let (Outcome::Ok(Ipld::Map(map)) | Outcome::Error(Ipld::Map(map))) = outcome else { return Ok(None) };
        let pages = match map.get(key) {
            Some(Ipld::Map(listed)) => return Ok(Some(listed.clone())),
            Some(Ipld::List(pages)) => pages,
            _ => return Ok(None),
        };
        let (mut all, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for page in pages {
            // Nobody is to read one page again and again because a receipt names it so often.
            let Ipld::Link(cid) = page else { return Ok(None) };
            if !seen.insert(cid) {
                return Ok(None);
            }
            let Some(bytes) = self.parts.blocks.get(cid).await? else { return Ok(None) };
            let Ok(Ipld::Map(listed)) = dagcbor::decode(&bytes) else { return Ok(None) };
            all.extend(listed);
        }
        Ok(Some(all))
    }
}

fn receipts(steps: &[StepReport]) -> Ipld {
    Ipld::Map(steps.iter().map(|step| (step.label.clone(), Ipld::Link(step.receipt.into()))).collect())
}

fn strings<'a>(labels: impl Iterator<Item = &'a str>) -> Ipld {
    Ipld::List(labels.map(|label| Ipld::String(label.to_owned())).collect())
}

fn links(listed: &BTreeMap<String, Ipld>, within: Option<&str>) -> Option<BTreeMap<String, ReceiptId>> {
    let link = |value: &Ipld| match (value, within) {
        (Ipld::Link(cid), None) => Some(*cid),
        (Ipld::Map(map), Some(key)) => match map.get(key) {
            Some(Ipld::Link(cid)) => Some(*cid),
            _ => None,
        },
        _ => None,
    };
    listed.iter().map(|(label, value)| Some((label.clone(), ReceiptId::new(link(value)?)))).collect()
}
