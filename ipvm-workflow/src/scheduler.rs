use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use ucan_core::{Delegation, Ipld, Issuer, StoreError, Timestamp, Token};
use ucan_invocation::{Invocation, ReceiptId, ReceiptStore, TaskId};

use crate::schedule::nonce;
use crate::scheduled::command;
use crate::{
    Ask, Control, Decision, Ending, Engine, Paused, Progress, RUN_COMMAND, RunError, RunOptions, RunRequest, Schedule,
    ScheduleError, ScheduleEvent, ScheduleStore, Scheduled, Until,
};

/// For how many seconds the request of a run is accepted after it was signed.
const REQUEST_LIFETIME: u64 = 300;
/// How long is slept at most, so that a clock that was set is noticed.
const NAP: Duration = Duration::from_secs(60);

/// Runs workflows when they are due.
///
/// Schedules are in a [`ScheduleStore`]; that a time is to be run is durable there before anything of it starts, and the run of a time
/// has one id, whoever asks for it and how often. So a time is run once, whenever the process dies, and what was under way then is gone
/// on with.
///
/// Clones are handles to the same scheduler.
#[derive(Clone, Debug)]
pub struct Scheduler {
    engine: Engine,
    store: Arc<dyn ScheduleStore>,
    issuer: Issuer,
    changed: Arc<Notify>,
}

/// What came of trying to run.
enum Tried {
    Ended(Ending),
    Paused(String),
}

/// A time of a schedule.
type Time = (TaskId, Timestamp);
type Observe = dyn Fn(ScheduleEvent) + Send + Sync;

/// What a scheduler that is running knows, beside what is durable.
#[derive(Default)]
struct Running {
    under_way: JoinSet<(Time, TaskId, Result<Tried, ScheduleError>)>,
    /// What is under way.
    begun: BTreeSet<Time>,
    /// What is not over and was tried in this life.
    paused: BTreeSet<Time>,
    /// What was read of schedules that were looked at before.
    known: BTreeMap<TaskId, Scheduled>,
    control: Control,
}

impl Scheduler {
    /// A scheduler that has workflows run by `engine`, and signs the requests to run them as `issuer`. Only schedules that this same
    /// principal asked for are run.
    #[must_use]
    pub fn new(engine: Engine, store: Arc<dyn ScheduleStore>, issuer: Issuer) -> Self {
        Self { engine, store, issuer, changed: Arc::default() }
    }

    /// Accepts a schedule: an invocation of [`SCHEDULE_COMMAND`](crate::SCHEDULE_COMMAND) and the delegations that it names. All is
    /// checked that is checked when a run starts. It is durable on return.
    ///
    /// # Errors
    /// [`ScheduleError`] where it is refused, or cannot be kept.
    pub async fn add(&self, invocation: Invocation, delegations: Vec<Delegation>) -> Result<Scheduled, ScheduleError> {
        let parts = self.engine.parts();
        let schedule = Schedule::read(&invocation)?;
        let (id, now) = (invocation.task().id().map_err(RunError::from)?, parts.clock.now());
        let progress = Progress::new(*invocation.envelope().cid(), &schedule.timing, now);
        let invoker = invocation.issuer().clone();
        let delegations = Arc::new(delegations);
        let mut scheduled = Scheduled { id, invoker, schedule, progress, version: 0, invocation, delegations };
        if !scheduled.invoker.same_principal(self.issuer.did()) {
            let (invoker, signer) = (scheduled.invoker, self.issuer.did().clone());
            return Err(ScheduleError::OtherInvoker { invoker, signer });
        }
        // Before anything else: looking for times that never come takes a while.
        let Scheduled { invocation, delegations, .. } = &scheduled;
        let executor = self.engine.parts().executor.did();
        self.engine.shared.authorize_request(invocation.clone(), delegations, None, executor).await?;
        if self.store.get(&id).await?.is_some() {
            return Err(ScheduleError::Known(id));
        }
        let first = scheduled.progress.next(&scheduled.schedule.timing).ok_or(ScheduleError::Never)?;
        let tried = scheduled.progress.clone().decide(&scheduled.schedule.timing, now);
        if tried.is_some_and(|it| it.fire.is_empty()) && scheduled.schedule.timing.after(now).is_none() {
            return Err(ScheduleError::Never);
        }
        let request = self.request(&scheduled, first).await?;
        self.engine.check(request).await?;

        let tokens = scheduled.delegations.iter().map(Token::envelope);
        for token in [scheduled.invocation.envelope()].into_iter().chain(tokens) {
            parts.blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        }
        if !self.write(&mut scheduled).await? {
            return Err(ScheduleError::Known(id));
        }
        self.changed.notify_one();
        Ok(scheduled)
    }

