//! Which parts of a document an error is about.

use ipvm_workflow::{BindError, Document, DocumentBuilder, PlanError, RunError, TaskDocument};
use ucan_core::{Ipld, Place, Segment};
use ucan_invocation::Await;
use ucan_pipeline::GraphError;

use crate::NodeError;

/// The parts of `document` that are at fault; none, where it is something else.
pub(crate) fn places(document: &Document, error: &NodeError) -> Vec<Place> {
    let faults = Faults { document };
    match error {
        NodeError::Bind(error) => faults.bind(error),
        NodeError::NoAuthority { error, .. } | NodeError::Run(error) => faults.run(error),
        _ => Vec::new(),
    }
}

struct Faults<'a> {
    document: &'a Document,
}

impl Faults<'_> {
    fn bind(&self, error: &BindError) -> Vec<Place> {
        match error {
            BindError::MissingInput { label, input, .. } => {
                let wanted = DocumentBuilder::input(input);
                vec![self.within(label, &|part| *part == wanted)]
            }
            BindError::UnknownSubject { label, .. } => vec![self.field(label, "sub")],
            BindError::UnknownAudience { label, .. } => vec![self.field(label, "aud")],
            BindError::Document(error) => error.place().cloned().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn run(&self, error: &RunError) -> Vec<Place> {
        match error {
            RunError::Plan(error) => vec![self.plan(error)],
            RunError::NoAuthority(tasks) => tasks.iter().map(|task| self.label(&task.label)).collect(),
            RunError::BadTasks(tasks) => tasks.iter().map(|task| self.label(&task.label)).collect(),
            RunError::Workflow { error, .. } => error.place().cloned().into_iter().collect(),
            RunError::CutOff(error) => self.run(error),
            RunError::Panicked { label } => vec![self.label(label)],
            RunError::NoWay { label, .. } => vec![self.field(label, "aud")],
            _ => Vec::new(),
        }
    }

    fn plan(&self, error: &PlanError) -> Place {
        let awaits = |wanted: &str| {
            let wanted = wanted.to_owned();
            move |part: &Ipld| Await::recognise_label(part).is_some_and(|promise| promise.target == wanted)
        };
        match error {
            PlanError::Graph(GraphError::Cycle(labels)) => match labels.first() {
                Some(label) => self.label(label),
                None => Place::root(),
            },
            PlanError::UnknownLabel { label, awaited, .. } => self.named(label, awaited, &awaits(awaited)),
            PlanError::Layout { label, mutation, .. } => self.within(label, &awaits(mutation)),
            PlanError::NoHandler { label, .. } => self.field(label, "cmd"),
            PlanError::Undo { label, .. } => self.field(label, "undo"),
            PlanError::AwaitedElsewhere { label, awaited } => {
                let is_awaited = |promise: Await| ucan_core::Cid::from(promise.target) == *awaited;
                self.within(label, &|part| Await::recognise(part).is_some_and(is_awaited))
            }
            PlanError::OwnLink { label, .. } | PlanError::Task { label, .. } => self.label(label),
            PlanError::Catch { .. } => Place::root().key("catch").key("cmd"),
            _ => Place::root(),
        }
    }

    /// A task: its label, where it has one.
    fn label(&self, label: &str) -> Place {
        self.task(label).0.at_key()
    }

    /// A field of a task; the task, where it has no such field.
    fn field(&self, label: &str, field: &str) -> Place {
        let (place, task) = self.task(label);
        let is_there = match field {
            "sub" => task.is_some_and(|task| task.subject.is_some()),
            _ => true,
        };
        if is_there { place.key(field) } else { place.at_key() }
    }

    /// The handler of failures is called `catch` where tasks are called by their labels.
    fn task(&self, label: &str) -> (Place, Option<&TaskDocument>) {
        match self.document.tasks().get(label) {
            Some(task) => (Place::root().key("tasks").key(label), Some(task)),
            None => (Place::root().key(label), None),
        }
    }

    /// The first part of the arguments of a task that is meant; the task, where there is none.
    fn within(&self, label: &str, is_meant: &dyn Fn(&Ipld) -> bool) -> Place {
        let (place, task) = self.task(label);
        let found = task
            .and_then(|task| task.args.iter().find_map(|(key, value)| Some((key.as_str(), find(value, is_meant)?))));
        let Some((key, way)) = found else { return place.at_key() };
        way.into_iter().rev().fold(place.key("args").key(key), |place, segment| match segment {
            Segment::Key(key) => place.key(&key),
            Segment::Index(index) => place.index(index),
        })
    }

    /// Where a task names another: in a promise, as what undoes it, or as what it may wait for.
    fn named(&self, label: &str, other: &str, is_promise: &dyn Fn(&Ipld) -> bool) -> Place {
        let found = self.within(label, is_promise);
        let (place, task) = self.task(label);
        let Some(task) = task.filter(|_| found.is_at_key()) else { return found };
        if task.undo.as_deref() == Some(other) {
            return place.key("undo");
        }
        match task.allow.iter().position(|allowed| allowed == other) {
            Some(at) => place.key("allow").index(at),
            None => found,
        }
    }
}

/// The way to the first part that is meant, from its end: it is put together only where there is one.
fn find(value: &Ipld, is_meant: &dyn Fn(&Ipld) -> bool) -> Option<Vec<Segment>> {
    if is_meant(value) {
        return Some(Vec::new());
    }
    let (segment, mut way) = match value {
        Ipld::List(list) => {
            list.iter().enumerate().find_map(|(at, item)| Some((Segment::Index(at), find(item, is_meant)?)))
        }
        Ipld::Map(map) => {
            map.iter().find_map(|(key, item)| find(item, is_meant).map(|way| (Segment::Key(key.as_str().into()), way)))
        }
        _ => None,
    }?;
    way.push(segment);
    Some(way)
}
