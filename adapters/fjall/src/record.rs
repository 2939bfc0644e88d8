//! What the log says: one record for every write, each bound to all before it.

use sha2::{Digest, Sha256};
use ucan_core::Cid;

use crate::channels::Written;
use crate::rows::List;

/// Up to where a log reaches: the number of its last record, and the hash that binds all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the last record; the first is 1, and 0 is the empty log.
    pub(crate) sequence: u64,
    /// The chain hash of that record; zeros for the empty log.
    pub(crate) hash: [u8; 32],
}

impl Head {
    /// The head after one more record: sha2-256 of the hash before it, its number, and its bytes (kind first).
    ///
    /// The content comes last, so that nothing can be read in two ways without hashing it by itself first.
    #[must_use]
    pub(crate) fn next(&self, record: &[u8]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(sequence.to_be_bytes());
        hasher.update(record);
        Self { sequence, hash: hasher.finalize().into() }
    }
}

/// One write.
///
/// A record names all that the write put into the store, so that the log alone says what has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A block was put.
    Block(Cid),
    /// A receipt was filed, in these lists.
    Receipt { id: Cid, lists: Vec<List> },
    /// A delegation was put. A powerline has an empty subject.
    Delegation { id: Cid, audience: String, subject: String },
    /// A run was accepted, from another executor where there is a handover, and was first started then, in seconds since 1970.
    Started { run: Cid, workflow: Cid, request: Cid, handover: Option<Cid>, at: Option<u64> },
    /// A task that alters the world is about to start.
    Intent { run: Cid, task: Cid },
    /// A run was cancelled.
    Cancelled(Cid),
    /// A run is over.
    Finished { run: Cid, receipt: Cid },
    /// A delegation was revoked, under one of its names.
    Revocation { name: Cid, by: String },
    /// A task was claimed, so that it is not begun again.
    Claim(Cid),
    /// A request waits for others, until a time in seconds since 1970 at the latest. Its bytes are a block.
    Waits { request: Cid, until: u64 },
    /// A request waits no longer.
    Answered(Cid),
    /// A receipt was taken out of the lists in which the records of these numbers had put it.
    Unlisted { receipt: Cid, records: Vec<u64> },
    /// Channels have these states. The states themselves are in their rows alone, because only the last one of each counts.
    Channels(Vec<Written>),
    /// A schedule has this state; the same holds for it.
    Schedule(Written),
    /// A run was handed over to another executor.
    HandedOver { run: Cid, handover: Cid },
    /// A task is about to be asked of another executor.
    Sent { run: Cid, task: Cid, invocation: Cid },
}

const BLOCK: u8 = 1;
const RECEIPT: u8 = 2;
const DELEGATION: u8 = 3;
const STARTED: u8 = 4;
const INTENT: u8 = 5;
const FINISHED: u8 = 6;
const REVOCATION: u8 = 7;
const CLAIM: u8 = 8;
const WAITS: u8 = 9;
const ANSWERED: u8 = 10;
const UNLISTED: u8 = 11;
const CANCELLED: u8 = 12;
const CHANNELS: u8 = 13;
const SCHEDULE: u8 = 14;
const HANDED_OVER: u8 = 15;
const SENT: u8 = 16;

/// How many bytes a time has.
const TIME: usize = 8;

impl Record {
    /// The block that the write keeps, where it keeps one.
    pub(crate) fn block(&self) -> Option<&Cid> {
        match self {
            Self::Block(id) | Self::Receipt { id, .. } | Self::Delegation { id, .. } => Some(id),
            Self::Waits { request, .. } => Some(request),
            Self::Started { .. } | Self::Intent { .. } | Self::Cancelled(_) | Self::Finished { .. } => None,
            Self::Revocation { .. } | Self::Claim(_) | Self::Answered(_) | Self::Unlisted { .. } => None,
            Self::Channels(_) | Self::Schedule(_) | Self::HandedOver { .. } | Self::Sent { .. } => None,
        }
    }