    /// Removes a schedule: nothing of it is due any more. A run that is under way goes on. It is durable on return, and the same
    /// request is never accepted again.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`] where there is no such schedule, or it was removed before.
    pub async fn remove(&self, id: &TaskId) -> Result<(), ScheduleError> {
        loop {
            let scheduled = self.get(id).await?.filter(|scheduled| !scheduled.progress.removed);
            let mut scheduled = scheduled.ok_or(ScheduleError::Unknown(*id))?;
            scheduled.progress.removed = true;
            if self.write(&mut scheduled).await? {
                self.changed.notify_one();
                return Ok(());
            }
        }
    }

    /// A schedule, also one that is over or was removed.
    ///
    /// # Errors
    /// [`ScheduleError`] where the store cannot be read, or lacks what was asked for.
    pub async fn get(&self, id: &TaskId) -> Result<Option<Scheduled>, ScheduleError> {
        let Some((version, progress)) = self.progress(id).await? else { return Ok(None) };
        let (invocation, delegations) = self.engine.kept(&progress.request).await?;
        let schedule = Schedule::read(&invocation)?;
        let (invoker, delegations) = (invocation.issuer().clone(), Arc::new(delegations));
        Ok(Some(Scheduled { id: *id, invoker, schedule, progress, version, invocation, delegations }))
    }

    /// All schedules that were ever accepted, in the order of their ids.
    ///
    /// # Errors
    /// As [`Scheduler::get`].
    pub async fn list(&self) -> Result<Vec<Scheduled>, ScheduleError> {
        let mut all = Vec::new();
        for id in self.store.list().await? {
            all.extend(self.get(&id).await?);
        }
        Ok(all)
    }

    /// Runs what is due, and goes on with what was under way when the last process ended, for as long as `until` says. `control` pauses
    /// or cancels all that is under way, and ends it when that has come to its receipts. Dropping the future is as if the process died.
    ///
    /// # Errors
    /// [`ScheduleError`] where a store fails. That a run fails, is refused or paused is told to `observe`.
    pub async fn run(&self, until: Until, control: &Control, observe: Arc<Observe>) -> Result<(), ScheduleError> {
        let mut running = Running { control: control.clone(), ..Running::default() };
        let mut told = None;
        loop {
            let (next, more) = self.begin(&mut running, &observe).await?;
            let idle = running.begun.is_empty()
                && match until {
                    Until::Stopped => false,
                    Until::Idle => !more,
                    Until::NothingDue => true,
                };
            if idle {
                return Ok(());
            }
            if running.begun.is_empty() && told != Some(next) {
                told = Some(next);
                observe(ScheduleEvent::Waiting { until: next });
            }
            let now = self.engine.parts().clock.now();
            let nap =
                next.map_or(NAP, |next| Duration::from_secs(next.as_secs().saturating_sub(now.as_secs())).min(NAP));
            tokio::select! {
                biased;
                () = control.stopped() => break,
                Some(ended) = running.under_way.join_next() => self.end(&mut running, ended, &observe).await?,
                () = self.changed.notified() => {}
                () = self.engine.parts().timer.sleep(nap) => {}
            }
        }
        while let Some(ended) = running.under_way.join_next().await {
            self.end(&mut running, ended, &observe).await?;
        }
        Ok(())
    }

    /// Begins what is due, and what is open and was not tried in this life. It answers when something is due next, and whether
    /// anything may come by itself.
    async fn begin(
        &self,
        running: &mut Running,
        observe: &Arc<Observe>,
    ) -> Result<(Option<Timestamp>, bool), ScheduleError> {
        let (mut next, mut more) = (None::<Timestamp>, false);
        for id in self.store.list().await? {
            let progress = self.progress(&id).await?.map(|(_, progress)| progress);
            if progress.is_none_or(|progress| progress.removed && progress.open.is_empty()) {
                continue;
            }
            let Some(mut scheduled) = self.look(running, &id).await? else { continue };
            if !scheduled.invoker.same_principal(self.issuer.did()) {
                continue;
            }
            for due in scheduled.progress.open.clone() {
                let time = (id, due);
                if running.paused.contains(&time) {
                    // Somebody may have gone on with it by its id.
                    let run = scheduled.run(due)?;
                    if let Some(ending) = self.known_ending(&run).await? {
                        running.paused.remove(&time);
                        self.conclude(running, time, run, ending, observe).await?;
                        scheduled.progress.open.retain(|open| *open != due);
                    }
                } else if !running.begun.contains(&time) {
                    self.start(running, &scheduled, due, true, observe)?;
                }
            }
            let now = self.engine.parts().clock.now();
            while let Some(Decision { fire, left_out }) = self.decide(running, &id, now).await? {
                if let Some((due, why)) = left_out {
                    observe(ScheduleEvent::LeftOut { schedule: id, due, why });
                }
                for due in fire {
                    self.start(running, &scheduled, due, false, observe)?;
                }
            }
            let Some(scheduled) = running.known.get(&id) else { continue };
            let (progress, timing) = (&scheduled.progress, &scheduled.schedule.timing);
            if progress.next(timing).is_some() && !progress.waits(timing) {
                more = true;
                let later = timing.after(progress.decided.max(now));
                next = [next, later].into_iter().flatten().min();
            }
        }
        Ok((next, more))
    }

