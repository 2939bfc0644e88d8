use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use ucan_core::{Cid, StoreError};
use ucan_invocation::{Receipt, ReceiptId};

use crate::blocks::{self, Blocks, Depth, Found};
use crate::committer::{Committer, Request, Stop};
use crate::db::Db;
use crate::error::{Damage, OpenError};
use crate::files::Files;
use crate::folder::Folder;
use crate::head::HeadFile;
use crate::recent::Recent;
use crate::record::{Head, Record};
use crate::rows::{self, List};
use crate::verify::{Report, database, verify};

/// How many writes may wait at the same time; further ones wait for their turn before they are handed over.
const WAITING: usize = 1024;

/// A store in a folder of its own: blocks, delegations, receipts and the journal of an IPVM node.
///
/// Clones are handles to the same store. When the last one is dropped, all that was written is synced and the folder
/// is free again; that takes a few milliseconds, and blocks.
///
/// After a write or a sync has failed, the store stops: every later call answers an error that says to close it and
/// open it again. What the medium holds after a failed sync can only be found out by reading it anew.
#[derive(Clone)]
pub struct FjallStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    db: Db,
    blocks: Blocks,
    recent: Recent,
    stop: Stop,
    permits: Arc<Semaphore>,
    /// How many batches with revocations were written since the store was opened.
    pub(crate) revocations: Arc<AtomicU64>,
    /// Tasks whose claims are being written.
    pub(crate) claiming: Mutex<HashSet<Cid>>,
    /// Both are there until the store is dropped.
    requests: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
    /// Last: the lock is let go of when the database is closed.
    folder: Folder,
}

impl FjallStore {
    /// Opens the store in the folder `path`, or makes one where there is none; its parent folder must exist.
    ///
    /// The log is verified from its last checkpoint on, which is never more than about 33,000 records back: what may
    /// still depend on the database's journal, all of it and all that it lists; what is in synced tables, which carry
    /// checksums, when it is read. [`check`](Self::check) verifies everything.
    ///
    /// This reads and writes files and takes milliseconds, after a crash up to seconds: in async code, call it from
    /// a blocking task.
    ///
    /// # Errors
    /// [`OpenError`], whose text can be shown as it is.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut folder = Folder::open(path)?;
        let damaged = |damage| OpenError::damaged(path, damage);
        let failed = |error: StoreError| match error {
            StoreError::Corrupt { .. } => damaged(database(error)),
            other => OpenError::io(path, &std::io::Error::other(other)),
        };

