//! The rows of the database: one keyspace, in which the first byte of a key says what the row is.
//!
//! | key | value |
//! |---|---|
//! | `b` CID | a block: `0` and its bytes, or `1` and its length where the bytes are a file |
//! | `c` task | the task was claimed: the number of the record |
//! | `d` sha2-256 of the audience, of the subject, CID | a delegation of that audience about that subject (an empty text for powerlines): the number of its record |
//! | `e` task, invocation | another executor was to be asked for the task by the invocation: the number of the record |
//! | `f` receipt, number | the record of this number filed the receipt |
//! | `g` run, invocation | the run was handed over by the invocation: the number of the record |
//! | `h` schedule | the same as `u`, of a schedule |
//! | `i` task | an intent was written: the number of its first record |
//! | `l` number, big-endian | the log: chain hash, record |
//! | `m` instruction, number, receipt | a receipt answers the instruction |
//! | `n` CID, number, receipt | the arguments of a receipt's task link to the CID |
//! | `o` run | the run is not over: the number of the record that started it |
//! | `r` CID, number, receipt | the outcome of a receipt links to the CID, or is its block |
//! | `s` sha2-256 of the issuer, number, receipt | the issuer signed the receipt |
//! | `t` task, number, receipt | a receipt answers the task |
//! | `u` channel | the version of its state, the hash that the log has of both, the state |
//! | `v` CID, sha2-256 of the revoker | what has this CID was revoked: the number of the record, which has the revoker |
//! | `w` request | the request waits for others: the number of the record, which has the time until which it does |
//! | `x` run | the run was cancelled: the number of the record |
//!
//! The rows of receipts have no values: the number in their keys is that of the record that first listed the receipt there,
//! so that lists are in the order of filing. CIDs are in their binary form, of which none is the beginning of another. fjall
//! applies a batch in its order, and a reader may look in between: blocks sort first, so that whoever sees an index row finds
//! the block that it names.

use sha2::{Digest, Sha256};
use ucan_core::Cid;
use ucan_invocation::Listing;

use crate::record::{Head, Record};

const BLOCK: u8 = b'b';
const CLAIM: u8 = b'c';
const AUDIENCE: u8 = b'd';
const SENT: u8 = b'e';
const FILED: u8 = b'f';
const HANDED_OVER: u8 = b'g';
const SCHEDULE: u8 = b'h';
const INTENT: u8 = b'i';
const LOG: u8 = b'l';
const MEMO: u8 = b'm';
const INPUT: u8 = b'n';
const OPEN: u8 = b'o';
const OUTPUT: u8 = b'r';
const ISSUER: u8 = b's';
const TASK: u8 = b't';
const CHANNEL: u8 = b'u';
const REVOKED: u8 = b'v';
const WAITING: u8 = b'w';
const CANCELLED: u8 = b'x';

/// The kinds of rows that belong to receipts.
pub(crate) const OF_RECEIPTS: [u8; 6] = [FILED, MEMO, INPUT, OUTPUT, ISSUER, TASK];

/// The key of the block `id`.
pub(crate) fn block(id: &Cid) -> Vec<u8> {
    key(BLOCK, &id.to_bytes())
}

/// The beginning of the keys of all delegations of `audience`.
pub(crate) fn audience(audience: &str) -> Vec<u8> {
    key(AUDIENCE, &Sha256::digest(audience.as_bytes()))
}

/// How many bytes stand between the audience and the CID in the key of a delegation.
pub(crate) const SUBJECT: usize = 32;

/// The beginning of the keys of all delegations of `audience` about `subject`.
pub(crate) fn granted(audience: &str, subject: &str) -> Vec<u8> {
    let mut key = self::audience(audience);
    key.extend(Sha256::digest(subject.as_bytes()));
    key
}

/// The key of the intent to run `task`.
pub(crate) fn intent(task: &Cid) -> Vec<u8> {
    key(INTENT, &task.to_bytes())
}

/// The key of the claim of `task`.
pub(crate) fn claim(task: &Cid) -> Vec<u8> {
    key(CLAIM, &task.to_bytes())
}

/// The beginning of the keys of all revocations of what has this CID.
pub(crate) fn revoked(name: &Cid) -> Vec<u8> {
    key(REVOKED, &name.to_bytes())
}

/// The beginning of the keys of all channels.
pub(crate) fn all_channels() -> Vec<u8> {
    vec![CHANNEL]
}

/// The key of the state of the channel `id`.
pub(crate) fn channel(id: &Cid) -> Vec<u8> {
    key(CHANNEL, &id.to_bytes())
}

/// The beginning of the keys of all schedules.
pub(crate) fn all_schedules() -> Vec<u8> {
    vec![SCHEDULE]
}

/// The key of the state of the schedule `id`.
pub(crate) fn schedule(id: &Cid) -> Vec<u8> {
    key(SCHEDULE, &id.to_bytes())
}

/// The key of the record `sequence`.
pub(crate) fn log(sequence: u64) -> Vec<u8> {
    key(LOG, &sequence.to_be_bytes())
}

/// The beginning of the keys that name the records of `receipt`.
pub(crate) fn filed(receipt: &Cid) -> Vec<u8> {
    key(FILED, &receipt.to_bytes())
}

/// A list of receipts: the beginning of the keys of its rows, which says by itself where it ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct List(Vec<u8>);

impl List {
    pub(crate) fn of(listing: &Listing) -> Self {
        Self(match listing {
            Listing::Task(id) => key(TASK, &id.cid().to_bytes()),
            Listing::Instruction(id) => key(MEMO, &id.cid().to_bytes()),
            Listing::Input(cid) => key(INPUT, &cid.to_bytes()),
            Listing::Output(cid) => key(OUTPUT, &cid.to_bytes()),
            Listing::Issuer(issuer) => key(ISSUER, &Sha256::digest(issuer.as_bytes())),
        })
    }

