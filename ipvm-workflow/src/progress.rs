use ucan_core::{Cid, Ipld, Timestamp, dagcbor};
use ucan_invocation::ReceiptId;

use crate::{Missed, Overlap, Timing, When};

/// A time that is noticed more than so many seconds later was missed.
const LATE: u64 = 60;
/// How many times that were missed are run at most, where all are to be.
const BACKLOG: usize = 100;
/// How many runs of a schedule are open at most.
const OPEN: usize = 100;
/// How many runs that are over are remembered.
const RECENT: usize = 16;
/// How many bytes are remembered of why a run was refused.
const REASON: usize = 400;

/// How far a schedule has come: all that has to survive a crash. It waits for nothing and looks at no clock; whoever uses it makes
/// each change durable before acting on it.
///
/// Each time is decided on once: when the clock goes back, nothing comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The invocation by which the schedule was asked for.
    pub request: Cid,
    /// All that was due up to here, this moment included, was decided on.
    pub decided: Timestamp,
    /// How many times it was decided to run.
    pub fired: u64,
    /// The times whose runs are to be begun, are under way, or paused, the first of them first.
    pub open: Vec<Timestamp>,
    /// What came of the last runs, the last of them last.
    pub recent: Vec<Past>,
    /// Whether somebody removed it: nothing more is due.
    pub removed: bool,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// When it was due.
    pub due: Timestamp,
    /// What came of it.
    pub ending: Ending,
}

/// What came of the run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It succeeded, by its receipt.
    Succeeded(ReceiptId),
    /// It failed or was cancelled, by its receipt.
    Failed(ReceiptId),
    /// It was refused before anything of it started.
    Refused(String),
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The times that are to be run now, the first of them first.
    pub fire: Vec<Timestamp>,
    /// The last time that is not run at all, and why. There may be others before it.
    pub left_out: Option<(Timestamp, LeftOut)>,
}

/// Why a time is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It passed while nobody was there.
    Missed,
    /// A run before it is not over.
    Open,
}

impl LeftOut {
    /// The words for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missed => "it was missed",
            Self::Open => "the run before it is not over",
        }
    }
}

impl Timing {
    /// The first time that is due after a moment.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let due = match &self.when {
            When::At(at) => Some(*at).filter(|at| *at > moment),
            When::Cron(cron) => cron.after(moment),
        };
        due.filter(|due| self.end.is_none_or(|end| *due <= end))
    }

    /// The last time that is due up to a moment, which is included.
    #[must_use]
    pub fn up_to(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = self.end.map_or(moment, |end| end.min(moment));
        match &self.when {
            When::At(at) => Some(*at).filter(|at| *at <= moment),
            When::Cron(cron) => cron.up_to(moment),
        }
    }
}

impl Progress {
    /// A schedule that is accepted now. What its expression matched before is not due; a single time is, also where it has passed.
    #[must_use]
    pub fn new(request: Cid, timing: &Timing, now: Timestamp) -> Self {
        let decided = match &timing.when {
            When::At(at) => now.min(at.saturating_sub(1)),
            When::Cron(_) => now,
        };
        Self { request, decided, fired: 0, open: Vec::new(), recent: Vec::new(), removed: false }
    }