        let (file, claim) = HeadFile::open(&folder.head()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged(head_damage("it does not exist")),
            _ => OpenError::io(&folder.head(), &error),
        })?;
        let claim = claim.ok_or_else(|| damaged(head_damage("neither of its slots is whole")))?;
        let db = Db::open(&folder.database())
            .map_err(failed)?
            .ok_or_else(|| damaged(Damage::Database { detail: "it no longer has its keyspace".to_owned() }))?;
        let files = Files::open(folder.blocks()).map_err(|error| OpenError::io(&folder.blocks(), &error))?;
        let blocks = Blocks::new(db.clone(), files);

        let (head, report) = verify(&db.view(), &blocks, &claim, claim.checkpoint, Depth::Present);
        if let Some(damage) = report.damage.into_iter().next() {
            return Err(damaged(damage));
        }
        if folder.fresh && head.sequence > 0 {
            return Err(damaged(Damage::File {
                name: "FORMAT".to_owned(),
                detail: "it does not exist, although the store holds something".to_owned(),
            }));
        }

        let stop = Stop::default();
        let revocations = Arc::<AtomicU64>::default();
        let committer = Committer::new(db.clone(), file, stop.clone(), head, claim.checkpoint, revocations.clone())
            .map_err(failed)?;
        folder.finish()?;
        let (requests, waiting) = mpsc::channel();
        let committer = std::thread::Builder::new()
            .name("ipvm-fjall".to_owned())
            .spawn(move || committer.run(&waiting))
            .map_err(|error| OpenError::io(path, &error))?;
        Ok(Self(Arc::new(Inner {
            db,
            blocks,
            recent: Recent::default(),
            stop,
            permits: Arc::new(Semaphore::new(WAITING)),
            revocations,
            claiming: Mutex::default(),
            requests: Some(requests),
            committer: Some(committer),
            folder,
        })))
    }

    /// The folder of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }

    /// Verifies the whole log, and reads every block that it lists. Writes can go on meanwhile; what is written after
    /// the call is not looked at.
    ///
    /// # Errors
    /// [`StoreError`] where the store has stopped, or `HEAD` cannot be read.
    pub async fn check(&self) -> Result<Report, StoreError> {
        let inner = Arc::clone(&self.0);
        unblocked(move || {
            inner.stop.check()?;
            let head = inner.folder.head();
            let (_, claim) = HeadFile::open(&head).map_err(|error| StoreError::io("reading HEAD", error))?;
            let claim = claim.ok_or_else(|| StoreError::corrupt("HEAD", "neither of its slots is whole"))?;
            // The claim is read first: whatever it covers is in the view, and maybe more.
            let view = inner.db.view();
            Ok(verify(&view, &inner.blocks, &claim, Head::default(), Depth::Read).1)
        })
        .await
    }

    /// The database, unless the store has stopped. Point reads and short lists are done where they are asked for:
    /// they take microseconds from memory, and seldom more than one read of a few kilobytes.
    pub(crate) fn db(&self) -> Result<&Db, StoreError> {
        self.0.stop.check()?;
        Ok(&self.0.db)
    }

    /// The verified bytes of a block.
    pub(crate) async fn block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        self.0.stop.check()?;
        match self.0.blocks.find(cid)? {
            None => Ok(None),
            Some(Found::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Found::File) => {
                let (blocks, cid) = (self.0.blocks.clone(), *cid);
                unblocked(move || blocks.read_file(&cid)).await.map(Some)
            }
        }
    }

    /// Whether a block is there, as far as can be told without reading it.
    pub(crate) fn has_block(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.0.stop.check()?;
        self.0.blocks.check(cid, Depth::Present)
    }

    /// Writes `record` with the bytes of its block, which must hash to its CID.
    pub(crate) async fn write_with_block(&self, record: Record, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        self.0.stop.check()?;
        let (row, is_file) = blocks::row(bytes);
        if let Some(cid) = record.block().copied().filter(|_| is_file) {
            let (blocks, bytes) = (self.0.blocks.clone(), bytes.to_vec());
            unblocked(move || match blocks.check(&cid, Depth::Present)? {
                true => Ok(()),
                false => blocks.write_file(&cid, &bytes),
            })
            .await?;
        }
        self.write(record, Some(row), sync).await
    }

    /// Hands a record to the committer and waits for its answer.
    pub(crate) async fn write(&self, record: Record, block: Option<Vec<u8>>, sync: bool) -> Result<(), StoreError> {
        self.0.stop.check()?;
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { record, block, sync, reply, permit };
        let requests = self.0.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(request).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// The CIDs that are listed under `prefix`, with so many bytes in between, in the order in which they were filed.
    pub(crate) fn listed(&self, what: &str, prefix: &[u8], between: usize) -> Result<Vec<Cid>, StoreError> {
        let malformed = || StoreError::corrupt(what, "a row is malformed");
        let mut listed = Vec::new();
        for (key, value) in self.db()?.prefix(what, prefix)? {
            let number = rows::number(&value).ok_or_else(malformed)?;
            listed.push((number, rows::last_cid(&key, prefix.len() + between).ok_or_else(malformed)?));
        }
        listed.sort_unstable_by_key(|(number, _)| *number);
        Ok(listed.into_iter().map(|(_, cid)| cid).collect())
    }
}

impl FjallStore {
    /// The receipts in `list` after the record `after`, at most `limit`, each with the number of the record that listed it.
    pub(crate) fn receipt_ids(
        &self,
        list: &List,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ReceiptId)>, StoreError> {
        const WHAT: &str = "a list of receipts";
        // No record has the last number.
        let (from, to) = (list.from(after.saturating_add(1)), list.from(u64::MAX));
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.db()?.range(WHAT, &from, &to, limit)?;
        let split = |key: &[u8]| list.split(key).ok_or_else(|| StoreError::corrupt(WHAT, "a row is malformed"));
        rows.iter().map(|(key, _)| split(key).map(|(number, id)| (number, ReceiptId::new(id)))).collect()
    }

    /// Remembers a receipt that was filed.
    pub(crate) fn remember(&self, id: ReceiptId, receipt: &Receipt) {
        self.0.recent.insert(id, receipt);
    }

    pub(crate) async fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, StoreError> {
        // A store that has stopped answers nothing more, not even what it remembers.
        self.0.stop.check()?;
        if let Some(receipt) = self.0.recent.get(id) {
            return Ok(Some(receipt));
        }
        // Decoding hashes the bytes anyway: whatever is not the receipt that was asked for is looked at once more, and
        // verified, to find out why.
        let decode = |bytes: &[u8]| Receipt::decode(bytes).ok();
        let receipt = match self.0.blocks.inline(id.cid(), |bytes| decode(bytes).filter(|read| read.id() == *id))? {
            Some(receipt) => Some(receipt),
            // A block that hashes to this id and is not a receipt: then there is no such receipt.
            None => self.block(id.cid()).await?.and_then(|bytes| decode(&bytes)),
        };
        if let Some(receipt) = &receipt {
            self.remember(*id, receipt);
        }
        Ok(receipt)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without a sender the committer syncs, moves HEAD, and ends.
        drop(self.requests.take());
        let committer = self.committer.take();
        if committer.is_some_and(|committer| committer.join().is_err()) {
            tracing::error!(path = %self.folder.path().display(), "the committer of the store panicked");
        }
    }
}

impl fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn head_damage(detail: &str) -> Damage {
    Damage::File { name: "HEAD".to_owned(), detail: detail.to_owned() }
}

/// Runs what can wait for the disk away from the threads that run futures.
async fn unblocked<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(f).await.map_err(|error| StoreError::io("a blocking task", error))?
}