    /// Takes a list from the beginning of `rest`; `None` where there is none.
    pub(crate) fn read(rest: &mut &[u8]) -> Option<Self> {
        let (&kind, mut after) = rest.split_first()?;
        match kind {
            TASK | MEMO | INPUT | OUTPUT => drop(Cid::read_bytes(&mut after).ok()?),
            ISSUER => after = after.get(32..)?,
            _ => return None,
        }
        let list = rest.get(..rest.len() - after.len())?.to_vec();
        *rest = after;
        Some(Self(list))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The beginning of the key of the row that the record `number` wrote, or of the first one after it.
    pub(crate) fn from(&self, number: u64) -> Vec<u8> {
        numbered(&self.0, number)
    }

    /// The key of the row that lists `receipt`.
    fn row(&self, number: u64, receipt: &Cid) -> Vec<u8> {
        entry(self.from(number), receipt)
    }

    /// The number and the receipt in the key of a row of this list.
    pub(crate) fn split(&self, key: &[u8]) -> Option<(u64, Cid)> {
        let (number, receipt) = key.get(self.0.len()..)?.split_first_chunk()?;
        Some((u64::from_be_bytes(*number), Cid::try_from(receipt).ok()?))
    }
}

fn numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 48);
    key.extend(prefix);
    key.extend(number.to_be_bytes());
    key
}

/// The beginning of the keys of all runs that are not over.
pub(crate) fn open_runs() -> Vec<u8> {
    vec![OPEN]
}

/// The key of the open run `run`.
pub(crate) fn open(run: &Cid) -> Vec<u8> {
    key(OPEN, &run.to_bytes())
}

/// The key of the run `run`, which was cancelled.
pub(crate) fn cancelled(run: &Cid) -> Vec<u8> {
    key(CANCELLED, &run.to_bytes())
}

/// The beginning of the keys of the handovers of the run `run`.
pub(crate) fn handed_over(run: &Cid) -> Vec<u8> {
    key(HANDED_OVER, &run.to_bytes())
}

/// The beginning of the keys of the invocations by which other executors were asked for `task`.
pub(crate) fn sent(task: &Cid) -> Vec<u8> {
    key(SENT, &task.to_bytes())
}

/// The beginning of the keys of all requests that wait.
pub(crate) fn all_waiting() -> Vec<u8> {
    vec![WAITING]
}

/// The key of the request `id`, which waits.
pub(crate) fn waiting(id: &Cid) -> Vec<u8> {
    key(WAITING, &id.to_bytes())
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend(rest);
    key
}

/// `prefix` with `id` after it.
pub(crate) fn entry(mut prefix: Vec<u8>, id: &Cid) -> Vec<u8> {
    prefix.extend(id.to_bytes());
    prefix
}

/// The CID that is all of a key but for its first byte.
pub(crate) fn only_cid(key: &[u8]) -> Option<Cid> {
    Cid::try_from(key.get(1..)?).ok()
}

/// The CID that comes after so many bytes of a key.
pub(crate) fn last_cid(key: &[u8], before: usize) -> Option<Cid> {
    Cid::try_from(key.get(before..)?).ok()
}

/// The index rows that `record`, being the record `number`, asks for, apart from those of open runs and requests that wait, which
/// come and go. Each is written once, by the first record that asks for it, and never altered; those of a receipt are deleted when
/// it is taken out of its lists.
pub(crate) fn indexes(record: &Record, number: u64) -> Vec<Vec<u8>> {
    match record {
        Record::Receipt { id, lists } => {
            let filed = numbered(&filed(id), number);
            [filed].into_iter().chain(lists.iter().map(|list| list.row(number, id))).collect()
        }
        Record::Delegation { id, audience, subject } => vec![entry(granted(audience, subject), id)],
        Record::Intent { task, .. } => vec![intent(task)],
        Record::Revocation { name, by } => {
            let mut key = revoked(name);
            key.extend(Sha256::digest(by.as_bytes()));
            vec![key]
        }
        Record::Claim(task) => vec![claim(task)],
        Record::Cancelled(run) => vec![cancelled(run)],
        Record::HandedOver { run, handover } => vec![entry(handed_over(run), handover)],
        Record::Sent { task, invocation, .. } => vec![entry(sent(task), invocation)],
        Record::Block(_) | Record::Started { .. } | Record::Finished { .. } => Vec::new(),
        Record::Waits { .. } | Record::Answered(_) | Record::Unlisted { .. } => Vec::new(),
        Record::Channels(_) | Record::Schedule(_) => Vec::new(),
    }
}

/// The value of a log row.
pub(crate) fn log_value(head: &Head, record: &[u8]) -> Vec<u8> {
    let mut value = head.hash.to_vec();
    value.extend(record);
    value
}

/// The chain hash and the record in a log row; `None` where it is too short.
pub(crate) fn split_log_value(value: &[u8]) -> Option<(&[u8; 32], &[u8])> {
    value.split_first_chunk()
}

/// The number at the end of the key of a log row or of a row `f`, or in the value of an index row.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What a block row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// The bytes themselves.
    Inline(&'a [u8]),
    /// That they are a file of so many bytes.
    File(u64),
}

impl<'a> Stored<'a> {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Inline(bytes) => key(0, bytes),
            Self::File(length) => key(1, &length.to_be_bytes()),
        }
    }

    pub(crate) fn decode(value: &'a [u8]) -> Option<Self> {
        match value.split_first()? {
            (0, bytes) => Some(Self::Inline(bytes)),
            (1, length) => Some(Self::File(number(length)?)),
            _ => None,
        }
    }
}
