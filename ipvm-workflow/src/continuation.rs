//! What tasks ask to have done next: the effects of their receipts, carried out in the same run.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use tokio::sync::mpsc;
use ucan_core::{Did, Ipld, StoreError};
use ucan_invocation::meta::ATTEMPT;
use ucan_invocation::{EffectClass, Effects, Failure, Outcome, Receipt, ReceiptId, Task, TaskId};

use crate::engine::Shared;
use crate::perform::{Ended, Performance};
use crate::plan::is_asked_secret;
use crate::request::Grants;
use crate::resolve::resolve;
use crate::stating;
use crate::step::{Concluded, Work};
use crate::{Event, How, Paused, RunError, Step, StepReport, Workflow, telemetry};

/// How many tasks a run continues with, at most.
const MOST: usize = 1_000;
/// How many tasks ask for one another in a row, at most.
const DEEPEST: usize = 32;

/// What the receipt of a task of this class asks to have done next: nothing, where it states no final outcome or computes.
pub(crate) fn asked_by(class: EffectClass, receipt: &Receipt) -> Effects {
    if class == EffectClass::Deterministic || receipt.is_attempt() {
        return Effects::default();
    }
    receipt.effects().clone()
}

/// The tasks that `effects` name, each with the label that it has where the asking one has `label`; the forks come first.
fn named(label: &str, effects: &Effects) -> Vec<(String, TaskId)> {
    let forks = effects.fork.iter().enumerate().map(|(at, task)| (format!("{label}/fork/{at}"), *task));
    forks.chain(effects.join.map(|task| (format!("{label}/join"), task))).collect()
}

/// What receipts of one run ask for.
#[derive(Debug, Default)]
pub(crate) struct Continuations {
    asked: Vec<Asked>,
    groups: Vec<Group>,
    /// What can be started, and what can once the pure part of the workflow has succeeded, both in the order of asking.
    ready: VecDeque<usize>,
    held: VecDeque<usize>,
}

/// A task that a receipt asks for.
#[derive(Debug)]
struct Asked {
    label: String,
    task: TaskId,
    /// What is to be done, or why it cannot be.
    step: Result<Box<Step>, Failure>,
    group: usize,
    started: bool,
    outcome: Option<Outcome>,
}

/// All that one receipt asks for.
#[derive(Debug)]
struct Group {
    cause: ReceiptId,
    asking: Asking,
    /// Its position among what is asked for; none where it is a task of the workflow.
    parent: Option<usize>,
    depth: usize,
    forks: Range<usize>,
    forks_left: usize,
    join: Option<usize>,
}

/// The task that asks for others, as it is stated and with its promises resolved, and what it came to.
#[derive(Debug)]
struct Asking {
    ids: [TaskId; 2],
    outcome: Outcome,
}

impl Asked {
    fn class(&self) -> EffectClass {
        // What cannot be done alters nothing.
        self.step.as_ref().map_or(EffectClass::Query, |step| step.class)
    }
}

impl Continuations {
    fn poll(&mut self, pure_part_done: bool) -> Option<usize> {
        if pure_part_done {
            self.ready.append(&mut self.held);
        }
        let position = self.ready.pop_front()?;
        self.asked[position].started = true;
        Some(position)
    }

    fn make_ready(&mut self, position: usize) {
        match self.asked[position].class().is_mutation() {
            true => self.held.push_back(position),
            false => self.ready.push_back(position),
        }
    }

    fn finish(&mut self, position: usize, outcome: Outcome) {
        self.asked[position].outcome = Some(outcome);
        let group = &mut self.groups[self.asked[position].group];
        if group.forks.contains(&position) {
            group.forks_left -= 1;
            if let Some(join) = group.join.filter(|_| group.forks_left == 0) {
                self.make_ready(join);
            }
        }
    }

    fn depth(&self, parent: Option<usize>) -> usize {
        parent.map_or(0, |position| self.groups[self.asked[position].group].depth)
    }

