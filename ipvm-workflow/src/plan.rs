use std::collections::{BTreeMap, BTreeSet};

use ucan_core::{Cid, Command, Did, Ipld};
use ucan_invocation::{Await, Config, EffectClass, Task, TaskError, TaskId, promises, visit};
use ucan_pipeline::{Graph, GraphError, substitute};

use crate::bind::CATCH;
use crate::{Retry, Workflow};

/// The field of a configuration that says that what comes of a task is secret.
pub(crate) const SECRET: &str = "secret";

/// The other executor that does a task, and what that does to the world there.
pub(crate) type There<'a> = (&'a Did, EffectClass);

/// Whether a configuration asks for what comes of a task to be secret.
pub(crate) fn is_asked_secret(config: &Config) -> bool {
    config.get(SECRET) == Some(&Ipld::Bool(true))
}

/// What is to be done, in which order: a workflow whose labels have become task ids.
///
/// Making one checks all that the document alone can tell: labels, cycles, and that pure work does not hang on
/// mutations.
#[derive(Clone, Debug)]
pub struct Plan {
    steps: Vec<Step>,
    graph: Graph<String>,
    index: BTreeMap<String, usize>,
    catch: Option<Step>,
}

/// One task of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The label in the document.
    pub label: String,
    /// The task, its promises by task id.
    pub task: Task,
    /// The id of the task.
    pub id: TaskId,
    /// What running it does to the world.
    pub class: EffectClass,
    /// How it is asked to be run.
    pub config: Config,
    /// How often it is tried, where anything is said of it.
    pub retry: Option<Retry>,
    /// The label of the step that undoes it.
    pub undo: Option<String>,
    /// Whether it undoes another, and is done only for that.
    pub undoes: bool,
    /// The other executor that does it, where one does.
    pub audience: Option<Did>,
    /// Whether what comes of it is secret: because it is asked to be, because its handler deals in secrets, or because it awaits what
    /// is. Nothing takes that back.
    pub secret: bool,
}

impl Plan {
    /// Plans `workflow` for one run, in which all tasks are done by whoever runs it.
    ///
    /// `class_of` says what the executor's handler for a command does to the world, or `None` where it has no handler;
    /// `nonce_of` gives the nonce of a task that is not deterministic and names none: a function of the run and the
    /// label, so that a resumed run has the same tasks and another run has others.
    ///
    /// # Errors
    /// [`PlanError`] names the task, label or edge that is wrong.
    pub fn new(
        workflow: &Workflow,
        class_of: &dyn Fn(&Did, &Command) -> Option<EffectClass>,
        nonce_of: &dyn Fn(&str) -> Vec<u8>,
    ) -> Result<Self, PlanError> {
        Self::addressed(workflow, class_of, nonce_of, &|_, _| None)
    }