    /// Decides on what is due by now; `None` where nothing is, or what is has to wait. With [`Missed::All`] there may be more to decide
    /// on right after.
    pub fn decide(&mut self, timing: &Timing, now: Timestamp) -> Option<Decision> {
        let left = self.left(timing)?;
        let newest = timing.up_to(now).filter(|due| *due > self.decided)?;
        let room = match timing.overlap {
            Overlap::Skip => usize::from(self.open.is_empty()),
            Overlap::Allow => OPEN.saturating_sub(self.open.len()),
        };
        let before = |due: Timestamp| {
            let earlier = timing.up_to(due.saturating_sub(1));
            earlier.filter(|earlier| *earlier > self.decided && *earlier < due)
        };
        let decision = match timing.missed {
            Missed::All => {
                let mut fire = vec![newest];
                let mut earlier = before(newest);
                while let Some(due) = earlier.filter(|_| fire.len() < BACKLOG) {
                    fire.push(due);
                    earlier = before(due);
                }
                fire.reverse();
                fire.truncate(room.min(left));
                Decision { fire, left_out: earlier.map(|due| (due, LeftOut::Missed)) }
            }
            Missed::Skip if now > newest.saturating_add(LATE) => {
                Decision { fire: Vec::new(), left_out: Some((newest, LeftOut::Missed)) }
            }
            Missed::Once | Missed::Skip if room == 0 => {
                Decision { fire: Vec::new(), left_out: Some((newest, LeftOut::Open)) }
            }
            Missed::Once | Missed::Skip => {
                Decision { fire: vec![newest], left_out: before(newest).map(|due| (due, LeftOut::Missed)) }
            }
        };
        self.decided = match (timing.missed, decision.fire.last()) {
            (Missed::All, last) => *last?,
            _ => newest,
        };
        self.fired = self.fired.saturating_add(decision.fire.len() as u64);
        self.open.extend(&decision.fire);
        Some(decision)
    }

    /// Remembers what came of the run of a time; `false` where it is not open.
    pub fn conclude(&mut self, due: Timestamp, ending: Ending) -> bool {
        let Some(at) = self.open.iter().position(|open| *open == due) else { return false };
        self.open.remove(at);
        let ending = match ending {
            Ending::Refused(mut reason) => {
                reason.truncate(reason.floor_char_boundary(REASON));
                Ending::Refused(reason)
            }
            ending => ending,
        };
        self.recent.push(Past { due, ending });
        let forgotten = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..forgotten);
        true
    }

    /// The next time that was not decided on, which may have passed.
    #[must_use]
    pub fn next(&self, timing: &Timing) -> Option<Timestamp> {
        self.left(timing)?;
        timing.after(self.decided)
    }

    /// Whether nothing more comes of it until a run that is open is over.
    #[must_use]
    pub fn waits(&self, timing: &Timing) -> bool {
        let full = if timing.overlap == Overlap::Allow { OPEN } else { 1 };
        timing.missed == Missed::All && self.open.len() >= full
    }

    /// How many more times it may be run; `None` where it may not.
    fn left(&self, timing: &Timing) -> Option<usize> {
        let left = timing.count.map_or(u64::MAX, |count| count.saturating_sub(self.fired));
        (left > 0 && !self.removed).then(|| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// As it is kept: canonical DAG-CBOR.
    ///
    /// # Errors
    /// None in practice: all of it can be carried. The codec's error is passed on rather than hidden.
    pub fn encode(&self) -> Result<Vec<u8>, dagcbor::EncodeError> {
        let moment = |moment: &Timestamp| Ipld::Integer(moment.as_secs().into());
        let past = |past: &Past| {
            let (key, value) = match &past.ending {
                Ending::Succeeded(receipt) => ("succeeded", Ipld::Link((*receipt).into())),
                Ending::Failed(receipt) => ("failed", Ipld::Link((*receipt).into())),
                Ending::Refused(reason) => ("refused", Ipld::String(reason.clone())),
            };
            Ipld::Map([("due".to_owned(), moment(&past.due)), (key.to_owned(), value)].into())
        };
        let fields = [
            ("request", Ipld::Link(self.request)),
            ("decided", moment(&self.decided)),
            ("fired", Ipld::Integer(self.fired.into())),
            ("open", Ipld::List(self.open.iter().map(moment).collect())),
            ("recent", Ipld::List(self.recent.iter().map(past).collect())),
            ("removed", Ipld::Bool(self.removed)),
        ];
        dagcbor::encode(&Ipld::Map(fields.map(|(key, value)| (key.to_owned(), value)).into()))
    }

    /// Reads what was kept; `None` where the bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let Ipld::Map(mut fields) = dagcbor::decode(bytes).ok()? else { return None };
        let mut take = |key: &str| fields.remove(key);
        let (Ipld::Link(request), decided, fired) = (take("request")?, moment(&take("decided")?)?, take("fired")?)
        else {
            return None;
        };
        let (Ipld::Integer(fired), Ipld::List(open)) = (fired, take("open")?) else { return None };
        let (Ipld::List(recent), Ipld::Bool(removed)) = (take("recent")?, take("removed")?) else { return None };
        let progress = Self {
            request,
            decided,
            fired: u64::try_from(fired).ok()?,
            open: open.iter().map(moment).collect::<Option<_>>()?,
            recent: recent.into_iter().map(past).collect::<Option<_>>()?,
            removed,
        };
        fields.is_empty().then_some(progress)
    }
}

