#![doc = include_str!("../README.md")]

mod bind;
mod document;
mod doubt;
mod engine;
mod error;
mod event;
mod flight;
mod forget;
mod journal;
mod plan;
mod planner;
mod shape;
mod step;
mod verify;
mod verify_run;

pub use bind::{BindError, Bindings, EXECUTOR, INVOKER, Workflow};
pub use document::{Document, DocumentError, TaskDocument, VERSION};
pub use doubt::Refuted;
pub use engine::{Engine, Parts, RUN_COMMAND, RunRequest};
pub use error::{BadTask, Missing, RunError, Unauthorized};
pub use event::{Event, How, RunReport, StepReport};
pub use forget::Forgotten;
pub use journal::{Entry, Journal, MemoryJournal};
pub use plan::{Plan, PlanError, Step};
pub use planner::Planner;
pub use shape::ShapeError;
pub use ucan_invocation::{Entropy, Trust};
pub use verify::{Verification, VerifyError};
pub use verify_run::{RunVerification, Tally};
