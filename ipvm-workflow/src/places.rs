//! Who may run a task now, where more want to than there are places.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use ucan_invocation::{EffectClass, Handler, Router, TaskId};

/// The places of an engine. They are given to the runs of the highest priority; among these to the one that was given a place
/// longest ago, so that a run of many tasks does not keep one of few waiting; within a run, in the order of asking.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    queue: Mutex<Queue>,
}

/// What a place is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Want {
    pub(crate) run: TaskId,
    pub(crate) priority: i16,
    class: EffectClass,
    /// How many tasks of this class may run at once.
    in_class: usize,
    /// Which handler, and how many of its tasks may run at once.
    handler: usize,
    in_handler: usize,
}

impl Want {
    pub(crate) fn new(run: TaskId, priority: i16, handler: &dyn Handler, router: &Router) -> Self {
        let class = handler.effect_class();
        Self {
            run,
            priority,
            class,
            in_class: router.limit(class).unwrap_or(usize::MAX).max(1),
            // Handlers are known by where they are: they are there as long as the engine is.
            handler: std::ptr::from_ref(handler).addr(),
            in_handler: handler.places().unwrap_or(usize::MAX).max(1),
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    by_class: HashMap<EffectClass, usize>,
    by_handler: HashMap<usize, usize>,
    runs: HashMap<TaskId, Turn>,
    /// Those who wait for the same, in the order of asking: the first of them comes first, whatever else there is.
    waiting: HashMap<Want, VecDeque<Waiting>>,
    /// How often a place was asked for or given.
    clock: u64,
}

/// A run that has places, or waits for some.
#[derive(Debug, Default)]
struct Turn {
    /// When it was last given one; never, where it is 0.
    last: u64,
    /// How many it has, and waits for.
    wants: usize,
}

#[derive(Debug)]
struct Waiting {
    since: u64,
    caller: oneshot::Sender<Place>,
}

/// A place; dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    want: Want,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.serve(|queue| queue.give_back(&self.want));
    }
}

impl Places {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total: total.max(1), queue: Mutex::default() })
    }

    /// Waits for a place.
    pub(crate) async fn acquire(self: &Arc<Self>, want: Want) -> Option<Place> {
        let (caller, called) = oneshot::channel();
        self.serve(|queue| queue.ask(want, caller));
        called.await.ok()
    }

    /// Alters the queue, and gives out the places that there are then.
    fn serve(self: &Arc<Self>, alter: impl FnOnce(&mut Queue)) {
        let given = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            alter(&mut queue);
            queue.give(self.total)
        };
        for (want, caller) in given {
            // Whoever does not wait any more gives it back by dropping it.
            drop(caller.send(Place { places: self.clone(), want }));
        }
    }
}

impl Queue {
    fn ask(&mut self, want: Want, caller: oneshot::Sender<Place>) {
        self.clock += 1;
        self.runs.entry(want.run).or_default().wants += 1;
        self.waiting.entry(want).or_default().push_back(Waiting { since: self.clock, caller });
    }

    fn fits(&self, want: &Want) -> bool {
        let taken = |count: Option<&usize>| count.copied().unwrap_or(0);
        taken(self.by_class.get(&want.class)) < want.in_class
            && taken(self.by_handler.get(&want.handler)) < want.in_handler
    }

    /// Takes out of the queue who is to have the places that are free.
    fn give(&mut self, total: usize) -> Vec<(Want, oneshot::Sender<Place>)> {
        let mut given = Vec::new();
        while self.taken < total {
            let fitting = self.waiting.iter().filter(|(want, _)| self.fits(want));
            let turns = fitting.filter_map(|(want, waiting)| {
                let last = self.runs.get(&want.run).map_or(0, |turn| turn.last);
                Some(((Reverse(want.priority), last, waiting.front()?.since), *want))
            });
            let Some((_, want)) = turns.min_by_key(|(turn, _)| *turn) else { break };
            let Some(caller) = self.next(&want) else { break };
            self.clock += 1;
            self.taken += 1;
            *self.by_class.entry(want.class).or_default() += 1;
            *self.by_handler.entry(want.handler).or_default() += 1;
            if let Some(turn) = self.runs.get_mut(&want.run) {
                turn.last = self.clock;
            }
            given.push((want, caller));
        }
        given
    }

    /// Takes the first of those who wait for `want` out of the queue.
    fn next(&mut self, want: &Want) -> Option<oneshot::Sender<Place>> {
        let waiting = self.waiting.get_mut(want)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(want);
        }
        next.map(|next| next.caller)
    }

    fn give_back(&mut self, want: &Want) {
        self.taken -= 1;
        less(&mut self.by_class, &want.class);
        less(&mut self.by_handler, &want.handler);
        if let Some(turn) = self.runs.get_mut(&want.run) {
            turn.wants -= 1;
            if turn.wants == 0 {
                self.runs.remove(&want.run);
            }
        }
    }
}

