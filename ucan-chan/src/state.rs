//! The bytes of a channel and of a purse, for those who keep them.

use std::collections::HashSet;

use ucan_core::{Cid, Did, Ipld, Timestamp, dagcbor};
use ucan_invocation::TaskId;

use crate::amount::amount;
use crate::args::{integer, text};
use crate::channel::{Channel, Side, Status};
use crate::purse::Purse;
use crate::tasks::{Known, Stage, TASKS};
use crate::terms::{DEPTH, Terms};

/// The most bytes that a state has, in and out: a voucher of 4,096, a chain of 8, 64 tasks, and DIDs of the longest keys.
pub const STATE: usize = 16 << 10;
/// What comes first: of which kind and version a state is.
const CHANNEL: &str = "chan2";
const PURSE: &str = "purse1";

/// Why bytes are not a state, or there are none for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// They are not what was kept, or were kept by another version.
    #[error("these bytes are not the state of a channel that this version has kept")]
    Malformed,
    /// It is too large: names in it are longer than any key needs.
    #[error("the state has {0} bytes, more than 16384: the DIDs in it are too long")]
    TooLong(usize),
}

impl Channel {
    /// The bytes of the channel. Their number depends on the names in it, and not on its use.
    ///
    /// # Errors
    /// [`StateError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let (status, at, by) = match self.status {
            Status::Open => (0, 0, 0),
            Status::Closing { until, by } => {
                (1, until.as_secs(), by.map_or(0, |by| 1 + u64::from(by == Side::Provider)))
            }
            Status::Settled { due } => (2, due, 0),
        };
        let mut list = vec![Ipld::String(CHANNEL.to_owned())];
        put_terms(&mut list, &self.terms);
        list.extend([Ipld::Link(self.opened), Ipld::Bytes(self.voucher.clone())]);
        let (closed_seq, closed_total) = self.closed_at;
        let numbers = [
            self.window,
            status,
            at,
            by,
            closed_seq,
            closed_total,
            self.sequence,
            self.total,
            self.allotted,
            self.children,
            self.charged,
            self.charges,
            self.epoch,
        ];
        list.extend(numbers.map(integer));
        list.push(Ipld::List(self.tasks.iter().map(put_task).collect()));
        bytes(list)
    }

    /// Reads a channel.
    ///
    /// # Errors
    /// [`StateError::Malformed`] where the bytes are not exactly those of one.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut rest = Rest::of(bytes, CHANNEL)?;
        let terms = rest.terms()?;
        let (opened, voucher) = (rest.link()?, rest.bytes()?);
        let [window, status, at, by, closed_seq, closed_total] = rest.numbers()?;
        let [sequence, total, allotted, children, charged, charges, epoch] = rest.numbers()?;
        let tasks = rest.tasks(charges)?;
        rest.end()?;
        let status = match (status, by) {
            (0, 0) if at == 0 => Status::Open,
            (1, 0..=2) => Status::Closing {
                until: time(at)?,
                by: [None, Some(Side::Holder), Some(Side::Provider)]
                    .get(usize::try_from(by).unwrap_or(usize::MAX))
                    .copied()
                    .flatten(),
            },
            (2, 0) => Status::Settled { due: at },
            _ => return Err(StateError::Malformed),
        };
        let used = total.checked_add(allotted).filter(|used| *used <= terms.budget);
        if used.is_none() || (sequence == 0) != voucher.is_empty() {
            return Err(StateError::Malformed);
        }
        Ok(Self {
            terms,
            opened,
            window,
            status,
            closed_at: (closed_seq, closed_total),
            sequence,
            total,
            voucher,
            allotted,
            children,
            charged,
            charges,
            tasks,
            epoch,
        })
    }
}

impl Purse {
    /// The bytes of the purse.
    ///
    /// # Errors
    /// [`StateError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let mut list = vec![Ipld::String(PURSE.to_owned())];
        put_terms(&mut list, &self.terms);
        list.push(self.paid_for.map_or(Ipld::Null, |task| Ipld::Link(task.into())));
        let closed = u64::from(self.closed);
        let numbers = [self.sequence, self.total, self.charged, self.charges, self.under_way, self.allotted, closed];
        list.extend(numbers.map(integer));
        bytes(list)
    }

    /// Reads a purse.
    ///
    /// # Errors
    /// [`StateError::Malformed`] where the bytes are not exactly those of one.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut rest = Rest::of(bytes, PURSE)?;
        let terms = rest.terms()?;
        let paid_for = match rest.next()? {
            Ipld::Null => None,
            Ipld::Link(cid) => Some(TaskId::new(cid)),
            _ => return Err(StateError::Malformed),
        };
        let [sequence, total, charged, charges, under_way, allotted, closed] = rest.numbers()?;
        rest.end()?;
        let used = total.checked_add(allotted).filter(|used| *used <= terms.budget);
        if used.is_none() || (sequence == 0) != paid_for.is_none() || closed > 1 {
            return Err(StateError::Malformed);
        }
        let closed = closed == 1;
        Ok(Self { terms, sequence, total, paid_for, charged, charges, under_way, allotted, closed })
    }
}

