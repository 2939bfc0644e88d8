use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use ucan_core::{Cid, Command, Ipld, Timestamp};
use ucan_invocation::{Invocation, TaskId};

use crate::request::{Arguments, pinned};
use crate::shape::{Shape, ShapeError};
use crate::{Cron, RunError, RunRequest};

/// The command that asks an executor to run a workflow at certain times. It is below [`RUN_COMMAND`](crate::RUN_COMMAND), with the
/// same arguments and more, so that whoever may ask for runs may schedule them, under the same policies.
pub const SCHEDULE_COMMAND: &str = "/ipvm/run/schedule";

/// When a workflow is to be run. All times are in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The times themselves.
    pub when: When,
    /// Nothing is due after this moment; for ever, where there is none.
    pub end: Option<Timestamp>,
    /// How often it is run at most; as often as it is due, where that is not said.
    pub count: Option<u64>,
    /// What becomes of times that passed while nobody was there.
    pub missed: Missed,
    /// What becomes of a time at which the last run is not over.
    pub overlap: Overlap,
}

impl Timing {
    /// At these times, without an end; what was missed is run once, and what would overlap is skipped.
    #[must_use]
    pub fn new(when: When) -> Self {
        Self { when, end: None, count: None, missed: Missed::default(), overlap: Overlap::default() }
    }
}

/// The times at which a workflow is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, at this moment.
    At(Timestamp),
    /// Whenever the expression matches.
    Cron(Cron),
}

/// What becomes of times that passed while nobody was there to run anything, so that they are noticed more than a
/// minute late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// The last of them is run, late.
    #[default]
    Once,
    /// None is run.
    Skip,
    /// Each is run, the last hundred of them at most. Where runs do not overlap, one waits for the one before.
    All,
}

/// What becomes of a time at which the last run is not over: it is under way, or paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped; with [`Missed::All`] it waits until that run is over.
    #[default]
    Skip,
    /// It is run beside it, unless a hundred are open.
    Allow,
}

const MISSED: [(&str, Missed); 3] = [("once", Missed::Once), ("skip", Missed::Skip), ("all", Missed::All)];
const OVERLAP: [(&str, Overlap); 2] = [("skip", Overlap::Skip), ("allow", Overlap::Allow)];

impl Missed {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        name(&MISSED, self)
    }
}

impl Overlap {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        name(&OVERLAP, self)
    }
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name)
}

/// A standing request to run a workflow: what the arguments of an invocation of [`SCHEDULE_COMMAND`] say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The workflow.
    pub workflow: Cid,
    /// The delegations that each run may use.
    pub grants: Vec<Cid>,
    /// The commands that each run may use on the invoker's own resources.
    pub own: Vec<Command>,
    /// When it is run.
    pub timing: Timing,
}

impl Schedule {
    /// The arguments of an invocation of [`SCHEDULE_COMMAND`] that asks for the run with the arguments `run`
    /// ([`RunRequest::args`]) at these times.
    #[must_use]
    pub fn args(run: BTreeMap<String, Ipld>, timing: &Timing) -> BTreeMap<String, Ipld> {
        let moment = |moment: Timestamp| Ipld::Integer(moment.as_secs().into());
        let text = |text: &str| Ipld::String(text.to_owned());
        let when = match &timing.when {
            When::At(at) => ("at".to_owned(), moment(*at)),
            When::Cron(cron) => ("cron".to_owned(), text(cron.as_str())),
        };
        let mut args = run;
        let mut say = |key: &str, value: Option<Ipld>| args.extend(value.map(|value| (key.to_owned(), value)));
        say("when", Some(Ipld::Map([when].into())));
        say("end", timing.end.map(moment));
        say("count", timing.count.map(|count| Ipld::Integer(count.into())));
        say("missed", Some(timing.missed).filter(|it| *it != Missed::default()).map(|it| text(it.name())));
        say("overlap", Some(timing.overlap).filter(|it| *it != Overlap::default()).map(|it| text(it.name())));
        args
    }

    /// Reads what an invocation asks for.
    ///
    /// # Errors
    /// [`RunError::Malformed`] where it is no invocation of [`SCHEDULE_COMMAND`], or says what cannot be honoured.
    pub fn read(invocation: &Invocation) -> Result<Self, RunError> {
        if invocation.command().as_str() != SCHEDULE_COMMAND {
            let message = format!("it invokes {}, not {SCHEDULE_COMMAND}", invocation.command());
            return Err(RunError::Malformed(message));
        }
        let Arguments { workflow, named: grants, own, .. } = pinned(invocation.args())?;
        let timing = timing(&Ipld::Map(invocation.args().clone()));
        let timing = timing.map_err(|error| RunError::Malformed(error.to_string()))?;
        Ok(Self { workflow, grants, own, timing })
    }

    /// The arguments of the runs.
    pub(crate) fn run_args(&self) -> BTreeMap<String, Ipld> {
        RunRequest::arguments(&self.workflow, self.grants.iter().copied(), &self.own)
    }
}

/// The nonce of the run that the schedule `id` asks for at the moment `due`: one for each, so that no crash makes two of them.
pub(crate) fn nonce(id: &TaskId, due: Timestamp) -> Vec<u8> {
    let digest = Sha256::new().chain_update(id.cid().to_bytes()).chain_update(due.as_secs().to_be_bytes()).finalize();
    digest[..12].to_vec()
}

