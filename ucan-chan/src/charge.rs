use std::collections::BTreeMap;

use ucan_core::{Cid, Ipld, block, dagcbor};
use ucan_invocation::Receipt;

use crate::amount::{Unit, amount};
use crate::args::{integer, text};
use crate::error::CommandError;

/// Under which key a charge stands in the metadata of a receipt.
pub const CHARGE: &str = "chan";

/// What a provider says in a task's receipt that it has charged for the task.
///
/// ```
/// use std::collections::BTreeMap;
/// use ucan_chan::Charge;
/// use ucan_core::block;
///
/// let channel = block::dag_cbor_cid(b"a channel");
/// let charge = Charge { channel, unit: "gas".parse()?, number: 3, cost: 20, charged: 70, last: false };
/// let mut meta = BTreeMap::new();
/// charge.put(&mut meta);
/// assert_eq!(Charge::of_meta(&meta)?, Some(charge));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The channel.
    pub channel: Cid,
    /// Its unit.
    pub unit: Unit,
    /// The number of the charge in the channel, from 1.
    pub number: u64,
    /// What the task has cost, in the unit.
    pub cost: u64,
    /// What was charged in all, this included.
    pub charged: u64,
    /// Whether it is the last of the channel.
    pub last: bool,
}

impl Charge {
    /// A name for the charge of this number in this channel. An engine files the receipt that states a charge under it, and under
    /// the channel, beside the inputs of the task: so it can tell after a crash which charges have receipts.
    #[must_use]
    pub fn key(&self) -> Cid {
        // A link and an integer can always be encoded.
        let name = dagcbor::encode(&Ipld::List(vec![Ipld::Link(self.channel), integer(self.number)]));
        block::dag_cbor_cid(&name.unwrap_or_default())
    }

    /// Puts it into the metadata of a receipt.
    pub fn put(&self, meta: &mut BTreeMap<String, Ipld>) {
        let mut map = BTreeMap::from([
            ("channel".to_owned(), Ipld::Link(self.channel)),
            ("unit".to_owned(), text(&self.unit)),
            ("number".to_owned(), integer(self.number)),
            ("cost".to_owned(), integer(self.cost)),
            ("charged".to_owned(), integer(self.charged)),
        ]);
        if self.last {
            map.insert("final".to_owned(), Ipld::Bool(true));
        }
        meta.insert(CHARGE.to_owned(), Ipld::Map(map));
    }

    /// The charge in metadata; none where there is none.
    ///
    /// # Errors
    /// [`CommandError`] where there is an entry that is not a charge.
    pub fn of_meta(meta: &BTreeMap<String, Ipld>) -> Result<Option<Self>, CommandError> {
        let Some(entry) = meta.get(CHARGE) else { return Ok(None) };
        let Ipld::Map(map) = entry else { return Err(CommandError::Argument(CHARGE)) };
        let known = ["channel", "unit", "number", "cost", "charged", "final"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(CommandError::UnknownArgument(key.chars().take(40).collect()));
        }
        let number = |key| map.get(key).and_then(amount).ok_or(CommandError::Argument(key));
        let Some(Ipld::Link(channel)) = map.get("channel") else { return Err(CommandError::Argument("channel")) };
        let Some(Ipld::String(unit)) = map.get("unit") else { return Err(CommandError::Argument("unit")) };
        let last = match map.get("final") {
            None => false,
            Some(Ipld::Bool(true)) => true,
            Some(_) => return Err(CommandError::Argument("final")),
        };
        let charge = Self {
            channel: *channel,
            unit: unit.parse().map_err(|_| CommandError::Argument("unit"))?,
            number: number("number")?,
            cost: number("cost")?,
            charged: number("charged")?,
            last,
        };
        match charge {
            Self { number: 0, .. } => Err(CommandError::Argument("number")),
            Self { cost, charged, .. } if cost > charged => {
                Err(CommandError::Contradiction("a task cost more than was charged in all"))
            }
            charge => Ok(Some(charge)),
        }
    }

    /// The charge in a receipt.
    ///
    /// # Errors
    /// As [`of_meta`](Self::of_meta).
    pub fn of(receipt: &Receipt) -> Result<Option<Self>, CommandError> {
        Self::of_meta(receipt.meta())
    }
}