    /// The outcomes that the task at `position` can await: of those that asked for one another until it was asked for, and, for each
    /// among them that is a join, of the forks before it. All of these are over, so that what is found here hangs on no race.
    fn awaitable(&self, position: usize) -> HashMap<TaskId, &Outcome> {
        let (mut outcomes, mut next) = (HashMap::new(), Some(position));
        while let Some(position) = next {
            let group = &self.groups[self.asked[position].group];
            if group.join == Some(position) {
                for fork in &self.asked[group.forks.clone()] {
                    if let Some(outcome) = &fork.outcome {
                        outcomes.entry(fork.task).or_insert(outcome);
                    }
                }
            }
            let Asking { ids, outcome } = &group.asking;
            ids.iter().for_each(|id| {
                outcomes.entry(*id).or_insert(outcome);
            });
            next = group.parent;
        }
        outcomes
    }

    /// What was not started, and never will be once nothing is under way.
    pub(crate) fn not_started(&self) -> impl Iterator<Item = (String, EffectClass)> {
        self.asked.iter().filter(|asked| !asked.started).map(|asked| (asked.label.clone(), asked.class()))
    }
}

impl Shared {
    /// The task that a receipt asks for, as a step of the run, or why there is none.
    async fn asked_for(
        &self,
        grants: &Grants,
        workflow: &Workflow,
        label: &str,
        id: TaskId,
    ) -> Result<Result<Box<Step>, Failure>, StoreError> {
        let Some(bytes) = self.parts.blocks.get(id.cid()).await? else {
            return Ok(Err(Failure::new("MissingTask", "the block of the task that is asked for is not in the store")));
        };
        let task = match Task::from_block(&bytes) {
            Ok(task) if task.id() == Ok(id) => task,
            Ok(_) => return Ok(Err(Failure::new("NotATask", "what is asked for is not named by the id of a task"))),
            Err(error) => {
                return Ok(Err(Failure::new("NotATask", format!("what is asked for is not a task: {error}"))));
            }
        };
        if !grants.lend(&task) {
            let message = "the request does not lend this command on the invoker's own resources";
            return Ok(Err(Failure::new("NoAuthority", message)));
        }
        let Some(handler) = self.handler(&grants.home, task.subject(), task.command()) else {
            return Ok(Err(Failure::new("NoHandler", "there is no handler for this task")));
        };
        let (config, retry) = workflow.defaults();
        // What a secret task asks for is not looked at, and nobody who is not secret can go on from what one gives.
        if handler.is_secret() || is_asked_secret(&config) {
            return Ok(Err(Failure::new(
                "Secret",
                "what comes of this task is secret, and nothing can be asked to give it",
            )));
        }
        Ok(Ok(Box::new(Step {
            label: label.to_owned(),
            id,
            class: handler.effect_class(),
            config,
            retry: retry.cloned(),
            undo: None,
            undoes: false,
            audience: None,
            secret: false,
            task,
        })))
    }

    /// What a task that a receipt asks for does to the world, where it is known here.
    pub(crate) async fn class_of_asked(&self, home: &Did, id: &TaskId) -> Result<Option<EffectClass>, StoreError> {
        let Some(bytes) = self.parts.blocks.get(id.cid()).await? else { return Ok(None) };
        let Ok(task) = Task::from_block(&bytes) else { return Ok(None) };
        Ok(self.handler(home, task.subject(), task.command()).map(|handler| handler.effect_class()))
    }
}