fn timing(args: &Ipld) -> Result<Timing, ShapeError> {
    let shape = Shape::root(args);
    let fields = shape.fields(&["workflow", "prf", "self", "when", "end", "count", "missed", "overlap"])?;
    let times = fields.required("when")?;
    let named = times.fields(&["at", "cron"])?;
    let when = match (named.optional("at"), named.optional("cron")) {
        (Some(at), None) => When::At(moment(&at)?),
        (None, Some(cron)) => When::Cron(Cron::parse(cron.string()?).map_err(|error| cron.error(error.to_string()))?),
        _ => return Err(times.error("expected one of at and cron".to_owned())),
    };
    let count = fields.optional("count").map(|count| {
        let number = u64::try_from(count.integer()?).ok().filter(|number| *number > 0);
        number.ok_or_else(|| count.error("it is run at least once".to_owned()))
    });
    Ok(Timing {
        when,
        end: fields.optional("end").map(|end| moment(&end)).transpose()?,
        count: count.transpose()?,
        missed: fields.optional("missed").map_or(Ok(Missed::default()), |it| word(&MISSED, &it))?,
        overlap: fields.optional("overlap").map_or(Ok(Overlap::default()), |it| word(&OVERLAP, &it))?,
    })
}

fn moment(shape: &Shape<'_>) -> Result<Timestamp, ShapeError> {
    let moment = u64::try_from(shape.integer()?).ok().and_then(Timestamp::from_secs);
    moment.ok_or_else(|| shape.error("expected seconds since 1970".to_owned()))
}

fn word<T: Copy>(names: &[(&str, T)], shape: &Shape<'_>) -> Result<T, ShapeError> {
    let text = shape.string()?;
    let known = || names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| shape.error(format!("expected one of {}", known())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ucan_core::block;

    fn read(change: impl FnOnce(&mut BTreeMap<String, Ipld>)) -> Result<Timing, String> {
        let mut args = Schedule::args(BTreeMap::new(), &Timing::new(When::At(Timestamp::EPOCH)));
        change(&mut args);
        timing(&Ipld::Map(args)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_is_read() {
        let moment = |secs| Timestamp::from_secs(secs).unwrap();
        for when in [When::At(moment(7)), When::Cron(Cron::parse("*/5 * * * *").unwrap())] {
            for (_, missed) in MISSED {
                for (_, overlap) in OVERLAP {
                    let timing =
                        Timing { end: Some(moment(9)), count: Some(3), missed, overlap, ..Timing::new(when.clone()) };
                    assert_eq!(super::timing(&Ipld::Map(Schedule::args(BTreeMap::new(), &timing))), Ok(timing));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_its_place() {
        let text = |text: &str| Ipld::String(text.to_owned());
        for (key, value, problem) in [
            ("when", Ipld::Map(BTreeMap::new()), "when: expected one of at and cron"),
            (
                "when",
                Ipld::Map([("cron".to_owned(), text("* * * * 9"))].into()),
                "when.cron: the day of the week \"9\"",
            ),
            ("when", Ipld::Map([("at".to_owned(), Ipld::Integer(-1))].into()), "when.at: expected seconds"),
            ("count", Ipld::Integer(0), "count: it is run at least once"),
            ("missed", text("twice"), "missed: expected one of once, skip, all"),
            ("zone", text("Europe/Vienna"), "zone: unknown field"),
        ] {
            let refused = read(|args| drop(args.insert(key.to_owned(), value))).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }

    fn any_value() -> impl Strategy<Value = Ipld> {
        let word = prop_oneof![Just("once"), Just("all"), Just("allow"), Just("skip"), Just("0 9 * * 1"), Just("x")];
        let leaf = prop_oneof![
            Just(Ipld::Null),
            (-2_i128..1 << 54).prop_map(Ipld::Integer),
            word.prop_map(|word| Ipld::String(word.to_owned())),
        ];
        let key = prop_oneof![Just("at".to_owned()), Just("cron".to_owned()), Just("x".to_owned())];
        prop_oneof![leaf.clone(), prop::collection::btree_map(key, leaf, 0..3).prop_map(Ipld::Map)]
    }

    proptest! {
        /// Whatever arguments say, they are refused, or say the same when they are written again.
        #[test]
        fn any_arguments_are_read_or_refused(
            when in prop_oneof![any_value(), Just(Ipld::Map([("at".to_owned(), Ipld::Integer(7))].into()))],
            more in prop::collection::btree_map("end|count|missed|overlap|workflow|other", any_value(), 0..4),
        ) {
            let args = Ipld::Map(more.into_iter().chain([("when".to_owned(), when)]).collect());
            if let Ok(timing) = timing(&args) {
                prop_assert_eq!(super::timing(&Ipld::Map(Schedule::args(BTreeMap::new(), &timing))), Ok(timing));
            }
        }
    }

    /// What others derive, too.
    #[test]
    fn the_nonce_of_a_run_is_that_of_the_specification() {
        let id = TaskId::new(block::dag_cbor_cid(b"a schedule"));
        let nonce = nonce(&id, Timestamp::from_secs(1_800_000_000).unwrap());
        assert_eq!(nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), "bccf5ce103bb69e4696a1299");
    }
}
