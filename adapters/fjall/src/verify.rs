//! Walking the log: on opening from the checkpoint on, and on request from its beginning.

use std::collections::BTreeMap;

use ucan_core::{Cid, StoreError};

use crate::blocks::{Blocks, Depth};
use crate::channels::Written;
use crate::db::View;
use crate::error::Damage;
use crate::head::Claim;
use crate::record::{Head, Record};
use crate::rows;

/// How many log rows are read at once.
const CHUNK: usize = 1024;
/// How many findings are reported.
const FINDINGS: usize = 1000;

/// What verifying the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Records in the log.
    pub records: u64,
    /// Records of blocks that were put.
    pub blocks: u64,
    /// Records of receipts that were filed; a receipt that was filed again under something new has more than one.
    pub receipts: u64,
    /// Records of receipts that were taken out of their lists.
    pub unlisted: u64,
    /// Records of delegations.
    pub delegations: u64,
    /// Journal entries.
    pub entries: u64,
    /// Records of revocations, one for each name of a delegation.
    pub revocations: u64,
    /// Records of tasks that were claimed.
    pub claims: u64,
    /// Records of requests that wait for others, and of those that wait no longer.
    pub requests: u64,
    /// Records of channels that were changed.
    pub channels: u64,
    /// Records of schedules that were changed.
    pub schedules: u64,
    /// What is wrong, the first 1,000 findings. Empty for a sound store.
    pub damage: Vec<Damage>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    fn count(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Block(_) => self.blocks += 1,
            Record::Receipt { .. } => self.receipts += 1,
            Record::Delegation { .. } => self.delegations += 1,
            Record::Started { .. } | Record::Intent { .. } | Record::Cancelled(_) => self.entries += 1,
            Record::Finished { .. } | Record::HandedOver { .. } | Record::Sent { .. } => self.entries += 1,
            Record::Revocation { .. } => self.revocations += 1,
            Record::Claim(_) => self.claims += 1,
            Record::Waits { .. } | Record::Answered(_) => self.requests += 1,
            Record::Unlisted { .. } => self.unlisted += 1,
            Record::Channels(_) => self.channels += 1,
            Record::Schedule(_) => self.schedules += 1,
        }
    }

    fn add(&mut self, damage: Damage) {
        if self.damage.len() < FINDINGS {
            self.damage.push(damage);
        }
    }
}

/// Verifies the log from `from` to its end: that it has no gap, that each record continues the chain, that the heads in
/// `claim` are part of it, and that what the records list is there. Answers the last record and what was found.
pub(crate) fn verify(view: &View, blocks: &Blocks, claim: &Claim, from: Head, depth: Depth) -> (Head, Report) {
    let mut walk = Walk {
        view,
        blocks,
        depth,
        head: from,
        ahead: Vec::new(),
        runs: BTreeMap::new(),
        requests: BTreeMap::new(),
        channels: BTreeMap::new(),
        schedules: BTreeMap::new(),
        listed: 0,
        absent: BTreeMap::new(),
        report: Report::default(),
    };
    // Nothing after a break in the chain can be told from what somebody else put there: the walk ends.
    let walked = walk.all(claim);
    let Walk { head, mut report, .. } = walk;
    if let Err(damage) = walked {
        report.add(damage);
    }
    (head, report)
}

struct Walk<'a> {
    view: &'a View,
    blocks: &'a Blocks,
    depth: Depth,
    head: Head,
    /// Records that were read and not walked yet, the next one last.
    ahead: Vec<LogRow>,
    /// Runs that the log has come across, and whether they are open.
    runs: BTreeMap<Cid, bool>,
    /// Requests that the log has come across, and whether they wait.
    requests: BTreeMap<Cid, bool>,
    /// The last that the log says of each channel, and the record that does.
    channels: States,
    /// The same of each schedule.
    schedules: States,
    /// How many rows of receipts the log has asked for.
    listed: u64,
    /// Index rows that are not there, with the record that asks for each: a later one may have had them deleted.
    absent: BTreeMap<Vec<u8>, u64>,
    report: Report,
}

/// The last states that the log has, each with the number of the record that has it.
type States = BTreeMap<Cid, (u64, Written)>;

struct LogRow {
    sequence: u64,
    hash: [u8; 32],
    record: Vec<u8>,
}