/// Counts one down; what is at nothing is not kept.
fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ucan_core::block;

    use super::*;

    fn run(number: u8) -> TaskId {
        TaskId::new(block::raw_cid(&[number]))
    }

    fn want(number: u8) -> Want {
        let (class, most) = (EffectClass::Deterministic, usize::MAX);
        Want { run: run(number), priority: 0, class, in_class: most, handler: 0, in_handler: most }
    }

    /// Who is called next, in a world where nothing else goes on.
    fn called(waiting: &mut Vec<(u8, oneshot::Receiver<Place>)>) -> Vec<(u8, Place)> {
        let mut given = Vec::new();
        waiting.retain_mut(|(name, called)| match called.try_recv() {
            Ok(place) => {
                given.push((*name, place));
                false
            }
            Err(_) => true,
        });
        given
    }

    fn ask(places: &Arc<Places>, want: Want) -> oneshot::Receiver<Place> {
        let (caller, called) = oneshot::channel();
        places.serve(|queue| queue.ask(want, caller));
        called
    }

    /// The order in which those who ask get the only place.
    fn order(wants: &[(u8, Want)]) -> Vec<u8> {
        let places = Places::new(1);
        let mut first = vec![(0, ask(&places, want(255)))];
        let held = called(&mut first);
        let mut waiting: Vec<_> = wants.iter().map(|(name, want)| (*name, ask(&places, *want))).collect();
        drop(held);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let given = called(&mut waiting);
            assert_eq!(given.len(), 1);
            order.extend(given.iter().map(|(name, _)| *name));
        }
        order
    }

    #[test]
    fn runs_take_turns_and_the_more_important_come_first() {
        let wants = [1, 1, 1, 2, 2, 3].map(want);
        let named: Vec<(u8, Want)> = (0..).zip(wants).collect();
        assert_eq!(order(&named), [0, 3, 5, 1, 4, 2]);
        let mut named = named;
        named[4].1.priority = 1;
        assert_eq!(order(&named), [4, 0, 5, 3, 1, 2], "its run had its turn");
        named[1].1.priority = -1;
        assert_eq!(order(&named), [4, 0, 5, 3, 2, 1]);
    }

    #[test]
    fn who_does_not_wait_any_more_keeps_nobody_waiting() {
        let places = Places::new(1);
        let mut first = vec![(0, ask(&places, want(1)))];
        let held = called(&mut first);
        drop(ask(&places, want(2)));
        let mut last = vec![(3, ask(&places, want(3)))];
        drop(held);
        assert_eq!(called(&mut last).len(), 1);
        assert!(places.queue.lock().unwrap().runs.is_empty());
    }

    proptest! {
        #[test]
        fn no_limit_is_exceeded_and_everybody_is_served(
            total in 1_usize..4,
            asks in prop::collection::vec((0_u8..4, -1_i16..2, 0_usize..2, 0_usize..3), 1..60),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let places = Places::new(total);
            let (mut waiting, mut held, mut served) = (Vec::new(), Vec::new(), 0);
            let mut ends = ends.into_iter();
            let count = asks.len();
            for (name, priority, class, handler) in asks {
                let class = [EffectClass::Query, EffectClass::Mutable][class];
                let in_class = if class == EffectClass::Mutable { 1 } else { usize::MAX };
                let in_handler = if handler == 0 { 1 } else { usize::MAX };
                let want = Want { run: run(name), priority, class, in_class, handler, in_handler };
                waiting.push((name, ask(&places, want)));
                held.extend(called(&mut waiting));
                let in_class = held.iter().filter(|(_, place)| place.want.class == EffectClass::Mutable).count();
                let in_handler = held.iter().filter(|(_, place)| place.want.handler == 0).count();
                prop_assert!(held.len() <= total && in_class <= 1 && in_handler <= 1);
                if let Some(index) = ends.next().filter(|_| held.len() == total) {
                    held.swap_remove(index.index(held.len()));
                    served += 1;
                    held.extend(called(&mut waiting));
                }
            }
            while let Some(place) = held.pop() {
                drop(place);
                served += 1;
                held.extend(called(&mut waiting));
            }
            prop_assert_eq!((served, waiting.len()), (count, 0));
            let queue = places.queue.lock().unwrap();
            prop_assert!(queue.taken == 0 && queue.by_class.is_empty() && queue.by_handler.is_empty() && queue.runs.is_empty());
        }
    }
}