impl Performance<'_> {
    /// Takes note of what the receipt of a task asks for: of one of the workflow, or of the one at `parent` among what was asked for.
    pub(crate) async fn enqueue(&mut self, parent: Option<usize>, report: &StepReport) {
        if let Err(error) = self.enqueue_all(parent, report).await {
            self.fail(error.into());
        }
    }

    async fn enqueue_all(&mut self, parent: Option<usize>, report: &StepReport) -> Result<(), StoreError> {
        let mut tasks = named(&report.label, &report.effects);
        let (depth, first, wanted) = (self.continued.depth(parent) + 1, self.continued.asked.len(), tasks.len());
        let problem = if wanted == 0 {
            return Ok(());
        } else if depth > DEEPEST {
            Some(format!("tasks ask for one another {depth} times in a row, and {DEEPEST} are allowed"))
        } else if first + wanted > MOST {
            Some(format!("{wanted} more tasks are asked for, after {first}, and {MOST} are allowed in a run"))
        } else {
            None
        };
        if problem.is_some() {
            // One stands for all: that the list is too long is not answered by a list as long.
            tasks.truncate(1);
        }
        let group = self.continued.groups.len();
        for (label, task) in tasks {
            let step = match &problem {
                Some(problem) => Err(Failure::new("ContinuationLimit", problem.as_str())),
                None => self.shared.asked_for(&self.grants, self.workflow, &label, task).await?,
            };
            self.continued.asked.push(Asked { label, task, step, group, started: false, outcome: None });
        }
        let end = self.continued.asked.len();
        let join = report.effects.join.and_then(|_| end.checked_sub(1)).filter(|_| problem.is_none());
        let forks = first..join.unwrap_or(end);
        self.continued.groups.push(Group {
            cause: report.receipt,
            asking: Asking { ids: [report.task, report.resolved], outcome: report.outcome.clone() },
            parent,
            depth,
            forks_left: forks.len(),
            forks: forks.clone(),
            join,
        });
        let at_once = if forks.is_empty() { first..end } else { forks };
        at_once.for_each(|position| self.continued.make_ready(position));
        Ok(())
    }

    /// Starts one task that was asked for; whether there was one to start.
    pub(crate) async fn start_continued(&mut self, notes: &mpsc::UnboundedSender<Event>) -> bool {
        let Some(position) = self.continued.poll(self.planner.is_pure_part_done()) else { return false };
        let label = self.continued.asked[position].label.clone();
        (self.observe)(Event::Started { label: label.clone() });
        match self.continued_work(position, notes) {
            Ok(work) => {
                let work = async move { Ended::Continued(position, work.perform().await) };
                let handle = self.running.tasks.spawn(work);
                self.running.labels.insert(handle.id(), label);
            }
            Err(failure) => {
                let refused = self.refuse(position, failure).await;
                self.end_continued(position, refused.map(Concluded::Report)).await;
            }
        }
        true
    }

    fn continued_work(&self, position: usize, notes: &mpsc::UnboundedSender<Event>) -> Result<Work, Failure> {
        let asked = &self.continued.asked[position];
        let step = Step::clone(asked.step.as_ref().map_err(Clone::clone)?);
        let outcomes = self.continued.awaitable(position);
        Ok(Work {
            task: resolve(&step.task, &|id| outcomes.get(id).copied()),
            span: telemetry::task_span(&step),
            cause: Some(self.continued.groups[asked.group].cause),
            instead: Vec::new(),
            // The handler of failures answers for tasks of the workflow, and there is none whom its answer could help here.
            catches: false,
            ..self.work(step, notes.clone())
        })
    }

    /// The receipt of a task of which there is nothing to do.
    async fn refuse(&self, position: usize, failure: Failure) -> Result<StepReport, RunError> {
        let asked = &self.continued.asked[position];
        let cause = self.continued.groups[asked.group].cause;
        let outcome = Outcome::from(failure);
        let meta = [(ATTEMPT.to_owned(), Ipld::Bool(true))].into();
        let receipt = self.shared.sign(Receipt::builder(asked.task, outcome.clone()).meta(meta).cause(cause))?;
        self.shared.file_apart(&receipt, Vec::new()).await?;
        Ok(StepReport {
            label: asked.label.clone(),
            task: asked.task,
            resolved: asked.task,
            class: asked.class(),
            how: How::NotRun,
            outcome,
            answers: false,
            effects: Effects::default(),
            fuel: None,
            charged: None,
            elapsed: Duration::ZERO,
            receipt: receipt.id(),
        })
    }

    /// Takes note of what came of a task that was asked for.
    pub(crate) async fn end_continued(&mut self, position: usize, concluded: Result<Concluded, RunError>) {
        let report = match concluded {
            Ok(Concluded::Report(report)) => report,
            Ok(Concluded::Paused(paused)) => return self.pause(paused),
            Err(error) => return self.fail(error),
        };
        (self.observe)(Event::Finished(report.clone()));
        self.enqueue(Some(position), &report).await;
        self.continued.finish(position, report.outcome.clone());
        self.performed.continued.push(report);
    }

    /// Finds out, for a run that ends badly, what was done before a crash or a pause of that which was asked for and has not been come to
    /// again since.
    pub(crate) async fn recall_continued(
        &mut self,
        undoing: bool,
        notes: &mpsc::UnboundedSender<Event>,
    ) -> Result<(), RunError> {
        let mut position = 0;
        // What is recalled may have asked for more.
        while position < self.continued.asked.len() && self.paused.is_none() && self.error.is_none() {
            let asked = &self.continued.asked[position];
            if (!asked.started || asked.step.is_err())
                && let Some(concluded) = self.recall_one(position, undoing, notes).await?
            {
                self.continued.asked[position].started = true;
                self.end_continued(position, Ok(concluded)).await;
            }
            position += 1;
        }
        Ok(())
    }

    async fn recall_one(
        &self,
        position: usize,
        undoing: bool,
        notes: &mpsc::UnboundedSender<Event>,
    ) -> Result<Option<Concluded>, RunError> {
        let Asked { label, task, .. } = &self.continued.asked[position];
        let (receipt, work) = (self.shared.receipt_of(task).await?, self.continued_work(position, notes));
        if let (Some(receipt), Ok(work)) = (&receipt, &work) {
            return Ok(Some(Concluded::Report(stating::report(&work.step, How::Reused, receipt, Duration::ZERO))));
        }
        if receipt.is_some() || !self.shared.parts.journal.intended(task).await? {
            return Ok(None);
        }
        match work {
            Ok(work) if work.task.is_ok() => {
                Work { settle: true, had_failed: undoing, ..work }.perform().await.map(Some)
            }
            // It cannot be asked for any more, so that nobody here can find out.
            _ if self.options.resolutions.contains_key(task) => Ok(None),
            _ => Ok(Some(Concluded::Paused(Paused::Uncertain { label: label.clone(), task: *task }))),
        }
    }
}