impl Walk<'_> {
    fn all(&mut self, claim: &Claim) -> Result<(), Damage> {
        let from = self.head;
        if from.sequence > 0 {
            self.start(claim)?;
        }
        while let Some(record) = self.next()? {
            for known in [&claim.head, &claim.checkpoint] {
                if self.head.sequence == known.sequence && self.head != *known {
                    return Err(Damage::Chain { sequence: known.sequence });
                }
            }
            self.report.count(&record);
            self.contents(&record)?;
        }
        if self.head.sequence < claim.head.sequence {
            return Err(Damage::Lost { claimed: claim.head.sequence, held: self.head.sequence });
        }
        for sequence in std::mem::take(&mut self.absent).into_values() {
            self.report.add(Damage::Missing { sequence, what: "an index row".to_owned() });
        }
        if from.sequence == 0 && self.depth == Depth::Read {
            self.receipts()?;
        }
        let (channels, schedules) = (std::mem::take(&mut self.channels), std::mem::take(&mut self.schedules));
        let all = from.sequence == 0;
        self.states("channel", &channels, rows::channel, &rows::all_channels(), all)?;
        self.states("schedule", &schedules, rows::schedule, &rows::all_schedules(), all)?;
        self.open_runs(from.sequence == 0)?;
        self.waiting(from.sequence == 0)
    }

    /// After a walk over the whole log that missed no row: there are no others either.
    fn receipts(&mut self) -> Result<(), Damage> {
        let mut found = 0;
        for kind in rows::OF_RECEIPTS {
            found += self.view.count("the lists of receipts", &[kind]).map_err(database)?;
        }
        // What is missing was reported where the log lists it.
        if found > self.listed {
            self.report.add(Damage::Unlisted { found, listed: self.listed });
        }
        Ok(())
    }

    /// The record from which the walk goes on must be the one that was written down.
    fn start(&self, claim: &Claim) -> Result<(), Damage> {
        let Head { sequence, hash } = self.head;
        match self.read(sequence, 1)?.first() {
            Some(row) if row.sequence == sequence && row.hash == hash => Ok(()),
            Some(row) if row.sequence == sequence => Err(Damage::Chain { sequence }),
            Some(_) => Err(Damage::Gap { sequence }),
            None => Err(Damage::Lost { claimed: claim.head.sequence, held: sequence.saturating_sub(1) }),
        }
    }

    /// The next record, if it continues the chain.
    fn next(&mut self) -> Result<Option<Record>, Damage> {
        let sequence = self.head.sequence + 1;
        if self.ahead.is_empty() {
            self.ahead = self.read(sequence, CHUNK)?;
            self.ahead.reverse();
        }
        let Some(row) = self.ahead.pop() else {
            return Ok(None);
        };
        if row.sequence != sequence {
            return Err(Damage::Gap { sequence });
        }
        let head = self.head.next(&row.record);
        let record = Record::decode(&row.record).filter(|_| head.hash == row.hash).ok_or(Damage::Chain { sequence })?;
        self.head = head;
        Ok(Some(record))
    }

    /// Looks for what the record at which the walk is lists.
    fn contents(&mut self, record: &Record) -> Result<(), Damage> {
        let sequence = self.head.sequence;
        if let Some(id) = record.block() {
            match self.blocks.check(id, self.depth) {
                Ok(true) => {}
                Ok(false) => self.report.add(Damage::Missing { sequence, what: format!("the block {id}") }),
                Err(error) => self.report.add(Damage::Block { cid: id.to_string(), detail: error.to_string() }),
            }
        }
        let indexes = rows::indexes(record, sequence);
        if let Record::Receipt { .. } = record {
            self.listed += indexes.len() as u64;
        }
        for key in indexes {
            if !self.has("an index", &key)? {
                self.absent.insert(key, sequence);
            }
        }
        match record {
            Record::Started { run, .. } => drop(self.runs.insert(*run, true)),
            Record::Finished { run, .. } | Record::HandedOver { run, .. } => drop(self.runs.insert(*run, false)),
            Record::Waits { request, .. } => drop(self.requests.insert(*request, true)),
            Record::Answered(request) => drop(self.requests.insert(*request, false)),
            Record::Unlisted { receipt, records } => self.unlisted(receipt, records)?,
            Record::Channels(written) => {
                self.channels.extend(written.iter().map(|written| (written.id, (sequence, written.clone()))));
            }
            Record::Schedule(written) => drop(self.schedules.insert(written.id, (sequence, written.clone()))),
            _ => {}
        }
        Ok(())
    }

    /// Looks that the rows of a receipt which these records had asked for are gone.
    fn unlisted(&mut self, receipt: &Cid, records: &[u64]) -> Result<(), Damage> {
        let sequence = self.head.sequence;
        for number in records {
            let row = self.read(*number, 1)?.into_iter().next().filter(|row| row.sequence == *number);
            let record = row.and_then(|row| Record::decode(&row.record));
            let filed = record.filter(|record| matches!(record, Record::Receipt { id, .. } if id == receipt));
            let filed = filed.ok_or(Damage::Gap { sequence: *number })?;
            let indexes = rows::indexes(&filed, *number);
            // Those from before the walk were not counted.
            self.listed = self.listed.saturating_sub(indexes.len() as u64);
            for key in indexes {
                if self.has("an index", &key)? {
                    self.report.add(Damage::StillListed { sequence, receipt: receipt.to_string() });
                }
                self.absent.remove(&key);
            }
        }
        Ok(())
    }

    /// Compares states with the log; `all` where the walk came across every one there is.
    fn states(
        &mut self,
        what: &str,
        states: &States,
        key: fn(&Cid) -> Vec<u8>,
        prefix: &[u8],
        all: bool,
    ) -> Result<(), Damage> {
        for (id, (sequence, written)) in states {
            let row = self.view.get(what, &key(id)).map_err(database)?;
            if row.is_none_or(|row| !written.is_row(&row)) {
                self.report
                    .add(Damage::Missing { sequence: *sequence, what: format!("this state of the {what} {id}") });
            }
        }
        let rows = if all { self.view.count(what, prefix).map_err(database)? } else { 0 };
        if rows > states.len() as u64 {
            let detail = format!("the state of a {what}: {rows} are there, and the log has {}", states.len());
            self.report.add(Damage::Database { detail });
        }
        Ok(())
    }

    /// Compares the index of open runs with the log; `all` where the walk came across every run there is.
    fn open_runs(&mut self, all: bool) -> Result<(), Damage> {
        let runs = std::mem::take(&mut self.runs);
        for run in self.astray("the index of open runs", &runs, &rows::open_runs(), rows::open, all)? {
            self.report.add(Damage::OpenRun { run });
        }
        Ok(())
    }

    /// The same for requests that wait.
    fn waiting(&mut self, all: bool) -> Result<(), Damage> {
        let requests = std::mem::take(&mut self.requests);
        for request in self.astray("the index of requests", &requests, &rows::all_waiting(), rows::waiting, all)? {
            self.report.add(Damage::Waiting { request });
        }
        Ok(())
    }

    /// What an index of things that come and go has and the log has not, or the other way round.
    fn astray(
        &self,
        what: &str,
        known: &BTreeMap<Cid, bool>,
        prefix: &[u8],
        key: fn(&Cid) -> Vec<u8>,
        all: bool,
    ) -> Result<Vec<String>, Damage> {
        let mut astray = Vec::new();
        for (id, is_there) in known {
            if self.has(what, &key(id))? != *is_there {
                astray.push(id.to_string());
            }
        }
        if all {
            for (key, _) in self.view.prefix(what, prefix).map_err(database)? {
                let id = rows::only_cid(&key);
                if id.is_none_or(|id| !known.contains_key(&id)) {
                    astray.push(id.map_or_else(|| "a malformed key".to_owned(), |id| id.to_string()));
                }
            }
        }
        Ok(astray)
    }

    /// At most `limit` records from `sequence` on.
    fn read(&self, sequence: u64, limit: usize) -> Result<Vec<LogRow>, Damage> {
        let (from, to) = (rows::log(sequence), rows::log(u64::MAX));
        let found = self.view.range("the log", &from, &to, limit).map_err(database)?;
        let mut log = Vec::with_capacity(found.len());
        for (key, value) in found {
            let number = key.get(1..).and_then(rows::number);
            let row = number.zip(rows::split_log_value(&value));
            let (sequence, (hash, record)) = row.ok_or(Damage::Chain { sequence })?;
            log.push(LogRow { sequence, hash: *hash, record: record.to_vec() });
        }
        Ok(log)
    }

    fn has(&self, what: &str, key: &[u8]) -> Result<bool, Damage> {
        self.view.contains(what, key).map_err(database)
    }
}

pub(crate) fn database(error: StoreError) -> Damage {
    Damage::Database { detail: error.to_string() }
}