    /// The same where `other` gives, for the label and the command of each task, the other executor that does it, and what it does to
    /// the world there.
    pub(crate) fn addressed<'a>(
        workflow: &'a Workflow,
        class_of: &dyn Fn(&Did, &Command) -> Option<EffectClass>,
        nonce_of: &dyn Fn(&str) -> Vec<u8>,
        other: &dyn Fn(&str, &Command) -> Option<There<'a>>,
    ) -> Result<Self, PlanError> {
        let awaited = workflow.tasks().map(|(label, _, task)| (label.to_owned(), labels(&task.args)));
        let graph = Graph::new(awaited).map_err(|error| match error {
            GraphError::Unknown { from, to } => {
                let nearest = nearest(&to, workflow.tasks().map(|(label, ..)| label));
                PlanError::UnknownLabel { label: from, awaited: to, nearest }
            }
            error => error.into(),
        })?;
        let documents: BTreeMap<&str, _> =
            workflow.tasks().map(|(label, subject, task)| (label, (subject, task))).collect();
        let mut steps: Vec<Step> = Vec::with_capacity(documents.len());
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        for label in graph.order() {
            // Every label of the order comes from the documents.
            let Some((subject, document)) = documents.get(label.as_str()) else { continue };
            let command = &document.command;
            let there = other(label, command);
            let class = there.map(|(_, class)| class).or_else(|| class_of(subject, command));
            let class = class.ok_or_else(|| PlanError::NoHandler {
                label: label.clone(),
                command: command.to_string(),
                subject: (*subject).clone(),
            })?;
            let args = link(&document.args, &|awaited| index.get(awaited).map(|position| steps[*position].id));
            let nonce = match &document.nonce {
                Some(nonce) => nonce.clone(),
                None if class == EffectClass::Deterministic => Vec::new(),
                None => nonce_of(label),
            };
            let task = Task::new((*subject).clone(), command.clone(), args, nonce);
            let id = task.id().map_err(|error| PlanError::Task { label: label.clone(), error })?;
            for dependency in graph.dependencies(label) {
                let allowed = class.is_mutation() || document.allow.contains(dependency);
                let mutates = index.get(dependency).is_some_and(|position| steps[*position].class.is_mutation());
                if mutates && !allowed {
                    return Err(PlanError::Layout { label: label.clone(), class, mutation: dependency.clone() });
                }
            }
            if let Some(unknown) = document.allow.iter().find(|allowed| !documents.contains_key(allowed.as_str())) {
                let nearest = nearest(unknown, documents.keys().copied());
                return Err(PlanError::UnknownLabel { label: label.clone(), awaited: unknown.clone(), nearest });
            }
            index.insert(label.clone(), steps.len());
            let (config, retry, undo) = (workflow.config(document), workflow.retry(document), document.undo.clone());
            steps.push(Step {
                label: label.clone(),
                task,
                id,
                class,
                config,
                retry,
                undo,
                undoes: false,
                audience: there.map(|(audience, _)| audience.clone()),
                secret: false,
            });
        }
        let catch = catch(workflow, class_of)?;
        let mut plan = Self { steps, graph, index, catch };
        plan.check_own_links(workflow)?;
        plan.check_undo()?;
        Ok(plan)
    }

    /// What undoes a mutation does that alone, and nothing waits for it.
    fn check_undo(&mut self) -> Result<(), PlanError> {
        for position in 0..self.steps.len() {
            let Some(undo) = self.steps[position].undo.clone() else { continue };
            let label = self.steps[position].label.clone();
            let Some(at) = self.index.get(&undo).copied() else {
                let nearest = nearest(&undo, self.index.keys().map(String::as_str));
                return Err(PlanError::UnknownLabel { label, awaited: undo, nearest });
            };
            let problem = if !self.steps[position].class.is_mutation() {
                "only what alters the world can be undone"
            } else if at == position || self.steps[at].undo.is_some() {
                "what undoes is not undone itself"
            } else if self.steps[at].undoes {
                "it undoes another already"
            } else if self.dependents(at).next().is_some() {
                "a task waits for it, and in the normal course of things it is not done"
            } else {
                self.steps[at].undoes = true;
                continue;
            };
            return Err(PlanError::Undo { label, undo, problem });
        }
        Ok(())
    }

    /// Marks the steps whose results are secret: those that are asked to be, under whatever label, those of which `of_secrets` says that their
    /// handlers deal in secrets, and all that await one of them.
    pub(crate) fn mark_secrets(&mut self, of_secrets: &dyn Fn(&Step) -> bool) {
        let asked = |step: &Step| is_asked_secret(&step.config) || of_secrets(step);
        // One task can have several labels, and has one result.
        let kept: BTreeSet<TaskId> = self.steps.iter().filter(|step| asked(step)).map(|step| step.id).collect();
        for position in 0..self.steps.len() {
            // Steps come after what they await.
            let awaits = self.dependencies(position).any(|at| self.steps[at].secret);
            self.steps[position].secret = awaits || kept.contains(&self.steps[position].id);
        }
        if let Some(catch) = &mut self.catch {
            catch.secret = asked(catch);
        }
    }

    /// The step that handles failures, once its arguments have one. It is none of the [`steps`](Plan::steps).
    #[must_use]
    pub fn catch(&self) -> Option<&Step> {
        self.catch.as_ref()
    }

    /// The position of the step with this label, if the one at `failed` can come to the same as that.
    pub(crate) fn rewirable(&self, failed: usize, label: &str) -> Result<usize, &'static str> {
        let at = *self.index.get(label).ok_or("there is no such task")?;
        if self.steps[at].class.is_mutation() {
            return Err("it alters the world, and comes last");
        }
        if self.steps[at].secret && !self.steps[failed].secret {
            return Err("what it comes to is secret");
        }
        let (mut waiting, mut seen) = (vec![at], BTreeSet::new());
        while let Some(position) = waiting.pop() {
            if position == failed {
                return Err("it waits for this one");
            }
            if seen.insert(position) {
                waiting.extend(self.dependencies(position));
            }
        }
        Ok(at)
    }

    /// The step that undoes the one at `position`.
    pub(crate) fn undo(&self, position: usize) -> Option<&Step> {
        let undo = self.steps[position].undo.as_ref()?;
        self.index.get(undo).map(|at| &self.steps[*at])
    }

    /// The steps, each after all that it awaits.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps that others do, and who does them.
    pub(crate) fn elsewhere(&self) -> impl Iterator<Item = (&Step, &Did)> {
        self.steps.iter().filter_map(|step| Some((step, step.audience.as_ref()?)))
    }

    /// A task of the workflow is awaited by its label: by its CID, the plan would not know to wait for it.
    fn check_own_links(&self, workflow: &Workflow) -> Result<(), PlanError> {
        let own: BTreeMap<TaskId, &str> = self.steps.iter().map(|step| (step.id, step.label.as_str())).collect();
        for (label, _, document) in workflow.tasks() {
            for promise in document.args.values().flat_map(promises) {
                if let Some(awaited) = own.get(&promise.target) {
                    return Err(PlanError::OwnLink { label: label.to_owned(), awaited: (*awaited).to_owned() });
                }
            }
        }
        Ok(())
    }

    /// What the step at `position` awaits within the plan.
    pub(crate) fn dependencies(&self, position: usize) -> impl Iterator<Item = usize> {
        self.graph.dependencies(&self.steps[position].label).filter_map(|label| self.index.get(label).copied())
    }

    /// What awaits the step at `position`.
    pub(crate) fn dependents(&self, position: usize) -> impl Iterator<Item = usize> {
        self.graph.dependents(&self.steps[position].label).filter_map(|label| self.index.get(label).copied())
    }

    /// The tasks outside of the plan whose results it needs.
    pub(crate) fn awaited_elsewhere(&self) -> Vec<(&Step, TaskId)> {
        let own: BTreeSet<TaskId> = self.steps.iter().map(|step| step.id).collect();
        self.steps
            .iter()
            .flat_map(|step| step.task.args().values().flat_map(promises).map(move |promise| (step, promise.target)))
            .filter(|(_, target)| !own.contains(target))
            .collect()
    }
}