    /// The kind in one byte, then the CIDs one after the other; each says by itself where it ends.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, cids): (u8, Vec<&Cid>) = match self {
            Self::Block(id) => (BLOCK, vec![id]),
            Self::Receipt { id, .. } => (RECEIPT, vec![id]),
            Self::Delegation { id, .. } => (DELEGATION, vec![id]),
            Self::Started { run, workflow, request, handover, .. } => {
                (STARTED, [run, workflow, request].into_iter().chain(handover).collect())
            }
            Self::Cancelled(run) => (CANCELLED, vec![run]),
            Self::Intent { run, task } => (INTENT, vec![run, task]),
            Self::Finished { run, receipt } => (FINISHED, vec![run, receipt]),
            Self::Revocation { name, .. } => (REVOCATION, vec![name]),
            Self::Claim(task) => (CLAIM, vec![task]),
            Self::Waits { request, .. } => (WAITS, vec![request]),
            Self::Answered(request) => (ANSWERED, vec![request]),
            Self::Unlisted { receipt, .. } => (UNLISTED, vec![receipt]),
            Self::Channels(_) => (CHANNELS, Vec::new()),
            Self::Schedule(_) => (SCHEDULE, Vec::new()),
            Self::HandedOver { run, handover } => (HANDED_OVER, vec![run, handover]),
            Self::Sent { run, task, invocation } => (SENT, vec![run, task, invocation]),
        };
        let mut bytes = vec![kind];
        for cid in cids {
            bytes.extend(cid.to_bytes());
        }
        match self {
            Self::Receipt { lists, .. } => lists.iter().for_each(|list| bytes.extend(list.as_bytes())),
            // No DID has a space in it.
            Self::Delegation { audience, subject, .. } => bytes.extend(format!("{audience} {subject}").as_bytes()),
            Self::Revocation { by, .. } => bytes.extend(by.as_bytes()),
            Self::Waits { until, .. } => bytes.extend(until.to_be_bytes()),
            Self::Started { at, .. } => at.iter().for_each(|at| bytes.extend(at.to_be_bytes())),
            Self::Unlisted { records, .. } => records.iter().for_each(|number| bytes.extend(number.to_be_bytes())),
            Self::Channels(written) => written.iter().for_each(|written| written.encode(&mut bytes)),
            Self::Schedule(written) => written.encode(&mut bytes),
            _ => {}
        }
        bytes
    }

    /// Reads a record; `None` where the bytes are not one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut rest) = bytes.split_first()?;
        let record = match kind {
            BLOCK => Self::Block(cid(&mut rest)?),
            RECEIPT => {
                let id = cid(&mut rest)?;
                let mut lists = Vec::new();
                while !rest.is_empty() {
                    lists.push(List::read(&mut rest)?);
                }
                Self::Receipt { id, lists }
            }
            DELEGATION => {
                let id = cid(&mut rest)?;
                let (audience, subject) = std::str::from_utf8(std::mem::take(&mut rest)).ok()?.split_once(' ')?;
                Self::Delegation { id, audience: audience.to_owned(), subject: subject.to_owned() }
            }
            STARTED => {
                let (run, workflow, request) = (cid(&mut rest)?, cid(&mut rest)?, cid(&mut rest)?);
                // No CID is as short as a time.
                let handover = if rest.len() > TIME { Some(cid(&mut rest)?) } else { None };
                let at = match std::mem::take(&mut rest) {
                    // Earlier versions did not say.
                    [] => None,
                    at => Some(u64::from_be_bytes(at.try_into().ok()?)),
                };
                Self::Started { run, workflow, request, handover, at }
            }
            CANCELLED => Self::Cancelled(cid(&mut rest)?),
            INTENT => Self::Intent { run: cid(&mut rest)?, task: cid(&mut rest)? },
            FINISHED => Self::Finished { run: cid(&mut rest)?, receipt: cid(&mut rest)? },
            REVOCATION => {
                let name = cid(&mut rest)?;
                Self::Revocation { name, by: std::str::from_utf8(std::mem::take(&mut rest)).ok()?.to_owned() }
            }
            CLAIM => Self::Claim(cid(&mut rest)?),
            WAITS => {
                let request = cid(&mut rest)?;
                Self::Waits { request, until: u64::from_be_bytes(std::mem::take(&mut rest).try_into().ok()?) }
            }
            ANSWERED => Self::Answered(cid(&mut rest)?),
            UNLISTED => {
                let receipt = cid(&mut rest)?;
                let (numbers, left) = std::mem::take(&mut rest).as_chunks();
                rest = left;
                Self::Unlisted { receipt, records: numbers.iter().map(|number| u64::from_be_bytes(*number)).collect() }
            }
            CHANNELS => {
                let mut written = Vec::new();
                while !rest.is_empty() {
                    written.push(Written::decode(&mut rest)?);
                }
                Self::Channels(written)
            }
            SCHEDULE => Self::Schedule(Written::decode(&mut rest)?),
            HANDED_OVER => Self::HandedOver { run: cid(&mut rest)?, handover: cid(&mut rest)? },
            SENT => Self::Sent { run: cid(&mut rest)?, task: cid(&mut rest)?, invocation: cid(&mut rest)? },
            _ => return None,
        };
        rest.is_empty().then_some(record)
    }
}