/// The tasks that the receipts of a run ask for, one by one, for who knows the receipts.
#[derive(Debug)]
pub(crate) struct Walk {
    left: VecDeque<Wanted>,
    /// How many more it takes, where there is a limit.
    room: Option<usize>,
}

/// A task that a receipt asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) label: String,
    pub(crate) task: TaskId,
    depth: usize,
}

impl Walk {
    /// One that goes as far as a run does.
    pub(crate) fn bounded() -> Self {
        Self { left: VecDeque::new(), room: Some(MOST) }
    }

    /// One that goes on for as long as it is given receipts.
    pub(crate) fn unbounded() -> Self {
        Self { left: VecDeque::new(), room: None }
    }

    /// Takes note of what a step of the workflow asks for.
    pub(crate) fn add_step(&mut self, label: &str, class: EffectClass, receipt: &Receipt) {
        self.add(label, 1, &asked_by(class, receipt));
    }

    /// Takes note of what a task asks for that was asked for itself.
    pub(crate) fn add_asked(&mut self, by: &Wanted, class: EffectClass, receipt: &Receipt) {
        self.add(&by.label, by.depth + 1, &asked_by(class, receipt));
    }

    fn add(&mut self, label: &str, depth: usize, effects: &Effects) {
        let tasks = named(label, effects);
        if let Some(room) = &mut self.room {
            if depth > DEEPEST || tasks.len() > *room {
                return;
            }
            *room -= tasks.len();
        }
        self.left.extend(tasks.into_iter().map(|(label, task)| Wanted { label, task, depth }));
    }

    pub(crate) fn next(&mut self) -> Option<Wanted> {
        self.left.pop_front()
    }
}