/// The step that handles the failures of a workflow.
fn catch(
    workflow: &Workflow,
    class_of: &dyn Fn(&Did, &Command) -> Option<EffectClass>,
) -> Result<Option<Step>, PlanError> {
    let Some((subject, document)) = workflow.catch() else { return Ok(None) };
    let (label, command) = (CATCH.to_owned(), &document.command);
    let class = class_of(subject, command).ok_or_else(|| PlanError::NoHandler {
        label: label.clone(),
        command: command.to_string(),
        subject: subject.clone(),
    })?;
    if class != EffectClass::Deterministic {
        return Err(PlanError::Catch { class });
    }
    let task = Task::new(subject.clone(), command.clone(), document.args.clone(), Vec::new());
    let id = task.id().map_err(|error| PlanError::Task { label: label.clone(), error })?;
    let config = workflow.config(document);
    Ok(Some(Step {
        label,
        task,
        id,
        class,
        config,
        retry: None,
        undo: None,
        undoes: false,
        audience: None,
        secret: false,
    }))
}

/// The labels that arguments await.
pub(crate) fn labels(args: &BTreeMap<String, Ipld>) -> Vec<String> {
    let mut found = Vec::new();
    for value in args.values() {
        visit(value, &mut |part| match Await::recognise_label(part) {
            Some(promise) => {
                found.push(promise.target);
                false
            }
            None => true,
        });
    }
    found
}

