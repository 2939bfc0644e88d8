//! Whatever happens in whatever order: nobody spends more than was funded, nobody is charged for more than it signed, totals never
//! go back, and honest parties never find each other cheating.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock};

use common::{at, funder, issuer, now, opening, part, root, task, terms};
use proptest::prelude::*;
use ucan_chan::{Channel, ChannelError, Charge, Close, Draft, DrawError, Purse, PurseError, Status, Terms, Voucher};
use ucan_core::{DidKeys, Token, Verified, verify};

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The spender signs for a task with this limit, and sends the voucher.
    Spend(u64),
    /// The spender sends its last voucher again.
    Resend,
    /// A voucher arrives, and stays under way: it may arrive again. The task uses so much, or the provider's process ends in
    /// the middle of it.
    Deliver(usize, u64, bool),
    /// A voucher is lost.
    Lose(usize),
    /// A receipt arrives.
    Receipt(usize),
    /// A receipt is lost, and the spender gives up on it.
    GiveUp(usize),
    /// Either process ends, and starts from what is durable.
    SpenderDies,
    ProviderDies,
    /// A sub-channel is opened, drawn on, settled.
    Share(u64),
    Draw(u64),
    TakeBack,
    /// The holder closes, and the provider settles.
    Close,
    Settle,
}

#[derive(Clone)]
struct World {
    terms: Terms,
    purse: Purse,
    channel: Channel,
    child: Option<Child>,
    epoch: u64,
    /// Vouchers under way, with the limits of their tasks.
    vouchers: Vec<(Draft, u64)>,
    receipts: Vec<(u64, Charge)>,
    /// All that was ever charged, as the provider said it.
    stated: u64,
    /// The highest total that was ever signed.
    signed: u64,
}

#[derive(Clone)]
struct Child {
    channel: Channel,
    purse: Purse,
}

fn signed(draft: &Draft, terms: &Terms, seed: u8) -> Verified<Voucher> {
    type Key = (Draft, ucan_core::Cid);
    static SIGNED: OnceLock<Mutex<HashMap<String, Verified<Voucher>>>> = OnceLock::new();
    let key: Key = (*draft, *terms.id());
    let mut cache = SIGNED.get_or_init(Mutex::default).lock().unwrap();
    let sign = || verify(draft.sign(&issuer(seed), terms).unwrap(), &DidKeys).unwrap();
    cache.entry(format!("{key:?}")).or_insert_with(sign).clone()
}

impl World {
    fn new(budget: u64) -> Self {
        let chain = root(budget);
        let terms = terms(&chain);
        Self {
            purse: Purse::new(terms.clone()),
            channel: Channel::open(terms.clone(), &opening(&funder(), &chain)).unwrap(),
            terms,
            child: None,
            epoch: 1,
            vouchers: Vec::new(),
            receipts: Vec::new(),
            stated: 0,
            signed: 0,
        }
    }