fn cid(rest: &mut &[u8]) -> Option<Cid> {
    Cid::read_bytes(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::block;
    use ucan_invocation::{InstructionId, Listing, TaskId};

    #[test]
    fn records_survive_encoding() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| block::raw_cid(bytes));
        let lists = [
            Listing::Task(TaskId::new(b)),
            Listing::Instruction(InstructionId::new(c)),
            Listing::Input(b),
            Listing::Output(c),
            Listing::Issuer("did:key:zAlice".into()),
        ];
        let lists: Vec<_> = lists.iter().map(List::of).collect();
        for record in [
            Record::Block(a),
            Record::Receipt { id: a, lists: vec![] },
            Record::Receipt { id: a, lists: lists.clone() },
            Record::Receipt { id: a, lists: lists[3..].to_vec() },
            Record::Delegation { id: a, audience: "did:key:zAlice".into(), subject: "did:web:b".into() },
            Record::Delegation { id: a, audience: "did:key:zAlice".into(), subject: String::new() },
            Record::Started { run: a, workflow: b, request: c, handover: None, at: None },
            Record::Started { run: a, workflow: b, request: c, handover: Some(a), at: None },
            Record::Started { run: a, workflow: b, request: c, handover: None, at: Some(0) },
            Record::Started { run: a, workflow: b, request: c, handover: Some(a), at: Some(1 << 53) },
            Record::HandedOver { run: a, handover: c },
            Record::Sent { run: a, task: b, invocation: c },
            Record::Cancelled(a),
            Record::Intent { run: a, task: c },
            Record::Finished { run: a, receipt: b },
            Record::Revocation { name: a, by: "did:key:zAlice".into() },
            Record::Claim(c),
            Record::Waits { request: a, until: 7 },
            Record::Answered(b),
            Record::Unlisted { receipt: a, records: vec![3, u64::MAX] },
            Record::Channels(vec![
                Written { id: b, version: 1, length: 0, hash: [7; 32] },
                Written { id: c, version: u64::MAX, length: 900, hash: [0; 32] },
            ]),
            Record::Schedule(Written { id: a, version: 3, length: 70, hash: [9; 32] }),
        ] {
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes), Some(record.clone()));
            // No beginning of a record that ends within a CID is a record.
            assert_eq!(Record::decode(&bytes[..20]), None);
        }
        assert_eq!(Record::decode(&[]), None);
        assert_eq!(Record::decode(&[9, 9, 9]), None);
    }

    #[test]
    fn the_chain_binds_order_and_number() {
        let one = Head::default().next(b"one");
        assert_eq!(one.sequence, 1);
        assert_ne!(one.next(b"two").hash, Head::default().next(b"two").hash);
        assert_ne!(one.next(b"two").hash, Head { sequence: 7, ..one }.next(b"two").hash);
    }
}