/// Writes promises by label as promises by task id.
fn link(args: &BTreeMap<String, Ipld>, id_of: &dyn Fn(&str) -> Option<TaskId>) -> BTreeMap<String, Ipld> {
    let mut by_id = |part: &Ipld| -> Result<Option<Ipld>, std::convert::Infallible> {
        Ok(Await::recognise_label(part)
            .and_then(|Await { branch, target }| id_of(&target).map(|target| Await { branch, target }.to_ipld())))
    };
    args.iter()
        .map(|(key, value)| {
            let Ok(linked) = substitute(value, &mut by_id);
            (key.clone(), linked)
        })
        .collect()
}

/// The name that is spelled most like `name`, if one is close. Comparing takes the product of the lengths: long names are
/// left alone.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let near = known
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| distance * 2 < known.len());
    near.min().map(|(_, known)| known.to_owned())
}

/// Why a workflow cannot be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Tasks wait for each other.
    #[error(transparent)]
    Graph(#[from] GraphError<String>),
    /// A task awaits a label that no task has.
    #[error("task {label:?} awaits {awaited:?}, and no task has that label{}", did_you_mean(.nearest.as_deref()))]
    UnknownLabel {
        /// The task that waits.
        label: String,
        /// The label that it waits for.
        awaited: String,
        /// The label that is spelled most like it, if one is close.
        nearest: Option<String>,
    },
    /// A task awaits another of the same workflow by its CID.
    #[error("task {label:?} awaits {awaited:?} by its CID; within a workflow, tasks are awaited by their labels")]
    OwnLink {
        /// The task that waits.
        label: String,
        /// The label of what it waits for.
        awaited: String,
    },
    /// This executor has no handler for a task.
    #[error("task {label:?}: this executor has no handler for {command} on {subject}")]
    NoHandler {
        /// The task.
        label: String,
        /// What it asks for.
        command: String,
        /// Whose resource it concerns.
        subject: Did,
    },
    /// A task that does not alter the world waits for one that does.
    #[error(
        "task {label:?} ({class}) waits for the mutation {mutation:?}: mutations come last. \
         If it is meant, name {mutation:?} in the task's \"allow\""
    )]
    Layout {
        /// The task that waits.
        label: String,
        /// Its class.
        class: EffectClass,
        /// The mutation that it waits for.
        mutation: String,
    },
    /// The handler of failures does more than compute.
    #[error("the handler of failures (\"catch\") is to be deterministic, and its command is {class}")]
    Catch {
        /// What it is.
        class: EffectClass,
    },
    /// A task cannot be undone by the one that it names.
    #[error("task {label:?} cannot be undone by {undo:?}: {problem}")]
    Undo {
        /// The task that is to be undone.
        label: String,
        /// The task that is to undo it.
        undo: String,
        /// Why not.
        problem: &'static str,
    },
    /// A task waits for one that is neither in the workflow nor known here.
    #[error("task {label:?} awaits {awaited}, which is not in the workflow and has no trusted receipt here")]
    AwaitedElsewhere {
        /// The task that waits.
        label: String,
        /// What it waits for.
        awaited: Cid,
    },
    /// A task cannot be addressed.
    #[error("task {label:?}: {error}")]
    Task {
        /// The task.
        label: String,
        /// What is wrong with it.
        error: TaskError,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest:?}?)"))
}
