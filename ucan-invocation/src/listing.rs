use std::collections::BTreeSet;

use ucan_core::{Cid, Did, Ipld, Token, block, dagcbor};

use crate::{Filing, InstructionId, Outcome, Receipt, ReceiptId, Task, TaskId, promise};

/// A list of receipts that a [`ReceiptStore`](crate::ReceiptStore) keeps, in the order of filing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listing {
    /// Those of a task, as it was invoked or as it was resolved.
    Task(TaskId),
    /// Those that answer an instruction: the memo table.
    Instruction(InstructionId),
    /// Those of tasks whose arguments link to this, at any depth: what has been computed about it. A task that awaits
    /// another links to that one.
    Input(Cid),
    /// Those whose outcome links to this, at any depth, or whose result is this itself as a DAG-CBOR block: which tasks
    /// gave it.
    Output(Cid),
    /// Those that a principal issued; [`Listing::issuer`] makes it.
    Issuer(Box<str>),
}

impl Listing {
    /// The receipts that `issuer` issued, whichever of its keys it names in a fragment.
    #[must_use]
    pub fn issuer(issuer: &Did) -> Self {
        Self::Issuer(issuer.principal().into())
    }
}

impl Filing {
    /// Every list that `receipt` belongs to when it is filed like this, each once. Stores list it under these and no
    /// others, so that all of them derive the same from the same.
    #[must_use]
    pub fn listings(&self, receipt: &Receipt) -> Vec<Listing> {
        let all = (self.tasks.iter().copied().map(Listing::Task))
            .chain(self.memo.map(Listing::Instruction))
            .chain(self.inputs.iter().copied().map(Listing::Input))
            .chain(receipt.outputs().into_iter().map(Listing::Output))
            .chain([Listing::issuer(receipt.issuer())]);
        let mut seen = BTreeSet::new();
        all.filter(|listing| seen.insert(listing.clone())).collect()
    }
}

impl Receipt {
    /// What the outcome gave: its own CID as a DAG-CBOR block (of what is under `ok` or `error`), and every link in it.
    #[must_use]
    pub fn outputs(&self) -> Vec<Cid> {
        let (Outcome::Ok(value) | Outcome::Error(value)) = self.outcome();
        // What a receipt states could be encoded, or there would be no receipt.
        let whole = dagcbor::encode(value).ok().map(|bytes| block::dag_cbor_cid(&bytes));
        whole.into_iter().chain(links(value)).collect()
    }
}

impl Task {
    /// Every link in the arguments, promises included, each once: the inputs under which its receipt is filed.
    #[must_use]
    pub fn links(&self) -> Vec<Cid> {
        links(self.args_value())
    }
}

/// Every link in `value`, however deep, each once, in the order of the data.
#[must_use]
pub fn links(value: &Ipld) -> Vec<Cid> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    promise::visit(value, &mut |node| {
        if let Ipld::Link(cid) = node
            && seen.insert(cid)
        {
            found.push(*cid);
        }
        true
    });
    found
}

/// A place in a list, from which reading goes on: opaque to everybody but the store that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first entry of any list.
    pub const START: Self = Self(0);

    /// The place after an entry to which a store gives a number of its own, greater than 0 and growing along the list.
    #[must_use]
    pub const fn after(number: u64) -> Self {
        Self(number)
    }

    /// The number that the store gave.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A part of a list. It holds ids alone, so that its size is known before anything is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Some of the receipts, in the order of filing.
    pub receipts: Vec<ReceiptId>,
    /// From where to go on, where there was more when this was read.
    pub next: Option<Cursor>,
}

impl Page {
    /// The most receipts in one page, however many are asked for.
    pub const LIMIT: usize = 1000;

    /// How many receipts a page has at most where `asked` are asked for: at least 1, and never more than
    /// [`Page::LIMIT`].
    #[must_use]
    pub fn limit(asked: usize) -> usize {
        asked.clamp(1, Self::LIMIT)
    }
}
