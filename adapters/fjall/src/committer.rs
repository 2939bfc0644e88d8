//! The one thread that writes: it gathers what is waiting into a batch, commits it, syncs it, and moves `HEAD`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use ucan_core::{Cid, StoreError};

use crate::channels::{self, Written};
use crate::db::Db;
use crate::head::{Claim, HeadFile};
use crate::record::{Head, Record};
use crate::rows::{self, List};

/// The most requests in one batch.
const BATCH: usize = 256;
/// How long the first of several requests may wait for others to share its sync.
const GATHER: Duration = Duration::from_millis(1);
/// How long a buffered write, or a claim in `HEAD`, waits at most for a sync, if nobody asks for one before.
const SOON: Duration = Duration::from_millis(500);
/// How long nobody has to ask for anything before a claim in `HEAD` is synced.
const IDLE: Duration = Duration::from_millis(2);
/// After how many records the checkpoint is moved, which bounds what is verified when the store is opened.
const CHECKPOINT: u64 = 16_384;

/// What a caller wants written.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) record: Record,
    /// The row of the record's block; for channels and schedules, their states one after the other.
    pub(crate) block: Option<Vec<u8>>,
    /// Whether the answer waits for the sync.
    pub(crate) sync: bool,
    pub(crate) reply: oneshot::Sender<Result<(), StoreError>>,
    /// Held until the request is answered, so that no more than so many can be waiting.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Why the store has stopped, once it has. There is no way back: after a failed sync nobody knows what the medium
/// holds, and only reading it again can tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<OnceLock<StoreError>>);

impl Stop {
    /// Stops the store.
    pub(crate) fn stop(&self, error: &StoreError) -> StoreError {
        let first = self.0.get_or_init(|| {
            tracing::error!(%error, "the store stops");
            StoreError::io("the store has stopped after a failed write: close it and open it again", error.clone())
        });
        first.clone()
    }

    /// # Errors
    /// The store has stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Committer {
    db: Db,
    file: HeadFile,
    stop: Stop,
    /// The last record that was written.
    head: Head,
    /// What `HEAD` says.
    claim: Claim,
    /// Up to where a flush was started that is not known to be done.
    flushing: Option<Head>,
    /// Since when there are writes that were not synced, or a claim that was not. The clock only says how long to wait, never what to
    /// write.
    unsynced: Option<Instant>,
    /// How many requests of the last batch asked for a sync: as many are likely to come again.
    usual: usize,
    /// How many batches had revocations in them.
    revocations: Arc<AtomicU64>,
}

impl Committer {
    /// Takes over a database whose log was verified up to `head`, and makes all of it durable.
    pub(crate) fn new(
        db: Db,
        file: HeadFile,
        stop: Stop,
        head: Head,
        checkpoint: Head,
        revocations: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        db.sync()?;
        let claim = Claim { head, checkpoint };
        let (flushing, unsynced, usual) = (None, None, 0);
        let mut committer = Self { db, file, stop, head, claim, flushing, unsynced, usual, revocations };
        // The slot that counts must be durable before the other one is written.
        committer.sync_claim()?;
        committer.write_claim(claim)?;
        committer.sync_claim()?;
        Ok(committer)
    }

    /// Serves requests until nobody is left who could send one; then syncs what was buffered.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            // Not left to the timeout below: it never comes while requests keep coming.
            if self.unsynced.is_some_and(|since| since.elapsed() >= SOON) {
                drop(self.settle());
            }
            let first = match self.unsynced {
                Some(since) => {
                    let left = SOON.saturating_sub(since.elapsed());
                    requests.recv_timeout(if self.is_only_claimed() { IDLE.min(left) } else { left })
                }
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match first {
                Ok(first) => {
                    let batch = self.gather(first, requests);
                    self.usual = syncs(&batch);
                    self.serve(batch);
                }
                Err(RecvTimeoutError::Timeout) if self.is_only_claimed() => drop(self.settle()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return drop(self.settle()),
            }
        }
    }