    fn act(&mut self, act: Act) {
        let before = self.channel.clone();
        match act {
            Act::Spend(limit) => match self.purse.reserve(task(format!("{}", self.purse.sequence())), limit) {
                Ok(draft) => {
                    assert!(draft.total >= self.signed, "a total went back");
                    self.signed = draft.total;
                    self.vouchers.push((draft, limit));
                }
                Err(PurseError::Exhausted { .. } | PurseError::Closed) => {}
                Err(error) => panic!("{error}"),
            },
            Act::Resend => {
                let draft = self.purse.draft();
                self.vouchers.extend(draft.map(|draft| (draft, 0)));
            }
            Act::Deliver(which, used, dies) => self.deliver(which, used, dies),
            Act::Lose(which) => {
                if which < self.vouchers.len() {
                    let (_, limit) = self.vouchers.remove(which);
                    // It stays signed for: what was lost is credit.
                    self.purse.let_go(limit).unwrap();
                }
            }
            Act::Receipt(which) => {
                if which < self.receipts.len() {
                    let (limit, charge) = self.receipts.remove(which);
                    self.purse.settled(limit, &charge).unwrap();
                }
            }
            Act::GiveUp(which) => {
                if which < self.receipts.len() {
                    let (limit, _) = self.receipts.remove(which);
                    self.purse.let_go(limit).unwrap();
                }
            }
            Act::SpenderDies => {
                let draft = self.purse.draft();
                self.purse = Purse::decode(&self.purse.encode().unwrap()).unwrap();
                assert_eq!(self.purse.draft(), draft, "the same contents are signed again");
            }
            Act::ProviderDies => {
                self.channel = Channel::decode(&self.channel.encode().unwrap()).unwrap();
                self.epoch += 1;
            }
            Act::Share(budget) => self.share(budget),
            Act::Draw(limit) => self.draw_below(limit),
            Act::TakeBack => self.take_back(),
            Act::Close => {
                let (sequence, total) = self.purse.close();
                let close = Close::sign(&funder(), &self.terms, sequence, total).unwrap();
                match self.channel.close(&verify(close, &DidKeys).unwrap(), now()) {
                    Ok(proof) => assert_eq!(proof, None, "an honest holder is accused"),
                    Err(ChannelError::NotOpen) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Act::Settle => match self.channel.settle(self.epoch, at(1_200)) {
                Ok(due) => assert_eq!(due, self.stated, "what is due is what was charged"),
                Err(ChannelError::Unfinished) => {}
                Err(error) => panic!("{error}"),
            },
        }
        self.holds(&before, act);
    }

    fn deliver(&mut self, which: usize, used: u64, dies: bool) {
        let Some((draft, limit)) = self.vouchers.get(which).copied() else { return };
        let voucher = signed(&draft, &self.terms, 2);
        match self.channel.draw(&voucher, now()) {
            Ok(_) | Err(DrawError::Over) => {}
            Err(error) => panic!("an honest voucher is refused: {error}"),
        }
        // Reserved once for a task: the replay guard of an executor sees to that.
        if limit == 0 {
            return;
        }
        let Some(slot) = self.vouchers.get_mut(which) else { return };
        match self.channel.reserve(draft.paid_for, limit, 0, self.epoch, now()) {
            Ok(reserved) if dies => {
                drop(reserved);
                self.epoch += 1;
            }
            Ok(reserved) => {
                slot.1 = 0;
                let cost = used.min(limit);
                assert!(matches!(
                    self.channel.clone().charge(&reserved, limit + 1),
                    Err(ChannelError::OverLimit { .. })
                ));
                let charge = self.channel.charge(&reserved, cost).unwrap();
                // Until there is a receipt, the same comes to the same.
                let again = self.channel.reserve(draft.paid_for, limit, 0, self.epoch, now()).unwrap();
                assert_eq!((again.limit(), again.earlier()), (0, Some(&charge)));
                assert_eq!(self.channel.charge(&again, cost / 2).as_ref(), Ok(&charge));
                self.channel.filed(charge.number);
                self.stated += cost;
                assert_eq!(charge.charged, self.stated);
                self.receipts.push((limit, charge));
            }
            // After a receipt was given up the spender knows too little, and signs too little: that is refused, not charged.
            Err(ChannelError::NoCredit { .. } | ChannelError::NotOpen) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn share(&mut self, budget: u64) {
        if self.child.is_some() || self.purse.allot(budget).is_err() {
            return;
        }
        let chain = part(&root(self.terms.budget()), &funder(), &issuer(3), budget, 7);
        match self.channel.open_below(terms(&chain), &opening(&issuer(3), &chain), now()) {
            Ok(channel) => self.child = Some(Child { channel, purse: Purse::new(terms(&chain)) }),
            Err(ChannelError::NotOpen) => self.purse.take_back(budget).unwrap(),
            Err(error) => panic!("what the purse allots is there: {error}"),
        }
    }

    fn draw_below(&mut self, limit: u64) {
        let Some(child) = &mut self.child else { return };
        let Ok(draft) = child.purse.reserve(task("below"), limit) else { return };
        let above = self.channel.clone();
        match child.channel.draw(&signed(&draft, child.purse.terms(), 3), now()) {
            Ok(_) | Err(DrawError::Over) => {}
            Err(error) => panic!("a sub-channel can rely on its budget: {error}"),
        }
        if let Ok(reserved) = child.channel.reserve(draft.paid_for, limit, 0, self.epoch, now()) {
            let charge = child.channel.charge(&reserved, limit).unwrap();
            child.channel.filed(charge.number);
            child.purse.settled(limit, &charge).unwrap();
        }
        assert_eq!(self.channel, above, "a draw changes no channel above");
    }

    fn take_back(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let (sequence, total) = child.purse.close();
        let close = Close::sign(&issuer(3), child.purse.terms(), sequence, total).unwrap();
        assert_eq!(child.channel.close(&verify(close, &DidKeys).unwrap(), now()).unwrap(), None);
        assert!(child.channel.settle(self.epoch, now()).is_err(), "it can be disputed");
        let due = child.channel.settle(self.epoch, at(1_100)).unwrap();
        let back = self.channel.take_back(&child.channel).unwrap();
        assert_eq!(due + back, child.purse.terms().budget());
        self.purse.take_back(back).unwrap();
        // The budget of another sub-channel is another delegation; here there is one.
        self.child = None;
    }

    fn holds(&self, before: &Channel, act: Act) {
        let (channel, budget) = (&self.channel, self.terms.budget());
        assert!(channel.total() + channel.allotted() <= budget, "{act:?}: more is spent than was funded");
        assert!(channel.charged() <= channel.total(), "{act:?}: more is charged than was signed for");
        assert!(channel.charged() + channel.reserved() <= channel.total() || channel.reserved() == 0, "{act:?}");
        assert!(channel.total() <= self.signed && self.signed <= budget, "{act:?}");
        assert!(channel.total() >= before.total() && channel.charged() >= before.charged(), "{act:?}: it goes back");
        assert!(channel.sequence() >= before.sequence(), "{act:?}");
        if let Status::Settled { due } = before.status() {
            assert_eq!(channel.status(), Status::Settled { due }, "{act:?}: what is settled stays so");
        }
        assert!(self.purse.total() >= channel.total(), "{act:?}");
        if let Some(child) = &self.child {
            assert!(child.channel.total() <= child.channel.terms().budget());
            assert!(channel.allotted() >= child.channel.terms().budget(), "{act:?}: nothing is set aside");
        }
        let again = Channel::decode(&channel.encode().unwrap()).unwrap();
        assert_eq!(again, *channel);
    }

    /// What tells two worlds apart.
    fn key(&self) -> Vec<u8> {
        let mut key = self.purse.encode().unwrap();
        key.extend(self.channel.encode().unwrap());
        if let Some(child) = &self.child {
            key.extend(child.channel.encode().unwrap());
        }
        key.extend(format!("{} {:?} {:?}", self.epoch, self.vouchers, self.receipts).bytes());
        key
    }
}

/// Everything that can happen within so many steps, in a small world.
#[test]
fn small_worlds_are_explored_to_the_end() {
    const DEPTH: usize = 7;
    let acts = [
        Act::Spend(1),
        Act::Spend(2),
        Act::Resend,
        Act::Deliver(0, 1, false),
        Act::Deliver(0, 2, true),
        Act::Deliver(1, 2, false),
        Act::Lose(0),
        Act::Receipt(0),
        Act::GiveUp(0),
        Act::SpenderDies,
        Act::ProviderDies,
        Act::Share(1),
        Act::Draw(1),
        Act::TakeBack,
        Act::Close,
        Act::Settle,
    ];
    let mut seen = HashSet::new();
    let mut worlds = vec![World::new(3)];
    let mut steps = 0_u64;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for world in &worlds {
            for act in acts {
                let mut world = world.clone();
                world.act(act);
                steps += 1;
                if world.vouchers.len() <= 3 && seen.insert(world.key()) {
                    next.push(world);
                }
            }
        }
        worlds = next;
    }
    assert!(seen.len() > 1_000 && steps > 10_000, "{} worlds, {steps} steps", seen.len());
    println!("{} worlds, {steps} steps", seen.len());
}

fn act() -> impl Strategy<Value = Act> {
    let which = 0_usize..4;
    prop_oneof![
        4 => (0_u64..40).prop_map(Act::Spend),
        1 => Just(Act::Resend),
        6 => (which.clone(), 0_u64..50, prop::bool::weighted(0.2)).prop_map(|(at, used, dies)| Act::Deliver(at, used, dies)),
        1 => which.clone().prop_map(Act::Lose),
        4 => which.clone().prop_map(Act::Receipt),
        1 => which.prop_map(Act::GiveUp),
        1 => Just(Act::SpenderDies),
        1 => Just(Act::ProviderDies),
        1 => (0_u64..60).prop_map(Act::Share),
        2 => (0_u64..30).prop_map(Act::Draw),
        1 => Just(Act::TakeBack),
        1 => Just(Act::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_interleaving_keeps_the_laws(acts in prop::collection::vec(act(), 0..60), budget in 0_u64..150) {
        let mut world = World::new(budget);
        for act in acts {
            world.act(act);
        }
        world.act(Act::TakeBack);
        world.act(Act::Close);
        world.act(Act::Settle);
        let settled = matches!(world.channel.status(), Status::Settled { .. });
        prop_assert!(settled || world.channel.reserved() > 0, "an honest channel can be settled");
    }

    /// Several tasks under way at once, with restarts: what is set aside is never more than what was signed for.
    #[test]
    fn reservations_at_once(steps in prop::collection::vec((0_u64..40, 0_u64..40, 0_u8..4), 1..40)) {
        let mut channel = common::channel(500);
        let mut purse = Purse::new(channel.terms().clone());
        let (mut held, mut epoch, mut charged) = (Vec::new(), 1, 0);
        for (limit, used, what) in steps {
            match what {
                0 | 1 => {
                    let Ok(draft) = purse.reserve(task(format!("{}", purse.sequence())), limit) else { continue };
                    channel.draw(&signed(&draft, purse.terms(), 2), now()).unwrap();
                    if let Ok(reserved) = channel.reserve(draft.paid_for, limit, 0, epoch, now()) {
                        held.push(reserved);
                    }
                }
                2 => {
                    let Some(reserved) = held.pop() else { continue };
                    match channel.charge(&reserved, used.min(reserved.limit())) {
                        Ok(charge) => {
                            charged += charge.cost;
                            channel.filed(charge.number);
                            purse.settled(reserved.limit(), &charge).unwrap();
                        }
                        Err(ChannelError::Epoch { .. }) => purse.let_go(reserved.limit()).unwrap(),
                        Err(error) => panic!("{error}"),
                    }
                }
                _ => epoch += 1,
            }
            prop_assert!(channel.charged() + channel.reserved() <= channel.total());
            prop_assert_eq!(channel.charged(), charged);
        }
    }
}

/// An unpaid step is the most that a provider can lose, and what it trusts with is the most of it.
#[test]
fn what_is_done_on_trust_is_bounded() {
    let mut channel = common::channel(100);
    let reserved = channel.reserve(task("a"), 10, 10, 1, now()).unwrap();
    assert!(matches!(channel.reserve(task("b"), 1, 10, 1, now()), Err(ChannelError::NoCredit { credit: 0, asked: 1 })));
    channel.charge(&reserved, 10).unwrap();
    assert!(channel.reserve(task("b"), 1, 10, 1, now()).is_err());
    let close = Close::sign(&funder(), channel.terms(), 0, 0).unwrap();
    channel.close(&verify(close, &DidKeys).unwrap(), now()).unwrap();
    assert_eq!(channel.settle(1, at(1_100)).unwrap(), 0, "nothing is due that nobody signed for");
    assert!(opening(&funder(), &root(100)).issuer().same_principal(funder().did()));
}
