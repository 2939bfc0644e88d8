//! The database, with its errors made ours and its panics caught.
//!
//! What is read is named by something that is only formatted where reading it fails.

use std::fmt::Display;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::config::{CompressionPolicy, HashRatioPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode, Readable};
use ucan_core::StoreError;

/// The only keyspace. fjall recovers each keyspace by itself, so that two can come back in different states; within one,
/// a batch is there or it is not, and with it the log record by which that is found out.
const KEYSPACE: &str = "store";
const MEMTABLE: u64 = 16 << 20;
const JOURNAL: u64 = 64 << 20;

/// The open database.
#[derive(Clone)]
pub(crate) struct Db {
    database: Database,
    rows: Keyspace,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}

impl Db {
    /// Makes a database in the folder `path`, which must not exist, and closes it.
    pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
        guarded("the new database", || {
            let database = Database::builder(path).open()?;
            // Log keys are looked up by their order and blocks by their hash: both mostly exist when they are asked for.
            database.keyspace(KEYSPACE, || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE)
                    .data_block_compression_policy(CompressionPolicy::all(fjall::CompressionType::Lz4))
                    .data_block_hash_ratio_policy(HashRatioPolicy::all(1.0))
            })?;
            database.persist(PersistMode::SyncAll)
        })
    }

    /// Opens the database in `path`; `None` where it has lost the keyspace.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        guarded("the database", || {
            let database = Database::builder(path).max_journaling_size(JOURNAL).worker_threads(2).open()?;
            if !database.keyspace_exists(KEYSPACE) {
                return Ok(None);
            }
            let rows = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
            Ok(Some(Self { database, rows }))
        })
    }

    /// The database as it is now, for reads that have to agree with each other.
    pub(crate) fn view(&self) -> View {
        View { snapshot: self.database.snapshot(), rows: self.rows.clone() }
    }

    pub(crate) fn get(&self, what: impl Display, key: &[u8]) -> Result<Option<fjall::Slice>, StoreError> {
        guarded(what, || self.rows.get(key))
    }

    pub(crate) fn contains(&self, what: impl Display, key: &[u8]) -> Result<bool, StoreError> {
        guarded(what, || self.rows.contains_key(key))
    }

    /// All rows whose keys begin with `prefix`, in the order of their keys.
    pub(crate) fn prefix(&self, what: impl Display, prefix: &[u8]) -> Result<Vec<fjall::KvPair>, StoreError> {
        guarded(what, || self.rows.prefix(prefix).map(fjall::Guard::into_inner).collect())
    }

    /// At most `limit` rows with keys from `from` to before `to`, in the order of their keys.
    pub(crate) fn range(
        &self,
        what: impl Display,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<fjall::KvPair>, StoreError> {
        guarded(what, || self.rows.range(from..to).take(limit).map(fjall::Guard::into_inner).collect())
    }

    /// Writes rows (`None` removes) in one atomic batch, and syncs it and all before it if `sync` says so.
    pub(crate) fn write(
        &self,
        rows: impl ExactSizeIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        sync: bool,
    ) -> Result<(), StoreError> {
        guarded("the database", || {
            let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
            let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), rows.len()).durability(Some(mode));
            for (key, value) in rows {
                match value {
                    Some(value) => batch.insert(&self.rows, key, value),
                    None => batch.remove(&self.rows, key),
                }
            }
            batch.commit()
        })
    }

    /// Syncs all that was written.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        guarded("the database", || self.database.persist(PersistMode::SyncAll))
    }

    /// Starts to move all that was written so far into tables.
    pub(crate) fn start_flush(&self) -> Result<(), StoreError> {
        guarded("the database", || self.rows.rotate_memtable().map(drop))
    }

    /// Whether all flushes that were started are done.
    pub(crate) fn flushed(&self) -> bool {
        self.rows.sealed_memtable_count() == 0
    }
}

/// The database as it was at one moment.
pub(crate) struct View {
    snapshot: fjall::Snapshot,
    rows: Keyspace,
}

impl View {
    pub(crate) fn get(&self, what: impl Display, key: &[u8]) -> Result<Option<fjall::Slice>, StoreError> {
        guarded(what, || self.snapshot.get(&self.rows, key))
    }

    pub(crate) fn contains(&self, what: impl Display, key: &[u8]) -> Result<bool, StoreError> {
        guarded(what, || self.snapshot.contains_key(&self.rows, key))
    }

    /// How many rows have keys that begin with `prefix`.
    pub(crate) fn count(&self, what: impl Display, prefix: &[u8]) -> Result<u64, StoreError> {
        guarded(what, || {
            self.snapshot.prefix(&self.rows, prefix).try_fold(0, |count, row| row.key().map(|_| count + 1))
        })
    }

    pub(crate) fn prefix(&self, what: impl Display, prefix: &[u8]) -> Result<Vec<fjall::KvPair>, StoreError> {
        guarded(what, || self.snapshot.prefix(&self.rows, prefix).map(fjall::Guard::into_inner).collect())
    }

    /// At most `limit` rows with keys from `from` to before `to`.
    pub(crate) fn range(
        &self,
        what: impl Display,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<fjall::KvPair>, StoreError> {
        guarded(what, || self.snapshot.range(&self.rows, from..to).take(limit).map(fjall::Guard::into_inner).collect())
    }
}

/// Runs `f`, and turns what fjall may answer, or panic with, into an error. It has assertions about what it reads from
/// its files, and a file that is damaged must not bring the host down.
pub(crate) fn guarded<T>(what: impl Display, f: impl FnOnce() -> fjall::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(classified(what, error)),
        Err(panic) => {
            Err(StoreError::corrupt(what.to_string(), format_args!("the database gave up: {}", message(&*panic))))
        }
    }
}

/// Failures of the medium are told from files that are not as they were written.
fn classified(what: impl Display, error: fjall::Error) -> StoreError {
    let kind = match &error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => Some(error.kind()),
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => Some(ErrorKind::Other),
        _ => None,
    };
    match kind {
        None
        | Some(ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            StoreError::corrupt(what.to_string(), format_args!("{error:?}"))
        }
        Some(_) => StoreError::io(what.to_string(), error),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