fn moment(value: &Ipld) -> Option<Timestamp> {
    match value {
        Ipld::Integer(secs) => Timestamp::from_secs(u64::try_from(*secs).ok()?),
        _ => None,
    }
}

fn past(value: Ipld) -> Option<Past> {
    let Ipld::Map(mut fields) = value else { return None };
    let due = moment(&fields.remove("due")?)?;
    let (key, value) = fields.pop_first().filter(|_| fields.is_empty())?;
    let ending = match (key.as_str(), value) {
        ("succeeded", Ipld::Link(receipt)) => Ending::Succeeded(ReceiptId::new(receipt)),
        ("failed", Ipld::Link(receipt)) => Ending::Failed(ReceiptId::new(receipt)),
        ("refused", Ipld::String(reason)) => Ending::Refused(reason),
        _ => return None,
    };
    Some(Past { due, ending })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cron;
    use proptest::prelude::*;
    use ucan_core::block;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    fn request() -> Cid {
        block::dag_cbor_cid(b"a request")
    }

    fn cron(text: &str, missed: Missed, overlap: Overlap) -> Timing {
        Timing { missed, overlap, ..Timing::new(When::Cron(Cron::parse(text).unwrap())) }
    }

    fn fired(progress: &mut Progress, timing: &Timing, now: u64) -> Vec<u64> {
        let decision = progress.decide(timing, at(now)).unwrap_or_default();
        decision.fire.into_iter().map(Timestamp::as_secs).collect()
    }

    #[test]
    fn a_single_time_comes_once_and_late_unless_it_is_to_be_skipped() {
        for (missed, late) in [(Missed::Once, vec![1_000]), (Missed::All, vec![1_000]), (Missed::Skip, vec![])] {
            let timing = Timing { missed, ..Timing::new(When::At(at(1_000))) };
            let mut progress = Progress::new(request(), &timing, at(500));
            assert_eq!(progress.next(&timing), Some(at(1_000)));
            assert_eq!(fired(&mut progress.clone(), &timing, 1_060), [1_000]);
            assert_eq!(fired(&mut progress, &timing, 9_000), late);
            assert_eq!((progress.next(&timing), fired(&mut progress, &timing, 9_001)), (None, vec![]));
        }
        // What is asked for when its time has passed is late, too.
        let timing = Timing::new(When::At(at(1_000)));
        assert_eq!(fired(&mut Progress::new(request(), &timing, at(5_000)), &timing, 5_000), [1_000]);
    }

    #[test]
    fn the_clock_may_go_anywhere() {
        let timing = cron("*/10 * * * *", Missed::Once, Overlap::Allow);
        let mut progress = Progress::new(request(), &timing, at(1_000));
        assert_eq!(fired(&mut progress, &timing, 1_199), Vec::<u64>::new());
        assert_eq!(fired(&mut progress, &timing, 1_200), [1_200]);
        // Back, and to the same time again: nothing comes twice.
        assert_eq!(fired(&mut progress, &timing, 600), Vec::<u64>::new());
        assert_eq!(fired(&mut progress, &timing, 1_200), Vec::<u64>::new());
        // A hundred years on, at once.
        assert_eq!(fired(&mut progress, &timing, 3_155_760_030), [3_155_760_000]);
        assert_eq!(fired(&mut progress, &timing, u64::from(u32::MAX)).len(), 1);
        // Beyond all calendars.
        assert_eq!(fired(&mut progress, &timing, Timestamp::MAX.as_secs()), Vec::<u64>::new());
    }

    #[test]
    fn what_overlaps_is_skipped_or_waits() {
        let mut timing = cron("* * * * *", Missed::Once, Overlap::Skip);
        let mut progress = Progress::new(request(), &timing, at(0));
        assert_eq!(fired(&mut progress, &timing, 60), [60]);
        let decision = progress.decide(&timing, at(120)).unwrap();
        assert_eq!(decision, Decision { fire: vec![], left_out: Some((at(120), LeftOut::Open)) });
        assert!(progress.conclude(at(60), Ending::Refused("no".to_owned())) && !progress.waits(&timing));
        assert!(!progress.conclude(at(60), Ending::Refused("no".to_owned())));
        assert_eq!(fired(&mut progress, &timing, 130), Vec::<u64>::new(), "it was decided on");
        timing.missed = Missed::All;
        assert_eq!(fired(&mut progress, &timing, 300), [180]);
        assert!(progress.waits(&timing) && fired(&mut progress, &timing, 300).is_empty());
        for due in [240, 300] {
            assert!(progress.conclude(at(due - 60), Ending::Refused("no".to_owned())));
            assert_eq!(fired(&mut progress, &timing, 300), [due]);
        }
    }

    #[test]
    fn it_ends() {
        let timing = Timing { count: Some(2), ..cron("* * * * *", Missed::All, Overlap::Allow) };
        let mut progress = Progress::new(request(), &timing, at(0));
        assert_eq!(fired(&mut progress, &timing, 600), [60, 120]);
        assert_eq!((progress.next(&timing), progress.fired), (None, 2));
        let timing = Timing { end: Some(at(180)), ..cron("* * * * *", Missed::Once, Overlap::Allow) };
        let mut progress = Progress::new(request(), &timing, at(0));
        assert_eq!((fired(&mut progress, &timing, 600), progress.next(&timing)), (vec![180], None));
        let mut removed = Progress { removed: true, ..Progress::new(request(), &timing, at(0)) };
        assert_eq!((removed.next(&timing), removed.decide(&timing, at(600))), (None, None));
    }

    #[test]
    fn what_is_kept_is_bounded_and_comes_back() {
        let timing = cron("* * * * *", Missed::All, Overlap::Allow);
        let mut progress = Progress::new(request(), &timing, at(0));
        let decision = progress.decide(&timing, at(60 * 1_000)).unwrap();
        assert_eq!((decision.fire.len(), decision.fire[0]), (BACKLOG, at(60 * 901)));
        assert_eq!(decision.left_out, Some((at(60 * 900), LeftOut::Missed)));
        assert!(progress.waits(&timing));
        for due in progress.open.clone().into_iter().skip(50) {
            progress.conclude(due, Ending::Refused("\u{e4}".repeat(REASON)));
        }
        assert_eq!(progress.recent.len(), RECENT);
        let bytes = progress.encode().unwrap();
        assert!(bytes.len() < crate::SCHEDULE_STATE, "{}", bytes.len());
        assert_eq!(Progress::decode(&bytes), Some(progress));
        assert_eq!(Progress::decode(&bytes[1..]), None);
        assert_eq!(Progress::decode(b"\xa0"), None);
    }

    /// What happens to a schedule.
    #[derive(Clone, Debug)]
    enum Happens {
        /// So many seconds pass, or are taken back.
        Clock(i64),
        /// Somebody looks, and what is decided becomes durable, or is lost in a crash.
        Look { durable: bool },
        /// A run is over.
        Over(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            3 => (0_i64..400).prop_map(Happens::Clock),
            1 => (-600_i64..0).prop_map(Happens::Clock),
            1 => (0_i64..5_000).prop_map(Happens::Clock),
            5 => prop::bool::weighted(0.8).prop_map(|durable| Happens::Look { durable }),
            3 => any::<usize>().prop_map(Happens::Over),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// What is read is what was written, to the byte; nothing else is read.
        #[test]
        fn there_is_one_spelling(at_byte in any::<usize>(), with in any::<u8>(), noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let timing = cron("* * * * *", Missed::All, Overlap::Allow);
            let mut progress = Progress::new(request(), &timing, at(0));
            progress.decide(&timing, at(600)).unwrap();
            progress.conclude(at(120), Ending::Refused("no".to_owned()));
            progress.conclude(at(60), Ending::Succeeded(ReceiptId::new(request())));
            let mut bytes = progress.encode().unwrap();
            let place = at_byte % bytes.len();
            bytes[place] = with;
            for bytes in [bytes, noise] {
                if let Some(read) = Progress::decode(&bytes) {
                    prop_assert_eq!(read.encode().unwrap(), bytes);
                }
            }
        }

        /// Whatever the clock does, whenever it crashes, and whenever runs end: no time comes twice, none comes early, and none is lost
        /// that is to be run.
        #[test]
        fn no_time_is_lost_or_doubled(
            step in 1_u64..20,
            missed in prop_oneof![Just(Missed::Once), Just(Missed::Skip), Just(Missed::All)],
            overlap in prop_oneof![Just(Overlap::Skip), Just(Overlap::Allow)],
            count in prop::option::of(1_u64..30),
            start in 1_000_u64..100_000,
            all in prop::collection::vec(happens(), 1..80),
        ) {
            let timing = Timing { count, ..cron(&format!("*/{step} * * * *"), missed, overlap) };
            let due = |secs: u64| secs.is_multiple_of(60) && (secs / 60 % 60).is_multiple_of(step);
            let (mut now, mut furthest) = (start, start);
            let mut kept = Progress::new(request(), &timing, at(now));
            let mut ran: Vec<u64> = Vec::new();
            for happens in all {
                match happens {
                    Happens::Clock(secs) => now = now.saturating_add_signed(secs),
                    Happens::Over(at) if !kept.open.is_empty() => {
                        let over = kept.open[at % kept.open.len()];
                        prop_assert!(kept.conclude(over, Ending::Refused(String::new())));
                    }
                    Happens::Over(_) => {}
                    Happens::Look { durable } => {
                        let mut progress = kept.clone();
                        let was_open = progress.open.len();
                        let Some(decision) = progress.decide(&timing, at(now)) else { continue };
                        prop_assert!(now > furthest || missed == Missed::All, "a time is decided on once");
                        for fire in decision.fire.iter().map(|due| due.as_secs()) {
                            prop_assert!(due(fire) && fire > start && fire <= now, "{fire} at {now}");
                            prop_assert!(missed != Missed::Skip || now <= fire + LATE, "{fire} was missed");
                        }
                        if missed == Missed::Once && (was_open == 0 || overlap == Overlap::Allow) {
                            let newest = (start + 1..=now).rev().find(|secs| due(*secs));
                            let fired: Vec<u64> = decision.fire.iter().map(|due| due.as_secs()).collect();
                            prop_assert_eq!(fired, newest.into_iter().collect::<Vec<_>>());
                        }
                        if durable {
                            // What was decided is run because it is written down, and not the other way round.
                            ran.extend(decision.fire.iter().map(|due| due.as_secs()));
                            kept = Progress::decode(&progress.encode().unwrap()).unwrap();
                            furthest = furthest.max(now);
                        }
                    }
                }
                prop_assert!(overlap == Overlap::Allow || kept.open.len() <= 1, "runs overlap");
                prop_assert!(ran.is_sorted_by(|a, b| a < b), "a time came twice: {:?}", ran);
                prop_assert!(count.is_none_or(|count| ran.len() as u64 <= count));
                prop_assert_eq!(kept.fired, ran.len() as u64);
            }
            // In the end, with enough time for all that waits, nothing is missing; only long absences leave out the oldest.
            let end = furthest.max(now);
            let expected: Vec<u64> = (start + 1..=end).filter(|secs| due(*secs)).collect();
            if missed == Missed::All && expected.len() <= BACKLOG {
                loop {
                    while let Some(open) = kept.open.first().copied() {
                        prop_assert!(kept.conclude(open, Ending::Refused(String::new())));
                    }
                    let Some(decision) = kept.decide(&timing, at(end)) else { break };
                    ran.extend(decision.fire.iter().map(|due| due.as_secs()));
                }
                let wanted = count.map_or(expected.len(), |count| expected.len().min(count as usize));
                prop_assert_eq!(&ran[..], &expected[..wanted]);
            }
        }
    }
}
