#![doc = include_str!("../README.md")]

mod bind;
mod builder;
mod catch;
mod control;
mod document;
mod doubt;
mod engine;
mod error;
mod event;
mod flight;
mod forget;
mod handle;
mod journal;
mod perform;
mod plan;
mod planner;
mod retry;
mod shape;
mod step;
mod verify;
mod verify_run;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use bind::{BindError, Bindings, EXECUTOR, INVOKER, Workflow};
pub use builder::{BuildError, DocumentBuilder, TaskBuilder, TaskHandle};
pub use catch::Caught;
pub use control::{Control, Resolution, RunOptions};
pub use document::{Document, DocumentError, TaskDocument, VERSION};
pub use doubt::Refuted;
pub use engine::{Engine, Parts, RUN_COMMAND, RunRequest};
pub use error::{BadTask, Missing, Paused, RunError, Unauthorized};
pub use event::{Event, How, RunReport, StepReport};
pub use forget::Forgotten;
pub use handle::RunHandle;
pub use journal::{Entry, Journal, MemoryJournal, OpenRun};
pub use plan::{Plan, PlanError, Step};
pub use planner::Planner;
pub use retry::Retry;
pub use shape::ShapeError;
pub use ucan_invocation::{Entropy, Trust};
pub use verify::{Verification, VerifyError};
pub use verify_run::{RunVerification, Tally};