    /// Decides on what is due of a schedule, and makes that durable.
    async fn decide(
        &self,
        running: &mut Running,
        id: &TaskId,
        now: Timestamp,
    ) -> Result<Option<Decision>, ScheduleError> {
        loop {
            let Some(mut scheduled) = self.look(running, id).await? else { return Ok(None) };
            let Some(decision) = scheduled.progress.decide(&scheduled.schedule.timing, now) else { return Ok(None) };
            if self.write(&mut scheduled).await? {
                running.known.insert(*id, scheduled);
                return Ok(Some(decision));
            }
        }
    }

    /// Starts the run of a time that is open.
    fn start(
        &self,
        running: &mut Running,
        scheduled: &Scheduled,
        due: Timestamp,
        again: bool,
        observe: &Arc<Observe>,
    ) -> Result<(), ScheduleError> {
        let (run, time) = (scheduled.run(due)?, (scheduled.id, due));
        running.begun.insert(time);
        observe(ScheduleEvent::Began { schedule: scheduled.id, due, run, again });
        let (scheduler, scheduled, control) = (self.clone(), scheduled.clone(), running.control.of_one());
        running.under_way.spawn(async move { (time, run, scheduler.attempt(&scheduled, due, &run, control).await) });
        Ok(())
    }

    /// Runs a time, or goes on with its run.
    async fn attempt(
        &self,
        scheduled: &Scheduled,
        due: Timestamp,
        run: &TaskId,
        control: Control,
    ) -> Result<Tried, ScheduleError> {
        if let Some(ending) = self.known_ending(run).await? {
            return Ok(Tried::Ended(ending));
        }
        let options = RunOptions { control, ..RunOptions::default() };
        let report = match self.engine.resume(run, &options, &|_| {}).await {
            // It was not begun yet, so that it is asked for now, and refused if it must not be any more.
            Err(RunError::NotOpen(_)) => match self.request(scheduled, due).await {
                Ok(request) => match self.engine.run_with(request, &options, &|_| {}).await {
                    Err(error @ (RunError::Paused(_) | RunError::CutOff(_) | RunError::AlreadyRun { .. })) => {
                        Err(error)
                    }
                    Err(RunError::Store(error)) => return Err(error.into()),
                    Err(refused) => return Ok(Tried::Ended(Ending::Refused(refused.to_string()))),
                    Ok(report) => Ok(report),
                },
                Err(ScheduleError::Store(error) | ScheduleError::Refused(RunError::Store(error))) => {
                    return Err(error.into());
                }
                Err(refused) => return Ok(Tried::Ended(Ending::Refused(refused.to_string()))),
            },
            went_on => went_on,
        };
        match report {
            Ok(report) => Ok(Tried::Ended(ending(report.succeeded(), report.receipt))),
            Err(RunError::AlreadyRun { receipt }) => Ok(Tried::Ended(self.ending_of(receipt).await?)),
            Err(RunError::Paused(Paused::Asked)) => Ok(Tried::Paused("it was asked to stop".to_owned())),
            Err(RunError::Paused(paused)) => Ok(Tried::Paused(paused.to_string())),
            Err(RunError::Store(error)) => Err(error.into()),
            Err(error) => Ok(Tried::Paused(error.to_string())),
        }
    }

    /// Remembers what came of a run that was under way.
    async fn end(
        &self,
        running: &mut Running,
        ended: Result<(Time, TaskId, Result<Tried, ScheduleError>), tokio::task::JoinError>,
        observe: &Arc<Observe>,
    ) -> Result<(), ScheduleError> {
        let (time, run, tried) = ended.map_err(|_| RunError::Panicked { label: String::new() })?;
        running.begun.remove(&time);
        match tried? {
            Tried::Ended(ending) => self.conclude(running, time, run, ending, observe).await,
            Tried::Paused(reason) => {
                running.paused.insert(time);
                observe(ScheduleEvent::Paused { schedule: time.0, due: time.1, run, reason });
                Ok(())
            }
        }
    }

