//! Receipts as they were decoded, so that a look-up in the memo table neither hashes nor decodes what it did lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ucan_core::Ipld;
use ucan_invocation::{Outcome, Receipt, ReceiptId, visit};

/// How much half of the receipts may weigh, in bytes.
const HALF: usize = 16 << 20;
/// How much a receipt may weigh that is kept at all: a few large ones must not push out all others.
const HEAVIEST: usize = 1 << 20;
/// What a value in an outcome or in metadata takes in memory beyond its bytes: a small number is one byte in a token.
const NODE: usize = size_of::<Ipld>();
/// What a receipt takes beyond its bytes and values, roughly.
const RECEIPT: usize = 1024;

/// The receipts that were used last: two halves, the older of which is dropped when the younger one is full.
///
/// Ids are hashes, so that nothing that is remembered can become wrong.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<ReceiptId, Receipt>,
    old: HashMap<ReceiptId, Receipt>,
    /// What the young ones weigh.
    weight: usize,
}

impl Recent {
    pub(crate) fn get(&self, id: &ReceiptId) -> Option<Receipt> {
        let mut halves = self.lock();
        if let Some(receipt) = halves.young.get(id) {
            return Some(receipt.clone());
        }
        // What is used becomes young again.
        let receipt = halves.old.remove(id)?;
        halves.insert(*id, receipt.clone());
        Some(receipt)
    }

    pub(crate) fn insert(&self, id: ReceiptId, receipt: &Receipt) {
        let mut halves = self.lock();
        halves.old.remove(&id);
        halves.insert(id, receipt.clone());
    }

    /// No panic can leave a receipt under another id.
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn insert(&mut self, id: ReceiptId, receipt: Receipt) {
        let weight = weight(&receipt);
        if weight > HEAVIEST {
            return;
        }
        if self.weight + weight > HALF {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        if self.young.insert(id, receipt).is_none() {
            self.weight += weight;
        }
    }
}

fn weight(receipt: &Receipt) -> usize {
    let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
    let nodes: usize = receipt.meta().values().chain([value]).map(nodes).sum();
    RECEIPT + receipt.bytes().len() + nodes.saturating_mul(NODE)
}

fn nodes(value: &Ipld) -> usize {
    let mut nodes = 0;
    visit(value, &mut |_| {
        nodes += 1;
        true
    });
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ucan_core::{Issuer, block};
    use ucan_invocation::TaskId;
    use varsig::ed25519::SigningKey;

    fn receipt(number: u8, value: Ipld) -> Receipt {
        let issuer = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
        let task = TaskId::new(block::raw_cid(&[number]));
        Receipt::builder(task, Outcome::Ok(value)).sign(&issuer, [number; 16]).unwrap()
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let recent = Recent::default();
        let used = receipt(0, Ipld::Null);
        recent.insert(used.id(), &used);
        let [heavy, light] = [400_000, 40_000].map(|length| Ipld::Bytes(vec![7; length]));
        for number in 1..=255 {
            let receipt = receipt(number, if number % 2 == 0 { heavy.clone() } else { light.clone() });
            recent.insert(receipt.id(), &receipt);
            assert!(recent.get(&receipt.id()).is_some() && recent.get(&used.id()).is_some());
            let halves = recent.lock();
            for half in [&halves.young, &halves.old] {
                assert!(half.values().map(weight).sum::<usize>() <= HALF);
            }
        }
        let first = receipt(1, light);
        assert!(recent.get(&first.id()).is_none(), "what was not used for long is dropped");
        // Many small values are more than their bytes say, and not worth it.
        let many = receipt(1, Ipld::List(vec![Ipld::Integer(1); 20_000]));
        recent.insert(many.id(), &many);
        assert!(recent.get(&many.id()).is_none());
    }
}