fn put_terms(list: &mut Vec<Ipld>, terms: &Terms) {
    let did = |did: &Did| Ipld::String(did.as_str().to_owned());
    list.push(Ipld::List(terms.proofs.iter().copied().map(Ipld::Link).collect()));
    list.extend([did(&terms.provider), did(&terms.funder), did(&terms.holder), text(&terms.unit)]);
    list.extend([integer(terms.budget), integer(terms.expiration.as_secs())]);
}

fn bytes(list: Vec<Ipld>) -> Result<Vec<u8>, StateError> {
    let bytes = dagcbor::encode(&Ipld::List(list)).map_err(|_| StateError::Malformed)?;
    if bytes.len() > STATE { Err(StateError::TooLong(bytes.len())) } else { Ok(bytes) }
}

fn time(secs: u64) -> Result<Timestamp, StateError> {
    Timestamp::from_secs(secs).ok_or(StateError::Malformed)
}

/// `[task, limit]`, or `[task, number, cost, charged]`.
fn put_task(known: &Known) -> Ipld {
    let mut list = vec![Ipld::Link(known.task.into())];
    match known.stage {
        Stage::Reserved { limit } => list.push(integer(limit)),
        Stage::Charged { number, cost, charged } => list.extend([number, cost, charged].map(integer)),
    }
    Ipld::List(list)
}

fn read_task(item: Ipld) -> Result<Known, StateError> {
    let Ipld::List(list) = item else { return Err(StateError::Malformed) };
    let mut rest = Rest(list.into_iter());
    let (task, first) = (TaskId::new(rest.link()?), rest.number()?);
    if rest.0.len() == 0 {
        return Ok(Known { task, stage: Stage::Reserved { limit: first } });
    }
    let [cost, charged] = rest.numbers()?;
    rest.end()?;
    Ok(Known { task, stage: Stage::Charged { number: first, cost, charged } })
}

/// What is left of a list.
struct Rest(std::vec::IntoIter<Ipld>);

impl Rest {
    fn of(bytes: &[u8], kind: &str) -> Result<Self, StateError> {
        if bytes.len() > STATE {
            return Err(StateError::Malformed);
        }
        let Ok(Ipld::List(list)) = dagcbor::decode(bytes) else { return Err(StateError::Malformed) };
        let mut rest = Self(list.into_iter());
        match rest.next()? {
            Ipld::String(found) if found == kind => Ok(rest),
            _ => Err(StateError::Malformed),
        }
    }

    fn next(&mut self) -> Result<Ipld, StateError> {
        self.0.next().ok_or(StateError::Malformed)
    }

    fn end(mut self) -> Result<(), StateError> {
        if self.0.next().is_some() { Err(StateError::Malformed) } else { Ok(()) }
    }

    fn link(&mut self) -> Result<Cid, StateError> {
        if let Ipld::Link(cid) = self.next()? { Ok(cid) } else { Err(StateError::Malformed) }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, StateError> {
        if let Ipld::Bytes(bytes) = self.next()? { Ok(bytes) } else { Err(StateError::Malformed) }
    }

    fn text(&mut self) -> Result<String, StateError> {
        if let Ipld::String(text) = self.next()? { Ok(text) } else { Err(StateError::Malformed) }
    }

    fn did(&mut self) -> Result<Did, StateError> {
        Did::parse(&self.text()?).map_err(|_| StateError::Malformed)
    }

    fn number(&mut self) -> Result<u64, StateError> {
        amount(&self.next()?).ok_or(StateError::Malformed)
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u64; N], StateError> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Ok(numbers)
    }

    fn tasks(&mut self, charges: u64) -> Result<Vec<Known>, StateError> {
        let Ipld::List(list) = self.next()? else { return Err(StateError::Malformed) };
        if list.len() > TASKS {
            return Err(StateError::Malformed);
        }
        let tasks = list.into_iter().map(read_task).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        let fits = |known: &Known| match known.stage {
            Stage::Reserved { .. } => true,
            Stage::Charged { number, cost, charged } => (1..=charges).contains(&number) && cost <= charged,
        };
        if tasks.iter().all(|known| seen.insert(known.task) && fits(known)) {
            Ok(tasks)
        } else {
            Err(StateError::Malformed)
        }
    }

    fn terms(&mut self) -> Result<Terms, StateError> {
        let Ipld::List(links) = self.next()? else { return Err(StateError::Malformed) };
        let proofs: Vec<Cid> = links
            .into_iter()
            .map(|link| if let Ipld::Link(cid) = link { Ok(cid) } else { Err(StateError::Malformed) })
            .collect::<Result<_, _>>()?;
        let id = *proofs.last().filter(|_| proofs.len() <= DEPTH).ok_or(StateError::Malformed)?;
        let (provider, funder, holder) = (self.did()?, self.did()?, self.did()?);
        let unit = self.text()?.parse().map_err(|_| StateError::Malformed)?;
        let (budget, expiration) = (self.number()?, time(self.number()?)?);
        Ok(Terms { proofs, id, provider, funder, holder, unit, budget, expiration })
    }
}