    async fn conclude(
        &self,
        running: &mut Running,
        (id, due): Time,
        run: TaskId,
        ending: Ending,
        observe: &Arc<Observe>,
    ) -> Result<(), ScheduleError> {
        loop {
            let Some(mut scheduled) = self.look(running, &id).await? else { return Ok(()) };
            if !scheduled.progress.conclude(due, ending.clone()) {
                return Ok(());
            }
            if self.write(&mut scheduled).await? {
                running.known.insert(id, scheduled);
                observe(ScheduleEvent::Ended { schedule: id, due, run, ending });
                return Ok(());
            }
        }
    }

    /// The request for the run of a time, signed now, if the schedule still holds: its own authority is checked as when it was
    /// accepted.
    async fn request(&self, scheduled: &Scheduled, due: Timestamp) -> Result<RunRequest, ScheduleError> {
        let shared = &self.engine.shared;
        let Scheduled { id, schedule, invocation, delegations, .. } = scheduled;
        let executor = shared.parts.executor.did();
        shared.authorize_request(invocation.clone(), delegations, None, executor).await?;
        let revoked = shared.revoked(delegations).await?;
        let is_revoked = revoked.as_fn();
        let context = shared.context(&is_revoked);
        let ask = Ask {
            executor: invocation.subject(),
            command: command(RUN_COMMAND)?,
            args: schedule.run_args(),
            nonce: nonce(id, due),
            expiration: Some(context.now.saturating_add(REQUEST_LIFETIME)),
            meta: [
                ("schedule".to_owned(), Ipld::Link(*invocation.envelope().cid())),
                ("due".to_owned(), Ipld::Integer(due.as_secs().into())),
            ]
            .into(),
        };
        let invocation = ask.sign(&self.issuer, delegations, &context)?;
        Ok(RunRequest { invocation, delegations: delegations.to_vec() })
    }

    /// What came of a run that has its receipt.
    async fn known_ending(&self, run: &TaskId) -> Result<Option<Ending>, ScheduleError> {
        match self.engine.shared.check_not_done(run).await {
            Ok(()) => Ok(None),
            Err(RunError::AlreadyRun { receipt }) => Ok(Some(self.ending_of(receipt).await?)),
            Err(RunError::Store(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn ending_of(&self, receipt: ReceiptId) -> Result<Ending, ScheduleError> {
        let stated = ReceiptStore::get(&*self.engine.parts().receipts, &receipt).await?;
        Ok(ending(stated.is_some_and(|stated| stated.outcome().is_ok()), receipt))
    }

    /// A schedule as it is now. What was read of its request is remembered: that never changes.
    async fn look(&self, running: &mut Running, id: &TaskId) -> Result<Option<Scheduled>, ScheduleError> {
        let Some((version, progress)) = self.progress(id).await? else { return Ok(None) };
        if let Some(known) = running.known.get_mut(id) {
            (known.version, known.progress) = (version, progress);
            return Ok(Some(known.clone()));
        }
        let scheduled = self.get(id).await?;
        running.known.extend(scheduled.clone().map(|scheduled| (*id, scheduled)));
        Ok(scheduled)
    }

    async fn progress(&self, id: &TaskId) -> Result<Option<(u64, Progress)>, ScheduleError> {
        let Some(kept) = self.store.get(id).await? else { return Ok(None) };
        let progress = Progress::decode(&kept.state);
        let progress =
            progress.ok_or_else(|| StoreError::corrupt(format!("the schedule {id}"), "it is not a state"))?;
        Ok(Some((kept.version, progress)))
    }

    /// Makes the progress of a schedule durable, unless somebody else was faster.
    async fn write(&self, scheduled: &mut Scheduled) -> Result<bool, ScheduleError> {
        let state = scheduled.progress.encode()?;
        let written = self.store.put(&scheduled.id, scheduled.version, state.into()).await?;
        scheduled.version = scheduled.version.saturating_add(u64::from(written));
        Ok(written)
    }
}

fn ending(succeeded: bool, receipt: ReceiptId) -> Ending {
    if succeeded { Ending::Succeeded(receipt) } else { Ending::Failed(receipt) }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("begun", &self.begun).field("paused", &self.paused).finish_non_exhaustive()
    }
}