    /// Takes what is waiting. It waits for more only to share a sync, and where more shared the last one: neither a lone
    /// writer nor a buffered write gains anything by it.
    fn gather(&self, first: Request, requests: &Receiver<Request>) -> Vec<Request> {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(BATCH - 1));
        let mut sharing = syncs(&batch);
        if sharing == 0 {
            return batch;
        }
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH && sharing < self.usual {
            match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(request) => {
                    sharing += usize::from(request.sync);
                    batch.push(request);
                }
                Err(_) => break,
            }
        }
        batch
    }

    /// Commits a batch and answers it.
    fn serve(&mut self, batch: Vec<Request>) {
        let mut rows = Rows::default();
        let mut head = self.head;
        let (mut sync, mut revokes) = (false, false);
        let mut accepted = Vec::with_capacity(batch.len());
        for Request { record, block, sync: wants_sync, reply, permit } in batch {
            revokes |= matches!(record, Record::Revocation { .. });
            let staged = self.stop.check().and_then(|()| self.stage(&mut rows, &mut head, record, block));
            match staged {
                Ok(()) => {
                    sync |= wants_sync;
                    accepted.push((reply, permit));
                }
                // A row that cannot be read concerns only who asked for it.
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        let result = if accepted.is_empty() { Ok(()) } else { self.commit(rows, head, sync) };
        if revokes {
            self.revocations.fetch_add(1, Ordering::Release);
        }
        for (reply, _permit) in accepted {
            // Whoever asked may have gone away meanwhile; what was written stays.
            let _ = reply.send(result.clone());
        }
    }

    /// Adds to the batch what `record` asks for and is not there yet.
    fn stage(
        &self,
        rows: &mut Rows,
        head: &mut Head,
        record: Record,
        block: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let record = match record {
            Record::Channels(_) | Record::Schedule(_) => {
                return self.stage_states(rows, head, &record, &block.unwrap_or_default());
            }
            Record::Unlisted { receipt, .. } => match self.unlist(rows, receipt)? {
                Some(record) => record,
                None => return Ok(()),
            },
            record => record,
        };
        let missing = |key: &Vec<u8>| Ok::<_, StoreError>(!rows.has(key) && !self.db.contains("an index", key)?);
        let block = match record.block().map(rows::block).zip(block) {
            Some((key, value)) if missing(&key)? => Some((key, value)),
            _ => None,
        };
        let record = match record {
            // Journal entries are all kept, as they come.
            Record::Started { .. } | Record::Intent { .. } | Record::Finished { .. } => record,
            Record::HandedOver { .. } | Record::Sent { .. } => record,
            Record::Waits { .. } => record,
            Record::Answered(request) if !self.waits(rows, &request)? => return Ok(()),
            Record::Answered(_) => record,
            Record::Unlisted { .. } | Record::Channels(_) | Record::Schedule(_) => record,
            Record::Block(_) if block.is_none() => return Ok(()),
            // A receipt that is filed again is recorded with what is new about it.
            Record::Receipt { id, mut lists } => {
                let known = if block.is_none() { self.filings(rows, &id)? } else { Vec::new() };
                lists.retain(|list| !known.iter().any(|(_, record)| is_listed(record, list)));
                if block.is_none() && lists.is_empty() {
                    return Ok(());
                }
                Record::Receipt { id, lists }
            }
            Record::Block(_) | Record::Delegation { .. } | Record::Revocation { .. } => record,
            Record::Claim(_) | Record::Cancelled(_) => record,
        };

        let bytes = record.encode();
        let next = head.next(&bytes);
        let mut indexes = rows::indexes(&record, next.sequence);
        // These are listed once, by the first record that asks for it. With a new block, so is its row.
        if let Record::Delegation { .. }
        | Record::Intent { .. }
        | Record::Revocation { .. }
        | Record::Claim(_)
        | Record::Cancelled(_) = record
            && block.is_none()
        {
            let mut new = Vec::with_capacity(indexes.len());
            for key in indexes {
                if missing(&key)? {
                    new.push(key);
                }
            }
            indexes = new;
            if indexes.is_empty() && !matches!(record, Record::Intent { .. }) {
                return Ok(());
            }
        }
        let number = next.sequence.to_be_bytes().to_vec();
        // The rows of receipts have the number in their keys.
        let value = if let Record::Receipt { .. } = record { Vec::new() } else { number.clone() };
        *head = next;
        rows.0.insert(rows::log(head.sequence), Some(rows::log_value(head, &bytes)));
        rows.0.extend(block.map(|(key, value)| (key, Some(value))));
        rows.0.extend(indexes.into_iter().map(|key| (key, Some(value.clone()))));
        match &record {
            Record::Started { run, .. } => drop(rows.0.insert(rows::open(run), Some(number))),
            Record::Finished { run, .. } | Record::HandedOver { run, .. } => {
                rows.0.insert(rows::open(run), None);
            }
            Record::Waits { request, .. } => drop(rows.0.insert(rows::waiting(request), Some(number))),
            Record::Answered(request) => drop(rows.0.insert(rows::waiting(request), None)),
            _ => {}
        }
        Ok(())
    }

    /// Adds new states of channels, or of a schedule, to the batch, if all of them follow what is written and about to be.
    fn stage_states(
        &self,
        rows: &mut Rows,
        head: &mut Head,
        record: &Record,
        mut states: &[u8],
    ) -> Result<(), StoreError> {
        const WHAT: &str = "a state";
        let written: &[Written] = match record {
            Record::Channels(written) => written,
            Record::Schedule(written) => std::slice::from_ref(written),
            _ => return Ok(()),
        };
        let key = if let Record::Schedule(_) = record { rows::schedule } else { rows::channel };
        let malformed = || channels::malformed(WHAT);
        let mut new = Vec::with_capacity(written.len());
        for written in written {
            let key = key(&written.id);
            let version = match rows.0.get(&key) {
                Some(row) => row.as_deref().map(channels::version),
                None => self.db.get(WHAT, &key)?.map(|row| channels::version(&row)),
            };
            let version = version.map_or(Ok(0), |version| version.ok_or_else(malformed))?;
            if version.checked_add(1) != Some(written.version) {
                return Err(channels::stale());
            }
            let (state, rest) = states.split_at_checked(written.length as usize).ok_or_else(malformed)?;
            new.push((key, Some(written.row(state))));
            states = rest;
        }
        let bytes = record.encode();
        *head = head.next(&bytes);
        rows.0.insert(rows::log(head.sequence), Some(rows::log_value(head, &bytes)));
        rows.0.extend(new);
        Ok(())
    }

    /// Whether a request waits, by what is written and about to be.
    fn waits(&self, rows: &Rows, request: &Cid) -> Result<bool, StoreError> {
        let key = rows::waiting(request);
        match rows.0.get(&key) {
            Some(row) => Ok(row.is_some()),
            None => self.db.contains("the index of requests that wait", &key),
        }
    }

    /// Adds to the batch that the rows of `receipt` are deleted. None where it has none.
    fn unlist(&self, rows: &mut Rows, receipt: Cid) -> Result<Option<Record>, StoreError> {
        let filings = self.filings(rows, &receipt)?;
        let records: Vec<u64> = filings.iter().map(|(number, _)| *number).collect();
        for (number, record) in filings {
            rows.0.extend(rows::indexes(&record, number).into_iter().map(|key| (key, None)));
        }
        Ok((!records.is_empty()).then_some(Record::Unlisted { receipt, records }))
    }

    /// The records by which the receipt `id` is listed, written and about to be.
    fn filings(&self, rows: &Rows, id: &Cid) -> Result<Vec<(u64, Record)>, StoreError> {
        let what = "the records of a receipt";
        let malformed = || StoreError::corrupt(format!("{what} {id}"), "a row is missing or malformed");
        let prefix = rows::filed(id);
        let written = self.db.prefix(what, &prefix)?;
        let waiting = rows.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let mut keys: BTreeSet<Vec<u8>> = written.iter().map(|(key, _)| key.to_vec()).collect();
        for (key, value) in waiting {
            // What an earlier request of this batch deletes is there no longer.
            if value.is_some() {
                keys.insert(key.clone())
            } else {
                keys.remove(key)
            };
        }
        let mut filings = Vec::with_capacity(keys.len());
        for key in keys {
            let number = key.get(prefix.len()..).and_then(rows::number).ok_or_else(malformed)?;
            let log = rows::log(number);
            let stored = match rows.0.get(&log) {
                Some(waiting) => waiting.clone(),
                None => self.db.get(what, &log)?.map(|row| row.to_vec()),
            };
            let record = stored.as_deref().and_then(rows::split_log_value).and_then(|(_, bytes)| Record::decode(bytes));
            let record = record.filter(|record| matches!(record, Record::Receipt { .. })).ok_or_else(malformed)?;
            filings.push((number, record));
        }
        Ok(filings)
    }

    /// Whether all that is not durable yet is the claim in `HEAD`.
    fn is_only_claimed(&self) -> bool {
        self.head == self.claim.head && self.file.is_dirty()
    }

    /// Writes the batch; with `sync`, all that was written so far is durable on return, and claimed by `HEAD`, which follows soon.
    fn commit(&mut self, rows: Rows, head: Head, sync: bool) -> Result<(), StoreError> {
        if rows.0.is_empty() {
            return if sync { self.sync() } else { Ok(()) };
        }
        if let Err(error) = self.db.write(rows.0.into_iter(), sync) {
            return Err(self.stop.stop(&error));
        }
        self.head = head;
        self.unsynced.get_or_insert_with(Instant::now);
        if sync { self.claim_head() } else { Ok(()) }
    }

    /// Syncs what was buffered, and the claim of it.
    fn settle(&mut self) -> Result<(), StoreError> {
        // Also when it fails: a store that has stopped has nothing more to wait for.
        self.unsynced = None;
        self.stop.check()?;
        self.sync()?;
        self.sync_claim()
    }

    /// Syncs what was buffered.
    fn sync(&mut self) -> Result<(), StoreError> {
        if self.head == self.claim.head {
            return Ok(());
        }
        if let Err(error) = self.db.sync() {
            return Err(self.stop.stop(&error));
        }
        self.claim_head()
    }

    /// Moves `HEAD` to the last record, which must have been synced, and the checkpoint if tables have caught up.
    fn claim_head(&mut self) -> Result<(), StoreError> {
        let mut claim = Claim { head: self.head, ..self.claim };
        match self.flushing {
            Some(flushed) if self.db.flushed() => {
                claim.checkpoint = flushed;
                self.flushing = None;
            }
            None if claim.head.sequence.saturating_sub(claim.checkpoint.sequence) >= CHECKPOINT => {
                if let Err(error) = self.db.start_flush() {
                    return Err(self.stop.stop(&error));
                }
                self.flushing = Some(claim.head);
            }
            _ => {}
        }
        if claim == self.claim {
            return Ok(());
        }
        self.write_claim(claim)
    }

    fn write_claim(&mut self, claim: Claim) -> Result<(), StoreError> {
        if let Err(error) = self.file.write(&claim) {
            return Err(self.stop.stop(&StoreError::io("writing HEAD", error)));
        }
        self.claim = claim;
        Ok(())
    }

    fn sync_claim(&mut self) -> Result<(), StoreError> {
        self.file.sync().map_err(|error| self.stop.stop(&StoreError::io("syncing HEAD", error)))
    }
}

/// How many of the requests ask for a sync.
fn syncs(batch: &[Request]) -> usize {
    batch.iter().filter(|request| request.sync).count()
}

/// What a batch will change, by key: the last word on a key counts, and `None` removes.
#[derive(Debug, Default)]
struct Rows(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Rows {
    fn has(&self, key: &[u8]) -> bool {
        self.0.contains_key(key)
    }
}

fn is_listed(record: &Record, list: &List) -> bool {
    matches!(record, Record::Receipt { lists, .. } if lists.contains(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;
    use ucan_core::block;

    #[test]
    fn a_failed_write_stops_the_store_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let [database, path] = ["fjall", "HEAD"].map(|name| folder.path().join(name));
        Db::create(&database).unwrap();
        std::fs::write(&path, HeadFile::initial()).unwrap();
        let db = Db::open(&database).unwrap().unwrap();
        let stop = Stop::default();
        let file = HeadFile::open(&path).unwrap().0;
        let mut committer =
            Committer::new(db, file, stop.clone(), Head::default(), Head::default(), Arc::default()).unwrap();

        let write = |committer: &mut Committer, name: &str, sync: bool| {
            let (reply, mut answer) = oneshot::channel();
            let record = Record::Block(block::raw_cid(name.as_bytes()));
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            committer.serve(vec![Request { record, block: Some(vec![0]), sync, reply, permit }]);
            answer.try_recv().unwrap()
        };
        write(&mut committer, "first", true).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().1.unwrap().head.sequence, 1);

        committer.file = HeadFile::read_only(&path).unwrap();
        let first = write(&mut committer, "second", true).unwrap_err().to_string();
        assert!(first.contains("close it and open it again"), "{first}");
        committer.file = HeadFile::open(&path).unwrap().0;
        for sync in [true, false] {
            let later = write(&mut committer, "third", sync).unwrap_err().to_string();
            assert_eq!(later, first);
        }
        assert!(committer.settle().is_err());
        assert_eq!(stop.check().unwrap_err().to_string(), first);
        // Nothing was claimed that was not acknowledged.
        assert_eq!(HeadFile::open(&path).unwrap().1.unwrap().head.sequence, 1);
    }
}
